//! The one growing history of a database: its latest verified head, and whether another one belongs to it (protocol.md
//! 4.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::alarms::Alarms;
use super::found::DatabaseAnswer;
use crate::clock::{SharedClock, Timestamp};
use crate::flights::{FlightOutcome, Flights};
use crate::kit::FetchContext;
use crate::sumdb::alarm::AlarmKind;
use crate::sumdb::error::SumdbError;
use crate::sumdb::head::Head;
use crate::sumdb::key::VerifierKey;
use crate::sumdb::merkle::{Hash, fold, roots};
use crate::sumdb::seams::{Ask, State, StateError, Transport};
use crate::sumdb::tiles::{Tiles, store};
use crate::telemetry::metrics::SumdbMetrics;

/// Where the latest head is kept.
const HEAD: &str = "head";
/// A tree note, with signatures of many witnesses perhaps. Bytes.
const MAX_NOTE: u64 = 64 << 10;
/// How long the latest head is answered without asking again.
const FRESH: Duration = Duration::from_secs(5);
/// How long a client waits for a newer head when there is one.
const REFRESH_WAIT: Duration = Duration::from_secs(2);
/// Heads known to be consistent in memory at the most.
const REMEMBERED: usize = 4096;

/// A database's history.
pub(super) struct History {
    pub(super) key: VerifierKey,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) state: Arc<dyn State>,
    pub(super) clock: SharedClock,
    pub(super) tiles: Arc<Tiles>,
    pub(super) alarms: Alarms,
    metrics: SumdbMetrics,
    now: Mutex<Now>,
    /// Heads that have been found to be prefixes of the latest one.
    consistent: Cache<(u64, Hash), ()>,
    /// The last question was answered.
    answers: AtomicBool,
    /// It is about to be forgotten: nothing new is asked.
    closed: AtomicBool,
    /// One head is adopted at a time.
    adopting: Semaphore,
    refreshes: Flights<(), FlightOutcome<Result<(), SumdbError>>>,
}

#[derive(Default)]
pub(super) struct Now {
    pub(super) head: Option<Arc<Head>>,
    /// The note of the head that is kept, as far as known.
    stored: Option<Bytes>,
    /// When the head was last heard from the database.
    pub(super) heard: Option<Timestamp>,
}

impl History {
    /// What is kept of it.
    pub(super) async fn open(
        key: VerifierKey,
        transport: Arc<dyn Transport>,
        state: Arc<dyn State>,
        clock: SharedClock,
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
        let alarms = Alarms::load(
            key.name(),
            Arc::clone(&state),
            Arc::clone(&clock),
            metrics.clone(),
        );
        let history = History {
            tiles: Tiles::new(Arc::clone(&transport), Arc::clone(&state)),
            alarms: alarms.await?,
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
            refreshes: Flights::new(1, Default::default()),
        };
        history.show();
        Ok(Arc::new(history))
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.key.name()
    }

    /// Whether it answers, as far as is known.
    pub(super) fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    /// The latest verified head, and when the database was last heard.
    pub(super) fn latest_known(&self) -> (Option<Arc<Head>>, Option<Timestamp>) {
        let now = self.now.lock();
        (now.head.clone(), now.heard)
    }

