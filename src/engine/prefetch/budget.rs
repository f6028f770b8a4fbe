//! The prefetch budget: what has been prefetched and not been asked for yet, and what became of earlier prefetches; where
//! they are wasted, fewer are made.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::kit::ClientId;
use crate::protocol::{FileKey, Kind};
use crate::telemetry::metrics::{PrefetchMetrics, PrefetchOutcome};

/// What nobody has asked for within this was prefetched in vain.
const WASTED: Duration = Duration::from_secs(300);

/// How many prefetches of a kind may be open: one more for each that is used, one less for each that is wasted.
struct Allowance {
    now: usize,
    least: usize,
    most: usize,
}

impl Allowance {
    fn of(kind: Kind) -> Self {
        let (now, least, most) = match kind {
            Kind::Info | Kind::Mod => (1024, 16, 2048),
            // A client that wants the graph only takes none of them.
            Kind::Zip => (12, 4, 768),
        };
        Allowance { now, least, most }
    }

    fn used(&mut self) {
        self.now = (self.now + 1).min(self.most);
    }

    fn wasted(&mut self) {
        self.now = self.now.saturating_sub(1).max(self.least);
    }
}

/// Prefetches that nobody has asked for yet: they are open.
pub(super) struct Budget {
    /// As many as are in `state.open`, to be looked at without the lock.
    count: AtomicUsize,
    state: Mutex<State>,
    metrics: PrefetchMetrics,
}

struct State {
    /// Bounded by the allowances.
    open: HashMap<FileKey, Prefetch>,
    /// In the order of time; some, but not more than as many again, are closed already.
    order: VecDeque<(Instant, FileKey)>,
    per_kind: [(usize, Allowance); 3],
    /// Bytes of what has been fetched.
    bytes: u64,
}

struct Prefetch {
    client: ClientId,
    at: Instant,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(metrics: PrefetchMetrics) -> Self {
        let kinds = [Kind::Info, Kind::Mod, Kind::Zip];
        Budget {
            count: AtomicUsize::new(0),
            metrics,
            state: Mutex::new(State {
                open: HashMap::new(),
                order: VecDeque::new(),
                per_kind: kinds.map(|kind| (0, Allowance::of(kind))),
                bytes: 0,
            }),
        }
    }

    /// Whether another prefetch of this kind may be made.
    pub(super) fn allows(&self, kind: Kind) -> bool {
        let state = self.state.lock();
        let (open, allowance) = &state.per_kind[kind as usize];
        *open < allowance.now
    }

    /// Whether another zip may be prefetched for a client that has asked for some, or for none yet. What others left lying
    /// says nothing about one that takes them: its own predictor keeps count.
    pub(super) fn allows_zip(&self, takes_zips: bool) -> bool {
        let state = self.state.lock();
        let (open, allowance) = &state.per_kind[Kind::Zip as usize];
        *open
            < if takes_zips {
                allowance.most
            } else {
                allowance.now
            }
    }

    /// Bytes that open prefetches have taken.
    pub(super) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// A prefetch is made for this client.
    pub(super) fn open(&self, key: &FileKey, client: ClientId, now: Instant) {
        let mut state = self.state.lock();
        let prefetch = Prefetch {
            client,
            at: now,
            bytes: 0,
        };
        match state.open.insert(key.clone(), prefetch) {
            // It was there, and is not any more.
            Some(old) => state.bytes -= old.bytes,
            None => {
                state.per_kind[key.kind as usize].0 += 1;
                self.count.fetch_add(1, Ordering::Relaxed);
            }
        }
        if state.order.len() >= 2 * (state.open.len() + 64) {
            let State { open, order, .. } = &mut *state;
            order.retain(|(at, key)| open.get(key).is_some_and(|prefetch| prefetch.at == *at));
        }
        state.order.push_back((now, key.clone()));
        self.metrics.count(key.kind.ext(), PrefetchOutcome::Made);
    }

    /// It has been fetched, and takes so many bytes.
    pub(super) fn fetched(&self, key: &FileKey, bytes: u64) {
        let mut state = self.state.lock();
        let State {
            open, bytes: sum, ..
        } = &mut *state;
        if let Some(prefetch) = open.get_mut(key) {
            *sum = *sum - prefetch.bytes + bytes;
            prefetch.bytes = bytes;
        }
        self.metrics.bytes.set(signed(state.bytes));
    }

