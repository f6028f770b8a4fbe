//! Keeps on which day each token was used last.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::identity::Tokens;
use crate::kit::tasks::Job;

/// What a crash may lose: it is told by the day.
const EVERY: Duration = Duration::from_secs(600);

/// Keeps on which day each token was used last, now and then and at the end.
pub struct TokenUse {
    pub tokens: Arc<Tokens>,
}

impl Job for TokenUse {
    const NAME: &'static str = "use of tokens";

    async fn run(&self, stop: &CancellationToken) {
        loop {
            let stopped = stop.run_until_cancelled(sleep(EVERY)).await.is_none();
            if let Err(error) = self.tokens.keep_last_use().await {
                tracing::warn!(%error, "when tokens were used last could not be kept");
            }
            if stopped {
                return;
            }
        }
    }
}
