//! What every source has said does not exist: the last answer that is left when nobody can be asked.
//!
//! Anybody can ask for names that do not exist, so what is kept of them is bounded by its form: each name belongs to one
//! of `SETS` records by its hash, and each record has room for `WAYS` names. Nothing has to be counted or read at start.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::protocol::Key;

/// Facts that hold absences.
const SETS: u16 = 8192;
/// Names in each of them.
const WAYS: usize = 8;
/// Longer names are not kept. Bytes.
const LONGEST_NAME: usize = 512;
/// Of what was said, so many lines are kept …
const LINES: usize = 2;
/// … of so many bytes each.
const LONGEST_LINE: usize = 200;
/// How long an absence is worth something without having been confirmed: 30 days.
const LIFETIME: u64 = 30 * 24 * 3600 * 1000;
/// One that is confirmed again is written again only after this: an hour. Milliseconds.
const REWRITE: u64 = 3600 * 1000;
/// Confirmations beyond this count no more.
const CONFIRMED: u8 = 3;

/// That something does not exist, as every source that may have it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentRecord {
    /// What: a path as in requests.
    pub(super) name: String,
    /// They said that it is gone (410).
    pub gone: bool,
    /// The first lines of their words.
    pub words: Vec<String>,
    /// Who said so last, as shown to people.
    pub from: Option<String>,
    /// When.
    pub at: Timestamp,
    /// How often it has been said again, an hour later or more.
    confirmed: u8,
}

impl AbsentRecord {
    /// Said now; `None` if it is too long to be kept.
    pub fn new(
        key: &Key,
        gone: bool,
        words: &[String],
        from: Option<&str>,
        at: Timestamp,
    ) -> Option<Self> {
        let name = key.to_string();
        let cut = |line: &String| line[..line.floor_char_boundary(LONGEST_LINE)].to_owned();
        (name.len() <= LONGEST_NAME).then(|| AbsentRecord {
            name,
            gone,
            words: words.iter().take(LINES).map(cut).collect(),
            from: from.map(|from| from[..from.floor_char_boundary(LONGEST_LINE)].to_owned()),
            at,
            confirmed: 0,
        })
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.at.0) >= LIFETIME
    }
}

/// Where a name belongs, by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AbsentSlot(u16);

impl AbsentSlot {
    pub fn of(name: &str) -> Self {
        let hash = Sha256::digest(name.as_bytes());
        AbsentSlot(u16::from_be_bytes([hash[0], hash[1]]) % SETS)
    }
}

impl fmt::Display for AbsentSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl FromStr for AbsentSlot {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let slot = AbsentSlot(u16::from_str_radix(text, 16).map_err(drop)?);
        // A sign or capitals would be a second name.
        (slot.0 < SETS && slot.to_string() == text)
            .then_some(slot)
            .ok_or(())
    }
}

/// The names of one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentSet {
    pub(super) names: Vec<AbsentRecord>,
}

impl AbsentSet {
    pub(super) fn get(&self, name: &str) -> Option<&AbsentRecord> {
        self.names.iter().find(|record| record.name == name)
    }

    /// Whether a record would change it: it is new, or old enough to be written again.
    pub(super) fn wants(&self, record: &AbsentRecord) -> bool {
        let Some(known) = self.get(&record.name) else {
            return true;
        };
        known.gone != record.gone || record.at.0.saturating_sub(known.at.0) >= REWRITE
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.names.len();
        self.names.retain(|record| record.name != name);
        self.names.len() < before
    }

    /// Whether a name that is not in it pushes out another one.
    pub(super) fn is_full(&self) -> bool {
        self.names.len() >= WAYS
    }

    /// Puts a record in. If there is no room, the one that is worth least goes, of several the oldest; `related` says
    /// which names are near to modules that are kept here.
    pub(super) fn put(&mut self, mut record: AbsentRecord, related: &[bool]) {
        if let Some(known) = self.get(&record.name) {
            record.confirmed = known.confirmed.saturating_add(1).min(CONFIRMED);
            self.remove(&record.name);
        } else if self.is_full() {
            let worth = |(at, record): &(usize, &AbsentRecord)| {
                let related = related.get(*at).copied().unwrap_or_default();
                (u8::from(related) + record.confirmed, record.at)
            };
            let least = self.names.iter().enumerate().min_by_key(worth);
            if let Some(at) = least.map(|(at, _)| at) {
                self.names.remove(at);
            }
        }
        self.names.push(record);
    }
}

/// A change of what is known to be absent.
#[derive(Clone, Debug)]
pub enum AbsentChange {
    /// It has been said of this.
    Said(AbsentRecord),
    /// It is there.
    Appeared(String),
}

