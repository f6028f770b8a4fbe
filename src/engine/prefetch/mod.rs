//! Fetches what a client will ask for next before it does: the go.mod files that lie ahead in the graph it walks, their
//! look-ups in the checksum database with them, then `.info` files and zips. See ARCHITECTURE.md section 13.
//!
//! Only what was missing and has come starts a guess: nothing is asked about what may not exist. Guesses are few, yield to whatever is waited for, and grow fewer where they turn
//! out to be wasted.

mod budget;
mod predictor;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use super::Engine;
use super::answer::{Content, Mode};
use crate::errand::Errand;
use crate::flights::outcome;
use crate::gomod::ModulePath;
use crate::policy::Course;
use crate::protocol::{FileKey, Key, Kind, Meta, MetaKey};
use crate::store::{self, Room};
use crate::telemetry::metrics::PrefetchMetrics;
use budget::Budget;
use predictor::GraphPredictor;

/// Clients whose walks are followed at once, at the most.
const WALKS: usize = 64;

/// How much is guessed.
#[derive(Clone, Copy, Debug)]
pub struct PrefetchSettings {
    /// Whether anything is.
    pub enabled: bool,
    /// Guesses under way at once. An eighth of them may be zips.
    pub requests: usize,
    /// What guessed files that nobody has asked for yet may take. Bytes.
    pub bytes: u64,
    /// Private modules, too.
    pub include_private: bool,
}

/// Who asks, as far as can be told: whose requests belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(u64);

impl Client {
    /// Of this address, and if that is a front server's, behind it.
    pub fn new(address: IpAddr, forwarded: Option<&[u8]>) -> Self {
        let mut hasher = DefaultHasher::new();
        (address, forwarded).hash(&mut hasher);
        Client(hasher.finish())
    }
}

/// What is guessed, and for whom.
pub struct Ahead {
    settings: PrefetchSettings,
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bounded by `WALKS`.
    walks: HashMap<Client, GraphPredictor>,
    small: usize,
    zips: usize,
}

/// What has become of a guess, with the content of a go.mod.
enum Guessed {
    Landed(Option<Bytes>),
    /// It was there already, whoever wanted it.
    Kept(Option<Bytes>),
    Failed,
}

/// A guess's place among those under way.
struct Slot {
    engine: Arc<Engine>,
    kind: Kind,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.engine.ahead.state.lock();
        match self.kind {
            Kind::Zip => state.zips -= 1,
            Kind::Info | Kind::Mod => state.small -= 1,
        }
    }
}

impl Ahead {
    /// With nothing under way.
    pub fn new(settings: PrefetchSettings, metrics: PrefetchMetrics) -> Self {
        Ahead {
            settings,
            budget: Budget::new(metrics),
            state: Mutex::default(),
        }
    }

    /// What a guessed zip may have. Bytes.
    pub fn room(&self) -> u64 {
        self.settings.bytes.saturating_sub(self.budget.bytes())
    }

    /// Tells a client's walk something; it begins with the first thing that is told.
    fn tell(&self, client: Client, now: Instant, tell: impl FnOnce(&mut GraphPredictor)) {
        let mut state = self.state.lock();
        let walks = &mut state.walks;
        if walks.get(&client).is_some_and(|walk| walk.is_over(now)) {
            walks.remove(&client);
        }
        if walks.len() >= WALKS && !walks.contains_key(&client) {
            walks.retain(|_, walk| !walk.is_over(now));
            let oldest = walks.iter().min_by_key(|(_, walk)| walk.heard());
            if let Some(oldest) = oldest.map(|(client, _)| *client)
                && walks.len() >= WALKS
            {
                walks.remove(&oldest);
            }
        }
        tell(
            walks
                .entry(client)
                .or_insert_with(|| GraphPredictor::new(now)),
        );
    }

    /// Tells a client's walk something, if it goes on.
    fn tell_known(&self, client: Client, tell: impl FnOnce(&mut GraphPredictor)) {
        if let Some(walk) = self.state.lock().walks.get_mut(&client) {
            tell(walk);
        }
    }

    /// Whose walks a go.mod belongs to that is under way.
    fn waiting_for(&self, key: &FileKey) -> Vec<Client> {
        let state = self.state.lock();
        let walks = state.walks.iter();
        let waiting = walks.filter(|(_, walk)| walk.waits_for(key));
        waiting.map(|(client, _)| *client).collect()
    }

    /// Forgets walks that are over.
    pub fn tidy(&self, now: Instant) {
        self.budget.expire(now);
        self.state.lock().walks.retain(|_, walk| !walk.is_over(now));
    }

