//! What tests of connections stand on: a stream in memory, and a handler that knows one answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncWrite, DuplexStream};

use super::fast::{PlainRequest, WriteBuffer};
use super::handler::{ConnectionInfo, Handler};
use super::mapped::FilePart;
use super::stream::Stream;

impl Stream for DuplexStream {
    const SENDS_FILES: bool = false;
    const HOLDS_BACK: bool = false;

    fn poll_write_file(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        _at: usize,
        _part: &FilePart,
    ) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write_vectored(cx, bufs)
    }

    fn try_write(&mut self, _: &[IoSlice<'_>], _: Option<&(usize, FilePart)>) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn abort(&self) {}
}

/// Answers everything with this text.
pub struct Text(pub String);

impl Handler for Text {
    type Body = String;

    fn ready(&self, _: &PlainRequest<'_>, _: &ConnectionInfo, _: &mut WriteBuffer) -> bool {
        false
    }

    fn answer(
        self: Arc<Self>,
        _request: Request<Incoming>,
        _connection: &ConnectionInfo,
    ) -> impl Future<Output = Response<String>> + Send + use<> {
        std::future::ready(Response::new(self.0.clone()))
    }
}

/// A request of HTTP/1.1.
pub fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}
