//! This machine's files: staged while they are fetched, adopted when they have been verified, opened to be served. They are
//! always there, and can all be had again, but for a first-seen hash of what no source has any more.
//!
//! Adopting makes durable: fsync of the file, rename, fsync of its folder; small files in groups. What a checksum database
//! has signed need not be: a checksum of ours tells what a power cut has spoiled.
//!
//! Only here, paths of kept files and what the system says of them are known. Outside there are names ([`BlobName`]), handles
//! ([`LocalFile`], [`Staged`]) and causes ([`LocalError`], [`StageError`]).

mod claim;
mod error;
mod examine;
mod file;
mod group;
mod list;
mod name;
mod record_tiles;
mod room;
mod side_file;
mod spare;
mod staging;
mod temporary;
mod token_file;
mod whole_fs;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use self::group::{Adoption, Group};
use self::record_tiles::RecordTiles;
use self::staging::Staging;
use super::codec;
use crate::protocol::Kind;

pub use claim::{DirClaim, INDEX_TEXT, MARK, MARK_NEW, look};
pub use error::{LocalError, StageError};
pub use examine::Flaw;
pub use file::LocalFile;
pub use list::{Entry, FileListing};
pub use name::{BlobName, Namespace, TileName, is_of_layout};
pub use room::{DEFAULT_RESERVE, Disk, DiskStatus, Room, Volume, is_no_room, volume};
pub use side_file::SideFile;
pub use spare::Spare;
pub use staging::{StageWriter, Staged};
pub use temporary::{APART, folder_for, remove_left, try_rename};
pub use token_file::TokenFile;

/// Large files made durable at the same time; more would only queue in the kernel.
const ADOPTERS: usize = 16;
/// Staged files that are made or grow at the same time.
const STAGERS: usize = 32;
/// Files that need not be durable, written at the same time: they must not wait behind those that must.
const UNSYNCED: usize = 4;
/// Threads that all of it may hold.
pub const BLOCKING: usize = ADOPTERS + STAGERS + UNSYNCED;

/// What the disk has and takes.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Bytes free, if known.
    pub free: Option<u64>,
    /// Whether there is room to keep more.
    pub room: Room,
    /// Bytes of files that are still arriving or being checked.
    pub temporary: u64,
}

/// The files in a data directory.
#[derive(Clone)]
pub struct LocalFiles(Arc<Inner>);

struct Inner {
    folders: StoreFolders,
    record_tiles: RecordTiles,
    staging: Staging,
    disk: Arc<Disk>,
    group: Group,
    stagers: Arc<Semaphore>,
    adopters: Arc<Semaphore>,
    unsynced: Arc<Semaphore>,
}

/// Where files are made and kept.
#[derive(Clone)]
pub struct StoreFolders {
    /// The data directory.
    pub data: PathBuf,
    /// From here files can be renamed into the folder of modules.
    pub tmp_of_modules: PathBuf,
    /// And from here into that of checksum databases.
    pub tmp_of_sumdb: PathBuf,
}

impl StoreFolders {
    fn temporary(&self, namespace: Namespace) -> &Path {
        match namespace {
            Namespace::Modules => &self.tmp_of_modules,
            Namespace::Sumdb => &self.tmp_of_sumdb,
        }
    }

    fn path(&self, name: &BlobName) -> PathBuf {
        let mut path = self.data.join(name.namespace().folder());
        path.push(name.to_string());
        path
    }
}

impl LocalFiles {
    /// Those in these folders, which exist.
    pub fn new(folders: StoreFolders, disk: Arc<Disk>) -> io::Result<Self> {
        let sumdb = folders.data.join(Namespace::Sumdb.folder());
        Ok(LocalFiles(Arc::new(Inner {
            record_tiles: RecordTiles::new(sumdb),
            staging: Staging::new(folders.tmp_of_modules.clone(), Arc::clone(&disk)),
            disk,
            group: Group::start(folders.data.clone())?,
            folders,
            stagers: Arc::new(Semaphore::new(STAGERS)),
            adopters: Arc::new(Semaphore::new(ADOPTERS)),
            unsynced: Arc::new(Semaphore::new(UNSYNCED)),
        })))
    }

    /// The file of this name; `None` if there is none.
    pub fn open(&self, name: &BlobName) -> Result<Option<LocalFile>, LocalError> {
        let opened = || -> io::Result<Option<LocalFile>> {
            let Some(file) = if_there(File::open(self.0.folders.path(name)))? else {
                return Ok(None);
            };
            let size = file.metadata()?.len();
            let open = file::Open::new(file, self.0.disk.now());
            Ok(Some(LocalFile::new(open, size)))
        };
        opened().map_err(failed("opening a kept file"))
    }

