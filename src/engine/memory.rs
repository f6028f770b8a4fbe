//! The memory cache: small answers, and open files of larger ones; bounded. See `validity.rs` for how long they hold.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::answer::{Answer, CacheStatus, Content, etag};
use super::validity::{RulesGeneration, Validities, Validity};
use crate::clock::Timestamp;
use crate::gomod::Version;
use crate::protocol::{FileKey, MetaKey};
use crate::store::{self, FileRecord, LocalFile, MetaRecord, Sha256, Verified};

/// What an open file counts for: it costs a descriptor rather than memory. Bytes.
const OPEN_FILE: u64 = 128 << 10;
/// What an entry costs beside its content, as measured. Bytes.
const OVERHEAD: u64 = 600;

/// A file's answer.
#[derive(Clone)]
pub struct CachedFile {
    content: CachedContent,
    etag: Option<HeaderValue>,
    verified: Verified,
    file: Option<LocalFile>,
    /// None while nobody has vouched for it: that may yet be revoked, so it is given again only from the store.
    validity: Option<Validity>,
}

#[derive(Clone)]
enum CachedContent {
    Bytes(Bytes),
    File(LocalFile),
}

impl CachedFile {
    /// As kept, or about to be, read after its validity was taken; with none it is not given again.
    pub fn new(
        record: &FileRecord,
        content: store::KeptContent,
        validity: Option<Validity>,
    ) -> Self {
        let content = match content {
            store::KeptContent::Bytes(bytes) => CachedContent::Bytes(bytes),
            store::KeptContent::File(file) => CachedContent::File(file),
        };
        // An `.info` has no checksum that anybody could vouch for.
        let is_final = record.verified != Verified::None || record.h1.is_none();
        CachedFile {
            content,
            etag: match &record.h1 {
                Some(h1) => etag(h1),
                None => etag(&record.sha256),
            },
            verified: record.verified,
            file: None,
            validity: validity.filter(|_| is_final),
        }
    }

    /// Its content, which is in memory, can be read again from this file.
    pub fn is_in(&mut self, file: LocalFile) {
        if let CachedContent::Bytes(bytes) = &self.content
            && bytes.len() as u64 == file.size()
        {
            self.file = Some(file);
        }
    }

    /// Its content, if that is in memory.
    pub fn body(&self) -> Option<Bytes> {
        match &self.content {
            CachedContent::Bytes(bytes) => Some(bytes.clone()),
            CachedContent::File(_) => None,
        }
    }

    /// Notes that it is used.
    pub fn touch(&self, now: Timestamp) {
        let file = match &self.content {
            CachedContent::Bytes(_) => self.file.as_ref(),
            CachedContent::File(file) => Some(file),
        };
        if let Some(file) = file {
            file.touch(now);
        }
    }

