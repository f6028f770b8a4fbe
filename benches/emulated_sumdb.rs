//! A checksum database for the emulated upstream: the records of a folder of modules, spread over a log large enough that
//! hardly two of them share a tile, each look-up signed with a head of its own age, as from a mirror that keeps answers.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use larder::gomod::dirhash::hash_go_mod;
use larder::sumdb::TilePath;
use larder::sumdb::merkle::{Hash, Node, fold, leaf, node, roots};
use sha2::{Digest, Sha256};

/// Records in the log: 1,024 full tiles and a partial one.
const SIZE: u64 = (1 << 18) + 77;
/// The youngest look-up's head is that much smaller than the tree.
const AGES: u64 = 1 << 16;
const NAME: &str = "sum.bench.example";

/// The log.
pub struct Database {
    pair: Ed25519KeyPair,
    levels: Vec<Vec<Hash>>,
    lookups: HashMap<String, (u64, String)>,
}

impl Database {
    /// Of every version with a `.mod` in a folder in the download cache's layout.
    pub fn of(data: &Path) -> anyhow::Result<Self> {
        let mut versions = Vec::new();
        let mut folders = vec![data.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|kind| kind == "mod") {
                    versions.push(path);
                }
            }
        }
        versions.sort();
        let mut leaves: Vec<Hash> = (0..SIZE).map(|n| leaf(&n.to_be_bytes())).collect();
        let mut lookups = HashMap::new();
        let count = versions.len() as u64;
        for (n, path) in versions.iter().enumerate() {
            let relative = path.strip_prefix(data)?.with_extension("");
            let text = relative.to_str().context("a name")?;
            let (module, version) = text.split_once("/@v/").context("a version")?;
            let go_mod = hash_go_mod(&std::fs::read(path)?);
            // A version without a zip is never asked for it.
            let zip = std::fs::read_to_string(path.with_extension("ziphash"))
                .unwrap_or_else(|_| go_mod.to_string());
            let (name, number) = (super::unescape(module), super::unescape(version));
            let record = format!("{name} {number} {zip}\n{name} {number}/go.mod {go_mod}\n");
            let id = n as u64 * (SIZE - AGES) / count.max(1);
            leaves[id as usize] = leaf(record.as_bytes());
            lookups.insert(format!("{module}@{version}"), (id, record));
        }
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            let pairs = below.chunks_exact(2);
            levels.push(pairs.map(|pair| node(&pair[0], &pair[1])).collect());
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32])
            .ok()
            .context("a key")?;
        Ok(Database {
            pair,
            levels,
            lookups,
        })
    }

    /// As GOSUMDB names it.
    pub fn verifier(&self) -> String {
        let (hash, key) = self.key();
        format!(
            "{NAME}+{:08x}+{}",
            u32::from_be_bytes(hash),
            STANDARD.encode(key)
        )
    }

    fn key(&self) -> ([u8; 4], Vec<u8>) {
        let key = [&[1], self.pair.public_key().as_ref()].concat();
        let digest = Sha256::digest([NAME.as_bytes(), b"\n", &key].concat());
        ([digest[0], digest[1], digest[2], digest[3]], key)
    }

    fn note(&self, size: u64) -> String {
        let hashes: Vec<Hash> = roots(size).into_iter().map(|at| self.hash(at)).collect();
        let text = format!(
            "go.sum database tree\n{size}\n{}\n",
            STANDARD.encode(fold(&hashes))
        );
        let signature = self.pair.sign(text.as_bytes());
        let bytes = [&self.key().0[..], signature.as_ref()].concat();
        format!("{text}\n\u{2014} {NAME} {}\n", STANDARD.encode(bytes))
    }

    fn hash(&self, at: Node) -> Hash {
        self.levels[usize::from(at.level)][at.n as usize]
    }

    /// What is at a path below the upstream's root, if it is one of this database.
    pub fn find(&self, path: &str) -> Option<Bytes> {
        let path = path
            .strip_prefix("sumdb/")?
            .strip_prefix(NAME)?
            .strip_prefix('/')?;
        match path {
            "supported" => return Some(Bytes::new()),
            "latest" => return Some(self.note(SIZE).into()),
            _ => {}
        }
        if let Some(version) = path.strip_prefix("lookup/") {
            let (id, record) = self.lookups.get(version)?;
            let size = SIZE - id.wrapping_mul(0x9e37_79b9) % AGES;
            return Some(format!("{id}\n{record}\n{}", self.note(size)).into());
        }
        let tile = TilePath::parse(path)?;
        let level = self.levels.get(usize::from(tile.tile?) * 8)?;
        let start = usize::try_from(tile.index * 256).ok()?;
        let hashes = level.get(start..start + usize::from(tile.width))?;
        Some(hashes.concat().into())
    }
}
