//! Look-ups of versions: their records, verified under the history.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::Cache;
use tokio::sync::watch;
use tokio::time::timeout;

use super::found::DatabaseAnswer;
use super::history::History;
use crate::clock::Timestamp;
use crate::flights::{FlightOutcome, Flights};
use crate::gomod::{ModulePath, Version};
use crate::kit::FetchContext;
use crate::sumdb::error::{SumdbError, both};
use crate::sumdb::head::Head;
use crate::sumdb::merkle::{Hash, Node};
use crate::sumdb::record::{Record, Sums};
use crate::sumdb::seams::Ask;
use crate::sumdb::tiles::store;

/// A record with its note. Bytes.
const MAX_RECORD: u64 = 16 << 10;
/// How long the first record waits for the latest head: it brings one of its own, if an older one.
const FIRST_HEAD: Duration = Duration::from_secs(3);
/// How long "not known" is remembered (protocol.md 4.6.4).
pub(super) const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// Look-ups under way at the most.
const LOOKUPS: usize = 2048;
/// Records in memory at the most.
const RECORDS: usize = 2048;
/// Unknown versions in memory at the most.
const REMEMBERED: usize = 4096;

/// A database's records.
pub(super) struct Records {
    history: Arc<History>,
    /// Verified ones, each with whether it is kept as well.
    verified: Cache<String, (Bytes, bool)>,
    unknown: Cache<String, (Timestamp, SumdbError)>,
    unknown_for: Duration,
    lookups: Flights<String, FlightOutcome<Result<Bytes, SumdbError>>>,
}

impl Records {
    /// `negative_ttl` says how long a version stays unknown, a minute at the most.
    pub(super) fn new(history: Arc<History>, negative_ttl: Duration) -> Arc<Self> {
        Arc::new(Records {
            history,
            verified: Cache::new(RECORDS),
            unknown: Cache::new(REMEMBERED),
            unknown_for: negative_ttl.min(UNKNOWN_FOR),
            lookups: Flights::new(LOOKUPS, Default::default()),
        })
    }

    /// Forgets that a version is unknown, so that it is asked about again.
    pub(super) fn forget_unknown(&self, module: &ModulePath, version: &Version) {
        let key = format!("{}@{}", module.escaped(), version.escaped());
        self.unknown.remove(&key);
    }

    /// What it says of a version, verified.
    pub(super) async fn sums(
        self: &Arc<Self>,
        module: &ModulePath,
        version: &Version,
        context: &FetchContext,
    ) -> Result<Sums, SumdbError> {
        let body = self.lookup(module, version, context).await?.body;
        let record = Record::parse(&body).map_err(|error| SumdbError::Forged(error.to_string()))?;
        Ok(record.sums(module, version))
    }

    /// The body of a look-up, verified, as it came.
    pub(super) async fn lookup(
        self: &Arc<Self>,
        module: &ModulePath,
        version: &Version,
        context: &FetchContext,
    ) -> Result<DatabaseAnswer, SumdbError> {
        let key = format!("{}@{}", module.escaped(), version.escaped());
        if let Some(body) = self.kept_lookup(&key).await? {
            return Ok(DatabaseAnswer { body, kept: true });
        }
        self.history.not_forked()?;
        if let Some((until, error)) = self.unknown.get(&key)
            && self.history.clock.now() < until
        {
            return Err(self.history.alarms.while_alarmed(error));
        }
        let flight = self.lookups.outcome(&key, |place| {
            let (sender, receiver) = watch::channel(None);
            let (records, key, context) = (Arc::clone(self), key.clone(), context.clone());
            let (module, version) = (module.clone(), version.clone());
            let work = async move {
                let history = &records.history;
                let result = records.look_up(&key, &module, &version, &context).await;
                // A fork that was seen meanwhile counts for this look-up as well.
                let result = result.and_then(|body| history.not_forked().map(|()| body));
                history.noted(&key, &result);
                records.remember_unknown(&key, &result);
                let result = result.map_err(|error| history.alarms.while_alarmed(error));
                match &result {
                    Ok(body) => records.verified.insert(key.clone(), (body.clone(), false)),
                    Err(_) => place.leave(),
                }
                sender.send_replace(Some(result.clone()));
                history.tiles.catch_up().await;
                if let Ok(body) = result
                    && history.state.has_room()
                    && records.keep(&key, body.clone()).await
                {
                    records.verified.insert(key, (body, true));
                }
            };
            (receiver, work)
        });
        let body = flight
            .await
            .ok_or(SumdbError::Overloaded)?
            .unwrap_or_else(|| Err(SumdbError::Fault("the look-up ended unexpectedly".into())))?;
        Ok(DatabaseAnswer { body, kept: false })
    }

