//! Asks again about what was served unverified, until somebody has vouched for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::engine::Engine;

pub struct Reverify {
    /// Whose files.
    pub engine: Arc<Engine>,
    /// How often to ask.
    pub every: Duration,
}

impl Reverify {
    /// Runs until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let rules = self.engine.voucher().rules();
        let looked = tokio::select! {
            looked = self.engine.look_through_kept(&rules) => looked,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "what is kept could not be looked through for what nobody has vouched for");
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let done = tokio::select! {
                done = self.engine.reverify_due() => done,
                _ = stop.wait_for(|stop| *stop) => return,
            };
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
