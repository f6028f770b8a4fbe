//! Between two requests of a connection: whether everything is answered, and since when the next one is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What the two ways of a connection tell each other.
#[derive(Debug)]
pub struct KeepAlive {
    began: Instant,
    /// Requests that the library has begun to answer, and those of them whose answers have ended.
    begun: AtomicU64,
    ended: AtomicU64,
    /// Since when the next request is waited for, in milliseconds after `began`, plus one; 0 while one is being answered.
    waiting: AtomicU64,
}

impl Default for KeepAlive {
    fn default() -> Self {
        KeepAlive {
            began: Instant::now(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            waiting: AtomicU64::new(1),
        }
    }
}

/// An answer of the library's; it has ended when this is dropped.
#[derive(Debug)]
pub struct InFlightGuard(Arc<KeepAlive>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl KeepAlive {
    /// The library has read a request.
    pub fn begin(self: &Arc<Self>) -> InFlightGuard {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.waiting.store(0, Ordering::Relaxed);
        InFlightGuard(Arc::clone(self))
    }

    /// Since when the next request is waited for, if one is.
    pub fn waiting_since(&self) -> Option<Instant> {
        let millis = self.waiting.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_millis(millis))
    }

    /// Everything that was asked for has been answered, and sent.
    pub fn is_idle(&self) -> bool {
        self.ended.load(Ordering::Relaxed) == self.begun.load(Ordering::Relaxed)
    }

    /// The next request is waited for from now on.
    pub fn wait(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.waiting.store(millis + 1, Ordering::Relaxed);
    }

    /// The library has sent all it had to send.
    pub fn flushed(&self) {
        if self.is_idle() && self.waiting.load(Ordering::Relaxed) == 0 {
            self.wait();
        }
    }

    /// A request is answered that the library does not see.
    pub fn busy(&self) {
        self.waiting.store(0, Ordering::Relaxed);
    }

    /// How many requests the library has begun to answer.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
}
