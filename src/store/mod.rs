//! What is kept: files in the Go download cache's layout, and a catalog of facts about them.
//!
//! **Invariant: a fact about a file means that the file is whole, durable and verified; a file without a fact is
//! not there.** So publishing goes: fsync the temporary file, rename it into place, fsync the directory, commit the
//! fact; and reading goes: fact first, then file.
//!
//! [`Catalog`] is the seam for other places to keep facts. [`LocalFiles`] is none: a file has to lie on this machine's disk
//! anyway, to be checked, to be followed while it grows, and to be sent.

mod absences;
mod absent;
pub mod catalog;
mod codec;
#[cfg(test)]
mod contract;
mod dir;
mod facts;
#[doc(hidden)]
pub mod fuzzing;
mod keeper;
mod lists;
pub mod local;
mod model;
pub mod rebuild;
mod tokens;
pub mod walk;

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;
use thiserror::Error;

#[cfg(test)]
pub use absent::AbsentSlot;
pub use absent::{AbsentChange, AbsentRecord};
pub use catalog::sled::migrate::INDEX_SCHEMA;
pub use catalog::{Catalog, CatalogError, Health, Totals};
pub use dir::{DataDir, DataDirError};
pub use facts::{DatabaseFacts, FactPages};
pub use keeper::Keeper;
pub use lists::IN_INDEX;
pub use local::{
    BLOCKING, BlobName, DEFAULT_RESERVE, Disk, DiskStatus, LocalError, LocalFile, LocalFiles, Room,
    SideFile, StageError, StageWriter, Staged, TokenFile, Usage,
};
pub use model::{
    Companions, Fact, FactKey, FactKind, FileRecord, FirstSeenRecord, ListFile, MetaRecord,
    PendingRecord, ReplacedToken, Sha256, TokenRecord, Verification, Verified,
};

use crate::clock::Timestamp;
use crate::gomod::{H1, ModulePath};
use crate::protocol::{FileKey, Meta, MetaKey};
use catalog::{Applied, Change, Expect, Pages, Query};

/// A fault of the store; always ours, never upstream's.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A file could not be read or written.
    #[error(transparent)]
    Local(#[from] LocalError),
}

/// The two halves of what is kept, joined by the invariant above.
#[derive(Clone)]
pub struct Store {
    catalog: Arc<dyn Catalog>,
    local: LocalFiles,
    /// Files of which the log says that they are gone: once is enough.
    gone: Arc<Cache<FileKey, ()>>,
}

/// A kept file, ready to be served.
#[derive(Clone, Debug)]
pub struct KeptFile {
    /// What is known of it.
    pub record: FileRecord,
    /// Its content.
    pub content: KeptContent,
}

/// How a kept file's content is at hand.
#[derive(Clone, Debug)]
pub enum KeptContent {
    /// In memory.
    Bytes(Bytes),
    /// As an open file.
    File(LocalFile),
}

/// Files that are remembered as gone at the most.
const TOLD_GONE: usize = 1024;

/// Files up to this size are read whole; larger ones are served from the open file. Bytes.
pub const SMALL: u64 = 64 * 1024;

/// Queries read at once.
const QUERIES: usize = 64;

impl Store {
    /// Joins a catalog and files.
    pub fn new(catalog: Arc<dyn Catalog>, local: LocalFiles) -> Self {
        Store {
            catalog,
            local,
            gone: Arc::new(Cache::new(TOLD_GONE)),
        }
    }

