//! What does not exist, remembered for a short while, in which nobody is asked. What is left of it after that is in
//! `absent.rs`.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::context::RequestContext;
use super::error::{Class, EngineError};
use super::validity::RulesGeneration;
use crate::clock::{SharedClock, Timestamp};
use crate::protocol::{FileKey, Key, Kind, Meta, MetaKey};

/// Entries, about, and what they may take. Bytes.
const ENTRIES: usize = 16 * 1024;
const WEIGHT: u64 = 8 << 20;
/// What an entry takes beside its texts. Bytes.
const OVERHEAD: usize = 512;

#[derive(Clone)]
struct Weigh;

/// What is remembered.
#[derive(Clone)]
struct Entry {
    until: Timestamp,
    /// Under which rules it was said.
    rules: RulesGeneration,
    error: EngineError,
}

impl Weighter<Key, Entry> for Weigh {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        let words: usize = entry.error.words().iter().map(String::len).sum();
        (OVERHEAD + key.module().as_str().len() + words) as u64
    }
}

/// Authoritative "no"s.
pub struct Negatives {
    cache: Cache<Key, Entry, Weigh>,
    clock: SharedClock,
}

impl Negatives {
    /// Of none yet.
    pub fn new(clock: SharedClock) -> Self {
        Negatives {
            cache: Cache::with_weighter(ENTRIES, WEIGHT, Weigh),
            clock,
        }
    }

    /// What is remembered and still holds for this client: one that has things asked for again does not have what was
    /// too large sent again.
    pub fn get_for(&self, key: &Key, context: &RequestContext) -> Option<EngineError> {
        let no_cache = context.fetch.no_cache;
        self.get(key, context)
            .filter(|error| !no_cache || error.is_too_large())
    }

    /// What is remembered, if it still holds.
    pub fn get(&self, key: &Key, context: &RequestContext) -> Option<EngineError> {
        let entry = self.cache.get(key)?;
        if self.clock.now() < entry.until {
            return (entry.rules == context.generation()).then_some(entry.error);
        }
        self.cache.remove(key);
        None
    }

    /// Remembers an answer that says "no" with authority: 404 and 410 for as long as the rules say, a 403 and what was too
    /// large for less. That of a canonical `.info` is not remembered: a new tag is
    /// usable at once.
    pub fn put(&self, key: &Key, error: &EngineError, context: &RequestContext) {
        if error.stale().is_some() {
            return;
        }
        let freshness = &context.rules.freshness;
        let ttl = match error.class() {
            Class::Absent { .. } => freshness.negative_ttl,
            Class::Refused => freshness.refused_ttl,
            _ if error.is_too_large() => freshness.refused_ttl,
            _ => return,
        };
        if !error.is_too_large()
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
        let entry = Entry {
            until,
            rules: context.generation(),
            error: error.clone(),
        };
        self.cache.insert(key.clone(), entry);
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
