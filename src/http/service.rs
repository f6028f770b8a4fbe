//! What connections ask: the routes of one address, and the note that is made of every request.

use std::sync::Arc;

use axum::body::Body;
use futures_util::future::{self, Either};
use http::{Request, Response};
use hyper::body::Incoming;

use super::caller::is_host;
use super::connection::{ConnectionInfo, Handler, PlainRequest, WriteBuffer};
use super::observe::{AnswerBody, Observer};
use super::peer::Peer;
use super::responses::CachedResponse;
use super::router::AddressRouter;

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

    fn cached_at(
        &self,
        request: &PlainRequest<'_>,
        connection: &ConnectionInfo,
    ) -> Option<Arc<CachedResponse>> {
        is_host(request.host).then(|| self.router.cached_at(request, connection))?
    }

    /// The cached response to a plain request of HTTP/2, for which there is no fast path below the library.
    fn cached<B>(
        &self,
        request: &Request<B>,
        connection: &ConnectionInfo,
    ) -> Option<Response<Body>> {
        let plain = PlainRequest::of_http2(request)?;
        let cached = self.cached_at(&plain, connection)?;
        let content = cached.content()?;
        if cached.is_in_file_only() {
            self.router.was_read(plain.path, &cached, &content);
        }
        Some(cached.response(self.observer.now(), content))
    }
}

impl Handler for Service {
    type Body = AnswerBody;

    fn ready(
        &self,
        request: &PlainRequest<'_>,
        connection: &ConnectionInfo,
        out: &mut WriteBuffer,
    ) -> bool {
        let PlainRequest { path, agent, .. } = *request;
        let Some(response) = self.cached_at(request, connection) else {
            return false;
        };
        let written = self
            .observer
            .answer_at_once(path, agent, connection.remote, &response, out);
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
        if let Some(response) = self.cached(&request, connection) {
            return Either::Left(future::ready(pending.answered(response)));
        }
        if let Some(refusal) = self.router.refuse(&request) {
            return Either::Left(future::ready(pending.answered(refusal)));
        }
        let peer = Peer {
            files: connection.files.clone(),
            address: remote.ip(),
            reach: self.router.reach(),
            is_tls: connection.is_tls,
            certificate: connection.certificate.clone(),
        };
        // Boxed, so that an idle connection does not hold room for it.
        Either::Right(Box::pin(async move {
            pending.answered(self.router.answer(request, peer).await)
        }))
    }
}
