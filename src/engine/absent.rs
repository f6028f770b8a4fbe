//! What every source has said does not exist, kept on disk: the `go` command asks for every longer path of a package first
//! and needs its 404 there, also on a day when nobody can be asked.
//!
//! A kept "no" is asked about again as if nothing was known. It is the answer only when asking fails, or takes long while
//! its sources answer nobody.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::Engine;
use super::error::{Class, EngineError, Stale};
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

/// How long a client waits for the files of a version when they were absent before and the sources answer nobody. Longer
/// than for what has an age, since a tag may be new and a mirror may have to fetch it first; but the `go` command asks
/// for many such paths, and its user must not wait for the time-outs of all of them.
const SILENCE: Duration = Duration::from_secs(5);

/// Kept absences.
pub(super) struct Absences {
    store: Store,
    clock: SharedClock,
    state: Mutex<State>,
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
        })
    }

    /// Keeps what an error says, if it is that every source says "no".
    pub(super) fn note(self: &Arc<Self>, key: &Key, error: &EngineError) {
        let Class::Absent { gone } = error.class else {
            return;
        };
        if !error.said_by_all || error.passing || self.store.local().room() == Room::Low {
            return;
        }
        let from = error.upstream.as_deref();
        let record = AbsentRecord::new(key, gone, &error.lines, from, self.clock.now());
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
    async fn kept(&self, key: &Key) -> Option<AbsentRecord> {
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
            tokio::spawn(Arc::clone(self).write());
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

impl Engine {
    /// Asks. If that fails, or takes longer than `wait` while the sources answer nobody, and every source has said before
    /// that this does not exist, then that is the answer. `wait` is `None` if the client insists.
    pub(super) async fn or_absence<T>(
        &self,
        key: &Key,
        wait: Option<Duration>,
        asking: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let mut asking = pin!(asking);
        let begun = self.clock.instant();
        // It is begun before anything else, so that all who ask in this moment join it.
        let (first, kept) = tokio::select! {
            biased;
            asked = &mut asking => (Some(asked), None),
            kept = self.absences.kept(key) => (None, kept),
        };
        let asked = match (first, &kept) {
            (Some(asked), _) => asked,
            (None, None) => return asking.await,
            (None, Some(kept)) => {
                let mut waits = wait
                    .into_iter()
                    .chain(wait.map(|wait| SILENCE.saturating_sub(wait)));
                loop {
                    let Some(wait) = waits.next() else {
                        break asking.await;
                    };
                    if let Ok(asked) = timeout(wait, &mut asking).await {
                        break asked;
                    }
                    // It goes on without this client; unless somebody is slow rather than away.
                    let chain = self.chain_of(key.module()).await;
                    if !chain.has_answered_since(begun) {
                        return Err(self.still_absent(key, kept, "its sources do not answer"));
                    }
                }
            }
        };
        let error = match asked {
            Err(error) if error.is_fault() => error,
            other => return other,
        };
        let kept = match kept {
            Some(kept) => Some(kept),
            None => self.absences.kept(key).await,
        };
        Err(match kept {
            Some(kept) => {
                let why = error.lines.first().map_or("", String::as_str);
                self.still_absent(key, &kept, why)
            }
            None => error,
        })
    }

    /// The same for a version's files.
    pub(super) async fn or_absent_file<T>(
        &self,
        key: &FileKey,
        asking: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let key = Key::File(key.clone());
        self.or_absence(&key, Some(SILENCE), asking).await
    }

    fn still_absent(&self, key: &Key, kept: &AbsentRecord, why: &str) -> EngineError {
        let age = self.clock.now().since(kept.at);
        tracing::warn!(resource = %key, why, age = age.as_secs(), "answered with a kept \"not found\"");
        let class = Class::Absent { gone: kept.gone };
        let mut words = kept.words.iter();
        let first = words.next().map_or("not found", String::as_str);
        let error = words.fold(EngineError::new(class, first), EngineError::and);
        let mut error = error.and(format!(
            "That was the answer {} ago. Larder cannot ask again now: {why}",
            about(age)
        ));
        error.upstream = kept.from.clone();
        error.stale = Some(Stale {
            age,
            over: age.saturating_sub(self.settings.negative_ttl),
        });
        error
    }
}

/// A time span, for people.
fn about(age: Duration) -> String {
    match age.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
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
