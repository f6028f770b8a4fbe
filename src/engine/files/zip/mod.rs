//! A zip in flight: it is staged on disk while it grows, followers read what has been written, and its last part is
//! released only once it has been verified.

mod check;
mod flight;
mod sink;

use std::sync::Arc;

use super::{Trial, too_many};
use crate::engine::Engine;
use crate::engine::answer::{Answer, CacheStatus, Content};
use crate::engine::error::EngineError;
use crate::engine::memory::CachedFile;
use crate::engine::vouch::Vouching;
use crate::errand::Errand;
use crate::flights::Place;
use crate::protocol::{FileKey, Key};
use crate::store::{self, BlobFile};
use crate::upstream::{Want, ZipStream};
use flight::{EndGuard, Verdict};
pub use flight::{Progress, ZipFlight};
use sink::SpoolSink;

/// The largest zip (`golang.org/x/mod/zip.MaxZipFile`). Bytes.
const MAX_ZIP: u64 = 524_288_000;

impl Engine {
    pub(super) async fn missed_zip(
        self: &Arc<Self>,
        key: &FileKey,
        errand: &Errand,
    ) -> Result<Answer, EngineError> {
        let flight = self.zip_flight(key, errand).ok_or_else(too_many)?;
        let mut progress = flight.follow();
        let (kept, end, from) = match progress.wait_for(Progress::may_begin).await {
            Ok(now) => (now.kept, now.end.clone(), now.from.clone()),
            Err(_) => return Err(EngineError::ours("the fetch ended unexpectedly")),
        };
        if kept && let Some(file) = self.kept(key).await? {
            return Ok(file.answer(CacheStatus::Hit, None));
        }
        match end {
            None => Ok(Answer {
                etag: None,
                verified: Some(flight.foresight().verified()),
                cache: CacheStatus::Miss {
                    stored: flight.spool().is_some_and(|spool| spool.can_be_kept())
                        && self.store.blobs().can_keep(key),
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
        errand: &Errand,
    ) -> Option<Arc<ZipFlight>> {
        self.zip_flights.join(key, &errand.priority, |place| {
            let vouching = self.voucher.begin(key, errand);
            let flight = ZipFlight::new(vouching.foresight());
            let (engine, key, following) = (Arc::clone(self), key.clone(), Arc::clone(&flight));
            let errand = errand.apart();
            let (slow, watched, on, seen) = (
                self.slow.clone(),
                key.clone(),
                errand.clone(),
                Arc::clone(&flight),
            );
            let work = async move {
                let flown = engine.fly_zip(key, errand, vouching, following, place);
                slow.watch(&watched, &on, || seen.look(), flown).await
            };
            (flight, work)
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

    /// The flight of a zip.
    async fn fly_zip(
        self: Arc<Self>,
        key: FileKey,
        errand: Errand,
        vouching: Vouching,
        flight: Arc<ZipFlight>,
        place: Place<FileKey, Arc<ZipFlight>>,
    ) {
        let guard = EndGuard(flight);
        let flight = &guard.0;
        // As with small files.
        if let Ok(Some(_)) = self.kept(&key).await {
            return flight.is_kept();
        }
        if let Some(error) = self.learned_meanwhile(&key, &errand) {
            place.leave();
            return flight.end(Err(error));
        }
        let prefetch = errand.priority.is_prefetch();
        let mut fetched = Box::pin(self.fetch_zip(&key, &errand, vouching, flight)).await;
        if prefetch && let Err(error) = &fetched {
            place.leave();
            match Trial::of(&errand, error) {
                Trial::Forget => return flight.end(Err(error.clone())),
                Trial::Again(errand) if flight.begin_again() => {
                    let vouching = self.voucher.begin(&key, &errand);
                    fetched = Box::pin(self.fetch_zip(&key, &errand, vouching, flight)).await;
                }
                Trial::Again(_) | Trial::Final => {}
            }
        }
        match fetched {
            Ok(mut verdict) => {
                verdict.stored &= self.store.blobs().can_keep(&key);
                let verdict = Arc::new(verdict);
                flight.end(Ok(Arc::clone(&verdict)));
                let as_key = Key::File(key.clone());
                self.negatives.forget(&as_key);
                self.absences.appeared(&as_key).await;
                let Some(spool) = flight.spool().filter(|spool| spool.can_be_kept()) else {
                    self.metrics.unkept.inc();
                    self.pin_alone(&key, &verdict.companions).await;
                    return;
                };
                match self
                    .store
                    .publish_spool(
                        &key,
                        &spool,
                        &verdict.h1,
                        &verdict.record,
                        &verdict.companions,
                    )
                    .await
                {
                    Ok(()) => self.show_totals(),
                    // As above.
                    Err(_) => drop(self.metrics.unkept.inc()),
                }
            }
            Err(mut error) => {
                // Of a prefetch less is taken than of what is waited for.
                error.too_large &= !prefetch;
                self.remember_no(&Key::File(key.clone()), &error);
                self.noted(&key, &error, &errand);
                place.leave();
                flight.end(Err(error));
            }
        }
    }

    async fn fetch_zip(
        &self,
        key: &FileKey,
        errand: &Errand,
        vouching: Vouching,
        flight: &Arc<ZipFlight>,
    ) -> Result<Verdict, EngineError> {
        let path = key.to_string();
        let want = Want {
            path: &path,
            module: Some(&key.module),
            first_byte: None,
            max: match errand.priority.is_prefetch() {
                true => self.prefetch.room().min(MAX_ZIP),
                false => MAX_ZIP,
            },
            max_of_strangers: MAX_ZIP,
            large: true,
            errand,
        };
        let sink = SpoolSink::new(Arc::clone(flight), Arc::clone(self.store.blobs()));
        let mut stream = ZipStream::new(sink, MAX_ZIP);
        let sources = self.sources_for(&key.module, errand).await;
        // What will be refused in the end need not be fetched to the end; but whether it exists is said first.
        let mut begun = flight.follow();
        if self.has_sibling(key).await {
            vouching.found();
        }
        let doomed = async {
            if begun.wait_for(|now| now.from.is_some()).await.is_err() {
                std::future::pending::<()>().await;
            }
            vouching.found();
            vouching.doomed().await
        };
        let what = key.describe();
        let from = tokio::select! {
            biased;
            from = sources.zip(&what, key, &want, &mut stream) => {
                self.judged(&key.module, &sources, from).await?
            }
            error = doomed => return Err(error),
        };
        check::check(key, flight, stream, vouching, &from, self.clock.now()).await
    }
}

/// The answer with a zip that has just landed.
fn whole(flight: &Arc<ZipFlight>, verdict: &Verdict) -> Result<Answer, EngineError> {
    let spool = flight
        .spool()
        .ok_or_else(|| EngineError::ours("nothing was written"))?;
    let file = BlobFile {
        file: Arc::clone(spool.file()),
        size: verdict.record.size,
    };
    let file = CachedFile::new(&verdict.record, store::Content::File(file), None);
    Ok(file.answer(
        CacheStatus::Miss {
            stored: verdict.stored,
        },
        Some(Arc::clone(&verdict.from)),
    ))
}
