//! Names and values of headers that several answers have.

use http::{HeaderName, HeaderValue};

use crate::telemetry::metrics::Endpoint;

/// How the cache took part (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What vouches for a file.
pub const LARDER_VERIFIED: HeaderName = HeaderName::from_static("larder-verified");
/// Names a request in answers and logs.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `Cache-Status` of what is past its time by so many seconds, given because nobody can be asked.
pub fn stale(over: u64) -> HeaderValue {
    // Rounded up: what is past its time by less than a second is past it, too.
    let text = format!("larder; hit; ttl=-{}; detail=stale", over.max(1));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("larder; hit; detail=stale"))
}

/// Headers of an answer, at the most.
pub const HEADERS: usize = 12;
/// `Cache-Status` of a hit.
pub const HIT: &str = "larder; hit";
/// Type of every text answer: the `go` command prints a body only if it is this.
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The `Content-Type` of what an endpoint answers.
pub fn content_type(endpoint: Endpoint) -> HeaderValue {
    match endpoint {
        Endpoint::Zip => HeaderValue::from_static("application/zip"),
        Endpoint::Info | Endpoint::Latest | Endpoint::Query => {
            HeaderValue::from_static("application/json")
        }
        _ => TEXT,
    }
}
