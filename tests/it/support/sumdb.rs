//! Checksum databases of our own: a log of records with its tiles, signed heads and look-ups, which tells the
//! truth except where it was told to forge something.

use super::modules::{escape, sha256};
use super::upstream::Resource;
use super::{FakeUpstream, Module};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_eddsa_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::SigningKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the databases of tests are called unless they say otherwise.
pub const NAME: &str = "localhost.localdev/sumdb";
const SEED: u8 = 42;
const TEXT: &str = "text/plain; charset=UTF-8";
const BINARY: &str = "application/octet-stream";

type Hash = [u8; 32];

/// Serves a database of these modules at the root of `upstream`, and returns the value for GOSUMDB that leads
/// there: for clients that insist on one, as `go` does for toolchains.
pub fn serve(upstream: &FakeUpstream, modules: &[Module]) -> String {
    let log = Log::of(modules);
    log.install_at(upstream, "");
    log.with_url(&upstream.url())
}

/// Which partial tiles a database has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Partials {
    /// Any that ever was one.
    #[default]
    All,
    /// Those of tiles that are not complete yet.
    UntilFull,
    /// None: clients have to make do with full ones.
    Gone,
}

/// A handle on one database; clones are handles on the same.
#[derive(Clone)]
pub struct Log(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    key: Key,
    records: Vec<String>,
    /// By `<escaped path>@<escaped version>`.
    ids: HashMap<String, usize>,
    /// `levels[L]` are the hashes of all complete subtrees of 256^L leaves.
    levels: Vec<Vec<Hash>>,
    partials: Partials,
    /// How much of the log the world sees; none is all.
    shown: Option<usize>,
    /// Sizes of the heads that sign single look-ups, by id.
    heads: HashMap<usize, usize>,
    /// Answers by path, in place of the truth.
    forged: HashMap<String, Bytes>,
}

impl Log {
    /// An empty log under the usual name.
    pub fn new() -> Log {
        Log::named(NAME, SEED)
    }

    /// Another name, or another key under the same name.
    pub fn named(name: &str, seed: u8) -> Log {
        Log(Arc::new(Mutex::new(State {
            key: Key::new(name, seed),
            records: Vec::new(),
            ids: HashMap::new(),
            levels: vec![Vec::new()],
            partials: Partials::All,
            shown: None,
            heads: HashMap::new(),
            forged: HashMap::new(),
        })))
    }

