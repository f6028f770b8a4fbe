//! Facts about files and databases that are no files themselves: first-seen checksums, pending verification, and what is
//! kept of checksum databases.

use bytes::Bytes;

use super::catalog::{Change, Expect, Pages, Query};
use super::local::{BlobName, TileName};
use super::model::{
    Fact, FactKey, FactKind, FileRecord, FirstSeenRecord, PendingRecord, StateKey, SumdbKey,
    Verification, Verified,
};
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::gomod::{H1, ModulePath};
use crate::protocol::{FileKey, Meta, MetaKey};

/// Facts read at once.
const PAGE: usize = 500;
/// Files of a module that are looked at to see where it comes from.
const SAMPLE: usize = 8;

/// What is known of one kind, page by page.
pub struct FactPages<T> {
    pages: Pages,
    read: fn(Fact) -> Option<T>,
}

impl<T> FactPages<T> {
    /// The next page; none after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, StoreError> {
        let page = self.pages.next().await?;
        Ok(page.map(|page| page.facts.into_iter().filter_map(self.read).collect()))
    }
}

impl Store {
    /// A file's first-seen checksum.
    pub async fn first_seen(&self, key: &FileKey) -> Result<Option<FirstSeenRecord>, StoreError> {
        let key = FactKey::FirstSeen(key.clone());
        Ok(match self.catalog.read(&key).await? {
            Some(Fact::FirstSeen(_, record)) => Some(record),
            _ => None,
        })
    }

    /// Keeps a first-seen checksum.
    pub async fn put_first_seen(
        &self,
        key: &FileKey,
        record: &FirstSeenRecord,
    ) -> Result<(), StoreError> {
        let fact = Fact::FirstSeen(key.clone(), record.clone());
        self.change(vec![Change::Put(fact)]).await
    }

    /// Forgets a first-seen checksum.
    pub async fn remove_first_seen(&self, key: &FileKey) -> Result<(), StoreError> {
        let key = FactKey::FirstSeen(key.clone());
        self.change(vec![Change::Remove(key)]).await
    }

    /// All first-seen checksums.
    pub fn all_first_seen(&self) -> FactPages<(FileKey, FirstSeenRecord)> {
        self.listing(Query::All(FactKind::FirstSeen), |fact| match fact {
            Fact::FirstSeen(key, record) => Some((key, record)),
            _ => None,
        })
    }

    /// Verifications that are due.
    pub fn due(&self, now: Timestamp) -> FactPages<(FileKey, PendingRecord)> {
        self.listing(Query::Due(now), |fact| match fact {
            Fact::Pending(key, record) => Some((key, record)),
            _ => None,
        })
    }

    fn listing<T>(&self, query: Query, read: fn(Fact) -> Option<T>) -> FactPages<T> {
        FactPages {
            pages: Pages::new(&self.catalog, query, PAGE),
            read,
        }
    }

