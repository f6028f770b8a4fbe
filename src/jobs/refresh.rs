//! Asks again for what is asked for often, before it gets old, so that nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::kit::tasks::Job;

/// Background requests at once.
const AT_ONCE: usize = 8;

pub struct Refresh {
    /// Whose answers.
    pub engine: Arc<Engine>,
    /// How often to look: a fraction of the time for which an answer is fresh.
    pub every: Duration,
}

impl Job for Refresh {
    const NAME: &'static str = "refresh";

    async fn run(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => return,
            }
            let refreshed = self.engine.refresh_due(AT_ONCE);
            let Some(asked) = stop.run_until_cancelled(refreshed).await else {
                return;
            };
            if asked > 0 {
                tracing::debug!(asked, "asked again for what is asked for often");
            }
        }
    }
}
