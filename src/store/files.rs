//! Blobs as files on a local disk, in the layout of the Go command's download cache.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::blobs::{BlobError, BlobFile, Blobs};
use super::disk::{Disk, Room};
use super::group::{Group, Job};
use super::records::Records;
use super::spool::{Spool, SpoolError, Spools};
use super::{codec, layout, temporary};
use crate::gomod::{H1, ModulePath};
use crate::protocol::{FileKey, Kind};

/// Zips made durable at the same time; more would only queue in the kernel.
const PUBLISHERS: usize = 16;
/// Loose files written at the same time.
const LOOSE: usize = 4;
/// Kept free beyond a spool's expected size when the disk is below its reserve. Bytes.
const MARGIN: u64 = 16 << 20;

/// Files below `<data>/modules`, what belongs to checksum databases below `<data>/sumdb`, temporary ones in `<data>/tmp`.
pub struct Files {
    inner: Arc<Inner>,
    publishers: Arc<Semaphore>,
    /// Places for what need not be durable: it must not wait behind zips that are.
    loose: Arc<Semaphore>,
    group: Group,
}

struct Inner {
    modules: PathBuf,
    loose: PathBuf,
    /// Where loose files are made.
    loose_tmp: PathBuf,
    records: Records,
    spools: Arc<Spools>,
    disk: Arc<Disk>,
}

impl Files {
    /// What is made in `tmp` can be renamed into `modules`, and from `loose_tmp` into `loose`.
    pub fn new(
        modules: PathBuf,
        loose: PathBuf,
        tmp: PathBuf,
        loose_tmp: PathBuf,
        disk: Arc<Disk>,
    ) -> io::Result<Self> {
        let spools = Arc::new(Spools::new(tmp));
        Ok(Files {
            group: Group::start(modules.clone(), Arc::clone(&spools))?,
            inner: Arc::new(Inner {
                modules,
                records: Records::new(loose.clone()),
                loose,
                loose_tmp,
                spools,
                disk,
            }),
            publishers: Arc::new(Semaphore::new(PUBLISHERS)),
            loose: Arc::new(Semaphore::new(LOOSE)),
        })
    }

    async fn put(&self, doing: &'static str, path: PathBuf, body: Bytes) -> Result<(), BlobError> {
        let job = Job { path, body };
        self.group
            .publish(job)
            .await
            .map_err(|source| BlobError { doing, source })
    }

    /// Runs blocking file work off the runtime's threads, a bounded number at a time.
    async fn blocking<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        doing: &'static str,
        work: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let failed = |source| BlobError { doing, source };
        let permit = Arc::clone(places)
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

fn opened(path: PathBuf) -> io::Result<Option<BlobFile>> {
    let Some(file) = if_there(File::open(path))? else {
        return Ok(None);
    };
    let size = file.metadata()?.len();
    Ok(Some(BlobFile {
        file: Arc::new(file),
        size,
    }))
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
        opened(path).map_err(|source| BlobError {
            doing: "opening a kept file",
            source,
        })
    }

    async fn publish_bytes(&self, key: &FileKey, body: Bytes) -> Result<(), BlobError> {
        let path = layout::file_path(&self.inner.modules, key);
        self.put("keeping a file", path, body).await
    }

    async fn publish_spool(
        &self,
        key: &FileKey,
        spool: &Arc<Spool>,
        h1: &H1,
    ) -> Result<(), BlobError> {
        // The hash goes first; making it durable makes the folder durable, too.
        let hash = Bytes::from(h1.to_string());
        let path = layout::ziphash_path(&self.inner.modules, key);
        self.put("keeping a zip's hash", path, hash).await?;
        let (key, spool) = (key.clone(), Arc::clone(spool));
        self.blocking(&self.publishers, "keeping a zip", move |inner| {
            let path = layout::file_path(&inner.modules, &key);
            spool.persist(&path)?;
            File::open(layout::version_dir(&inner.modules, &key.module))?.sync_all()
        })
        .await
    }

    async fn publish_list(&self, module: &ModulePath, body: Bytes) -> Result<(), BlobError> {
        let path = layout::version_dir(&self.inner.modules, module).join("list");
        self.put("keeping a list", path, body).await
    }

