//! Changing answers. The catalog keeps small values only: a list above [`IN_INDEX`] lies in its file, which the record
//! names by size and SHA-256. So asking again for a list that has not changed costs some hundred bytes, whatever its size.
//!
//! Such a list is written beside the one before, recorded, and takes its place then. So after an end at any moment one of
//! the two files is the one that the record names. What is larger than [`SMALL`] goes in its place first and is recorded
//! then: an end between the two leaves a record that names another file, and the list counts as unknown, and is fetched.

use bytes::Bytes;

use super::{FactKey, ListFile, LocalFile, MetaRecord, SMALL, Store, StoreError};
use crate::gomod::ModulePath;
use crate::protocol::{Meta, MetaKey};
use crate::store::catalog::Change;
use crate::store::local::{BlobName, LocalError};
use crate::store::model::Fact;

/// The largest list that is a value of the catalog. Bytes.
pub const IN_INDEX: u64 = 4 << 10;

impl Store {
    /// The last answer kept for a changing resource, of whatever age. A list that is too large to be read whole is named
    /// only.
    pub async fn metadata(&self, key: &MetaKey) -> Result<Option<MetaRecord>, StoreError> {
        let Some(record) = self.recorded(key).await? else {
            return Ok(None);
        };
        let Some(named) = record.file.as_ref().filter(|named| named.size <= SMALL) else {
            return Ok(Some(record));
        };
        let body = self.small_list(&key.module, named)?;
        if body.is_none() {
            tracing::warn!(module = %key.module, "a list's file is not there any more, or another one; asking again");
        }
        Ok(body.map(|body| MetaRecord {
            body,
            file: None,
            ..record
        }))
    }

    /// As it stands in the catalog.
    pub(super) async fn recorded(&self, key: &MetaKey) -> Result<Option<MetaRecord>, StoreError> {
        let fact = self.catalog.read(&FactKey::Metadata(key.clone())).await?;
        Ok(match fact {
            Some(Fact::Metadata(_, record)) => Some(record),
            _ => None,
        })
    }

    fn small_list(
        &self,
        module: &ModulePath,
        named: &ListFile,
    ) -> Result<Option<String>, StoreError> {
        let list = BlobName::List(module.clone());
        let body = match self.read_named(&list, named)? {
            Some(body) => Some(body),
            None => self.read_named(&BlobName::NextList(module.clone()), named)?,
        };
        Ok(body.and_then(|body| String::from_utf8(body.into()).ok()))
    }

    /// A file, if it is the one that is meant.
    fn read_named(&self, name: &BlobName, named: &ListFile) -> Result<Option<Bytes>, StoreError> {
        let body = match self.local.read(name, named.size) {
            Err(LocalError::TooLarge { .. }) => None,
            read => read?,
        };
        Ok(body.filter(|body| named.is_of(body)))
    }

    /// Brings a list that was recorded in its place, if an end has come before that. Says whether it is there now; of a
    /// large one nobody knows.
    pub(super) async fn place_list(
        &self,
        module: &ModulePath,
        named: &ListFile,
    ) -> Result<bool, StoreError> {
        let (list, next) = (
            BlobName::List(module.clone()),
            BlobName::NextList(module.clone()),
        );
        if named.size > SMALL {
            return Ok(false);
        }
        if self.read_named(&list, named)?.is_some() {
            return Ok(true);
        }
        if self.read_named(&next, named)?.is_none() {
            return Ok(false);
        }
        self.local.rename(&next, &list).await?;
        Ok(true)
    }

    /// Keeps an answer of a changing resource.
    pub async fn put_metadata(&self, key: &MetaKey, record: &MetaRecord) -> Result<(), StoreError> {
        let kept = self.try_put_metadata(key, record).await;
        self.noted(&key.to_string(), kept)
    }

    async fn try_put_metadata(&self, key: &MetaKey, record: &MetaRecord) -> Result<(), StoreError> {
        let mut record = record.clone();
        let mut written = None;
        if key.meta == Meta::List && record.body.len() as u64 > IN_INDEX {
            let body = Bytes::from(std::mem::take(&mut record.body));
            let named = ListFile::of(&body);
            let known = self.recorded(key).await?.and_then(|known| known.file);
            let is_there = match &known {
                Some(known) => self.place_list(&key.module, known).await? && *known == named,
                None => false,
            };
            if !is_there && named.size > SMALL {
                self.write_list(&key.module, body).await?;
            } else if !is_there {
                let next = BlobName::NextList(key.module.clone());
                self.local.adopt_bytes(&next, body).await?;
                written = Some(named.clone());
            }
            record.file = Some(named);
        }
        let put = Change::Put(Fact::Metadata(key.clone(), record));
        self.change(vec![put]).await?;
        if let Some(named) = written {
            self.place_list(&key.module, &named).await?;
        }
        Ok(())
    }

