//! What is kept: blobs (files in the Go download cache's layout) and an index of facts about them.
//!
//! **Invariant: a record in the index means that the file is whole, durable and verified; a file without a record is
//! not there.** So publishing goes: fsync the temporary file, rename it into place, fsync the directory, commit the
//! record; and reading goes: record first, then file.
//!
//! [`Index`] and [`Blobs`] are the two seams for other places to keep things (PostgreSQL, object storage); every
//! implementation passes the same conformance tests (`conformance.rs`).

mod absent;
mod base;
mod blobs;
mod claim;
mod compact;
#[cfg(test)]
mod conformance;
mod dir;
mod disk;
mod facts;
mod files;
mod group;
mod index;
mod keeper;
mod layout;
#[cfg(test)]
mod memory;
mod migrate;
pub mod rebuild;
mod record;
mod records;
mod sled_index;
mod spare;
mod spool;
mod temporary;
mod token_file;
mod tokens;
mod totals;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::time::Instant;

pub use absent::{AbsentChange, AbsentRecord};
pub use blobs::{BlobError, BlobFile, Blobs};
pub use dir::{DataDir, DataDirError};
pub use disk::{DEFAULT_RESERVE, Disk, DiskStatus, Room};
pub use facts::{Beside, DatabaseFacts, Settle};
pub use files::Files;
pub use index::{Change, Index, IndexError};
pub use keeper::Keeper;
pub use migrate::INDEX_SCHEMA;
pub use record::{
    Damaged, FileRecord, ListFile, MetaRecord, PinRecord, TokenRecord, UnsettledRecord, Verified,
    shown,
};
pub use sled_index::SledIndex;
pub use spool::{Spool, SpoolError};
pub use token_file::TokenFile;
pub use totals::Totals;

use crate::clock::Timestamp;
use crate::gomod::{H1, ModulePath};
use crate::protocol::{FileKey, MetaKey};

/// A fault of the store; always ours, never upstream's.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A file could not be read or written.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// The two halves of what is kept, joined by the invariant above.
#[derive(Clone)]
pub struct Store {
    index: Arc<dyn Index>,
    blobs: Arc<dyn Blobs>,
    /// Files of which the log says that they are gone: once is enough.
    gone: Arc<Cache<FileKey, ()>>,
}

/// A kept file, ready to be served.
#[derive(Clone, Debug)]
pub struct KeptFile {
    /// What the index says of it.
    pub record: FileRecord,
    /// Its content.
    pub content: Content,
}

/// How a kept file's content is at hand.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// As an open file.
    File(BlobFile),
}

/// Files that are remembered as gone at the most.
const TOLD_GONE: usize = 1024;

/// Files up to this size are read whole; larger ones are served from the open file. Bytes.
pub const SMALL: u64 = 64 * 1024;

/// Queries read from the index at once.
const QUERIES: usize = 64;

impl Store {
    /// Joins an index and a place for blobs.
    pub fn new(index: Arc<dyn Index>, blobs: Arc<dyn Blobs>) -> Self {
        Store {
            index,
            blobs,
            gone: Arc::new(Cache::new(TOLD_GONE)),
        }
    }

    /// The index, for maintenance commands.
    pub fn index(&self) -> &Arc<dyn Index> {
        &self.index
    }

    /// The blobs, for spooling and maintenance commands.
    pub fn blobs(&self) -> &Arc<dyn Blobs> {
        &self.blobs
    }

    /// What the index says of a file. A record that is damaged counts as absent: the file is fetched again.
    pub async fn record(&self, key: &FileKey) -> Result<Option<FileRecord>, StoreError> {
        let name = layout::file_key(key);
        let Some(bytes) = self.index.get(&name).await? else {
            return Ok(None);
        };
        Ok(sound(&name, FileRecord::decode(&bytes)))
    }

