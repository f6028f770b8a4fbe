//! Flights of `.info` and `.mod` files.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;

use super::flight::Flight;
use super::publish::PUBLISH_WAIT;
use crate::engine::Engine;
use crate::engine::answer::{Answer, CacheStatus};
use crate::engine::context::RequestContext;
use crate::engine::error::EngineError;
use crate::engine::fetched::FetchedFile;
use crate::engine::memory::CachedFile;
use crate::engine::origins::{FetchRequest, Reply};
use crate::engine::slow::Look;
use crate::engine::turns::work;
use crate::engine::verifier::FileVerification;
use crate::flights::{FlightOutcome, outcome};
use crate::gomod::dirhash::hash_go_mod;
use crate::kit::Turn;
use crate::protocol::{FileKey, Key, Kind};
use crate::store::{self, Companions, FileRecord, Room, Sha256};

impl Engine {
    pub(super) async fn missed_small(
        self: &Arc<Self>,
        key: &FileKey,
        context: &RequestContext,
    ) -> Result<Answer, EngineError> {
        let flight_key = context.flight(key);
        let has_begun = || self.small_flights.get(&flight_key).is_some();
        let turn = self.turn(context, work(&flight_key), has_begun).await?;
        let flight = self
            .small_flight(key, context, turn)
            .ok_or_else(EngineError::too_many)?;
        match outcome(flight).await {
            Some(Ok(fetched)) => Ok(fetched.file.answer(
                CacheStatus::Miss {
                    stored: fetched.stored,
                },
                Some(fetched.from).filter(|from| !from.is_empty()),
            )),
            Some(Err(error)) if key.kind == Kind::Info && error.is_fault() => {
                self.stand_in(key, error).await
            }
            Some(Err(error)) => Err(error),
            None => Err(EngineError::ours("the fetch ended unexpectedly")),
        }
    }

    /// The flight of an `.info` or `.mod`; none if there are too many.
    pub(in crate::engine) fn small_flight(
        self: &Arc<Self>,
        key: &FileKey,
        context: &RequestContext,
        turn: Option<Turn>,
    ) -> Option<FlightOutcome<Result<FetchedFile, EngineError>>> {
        self.small_flights
            .join(&context.flight(key), &context.fetch, |place| {
                let (fetched, receiver) = watch::channel(None);
                let flight = SmallFlight { fetched };
                (receiver, self.fly(key, context, place, flight, turn))
            })
    }

    async fn fetch_small(
        self: &Arc<Self>,
        key: &FileKey,
        context: &RequestContext,
    ) -> Result<Verified, EngineError> {
        let verification = (key.kind == Kind::Mod).then(|| self.verifier.begin(key, context));
        if let Some(verification) = &verification
            && self.has_sibling(key).await
        {
            verification.found();
        }
        let as_key = Key::File(key.clone());
        let chain = self.chain_for(context).await?;
        let fetched = chain
            .fetch_small(&FetchRequest::new(&as_key, &context.fetch))
            .await;
        let Reply { content, from, .. } = self.judged(&key.module, &chain, fetched).await?;
        let body = content.body;
        if key.kind == Kind::Mod && context.decision.may_be_prefetched {
            self.prefetch.arrived(key, &body);
        }
        let h1 = (key.kind == Kind::Mod).then(|| hash_go_mod(&body));
        let vouched = match (verification, &h1) {
            (Some(verification), Some(h1)) => verification.verdict(h1, &from).await?,
            _ => FileVerification {
                verified: store::Verified::None,
                by: None,
                companions: Companions::default(),
            },
        };
        let record = FileRecord {
            size: body.len() as u64,
            sha256: Sha256::of(&body),
            h1,
            from: from.to_string(),
            seen: self.clock.now(),
            verified: vouched.verified,
            by: vouched.by,
        };
        Ok(Verified {
            body,
            record,
            companions: vouched.companions,
            from,
        })
    }
}

/// A small file that may be given out.
struct Verified {
    body: Bytes,
    record: FileRecord,
    companions: Companions,
    from: Arc<str>,
}

/// A small file in flight.
struct SmallFlight {
    fetched: watch::Sender<Option<Result<FetchedFile, EngineError>>>,
}

impl SmallFlight {
    fn tell(&self, file: CachedFile, stored: bool, from: Arc<str>) {
        let fetched = FetchedFile { file, stored, from };
        self.fetched.send_replace(Some(Ok(fetched)));
    }
}

impl Flight for SmallFlight {
    type Fetched = Verified;

    fn look(&self) -> Look {
        Look {
            // Those who can join hold one themselves.
            waiting: self.fetched.receiver_count().saturating_sub(1),
            received: None,
        }
    }

    fn is_kept(&self, file: CachedFile) {
        self.tell(file, true, Arc::from(""));
    }

    async fn fetch(
        &self,
        engine: &Arc<Engine>,
        key: &FileKey,
        context: &RequestContext,
    ) -> Result<Verified, EngineError> {
        engine.fetch_small(key, context).await
    }

    /// Nobody sees a part of a small file.
    fn begin_again(&self) -> bool {
        true
    }

    fn failed(&self, error: EngineError) {
        self.fetched.send_replace(Some(Err(error)));
    }

    /// Followers are answered once it is verified, keeping it goes on beside.
    async fn publish(
        &self,
        engine: &Engine,
        key: FileKey,
        context: &RequestContext,
        fetched: Verified,
    ) {
        let Verified {
            body,
            record,
            companions,
            from,
        } = fetched;
        let validity = engine.validities.of(&key, context.generation());
        let content = store::KeptContent::Bytes(body.clone());
        let file = CachedFile::new(&record, content, Some(validity));
        // A disk that cannot keep up slows the answers down, for a moment; then they go out unkept.
        let place = timeout(PUBLISH_WAIT, engine.publishing.acquire()).await;
        let mut keep = place.is_ok() && engine.store.local().room() == Room::Enough;
        if keep && body.len() as u64 > store::SMALL {
            // From the file it takes no memory, however slowly it is read.
            match engine
                .publish_first(&key, context, &body, &record, &companions)
                .await
            {
                Some(file) => {
                    engine.has_appeared(&key);
                    self.tell(file, true, from);
                    return engine.absences.appeared(&Key::File(key)).await;
                }
                None => keep = false,
            }
        }
        engine.has_appeared(&key);
        let stored = keep && engine.store.local().can_keep(&key);
        self.tell(file.clone(), stored, from);
        engine.absences.appeared(&Key::File(key.clone())).await;
        if !keep {
            engine.metrics.unkept.inc();
            engine.pin_alone(&key, &companions).await;
            return;
        }
        match engine
            .store
            .publish_bytes(&key, body, &record, &companions)
            .await
        {
            Ok(()) => {
                engine.show_totals();
                engine.memory.put(key, file);
            }
            // The store says so.
            Err(_) => drop(engine.metrics.unkept.inc()),
        }
    }
}
