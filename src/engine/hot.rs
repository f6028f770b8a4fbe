//! Small ready answers in memory, and open files of larger ones; bounded.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::answer::{Answer, CacheStatus, Content, Current, etag};
use crate::clock::Timestamp;
use crate::protocol::{FileKey, Kind, MetaKey};
use crate::store::{self, BlobFile, FileRecord, KeptFile, MetaRecord, Verified};

/// What an open file counts for: it costs a descriptor rather than memory. Bytes.
const OPEN_FILE: u64 = 128 << 10;
/// What an entry costs beside its content, as measured. Bytes.
const OVERHEAD: u64 = 600;

/// A file's answer.
#[derive(Clone)]
pub struct HotFile {
    content: HotContent,
    etag: Option<HeaderValue>,
    verified: Verified,
    file: Option<Arc<File>>,
}

#[derive(Clone)]
enum HotContent {
    Bytes(Bytes),
    File(BlobFile),
}

impl HotFile {
    /// As kept, or about to be.
    pub fn new(record: &FileRecord, content: store::Content) -> Self {
        let content = match content {
            store::Content::Bytes(bytes) => HotContent::Bytes(bytes),
            store::Content::File(file) => HotContent::File(file),
        };
        let tag = record.h1.as_deref().unwrap_or(&record.sha256);
        HotFile {
            content,
            etag: etag(tag),
            verified: record.verified,
            file: None,
        }
    }

    /// Its content, which is in memory, can be read again from this file.
    pub fn is_in(&mut self, file: BlobFile) {
        if let HotContent::Bytes(bytes) = &self.content
            && bytes.len() as u64 == file.size
        {
            self.file = Some(file.file);
        }
    }

    /// Its content, if that is in memory.
    pub fn body(&self) -> Option<Bytes> {
        match &self.content {
            HotContent::Bytes(bytes) => Some(bytes.clone()),
            HotContent::File(_) => None,
        }
    }

    /// As an answer.
    pub fn answer(&self, cache: CacheStatus, from: Option<Arc<str>>) -> Answer {
        let content = match &self.content {
            HotContent::Bytes(bytes) => Content::Bytes(bytes.clone()),
            HotContent::File(file) => Content::File(file.clone()),
        };
        Answer {
            content,
            etag: self.etag.clone(),
            verified: Some(self.verified),
            cache,
            age: None,
            from,
            lease: None,
            file: self.file.clone(),
        }
    }
}

impl From<&KeptFile> for HotFile {
    fn from(kept: &KeptFile) -> Self {
        HotFile::new(&kept.record, kept.content.clone())
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<FileKey, HotFile> for Weigh {
    fn weight(&self, key: &FileKey, file: &HotFile) -> u64 {
        match &file.content {
            HotContent::Bytes(bytes) => (bytes.len() + key.module.as_str().len()) as u64 + OVERHEAD,
            HotContent::File(_) => OPEN_FILE,
        }
    }
}

impl Weighter<MetaKey, Held> for Weigh {
    fn weight(&self, key: &MetaKey, held: &Held) -> u64 {
        let meta = &held.meta;
        let texts = meta.record.body.len() + meta.record.unlisted.len();
        let file = if meta.file.is_some() { OPEN_FILE } else { 0 };
        (texts + key.module.as_str().len()) as u64 + file + OVERHEAD
    }
}

/// A changing answer, with what is sent of it made ready.
#[derive(Clone, Debug)]
pub struct HotMeta {
    /// What is kept.
    pub record: Arc<MetaRecord>,
    /// Its body, shared with the record.
    body: Bytes,
    /// What is in a file rather than in the record.
    pub file: Option<BlobFile>,
    /// Names the body.
    pub etag: Option<HeaderValue>,
    /// Whether it is the one in memory: what was given of it elsewhere holds as long.
    pub current: Current,
}

/// A changing answer in memory. When it leaves, because of a newer one or for want of room, it is current no more.
#[derive(Clone)]
struct Held {
    meta: HotMeta,
    _end: Arc<EndsWith>,
}

struct EndsWith(Current);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.end();
    }
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

impl From<MetaRecord> for HotMeta {
    fn from(record: MetaRecord) -> Self {
        HotMeta::new(record, None)
    }
}

impl HotMeta {
    /// In memory; `fetched` is what it was taken from, which holds the room for it.
    pub fn new(record: MetaRecord, fetched: Option<Bytes>) -> Self {
        let record = Arc::new(record);
        let etag = etag(&super::hex(&Sha256::digest(record.body.as_bytes())));
        HotMeta {
            body: Bytes::from_owner(BodyOf {
                record: Arc::clone(&record),
                _room: fetched,
            }),
            record,
            file: None,
            etag,
            current: Current::default(),
        }
    }

    /// A list in a file, which the record names.
    pub fn in_file(record: MetaRecord, file: BlobFile) -> Self {
        let sha256 = record.file.as_ref().map(|file| file.sha256.as_str());
        HotMeta {
            etag: etag(sha256.unwrap_or_default()),
            body: Bytes::new(),
            file: Some(file),
            record: Arc::new(record),
            current: Current::default(),
        }
    }

    /// The same, as if it had been fetched then.
    pub fn fetched_at(&self, fetched: Timestamp) -> Self {
        let record = MetaRecord {
            fetched,
            ..(*self.record).clone()
        };
        match &self.file {
            Some(file) => HotMeta::in_file(record, file.clone()),
            None => HotMeta::from(record),
        }
    }

    /// Its content.
    pub fn content(&self) -> Content {
        match &self.file {
            Some(file) => Content::File(file.clone()),
            None => Content::Bytes(self.body.clone()),
        }
    }
}

/// The memory tier.
pub struct Hot {
    files: Cache<FileKey, HotFile, Weigh>,
    metas: Cache<MetaKey, Held, Weigh>,
}

impl Hot {
    /// With at most `bytes` in all.
    pub fn new(bytes: u64) -> Self {
        let (files, metas) = (bytes / 4 * 3, bytes / 4);
        let items = |bytes: u64| usize::try_from(bytes / 1024).unwrap_or(usize::MAX).max(16);
        Hot {
            files: Cache::with_weighter(items(files), files.max(1), Weigh),
            metas: Cache::with_weighter(items(metas), metas.max(1), Weigh),
        }
    }

    /// Bytes that it holds, open files counted as if they were.
    pub fn weight(&self) -> u64 {
        self.files.weight() + self.metas.weight()
    }

    /// A file's answer.
    pub fn file(&self, key: &FileKey) -> Option<HotFile> {
        self.files.get(key)
    }

    /// Forgets a file.
    pub fn remove_file(&self, key: &FileKey) {
        self.files.remove(key);
    }

    /// Keeps a file's answer, if nobody has still to vouch for it: that may yet be taken back.
    pub fn put_file(&self, key: FileKey, file: HotFile) {
        if file.verified != Verified::None || key.kind == Kind::Info {
            self.files.insert(key, file);
        }
    }

    /// A changing answer, of whatever age.
    pub fn meta(&self, key: &MetaKey) -> Option<HotMeta> {
        self.metas.get(key).map(|held| held.meta)
    }

    /// Remembers a changing answer.
    pub fn put_meta(&self, key: MetaKey, meta: HotMeta) {
        let end = EndsWith(meta.current.clone());
        let held = Held {
            meta,
            _end: Arc::new(end),
        };
        self.metas.insert(key, held);
    }

    /// What was given of a changing answer holds no more.
    pub fn end_meta(&self, key: &MetaKey) {
        if let Some(held) = self.metas.get(key) {
            held.meta.current.end();
        }
    }
}
