//! The socket in the data directory through which commands reach a running server. One JSON line asks, JSON lines
//! answer. Who may write to it may do what an operator may: it is its owner's alone.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{BEHIND, Control, Controls, Event};
use crate::kit::tasks::Job;

/// Its name in the data directory.
const NAME: &str = "control";
/// The longest command. Bytes.
const LONGEST: u64 = 64 << 10;
/// How long a command may take to arrive.
const ARRIVE: Duration = Duration::from_secs(10);
/// Commands at once.
const AT_ONCE: usize = 8;
/// Connections waiting to be accepted.
const BACKLOG: u32 = 128;
/// What fits into the address of a socket everywhere. Bytes.
const ADDRESS: usize = 100;

/// A socket that commands can reach.
pub struct Socket(UnixListener);

/// Where the socket is. A path that is too long for the address of a socket is reached through the directory's
/// descriptor, which must live as long as the path is used.
fn place(data_dir: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = data_dir.join(NAME);
    if path.as_os_str().len() <= ADDRESS {
        return Ok((path, None));
    }
    let dir = File::open(data_dir)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(NAME);
    Ok((short, Some(dir)))
}

/// Opens the socket of a data directory that this process holds.
pub fn listen(data_dir: &Path) -> io::Result<Socket> {
    let (path, _dir) = place(data_dir)?;
    let unready = path.with_extension("new");
    // The lock on the directory says that whoever made it is gone. What is no socket is not ours.
    match fs::symlink_metadata(&unready) {
        Ok(meta) if meta.file_type().is_socket() => fs::remove_file(&unready)?,
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    // Before it has a name: on Linux the name gets this mode, so there is no moment in which others could connect. Elsewhere it
    // may be an error; then the lines below have to do.
    let _ = rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR);
    socket.bind(&unready)?;
    fs::set_permissions(&unready, Permissions::from_mode(0o600))?;
    // As `tokio::net::UnixListener::bind` has it.
    let listener = socket.listen(BACKLOG)?;
    fs::rename(&unready, &path)?;
    Ok(Socket(listener))
}

/// Answers commands that come through a socket.
pub struct Service {
    pub socket: Socket,
    pub controls: Controls,
}

impl Job for Service {
    const NAME: &'static str = "control";

    /// What changes something is done to its end before this ends.
    async fn run(&self, stop: &CancellationToken) {
        let commands = TaskTracker::new();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.0.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors, perhaps.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (controls, stop) = (self.controls.clone(), stop.clone());
            commands.spawn(async move {
                let _place = place;
                if let Err(error) = answer(stream, controls, stop).await {
                    tracing::debug!(%error, "a command went away");
                }
            });
        }
        commands.close();
        commands.wait().await;
    }
}

async fn answer(stream: UnixStream, controls: Controls, stop: CancellationToken) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(LONGEST));
    let arrival = timeout(ARRIVE, read.read_line(&mut line));
    let Some(arrived) = stop.run_until_cancelled(arrival).await else {
        return Ok(());
    };
    arrived??;
    let control: Control = serde_json::from_str(&line)?;
    tracing::info!(?control, "an operator's command");
    let (sender, mut events) = mpsc::channel(BEHIND);
    let work = {
        let control = control.clone();
        tokio::spawn(async move { controls.run(&control, sender).await })
    };
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = stop.cancelled(), if control.only_reads() => {
                work.abort();
                None
            }
        };
        let Some(event) = event else { break };
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        if let Err(error) = write.write_all(&line).await {
            // Nobody waits for the rest; but what changes something is not left half done.
            if control.only_reads() {
                work.abort();
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Whether a server holds a data directory and can be asked.
pub async fn is_served(data_dir: &Path) -> io::Result<bool> {
    Ok(connected(data_dir).await?.is_some())
}

async fn connected(data_dir: &Path) -> io::Result<Option<UnixStream>> {
    let (path, _dir) = place(data_dir)?;
    match UnixStream::connect(&path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Asks the server that holds a data directory; `None` if there is none. Events come until [`Event::End`]; if they end
/// without it, the server has ended.
pub async fn ask(data_dir: &Path, control: &Control) -> io::Result<Option<mpsc::Receiver<Event>>> {
    let Some(mut stream) = connected(data_dir).await? else {
        return Ok(None);
    };
    let mut line = serde_json::to_vec(control)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let (sender, receiver) = mpsc::channel(BEHIND);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(event) = serde_json::from_str(&line) else {
                continue;
            };
            if sender.send(event).await.is_err() {
                return;
            }
        }
    });
    Ok(Some(receiver))
}