    /// A kept file. `None` if there is no record, or the file is gone or of another size than recorded (an operator
    /// removed it): then it is fetched again.
    pub async fn file(&self, key: &FileKey) -> Result<Option<KeptFile>, StoreError> {
        let Some(record) = self.record(key).await? else {
            return Ok(None);
        };
        let content = if record.size <= SMALL {
            match self.blobs.read(key, record.size).await {
                Err(error) if error.source.kind() == std::io::ErrorKind::FileTooLarge => {
                    tracing::error!(file = %key, recorded = record.size,
                        "a kept file is larger than recorded; fetching it again");
                    return Ok(None);
                }
                read => read?.map(Content::Bytes),
            }
        } else {
            self.blobs.open(key).await?.map(Content::File)
        };
        let Some(content) = content else {
            if self.gone.peek(key).is_none() {
                self.gone.insert(key.clone(), ());
                tracing::warn!(file = %key, "the index knows this file but it is gone from the disk; fetching it again");
            }
            return Ok(None);
        };
        let size = match &content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(file) => file.size,
        };
        if size != record.size {
            tracing::error!(file = %key, recorded = record.size, found = size,
                "a kept file has another size than recorded; fetching it again");
            return Ok(None);
        }
        Ok(Some(KeptFile { record, content }))
    }

    /// Makes a small file durable and visible. It must have been verified.
    pub async fn publish_bytes(
        &self,
        key: &FileKey,
        body: Bytes,
        record: &FileRecord,
        beside: &Beside,
    ) -> Result<(), StoreError> {
        let kept = match self.blobs.publish_bytes(key, body).await {
            Ok(()) => self.commit_file(key, record, beside).await,
            Err(error) => Err(error.into()),
        };
        self.noted(&key.to_string(), kept)
    }

    /// Makes a spooled zip durable and visible, with its `.ziphash` beside it. It must have been verified.
    pub async fn publish_spool(
        &self,
        key: &FileKey,
        spool: &Arc<Spool>,
        h1: &H1,
        record: &FileRecord,
        beside: &Beside,
    ) -> Result<(), StoreError> {
        let kept = match self.blobs.publish_spool(key, spool, h1).await {
            Ok(()) => self.commit_file(key, record, beside).await,
            Err(error) => Err(error.into()),
        };
        self.noted(&key.to_string(), kept)
    }

    /// Remembers, and says now and then, that something could not be kept.
    fn noted(&self, name: &str, kept: Result<(), StoreError>) -> Result<(), StoreError> {
        match &kept {
            Ok(()) => self.blobs.kept(name),
            Err(error) => {
                let kind = match error {
                    StoreError::Blob(error) => error.source.kind(),
                    StoreError::Index(_) => std::io::ErrorKind::Other,
                };
                self.blobs.keeping_failed(name, error, kind);
            }
        }
        kept
    }

    /// Whether what comes now will be kept, as far as can be said.
    pub fn keeps(&self) -> bool {
        self.blobs.room() == Room::Enough && self.index.healthy()
    }

    /// Records a file and, with it in one step, what is to be known beside.
    async fn commit_file(
        &self,
        key: &FileKey,
        record: &FileRecord,
        beside: &Beside,
    ) -> Result<(), StoreError> {
        let mut changes = vec![Change::Put(layout::file_key(key), record.encode())];
        changes.extend(beside.changes(key));
        self.gone.remove(key);
        Ok(self.index.commit(changes).await?)
    }

    /// The last answer kept for a changing resource, of whatever age.
    pub async fn meta(&self, key: &MetaKey) -> Result<Option<MetaRecord>, StoreError> {
        let name = layout::meta_key(key);
        let Some(bytes) = self.index.get(&name).await? else {
            return Ok(None);
        };
        Ok(sound(&name, MetaRecord::decode(&bytes)))
    }

    /// Keeps a module's list in a file; gives what stands for it in the record, and the file.
    pub async fn put_list(
        &self,
        module: &ModulePath,
        body: Bytes,
    ) -> Result<Option<(ListFile, BlobFile)>, StoreError> {
        let named = ListFile {
            size: body.len() as u64,
            sha256: hex(&Sha256::digest(&body)),
        };
        self.blobs.publish_list(module, body).await?;
        let file = self.list(module, &named).await?;
        Ok(file.map(|file| (named, file)))
    }

    /// A list in a file; `None` if it is not there, or not as long as recorded.
    pub async fn list(
        &self,
        module: &ModulePath,
        named: &ListFile,
    ) -> Result<Option<BlobFile>, StoreError> {
        let file = self.blobs.open_list(module).await?;
        Ok(file.filter(|file| file.size == named.size))
    }

    /// Reads a list from its file.
    pub async fn read_list(&self, file: &BlobFile) -> Result<Bytes, StoreError> {
        Ok(self.blobs.read_whole(file).await?)
    }

    /// Keeps an answer of a changing resource.
    pub async fn put_meta(&self, key: &MetaKey, record: &MetaRecord) -> Result<(), StoreError> {
        let put = Change::Put(layout::meta_key(key), record.encode());
        let kept = self.index.commit(vec![put]).await;
        self.noted(&key.to_string(), kept.map_err(StoreError::from))
    }

    /// Keeps `record` under its key and, with it in one step, as stand-in for `file` (see [`Store::stand_in`]).
    pub async fn put_query(
        &self,
        key: &MetaKey,
        record: &MetaRecord,
        file: &FileKey,
    ) -> Result<(), StoreError> {
        let stand_in = MetaRecord {
            body: record.stand_in(),
            ..record.clone()
        };
        let changes = vec![
            Change::Put(layout::meta_key(key), record.encode()),
            Change::Put(layout::stand_in_key(file), stand_in.encode()),
        ];
        let kept = self.index.commit(changes).await;
        self.noted(&key.to_string(), kept.map_err(StoreError::from))
    }

    /// Removes the oldest queries of a module, and what they said of versions, if there are `most` or more.
    pub async fn tidy_queries(&self, module: &ModulePath, most: usize) -> Result<(), StoreError> {
        for kind in [layout::META, layout::STAND_IN] {
            let prefix = format!("{kind}{}/@v/", module.escaped());
            let list = format!("{prefix}list");
            let mut known: Vec<(Timestamp, String)> = Vec::new();
            let mut after = None;
            loop {
                let page = self.index.scan(&prefix, after.as_deref(), QUERIES).await?;
                after = page.last().map(|(name, _)| name.clone());
                if after.is_none() {
                    break;
                }
                let queries = page.into_iter().filter(|(name, _)| *name != list);
                known.extend(queries.map(|(name, bytes)| {
                    let fetched = MetaRecord::decode(&bytes).map(|record| record.fetched);
                    (fetched.unwrap_or_default(), name)
                }));
            }
            if known.len() < most {
                continue;
            }
            known.sort_unstable();
            // More than one at once, so that it is not done for each that comes.
            let surplus = known.len() - most + most / 8;
            let oldest = known.into_iter().take(surplus);
            let changes = oldest.map(|(_, name)| Change::Remove(name)).collect();
            self.index.commit(changes).await?;
        }
        Ok(())
    }

    /// What a query once resolved to this version said: good enough for its `.info` when nobody can be asked.
    pub async fn stand_in(&self, file: &FileKey) -> Result<Option<MetaRecord>, StoreError> {
        let name = layout::stand_in_key(file);
        let Some(bytes) = self.index.get(&name).await? else {
            return Ok(None);
        };
        Ok(sound(&name, MetaRecord::decode(&bytes)))
    }

    /// How much is kept; `None` until it has been counted, see [`Store::count`].
    pub fn totals(&self) -> Option<Totals> {
        self.index.totals()
    }

    /// Counts what is kept if nobody has, or, with `anew`, in any case. Rests after each step for as long as `rest` says,
    /// told how long the step took.
    pub async fn count(
        &self,
        anew: bool,
        rest: impl Fn(Duration) -> Duration,
    ) -> Result<Totals, StoreError> {
        let mut anew = anew;
        loop {
            let begun = Instant::now();
            let done = self.index.count(std::mem::take(&mut anew)).await?;
            if let Some(totals) = self.totals().filter(|_| done) {
                return Ok(totals);
            }
            let rest = rest(begun.elapsed());
            if !rest.is_zero() {
                tokio::time::sleep(rest).await;
            }
        }
    }

    /// Ends the store: everything acknowledged is on disk when this returns.
    pub async fn close(&self) {
        self.index.close().await;
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn sound<T>(key: &str, decoded: Result<T, Damaged>) -> Option<T> {
    decoded
        .inspect_err(|error| tracing::error!(key, %error, "a record in the index is damaged; it counts as absent"))
        .ok()
}
