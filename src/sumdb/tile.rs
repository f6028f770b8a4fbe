//! Tiles: the pieces in which the tree's hashes travel (protocol.md 4.3 and 4.4). Pure.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::merkle::{Hash, Node, complete, roots};

/// Hashes of a full tile.
pub const FULL: u16 = 256;
/// Levels of the tree that one tile covers; the only height that clients ask for.
const HEIGHT: u8 = 8;
/// The last level of tiles of a tree that has at most 2^64 leaves.
const MAX_LEVEL: u8 = 63;

/// A tile's place: `index`th from the left among those of its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Tiles of level 0 hold hashes of leaves, of level 1 roots of full tiles of level 0, …
    pub level: u8,
    /// From the left, from 0.
    pub index: u64,
}

impl TileId {
    /// Hashes of this tile in a tree of `size` leaves; 0 if it is not there.
    pub fn width(self, size: u64) -> u16 {
        let at_level = size
            .checked_shr(u32::from(HEIGHT) * u32::from(self.level))
            .unwrap_or(0);
        let before = self.index.saturating_mul(u64::from(FULL));
        // At most 256.
        at_level.saturating_sub(before).min(u64::from(FULL)) as u16
    }

    /// The tile that holds the root of this one, if full, and at which place.
    pub fn parent(self) -> (TileId, usize) {
        let parent = TileId {
            level: self.level + 1,
            index: self.index >> HEIGHT,
        };
        (parent, (self.index & 0xff) as usize)
    }

    /// The tile that holds a hash, and from which of its hashes that is made.
    pub fn of(node: Node) -> (TileId, Range<usize>) {
        let (level, within) = (node.level / HEIGHT, node.level % HEIGHT);
        let width = 1_usize << within;
        let per_tile = HEIGHT - within;
        let id = TileId {
            level,
            index: node.n >> per_tile,
        };
        let place = (node.n & ((1 << per_tile) - 1)) as usize;
        (id, place * width..(place + 1) * width)
    }

    /// The tiles that hold the roots of a tree of `size` leaves: the edge of the tree. The root can be computed from them.
    pub fn edge(size: u64) -> Vec<TileId> {
        let mut tiles: Vec<_> = roots(size)
            .into_iter()
            .map(|root| TileId::of(root).0)
            .collect();
        tiles.dedup();
        tiles
    }

    /// Below the database's root: `tile/8/0/x001/234`, with `.p/17` if it is not full.
    pub fn path(self, width: u16) -> String {
        TilePath {
            tile: Some(self.level),
            index: self.index,
            width,
        }
        .to_string()
    }
}

/// The path of a tile of hashes or of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TilePath {
    /// The level of a tile of hashes; `None` for one of records.
    pub tile: Option<u8>,
    /// From the left, from 0.
    pub index: u64,
    /// Hashes or records, 1 to 256.
    pub width: u16,
}

