//! One checksum database: verified look-ups, one growing history, and what a relay may answer (protocol.md 4.5, 4.6).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use super::alarm::{Alarm, AlarmKind};
use super::error::{SumdbError, both};
use super::head::Head;
use super::key::VerifierKey;
use super::merkle::{Hash, Node, fold, leaf, roots};
use super::record::{Record, Sums, texts};
use super::seams::{Ask, State, StateError, Transport};
use super::tile::{FULL, TileId, TilePath};
use super::tiles::{Tiles, store};
use crate::clock::{SharedClock, Timestamp};
use crate::errand::{Errand, Priority};
use crate::flights::{Flights, Outcome};
use crate::gomod::{ModulePath, Version};
use crate::telemetry::metrics::SumdbMetrics;

/// Where the latest head is kept.
const HEAD: &str = "head";
/// A tree note, with signatures of many witnesses perhaps. Bytes.
const MAX_NOTE: u64 = 64 << 10;
/// A record with its note. Bytes.
const MAX_RECORD: u64 = 16 << 10;
/// The records of one tile. Bytes.
const MAX_DATA: u64 = 1 << 20;
/// How long the latest head is answered without asking again.
const FRESH: Duration = Duration::from_secs(5);
/// How long the first record waits for the latest head: it brings one of its own, if an older one.
const FIRST_HEAD: Duration = Duration::from_secs(3);
/// How long a client waits for a newer head when there is one.
const REFRESH_WAIT: Duration = Duration::from_secs(2);
/// How long "not known" is remembered (protocol.md 4.6.4).
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// How long what is under way may take to end before everything is forgotten.
const CLOSING: Duration = Duration::from_secs(90);
/// Look-ups under way at the most.
const LOOKUPS: usize = 2048;
/// Records in memory at the most.
const RECORDS: usize = 2048;
/// Heads known to be consistent, and unknown versions, in memory at the most.
const REMEMBERED: usize = 4096;

/// A database's client.
pub struct Database {
    key: VerifierKey,
    transport: Arc<dyn Transport>,
    state: Arc<dyn State>,
    clock: SharedClock,
    metrics: SumdbMetrics,
    tiles: Arc<Tiles>,
    now: Mutex<Now>,
    /// Heads that have been found to be prefixes of the latest one.
    consistent: Cache<(u64, Hash), ()>,
    /// The last question was answered.
    answers: AtomicBool,
    /// It is about to be forgotten: nothing new is asked.
    closed: AtomicBool,
    /// One head is adopted at a time.
    adopting: Semaphore,
    /// Verified records, each with whether it is kept as well.
    records: Cache<String, (Bytes, bool)>,
    unknown: Cache<String, (Timestamp, SumdbError)>,
    unknown_for: Duration,
    lookups: Flights<String, Outcome<Result<Bytes, SumdbError>>>,
    refreshes: Flights<(), Outcome<Result<(), SumdbError>>>,
    tile_flights: Flights<TilePath, Outcome<Result<Bytes, SumdbError>>>,
}

#[derive(Default)]
struct Now {
    head: Option<Arc<Head>>,
    /// The note of the head that is kept, as far as known.
    stored: Option<Bytes>,
    /// When the head was last heard from the database.
    heard: Option<Timestamp>,
    alarms: Vec<Alarm>,
}

/// What a client may be answered, byte for byte as the database gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The body.
    pub body: Bytes,
    /// It was kept, and nobody was asked.
    pub kept: bool,
}

/// What an operator sees of a database.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Records in the latest verified tree.
    pub size: Option<u64>,
    /// The latest verified head, as signed.
    pub note: Option<Bytes>,
    /// When a verified answer last came from the database; `None` since the start.
    pub heard: Option<Timestamp>,
    /// What was noticed.
    pub alarms: Vec<Alarm>,
}

