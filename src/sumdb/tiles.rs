//! Reading the tree's hashes through tiles, so that each one used is vouched for by a signed root (protocol.md 4.4).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join, join_all};
use quick_cache::sync::Cache;
use tokio::sync::watch;

use super::error::{SumdbError, all, both};
use super::head::Head;
use super::merkle::{Hash, Node, fold, roots};
use super::seams::{Ask, State, Transport};
use super::tile::{FULL, Tile, TileId};
use crate::flights::{FlightOutcome, Flights};
use crate::kit::FetchContext;

/// Verified tiles in memory at the most; 8 KiB each.
const MEMORY: usize = 256;
/// Tiles that have come and are not verified yet.
const COMING: usize = 128;
/// Tile fetches under way at the most.
const FETCHES: usize = 4096;

type Fetching<K> = Flights<K, FlightOutcome<Result<Tile, SumdbError>>>;

/// The tiles of one database.
pub(super) struct Tiles {
    transport: Arc<dyn Transport>,
    state: Arc<dyn State>,
    /// Verified, each as wide as known.
    memory: Cache<TileId, Known>,
    /// Some of them could not be kept.
    behind: AtomicBool,
    /// Not verified: so that nobody fetches again what another is about to verify.
    coming: Cache<(TileId, u16), Tile>,
    fetches: Fetching<(TileId, u16)>,
    verified: Fetching<TileId>,
}

/// A verified tile.
#[derive(Clone)]
struct Known {
    tile: Tile,
    /// It is kept, not only known.
    stored: bool,
}

/// Tiles that verify under a head which is not adopted yet; to be kept if it is.
pub(super) struct Edge(HashMap<TileId, Tile>);

impl Tiles {
    pub(super) fn new(transport: Arc<dyn Transport>, state: Arc<dyn State>) -> Arc<Self> {
        Arc::new(Tiles {
            transport,
            state,
            memory: Cache::new(MEMORY),
            behind: AtomicBool::new(false),
            coming: Cache::new(COMING),
            fetches: Flights::new(FETCHES, Default::default()),
            verified: Flights::new(FETCHES, Default::default()),
        })
    }

    /// A kept tile, cut to `width`. What is kept has been verified.
    pub(super) async fn kept(&self, id: TileId, width: u16) -> Result<Option<Tile>, SumdbError> {
        let known = self.memory.get(&id);
        if let Some(cut) = known.and_then(|known| known.tile.narrowed(width)) {
            return Ok(Some(cut));
        }
        let bytes = self.state.tile(&id.path(FULL)).await.map_err(store)?;
        let Some(tile) = bytes.and_then(Tile::new) else {
            return Ok(None);
        };
        let cut = tile.narrowed(width);
        self.remember(id, &tile, true);
        Ok(cut)
    }

    fn remember(&self, id: TileId, tile: &Tile, stored: bool) {
        let wider = |known: Known| {
            let (known, width) = ((known.tile.width(), known.stored), tile.width());
            known.0 > width || (known.0 == width && known.1)
        };
        if !self.memory.peek(&id).is_some_and(wider) {
            let tile = tile.clone();
            self.memory.insert(id, Known { tile, stored });
        }
    }

    /// Keeps a verified tile, unless as much of it is kept already. A full disk only means that it is fetched again.
    pub(super) async fn keep(&self, id: TileId, tile: &Tile) {
        self.coming.remove(&(id, tile.width()));
        if matches!(self.kept(id, tile.width()).await, Ok(Some(_))) {
            return;
        }
        self.remember(id, tile, false);
        self.store(id, tile).await;
    }

    /// Hashes of a head's tree; the head has been adopted.
    pub(super) async fn hashes(
        self: &Arc<Self>,
        head: &Arc<Head>,
        nodes: &[Node],
        context: &FetchContext,
    ) -> Result<Vec<Hash>, SumdbError> {
        let mut ids: Vec<TileId> = nodes.iter().map(|node| TileId::of(*node).0).collect();
        ids.sort_unstable();
        ids.dedup();
        let read = ids.iter().map(|id| self.tile(head, *id, context));
        let tiles: HashMap<_, _> = ids.iter().copied().zip(all(read).await?).collect();
        nodes.iter().map(|node| hash_in(&tiles, *node)).collect()
    }

