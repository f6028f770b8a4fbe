//! Answers that change: lists, `@latest`, queries. Fresh ones are answered at once, old ones asked for again while the
//! client waits a moment, and an old copy is the answer whenever nobody says that the thing does not exist.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Engine;
use super::answer::{Answer, CacheStatus, Mode};
use super::error::{Class, EngineError};
use super::fetched::MetaOutcome;
use super::latest::Derivation;
use super::memory::CachedMetadata;
use super::origins::{FetchRequest, Known, Revalidation};
use super::slow::Look;
use super::validity::Validity;
use crate::clock::Timestamp;
use crate::errand::Errand;
use crate::flights::{Outcome, Place, outcome};
use crate::gomod::{Version, info};
use crate::protocol::{CheckedBody, FileKey, Key, Kind, Meta, MetaKey};
use crate::store::{LocalFile, MetaRecord, Room, SMALL};
use crate::upstream::Validators;

/// A query's answer is a line or two; a larger one is given out, but not kept. Bytes.
const MAX_KEPT_QUERY: u64 = 8 << 10;
/// Queries of one module that are kept.
const MAX_QUERIES: usize = 512;

/// However many questions an answer is derived from, it is there within this.
const WHOLE: Duration = Duration::from_secs(43);

/// When somebody asked, and what was known then.
#[derive(Clone, Copy)]
struct Asked {
    at: Timestamp,
    validity: Validity,
}

impl Engine {
    /// Answers for something that changes.
    pub(super) async fn meta(
        self: &Arc<Self>,
        key: &MetaKey,
        mode: &Mode,
    ) -> Result<Answer, EngineError> {
        let asked = self.asked(key);
        let kept = self.kept_meta(key).await?;
        if mode.cached_only {
            let kept = kept.ok_or_else(|| EngineError::not_kept(&key.describe()))?;
            return Ok(self.kept_answer(&kept));
        }
        let known_no = self
            .negatives
            .get_for(&Key::Meta(key.clone()), mode.no_cache);
        if !mode.no_cache || known_no.is_some() {
            if let Some(error) = known_no {
                // Only "it does not exist" goes before a kept copy.
                return match kept.filter(|_| !error.is_absent()) {
                    Some(kept) if self.is_fresh(&kept) => {
                        Ok(self.answer(&kept, CacheStatus::Hit, None))
                    }
                    Some(kept) => Ok(self.stale(key, &kept, &error.to_string())),
                    None => Err(Self::from_negative(error)),
                };
            }
            if let Some(kept) = kept.as_ref().filter(|kept| self.is_fresh(kept)) {
                let mut answer = self.answer(kept, CacheStatus::Hit, None);
                // It is counted often enough to be asked for again in time.
                if self.recent.asked(key, kept.record.fetched) {
                    answer.validity = Some(kept.validity);
                }
                return Ok(answer);
            }
        }
        let stored = self.store.keeps();
        let cache = match (&kept, mode.no_cache) {
            (_, true) => CacheStatus::Forced { stored },
            (Some(_), false) => CacheStatus::Refreshed { stored },
            (None, false) => CacheStatus::Miss { stored },
        };
        if mode.no_cache {
            self.outwait(key).await;
        }
        let since = (!mode.no_cache).then_some(asked.at);
        let flight = self.ask_again(key, mode.errand(), since);
        let landed = match (flight, &kept) {
            (None, _) => Some(Err(EngineError::too_many())),
            (Some(flight), Some(kept)) if !mode.no_cache => {
                let landing = self.landing(key, mode.errand(), asked, flight);
                match timeout(self.settings.refresh_wait, landing).await {
                    Ok(landed) => landed,
                    // It goes on without this client.
                    Err(_) => {
                        return Ok(self.stale(key, kept, "the refresh takes longer than a moment"));
                    }
                }
            }
            (Some(flight), Some(_)) => outcome(flight).await,
            (Some(flight), None) => {
                let wait = (!mode.no_cache).then_some(self.settings.refresh_wait);
                let landing = self.landing(key, mode.errand(), asked, flight);
                Some(self.new_answer(key, wait, landing).await)
            }
        };
        match (landed, kept) {
            // Derived from something that is itself past its time.
            (Some(Ok(record)), _) if asked.at.since(record.record.fetched) > self.settings.ttl => {
                Ok(self.stale(key, &record, "derived from a stale list"))
            }
            (Some(Ok(record)), _) => {
                self.prefetch.listed(key, mode.prefetches_for());
                let from = Arc::from(record.record.from.as_str());
                Ok(self.answer(&record, cache, Some(from)))
            }
            (Some(Err(error)), _) if error.is_denied() => Err(error),
            (Some(Err(error)), Some(kept)) => Ok(self.stale(key, &kept, &error.to_string())),
            (Some(Err(error)), None) => Err(error),
            (None, Some(kept)) => Ok(self.stale(key, &kept, "the fetch ended unexpectedly")),
            (None, None) => Err(EngineError::ours("the fetch ended unexpectedly")),
        }
    }

