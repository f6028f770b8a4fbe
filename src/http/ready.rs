//! Answers that are ready to be sent, by the path as it stands in the request: a hit of a small immutable file costs one
//! look-up and no parsing. Such a file never changes and the rules in force are those of the start, so an answer that was
//! right once stays right.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{IF_NONE_MATCH, RANGE, VIA};
use http::{HeaderMap, Method, Request};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::telemetry::metrics::Endpoint;

/// What an entry costs beside its body and path. Bytes.
const OVERHEAD: u64 = 1200;

/// An answer without what differs from request to request.
pub struct Entry {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What it answers.
    pub endpoint: Endpoint,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Box<str>, Arc<Entry>> for Weigh {
    fn weight(&self, path: &Box<str>, entry: &Arc<Entry>) -> u64 {
        path.len() as u64 + entry.body.len() as u64 + OVERHEAD
    }
}

/// Ready answers; bounded.
pub struct Ready(Cache<Box<str>, Arc<Entry>, Weigh>);

impl Ready {
    /// With at most `bytes` in all.
    pub fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / OVERHEAD).unwrap_or(usize::MAX);
        Ready(Cache::with_weighter(items.max(16), bytes.max(1), Weigh))
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
        self.0.get(request.uri().path())
    }

    /// Keeps an answer to requests for this path.
    pub fn put(&self, path: &str, entry: Entry) {
        self.0.insert(path.into(), Arc::new(entry));
    }

    /// Bytes held.
    pub fn weight(&self) -> u64 {
        self.0.weight()
    }
}
