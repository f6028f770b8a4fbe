//! What prefetching asks of the engine.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::Engine;
use super::context::RequestContext;
use super::prefetch::{Fetch, Lookup};
use crate::flights::outcome;
use crate::gomod::ModulePath;
use crate::kit::FetchContext;
use crate::protocol::{FileKey, Key, Kind};
use crate::store::{KeptContent, Room};

#[async_trait]
impl Fetch for Engine {
    fn is_idle_enough(&self) -> bool {
        let rules = self.rules.peek();
        // What cannot be verified now is not fetched in stock.
        let verifiable = self.verifier.databases().is_empty() || self.verifier.answers();
        verifiable
            && self.store.local().room() == Room::Enough
            && self.small_flights.under_way() < self.settings.max_flights / 2
            && self.zip_flights.under_way() < self.settings.max_zip_flights / 2
            && (rules.policy.prefetches_private()
                || self
                    .known_chain()
                    .is_some_and(|chain| chain.proxies_only().welcomes_prefetches()))
    }

    fn context(&self, module: &ModulePath) -> Option<RequestContext> {
        let context = self.background(module, FetchContext::prefetch());
        context.decision.may_be_prefetched.then_some(context)
    }

    async fn look_up(&self, key: &FileKey, context: &RequestContext) -> Lookup {
        match self.store.record(key).await {
            // Nobody has asked for it now: it is not worth a place in memory.
            Ok(Some(_)) if key.kind == Kind::Mod => {
                return match self.store.file(key).await {
                    Ok(Some(file)) => Lookup::Kept(match file.content {
                        KeptContent::Bytes(body) => Some(body),
                        KeptContent::File(_) => None,
                    }),
                    Ok(None) | Err(_) => Lookup::Kept(None),
                };
            }
            Ok(Some(_)) => return Lookup::Kept(None),
            Ok(None) => {}
            Err(_) => return Lookup::Unavailable,
        }
        if self
            .negatives
            .get(&Key::File(key.clone()), context)
            .is_some()
            || !(self.chain_of(context).await).is_ok_and(|chain| chain.welcomes_prefetches())
        {
            return Lookup::Unavailable;
        }
        let under_way = match key.kind {
            Kind::Zip => self.zip_flights.get(&context.flight(key)).is_some(),
            Kind::Info | Kind::Mod => self.small_flights.get(&context.flight(key)).is_some(),
        };
        match under_way {
            true => Lookup::UnderWay,
            false => Lookup::Missing,
        }
    }

    async fn small(self: Arc<Self>, key: &FileKey, context: &RequestContext) -> Option<Bytes> {
        let flight = self.small_flight(key, context, None)?;
        outcome(flight).await?.ok()?.file.body()
    }

    async fn zip(self: Arc<Self>, key: &FileKey, context: &RequestContext) -> Option<u64> {
        let flight = self.zip_flight(key, context, None)?;
        let mut progress = flight.follow();
        let end = progress.wait_for(|now| now.kept || now.end.is_some()).await;
        let verdict = end.ok()?.end.clone()?.ok()?;
        Some(verdict.record.size)
    }
}
