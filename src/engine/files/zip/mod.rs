//! A zip in flight: it is staged on disk while it grows, followers read what has been written, and its last part is
//! released only once it has been verified.

mod check;
mod flight;
mod hashers;
mod sink;

use std::sync::Arc;

use parking_lot::Mutex;

use super::flight::Flight;
use crate::engine::Engine;
use crate::engine::answer::{Answer, CacheStatus, Content};
use crate::engine::context::RequestContext;
use crate::engine::error::EngineError;
use crate::engine::memory::CachedFile;
use crate::engine::origins::FetchRequest;
use crate::engine::slow::Look;
use crate::engine::turns::work;
use crate::engine::verifier::PendingVerification;
use crate::kit::Turn;
use crate::protocol::{FileKey, Key};
use crate::store;
use crate::upstream::ZipStream;
use flight::Verdict;
pub use flight::{ZipFlight, ZipProgress};
pub use hashers::Hashers;
use sink::StagingSink;

impl Engine {
    pub(super) async fn missed_zip(
        self: &Arc<Self>,
        key: &FileKey,
        context: &RequestContext,
    ) -> Result<Answer, EngineError> {
        let flight_key = context.flight(key);
        let has_begun = || self.zip_flights.get(&flight_key).is_some();
        let turn = self.turn(context, work(&flight_key), has_begun).await?;
        let flight = self
            .zip_flight(key, context, turn)
            .ok_or_else(EngineError::too_many)?;
        let mut progress = flight.follow();
        let (kept, end, from) = match progress.wait_for(ZipProgress::may_begin).await {
            Ok(now) => (now.kept, now.end.clone(), now.from.clone()),
            Err(_) => return Err(EngineError::ours("the fetch ended unexpectedly")),
        };
        if kept && let Some(file) = self.kept(key, context).await? {
            return Ok(file.answer(CacheStatus::Hit, None));
        }
        match end {
            None => Ok(Answer {
                etag: None,
                verified: Some(flight.provisional().verified()),
                cache: CacheStatus::Miss {
                    stored: flight.staged().is_some_and(|staged| staged.can_be_kept())
                        && self.store.local().can_keep(key),
                },
                fetched: None,
                from,
                validity: None,
                file: None,
                content: Content::Growing(flight),
            }),
            Some(Err(error)) => Err(error),
            Some(Ok(verdict)) => whole(&flight, &verdict),
        }
    }

    /// The flight of a zip; none if there are too many.
    pub(in crate::engine) fn zip_flight(
        self: &Arc<Self>,
        key: &FileKey,
        context: &RequestContext,
        turn: Option<Turn>,
    ) -> Option<Arc<ZipFlight>> {
        self.zip_flights
            .join(&context.flight(key), &context.fetch, |place| {
                let verification = self.verifier.begin(key, context);
                let followed = ZipFlight::new(verification.provisional());
                let flight = FlyingZip {
                    followed: Arc::clone(&followed),
                    verification: Mutex::new(Some(verification)),
                };
                (followed, self.fly(key, context, place, flight, turn))
            })
    }

    /// Waits for a growing zip's end: for requests that need the whole before they can be answered.
    pub async fn landed(&self, flight: &Arc<ZipFlight>) -> Result<Answer, EngineError> {
        let mut progress = flight.follow();
        let end = match progress.wait_for(|now| now.end.is_some()).await {
            Ok(now) => now.end.clone(),
            Err(_) => None,
        };
        match end {
            Some(Ok(verdict)) => whole(flight, &verdict),
            Some(Err(error)) => Err(error),
            None => Err(EngineError::ours("the fetch ended unexpectedly")),
        }
    }

