//! Asks again about what was served unverified, until somebody has vouched for it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::kit::tasks::Job;

pub struct Reverify {
    /// Whose files.
    pub engine: Arc<Engine>,
    /// How often to ask.
    pub every: Duration,
}

impl Job for Reverify {
    const NAME: &'static str = "reverify";

    async fn run(&self, stop: &CancellationToken) {
        let mut looked = None;
        loop {
            let in_force = self.engine.rules_now().generation();
            // Other rules may have something verified that was not.
            if looked.replace(in_force) != Some(in_force) {
                let look = stop.run_until_cancelled(self.engine.look_through_kept());
                if let Some(Err(error)) = look.await {
                    tracing::warn!(%error, "what is kept could not be looked through for what nobody has vouched for");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => return,
            }
            let done = stop.run_until_cancelled(self.engine.reverify_due());
            let Some(done) = done.await else { return };
            match done {
                Ok(done) if done.verified + done.revoked > 0 => {
                    tracing::info!(
                        verified = done.verified,
                        revoked = done.revoked,
                        "verified what was served unverified"
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "what was served unverified could not be looked through")
                }
            }
        }
    }
}
