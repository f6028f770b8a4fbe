//! What a connection waits for, and since when: the next request, or a client that takes what it was given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// Since when a write has not gone on, in the same way; 0 while none waits.
    stalled: AtomicU64,
    /// That write is to be tried although the system has not told of room.
    to_try: AtomicBool,
    /// When the client last took something over HTTP/2, in the same way; 0 if it never has.
    last_taken: AtomicU64,
}

impl Default for KeepAlive {
    fn default() -> Self {
        KeepAlive {
            began: Instant::now(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            waiting: AtomicU64::new(1),
            stalled: AtomicU64::new(0),
            to_try: AtomicBool::new(false),
            last_taken: AtomicU64::new(0),
        }
    }
}

/// An answer of the library's; it has ended when this is dropped.
#[derive(Debug)]
pub struct InFlightGuard {
    keep_alive: Arc<KeepAlive>,
    /// It may end after the connection has flushed it.
    is_stream: bool,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.keep_alive.ended.fetch_add(1, Ordering::Relaxed);
        if self.is_stream && self.keep_alive.is_idle() {
            self.keep_alive.wait();
        }
    }
}

impl KeepAlive {
    /// The library has read a request of HTTP/1.1.
    pub fn begin(self: &Arc<Self>) -> InFlightGuard {
        self.guard(false)
    }

    /// The library has read a request of HTTP/2.
    pub fn begin_stream(self: &Arc<Self>) -> InFlightGuard {
        self.guard(true)
    }

    fn guard(self: &Arc<Self>, is_stream: bool) -> InFlightGuard {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.waiting.store(0, Ordering::Relaxed);
        InFlightGuard {
            keep_alive: Arc::clone(self),
            is_stream,
        }
    }

    /// Since when the next request is waited for, if one is.
    pub fn waiting_since(&self) -> Option<Instant> {
        // A stream may have begun while another one ended.
        let since = self.instant(&self.waiting);
        since.filter(|_| self.is_idle())
    }

    /// Since when the client has taken nothing of what it is sent, if there is anything.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.instant(&self.stalled)
    }

    fn instant(&self, since: &AtomicU64) -> Option<Instant> {
        let millis = since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_millis(millis))
    }

    /// Now, as it is noted.
    fn now(&self) -> u64 {
        let millis = u64::try_from(self.began.elapsed().as_millis());
        millis.unwrap_or(u64::MAX - 1) + 1
    }

    /// A write waits for the client.
    pub fn stall(&self) {
        if self.stalled.load(Ordering::Relaxed) == 0 {
            self.stalled.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The client has taken something.
    pub fn took(&self) {
        if self.stalled.load(Ordering::Relaxed) != 0 {
            self.stalled.store(0, Ordering::Relaxed);
        }
    }

    /// The write that waits is to be tried when the connection is run next.
    pub fn try_write(&self) {
        self.to_try.store(true, Ordering::Relaxed);
    }

    /// Whether it is to be tried now.
    pub fn tries_write(&self) -> bool {
        self.to_try.load(Ordering::Relaxed) && self.to_try.swap(false, Ordering::Relaxed)
    }

    /// The client has taken something over HTTP/2, whose answers end before they are sent.
    pub fn took_part(&self) {
        self.last_taken.store(self.now(), Ordering::Relaxed);
    }

    /// When that was last, if ever.
    pub fn last_taken(&self) -> Option<Instant> {
        self.instant(&self.last_taken)
    }

    /// Everything that was asked for has been answered, and, over HTTP/1.1, sent.
    pub fn is_idle(&self) -> bool {
        self.ended.load(Ordering::Relaxed) == self.begun.load(Ordering::Relaxed)
    }

    /// The next request is waited for from now on.
    pub fn wait(&self) {
        self.waiting.store(self.now(), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_when_they_are_dropped() {
        let keep_alive = Arc::new(KeepAlive::default());
        assert!(keep_alive.waiting_since().is_some());
        let answering = keep_alive.begin();
        keep_alive.flushed();
        assert!(keep_alive.waiting_since().is_none() && !keep_alive.is_idle());
        drop(answering);
        assert!(keep_alive.waiting_since().is_none(), "it is not sent yet");
        keep_alive.flushed();
        assert!(keep_alive.waiting_since().is_some());
    }

    #[test]
    fn the_last_stream_to_end_begins_the_wait() {
        let keep_alive = Arc::new(KeepAlive::default());
        let (first, second) = (keep_alive.begin_stream(), keep_alive.begin_stream());
        keep_alive.flushed();
        drop(first);
        assert!(keep_alive.waiting_since().is_none());
        drop(second);
        assert!(keep_alive.waiting_since().is_some(), "without a flush");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_counted_from_its_beginning() {
        let keep_alive = KeepAlive::default();
        assert!(keep_alive.stalled_since().is_none());
        let began = Instant::now();
        for _ in 0..3 {
            keep_alive.stall();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(keep_alive.stalled_since(), Some(began));
        keep_alive.took();
        assert!(keep_alive.stalled_since().is_none());
    }
}
