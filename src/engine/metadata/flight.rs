//! Flights of changing answers: asked for with the validators of what is kept, or derived from something else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::context::{FlightKey, RequestContext};
use crate::engine::error::{Cause, EngineError};
use crate::engine::fetched::MetaOutcome;
use crate::engine::latest::Derivation;
use crate::engine::memory::CachedMetadata;
use crate::engine::origins::{FetchRequest, Known, Revalidation};
use crate::engine::slow::Look;
use crate::engine::turns::work;
use crate::engine::validity::Validity;
use crate::flights::{FlightEntry, FlightOutcome};
use crate::kit::Turn;
use crate::protocol::{CheckedBody, Key, Meta, MetaKey};
use crate::store::{LocalFile, MetaRecord};
use crate::upstream::Validators;

/// However many questions an answer is derived from, it is there within this.
const WHOLE: Duration = Duration::from_secs(43);

impl Engine {
    /// Joins or starts a flight that asks for it, kept or not; but what has landed `since` then is new enough.
    pub(in crate::engine) fn ask_again(
        self: &Arc<Self>,
        key: &MetaKey,
        context: &RequestContext,
        since: Option<Timestamp>,
        turn: Option<Turn>,
    ) -> Option<FlightOutcome<MetaOutcome>> {
        self.meta_flights
            .join(&context.flight(key), &context.fetch, |place| {
                self.turns.begun(work(context.flight(key)));
                let (sender, receiver) = watch::channel(None);
                let (engine, key) = (Arc::clone(self), key.clone());
                let context = context.forked(place.waiting());
                let (slow, watched, on, seen) = (
                    self.slow.clone(),
                    key.clone(),
                    context.fetch.clone(),
                    sender.clone(),
                );
                (receiver, async move {
                    // Those who can join hold one themselves.
                    let look = || Look {
                        waiting: seen.receiver_count().saturating_sub(1),
                        received: None,
                    };
                    let flown = engine.fly_meta(key, context, since, place, sender, turn);
                    slow.watch(&watched, &on, look, flown).await
                })
            })
    }

    /// The same when it is the turn of whoever asks.
    pub(super) async fn ask_in_turn(
        self: &Arc<Self>,
        key: &MetaKey,
        context: &RequestContext,
        since: Option<Timestamp>,
    ) -> Result<FlightOutcome<MetaOutcome>, EngineError> {
        let flight_key = context.flight(key);
        let has_begun = || self.meta_flights.get(&flight_key).is_some();
        let turn = self.turn(context, work(&flight_key), has_begun).await?;
        let flight = self.ask_again(key, context, since, turn);
        flight.ok_or_else(EngineError::too_many)
    }

    async fn fly_meta(
        self: Arc<Self>,
        key: MetaKey,
        context: RequestContext,
        since: Option<Timestamp>,
        place: FlightEntry<FlightKey<MetaKey>, FlightOutcome<MetaOutcome>>,
        landed: watch::Sender<Option<MetaOutcome>>,
        turn: Option<Turn>,
    ) {
        let begun = Begun {
            validity: self.validities.of(&key, context.generation()),
            appeared: self.appeared.count(),
        };
        // Another flight may have landed between this one's client's look at what is kept and its start.
        let new = |meta: &CachedMetadata| {
            since.is_some_and(|since| meta.record.fetched >= since)
                && meta.validity.rules() == context.generation()
                && self.validities.is_current(&meta.validity)
        };
        if let Some(meta) = self.memory.metadata(&key).filter(new) {
            place.leave();
            landed.send_replace(Some(Ok(meta)));
            return;
        }
        let as_key = Key::Meta(key.clone());
        if since.is_some()
            && let Some(error) = self.negatives.get(&as_key, &context)
        {
            place.leave();
            landed.send_replace(Some(Err(Self::from_negative(error))));
            return;
        }
        let fetched = self.fetch_in_time(&key, &context).await;
        drop(turn);
        match fetched {
            Ok(fresh) => {
                let before = self.memory.metadata(&key);
                let meta = self.made_ready(&key, fresh, begun, &context).await;
                let meta = self.memory.put_fetched(&key, meta);
                self.negatives.forget(&as_key);
                landed.send_replace(Some(Ok(meta.clone())));
                self.absences.appeared(&as_key).await;
                let changed = before.is_none_or(|before| before.etag != meta.etag);
                // What was decided by rules that are not in force any more is for those who asked under them.
                if self.validities.are_in_force(context.generation()) {
                    self.keep_meta(&key, &meta.record, changed).await;
                }
                place.leave();
            }
            Err(error) => {
                self.remember_no(&as_key, &error, &context);
                if error.is_denied() {
                    self.validities.end(&key);
                }
                if !error.is_absent() {
                    let request_id = context.fetch.request_id.as_deref();
                    let trace_id = context.fetch.trace_id.map(tracing::field::display);
                    tracing::debug!(resource = %key, %error, request_id, trace_id, "asking failed");
                }
                place.leave();
                landed.send_replace(Some(Err(error)));
            }
        }
    }

