//! What prefetching asks of the engine.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::Engine;
use super::prefetch::{Fetch, Lookup};
use crate::errand::Errand;
use crate::flights::outcome;
use crate::gomod::ModulePath;
use crate::policy::Course;
use crate::protocol::{FileKey, Key, Kind};
use crate::store::{Content, Room};

#[async_trait]
impl Fetch for Engine {
    fn is_idle_enough(&self) -> bool {
        // What cannot be verified now is not fetched in stock.
        let verifiable = self.voucher.databases().is_empty() || self.voucher.answers();
        verifiable
            && self.store.local().room() == Room::Enough
            && self.small_flights.under_way() < self.settings.max_flights / 2
            && self.zip_flights.under_way() < self.settings.max_zip_flights / 2
            && (self.settings.prefetch.include_private
                || self
                    .known_chain()
                    .is_some_and(|chain| chain.proxies_only().welcomes_prefetches()))
    }

    /// Of a private module that is nobody's business, unless it is allowed.
    fn may_be_prefetched(&self, module: &ModulePath) -> bool {
        let include_private = self.settings.prefetch.include_private;
        !module.is_toolchain()
            && match self.policy.course(module) {
                Course::Upstream => true,
                Course::Route(_) | Course::Private(_) => include_private,
                Course::Refused(_) => false,
            }
            && (include_private || self.policy.private_pattern(module).is_none())
    }

    async fn look_up(&self, key: &FileKey) -> Lookup {
        match self.store.record(key).await {
            // Nobody has asked for it now: it is not worth a place in memory.
            Ok(Some(_)) if key.kind == Kind::Mod => {
                return match self.store.file(key).await {
                    Ok(Some(file)) => Lookup::Kept(match file.content {
                        Content::Bytes(body) => Some(body),
                        Content::File(_) => None,
                    }),
                    Ok(None) | Err(_) => Lookup::Kept(None),
                };
            }
            Ok(Some(_)) => return Lookup::Kept(None),
            Ok(None) => {}
            Err(_) => return Lookup::Unavailable,
        }
        if self.negatives.get(&Key::File(key.clone())).is_some()
            || !self.chain_of(&key.module).await.welcomes_prefetches()
        {
            return Lookup::Unavailable;
        }
        let under_way = match key.kind {
            Kind::Zip => self.zip_flights.get(key).is_some(),
            Kind::Info | Kind::Mod => self.small_flights.get(key).is_some(),
        };
        match under_way {
            true => Lookup::UnderWay,
            false => Lookup::Missing,
        }
    }

    async fn small(self: Arc<Self>, key: &FileKey) -> Option<Bytes> {
        let flight = self.small_flight(key, &Errand::prefetch())?;
        outcome(flight).await?.ok()?.file.body()
    }

    async fn zip(self: Arc<Self>, key: &FileKey) -> Option<u64> {
        let flight = self.zip_flight(key, &Errand::prefetch())?;
        let mut progress = flight.follow();
        let end = progress.wait_for(|now| now.kept || now.end.is_some()).await;
        let verdict = end.ok()?.end.clone()?.ok()?;
        Some(verdict.record.size)
    }
}
