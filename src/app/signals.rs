//! What the server does at which signal.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::telemetry::audit::Audit;

/// The signals that mean "stop": a service manager's, a terminal's, and the one that other servers take for it as well.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

/// Signals whose default is to end the process: SIGHUP wakes whoever reloads the configuration, now or when it comes to
/// that; SIGUSR1 has the audit log opened anew if there is one; SIGUSR2 is noted, and nothing else. From here on, even before what is
/// returned runs, none of them ends the process.
pub(super) fn note_others(
    reload: Arc<Notify>,
    audit: Audit,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut user1 = signal(SignalKind::user_defined1())?;
    let mut user2 = signal(SignalKind::user_defined2())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => reload.notify_one(),
                _ = user1.recv() => {
                    let audit = audit.clone();
                    // It may wait for a disk. A panic in it is told by whoever panics.
                    let reopened = tokio::task::spawn_blocking(move || audit.reopen()).await;
                    if let Ok(false) = reopened {
                        tracing::warn!(signal = "SIGUSR1", "this signal means nothing here, as there is no audit log in a file; ignored");
                    }
                }
                _ = user2.recv() => tracing::warn!(signal = "SIGUSR2", "this signal means nothing here; ignored"),
            }
        }
    })
}
