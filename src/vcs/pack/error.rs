//! Why a module zip cannot be made.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinError;

use crate::gomod::zip::CreateError;
use crate::vcs::git::GitError;
use crate::vcs::mirror::MirrorError;
use crate::vcs::refusals;
use crate::vcs::tar::TarError;

/// Why there is no zip.
#[derive(Debug, Error)]
pub enum PackError {
    /// What the commit has breaks a rule of module zips: the version has no zip, now or later.
    #[error(transparent)]
    Rule(CreateError),
    /// More than may be, by our own bounds.
    #[error("{what} is too large (over {} MB)", .limit >> 20)]
    TooLarge {
        /// What is.
        what: &'static str,
        /// The bound in bytes.
        limit: u64,
    },
    /// More than may be, by our own bounds on numbers and names.
    #[error("the tree of the commit has too many files, or too long names")]
    TooMany,
    /// The disk has no room for it, for now.
    #[error("larder's disk has no room to unpack it (store.reserve)")]
    NoRoom,
    /// Git said no.
    #[error(transparent)]
    Git(#[from] MirrorError),
    /// Git listed a tree in a way that makes no sense.
    #[error("the list of files that git wrote cannot be read")]
    List,
    /// Git wrote an archive that makes no sense.
    #[error("the archive that git wrote cannot be read: {0}")]
    Archive(TarError),
    /// Our own disk is at fault.
    #[error("the module zip could not be made: {0}")]
    Disk(#[from] io::Error),
    /// Nobody wants the zip any more.
    #[error("nobody waits for the module zip any more")]
    Gone,
}

impl PackError {
    /// For how long it is not worth trying again.
    pub fn lasts(&self) -> Option<Duration> {
        match self {
            PackError::Rule(_) | PackError::TooLarge { .. } | PackError::TooMany => {
                Some(refusals::TOO_LARGE)
            }
            PackError::NoRoom => Some(refusals::NO_ROOM),
            _ => None,
        }
    }
}

impl From<GitError> for PackError {
    fn from(error: GitError) -> Self {
        PackError::Git(error.into())
    }
}

impl From<JoinError> for PackError {
    fn from(error: JoinError) -> Self {
        PackError::Disk(io::Error::other(error))
    }
}

impl From<CreateError> for PackError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Io(error) => PackError::Disk(error),
            // The file is ours, and has been looked through.
            error @ CreateError::WrongSize { .. } => PackError::Disk(io::Error::other(error)),
            error => PackError::Rule(error),
        }
    }
}

impl From<TarError> for PackError {
    fn from(error: TarError) -> Self {
        match error {
            // An end too soon is git's doing; the rest is the disk's.
            TarError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                PackError::Disk(error)
            }
            TarError::LongName => PackError::TooMany,
            error => PackError::Archive(error),
        }
    }
}
