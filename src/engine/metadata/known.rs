//! What is known of a changing answer: in memory or kept, fresh or not.

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::error::EngineError;
use crate::engine::memory::CachedMetadata;
use crate::protocol::{FileKey, Meta, MetaKey};
use crate::store::MetaRecord;

impl Engine {
    /// The last answer that is known, of whatever age.
    pub(in crate::engine) async fn kept_meta(
        &self,
        key: &MetaKey,
    ) -> Result<Option<CachedMetadata>, EngineError> {
        let validity = self.validities.of(key);
        if let Some(meta) = self.memory.metadata(key) {
            return Ok(Some(meta));
        }
        let Some(record) = self.store.metadata(key).await? else {
            return Ok(None);
        };
        let validity = validity.until(self.gets_old(&record));
        let meta = match &record.file {
            None => CachedMetadata::new(record, None, validity),
            Some(named) => match self.store.list(&key.module, named)? {
                Some(file) => CachedMetadata::in_file(record, file, validity),
                None => {
                    tracing::warn!(module = %key.module, "a list's file is not there any more, or not whole; asking again");
                    return Ok(None);
                }
            },
        };
        Ok(Some(self.memory.put_read(key, meta)))
    }

    /// What is served of a list, as text.
    pub(in crate::engine) async fn list_text(
        &self,
        list: &CachedMetadata,
    ) -> Result<String, EngineError> {
        let Some(file) = &list.file else {
            return Ok(list.record.body.clone());
        };
        let text = self.store.read_whole(file).await?;
        String::from_utf8(text.into()).map_err(|_| EngineError::ours("a list that is not text"))
    }

    /// A version exists: a list that does not have it is past its time, whatever its age. So is one that is not in
    /// memory, where copies of it may be given or read just now.
    pub(in crate::engine) fn outdate_list(&self, version: &FileKey) {
        if version.version.is_pseudo() {
            return;
        }
        let list = MetaKey {
            module: version.module.clone(),
            meta: Meta::List,
        };
        // In this order: a list that is on its way looks at these first, then takes its place.
        self.appeared.note(version);
        let kept = self.memory.metadata(&list);
        if !kept.is_some_and(|kept| kept.lists(&version.version)) {
            self.validities.end(&list);
        }
    }

    pub(super) fn is_fresh(&self, meta: &CachedMetadata) -> bool {
        self.validities.holds(&meta.validity, || self.clock.now())
    }

    /// When a record is not fresh any more, if nothing outdates it before.
    pub(super) fn gets_old(&self, record: &MetaRecord) -> Timestamp {
        let ttl = u64::try_from(self.settings.ttl.as_millis()).unwrap_or(u64::MAX);
        Timestamp(record.fetched.0.saturating_add(ttl))
    }
}
