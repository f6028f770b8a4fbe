//! Cached responses, by the path as it stands in the request: a hit of a small immutable file costs one look-up and no
//! parsing. A response is given as long as the validity of the engine's answer holds (`engine/validity.rs`): that of a
//! file until the engine revokes or re-verifies it, that of a list or the like, which is cached if it is asked for often,
//! until it is past its time or anything newer is known.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::headers::{AnswerHeaders, HIT};
use super::response_meta::ResponseMeta;
use crate::clock::{SharedClock, Timestamp};
use crate::engine::{Validities, Validity};
use crate::gomod::ModulePath;
use crate::protocol::{Lifetime, cache_control, for_its_reader};
use crate::store::{LocalFile, Verified};
use crate::telemetry::metrics::{Endpoint, Outcome};

/// What a response costs beside its body and path, as measured. Bytes.
const OVERHEAD: u64 = 600;
/// Larger bodies are not copied behind their heads. Bytes.
const COPIED: usize = 16 << 10;
/// Of 256 bodies that are read from files, so many are kept in memory.
const PROMOTED: u8 = 8;

/// The answer to a hit of a file, without what differs from request to request and what is the same for all.
#[derive(Clone)]
pub struct CachedResponse {
    /// What it answers.
    pub endpoint: Endpoint,
    /// Names the body.
    pub etag: Option<HeaderValue>,
    /// What vouches for it, if it is a file.
    pub verified: Option<Verified>,
    /// It is for some only.
    pub guard: Option<Restriction>,
    /// When it was fetched, if it is something that changes.
    pub fetched: Option<Timestamp>,
    /// How long it may be given.
    pub validity: Validity,
    /// Of the body.
    pub length: HeaderValue,
    /// Its body; empty if that is in the file only.
    pub body: Bytes,
    /// Where the body can be read, if it is not empty.
    pub file: Option<LocalFile>,
}

/// What a response is about that is for some only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    pub module: ModulePath,
    pub private: bool,
}

impl CachedResponse {
    /// How large its body is. Bytes.
    pub fn bytes(&self) -> u64 {
        let length = self.length.to_str().ok();
        length
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    }

