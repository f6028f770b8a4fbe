//! Renews what is asked for often before it gets old, so that nobody waits for it.
//!
//! Renewals end in any order, so many at a time. One that takes longer than a moment goes on without its slot, and one
//! module has a few of them at the most: origins that hang, however many, delay the others by moments, and each of their
//! fetches has its own time-out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

use super::Engine;
use super::fetched::MetaOutcome;
use crate::clock::Timestamp;
use crate::flights::{self, FlightOutcome};
use crate::gomod::ModulePath;
use crate::kit::FetchContext;
use crate::protocol::MetaKey;

/// Renewals that have a slot at the most.
const SLOTS: usize = 8;
/// How long one has it. An honest origin answers within that; one that hangs holds its renewal for 45 s, or longer than
/// `direct.timeout` where the chain has `direct`.
const HAS_SLOT: Duration = Duration::from_secs(4);
/// Renewals of one module, with a slot or without.
const OF_A_MODULE: usize = 2;
/// Renewals that wait for a slot at the most. What is left out gets old, and is asked for by whoever wants it.
const WAITING: usize = 2048;

/// Renews answers of an engine.
pub struct Refresher {
    engine: Arc<Engine>,
    /// In order, each with the time when it was found due; those whose module has its share are passed over.
    waiting: VecDeque<(MetaKey, Timestamp)>,
    /// These, and those under way.
    known: HashSet<MetaKey>,
    /// With a slot; gives what has not ended by the time that it has one.
    in_slots: FuturesUnordered<BoxFuture<'static, (MetaKey, Option<FlightOutcome<MetaOutcome>>)>>,
    /// Without.
    slow: FuturesUnordered<BoxFuture<'static, MetaKey>>,
    of_modules: HashMap<ModulePath, usize>,
}

impl Refresher {
    /// For this engine.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Refresher {
            engine: Arc::clone(engine),
            waiting: VecDeque::new(),
            known: HashSet::new(),
            in_slots: FuturesUnordered::new(),
            slow: FuturesUnordered::new(),
            of_modules: HashMap::new(),
        }
    }

    /// Looks for what is asked for often and soon gets old, and begins to renew it.
    pub fn look(&mut self) {
        let now = self.engine.clock.now();
        let ttl = self.engine.rules_now().freshness.ttl.as_millis();
        let ttl = u64::try_from(ttl).unwrap_or(u64::MAX);
        let due = Timestamp(now.0.saturating_sub(ttl / 4 * 3));
        let old = Timestamp(now.0.saturating_sub(ttl));
        for key in self.engine.recent.take_due(due, old) {
            if self.waiting.len() < WAITING && self.known.insert(key.clone()) {
                self.waiting.push_back((key, now));
            }
        }
        self.begin();
    }

    /// Waits until a slot is free or a renewal has ended, and begins others; for ever if none is under way.
    pub async fn goes_on(&mut self) {
        tokio::select! {
            Some((key, left)) = self.in_slots.next() => match left {
                None => self.ended(&key),
                Some(flight) => self.slow.push(Box::pin(async move {
                    // How it ends is told to those who ask.
                    let _ = flights::outcome(flight).await;
                    key
                })),
            },
            Some(key) = self.slow.next() => self.ended(&key),
            else => std::future::pending().await,
        }
        self.begin();
    }

    fn ended(&mut self, key: &MetaKey) {
        self.known.remove(key);
        if let Some(count) = self.of_modules.get_mut(&key.module) {
            *count -= 1;
            if *count == 0 {
                self.of_modules.remove(&key.module);
            }
        }
    }

    fn begin(&mut self) {
        // Half of the fetches that may be under way are for clients, whatever hangs.
        let most_slow = self.engine.settings.max_flights / 2;
        let mut at = 0;
        while self.in_slots.len() < SLOTS && self.slow.len() < most_slow && at < self.waiting.len()
        {
            let of_module = self.of_modules.get(&self.waiting[at].0.module);
            if of_module.is_some_and(|count| *count >= OF_A_MODULE) {
                at += 1;
                continue;
            }
            let Some((key, due)) = self.waiting.remove(at) else {
                break;
            };
            let context = self.engine.background(&key.module, FetchContext::default());
            // Somebody else may have had it renewed while it was waiting.
            match self.engine.ask_again(&key, &context, Some(due), None) {
                Some(flight) => {
                    self.engine.metrics.refreshes.inc();
                    *self.of_modules.entry(key.module.clone()).or_default() += 1;
                    let in_slot = async move {
                        let ended = timeout(HAS_SLOT, flights::outcome(flight.clone())).await;
                        (key, ended.is_err().then_some(flight))
                    };
                    self.in_slots.push(Box::pin(in_slot));
                }
                // As much is under way as may be; whoever asks asks for it anew.
                None => drop(self.known.remove(&key)),
            }
        }
    }
}
