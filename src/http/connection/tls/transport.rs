//! The stream that a handshake gives: encrypted, over a socket that can be told to write although nobody has told it of
//! room.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::super::mapped::FilePart;
use super::super::stream::Stream;
use super::certificate;

/// What is below TLS.
pub struct TlsTransport {
    stream: TcpStream,
    /// Writes are tried at once, and wake nobody.
    insists: bool,
    /// The other end has taken something since that was asked.
    has_taken: bool,
}

impl TlsTransport {
    /// Over an accepted connection.
    pub fn new(stream: TcpStream) -> Self {
        TlsTransport {
            stream,
            insists: false,
            has_taken: false,
        }
    }
}

impl AsyncRead for TlsTransport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsTransport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self.insists {
            true => match Stream::try_write(&mut self.stream, bufs, None) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                written => Poll::Ready(written),
            },
            false => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        };
        self.has_taken |= matches!(written, Poll::Ready(Ok(1..)));
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Runs a step of a stream that tries to write at once, and waits for nothing.
fn insist<T>(
    stream: &mut TlsStream<TlsTransport>,
    step: impl FnOnce(Pin<&mut TlsStream<TlsTransport>>, &mut Context<'_>) -> T,
) -> T {
    stream.get_mut().0.insists = true;
    let result = step(
        Pin::new(&mut *stream),
        &mut Context::from_waker(Waker::noop()),
    );
    stream.get_mut().0.insists = false;
    result
}

impl Stream for TlsStream<TlsTransport> {
    const SENDS_FILES: bool = false;
    const HOLDS_BACK: bool = true;
    const IS_TLS: bool = true;

    fn certificate(&self) -> Option<Arc<str>> {
        let shown = self.get_ref().1.peer_certificates()?;
        certificate::name(shown.first()?).map(Arc::from)
    }

    fn poll_write_file(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        _at: usize,
        _part: &FilePart,
    ) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write_vectored(cx, bufs)
    }

    fn try_write(
        &mut self,
        bufs: &[IoSlice<'_>],
        _: Option<&(usize, FilePart)>,
    ) -> io::Result<usize> {
        match insist(self, |stream, cx| stream.poll_write_vectored(cx, bufs)) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn try_flush(&mut self) {
        // An error comes again when it is flushed in earnest.
        let _ = insist(self, |stream, cx| stream.poll_flush(cx));
    }

    fn has_taken(&mut self) -> bool {
        std::mem::take(&mut self.get_mut().0.has_taken)
    }

    fn abort(&self) {
        Stream::abort(&self.get_ref().0.stream);
    }
}
