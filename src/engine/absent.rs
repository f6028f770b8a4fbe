//! What every source has said does not exist, kept on disk: the `go` command asks for every longer path of a package first
//! and needs its 404 there, also on a day when nobody can be asked.
//!
//! A kept "no" is asked about again as if nothing was known. It is the answer only when asking fails, or takes long while
//! its sources answer nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::error::{Class, EngineError};
use crate::clock::SharedClock;
use crate::protocol::{FileKey, Key, Kind, Meta, MetaKey};
use crate::store::{AbsentChange, AbsentRecord, Room, Store};

/// Changes that wait to be written, at the most; further ones are dropped.
const WAITING: usize = 4096;
/// Changes written in one step.
const AT_ONCE: usize = 64;
/// So many new ones may be written at once …
const BURST: f64 = 4096.0;
/// … and so many in a second after that: whoever asks for names at random must not keep the disk busy, nor push out what
/// is asked for every day.
const PER_SECOND: f64 = 10.0;

/// Kept absences.
pub(super) struct Absences {
    store: Store,
    clock: SharedClock,
    state: Mutex<State>,
    /// Whoever writes.
    writers: TaskTracker,
}

struct State {
    /// By name. Bounded by `WAITING`.
    waiting: HashMap<String, AbsentChange>,
    /// Somebody writes what is waiting.
    writing: bool,
    allowance: f64,
    counted: Instant,
}

impl State {
    /// Whether one more may be written.
    fn spend(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = now;
        self.allowance = (self.allowance + passed * PER_SECOND).min(BURST);
        let may = self.allowance >= 1.0;
        if may {
            self.allowance -= 1.0;
        }
        may
    }
}

impl Absences {
    pub(super) fn new(store: Store, clock: SharedClock) -> Arc<Self> {
        let state = State {
            waiting: HashMap::new(),
            writing: false,
            allowance: BURST,
            counted: clock.instant(),
        };
        Arc::new(Absences {
            store,
            clock,
            state: Mutex::new(state),
            writers: TaskTracker::new(),
        })
    }

    /// Waits until what was waiting to be written is written.
    pub(super) async fn written(&self) {
        self.writers.close();
        self.writers.wait().await;
    }

    /// Keeps what an error says, if it is that every source says "no".
    pub(super) fn note(self: &Arc<Self>, key: &Key, error: &EngineError) {
        let Class::Absent { gone } = error.class() else {
            return;
        };
        if !error.is_said_by_all() || error.passing || self.store.local().room() == Room::Low {
            return;
        }
        let from = error.upstream();
        let record = AbsentRecord::new(key, gone, &error.words(), from, self.clock.now());
        if let Some(record) = record {
            self.enqueue(key.to_string(), AbsentChange::Said(record));
        }
    }

    /// It is there, and with a version's `.info` its other files may be, and its module's list.
    pub(super) async fn appeared(self: &Arc<Self>, key: &Key) {
        let mut keys = vec![key.clone()];
        if let Key::File(
            file @ FileKey {
                kind: Kind::Info, ..
            },
        ) = key
        {
            keys.extend([Kind::Mod, Kind::Zip].map(|kind| Key::File(file.sibling(kind))));
            let metas = [Meta::List, Meta::Latest].map(|meta| MetaKey {
                module: file.module.clone(),
                meta,
            });
            keys.extend(metas.map(Key::Meta));
        }
        for key in keys {
            if self.kept(&key).await.is_some() {
                let name = key.to_string();
                self.enqueue(name.clone(), AbsentChange::Appeared(name));
            }
        }
    }

    /// What is kept of it.
    pub(super) async fn kept(&self, key: &Key) -> Option<AbsentRecord> {
        let waiting = self.state.lock().waiting.get(&key.to_string()).cloned();
        match waiting {
            Some(AbsentChange::Said(record)) => Some(record),
            Some(AbsentChange::Appeared(_)) => None,
            None => {
                let record = self.store.absent(key, self.clock.now()).await;
                record
                    .inspect_err(|error| tracing::error!(%error, "the store failed"))
                    .ok()?
            }
        }
    }

    fn enqueue(self: &Arc<Self>, name: String, change: AbsentChange) {
        let mut state = self.state.lock();
        if state.waiting.len() >= WAITING && !state.waiting.contains_key(&name) {
            return;
        }
        state.waiting.insert(name, change);
        if !std::mem::replace(&mut state.writing, true) {
            drop(state);
            self.writers.spawn(Arc::clone(self).write());
        }
    }

    /// Writes what is waiting, until nothing is.
    async fn write(self: Arc<Self>) {
        loop {
            let batch: Vec<_> = {
                let mut state = self.state.lock();
                let names: Vec<_> = state.waiting.keys().take(AT_ONCE).cloned().collect();
                let taken = names.iter().filter_map(|name| state.waiting.remove(name));
                let taken: Vec<_> = taken.collect();
                state.writing = !taken.is_empty();
                taken
            };
            if batch.is_empty() {
                return;
            }
            let may_write = || self.state.lock().spend(self.clock.instant());
            let written = self.store.change_absent(batch, self.clock.now(), may_write);
            if let Err(error) = written.await {
                tracing::error!(%error, "what does not exist could not be kept");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_allowance_grows_back() {
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        let mut state = State {
            waiting: HashMap::new(),
            writing: false,
            allowance: 2.0,
            counted: start,
        };
        assert!(state.spend(start) && state.spend(start) && !state.spend(start));
        let later = start + Duration::from_millis(150);
        assert!(state.spend(later) && !state.spend(later));
        let much_later = start + Duration::from_secs(100_000);
        assert!(state.spend(much_later));
        assert!(state.allowance <= BURST);
    }
}