    /// A tile of an adopted head's tree, as wide as it is there. Kept ones need no second look; others are fetched, their
    /// ancestors beside them, and compared with their place in the one above.
    pub(super) fn tile(
        self: &Arc<Self>,
        head: &Arc<Head>,
        id: TileId,
        context: &FetchContext,
    ) -> BoxFuture<'static, Result<Tile, SumdbError>> {
        let (tiles, head, context) = (Arc::clone(self), Arc::clone(head), context.clone());
        async move {
            let width = id.width(head.size);
            if let Some(tile) = tiles.kept(id, width).await? {
                return Ok(tile);
            }
            if TileId::edge(head.size).contains(&id) {
                // Kept when the head was adopted, and lost since.
                let edge = tiles.edge(&head, &context).await?;
                tiles.keep_all(&edge).await;
                return edge.0.get(&id).cloned().ok_or_else(|| beyond(id));
            }
            if width < FULL {
                return Err(beyond(id));
            }
            let flight = tiles.verified.outcome(&id, |place| {
                let (sender, receiver) = watch::channel(None);
                let tiles = Arc::clone(&tiles);
                let (head, context) = (Arc::clone(&head), context.clone());
                let work = async move {
                    let tile = tiles.verify(&head, id, &context).await;
                    match &tile {
                        Ok(tile) => tiles.remember(id, tile, false),
                        Err(_) => place.leave(),
                    }
                    sender.send_replace(Some(tile.clone()));
                    if let Ok(tile) = &tile {
                        tiles.store(id, tile).await;
                    }
                };
                (receiver, work)
            });
            landed(flight.await)
        }
        .boxed()
    }

    async fn store(&self, id: TileId, tile: &Tile) {
        self.coming.remove(&(id, tile.width()));
        if !self.state.has_room() {
            self.behind.store(true, Ordering::Relaxed);
            return;
        }
        let key = id.path(FULL);
        match self.state.put_tile(&key, tile.bytes().clone()).await {
            Ok(()) => self.remember(id, tile, true),
            Err(error) => {
                self.behind.store(true, Ordering::Relaxed);
                tracing::warn!(%error, "a tile of the checksum database could not be kept");
            }
        }
    }

    /// Keeps what there was no room for when it came.
    pub(super) async fn catch_up(&self) {
        if !self.state.has_room() || !self.behind.swap(false, Ordering::Relaxed) {
            return;
        }
        let known: Vec<(TileId, Known)> = self.memory.iter().collect();
        for (id, known) in known {
            if !known.stored {
                self.store(id, &known.tile).await;
            }
        }
    }

    /// What has come for a tile is not it, under whichever of its names it came.
    pub(super) fn reject(&self, id: TileId, width: u16) {
        self.coming.remove(&(id, width));
        self.coming.remove(&(id, FULL));
    }

    /// A full tile that is not on the edge.
    async fn verify(
        self: &Arc<Self>,
        head: &Arc<Head>,
        id: TileId,
        context: &FetchContext,
    ) -> Result<Tile, SumdbError> {
        let (above, slot) = id.parent();
        let asked = join(
            self.fetch(id, FULL, context),
            self.tile(head, above, context),
        )
        .await;
        let (tile, parent) = both(asked.0, asked.1)?;
        if tile.subtree(0..usize::from(FULL)) == parent.hash(slot) {
            Ok(tile)
        } else {
            self.reject(id, FULL);
            Err(inconsistent(id))
        }
    }

    /// The tiles on the edge of a signed tree, which together must give its root.
    async fn edge(
        self: &Arc<Self>,
        head: &Head,
        context: &FetchContext,
    ) -> Result<Edge, SumdbError> {
        let ids = TileId::edge(head.size);
        let mut known = HashMap::new();
        for id in &ids {
            if let Some(tile) = self.kept(*id, id.width(head.size)).await? {
                known.insert(*id, tile);
            }
        }
        let from_kept = !known.is_empty();
        let missing = ids.iter().filter(|id| !known.contains_key(id));
        let mut edge = known.clone();
        edge.extend(self.fetch_all(missing, head, context).await?);
        if !gives_root(&edge, head) && from_kept {
            // Perhaps this head contradicts what is kept; only what comes from the same place can tell.
            edge.extend(self.fetch_all(known.keys(), head, context).await?);
        }
        if gives_root(&edge, head) {
            return Ok(Edge(edge));
        }
        for id in &ids {
            self.reject(*id, id.width(head.size));
        }
        Err(SumdbError::Inconsistent(format!(
            "the tiles at the edge of the tree do not give the root that the database has signed for {} records",
            head.size
        )))
    }

    async fn fetch_all(
        self: &Arc<Self>,
        ids: impl Iterator<Item = &TileId>,
        head: &Head,
        context: &FetchContext,
    ) -> Result<Vec<(TileId, Tile)>, SumdbError> {
        let fetch = ids.map(|id| async move {
            let tile = self.fetch(*id, id.width(head.size), context).await?;
            Ok::<_, SumdbError>((*id, tile))
        });
        all(fetch).await
    }

    /// Verifies the edge of a first head: there is no older one that it could contradict.
    pub(super) async fn first(
        self: &Arc<Self>,
        head: &Head,
        context: &FetchContext,
    ) -> Result<Edge, SumdbError> {
        self.edge(head, context).await
    }

    /// Verifies that `new` continues `old`. `Ok(None)` means that it does not, although its own tiles are in order: a
    /// fork. Kept tiles are looked at like fetched ones here, because they belong to `old`.
    pub(super) async fn continues(
        self: &Arc<Self>,
        old: &Head,
        new: &Head,
        context: &FetchContext,
    ) -> Result<Option<Edge>, SumdbError> {
        let mut known = self.edge(new, context).await?.0;
        let nodes = roots(old.size);
        let mut wanted: Vec<TileId> = Vec::new();
        for node in &nodes {
            let mut id = TileId::of(*node).0;
            while !known.contains_key(&id) && !wanted.contains(&id) {
                wanted.push(id);
                id = id.parent().0;
            }
        }
        // From the top down, so that each one's parent is verified before it.
        wanted.sort_unstable_by_key(|id| std::cmp::Reverse(id.level));
        let mut tiles: HashMap<TileId, Result<Tile, SumdbError>> = HashMap::new();
        for id in &wanted {
            if let Some(tile) = self.kept(*id, FULL).await? {
                tiles.insert(*id, Ok(tile));
            }
        }
        let missing = wanted.iter().filter(|id| !tiles.contains_key(id));
        let fetch = missing.map(|id| async move { (*id, self.fetch(*id, FULL, context).await) });
        tiles.extend(join_all(fetch).await);
        // What is missing ends this only when all that is there has been looked at: some of it may be forged, or prove
        // that there are two histories.
        let mut gravest: Option<SumdbError> = None;
        let mut failed = |error: SumdbError| {
            gravest = Some(match gravest.take() {
                Some(known) => known.or_graver(error),
                None => error,
            });
        };
        for id in wanted {
            let (above, slot) = id.parent();
            let Some(place) = known.get(&above).and_then(|parent| parent.hash(slot)) else {
                // The one above failed, and has said so.
                continue;
            };
            let fits = |tile: &Tile| tile.subtree(0..usize::from(FULL)) == Some(place);
            let mut tile = tiles.remove(&id).unwrap_or_else(|| Err(beyond(id)));
            if tile.as_ref().is_ok_and(|tile| !fits(tile)) {
                self.reject(id, FULL);
                tile = self.fetch(id, FULL, context).await;
            }
            match tile {
                Ok(tile) if fits(&tile) => {
                    known.insert(id, tile);
                }
                Ok(_) => {
                    self.reject(id, FULL);
                    failed(inconsistent(id));
                }
                Err(error) => failed(error),
            }
        }
        if self.contradicted(&known).await? {
            return Ok(None);
        }
        if let Some(error) = gravest {
            return Err(error);
        }
        let hashes: Vec<Hash> = nodes
            .iter()
            .map(|node| hash_in(&known, *node))
            .collect::<Result<_, _>>()?;
        Ok((fold(&hashes) == old.root).then_some(Edge(known)))
    }

    /// Whether the tree that `head` signs, an older one than the latest, contradicts what is kept: to be asked when the
    /// latest tree cannot show whether it is a prefix of it, since whoever was asked does not have, or does not give, all
    /// of the latest tree. Its own tiles may prove that it is another one.
    pub(super) async fn is_another(
        self: &Arc<Self>,
        head: &Head,
        context: &FetchContext,
    ) -> Result<bool, SumdbError> {
        let edge = self.edge(head, context).await?;
        self.contradicted(&edge.0).await
    }

    /// Whether tiles that verify under one signed head differ from kept ones, which verify under another: as far as a
    /// tile is in both trees, it is the same in both.
    async fn contradicted(&self, tiles: &HashMap<TileId, Tile>) -> Result<bool, SumdbError> {
        for (id, tile) in tiles {
            let Some(kept) = self.kept_as_known(*id).await? else {
                continue;
            };
            let width = kept.width().min(tile.width());
            if kept.narrowed(width) != tile.narrowed(width) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// As much of a tile as is kept.
    async fn kept_as_known(&self, id: TileId) -> Result<Option<Tile>, SumdbError> {
        if let Some(known) = self.memory.get(&id) {
            return Ok(Some(known.tile));
        }
        let bytes = self.state.tile(&id.path(FULL)).await.map_err(store)?;
        Ok(bytes.and_then(Tile::new))
    }

    /// Keeps what verified a head that has been adopted.
    pub(super) async fn keep_all(&self, edge: &Edge) {
        for (id, tile) in &edge.0 {
            self.keep(*id, tile).await;
        }
    }

    /// Fetches a tile: as narrow as it is in the tree, or, if that one cannot be had, the full one cut (protocol.md 4.3).
    async fn fetch(
        self: &Arc<Self>,
        id: TileId,
        width: u16,
        context: &FetchContext,
    ) -> Result<Tile, SumdbError> {
        match self.fetch_exactly(id, width, context).await {
            Err(
                error
                @ (SumdbError::Unknown { .. } | SumdbError::Refused(_) | SumdbError::Fault(_)),
            ) if width < FULL => {
                match self.fetch_exactly(id, FULL, context).await {
                    Ok(full) => full.narrowed(width).ok_or_else(|| beyond(id)),
                    // That there is no full one yet says nothing.
                    Err(full) if full.is_grave() => Err(full),
                    Err(_) => Err(error),
                }
            }
            tile => tile,
        }
    }

    /// Fetches a tile under exactly this name; nothing is verified but its size.
    pub(super) async fn fetch_exactly(
        self: &Arc<Self>,
        id: TileId,
        width: u16,
        context: &FetchContext,
    ) -> Result<Tile, SumdbError> {
        if let Some(tile) = self.coming.get(&(id, width)) {
            return Ok(tile);
        }
        let key = (id, width);
        let flight = self.fetches.outcome(&key, |place| {
            let (sender, receiver) = watch::channel(None);
            let tiles = Arc::clone(self);
            let ask = Ask {
                path: id.path(width),
                lookup: None,
                max: u64::from(FULL) * 32,
                context: context.clone(),
            };
            let work = async move {
                let tile = match tiles.transport.get(&ask).await {
                    Ok(bytes) => sized(&ask.path, bytes, width),
                    Err(error) => Err(error),
                };
                match &tile {
                    Ok(tile) => tiles.coming.insert((id, width), tile.clone()),
                    Err(_) => place.leave(),
                }
                sender.send_replace(Some(tile));
            };
            (receiver, work)
        });
        landed(flight.await)
    }

    /// Fetches under way.
    pub(super) fn under_way(&self) -> usize {
        self.fetches.under_way() + self.verified.under_way()
    }

    /// Forgets what is in memory.
    pub(super) fn clear(&self) {
        self.memory.clear();
        self.coming.clear();
    }
}

fn landed(outcome: Option<Option<Result<Tile, SumdbError>>>) -> Result<Tile, SumdbError> {
    outcome
        .ok_or(SumdbError::Overloaded)?
        .unwrap_or_else(|| Err(SumdbError::Fault("the fetch ended unexpectedly".into())))
}

fn sized(path: &str, bytes: Bytes, width: u16) -> Result<Tile, SumdbError> {
    let found = bytes.len();
    Tile::new(bytes)
        .filter(|tile| tile.width() == width)
        .ok_or_else(|| {
            SumdbError::Forged(format!(
                "{path} has {found} bytes instead of {}",
                usize::from(width) * 32
            ))
        })
}

fn gives_root(edge: &HashMap<TileId, Tile>, head: &Head) -> bool {
    let hashes: Result<Vec<Hash>, _> = roots(head.size)
        .into_iter()
        .map(|node| hash_in(edge, node))
        .collect();
    hashes.is_ok_and(|hashes| fold(&hashes) == head.root)
}

fn hash_in(tiles: &HashMap<TileId, Tile>, node: Node) -> Result<Hash, SumdbError> {
    let (id, range) = TileId::of(node);
    tiles
        .get(&id)
        .and_then(|tile| tile.subtree(range))
        .ok_or_else(|| beyond(id))
}

fn beyond(id: TileId) -> SumdbError {
    SumdbError::Forged(format!("{} lies beyond the tree", id.path(FULL)))
}

fn inconsistent(id: TileId) -> SumdbError {
    SumdbError::Inconsistent(format!(
        "{} does not belong to the tree that the database has signed",
        id.path(FULL)
    ))
}

pub(super) fn store(error: super::seams::StateError) -> SumdbError {
    SumdbError::Store(error.0)
}
