//! What the flights of small files and of zips have in common: what is kept or known to be absent ends them at once, a
//! prefetch that somebody has come to wait for is tried once more, and a failure is for those only who are waiting.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::Engine;
use crate::engine::context::{FlightKey, RequestContext};
use crate::engine::error::{Class, EngineError};
use crate::engine::memory::CachedFile;
use crate::engine::origins::PATIENCE;
use crate::engine::slow::Look;
use crate::engine::turns::work;
use crate::flights::FlightEntry;
use crate::kit::{FetchContext, Turn};
use crate::protocol::{FileKey, Key};

/// A file in flight: how it is fetched, what its followers are told, and how it is kept.
pub(super) trait Flight: Send + Sync + 'static {
    /// What a fetch brings, verified.
    type Fetched: Send;

    /// For whoever wonders why it takes so long.
    fn look(&self) -> Look;

    /// It has been kept by another flight meanwhile.
    fn is_kept(&self, file: CachedFile);

    /// Fetches and verifies it.
    fn fetch(
        &self,
        engine: &Arc<Engine>,
        key: &FileKey,
        context: &RequestContext,
    ) -> impl Future<Output = Result<Self::Fetched, EngineError>> + Send;

    /// Back to nothing, for another try; false if anybody may have seen a part of it.
    fn begin_again(&self) -> bool;

    /// It has failed.
    fn failed(&self, error: EngineError);

    /// It is given out, and kept if there is room.
    fn publish(
        &self,
        engine: &Engine,
        key: FileKey,
        context: &RequestContext,
        fetched: Self::Fetched,
    ) -> impl Future<Output = ()> + Send;
}

/// What becomes of a fetch that began as a prefetch and has failed: such a one asks once and not everybody, so that need
/// not be the last word. Nobody can join it any more.
enum RetryDecision {
    /// Nobody waits for it.
    Forget,
    /// Somebody does: it is fetched as for anybody, within what is left of their time.
    Again(Box<RequestContext>),
    /// Asking again would not help.
    Final,
}

impl RetryDecision {
    /// With less than this left nothing can come of it.
    const LEAST: Duration = Duration::from_millis(500);

    fn of(context: &RequestContext, error: &EngineError) -> Self {
        let Some(since) = context.fetch.priority.raised_at() else {
            return RetryDecision::Forget;
        };
        let until = since + PATIENCE;
        // Its content would be the same.
        let is_judged = matches!(
            error.class(),
            Class::VerificationFailed | Class::UnknownToDatabase
        );
        if is_judged || until < Instant::now() + Self::LEAST {
            return RetryDecision::Final;
        }
        let fetch = FetchContext {
            deadline: Some(until),
            ..context.fetch.waited_for()
        };
        RetryDecision::Again(Box::new(RequestContext {
            fetch,
            ..context.clone()
        }))
    }
}

impl Engine {
    /// The work of a flight.
    pub(super) fn fly<F: Flight, P: Clone + Send + 'static>(
        self: &Arc<Self>,
        key: &FileKey,
        context: &RequestContext,
        place: FlightEntry<FlightKey<FileKey>, P>,
        flight: F,
        turn: Option<Turn>,
    ) -> impl Future<Output = ()> + Send + use<F, P> {
        self.turns.begun(work(context.flight(key)));
        let context = context.forked(place.waiting());
        let (engine, key) = (Arc::clone(self), key.clone());
        async move {
            let flown = engine.flown(&key, &context, place, &flight, turn);
            let look = || flight.look();
            engine.slow.watch(&key, &context.fetch, look, flown).await
        }
    }

    async fn flown<F: Flight, P>(
        self: &Arc<Self>,
        key: &FileKey,
        context: &RequestContext,
        place: FlightEntry<FlightKey<FileKey>, P>,
        flight: &F,
        turn: Option<Turn>,
    ) {
        // Another flight may have landed between this one's client's look at what is kept and its start.
        if let Ok(Some(file)) = self.kept(key, context).await {
            return flight.is_kept(file);
        }
        if let Some(error) = self.learned_meanwhile(key, context) {
            place.leave();
            return flight.failed(error);
        }
        let prefetch = context.fetch.priority.is_prefetch();
        // Boxed, here and below: what fetching needs is given back before keeping begins.
        let mut fetched = Box::pin(flight.fetch(self, key, context)).await;
        if prefetch && let Err(error) = &fetched {
            place.leave();
            match RetryDecision::of(context, error) {
                RetryDecision::Forget => return flight.failed(error.clone()),
                RetryDecision::Again(context) if flight.begin_again() => {
                    fetched = Box::pin(flight.fetch(self, key, &context)).await;
                }
                RetryDecision::Again(_) | RetryDecision::Final => {}
            }
        }
        // Keeping it is nobody's turn.
        drop(turn);
        match fetched {
            Ok(fetched) => flight.publish(self, key.clone(), context, fetched).await,
            Err(error) => {
                self.remember_no(&Key::File(key.clone()), &error, context);
                self.noted(key, &error, context);
                place.leave();
                flight.failed(error);
            }
        }
    }
}
