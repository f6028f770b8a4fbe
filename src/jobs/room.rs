//! Looks after the room on the disk.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::kit::tasks::Job;
use crate::store::Keeper;

/// How often.
const EVERY: Duration = Duration::from_secs(1);

pub struct RoomWatch {
    /// Of a data directory.
    pub keeper: Keeper,
}

impl Job for RoomWatch {
    const NAME: &'static str = "room";

    async fn run(&self, stop: &CancellationToken) {
        loop {
            let keeper = self.keeper.clone();
            let look = tokio::task::spawn_blocking(move || keeper.look()).await;
            if let Err(error) = look
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}
