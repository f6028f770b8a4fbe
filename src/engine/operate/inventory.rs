//! What is kept, looked through from its beginning to its end: with the engine that serves from it, or without one.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};
use tokio::task::spawn_blocking;

use super::OperateError;
use crate::clock::SharedClock;
use crate::engine::{Engine, EngineError};
use crate::protocol::FileKey;
use crate::store::catalog::{Pages, Query};
use crate::store::walk::{OverRecords, Progress};
use crate::store::{FactKey, FactKind, FileRecord, Store, StoreError, Totals, rebuild};

pub use crate::store::rebuild::Summary as Rebuilt;

/// Facts read at once.
const PAGE: usize = 500;

/// What is kept.
#[derive(Clone)]
pub struct Inventory {
    store: Store,
    /// Who serves from it, and must know what goes.
    engine: Option<Arc<Engine>>,
    clock: SharedClock,
}

impl From<&Arc<Engine>> for Inventory {
    fn from(engine: &Arc<Engine>) -> Self {
        Inventory {
            store: engine.store.clone(),
            engine: Some(Arc::clone(engine)),
            clock: Arc::clone(&engine.clock),
        }
    }
}

impl Inventory {
    /// What nobody serves from.
    pub fn of(store: Store, clock: SharedClock) -> Self {
        Inventory {
            store,
            engine: None,
            clock,
        }
    }

    /// How much there is.
    pub fn totals(&self) -> Totals {
        self.store.totals()
    }

    /// Everything known whose name begins so.
    pub fn facts(&self, prefix: &str) -> Facts {
        let queries = FactKind::ALL.into_iter();
        Facts {
            store: self.store.clone(),
            queries: queries.filter_map(|kind| query(kind, prefix)).collect(),
            prefix: prefix.into(),
            pages: None,
        }
    }

    /// The kept files, page by page.
    pub fn files(&self) -> KeptFiles {
        KeptFiles(OverRecords::of(&self.store))
    }

    /// Every kept file, compared with what was recorded. With `repair`, what is not in order is removed, so that it is
    /// fetched again.
    pub fn checks(&self, repair: bool) -> Checks {
        Checks {
            inventory: self.clone(),
            repair,
            records: OverRecords::of(&self.store),
            damaged: VecDeque::new(),
            files: VecDeque::new(),
        }
    }

    /// Makes what is known anew from the files that lie there. `progress` is told about each.
    pub async fn rebuild(&self, progress: impl Fn(&Progress)) -> Result<Rebuilt, OperateError> {
        let told = |seen: &Progress| {
            progress(seen);
            true
        };
        Ok(rebuild::rebuild(&self.store, &self.clock, told).await?)
    }

    async fn revoke(&self, key: &FileKey) -> Result<(), OperateError> {
        match &self.engine {
            Some(engine) => Ok(engine.revoke(key).await?),
            None => Ok(self.store.revoke(key).await?),
        }
    }
}

/// The kept files and what is recorded of them, page by page.
pub struct KeptFiles(OverRecords);

impl KeptFiles {
    /// The next page; none after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<(FileKey, FileRecord)>>, OperateError> {
        Ok(self.0.next().await?.map(|page| page.files))
    }
}

/// What has all facts of a kind whose names begin so, and few others; none if there can be none.
fn query(kind: FactKind, prefix: &str) -> Option<Query> {
    // What is asked for may be a part of a kind, or several kinds.
    let all = kind.prefix();
    if all.starts_with(prefix) {
        return Some(Query::All(kind));
    }
    let rest = prefix.strip_prefix(all)?;
    let by_module = matches!(
        kind,
        FactKind::File
            | FactKind::Metadata
            | FactKind::FallbackInfo
            | FactKind::FirstSeen
            | FactKind::Pending
    );
    Some(match rest.rsplit_once('/') {
        Some((path, _)) if by_module => Query::Below(kind, path.to_owned()),
        _ => Query::All(kind),
    })
}

/// Something known.
#[derive(Debug)]
pub struct KnownFact {
    /// Its name.
    pub key: String,
    /// What it says, as JSON; none if it is damaged, and so unknown.
    pub value: Option<Box<RawValue>>,
}

/// What is known, page by page.
pub struct Facts {
    store: Store,
    queries: VecDeque<Query>,
    prefix: Arc<str>,
    pages: Option<Pages>,
}

