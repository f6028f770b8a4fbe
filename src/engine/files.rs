//! Immutable files: kept ones are answered from memory or disk, missing ones fetched, verified and kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::answer::{Answer, CacheStatus, Content, Mode};
use super::error::{Class, EngineError};
use super::hot::HotFile;
use super::slow::Look;
use super::sources::{PATIENCE, Sources};
use super::vouch::{Vouched, Vouching};
use super::zip::{self, EndGuard, SpoolSink, ZipFlight};
use super::{Engine, hex};
use crate::errand::Errand;
use crate::flights::{Outcome, Place, outcome};
use crate::gomod::dirhash::hash_go_mod;
use crate::gomod::{ModulePath, check};
use crate::policy::Course;
use crate::protocol::{FileKey, Key, Kind};
use crate::store::{self, Beside, BlobFile, FileRecord, Room};
use crate::upstream::{Fetched, Want, ZipStream};

/// Smaller files take less memory than what is needed to read them again. Bytes.
const WORTH_A_FILE: u64 = 1024;
/// How long an answer waits for the disk to take what was answered before it.
const PUBLISH_WAIT: Duration = Duration::from_secs(2);
/// The largest zip (`golang.org/x/mod/zip.MaxZipFile`). Bytes.
const MAX_ZIP: u64 = 524_288_000;
/// The largest go.mod (`golang.org/x/mod/zip.MaxGoMod`), and of a source that a stranger has named. Bytes.
const MAX_MOD: u64 = 16 << 20;
const MAX_MOD_OF_STRANGERS: u64 = 1 << 20;
/// The largest `.info` that makes sense, as above. Bytes.
pub(super) const MAX_INFO: u64 = 256 << 10;
pub(super) const MAX_INFO_OF_STRANGERS: u64 = 64 << 10;

/// What becomes of a fetch that began as a guess and has failed: such a one asks once and not everybody, so that need
/// not be the last word. Nobody can join it any more.
enum Trial {
    /// Nobody waits for it.
    Forget,
    /// Somebody does: it is fetched as for anybody, within what is left of their time.
    Again(Errand),
    /// Asking again would not help.
    Final,
}

impl Trial {
    /// With less than this left nothing can come of it.
    const LEAST: Duration = Duration::from_millis(500);

    fn of(errand: &Errand, error: &EngineError) -> Self {
        let Some(since) = errand.urgency.awaited_since() else {
            return Trial::Forget;
        };
        let until = since + PATIENCE;
        // Its content would be the same.
        let is_judged = matches!(error.class, Class::Rejected | Class::Unvouched);
        if is_judged || until < Instant::now() + Self::LEAST {
            return Trial::Final;
        }
        Trial::Again(Errand {
            until: Some(until),
            asked: errand.asked.clone(),
            request_id: errand.request_id.clone(),
            ..Errand::from(errand.via.clone())
        })
    }
}

/// A small file that has landed.
#[derive(Clone)]
pub(super) struct Landed {
    pub(super) file: HotFile,
    stored: bool,
    from: Arc<str>,
}

impl Engine {
    /// Answers for an immutable file.
    pub(super) async fn file(
        self: &Arc<Self>,
        key: &FileKey,
        mode: &Mode,
    ) -> Result<Answer, EngineError> {
        if let Some(file) = self.at_hand(key).await? {
            self.ahead_hit(key, mode);
            return Ok(file.answer(CacheStatus::Hit, None));
        }
        if mode.cached_only {
            return Err(not_kept(&what(key)));
        }
        let as_key = Key::File(key.clone());
        if let Some(error) = self.negatives.get_for(&as_key, mode.no_cache) {
            return Err(Self::from_negative(error));
        }
        self.ahead_missed(key, mode);
        let errand = mode.errand();
        let answer = match key.kind {
            Kind::Zip => {
                let asking = self.missed_zip(key, &errand);
                self.or_absent_file(key, asking).await?
            }
            Kind::Info | Kind::Mod => {
                let asking = self.missed_small(key, &errand);
                self.or_absent_file(key, asking).await?
            }
        };
        self.ahead_came(key, &answer.content, mode);
        Ok(answer)
    }

