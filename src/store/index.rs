//! The seam for the index: a small ordered map of text keys to opaque values.

use async_trait::async_trait;
use thiserror::Error;

use super::totals::Totals;

/// One change to the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(String, Vec<u8>),
    /// Removes a key.
    Remove(String),
}

/// A fault of the index.
#[derive(Clone, Debug, Error)]
pub enum IndexError {
    /// Reading or writing failed.
    #[error("the index failed: {0}")]
    Failed(String),
    /// Being reopened after a fault, or closed.
    #[error("the index is not available")]
    Unavailable,
    /// It was not written, so that it goes on being readable.
    #[error("the disk is full, so this could not be recorded; make room on it first")]
    NoRoom,
}

/// An ordered map of facts. Reads are quick enough for the path of a hit.
#[async_trait]
pub trait Index: Send + Sync + 'static {
    /// The value of a key.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, IndexError>;

    /// Applies all changes or none; when this returns they survive the end of the process.
    async fn commit(&self, changes: Vec<Change>) -> Result<(), IndexError>;

    /// Sets a key if its value is `expected` (`None`: not there); says whether it was. Durable like a commit.
    async fn swap(
        &self,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, IndexError>;

    /// Up to `limit` entries whose keys start with `prefix` and come after `after`, in the keys' order.
    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, IndexError>;

    /// How much is kept: right in every moment, since it changes in one step with what it counts, also when the process is
    /// killed. `None` until it has been counted.
    fn totals(&self) -> Option<Totals>;

    /// Counts a few more entries, changes meanwhile being seen to; says whether the totals are known now. With `anew`, it
    /// begins again, whatever was known.
    async fn count(&self, anew: bool) -> Result<bool, IndexError>;

    /// Whether it can answer and the last change went through.
    fn healthy(&self) -> bool;

    /// Whether it is in memory only, because the disk has no room for it.
    fn in_memory(&self) -> bool {
        false
    }

    /// Writes out what is pending and ends it.
    async fn close(&self);
}
