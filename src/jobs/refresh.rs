//! Asks again for what is asked for often, before it gets old, so that nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, Refresher};
use crate::kit::tasks::Job;

/// How long it takes at the most until another configuration is heeded.
const LONGEST: Duration = Duration::from_secs(5);

pub struct Refresh {
    /// Whose answers.
    pub engine: Arc<Engine>,
}

impl Refresh {
    /// How often to look: a fraction of the time for which an answer is fresh. None if there is no such time.
    fn every(&self) -> Option<Duration> {
        let ttl = self.engine.rules_now().freshness.ttl;
        let every = (ttl / 8).clamp(Duration::from_millis(100), LONGEST);
        (!ttl.is_zero()).then_some(every)
    }
}

impl Job for Refresh {
    const NAME: &'static str = "refresh";

    async fn run(&self, stop: &CancellationToken) {
        let mut refresher = Refresher::new(&self.engine);
        let mut next = Instant::now() + self.every().unwrap_or(LONGEST);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(next) => {
                    let every = self.every();
                    if every.is_some() {
                        refresher.look();
                    }
                    next = Instant::now() + every.unwrap_or(LONGEST);
                }
                () = refresher.goes_on() => {}
            }
        }
    }
}
