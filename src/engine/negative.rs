//! What does not exist, remembered for a short while, in which nobody is asked. What is left of it after that is in
//! `absent.rs`.

use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::error::{Class, EngineError};
use crate::clock::{SharedClock, Timestamp};
use crate::protocol::{FileKey, Key, Kind, Meta, MetaKey};

/// Entries, about, and what they may take. Bytes.
const ENTRIES: usize = 16 * 1024;
const WEIGHT: u64 = 8 << 20;
/// What an entry takes beside its texts. Bytes.
const OVERHEAD: usize = 512;

#[derive(Clone)]
struct Weigh;

impl Weighter<Key, (Timestamp, EngineError)> for Weigh {
    fn weight(&self, key: &Key, (_, error): &(Timestamp, EngineError)) -> u64 {
        let words: usize = error.lines.iter().map(String::len).sum();
        (OVERHEAD + key.module().as_str().len() + words) as u64
    }
}

/// Authoritative "no"s.
pub struct Negatives {
    cache: Cache<Key, (Timestamp, EngineError), Weigh>,
    ttl: Duration,
    refused_ttl: Duration,
    clock: SharedClock,
}

impl Negatives {
    /// 404 and 410 hold for `ttl`, a 403 and what was too large for `refused_ttl`.
    pub fn new(ttl: Duration, refused_ttl: Duration, clock: SharedClock) -> Self {
        Negatives {
            cache: Cache::with_weighter(ENTRIES, WEIGHT, Weigh),
            ttl,
            refused_ttl,
            clock,
        }
    }

    /// What is remembered and still holds for this client: one that has things asked for again does not have what was
    /// too large sent again.
    pub fn get_for(&self, key: &Key, no_cache: bool) -> Option<EngineError> {
        self.get(key).filter(|error| !no_cache || error.too_large)
    }

    /// What is remembered, if it still holds.
    pub fn get(&self, key: &Key) -> Option<EngineError> {
        let (until, error) = self.cache.get(key)?;
        if self.clock.now() < until {
            return Some(error);
        }
        self.cache.remove(key);
        None
    }

    /// Remembers an answer that says "no" with authority. That of a canonical `.info` is not remembered: a new tag is
    /// usable at once.
    pub fn put(&self, key: &Key, error: &EngineError) {
        if error.stale.is_some() {
            return;
        }
        let ttl = match error.class {
            Class::Absent { .. } => self.ttl,
            Class::Refused => self.refused_ttl,
            _ if error.too_large => self.refused_ttl,
            _ => return,
        };
        if !error.too_large
            && matches!(
                key,
                Key::File(FileKey {
                    kind: Kind::Info,
                    ..
                })
            )
        {
            return;
        }
        let until = Timestamp(
            self.clock
                .now()
                .0
                .saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        );
        self.cache.insert(key.clone(), (until, error.clone()));
    }

    /// A version exists after all: its other files may, too, and so does its module.
    pub fn version_exists(&self, info: &FileKey) {
        for kind in [Kind::Mod, Kind::Zip] {
            self.cache.remove(&Key::File(info.sibling(kind)));
        }
        for meta in [Meta::List, Meta::Latest] {
            let module = info.module.clone();
            self.cache.remove(&Key::Meta(MetaKey { module, meta }));
        }
    }

    /// It exists after all.
    pub fn forget(&self, key: &Key) {
        self.cache.remove(key);
    }
}
