//! What a client is answered.

use bytes::Bytes;

/// What a client may be answered, byte for byte as the database gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseAnswer {
    /// The body.
    pub body: Bytes,
    /// It was kept, and nobody was asked.
    pub kept: bool,
}
