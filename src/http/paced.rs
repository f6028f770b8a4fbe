//! Bodies that go out no faster than their client may have them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::engine::{BodyPace, Engine, RequestContext};

/// The answer to a request, at the pace at which its client may have it.
pub fn response(
    engine: &Engine,
    context: &RequestContext,
    response: Response<Body>,
) -> Response<Body> {
    match engine.body_pace(context) {
        Some(pace) => response.map(|body| Body::new(PacedBody::new(body, pace))),
        None => response,
    }
}

/// A body that goes out piece by piece.
struct PacedBody {
    inner: Body,
    pace: BodyPace,
    /// What has come and not gone out.
    left: Bytes,
    /// Until the next piece of it, which is paid for, may go out.
    wait: Option<(usize, Pin<Box<Sleep>>)>,
    delayed: bool,
}

impl PacedBody {
    /// This body, at this pace.
    fn new(inner: Body, pace: BodyPace) -> Self {
        PacedBody {
            inner,
            pace,
            left: Bytes::new(),
            wait: None,
            delayed: false,
        }
    }
}

impl http_body::Body for PacedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let body = self.get_mut();
        loop {
            if let Some((piece, wait)) = &mut body.wait {
                ready!(wait.as_mut().poll(cx));
                let piece = body.left.split_to(*piece);
                body.wait = None;
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if !body.left.is_empty() {
                let piece = body.left.len().min(body.pace.piece());
                let wait = body.pace.take(piece);
                if wait == Duration::ZERO {
                    return Poll::Ready(Some(Ok(Frame::data(body.left.split_to(piece)))));
                }
                if !std::mem::replace(&mut body.delayed, true) {
                    body.pace.delays();
                }
                body.wait = Some((piece, Box::pin(sleep(wait))));
                continue;
            }
            match ready!(Pin::new(&mut body.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => body.left = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, left) = (self.inner.size_hint(), self.left.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + left);
        }
        hint.set_lower(hint.lower() + left);
        hint
    }
}
