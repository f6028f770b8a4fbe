//! Where a zip grows while it is fetched: a temporary file, or memory when the disk has no room.
//!
//! A spool only ever grows, and is never truncated: readers may map what has been written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use thiserror::Error;

use super::{disk, temporary};

/// Memory that all spools without a disk may take together. Bytes.
const MEMORY: u64 = 256 << 20;

/// Why a spool could not be made or written.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// Neither disk nor memory has room.
    #[error("no room to hold the file while it is checked")]
    NoRoom,
    /// The file system failed.
    #[error("a temporary file failed: {0}")]
    Io(#[from] io::Error),
}

/// A growing file.
#[derive(Debug)]
pub struct Spool {
    file: Arc<File>,
    place: Place,
    keep: bool,
    size: AtomicU64,
    /// Of all spools that have not become kept files.
    temporary: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Place {
    /// On disk; `None` once it has been renamed into the store.
    Disk(Mutex<Option<PathBuf>>),
    /// In memory, with what it may take.
    Memory(Allowance),
}

/// A share of [`MEMORY`], given back when dropped.
#[derive(Debug)]
struct Allowance {
    pool: Arc<AtomicU64>,
    bytes: AtomicU64,
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.pool
            .fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Allowance {
    fn grow_to(&self, end: u64) -> Result<(), SpoolError> {
        let have = self.bytes.load(Ordering::Relaxed);
        if end <= have {
            return Ok(());
        }
        let more = end - have;
        let taken = self
            .pool
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used + more <= MEMORY).then_some(used + more)
            });
        taken.map_err(|_| SpoolError::NoRoom)?;
        self.bytes.store(end, Ordering::Relaxed);
        Ok(())
    }
}

/// Makes spools in a folder.
#[derive(Debug)]
pub struct Spools {
    dir: PathBuf,
    memory: Arc<AtomicU64>,
    temporary: Arc<AtomicU64>,
}

impl Spools {
    /// Spools in `dir`, which is on the store's file system so that a rename can publish them.
    pub fn new(dir: PathBuf) -> Self {
        Spools {
            dir,
            memory: Arc::default(),
            temporary: Arc::default(),
        }
    }

    /// Bytes in spools that are neither kept nor gone.
    pub fn bytes(&self) -> u64 {
        self.temporary.load(Ordering::Relaxed)
    }

    /// A name for a temporary file that no other has.
    pub fn fresh_path(&self) -> PathBuf {
        self.dir.join(temporary::fresh_name())
    }

    /// A spool on disk, to be kept or not, with room for `expected` bytes taken at once where the file system can do that.
    pub fn on_disk(&self, expected: Option<u64>, keep: bool) -> Result<Spool, SpoolError> {
        let path = self.fresh_path();
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| match disk::is_no_room(error.kind()) {
                true => SpoolError::NoRoom,
                false => SpoolError::Io(error),
            })?;
        let spool = Spool {
            file: Arc::new(file),
            place: Place::Disk(Mutex::new(Some(path))),
            keep,
            size: AtomicU64::new(0),
            temporary: Arc::clone(&self.temporary),
        };
        if let Some(bytes) = expected.filter(|bytes| *bytes > 0) {
            reserve(&spool.file, bytes)?;
        }
        Ok(spool)
    }

    /// A spool in memory: for a disk without room. It cannot be published.
    pub fn in_memory(&self, expected: Option<u64>) -> Result<Spool, SpoolError> {
        let allowance = Allowance {
            pool: Arc::clone(&self.memory),
            bytes: AtomicU64::new(0),
        };
        allowance.grow_to(expected.unwrap_or(0))?;
        let file = memory_file()?;
        Ok(Spool {
            file: Arc::new(file),
            place: Place::Memory(allowance),
            keep: false,
            size: AtomicU64::new(0),
            temporary: Arc::clone(&self.temporary),
        })
    }
}

/// Takes room for a file; not every file system can, and then writing finds out.
#[cfg(target_os = "linux")]
fn reserve(file: &File, bytes: u64) -> Result<(), SpoolError> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Err(Errno::NOSPC | Errno::DQUOT) => Err(SpoolError::NoRoom),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &File, _bytes: u64) -> Result<(), SpoolError> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn memory_file() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("larder-spool", rustix::fs::MemfdFlags::CLOEXEC)?.into())
}

/// Elsewhere an unlinked file of the system's temporary folder has to do.
#[cfg(not(target_os = "linux"))]
fn memory_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!(
        "larder-spool-{}-{}",
        std::process::id(),
        fastrand::u64(..)
    ));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

impl Spool {
    /// The open file, for reading what has been written.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether it can become a kept file.
    pub fn can_be_kept(&self) -> bool {
        self.keep
    }

    /// Writes at `offset`, which is where the last write ended.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), SpoolError> {
        if let Place::Memory(allowance) = &self.place {
            allowance.grow_to(offset + bytes.len() as u64)?;
        }
        self.file.write_all_at(bytes, offset).map_err(|error| {
            match disk::is_no_room(error.kind()) {
                true => SpoolError::NoRoom,
                false => SpoolError::Io(error),
            }
        })?;
        self.size.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.temporary
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Makes it durable and gives it its final name. Blocks.
    pub fn persist(&self, name: &Path) -> io::Result<()> {
        let Place::Disk(path) = &self.place else {
            return Err(io::Error::other("a spool in memory cannot be kept"));
        };
        self.file.sync_all()?;
        let mut path = path.lock();
        let from = path
            .as_ref()
            .ok_or_else(|| io::Error::other("this spool has been kept already"))?;
        temporary::place(from, name)?;
        *path = None;
        self.no_longer_temporary();
        Ok(())
    }

    fn no_longer_temporary(&self) {
        self.temporary
            .fetch_sub(self.size.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.no_longer_temporary();
        if let Place::Disk(path) = &self.place
            && let Some(path) = path.lock().take()
        {
            // What stays behind is removed at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}
