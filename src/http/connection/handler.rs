//! What a connection asks of those who answer requests.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;

use super::fast::{PlainRequest, WriteBuffer};
use super::files::FileBodies;
use super::remote::RemoteAddress;

/// What a request's handler may know of its connection.
#[derive(Clone)]
pub struct ConnectionInfo {
    /// The other end.
    pub remote: RemoteAddress,
    /// How files are sent over it.
    pub files: FileBodies,
    /// Whether the client speaks TLS.
    pub is_tls: bool,
    /// Whom the certificate names that it has shown, if it has.
    pub certificate: Option<Arc<str>>,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Of answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// Answers a plain GET where that needs no waiting: `out`, which is empty, becomes the whole answer. False, and
    /// nothing is written, if [`Handler::answer`] is to be asked.
    fn ready(
        &self,
        request: &PlainRequest<'_>,
        connection: &ConnectionInfo,
        out: &mut WriteBuffer,
    ) -> bool;

    /// Answers any request.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: &ConnectionInfo,
    ) -> impl Future<Output = Response<Self::Body>> + Send + use<Self>;
}
