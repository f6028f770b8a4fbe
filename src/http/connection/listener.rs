//! Accepting connections: our own loop, because limits and time-outs belong to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handler::Handler;
use super::serve::{Connection, ConnectionSettings};
use super::slots::Slots;
use super::stream::Stream;

/// Pause after an error of `accept` that will not go away by trying at once (no descriptors, no memory).
const PAUSE: Duration = Duration::from_millis(100);

/// Connections beyond the slots that are asked what they want, so that probes are answered, …
const ASKED: usize = 16;
/// … each for so long; …
const ASKED_FOR: Duration = Duration::from_secs(2);
/// … and those that wait for a slot then: one for so many slots, …
const WAITING: usize = 4;
/// … at most so many.
const MOST_WAITING: usize = 1024;
/// The most that are open beyond the slots of a listener.
pub const BEYOND: usize = ASKED + MOST_WAITING;

/// The connections of all listeners.
#[derive(Clone)]
pub struct Connections {
    tasks: TaskTracker,
    gauge: Gauge,
}

impl Connections {
    /// None yet; the gauge shows how many.
    pub fn new(gauge: Gauge) -> Self {
        Connections {
            tasks: TaskTracker::new(),
            gauge,
        }
    }

    /// Open ones.
    pub fn open(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until none is open; none may be accepted any more.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Counts an open connection in the metrics.
struct Open(Gauge);

impl Open {
    fn new(connections: &Connections) -> Self {
        connections.gauge.inc();
        Open(connections.gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Serves until `stop` is cancelled: then nothing more is accepted, idle connections close, and requests under way end.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    settings: ConnectionSettings,
    connections: Connections,
    stop: CancellationToken,
) {
    let slots = Slots::new(settings.max, settings.max_per_address);
    let asked = Arc::new(Semaphore::new(ASKED));
    let most_waiting = (settings.max / WAITING).clamp(ASKED, MOST_WAITING);
    let waiting = Arc::new(Semaphore::new(most_waiting));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &asked) => accepted,
            () = stop.cancelled() => return,
        };
        let (connection, place) = match accepted {
            Ok((stream, remote, place)) => {
                // Answers are written whole; waiting for more to fill a packet only costs time.
                let _ = stream.set_nodelay(true);
                let connection = Connection {
                    stream,
                    remote,
                    handler: Arc::clone(&handler),
                    settings,
                    stop: stop.clone(),
                };
                (connection, place)
            }
            Err(error) => {
                if !is_of_one_connection(&error) {
                    tracing::warn!(%error, "accepting connections pauses");
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        let open = Open::new(&connections);
        if let Some(slot) = slots.take(connection.remote.ip()) {
            drop(place);
            connections.tasks.spawn(async move {
                connection.serve().await;
                drop((slot, open));
            });
        } else {
            let (slots, waiting) = (Arc::clone(&slots), Arc::clone(&waiting));
            connections.tasks.spawn(async move {
                beyond(connection, place, &slots, waiting).await;
                drop(open);
            });
        }
    }
}

/// A connection for which there is no slot. Probes are answered at once, so that a server with many clients is not taken
/// for one that has died; others wait: `go` asks once, so a 503 fails a build.
async fn beyond<S: Stream, H: Handler>(
    mut connection: Connection<S, H>,
    asked: OwnedSemaphorePermit,
    slots: &Arc<Slots>,
    waiting: Arc<Semaphore>,
) {
    let Some(mut first) = connection.first(ASKED_FOR).await else {
        return;
    };
    // Who has left without a word waits for nothing.
    if first.0.is_empty() {
        return;
    }
    if first.are_a_probe() {
        connection.settings.header_timeout = ASKED_FOR;
        connection.settings.write_timeout = ASKED_FOR;
        return connection.answer_once(first).await;
    }
    let Ok(waits) = waiting.try_acquire_owned() else {
        return connection.refuse(&first).await;
    };
    drop(asked);
    let stop = connection.stop.clone();
    let slot = timeout(
        connection.settings.header_timeout,
        slots.wait(connection.remote.ip()),
    );
    let slot = tokio::select! {
        slot = slot => slot,
        () = first.until_gone(&mut connection.stream) => return,
        () = stop.cancelled() => return,
    };
    drop(waits);
    match slot {
        Ok(slot) => {
            connection.serve_from(first, Arc::default()).await;
            drop(slot);
        }
        Err(_) => connection.refuse(&first).await,
    }
}

type Accepted = (TcpStream, std::net::SocketAddr, OwnedSemaphorePermit);

/// The next connection, as soon as it could be asked what it wants.
async fn accept(listener: &TcpListener, asked: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = Arc::clone(asked)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, remote) = listener.accept().await?;
    Ok((stream, remote, place))
}

/// Errors that concern only the connection that would have been accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
