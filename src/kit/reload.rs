//! Reading the configuration again: what whoever asks for it is told, and whom to ask.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What came of reading the configuration again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Which rules are in force, counted from 1 at the start. They are others only if something has changed that they say.
    pub generation: u64,
    /// Keys that are in force with another value now.
    pub changed: Vec<String>,
    /// Keys that have another value now than the one that is in force, and wait for a restart.
    pub needs_restart: Vec<String>,
    /// Keys that were changed in the file, where something else goes before it.
    pub shadowed: Vec<ShadowedKey>,
    /// What an operator may want to know, a sentence each.
    pub warnings: Vec<String>,
}

/// A key of the file that does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowedKey {
    pub key: String,
    /// The variable or flag that goes before the file.
    pub by: String,
}

/// Why the configuration was not taken. What was in force still is, all of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReloadError {
    /// It is wrong: every fault, with file and line.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
    /// Nobody reads it now.
    #[error("{0}")]
    Failed(String),
}

/// Whoever reads the configuration again.
pub trait Reload: Send + Sync {
    /// Reads it, puts it in force as a whole or not at all, and tells what came of that.
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ReloadError>>;
}
