//! What is prefetched when, and what becomes of it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use super::budget::Budget;
use super::fetch::{Fetch, Lookup};
use super::predictor::{GraphPredictor, Needs};
use crate::clock::SharedClock;
use crate::engine::context::RequestContext;
use crate::kit::ClientId;
use crate::protocol::{FileKey, Kind, Meta, MetaKey};
use crate::telemetry::metrics::PrefetchMetrics;

/// Clients that are followed at once, at the most.
const CLIENTS: usize = 64;

/// How much is prefetched.
#[derive(Clone, Copy, Debug)]
pub struct PrefetchSettings {
    /// Whether anything is.
    pub enabled: bool,
    /// Prefetches under way at once. An eighth of them may be zips.
    pub requests: usize,
    /// What prefetched files that nobody has asked for yet may take. Bytes.
    pub bytes: u64,
}

/// Follows what clients ask for, and has fetched what they will ask for next.
pub(in crate::engine) struct Scheduler {
    settings: PrefetchSettings,
    clock: SharedClock,
    /// Who fetches; it holds this scheduler.
    fetch: Weak<dyn Fetch>,
    budget: Budget,
    /// Nothing more is begun.
    stopped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bounded by `CLIENTS`.
    predictors: HashMap<ClientId, GraphPredictor>,
    /// Prefetches under way of `.info` and `.mod` files, and of zips.
    small: usize,
    zips: usize,
}

/// What has become of a prefetch, with the content of a go.mod.
enum Outcome {
    Fetched(Option<Bytes>),
    /// It was there already, whoever wanted it.
    Kept(Option<Bytes>),
    Failed,
}

/// A prefetch's slot among those under way.
struct Slot {
    scheduler: Arc<Scheduler>,
    kind: Kind,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.scheduler.state.lock();
        match self.kind {
            Kind::Zip => state.zips -= 1,
            Kind::Info | Kind::Mod => state.small -= 1,
        }
    }
}

