//! Blobs as files on a local disk, in the layout of the Go command's download cache.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::blobs::{BlobError, BlobFile, Blobs};
use super::disk::{Disk, Room};
use super::layout;
use super::spool::{Spool, SpoolError, Spools};
use crate::gomod::{H1, ModulePath};
use crate::protocol::{FileKey, Kind};

/// Files made durable at the same time; more would only queue in the kernel.
const PUBLISHERS: usize = 16;
/// Kept free beyond a spool's expected size when the disk is below its reserve. Bytes.
const MARGIN: u64 = 16 << 20;

/// Files below `<data>/modules`, temporary ones in `<data>/tmp`.
pub struct Files {
    inner: Arc<Inner>,
    publishers: Arc<Semaphore>,
}

struct Inner {
    modules: PathBuf,
    spools: Spools,
    disk: Arc<Disk>,
}

impl Files {
    /// Both folders exist and are on one file system.
    pub fn new(modules: PathBuf, tmp: PathBuf, disk: Arc<Disk>) -> Self {
        let inner = Inner {
            modules,
            spools: Spools::new(tmp),
            disk,
        };
        Files {
            inner: Arc::new(inner),
            publishers: Arc::new(Semaphore::new(PUBLISHERS)),
        }
    }

    /// Runs blocking file work off the runtime's threads, a bounded number at a time.
    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let failed = |source| BlobError { doing, source };
        let permit = Arc::clone(&self.publishers)
            .acquire_owned()
            .await
            .map_err(|e| failed(io::Error::other(e)))?;
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            let result = work(&inner);
            drop(permit);
            result
        });
        task.await
            .map_err(|e| failed(io::Error::other(e)))?
            .map_err(failed)
    }
}

impl Inner {
    /// Makes the folder of a module's versions; true if it is new.
    fn version_dir(&self, module: &ModulePath) -> io::Result<(PathBuf, bool)> {
        let dir = layout::version_dir(&self.modules, module);
        if dir.is_dir() {
            return Ok((dir, false));
        }
        std::fs::create_dir_all(&dir)?;
        Ok((dir, true))
    }

    /// Makes names in `dir` durable, and its own name in the folders above it if it is new.
    fn sync_dir(&self, dir: &Path, new: bool) -> io::Result<()> {
        File::open(dir)?.sync_all()?;
        if new {
            for parent in dir.ancestors().skip(1) {
                File::open(parent)?.sync_all()?;
                if parent == self.modules {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Writes a file under a temporary name, then renames it into place.
    fn put(&self, path: &Path, body: &[u8], durable: bool) -> io::Result<()> {
        let temporary = self.spools.fresh_path();
        let written = (|| {
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .open(&temporary)?;
            file.write_all(body)?;
            if durable {
                file.sync_all()?;
            }
            std::fs::rename(&temporary, path)
        })();
        if written.is_err() {
            // Best effort: the next start removes it anyway.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
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

#[async_trait]
impl Blobs for Files {
    // Reading a small kept file inline costs less than handing it to another thread (it is in the page cache or a
    // single read away).
    async fn read(&self, key: &FileKey, limit: u64) -> Result<Option<Bytes>, BlobError> {
        let doing = "reading a kept file";
        let path = layout::file_path(&self.inner.modules, key);
        let read = || -> io::Result<Option<Bytes>> {
            let Some(file) = if_there(File::open(path))? else {
                return Ok(None);
            };
            let size = file.metadata()?.len();
            if size > limit {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    format!("{size} bytes, {limit} expected"),
                ));
            }
            let mut body = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
            file.take(limit + 1).read_to_end(&mut body)?;
            Ok(Some(body.into()))
        };
        read().map_err(|source| BlobError { doing, source })
    }

    async fn open(&self, key: &FileKey) -> Result<Option<BlobFile>, BlobError> {
        let path = layout::file_path(&self.inner.modules, key);
        let open = || -> io::Result<Option<BlobFile>> {
            let Some(file) = if_there(File::open(path))? else {
                return Ok(None);
            };
            let size = file.metadata()?.len();
            Ok(Some(BlobFile {
                file: Arc::new(file),
                size,
            }))
        };
        open().map_err(|source| BlobError {
            doing: "opening a kept file",
            source,
        })
    }

    async fn publish_bytes(&self, key: &FileKey, body: Bytes) -> Result<(), BlobError> {
        let key = key.clone();
        self.blocking("keeping a file", move |inner| {
            let (dir, new) = inner.version_dir(&key.module)?;
            inner.put(&layout::file_path(&inner.modules, &key), &body, true)?;
            inner.sync_dir(&dir, new)
        })
        .await
    }

    async fn publish_spool(
        &self,
        key: &FileKey,
        spool: &Arc<Spool>,
        h1: &H1,
    ) -> Result<(), BlobError> {
        let (key, spool, h1) = (key.clone(), Arc::clone(spool), h1.to_string());
        self.blocking("keeping a zip", move |inner| {
            let (dir, new) = inner.version_dir(&key.module)?;
            inner.put(
                &layout::ziphash_path(&inner.modules, &key),
                h1.as_bytes(),
                true,
            )?;
            spool.persist(&layout::file_path(&inner.modules, &key))?;
            inner.sync_dir(&dir, new)
        })
        .await
    }

    async fn publish_list(&self, module: &ModulePath, body: Bytes) -> Result<(), BlobError> {
        let module = module.clone();
        self.blocking("keeping a list", move |inner| {
            let (dir, _) = inner.version_dir(&module)?;
            inner.put(&dir.join("list"), &body, false)
        })
        .await
    }

    async fn remove(&self, key: &FileKey) -> Result<(), BlobError> {
        let key = key.clone();
        self.blocking("removing a file", move |inner| {
            if key.kind == Kind::Zip {
                if_there(std::fs::remove_file(layout::ziphash_path(
                    &inner.modules,
                    &key,
                )))?;
            }
            if_there(std::fs::remove_file(layout::file_path(
                &inner.modules,
                &key,
            )))
            .map(|_| ())
        })
        .await
    }

    async fn spool(&self, expected: Option<u64>) -> Result<Arc<Spool>, SpoolError> {
        let inner = Arc::clone(&self.inner);
        let make = move || {
            if inner.disk.room() == Room::Enough {
                match inner.spools.on_disk(expected) {
                    Err(SpoolError::NoRoom) => {}
                    other => return other,
                }
            }
            // Below the reserve nothing is kept, but a build must not fail for that: check the file in memory, or on
            // what is left of the disk.
            inner.spools.in_memory(expected).or_else(|error| {
                let fits = inner.disk.free() > expected.unwrap_or(0).saturating_add(MARGIN);
                if fits {
                    inner.spools.on_disk(expected)
                } else {
                    Err(error)
                }
            })
        };
        match tokio::task::spawn_blocking(make).await {
            Ok(spool) => spool.map(Arc::new),
            Err(error) => Err(SpoolError::Io(io::Error::other(error))),
        }
    }

    fn room(&self) -> Room {
        self.inner.disk.room()
    }

    fn temporary(&self) -> u64 {
        self.inner.spools.bytes()
    }

    fn free(&self) -> Option<u64> {
        Some(self.inner.disk.free()).filter(|free| *free != u64::MAX)
    }
}
