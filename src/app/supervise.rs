//! Who owns the tasks of a server: what is started, what its death means, and the order in which all ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::reload::ConfigReloader;
use super::service_manager::{ServiceManager, Watchdog};
use super::signals::Signals;
use super::start_error::StartError;
use crate::admin::SocketServer;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::engine::Engine;
use crate::http::Connections;
use crate::jobs::{Rebuild, Refresh, Reverify, RoomWatch, Tidy};
use crate::kit::tasks::{Deaths, Job, Tasks};
use crate::store::DataDir;
use crate::telemetry::metrics::JobMetrics;

/// How long fetches without a client may go on after the last connection has ended.
const FLIGHTS_END: Duration = Duration::from_secs(2);
/// How long requests under way have when the server cannot go on: whoever starts it again should not wait for long.
const DYING: Duration = Duration::from_secs(5);
/// What is left for jobs and commands, which end when they are told to, and for the store, when the grace is over.
const LAST: Duration = Duration::from_millis(500);

/// The tasks of a server, in the order in which they end.
pub struct Supervisor {
    deaths: Deaths,
    /// What accepts connections.
    pub listeners: Tasks,
    /// What goes along with the start, or is no part of serving. Requests may wait for what it finds out.
    pub background: Tasks,
    jobs: Tasks,
    commands: Tasks,
    /// What watches the threads of the store.
    store: Tasks,
    metrics: JobMetrics,
}

impl Supervisor {
    /// Nothing runs.
    pub fn new(metrics: JobMetrics) -> Self {
        let deaths = Deaths::default();
        let group = || Tasks::new(&deaths);
        Supervisor {
            listeners: group(),
            background: group(),
            jobs: group(),
            commands: group(),
            store: group(),
            deaths,
            metrics,
        }
    }

    /// Starts the work in the background.
    pub fn start_jobs(
        &self,
        config: &Config,
        data: &DataDir,
        engine: &Arc<Engine>,
        clock: &SharedClock,
    ) {
        if config.freshness.background {
            let engine = Arc::clone(engine);
            self.start(&self.jobs, Refresh { engine });
        }
        let reverify = Reverify {
            engine: Arc::clone(engine),
            every: config.sumdb.settle_every,
        };
        self.start(&self.jobs, reverify);
        let tidy = Tidy {
            engine: Arc::clone(engine),
        };
        self.start(&self.jobs, tidy);
        let keeper = data.keeper.clone();
        self.start(&self.jobs, RoomWatch { keeper });
        engine.show_totals();
        if data.needs_rebuild {
            let rebuild = Rebuild {
                store: data.store.clone(),
                clock: Arc::clone(clock),
                engine: Arc::clone(engine),
            };
            self.start(&self.jobs, rebuild);
        }
    }

    /// Starts what else goes on while the server serves.
    pub fn start_job<J: Job>(&self, job: J) {
        self.start(&self.jobs, job);
    }

    /// Reads the configuration again when somebody wants it, and tells the service manager that the process is alive.
    pub fn start_reloads(&self, reloader: ConfigReloader, manager: &Arc<ServiceManager>) {
        self.start(&self.jobs, reloader);
        self.start(&self.commands, Watchdog(Arc::clone(manager)));
    }

    /// Answers commands.
    pub fn start_commands(&self, server: SocketServer) {
        self.start(&self.commands, server);
    }

    fn start<J: Job>(&self, group: &Tasks, job: J) {
        group.job(job, self.metrics.restarts(J::NAME));
    }

    /// Without the threads that write nothing more would be kept.
    pub fn watch_store(&self, data: &DataDir) {
        let keeper = data.keeper.clone();
        self.watch("the thread that writes the index", async move {
            keeper.index_writer_ended().await;
        });
        let files = data.store.local().clone();
        self.watch("the thread that makes files durable", async move {
            files.writer_ended().await;
        });
    }

    fn watch(&self, thread: &str, end: impl Future<Output = ()> + Send + 'static) {
        self.store.essential(thread, |stop| async move {
            // Which of both it was is seen by who asked for it.
            let _ = stop.run_until_cancelled(end).await;
        });
    }

