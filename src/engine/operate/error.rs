//! Why an operator does not get what was asked for.

use thiserror::Error;

use crate::engine::EngineError;
use crate::gomod::{ModulePath, Version};
use crate::store::StoreError;

/// Why an operator does not get what was asked for.
#[derive(Debug, Error)]
pub enum OperateError {
    /// A database vouches for it, so it cannot change.
    #[error("{0}@{1} is what its checksum database has recorded; there is nothing to accept")]
    Recorded(ModulePath, Version),
    /// No first-seen checksum holds for it.
    #[error("{0}@{1} is not held to a first-seen checksum here")]
    NotHeld(ModulePath, Version),
    /// No such database is configured; these are.
    #[error("no checksum database {name:?} is configured; {}", there_are(.known))]
    NoDatabase {
        /// What was asked for.
        name: String,
        /// Those that are configured.
        known: Vec<String>,
    },
    /// A database could not forget what it knows.
    #[error("{0}")]
    Database(String),
    /// What is kept could not be read or changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

fn there_are(known: &[String]) -> String {
    match known {
        [] => "there is none".to_owned(),
        known => format!("there are: {}", known.join(", ")),
    }
}
