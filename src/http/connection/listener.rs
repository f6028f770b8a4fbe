//! Accepting connections: our own loop, because limits and time-outs belong to it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{Accept, Accepted};
use super::handler::Handler;
use super::serve::{Connection, ConnectionSettings};
use super::slots::{Full, Slot, Slots};
use super::stream::Stream;
use super::tls::TlsListener;
use super::unix_socket::UnixSocketListener;

/// Pause after an error of `accept` that will not go away by trying at once (no descriptors, no memory).
const PAUSE: Duration = Duration::from_millis(100);

/// How long a handshake may take, where heads may not take less.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Connections beyond the slots that are asked what they want, so that probes are answered, …
const ASKED: usize = 16;
/// … of one address no more than so many, or its silent ones would keep others from being asked; …
const ASKED_OF_ONE: usize = ASKED / 2;
/// … each for so long; …
const ASKED_FOR: Duration = Duration::from_secs(2);
/// … and those that wait for a slot then: one for so many slots, …
const WAITING: usize = 4;
/// … at most so many.
const MOST_WAITING: usize = 1024;
/// The most that are open beyond the slots.
pub const BEYOND: usize = ASKED + MOST_WAITING;

/// The connections of all listeners that share their slots.
#[derive(Clone)]
pub struct Connections {
    tasks: TaskTracker,
    gauge: Gauge,
    places: Arc<Places>,
}

impl Connections {
    /// None yet; the gauge shows how many.
    pub fn new(settings: &ConnectionSettings, gauge: Gauge) -> Self {
        Connections {
            tasks: TaskTracker::new(),
            gauge,
            places: Arc::new(Places::new(settings)),
        }
    }

