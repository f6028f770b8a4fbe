//! The data directory: judged, made, locked, tidied after a crash, migrated, opened.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::Store;
use super::catalog::sled::SledCatalog;
use super::catalog::sled::base::{Base, Held, OpenError, Opener};
use super::catalog::sled::complete;
use super::catalog::sled::migrate::{self, MigrateError};
use super::catalog::{self, Health};
use super::keeper::Keeper;
use super::local::{self, DirClaim, Disk, LocalFiles, StoreFolders};
use crate::clock::SharedClock;

/// Why a data directory cannot be used. The command line answers exit code 4.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// It cannot be made, read or written.
    #[error(
        "the data directory {path} cannot be used: {source}\n{}",
        advice(source)
    )]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It, or what is to be a folder in it or above it, is a file.
    #[error(
        "the data directory {path} cannot be used: {what} is not a directory.\nName a directory with --data-dir."
    )]
    NotADirectory {
        /// The directory.
        path: PathBuf,
        /// What is no directory.
        what: PathBuf,
    },
    /// It is somebody else's.
    #[error(
        "{path} is not a data directory of larder: it has {found}.\nName a directory that is empty or not there yet with --data-dir. Nothing in this one was touched."
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What was found there.
        found: String,
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
    /// The index does not open, and neither because it is damaged nor for want of room.
    #[error("the index in {path} does not open: {reason}")]
    Index {
        /// The directory.
        path: PathBuf,
        /// What was said.
        reason: String,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "Choose another one with --data-dir, or make this one writable for the user that runs larder."
        }
        kind if local::is_no_room(kind) => {
            "Make room on that disk, or choose another directory with --data-dir."
        }
        _ => "Choose another one with --data-dir.",
    }
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
    /// Looks after the room; to be called now and then by a server.
    pub keeper: Keeper,
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes what is missing, takes the lock, removes temporary files that a crash left, applies migrations and
    /// opens the index. A damaged index is set aside as `index.damaged-<time>` and a fresh one opened. A directory that
    /// is somebody else's is left as it is. A full disk fails none of it, as long as the directory is there.
    ///
    /// `reserve` and `index_cache` are in bytes.
    pub fn open(
        path: &Path,
        reserve: u64,
        index_cache: u64,
        clock: &SharedClock,
    ) -> Result<Self, DataDirError> {
        let unusable = |source| unusable(path, source);
        let claim = claim(path)?;
        if let DirClaim::Marked(version) = claim {
            migrate::check_files(version).map_err(|error| newer_or_unusable(path, error))?;
        } else {
            // Before anything else is made, so that an end at any moment leaves what is known as ours.
            match migrate::mark_files(path) {
                // There is nothing here that could be served.
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                    return Err(unusable(error));
                }
                marked => unless_full(marked).map_err(unusable)?,
            }
        }
        let lock = lock(path)?;
        let folder = |name: &str| make_folder(path, &path.join(name)).map(|()| path.join(name));
        let (modules, tmp, sumdb) = (folder("modules")?, folder("tmp")?, folder("sumdb")?);
        let places = vec![path.to_owned(), modules.clone(), tmp.clone(), sumdb.clone()];
        let measure = Box::new(local::volume);
        let disk = Disk::measured(places, reserve, Arc::clone(clock), measure);
        let disk = Arc::new(disk);
        let opener = Opener::new(path, index_cache, Arc::clone(&disk));
        let base = open_index(path, &opener, &tmp, clock)?;
        // From here on things are changed: a store of a later version has been refused untouched.
        let mut removed = local::remove_left(&tmp);
        for folder in [&modules, &sumdb] {
            removed += local::remove_left(&folder.join(local::APART));
        }
        if removed > 0 {
            tracing::info!(removed, "removed temporary files that an earlier end left");
        }
        let tmp_of_modules = local::folder_for(&tmp, &modules).map_err(unusable)?;
        let tmp_of_sumdb = local::folder_for(&tmp, &sumdb).map_err(unusable)?;
        let complete = has_whole(&base)
            && complete::is_complete(&base, is_empty(&modules).map_err(unusable)?)
                .map_err(|error| newer_or_unusable(path, error))?;
        let folders = StoreFolders {
            data: path.to_owned(),
            tmp_of_modules: tmp_of_modules.clone(),
            tmp_of_sumdb,
        };
        let files = LocalFiles::new(folders, Arc::clone(&disk)).map_err(unusable)?;
        let sled = Arc::new(SledCatalog::new(base, opener, clock).map_err(unusable)?);
        Ok(DataDir {
            store: Store::new(Arc::clone(&sled) as _, files),
            keeper: Keeper::new(Arc::clone(&disk), sled, tmp_of_modules, modules.clone()),
            disk,
            needs_rebuild: !complete,
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The same for commands that change what is kept: an index in memory would forget it when they end.
    pub fn open_to_change(
        path: &Path,
        reserve: u64,
        index_cache: u64,
        clock: &SharedClock,
    ) -> Result<Self, DataDirError> {
        let data = Self::open(path, reserve, index_cache, clock)?;
        match data.store.catalog().health() {
            Health::Ready | Health::Unavailable => Ok(data),
            Health::InMemory => Err(DataDirError::Index {
                path: path.to_owned(),
                reason: "the disk has no room for that.\nMake room on it first.".to_owned(),
            }),
        }
    }

    /// Whether an existing directory can be a data directory, as far as can be seen without touching it.
    pub fn judge(path: &Path) -> Result<(), DataDirError> {
        match judged(path)? {
            DirClaim::Marked(version) => {
                migrate::check_files(version).map_err(|error| newer_or_unusable(path, error))
            }
            _ => Ok(()),
        }
    }

    /// Whether other users of this machine can read what is kept.
    pub fn is_open_to_others(&self) -> bool {
        let mode = |path: &Path| path.metadata().map_or(0, |meta| meta.permissions().mode());
        let Ok(path) = self.path.canonicalize() else {
            return false;
        };
        // Readable itself, and everything above it can be passed through.
        mode(&path) & 0o005 != 0
            && path
                .ancestors()
                .skip(1)
                .all(|above| mode(above) & 0o001 != 0)
    }
}

fn unusable(path: &Path, source: io::Error) -> DataDirError {
    match source.kind() {
        io::ErrorKind::NotADirectory => DataDirError::NotADirectory {
            path: path.to_owned(),
            what: path
                .ancestors()
                .find(|above| above.symlink_metadata().is_ok())
                .unwrap_or(path)
                .to_owned(),
        },
        _ => DataDirError::Unusable {
            path: path.to_owned(),
            source,
        },
    }
}

fn newer_or_unusable(path: &Path, error: MigrateError) -> DataDirError {
    match error {
        MigrateError::Newer { .. } => DataDirError::Newer {
            path: path.to_owned(),
            what: error.to_string(),
        },
        MigrateError::Io(source) => unusable(path, source),
        MigrateError::Index(reason) | MigrateError::NoRoom(reason) => DataDirError::Index {
            path: path.to_owned(),
            reason,
        },
    }
}

/// Whose the directory is; made if it is not there, for its owner alone: private modules are kept in it.
fn claim(path: &Path) -> Result<DirClaim, DataDirError> {
    match path.metadata() {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => {
            return Err(DataDirError::NotADirectory {
                path: path.to_owned(),
                what: path.to_owned(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = path.parent().map_or(Ok(()), fs::create_dir_all);
            let made = above.and_then(|()| fs::DirBuilder::new().mode(0o700).create(path));
            match made {
                // Another one was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                made => made.map_err(|error| unusable(path, error))?,
            }
        }
        Err(error) => return Err(unusable(path, error)),
    }
    judged(path)
}

fn judged(path: &Path) -> Result<DirClaim, DataDirError> {
    match local::look(path).map_err(|error| unusable(path, error))? {
        DirClaim::Foreign(found) => Err(DataDirError::Foreign {
            path: path.to_owned(),
            found,
        }),
        claim => Ok(claim),
    }
}

/// A full disk, or one that takes no more for another reason, is no failure.
fn unless_full(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if local::is_no_room(error.kind()) => Ok(()),
        other => other,
    }
}

fn make_folder(data: &Path, folder: &Path) -> Result<(), DataDirError> {
    if folder.is_dir() {
        return Ok(());
    }
    if folder.symlink_metadata().is_ok() {
        return Err(DataDirError::NotADirectory {
            path: data.to_owned(),
            what: folder.to_owned(),
        });
    }
    unless_full(fs::create_dir(folder)).map_err(|error| unusable(data, error))
}

fn is_empty(modules: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(modules) {
        Ok(entries) => entries,
        // It could not be made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if entry?.file_name() != local::APART {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has_whole(base: &Base) -> bool {
    match base {
        Base::Disk(_) => true,
        Base::Held(held) => held.is_whole(),
    }
}

/// Opens the index: another one if it is damaged, and in memory if the disk has no room to open it.
fn open_index(
    path: &Path,
    opener: &Opener,
    tmp: &Path,
    clock: &SharedClock,
) -> Result<Base, DataDirError> {
    let failed = |reason: String| DataDirError::Index {
        path: path.to_owned(),
        reason,
    };
    let mut opened = opener.open();
    if matches!(opened, Err(OpenError::NoRoom(_))) && local::remove_left(tmp) > 0 {
        opened = opener.open();
    }
    if let Err(OpenError::Damaged(reason)) = &opened {
        let aside = set_aside(&opener.path, clock).map_err(|error| unusable(path, error))?;
        tracing::error!(%reason, aside = %aside.display(),
            "the index is damaged; set aside, and made anew from the files");
        opened = opener.open();
    }
    let why = match opened {
        Ok(db) => match migrate::apply_index(&db) {
            Err(MigrateError::NoRoom(why)) => why,
            applied => {
                return applied
                    .map(|()| Base::Disk(db))
                    .map_err(|error| newer_or_unusable(path, error));
            }
        },
        Err(OpenError::NoRoom(why)) => why,
        Err(error) => return Err(failed(error.to_string())),
    };
    let held = opener
        .read_copy()
        .unwrap_or_else(|| Held::new(BTreeMap::new(), false));
    catalog::sled::tell_held(&why, held.is_whole());
    Ok(Base::Held(held))
}

/// Puts a damaged index out of the way. A folder that is a mount stays, and its files go into one below it.
fn set_aside(index: &Path, clock: &SharedClock) -> io::Result<PathBuf> {
    let aside = index.with_file_name(format!("index.damaged-{}", clock.now().0));
    match fs::rename(index, &aside) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices
            ) =>
        {
            let below = index.join(format!("damaged-{}", clock.now().0));
            fs::create_dir(&below)?;
            for entry in fs::read_dir(index)? {
                let entry = entry?;
                let name = entry.file_name();
                if name.to_str().is_some_and(catalog::sled::is_of_index) {
                    fs::rename(entry.path(), below.join(name))?;
                }
            }
            Ok(below)
        }
        renamed => renamed.map(|()| aside),
    }
}

/// One process only; the file names it for whoever comes second.
fn lock(path: &Path) -> Result<File, DataDirError> {
    let unusable = |source| unusable(path, source);
    let name = path.join("lock");
    let mut options = File::options();
    options.read(true);
    let opened = options.clone().write(true).create(true).open(&name);
    let mut file = match opened {
        // What cannot be written can be held all the same, if need be by the folder.
        Err(error) if local::is_no_room(error.kind()) => options
            .open(&name)
            .or_else(|_| File::open(path))
            .map_err(unusable)?,
        opened => opened.map_err(unusable)?,
    };
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
