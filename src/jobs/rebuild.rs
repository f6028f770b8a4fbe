//! Makes the index anew from the files when it had to be set aside, while the server serves.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::engine::Engine;
use crate::kit::tasks::Job;
use crate::store::walk::Progress;
use crate::store::{Store, rebuild};

pub struct Rebuild {
    /// Whose index.
    pub store: Store,
    pub clock: SharedClock,
    /// Whose totals change by it.
    pub engine: Arc<Engine>,
}

impl Job for Rebuild {
    const NAME: &'static str = "rebuild";

    /// Runs once.
    async fn run(&self, stop: &CancellationToken) {
        tracing::warn!(
            not_in_files = rebuild::LOST,
            "the index is made anew from the files; until that is done, kept files may be fetched again. Tokens come from the file \"tokens\" if that is there, else make new ones: larder token new NAME"
        );
        let progress = |_: &Progress| !stop.is_cancelled();
        match rebuild::rebuild(&self.store, &self.clock, progress).await {
            Ok(summary) => {
                tracing::info!(
                    kept = summary.good,
                    lists = summary.lists,
                    bad = summary.bad.len(),
                    "the index is made anew"
                );
                if summary.unknown > 0 {
                    tracing::warn!(
                        files = summary.unknown,
                        such_as = summary.unknown_such_as.join(", "),
                        "files in modules/ are not in the layout of the go command's download cache, and are left alone"
                    );
                }
            }
            Err(error) => {
                tracing::error!(%error, "the index could not be made anew; run `larder index rebuild`")
            }
        }
        self.engine.show_totals();
    }
}
