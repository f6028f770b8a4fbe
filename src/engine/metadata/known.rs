//! What is known of a changing answer: in memory or kept, fresh or not.

use crate::engine::Engine;
use crate::engine::context::RequestContext;
use crate::engine::error::EngineError;
use crate::engine::memory::CachedMetadata;
use crate::protocol::{FileKey, Meta, MetaKey};

impl Engine {
    /// The last answer that is known, of whatever age.
    pub(in crate::engine) async fn kept_meta(
        &self,
        key: &MetaKey,
        context: &RequestContext,
    ) -> Result<Option<CachedMetadata>, EngineError> {
        if let Some(meta) = self.memory.metadata(key) {
            return Ok(Some(meta));
        }
        let validity = self.validities.of(key, context.generation());
        let Some(record) = self.store.metadata(key).await? else {
            return Ok(None);
        };
        // Since what was read may be of those who go by the rules of a moment later.
        let until = match self.validities.are_in_force(context.generation()) {
            true => context.rules.fresh_until(record.fetched),
            false => record.fetched,
        };
        let validity = validity.until(until);
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

    /// Whether it is the answer to whoever goes by these rules: those that it was made under.
    pub(super) fn is_fresh(&self, meta: &CachedMetadata, context: &RequestContext) -> bool {
        meta.validity.rules() == context.generation()
            && self.validities.holds(&meta.validity, || self.clock.now())
    }
}
