//! Counts what is kept, after the start and after a rebuild, for metrics and the page.

use std::sync::Arc;

use crate::engine::Engine;
use crate::store::rebuild;

/// The job.
pub struct Tally {
    /// Whose store.
    pub engine: Arc<Engine>,
}

impl Tally {
    /// Runs once. What is kept in the meantime is counted by a file or two wrongly at the most.
    pub async fn run(self) {
        match rebuild::totals(self.engine.store()).await {
            Ok((files, bytes)) => {
                let metrics = self.engine.metrics();
                metrics.files.set(i64::try_from(files).unwrap_or(i64::MAX));
                metrics.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
            Err(error) => tracing::warn!(%error, "what is kept could not be counted"),
        }
    }
}
