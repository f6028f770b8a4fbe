//! Answers that change: lists, `@latest`, queries. Fresh ones are answered at once, old ones asked for again while the
//! client waits a moment, and an old copy is the answer whenever nobody says that the thing does not exist.

mod flight;
mod keep;
mod known;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Engine;
use super::answer::{Answer, CacheStatus};
use super::context::RequestContext;
use super::error::{Cause, EngineError};
use super::fetched::MetaOutcome;
use super::memory::CachedMetadata;
use super::validity::Validity;
use crate::clock::Timestamp;
use crate::flights::{FlightOutcome, outcome};
use crate::protocol::{Key, MetaKey};

/// When somebody asked, and what had changed by then.
#[derive(Clone, Copy)]
struct Question {
    at: Timestamp,
    validity: Validity,
}

impl Engine {
    /// Answers for something that changes.
    pub(super) async fn meta(
        self: &Arc<Self>,
        key: &MetaKey,
        context: &RequestContext,
    ) -> Result<Answer, EngineError> {
        let no_cache = context.fetch.no_cache;
        let ttl = context.rules.freshness.ttl;
        // Before it looks: what lands from here on is new enough.
        let at = self.clock.now();
        let kept = self.kept_meta(key, context).await?;
        if context.cached_only {
            let kept = kept.ok_or_else(|| Cause::NotKept(key.describe()))?;
            return Ok(self.kept_answer(&kept, context));
        }
        let known_no = self.negatives.get_for(&Key::Meta(key.clone()), context);
        if !no_cache || known_no.is_some() {
            if let Some(error) = known_no {
                // Only "it does not exist" goes before a kept copy.
                return match kept.filter(|_| !error.is_absent()) {
                    Some(kept) if self.is_fresh(&kept, context) => {
                        Ok(self.answer(&kept, CacheStatus::Hit, None))
                    }
                    Some(kept) => Ok(self.stale(key, &kept, ttl, &error.to_string())),
                    None => Err(Self::from_negative(error)),
                };
            }
            if let Some(kept) = kept.as_ref().filter(|kept| self.is_fresh(kept, context)) {
                let mut answer = self.answer(kept, CacheStatus::Hit, None);
                // It is counted often enough to be asked for again in time.
                if self.recent.asked(key, kept.record.fetched) {
                    answer.validity = Some(kept.validity);
                }
                return Ok(answer);
            }
        }
        let asked = self.asked(key, context, at);
        let stored = self.store.keeps();
        let cache = match (&kept, no_cache) {
            (_, true) => CacheStatus::Forced { stored },
            (Some(_), false) => CacheStatus::Refreshed { stored },
            (None, false) => CacheStatus::Miss { stored },
        };
        if no_cache {
            self.outwait(key, context).await;
        }
        let since = (!no_cache).then_some(asked.at);
        let is_forced = no_cache && kept.is_some();
        let landing = async {
            match self.ask_in_turn(key, context, since).await {
                Ok(flight) if is_forced => outcome(flight).await,
                Ok(flight) => self.landing(key, context, asked, flight).await,
                Err(error) => Some(Err(error)),
            }
        };
        let landed = match &kept {
            Some(_) if is_forced => landing.await,
            Some(kept) => {
                match timeout(context.rules.freshness.refresh_wait, landing).await {
                    Ok(landed) => landed,
                    // It goes on without this client, if it has begun.
                    Err(_) => {
                        return Ok(self.stale(
                            key,
                            kept,
                            ttl,
                            "the refresh takes longer than a moment",
                        ));
                    }
                }
            }
            None => {
                let wait = (!no_cache).then_some(context.rules.freshness.refresh_wait);
                Some(self.new_answer(key, context, wait, landing).await)
            }
        };
        match (landed, kept) {
            // Derived from something that is itself past its time.
            (Some(Ok(record)), _) if asked.at.since(record.record.fetched) > ttl => {
                Ok(self.stale(key, &record, ttl, "derived from a stale list"))
            }
            (Some(Ok(record)), _) => {
                self.prefetch.listed(key, context.prefetches_for());
                let from = Arc::from(record.record.from.as_str());
                Ok(self.answer(&record, cache, Some(from)))
            }
            (Some(Err(error)), _) if error.is_denied() => Err(error),
            (Some(Err(error)), Some(kept)) => Ok(self.stale(key, &kept, ttl, &error.to_string())),
            (Some(Err(error)), None) => Err(error),
            (None, Some(kept)) => Ok(self.stale(key, &kept, ttl, "the fetch ended unexpectedly")),
            (None, None) => Err(EngineError::ours("the fetch ended unexpectedly")),
        }
    }

