//! What was too large, or had no room, remembered for a while: the same question is not to cost as much again at once.

use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

/// Refusals that are remembered, at the most.
const MOST: usize = 1024;

/// How long what is too large is not tried again.
pub const TOO_LARGE: Duration = Duration::from_secs(300);
/// The same for what had no room: others may have made some.
pub const NO_ROOM: Duration = Duration::from_secs(60);

/// Refusals by what was asked for.
pub struct Refusals<E>(Cache<Box<str>, (Instant, E)>);

impl<E: Clone> Default for Refusals<E> {
    fn default() -> Self {
        Refusals(Cache::new(MOST))
    }
}

impl<E: Clone> Refusals<E> {
    /// The refusal that still holds.
    pub fn get(&self, what: &str) -> Option<E> {
        let (until, error) = self.0.get(what)?;
        if Instant::now() < until {
            return Some(error);
        }
        self.0.remove(what);
        None
    }

    /// It holds for so long.
    pub fn put(&self, what: String, error: &E, time: Duration) {
        let until = Instant::now() + time;
        self.0.insert(what.into(), (until, error.clone()));
    }
}