impl Scheduler {
    /// With nothing under way.
    pub(in crate::engine) fn new(
        settings: PrefetchSettings,
        clock: SharedClock,
        metrics: PrefetchMetrics,
        fetch: Weak<dyn Fetch>,
    ) -> Arc<Self> {
        Arc::new(Scheduler {
            settings,
            clock,
            fetch,
            budget: Budget::new(metrics),
            stopped: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// What a prefetched zip may have. Bytes.
    pub(in crate::engine) fn room(&self) -> u64 {
        self.settings.bytes.saturating_sub(self.budget.bytes())
    }

    /// A client asks for something that is kept: that starts nothing, but goes on with what its own misses began. `client`
    /// is who asks, if prefetches may be made for them; here and below.
    pub(in crate::engine) fn hit(self: &Arc<Self>, key: &FileKey, client: Option<ClientId>) {
        let Some(owner) = self.budget.used(key) else {
            return;
        };
        let now = self.clock.instant();
        self.tell_known(owner, |predictor| match client == Some(owner) {
            true => {
                predictor.asked(key, now);
                predictor.got(key, now);
            }
            false => predictor.given_up(key),
        });
        self.schedule();
    }

    /// A client asks for something that is missing, or on its way: whether it exists is not known yet.
    pub(in crate::engine) fn missed(self: &Arc<Self>, key: &FileKey, client: Option<ClientId>) {
        self.budget.used(key);
        if let Some(client) = self.followed(client) {
            let now = self.clock.instant();
            self.tell(client, now, |predictor| predictor.asked(key, now));
            // That it asks for this says where in the graph it is.
            self.schedule();
        }
    }

    /// What was missing has come, with this content if that is in memory.
    pub(in crate::engine) fn came(
        self: &Arc<Self>,
        key: &FileKey,
        body: Option<&Bytes>,
        client: Option<ClientId>,
    ) {
        let Some(client) = self.followed(client) else {
            return;
        };
        let now = self.clock.instant();
        self.tell_known(client, |predictor| predictor.got(key, now));
        match (key.kind, body) {
            (Kind::Mod, Some(body)) => self.learn(client, key, body),
            _ => self.schedule(),
        }
    }

    /// A client has been told which versions of a module there are, or the latest.
    pub(in crate::engine) fn listed(&self, key: &MetaKey, client: Option<ClientId>) {
        if matches!(key.meta, Meta::List | Meta::Latest)
            && let Some(client) = self.followed(client)
        {
            let now = self.clock.instant();
            self.tell(client, now, |predictor| predictor.got_versions(&key.module));
        }
    }

    /// A go.mod of a module that may be prefetched has arrived, and is still to be verified: time enough to ask for what it
    /// requires.
    pub(in crate::engine) fn arrived(self: &Arc<Self>, key: &FileKey, go_mod: &[u8]) {
        for client in self.waiting_for(key) {
            self.learn(client, key, go_mod);
        }
    }

    /// Begins nothing more. What is under way has its end as a fetch.
    pub(in crate::engine) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Gives up prefetches that nobody has used for long, and forgets clients that have gone.
    pub(in crate::engine) fn tidy(&self) {
        let now = self.clock.instant();
        self.budget.expire(now);
        let mut state = self.state.lock();
        state
            .predictors
            .retain(|_, predictor| !predictor.is_over(now));
    }

    /// Who asks, if a request of theirs may start prefetches.
    fn followed(&self, client: Option<ClientId>) -> Option<ClientId> {
        client.filter(|_| self.settings.enabled)
    }

    /// Tells a client's predictor something; it begins with the first thing that is told.
    fn tell(&self, client: ClientId, now: Instant, tell: impl FnOnce(&mut GraphPredictor)) {
        let mut state = self.state.lock();
        let predictors = &mut state.predictors;
        if predictors.get(&client).is_some_and(|it| it.is_over(now)) {
            predictors.remove(&client);
        }
        if predictors.len() >= CLIENTS && !predictors.contains_key(&client) {
            predictors.retain(|_, predictor| !predictor.is_over(now));
            let oldest = predictors.iter().min_by_key(|(_, it)| it.heard());
            if let Some(oldest) = oldest.map(|(client, _)| *client)
                && predictors.len() >= CLIENTS
            {
                predictors.remove(&oldest);
            }
        }
        let predictor = predictors.entry(client);
        tell(predictor.or_insert_with(|| GraphPredictor::new(now)));
    }

    /// Tells a client's predictor something, if it is still followed.
    fn tell_known(&self, client: ClientId, tell: impl FnOnce(&mut GraphPredictor)) {
        if let Some(predictor) = self.state.lock().predictors.get_mut(&client) {
            tell(predictor);
        }
    }

    /// Who waits for a go.mod that is under way.
    fn waiting_for(&self, key: &FileKey) -> Vec<ClientId> {
        let state = self.state.lock();
        let predictors = state.predictors.iter();
        let waiting = predictors.filter(|(_, predictor)| predictor.waits_for(key));
        waiting.map(|(client, _)| *client).collect()
    }

    fn learn(self: &Arc<Self>, client: ClientId, key: &FileKey, go_mod: &[u8]) {
        let mut is_new = false;
        self.tell_known(client, |predictor| is_new = !predictor.knows(key));
        // Read while the predictors are not locked.
        if is_new && let Some(needs) = Needs::read(go_mod) {
            let came = |predictor: &mut GraphPredictor| {
                predictor.came(&key.module, &key.version, needs);
            };
            self.tell_known(client, came);
        }
        self.schedule();
    }

    /// The next prefetch and for whom, if another may be under way.
    fn next(&self, now: Instant) -> Option<(ClientId, FileKey)> {
        self.budget.expire(now);
        let most_zips = (self.settings.requests / 8).max(1);
        let most_small = (self.settings.requests - most_zips).max(1);
        let room_for_zip = self.budget.bytes() < self.settings.bytes;
        // Of those who have asked for no zip yet, nobody knows whether they will.
        let zips_allowed = [false, true].map(|takes_zips| self.budget.allows_zip(takes_zips));
        let small_allowed = [Kind::Info, Kind::Mod].map(|kind| self.budget.allows(kind));
        let mut state = self.state.lock();
        let State {
            predictors,
            small,
            zips,
        } = &mut *state;
        // Whoever was heard last is in the greatest hurry.
        let mut order: Vec<_> = predictors
            .iter_mut()
            .filter(|(_, predictor)| !predictor.is_over(now))
            .collect();
        order.sort_unstable_by_key(|(_, predictor)| Reverse(predictor.heard()));
        if *small < most_small {
            for (client, predictor) in &mut order {
                if let Some(key) = predictor.next_small(|kind| small_allowed[kind as usize]) {
                    *small += 1;
                    return Some((**client, key));
                }
            }
        }
        if room_for_zip && *zips < most_zips {
            for (client, predictor) in &mut order {
                if zips_allowed[usize::from(predictor.takes_zips())]
                    && let Some(key) = predictor.next_zip()
                {
                    *zips += 1;
                    return Some((**client, key));
                }
            }
        }
        None
    }

    /// Starts as many prefetches as may be under way.
    fn schedule(self: &Arc<Self>) {
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Some(fetch) = self.fetch.upgrade().filter(|fetch| fetch.is_idle_enough()) else {
            return;
        };
        while let Some((client, key)) = self.next(self.clock.instant()) {
            let slot = Slot {
                scheduler: Arc::clone(self),
                kind: key.kind,
            };
            let Some(context) = fetch.context(&key.module) else {
                continue;
            };
            let (scheduler, fetch) = (Arc::clone(self), Arc::clone(&fetch));
            tokio::spawn(async move {
                let outcome = scheduler.prefetch(fetch, &key, client, &context).await;
                drop(slot);
                if !matches!(outcome, Outcome::Fetched(_)) {
                    scheduler.tell_known(client, |predictor| predictor.given_up(&key));
                }
                match outcome {
                    Outcome::Fetched(Some(body)) | Outcome::Kept(Some(body)) => {
                        scheduler.learn(client, &key, &body);
                    }
                    _ => scheduler.schedule(),
                }
            });
        }
    }

    /// Fetches something that is not asked for yet.
    async fn prefetch(
        &self,
        fetch: Arc<dyn Fetch>,
        key: &FileKey,
        client: ClientId,
        context: &RequestContext,
    ) -> Outcome {
        match fetch.look_up(key, context).await {
            Lookup::Kept(body) => return Outcome::Kept(body),
            Lookup::Unavailable => return Outcome::Failed,
            // What somebody fetches anyway counts for nobody.
            Lookup::UnderWay => {}
            Lookup::Missing => self.budget.open(key, client, self.clock.instant()),
        }
        let fetched = match key.kind {
            Kind::Zip => fetch.zip(key, context).await.map(|size| (size, None)),
            Kind::Info | Kind::Mod => fetch.small(key, context).await.map(|body| {
                let size = body.len() as u64;
                (size, Some(body).filter(|_| key.kind == Kind::Mod))
            }),
        };
        match fetched {
            Some((size, go_mod)) => {
                self.budget.fetched(key, size);
                Outcome::Fetched(go_mod)
            }
            None => {
                self.budget.failed(key);
                Outcome::Failed
            }
        }
    }
}

#[cfg(test)]
mod tests;
