//! What connections run over.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll};

#[cfg(target_os = "linux")]
use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream};

use super::mapped::FilePart;

/// A stream of bytes to a client and back.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether it sends files without reading them. Where it does not, nothing that it is given to write is a mapped
    /// file: reading one can block, and a disk that fails would end the process.
    const SENDS_FILES: bool;
    /// Whether what it has taken may wait in it until it is flushed, as what is encrypted does.
    const HOLDS_BACK: bool;

    /// Whether it is encrypted.
    const IS_TLS: bool = false;

    /// Whom the certificate names that the other end has shown, if it has.
    fn certificate(&self) -> Option<Arc<str>> {
        None
    }

    /// Writes the beginning of some buffers, of which that at `at` is this part of a file, whose memory is not touched.
    fn poll_write_file(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        at: usize,
        part: &FilePart,
    ) -> Poll<io::Result<usize>>;

    /// Writes what the system takes of these buffers, of which one may be a part of a file as in
    /// [`Stream::poll_write_file`], although it has not told of room: it does so only once a good part of its own buffer
    /// is free, which a slow client may not reach for minutes. `WouldBlock` if it takes nothing, or cannot be asked.
    fn try_write(
        &mut self,
        bufs: &[IoSlice<'_>],
        file: Option<&(usize, FilePart)>,
    ) -> io::Result<usize>;

    /// The same with what it holds back.
    fn try_flush(&mut self) {}

    /// Whether the other end has taken any of what it held back since this was asked last.
    fn has_taken(&mut self) -> bool {
        false
    }

    /// Makes it end at once when it is dropped, with nothing sent of what waits.
    fn abort(&self);
}

/// A socket of the system, of whichever kind.
pub trait SystemSocket: AsFd + AsyncRead + AsyncWrite + Send + Unpin + 'static {
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Runs a write that the socket may not be ready for after all.
    fn try_write_io<T>(&self, write: impl FnMut() -> io::Result<T>) -> io::Result<T>;

    /// As [`Stream::abort`].
    fn reset(&self);
}

impl SystemSocket for TcpStream {
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        TcpStream::poll_write_ready(self, cx)
    }

    fn try_write_io<T>(&self, write: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.try_io(Interest::WRITABLE, write)
    }

    fn reset(&self) {
        // A socket that cannot even do that is gone.
        let _ = self.set_zero_linger();
    }
}

impl SystemSocket for UnixStream {
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        UnixStream::poll_write_ready(self, cx)
    }

    fn try_write_io<T>(&self, write: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.try_io(Interest::WRITABLE, write)
    }

    /// What was written is with the other end already.
    fn reset(&self) {}
}

impl<S: SystemSocket> Stream for S {
    const SENDS_FILES: bool = cfg!(target_os = "linux");
    const HOLDS_BACK: bool = false;

    #[cfg(target_os = "linux")]
    fn poll_write_file(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        at: usize,
        part: &FilePart,
    ) -> Poll<io::Result<usize>> {
        match at {
            0 => linux::poll_sendfile(self, cx, part),
            _ => linux::poll_send_with_more(self, cx, &bufs[..at]),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn poll_write_file(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        _at: usize,
        _part: &FilePart,
    ) -> Poll<io::Result<usize>> {
        std::pin::Pin::new(self).poll_write_vectored(cx, bufs)
    }

    #[cfg(target_os = "linux")]
    fn try_write(
        &mut self,
        bufs: &[IoSlice<'_>],
        file: Option<&(usize, FilePart)>,
    ) -> io::Result<usize> {
        match file {
            Some((0, part)) => linux::sendfile(self, part),
            Some((at, _)) => linux::send(self, &bufs[..*at], SendFlags::MORE),
            None => linux::send(self, bufs, SendFlags::empty()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn try_write(&mut self, _: &[IoSlice<'_>], _: Option<&(usize, FilePart)>) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn abort(&self) {
        self.reset();
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSlice};
    use std::task::{Context, Poll, ready};

    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

    use super::super::mapped::FilePart;
    use super::SystemSocket;

    /// Given to the kernel at once. Bytes.
    const AT_ONCE: usize = 1 << 20;

    /// Runs a write when the socket takes one.
    fn poll_writable(
        stream: &impl SystemSocket,
        cx: &mut Context<'_>,
        mut write: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match stream.try_write_io(&mut write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Sends part of a file without reading it here.
    pub fn poll_sendfile(
        stream: &impl SystemSocket,
        cx: &mut Context<'_>,
        part: &FilePart,
    ) -> Poll<io::Result<usize>> {
        poll_writable(stream, cx, || sendfile(stream, part))
    }

    /// The same, as far as the system takes it.
    pub fn sendfile(stream: &impl SystemSocket, part: &FilePart) -> io::Result<usize> {
        let mut offset = part.offset;
        match rustix::fs::sendfile(stream, &part.file, Some(&mut offset), part.len.min(AT_ONCE)) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a kept file is shorter than it was",
            )),
            Ok(sent) => Ok(sent),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what precedes a file, telling the kernel that more follows, so that both share packets.
    pub fn poll_send_with_more(
        stream: &impl SystemSocket,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_writable(stream, cx, || send(stream, bufs, SendFlags::MORE))
    }

    /// Sends what the system takes.
    pub fn send(
        stream: &impl SystemSocket,
        bufs: &[IoSlice<'_>],
        flags: SendFlags,
    ) -> io::Result<usize> {
        let mut nothing = SendAncillaryBuffer::default();
        Ok(sendmsg(
            stream,
            bufs,
            &mut nothing,
            flags | SendFlags::NOSIGNAL,
        )?)
    }
}
