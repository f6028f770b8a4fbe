//! What flights end with.

use std::sync::Arc;

use super::error::EngineError;
use super::memory::{CachedFile, CachedMetadata};

/// A small file that has been fetched.
#[derive(Clone)]
pub(super) struct FetchedFile {
    pub(super) file: CachedFile,
    /// Whether it will be kept, as far as can be said.
    pub(super) stored: bool,
    /// The origin that it came from.
    pub(super) from: Arc<str>,
}

/// A changing answer that has been fetched, or why not.
pub(super) type MetaOutcome = Result<CachedMetadata, EngineError>;