    /// The body of a look-up if it is kept; else unknown, without asking anybody.
    pub(super) async fn kept(
        &self,
        module: &ModulePath,
        version: &Version,
    ) -> Result<DatabaseAnswer, SumdbError> {
        let key = format!("{}@{}", module.escaped(), version.escaped());
        let body = self
            .kept_lookup(&key)
            .await?
            .ok_or_else(SumdbError::not_kept)?;
        Ok(DatabaseAnswer { body, kept: true })
    }

    async fn kept_lookup(&self, key: &str) -> Result<Option<Bytes>, SumdbError> {
        let known = self.verified.get(key);
        if let Some((body, true)) = known {
            return Ok(Some(body));
        }
        let kept = self
            .history
            .state
            .get(&lookup_key(key))
            .await
            .map_err(store)?;
        if let Some(body) = &kept {
            self.verified.insert(key.to_owned(), (body.clone(), true));
        }
        // What could not be kept for want of room is looked up again once there is room: so its tiles are kept, too.
        let known = known
            .filter(|_| !self.history.state.has_room())
            .map(|(body, _)| body);
        Ok(kept.or(known))
    }

    async fn look_up(
        self: &Arc<Self>,
        key: &str,
        module: &ModulePath,
        version: &Version,
        context: &FetchContext,
    ) -> Result<Bytes, SumdbError> {
        let ask = Ask {
            path: lookup_key(key),
            lookup: Some(module.clone()),
            max: MAX_RECORD,
            context: context.clone(),
        };
        // The newest head first: against it the heads of all the records are checked as prefixes.
        let first = timeout(FIRST_HEAD, self.history.some_head(context));
        let (body, first) = tokio::join!(self.history.transport.get(&ask), first);
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
        let head = Head::open(record.note.clone(), &self.history.key)
            .map_err(|error| forged(error.to_string()))?;
        // Where the record lies and whether its head belongs to the history are two questions, asked at the same time if the
        // record is old enough. A place in an older tree is the same place in a newer one.
        let known = self.history.head().filter(|known| record.id < known.size);
        let (latest, hash) = match known {
            Some(known) => {
                tokio::join!(
                    self.history.merge(head, context),
                    self.leaf_hash(known, record.id, context)
                )
            }
            None => {
                let latest = self
                    .history
                    .merge(head, context)
                    .await
                    .map_err(SumdbError::needed)?;
                if record.id >= latest.size {
                    return Err(forged("its number lies beyond the tree".into()));
                }
                let hash = self
                    .leaf_hash(Arc::clone(&latest), record.id, context)
                    .await;
                (Ok(latest), hash)
            }
        };
        let lies_there =
            hash.map_err(SumdbError::needed)
                .and_then(|hash| match hash == record.leaf() {
                    true => Ok(()),
                    false => Err(forged("it is not in the tree".into())),
                });
        both(latest.map_err(SumdbError::needed), lies_there)?;
        self.history.heard();
        Ok(body)
    }

    /// The hash of a record in an adopted head's tree.
    async fn leaf_hash(
        self: &Arc<Self>,
        head: Arc<Head>,
        id: u64,
        context: &FetchContext,
    ) -> Result<Hash, SumdbError> {
        let place = Node { level: 0, n: id };
        let hashes = self.history.tiles.hashes(&head, &[place], context).await;
        let hashes = self.history.alarms.watched(hashes).await?;
        hashes
            .first()
            .copied()
            .ok_or_else(|| SumdbError::Fault("there is no such place".into()))
    }

    fn remember_unknown(&self, key: &str, result: &Result<Bytes, SumdbError>) {
        if let Err(error @ SumdbError::Unknown { .. }) = result {
            let ttl = u64::try_from(self.unknown_for.as_millis()).unwrap_or(u64::MAX);
            let until = Timestamp(self.history.clock.now().0.saturating_add(ttl));
            self.unknown.insert(key.to_owned(), (until, error.clone()));
        }
    }

    async fn keep(&self, key: &str, body: Bytes) -> bool {
        let put = self.history.state.put(&lookup_key(key), body).await;
        if let Err(error) = &put {
            tracing::warn!(database = self.history.name(), %error, "what the checksum database said could not be kept");
        }
        put.is_ok()
    }

    /// Look-ups that have not ended.
    pub(super) fn under_way(&self) -> usize {
        self.lookups.under_way()
    }

    /// Forgets what is in memory.
    pub(super) fn clear(&self) {
        self.verified.clear();
        self.unknown.clear();
    }
}

pub(super) fn lookup_key(escaped: &str) -> String {
    format!("lookup/{escaped}")
}