    /// The catalog, for maintenance commands.
    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        &self.catalog
    }

    /// The files.
    pub fn local(&self) -> &LocalFiles {
        &self.local
    }

    /// What is known of a kept file.
    pub async fn record(&self, key: &FileKey) -> Result<Option<FileRecord>, StoreError> {
        let fact = self.catalog.read(&FactKey::File(key.clone())).await?;
        Ok(match fact {
            Some(Fact::File(_, record)) => Some(record),
            _ => None,
        })
    }

    /// A kept file. `None` if there is no record, or the file is gone or of another size than recorded (an operator
    /// removed it): then it is fetched again.
    pub async fn file(&self, key: &FileKey) -> Result<Option<KeptFile>, StoreError> {
        let Some(record) = self.record(key).await? else {
            return Ok(None);
        };
        let content = if record.size <= SMALL {
            match self.local.read(&key.into(), record.size) {
                Err(LocalError::TooLarge { .. }) => {
                    tracing::error!(file = %key, recorded = record.size,
                        "a kept file is larger than recorded; fetching it again");
                    return Ok(None);
                }
                read => read?.map(KeptContent::Bytes),
            }
        } else {
            self.local.open(&key.into())?.map(KeptContent::File)
        };
        let Some(content) = content else {
            if self.gone.peek(key).is_none() {
                self.gone.insert(key.clone(), ());
                tracing::warn!(file = %key, "the index knows this file but it is gone from the disk; fetching it again");
            }
            return Ok(None);
        };
        let size = match &content {
            KeptContent::Bytes(bytes) => bytes.len() as u64,
            KeptContent::File(file) => file.size(),
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
        companions: &Companions,
    ) -> Result<(), StoreError> {
        let kept = match self.local.adopt_bytes(&key.into(), body).await {
            Ok(()) => self.commit_file(key, record, companions).await,
            Err(error) => Err(error.into()),
        };
        self.noted(&key.to_string(), kept)
    }

    /// Makes a staged zip durable and visible, its `.ziphash` first. It must have been verified.
    pub async fn publish_staged(
        &self,
        key: &FileKey,
        staged: &Arc<Staged>,
        h1: &H1,
        record: &FileRecord,
        companions: &Companions,
    ) -> Result<(), StoreError> {
        let hash = Bytes::from(h1.to_string());
        let mut adopted = self.local.adopt_bytes(&BlobName::zip_hash(key), hash).await;
        if adopted.is_ok() {
            adopted = self.local.adopt(staged, &key.into()).await;
        }
        let kept = match adopted {
            Ok(()) => self.commit_file(key, record, companions).await,
            Err(error) => Err(error.into()),
        };
        self.noted(&key.to_string(), kept)
    }

    /// Remembers, and says now and then, that something could not be kept.
    fn noted(&self, name: &str, kept: Result<(), StoreError>) -> Result<(), StoreError> {
        match &kept {
            Ok(()) => self.local.disk().kept(name),
            Err(error) => {
                let no_room = matches!(error, StoreError::Local(error) if error.is_no_room());
                self.local.disk().keeping_failed(name, error, no_room);
            }
        }
        kept
    }

    /// Whether what comes now will be kept, as far as can be said.
    pub fn keeps(&self) -> bool {
        self.local.room() == Room::Enough && self.catalog.health() != Health::Unavailable
    }

    /// Records a file and, with it in one step, what is to be known of it beside.
    async fn commit_file(
        &self,
        key: &FileKey,
        record: &FileRecord,
        companions: &Companions,
    ) -> Result<(), StoreError> {
        let mut changes = vec![Change::Put(Fact::File(key.clone(), record.clone()))];
        let first_seen = companions.first_seen.iter().cloned();
        changes.extend(first_seen.map(|record| Change::Put(Fact::FirstSeen(key.clone(), record))));
        let pending = companions.pending_since.map(PendingRecord::since);
        changes.extend(pending.map(|record| Change::Put(Fact::Pending(key.clone(), record))));
        self.gone.remove(key);
        self.change(changes).await
    }

    /// Makes changes, whatever is known.
    async fn change(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        // Without expectations there is no conflict.
        let (Applied::Done | Applied::Conflict) = self.catalog.apply(Vec::new(), changes).await?;
        Ok(())
    }

    /// Makes changes if all that is expected holds; says whether it did.
    async fn change_if(
        &self,
        expect: Vec<Expect>,
        changes: Vec<Change>,
    ) -> Result<bool, StoreError> {
        Ok(self.catalog.apply(expect, changes).await? == Applied::Done)
    }

    /// Reads a file from its beginning to its end.
    pub async fn read_whole(&self, file: &LocalFile) -> Result<Bytes, StoreError> {
        Ok(self.local.read_whole(file).await?)
    }

    /// Keeps the answer of a query and, with it in one step, what it says of `file` (see [`Store::fallback_info`]).
    pub async fn put_query(
        &self,
        key: &MetaKey,
        record: &MetaRecord,
        file: &FileKey,
    ) -> Result<(), StoreError> {
        let changes = vec![
            Change::Put(Fact::Metadata(key.clone(), record.clone())),
            Change::Put(Fact::FallbackInfo(file.clone(), record.as_fallback())),
        ];
        let kept = self.change(changes).await;
        self.noted(&key.to_string(), kept)
    }

    /// Removes the oldest queries of a module, and what they said of versions, if there are `most` or more.
    pub async fn tidy_queries(&self, module: &ModulePath, most: usize) -> Result<(), StoreError> {
        for kind in [FactKind::Metadata, FactKind::FallbackInfo] {
            let query = Query::OfModule(kind, module.clone());
            let mut known: Vec<(Timestamp, FactKey)> = Vec::new();
            let mut pages = Pages::new(&self.catalog, query, QUERIES);
            while let Some(page) = pages.next().await? {
                known.extend(page.facts.iter().filter_map(|fact| match fact {
                    Fact::Metadata(key, record) => {
                        let is_query = matches!(key.meta, Meta::Query(_));
                        is_query.then(|| (record.fetched, fact.key()))
                    }
                    Fact::FallbackInfo(_, record) => Some((record.fetched, fact.key())),
                    _ => None,
                }));
            }
            if known.len() < most {
                continue;
            }
            known.sort_unstable_by_key(|(fetched, _)| *fetched);
            // More than one at once, so that it is not done for each that comes.
            let surplus = known.len() - most + most / 8;
            let oldest = known.into_iter().take(surplus);
            let changes = oldest.map(|(_, key)| Change::Remove(key)).collect();
            self.change(changes).await?;
        }
        Ok(())
    }

    /// What a query once resolved to this version said: good enough for its `.info` when nobody can be asked.
    pub async fn fallback_info(&self, file: &FileKey) -> Result<Option<MetaRecord>, StoreError> {
        let key = FactKey::FallbackInfo(file.clone());
        Ok(match self.catalog.read(&key).await? {
            Some(Fact::FallbackInfo(_, record)) => Some(record),
            _ => None,
        })
    }

    /// How much is kept.
    pub fn totals(&self) -> Totals {
        *self.catalog.totals().borrow()
    }

    /// Ends the store: everything acknowledged is on disk when this returns.
    pub async fn close(&self) {
        self.catalog.close().await;
    }
}
