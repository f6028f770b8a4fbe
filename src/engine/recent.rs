//! What is asked for often, so that it can be asked for again before it gets old. Bounded.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::protocol::MetaKey;

/// Entries at the most.
const ENTRIES: usize = 2048;
/// This often within one lifetime is often.
const OFTEN: u32 = 3;

/// Counts hits of changing answers.
#[derive(Default)]
pub struct Recent {
    map: Mutex<HashMap<MetaKey, Use>>,
}

struct Use {
    fetched: Timestamp,
    hits: u32,
}

impl Recent {
    /// A fresh copy, fetched at that time, was the answer. Whether that was often.
    pub fn asked(&self, key: &MetaKey, fetched: Timestamp) -> bool {
        let mut map = self.map.lock();
        if let Some(entry) = map.get_mut(key) {
            if entry.fetched != fetched {
                *entry = Use { fetched, hits: 0 };
            }
            entry.hits = entry.hits.saturating_add(1);
            return entry.hits >= OFTEN;
        }
        if map.len() < ENTRIES {
            map.insert(key.clone(), Use { fetched, hits: 1 });
        }
        false
    }

    /// Takes out what was fetched before `due` and asked for often since; forgets what is older than `old`.
    pub fn take_due(&self, due: Timestamp, old: Timestamp) -> Vec<MetaKey> {
        let mut taken = Vec::new();
        self.map.lock().retain(|key, entry| {
            if entry.fetched >= due {
                return true;
            }
            if entry.hits >= OFTEN && entry.fetched >= old {
                taken.push(key.clone());
            }
            false
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gomod::ModulePath;
    use crate::protocol::Meta;

    #[test]
    fn only_what_is_asked_often_is_due() {
        let recent = Recent::default();
        let key = |path: &str| MetaKey {
            module: ModulePath::parse(path).unwrap(),
            meta: Meta::List,
        };
        for _ in 0..OFTEN {
            recent.asked(&key("example.com/often"), Timestamp(100));
        }
        recent.asked(&key("example.com/once"), Timestamp(100));
        assert!(recent.take_due(Timestamp(100), Timestamp(0)).is_empty());
        assert_eq!(
            recent.take_due(Timestamp(101), Timestamp(0)),
            [key("example.com/often")]
        );
        assert!(recent.take_due(Timestamp(101), Timestamp(0)).is_empty());
    }
}