    /// For whoever has asked at that time, and found nothing fresh.
    fn asked(&self, key: &MetaKey, context: &RequestContext, at: Timestamp) -> Question {
        Question {
            at,
            validity: self.validities.of(key, context.generation()),
        }
    }

    /// The outcome of a flight that may have begun before this client asked: what has been outdated between the two is
    /// not what it wants, and is asked for anew.
    async fn landing(
        self: &Arc<Self>,
        key: &MetaKey,
        context: &RequestContext,
        asked: Question,
        flight: FlightOutcome<MetaOutcome>,
    ) -> Option<MetaOutcome> {
        match outcome(flight).await {
            Some(Ok(meta)) if meta.validity.is_before(&asked.validity) => {
                self.outwait(key, context).await;
                match self.ask_in_turn(key, context, Some(asked.at)).await {
                    Ok(flight) => outcome(flight).await,
                    Err(error) => Some(Err(error)),
                }
            }
            landed => landed,
        }
    }

    /// The outcome for whoever has nothing older.
    async fn new_answer(
        &self,
        key: &MetaKey,
        context: &RequestContext,
        wait: Option<Duration>,
        landing: impl Future<Output = Option<MetaOutcome>>,
    ) -> MetaOutcome {
        let asking = async {
            let landed = landing.await;
            landed.unwrap_or_else(|| Err(EngineError::ours("the fetch ended unexpectedly")))
        };
        self.or_absence(&Key::Meta(key.clone()), context, wait, asking)
            .await
    }

    /// Waits until a flight that is under way has ended: it may have its answer from before this client asked.
    async fn outwait(&self, key: &MetaKey, context: &RequestContext) {
        if let Some(mut flight) = self.meta_flights.get(&context.flight(key)) {
            // It leaves its place before it lets go of the other end.
            while flight.changed().await.is_ok() {}
        }
    }

    /// The current record, for other parts of the engine: asked for if it is not fresh, an old one if need be.
    pub(super) async fn record(
        self: &Arc<Self>,
        key: &MetaKey,
        context: &RequestContext,
    ) -> MetaOutcome {
        let at = self.clock.now();
        let kept = self.kept_meta(key, context).await?;
        if let Some(kept) = kept.as_ref().filter(|kept| self.is_fresh(kept, context)) {
            return Ok(kept.clone());
        }
        if let Some(error) = self.negatives.get(&Key::Meta(key.clone()), context) {
            return kept.filter(|_| !error.is_absent()).ok_or(error);
        }
        let asked = self.asked(key, context, at);
        let landing = async {
            match self.ask_in_turn(key, context, Some(asked.at)).await {
                Ok(flight) => self.landing(key, context, asked, flight).await,
                Err(error) => Some(Err(error)),
            }
        };
        let wait = context.rules.freshness.refresh_wait;
        let landed = match kept.is_some() {
            // With an old copy at hand, a moment is enough.
            true => timeout(wait, landing).await.unwrap_or(None),
            false => Some(self.new_answer(key, context, Some(wait), landing).await),
        };
        match (landed, kept) {
            (Some(Ok(record)), _) => Ok(record),
            (Some(Err(error)), None) => Err(error),
            (Some(Err(error)), Some(_)) if error.is_denied() => Err(error),
            (_, Some(kept)) => Ok(kept),
            (None, None) => Err(EngineError::ours("the fetch ended unexpectedly")),
        }
    }

    fn answer(&self, meta: &CachedMetadata, cache: CacheStatus, from: Option<Arc<str>>) -> Answer {
        Answer {
            content: meta.content(),
            etag: meta.etag.clone(),
            verified: None,
            cache,
            fetched: Some(meta.record.fetched),
            from,
            validity: None,
            file: None,
        }
    }

    fn age(&self, meta: &CachedMetadata) -> Duration {
        self.clock.now().since(meta.record.fetched)
    }

    /// What is kept, whatever its age.
    fn kept_answer(&self, meta: &CachedMetadata, context: &RequestContext) -> Answer {
        let ttl = context.rules.freshness.ttl;
        let cache = match self.is_fresh(meta, context) {
            true => CacheStatus::Hit,
            false => CacheStatus::Stale(self.age(meta).saturating_sub(ttl).as_secs()),
        };
        self.answer(meta, cache, None)
    }

    fn stale(&self, key: &MetaKey, meta: &CachedMetadata, ttl: Duration, why: &str) -> Answer {
        let age = self.age(meta);
        tracing::warn!(resource = %key, why, age = age.as_secs(), "answered with a stale copy");
        let over = age.saturating_sub(ttl);
        self.answer(meta, CacheStatus::Stale(over.as_secs()), None)
    }
}