impl TilePath {
    /// Reads a path below the database's root; nothing but what [`fmt::Display`] writes.
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/8/")?;
        let (level, rest) = rest.split_once('/')?;
        let tile = match level {
            "data" => None,
            level => Some(level.parse().ok().filter(|level| *level <= MAX_LEVEL)?),
        };
        let (place, width) = match rest.split_once(".p/") {
            Some((place, width)) => (
                place,
                width
                    .parse()
                    .ok()
                    .filter(|width| (1..FULL).contains(width))?,
            ),
            None => (rest, FULL),
        };
        let digits: String = place.chars().filter(|c| !matches!(c, 'x' | '/')).collect();
        let parsed = TilePath {
            tile,
            index: digits.parse().ok().filter(|index| *index < 1 << 55)?,
            width,
        };
        // Only the one way to write it.
        (parsed.to_string() == path).then_some(parsed)
    }

    /// The tile of leaves whose records, or the tile of which the hashes, are meant.
    pub fn id(self) -> TileId {
        TileId {
            level: self.tile.unwrap_or(0),
            index: self.index,
        }
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tile {
            Some(level) => write!(f, "tile/{HEIGHT}/{level}/")?,
            None => write!(f, "tile/{HEIGHT}/data/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for group in groups[1..].iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups[0])?;
        if self.width < FULL {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// The content of a tile: 1 to 256 hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile(Bytes);

impl Tile {
    /// `None` unless these are whole hashes, and not too many.
    pub fn new(bytes: Bytes) -> Option<Self> {
        let whole = bytes.len().is_multiple_of(32) && (1..=256).contains(&(bytes.len() / 32));
        whole.then_some(Tile(bytes))
    }

    /// Hashes in it.
    pub fn width(&self) -> u16 {
        // At most 256, by construction.
        (self.0.len() / 32) as u16
    }

    /// Its first `width` hashes: what the same tile was in a smaller tree.
    pub fn narrowed(&self, width: u16) -> Option<Tile> {
        (1..=self.width())
            .contains(&width)
            .then(|| Tile(self.0.slice(..usize::from(width) * 32)))
    }

    /// As it travels.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The `at`th hash.
    pub fn hash(&self, at: usize) -> Option<Hash> {
        self.0.get(at * 32..(at + 1) * 32)?.try_into().ok()
    }

    /// The hash of the subtree over some of its hashes; their number is a power of two.
    pub fn subtree(&self, range: Range<usize>) -> Option<Hash> {
        let hashes: Option<Vec<Hash>> = range.map(|at| self.hash(at)).collect();
        Some(complete(&hashes?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn c71_paths_in_the_one_way_to_write_them() {
        for (index, path) in [
            (5, "tile/8/0/005"),
            (1000, "tile/8/0/x001/000"),
            (1_234_067, "tile/8/0/x001/x234/067"),
        ] {
            let id = TileId { level: 0, index };
            assert_eq!(id.path(FULL), path);
            assert_eq!(TilePath::parse(path).unwrap().id(), id);
        }
        let partial = TilePath::parse("tile/8/data/x001/000.p/17").unwrap();
        assert_eq!(
            (partial.tile, partial.index, partial.width),
            (None, 1000, 17)
        );
        for bad in [
            "tile/8/0/0",
            "tile/8/0/x000/000",
            "tile/8/0/001/234",
            "tile/8/0/000.p/0",
            "tile/8/0/000.p/256",
            "tile/8/0/000.p/05",
            "tile/8/08/000",
            "tile/08/0/000",
            "tile/9/0/000",
            "tile/8/64/000",
            "tile/8/0/",
            "tile/8/0/000/",
            "tile/8/0/x001",
            "tile/8/0/-01",
            "tile/8/-1/000",
            "tile/8/0/000.p/+5",
            "tile/8/Data/000",
            "tile/8/0/000.p/",
            "tile/8/0/xx01/000",
            "tile/8/0/x999/x999/x999/x999/x999/x999/999",
            "tile/8/0/../000",
        ] {
            assert_eq!(TilePath::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn paths_round_trip(level in prop::option::of(0_u8..=63), index in 0_u64..1 << 55, width in 1_u16..=256) {
            let path = TilePath { tile: level, index, width };
            prop_assert_eq!(TilePath::parse(&path.to_string()), Some(path));
        }

        #[test]
        fn a_hash_lies_in_its_tile(level in 0_u8..56, n in 0_u64..1 << 40, size in 1_u64..1 << 50) {
            let (id, range) = TileId::of(Node { level, n });
            prop_assert!(range.end <= 256);
            prop_assert_eq!(range.len(), 1 << (level % 8));
            // It is in the tree exactly if the tile is wide enough there.
            let there = (u128::from(n) + 1) << level <= u128::from(size);
            prop_assert_eq!(usize::from(id.width(size)) >= range.end, there);
        }

        #[test]
        fn every_tile_leads_to_the_edge(index in 0_u64..1 << 40, size in 1_u64..1 << 50) {
            let mut id = TileId { level: 0, index };
            prop_assume!(id.width(size) > 0);
            let edge = TileId::edge(size);
            let mut steps = 0;
            while !edge.contains(&id) {
                prop_assert_eq!(id.width(size), FULL);
                let (parent, slot) = id.parent();
                prop_assert!(usize::from(parent.width(size)) > slot);
                id = parent;
                steps += 1;
            }
            prop_assert!(steps < 8);
        }
    }
}
