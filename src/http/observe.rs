//! What is noted about every request when it ends: one access line, metrics, the request id.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::{Frame, SizeHint};
use httpdate::HttpDate;

use super::connection::{RemoteAddress, WriteBuffer};
use super::headers::X_REQUEST_ID;
use super::response_meta::{RequestId, ResponseMeta};
use super::responses::CachedResponse;
use crate::clock::{SharedClock, Timestamp};
use crate::telemetry::access::{self, AccessLine, Weight};
use crate::telemetry::logs::{Format, LogSink};
use crate::telemetry::metrics::{Endpoint, Outcome, RequestMetrics};

/// Notes requests.
pub struct Observer {
    metrics: Arc<RequestMetrics>,
    clock: SharedClock,
    sink: LogSink,
    format: Format,
    access: bool,
    /// Whether probes that go well have a line, too.
    probes: bool,
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
            probes: access::shows_probes(),
            prefix: fastrand::u32(..),
            next: AtomicU64::new(0),
        }
    }

    /// A request has come in that will take a while.
    pub fn begin<B>(self: &Arc<Self>, request: &Request<B>, remote: RemoteAddress) -> Pending {
        Pending {
            observer: Arc::clone(self),
            began: self.clock.instant(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            agent: request.headers().get(USER_AGENT).cloned(),
            remote,
            id: self.id(request.headers()),
            noted: false,
        }
    }

    /// The time of the answers that are noted here.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A plain GET has come in whose response is cached: writes that. Gives where its body begins; `None`, and
    /// nothing is written, if it cannot be had at once.
    pub fn answer_at_once(
        &self,
        path: &str,
        agent: &[u8],
        remote: RemoteAddress,
        cached: &CachedResponse,
        unsent: &mut WriteBuffer,
    ) -> Option<usize> {
        let out = &mut unsent.bytes;
        let began = self.clock.instant();
        let length = cached.length.to_str().ok()?.parse().ok()?;
        let start = out.len();
        let id = self.fresh_digits();
        let now = self.clock.now();
        cached.write_head(now, out);
        out.extend_from_slice(b"x-request-id: ");
        out.extend_from_slice(&id);
        out.extend_from_slice(b"\r\ndate: ");
        extend_with_date(now, out);
        out.extend_from_slice(b"\r\n\r\n");
        let body = out.len();
        if !cached.write_content(length, out, &mut unsent.rest) {
            out.truncate(start);
            return None;
        }
        let line = Line {
            began,
            method: "GET",
            path,
            agent,
            remote,
            // Hexadecimal digits.
            id: std::str::from_utf8(&id).unwrap_or_default(),
        };
        let (endpoint, bytes) = (cached.endpoint, length as u64);
        self.note(&line, StatusCode::OK, endpoint, Outcome::Hit, None, bytes);
        Some(body)
    }

    fn id(&self, headers: &HeaderMap) -> HeaderValue {
        given_id(headers).unwrap_or_else(|| self.fresh_id())
    }

    /// A request has ended.
    fn note(
        &self,
        line: &Line<'_>,
        status: StatusCode,
        endpoint: Endpoint,
        outcome: Outcome,
        upstream: Option<&str>,
        bytes: u64,
    ) {
        let took = self.clock.instant().saturating_duration_since(line.began);
        self.metrics.ended(endpoint, outcome, took, bytes);
        let is_probe = endpoint == Endpoint::Status && status.is_success();
        if !self.access || (is_probe && !self.probes) {
            return;
        }
        let line = AccessLine {
            weight: if is_probe {
                Weight::Probe
            } else {
                Weight::Request
            },
            method: line.method,
            path: line.path,
            status: status.as_u16(),
            bytes,
            duration: took,
            cache: outcome.as_str(),
            upstream,
            request_id: line.id,
            remote: line.remote.socket(),
            user_agent: line.agent,
            endpoint: endpoint.as_str(),
        };
        let now = self.clock.now().0;
        self.sink
            .write_line(|out| access::write(&line, self.format, now, out));
    }

    fn fresh_id(&self) -> HeaderValue {
        // Hexadecimal digits are always a valid header value.
        HeaderValue::from_bytes(&self.fresh_digits()).unwrap_or(HeaderValue::from_static("0"))
    }

    /// Unlike any other of this process, and most likely of any other.
    fn fresh_digits(&self) -> [u8; 20] {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = [b'0'; 20];
        let hex = |nibble: u64| b"0123456789abcdef"[(nibble & 15) as usize];
        for (at, slot) in text.iter_mut().enumerate() {
            *slot = match at {
                0..=7 => hex(u64::from(self.prefix) >> (28 - 4 * at)),
                _ => hex(number >> (44 - 4 * (at - 8))),
            };
        }
        text
    }
}

