//! Why direct mode has no answer.

use std::sync::Arc;

use thiserror::Error;

use crate::vcs::layout::LayoutError;
use crate::vcs::pack::PackError;
use crate::vcs::resolve::ResolveError;
use crate::vcs::versions::{NoVersion, RepoError};

/// Why direct mode has no answer.
#[derive(Debug, Clone, Error)]
pub enum DirectError {
    /// It is not known in which repository the module is.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The module cannot be in that repository.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// There is no such version, or the repository does not answer.
    #[error(transparent)]
    Version(#[from] NoVersion),
    /// The version has no zip, or it cannot be made.
    #[error("{0}")]
    Pack(#[from] Arc<PackError>),
}

impl From<RepoError> for DirectError {
    fn from(error: RepoError) -> Self {
        DirectError::Version(NoVersion::Repo(error))
    }
}