    pub fn of(modules: &[Module]) -> Log {
        let log = Log::new();
        for module in modules {
            log.add(module);
        }
        log
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- what it knows ----

    /// The module as it is; returns the record's number.
    pub fn add(&self, module: &Module) -> usize {
        self.add_hashes(module, &module.h1(), &module.mod_h1())
    }

    /// A record of this version with other hashes.
    pub fn add_hashes(&self, module: &Module, zip: &str, gomod: &str) -> usize {
        let (path, version) = (&module.path, &module.version);
        let text = format!("{path} {version} {zip}\n{path} {version}/go.mod {gomod}\n");
        self.add_text(&key_of(module), &text)
    }

    /// A record of this version in which both hashes are wrong.
    pub fn add_wrong(&self, module: &Module) -> usize {
        let wrong = wrong_h1(&module.path);
        self.add_hashes(module, &wrong, &wrong)
    }

    /// Any record under `<escaped path>@<escaped version>`.
    pub fn add_text(&self, key: &str, text: &str) -> usize {
        let mut state = self.state();
        let id = state.records.len();
        state.push(text.to_owned());
        state.ids.insert(key.to_owned(), id);
        id
    }

    /// Records of `filler.example/<kind><id>x` in version v1.0.0, until there are `size` records in all.
    pub fn fill(&self, size: usize, kind: &str) {
        let mut state = self.state();
        for n in state.records.len()..size {
            let h1 = wrong_h1(&format!("{kind}{n}"));
            let path = format!("filler.example/{kind}{n}x");
            let name = format!("{path} v1.0.0");
            state.push(format!("{name} {h1}\n{name}/go.mod {h1}\n"));
            state.ids.insert(format!("{path}@v1.0.0"), n);
        }
    }

    pub fn size(&self) -> usize {
        self.state().size()
    }

    pub fn id(&self, module: &Module) -> usize {
        self.state().ids[&key_of(module)]
    }

    pub fn record(&self, id: usize) -> String {
        self.state().records[id].clone()
    }

    /// The same key and the same first `keep` records, and a future of its own.
    pub fn fork(&self, keep: usize) -> Log {
        let state = self.state();
        let fork = Log(Arc::new(Mutex::new(State {
            records: Vec::new(),
            ids: state.ids.clone(),
            levels: vec![Vec::new()],
            shown: None,
            heads: HashMap::new(),
            forged: HashMap::new(),
            ..state.clone()
        })));
        let mut forked = fork.state();
        forked.ids.retain(|_, id| *id < keep);
        for record in &state.records[..keep] {
            forked.push(record.clone());
        }
        drop(forked);
        fork
    }

    /// The same in every respect, for `become_like` later.
    pub fn copy(&self) -> Log {
        Log(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Where this log is installed, the other one speaks from now on.
    pub fn become_like(&self, other: &Log) {
        let other = other.state().clone();
        *self.state() = other;
    }

    // ---- how it behaves ----

    /// The world sees only the first `size` records.
    pub fn show(&self, size: usize) {
        self.state().shown = Some(size);
    }

    pub fn partials(&self, partials: Partials) {
        self.state().partials = partials;
    }

    /// The look-up of this module comes with the head of that size.
    pub fn sign_with(&self, module: &Module, size: usize) {
        let id = self.id(module);
        assert!(id < size && size <= self.size(), "a head that covers it");
        self.state().heads.insert(id, size);
    }

    /// The path (`/tile/…`, `/lookup/…`, `/latest`) is answered like this.
    pub fn forge(&self, path: &str, body: impl Into<Bytes>) {
        self.state().forged.insert(path.to_owned(), body.into());
    }

    /// The truth again, everywhere.
    pub fn heal(&self) {
        self.state().forged.clear();
    }

    /// One bit of hash `slot` in the full tile is wrong, and in whatever partial tile of it is asked for.
    pub fn flip(&self, level: usize, index: usize, slot: usize) {
        let full = self.level_width(level, index);
        for width in slot + 1..=full {
            let mut tile = self.tile(level, index, width);
            tile[32 * slot] ^= 1;
            self.forge(&tile_path(&level.to_string(), index, width), tile);
        }
    }

    fn level_width(&self, level: usize, index: usize) -> usize {
        let have = self.state().levels[level].len();
        have.saturating_sub(256 * index).min(256)
    }

    // ---- what it says ----

    /// The signed head of any size.
    pub fn head(&self, size: usize) -> String {
        self.state().head(size)
    }

    /// The head that it shows now.
    pub fn latest(&self) -> String {
        let state = self.state();
        state.head(state.shown())
    }

    /// The tree's text, unsigned.
    pub fn tree(&self, size: usize) -> String {
        self.state().tree(size)
    }

    /// The text as a note signed by this database.
    pub fn sign(&self, text: &str) -> String {
        self.state().key.sign(text)
    }

    /// The look-up's body with the head of that size.
    pub fn body(&self, id: usize, size: usize) -> String {
        self.state().body(id, size)
    }

    /// A look-up as the world gets it now.
    pub fn answer(&self, module: &Module) -> Bytes {
        let path = lookup_path(module);
        self.state().answer(&path).expect("a known module").1
    }

    /// The first `width` hashes of a tile.
    pub fn tile(&self, level: usize, index: usize, width: usize) -> Vec<u8> {
        self.state().levels[level][256 * index..][..width].concat()
    }

    /// The first `width` records of a data tile.
    pub fn data_tile(&self, index: usize, width: usize) -> Vec<u8> {
        self.state().data_tile(index, width)
    }

    pub fn name(&self) -> String {
        self.state().key.name.clone()
    }

    /// `name+hash+key`
    pub fn verifier(&self) -> String {
        self.state().key.verifier()
    }

    /// The value for GOSUMDB and `--sumdb` with an address of its own.
    pub fn with_url(&self, url: &str) -> String {
        format!("{} {url}", self.verifier())
    }

    /// The path below a proxy: `/sumdb/<name>/…`
    pub fn url(&self, rest: &str) -> String {
        format!("/sumdb/{}{rest}", self.name())
    }

    // ---- where it says it ----

    /// Answers below `/sumdb/<name>` of a module proxy.
    pub fn install(&self, upstream: &FakeUpstream) {
        self.install_at(upstream, &self.url(""));
    }

    /// Answers below this path; at the root, where an address leads to the database itself.
    pub fn install_at(&self, upstream: &FakeUpstream, prefix: &str) {
        let log = self.clone();
        upstream.mount(prefix, move |path| {
            let (kind, body) = log.state().answer(path)?;
            Some(Resource {
                kind,
                body: body.into(),
            })
        });
    }

    // ---- notes that nobody may believe ----

    /// Heads of `size` that are wrong in one way each, and the way.
    pub fn bad_notes(&self, size: usize) -> Vec<(&'static str, Vec<u8>)> {
        let (tree, good) = (self.tree(size), self.head(size));
        let name = self.name();
        let sign = |text: &str| self.sign(text);
        let bent = |change: fn(&mut Vec<u8>)| bend(&good, &name, change);
        let root = STANDARD.encode([7; 32]);
        let mut many = good.clone();
        for n in 0..100 {
            let line = STANDARD.encode([&[n; 4][..], &[1; 64]].concat());
            many.push_str(&format!("\u{2014} other.example/n{n} {line}\n"));
        }
        let mut bytes = good.clone().into_bytes();
        bytes.splice(3..3, [0xff, 0xfe]);
        let texts = [
            ("a flipped bit in the signature", bent(|s| s[40] ^= 1)),
            ("the hash of another key", bent(|s| s[0] ^= 1)),
            ("a signature of four bytes", bent(|s| s.truncate(4))),
            ("a signature that is cut off", bent(|s| s.truncate(60))),
            ("no blank line", good.replacen("\n\n", "\n", 1)),
            ("a control character", sign(&format!("{tree}a\u{1}b\n"))),
            ("101 signatures", many),
            ("no signature", format!("{tree}\n")),
            (
                "another key under the same name",
                Key::new(&name, SEED + 1).sign(&tree),
            ),
            (
                "the same key under another name",
                good.replace(&format!(" {name} "), " other.example/db "),
            ),
            (
                "another size under the same signature",
                good.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size + 1), 1),
            ),
            ("no head at all", sign("go.sum database\n")),
            (
                "another first line",
                sign(&tree.replacen("go.sum database tree", "go.sum database free", 1)),
            ),
            (
                "a size with a leading zero",
                sign(&tree.replacen('\n', "\n0", 1)),
            ),
            (
                "a negative size",
                sign(&format!("go.sum database tree\n-1\n{root}\n")),
            ),
            (
                "a root that is too short",
                sign(&format!("go.sum database tree\n{size}\nAAAA\n")),
            ),
            ("nothing", String::new()),
            (
                "a page",
                "<!DOCTYPE html>\n\n<html>log in</html>\n".to_owned(),
            ),
        ];
        let mut notes: Vec<_> = texts.map(|(what, text)| (what, text.into_bytes())).into();
        notes.push(("bytes that are no text", bytes));
        notes
    }
}

/// The note with the bytes of its one signature changed.
fn bend(note: &str, name: &str, change: fn(&mut Vec<u8>)) -> String {
    let (text, line) = note.rsplit_once(&format!("\u{2014} {name} ")).unwrap();
    let mut signature = STANDARD.decode(line.trim_end()).unwrap();
    change(&mut signature);
    let line = STANDARD.encode(signature);
    format!("{text}\u{2014} {name} {line}\n")
}

impl State {
    fn size(&self) -> usize {
        self.records.len()
    }

