//! Why the server does not start, or does not go on.

use thiserror::Error;

use crate::config::ConfigErrors;
use crate::http::BindError;
use crate::kit::tasks::Death;
use crate::store::DataDirError;

/// Why the server does not start, or does not go on. Each has its own exit code.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration cannot be used: exit code 2.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Certificates that the configuration names cannot be used: exit code 2.
    #[error("{0}")]
    Files(String),
    /// The address is taken or not permitted: exit code 3.
    #[error(transparent)]
    Address(#[from] BindError),
    /// The data directory cannot be used: exit code 4.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// It runs, and a part of it without which it is of no use has died: exit code 1.
    #[error("the server cannot go on: {0}")]
    Died(Death),
    /// It has stopped, and the store was not closed in order: exit code 1.
    #[error(
        "the store could not be closed within the time to stop (server.shutdown_grace); what was answered as kept is on the disk all the same"
    )]
    NotClosed,
    /// Anything else: exit code 1.
    #[error("{0}")]
    Internal(String),
}
