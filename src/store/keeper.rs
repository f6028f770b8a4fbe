//! Looks after the room: says when there is too little and when there is enough again, finds out whether anything can be
//! kept, has spare room made, and the index brought back to the disk.

use std::path::PathBuf;
use std::sync::Arc;

use super::catalog::sled::SledCatalog;
use super::local::{self, Disk};

/// Written to find out whether anything can be. Bytes.
const TRIAL: usize = 64 << 10;

/// What a server calls now and then.
#[derive(Clone)]
pub struct Keeper {
    disk: Arc<Disk>,
    catalog: Arc<SledCatalog>,
    tmp: PathBuf,
    modules: PathBuf,
}

impl Keeper {
    /// Files are made in `tmp` and renamed into `modules`.
    pub fn new(disk: Arc<Disk>, catalog: Arc<SledCatalog>, tmp: PathBuf, modules: PathBuf) -> Self {
        Keeper {
            disk,
            catalog,
            tmp,
            modules,
        }
    }

    /// Waits until the thread that writes the index is gone, be it that the store was closed.
    pub async fn index_writer_ended(&self) {
        self.catalog.writer_ended().await;
    }

    /// Looks once. May block for as long as the disk takes.
    pub fn look(&self) {
        self.disk.tell();
        // What was missing on a full disk.
        for folder in [&self.modules, &self.tmp] {
            if !folder.exists() {
                let _ = std::fs::create_dir(folder);
            }
        }
        self.disk
            .try_keeping(|| local::try_rename(&self.tmp, &self.modules, TRIAL));
        self.catalog.tend();
    }
}