    /// What is in memory or kept.
    pub(super) async fn at_hand(&self, key: &FileKey) -> Result<Option<HotFile>, EngineError> {
        match self.hot.file(key) {
            Some(file) => Ok(Some(file)),
            None => self.kept(key).await,
        }
    }

    /// What is kept.
    async fn kept(&self, key: &FileKey) -> Result<Option<HotFile>, EngineError> {
        // A fault of the store is an error, not a miss: saying that a kept file is not there would send clients away.
        let epoch = self.epoch.load(Ordering::Acquire);
        let Some(kept) = self.store.file(key).await? else {
            return Ok(None);
        };
        if !self.voucher.allows(key, kept.record.verified) {
            return Ok(None);
        }
        let mut file = HotFile::from(&kept);
        if kept.record.size > WORTH_A_FILE
            && matches!(kept.content, store::Content::Bytes(_))
            && let Ok(Some(open)) = self.store.blobs().open(key).await
        {
            file.is_in(open);
        }
        // Open files only: a small one is kept ready by whoever asked, and need not be in memory twice.
        if matches!(kept.content, store::Content::File(_)) {
            self.put_hot(key, &file, epoch);
        }
        Ok(Some(file))
    }

    /// Keeps a file in memory, unless one has been taken back since `epoch`.
    fn put_hot(&self, key: &FileKey, file: &HotFile, epoch: u64) {
        self.hot.put_file(key.clone(), file.clone());
        // In this order: whoever takes it back moves the epoch on first, then removes it.
        if self.epoch.load(Ordering::Acquire) != epoch {
            self.hot.remove_file(key);
        }
    }

    async fn missed_small(
        self: &Arc<Self>,
        key: &FileKey,
        errand: &Errand,
    ) -> Result<Answer, EngineError> {
        let flight = self.small_flight(key, errand).ok_or_else(too_many)?;
        match outcome(flight).await {
            Some(Ok(landed)) => Ok(landed.file.answer(
                CacheStatus::Miss {
                    stored: landed.stored,
                },
                Some(landed.from).filter(|from| !from.is_empty()),
            )),
            Some(Err(error)) if key.kind == Kind::Info && error.is_fault() => {
                self.stand_in(key, error).await
            }
            Some(Err(error)) => Err(error),
            None => Err(EngineError::ours("the fetch ended unexpectedly")),
        }
    }

    /// The flight of an `.info` or `.mod`; none if there are too many.
    pub(super) fn small_flight(
        self: &Arc<Self>,
        key: &FileKey,
        errand: &Errand,
    ) -> Option<Outcome<Result<Landed, EngineError>>> {
        self.small_flights.join(key, &errand.urgency, |place| {
            let (sender, receiver) = watch::channel(None);
            let (engine, key, errand) = (Arc::clone(self), key.clone(), errand.apart());
            let (slow, watched, on, seen) = (
                self.slow.clone(),
                key.clone(),
                errand.clone(),
                sender.clone(),
            );
            (receiver, async move {
                // Those who can join hold one themselves.
                let look = || Look {
                    waiting: seen.receiver_count().saturating_sub(1),
                    received: None,
                };
                let flown = engine.fly_small(key, errand, place, sender);
                slow.watch(&watched, &on, look, flown).await
            })
        })
    }

    /// Nobody can be asked for this `.info`; but a branch or `@latest` once resolved to this version, and what was
    /// said then is what `go` itself would have kept.
    async fn stand_in(&self, key: &FileKey, error: EngineError) -> Result<Answer, EngineError> {
        let Some(record) = self.store.stand_in(key).await? else {
            return Err(error);
        };
        tracing::warn!(file = %key, %error, "answered with what a query said of this version");
        let age = self.clock.now().since(record.fetched);
        Ok(Answer {
            content: Content::Bytes(record.body.into()),
            etag: None,
            verified: Some(store::Verified::None),
            cache: CacheStatus::Stale(age.as_secs()),
            age: Some(age),
            from: None,
            lease: None,
            file: None,
        })
    }

