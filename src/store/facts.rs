//! Facts about files and databases that are no files themselves: pins, what is still to be vouched for, and what is kept
//! of checksum databases.

use bytes::Bytes;

use super::record::{raw, unraw};
use super::{Change, FileRecord, PinRecord, Store, StoreError, UnsettledRecord, Verified};
use super::{layout, sound};
use crate::clock::Timestamp;
use crate::gomod::ModulePath;
use crate::protocol::{FileKey, Meta, MetaKey};

/// Entries read from the index at once.
const PAGE: usize = 500;
/// Files of a module that are looked at to see where it comes from.
const SAMPLE: usize = 8;

/// What is recorded together with a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// It is pinned to this.
    pub pin: Option<PinRecord>,
    /// It was served since then without its database's word.
    pub unsettled: Option<Timestamp>,
}

/// Who has vouched for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// As in the header.
    pub verified: Verified,
    /// Of `sumdb`, which database.
    pub by: Option<String>,
    /// It is pinned to this.
    pub pin: Option<PinRecord>,
}

impl Beside {
    pub(super) fn changes(&self, key: &FileKey) -> Vec<Change> {
        let pin = self
            .pin
            .as_ref()
            .map(|pin| Change::Put(layout::pin_key(key), pin.encode()));
        let unsettled = self.unsettled.map(|since| {
            let record = UnsettledRecord::since(since);
            Change::Put(layout::unsettled_key(key), record.encode())
        });
        pin.into_iter().chain(unsettled).collect()
    }
}

impl Store {
    /// What a file is pinned to.
    pub async fn pin(&self, key: &FileKey) -> Result<Option<PinRecord>, StoreError> {
        let name = layout::pin_key(key);
        let bytes = self.index.get(&name).await?;
        Ok(bytes.and_then(|bytes| sound(&name, PinRecord::decode(&bytes))))
    }

    /// Pins a file.
    pub async fn put_pin(&self, key: &FileKey, pin: &PinRecord) -> Result<(), StoreError> {
        let put = Change::Put(layout::pin_key(key), pin.encode());
        Ok(self.index.commit(vec![put]).await?)
    }

    /// Forgets a pin.
    pub async fn remove_pin(&self, key: &FileKey) -> Result<(), StoreError> {
        let remove = Change::Remove(layout::pin_key(key));
        Ok(self.index.commit(vec![remove]).await?)
    }

    /// Pins after `after`, a page of them; the last one's name goes on.
    pub async fn pins(&self, after: Option<&str>) -> Result<Vec<(String, PinRecord)>, StoreError> {
        let page = self.index.scan(layout::PIN, after, PAGE).await?;
        let read = |(name, bytes): (String, Vec<u8>)| {
            let pin = sound(&name, PinRecord::decode(&bytes))?;
            Some((name, pin))
        };
        Ok(page.into_iter().filter_map(read).collect())
    }

    /// The file that a name in a page of pins belongs to, or of what is unsettled.
    pub fn file_of(name: &str) -> Option<FileKey> {
        let path = name
            .strip_prefix(layout::PIN)
            .or_else(|| name.strip_prefix(layout::UNSETTLED))
            .or_else(|| name.strip_prefix(layout::FILE))?;
        layout::parse_file(std::path::Path::new(path))
    }

    /// Files that are still to be vouched for, after `after`, a page of them.
    pub async fn unsettled(
        &self,
        after: Option<&str>,
    ) -> Result<Vec<(String, UnsettledRecord)>, StoreError> {
        let page = self.index.scan(layout::UNSETTLED, after, PAGE).await?;
        let read = |(name, bytes): (String, Vec<u8>)| {
            let record = sound(&name, UnsettledRecord::decode(&bytes))?;
            Some((name, record))
        };
        Ok(page.into_iter().filter_map(read).collect())
    }