impl AbsentChange {
    pub(super) fn name(&self) -> &str {
        match self {
            AbsentChange::Said(record) => &record.name,
            AbsentChange::Appeared(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::gomod::{ModulePath, Version};
    use crate::protocol::{FileKey, Kind, Meta, MetaKey};
    use crate::store::catalog::Query;
    use crate::store::model::FactKind;
    use crate::store::{Companions, DataDir, FileRecord, Sha256 as Digest256, Verified, codec};
    use std::collections::HashSet;
    use std::sync::Arc;

    const DAY: u64 = 24 * 3600 * 1000;

    fn key(path: &str) -> Key {
        Key::Meta(MetaKey {
            module: ModulePath::parse(path).unwrap(),
            meta: Meta::List,
        })
    }

    fn said(path: &str, at: u64) -> AbsentRecord {
        let words = ["not found: none of it".to_owned()];
        AbsentRecord::new(&key(path), false, &words, None, Timestamp(at)).unwrap()
    }

    fn names(set: &AbsentSet) -> HashSet<String> {
        set.names.iter().map(|record| record.name.clone()).collect()
    }

    #[test]
    fn what_is_worth_least_goes_first() {
        let mut set = AbsentSet::default();
        for n in 0..WAYS {
            set.put(said(&format!("example.com/m{n}"), n as u64), &[]);
        }
        // Confirmed later: worth more than what has been said once.
        assert!(!set.wants(&said("example.com/m0", REWRITE - 1)));
        let again = said("example.com/m0", DAY);
        assert!(set.wants(&again));
        set.put(again, &[]);
        // m1 is the oldest now, but near to something that is kept.
        let related: Vec<_> = set
            .names
            .iter()
            .map(|it| it.name.contains("/m1/"))
            .collect();
        set.put(said("example.com/new", DAY), &related);
        assert_eq!(set.names.len(), WAYS);
        let left = names(&set);
        assert!(!left.contains("example.com/m2/@v/list"), "{left:?}");
        for kept in ["m0", "m1", "m3", "new"] {
            assert!(
                left.contains(&format!("example.com/{kept}/@v/list")),
                "{left:?}"
            );
        }
        // However many strangers come, they push out each other.
        for n in 0..100 {
            let related: Vec<_> = set.names.iter().map(|it| !it.name.contains("/x")).collect();
            set.put(said(&format!("example.com/x{n}"), DAY + n), &related);
        }
        let left = names(&set);
        assert_eq!(left.iter().filter(|name| name.contains("/x")).count(), 1);
        assert!(set.remove("example.com/x99/@v/list") && !set.remove("example.com/x99/@v/list"));
    }

    #[test]
    fn records_are_small_whatever_is_asked_for() {
        let words = vec!["é".repeat(5000); 8];
        let record =
            AbsentRecord::new(&key("example.com/m"), true, &words, Some("p"), Timestamp(1));
        let set = AbsentSet {
            names: vec![record.unwrap()],
        };
        assert!(codec::encode(&set).len() < LONGEST_NAME + LINES * LONGEST_LINE + 200);
        assert_eq!(
            codec::decode::<AbsentSet>(&codec::encode(&set)).unwrap(),
            set
        );
        let long = format!("example.com/{}", "a/".repeat(300) + "a");
        assert!(AbsentRecord::new(&key(&long), false, &[], None, Timestamp(1)).is_none());
    }

    #[tokio::test]
    async fn they_are_kept_dropped_and_get_old() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path(), 0, 1 << 20, &(Arc::new(SystemClock) as _)).unwrap();
        let store = &data.store;
        let put = |path: &str, at| vec![AbsentChange::Said(said(path, at))];
        let at = async |path, now| store.absent(&key(path), Timestamp(now)).await.unwrap();
        let change = |changes| store.change_absent(changes, Timestamp(DAY), || true);
        change(put("example.com/m", DAY)).await.unwrap();
        let found = at("example.com/m", DAY).await.unwrap();
        assert_eq!((found.gone, found.at), (false, Timestamp(DAY)));
        assert_eq!(at("example.com/other", DAY).await, None);
        assert_eq!(at("example.com/m", DAY + LIFETIME).await, None);
        let refused = store.change_absent(put("example.com/n", DAY), Timestamp(DAY), || false);
        refused.await.unwrap();
        assert_eq!(at("example.com/n", DAY).await, None);
        let gone = AbsentChange::Appeared(key("example.com/m").to_string());
        change(vec![gone]).await.unwrap();
        assert_eq!(at("example.com/m", DAY).await, None);
        let all = Query::All(FactKind::Absent);
        let left = store.catalog().page(&all, None, 9).await.unwrap();
        assert!(left.facts.is_empty());

        let file = FileKey {
            module: ModulePath::parse("example.com/m").unwrap(),
            version: Version::parse("v1.0.0").unwrap(),
            kind: Kind::Mod,
        };
        let record = FileRecord {
            size: 1,
            sha256: Digest256::of(b"m"),
            h1: None,
            from: String::new(),
            seen: Timestamp(1),
            verified: Verified::None,
            by: None,
        };
        let companions = Companions::default();
        let published = store.publish_bytes(&file, "m".into(), &record, &companions);
        published.await.unwrap();
        for (path, near) in [
            ("example.com/m/cmd/x", true),
            ("example.com", true),
            ("example.com/m", true),
            ("example.com/mm", false),
            ("example.org/m/cmd", false),
        ] {
            assert_eq!(store.is_near_kept(path).await.unwrap(), near, "{path}");
        }
        store.close().await;
    }
}
