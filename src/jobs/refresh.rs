//! Asks again for what is asked for often, before it gets old, so that nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::engine::Engine;

/// Background requests at once.
const AT_ONCE: usize = 8;

pub struct Refresh {
    /// Whose answers.
    pub engine: Arc<Engine>,
    /// How often to look: a fraction of the time for which an answer is fresh.
    pub every: Duration,
}

impl Refresh {
    /// Runs until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let asked = self.engine.refresh_due(AT_ONCE).await;
            if asked > 0 {
                tracing::debug!(asked, "asked again for what is asked for often");
            }
        }
    }
}
