//! The references of repositories as last known. They are as large as their hosts like, so their bytes count; and what
//! strangers name takes no room from private modules.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::refs::RefTable;
use super::tenant::Tenant;

/// What all tables of strangers' repositories may take. Bytes.
const STRANGERS: u64 = 32 << 20;
/// The same of private modules and routes.
const OWN: u64 = 256 << 20;
/// Few enough that one table may take all of the room.
const ITEMS: usize = 32;

/// A repository's references at one time.
#[derive(Clone)]
pub struct Snapshot {
    /// The references.
    pub table: Arc<RefTable>,
    /// When they were asked for.
    pub at: Instant,
}

/// Which repository, by which rules.
pub type RepositoryKey = Arc<str>;

#[derive(Clone)]
struct ByBytes;

impl Weighter<RepositoryKey, Snapshot> for ByBytes {
    fn weight(&self, key: &RepositoryKey, snapshot: &Snapshot) -> u64 {
        key.len() as u64 + snapshot.table.weight()
    }
}

pub struct Tables {
    strangers: Cache<RepositoryKey, Snapshot, ByBytes>,
    own: Cache<RepositoryKey, Snapshot, ByBytes>,
}

impl Default for Tables {
    fn default() -> Self {
        Tables {
            strangers: Cache::with_weighter(ITEMS, STRANGERS, ByBytes),
            own: Cache::with_weighter(ITEMS, OWN, ByBytes),
        }
    }
}

impl Tables {
    fn of(&self, tenant: Tenant) -> &Cache<RepositoryKey, Snapshot, ByBytes> {
        match tenant {
            Tenant::Strangers => &self.strangers,
            Tenant::Own => &self.own,
        }
    }

    /// What was last known.
    pub fn get(&self, tenant: Tenant, key: &RepositoryKey) -> Option<Snapshot> {
        self.of(tenant).get(key)
    }

    /// Something newer is known.
    pub fn put(&self, tenant: Tenant, key: &RepositoryKey, snapshot: Snapshot) {
        self.of(tenant).insert(Arc::clone(key), snapshot);
    }
}

#[cfg(test)]
mod tests {
    use super::super::refs::RefLimits;
    use super::*;

    #[test]
    fn tables_take_no_more_room_than_they_may() {
        let tables = Tables::default();
        let line = |n: usize| format!("{:040x}\trefs/tags/v1.{n}.0\n", n);
        let text: String = (0..40_000).map(line).collect();
        let table = Arc::new(RefTable::parse(text.as_bytes(), RefLimits::default()).unwrap());
        assert!(table.weight() >= text.len() as u64);
        let snapshot = |_| Snapshot {
            table: Arc::clone(&table),
            at: Instant::now(),
        };
        let private: RepositoryKey = "private".into();
        tables.put(Tenant::Own, &private, snapshot(0));
        for n in 0..100 {
            let key: RepositoryKey = n.to_string().into();
            tables.put(Tenant::Strangers, &key, snapshot(n));
            assert!(tables.get(Tenant::Strangers, &key).is_some());
        }
        assert!(tables.strangers.weight() <= STRANGERS);
        assert!(tables.get(Tenant::Own, &private).is_some());
    }
}
