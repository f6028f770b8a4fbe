//! The data directory: made, locked, tidied after a crash, migrated, opened.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::Store;
use super::disk::Disk;
use super::files::Files;
use super::migrate::{self, MigrateError};
use super::sled_index::{OpenError, SledIndex, open_db};
use crate::clock::SharedClock;

/// Why a data directory cannot be used. The command line answers exit code 4.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// It cannot be made, read or written.
    #[error(
        "the data directory {path} cannot be used: {source}\nChoose another one with --data-dir, or make this one writable for the user that runs larder."
    )]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "the data directory {path} is held by another process ({holder}).\nStop that one first, or choose another directory with --data-dir."
    )]
    Held {
        /// The directory.
        path: PathBuf,
        /// As far as known.
        holder: String,
    },
    /// Written by a later version.
    #[error(
        "the data directory {path} was written by a later version of larder ({what}).\nRun that version, or choose another directory with --data-dir. Nothing in it was touched."
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// What is newer.
        what: String,
    },
    /// The index does not open, and not because it is damaged.
    #[error("the index in {path} does not open: {reason}")]
    Index {
        /// The directory.
        path: PathBuf,
        /// What was said.
        reason: String,
    },
}

/// An open data directory, held until it is dropped.
pub struct DataDir {
    /// What is kept in it.
    pub store: Store,
    /// Its disk.
    pub disk: Arc<Disk>,
    /// There are files that the index does not know: it was damaged or missing, or they were copied here, and it has
    /// not been rebuilt from them since.
    pub needs_rebuild: bool,
    /// `<data>/modules`
    pub modules: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes what is missing, takes the lock, removes temporary files that a crash left, applies migrations and
    /// opens the index. A damaged index is set aside as `index.damaged-<time>` and a fresh one opened.
    ///
    /// `reserve` and `index_cache` are in bytes.
    pub fn open(
        path: &Path,
        reserve: u64,
        index_cache: u64,
        clock: &SharedClock,
    ) -> Result<Self, DataDirError> {
        let unusable = |source| DataDirError::Unusable {
            path: path.to_owned(),
            source,
        };
        let (modules, tmp, index) = (path.join("modules"), path.join("tmp"), path.join("index"));
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = lock(path)?;
        migrate::check_files(path).map_err(|error| newer_or_unusable(path, error))?;
        fs::create_dir_all(&modules).map_err(unusable)?;
        fs::create_dir_all(&tmp).map_err(unusable)?;
        let db = match open_db(&index, index_cache) {
            Ok(db) => db,
            Err(OpenError::Damaged(reason)) => {
                let aside = path.join(format!("index.damaged-{}", clock.now().0));
                tracing::error!(%reason, aside = %aside.display(),
                    "the index is damaged; set aside, and made anew from the files");
                fs::rename(&index, &aside).map_err(unusable)?;
                open_db(&index, index_cache).map_err(|error| DataDirError::Index {
                    path: path.to_owned(),
                    reason: error.to_string(),
                })?
            }
            Err(OpenError::Io(reason)) => {
                return Err(DataDirError::Index {
                    path: path.to_owned(),
                    reason,
                });
            }
        };
        migrate::apply_index(&db).map_err(|error| newer_or_unusable(path, error))?;
        // From here on things are changed: a store of a later version has been refused untouched.
        remove_temporary(&tmp).map_err(unusable)?;
        migrate::mark_files(path).map_err(unusable)?;
        let has_files = fs::read_dir(&modules).map_err(unusable)?.next().is_some();
        let complete = migrate::is_complete(&db, !has_files)
            .map_err(|error| newer_or_unusable(path, error))?;
        let disk = Arc::new(Disk::new(path.to_owned(), reserve, Arc::clone(clock)));
        let files = Files::new(modules.clone(), path.join("sumdb"), tmp, Arc::clone(&disk))
            .map_err(unusable)?;
        let sled = SledIndex::new(db, index, index_cache).map_err(unusable)?;
        Ok(DataDir {
            store: Store::new(Arc::new(sled), Arc::new(files)),
            disk,
            needs_rebuild: !complete,
            modules,
            _lock: lock,
        })
    }
}

fn newer_or_unusable(path: &Path, error: MigrateError) -> DataDirError {
    match error {
        MigrateError::Newer { .. } => DataDirError::Newer {
            path: path.to_owned(),
            what: error.to_string(),
        },
        MigrateError::Io(source) => DataDirError::Unusable {
            path: path.to_owned(),
            source,
        },
        MigrateError::Index(reason) => DataDirError::Index {
            path: path.to_owned(),
            reason,
        },
    }
}

/// One process only; the file names it for whoever comes second.
fn lock(path: &Path) -> Result<File, DataDirError> {
    let unusable = |source| DataDirError::Unusable {
        path: path.to_owned(),
        source,
    };
    let name = path.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .map_err(unusable)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Who it is is a courtesy; not to know it is no reason to say something else.
            let _ = file.take(64).read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "unknown".to_owned(),
                pid => format!("process {pid}"),
            };
            return Err(DataDirError::Held {
                path: path.to_owned(),
                holder,
            });
        }
        Err(error) => return Err(unusable(error.into())),
    }
    let named = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    // A full disk must not stop hits; then the lock is held without a name.
    let _ = named;
    Ok(file)
}

fn remove_temporary(tmp: &Path) -> io::Result<()> {
    let mut removed = 0_u64;
    for entry in fs::read_dir(tmp)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    if removed > 0 {
        tracing::info!(removed, "removed temporary files that an earlier end left");
    }
    Ok(())
}
