//! Tasks with owners. A group of tasks is told to stop together and is waited for together; and every task of it says
//! what its death means: an essential one ends the process, a job is started again after a pause, and of a minor one the
//! log tells.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use prometheus_client::metrics::counter::Counter;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The pause before a job that has died is started again: doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A job that ran for so long before it died has recovered in between: its next pause is the first one again.
const RECOVERED: Duration = Duration::from_secs(300);

/// Why a process cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{task} {why}")]
pub struct Death {
    /// What the task does, for people.
    pub task: String,
    /// What became of it.
    pub why: String,
}

/// Where the deaths of essential tasks are told; the first one counts.
#[derive(Clone, Debug, Default)]
pub struct Deaths(watch::Sender<Option<Death>>);

impl Deaths {
    /// Waits for the first one.
    pub async fn first(&self) -> Death {
        let mut deaths = self.0.subscribe();
        loop {
            if let Some(death) = &*deaths.borrow_and_update() {
                return death.clone();
            }
            // The sender is in `self`.
            let _ = deaths.changed().await;
        }
    }

    fn tell(&self, death: Death) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(death);
            is_first
        });
    }
}

/// Work in the background that goes on until it is told to stop, or until it is done.
pub trait Job: Send + Sync + 'static {
    /// For the log and the metrics.
    const NAME: &'static str;

    /// Runs until `stop` is cancelled. Called again if it panics.
    fn run(&self, stop: &CancellationToken) -> impl Future<Output = ()> + Send;
}

/// A group of tasks.
#[derive(Debug)]
pub struct Tasks {
    deaths: Deaths,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// An empty group.
    pub fn new(deaths: &Deaths) -> Self {
        Tasks {
            deaths: deaths.clone(),
            stop: CancellationToken::new(),
            tracker: TaskTracker::new(),
        }
    }

    /// Starts a task without which the process is of no use. It must not end before it is told to stop.
    pub fn essential<F>(&self, task: impl Into<String>, start: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (deaths, stop, task) = (self.deaths.clone(), self.stop.clone(), task.into());
        let work = start(stop.clone());
        self.tracker.spawn(async move {
            let why = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(()) if stop.is_cancelled() => return,
                Ok(()) => "has ended".to_owned(),
                Err(panic) => died(&*panic),
            };
            deaths.tell(Death { task, why });
        });
    }

    /// Starts a piece of work without whose outcome the process is of no use.
    pub fn once<F>(&self, task: impl Into<String>, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.essential(task, |stop| async move {
            let done = stop.run_until_cancelled(work).await;
            if done.is_some() {
                stop.cancelled().await;
            }
        });
    }

    /// Starts work that the process can do without.
    pub fn minor<F>(&self, task: &'static str, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let work = AssertUnwindSafe(stop.run_until_cancelled(work)).catch_unwind();
            if let Err(panic) = work.await {
                tracing::error!("{task} {}", died(&*panic));
            }
        });
    }

    /// Starts a job, and starts it again whenever it dies.
    pub fn job<J: Job>(&self, job: J, restarts: Counter) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let began = Instant::now();
                let run = AssertUnwindSafe(job.run(&stop)).catch_unwind();
                let Err(panic) = run.await else { return };
                if began.elapsed() >= RECOVERED {
                    pause = FIRST_PAUSE;
                }
                tracing::error!(
                    job = J::NAME,
                    pause = pause.as_secs(),
                    "a job {}; it is started again after a pause",
                    died(&*panic)
                );
                let paused = stop.run_until_cancelled(tokio::time::sleep(pause));
                if paused.await.is_none() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                restarts.inc();
            }
        });
    }

    /// Tells all of them to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until all have ended; says how many have not by then.
    pub async fn ended(&self, until: Instant) -> usize {
        self.tracker.close();
        // Whether it is empty is what is asked below.
        let _ = timeout_at(until, self.tracker.wait()).await;
        self.tracker.len()
    }
}