    /// Waits until somebody wants the server to stop, or it cannot go on; then ends everything. An error says why it could
    /// not go on, or that it has not ended in order.
    pub async fn until_the_end(
        &self,
        signals: &mut Signals,
        connections: &Connections,
        engine: &Engine,
        data: &DataDir,
        grace: Duration,
        manager: &ServiceManager,
    ) -> Result<(), StartError> {
        let end = tokio::select! {
            death = self.deaths.first() => Err(StartError::Died(death)),
            () = signals.next() => Ok(()),
        };
        manager.stopping();
        let grace = match &end {
            Ok(()) => grace,
            Err(_) => grace.min(DYING),
        };
        match &end {
            Ok(()) => tracing::info!(
                grace = grace.as_secs(),
                "stopping; a second signal stops at once"
            ),
            Err(reason) => tracing::error!(grace = grace.as_secs(), "stopping: {reason}"),
        }
        let until = Instant::now() + grace;
        let stopped = async {
            self.stop(connections, engine, until).await;
            // Of the grace, what is left; and a moment, if requests have used it up.
            let last = until.max(Instant::now() + LAST);
            self.close(data.store.close(), last).await
        };
        let closed = tokio::select! {
            closed = stopped => closed,
            () = signals.next() => {
                tracing::warn!("stopped at once");
                // What was acknowledged is on the disk already.
                let _ = self.close(data.store.close(), Instant::now() + LAST).await;
                Ok(())
            }
        };
        match &closed {
            Ok(()) => tracing::info!("stopped"),
            Err(reason) => tracing::error!("stopped, but not in order: {reason}"),
        }
        end.and(closed)
    }

    /// Ends one part after the other: nothing new is begun, requests under way end, then what they may have waited for,
    /// fetches, jobs and commands. It takes until then at the most, and a moment more if requests have used that up.
    async fn stop(&self, connections: &Connections, engine: &Engine, until: Instant) {
        let last = until + LAST;
        self.listeners.stop();
        self.jobs.stop();
        engine.stop_prefetching();
        self.listeners.ended(until).await;
        tracing::debug!("nothing new is accepted");
        match timeout_at(until, connections.ended()).await {
            Ok(()) => tracing::debug!("requests have ended"),
            Err(_) => tracing::warn!(
                connections = connections.open(),
                "the time to stop is over; connections are cut"
            ),
        }
        // Before fetches, since one that still waits for what the background finds out ends with it.
        self.background.stop();
        let over = until.min(Instant::now() + FLIGHTS_END);
        match timeout_at(over, engine.flights_ended()).await {
            Ok(()) => tracing::debug!("fetches have ended"),
            Err(_) => tracing::info!(
                fetches = engine.unfinished_flights(),
                "fetches that no client waits for are given up"
            ),
        }
        for (group, what) in [
            (&self.background, "tasks beside serving"),
            (&self.jobs, "jobs"),
            (&self.commands, "commands"),
        ] {
            group.stop();
            match group.ended(last).await {
                0 => tracing::debug!("{what} have ended"),
                left => tracing::warn!(left, "{what} are under way still, and are given up"),
            }
        }
    }

    /// Closes the store. A disk that does not answer must not keep the process for ever.
    async fn close(
        &self,
        store: impl Future<Output = ()>,
        until: Instant,
    ) -> Result<(), StartError> {
        self.store.stop();
        match timeout_at(until, store).await {
            Ok(()) => {
                tracing::debug!("the store is closed");
                Ok(())
            }
            Err(_) => Err(StartError::NotClosed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_does_not_close_is_waited_for_no_longer_than_that() {
        let supervisor = Supervisor::new(Metrics::new().jobs);
        let began = Instant::now();
        let until = began + Duration::from_secs(7);
        let closed = supervisor.close(std::future::pending(), until).await;
        assert!(matches!(closed, Err(StartError::NotClosed)));
        assert_eq!(began.elapsed(), Duration::from_secs(7));
        let until = Instant::now() + Duration::from_secs(7);
        let slowly = tokio::time::sleep(Duration::from_secs(3));
        assert!(supervisor.close(slowly, until).await.is_ok());
    }
}
