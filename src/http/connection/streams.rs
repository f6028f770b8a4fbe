//! The streams of an HTTP/2 connection: each is a task, which ends if its client takes nothing of what it is given.

use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::keep_alive::KeepAlive;

/// A stream that waits for its connection is looked at so often within the time that it may wait.
const AGAIN: u32 = 4;

/// Since when the client of a stream has taken nothing.
#[derive(Debug)]
pub struct Taking {
    began: Instant,
    /// When it was given what it has not taken yet, in milliseconds after `began`, plus one; 0 if there is no such thing.
    given: AtomicU64,
}

impl Taking {
    fn new() -> Arc<Self> {
        Arc::new(Taking {
            began: Instant::now(),
            given: AtomicU64::new(0),
        })
    }

    /// A part of the body is on its way.
    pub fn give(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.given.store(millis + 1, Ordering::Relaxed);
    }

    /// There is room for more.
    pub fn took(&self) {
        self.given.store(0, Ordering::Relaxed);
    }

    /// Waits until nothing has been taken for so long.
    async fn stuck(&self, limit: Duration) {
        let mut look = self.began + limit;
        loop {
            sleep_until(look).await;
            let now = Instant::now();
            look = match self.given.load(Ordering::Relaxed).checked_sub(1) {
                Some(given) => self.began + Duration::from_millis(given) + limit,
                None => now + limit,
            };
            if look <= now {
                return;
            }
        }
    }
}

/// Runs the streams of one connection.
#[derive(Clone)]
pub struct Streams {
    /// Of the stream that is about to be run.
    next: Arc<Mutex<Option<Arc<Taking>>>>,
    limit: Duration,
    keep_alive: Arc<KeepAlive>,
    /// The connection is.
    over: CancellationToken,
}

impl Streams {
    /// A stream ends once its client has taken nothing of it for `limit`, although it would have been sent.
    pub fn new(limit: Duration, keep_alive: Arc<KeepAlive>) -> Self {
        Streams {
            next: Arc::default(),
            limit,
            keep_alive,
            over: CancellationToken::new(),
        }
    }

    /// All streams end when this is dropped: they are the connection's.
    pub fn end_with(&self) -> DropGuard {
        self.over.clone().drop_guard()
    }

    /// For the answer to a request that has come in. The library calls the service and hands over the stream that this
    /// makes before it looks at the next request.
    pub fn begin(&self) -> Arc<Taking> {
        let taking = Taking::new();
        *self.next.lock() = Some(Arc::clone(&taking));
        taking
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (taking, limit) = (self.next.lock().take(), self.limit);
        let (over, keep_alive) = (self.over.clone(), Arc::clone(&self.keep_alive));
        let stuck = async move {
            let Some(taking) = taking else {
                return future::pending().await;
            };
            loop {
                taking.stuck(limit).await;
                // What waits for the whole connection is no matter of one stream: that has a clock of its own.
                if keep_alive.stalled_since().is_none() {
                    return;
                }
                sleep(limit / AGAIN).await;
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stream => {}
                () = over.cancelled() => {}
                // Dropped, it is reset.
                () = stuck => tracing::debug!("a stream's client took nothing"),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_ends() {
        let taking = Taking::new();
        let hour = Duration::from_hours(1);
        assert!(timeout(hour, taking.stuck(LIMIT)).await.is_err());
        for _ in 0..10 {
            taking.give();
            let longest = Duration::from_secs(59);
            assert!(timeout(longest, taking.stuck(LIMIT)).await.is_err());
            taking.took();
        }
        taking.give();
        let given = Instant::now();
        taking.stuck(LIMIT).await;
        let took = given.elapsed();
        assert!((59..=61).contains(&took.as_secs()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_stream_is_dropped() {
        let streams = Streams::new(LIMIT, Arc::default());
        let held = Arc::new(());
        for gives in [true, false] {
            let taking = streams.begin();
            let inner = Arc::clone(&held);
            streams.execute(async move {
                if gives {
                    taking.give();
                }
                sleep(Duration::from_mins(10)).await;
                drop(inner);
            });
        }
        assert!(streams.next.lock().is_none());
        sleep(Duration::from_mins(2)).await;
        assert_eq!(Arc::strong_count(&held), 2);
        drop(streams.end_with());
        sleep(Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&held), 1, "the connection is over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_its_connection_is_not_dropped() {
        let keep_alive = Arc::new(KeepAlive::default());
        let streams = Streams::new(LIMIT, Arc::clone(&keep_alive));
        let held = Arc::new(());
        let (taking, inner) = (streams.begin(), Arc::clone(&held));
        streams.execute(async move {
            taking.give();
            sleep(Duration::from_hours(1)).await;
            drop(inner);
        });
        keep_alive.stall();
        sleep(3 * LIMIT).await;
        assert_eq!(Arc::strong_count(&held), 2);
        keep_alive.took();
        sleep(LIMIT).await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
