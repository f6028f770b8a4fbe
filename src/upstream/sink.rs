//! Where a large body goes as it arrives.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

/// Why a sink takes no more.
#[derive(Clone, Debug, Error)]
pub enum SinkError {
    /// It cannot be stored; our own fault.
    #[error("{0}")]
    Store(String),
    /// What arrives cannot be right.
    #[error("{0}")]
    Content(String),
}

/// Takes a body as it arrives.
#[async_trait]
pub trait Sink: Send {
    /// Called before the first byte, with the whole size if it is known, and the origin that it comes from.
    async fn begin(&mut self, total: Option<u64>, from: &Arc<str>) -> Result<(), SinkError>;
    /// Whether anybody may have seen a part of it: then there is no way back, and no hurry either.
    fn shown(&self) -> bool;
    /// Forgets everything, and `begin` comes next; false, and nothing is forgotten, if somebody has seen a part.
    async fn forget(&mut self) -> bool;
    /// Takes the next bytes; waits while it cannot keep up.
    async fn take(&mut self, bytes: Bytes) -> Result<(), SinkError>;
}
