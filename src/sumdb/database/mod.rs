//! One checksum database: verified look-ups, one growing history, and what a relay may answer (protocol.md 4.5, 4.6).

mod alarms;
mod found;
mod history;
mod records;
mod relayed;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

pub use self::found::DatabaseAnswer;
use self::history::History;
use self::records::Records;
use self::relayed::RelayedTiles;
use super::alarm::Alarm;
use super::error::SumdbError;
use super::key::VerifierKey;
use super::record::Sums;
use super::seams::{State, StateError, Transport};
use super::tile::TilePath;
use crate::clock::{SharedClock, Timestamp};
use crate::gomod::{ModulePath, Version};
use crate::kit::FetchContext;
use crate::telemetry::metrics::SumdbMetrics;

/// How long what is under way may take to end before everything is forgotten.
const CLOSING: Duration = Duration::from_secs(90);

/// A database's client.
pub struct Database {
    history: Arc<History>,
    records: Arc<Records>,
    tiles: Arc<RelayedTiles>,
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
        let history = History::open(key, transport, state, clock, metrics).await?;
        Ok(Arc::new(Database {
            records: Records::new(Arc::clone(&history), negative_ttl),
            tiles: RelayedTiles::new(Arc::clone(&history)),
            history,
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.history.name()
    }

    /// Whether it answers, as far as is known.
    pub fn answers(&self) -> bool {
        self.history.answers()
    }

    /// What an operator sees of it.
    pub fn status(&self) -> Status {
        let (head, heard) = self.history.latest_known();
        Status {
            name: self.name().to_owned(),
            size: head.as_ref().map(|head| head.size),
            note: head.map(|head| head.note.clone()),
            heard,
            alarms: self.history.alarms.raised(),
        }
    }

    /// What it says of a version, verified.
    pub async fn sums(
        &self,
        module: &ModulePath,
        version: &Version,
        context: &FetchContext,
    ) -> Result<Sums, SumdbError> {
        self.records.sums(module, version, context).await
    }

    /// The body of a look-up, verified, as it came.
    pub async fn lookup(
        &self,
        module: &ModulePath,
        version: &Version,
        context: &FetchContext,
    ) -> Result<DatabaseAnswer, SumdbError> {
        self.records.lookup(module, version, context).await
    }

    /// The body of a look-up if it is kept; else unknown, without asking anybody.
    pub async fn kept(
        &self,
        module: &ModulePath,
        version: &Version,
    ) -> Result<DatabaseAnswer, SumdbError> {
        self.records.kept(module, version).await
    }

    /// Forgets that a version is unknown, so that it is asked about again.
    pub fn forget_unknown(&self, module: &ModulePath, version: &Version) {
        self.records.forget_unknown(module, version);
    }

    /// The latest head's note: at most five seconds old, or the last one verified while no newer one can be had.
    /// With `kept_only` that one without asking.
    pub async fn latest(
        &self,
        context: &FetchContext,
        kept_only: bool,
    ) -> Result<DatabaseAnswer, SumdbError> {
        self.history.latest(context, kept_only).await
    }

    /// Whether clients may be told that this database is served here: then they ask nobody else.
    /// With `kept_only` nobody is asked.
    pub async fn can_serve(
        &self,
        context: &FetchContext,
        kept_only: bool,
    ) -> Result<(), SumdbError> {
        self.history.can_serve(context, kept_only).await
    }

    /// A tile, verified; cut out of a wider one if that is kept.
    pub async fn tile(
        &self,
        path: TilePath,
        context: &FetchContext,
    ) -> Result<DatabaseAnswer, SumdbError> {
        self.tiles.tile(path, context).await
    }

    /// A tile if it is kept; else unknown, without asking anybody.
    pub async fn kept_tile(&self, path: TilePath) -> Result<DatabaseAnswer, SumdbError> {
        self.tiles.kept_tile(path).await
    }

    /// The refusal of whatever this database cannot prove, while an alarm stands that no operator has acknowledged.
    pub fn alarm(&self) -> Option<SumdbError> {
        self.history.alarms.alarm()
    }

    /// An operator knows of the alarms: gives how many there were.
    pub async fn acknowledge(&self) -> usize {
        self.history.alarms.acknowledge().await
    }

    /// Forgets everything that is kept of this database, as if it had never been asked: for a database of one's own that
    /// was made anew.
    pub async fn begin_anew(&self) -> Result<(), StateError> {
        self.history.close(true);
        let cleared = self.clear().await;
        self.history.close(false);
        cleared
    }

    /// Clears everything, once nothing is under way that would bring some of it back.
    async fn clear(&self) -> Result<(), StateError> {
        let over = Instant::now() + CLOSING;
        let under_way =
            || self.history.under_way() + self.records.under_way() + self.tiles.under_way();
        while under_way() > 0 {
            if Instant::now() > over {
                return Err(StateError(
                    "look-ups under way do not end; try again".into(),
                ));
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.history.clear().await?;
        self.records.clear();
        Ok(())
    }
}
