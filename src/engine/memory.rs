//! The memory cache: small answers, and open files of larger ones; bounded. See `validity.rs` for how long they hold.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::answer::{Answer, CacheStatus, Content, etag};
use super::validity::{Validities, Validity};
use crate::gomod::Version;
use crate::protocol::{FileKey, MetaKey};
use crate::store::{self, BlobFile, FileRecord, MetaRecord, Verified};

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
    file: Option<Arc<File>>,
    /// None while nobody has vouched for it: that may yet be revoked, so it is given again only from the store.
    validity: Option<Validity>,
}

#[derive(Clone)]
enum CachedContent {
    Bytes(Bytes),
    File(BlobFile),
}

impl CachedFile {
    /// As kept, or about to be, read after its validity was taken; with none it is not given again.
    pub fn new(record: &FileRecord, content: store::Content, validity: Option<Validity>) -> Self {
        let content = match content {
            store::Content::Bytes(bytes) => CachedContent::Bytes(bytes),
            store::Content::File(file) => CachedContent::File(file),
        };
        let tag = record.h1.as_deref().unwrap_or(&record.sha256);
        // An `.info` has no checksum that anybody could vouch for.
        let is_final = record.verified != Verified::None || record.h1.is_none();
        CachedFile {
            content,
            etag: etag(tag),
            verified: record.verified,
            file: None,
            validity: validity.filter(|_| is_final),
        }
    }

    /// Its content, which is in memory, can be read again from this file.
    pub fn is_in(&mut self, file: BlobFile) {
        if let CachedContent::Bytes(bytes) = &self.content
            && bytes.len() as u64 == file.size
        {
            self.file = Some(file.file);
        }
    }

    /// Its content, if that is in memory.
    pub fn body(&self) -> Option<Bytes> {
        match &self.content {
            CachedContent::Bytes(bytes) => Some(bytes.clone()),
            CachedContent::File(_) => None,
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
    pub file: Option<BlobFile>,
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
        let etag = etag(&super::hex(&Sha256::digest(record.body.as_bytes())));
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
    pub fn in_file(record: MetaRecord, file: BlobFile, validity: Validity) -> Self {
        let sha256 = record.file.as_ref().map(|file| file.sha256.as_str());
        CachedMetadata {
            etag: etag(sha256.unwrap_or_default()),
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

    /// A file's answer, if it may be given.
    pub fn lookup(&self, key: &FileKey) -> Option<CachedFile> {
        let file = self.files.get(key)?;
        let is_current = |validity| self.validities.is_current(validity);
        file.validity
            .as_ref()
            .is_some_and(is_current)
            .then_some(file)
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
        match self.validities.renew(fetched.validity) {
            Some(renewed) => fetched.validity = renewed,
            None => self.validities.end(key),
        }
        self.metadata.insert(key.clone(), fetched.clone());
        fetched
    }
}
