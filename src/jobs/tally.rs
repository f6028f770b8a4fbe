//! Counts what is kept, once after the start, for metrics and the page.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Millis;
use crate::engine::Engine;
use crate::store::{FileRecord, rebuild::FILES};

/// Records read at once.
const PAGE: usize = 2000;

/// The job.
pub struct Tally {
    /// Whose store.
    pub engine: Arc<Engine>,
    /// Only what was kept before this; later files count themselves.
    pub before: Millis,
}

impl Tally {
    /// Runs once, or until `stop` turns true.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let index = Arc::clone(self.engine.store().index());
        let mut after: Option<String> = None;
        while !*stop.borrow() {
            let page = match index.scan(FILES, after.as_deref(), PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "what is kept could not be counted");
                    return;
                }
            };
            let Some((last, _)) = page.last() else { return };
            after = Some(last.clone());
            let records = page
                .iter()
                .filter_map(|(_, value)| FileRecord::decode(value).ok());
            for record in records.filter(|record| record.seen < self.before) {
                self.engine.metrics().files.inc();
                self.engine
                    .metrics()
                    .bytes
                    .inc_by(i64::try_from(record.size).unwrap_or(i64::MAX));
            }
        }
    }
}
