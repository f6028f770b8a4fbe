//! What the service manager is told (`sd_notify(3)`): that the server serves, reads its configuration again, stops, and is
//! alive.

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

use crate::config::Environment;
use crate::kit::tasks::Job;

/// Whoever started us and wants to be told, if anybody does.
#[derive(Default)]
pub struct ServiceManager {
    place: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that we are alive.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names.
    pub fn of(env: &Environment) -> Self {
        let name = env.get("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let place = name.and_then(|name| match open(name) {
            Ok(place) => Some(place),
            Err(error) => {
                tracing::warn!(%error, name, "the service manager cannot be told anything (NOTIFY_SOCKET)");
                None
            }
        });
        let own = std::process::id().to_string();
        let is_ours = env.get("WATCHDOG_PID").is_none_or(|pid| *pid == own);
        let micros = env.get("WATCHDOG_USEC").filter(|_| is_ours);
        let micros = micros.and_then(|text| text.parse().ok());
        let watchdog = micros.map(Duration::from_micros);
        ServiceManager {
            watchdog: watchdog.filter(|every| place.is_some() && !every.is_zero()),
            place,
        }
    }

    /// The server serves, by the configuration that it has.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is being read again.
    pub fn reloading(&self) {
        if self.place.is_none() {
            return;
        }
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The server stops.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, words: &str) {
        let Some((socket, address)) = &self.place else {
            return;
        };
        // It may have gone, or be behind; nobody waits for it.
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::debug!(%error, words, "the service manager was not told");
        }
    }
}

fn open(name: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address(name)?))
}

/// A path, or a name of Linux' own kind, which begins with `@`.
fn address(name: &str) -> std::io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(name)
}

/// Tells the service manager that we are alive, as long as tasks get their turn.
pub struct Watchdog(pub std::sync::Arc<ServiceManager>);

impl Job for Watchdog {
    const NAME: &'static str = "watchdog";

    async fn run(&self, stop: &CancellationToken) {
        let Some(every) = self.0.watchdog else {
            return;
        };
        // Until the process ends: a stop may take its time, and the watchdog barks then as well.
        loop {
            self.0.tell("WATCHDOG=1");
            tokio::select! {
                () = tokio::time::sleep(every / 2) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_manager_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let theirs = UnixDatagram::bind(&path).unwrap();
        let environment = |pid: String| {
            Environment::from([
                ("NOTIFY_SOCKET".to_owned(), path.display().to_string()),
                ("WATCHDOG_USEC".to_owned(), "2000000".to_owned()),
                ("WATCHDOG_PID".to_owned(), pid),
            ])
        };
        let ours = ServiceManager::of(&environment(std::process::id().to_string()));
        assert_eq!(ours.watchdog, Some(Duration::from_secs(2)));
        assert_eq!(ServiceManager::of(&environment("1".into())).watchdog, None);
        ours.ready();
        ours.reloading();
        ours.stopping();
        let heard = || {
            let mut buffer = [0; 256];
            let length = theirs.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert_eq!(heard(), "READY=1");
        let reloading = heard();
        let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(micros.unwrap().parse::<u64>().unwrap() > 0);
        assert_eq!(heard(), "STOPPING=1");
        // Nobody is there, or nobody listens any more.
        ServiceManager::of(&Environment::new()).ready();
        drop(theirs);
        ours.ready();
    }
}
