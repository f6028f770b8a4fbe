//! Tells the audit log how often refusals have repeated themselves, also when no further one comes.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::kit::tasks::Job;
use crate::telemetry::audit::Audit;

/// How often it is looked whether their minute is over.
const EVERY: Duration = Duration::from_secs(5);

pub struct RepeatedRefusals {
    pub audit: Audit,
}

impl Job for RepeatedRefusals {
    const NAME: &'static str = "audit";

    async fn run(&self, stop: &CancellationToken) {
        loop {
            self.audit.tell_repeated();
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}
