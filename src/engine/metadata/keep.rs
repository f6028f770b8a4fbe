//! How changing answers are kept: small ones in the catalog, large lists in files that it names.

use bytes::Bytes;

use super::flight::{Begun, Fresh};
use crate::engine::Engine;
use crate::engine::context::RequestContext;
use crate::engine::memory::CachedMetadata;
use crate::engine::validity::Validity;
use crate::gomod::{Version, info};
use crate::protocol::{FileKey, Kind, Meta, MetaKey};
use crate::store::{IN_INDEX, MetaRecord, Room, SMALL};

/// A query's answer is a line or two; a larger one is given out, but not kept. Bytes.
const MAX_KEPT_QUERY: u64 = 8 << 10;
/// Queries of one module that are kept.
const MAX_QUERIES: usize = 512;

impl Engine {
    /// As it is served, with how long it will be. A large list goes into its file first: from there it takes no memory,
    /// however many there are and however slowly they are read, and the index keeps small values only.
    pub(super) async fn made_ready(
        &self,
        key: &MetaKey,
        fresh: Fresh,
        begun: Begun,
        context: &RequestContext,
    ) -> CachedMetadata {
        let until = context.rules.fresh_until(fresh.record.fetched);
        let mut meta = self.in_its_place(key, fresh, begun.validity).await;
        // What has appeared meanwhile outdates a list only if it lacks it.
        let now = self.validities.of(key, context.generation());
        let lists = |version: &Version| meta.lists(version);
        if key.meta != Meta::List || (self.appeared).all_since(begun.appeared, &key.module, lists) {
            meta.validity = now;
        }
        meta.validity = meta.validity.until(until);
        meta
    }

    /// What was decided by rules that are not in force any more is for those who asked under them: it must not replace
    /// the file of what was fetched since, so then it may not be kept.
    async fn in_its_place(
        &self,
        key: &MetaKey,
        fresh: Fresh,
        validity: Validity,
    ) -> CachedMetadata {
        let Fresh { record, from } = fresh;
        if let Some(file) = from.file {
            return CachedMetadata::in_file(record, file, validity);
        }
        if record.body.len() as u64 <= SMALL {
            return CachedMetadata::new(record, None, validity);
        }
        let may_keep = self.validities.are_in_force(validity.rules());
        if key.meta != Meta::List || !may_keep || self.store.local().room() == Room::Low {
            return CachedMetadata::new(record, from.body, validity);
        }
        let body = Bytes::copy_from_slice(record.body.as_bytes());
        match self.store.put_list(&key.module, body).await {
            Ok(Some((named, file))) => {
                let record = MetaRecord {
                    body: String::new(),
                    file: Some(named),
                    ..record
                };
                CachedMetadata::in_file(record, file, validity)
            }
            Ok(None) => CachedMetadata::new(record, from.body, validity),
            Err(error) => {
                tracing::error!(module = %key.module, %error, "a list could not be kept; it was served all the same");
                CachedMetadata::new(record, from.body, validity)
            }
        }
    }

    /// Keeps an answer, where there is room.
    pub(super) async fn keep_meta(&self, key: &MetaKey, record: &MetaRecord, changed: bool) {
        if self.store.local().room() == Room::Low {
            // The index, too, must not run into a full disk.
            self.metrics.unkept.inc();
            return;
        }
        let resolved = match key.meta {
            Meta::List => None,
            Meta::Latest | Meta::Query(_) => info::parse_info(record.body.as_bytes()).ok(),
        };
        let most = match resolved {
            Some(_) => MAX_KEPT_QUERY,
            None => SMALL,
        };
        if record.body.len() as u64 > most {
            self.metrics.unkept.inc();
            return;
        }
        let kept = match resolved {
            Some(info) => {
                self.make_room(key).await;
                let file = FileKey {
                    module: key.module.clone(),
                    version: info.version,
                    kind: Kind::Info,
                };
                self.store.put_query(key, record, &file).await
            }
            None => self.store.put_metadata(key, record).await,
        };
        if kept.is_err() {
            // The store says so.
            self.metrics.unkept.inc();
            return;
        }
        let is_in_index = record.file.is_none() && record.body.len() as u64 <= IN_INDEX;
        if key.meta == Meta::List && changed && is_in_index {
            let body = Bytes::copy_from_slice(record.body.as_bytes());
            // Only for use of the folder as GOPROXY=file://…; the index has it.
            if let Err(error) = self.store.write_list(&key.module, body).await {
                tracing::warn!(module = %key.module, %error, "the list beside the files could not be written");
            }
        }
    }

    /// Before another query of a module is kept: anybody can ask for any number, such as every abbreviation of a commit.
    async fn make_room(&self, key: &MetaKey) {
        if matches!(key.meta, Meta::Query(_)) && matches!(self.store.metadata(key).await, Ok(None))
        {
            let _one_at_a_time = self.tidying.acquire().await;
            if let Err(error) = self.store.tidy_queries(&key.module, MAX_QUERIES).await {
                tracing::error!(module = %key.module, %error, "old queries could not be removed");
            }
        }
    }
}
