//! Tiles as a relay gives them to clients: verified, or not at all.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::found::DatabaseAnswer;
use super::history::History;
use crate::flights::{FlightOutcome, Flights};
use crate::kit::FetchContext;
use crate::sumdb::error::{SumdbError, both};
use crate::sumdb::head::Head;
use crate::sumdb::merkle::leaf;
use crate::sumdb::record::texts;
use crate::sumdb::seams::Ask;
use crate::sumdb::tile::{FULL, TileId, TilePath};
use crate::sumdb::tiles::store;

/// The records of one tile. Bytes.
const MAX_DATA: u64 = 1 << 20;
/// Fetches under way at the most.
const FETCHES: usize = 2048;

/// A database's tiles, for clients.
pub(super) struct RelayedTiles {
    history: Arc<History>,
    flights: Flights<TilePath, FlightOutcome<Result<Bytes, SumdbError>>>,
}

impl RelayedTiles {
    /// Of this history.
    pub(super) fn new(history: Arc<History>) -> Arc<Self> {
        Arc::new(RelayedTiles {
            history,
            flights: Flights::new(FETCHES, Default::default()),
        })
    }

    /// A tile, verified; cut out of a wider one if that is kept.
    pub(super) async fn tile(
        self: &Arc<Self>,
        path: TilePath,
        context: &FetchContext,
    ) -> Result<DatabaseAnswer, SumdbError> {
        match self.kept_tile(path).await {
            Err(SumdbError::Unknown { .. }) => {}
            found => return found,
        }
        self.history.not_closed()?;
        let flight = self.flights.outcome(&path, |place| {
            let (sender, receiver) = watch::channel(None);
            let (tiles, context) = (Arc::clone(self), context.clone());
            let work = async move {
                let result = match path.tile {
                    Some(_) => tiles.hash_tile(path.id(), path.width, &context).await,
                    None => tiles.data_tile(path, &context).await,
                };
                let result = tiles.history.alarms.watched(result).await;
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
        Ok(DatabaseAnswer { body, kept: false })
    }

    /// A tile if it is kept; else unknown, without asking anybody.
    pub(super) async fn kept_tile(&self, path: TilePath) -> Result<DatabaseAnswer, SumdbError> {
        let body = match path.tile {
            Some(_) => {
                let tile = self.history.tiles.kept(path.id(), path.width).await?;
                tile.map(|tile| tile.bytes().clone())
            }
            None => {
                let kept = self.history.state.tile(&full(path)).await.map_err(store)?;
                kept.and_then(|kept| first_records(&kept, usize::from(path.width)))
            }
        };
        let body = body.ok_or_else(SumdbError::not_kept)?;
        Ok(DatabaseAnswer { body, kept: true })
    }

    async fn hash_tile(
        self: &Arc<Self>,
        id: TileId,
        width: u16,
        context: &FetchContext,
    ) -> Result<Bytes, SumdbError> {
        let head = self.head_with(id, width, context).await?;
        let wide = id.width(head.size);
        // Narrower than the tree has it now: whether it is still there is the database's to say, and clients ask for the
        // full one if not.
        let exactly = match width < wide {
            true => Some(self.history.tiles.fetch_exactly(id, width, context).await?),
            false => None,
        };
        let tile = self
            .history
            .tiles
            .tile(&head, id, context)
            .await?
            .narrowed(width);
        let tile = tile.ok_or_else(|| not_there(id, width))?;
        if exactly.is_some_and(|exactly| exactly != tile) {
            self.history.tiles.reject(id, width);
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
        context: &FetchContext,
    ) -> Result<Arc<Head>, SumdbError> {
        let head = self.history.some_head(context).await?;
        if id.width(head.size) >= width {
            return Ok(head);
        }
        self.history.not_forked()?;
        if self.history.is_fresh() {
            return Err(not_there(id, width));
        }
        self.history.refresh(context).await?;
        self.history
            .head()
            .filter(|head| id.width(head.size) >= width)
            .ok_or_else(|| not_there(id, width))
    }

    /// The records of a tile's leaves.
    async fn data_tile(
        self: &Arc<Self>,
        path: TilePath,
        context: &FetchContext,
    ) -> Result<Bytes, SumdbError> {
        let width = usize::from(path.width);
        let head = self.head_with(path.id(), path.width, context).await?;
        let ask = Ask {
            path: path.to_string(),
            lookup: None,
            max: MAX_DATA,
            context: context.clone(),
        };
        let leaves = self.history.tiles.tile(&head, path.id(), context);
        let (body, leaves) = tokio::join!(self.history.transport.get(&ask), leaves);
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
        if !self.history.state.has_room() {
            return Ok(body);
        }
        if let Err(error) = self.history.state.put_tile(&full(path), body.clone()).await {
            tracing::warn!(database = self.history.name(), %error, "a tile of records could not be kept");
        }
        Ok(body)
    }

    /// Fetches that have not ended.
    pub(super) fn under_way(&self) -> usize {
        self.flights.under_way()
    }
}

fn not_there(id: TileId, width: u16) -> SumdbError {
    SumdbError::Unknown {
        gone: false,
        text: format!("not found: the tree has no {} yet", id.path(width)),
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
