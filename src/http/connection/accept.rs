//! Where connections come from, and what has to happen before a request can be read.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

use super::remote::RemoteAddress;
use super::stream::Stream;
use super::unix_socket::UnixSocketListener;

/// Where connections come from.
pub trait Accept: Send {
    type Accepted: Accepted;

    /// The next one, and its other end.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Accepted, RemoteAddress)>> + Send;
}

/// A connection that has been accepted, and of which nothing has been read.
pub trait Accepted: Send + 'static {
    type Stream: Stream;

    /// Makes it a stream that requests come from; nothing if that does not come about within this time, or before the
    /// server stops.
    fn open(
        self,
        within: Duration,
        stop: &CancellationToken,
    ) -> impl Future<Output = Option<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Accepted = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, RemoteAddress)> {
        let (stream, remote) = TcpListener::accept(self).await?;
        // Answers are written whole; waiting for more to fill a packet only costs time.
        let _ = stream.set_nodelay(true);
        Ok((stream, RemoteAddress::Ip(remote)))
    }
}

impl Accept for UnixSocketListener {
    type Accepted = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, RemoteAddress)> {
        Ok((self.next().await?, RemoteAddress::Unix))
    }
}

impl<S: Stream> Accepted for S {
    type Stream = S;

    /// There is nothing to be done first.
    async fn open(self, _: Duration, _: &CancellationToken) -> Option<S> {
        Some(self)
    }
}
