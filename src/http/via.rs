//! The servers that a request has come through, this one among them if it goes in a circle.

use axum::body::Body;
use http::Response;
use http::header::{HeaderMap, HeaderValue, VIA};

use super::error;
use crate::engine::Cause;
use crate::telemetry::metrics::Endpoint;

/// The servers that this request has come through, in one line; of very many, the last ones.
pub fn hops(headers: &HeaderMap) -> Option<HeaderValue> {
    const MOST: usize = 1024;
    let values = headers.get_all(VIA).iter();
    let hops: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    let line = hops.join(", ");
    let last = match line.len().checked_sub(MOST) {
        None => line.as_str(),
        // Header values are ASCII here, so any place is a boundary; the first hop may be cut.
        Some(over) => line.get(over..)?.split_once(',')?.1.trim_start(),
    };
    (!last.is_empty())
        .then(|| HeaderValue::try_from(last).ok())
        .flatten()
}

/// Our own name in `Via` means that an upstream led back to us.
pub fn leads_to(own: &str, headers: &HeaderMap) -> bool {
    headers
        .get_all(VIA)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .any(|hop| hop.split_whitespace().nth(1) == Some(own))
        })
}

pub fn loop_detected() -> Response<Body> {
    error::response(&Cause::Loop.into(), Endpoint::Other)
}
