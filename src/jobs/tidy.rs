//! Gives up what was fetched before anybody asked for it, and forgets clients that have gone.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::kit::tasks::Job;

/// How often.
const EVERY: Duration = Duration::from_secs(5);

pub struct Tidy {
    /// Whose prefetches.
    pub engine: Arc<Engine>,
}

impl Job for Tidy {
    const NAME: &'static str = "tidy";

    async fn run(&self, stop: &CancellationToken) {
        loop {
            self.engine.tidy_prefetches();
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}