    /// For whoever asks now.
    fn asked(&self, key: &MetaKey) -> Asked {
        Asked {
            at: self.clock.now(),
            validity: self.validities.of(key),
        }
    }

    /// The outcome of a flight that may have begun before this client asked: what has been outdated between the two is
    /// not what it wants, and is asked for anew.
    async fn landing(
        self: &Arc<Self>,
        key: &MetaKey,
        errand: Errand,
        asked: Asked,
        flight: Outcome<MetaOutcome>,
    ) -> Option<MetaOutcome> {
        match outcome(flight).await {
            Some(Ok(meta)) if meta.validity.is_before(&asked.validity) => {
                self.outwait(key).await;
                match self.ask_again(key, errand, Some(asked.at)) {
                    Some(flight) => outcome(flight).await,
                    None => Some(Err(EngineError::too_many())),
                }
            }
            landed => landed,
        }
    }

    /// The outcome for whoever has nothing older.
    async fn new_answer(
        &self,
        key: &MetaKey,
        wait: Option<Duration>,
        landing: impl Future<Output = Option<MetaOutcome>>,
    ) -> MetaOutcome {
        let asking = async {
            let landed = landing.await;
            landed.unwrap_or_else(|| Err(EngineError::ours("the fetch ended unexpectedly")))
        };
        self.or_absence(&Key::Meta(key.clone()), wait, asking).await
    }

    /// Waits until a flight that is under way has ended: it may have its answer from before this client asked.
    async fn outwait(&self, key: &MetaKey) {
        if let Some(mut flight) = self.meta_flights.get(key) {
            // It leaves its place before it lets go of the other end.
            while flight.changed().await.is_ok() {}
        }
    }

    /// The current record, for other parts of the engine: asked for if it is not fresh, an old one if need be.
    pub(super) async fn record(self: &Arc<Self>, key: &MetaKey, errand: Errand) -> MetaOutcome {
        let asked = self.asked(key);
        let kept = self.kept_meta(key).await?;
        if let Some(kept) = kept.as_ref().filter(|kept| self.is_fresh(kept)) {
            return Ok(kept.clone());
        }
        if let Some(error) = self.negatives.get(&Key::Meta(key.clone())) {
            return kept.filter(|_| !error.is_absent()).ok_or(error);
        }
        let flight = self.ask_again(key, errand.clone(), Some(asked.at));
        let landing = flight.map(|flight| self.landing(key, errand, asked, flight));
        let landed = match landing {
            // With an old copy at hand, a moment is enough.
            Some(landing) if kept.is_some() => timeout(self.settings.refresh_wait, landing)
                .await
                .unwrap_or(None),
            Some(landing) => {
                let wait = Some(self.settings.refresh_wait);
                Some(self.new_answer(key, wait, landing).await)
            }
            None => Some(Err(EngineError::too_many())),
        };
        match (landed, kept) {
            (Some(Ok(record)), _) => Ok(record),
            (Some(Err(error)), None) => Err(error),
            (Some(Err(error)), Some(_)) if error.is_denied() => Err(error),
            (_, Some(kept)) => Ok(kept),
            (None, None) => Err(EngineError::ours("the fetch ended unexpectedly")),
        }
    }

