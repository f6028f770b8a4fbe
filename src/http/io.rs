//! A client's connection: a TCP stream whose writes know `sendfile`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::heads::Heads;
use super::mapped::Regions;
use super::shortcut::Shortcut;
use super::write_buffer::WriteBuffer;

/// Read at once, so that the head of a request can be larger than it may by no more than this. Bytes.
const AT_ONCE: usize = 16 << 10;
/// A client that has closed its side and for this long has been sent nothing has left. Some close it as soon as they have
/// asked, and wait for the answer all the same.
const LEFT: Duration = Duration::from_secs(1);

/// A TCP stream and the mapped files that its answers are made of; plain requests are answered here.
pub struct Connection {
    stream: TcpStream,
    shortcut: Shortcut,
    /// What the short way has still to send.
    out: WriteBuffer,
    heads: Heads,
    /// Set once the client has closed its side: when it counts as gone.
    left: Option<Pin<Box<Sleep>>>,
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    regions: Arc<Regions>,
}

impl Connection {
    /// Over an accepted stream.
    pub fn new(stream: TcpStream, regions: Arc<Regions>, shortcut: Shortcut) -> Self {
        Connection {
            stream,
            shortcut,
            out: WriteBuffer::default(),
            heads: Heads::default(),
            left: None,
            regions,
        }
    }

    fn poll_write_parts(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        #[cfg(target_os = "linux")]
        if let Some((at, part)) = self.regions.first_in(bufs) {
            return match at {
                0 => linux::poll_sendfile(&self.stream, cx, &part),
                _ => linux::poll_send_with_more(&self.stream, cx, &bufs[..at]),
            };
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() <= AT_ONCE {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(AT_ONCE));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        buf.advance(count);
        Poll::Ready(Ok(()))
    }

    /// The client has closed its side: waits until it counts as gone. The library ends the connection then, and with it
    /// whatever is only done for it.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.shortcut.is_idle() {
            return Poll::Ready(());
        }
        let left = self.left.get_or_insert_with(|| Box::pin(sleep(LEFT)));
        left.as_mut().poll(cx)
    }

    /// Something has been sent.
    fn progress(&mut self) {
        if let Some(left) = &mut self.left {
            left.as_mut().reset(Instant::now() + LEFT);
        }
    }

    /// Sends what the short way has to send.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_sent() {
            let stream = Pin::new(&mut self.stream);
            let left = self.out.left();
            let written = match left[1].is_empty() {
                true => stream.poll_write(cx, &left[0]),
                false => stream.poll_write_vectored(cx, &left),
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.out.advance(count),
            }
            if self.out.is_sent() {
                self.shortcut.sent();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_out(cx))?;
            let before = buf.filled().len();
            ready!(this.poll_stream(cx, buf))?;
            if buf.filled().len() == before && buf.remaining() > 0 {
                ready!(this.poll_left(cx));
                return Poll::Ready(Ok(()));
            }
            if !this.shortcut.take(&buf.filled()[before..], &mut this.out) {
                this.heads.check(&mut buf.filled_mut()[before..]);
                return Poll::Ready(Ok(()));
            }
            buf.set_filled(before);
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        this.shortcut.wrote();
        let written = ready!(this.poll_write_parts(cx, bufs));
        this.progress();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.shortcut.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSlice};
    use std::task::{Context, Poll, ready};

    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    use crate::http::mapped::FilePart;

    /// Given to the kernel at once. Bytes.
    const AT_ONCE: usize = 1 << 20;

    /// Runs a write when the socket takes one.
    fn poll_writable(
        stream: &TcpStream,
        cx: &mut Context<'_>,
        mut write: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match stream.try_io(Interest::WRITABLE, &mut write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Sends part of a file without reading it here.
    pub fn poll_sendfile(
        stream: &TcpStream,
        cx: &mut Context<'_>,
        part: &FilePart,
    ) -> Poll<io::Result<usize>> {
        poll_writable(stream, cx, || {
            let mut offset = part.offset;
            match rustix::fs::sendfile(stream, &part.file, Some(&mut offset), part.len.min(AT_ONCE))
            {
                Ok(0) => Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "a kept file is shorter than it was",
                )),
                Ok(sent) => Ok(sent),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Sends what precedes a file, telling the kernel that more follows, so that both share packets.
    pub fn poll_send_with_more(
        stream: &TcpStream,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_writable(stream, cx, || {
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            Ok(sendmsg(
                stream,
                bufs,
                &mut SendAncillaryBuffer::default(),
                flags,
            )?)
        })
    }
}
