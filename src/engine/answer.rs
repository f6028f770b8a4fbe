//! What the engine answers with.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use super::files::ZipFlight;
use super::validity::Validity;
use crate::clock::Timestamp;
use crate::store::{LocalFile, Verified};

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
    Refreshed {
        /// And kept.
        stored: bool,
    },
    /// Asked for again because the client wanted that.
    Forced {
        /// And kept.
        stored: bool,
    },
}

/// The content.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// A whole file.
    File(LocalFile),
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
    /// When it was fetched; for what has an age only.
    pub fetched: Option<Timestamp>,
    /// The source that was asked for it now.
    pub from: Option<Arc<str>>,
    /// How long it may be given again without asking the engine; not at all if nobody has vouched for it yet, or if it
    /// changes and is not asked for often.
    pub validity: Option<Validity>,
    /// Of a kept file whose content is in memory now: where to read it again.
    pub file: Option<LocalFile>,
}

/// A strong ETag around a text that needs no escaping (an h1 or hexadecimal).
pub fn etag(text: &dyn Display) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{text}\"")).ok()
}
