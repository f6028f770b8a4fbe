//! The arithmetic of the log's Merkle tree (protocol.md 4.4, RFC 6962 2.1). Pure.

use sha2::{Digest, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// Places of the tree: the `n`th complete subtree of `2^level` leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// Of a leaf, 0.
    pub level: u8,
    /// Counted from the left, from 0.
    pub n: u64,
}

/// The hash of a record's text.
pub fn leaf(record: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(record)
        .finalize()
        .into()
}

/// The hash of two subtrees.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut both = [1; 65];
    both[1..33].copy_from_slice(left);
    both[33..].copy_from_slice(right);
    Sha256::digest(both).into()
}

/// The largest complete subtrees that make up a tree of `size` leaves, from left to right.
pub fn roots(size: u64) -> Vec<Node> {
    let mut done = 0;
    (0..64_u8)
        .rev()
        .filter(|level| size >> level & 1 == 1)
        .map(|level| {
            let n = done >> level;
            done += 1 << level;
            Node { level, n }
        })
        .collect()
}

/// The tree's root from the hashes of its [`roots`].
pub fn fold(hashes: &[Hash]) -> Hash {
    hashes
        .iter()
        .rev()
        .copied()
        .reduce(|right, left| node(&left, &right))
        .unwrap_or_else(|| Sha256::digest([]).into())
}

/// The hash of a complete subtree over `hashes`, whose number must be a power of two.
pub fn complete(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        [left, right] => node(left, right),
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node(&complete(left), &complete(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// By RFC 6962's own recursion.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node(&by_definition(left), &by_definition(right))
            }
        }
    }

    fn hash_of(leaves: &[Hash], at: Node) -> Hash {
        let width = 1_usize << at.level;
        let start = usize::try_from(at.n).unwrap() * width;
        complete(&leaves[start..start + width])
    }

    #[test]
    fn the_reference_vectors() {
        let record = |name: char| {
            format!("{name}.com/{name} v1.0.0 h1:AAA=\n{name}.com/{name} v1.0.0/go.mod h1:BBB=\n")
                .replace("a.com/a", "a.com/m")
        };
        let texts =
            ["m", "n", "o"].map(|name| record('a').replace("a.com/m", &format!("a.com/{name}")));
        let leaves: Vec<Hash> = texts.iter().map(|text| leaf(text.as_bytes())).collect();
        let root = |size: usize| STANDARD.encode(by_definition(&leaves[..size]));
        assert_eq!(root(1), "2ZJU+biMn1sg8qlW7Layt3iXc+pN34nH7O1+xbSQ8e4=");
        assert_eq!(root(2), "jgu59bzlA2JQ/icVCO6FlcYmfeVRopjl2NM6+o5x8uA=");
        assert_eq!(root(3), "NxVwu8et7V28+KKRj4kuoNoy+ST4JSEnjcteGA+d/+Q=");
    }

    #[test]
    fn roots_and_fold_give_the_root_for_every_size() {
        let leaves: Vec<Hash> = (0..300_u32).map(|i| leaf(&i.to_be_bytes())).collect();
        for size in 0..=300 {
            let hashes: Vec<Hash> = roots(size as u64)
                .into_iter()
                .map(|at| hash_of(&leaves, at))
                .collect();
            assert_eq!(fold(&hashes), by_definition(&leaves[..size]), "{size}");
        }
    }

    #[test]
    fn roots_of_large_trees() {
        assert_eq!(roots(0), []);
        assert_eq!(roots(u64::MAX).len(), 64);
        assert_eq!(roots(6), [Node { level: 2, n: 0 }, Node { level: 1, n: 2 }]);
    }
}
