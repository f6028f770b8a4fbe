//! Looks after the room on the disk.

use std::time::Duration;

use tokio::sync::watch;

use crate::store::Keeper;

/// How often.
const EVERY: Duration = Duration::from_secs(1);

pub struct Room {
    /// Of a data directory.
    pub keeper: Keeper,
}

impl Room {
    /// Runs until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            let keeper = self.keeper.clone();
            // A look that died is no reason not to look again.
            let _ = tokio::task::spawn_blocking(move || keeper.look()).await;
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}
