//! Immutable files: kept ones are answered from memory or disk, missing ones fetched, verified and kept.

mod flight;
mod lookup;
mod publish;
mod small;
mod zip;

use std::sync::Arc;

use super::Engine;
use super::answer::{Answer, CacheStatus, Content};
use super::context::RequestContext;
use super::error::{Cause, Class, EngineError};
use super::origins::Chain;
use crate::protocol::{FileKey, Key, Kind};
pub use zip::{Hashers, ZipFlight, ZipProgress};

impl Engine {
    /// Answers for an immutable file.
    pub(super) async fn file(
        self: &Arc<Self>,
        key: &FileKey,
        context: &RequestContext,
    ) -> Result<Answer, EngineError> {
        if let Some(file) = self.lookup(key, context).await? {
            self.prefetch.hit(key, context.prefetches_for());
            file.touch(self.clock.now());
            return Ok(file.answer(CacheStatus::Hit, None));
        }
        if context.cached_only {
            return Err(Cause::NotKept(key.describe()).into());
        }
        let as_key = Key::File(key.clone());
        if let Some(error) = self.negatives.get_for(&as_key, context) {
            return Err(Self::from_negative(error));
        }
        self.prefetch.missed(key, context.prefetches_for());
        let answer = match key.kind {
            Kind::Zip => {
                let asking = self.missed_zip(key, context);
                self.or_absent_file(key, context, asking).await?
            }
            Kind::Info | Kind::Mod => {
                let asking = self.missed_small(key, context);
                self.or_absent_file(key, context, asking).await?
            }
        };
        let body = match &answer.content {
            Content::Bytes(body) => Some(body),
            Content::File(_) | Content::Growing(_) => None,
        };
        self.prefetch.came(key, body, context.prefetches_for());
        Ok(answer)
    }

    /// Where a module comes from; a prefetch of a public one goes to no repository.
    async fn chain_for(&self, context: &RequestContext) -> Result<Chain, EngineError> {
        let chain = self.chain_of(context).await?;
        let is_prefetch = context.fetch.priority.is_prefetch();
        Ok(match is_prefetch && context.decision.is_public_route() {
            true => chain.proxies_only(),
            false => chain,
        })
    }

    /// Counts and logs a fetch that failed.
    fn noted(&self, key: &FileKey, error: &EngineError, context: &RequestContext) {
        // Of whoever came first; others may wait as well.
        let request_id = context.fetch.request_id.as_deref();
        let trace_id = context.fetch.trace_id.map(tracing::field::display);
        match error.class() {
            Class::UnknownToDatabase => {
                self.metrics.rejected.inc();
                tracing::warn!(file = %key, %error, request_id, trace_id, "refused: no checksum database knows it");
            }
            Class::VerificationFailed => {
                self.metrics.rejected.inc();
                tracing::error!(file = %key, %error, upstream = error.upstream(), request_id, trace_id, "a fetched file failed verification");
            }
            Class::Absent { .. } | Class::Refused => {
                tracing::debug!(file = %key, %error, request_id, trace_id, "not to be had")
            }
            _ => tracing::warn!(file = %key, %error, request_id, trace_id, "a fetch failed"),
        }
    }

    /// Shows in the metrics how much is kept, once that is known.
    pub fn show_totals(&self) {
        let totals = self.store.totals();
        let shown = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.files.set(shown(totals.files));
        self.metrics.bytes.set(shown(totals.bytes));
        self.metrics.unsettled.set(shown(totals.pending));
    }
}