    /// Where some of what is kept of a module has come from.
    pub async fn origins_of(&self, module: &ModulePath) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for meta in [Meta::List, Meta::Latest] {
            let key = MetaKey {
                module: module.clone(),
                meta,
            };
            found.extend(self.metadata(&key).await?.map(|record| record.from));
        }
        let query = Query::OfModule(FactKind::File, module.clone());
        let page = self.catalog.page(&query, None, SAMPLE).await?;
        found.extend(page.facts.into_iter().filter_map(|fact| match fact {
            Fact::File(_, record) => Some(record.from),
            _ => None,
        }));
        Ok(found)
    }

    /// Records what a kept file, which had this h1, was verified by; false if that is not what is kept now. What a
    /// database answers for needs no first-seen checksum.
    pub async fn put_verification(
        &self,
        key: &FileKey,
        h1: &H1,
        verification: Verification,
    ) -> Result<bool, StoreError> {
        let Some(old) = self.record(key).await? else {
            return Ok(false);
        };
        if old.h1.as_ref() != Some(h1) {
            return Ok(false);
        }
        let record = FileRecord {
            verified: verification.verified,
            by: verification.by,
            ..old.clone()
        };
        let mut changes = vec![Change::Put(Fact::File(key.clone(), record))];
        let is_unknown = verification
            .first_seen
            .as_ref()
            .is_some_and(|first_seen| first_seen.unknown);
        match (verification.verified, verification.first_seen) {
            (Verified::Sumdb, _) => {
                changes.push(Change::Remove(FactKey::FirstSeen(key.clone())));
            }
            (_, Some(first_seen)) => {
                changes.push(Change::Put(Fact::FirstSeen(key.clone(), first_seen)));
            }
            (_, None) => {}
        }
        if !is_unknown {
            changes.push(Change::Remove(FactKey::Pending(key.clone())));
        }
        let expect = vec![Expect::Is(Fact::File(key.clone(), old))];
        self.change_if(expect, changes).await
    }

    /// A file is not there any more, and so its database need not be asked about it.
    pub async fn remove_pending(&self, key: &FileKey) -> Result<(), StoreError> {
        let key = FactKey::Pending(key.clone());
        self.change(vec![Change::Remove(key)]).await
    }

    /// Marks kept files as pending verification; those that are marked already are left as they are.
    pub async fn mark_pending(
        &self,
        keys: impl Iterator<Item = FileKey>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        for key in keys {
            let name = FactKey::Pending(key.clone());
            if self.catalog.read(&name).await?.is_none() {
                let fact = Fact::Pending(key, PendingRecord::since(now));
                changes.push(Change::Put(fact));
            }
        }
        self.change(changes).await
    }

    /// Notes when a database is to be asked about a file again.
    pub async fn put_pending(
        &self,
        key: &FileKey,
        record: &PendingRecord,
    ) -> Result<(), StoreError> {
        let fact = Fact::Pending(key.clone(), record.clone());
        self.change(vec![Change::Put(fact)]).await
    }

    /// By which rules the kept files were last looked through.
    pub async fn rules(&self) -> Result<Option<String>, StoreError> {
        let key = FactKey::State(StateKey::Rules);
        Ok(match self.catalog.read(&key).await? {
            Some(Fact::State(_, rules)) => Some(rules),
            _ => None,
        })
    }

    /// Notes by which rules they were.
    pub async fn put_rules(&self, rules: &str) -> Result<(), StoreError> {
        let fact = Fact::State(StateKey::Rules, rules.to_owned());
        self.change(vec![Change::Put(fact)]).await
    }

    /// Takes a kept file back: what is known of it first, so that it is not there any more, then the file.
    pub async fn revoke(&self, key: &FileKey) -> Result<(), StoreError> {
        let changes = vec![
            Change::Remove(FactKey::File(key.clone())),
            Change::Remove(FactKey::Pending(key.clone())),
        ];
        self.change(changes).await?;
        Ok(self.local.remove(&key.into()).await?)
    }

    /// What is kept of a checksum database.
    pub fn database(&self, name: &str) -> DatabaseFacts {
        DatabaseFacts {
            store: self.clone(),
            database: name.replace('/', "%2f"),
        }
    }
}

/// What is kept of one checksum database: small facts in the catalog, tiles as files.
pub struct DatabaseFacts {
    store: Store,
    /// Its name as one element of a path, so that none lies within another.
    database: String,
}

impl DatabaseFacts {
    fn key(&self, name: &str) -> SumdbKey {
        SumdbKey {
            database: self.database.clone(),
            name: name.to_owned(),
        }
    }

    /// `None` for what no database has.
    fn tile_name(&self, name: &str) -> Option<BlobName> {
        TileName::new(&self.database, name).map(BlobName::Tile)
    }

    /// A fact.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let key = FactKey::Sumdb(self.key(name));
        Ok(match self.store.catalog.read(&key).await? {
            Some(Fact::Sumdb(_, value)) => Some(value),
            _ => None,
        })
    }

    /// Keeps a fact.
    pub async fn put(&self, name: &str, value: Bytes) -> Result<(), StoreError> {
        let fact = Fact::Sumdb(self.key(name), value);
        self.store.change(vec![Change::Put(fact)]).await
    }

    /// Keeps a fact if the old one is still what it was; says whether it was.
    pub async fn swap(
        &self,
        name: &str,
        old: Option<&Bytes>,
        new: Bytes,
    ) -> Result<bool, StoreError> {
        let key = self.key(name);
        let expect = match old {
            Some(old) => Expect::Is(Fact::Sumdb(key.clone(), old.clone())),
            None => Expect::Unknown(FactKey::Sumdb(key.clone())),
        };
        let put = Change::Put(Fact::Sumdb(key, new));
        self.store.change_if(vec![expect], vec![put]).await
    }

    /// A tile.
    pub async fn tile(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        match self.tile_name(name) {
            Some(name) => Ok(self.store.local.read_unsynced(&name)?),
            None => Ok(None),
        }
    }

    /// Keeps a tile.
    pub async fn put_tile(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        match self.tile_name(name) {
            Some(name) => Ok(self.store.local.put_unsynced(&name, body).await?),
            None => Ok(()),
        }
    }

    /// Forgets everything about this database.
    pub async fn clear(&self) -> Result<(), StoreError> {
        let query = Query::Database(self.database.clone());
        let mut pages = Pages::new(&self.store.catalog, query, PAGE);
        while let Some(page) = pages.next().await? {
            let removed = page.facts.iter().map(|fact| Change::Remove(fact.key()));
            self.store.change(removed.collect()).await?;
        }
        Ok(self.store.local.remove_tiles(&self.database).await?)
    }
}
