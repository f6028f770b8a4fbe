//! Where a large body goes as it arrives.

use std::sync::Arc;

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
pub trait Sink: Send {
    /// Called before the first byte, with the whole size if it is known, and the upstream that it comes from.
    fn begin(
        &mut self,
        total: Option<u64>,
        from: &Arc<str>,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;
    /// Whether anybody may have seen a part of it: then there is no way back, and no hurry either.
    fn shown(&self) -> bool;
    /// Forgets everything, and `begin` comes next; false, and nothing is forgotten, if somebody has seen a part.
    fn forget(&mut self) -> impl Future<Output = bool> + Send;
    /// Takes the next bytes; waits while it cannot keep up.
    fn take(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), SinkError>> + Send;
}
