//! The place where something vouches for a file before it is kept: a checksum database, or a pin.

use async_trait::async_trait;
use thiserror::Error;

use crate::gomod::H1;
use crate::protocol::FileKey;
use crate::store::Verified;

/// What is known about a file is not what arrived.
#[derive(Clone, Debug, Error)]
#[error("{text}")]
pub struct Mismatch {
    /// In words for the developer; both hashes and what to do.
    pub text: String,
}

/// Vouches for files. The engine starts it with the flight, so that it can look things up while bytes arrive, and
/// asks it before anything is published or the last part of a zip is released.
pub trait Verifier: Send + Sync + 'static {
    /// A flight for this `.mod` or `.zip` begins.
    fn begin(&self, key: &FileKey) -> Box<dyn Verification>;
}

/// One file's verification under way.
#[async_trait]
pub trait Verification: Send {
    /// The file has this h1 by its content: who vouches for that?
    async fn verdict(self: Box<Self>, h1: &H1) -> Result<Verified, Mismatch>;
}

/// Knows nothing, and says so.
pub struct NoVerifier;

impl Verifier for NoVerifier {
    fn begin(&self, _key: &FileKey) -> Box<dyn Verification> {
        Box::new(NoVerifier)
    }
}

#[async_trait]
impl Verification for NoVerifier {
    async fn verdict(self: Box<Self>, _h1: &H1) -> Result<Verified, Mismatch> {
        Ok(Verified::None)
    }
}
