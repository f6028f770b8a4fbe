//! Accepting and serving connections: our own loop, because limits and time-outs belong to it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, Either};
use http::Request;
use http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::io::Connection;
use super::keep_alive::KeepAlive;
use super::mapped::Regions;
use super::observe::{Observer, Outgoing};
use super::peer::Peer;
use super::router::{self, HEAD, Site};
use super::shortcut::Shortcut;

/// Pause after an error of `accept` that will not go away by trying at once (no descriptors, no memory).
const PAUSE: Duration = Duration::from_millis(100);

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// Open at once; further ones wait to be accepted.
    pub max: usize,
    /// A request's head must be whole within this; also how long an idle connection is kept.
    pub header_timeout: Duration,
}

/// The connections of all listeners.
#[derive(Clone, Default)]
pub struct Connections(TaskTracker);

impl Connections {
    /// Open ones.
    pub fn open(&self) -> usize {
        self.0.len()
    }

    /// Waits until none is open; none may be accepted any more.
    pub async fn ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

/// Counts an open connection in the metrics.
struct Open(prometheus_client::metrics::gauge::Gauge);

impl Open {
    fn new(observer: &Observer) -> Self {
        let gauge = observer.metrics().connections.clone();
        gauge.inc();
        Open(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Serves until `stop` is cancelled: then nothing more is accepted, idle connections close, and requests under way end.
pub async fn serve(
    listener: TcpListener,
    site: Arc<Site>,
    observer: Arc<Observer>,
    settings: ConnectionSettings,
    connections: Connections,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(settings.max));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, remote, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    tracing::warn!(%error, "accepting connections pauses");
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        let open = Open::new(&observer);
        let (site, observer, stop) = (Arc::clone(&site), Arc::clone(&observer), stop.clone());
        connections.0.spawn(async move {
            connection(stream, remote, site, observer, settings, stop).await;
            drop((place, open));
        });
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = Arc::clone(places)
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

async fn connection(
    stream: TcpStream,
    remote: SocketAddr,
    site: Arc<Site>,
    observer: Arc<Observer>,
    settings: ConnectionSettings,
    stop: CancellationToken,
) {
    // Answers are written whole; waiting for more to fill a packet only costs time.
    let _ = stream.set_nodelay(true);
    let regions = Arc::new(Regions::default());
    let peer = Peer {
        regions: Arc::clone(&regions),
        address: Some(remote.ip()),
    };
    let keep_alive = Arc::new(KeepAlive::default());
    let shortcut = Shortcut::new(
        Arc::clone(&site),
        Arc::clone(&observer),
        remote,
        Arc::clone(&keep_alive),
    );
    let answers = Arc::clone(&keep_alive);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let answering = answers.begin();
        if let Some(refusal) = site.refuse(&request) {
            let response = observer.begin(&request, remote).answered(refusal);
            let response = response.map(|out| Outgoing::new(out, answering));
            return Either::Left(future::ready(Ok::<_, Infallible>(response)));
        }
        if let Some(entry) = site.cached(&request, remote.ip())
            && let Some(response) = observer.at_once(&request, remote, &entry)
        {
            let response = response.map(|out| Outgoing::new(out, answering));
            return Either::Left(future::ready(Ok(response)));
        }
        let pending = observer.begin(&request, remote);
        request.extensions_mut().insert(pending.request_id());
        let (site, peer) = (Arc::clone(&site), peer.clone());
        // Boxed, so that an idle connection does not hold room for it.
        Either::Right(Box::pin(async move {
            // Where a body ends that nobody reads is a matter of opinion: nothing after it is taken for a request.
            let last = router::has_body(&request);
            let mut response = site.answer(request, peer).await;
            if last {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            let response = pending.answered(response);
            Ok(response.map(|out| Outgoing::new(out, answering)))
        }))
    });
    let stream = TokioIo::new(Connection::new(stream, regions, shortcut));
    let connection = http1::Builder::new()
        // Its own clock does not see what the short way answers.
        .header_read_timeout(None)
        // The connection itself tells who has left from who has only asked all they want.
        .half_close(false)
        .max_buf_size(HEAD)
        .serve_connection(stream, service);
    tokio::pin!(connection);
    let patience = tokio::time::sleep(settings.header_timeout);
    tokio::pin!(patience);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = patience.as_mut() => {
                let since = keep_alive.waiting_since().unwrap_or_else(Instant::now);
                let until = since + settings.header_timeout;
                if until <= Instant::now() {
                    tracing::debug!(%remote, "a connection waited too long for a request");
                    return;
                }
                patience.as_mut().reset(until);
            }
        }
    };
    if let Err(error) = ended {
        // Clients come and go; what matters was said in the access line.
        tracing::debug!(%remote, %error, "a connection ended early");
    }
}
