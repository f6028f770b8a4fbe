//! Faults of catalogs.

use std::error::Error;
use std::sync::Arc;

use thiserror::Error;

/// A fault of the catalog.
#[derive(Clone, Debug, Error)]
pub enum CatalogError {
    /// Reading or writing failed.
    #[error("the index failed: {0}")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
    /// It is being reopened after a fault, or closed.
    #[error("the index is not available")]
    Unavailable,
    /// The change was not made, so that what is there goes on being readable.
    #[error("the disk is full, so this could not be recorded; make room on it first")]
    NoRoom,
    /// So many claims are held that no further one is given.
    #[error("too many claims are held at once")]
    TooManyClaims,
}

impl CatalogError {
    /// Of whatever has failed.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        CatalogError::Failed(Arc::from(error.into()))
    }
}
