//! What a database's client needs of the world.

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use super::error::SumdbError;
use crate::gomod::ModulePath;
use crate::kit::FetchContext;

/// A request to a database.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Below the database's root, escaped: `lookup/…`, `tile/…`, `latest`.
    pub path: String,
    /// Of a look-up, the module: these may take long.
    pub lookup: Option<ModulePath>,
    /// The largest body that can be right. Bytes.
    pub max: u64,
    /// On whose behalf.
    pub context: FetchContext,
}

/// The way to a database.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Fetches a body; retries are its business.
    async fn get(&self, ask: &Ask) -> Result<Bytes, SumdbError>;
}

/// Our own store failed.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub struct StateError(pub String);

/// What is kept of one database. Keys are short paths, such as `head` and `lookup/example.com/m@v1.0.0`.
#[async_trait]
pub trait State: Send + Sync + 'static {
    /// A value.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateError>;
    /// Whether there is room for what can be had again: records and tiles.
    fn has_room(&self) -> bool;
    /// Keeps a value; it survives the end of the process.
    async fn put(&self, key: &str, value: Bytes) -> Result<(), StateError>;
    /// Keeps `new` if what is kept is `old`; says whether it was.
    async fn swap(&self, key: &str, old: Option<&Bytes>, new: Bytes) -> Result<bool, StateError>;
    /// Content that can be had again, and is large in sum: tiles.
    async fn tile(&self, key: &str) -> Result<Option<Bytes>, StateError>;
    /// Keeps such content.
    async fn put_tile(&self, key: &str, value: Bytes) -> Result<(), StateError>;
    /// Forgets everything.
    async fn clear(&self) -> Result<(), StateError>;
}
