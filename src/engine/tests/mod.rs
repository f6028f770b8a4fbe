//! The engine in process: no network, and interleavings that are chosen.

mod held;
mod scripted;
mod validity;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tempfile::TempDir;

use crate::clock::SharedClock;
use crate::store::LocalFiles;
use crate::store::local::{Disk, StoreFolders};

/// What is free while there is room. Bytes.
const ROOMY: u64 = 1 << 40;

/// Where syncing costs nothing, if there is such a place: every file that is kept is synced.
fn folder() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).unwrap()
}

/// The files of a data directory without an index, on a disk that says that so many bytes are free.
fn files_in(data: &Path, free: &Arc<AtomicU64>, clock: &SharedClock) -> LocalFiles {
    let folder = |name: &str| {
        let path = data.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    folder("modules");
    folder("sumdb");
    let disk = Disk::with_free(data.to_owned(), Arc::clone(free), clock.clone());
    let folders = StoreFolders {
        data: data.to_owned(),
        tmp_of_modules: folder("tmp"),
        tmp_of_sumdb: folder("tmp/sumdb"),
    };
    LocalFiles::new(folders, Arc::new(disk)).unwrap()
}