    fn shown(&self) -> usize {
        self.shown.unwrap_or(self.size())
    }

    fn push(&mut self, record: String) {
        let mut hash = leaf(record.as_bytes());
        self.records.push(record);
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if !hashes.len().is_multiple_of(256) {
                return;
            }
            hash = root(&hashes[hashes.len() - 256..]);
        }
    }

    /// The hash of `len` leaves from `start` on.
    fn subtree(&self, start: usize, len: usize) -> Hash {
        if len == 0 {
            return sha256(b"");
        }
        for (level, hashes) in self.levels.iter().enumerate() {
            let unit = 256_usize.pow(level as u32);
            if len == unit && start.is_multiple_of(unit) {
                return hashes[start / unit];
            }
        }
        let left = len.next_power_of_two() / 2;
        node(
            &self.subtree(start, left),
            &self.subtree(start + left, len - left),
        )
    }

    fn tree(&self, size: usize) -> String {
        assert!(size <= self.size());
        let root = STANDARD.encode(self.subtree(0, size));
        format!("go.sum database tree\n{size}\n{root}\n")
    }

    fn head(&self, size: usize) -> String {
        self.key.sign(&self.tree(size))
    }

    fn body(&self, id: usize, size: usize) -> String {
        format!("{id}\n{}\n{}", self.records[id], self.head(size))
    }

    fn data_tile(&self, index: usize, width: usize) -> Vec<u8> {
        let records = &self.records[256 * index..][..width];
        records.iter().fold(Vec::new(), |out, r| {
            [&out[..], r.as_bytes(), b"\n"].concat()
        })
    }

    fn answer(&self, path: &str) -> Option<(&'static str, Bytes)> {
        let kind = if path.starts_with("/tile/") {
            BINARY
        } else {
            TEXT
        };
        let body = match self.forged.get(path) {
            Some(forged) => forged.clone(),
            None => self.truth(path)?,
        };
        Some((kind, body))
    }

