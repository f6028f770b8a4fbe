//! How much is kept, as one small record that changes in the same step as what it counts: no start has to look through
//! all records, and a crash cannot come between.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::layout;
use super::record::FileRecord;

/// What is kept, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are still to be vouched for.
    pub unsettled: u64,
}

/// Prefixes of what is counted, in the keys' order.
pub const COUNTED: [&str; 2] = [layout::FILE, layout::UNSETTLED];

/// Whether an entry of this key is part of the totals.
pub fn is_counted(key: &str) -> bool {
    COUNTED.iter().any(|prefix| key.starts_with(prefix))
}

impl Totals {
    /// What one entry counts. A damaged record is a file of no bytes, going as well as coming.
    pub fn of(key: &str, value: &[u8]) -> Self {
        if key.starts_with(layout::FILE) {
            let bytes = FileRecord::decode(value).map_or(0, |record| record.size);
            Totals {
                files: 1,
                bytes,
                unsettled: 0,
            }
        } else if key.starts_with(layout::UNSETTLED) {
            Totals {
                unsettled: 1,
                ..Totals::default()
            }
        } else {
            Totals::default()
        }
    }

    /// With what has come.
    pub fn plus(self, other: Totals) -> Self {
        Totals {
            files: self.files.saturating_add(other.files),
            bytes: self.bytes.saturating_add(other.bytes),
            unsettled: self.unsettled.saturating_add(other.unsettled),
        }
    }

    /// Without what has gone.
    pub fn minus(self, other: Totals) -> Self {
        Totals {
            files: self.files.saturating_sub(other.files),
            bytes: self.bytes.saturating_sub(other.bytes),
            unsettled: self.unsettled.saturating_sub(other.unsettled),
        }
    }
}

/// How far the counting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// The totals are known.
    Done(Totals),
    /// They are being counted: all entries up to this key are in, later changes of those included.
    Until(String, Totals),
}

impl Count {
    /// Before anything is counted.
    pub fn begin() -> Self {
        Count::Until(String::new(), Totals::default())
    }

    /// The totals, once they are known.
    pub fn done(&self) -> Option<Totals> {
        match self {
            Count::Done(totals) => Some(*totals),
            Count::Until(..) => None,
        }
    }

    /// Where the counting goes on: a prefix, and the key after which.
    pub fn next(&self) -> Option<(&'static str, &str)> {
        let Count::Until(until, _) = self else {
            return None;
        };
        // A prefix that the counting is past has nothing more to come.
        let prefix = COUNTED
            .into_iter()
            .find(|prefix| until.as_str() <= *prefix || until.starts_with(prefix))?;
        Some((prefix, until))
    }

    /// Counts a page of entries of a prefix. An empty one ends the prefix, and after the last one the counting is done.
    pub fn page(self, prefix: &str, page: &[(String, Vec<u8>)]) -> Self {
        let Count::Until(_, totals) = self else {
            return self;
        };
        let totals = page
            .iter()
            .fold(totals, |sum, (key, value)| sum.plus(Totals::of(key, value)));
        match page.last() {
            Some((last, _)) => Count::Until(last.clone(), totals),
            // No key is just a prefix, so nothing of the next one is counted yet.
            None => match COUNTED.into_iter().find(|other| *other > prefix) {
                Some(next) => Count::Until(next.to_owned(), totals),
                None => Count::Done(totals),
            },
        }
    }

    /// Whether a change of this key changes what has been counted so far.
    fn concerns(&self, key: &str) -> bool {
        is_counted(key)
            && match self {
                Count::Done(_) => true,
                Count::Until(until, _) => key <= until.as_str(),
            }
    }

    fn totals_mut(&mut self) -> &mut Totals {
        match self {
            Count::Done(totals) | Count::Until(_, totals) => totals,
        }
    }
}

/// Keeps the count in step with the changes of one batch.
pub struct Step<'a, F> {
    count: Count,
    /// What is in the index of a key before the batch.
    old: F,
    /// What the batch has made of the keys so far.
    seen: HashMap<&'a str, Totals>,
}

impl<'a, F, E> Step<'a, F>
where
    F: FnMut(&str) -> Result<Option<Vec<u8>>, E>,
{
    /// Begins a batch.
    pub fn new(count: Count, old: F) -> Self {
        Step {
            count,
            old,
            seen: HashMap::new(),
        }
    }

    /// The key is set, or removed.
    pub fn change(&mut self, key: &'a str, value: Option<&[u8]>) -> Result<(), E> {
        if !self.count.concerns(key) {
            return Ok(());
        }
        let weigh = |value: Option<&[u8]>| value.map_or(Totals::default(), |v| Totals::of(key, v));
        let old = match self.seen.get(key) {
            Some(old) => *old,
            None => weigh((self.old)(key)?.as_deref()),
        };
        let new = weigh(value);
        let totals = self.count.totals_mut();
        *totals = totals.plus(new).minus(old);
        self.seen.insert(key, new);
        Ok(())
    }

    /// What is right once the batch is in.
    pub fn end(self) -> Count {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::store::record::Verified;
    use std::collections::BTreeMap;

    fn file(size: u64) -> Vec<u8> {
        FileRecord {
            size,
            sha256: "0".repeat(64),
            h1: None,
            from: String::new(),
            seen: Timestamp(1),
            verified: Verified::None,
            by: None,
        }
        .encode()
    }

    type Map = BTreeMap<String, Vec<u8>>;

    fn all(map: &Map) -> Totals {
        map.iter().fold(Totals::default(), |sum, (key, value)| {
            sum.plus(Totals::of(key, value))
        })
    }

    fn apply(map: &mut Map, count: Count, batch: &[(String, Option<Vec<u8>>)]) -> Count {
        let before = map.clone();
        let mut step = Step::new(count, |key: &str| Ok::<_, ()>(before.get(key).cloned()));
        for (key, value) in batch {
            step.change(key, value.as_deref()).unwrap();
            match value {
                Some(value) => drop(map.insert(key.clone(), value.clone())),
                None => drop(map.remove(key)),
            }
        }
        step.end()
    }

    fn page(map: &Map, count: Count, limit: usize) -> Count {
        let (prefix, after) = match count.next() {
            Some((prefix, after)) => (prefix, after.to_owned()),
            None => return count,
        };
        let page: Vec<_> = map
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| **key > after)
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        count.page(prefix, &page)
    }

    #[test]
    fn counting_is_right_whatever_changes_meanwhile() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let mut map = Map::new();
            let mut count = Count::begin();
            let mut done = 0;
            while done < 5 {
                let batch: Vec<_> = (0..random.usize(..6))
                    .map(|_| {
                        let kind = *random
                            .choice(&["file/", "unsettled/", "meta/", "pin/"])
                            .unwrap();
                        let key = format!("{kind}{}", random.u8(..12));
                        let value = match random.u8(..8) {
                            0..3 => None,
                            3 => Some(vec![1]),
                            _ => Some(file(random.u64(..1000))),
                        };
                        (key, value)
                    })
                    .collect();
                count = apply(&mut map, count, &batch);
                if random.bool() {
                    count = page(&map, count, 1 + random.usize(..4));
                }
                if let Some(totals) = count.done() {
                    assert_eq!(totals, all(&map));
                    done += 1;
                }
            }
        }
    }

    #[test]
    fn nothing_is_counted_to_its_end() {
        let mut count = Count::begin();
        for _ in COUNTED {
            count = page(&Map::new(), count, 10);
        }
        assert_eq!(count, Count::Done(Totals::default()));
    }
}
