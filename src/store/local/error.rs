//! What can go wrong with files.

use std::io;

use thiserror::Error;

use super::room::is_no_room;

/// A fault of the place where files are kept. That a file is not there is none.
#[derive(Debug, Error)]
pub enum LocalError {
    /// The file is larger than what is taken of it.
    #[error("a kept file has {size} bytes, at most {limit} expected")]
    TooLarge {
        /// Bytes that it has.
        size: u64,
        /// Bytes that are taken.
        limit: u64,
    },
    /// It would go beyond `store.reserve`.
    #[error("{doing}: less than store.reserve is free")]
    Reserve {
        /// What was being done.
        doing: &'static str,
    },
    /// The file was staged to be checked only.
    #[error("{doing}: there was no room to keep it when it was fetched")]
    NotToBeKept {
        /// What was being done.
        doing: &'static str,
    },
    /// What does the work has ended.
    #[error("{doing}: the thread that does it has ended")]
    Ended {
        /// What was being done.
        doing: &'static str,
    },
    /// The file system failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl LocalError {
    /// Whether nothing else can be kept either, for want of room or because nothing may be written.
    pub fn is_no_room(&self) -> bool {
        match self {
            LocalError::Reserve { .. } => true,
            LocalError::Io { source, .. } => is_no_room(source.kind()),
            _ => false,
        }
    }
}

/// Why a file cannot be staged, or grow any more.
#[derive(Debug, Error)]
pub enum StageError {
    /// Neither disk nor memory has room.
    #[error("no room to hold the file while it is checked")]
    NoRoom,
    /// What does the work has ended.
    #[error("the thread that writes the file has ended")]
    Ended,
    /// The file system failed.
    #[error("a temporary file failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for StageError {
    fn from(error: io::Error) -> Self {
        match is_no_room(error.kind()) {
            true => StageError::NoRoom,
            false => StageError::Io(error),
        }
    }
}
