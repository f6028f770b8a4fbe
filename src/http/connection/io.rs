//! A client's end: what HTTP reads from and writes to, with the fast path in between.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::fast::{FastPath, WriteBuffer};
use super::handler::Handler;
use super::heads::Heads;
use super::keep_alive::KeepAlive;
use super::mapped::{FilePart, Regions};
use super::stream::Stream;

/// Read at once, so that the head of a request can be larger than it may by no more than this. Bytes.
const AT_ONCE: usize = 16 << 10;
/// A client that has closed its side and for this long has been sent nothing has left. Some close it as soon as they have
/// asked, and wait for the answer all the same.
pub const LEFT: Duration = Duration::from_secs(1);

/// A stream to a client, and the mapped files that its answers are made of.
pub struct ClientStream<S: Stream, H> {
    stream: S,
    /// Read already, and not given to the library yet.
    unread: Vec<u8>,
    http1: Option<Http1<H>>,
    /// What the fast path has still to send.
    out: WriteBuffer,
    /// The stream may hold back some of what the fast path has sent.
    unflushed: bool,
    keep_alive: Arc<KeepAlive>,
    /// Set once the client has closed its side: when it counts as gone.
    left: Option<Pin<Box<Sleep>>>,
    regions: Arc<Regions>,
}

/// What stands between a stream and the library where HTTP/1.1 is spoken.
pub struct Http1<H> {
    pub fast: Option<FastPath<H>>,
    pub heads: Heads,
}

impl<S: Stream, H: Handler> ClientStream<S, H> {
    /// Over an accepted stream, of which `unread` has been read. Without `http1` the client speaks HTTP/2.
    pub fn new(
        stream: S,
        unread: Vec<u8>,
        http1: Option<Http1<H>>,
        keep_alive: Arc<KeepAlive>,
        regions: Arc<Regions>,
    ) -> Self {
        ClientStream {
            stream,
            unread,
            http1,
            out: WriteBuffer::default(),
            unflushed: false,
            keep_alive,
            left: None,
            regions,
        }
    }

    fn poll_write_parts(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let file = match S::SENDS_FILES {
            true => self.regions.first_in(bufs),
            false => None,
        };
        if self.keep_alive.tries_write()
            && let Some(written) = at_once(&mut self.stream, bufs, file.as_ref())
        {
            return Poll::Ready(written);
        }
        match file {
            Some((at, part)) => self.stream.poll_write_file(cx, bufs, at, &part),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let count = self.unread.len().min(buf.remaining());
            buf.put_slice(&self.unread[..count]);
            self.unread.drain(..count);
            if self.unread.is_empty() {
                self.unread = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
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
        // Who speaks HTTP/2 needs its side to take the answers.
        if self.http1.is_none() || self.keep_alive.is_idle() {
            return Poll::Ready(());
        }
        let left = self.left.get_or_insert_with(|| Box::pin(sleep(LEFT)));
        left.as_mut().poll(cx)
    }

    fn fast(&mut self) -> Option<&mut FastPath<H>> {
        self.http1.as_mut()?.fast.as_mut()
    }

    /// Notes whether the client takes what it is sent.
    fn note<T>(&mut self, written: &Poll<io::Result<T>>) {
        match written {
            Poll::Pending => self.stall(),
            Poll::Ready(_) => {
                self.keep_alive.took();
                if self.http1.is_none() {
                    self.keep_alive.took_part();
                }
                if let Some(left) = &mut self.left {
                    left.as_mut().reset(Instant::now() + LEFT);
                }
            }
        }
    }

    /// A write does not go on.
    fn stall(&mut self) {
        if self.stream.has_taken() {
            self.keep_alive.took();
        }
        self.keep_alive.stall();
    }

    /// Sends what the stream holds back.
    fn poll_flush_stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if S::HOLDS_BACK && self.keep_alive.tries_write() {
            self.stream.try_flush();
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note_flush(&flushed);
        flushed
    }

    /// Notes whether the client takes what the stream holds back.
    fn note_flush(&mut self, flushed: &Poll<io::Result<()>>) {
        if S::HOLDS_BACK {
            match flushed {
                Poll::Pending => self.stall(),
                Poll::Ready(_) => self.keep_alive.took(),
            }
        }
    }

    /// Sends what the fast path has to send.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_sent() {
            let left = self.out.left();
            let tried = match self.keep_alive.tries_write() {
                true => at_once(&mut self.stream, &left, None),
                false => None,
            };
            let stream = Pin::new(&mut self.stream);
            let written = match tried {
                Some(written) => Poll::Ready(written),
                None if left[1].is_empty() => stream.poll_write(cx, &left[0]),
                None => stream.poll_write_vectored(cx, &left),
            };
            self.note(&written);
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.out.advance(count),
            }
            if self.out.is_sent() {
                match S::HOLDS_BACK {
                    true => self.unflushed = true,
                    false => self.keep_alive.wait(),
                }
            }
        }
        if S::HOLDS_BACK && self.unflushed {
            ready!(self.poll_flush_stream(cx))?;
            self.unflushed = false;
            self.keep_alive.wait();
        }
        Poll::Ready(Ok(()))
    }
}

/// What comes of a write that is tried at once, if the system takes anything.
fn at_once<S: Stream>(
    stream: &mut S,
    bufs: &[IoSlice<'_>],
    file: Option<&(usize, FilePart)>,
) -> Option<io::Result<usize>> {
    match stream.try_write(bufs, file) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        written => Some(written),
    }
}

impl<S: Stream, H: Handler> AsyncRead for ClientStream<S, H> {
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
            let Some(http1) = &mut this.http1 else {
                return Poll::Ready(Ok(()));
            };
            let read = &mut buf.filled_mut()[before..];
            let fast = http1.fast.as_mut();
            if !fast.is_some_and(|fast| fast.take(read, &mut this.out)) {
                http1.heads.check(read);
                return Poll::Ready(Ok(()));
            }
            buf.set_filled(before);
        }
    }
}

impl<S: Stream, H: Handler> AsyncWrite for ClientStream<S, H> {
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
        if let Some(fast) = this.fast() {
            fast.wrote();
        }
        let written = this.poll_write_parts(cx, bufs);
        this.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        ready!(this.poll_flush_stream(cx))?;
        this.keep_alive.flushed();
        if let Some(fast) = this.fast() {
            fast.flushed();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.note_flush(&shut);
        shut
    }
}

impl<S: Stream, H> Drop for ClientStream<S, H> {
    /// What a client has not taken is not kept for it by the system either.
    fn drop(&mut self) {
        if self.keep_alive.stalled_since().is_some() {
            self.stream.abort();
        }
    }
}