    /// The flight of an `.info` or `.mod`: followers are answered once it is verified, keeping it goes on beside.
    async fn fly_small(
        self: Arc<Self>,
        key: FileKey,
        errand: Errand,
        place: Place<FileKey, Outcome<Result<Landed, EngineError>>>,
        landed: watch::Sender<Option<Result<Landed, EngineError>>>,
    ) {
        // Another flight may have landed between this one's client's look at what is kept and its start.
        if let Ok(Some(file)) = self.kept(&key).await {
            let from = Arc::from("");
            landed.send_replace(Some(Ok(Landed {
                file,
                stored: true,
                from,
            })));
            return;
        }
        if let Some(error) = self.learned_meanwhile(&key, &errand) {
            place.leave();
            landed.send_replace(Some(Err(error)));
            return;
        }
        let guess = errand.urgency.is_guess();
        // Boxed, here and below: what fetching needs is given back before keeping begins.
        let mut fetched = Box::pin(self.fetch_small(&key, &errand)).await;
        if guess && let Err(error) = &fetched {
            place.leave();
            match Trial::of(&errand, error) {
                Trial::Forget => {
                    landed.send_replace(fetched.err().map(Err));
                    return;
                }
                Trial::Again(errand) => {
                    fetched = Box::pin(self.fetch_small(&key, &errand)).await;
                }
                Trial::Final => {}
            }
        }
        match fetched {
            Ok((body, record, beside, from)) => {
                let epoch = self.epoch.load(Ordering::Acquire);
                let file = HotFile::new(&record, store::Content::Bytes(body.clone()));
                // A disk that cannot keep up slows the answers down, for a moment; then they go out unkept.
                let place = timeout(PUBLISH_WAIT, self.publishing.acquire()).await;
                let mut keep = place.is_ok() && self.store.blobs().room() == Room::Enough;
                if keep && body.len() as u64 > store::SMALL {
                    // From the file it takes no memory, however slowly it is read.
                    match self.publish_first(&key, &body, &record, &beside).await {
                        Some(file) => {
                            self.has_appeared(&key);
                            landed.send_replace(Some(Ok(Landed {
                                file,
                                stored: true,
                                from,
                            })));
                            return self.absences.appeared(&Key::File(key)).await;
                        }
                        None => keep = false,
                    }
                }
                self.has_appeared(&key);
                let stored = keep && self.store.blobs().can_keep(&key);
                landed.send_replace(Some(Ok(Landed {
                    file: file.clone(),
                    stored,
                    from,
                })));
                self.absences.appeared(&Key::File(key.clone())).await;
                if !keep {
                    self.metrics.unkept.inc();
                    self.pin_alone(&key, &beside).await;
                    return;
                }
                match self.store.publish_bytes(&key, body, &record, &beside).await {
                    Ok(()) => {
                        self.show_totals();
                        self.put_hot(&key, &file, epoch);
                    }
                    // The store says so.
                    Err(_) => drop(self.metrics.unkept.inc()),
                }
            }
            Err(error) => {
                self.remember_no(&Key::File(key.clone()), &error);
                self.noted(&key, &error, &errand);
                place.leave();
                landed.send_replace(Some(Err(error)));
            }
        }
    }

    /// Keeps a file before it is given out; none if that does not work.
    async fn publish_first(
        &self,
        key: &FileKey,
        body: &Bytes,
        record: &FileRecord,
        beside: &Beside,
    ) -> Option<HotFile> {
        let put = self.store.publish_bytes(key, body.clone(), record, beside);
        match put.await {
            Ok(()) => self.show_totals(),
            // The store says so.
            Err(_) => return None,
        }
        self.kept(key).await.ok().flatten()
    }

    /// What a flight has ended with between a client's look at what is remembered and the start of its own.
    fn learned_meanwhile(&self, key: &FileKey, errand: &Errand) -> Option<EngineError> {
        let error = (!errand.anew).then(|| self.negatives.get(&Key::File(key.clone())));
        error.flatten().map(Self::from_negative)
    }

    /// A small file has come: what is in memory against it holds no more. Before anybody is told, who may ask for the
    /// list next.
    fn has_appeared(&self, key: &FileKey) {
        self.negatives.forget(&Key::File(key.clone()));
        if key.kind == Kind::Info {
            self.negatives.version_exists(key);
            self.outdate_list(key);
        }
    }