    /// Its headers, but for the request's id.
    fn headers(&self, now: Timestamp) -> AnswerHeaders<'_> {
        let lifetime = match self.fetched {
            None => Lifetime::Immutable,
            Some(_) => Lifetime::Changing,
        };
        let value = cache_control(StatusCode::OK, lifetime);
        AnswerHeaders {
            endpoint: self.endpoint,
            cache_control: match self.guard {
                Some(_) => for_its_reader(value),
                None => value,
            },
            cache_status: &HIT,
            etag: self.etag.as_ref(),
            verified: self.verified,
            age: self.fetched.map(|fetched| now.since(fetched).as_secs()),
            has_content: true,
            length: Some(&self.length),
        }
    }

    /// Notes that its file is used.
    fn touch(&self, now: Timestamp) {
        if let Some(file) = &self.file {
            file.touch(now);
        }
    }

    /// Writes its head, but for the request's id and the date.
    pub fn write_head(&self, now: Timestamp, out: &mut Vec<u8>) {
        self.touch(now);
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        self.headers(now).write_to(out);
    }

    /// The body, appended to `out` if it is small, else to be sent from where it is; false, and nothing is, if it is not at
    /// hand: a file is read only as far as that needs no waiting for the disk.
    pub fn write_content(&self, length: usize, out: &mut Vec<u8>, rest: &mut Bytes) -> bool {
        let (Some(file), true) = (&self.file, self.body.is_empty()) else {
            if length > COPIED {
                *rest = self.body.clone();
            } else {
                out.extend_from_slice(&self.body);
            }
            return true;
        };
        let start = out.len();
        out.resize(start + length, 0);
        let read = file.read_at_once(&mut out[start..], 0);
        if !read {
            out.truncate(start);
        }
        read
    }

    /// The body by itself, as far as it is at hand.
    pub fn content(&self) -> Option<Bytes> {
        if !self.is_in_file_only() {
            return Some(self.body.clone());
        }
        let mut content = vec![0; self.length.to_str().ok()?.parse().ok()?];
        let file = self.file.as_ref()?;
        file.read_at_once(&mut content, 0).then(|| content.into())
    }

    /// Whether its body has to be read.
    pub fn is_in_file_only(&self) -> bool {
        self.file.is_some() && self.body.is_empty()
    }

    /// With this as its body, for the library to write.
    pub fn response(&self, now: Timestamp, content: Bytes) -> Response<Body> {
        self.touch(now);
        let mut response = Response::new(Body::from(content));
        *response.headers_mut() = self.headers(now).map();
        response.extensions_mut().insert(ResponseMeta {
            endpoint: self.endpoint,
            outcome: Outcome::Hit,
            upstream: None,
        });
        response
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Box<str>, Arc<CachedResponse>> for Weigh {
    fn weight(&self, path: &Box<str>, response: &Arc<CachedResponse>) -> u64 {
        path.len() as u64 + response.body.len() as u64 + OVERHEAD
    }
}

/// Cached responses; bounded.
pub struct ResponseCache {
    bodies: Cache<Box<str>, Arc<CachedResponse>, Weigh>,
    /// The same without their bodies, for those that have a file: many more than have room with them.
    files: Cache<Box<str>, Arc<CachedResponse>, Weigh>,
    validities: Validities,
    clock: SharedClock,
}

impl ResponseCache {
    /// With at most `bytes` in all, and as many open files.
    pub fn new(bytes: u64, descriptors: usize, validities: Validities, clock: SharedClock) -> Self {
        let cache = |bytes: u64| {
            let items = usize::try_from(bytes / OVERHEAD).unwrap_or(usize::MAX);
            Cache::with_weighter(items.max(16), bytes.max(1), Weigh)
        };
        let for_files = (bytes / 3).min(descriptors as u64 * OVERHEAD);
        ResponseCache {
            bodies: cache(bytes - for_files),
            files: cache(for_files),
            validities,
            clock,
        }
    }

    /// The answer to a plain GET of this path.
    pub fn at(&self, path: &str) -> Option<Arc<CachedResponse>> {
        let response = self.bodies.get(path).or_else(|| self.files.get(path))?;
        self.holds(&response).then_some(response)
    }

    fn holds(&self, response: &CachedResponse) -> bool {
        let now = || self.clock.now();
        self.validities.holds(&response.validity, now)
    }

    /// How old something is that was fetched then.
    pub fn age(&self, fetched: Timestamp) -> Duration {
        self.clock.now().since(fetched)
    }

    /// Keeps a response to requests for this path, if it may still be given and there is none by the same rules.
    pub fn put(&self, path: &str, response: CachedResponse) {
        let rules = response.validity.rules();
        let same = |kept: Arc<CachedResponse>| kept.validity.rules() == rules;
        if !self.holds(&response) || self.at(path).is_some_and(same) {
            return;
        }
        if response.file.is_some() {
            let without = CachedResponse {
                body: Bytes::new(),
                ..response.clone()
            };
            self.files.insert(path.into(), Arc::new(without));
        }
        let response = CachedResponse {
            file: None,
            ..response
        };
        self.bodies.insert(path.into(), Arc::new(response));
    }

    /// A body has been read from its file. Now and then one is kept in memory: most likely what is asked for most.
    pub fn was_read(&self, path: &str, response: &CachedResponse, body: &[u8]) {
        if fastrand::u8(..) < PROMOTED {
            let response = CachedResponse {
                body: Bytes::copy_from_slice(body),
                file: None,
                ..response.clone()
            };
            self.bodies.insert(path.into(), Arc::new(response));
        }
    }

    /// Bytes held.
    pub fn weight(&self) -> u64 {
        self.bodies.weight() + self.files.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::engine::RulesGeneration;
    use parking_lot::Mutex;
    use std::time::Instant;

    const FIRST: RulesGeneration = RulesGeneration::FIRST;

    struct Hand(Mutex<Timestamp>);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            *self.0.lock()
        }
        #[allow(clippy::disallowed_methods)]
        fn instant(&self) -> Instant {
            Instant::now()
        }
    }

    fn cache() -> (Validities, ResponseCache, Arc<Hand>) {
        let hand = Arc::new(Hand(Mutex::new(Timestamp(1000))));
        let validities = Validities::default();
        let cache = ResponseCache::new(1 << 20, 1 << 10, validities.clone(), hand.clone());
        (validities, cache, hand)
    }

    fn response(body: &'static str, validity: Validity) -> CachedResponse {
        CachedResponse {
            endpoint: Endpoint::Mod,
            etag: None,
            verified: Some(Verified::Sumdb),
            guard: None,
            fetched: None,
            validity,
            length: HeaderValue::from(body.len()),
            body: Bytes::from_static(body.as_bytes()),
            file: None,
        }
    }

    #[test]
    fn a_revoked_file_is_neither_given_nor_cached() {
        let (validities, cache, _) = cache();
        let taken = validities.of(&"a", FIRST);
        cache.put("/a", response("old", taken));
        assert_eq!(cache.at("/a").unwrap().body, "old");
        // Whoever has looked it up before goes on giving it; nobody after.
        validities.end(&"a");
        assert!(cache.at("/a").is_none());
        // Somebody had asked the engine before that.
        cache.put("/a", response("old", taken));
        assert!(cache.at("/a").is_none());
        cache.put("/a", response("new", validities.of(&"a", FIRST)));
        cache.put("/a", response("old", taken));
        assert_eq!(
            cache.at("/a").unwrap().body,
            "new",
            "it takes nobody's place"
        );
    }

    #[test]
    fn one_file_ends_one_response() {
        let (validities, cache, _) = cache();
        let paths: Vec<_> = (0..100).map(|number| format!("/{number}")).collect();
        for path in &paths {
            cache.put(path, response("x", validities.of(path, FIRST)));
        }
        let changed = validities.of(&paths[0], FIRST);
        validities.end(&paths[0]);
        for path in &paths {
            // Any that shares its slot ends as well.
            let is_other = validities.of(path, FIRST) != validities.of(&paths[0], FIRST);
            assert_eq!(cache.at(path).is_some(), is_other, "{path}");
        }
        assert!(!validities.holds(&changed, || Timestamp(0)));
        let left = paths.iter().filter(|path| cache.at(path).is_some());
        assert!(left.count() >= 97);
    }

    #[test]
    fn what_changes_is_given_until_it_is_old() {
        let (validities, cache, hand) = cache();
        let fetched = Timestamp(1000);
        let list = || CachedResponse {
            fetched: Some(fetched),
            ..response(
                "v1.0.0\n",
                validities.of(&"list", FIRST).until(Timestamp(2000)),
            )
        };
        cache.put("/list", list());
        *hand.0.lock() = Timestamp(1999);
        let given = cache.at("/list").unwrap();
        assert_eq!(given.headers(Timestamp(1999)).age, Some(0));
        assert_eq!(given.headers(Timestamp(9999)).age, Some(8));
        *hand.0.lock() = Timestamp(2000);
        assert!(cache.at("/list").is_none());
        cache.put("/new", list());
        *hand.0.lock() = Timestamp(1999);
        assert!(cache.at("/new").is_none(), "it was not put in");
        assert!(cache.at("/list").is_some());
        validities.end(&"list");
        assert!(cache.at("/list").is_none());
    }

    #[test]
    fn a_body_that_was_read_from_a_file_ends_with_the_file() {
        let (validities, cache, _) = cache();
        let large = CachedResponse {
            file: Some(LocalFile::of(b"content")),
            ..response("content", validities.of(&"a", FIRST))
        };
        cache.put("/a", large.clone());
        for _ in 0..1000 {
            cache.was_read("/a", &large, b"content");
        }
        assert!(
            cache.at("/a").unwrap().file.is_none(),
            "it is in memory now"
        );
        cache.bodies.remove("/a");
        assert!(cache.at("/a").unwrap().file.is_some());
        validities.end(&"a");
        assert!(cache.at("/a").is_none());
        cache.was_read("/a", &large, b"content");
        assert!(cache.at("/a").is_none());
    }
}