    /// Joins a signed head with the history known so far; gives the latest one (protocol.md 4.5, `merge`).
    pub(super) async fn merge(
        self: &Arc<Self>,
        head: Head,
        context: &FetchContext,
    ) -> Result<Arc<Head>, SumdbError> {
        let head = Arc::new(head);
        loop {
            let latest = self.head();
            if let Some(latest) = latest.filter(|latest| head.size <= latest.size) {
                return self.is_prefix(&head, latest, context).await;
            }
            let latest = self.head();
            let edge = match &latest {
                None => self.tiles.first(&head, context).await.map(Some),
                Some(latest) => self.tiles.continues(latest, &head, context).await,
            };
            let Some(edge) = self.alarms.watched(edge).await? else {
                let older = latest.unwrap_or_else(|| Arc::clone(&head));
                return Err(self.alarms.fork(&older, &head).await);
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
        context: &FetchContext,
    ) -> Result<Arc<Head>, SumdbError> {
        let name = (head.size, head.root);
        if head.same_tree(&latest) || self.consistent.get(&name).is_some() {
            return Ok(latest);
        }
        let hashes = self.tiles.hashes(&latest, &roots(head.size), context).await;
        let hashes = match self.alarms.watched(hashes).await {
            Ok(hashes) => hashes,
            Err(error) => return Err(self.other_tree(head, &latest, error, context).await),
        };
        if fold(&hashes) != head.root {
            return Err(self.alarms.fork(&latest, head).await);
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
        context: &FetchContext,
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
        let another = self.tiles.is_another(head, context).await;
        match self.alarms.watched(another).await {
            Ok(true) => self.alarms.fork(latest, head).await,
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

    pub(super) fn head(&self) -> Option<Arc<Head>> {
        self.now.lock().head.clone()
    }

    /// A head to verify with: the latest one, or the first that can be had.
    pub(super) async fn some_head(
        self: &Arc<Self>,
        context: &FetchContext,
    ) -> Result<Arc<Head>, SumdbError> {
        if let Some(head) = self.head() {
            return Ok(head);
        }
        self.refresh(context).await?;
        self.head()
            .ok_or_else(|| SumdbError::Fault("it has no tree head".into()))
    }

    /// Asks for the latest head and joins it with what is known.
    pub(super) async fn refresh(
        self: &Arc<Self>,
        context: &FetchContext,
    ) -> Result<(), SumdbError> {
        let flight = self.refreshes.outcome(&(), |place| {
            let (sender, receiver) = watch::channel(None);
            let (history, context) = (Arc::clone(self), context.clone());
            let work = async move {
                let result = history.ask_latest(&context).await;
                history.noted("latest", &result);
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

    async fn ask_latest(self: &Arc<Self>, context: &FetchContext) -> Result<(), SumdbError> {
        let ask = Ask {
            path: "latest".into(),
            lookup: None,
            max: MAX_NOTE,
            context: context.clone(),
        };
        let note = self.transport.get(&ask).await.map_err(SumdbError::needed)?;
        let head = Head::open(note, &self.key)
            .map_err(|error| SumdbError::Forged(format!("its latest tree head: {error}")))?;
        self.merge(head, context)
            .await
            .map_err(SumdbError::needed)?;
        self.heard();
        Ok(())
    }

    pub(super) fn heard(&self) {
        let now = self.clock.now();
        self.now.lock().heard = Some(now);
        self.metrics
            .heard
            .set(i64::try_from(now.0 / 1000).unwrap_or(i64::MAX));
    }

    /// The latest head's note: at most five seconds old, or the last one verified while no newer one can be had.
    /// With `kept_only` that one without asking.
    pub(super) async fn latest(
        self: &Arc<Self>,
        context: &FetchContext,
        kept_only: bool,
    ) -> Result<DatabaseAnswer, SumdbError> {
        let found = |head: &Head, kept| DatabaseAnswer {
            body: head.note.clone(),
            kept,
        };
        let Some(head) = self.head() else {
            if kept_only {
                return Err(SumdbError::not_kept());
            }
            return Ok(found(&*self.some_head(context).await?, false));
        };
        if self.is_fresh() || kept_only || self.not_forked().is_err() {
            return Ok(found(&head, true));
        }
        match timeout(REFRESH_WAIT, self.refresh(context)).await {
            Ok(Err(error @ (SumdbError::Forged(_) | SumdbError::Inconsistent(_)))) => Err(error),
            Ok(Ok(())) => Ok(found(&self.head().unwrap_or(head), false)),
            Ok(Err(_)) | Err(_) => Ok(found(&self.head().unwrap_or(head), true)),
        }
    }

    /// Whether clients may be told that this database is served here: then they ask nobody else.
    /// With `kept_only` nobody is asked.
    pub(super) async fn can_serve(
        self: &Arc<Self>,
        context: &FetchContext,
        kept_only: bool,
    ) -> Result<(), SumdbError> {
        if kept_only {
            return self.head().map(drop).ok_or_else(SumdbError::not_kept);
        }
        self.some_head(context).await.map(drop)
    }

    /// Whether the head was heard a moment ago.
    pub(super) fn is_fresh(&self) -> bool {
        let heard = self.now.lock().heard;
        heard.is_some_and(|heard| self.clock.now().since(heard) < FRESH)
    }

    /// Counts, logs and remembers how asking the database went.
    pub(super) fn noted<T>(&self, what: &str, result: &Result<T, SumdbError>) {
        let word = match result {
            Ok(_) => "ok",
            Err(SumdbError::Unknown { .. }) => "unknown",
            Err(error) if error.is_grave() => "forged",
            Err(_) => "unavailable",
        };
        self.metrics.asked(word);
        let database = self.name();
        let answered = self.answers.swap(word != "unavailable", Ordering::Relaxed);
        if !answered && word != "unavailable" {
            tracing::info!(database, "the checksum database answers again");
        }
        let Err(error) = result else { return };
        match error {
            SumdbError::Unknown { .. } => {
                tracing::info!(database, what, %error, "the checksum database does not know this");
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

    /// An error while there is a fork that no operator has acknowledged.
    pub(super) fn not_forked(&self) -> Result<(), SumdbError> {
        self.not_closed()?;
        if self.alarms.is_open(AlarmKind::Fork) {
            Err(self.alarms.forked_error())
        } else {
            Ok(())
        }
    }

    pub(super) fn not_closed(&self) -> Result<(), SumdbError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(SumdbError::Unavailable {
                text: "its history is being forgotten".into(),
                retry_after: None,
            });
        }
        Ok(())
    }

    /// Nothing new is asked until it is opened again.
    pub(super) fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::Relaxed);
    }

    /// Requests for it that have not ended.
    pub(super) fn under_way(&self) -> usize {
        self.refreshes.under_way() + self.tiles.under_way()
    }

    /// Forgets everything, here and in what is kept.
    pub(super) async fn clear(&self) -> Result<(), StateError> {
        self.state.clear().await?;
        *self.now.lock() = Now::default();
        self.alarms.clear();
        self.tiles.clear();
        self.consistent.clear();
        self.show();
        Ok(())
    }

    /// Brings the gauge up to date.
    fn show(&self) {
        let size = self.head().map_or(0, |head| head.size);
        self.metrics
            .size
            .set(i64::try_from(size).unwrap_or(i64::MAX));
    }
}
