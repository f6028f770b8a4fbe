//! What is noted about every request when it ends: one access line, metrics, the request id.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::{Frame, SizeHint};

use super::X_REQUEST_ID;
use crate::clock::SharedClock;
use crate::telemetry::access::{self, AccessLine};
use crate::telemetry::logs::{Format, LogSink};
use crate::telemetry::metrics::{Endpoint, Outcome, RequestMetrics};

/// What a handler says about its answer, as an extension of the response.
#[derive(Clone, Debug)]
pub struct Note {
    /// What was asked for.
    pub endpoint: Endpoint,
    /// What became of it.
    pub outcome: Outcome,
    /// Who was asked.
    pub upstream: Option<Arc<str>>,
}

/// Notes requests.
pub struct Observer {
    metrics: Arc<RequestMetrics>,
    clock: SharedClock,
    sink: LogSink,
    format: Format,
    access: bool,
    prefix: u32,
    next: AtomicU64,
}

impl Observer {
    /// `access` says whether access lines are written.
    pub fn new(
        metrics: Arc<RequestMetrics>,
        clock: SharedClock,
        sink: LogSink,
        format: Format,
        access: bool,
    ) -> Self {
        Observer {
            metrics,
            clock,
            sink,
            format,
            access,
            prefix: fastrand::u32(..),
            next: AtomicU64::new(0),
        }
    }

    /// Metrics of the face.
    pub fn metrics(&self) -> &Arc<RequestMetrics> {
        &self.metrics
    }

    /// A request has come in.
    pub fn begin(
        self: &Arc<Self>,
        request: &Request<hyper::body::Incoming>,
        remote: std::net::SocketAddr,
    ) -> Pending {
        let id = given_id(request.headers()).unwrap_or_else(|| self.fresh_id());
        Pending {
            observer: Arc::clone(self),
            began: self.clock.instant(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            agent: request.headers().get(USER_AGENT).cloned(),
            remote,
            id,
        }
    }

    /// Unlike any other of this process, and most likely of any other.
    fn fresh_id(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = [b'0'; 20];
        let hex = |nibble: u64| b"0123456789abcdef"[(nibble & 15) as usize];
        for (at, slot) in text.iter_mut().enumerate() {
            *slot = match at {
                0..=7 => hex(u64::from(self.prefix) >> (28 - 4 * at)),
                _ => hex(number >> (44 - 4 * (at - 8))),
            };
        }
        // Hexadecimal digits are always a valid header value.
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

/// A client's own id, if it is one that can stand in a log.
fn given_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(X_REQUEST_ID)?;
    let fine = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=')
    };
    (id.len() <= 128 && !id.is_empty() && id.as_bytes().iter().all(fine)).then(|| id.clone())
}

/// A request under way.
pub struct Pending {
    observer: Arc<Observer>,
    began: Instant,
    method: Method,
    uri: Uri,
    agent: Option<HeaderValue>,
    remote: std::net::SocketAddr,
    id: HeaderValue,
}

impl Pending {
    /// The answer is there: gives it the request's id, and notes the request now if its body is in memory, else when
    /// the body ends.
    pub fn answered(self, mut response: Response<Body>) -> Response<Body> {
        response.headers_mut().insert(X_REQUEST_ID, self.id.clone());
        let note = response.extensions_mut().remove::<Note>().unwrap_or(Note {
            endpoint: Endpoint::Other,
            outcome: Outcome::Other,
            upstream: None,
        });
        let status = response.status();
        let size = http_body::Body::size_hint(response.body()).exact();
        match size {
            Some(size) if size <= crate::store::SMALL => {
                self.ended(status, &note, size);
                response
            }
            _ => response.map(|inner| {
                Body::new(Observed {
                    inner,
                    bytes: 0,
                    pending: Some((self, status, note)),
                })
            }),
        }
    }

    fn ended(&self, status: StatusCode, note: &Note, bytes: u64) {
        let observer = &self.observer;
        let took = observer
            .clock
            .instant()
            .saturating_duration_since(self.began);
        observer
            .metrics
            .ended(note.endpoint, note.outcome, took, bytes);
        if !observer.access {
            return;
        }
        let line = AccessLine {
            method: self.method.as_str(),
            path: self.uri.path(),
            status: status.as_u16(),
            bytes,
            duration: took,
            cache: note.outcome.as_str(),
            upstream: note.upstream.as_deref(),
            request_id: self.id.to_str().unwrap_or_default(),
            remote: self.remote,
            user_agent: self.agent.as_ref().map_or(&[], |agent| agent.as_bytes()),
            endpoint: note.endpoint.as_str(),
        };
        let now = observer.clock.now().0;
        observer
            .sink
            .write_line(|out| access::write(&line, observer.format, now, out));
    }
}

/// A body that is noted when it ends, whole or not.
struct Observed {
    inner: Body,
    bytes: u64,
    pending: Option<(Pending, StatusCode, Note)>,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            // The reason is in the log already, where it happened.
            Some(Err(_)) => {
                if let Some((_, _, note)) = &mut self.pending {
                    note.outcome = Outcome::UpstreamFault;
                }
            }
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if let Some((pending, status, note)) = self.pending.take() {
            pending.ended(status, &note, self.bytes);
        }
    }
}