/// Appends a date in the form of RFC 9110 5.6.7; formatted once a second by each thread.
fn extend_with_date(now: Timestamp, out: &mut Vec<u8>) {
    thread_local! {
        static DATE: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    DATE.with_borrow_mut(|(second, text)| {
        if *second != now.0 / 1000 {
            *second = now.0 / 1000;
            let time = std::time::UNIX_EPOCH + Duration::from_secs(*second);
            text.clear();
            // Writing to a String does not fail.
            let _ = write!(text, "{}", HttpDate::from(time));
        }
        out.extend_from_slice(text.as_bytes());
    });
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
    remote: RemoteAddress,
    id: HeaderValue,
    noted: bool,
}

/// What a request is known by when it has ended.
struct Line<'a> {
    began: Instant,
    method: &'a str,
    path: &'a str,
    agent: &'a [u8],
    remote: RemoteAddress,
    id: &'a str,
}

impl Pending {
    /// The request's id, for what is logged of it elsewhere.
    pub fn request_id(&self) -> RequestId {
        RequestId(self.id.to_str().unwrap_or_default().into())
    }

    /// The answer is there: gives it the request's id, and notes the request now if its body is in memory, else when
    /// the body ends.
    pub fn answered(mut self, mut response: Response<Body>) -> Response<AnswerBody> {
        response.headers_mut().insert(X_REQUEST_ID, self.id.clone());
        let note = response
            .extensions_mut()
            .remove::<ResponseMeta>()
            .unwrap_or(ResponseMeta {
                endpoint: Endpoint::Other,
                outcome: Outcome::Other,
                upstream: None,
            });
        let status = response.status();
        let size = http_body::Body::size_hint(response.body()).exact();
        match size {
            Some(size) if size <= crate::store::SMALL => {
                self.ended(status, &note, size);
                response.map(AnswerBody::Body)
            }
            _ => response.map(|inner| {
                AnswerBody::Observed(Box::new(Observed {
                    inner,
                    bytes: 0,
                    pending: Some((self, status, note)),
                }))
            }),
        }
    }

    fn ended(&mut self, status: StatusCode, note: &ResponseMeta, bytes: u64) {
        self.noted = true;
        let line = Line {
            began: self.began,
            method: self.method.as_str(),
            path: self.uri.path(),
            agent: self.agent.as_ref().map_or(&[], HeaderValue::as_bytes),
            remote: self.remote,
            id: self.id.to_str().unwrap_or_default(),
        };
        let upstream = note.upstream.as_deref();
        self.observer
            .note(&line, status, note.endpoint, note.outcome, upstream, bytes);
    }
}

impl Drop for Pending {
    /// The client has left before there was an answer: noted with the status that nginx made known for it.
    fn drop(&mut self) {
        if !self.noted
            && let Ok(status) = StatusCode::from_u16(499)
        {
            let note = ResponseMeta {
                endpoint: Endpoint::Other,
                outcome: Outcome::Cancelled,
                upstream: None,
            };
            self.ended(status, &note, 0);
        }
    }
}

/// The body of an answer.
pub enum AnswerBody {
    /// A handler's, noted already.
    Body(Body),
    /// A handler's, noted when it ends.
    Observed(Box<Observed>),
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            AnswerBody::Body(body) => Pin::new(body).poll_frame(cx),
            AnswerBody::Observed(body) => Pin::new(body.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Body(body) => body.is_end_stream(),
            AnswerBody::Observed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Body(body) => body.size_hint(),
            AnswerBody::Observed(body) => body.size_hint(),
        }
    }
}

/// A body that is noted when it ends, whole or not.
pub struct Observed {
    inner: Body,
    bytes: u64,
    pending: Option<(Pending, StatusCode, ResponseMeta)>,
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
        if let Some((mut pending, status, note)) = self.pending.take() {
            pending.ended(status, &note, self.bytes);
        }
    }
}