    /// Nothing came of it.
    pub(super) fn failed(&self, key: &FileKey) {
        if self.close(&mut self.state.lock(), key).is_some() {
            self.metrics.count(key.kind.ext(), PrefetchOutcome::Failed);
        }
    }

    /// Somebody asks for it; gives for whom it was prefetched, if it was and this is the first time.
    pub(super) fn used(&self, key: &FileKey) -> Option<ClientId> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut state = self.state.lock();
        let prefetch = self.close(&mut state, key)?;
        state.per_kind[key.kind as usize].1.used();
        self.metrics.count(key.kind.ext(), PrefetchOutcome::Used);
        Some(prefetch.client)
    }

    /// Closes prefetches that are too old.
    pub(super) fn expire(&self, now: Instant) {
        let mut state = self.state.lock();
        while let Some((at, key)) = state.order.front()
            && now.saturating_duration_since(*at) >= WASTED
        {
            let (at, key) = (*at, key.clone());
            state.order.pop_front();
            if state
                .open
                .get(&key)
                .is_some_and(|prefetch| prefetch.at == at)
            {
                self.close(&mut state, &key);
                state.per_kind[key.kind as usize].1.wasted();
                self.metrics.count(key.kind.ext(), PrefetchOutcome::Wasted);
            }
        }
    }

    fn close(&self, state: &mut State, key: &FileKey) -> Option<Prefetch> {
        let prefetch = state.open.remove(key)?;
        state.per_kind[key.kind as usize].0 -= 1;
        state.bytes -= prefetch.bytes;
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.metrics.bytes.set(signed(state.bytes));
        // Those in front that are closed need not wait for their time.
        while let Some((at, key)) = state.order.front()
            && state
                .open
                .get(key)
                .is_none_or(|prefetch| prefetch.at != *at)
        {
            state.order.pop_front();
        }
        Some(prefetch)
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gomod::{ModulePath, Version};

    fn key(n: usize, kind: Kind) -> FileKey {
        FileKey {
            module: ModulePath::parse(&format!("example.com/m{n}")).unwrap(),
            version: Version::parse("v1.0.0").unwrap(),
            kind,
        }
    }

    #[test]
    fn prefetches_shrink_where_they_are_wasted_and_grow_where_they_are_used() {
        let budget = Budget::new(PrefetchMetrics::default());
        #[allow(clippy::disallowed_methods)]
        let mut now = Instant::now();
        let mut made = 0;
        while budget.allows(Kind::Zip) {
            budget.open(&key(made, Kind::Zip), ClientId::number(1), now);
            budget.fetched(&key(made, Kind::Zip), 10);
            made += 1;
        }
        assert_eq!(budget.bytes(), made as u64 * 10);
        assert!(budget.allows(Kind::Mod), "each kind has its own");
        assert_eq!(budget.used(&key(0, Kind::Zip)), Some(ClientId::number(1)));
        assert_eq!(budget.used(&key(0, Kind::Zip)), None, "only the first time");
        now += WASTED;
        budget.expire(now);
        assert_eq!(budget.bytes(), 0);
        let mut then = 0;
        while budget.allows(Kind::Zip) {
            budget.open(&key(then, Kind::Zip), ClientId::number(1), now);
            then += 1;
        }
        assert_eq!((made, then), (12, 4));
        assert!(budget.allows_zip(true) && !budget.allows_zip(false));
        for n in 0..then {
            assert!(budget.used(&key(n, Kind::Zip)).is_some());
        }
        assert_eq!(budget.state.lock().per_kind[2].1.now, 2 * then);
        assert!(budget.state.lock().order.is_empty());
    }

    #[test]
    fn what_failed_is_neither() {
        let budget = Budget::new(PrefetchMetrics::default());
        #[allow(clippy::disallowed_methods)]
        let now = Instant::now();
        let before = budget.state.lock().per_kind[1].1.now;
        budget.open(&key(1, Kind::Mod), ClientId::number(1), now);
        budget.failed(&key(1, Kind::Mod));
        assert_eq!(budget.used(&key(1, Kind::Mod)), None);
        budget.expire(now + WASTED);
        assert_eq!(budget.state.lock().per_kind[1].1.now, before);
        assert_eq!(budget.count.load(Ordering::Relaxed), 0);
    }
}