    /// Those of other listeners, which have as many slots of their own. They are counted and waited for together.
    pub fn apart(&self, settings: &ConnectionSettings) -> Self {
        Connections {
            places: Arc::new(Places::new(settings)),
            ..self.clone()
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

/// What is listened on, and what is spoken there.
pub enum Listener {
    Plain(TcpListener),
    Tls(TlsListener),
    Unix(UnixSocketListener),
}

/// Serves until `stop` is cancelled: then nothing more is accepted, idle connections close, and requests under way end.
pub async fn serve<H: Handler>(
    listener: Listener,
    handler: Arc<H>,
    settings: ConnectionSettings,
    connections: Connections,
    stop: CancellationToken,
) {
    match listener {
        Listener::Plain(listener) => {
            serve_all(listener, handler, settings, connections, stop).await;
        }
        Listener::Tls(listener) => {
            serve_all(listener, handler, settings, connections, stop).await;
        }
        Listener::Unix(listener) => {
            serve_all(listener, handler, settings, connections, stop).await;
        }
    }
}

async fn serve_all<A: Accept, H: Handler>(
    listener: A,
    handler: Arc<H>,
    settings: ConnectionSettings,
    connections: Connections,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (accepted, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    tracing::warn!(%error, "accepting connections pauses");
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        let place = tokio::select! {
            place = connections.places.find(remote.counted_as()) => place,
            () = stop.cancelled() => return,
        };
        let Some(place) = place else {
            tracing::debug!(%remote, "its address has its share of connections, and of those that wait");
            continue;
        };
        let (handler, stop) = (Arc::clone(&handler), stop.clone());
        let open = Open::new(&connections);
        let places = Arc::clone(&connections.places);
        connections.tasks.spawn(async move {
            let within = match place {
                Place::Slot(_) => settings.header_timeout.min(HANDSHAKE),
                Place::Asked(_) | Place::Waiting(_) => ASKED_FOR,
            };
            let Some(stream) = accepted.open(within, &stop).await else {
                return;
            };
            let connection = Connection {
                stream,
                remote,
                handler,
                settings,
                stop,
            };
            match place {
                Place::Slot(slot) => {
                    connection.serve().await;
                    drop(slot);
                }
                place => beyond(connection, place, &places).await,
            }
            drop(open);
        });
    }
}

/// Where connections can be.
struct Places {
    slots: Arc<Slots>,
    /// While it is not known what they want.
    asked: Arc<Slots>,
    /// Until there is a slot.
    waiting: Arc<Slots>,
}

/// Where one is.
enum Place {
    Slot(Slot),
    Asked(Slot),
    Waiting(Slot),
}

impl Places {
    fn new(settings: &ConnectionSettings) -> Self {
        let most_waiting = (settings.max / WAITING).clamp(ASKED, MOST_WAITING);
        Places {
            slots: Slots::new(settings.max, settings.max_per_address),
            asked: Slots::new(ASKED, Some(ASKED_OF_ONE)),
            waiting: Slots::new(most_waiting, None),
        }
    }

    /// A place for a connection that has been accepted. This waits only while no slot is left for anybody, and no longer
    /// than others are asked; an address that has too many already gets nothing, so that nobody has to wait for it.
    async fn find(&self, address: IpAddr) -> Option<Place> {
        let no_slot = match self.slots.take(address) {
            Ok(slot) => return Some(Place::Slot(slot)),
            Err(why) => why,
        };
        let not_asked = match self.asked.take(address) {
            Ok(asked) => return Some(Place::Asked(asked)),
            Err(why) => why,
        };
        // It waits before it is asked, in one of its share of the places for that.
        if let Ok(waiting) = self.waiting.take(address) {
            return Some(Place::Waiting(waiting));
        }
        if (no_slot, not_asked) != (Full::All, Full::All) {
            return None;
        }
        Some(tokio::select! {
            biased;
            slot = self.slots.wait(address) => Place::Slot(slot),
            asked = self.asked.wait(address) => Place::Asked(asked),
        })
    }
}

/// A connection for which there is no slot. Probes are answered at once, so that a server with many clients is not taken
/// for one that has died; others wait: `go` asks once, so a 503 fails a build.
async fn beyond<S: Stream, H: Handler>(
    mut connection: Connection<S, H>,
    place: Place,
    places: &Places,
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
    let address = connection.remote.counted_as();
    let waits = match place {
        Place::Slot(waits) | Place::Waiting(waits) => waits,
        Place::Asked(asked) => {
            let Ok(waits) = places.waiting.take(address) else {
                return connection.refuse(&first).await;
            };
            drop(asked);
            waits
        }
    };
    let stop = connection.stop.clone();
    let slot = timeout(
        connection.settings.header_timeout,
        places.slots.wait(address),
    );
    let slot = tokio::select! {
        biased;
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

#[cfg(test)]
mod tests {
    use super::super::remote::RemoteAddress;
    use super::super::testing::{Text, request};
    use super::*;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::{Mutex, mpsc};
    use tokio::time::Instant;

    type Knock = (DuplexStream, RemoteAddress);

    /// Connections that tests make.
    struct Knocks(Mutex<mpsc::UnboundedReceiver<Knock>>);

    impl Accept for Knocks {
        type Accepted = DuplexStream;

        async fn accept(&self) -> io::Result<Knock> {
            let next = self.0.lock().await.recv().await;
            next.ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
        }
    }

    struct Server {
        knocks: mpsc::UnboundedSender<Knock>,
        stop: CancellationToken,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.stop.cancel();
        }
    }

    impl Server {
        fn start(max: usize) -> Server {
            let (knocks, listener) = mpsc::unbounded_channel();
            let settings = ConnectionSettings {
                max,
                max_per_address: None,
                header_timeout: Duration::from_secs(75),
                write_timeout: Duration::from_secs(60),
            };
            let (stop, connections) = (
                CancellationToken::new(),
                Connections::new(&settings, Gauge::default()),
            );
            tokio::spawn(serve_all(
                Knocks(Mutex::new(listener)),
                Arc::new(Text("fine".to_owned())),
                settings,
                connections,
                stop.clone(),
            ));
            Server { knocks, stop }
        }

        fn connect(&self, address: &str) -> DuplexStream {
            let (client, server) = duplex(16 << 10);
            let remote = RemoteAddress::Ip(SocketAddr::new(address.parse().unwrap(), 1));
            self.knocks.send((server, remote)).ok().unwrap();
            client
        }

        fn silent(&self, address: &str, count: usize) -> Vec<DuplexStream> {
            (0..count).map(|_| self.connect(address)).collect()
        }

        async fn asks(&self, address: &str) -> DuplexStream {
            let mut client = self.connect(address);
            client.write_all(request("/x").as_bytes()).await.unwrap();
            client
        }
    }

    /// The status of an answer; nothing if the connection ends without one.
    async fn status(client: &mut DuplexStream) -> Option<String> {
        let mut head = [0; 12];
        client.read_exact(&mut head).await.ok()?;
        Some(String::from_utf8_lossy(&head[9..]).into_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn silent_connections_of_one_address_hold_nobody_up() {
        let server = Server::start(40);
        let began = Instant::now();
        let _silent = server.silent("10.0.0.1", 500);
        for address in ["10.0.0.2", "10.0.0.3"] {
            let mut client = server.asks(address).await;
            assert_eq!(status(&mut client).await.as_deref(), Some("200"));
        }
        assert!(began.elapsed() < Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_be_all_who_wait() {
        let server = Server::start(40);
        let mut held: Vec<_> = (0..40)
            .map(|n| server.connect(&format!("10.0.1.{n}")))
            .collect();
        let mut many = Vec::new();
        for _ in 0..100 {
            many.push(server.asks("10.0.0.1").await);
        }
        let _silent = server.silent("10.0.0.1", 100);
        let began = Instant::now();
        let mut other = server.asks("10.0.0.2").await;
        let mut probe = server.connect("10.0.0.3");
        let asked = request("/healthz");
        probe.write_all(asked.as_bytes()).await.unwrap();
        assert_eq!(status(&mut probe).await.as_deref(), Some("200"));
        assert!(began.elapsed() < Duration::from_millis(100));
        let early = timeout(Duration::from_secs(30), status(&mut other)).await;
        assert!(early.is_err(), "it waits");
        held.truncate(10);
        assert_eq!(status(&mut other).await.as_deref(), Some("200"));
        drop(held);
        let mut answered = 0;
        for client in &mut many {
            answered += usize::from(status(client).await.as_deref() == Some("200"));
        }
        assert!((8..=16).contains(&answered), "{answered} of it waited");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_may_have_asked_all_it_wants() {
        let server = Server::start(1);
        let held = server.connect("10.0.0.1");
        let mut client = server.asks("10.0.0.2").await;
        client.shutdown().await.unwrap();
        let early = timeout(Duration::from_millis(500), status(&mut client)).await;
        assert!(early.is_err(), "it waits");
        drop(held);
        assert_eq!(status(&mut client).await.as_deref(), Some("200"));
    }
}
