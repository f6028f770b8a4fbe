//! Answers that are ready to be sent, by the path as it stands in the request: a hit of a small immutable file costs one
//! look-up and no parsing. Such a file never changes and the rules in force are those of the start, so an answer that was
//! right once stays right, unless the engine takes a file back: then its epoch moves on, and all entries with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RANGE, VIA,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::modules::{HIT, content_type};
use super::{CACHE_STATUS, LARDER_VERIFIED};
use crate::protocol::cache_control;
use crate::store::Verified;
use crate::telemetry::metrics::Endpoint;

/// What an entry costs beside its body and path, as measured. Bytes.
const OVERHEAD: u64 = 600;

/// The answer to a hit of a file, without what differs from request to request and what is the same for all.
pub struct Entry {
    /// What it answers.
    pub endpoint: Endpoint,
    /// Names the body.
    pub etag: Option<HeaderValue>,
    /// What vouches for it.
    pub verified: Verified,
    /// Of the body.
    pub length: HeaderValue,
    /// Its body.
    pub body: Bytes,
    /// The engine's epoch before it was asked.
    pub epoch: u64,
}

impl Entry {
    /// Writes its head, but for the request's id and the date.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        let mut line = |name: &[u8], value: &[u8]| {
            out.extend_from_slice(name);
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        };
        line(b"HTTP/1.1 ", b"200 OK");
        line(
            b"cache-control: ",
            cache_control(StatusCode::OK, true).as_bytes(),
        );
        line(b"cache-status: ", HIT.as_bytes());
        line(b"x-content-type-options: ", b"nosniff");
        if let Some(etag) = &self.etag {
            line(b"etag: ", etag.as_bytes());
        }
        line(b"larder-verified: ", self.verified.as_str().as_bytes());
        line(b"content-type: ", content_type(self.endpoint).as_bytes());
        if self.endpoint == Endpoint::Zip {
            line(b"accept-ranges: ", b"bytes");
        }
        line(b"content-length: ", self.length.as_bytes());
    }

    /// Its headers, but for the request's id.
    pub fn headers(&self) -> HeaderMap {
        let fixed = HeaderValue::from_static;
        let mut headers = HeaderMap::with_capacity(super::modules::HEADERS);
        headers.insert(CACHE_CONTROL, fixed(cache_control(StatusCode::OK, true)));
        headers.insert(CACHE_STATUS, fixed(HIT));
        headers.insert(X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
        if let Some(etag) = &self.etag {
            headers.insert(ETAG, etag.clone());
        }
        headers.insert(LARDER_VERIFIED, fixed(self.verified.as_str()));
        headers.insert(CONTENT_TYPE, content_type(self.endpoint));
        if self.endpoint == Endpoint::Zip {
            headers.insert(ACCEPT_RANGES, fixed("bytes"));
        }
        headers.insert(CONTENT_LENGTH, self.length.clone());
        headers
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Box<str>, Arc<Entry>> for Weigh {
    fn weight(&self, path: &Box<str>, entry: &Arc<Entry>) -> u64 {
        path.len() as u64 + entry.body.len() as u64 + OVERHEAD
    }
}

/// Ready answers; bounded.
pub struct Ready {
    entries: Cache<Box<str>, Arc<Entry>, Weigh>,
    epoch: Arc<AtomicU64>,
}

impl Ready {
    /// With at most `bytes` in all. Entries of an earlier `epoch` are not answered.
    pub fn new(bytes: u64, epoch: Arc<AtomicU64>) -> Self {
        let items = usize::try_from(bytes / OVERHEAD).unwrap_or(usize::MAX);
        Ready {
            entries: Cache::with_weighter(items.max(16), bytes.max(1), Weigh),
            epoch,
        }
    }

    /// The answer to a request that asks for nothing special.
    pub fn get<B>(&self, request: &Request<B>) -> Option<Arc<Entry>> {
        let headers = request.headers();
        let special = [IF_NONE_MATCH, RANGE, VIA]
            .iter()
            .any(|name| headers.contains_key(name));
        let plain = matches!(*request.method(), Method::GET | Method::HEAD)
            && request.uri().scheme().is_none();
        if special || !plain {
            return None;
        }
        self.at(request.uri().path())
    }

    /// The answer to a plain GET of this path.
    pub fn at(&self, path: &str) -> Option<Arc<Entry>> {
        let entry = self.entries.get(path)?;
        (entry.epoch == self.epoch()).then_some(entry)
    }

    /// The epoch of answers that are asked for now.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Keeps an answer to requests for this path.
    pub fn put(&self, path: &str, entry: Entry) {
        self.entries.insert(path.into(), Arc::new(entry));
    }

    /// Bytes held.
    pub fn weight(&self) -> u64 {
        self.entries.weight()
    }
}
