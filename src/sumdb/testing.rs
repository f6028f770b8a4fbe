//! A signer and a log of our own, for tests.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::head::Head;
use super::key::VerifierKey;
use super::merkle::{Hash, Node, fold, leaf, node, roots};
use super::tile::{TileId, TilePath};

/// Signs notes.
pub struct Signer {
    name: String,
    pair: Ed25519KeyPair,
}

impl Signer {
    pub fn new(name: &str, seed: u8) -> Self {
        Signer {
            name: name.to_owned(),
            pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(),
        }
    }

    fn key(&self) -> (u32, Vec<u8>) {
        let key = [&[1], self.pair.public_key().as_ref()].concat();
        let digest = Sha256::digest([self.name.as_bytes(), b"\n", &key].concat());
        (
            u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]),
            key,
        )
    }

    pub fn verifier(&self) -> VerifierKey {
        let (hash, key) = self.key();
        VerifierKey::parse(&format!(
            "{}+{hash:08x}+{}",
            self.name,
            STANDARD.encode(key)
        ))
        .unwrap()
    }

    /// One signature line.
    pub fn signature(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let bytes = [&self.key().0.to_be_bytes()[..], signature.as_ref()].concat();
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(bytes))
    }

    pub fn sign(&self, text: &str) -> String {
        format!("{text}\n{}", self.signature(text))
    }
}

pub struct TestLog {
    pub signer: Signer,
    pub records: Vec<String>,
    /// Hashes of complete subtrees, by level.
    levels: Vec<Vec<Hash>>,
}

impl TestLog {
    /// With records of `size` modules, `salt` making their hashes.
    pub fn new(signer: Signer, size: u64, salt: &str) -> Self {
        let mut log = TestLog {
            signer,
            records: Vec::new(),
            levels: Vec::new(),
        };
        for n in 0..size {
            log.add(n, salt);
        }
        log
    }

    /// The go.sum lines of the `n`th module.
    pub fn record(n: u64, salt: &str) -> String {
        let h1 = |what: &str| STANDARD.encode(Sha256::digest(format!("{n} {salt} {what}")));
        format!(
            "a.com/m{n} v1.0.0 h1:{}\na.com/m{n} v1.0.0/go.mod h1:{}\n",
            h1("zip"),
            h1("mod")
        )
    }

    pub fn add(&mut self, n: u64, salt: &str) {
        self.push(Self::record(n, salt));
    }

    pub fn push(&mut self, record: String) {
        let mut hash = leaf(record.as_bytes());
        self.records.push(record);
        for level in 0.. {
            if self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(hash);
            let [.., left, right] = self.levels[level][..] else {
                break;
            };
            if self.levels[level].len() % 2 == 1 {
                break;
            }
            hash = node(&left, &right);
        }
    }

    pub fn size(&self) -> u64 {
        self.records.len() as u64
    }

    pub fn hash(&self, at: Node) -> Hash {
        self.levels[usize::from(at.level)][at.n as usize]
    }

    pub fn root(&self, size: u64) -> Hash {
        let hashes: Vec<Hash> = roots(size).into_iter().map(|at| self.hash(at)).collect();
        fold(&hashes)
    }

    pub fn note(&self, size: u64) -> String {
        let root = STANDARD.encode(self.root(size));
        self.signer
            .sign(&format!("go.sum database tree\n{size}\n{root}\n"))
    }

    pub fn head(&self, size: u64) -> Head {
        Head::open(self.note(size).into(), &self.signer.verifier()).unwrap()
    }

    pub fn lookup(&self, id: u64, size: u64) -> Bytes {
        format!("{id}\n{}\n{}", self.records[id as usize], self.note(size)).into()
    }

    pub fn tile(&self, id: TileId, width: u16) -> Option<Bytes> {
        if width == 0 || id.width(self.size()) < width {
            return None;
        }
        let start = id.index * 256;
        let hashes = (start..start + u64::from(width)).map(|n| {
            self.hash(Node {
                level: id.level * 8,
                n,
            })
        });
        Some(hashes.collect::<Vec<_>>().concat().into())
    }

    /// What a database whose latest head has `size` records answers; `None` if that is "not found".
    pub fn answer(&self, path: &str, size: u64) -> Option<Bytes> {
        if path == "latest" {
            return Some(self.note(size).into());
        }
        if let Some(version) = path.strip_prefix("lookup/") {
            let begin = format!("{} ", version.replacen('@', " ", 1));
            let id = self
                .records
                .iter()
                .position(|record| record.starts_with(&begin))? as u64;
            return (id < size).then(|| self.lookup(id, size));
        }
        let tile = TilePath::parse(path)?;
        if tile.tile.is_some() {
            return self.tile(tile.id(), tile.width);
        }
        let start = tile.index as usize * 256;
        let records = self.records.get(start..start + usize::from(tile.width))?;
        let lines = records.iter().map(|text| format!("{text}\n"));
        Some(lines.collect::<String>().into())
    }
}
