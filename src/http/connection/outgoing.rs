//! The body of an answer on its way out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::keep_alive::InFlightGuard;
use super::streams::Taking;

/// A body, and those who are told what becomes of it.
pub struct Outgoing<B> {
    /// Nothing for an answer that has none.
    body: Option<B>,
    taking: Option<Arc<Taking>>,
    /// Dropped with it.
    _answering: InFlightGuard,
}

impl<B> Outgoing<B> {
    /// Over HTTP/1.1.
    pub fn new(body: B, answering: InFlightGuard) -> Self {
        Outgoing {
            body: Some(body),
            taking: None,
            _answering: answering,
        }
    }

    /// Over HTTP/2.
    pub fn of_stream(body: Option<B>, answering: InFlightGuard, taking: Arc<Taking>) -> Self {
        Outgoing {
            body,
            taking: Some(taking),
            _answering: answering,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx);
        if let Some(taking) = &this.taking {
            match &frame {
                Poll::Ready(Some(Ok(_))) => taking.give(),
                _ => taking.took(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