/// What became of a task that panicked. What it said has been told where it was said; here is what of it is text.
fn died(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    match text.or_else(|| panic.downcast_ref::<&str>().copied()) {
        Some(text) => format!("has died: {text}"),
        None => "has died".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::time::{advance, sleep};

    /// Dies each time that it is run, after so long.
    struct Fragile {
        runs: Arc<AtomicU32>,
        after: Duration,
    }

    impl Job for Fragile {
        const NAME: &'static str = "fragile";

        async fn run(&self, _stop: &CancellationToken) {
            self.runs.fetch_add(1, Ordering::SeqCst);
            sleep(self.after).await;
            panic!("deliberate, for this test");
        }
    }

    /// Runs until it is told to stop, and then for a while.
    struct Diligent(Duration);

    impl Job for Diligent {
        const NAME: &'static str = "diligent";

        async fn run(&self, stop: &CancellationToken) {
            stop.cancelled().await;
            sleep(self.0).await;
        }
    }

    fn fragile(after: Duration) -> (Tasks, Counter, Arc<AtomicU32>) {
        let (runs, restarts) = (Arc::default(), Counter::default());
        let tasks = Tasks::new(&Deaths::default());
        let job = Fragile {
            runs: Arc::clone(&runs),
            after,
        };
        tasks.job(job, restarts.clone());
        (tasks, restarts, runs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_dies_is_restarted_after_growing_pauses() {
        let start = Instant::now();
        let (tasks, restarts, runs) = fragile(Duration::ZERO);
        // 1, 2, 4, 8, 16, 32 s, and from there 60.
        for (second, expected) in [(0, 1), (2, 2), (4, 3), (8, 4), (64, 7), (122, 7), (125, 8)] {
            let now = Duration::from_millis(second * 1000 + 500);
            tokio::time::sleep_until(start + now).await;
            assert_eq!(runs.load(Ordering::SeqCst), expected, "after {second} s");
            assert_eq!(restarts.get(), u64::from(expected) - 1);
        }
        assert!(
            tasks.deaths.first().now_or_never().is_none(),
            "the process goes on"
        );
        tasks.stop();
        let soon = Instant::now() + Duration::from_millis(1);
        assert_eq!(tasks.ended(soon).await, 0, "it does not wait for the pause");
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_lived_for_long_waits_briefly_again() {
        let (_tasks, restarts, _runs) = fragile(RECOVERED);
        for life in 1..8 {
            sleep(RECOVERED + FIRST_PAUSE + Duration::from_millis(10)).await;
            assert_eq!(restarts.get(), life);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_essential_task_that_dies_or_ends_is_told_and_the_first_one_counts() {
        let deaths = Deaths::default();
        let tasks = Tasks::new(&deaths);
        tasks.essential("the one that stays", |stop| async move {
            stop.cancelled().await;
        });
        tasks.once("the one that is done", async {});
        tasks.minor("the minor one", async {
            panic!("deliberate, for this test")
        });
        sleep(Duration::from_secs(3600)).await;
        assert!(deaths.first().now_or_never().is_none());
        tasks.essential("the listener", |_| async {
            sleep(Duration::from_secs(1)).await;
            panic!("no more {}", "sockets");
        });
        tasks.essential("another", |_| async {
            sleep(Duration::from_secs(2)).await;
        });
        let death = deaths.first().await;
        assert_eq!(death.to_string(), "the listener has died: no more sockets");
        advance(Duration::from_secs(5)).await;
        assert_eq!(deaths.first().await, death);
    }

    #[tokio::test(start_paused = true)]
    async fn an_essential_task_that_ends_is_a_death() {
        let deaths = Deaths::default();
        let tasks = Tasks::new(&deaths);
        tasks.essential("the listener", |_| async {});
        assert_eq!(deaths.first().await.to_string(), "the listener has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_told_to_stop_is_waited_for_and_no_longer_than_that() {
        let deaths = Deaths::default();
        let tasks = Tasks::new(&deaths);
        for seconds in [0, 3, 60] {
            tasks.job(Diligent(Duration::from_secs(seconds)), Counter::default());
        }
        tasks.essential("the listener", |stop| async move {
            stop.cancelled().await;
        });
        tasks.minor("the one that hangs", std::future::pending());
        let began = Instant::now();
        tasks.stop();
        assert_eq!(tasks.ended(began + Duration::from_secs(10)).await, 1);
        assert_eq!(began.elapsed(), Duration::from_secs(10));
        assert_eq!(tasks.ended(began + Duration::from_secs(90)).await, 0);
        assert_eq!(began.elapsed(), Duration::from_secs(60));
        assert!(deaths.first().now_or_never().is_none(), "it was told to");
    }
}
