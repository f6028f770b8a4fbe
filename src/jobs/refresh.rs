//! Asks again for what is asked for often, before it gets old, so that nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, Refresher};
use crate::kit::tasks::Job;

pub struct Refresh {
    /// Whose answers.
    pub engine: Arc<Engine>,
    /// How often to look: a fraction of the time for which an answer is fresh.
    pub every: Duration,
}

impl Job for Refresh {
    const NAME: &'static str = "refresh";

    async fn run(&self, stop: &CancellationToken) {
        let mut refresher = Refresher::new(&self.engine);
        let mut next = Instant::now() + self.every;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(next) => {
                    refresher.look();
                    next = Instant::now() + self.every;
                }
                () = refresher.goes_on() => {}
            }
        }
    }
}