    /// Where some of what is kept of a module has come from.
    pub async fn sources_of(&self, module: &ModulePath) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for meta in [Meta::List, Meta::Latest] {
            let key = MetaKey {
                module: module.clone(),
                meta,
            };
            found.extend(self.meta(&key).await?.map(|record| record.from));
        }
        let prefix = layout::files_prefix(module);
        for (name, bytes) in self.index.scan(&prefix, None, SAMPLE).await? {
            found.extend(sound(&name, FileRecord::decode(&bytes)).map(|record| record.from));
        }
        Ok(found)
    }

    /// Records of files after `after`, a page of them.
    pub async fn files(
        &self,
        after: Option<&str>,
    ) -> Result<Vec<(String, Option<FileRecord>)>, StoreError> {
        let page = self.index.scan(layout::FILE, after, PAGE).await?;
        let read = |(name, bytes): (String, Vec<u8>)| {
            let record = sound(&name, FileRecord::decode(&bytes));
            (name, record)
        };
        Ok(page.into_iter().map(read).collect())
    }

    /// Records that somebody has vouched for a kept file, which had this h1; false if that is not what is kept now. What
    /// a database vouches for needs no pin.
    pub async fn settle(
        &self,
        key: &FileKey,
        h1: &str,
        settle: Settle,
    ) -> Result<bool, StoreError> {
        let name = layout::file_key(key);
        let Some(old) = self.index.get(&name).await? else {
            return Ok(false);
        };
        let Some(record) = sound(&name, FileRecord::decode(&old)) else {
            return Ok(false);
        };
        if record.h1.as_deref() != Some(h1) {
            return Ok(false);
        }
        let record = FileRecord {
            verified: settle.verified,
            by: settle.by,
            ..record
        };
        if !self.index.swap(&name, Some(old), record.encode()).await? {
            return Ok(false);
        }
        let mut changes = Vec::new();
        match (settle.verified, &settle.pin) {
            (Verified::Sumdb, _) => changes.push(Change::Remove(layout::pin_key(key))),
            (_, Some(pin)) => changes.push(Change::Put(layout::pin_key(key), pin.encode())),
            (_, None) => {}
        }
        let pinned_unknown = settle.pin.is_some_and(|pin| pin.unknown);
        if !pinned_unknown {
            changes.push(Change::Remove(layout::unsettled_key(key)));
        }
        self.index.commit(changes).await?;
        Ok(true)
    }

    /// A file is not there any more, and so needs nobody to vouch for it.
    pub async fn remove_unsettled(&self, key: &FileKey) -> Result<(), StoreError> {
        let remove = Change::Remove(layout::unsettled_key(key));
        Ok(self.index.commit(vec![remove]).await?)
    }

    /// Marks kept files as still to be vouched for, those that are marked already left as they are.
    pub async fn mark_unsettled(
        &self,
        keys: impl Iterator<Item = FileKey>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        for key in keys {
            let name = layout::unsettled_key(&key);
            if self.index.get(&name).await?.is_none() {
                changes.push(Change::Put(name, UnsettledRecord::since(now).encode()));
            }
        }
        Ok(self.index.commit(changes).await?)
    }

    /// By which rules what is kept was last looked through.
    pub async fn rules(&self) -> Result<Option<String>, StoreError> {
        let bytes = self.index.get(layout::RULES).await?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// Notes by which rules it has been.
    pub async fn put_rules(&self, rules: &str) -> Result<(), StoreError> {
        let put = Change::Put(layout::RULES.to_owned(), rules.as_bytes().to_vec());
        Ok(self.index.commit(vec![put]).await?)
    }

    /// Notes when a file that is still to be vouched for is to be asked about again.
    pub async fn put_unsettled(
        &self,
        key: &FileKey,
        record: &UnsettledRecord,
    ) -> Result<(), StoreError> {
        let put = Change::Put(layout::unsettled_key(key), record.encode());
        Ok(self.index.commit(vec![put]).await?)
    }

    /// Takes a kept file back: its record first, so that it is not there any more, then the file.
    pub async fn withdraw(&self, key: &FileKey) -> Result<(), StoreError> {
        let changes = vec![
            Change::Remove(layout::file_key(key)),
            Change::Remove(layout::unsettled_key(key)),
        ];
        self.index.commit(changes).await?;
        Ok(self.blobs.remove(key).await?)
    }

    /// What is kept of a checksum database.
    pub fn database(&self, name: &str) -> DatabaseFacts {
        DatabaseFacts {
            store: self.clone(),
            folder: name.replace('/', "%2f"),
        }
    }
}

/// What is kept of one checksum database: small facts in the index, tiles as loose files.
pub struct DatabaseFacts {
    store: Store,
    /// Its name as one element of a path, so that none lies within another.
    folder: String,
}

impl DatabaseFacts {
    fn key(&self, key: &str) -> String {
        layout::sumdb_key(&self.folder, key)
    }

    fn loose(&self, key: &str) -> String {
        format!("{}/{key}", self.folder)
    }

    /// A fact.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let name = self.key(key);
        let bytes = self.store.index.get(&name).await?;
        Ok(bytes.and_then(|bytes| sound(&name, unraw(&bytes).map(Bytes::copy_from_slice))))
    }

    /// Keeps a fact.
    pub async fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let put = Change::Put(self.key(key), raw(value));
        Ok(self.store.index.commit(vec![put]).await?)
    }

    /// Keeps a fact if the old one is still what it was.
    pub async fn swap(
        &self,
        key: &str,
        old: Option<&[u8]>,
        new: &[u8],
    ) -> Result<bool, StoreError> {
        let key = self.key(key);
        let swap = self.store.index.swap(&key, old.map(raw), raw(new));
        Ok(swap.await?)
    }

    /// A tile.
    pub async fn tile(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.store.blobs.loose(&self.loose(key)).await?)
    }

    /// Keeps a tile.
    pub async fn put_tile(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        Ok(self.store.blobs.put_loose(&self.loose(key), body).await?)
    }

    /// Forgets everything about this database.
    pub async fn clear(&self) -> Result<(), StoreError> {
        let prefix = self.key("");
        loop {
            let page = self.store.index.scan(&prefix, None, PAGE).await?;
            if page.is_empty() {
                break;
            }
            let changes = page.into_iter().map(|(name, _)| Change::Remove(name));
            self.store.index.commit(changes.collect()).await?;
        }
        Ok(self.store.blobs.clear_loose(&self.loose("")).await?)
    }
}