    async fn open_list(&self, module: &ModulePath) -> Result<Option<BlobFile>, BlobError> {
        let path = layout::version_dir(&self.inner.modules, module).join("list");
        opened(path).map_err(|source| BlobError {
            doing: "opening a list",
            source,
        })
    }

    async fn read_whole(&self, file: &BlobFile) -> Result<Bytes, BlobError> {
        let file = file.clone();
        self.blocking(&self.loose, "reading a list", move |_| {
            let mut body = vec![0; usize::try_from(file.size).map_err(io::Error::other)?];
            file.file.read_exact_at(&mut body, 0)?;
            Ok(body.into())
        })
        .await
    }

    async fn loose(&self, name: &str) -> Result<Option<Bytes>, BlobError> {
        let read = if_there(std::fs::read(self.inner.loose.join(name)));
        let read = read.map_err(|source| BlobError {
            doing: "reading what belongs to a checksum database",
            source,
        })?;
        Ok(read.and_then(|bytes| codec::decode_bytes(&bytes).map(Bytes::copy_from_slice).ok()))
    }

    async fn put_loose(&self, name: &str, body: Bytes) -> Result<(), BlobError> {
        let path = self.inner.loose.join(name);
        let is_of_records = Records::is_one(name);
        self.blocking(
            &self.loose,
            "keeping what belongs to a checksum database",
            move |inner| {
                // It can be had again, so it leaves the reserve alone, whoever asks.
                if inner.disk.room() == Room::Low {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let body = codec::encode_bytes(&body);
                if is_of_records {
                    inner.records.add(body.len() as u64);
                }
                let temporary = inner.loose_tmp.join(temporary::fresh_name());
                // Not synced: what a power cut spoils is noticed by its checksum, and fetched again.
                let kept = std::fs::write(&temporary, body)
                    .and_then(|()| match path.parent() {
                        Some(folder) => std::fs::create_dir_all(folder),
                        None => Ok(()),
                    })
                    .and_then(|()| temporary::place(&temporary, &path));
                kept.inspect_err(|_| drop(std::fs::remove_file(&temporary)))
            },
        )
        .await
    }

    async fn clear_loose(&self, below: &str) -> Result<(), BlobError> {
        // Without a slash at the end, which would lead through a link to what it points to.
        let path = self.inner.loose.join(below.trim_end_matches('/'));
        self.blocking(
            &self.loose,
            "removing what belongs to a checksum database",
            move |_| if_there(std::fs::remove_dir_all(path)).map(|_| ()),
        )
        .await
    }

    async fn remove(&self, key: &FileKey) -> Result<(), BlobError> {
        let key = key.clone();
        self.blocking(&self.publishers, "removing a file", move |inner| {
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
                match inner.spools.on_disk(expected, true) {
                    Ok(spool) => return Ok(spool),
                    Err(SpoolError::NoRoom) => {}
                    // As little a reason to fail a build as a full disk.
                    Err(error) => {
                        let kind = io::ErrorKind::Other;
                        inner.disk.keeping_failed("a temporary file", &error, kind);
                    }
                }
            }
            // Below the reserve nothing is kept, but a build must not fail for that: check the file in memory, or on
            // what is left of the disk.
            inner.spools.in_memory(expected).or_else(|error| {
                let fits = inner.disk.free() > expected.unwrap_or(0).saturating_add(MARGIN);
                if fits {
                    inner.spools.on_disk(expected, false)
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

    fn can_keep(&self, key: &FileKey) -> bool {
        self.inner.disk.room() == Room::Enough && !self.inner.disk.failed(&key.to_string())
    }

    fn keeping_failed(&self, name: &str, error: &dyn Display, kind: io::ErrorKind) {
        self.inner.disk.keeping_failed(name, error, kind);
    }

    fn kept(&self, name: &str) {
        self.inner.disk.kept(name);
    }

    fn temporary(&self) -> u64 {
        self.inner.spools.bytes()
    }

    fn free(&self) -> Option<u64> {
        Some(self.inner.disk.free()).filter(|free| *free != u64::MAX)
    }
}