impl Facts {
    /// The next page, which may be empty; none after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<KnownFact>>, OperateError> {
        loop {
            let pages = match &mut self.pages {
                Some(pages) => pages,
                None => match self.queries.pop_front() {
                    Some(query) => {
                        let pages = Pages::new(self.store.catalog(), query, PAGE);
                        self.pages.insert(pages)
                    }
                    None => return Ok(None),
                },
            };
            let page = pages.next().await.map_err(StoreError::from)?;
            let Some(page) = page else {
                self.pages = None;
                continue;
            };
            let prefix = Arc::clone(&self.prefix);
            let read = spawn_blocking(move || {
                let facts = page.facts.iter().map(|fact| KnownFact {
                    key: fact.key().to_string(),
                    // A value has no way to fail.
                    value: to_raw_value(&fact.to_json()).ok(),
                });
                let damaged = page.damaged.into_iter();
                let damaged = damaged.map(|key| KnownFact { key, value: None });
                let known = facts.chain(damaged);
                known
                    .filter(|fact| fact.key.starts_with(&*prefix))
                    .collect()
            });
            let known = read.await;
            return Ok(Some(
                known.map_err(|error| EngineError::ours(error.to_string()))?,
            ));
        }
    }
}

/// A file that was compared with what was recorded of it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its name, as below `modules/`.
    pub name: String,
    /// Bytes, if it is in order.
    pub bytes: u64,
    /// What is wrong with it, for people.
    pub flaw: Option<String>,
    /// It is counted as a file: what is recorded of it can be read.
    pub is_file: bool,
    /// It was not in order, and was removed.
    pub removed: bool,
}

/// The files that are kept, compared one by one.
pub struct Checks {
    inventory: Inventory,
    repair: bool,
    records: OverRecords,
    damaged: VecDeque<String>,
    files: VecDeque<(FileKey, FileRecord)>,
}

impl Checks {
    /// The next file; none after the last.
    pub async fn next(&mut self) -> Result<Option<Checked>, OperateError> {
        loop {
            if let Some(name) = self.damaged.pop_front() {
                return Ok(Some(self.drop_damaged(name).await?));
            }
            if let Some((key, record)) = self.files.pop_front() {
                return Ok(Some(self.check(&key, &record).await?));
            }
            let Some(page) = self.records.next().await? else {
                return Ok(None);
            };
            self.damaged.extend(page.damaged);
            self.files.extend(page.files);
        }
    }

    /// What is recorded of a file is damaged, and so nothing is known of it.
    async fn drop_damaged(&self, name: String) -> Result<Checked, OperateError> {
        let key = match FactKey::parse(&name) {
            Some(FactKey::File(key)) => Some(key),
            _ => None,
        };
        let removed = match &key {
            Some(key) if self.repair => {
                self.inventory.revoke(key).await?;
                true
            }
            _ => false,
        };
        Ok(Checked {
            name: key.map_or(name, |key| key.to_string()),
            bytes: 0,
            flaw: Some("what is recorded of it is damaged".to_owned()),
            is_file: false,
            removed,
        })
    }

    async fn check(&self, key: &FileKey, record: &FileRecord) -> Result<Checked, OperateError> {
        let checked = rebuild::check_file(&self.inventory.store, key, record).await;
        let flaw = checked.err();
        let removed = flaw.is_some() && self.repair;
        if removed {
            self.inventory.revoke(key).await?;
        }
        Ok(Checked {
            name: key.to_string(),
            bytes: if flaw.is_none() { record.size } else { 0 },
            flaw,
            is_file: true,
            removed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::store::DataDir;
    use crate::store::catalog::sled::SledCatalog;
    use crate::store::catalog::sled::base::{Base, Opener, open_db};

    #[tokio::test]
    async fn what_is_recorded_and_damaged_is_removed_by_repair_only() {
        const NAME: &str = "example.com/m/@v/v1.0.0.mod";
        let dir = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let data = DataDir::open(&dir.path().join("data"), 0, 1 << 20, &clock).unwrap();
        let other = dir.path().join("other");
        let rows = open_db(&other.join("index"), 1 << 20).unwrap();
        rows.apply([(format!("file/{NAME}"), Some(b"damaged".to_vec()))])
            .unwrap();
        let disk = Arc::clone(data.store.local().disk());
        let opener = Opener::new(&other, 1 << 20, disk);
        let catalog = SledCatalog::new(Base::Disk(rows), opener, &clock).unwrap();
        let store = Store::new(Arc::new(catalog), data.store.local().clone());
        let inventory = Inventory::of(store, clock);
        for (repair, removed) in [(false, Some(false)), (true, Some(true)), (true, None)] {
            let checked = inventory.checks(repair).next().await.unwrap();
            let found = checked.map(|checked| (checked.name, checked.removed));
            assert_eq!(found, removed.map(|removed| (NAME.to_owned(), removed)));
        }
    }
}