    fn truth(&self, path: &str) -> Option<Bytes> {
        if path == "/supported" {
            return Some(Bytes::new());
        }
        if path == "/latest" {
            return Some(self.head(self.shown()).into());
        }
        if let Some(key) = path.strip_prefix("/lookup/") {
            let id = *self.ids.get(key).filter(|id| **id < self.shown())?;
            let size = self.heads.get(&id).copied().unwrap_or(self.shown());
            return Some(self.body(id, size).into());
        }
        self.tile_at(path.strip_prefix("/tile/8/")?)
    }

    fn tile_at(&self, rest: &str) -> Option<Bytes> {
        let (kind, place) = rest.split_once('/')?;
        let (name, width) = match place.split_once(".p/") {
            Some((name, width)) => (name, width.parse().ok()?),
            None => (place, 256),
        };
        let index = index_of(name)?;
        if tile_path(kind, index, width) != format!("/tile/8/{rest}") || width == 0 || width > 256 {
            return None;
        }
        let data = kind == "data";
        let level: usize = if data { 0 } else { kind.parse().ok()? };
        let shown = self.shown().checked_shr(8 * level as u32)?;
        let have = shown.saturating_sub(256 * index).min(256);
        let there = match self.partials {
            _ if width == 256 => have == 256,
            Partials::All => width <= have,
            Partials::UntilFull => width <= have && have < 256,
            Partials::Gone => false,
        };
        if !there {
            return None;
        }
        if data {
            return Some(self.data_tile(index, width).into());
        }
        let hashes = &self.levels.get(level)?[256 * index..][..width];
        Some(hashes.concat().into())
    }
}

fn key_of(module: &Module) -> String {
    format!("{}@{}", escape(&module.path), escape(&module.version))
}

/// `/lookup/<escaped path>@<escaped version>`
pub fn lookup_path(module: &Module) -> String {
    format!("/lookup/{}", key_of(module))
}

/// The path of a tile: `kind` is the level or `data`.
pub fn tile_path(kind: &str, index: usize, width: usize) -> String {
    let mut name = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        name = format!("x{:03}/{name}", rest % 1000);
        rest /= 1000;
    }
    match width {
        256 => format!("/tile/8/{kind}/{name}"),
        _ => format!("/tile/8/{kind}/{name}.p/{width}"),
    }
}

/// The number that groups of three digits spell.
fn index_of(name: &str) -> Option<usize> {
    let digits = name.replace(['x', '/'], "");
    digits.parse().ok()
}

/// A hash of nothing that exists.
pub fn wrong_h1(of: &str) -> String {
    format!("h1:{}", STANDARD.encode(sha256(of.as_bytes())))
}

fn leaf(record: &[u8]) -> Hash {
    sha256(&[&[0], record].concat())
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1][..], left, right].concat())
}

/// Of a power of two of hashes.
fn root(hashes: &[Hash]) -> Hash {
    match hashes {
        [only] => *only,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node(&root(left), &root(right))
        }
    }
}

#[derive(Clone)]
struct Key {
    name: String,
    signing: Arc<dyn SigningKey>,
    public: Vec<u8>,
    hash: [u8; 4],
}

impl Key {
    fn new(name: &str, seed: u8) -> Key {
        // PKCS #8's frame for an Ed25519 seed, and a seed.
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        der.extend_from_slice(&[seed; 32]);
        let signing = any_eddsa_type(&PrivatePkcs8KeyDer::from(der)).expect("an Ed25519 key");
        let spki = signing.public_key().expect("its public half");
        let mut public = vec![1];
        public.extend_from_slice(&spki[spki.len() - 32..]);
        let digest = sha256(&[name.as_bytes(), b"\n", &public].concat());
        Key {
            name: name.to_owned(),
            signing,
            public,
            hash: digest[..4].try_into().unwrap(),
        }
    }

    fn verifier(&self) -> String {
        let hash = u32::from_be_bytes(self.hash);
        let public = STANDARD.encode(&self.public);
        format!("{}+{hash:08x}+{public}", self.name)
    }

    /// The text as a signed note.
    fn sign(&self, text: &str) -> String {
        let signer = self
            .signing
            .choose_scheme(&[SignatureScheme::ED25519])
            .unwrap();
        let signature = signer.sign(text.as_bytes()).unwrap();
        let line = STANDARD.encode([&self.hash[..], &signature].concat());
        format!("{text}\n\u{2014} {} {line}\n", self.name)
    }
}