    /// The next guess and for whom, if another may be under way.
    fn next(&self, now: Instant) -> Option<(Client, FileKey)> {
        self.budget.expire(now);
        let most_zips = (self.settings.requests / 8).max(1);
        let most_small = (self.settings.requests - most_zips).max(1);
        let room_for_zip = self.budget.bytes() < self.settings.bytes;
        // Of those who have asked for no zip yet, nobody knows whether they will.
        let zips_allowed = [false, true].map(|takes_zips| self.budget.allows_zip(takes_zips));
        let small_allowed = [Kind::Info, Kind::Mod].map(|kind| self.budget.allows(kind));
        let mut state = self.state.lock();
        let State { walks, small, zips } = &mut *state;
        // Whoever was heard last is in the greatest hurry.
        let mut order: Vec<_> = walks
            .iter_mut()
            .filter(|(_, walk)| !walk.is_over(now))
            .collect();
        order.sort_unstable_by_key(|(_, walk)| std::cmp::Reverse(walk.heard()));
        if *small < most_small {
            for (client, walk) in &mut order {
                if let Some(key) = walk.next_small(|kind| small_allowed[kind as usize]) {
                    *small += 1;
                    return Some((**client, key));
                }
            }
        }
        if room_for_zip && *zips < most_zips {
            for (client, walk) in &mut order {
                if zips_allowed[usize::from(walk.takes_zips())]
                    && let Some(key) = walk.next_zip()
                {
                    *zips += 1;
                    return Some((**client, key));
                }
            }
        }
        None
    }
}

impl Mode {
    /// For whom guesses may be made, if they may.
    fn prefetches_for(&self) -> Option<Client> {
        self.client.filter(|_| !self.cached_only && !self.no_cache)
    }
}

impl Engine {
    /// A client asks for something that is kept: that starts nothing, but goes on with what its own misses began.
    pub(super) fn ahead_hit(self: &Arc<Self>, key: &FileKey, mode: &Mode) {
        let Some(owner) = self.ahead.budget.used(key) else {
            return;
        };
        let is_own = mode.prefetches_for() == Some(owner);
        let now = self.clock.instant();
        self.ahead.tell_known(owner, |walk| match is_own {
            true => {
                walk.asked(key, now);
                walk.got(key, now);
            }
            false => walk.given_up(key),
        });
        self.pump();
    }

    /// A client asks for something that is missing, or on its way: whether it exists is not known yet.
    pub(super) fn ahead_missed(self: &Arc<Self>, key: &FileKey, mode: &Mode) {
        self.ahead.budget.used(key);
        if let Some(client) = self.client_of(&key.module, mode) {
            let now = self.clock.instant();
            self.ahead.tell(client, now, |walk| walk.asked(key, now));
            // That it asks for this says where in the graph it is.
            self.pump();
        }
    }

    /// What was missing has come.
    pub(super) fn ahead_came(self: &Arc<Self>, key: &FileKey, content: &Content, mode: &Mode) {
        let Some(client) = self.client_of(&key.module, mode) else {
            return;
        };
        let now = self.clock.instant();
        self.ahead.tell_known(client, |walk| walk.got(key, now));
        match (key.kind, content) {
            (Kind::Mod, Content::Bytes(body)) => self.ahead_learns(client, key, body),
            _ => self.pump(),
        }
    }

    /// A client has been told which versions of a module there are, or the latest.
    pub(super) fn ahead_listed(&self, key: &MetaKey, mode: &Mode) {
        if matches!(key.meta, Meta::List | Meta::Latest)
            && let Some(client) = self.client_of(&key.module, mode)
        {
            let now = self.clock.instant();
            let tell = |walk: &mut GraphPredictor| walk.got_versions(&key.module);
            self.ahead.tell(client, now, tell);
        }
    }

    /// Whose walk a request about this module belongs to, if it may start guesses.
    fn client_of(&self, module: &ModulePath, mode: &Mode) -> Option<Client> {
        mode.prefetches_for().filter(|_| self.may_guess(module))
    }

    /// A go.mod has arrived, and is still to be verified: time enough to ask for what it requires.
    pub(super) fn ahead_arrived(self: &Arc<Self>, key: &FileKey, go_mod: &[u8]) {
        if !self.may_guess(&key.module) {
            return;
        }
        for client in self.ahead.waiting_for(key) {
            self.ahead_learns(client, key, go_mod);
        }
    }

    fn ahead_learns(self: &Arc<Self>, client: Client, key: &FileKey, go_mod: &[u8]) {
        let mut is_new = false;
        self.ahead
            .tell_known(client, |walk| is_new = !walk.knows(key));
        // Read while the walks are not locked.
        if is_new && let Some(needs) = predictor::Needs::read(go_mod) {
            self.ahead
                .tell_known(client, |walk| walk.came(&key.module, &key.version, needs));
        }
        self.pump();
    }