    /// The content of the file of this name, which must have no more than `limit` bytes; `None` if there is none. Reading a
    /// small one inline costs less than handing it to another thread: it is in the page cache or a single read away.
    pub fn read(&self, name: &BlobName, limit: u64) -> Result<Option<Bytes>, LocalError> {
        let failed = failed("reading a kept file");
        let opened = if_there(File::open(self.0.folders.path(name)));
        let Some(file) = opened.map_err(&failed)? else {
            return Ok(None);
        };
        let size = file.metadata().map_err(&failed)?.len();
        if size > limit {
            return Err(LocalError::TooLarge { size, limit });
        }
        let mut body = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
        let mut file = file.take(limit + 1);
        file.read_to_end(&mut body).map_err(&failed)?;
        Ok(Some(body.into()))
    }

    /// All of an open file.
    pub async fn read_whole(&self, file: &LocalFile) -> Result<Bytes, LocalError> {
        let file = file.clone();
        let doing = "reading a kept file";
        self.blocking(&self.0.unsynced, doing, move |_| {
            let size = usize::try_from(file.size()).map_err(|_| LocalError::TooLarge {
                size: file.size(),
                limit: usize::MAX as u64,
            })?;
            let mut body = vec![0; size];
            file.read_exact_at(&mut body, 0).map_err(failed(doing))?;
            Ok(body.into())
        })
        .await
    }

    /// A place for a file of about `expected` bytes to grow in. One that cannot be kept when there is no room.
    pub async fn stage(&self, expected: Option<u64>) -> Result<StageWriter, StageError> {
        let stage = move |inner: &Inner| inner.staging.stage(expected);
        let staged = self.in_turn(&self.0.stagers, stage).await;
        staged.unwrap_or(Err(StageError::Ended))
    }

    /// Adds pieces at the end of a staged file, which is lost if that fails.
    pub async fn append(
        &self,
        mut writer: StageWriter,
        pieces: Vec<Bytes>,
    ) -> Result<StageWriter, StageError> {
        let append = move |_: &Inner| {
            for piece in &pieces {
                writer.write(piece)?;
            }
            Ok(writer)
        };
        let appended = self.in_turn(&self.0.stagers, append).await;
        appended.unwrap_or(Err(StageError::Ended))
    }

    /// Makes a staged file durable under its name, replacing what was there. It must be whole.
    pub async fn adopt(&self, staged: &Arc<Staged>, name: &BlobName) -> Result<(), LocalError> {
        let (staged, path) = (Arc::clone(staged), self.0.folders.path(name));
        let doing = "keeping a file";
        self.blocking(&self.0.adopters, doing, move |inner| {
            let mut made = BTreeSet::new();
            let root = &inner.folders.data;
            group::make_folder(root, &path, &mut made).map_err(failed(doing))?;
            staged.adopt(&path, doing)?;
            let folders = group::folders_of(root, &path, &made);
            let mut synced = folders.iter().map(|folder| group::sync(folder));
            synced.try_for_each(|done| done).map_err(failed(doing))
        })
        .await
    }

    /// Waits until the thread that makes small files durable is gone.
    pub async fn writer_ended(&self) {
        self.0.group.ended().await;
    }

    /// Makes a small file durable under its name, replacing what was there.
    pub async fn adopt_bytes(&self, name: &BlobName, body: Bytes) -> Result<(), LocalError> {
        let adoption = Adoption {
            path: self.0.folders.path(name),
            temporary: self.0.folders.temporary(name.namespace()).to_owned(),
            body,
        };
        self.0.group.publish(adoption).await
    }

    /// Keeps something small that can be had again, and so need not be durable. Whoever asks, it leaves the reserve alone.
    pub async fn put_unsynced(&self, name: &BlobName, body: Bytes) -> Result<(), LocalError> {
        let name = name.clone();
        let doing = "keeping what can be had again";
        self.blocking(&self.0.unsynced, doing, move |inner| {
            if inner.disk.room() == Room::Low {
                return Err(LocalError::Reserve { doing });
            }
            let body = codec::encode_bytes(&body);
            if matches!(&name, BlobName::Tile(tile) if tile.has_records()) {
                inner.record_tiles.add(body.len() as u64);
            }
            let folder = inner.folders.temporary(name.namespace());
            let temporary = folder.join(temporary::fresh_name());
            let path = inner.folders.path(&name);
            let mut new = BTreeSet::new();
            let kept = std::fs::write(&temporary, body)
                .and_then(|()| group::make_folder(&inner.folders.data, &path, &mut new))
                .and_then(|()| temporary::place(&temporary, &path));
            kept.inspect_err(|_| drop(std::fs::remove_file(&temporary)))
                .map_err(failed(doing))
        })
        .await
    }