    async fn fetch_in_time(
        self: &Arc<Self>,
        key: &MetaKey,
        context: &RequestContext,
    ) -> Result<Fresh, EngineError> {
        // A repository may have to be fetched first.
        let patience = self.chain_of(context).await?.patience();
        let whole = patience.map_or(WHOLE, |patience| WHOLE.max(patience));
        let fetched = timeout(whole, Box::pin(self.fetch_meta(key, context))).await;
        fetched.unwrap_or_else(|_| Err(Cause::DerivedTooSlowly(key.describe()).into()))
    }

    async fn fetch_meta(
        self: &Arc<Self>,
        key: &MetaKey,
        context: &RequestContext,
    ) -> Result<Fresh, EngineError> {
        let derivation = Derivation {
            engine: self,
            module: &key.module,
            context,
            kept_only: false,
        };
        let (asked, series) = match &key.meta {
            Meta::List => return self.fetch(key, context).await,
            Meta::Query(name) => match name.prefix() {
                None => return self.fetch(key, context).await,
                series => (derivation.run(key, series).await.map(Fresh::from), series),
            },
            Meta::Latest => match self.fetch(key, context).await {
                Err(error) if error.is_denied() => {
                    let derived = derivation.run(key, None).await;
                    match derived {
                        // Why it was not found in the first place says more.
                        Err(derived) if derived.is_absent() && derived.stale().is_none() => {
                            (Err(error), None)
                        }
                        other => (other.map(Fresh::from), None),
                    }
                }
                other => (other, None),
            },
        };
        match asked {
            // Nobody can be asked, and nothing is kept: then it is what follows from what is kept of the list.
            Err(error) if !error.is_denied() && self.kept_meta(key, context).await?.is_none() => {
                let derivation = Derivation {
                    kept_only: true,
                    ..derivation
                };
                let derived = derivation.run(key, series).await;
                derived.map(Fresh::from).map_err(|_| error)
            }
            asked => asked,
        }
    }

    /// Asks the origins; what is kept stays if its origin says that it has not changed.
    async fn fetch(&self, key: &MetaKey, context: &RequestContext) -> Result<Fresh, EngineError> {
        let as_key = Key::Meta(key.clone());
        let request = FetchRequest::new(&as_key, &context.fetch);
        let chain = self.chain_of(context).await?;
        let kept = self.kept_meta(key, context).await?;
        let validators = |kept: CachedMetadata| {
            let validators = Validators {
                etag: kept.record.etag.clone(),
                modified: kept.record.modified.clone(),
            };
            (!validators.is_empty()).then_some((kept, validators))
        };
        let reply = match kept.and_then(validators) {
            None => {
                let fetched = chain.fetch_small(&request).await;
                self.judged(&key.module, &chain, fetched).await?
            }
            Some((kept, validators)) => {
                let known = Known {
                    from: &kept.record.from,
                    validators: &validators,
                };
                let fetched = chain.revalidate(&request, &known).await;
                match self.judged(&key.module, &chain, fetched).await? {
                    Revalidation::New(reply) => reply,
                    Revalidation::NotModified => {
                        return Ok(Fresh {
                            record: MetaRecord {
                                fetched: self.clock.now(),
                                ..(*kept.record).clone()
                            },
                            from: Material {
                                body: None,
                                file: kept.file,
                            },
                        });
                    }
                }
            }
        };
        let CheckedBody { body, list } = reply.content;
        let (served, unlisted) = match list {
            Some(list) => (list.body, list.unlisted),
            None => (String::from_utf8_lossy(&body).into_owned(), String::new()),
        };
        Ok(Fresh {
            record: MetaRecord {
                body: served,
                file: None,
                unlisted,
                fetched: self.clock.now(),
                from: reply.from.to_string(),
                etag: reply.validators.etag,
                modified: reply.validators.modified,
            },
            from: Material {
                body: Some(body),
                file: None,
            },
        })
    }
}

/// What was known when a flight began.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    pub(super) validity: Validity,
    /// How many versions had appeared.
    pub(super) appeared: u64,
}

/// A changing answer that has just come.
pub(super) struct Fresh {
    pub(super) record: MetaRecord,
    pub(super) from: Material,
}

/// What a record is made of, or names.
#[derive(Default)]
pub(super) struct Material {
    /// What was fetched. It is held on to, since that holds the room for it.
    pub(super) body: Option<Bytes>,
    /// It is kept already.
    pub(super) file: Option<LocalFile>,
}

impl From<MetaRecord> for Fresh {
    fn from(record: MetaRecord) -> Self {
        Fresh {
            record,
            from: Material::default(),
        }
    }
}
