//! What a configuration file holds, in short.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Tells one content of the configuration file from another. Not kept anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileDigest(u64);

impl FileDigest {
    pub(super) fn of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        FileDigest(hasher.finish())
    }
}