    /// As an answer.
    pub fn answer(&self, cache: CacheStatus, from: Option<Arc<str>>) -> Answer {
        let content = match &self.content {
            CachedContent::Bytes(bytes) => Content::Bytes(bytes.clone()),
            CachedContent::File(file) => Content::File(file.clone()),
        };
        Answer {
            content,
            etag: self.etag.clone(),
            verified: Some(self.verified),
            cache,
            fetched: None,
            from,
            validity: self.validity,
            file: self.file.clone(),
        }
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<FileKey, CachedFile> for Weigh {
    fn weight(&self, key: &FileKey, file: &CachedFile) -> u64 {
        match &file.content {
            CachedContent::Bytes(bytes) => {
                (bytes.len() + key.module.as_str().len()) as u64 + OVERHEAD
            }
            CachedContent::File(_) => OPEN_FILE,
        }
    }
}

impl Weighter<MetaKey, CachedMetadata> for Weigh {
    fn weight(&self, key: &MetaKey, meta: &CachedMetadata) -> u64 {
        let texts = meta.record.body.len() + meta.record.unlisted.len();
        let file = if meta.file.is_some() { OPEN_FILE } else { 0 };
        (texts + key.module.as_str().len()) as u64 + file + OVERHEAD
    }
}

/// A changing answer, with what is sent of it made ready.
#[derive(Clone, Debug)]
pub struct CachedMetadata {
    /// What is kept.
    pub record: Arc<MetaRecord>,
    /// Its body, shared with the record.
    body: Bytes,
    /// What is in a file rather than in the record.
    pub file: Option<LocalFile>,
    /// Names the body.
    pub etag: Option<HeaderValue>,
    /// How long it is fresh.
    pub validity: Validity,
}

/// A record's body, and the room that it takes among what is being fetched.
struct BodyOf {
    record: Arc<MetaRecord>,
    _room: Option<Bytes>,
}

impl AsRef<[u8]> for BodyOf {
    fn as_ref(&self) -> &[u8] {
        self.record.body.as_bytes()
    }
}

impl CachedMetadata {
    /// In memory; `fetched` is what it was taken from, which holds the room for it.
    pub fn new(record: MetaRecord, fetched: Option<Bytes>, validity: Validity) -> Self {
        let record = Arc::new(record);
        let etag = etag(&Sha256::of(record.body.as_bytes()));
        CachedMetadata {
            body: Bytes::from_owner(BodyOf {
                record: Arc::clone(&record),
                _room: fetched,
            }),
            record,
            file: None,
            etag,
            validity,
        }
    }

    /// A list in a file, which the record names.
    pub fn in_file(record: MetaRecord, file: LocalFile, validity: Validity) -> Self {
        CachedMetadata {
            etag: record.file.as_ref().and_then(|file| etag(&file.sha256)),
            body: Bytes::new(),
            file: Some(file),
            record: Arc::new(record),
            validity,
        }
    }

    /// Its content.
    pub fn content(&self) -> Content {
        match &self.file {
            Some(file) => Content::File(file.clone()),
            None => Content::Bytes(self.body.clone()),
        }
    }

    /// Of a list: whether this is one of its lines. A list in a file is not read for this: then it is said to lack it.
    pub fn lists(&self, version: &Version) -> bool {
        self.record
            .body
            .lines()
            .any(|line| line == version.as_str())
    }
}

/// The memory cache.
pub struct MemoryCache {
    files: Cache<FileKey, CachedFile, Weigh>,
    metadata: Cache<MetaKey, CachedMetadata, Weigh>,
    /// Held while changing answers are put in, so that none that was read replaces one that was fetched meanwhile.
    inserting: Mutex<()>,
    validities: Validities,
}

impl MemoryCache {
    /// With at most `bytes` in all.
    pub fn new(bytes: u64, validities: Validities) -> Self {
        let (files, metadata) = (bytes / 4 * 3, bytes / 4);
        let items = |bytes: u64| usize::try_from(bytes / 1024).unwrap_or(usize::MAX).max(16);
        MemoryCache {
            files: Cache::with_weighter(items(files), files.max(1), Weigh),
            metadata: Cache::with_weighter(items(metadata), metadata.max(1), Weigh),
            inserting: Mutex::new(()),
            validities,
        }
    }

    /// Bytes that it holds, open files counted as if they were.
    pub fn weight(&self) -> u64 {
        self.files.weight() + self.metadata.weight()
    }

    /// A file's answer, if it may be given to whoever goes by these rules.
    pub fn lookup(&self, key: &FileKey, rules: RulesGeneration) -> Option<CachedFile> {
        let file = self.files.get(key)?;
        let is_current =
            |validity: &Validity| validity.rules() == rules && self.validities.is_current(validity);
        file.validity
            .as_ref()
            .is_some_and(is_current)
            .then_some(file)
    }

    /// Whether a file is here.
    pub fn has(&self, key: &FileKey) -> bool {
        let file = self.files.get(key);
        let validity = file.and_then(|file| file.validity);
        validity.is_some_and(|validity| self.validities.is_current(&validity))
    }

    /// Forgets a file, whose answers have been ended: its descriptor is given back.
    pub fn forget(&self, key: &FileKey) {
        self.files.remove(key);
    }

    /// Keeps a file's answer, if it may be given again.
    pub fn put(&self, key: FileKey, file: CachedFile) {
        let is_current = |validity| self.validities.is_current(validity);
        if file.validity.as_ref().is_some_and(is_current) {
            self.files.insert(key, file);
        }
    }

    /// The last changing answer that is known here, fresh or not.
    pub fn metadata(&self, key: &MetaKey) -> Option<CachedMetadata> {
        self.metadata.get(key)
    }

    /// Keeps what was read from the index, unless something newer has come or changed it meanwhile. Gives what is known
    /// now.
    pub fn put_read(&self, key: &MetaKey, read: CachedMetadata) -> CachedMetadata {
        let _one_at_a_time = self.inserting.lock();
        if let Some(newer) = self.metadata.get(key) {
            return newer;
        }
        if self.validities.is_current(&read.validity) {
            self.metadata.insert(key.clone(), read.clone());
        }
        read
    }

    /// Keeps what was just fetched, in the place of whatever was known; all answers made of that end. It is fresh if its
    /// validity holds: nothing has outdated it meanwhile.
    pub fn put_fetched(&self, key: &MetaKey, mut fetched: CachedMetadata) -> CachedMetadata {
        let _one_at_a_time = self.inserting.lock();
        if !self.validities.are_in_force(fetched.validity.rules()) {
            // For those who asked under rules that are not in force any more.
            return fetched;
        }
        match self.validities.renew(fetched.validity) {
            Some(renewed) => fetched.validity = renewed,
            None => self.validities.end(key),
        }
        self.metadata.insert(key.clone(), fetched.clone());
        fetched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gomod::ModulePath;
    use crate::protocol::{Kind, Meta};
    use proptest::prelude::*;

    const FIRST: RulesGeneration = RulesGeneration::FIRST;
    const ROOM: u64 = 1 << 20;

    fn cache(bytes: u64) -> (Validities, MemoryCache) {
        let validities = Validities::default();
        (validities.clone(), MemoryCache::new(bytes, validities))
    }

    fn module(number: usize) -> ModulePath {
        ModulePath::parse(&format!("example.com/m{number}")).unwrap()
    }

    fn mod_of(number: usize) -> FileKey {
        FileKey {
            module: module(number),
            version: Version::parse("v1.0.0").unwrap(),
            kind: Kind::Mod,
        }
    }

    fn list_of(number: usize) -> MetaKey {
        MetaKey {
            module: module(number),
            meta: Meta::List,
        }
    }

    fn file(body: &str, verified: Verified, validity: Validity) -> CachedFile {
        let record = FileRecord {
            size: body.len() as u64,
            sha256: Sha256::of(b""),
            h1: Some(crate::gomod::dirhash::hash_go_mod(body.as_bytes())),
            from: String::new(),
            seen: Timestamp(0),
            verified,
            by: None,
        };
        let content = store::KeptContent::Bytes(Bytes::copy_from_slice(body.as_bytes()));
        CachedFile::new(&record, content, Some(validity))
    }

    fn list(body: &str, validity: Validity) -> CachedMetadata {
        let record = MetaRecord {
            body: body.to_owned(),
            ..MetaRecord::default()
        };
        CachedMetadata::new(record, None, validity)
    }

    fn text(file: Option<CachedFile>) -> Option<String> {
        let body = file?.body().unwrap();
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn a_file_revoked_before_between_or_after() {
        let (validities, memory) = cache(ROOM);
        let key = mod_of(1);
        let read = |body| file(body, Verified::Sumdb, validities.of(&key, FIRST));
        // Before it was read: what was read is what there is now.
        validities.end(&key);
        memory.put(key.clone(), read("now"));
        assert_eq!(text(memory.lookup(&key, FIRST)).as_deref(), Some("now"));
        // After it was put in.
        validities.end(&key);
        assert_eq!(text(memory.lookup(&key, FIRST)), None);
        // After it was read, before it is put in.
        let old = read("old");
        validities.end(&key);
        memory.put(key.clone(), old);
        assert_eq!(text(memory.lookup(&key, FIRST)), None);
        assert!(
            memory
                .files
                .get(&key)
                .is_none_or(|kept| text(Some(kept)) != Some("old".into()))
        );
    }

    #[test]
    fn what_is_pending_is_read_from_the_store_each_time() {
        let (validities, memory) = cache(ROOM);
        let key = mod_of(1);
        let pending = file("pending", Verified::None, validities.of(&key, FIRST));
        let answer = pending.answer(CacheStatus::Hit, None);
        assert!(answer.validity.is_none(), "nor is it cached elsewhere");
        memory.put(key.clone(), pending);
        assert!(memory.lookup(&key, FIRST).is_none());
    }

    #[test]
    fn what_is_read_does_not_replace_what_has_landed() {
        let (validities, memory) = cache(ROOM);
        let key = list_of(1);
        let read = list("old", validities.of(&key, FIRST));
        let landed = memory.put_fetched(&key, list("new", validities.of(&key, FIRST)));
        assert!(validities.is_current(&landed.validity));
        assert_eq!(memory.put_read(&key, read.clone()).record.body, "new");
        assert_eq!(memory.metadata(&key).unwrap().record.body, "new");
        // Nor does it come in when that has left the cache.
        memory.metadata.remove(&key);
        let given = memory.put_read(&key, read);
        assert!(!validities.is_current(&given.validity));
        assert!(memory.metadata(&key).is_none());
        let again = list("new", validities.of(&key, FIRST));
        assert!(validities.is_current(&memory.put_read(&key, again).validity));
        assert_eq!(memory.metadata(&key).unwrap().record.body, "new");
    }

    #[test]
    fn a_list_that_is_outdated_on_its_way_is_known_but_not_fresh() {
        let (validities, memory) = cache(ROOM);
        let key = list_of(1);
        let old = memory.put_fetched(&key, list("old", validities.of(&key, FIRST)));
        let begun = validities.of(&key, FIRST);
        validities.end(&key);
        let given_since = validities.of(&key, FIRST);
        let landed = memory.put_fetched(&key, list("new", begun));
        assert!(!validities.is_current(&landed.validity));
        assert_eq!(memory.metadata(&key).unwrap().record.body, "new");
        assert!(!validities.is_current(&old.validity));
        assert!(
            !validities.is_current(&given_since),
            "it was made of the old one"
        );
    }

    #[test]
    fn what_leaves_for_want_of_room_ends_nothing() {
        // A quarter of it, which is room for three lists.
        let (validities, memory) = cache(4 * 3 * (OVERHEAD + 200));
        let given: Vec<_> = (0..50)
            .map(|number| {
                memory.put_fetched(
                    &list_of(number),
                    list("v1.0.0\n", validities.of(&list_of(number), FIRST)),
                )
            })
            .collect();
        let left = (0..50).filter(|number| memory.metadata(&list_of(*number)).is_some());
        assert!(left.count() <= 4);
        // Not all of them: two that share a slot end each other.
        let held = given
            .iter()
            .filter(|list| validities.is_current(&list.validity));
        assert!(held.count() >= 48);
    }

    /// What may happen to the files and lists of a few modules. Readers are numbered: each has read one thing at a time.
    #[derive(Clone, Debug)]
    enum Step {
        /// A reader takes a validity, then reads the thing.
        Read { reader: usize, key: usize },
        /// It puts in what it has read.
        Put { reader: usize },
        /// A file is changed, or a list outdated.
        Change { key: usize },
        /// A list that was read has been fetched.
        Land { reader: usize },
        /// Want of room.
        Evict { key: usize },
    }

    const KEYS: usize = 3;
    const READERS: usize = 4;

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..READERS, 0..KEYS).prop_map(|(reader, key)| Step::Read { reader, key }),
            (0..READERS).prop_map(|reader| Step::Put { reader }),
            (0..KEYS).prop_map(|key| Step::Change { key }),
            (0..READERS).prop_map(|reader| Step::Land { reader }),
            (0..KEYS).prop_map(|key| Step::Evict { key }),
        ];
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// In any order: a file is never answered as it was before its last change; a list never gives way to an older
        /// one, and is fresh only if nothing has outdated it since it was read.
        #[test]
        fn no_order_answers_with_what_was_ended(steps in steps(), slots in 1_usize..16) {
            let validities = Validities::with_slots(slots);
            let memory = MemoryCache::new(ROOM, validities.clone());
            // How often each has changed; what a reader has read of which; the newest list that memory was told of.
            let mut truth = [0_u64; KEYS];
            let mut read: [Option<(usize, u64, Validity, Validity)>; READERS] = [None; READERS];
            let mut known: [Option<u64>; KEYS] = [None; KEYS];
            for step in steps {
                match step {
                    Step::Read { reader, key } => {
                        let of_file = validities.of(&mod_of(key), FIRST);
                        let of_list = validities.of(&list_of(key), FIRST);
                        read[reader] = Some((key, truth[key], of_file, of_list));
                    }
                    Step::Put { reader } => if let Some((key, seen, of_file, of_list)) = read[reader] {
                        let body = seen.to_string();
                        memory.put(mod_of(key), file(&body, Verified::Sumdb, of_file));
                        memory.put_read(&list_of(key), list(&body, of_list));
                        if memory.metadata(&list_of(key)).is_some() {
                            known[key] = known[key].or(Some(seen));
                        }
                    },
                    Step::Change { key } => {
                        truth[key] += 1;
                        validities.end(&mod_of(key));
                        validities.end(&list_of(key));
                    }
                    Step::Land { reader } => if let Some((key, seen, _, of_list)) = read[reader].take()
                        // Fetches of one list follow each other.
                        && known[key].is_none_or(|known| known <= seen)
                    {
                        memory.put_fetched(&list_of(key), list(&seen.to_string(), of_list));
                        known[key] = Some(seen);
                    },
                    Step::Evict { key } => {
                        memory.files.remove(&mod_of(key));
                        memory.metadata.remove(&list_of(key));
                        known[key] = None;
                    }
                }
                for key in 0..KEYS {
                    if let Some(given) = text(memory.lookup(&mod_of(key), FIRST)) {
                        prop_assert_eq!(given, truth[key].to_string());
                    }
                    let list = memory.metadata(&list_of(key));
                    if let (Some(known), Some(list)) = (known[key], &list) {
                        prop_assert!(list.record.body.parse::<u64>().unwrap() >= known);
                    }
                    if let Some(list) = list && validities.is_current(&list.validity) {
                        prop_assert_eq!(list.record.body.clone(), truth[key].to_string());
                    }
                }
            }
        }
    }
}
