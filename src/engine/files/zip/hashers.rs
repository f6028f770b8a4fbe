//! Threads of their own for what hashes and checks zips. There are as many as cores, since more would only take turns;
//! and none of them waits for an upstream: they are given what has arrived, however slowly the rest follows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// Pieces of work that wait for a thread; whoever brings more waits for room.
const QUEUE: usize = 64;

type Work = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is dropped.
pub struct Hashers {
    queue: mpsc::Sender<Work>,
}

impl Hashers {
    /// Starts them.
    pub fn start() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (queue, work) = mpsc::channel(QUEUE);
        let work = Arc::new(Mutex::new(work));
        // Two at least, so that one large zip alone does not hold up all small ones.
        for _ in 0..cores.max(2) {
            let work = Arc::clone(&work);
            let thread = thread::Builder::new()
                .name("larder-hash".into())
                .spawn(move || run(&work));
            if let Err(error) = thread {
                tracing::error!(%error, "a thread that hashes zips could not be started");
            }
        }
        Hashers { queue }
    }

    /// Has something done that takes a processor and waits for nobody. `None` if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, done) = oneshot::channel();
        let work = Box::new(move || {
            // Whoever wanted it may have gone.
            let _ = answer.send(work());
        });
        if let Err(mpsc::error::SendError(work)) = self.queue.send(work).await {
            // No thread could be started.
            drop(tokio::task::spawn_blocking(work));
        }
        done.await.ok()
    }
}

/// A thread: takes turns with the others at taking what comes.
fn run(work: &Mutex<mpsc::Receiver<Work>>) {
    loop {
        let next = work.lock().blocking_recv();
        let Some(next) = next else { return };
        // It is told by who panics, and to who waits: `answer` above is dropped.
        let _ = catch_unwind(AssertUnwindSafe(next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn what_panics_leaves_the_threads_to_the_others() {
        let hashers = Hashers::start();
        for _ in 0..100 {
            let died = hashers.run(|| panic!("deliberate, for this test"));
            assert_eq!(died.await, None::<()>);
        }
        assert_eq!(hashers.run(|| 7).await, Some(7));
    }

    #[tokio::test]
    async fn two_work_at_once_and_who_gives_up_stops_nobody() {
        let hashers = Hashers::start();
        let both = Arc::new(Barrier::new(2));
        let meet = || {
            let both = Arc::clone(&both);
            hashers.run(move || both.wait())
        };
        let (one, other) = tokio::join!(meet(), meet());
        assert!(one.is_some() && other.is_some());
        let (begun, has_begun) = channel();
        let (go, may_go) = channel::<()>();
        let mut slow = Box::pin(hashers.run(move || {
            // The test holds the other ends.
            let _ = begun.send(());
            let _ = may_go.recv();
        }));
        assert!(futures_util::poll!(&mut slow).is_pending());
        has_begun.recv().unwrap();
        drop(slow);
        assert_eq!(hashers.run(|| 7).await, Some(7));
        drop(go);
    }
}
