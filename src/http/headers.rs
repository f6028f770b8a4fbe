//! The headers of an answer about a module, in one list for every stream that sends it; and names and values that several answers have.

use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::store::Verified;
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
const MOST: usize = 12;
/// `Cache-Status` of a hit.
pub static HIT: HeaderValue = HeaderValue::from_static("larder; hit");
/// The same of what had to be fetched, …
pub static MISS: HeaderValue = HeaderValue::from_static("larder; fwd=miss");
/// … and is kept from now on.
pub static MISS_STORED: HeaderValue = HeaderValue::from_static("larder; fwd=miss; stored");
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

/// The headers of an answer about a module that is no error, but for those that no two answers share (`X-Request-Id`,
/// `Date`) and those of a part.
pub struct AnswerHeaders<'a> {
    /// What was asked for.
    pub endpoint: Endpoint,
    /// For how long it holds, and for whom.
    pub cache_control: &'static str,
    pub cache_status: &'a HeaderValue,
    /// Names the body.
    pub etag: Option<&'a HeaderValue>,
    /// What vouches for it, where anything could.
    pub verified: Option<Verified>,
    /// Of what changes. Seconds.
    pub age: Option<u64>,
    /// False if it says that what the client has is still right.
    pub has_content: bool,
    /// Of the content; nothing if it is still growing and nobody knows.
    pub length: Option<&'a HeaderValue>,
}

impl AnswerHeaders<'_> {
    /// Writes all of them, always in the same order.
    pub fn write_to(&self, out: &mut impl HeaderSink) {
        out.fixed(CACHE_CONTROL, self.cache_control);
        out.value(CACHE_STATUS, self.cache_status);
        out.fixed(X_CONTENT_TYPE_OPTIONS, "nosniff");
        if let Some(etag) = self.etag {
            out.value(ETAG, etag);
        }
        if let Some(verified) = self.verified {
            out.fixed(LARDER_VERIFIED, verified.as_str());
        }
        if let Some(age) = self.age {
            out.number(AGE, age);
        }
        if !self.has_content {
            return;
        }
        out.value(CONTENT_TYPE, &content_type(self.endpoint));
        if self.endpoint == Endpoint::Zip {
            out.fixed(ACCEPT_RANGES, "bytes");
        }
        if let Some(length) = self.length {
            out.value(CONTENT_LENGTH, length);
        }
    }

    /// As the HTTP library takes them, with room for a few more.
    pub fn map(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(MOST);
        self.write_to(&mut headers);
        headers
    }
}

/// Where headers are written to.
pub trait HeaderSink {
    fn value(&mut self, name: HeaderName, value: &HeaderValue);

    /// A value that is known to be one.
    fn fixed(&mut self, name: HeaderName, value: &'static str);

    fn number(&mut self, name: HeaderName, value: u64);
}

impl HeaderSink for HeaderMap {
    fn value(&mut self, name: HeaderName, value: &HeaderValue) {
        self.insert(name, value.clone());
    }

    fn fixed(&mut self, name: HeaderName, value: &'static str) {
        self.insert(name, HeaderValue::from_static(value));
    }

    fn number(&mut self, name: HeaderName, value: u64) {
        self.insert(name, HeaderValue::from(value));
    }
}

/// As lines of HTTP/1.1.
impl HeaderSink for Vec<u8> {
    fn value(&mut self, name: HeaderName, value: &HeaderValue) {
        line(self, &name, value.as_bytes());
    }

    fn fixed(&mut self, name: HeaderName, value: &'static str) {
        line(self, &name, value.as_bytes());
    }

    fn number(&mut self, name: HeaderName, value: u64) {
        line(self, &name, itoa::Buffer::new().format(value).as_bytes());
    }
}

fn line(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sinks_say_the_same() {
        let fixed = HeaderValue::from_static;
        let (etag, length) = (fixed("\"x\""), fixed("17"));
        for bits in 0..64_u32 {
            let bit = |n: u32| bits & (1 << n) != 0;
            let headers = AnswerHeaders {
                endpoint: if bit(0) {
                    Endpoint::Zip
                } else {
                    Endpoint::List
                },
                cache_control: "no-store",
                cache_status: &HIT,
                etag: bit(1).then_some(&etag),
                verified: bit(2).then_some(Verified::FirstSeen),
                age: bit(3).then_some(7),
                has_content: bit(4),
                length: bit(5).then_some(&length),
            };
            let map = headers.map();
            let lines: Vec<_> = map
                .iter()
                .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()))
                .collect();
            let mut raw = Vec::new();
            headers.write_to(&mut raw);
            assert_eq!(String::from_utf8(raw).unwrap(), lines.concat());
            assert!((3..=9).contains(&lines.len()) && map.len() == lines.len());
        }
    }
}
