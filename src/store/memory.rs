//! An index in memory, for tests.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::RwLock;

use super::index::{Change, Index, IndexError};
use super::totals::Totals;

/// Forgets everything when dropped.
#[derive(Default)]
pub struct MemoryIndex {
    map: RwLock<BTreeMap<String, Vec<u8>>>,
}

#[async_trait]
impl Index for MemoryIndex {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.map.read().get(key).cloned())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), IndexError> {
        let mut map = self.map.write();
        for change in changes {
            match change {
                Change::Put(key, value) => drop(map.insert(key, value)),
                Change::Remove(key) => drop(map.remove(&key)),
            }
        }
        Ok(())
    }

    async fn swap(
        &self,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, IndexError> {
        let mut map = self.map.write();
        let same = map.get(key) == expected.as_ref();
        if same {
            map.insert(key.to_owned(), value);
        }
        Ok(same)
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, IndexError> {
        let map = self.map.read();
        let entries = map
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
            .take(limit);
        Ok(entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn totals(&self) -> Option<Totals> {
        let map = self.map.read();
        let entries = map.iter();
        Some(entries.fold(Totals::default(), |sum, (key, value)| {
            sum.plus(Totals::of(key, value))
        }))
    }

    async fn count(&self, _anew: bool) -> Result<bool, IndexError> {
        Ok(true)
    }

    fn healthy(&self) -> bool {
        true
    }

    async fn close(&self) {}
}
