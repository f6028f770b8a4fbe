//! Fetches that take long, so that somebody who looks at the log while an upstream hangs sees which they are.

use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::kit::FetchContext;

/// What takes longer is told.
const LONG: Duration = Duration::from_secs(5);

/// Counts fetches that are under way for long.
#[derive(Clone, Default)]
pub(super) struct SlowFetches(Arc<AtomicUsize>);

/// What can be said of a fetch under way.
pub(super) struct Look {
    /// Clients that wait for it.
    pub waiting: usize,
    /// Bytes that have come, of what is shown as it comes.
    pub received: Option<u64>,
}

impl SlowFetches {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Does the work, and says so once if it takes long; of a prefetch only when somebody has come to wait for it.
    pub async fn watch<T>(
        &self,
        what: &impl Display,
        context: &FetchContext,
        look: impl Fn() -> Look,
        work: impl Future<Output = T>,
    ) -> T {
        let began = Instant::now();
        let mut work = pin!(work);
        if let Ok(done) = timeout(LONG, work.as_mut()).await {
            return done;
        }
        tokio::select! {
            biased;
            done = work.as_mut() => return done,
            () = context.priority.raised() => {}
        }
        let _counted = Counted::new(self);
        let Look { waiting, received } = look();
        let upstream = context.asking.get();
        let upstream = upstream.as_deref().unwrap_or("none yet");
        let seconds = began.elapsed().as_secs();
        match received {
            Some(bytes) if bytes > 0 => {
                tracing::info!(file = %what, upstream, seconds, waiting, bytes, "a fetch takes long; it is arriving");
            }
            _ => tracing::warn!(file = %what, upstream, seconds, waiting, "a fetch takes long"),
        }
        work.await
    }
}

/// One more of them, until dropped.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(all: &SlowFetches) -> Self {
        all.0.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&all.0))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
