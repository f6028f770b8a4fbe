//! What is in memory, kept, or known to be absent.

use crate::engine::Engine;
use crate::engine::answer::{Answer, CacheStatus, Content};
use crate::engine::context::RequestContext;
use crate::engine::error::EngineError;
use crate::engine::memory::CachedFile;
use crate::protocol::{FileKey, Key, Kind};
use crate::store;

/// Smaller files take less memory than what is needed to read them again. Bytes.
const WORTH_A_FILE: u64 = 1024;

impl Engine {
    /// What is in memory or kept.
    pub(in crate::engine) async fn lookup(
        &self,
        key: &FileKey,
        context: &RequestContext,
    ) -> Result<Option<CachedFile>, EngineError> {
        match self.memory.lookup(key, context.generation()) {
            Some(file) => Ok(Some(file)),
            None => self.kept(key, context).await,
        }
    }

    /// What is kept.
    pub(super) async fn kept(
        &self,
        key: &FileKey,
        context: &RequestContext,
    ) -> Result<Option<CachedFile>, EngineError> {
        // A fault of the store is an error, not a miss: saying that a kept file is not there would send clients away.
        let validity = self.validities.of(key, context.generation());
        let Some(kept) = self.store.file(key).await? else {
            return Ok(None);
        };
        let verified = kept.record.verified;
        if !self.verifier.allows(key, verified, context) {
            return Ok(None);
        }
        let in_memory = matches!(kept.content, store::KeptContent::Bytes(_));
        let mut file = CachedFile::new(&kept.record, kept.content, Some(validity));
        if kept.record.size > WORTH_A_FILE
            && in_memory
            && let Ok(Some(open)) = self.store.local().open(&key.into())
        {
            file.is_in(open);
        }
        // Open files only: of a small one whoever asked keeps the response, and it need not be in memory twice.
        if !in_memory {
            self.memory.put(key.clone(), file.clone());
        }
        Ok(Some(file))
    }

    /// Whether another file of the version is kept: then it exists.
    pub(super) async fn has_sibling(&self, key: &FileKey) -> bool {
        for kind in [Kind::Info, Kind::Mod, Kind::Zip] {
            if kind == key.kind {
                continue;
            }
            let sibling = key.sibling(kind);
            if self.memory.has(&sibling) || matches!(self.store.record(&sibling).await, Ok(Some(_)))
            {
                return true;
            }
        }
        false
    }

    /// What a flight has ended with between a client's look at what is remembered and the start of its own.
    pub(super) fn learned_meanwhile(
        &self,
        key: &FileKey,
        context: &RequestContext,
    ) -> Option<EngineError> {
        let error =
            (!context.fetch.no_cache).then(|| self.negatives.get(&Key::File(key.clone()), context));
        error.flatten().map(Self::from_negative)
    }

    /// Nobody can be asked for this `.info`; but a branch or `@latest` once resolved to this version, and what was
    /// said then is what `go` itself would have kept.
    pub(super) async fn stand_in(
        &self,
        key: &FileKey,
        error: EngineError,
    ) -> Result<Answer, EngineError> {
        let Some(record) = self.store.fallback_info(key).await? else {
            return Err(error);
        };
        tracing::warn!(file = %key, %error, "answered with what a query said of this version");
        let age = self.clock.now().since(record.fetched);
        Ok(Answer {
            content: Content::Bytes(record.body.into()),
            etag: None,
            verified: Some(store::Verified::None),
            cache: CacheStatus::Stale(age.as_secs()),
            fetched: Some(record.fetched),
            from: None,
            validity: None,
            file: None,
        })
    }
}
