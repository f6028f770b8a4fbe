//! The server's side of the socket.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::frames::{FrameError, FrameReader, Greeting, LONGEST_REQUEST, Request, framed};
use super::place;
use super::served;
use crate::admin::error::ErrorKind;
use crate::admin::operation::Performer;
use crate::admin::service::AdminService;
use crate::kit::tasks::Job;
use crate::telemetry::audit::Audit;

/// How long a request may take to arrive.
const ARRIVE: Duration = Duration::from_secs(10);
/// Connections at once; further ones wait to be accepted.
const CONNECTIONS: usize = 64;
/// Operations at once; further ones wait.
const AT_ONCE: usize = 8;

/// A socket that commands can reach.
pub struct Socket(UnixListener);

/// Opens the socket of a data directory that this process holds.
pub fn listen(data_dir: &Path) -> io::Result<Socket> {
    Ok(Socket(place::bind(data_dir)?))
}

/// Answers commands that come through a socket.
pub struct SocketServer {
    pub socket: Socket,
    pub service: AdminService,
    /// What is kept of what is done.
    pub audit: Audit,
}

impl Job for SocketServer {
    const NAME: &'static str = "control";

    /// What changes something is done to its end before this ends.
    async fn run(&self, stop: &CancellationToken) {
        let commands = TaskTracker::new();
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let running = Arc::new(Semaphore::new(AT_ONCE));
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
            let connection = Arc::clone(&connections).acquire_owned();
            let Some(Ok(connection)) = stop.run_until_cancelled(connection).await else {
                break;
            };
            let (service, running, stop) =
                (self.service.clone(), Arc::clone(&running), stop.clone());
            let by = Performer {
                who: who(&stream),
                audit: self.audit.clone(),
            };
            commands.spawn(async move {
                let _connection = connection;
                if let Err(error) = answer(stream, &service, &by, &running, &stop).await {
                    tracing::debug!(%error, "a command went away");
                }
            });
        }
        commands.close();
        commands.wait().await;
    }
}

/// The user who has connected, as the system knows it.
fn who(stream: &UnixStream) -> String {
    match stream.peer_cred() {
        Ok(peer) => format!("uid:{}", peer.uid()),
        Err(_) => "unknown".to_owned(),
    }
}

async fn answer(
    stream: UnixStream,
    service: &AdminService,
    by: &Performer,
    running: &Semaphore,
    stop: &CancellationToken,
) -> Result<(), FrameError> {
    let (mut read, mut write) = framed(stream);
    // Whoever speaks otherwise can say so by it.
    write.send(&Greeting::ours()).await?;
    let arrival = timeout(ARRIVE, request(&mut read));
    let Some(arrived) = stop.run_until_cancelled(arrival).await else {
        return Ok(());
    };
    let request = match arrived {
        Ok(Ok(request)) => request,
        Ok(Err((kind, text))) => return served::fail(&mut write, kind, &text).await,
        Err(_) => {
            let text = format!("no request came within {} s", ARRIVE.as_secs());
            return served::fail(&mut write, ErrorKind::Invalid, &text).await;
        }
    };
    let Some(Ok(_place)) = stop.run_until_cancelled(running.acquire()).await else {
        return Ok(());
    };
    served::serve(&request, service, by, &mut read, &mut write, stop).await
}

/// What a client wants, or why that is not known.
async fn request(read: &mut FrameReader) -> Result<Request, (ErrorKind, String)> {
    let invalid = |error: FrameError| (ErrorKind::Invalid, error.to_string());
    let greeting: Greeting = read.next(LONGEST_REQUEST).await.map_err(invalid)?;
    if !greeting.is_understood() {
        let ours = Greeting::ours().larder;
        let text = format!(
            "the running server is larder {ours} and does not understand commands of larder {}",
            greeting.larder
        );
        return Err((ErrorKind::Version, text));
    }
    read.next(LONGEST_REQUEST).await.map_err(invalid)
}