    /// Whether this module may be guessed, and what it requires: of a private one that is nobody's business.
    fn may_guess(&self, module: &ModulePath) -> bool {
        let settings = &self.ahead.settings;
        settings.enabled
            && !module.is_toolchain()
            && match self.policy.course(module) {
                Course::Upstream => true,
                Course::Route(_) | Course::Private(_) => settings.include_private,
                Course::Refused(_) => false,
            }
            && (settings.include_private || self.policy.private_pattern(module).is_none())
    }

    /// Whether this is a moment for guesses at all.
    fn is_at_leisure(&self) -> bool {
        // What cannot be verified now is not fetched in stock.
        let verifiable = self.voucher.databases().is_empty() || self.voucher.answers();
        verifiable
            && self.store.blobs().room() == Room::Enough
            && self.small_flights.under_way() < self.settings.max_flights / 2
            && self.zip_flights.under_way() < self.settings.max_zip_flights / 2
            && (self.ahead.settings.include_private
                || self
                    .known_sources()
                    .is_some_and(|sources| sources.proxies_only().welcome_prefetches()))
    }

    /// Starts as many guesses as may be under way.
    fn pump(self: &Arc<Self>) {
        if !self.is_at_leisure() {
            return;
        }
        while let Some((client, key)) = self.ahead.next(self.clock.instant()) {
            let slot = Slot {
                engine: Arc::clone(self),
                kind: key.kind,
            };
            if !self.may_guess(&key.module) {
                continue;
            }
            let engine = Arc::clone(self);
            tokio::spawn(async move {
                let guessed = engine.guess(&key, client).await;
                drop(slot);
                if !matches!(guessed, Guessed::Landed(_)) {
                    let ahead = &engine.ahead;
                    ahead.tell_known(client, |walk| walk.given_up(&key));
                }
                match guessed {
                    Guessed::Landed(Some(body)) | Guessed::Kept(Some(body)) => {
                        engine.ahead_learns(client, &key, &body);
                    }
                    _ => engine.pump(),
                }
            });
        }
    }

    /// Fetches something that is not asked for yet.
    async fn guess(self: &Arc<Self>, key: &FileKey, client: Client) -> Guessed {
        match self.store.record(key).await {
            // Nobody has asked for it now: it is not worth a place in memory.
            Ok(Some(_)) if key.kind == Kind::Mod => {
                return Guessed::Kept(self.kept_body(key).await);
            }
            Ok(Some(_)) => return Guessed::Kept(None),
            Ok(None) => {}
            Err(_) => return Guessed::Failed,
        }
        if self.negatives.get(&Key::File(key.clone())).is_some()
            || !self.sources_of(&key.module).await.welcome_prefetches()
        {
            return Guessed::Failed;
        }
        let budget = &self.ahead.budget;
        let landed = match key.kind {
            Kind::Zip => self.guess_zip(key, client).await.map(|size| (size, None)),
            Kind::Info | Kind::Mod => self.guess_small(key, client).await.map(|body| {
                let go_mod = Some(&body).filter(|_| key.kind == Kind::Mod).cloned();
                (body.len() as u64, go_mod)
            }),
        };
        match landed {
            Some((size, go_mod)) => {
                budget.landed(key, size);
                Guessed::Landed(go_mod)
            }
            None => {
                budget.failed(key);
                Guessed::Failed
            }
        }
    }

    async fn guess_small(self: &Arc<Self>, key: &FileKey, client: Client) -> Option<Bytes> {
        if self.small_flights.get(key).is_none() {
            self.ahead.budget.open(key, client, self.clock.instant());
        }
        let flight = self.small_flight(key, &Errand::prefetch())?;
        match outcome(flight).await? {
            Ok(landed) => landed.file.body(),
            Err(_) => None,
        }
    }

    /// Gives its size.
    async fn guess_zip(self: &Arc<Self>, key: &FileKey, client: Client) -> Option<u64> {
        if self.zip_flights.get(key).is_none() {
            self.ahead.budget.open(key, client, self.clock.instant());
        }
        let flight = self.zip_flight(key, &Errand::prefetch())?;
        let mut progress = flight.follow();
        let end = progress.wait_for(|now| now.kept || now.end.is_some()).await;
        match end.ok()?.end.clone()? {
            Ok(verdict) => Some(verdict.record.size),
            Err(_) => None,
        }
    }

    async fn kept_body(&self, key: &FileKey) -> Option<Bytes> {
        match self.store.file(key).await.ok()??.content {
            store::Content::Bytes(body) => Some(body),
            store::Content::File(_) => None,
        }
    }
}
