//! What is in memory, kept, or known to be absent.

use std::sync::atomic::Ordering;

use crate::engine::Engine;
use crate::engine::answer::{Answer, CacheStatus, Content};
use crate::engine::error::EngineError;
use crate::engine::hot::HotFile;
use crate::errand::Errand;
use crate::protocol::{FileKey, Key, Kind};
use crate::store;

/// Smaller files take less memory than what is needed to read them again. Bytes.
const WORTH_A_FILE: u64 = 1024;

impl Engine {
    /// What is in memory or kept.
    pub(in crate::engine) async fn at_hand(
        &self,
        key: &FileKey,
    ) -> Result<Option<HotFile>, EngineError> {
        match self.hot.file(key) {
            Some(file) => Ok(Some(file)),
            None => self.kept(key).await,
        }
    }

    /// What is kept.
    pub(super) async fn kept(&self, key: &FileKey) -> Result<Option<HotFile>, EngineError> {
        // A fault of the store is an error, not a miss: saying that a kept file is not there would send clients away.
        let epoch = self.epoch.load(Ordering::Acquire);
        let Some(kept) = self.store.file(key).await? else {
            return Ok(None);
        };
        if !self.voucher.allows(key, kept.record.verified) {
            return Ok(None);
        }
        let mut file = HotFile::from(&kept);
        if kept.record.size > WORTH_A_FILE
            && matches!(kept.content, store::Content::Bytes(_))
            && let Ok(Some(open)) = self.store.blobs().open(key).await
        {
            file.is_in(open);
        }
        // Open files only: a small one is kept ready by whoever asked, and need not be in memory twice.
        if matches!(kept.content, store::Content::File(_)) {
            self.put_hot(key, &file, epoch);
        }
        Ok(Some(file))
    }

    /// Keeps a file in memory, unless one has been taken back since `epoch`.
    pub(super) fn put_hot(&self, key: &FileKey, file: &HotFile, epoch: u64) {
        self.hot.put_file(key.clone(), file.clone());
        // In this order: whoever takes it back moves the epoch on first, then removes it.
        if self.epoch.load(Ordering::Acquire) != epoch {
            self.hot.remove_file(key);
        }
    }

    /// Whether another file of the version is kept: then it exists.
    pub(super) async fn has_sibling(&self, key: &FileKey) -> bool {
        for kind in [Kind::Info, Kind::Mod, Kind::Zip] {
            if kind == key.kind {
                continue;
            }
            let sibling = key.sibling(kind);
            if self.hot.file(&sibling).is_some()
                || matches!(self.store.record(&sibling).await, Ok(Some(_)))
            {
                return true;
            }
        }
        false
    }

    /// What a flight has ended with between a client's look at what is remembered and the start of its own.
    pub(super) fn learned_meanwhile(&self, key: &FileKey, errand: &Errand) -> Option<EngineError> {
        let error = (!errand.anew).then(|| self.negatives.get(&Key::File(key.clone())));
        error.flatten().map(Self::from_negative)
    }

    /// Nobody can be asked for this `.info`; but a branch or `@latest` once resolved to this version, and what was
    /// said then is what `go` itself would have kept.
    pub(super) async fn stand_in(
        &self,
        key: &FileKey,
        error: EngineError,
    ) -> Result<Answer, EngineError> {
        let Some(record) = self.store.stand_in(key).await? else {
            return Err(error);
        };
        tracing::warn!(file = %key, %error, "answered with what a query said of this version");
        let age = self.clock.now().since(record.fetched);
        Ok(Answer {
            content: Content::Bytes(record.body.into()),
            etag: None,
            verified: Some(store::Verified::None),
            cache: CacheStatus::Stale(age.as_secs()),
            age: Some(age),
            from: None,
            lease: None,
            file: None,
        })
    }
}
