//! All upstreams that the operator has named, so that operators can be told how each is: those of the chain, of routes,
//! and the routes to checksum databases.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::server::Upstream;

/// A list of upstreams. It grows with the configuration only.
#[derive(Default)]
pub struct Roster {
    entries: Mutex<Vec<Entry>>,
    /// Which of them are told of.
    in_force: AtomicU64,
    /// The one that was begun last.
    begun: AtomicU64,
}

/// Which configuration upstreams belong to. The default is the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RosterEdition(u64);

struct Entry {
    upstream: Weak<Upstream>,
    /// The checksum database that it is a way to, if it is one.
    database: Option<String>,
    edition: RosterEdition,
}

impl Roster {
    /// For the upstreams of another configuration, which are not told of until that is in force.
    pub fn begin(&self) -> RosterEdition {
        RosterEdition(self.begun.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// From now on these are told of, and no others.
    pub fn put_in_force(&self, edition: RosterEdition) {
        self.in_force.store(edition.0, Ordering::Relaxed);
        self.entries.lock().retain(|entry| entry.edition == edition);
    }

    /// Adds one, for modules or for a checksum database.
    pub fn add(&self, upstream: &Arc<Upstream>, database: Option<&str>, edition: RosterEdition) {
        let mut entries = self.entries.lock();
        entries.retain(|entry| entry.upstream.strong_count() > 0);
        entries.push(Entry {
            upstream: Arc::downgrade(upstream),
            database: database.map(str::to_owned),
            edition,
        });
    }

    fn told_of<T>(&self, of: impl FnMut((&Entry, Arc<Upstream>)) -> Option<T>) -> Vec<T> {
        let in_force = RosterEdition(self.in_force.load(Ordering::Relaxed));
        let entries = self.entries.lock();
        let told = entries.iter().filter(|entry| entry.edition == in_force);
        let living = told.filter_map(|entry| Some((entry, entry.upstream.upgrade()?)));
        living.filter_map(of).collect()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Upstream>> {
        self.told_of(|(_, upstream)| Some(upstream))
    }

    /// All of them, each with the checksum database that it is a way to, if it is one.
    pub fn all_with_databases(&self) -> Vec<(Arc<Upstream>, Option<String>)> {
        self.told_of(|(entry, upstream)| Some((upstream, entry.database.clone())))
    }

    /// The routes to a checksum database, in order.
    pub fn to_database(&self, name: &str) -> Vec<Arc<Upstream>> {
        self.told_of(|(entry, upstream)| {
            (entry.database.as_deref() == Some(name)).then_some(upstream)
        })
    }
}
