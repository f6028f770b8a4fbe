//! Connections that begin with a handshake.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::super::accept::{Accept, Accepted};
use super::super::remote::RemoteAddress;
use super::config::TlsConfig;
use super::transport::TlsTransport;
use crate::telemetry::metrics::{Handshake, TlsMetrics};

/// How long a client that does not speak TLS may take to hear so.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Read of what it sends. Bytes; what is unread when a connection is closed can cost the answer.
const READ: usize = 16 << 10;
/// What it is told.
const PLAIN: &str =
    "bad request: larder speaks https at this address: write https:// in place of http://\n";

/// By what connections are opened from now on.
pub struct CurrentTls(ArcSwap<ServerConfig>);

impl CurrentTls {
    /// By this at first.
    pub fn new(config: TlsConfig) -> Self {
        CurrentTls(ArcSwap::new(config.server))
    }

    /// Connections that are open stay as they are.
    pub fn set(&self, config: TlsConfig) {
        self.0.store(config.server);
    }
}

/// A listener whose clients speak TLS.
pub struct TlsListener {
    listener: TcpListener,
    current: Arc<CurrentTls>,
    metrics: TlsMetrics,
}

impl TlsListener {
    /// Of a listener whose clients have not been spoken to.
    pub fn new(listener: TcpListener, current: Arc<CurrentTls>, metrics: TlsMetrics) -> Self {
        TlsListener {
            listener,
            current,
            metrics,
        }
    }
}

impl Accept for TlsListener {
    type Accepted = PendingHandshake;

    async fn accept(&self) -> io::Result<(PendingHandshake, RemoteAddress)> {
        let (stream, remote) = Accept::accept(&self.listener).await?;
        let pending = PendingHandshake {
            stream,
            remote,
            config: self.current.0.load_full(),
            metrics: self.metrics.clone(),
        };
        Ok((pending, remote))
    }
}

/// A connection before its handshake.
pub struct PendingHandshake {
    stream: TcpStream,
    remote: RemoteAddress,
    config: Arc<ServerConfig>,
    metrics: TlsMetrics,
}

/// Why there is no stream.
enum Failed {
    /// Nothing came: a probe of the port.
    Silent,
    /// The client speaks HTTP without TLS.
    Plain,
    Broken(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Broken(error)
    }
}

impl Accepted for PendingHandshake {
    type Stream = TlsStream<TlsTransport>;

    async fn open(
        self,
        within: Duration,
        stop: &CancellationToken,
    ) -> Option<TlsStream<TlsTransport>> {
        let (remote, metrics) = (self.remote, self.metrics.clone());
        let opened = tokio::select! {
            opened = timeout(within, self.shake_hands()) => opened,
            () = stop.cancelled() => return None,
        };
        match opened {
            Ok(Ok(stream)) => {
                metrics.ended(Handshake::Done);
                return Some(stream);
            }
            Ok(Err(Failed::Silent)) => {}
            Ok(Err(Failed::Plain)) => {
                metrics.ended(Handshake::Plain);
                tracing::debug!(%remote, "a client speaks http where https is spoken");
            }
            Ok(Err(Failed::Broken(error))) => {
                metrics.ended(Handshake::Failed);
                tracing::debug!(%remote, %error, "a handshake failed");
            }
            Err(_) => {
                metrics.ended(Handshake::TooSlow);
                tracing::debug!(%remote, "a handshake took too long");
            }
        }
        None
    }
}

impl PendingHandshake {
    async fn shake_hands(self) -> Result<TlsStream<TlsTransport>, Failed> {
        let mut first = [0];
        if self.stream.peek(&mut first).await? == 0 {
            return Err(Failed::Silent);
        }
        // A method; TLS begins with a byte that is no letter.
        if first[0].is_ascii_uppercase() {
            // Whoever does not listen need not hear it.
            let _ = timeout(LAST_WORDS, refuse_plain(self.stream)).await;
            return Err(Failed::Plain);
        }
        let acceptor = TlsAcceptor::from(self.config);
        Ok(acceptor.accept(TlsTransport::new(self.stream)).await?)
    }
}

/// Says in plain HTTP what is spoken here.
async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    let mut read = vec![0; READ];
    let _ = stream.read(&mut read).await?;
    let length = PLAIN.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{PLAIN}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // Until the client has closed its side, or the time is over.
    while stream.read(&mut read).await? > 0 {}
    Ok(())
}
