//! The configuration file between one look at it and the next.

use std::path::PathBuf;

use super::digest::FileDigest;
use super::file;
use super::overrides::Overrides;
use super::raw::Environment;

/// The configuration file, for whoever wants to know whether it has changed.
#[derive(Debug, Clone)]
pub struct WatchedFile(PathBuf);

impl WatchedFile {
    /// The one that is read, if one is named.
    pub fn new(overrides: &Overrides, env: &Environment) -> Option<Self> {
        overrides.file(env).map(WatchedFile)
    }

    /// Its content, wherever links lead by now; `None` if it cannot be read.
    pub fn digest(&self) -> Option<FileDigest> {
        file::text(&self.0).ok().map(|text| FileDigest::of(&text))
    }
}
