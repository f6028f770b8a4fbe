//! Renews what is asked for often before it gets old, so that nobody waits for it.
//!
//! Renewals end in any order, so many at a time, and one module has a few of them at the most: one whose origin hangs
//! delays nobody else.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::Engine;
use crate::clock::Timestamp;
use crate::flights;
use crate::gomod::ModulePath;
use crate::kit::FetchContext;
use crate::protocol::MetaKey;

/// Renewals under way at the most.
const SLOTS: usize = 8;
/// Of those, of one module.
const OF_A_MODULE: usize = 2;

/// Renews answers of an engine.
pub struct Refresher {
    engine: Arc<Engine>,
    /// In order; those whose module has its share are passed over. Bounded by what is watched.
    waiting: VecDeque<MetaKey>,
    /// These, and those under way.
    known: HashSet<MetaKey>,
    under_way: FuturesUnordered<BoxFuture<'static, MetaKey>>,
    of_modules: HashMap<ModulePath, usize>,
}

impl Refresher {
    /// For this engine.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Refresher {
            engine: Arc::clone(engine),
            waiting: VecDeque::new(),
            known: HashSet::new(),
            under_way: FuturesUnordered::new(),
            of_modules: HashMap::new(),
        }
    }

    /// Looks for what is asked for often and soon gets old, and begins to renew it.
    pub fn look(&mut self) {
        let now = self.engine.clock.now().0;
        let ttl = self.engine.rules_now().freshness.ttl.as_millis();
        let ttl = u64::try_from(ttl).unwrap_or(u64::MAX);
        let due = Timestamp(now.saturating_sub(ttl / 4 * 3));
        let old = Timestamp(now.saturating_sub(ttl));
        for key in self.engine.recent.take_due(due, old) {
            if self.known.insert(key.clone()) {
                self.waiting.push_back(key);
            }
        }
        self.begin();
    }

    /// Waits until a renewal has ended, and begins others in its place; for ever if none is under way.
    pub async fn goes_on(&mut self) {
        let Some(key) = self.under_way.next().await else {
            return std::future::pending().await;
        };
        self.known.remove(&key);
        if let Some(count) = self.of_modules.get_mut(&key.module) {
            *count -= 1;
            if *count == 0 {
                self.of_modules.remove(&key.module);
            }
        }
        self.begin();
    }

    fn begin(&mut self) {
        let mut at = 0;
        while self.under_way.len() < SLOTS && at < self.waiting.len() {
            let of_module = self.of_modules.get(&self.waiting[at].module);
            if of_module.is_some_and(|count| *count >= OF_A_MODULE) {
                at += 1;
                continue;
            }
            let Some(key) = self.waiting.remove(at) else {
                break;
            };
            let context = self.engine.background(&key.module, FetchContext::default());
            match self.engine.ask_again(&key, &context, None) {
                Some(flight) => {
                    self.engine.metrics.refreshes.inc();
                    *self.of_modules.entry(key.module.clone()).or_default() += 1;
                    let ended = async move {
                        // How it ended is told to those who ask.
                        let _ = flights::outcome(flight).await;
                        key
                    };
                    self.under_way.push(Box::pin(ended));
                }
                // As much is under way as may be; whoever asks asks for it anew.
                None => drop(self.known.remove(&key)),
            }
        }
    }
}
