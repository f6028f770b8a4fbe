//! All upstreams that the operator has named, so that operators can be told how each is: those of the chain, of routes,
//! and the routes to checksum databases.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::server::Upstream;

/// A list of upstreams. It grows with the configuration only.
#[derive(Default)]
pub struct Roster(Mutex<Vec<Entry>>);

struct Entry {
    upstream: Weak<Upstream>,
    /// The checksum database that it is a way to, if it is one.
    database: Option<String>,
}

impl Roster {
    /// Adds one, for modules or for a checksum database.
    pub fn add(&self, upstream: &Arc<Upstream>, database: Option<&str>) {
        let mut entries = self.0.lock();
        entries.retain(|entry| entry.upstream.strong_count() > 0);
        entries.push(Entry {
            upstream: Arc::downgrade(upstream),
            database: database.map(str::to_owned),
        });
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Upstream>> {
        let entries = self.0.lock();
        let living = entries.iter().filter_map(|entry| entry.upstream.upgrade());
        living.collect()
    }

    /// The routes to a checksum database, in order.
    pub fn to_database(&self, name: &str) -> Vec<Arc<Upstream>> {
        let entries = self.0.lock();
        let of_it = entries
            .iter()
            .filter(|entry| entry.database.as_deref() == Some(name));
        of_it.filter_map(|entry| entry.upstream.upgrade()).collect()
    }
}
