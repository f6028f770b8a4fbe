//! Says what is kept, for metrics and the page. A store of an earlier version, or one whose totals were damaged, is counted
//! first, at leisure.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::engine::Engine;

/// Rest after each step of counting, in times of what the step took: hits come first.
const REST: u32 = 4;
/// The same, at the least.
const REST_MIN: Duration = Duration::from_millis(5);

/// The job.
pub struct Tally {
    /// Whose store.
    pub engine: Arc<Engine>,
}

impl Tally {
    /// Runs once, or until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let rest = |took: Duration| (took * REST).max(REST_MIN);
        let counted = tokio::select! {
            counted = self.engine.store().count(false, rest) => counted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match counted {
            Ok(_) => self.engine.show_totals(),
            Err(error) => tracing::warn!(%error, "what is kept could not be counted"),
        }
    }
}