    async fn fetch_small(
        self: &Arc<Self>,
        key: &FileKey,
        errand: &Errand,
    ) -> Result<(Bytes, FileRecord, Beside, Arc<str>), EngineError> {
        let path = key.to_string();
        let vouching = (key.kind == Kind::Mod).then(|| self.voucher.begin(key, errand));
        if let Some(vouching) = &vouching
            && self.has_sibling(key).await
        {
            vouching.found();
        }
        let (max, max_of_strangers) = match key.kind {
            Kind::Mod => (MAX_MOD, MAX_MOD_OF_STRANGERS),
            Kind::Info | Kind::Zip => (MAX_INFO, MAX_INFO_OF_STRANGERS),
        };
        let want = Want {
            path: &path,
            module: Some(&key.module),
            first_byte: None,
            max,
            max_of_strangers,
            large: false,
            errand,
        };
        let check = |body: &Bytes| match key.kind {
            Kind::Info => check::info(&key.version, body),
            Kind::Mod | Kind::Zip => check::go_mod(&key.module, body),
        };
        let sources = self.sources_for(&key.module, errand).await;
        let keep_body = |body: &Bytes| check(body).map(|()| body.clone());
        let as_key = Key::File(key.clone());
        let found = sources
            .small(&what(key), &as_key, &want, None, &keep_body)
            .await;
        let (fetched, from) = self.judged(&key.module, &sources, found).await?;
        let Fetched::New(body, _) = fetched else {
            return Err(EngineError::ours(
                "not modified, although nothing was known",
            ));
        };
        if key.kind == Kind::Mod {
            self.ahead_arrived(key, &body);
        }
        let h1 = (key.kind == Kind::Mod).then(|| hash_go_mod(&body));
        let vouched = match (vouching, &h1) {
            (Some(vouching), Some(h1)) => vouching.verdict(h1, &from).await?,
            _ => Vouched {
                verified: store::Verified::None,
                by: None,
                beside: Beside::default(),
            },
        };
        let record = FileRecord {
            size: body.len() as u64,
            sha256: hex(&Sha256::digest(&body)),
            h1: h1.map(|h1| h1.to_string()),
            from: from.to_string(),
            seen: self.clock.now(),
            verified: vouched.verified,
            by: vouched.by,
        };
        Ok((body, record, vouched.beside, from))
    }