impl Database {
    /// Opens what is kept. `negative_ttl` says how long a version stays unknown, a minute at the most.
    pub async fn open(
        key: VerifierKey,
        transport: Arc<dyn Transport>,
        state: Arc<dyn State>,
        clock: SharedClock,
        negative_ttl: Duration,
        metrics: SumdbMetrics,
    ) -> Result<Arc<Self>, StateError> {
        let mut now = Now::default();
        if let Some(note) = state.get(HEAD).await? {
            match Head::open(note.clone(), &key) {
                Ok(head) => {
                    now.head = Some(Arc::new(head));
                    now.stored = Some(note);
                }
                Err(error) => {
                    tracing::error!(database = key.name(), %error, "the kept tree head does not verify with this key; beginning anew");
                    state.clear().await?;
                }
            }
        }
        for kind in AlarmKind::ALL {
            let kept = state.get(&alarm_key(kind)).await?;
            now.alarms
                .extend(kept.and_then(|json| serde_json::from_slice(&json).ok()));
        }
        let database = Database {
            tiles: Tiles::new(Arc::clone(&transport), Arc::clone(&state)),
            key,
            transport,
            state,
            clock,
            metrics,
            now: Mutex::new(now),
            consistent: Cache::new(REMEMBERED),
            answers: AtomicBool::new(true),
            closed: AtomicBool::new(false),
            adopting: Semaphore::new(1),
            records: Cache::new(RECORDS),
            unknown: Cache::new(REMEMBERED),
            unknown_for: negative_ttl.min(UNKNOWN_FOR),
            lookups: Flights::new(LOOKUPS, Default::default()),
            refreshes: Flights::new(1, Default::default()),
            tile_flights: Flights::new(LOOKUPS, Default::default()),
        };
        database.show();
        Ok(Arc::new(database))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// Forgets that a version is unknown, so that it is asked about again.
    pub fn forget_unknown(&self, module: &ModulePath, version: &Version) {
        let key = format!("{}@{}", module.escaped(), version.escaped());
        self.unknown.remove(&key);
    }

    /// Whether it answers, as far as is known.
    pub fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    /// What an operator sees of it.
    pub fn status(&self) -> Status {
        let now = self.now.lock();
        Status {
            name: self.name().to_owned(),
            size: now.head.as_ref().map(|head| head.size),
            note: now.head.as_ref().map(|head| head.note.clone()),
            heard: now.heard,
            alarms: now.alarms.clone(),
        }
    }

    /// What it says of a version, verified.
    pub async fn sums(
        self: &Arc<Self>,
        module: &ModulePath,
        version: &Version,
        errand: &Errand,
    ) -> Result<Sums, SumdbError> {
        let body = self.lookup(module, version, errand).await?.body;
        let record = Record::parse(&body).map_err(|error| SumdbError::Forged(error.to_string()))?;
        Ok(record.sums(module, version))
    }

    /// The body of a look-up, verified, as it came.
    pub async fn lookup(
        self: &Arc<Self>,
        module: &ModulePath,
        version: &Version,
        errand: &Errand,
    ) -> Result<Found, SumdbError> {
        let key = format!("{}@{}", module.escaped(), version.escaped());
        if let Some(body) = self.kept_lookup(&key).await? {
            return Ok(Found { body, kept: true });
        }
        self.not_forked()?;
        if let Some((until, error)) = self.unknown.get(&key)
            && self.clock.now() < until
        {
            return Err(self.while_alarmed(error));
        }
        let again = SumdbError::may_be_retried;
        let flight = self
            .lookups
            .outcome(&key, &errand.priority, again, |place| {
                let (sender, receiver) = watch::channel(None);
                let (database, key, errand) = (Arc::clone(self), key.clone(), errand.clone());
                let (module, version) = (module.clone(), version.clone());
                let work = async move {
                    let result = database.look_up(&key, &module, &version, &errand).await;
                    // A fork that was seen meanwhile counts for this look-up as well.
                    let result = result.and_then(|body| database.not_forked().map(|()| body));
                    database.noted(&key, &result, &errand.priority);
                    let result = result.map_err(|error| database.while_alarmed(error));
                    match &result {
                        Ok(body) => database.records.insert(key.clone(), (body.clone(), false)),
                        Err(_) => place.leave(),
                    }
                    sender.send_replace(Some(result.clone()));
                    database.tiles.catch_up().await;
                    if let Ok(body) = result
                        && database.state.has_room()
                        && database.keep(&lookup_key(&key), body.clone()).await
                    {
                        database.records.insert(key, (body, true));
                    }
                };
                (receiver, work)
            });
        let body = flight
            .await
            .ok_or(SumdbError::Overloaded)?
            .unwrap_or_else(|| Err(SumdbError::Fault("the look-up ended unexpectedly".into())))?;
        Ok(Found { body, kept: false })
    }

    /// The body of a look-up if it is kept; else unknown, without asking anybody.
    pub async fn kept(&self, module: &ModulePath, version: &Version) -> Result<Found, SumdbError> {
        let key = format!("{}@{}", module.escaped(), version.escaped());
        let body = self.kept_lookup(&key).await?.ok_or_else(not_kept)?;
        Ok(Found { body, kept: true })
    }

    async fn kept_lookup(&self, key: &str) -> Result<Option<Bytes>, SumdbError> {
        let known = self.records.get(key);
        if let Some((body, true)) = known {
            return Ok(Some(body));
        }
        let kept = self.state.get(&lookup_key(key)).await.map_err(store)?;
        if let Some(body) = &kept {
            self.records.insert(key.to_owned(), (body.clone(), true));
        }
        // What could not be kept for want of room is looked up again once there is room: so its tiles are kept, too.
        let known = known
            .filter(|_| !self.state.has_room())
            .map(|(body, _)| body);
        Ok(kept.or(known))
    }

    async fn look_up(
        self: &Arc<Self>,
        key: &str,
        module: &ModulePath,
        version: &Version,
        errand: &Errand,
    ) -> Result<Bytes, SumdbError> {
        let ask = Ask {
            path: lookup_key(key),
            lookup: Some(module.clone()),
            max: MAX_RECORD,
            errand: errand.clone(),
        };
        // The newest head first: against it the heads of all the records are checked as prefixes.
        let first = timeout(FIRST_HEAD, self.some_head(errand));
        let (body, first) = tokio::join!(self.transport.get(&ask), first);
        // Without a record there is nothing that could prove itself: then the graver one of both answers counts.
        let body = body.map_err(|error| match first {
            Ok(Err(of_head)) if of_head.is_grave() => error.or_graver(of_head),
            _ => error,
        })?;
        let forged = |why: String| SumdbError::Forged(format!("its record of {key}: {why}"));
        let record = Record::parse(&body).map_err(|error| forged(error.to_string()))?;
        let sums = record.sums(module, version);
        if sums.zip.is_empty() || sums.go_mod.is_empty() {
            return Err(forged("it does not name this version".into()));
        }
        let head = Head::open(record.note.clone(), &self.key)
            .map_err(|error| forged(error.to_string()))?;
        // Where the record lies and whether its head belongs to the history are two questions, asked at the same time if the
        // record is old enough. A place in an older tree is the same place in a newer one.
        let known = self.head().filter(|known| record.id < known.size);
        let (latest, hash) = match known {
            Some(known) => {
                tokio::join!(
                    self.merge(head, errand),
                    self.leaf_hash(known, record.id, errand)
                )
            }
            None => {
                let latest = self.merge(head, errand).await.map_err(needed)?;
                if record.id >= latest.size {
                    return Err(forged("its number lies beyond the tree".into()));
                }
                let hash = self.leaf_hash(Arc::clone(&latest), record.id, errand).await;
                (Ok(latest), hash)
            }
        };
        let lies_there = hash
            .map_err(needed)
            .and_then(|hash| match hash == record.leaf() {
                true => Ok(()),
                false => Err(forged("it is not in the tree".into())),
            });
        both(latest.map_err(needed), lies_there)?;
        self.heard();
        Ok(body)
    }

    /// The hash of a record in an adopted head's tree.
    async fn leaf_hash(
        self: &Arc<Self>,
        head: Arc<Head>,
        id: u64,
        errand: &Errand,
    ) -> Result<Hash, SumdbError> {
        let place = Node { level: 0, n: id };
        let hashes = self.tiles.hashes(&head, &[place], errand).await;
        let hashes = self.watched(hashes).await?;
        hashes
            .first()
            .copied()
            .ok_or_else(|| SumdbError::Fault("there is no such place".into()))
    }

    /// Joins a signed head with the history known so far; gives the latest one (protocol.md 4.5, `merge`).
    async fn merge(self: &Arc<Self>, head: Head, errand: &Errand) -> Result<Arc<Head>, SumdbError> {
        let head = Arc::new(head);
        loop {
            let latest = self.head();
            if let Some(latest) = latest.filter(|latest| head.size <= latest.size) {
                return self.is_prefix(&head, latest, errand).await;
            }
            let latest = self.head();
            let edge = match &latest {
                None => self.tiles.first(&head, errand).await.map(Some),
                Some(latest) => self.tiles.continues(latest, &head, errand).await,
            };
            let Some(edge) = self.watched(edge).await? else {
                let older = latest.unwrap_or_else(|| Arc::clone(&head));
                return Err(self.fork(&older, &head).await);
            };
            // Held for what goes to the store only: fetching and verifying may take long.
            let _permit = self.adopting.acquire().await;
            let moved = match (self.head(), &latest) {
                (Some(now), Some(latest)) => !now.same_tree(latest),
                (now, latest) => now.is_some() != latest.is_some(),
            };
            if moved {
                continue;
            }
            self.tiles.keep_all(&edge).await;
            if self.adopt(&head).await? {
                return Ok(head);
            }
        }
    }

    /// Makes a verified head the latest one; false if another process has moved it on, which then is the latest.
    async fn adopt(&self, head: &Arc<Head>) -> Result<bool, SumdbError> {
        let old = self.now.lock().stored.clone();
        match self.state.swap(HEAD, old.as_ref(), head.note.clone()).await {
            Ok(true) => self.now.lock().stored = Some(head.note.clone()),
            Ok(false) => {
                self.reload().await?;
                return Ok(false);
            }
            // What is verified is verified, though it will have to be again after a restart.
            Err(error) => {
                tracing::warn!(database = self.name(), %error, "the tree head could not be kept");
            }
        }
        self.now.lock().head = Some(Arc::clone(head));
        self.show();
        Ok(true)
    }

    async fn is_prefix(
        self: &Arc<Self>,
        head: &Arc<Head>,
        latest: Arc<Head>,
        errand: &Errand,
    ) -> Result<Arc<Head>, SumdbError> {
        let name = (head.size, head.root);
        if head.same_tree(&latest) || self.consistent.get(&name).is_some() {
            return Ok(latest);
        }
        let hashes = self.tiles.hashes(&latest, &roots(head.size), errand).await;
        let hashes = match self.watched(hashes).await {
            Ok(hashes) => hashes,
            Err(error) => return Err(self.other_tree(head, &latest, error, errand).await),
        };
        if fold(&hashes) != head.root {
            return Err(self.fork(&latest, head).await);
        }
        self.consistent.insert(name, ());
        Ok(latest)
    }

    /// The latest tree could not show whether an older head is a prefix of it: perhaps because whoever was asked has
    /// another tree, a smaller one. Then that tree's own tiles may prove it, which is graver than `error`.
    async fn other_tree(
        self: &Arc<Self>,
        head: &Arc<Head>,
        latest: &Arc<Head>,
        error: SumdbError,
        errand: &Errand,
    ) -> SumdbError {
        // Whoever does not answer will not answer more questions.
        let answers = error.is_grave()
            || matches!(
                error,
                SumdbError::Unknown { .. } | SumdbError::Refused(_) | SumdbError::Fault(_)
            );
        if !answers {
            return error;
        }
        let another = self.tiles.is_another(head, errand).await;
        match self.watched(another).await {
            Ok(true) => self.fork(latest, head).await,
            Ok(false) => error,
            Err(other) if other.is_grave() => error.or_graver(other),
            Err(_) => error,
        }
    }

    async fn reload(&self) -> Result<(), SumdbError> {
        let note = self.state.get(HEAD).await.map_err(store)?;
        let head = note
            .clone()
            .map(|note| Head::open(note, &self.key))
            .transpose()
            .map_err(|error| SumdbError::Store(format!("the kept tree head: {error}")))?;
        let mut now = self.now.lock();
        now.stored = note;
        let newer = |head: &Head| now.head.as_ref().is_none_or(|known| known.size < head.size);
        if let Some(head) = head.filter(newer) {
            now.head = Some(Arc::new(head));
        }
        Ok(())
    }

    fn head(&self) -> Option<Arc<Head>> {
        self.now.lock().head.clone()
    }

    /// A head to verify with: the latest one, or the first that can be had.
    async fn some_head(self: &Arc<Self>, errand: &Errand) -> Result<Arc<Head>, SumdbError> {
        if let Some(head) = self.head() {
            return Ok(head);
        }
        self.refresh(errand).await?;
        self.head()
            .ok_or_else(|| SumdbError::Fault("it has no tree head".into()))
    }

    /// Asks for the latest head and joins it with what is known.
    async fn refresh(self: &Arc<Self>, errand: &Errand) -> Result<(), SumdbError> {
        let flight =
            self.refreshes
                .outcome(&(), &errand.priority, SumdbError::may_be_retried, |place| {
                    let (sender, receiver) = watch::channel(None);
                    let (database, errand) = (Arc::clone(self), errand.clone());
                    let work = async move {
                        let result = database.ask_latest(&errand).await;
                        database.noted("latest", &result, &errand.priority);
                        if result.is_err() {
                            place.leave();
                        }
                        sender.send_replace(Some(result));
                    };
                    (receiver, work)
                });
        flight
            .await
            .ok_or(SumdbError::Overloaded)?
            .unwrap_or_else(|| Err(SumdbError::Fault("the fetch ended unexpectedly".into())))
    }

    async fn ask_latest(self: &Arc<Self>, errand: &Errand) -> Result<(), SumdbError> {
        let ask = Ask {
            path: "latest".into(),
            lookup: None,
            max: MAX_NOTE,
            errand: errand.clone(),
        };
        let note = self.transport.get(&ask).await.map_err(needed)?;
        let head = Head::open(note, &self.key)
            .map_err(|error| SumdbError::Forged(format!("its latest tree head: {error}")))?;
        self.merge(head, errand).await.map_err(needed)?;
        self.heard();
        Ok(())
    }

    fn heard(&self) {
        let now = self.clock.now();
        self.now.lock().heard = Some(now);
        self.metrics
            .heard
            .set(i64::try_from(now.0 / 1000).unwrap_or(i64::MAX));
    }

    /// The latest head's note: at most five seconds old, or the last one verified while no newer one can be had.
    /// With `kept_only` that one without asking.
    pub async fn latest(
        self: &Arc<Self>,
        errand: &Errand,
        kept_only: bool,
    ) -> Result<Found, SumdbError> {
        let found = |head: &Head, kept| Found {
            body: head.note.clone(),
            kept,
        };
        let Some(head) = self.head() else {
            if kept_only {
                return Err(not_kept());
            }
            return Ok(found(&*self.some_head(errand).await?, false));
        };
        if self.is_fresh() || kept_only || self.not_forked().is_err() {
            return Ok(found(&head, true));
        }
        match timeout(REFRESH_WAIT, self.refresh(errand)).await {
            Ok(Err(error @ (SumdbError::Forged(_) | SumdbError::Inconsistent(_)))) => Err(error),
            Ok(Ok(())) => Ok(found(&self.head().unwrap_or(head), false)),
            Ok(Err(_)) | Err(_) => Ok(found(&self.head().unwrap_or(head), true)),
        }
    }

    /// Whether clients may be told that this database is served here: then they ask nobody else.
    /// With `kept_only` nobody is asked.
    pub async fn can_serve(
        self: &Arc<Self>,
        errand: &Errand,
        kept_only: bool,
    ) -> Result<(), SumdbError> {
        if kept_only {
            return self.head().map(drop).ok_or_else(not_kept);
        }
        self.some_head(errand).await.map(drop)
    }

    /// Whether the head was heard a moment ago.
    fn is_fresh(&self) -> bool {
        let heard = self.now.lock().heard;
        heard.is_some_and(|heard| self.clock.now().since(heard) < FRESH)
    }

    /// A tile, verified; cut out of a wider one if that is kept.
    pub async fn tile(
        self: &Arc<Self>,
        path: TilePath,
        errand: &Errand,
    ) -> Result<Found, SumdbError> {
        match self.kept_tile(path).await {
            Err(SumdbError::Unknown { .. }) => {}
            found => return found,
        }
        self.not_closed()?;
        let again = SumdbError::may_be_retried;
        let flight = self
            .tile_flights
            .outcome(&path, &errand.priority, again, |place| {
                let (sender, receiver) = watch::channel(None);
                let (database, errand) = (Arc::clone(self), errand.clone());
                let work = async move {
                    let result = match path.tile {
                        Some(_) => database.hash_tile(path.id(), path.width, &errand).await,
                        None => database.data_tile(path, &errand).await,
                    };
                    let result = database.watched(result).await;
                    if result.is_err() {
                        place.leave();
                    }
                    sender.send_replace(Some(result));
                };
                (receiver, work)
            });
        let body = flight
            .await
            .ok_or(SumdbError::Overloaded)?
            .unwrap_or_else(|| Err(SumdbError::Fault("the fetch ended unexpectedly".into())))?;
        Ok(Found { body, kept: false })
    }

    /// A tile if it is kept; else unknown, without asking anybody.
    pub async fn kept_tile(&self, path: TilePath) -> Result<Found, SumdbError> {
        let body = match path.tile {
            Some(_) => {
                let tile = self.tiles.kept(path.id(), path.width).await?;
                tile.map(|tile| tile.bytes().clone())
            }
            None => {
                let kept = self.state.tile(&full(path)).await.map_err(store)?;
                kept.and_then(|kept| first_records(&kept, usize::from(path.width)))
            }
        };
        let body = body.ok_or_else(not_kept)?;
        Ok(Found { body, kept: true })
    }

    async fn hash_tile(
        self: &Arc<Self>,
        id: TileId,
        width: u16,
        errand: &Errand,
    ) -> Result<Bytes, SumdbError> {
        let head = self.head_with(id, width, errand).await?;
        let wide = id.width(head.size);
        // Narrower than the tree has it now: whether it is still there is the database's to say, and clients ask for the
        // full one if not.
        let exactly = match width < wide {
            true => Some(self.tiles.fetch_exactly(id, width, errand).await?),
            false => None,
        };
        let tile = self.tiles.tile(&head, id, errand).await?.narrowed(width);
        let tile = tile.ok_or_else(|| not_there(id, width))?;
        if exactly.is_some_and(|exactly| exactly != tile) {
            self.tiles.reject(id, width);
            return Err(SumdbError::Inconsistent(format!(
                "{} does not belong to the tree that the database has signed",
                id.path(width)
            )));
        }
        Ok(tile.bytes().clone())
    }

    /// A head whose tree has this tile, asking for a newer one if need be.
    async fn head_with(
        self: &Arc<Self>,
        id: TileId,
        width: u16,
        errand: &Errand,
    ) -> Result<Arc<Head>, SumdbError> {
        let head = self.some_head(errand).await?;
        if id.width(head.size) >= width {
            return Ok(head);
        }
        self.not_forked()?;
        if self.is_fresh() {
            return Err(not_there(id, width));
        }
        self.refresh(errand).await?;
        self.head()
            .filter(|head| id.width(head.size) >= width)
            .ok_or_else(|| not_there(id, width))
    }

    /// The records of a tile's leaves.
    async fn data_tile(
        self: &Arc<Self>,
        path: TilePath,
        errand: &Errand,
    ) -> Result<Bytes, SumdbError> {
        let width = usize::from(path.width);
        let head = self.head_with(path.id(), path.width, errand).await?;
        let ask = Ask {
            path: path.to_string(),
            lookup: None,
            max: MAX_DATA,
            errand: errand.clone(),
        };
        let leaves = self.tiles.tile(&head, path.id(), errand);
        let (body, leaves) = tokio::join!(self.transport.get(&ask), leaves);
        let (body, leaves) = both(body, leaves)?;
        let records = texts(&body).filter(|records| records.len() == width);
        let records = records
            .ok_or_else(|| SumdbError::Forged(format!("{path} does not hold {width} records")))?;
        let in_tree = |(at, text): (usize, &&str)| {
            leaves.hash(at) == Some(leaf(format!("{text}\n").as_bytes()))
        };
        if !records.iter().enumerate().all(in_tree) {
            return Err(SumdbError::Inconsistent(format!(
                "{path} does not belong to the tree that the database has signed"
            )));
        }
        // What is kept of it, if anything, is narrower.
        if !self.state.has_room() {
            return Ok(body);
        }
        if let Err(error) = self.state.put_tile(&full(path), body.clone()).await {
            tracing::warn!(database = self.name(), %error, "a tile of records could not be kept");
        }
        Ok(body)
    }

    async fn keep(&self, key: &str, value: Bytes) -> bool {
        let put = self.state.put(key, value).await;
        if let Err(error) = &put {
            tracing::warn!(database = self.name(), %error, "what the checksum database said could not be kept");
        }
        put.is_ok()
    }

    /// Counts, logs and remembers how asking the database went.
    fn noted<T>(&self, what: &str, result: &Result<T, SumdbError>, priority: &Priority) {
        let word = match result {
            Ok(_) => "ok",
            Err(SumdbError::Unknown { .. }) => "unknown",
            Err(error) if error.is_grave() => "forged",
            Err(_) => "unavailable",
        };
        self.metrics.asked(word);
        if word == "unavailable" && priority.is_prefetch() {
            // It was not waited for long.
            return;
        }
        let database = self.name();
        let answered = self.answers.swap(word != "unavailable", Ordering::Relaxed);
        if !answered && word != "unavailable" {
            tracing::info!(database, "the checksum database answers again");
        }
        let Err(error) = result else { return };
        match error {
            SumdbError::Unknown { .. } => {
                tracing::info!(database, what, %error, "the checksum database does not know this");
                let ttl = u64::try_from(self.unknown_for.as_millis()).unwrap_or(u64::MAX);
                let until = Timestamp(self.clock.now().0.saturating_add(ttl));
                self.unknown.insert(what.to_owned(), (until, error.clone()));
            }
            error if error.is_grave() => {
                tracing::error!(database, what, %error, "an answer of the checksum database failed verification");
            }
            // Once is enough to know.
            _ if answered => {
                tracing::warn!(database, what, %error, "the checksum database could not be asked")
            }
            _ => {
                tracing::debug!(database, what, %error, "the checksum database could not be asked")
            }
        }
    }

    /// Raises the alarm if a tile was found not to belong to the tree.
    async fn watched<T>(&self, result: Result<T, SumdbError>) -> Result<T, SumdbError> {
        if let Err(SumdbError::Inconsistent(text)) = &result {
            self.raise(AlarmKind::Inconsistent, text.clone()).await;
        }
        result
    }

    async fn fork(&self, known: &Head, other: &Head) -> SumdbError {
        let note = |head: &Head| String::from_utf8_lossy(&head.note).into_owned();
        let text = format!(
            "{} has signed two histories that contradict each other: one with {} records, which was known here, and one with {}.\n\n{}\n{}",
            self.name(),
            known.size,
            other.size,
            note(known),
            note(other)
        );
        self.raise(AlarmKind::Fork, text).await;
        self.forked_error()
    }

    fn forked_error(&self) -> SumdbError {
        SumdbError::Fork(format!(
            "the checksum database {} has signed two histories that contradict each other (a fork)",
            self.name()
        ))
    }

    /// An error while there is a fork that no operator has acknowledged.
    fn not_forked(&self) -> Result<(), SumdbError> {
        self.not_closed()?;
        if self.is_open(AlarmKind::Fork) {
            Err(self.forked_error())
        } else {
            Ok(())
        }
    }

    fn is_open(&self, kind: AlarmKind) -> bool {
        let open = |alarm: &Alarm| alarm.kind == kind && !alarm.acknowledged;
        self.now.lock().alarms.iter().any(open)
    }

    /// The refusal of whatever this database cannot prove, while an alarm stands that no operator has acknowledged.
    pub fn alarm(&self) -> Option<SumdbError> {
        if self.is_open(AlarmKind::Fork) {
            return Some(self.forked_error());
        }
        self.is_open(AlarmKind::Inconsistent).then(|| {
            SumdbError::Alarmed(format!(
                "the checksum database {} has given a tile that does not belong to the tree it has signed",
                self.name()
            ))
        })
    }

    /// While an alarm stands nothing passes as "not known" or "not available". What verifies is believed all the same,
    /// since it proves itself; but not while there is a fork.
    fn while_alarmed(&self, error: SumdbError) -> SumdbError {
        match self.alarm() {
            Some(SumdbError::Alarmed(why)) if !error.is_grave() => {
                SumdbError::Alarmed(format!("{why}, and now: {error}"))
            }
            Some(alarm) if !error.is_grave() => alarm,
            _ => error,
        }
    }

    fn not_closed(&self) -> Result<(), SumdbError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(SumdbError::Unavailable {
                text: "its history is being forgotten".into(),
                retry_after: None,
            });
        }
        Ok(())
    }

    async fn raise(&self, kind: AlarmKind, text: String) {
        let alarm = Alarm {
            kind,
            since: self.clock.now(),
            text,
            acknowledged: false,
        };
        {
            let mut now = self.now.lock();
            let known = |known: &Alarm| known.kind == kind && !known.acknowledged;
            if now.alarms.iter().any(known) {
                return;
            }
            now.alarms.retain(|known| known.kind != kind);
            now.alarms.push(alarm.clone());
        }
        tracing::error!(
            database = self.name(),
            kind = kind.as_str(),
            text = alarm.text,
            "ALARM: the checksum database cannot be trusted as it is; `larder sumdb acknowledge` ends this alarm"
        );
        self.show();
        self.keep_alarm(&alarm).await;
    }

    async fn keep_alarm(&self, alarm: &Alarm) {
        // A plain struct has no way to fail.
        let json = serde_json::to_vec(alarm).unwrap_or_default();
        self.keep(&alarm_key(alarm.kind), json.into()).await;
    }

    /// An operator knows of the alarms: gives how many there were.
    pub async fn acknowledge(&self) -> usize {
        let acknowledged: Vec<Alarm> = {
            let mut now = self.now.lock();
            let open = now.alarms.iter_mut().filter(|alarm| !alarm.acknowledged);
            open.map(|alarm| {
                alarm.acknowledged = true;
                alarm.clone()
            })
            .collect()
        };
        for alarm in &acknowledged {
            self.keep_alarm(alarm).await;
        }
        self.show();
        acknowledged.len()
    }

    /// Forgets everything that is kept of this database, as if it had never been asked: for a database of one's own that
    /// was made anew.
    pub async fn begin_anew(&self) -> Result<(), StateError> {
        self.closed.store(true, Ordering::Relaxed);
        let cleared = self.clear().await;
        self.closed.store(false, Ordering::Relaxed);
        cleared
    }

    /// Clears everything, once nothing is under way that would bring some of it back.
    async fn clear(&self) -> Result<(), StateError> {
        let over = Instant::now() + CLOSING;
        let under_way = || {
            let flights = self.lookups.under_way() + self.refreshes.under_way();
            flights + self.tile_flights.under_way() + self.tiles.under_way()
        };
        while under_way() > 0 {
            if Instant::now() > over {
                return Err(StateError(
                    "look-ups under way do not end; try again".into(),
                ));
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.state.clear().await?;
        *self.now.lock() = Now::default();
        self.tiles.clear();
        self.consistent.clear();
        self.records.clear();
        self.unknown.clear();
        self.show();
        Ok(())
    }

    /// Brings the gauges up to date.
    fn show(&self) {
        let now = self.now.lock();
        let size = now.head.as_ref().map_or(0, |head| head.size);
        self.metrics
            .size
            .set(i64::try_from(size).unwrap_or(i64::MAX));
        let open = |kind| {
            let open = |alarm: &Alarm| alarm.kind == kind && !alarm.acknowledged;
            i64::from(now.alarms.iter().any(open))
        };
        self.metrics.fork.set(open(AlarmKind::Fork));
        self.metrics.inconsistent.set(open(AlarmKind::Inconsistent));
    }
}

fn lookup_key(escaped: &str) -> String {
    format!("lookup/{escaped}")
}

fn alarm_key(kind: AlarmKind) -> String {
    format!("alarm/{}", kind.as_str())
}

fn not_there(id: TileId, width: u16) -> SumdbError {
    SumdbError::Unknown {
        gone: false,
        text: format!("not found: the tree has no {} yet", id.path(width)),
    }
}

/// A head or tile that must be there is not: whoever was asked serves the database in part only. That says nothing about
/// the version.
fn needed(error: SumdbError) -> SumdbError {
    match error {
        SumdbError::Unknown { text, .. } => {
            SumdbError::Fault(format!("a part of its tree cannot be had: {text}"))
        }
        other => other,
    }
}

fn not_kept() -> SumdbError {
    SumdbError::Unknown {
        gone: false,
        text: "it is not kept here, and this request asked not to fetch it".into(),
    }
}

/// The name under which as much as is known of a tile is kept.
fn full(path: TilePath) -> String {
    TilePath {
        width: FULL,
        ..path
    }
    .to_string()
}

/// The first `width` records of a tile of them, if it has as many.
fn first_records(tile: &Bytes, width: usize) -> Option<Bytes> {
    let records = texts(tile)?;
    let part = records.get(..width)?;
    let length: usize = part.iter().map(|text| text.len() + 2).sum();
    Some(tile.slice(..length))
}

#[cfg(test)]
mod tests;
