//! What the engine answers with.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use super::ahead::Client;
use super::zip::ZipFlight;
use crate::errand::Errand;
use crate::store::{BlobFile, Verified};

/// How the cache took part (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Kept.
    Hit,
    /// Kept, but this many seconds past its time, because nobody could be asked.
    Stale(u64),
    /// Fetched.
    Miss {
        /// And kept.
        stored: bool,
    },
    /// Kept but past its time, so asked for again.
    Refreshed,
    /// Asked for again because the client wanted that.
    Forced,
}

/// The content.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// A whole file.
    File(BlobFile),
    /// A zip that is still being fetched.
    Growing(Arc<ZipFlight>),
}

/// An answer to a request about a module.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What.
    pub content: Content,
    /// A strong validator, if the content is known whole.
    pub etag: Option<HeaderValue>,
    /// What vouches for it; for files only.
    pub verified: Option<Verified>,
    /// How the cache took part.
    pub cache: CacheStatus,
    /// How old it is; for what has an age only.
    pub age: Option<Duration>,
    /// The source that was asked for it now.
    pub from: Option<Arc<str>>,
}

/// What a request allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Only what is kept: `Disable-Module-Fetch: true`, `/cached-only`.
    pub cached_only: bool,
    /// Ask again, however fresh the copy: `Cache-Control: no-cache`.
    pub no_cache: bool,
    /// The servers it has come through (`Via`), passed on so that a loop is noticed.
    pub via: Option<HeaderValue>,
    /// Who asks; nothing is guessed for somebody unknown.
    pub client: Option<Client>,
}

impl Mode {
    /// On whose behalf.
    pub fn errand(&self) -> Errand {
        self.via.clone().into()
    }
}

/// A strong ETag around a text that needs no escaping (an h1 or hexadecimal).
pub fn etag(text: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{text}\"")).ok()
}