    async fn fetch_zip(
        &self,
        key: &FileKey,
        context: &RequestContext,
        verification: PendingVerification,
        flight: &Arc<ZipFlight>,
    ) -> Result<Verdict, EngineError> {
        let as_key = Key::File(key.clone());
        let mut request = FetchRequest::new(&as_key, &context.fetch);
        let max = request.max;
        if context.fetch.priority.is_prefetch() {
            request = request.at_most(self.prefetch.room());
        }
        let mut sink = StagingSink::new(
            Arc::clone(flight),
            self.store.local().clone(),
            &self.hashers,
        );
        let mut stream = ZipStream::new(&mut sink, max);
        let chain = self.chain_for(context).await?;
        // What will be refused in the end need not be fetched to the end; but whether it exists is said first.
        let mut begun = flight.follow();
        if self.has_sibling(key).await {
            verification.found();
        }
        let early_rejection = async {
            if begun.wait_for(|now| now.from.is_some()).await.is_err() {
                std::future::pending::<()>().await;
            }
            verification.found();
            verification.early_rejection().await
        };
        let from = tokio::select! {
            biased;
            from = chain.fetch_zip(&request, &key.version, &mut stream) => {
                self.judged(&key.module, &chain, from).await?
            }
            error = early_rejection => return Err(error),
        };
        let (size, sha256) = stream.finish();
        let arrived = check::Arrived {
            size,
            sha256,
            from: &from,
            at: self.clock.now(),
        };
        check::check(key, flight, &self.hashers, sink, arrived, verification).await
    }
}

/// The answer with a zip that has just landed.
fn whole(flight: &Arc<ZipFlight>, verdict: &Verdict) -> Result<Answer, EngineError> {
    let file = flight
        .part(verdict.record.size)
        .ok_or_else(|| EngineError::ours("nothing was written"))?;
    let file = CachedFile::new(&verdict.record, store::KeptContent::File(file), None);
    Ok(file.answer(
        CacheStatus::Miss {
            stored: verdict.stored,
        },
        Some(Arc::clone(&verdict.from)),
    ))
}

/// A zip in flight, on the side of who fetches it.
struct FlyingZip {
    followed: Arc<ZipFlight>,
    /// For the first try: what followers may be promised is told by it.
    verification: Mutex<Option<PendingVerification>>,
}

impl Drop for FlyingZip {
    /// If its task dies, that is a fault of ours; else this is not the first end.
    fn drop(&mut self) {
        let error = EngineError::ours("the fetch ended unexpectedly");
        self.followed.end(Err(error));
    }
}

impl Flight for FlyingZip {
    type Fetched = Verdict;

    fn look(&self) -> Look {
        self.followed.look()
    }

    fn is_kept(&self, _file: CachedFile) {
        self.followed.is_kept();
    }

    async fn fetch(
        &self,
        engine: &Arc<Engine>,
        key: &FileKey,
        context: &RequestContext,
    ) -> Result<Verdict, EngineError> {
        let first = self.verification.lock().take();
        let verification = first.unwrap_or_else(|| engine.verifier.begin(key, context));
        // Of a prefetch less is taken than of what is waited for.
        let bounded = context.fetch.priority.is_prefetch();
        let fetched = engine.fetch_zip(key, context, verification, &self.followed);
        fetched.await.map_err(|mut error| {
            error.bounded |= bounded;
            error
        })
    }

    fn begin_again(&self) -> bool {
        self.followed.begin_again()
    }

    fn failed(&self, error: EngineError) {
        self.followed.end(Err(error));
    }

    async fn publish(
        &self,
        engine: &Engine,
        key: FileKey,
        _: &RequestContext,
        mut verdict: Verdict,
    ) {
        verdict.stored &= engine.store.local().can_keep(&key);
        let verdict = Arc::new(verdict);
        self.followed.end(Ok(Arc::clone(&verdict)));
        let as_key = Key::File(key.clone());
        engine.negatives.forget(&as_key);
        engine.absences.appeared(&as_key).await;
        let staged = self.followed.staged();
        let Some(staged) = staged.filter(|staged| staged.can_be_kept()) else {
            engine.metrics.unkept.inc();
            engine.pin_alone(&key, &verdict.companions).await;
            return;
        };
        match engine
            .store
            .publish_staged(
                &key,
                &staged,
                &verdict.h1,
                &verdict.record,
                &verdict.companions,
            )
            .await
        {
            Ok(()) => engine.show_totals(),
            // The store says so.
            Err(_) => drop(engine.metrics.unkept.inc()),
        }
    }
}