    /// Such a thing. Gone, or damaged by a power cut, it counts as absent.
    pub fn read_unsynced(&self, name: &BlobName) -> Result<Option<Bytes>, LocalError> {
        let read = if_there(std::fs::read(self.0.folders.path(name)));
        let read = read.map_err(failed("reading what can be had again"))?;
        Ok(read.and_then(|bytes| codec::decode_bytes(&bytes).map(Bytes::copy_from_slice).ok()))
    }

    /// Gives a file another name, replacing what was there; no error if it is not there. After a power cut it may have the
    /// old name again.
    pub async fn rename(&self, from: &BlobName, to: &BlobName) -> Result<(), LocalError> {
        let folders = &self.0.folders;
        let (from, to) = (folders.path(from), folders.path(to));
        let doing = "keeping a file";
        self.blocking(&self.0.adopters, doing, move |_| {
            let renamed = if_there(std::fs::rename(from, to));
            renamed.map(drop).map_err(failed(doing))
        })
        .await
    }

    /// Removes a file, and the hash of a zip before the zip; no error if it is not there.
    pub async fn remove(&self, name: &BlobName) -> Result<(), LocalError> {
        let name = name.clone();
        let doing = "removing a file";
        self.blocking(&self.0.adopters, doing, move |inner| {
            let hash = match &name {
                BlobName::File(key) if key.kind == Kind::Zip => Some(BlobName::zip_hash(key)),
                _ => None,
            };
            for name in hash.iter().chain([&name]) {
                let removed = std::fs::remove_file(inner.folders.path(name));
                if_there(removed).map_err(failed(doing))?;
            }
            Ok(())
        })
        .await
    }

    /// Removes all tiles of a checksum database.
    pub async fn remove_tiles(&self, folder: &str) -> Result<(), LocalError> {
        let doing = "removing the tiles of a checksum database";
        // One element, and no slash at its end, which would lead through a link to what it points to.
        let Some(BlobName::Tile(_)) = TileName::new(folder, "x").map(BlobName::Tile) else {
            return Ok(());
        };
        let path = self.0.folders.data.join(Namespace::Sumdb.folder());
        let path = path.join(folder);
        self.blocking(&self.0.unsynced, doing, move |_| {
            let removed = if_there(std::fs::remove_dir_all(path));
            removed.map(|_| ()).map_err(failed(doing))
        })
        .await
    }

    /// What the disk has and takes.
    pub fn usage(&self) -> Usage {
        let disk = &self.0.disk;
        Usage {
            free: Some(disk.free()).filter(|free| *free != u64::MAX),
            room: disk.room(),
            temporary: self.0.staging.bytes(),
        }
    }

    /// Whether there is room to keep more.
    pub fn room(&self) -> Room {
        self.0.disk.room()
    }

    /// Whether what has this key will be kept, as far as can be said: there is room, and keeping it has not failed lately.
    pub fn can_keep(&self, key: &impl ToString) -> bool {
        self.room() == Room::Enough && !self.0.disk.failed(&key.to_string())
    }

    /// The disk, for whoever notes what could be kept and what could not.
    pub fn disk(&self) -> &Arc<Disk> {
        &self.0.disk
    }

    /// Runs blocking file work off the runtime's threads, a bounded number at a time.
    async fn blocking<T: Send + 'static>(
        &self,
        permits: &Arc<Semaphore>,
        doing: &'static str,
        work: impl FnOnce(&Inner) -> Result<T, LocalError> + Send + 'static,
    ) -> Result<T, LocalError> {
        let done = self.in_turn(permits, work).await;
        done.unwrap_or(Err(LocalError::Ended { doing }))
    }

    /// The same for work with errors of its own; `None` if it died.
    async fn in_turn<T: Send + 'static>(
        &self,
        permits: &Arc<Semaphore>,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(permits).acquire_owned().await.ok()?;
        let inner = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || {
            let done = work(&inner);
            drop(permit);
            done
        });
        task.await.ok()
    }
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> LocalError {
    move |source| LocalError::Io { doing, source }
}

/// Not being there is an answer, everything else an error.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
