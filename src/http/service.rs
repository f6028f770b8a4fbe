//! What connections ask: the routes of one address, and the note that is made of every request.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use futures_util::future::{self, Either};
use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HOST, USER_AGENT};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;

use super::caller::is_host;
use super::connection::{ConnectionInfo, Handler, PlainRequest, WriteBuffer};
use super::observe::{AnswerBody, Observer};
use super::peer::Peer;
use super::router::AddressRouter;

/// Larger requests are not plain. Bytes.
const LONGEST_PLAIN: usize = 4 << 10;

/// Answers the requests that come to one address, and notes them.
pub struct Service {
    router: AddressRouter,
    observer: Arc<Observer>,
}

impl Service {
    /// What this site answers, noted by this observer.
    pub fn new(router: AddressRouter, observer: Arc<Observer>) -> Self {
        Service { router, observer }
    }

    /// The cached response to a plain request of HTTP/2, which has no fast path below the library.
    fn cached<B>(&self, request: &Request<B>, remote: SocketAddr) -> Option<Response<Body>> {
        let (path, host) = plain_http2(request)?;
        let cached = self.router.cached_at(path, host, remote.ip())?;
        let content = cached.content()?;
        if cached.is_in_file_only() {
            self.router.was_read(path, &cached, &content);
        }
        Some(cached.response(self.observer.now(), content))
    }
}

/// Path and host of a request of HTTP/2 that asks for nothing else: a [`PlainRequest`], whose rules it follows.
fn plain_http2<B>(request: &Request<B>) -> Option<(&str, &[u8])> {
    let (uri, headers) = (request.uri(), request.headers());
    let is_plain = request.version() == Version::HTTP_2
        && request.method() == Method::GET
        && uri.query().is_none()
        && uri.path().bytes().all(|byte| byte.is_ascii_graphic());
    // Where the connection has put the authority.
    let mut hosts = headers.get_all(HOST).iter();
    let (host, None) = (hosts.next()?.as_bytes(), hosts.next()) else {
        return None;
    };
    if !is_plain || !is_host(host) {
        return None;
    }
    let mut length = uri.path().len();
    for (name, value) in headers {
        let known = [HOST, USER_AGENT, ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE];
        if !known.contains(name) {
            return None;
        }
        length += name.as_str().len() + value.len();
    }
    (length <= LONGEST_PLAIN).then_some((uri.path(), host))
}

impl Handler for Service {
    type Body = AnswerBody;

    fn ready(&self, request: &PlainRequest<'_>, remote: SocketAddr, out: &mut WriteBuffer) -> bool {
        let PlainRequest { path, host, agent } = *request;
        if !is_host(host) {
            return false;
        }
        let Some(response) = self.router.cached_at(path, host, remote.ip()) else {
            return false;
        };
        let written = self
            .observer
            .answer_at_once(path, agent, remote, &response, out);
        if let Some(body) = written
            && response.file.is_some()
        {
            self.router.was_read(path, &response, &out.bytes[body..]);
        }
        written.is_some()
    }

    fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        connection: &ConnectionInfo,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + use<> {
        let remote = connection.remote;
        let pending = self.observer.begin(&request, remote);
        request.extensions_mut().insert(pending.request_id());
        if let Some(response) = self.cached(&request, remote) {
            return Either::Left(future::ready(pending.answered(response)));
        }
        if let Some(refusal) = self.router.refuse(&request) {
            return Either::Left(future::ready(pending.answered(refusal)));
        }
        let peer = Peer {
            files: connection.files.clone(),
            address: Some(remote.ip()),
            is_tls: connection.is_tls,
        };
        // Boxed, so that an idle connection does not hold room for it.
        Either::Right(Box::pin(async move {
            pending.answered(self.router.answer(request, peer).await)
        }))
    }
}