    /// Keeps a module's list in a file; gives what stands for it in the record, and the file.
    pub async fn put_list(
        &self,
        module: &ModulePath,
        body: Bytes,
    ) -> Result<Option<(ListFile, LocalFile)>, StoreError> {
        let named = ListFile::of(&body);
        self.write_list(module, body).await?;
        let file = self.list(module, &named)?;
        Ok(file.map(|file| (named, file)))
    }

    /// Puts a module's list where the `go` command finds it when the folder serves as `GOPROXY=file://…`. Of a small one
    /// it is a copy, on which nothing depends; a large one is nowhere else.
    pub async fn write_list(&self, module: &ModulePath, body: Bytes) -> Result<(), StoreError> {
        let name = BlobName::List(module.clone());
        Ok(self.local.adopt_bytes(&name, body).await?)
    }

    /// A list in a file; `None` if it is not there, or not as long as recorded.
    pub fn list(
        &self,
        module: &ModulePath,
        named: &ListFile,
    ) -> Result<Option<LocalFile>, StoreError> {
        let file = self.local.open(&BlobName::List(module.clone()))?;
        Ok(file.filter(|file| file.size() == named.size))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::clock::{SharedClock, SystemClock, Timestamp};
    use crate::store::DataDir;
    use crate::store::catalog::memory::MemoryCatalog;

    fn open() -> (TempDir, DataDir) {
        let dir = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let data = DataDir::open(dir.path(), 0, 1 << 20, &clock).unwrap();
        (dir, data)
    }

    fn in_memory(data: &DataDir) -> Store {
        let clock: SharedClock = Arc::new(SystemClock);
        let catalog = Arc::new(MemoryCatalog::new(&clock));
        Store::new(catalog, data.store.local().clone())
    }

    fn key() -> MetaKey {
        MetaKey {
            module: ModulePath::parse("example.com/m").unwrap(),
            meta: Meta::List,
        }
    }

    fn list(bytes: usize, last: u32) -> MetaRecord {
        let mut body = "v1.0.0\n".repeat(bytes / 7);
        body.push_str(&format!("v2.{last}.0\n"));
        MetaRecord {
            body,
            fetched: Timestamp(u64::from(last)),
            ..MetaRecord::default()
        }
    }

    fn path(dir: &TempDir) -> PathBuf {
        dir.path().join("modules/example.com/m/@v/list")
    }

    #[tokio::test]
    async fn small_lists_are_values_and_larger_ones_are_files() {
        let (dir, data) = open();
        let store = in_memory(&data);
        let small = list(4000, 1);
        store.put_metadata(&key(), &small).await.unwrap();
        assert_eq!(store.recorded(&key()).await.unwrap(), Some(small.clone()));
        assert_eq!(store.metadata(&key()).await.unwrap(), Some(small));
        assert!(!path(&dir).exists());
        let large = list(40_000, 2);
        store.put_metadata(&key(), &large).await.unwrap();
        let recorded = store.recorded(&key()).await.unwrap().unwrap();
        assert!(recorded.body.is_empty() && recorded.file.is_some());
        let text = std::fs::read_to_string(path(&dir)).unwrap();
        assert_eq!(text, large.body);
        assert_eq!(store.metadata(&key()).await.unwrap(), Some(large));
    }

    #[tokio::test]
    async fn a_list_that_has_not_changed_is_not_written_again() {
        let (dir, data) = open();
        let store = in_memory(&data);
        let mut record = list(40_000, 1);
        store.put_metadata(&key(), &record).await.unwrap();
        let inode = || std::fs::metadata(path(&dir)).unwrap().ino();
        let before = inode();
        record.fetched = Timestamp(7);
        store.put_metadata(&key(), &record).await.unwrap();
        assert_eq!(inode(), before);
        assert_eq!(store.metadata(&key()).await.unwrap(), Some(record.clone()));
        // But for one that was altered.
        let altered = record.body.replacen("v1", "v3", 1);
        std::fs::write(path(&dir), altered).unwrap();
        assert_eq!(store.metadata(&key()).await.unwrap(), None);
        store.put_metadata(&key(), &record).await.unwrap();
        assert_eq!(store.metadata(&key()).await.unwrap(), Some(record));
    }

    #[tokio::test]
    async fn a_list_whose_file_is_another_one_is_unknown() {
        let (dir, data) = open();
        let store = in_memory(&data);
        store.put_metadata(&key(), &list(40_000, 1)).await.unwrap();
        // An end before the next one was recorded.
        std::fs::write(path(&dir), list(50_000, 2).body).unwrap();
        assert_eq!(store.metadata(&key()).await.unwrap(), None);
        std::fs::remove_file(path(&dir)).unwrap();
        assert_eq!(store.metadata(&key()).await.unwrap(), None);
        let next = list(40_000, 3);
        store.put_metadata(&key(), &next).await.unwrap();
        assert_eq!(store.metadata(&key()).await.unwrap(), Some(next));
    }

    #[tokio::test]
    async fn an_end_at_any_moment_leaves_the_list_that_is_recorded() {
        let (dir, data) = open();
        let store = in_memory(&data);
        let (old, new) = (list(40_000, 1), list(50_000, 2));
        let next = path(&dir).with_extension("next");
        store.put_metadata(&key(), &old).await.unwrap();
        assert!(!next.exists());
        // Before it was recorded.
        std::fs::write(&next, &new.body).unwrap();
        assert_eq!(store.metadata(&key()).await.unwrap(), Some(old.clone()));
        store.put_metadata(&key(), &new).await.unwrap();
        assert_eq!(std::fs::read_to_string(path(&dir)).unwrap(), new.body);
        assert!(!next.exists());
        // Before it was brought in its place.
        std::fs::rename(path(&dir), &next).unwrap();
        std::fs::write(path(&dir), &old.body).unwrap();
        assert_eq!(store.metadata(&key()).await.unwrap(), Some(new.clone()));
        rebuilt(&store).await;
        assert_eq!(store.metadata(&key()).await.unwrap(), Some(new.clone()));
        assert_eq!(std::fs::read_to_string(path(&dir)).unwrap(), new.body);
        std::fs::rename(path(&dir), &next).unwrap();
        std::fs::write(path(&dir), &old.body).unwrap();
        let third = list(45_000, 3);
        store.put_metadata(&key(), &third).await.unwrap();
        assert_eq!(store.metadata(&key()).await.unwrap(), Some(third));
    }

    async fn rebuilt(store: &Store) -> u64 {
        let clock: SharedClock = Arc::new(SystemClock);
        let summary = crate::store::rebuild::rebuild(store, &clock, |_| true).await;
        summary.unwrap().lists
    }

    /// A GOMODCACHE copied into the folder brings lists of its own.
    #[tokio::test]
    async fn a_rebuild_takes_over_a_list_in_place_of_one_whose_file_is_gone() {
        let (dir, data) = open();
        let store = in_memory(&data);
        for versions in [5000, 100, 20_000] {
            store.put_metadata(&key(), &list(40_000, 1)).await.unwrap();
            let copied: String = (0..versions).map(|n| format!("v1.{n}.0\n")).collect();
            std::fs::write(path(&dir), &copied).unwrap();
            assert_eq!(store.metadata(&key()).await.unwrap(), None);
            assert_eq!(rebuilt(&store).await, 1);
            let record = store.metadata(&key()).await.unwrap().unwrap();
            assert_eq!(record.from, "files");
            match record.file {
                Some(named) => assert!(named.is_of(copied.as_bytes())),
                None => assert_eq!(record.body, copied),
            }
            assert_eq!(rebuilt(&store).await, 0, "it is known now");
        }
        let large = list(1 << 17, 6);
        store.put_metadata(&key(), &large).await.unwrap();
        assert_eq!(std::fs::read_to_string(path(&dir)).unwrap(), large.body);
        // What is a value of the index is not replaced.
        let small = list(700, 5);
        store.put_metadata(&key(), &small).await.unwrap();
        assert_eq!(rebuilt(&store).await, 0);
        assert_eq!(store.metadata(&key()).await.unwrap(), Some(small));
    }

    fn size(folder: PathBuf) -> u64 {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let size = |entry: std::fs::DirEntry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        };
        entries.map(size).sum()
    }

    /// Of 40 KiB, which is a value for a moment, and of 1 MiB, which is served from its file.
    #[tokio::test]
    #[ignore = "writes 2 GB"]
    async fn the_index_stays_small_however_often_a_large_list_changes() {
        let (dir, data) = open();
        let store = &data.store;
        for n in 0..2000 {
            store.put_metadata(&key(), &list(40_000, n)).await.unwrap();
            let large = list(1 << 20, n);
            let body = Bytes::from(large.body);
            let (named, _) = store.put_list(&key().module, body).await.unwrap().unwrap();
            let record = MetaRecord {
                body: String::new(),
                file: Some(named),
                ..large
            };
            store.put_metadata(&key(), &record).await.unwrap();
            if n % 100 == 99 {
                let size = size(dir.path().join("index"));
                assert!(size < 50 << 20, "{size} bytes after {n} changes");
            }
        }
    }
}