    /// The last answer that is known, of whatever age.
    pub(super) async fn kept_meta(
        &self,
        key: &MetaKey,
    ) -> Result<Option<CachedMetadata>, EngineError> {
        let validity = self.validities.of(key);
        if let Some(meta) = self.memory.metadata(key) {
            return Ok(Some(meta));
        }
        let Some(record) = self.store.metadata(key).await? else {
            return Ok(None);
        };
        let validity = validity.until(self.gets_old(&record));
        let meta = match &record.file {
            None => CachedMetadata::new(record, None, validity),
            Some(named) => match self.store.list(&key.module, named)? {
                Some(file) => CachedMetadata::in_file(record, file, validity),
                None => {
                    tracing::warn!(module = %key.module, "a list's file is not there any more, or not whole; asking again");
                    return Ok(None);
                }
            },
        };
        Ok(Some(self.memory.put_read(key, meta)))
    }

    /// What is served of a list, as text.
    pub(super) async fn list_text(&self, list: &CachedMetadata) -> Result<String, EngineError> {
        let Some(file) = &list.file else {
            return Ok(list.record.body.clone());
        };
        let text = self.store.read_whole(file).await?;
        String::from_utf8(text.into()).map_err(|_| EngineError::ours("a list that is not text"))
    }

    /// A version exists: a list that does not have it is past its time, whatever its age. So is one that is not in
    /// memory, where copies of it may be given or read just now.
    pub(super) fn outdate_list(&self, version: &FileKey) {
        if version.version.is_pseudo() {
            return;
        }
        let list = MetaKey {
            module: version.module.clone(),
            meta: Meta::List,
        };
        // In this order: a list that is on its way looks at these first, then takes its place.
        self.appeared.note(version);
        let kept = self.memory.metadata(&list);
        if !kept.is_some_and(|kept| kept.lists(&version.version)) {
            self.validities.end(&list);
        }
    }

    fn is_fresh(&self, meta: &CachedMetadata) -> bool {
        self.validities.holds(&meta.validity, || self.clock.now())
    }

    /// When a record is not fresh any more, if nothing outdates it before.
    fn gets_old(&self, record: &MetaRecord) -> Timestamp {
        let ttl = u64::try_from(self.settings.ttl.as_millis()).unwrap_or(u64::MAX);
        Timestamp(record.fetched.0.saturating_add(ttl))
    }