    async fn missed_zip(
        self: &Arc<Self>,
        key: &FileKey,
        errand: &Errand,
    ) -> Result<Answer, EngineError> {
        let flight = self.zip_flight(key, errand).ok_or_else(too_many)?;
        let mut progress = flight.follow();
        let (kept, end, from) = match progress.wait_for(zip::Progress::may_begin).await {
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
                age: None,
                from,
                lease: None,
                file: None,
                content: Content::Growing(flight),
            }),
            Some(Err(error)) => Err(error),
            Some(Ok(verdict)) => whole(&flight, &verdict),
        }
    }

    /// The flight of a zip; none if there are too many.
    pub(super) fn zip_flight(
        self: &Arc<Self>,
        key: &FileKey,
        errand: &Errand,
    ) -> Option<Arc<ZipFlight>> {
        self.zip_flights.join(key, &errand.urgency, |place| {
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
        let guess = errand.urgency.is_guess();
        let mut fetched = Box::pin(self.fetch_zip(&key, &errand, vouching, flight)).await;
        if guess && let Err(error) = &fetched {
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
                    self.pin_alone(&key, &verdict.beside).await;
                    return;
                };
                match self
                    .store
                    .publish_spool(&key, &spool, &verdict.h1, &verdict.record, &verdict.beside)
                    .await
                {
                    Ok(()) => self.show_totals(),
                    // As above.
                    Err(_) => drop(self.metrics.unkept.inc()),
                }
            }
            Err(mut error) => {
                // Of a guess less is taken than of what is waited for.
                error.too_large &= !guess;
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
    ) -> Result<zip::Verdict, EngineError> {
        let path = key.to_string();
        let want = Want {
            path: &path,
            module: Some(&key.module),
            first_byte: None,
            max: match errand.urgency.is_guess() {
                true => self.ahead.room().min(MAX_ZIP),
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
        let what = what(key);
        let from = tokio::select! {
            biased;
            from = sources.zip(&what, key, &want, &mut stream) => {
                self.judged(&key.module, &sources, from).await?
            }
            error = doomed => return Err(error),
        };
        zip::check(key, flight, stream, vouching, &from, self.clock.now()).await
    }

    /// Whether another file of the version is kept: then it exists.
    async fn has_sibling(&self, key: &FileKey) -> bool {
        for kind in [Kind::Info, Kind::Mod, Kind::Zip] {
            if kind == key.kind {
                continue;
            }
            let sibling = key.sibling(kind);
            if self.hot.file(&sibling).is_some()
                || matches!(self.store.record(&sibling).await, Ok(Some(_)))
            {
                return true;
            }
        }
        false
    }

    /// Where a module comes from; a guess at a public one goes to no repository.
    async fn sources_for(&self, module: &ModulePath, errand: &Errand) -> Sources {
        let sources = self.sources_of(module).await;
        let is_public = self.policy.course(module) == Course::Upstream;
        match errand.urgency.is_guess() && is_public {
            true => sources.proxies_only(),
            false => sources,
        }
    }

    /// What is not kept is held to what it was all the same.
    async fn pin_alone(&self, key: &FileKey, beside: &Beside) {
        let Some(pin) = &beside.pin else { return };
        let Err(error) = self.store.put_pin(key, pin).await else {
            return;
        };
        match self.store.blobs().room() {
            // What a full disk means is said once, when it is full.
            Room::Low => {
                tracing::debug!(file = %key, %error, "the first-seen checksum is not recorded")
            }
            Room::Enough => {
                tracing::error!(file = %key, %error, "the first-seen checksum of a file that was served could not be recorded")
            }
        }
    }

    /// Counts and logs a fetch that failed.
    fn noted(&self, key: &FileKey, error: &EngineError, errand: &Errand) {
        // Of whoever came first; others may wait as well.
        let request_id = errand.request_id.as_deref();
        match error.class {
            Class::Unvouched => {
                self.metrics.rejected.inc();
                tracing::warn!(file = %key, %error, request_id, "refused: no checksum database knows it");
            }
            Class::Rejected => {
                self.metrics.rejected.inc();
                tracing::error!(file = %key, %error, upstream = error.upstream, request_id, "a fetched file failed verification");
            }
            Class::Absent { .. } | Class::Refused => {
                tracing::debug!(file = %key, %error, request_id, "not to be had")
            }
            _ => tracing::warn!(file = %key, %error, request_id, "a fetch failed"),
        }
    }

    /// Shows in the metrics how much is kept, once that is known.
    pub fn show_totals(&self) {
        let Some(totals) = self.store.totals() else {
            return;
        };
        let shown = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.files.set(shown(totals.files));
        self.metrics.bytes.set(shown(totals.bytes));
        self.metrics.unsettled.set(shown(totals.unsettled));
    }
}

/// The answer with a zip that has just landed.
fn whole(flight: &Arc<ZipFlight>, verdict: &zip::Verdict) -> Result<Answer, EngineError> {
    let spool = flight
        .spool()
        .ok_or_else(|| EngineError::ours("nothing was written"))?;
    let file = BlobFile {
        file: Arc::clone(spool.file()),
        size: verdict.record.size,
    };
    let ready = HotFile::new(&verdict.record, store::Content::File(file));
    Ok(ready.answer(
        CacheStatus::Miss {
            stored: verdict.stored,
        },
        Some(Arc::clone(&verdict.from)),
    ))
}

pub(super) fn too_many() -> EngineError {
    tracing::warn!(
        "a miss was refused: as many fetches as may be are under way (store.max_flights, store.max_zip_flights)"
    );
    let mut error = EngineError::new(
        Class::Overloaded,
        "larder is fetching as much as it may already",
    )
    .and("What is kept here goes on being served. Try again in a moment.");
    error.retry_after = Some(Duration::from_secs(2));
    error
}

pub(super) fn not_kept(what: &str) -> EngineError {
    let mut error = EngineError::absent(format!(
        "not found: {what} is not kept here, and this request asked not to fetch it"
    ));
    // It is true for this request only.
    error.passing = true;
    error.without_asking()
}

/// A file, for people.
pub(super) fn what(key: &FileKey) -> String {
    match key.kind {
        Kind::Info => format!("{}@{}", key.module, key.version),
        Kind::Mod => format!("{}@{}/go.mod", key.module, key.version),
        Kind::Zip => format!("{}@{} (zip)", key.module, key.version),
    }
}