    /// Joins or starts a flight that asks for it, kept or not; but what has landed `since` then is new enough.
    pub(super) fn ask_again(
        self: &Arc<Self>,
        key: &MetaKey,
        errand: Errand,
        since: Option<Timestamp>,
    ) -> Option<Outcome<MetaOutcome>> {
        self.meta_flights.join(key, &errand.priority, |place| {
            let (sender, receiver) = watch::channel(None);
            let (engine, key) = (Arc::clone(self), key.clone());
            let errand = errand.apart();
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
                let flown = engine.fly_meta(key, errand, since, place, sender);
                slow.watch(&watched, &on, look, flown).await
            })
        })
    }

    async fn fly_meta(
        self: Arc<Self>,
        key: MetaKey,
        errand: Errand,
        since: Option<Timestamp>,
        place: Place<MetaKey, Outcome<MetaOutcome>>,
        landed: watch::Sender<Option<MetaOutcome>>,
    ) {
        let begun = Begun {
            validity: self.validities.of(&key),
            appeared: self.appeared.count(),
        };
        // Another flight may have landed between this one's client's look at what is kept and its start.
        let new = |meta: &CachedMetadata| {
            since.is_some_and(|since| meta.record.fetched >= since)
                && self.validities.is_current(&meta.validity)
        };
        if let Some(meta) = self.memory.metadata(&key).filter(new) {
            place.leave();
            landed.send_replace(Some(Ok(meta)));
            return;
        }
        let as_key = Key::Meta(key.clone());
        if since.is_some()
            && let Some(error) = self.negatives.get(&as_key)
        {
            place.leave();
            landed.send_replace(Some(Err(Self::from_negative(error))));
            return;
        }
        // A repository may have to be fetched first.
        let patience = self.chain_of(&key.module).await.patience();
        let whole = patience.map_or(WHOLE, |patience| WHOLE.max(patience));
        let request_id = errand.request_id.clone();
        let fetched = timeout(whole, Box::pin(self.fetch_meta(&key, errand))).await;
        match fetched.unwrap_or_else(|_| Err(too_slow(&key))) {
            Ok(fresh) => {
                let before = self.memory.metadata(&key);
                let meta = self.made_ready(&key, fresh, begun).await;
                let meta = self.memory.put_fetched(&key, meta);
                self.negatives.forget(&as_key);
                landed.send_replace(Some(Ok(meta.clone())));
                self.absences.appeared(&as_key).await;
                let changed = before.is_none_or(|before| before.etag != meta.etag);
                self.keep_meta(&key, &meta.record, changed).await;
                place.leave();
            }
            Err(error) => {
                self.remember_no(&as_key, &error);
                if error.is_denied() {
                    self.validities.end(&key);
                }
                if !error.is_absent() {
                    let request_id = request_id.as_deref();
                    tracing::debug!(resource = %key, %error, request_id, "asking failed");
                }
                place.leave();
                landed.send_replace(Some(Err(error)));
            }
        }
    }

    /// As it is served, with how long it will be. A large list goes into its file first: from there it takes no memory,
    /// however many there are and however slowly they are read, and the index keeps small values only.
    async fn made_ready(&self, key: &MetaKey, fresh: Fresh, begun: Begun) -> CachedMetadata {
        let until = self.gets_old(&fresh.record);
        let mut meta = self.in_its_place(key, fresh, begun.validity).await;
        // What has appeared meanwhile outdates a list only if it lacks it.
        let now = self.validities.of(key);
        let lists = |version: &Version| meta.lists(version);
        if key.meta != Meta::List || (self.appeared).all_since(begun.appeared, &key.module, lists) {
            meta.validity = now;
        }
        meta.validity = meta.validity.until(until);
        meta
    }

    async fn in_its_place(
        &self,
        key: &MetaKey,
        fresh: Fresh,
        validity: Validity,
    ) -> CachedMetadata {
        let Fresh { record, from } = fresh;
        if let Some(file) = from.file {
            return CachedMetadata::in_file(record, file, validity);
        }
        if record.body.len() as u64 <= SMALL {
            return CachedMetadata::new(record, None, validity);
        }
        if key.meta != Meta::List || self.store.local().room() == Room::Low {
            return CachedMetadata::new(record, from.body, validity);
        }
        let body = Bytes::copy_from_slice(record.body.as_bytes());
        match self.store.put_list(&key.module, body).await {
            Ok(Some((named, file))) => {
                let record = MetaRecord {
                    body: String::new(),
                    file: Some(named),
                    ..record
                };
                CachedMetadata::in_file(record, file, validity)
            }
            Ok(None) => CachedMetadata::new(record, from.body, validity),
            Err(error) => {
                tracing::error!(module = %key.module, %error, "a list could not be kept; it was served all the same");
                CachedMetadata::new(record, from.body, validity)
            }
        }
    }

    /// Keeps an answer, where there is room.
    async fn keep_meta(&self, key: &MetaKey, record: &MetaRecord, changed: bool) {
        if self.store.local().room() == Room::Low {
            // The index, too, must not run into a full disk.
            self.metrics.unkept.inc();
            return;
        }
        let resolved = match key.meta {
            Meta::List => None,
            Meta::Latest | Meta::Query(_) => info::parse_info(record.body.as_bytes()).ok(),
        };
        let most = match resolved {
            Some(_) => MAX_KEPT_QUERY,
            None => SMALL,
        };
        if record.body.len() as u64 > most {
            self.metrics.unkept.inc();
            return;
        }
        let kept = match resolved {
            Some(info) => {
                self.make_room(key).await;
                let file = FileKey {
                    module: key.module.clone(),
                    version: info.version,
                    kind: Kind::Info,
                };
                self.store.put_query(key, record, &file).await
            }
            None => self.store.put_metadata(key, record).await,
        };
        if kept.is_err() {
            // The store says so.
            self.metrics.unkept.inc();
            return;
        }
        if key.meta == Meta::List && changed && record.file.is_none() {
            let body = Bytes::copy_from_slice(record.body.as_bytes());
            // Only for use of the folder as GOPROXY=file://…; the index has it.
            if let Err(error) = self.store.write_list(&key.module, body).await {
                tracing::warn!(module = %key.module, %error, "the list beside the files could not be written");
            }
        }
    }

    /// Before another query of a module is kept: anybody can ask for any number, such as every abbreviation of a commit.
    async fn make_room(&self, key: &MetaKey) {
        if matches!(key.meta, Meta::Query(_)) && matches!(self.store.metadata(key).await, Ok(None))
        {
            let _one_at_a_time = self.tidying.acquire().await;
            if let Err(error) = self.store.tidy_queries(&key.module, MAX_QUERIES).await {
                tracing::error!(module = %key.module, %error, "old queries could not be removed");
            }
        }
    }

    async fn fetch_meta(
        self: &Arc<Self>,
        key: &MetaKey,
        errand: Errand,
    ) -> Result<Fresh, EngineError> {
        let derivation = |errand| Derivation {
            engine: self,
            module: &key.module,
            errand,
            kept_only: false,
        };
        let (asked, series) = match &key.meta {
            Meta::List => return self.fetch(key, &errand).await,
            Meta::Query(name) => match name.prefix() {
                None => return self.fetch(key, &errand).await,
                series => (
                    derivation(errand.clone())
                        .run(key, series)
                        .await
                        .map(Fresh::from),
                    series,
                ),
            },
            Meta::Latest => match self.fetch(key, &errand).await {
                Err(error) if error.is_denied() => {
                    let derived = derivation(errand.clone()).run(key, None).await;
                    match derived {
                        // Why it was not found in the first place says more.
                        Err(derived) if derived.is_absent() && derived.stale.is_none() => {
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
            Err(error) if !error.is_denied() && self.kept_meta(key).await?.is_none() => {
                let derivation = Derivation {
                    kept_only: true,
                    ..derivation(errand)
                };
                let derived = derivation.run(key, series).await;
                derived.map(Fresh::from).map_err(|_| error)
            }
            asked => asked,
        }
    }

    /// Asks the origins; what is kept stays if its origin says that it has not changed.
    async fn fetch(&self, key: &MetaKey, errand: &Errand) -> Result<Fresh, EngineError> {
        let as_key = Key::Meta(key.clone());
        let request = FetchRequest::new(&as_key, errand);
        let chain = self.chain_of(&key.module).await;
        let kept = self.kept_meta(key).await?;
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
    fn kept_answer(&self, meta: &CachedMetadata) -> Answer {
        let cache = match self.is_fresh(meta) {
            true => CacheStatus::Hit,
            false => CacheStatus::Stale(self.age(meta).saturating_sub(self.settings.ttl).as_secs()),
        };
        self.answer(meta, cache, None)
    }

    fn stale(&self, key: &MetaKey, meta: &CachedMetadata, why: &str) -> Answer {
        let age = self.age(meta);
        tracing::warn!(resource = %key, why, age = age.as_secs(), "answered with a stale copy");
        let over = age.saturating_sub(self.settings.ttl);
        self.answer(meta, CacheStatus::Stale(over.as_secs()), None)
    }
}

fn too_slow(key: &MetaKey) -> EngineError {
    let what = key.describe();
    EngineError::new(
        Class::Timeout,
        format!("{what}: what it is derived from did not come in time"),
    )
    .and("Try again in a moment.")
}

/// What was known when a flight began.
#[derive(Clone, Copy)]
struct Begun {
    validity: Validity,
    /// How many versions had appeared.
    appeared: u64,
}

/// A changing answer that has just come.
struct Fresh {
    record: MetaRecord,
    from: Material,
}

/// What a record is made of, or names.
#[derive(Default)]
struct Material {
    /// What was fetched. It is held on to, since that holds the room for it.
    body: Option<Bytes>,
    /// It is kept already.
    file: Option<LocalFile>,
}

impl From<MetaRecord> for Fresh {
    fn from(record: MetaRecord) -> Self {
        Fresh {
            record,
            from: Material::default(),
        }
    }
}
