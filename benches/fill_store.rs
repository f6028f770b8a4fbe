//! Fills a data directory with many kept versions, for the benchmark of how Larder's cost grows with what it keeps.
//!
//! Records are made and written by the store's own code, as if each file had been fetched in an order of its own; only
//! the files below `modules/` are written without being synced, which would take hours. Files of the same content (the
//! `.info` of one version number of all modules, the `.mod` of all versions of one module) are hard links of each other,
//! but for those that will be asked for.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Parser;
use futures_util::StreamExt;
use larder::clock::{SharedClock, SystemClock, Timestamp};
use larder::gomod::dirhash::hash_go_mod;
use larder::gomod::{ModulePath, Version};
use larder::protocol::{FileKey, Kind};
use larder::store::catalog::Change;
use larder::store::{DataDir, Fact, FileRecord, Sha256, Store, Verified};
use parking_lot::Mutex;

/// Fill a data directory with kept versions, each an .info and a .mod
#[derive(Parser)]
#[command(name = "fill-store")]
struct Options {
    /// The data directory; must be empty
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// How many versions to keep, 20 of each module
    #[arg(long, default_value_t = 1000)]
    versions: u32,

    /// Keep so many versions of the one module bench.example/versionsN besides
    #[arg(long, value_name = "N", default_value_t = 0)]
    of_one: u32,

    /// How many of the files, chosen at random, to name in --paths
    #[arg(long, default_value_t = 10_000)]
    chosen: usize,

    /// Where to write the paths of those, one per line
    #[arg(long, value_name = "FILE")]
    paths: PathBuf,
}

/// Versions of each module.
const EACH: u32 = 20;
/// Hard links of one file at the most; ext4 allows 65,000.
const LINKS: u32 = 60_000;
/// Files under way at once: the index writes what is waiting in one batch.
const AT_ONCE: usize = 2048;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    std::fs::create_dir_all(&options.data_dir)?;
    ensure!(
        std::fs::read_dir(&options.data_dir)?.next().is_none(),
        "{} is not empty",
        options.data_dir.display()
    );
    let clock: SharedClock = Arc::new(SystemClock);
    let data = DataDir::open(&options.data_dir, 0, 256 << 20, &clock)?;
    let modules = options.versions.div_ceil(EACH);
    let mut all: Vec<(u32, u32)> = (0..modules)
        .flat_map(|module| (0..EACH).map(move |patch| (module, patch)))
        .take(options.versions as usize)
        .chain((0..options.of_one).map(|patch| (modules, patch)))
        .collect();
    // Always the same ones.
    let mut random = fastrand::Rng::with_seed(7);
    random.shuffle(&mut all);

    let name = |module: u32| match module == modules {
        true => format!("bench.example/versions{}", options.of_one),
        // A few levels of folders, as the paths of real modules have.
        false => format!("bench.example/group{:03}/project{module:06}", module % 997),
    };
    let key = |module: u32, patch: u32, kind| -> anyhow::Result<FileKey> {
        Ok(FileKey {
            module: ModulePath::parse(&name(module))?,
            version: Version::parse(&format!("v1.0.{patch}"))?,
            kind,
        })
    };
    let mut chosen = HashSet::new();
    let mut paths = String::new();
    let wanted = options.chosen.min(2 * all.len());
    while chosen.len() < wanted {
        let (module, patch) = all[random.usize(..all.len())];
        let kind = if random.bool() { Kind::Info } else { Kind::Mod };
        let key = key(module, patch, kind)?;
        if !chosen.contains(&key) {
            paths += &format!("{key}\n");
            chosen.insert(key);
        }
    }
    std::fs::write(&options.paths, paths)?;

    let unsynced = Unsynced {
        modules: options.data_dir.join("modules"),
        own: chosen,
        written: Mutex::default(),
    };
    let store = data.store;
    let files = all
        .iter()
        .flat_map(|&(module, patch)| [(module, patch, Kind::Info), (module, patch, Kind::Mod)]);
    let mut published = futures_util::stream::iter(files)
        .map(|(module, patch, kind)| {
            let (key, store, now) = (key(module, patch, kind), &store, clock.now());
            let unsynced = &unsynced;
            async move { publish(store, unsynced, &key?, now).await }
        })
        .buffer_unordered(AT_ONCE);
    let mut records = 0_u64;
    while let Some(done) = published.next().await {
        done?;
        records += 1;
    }
    drop(published);
    store.close().await;
    println!("versions={}", records / 2);
    println!("records={records}");
    Ok(())
}

async fn publish(
    store: &Store,
    unsynced: &Unsynced,
    key: &FileKey,
    now: Timestamp,
) -> anyhow::Result<()> {
    let body = body(key);
    let is_mod = key.kind == Kind::Mod;
    let record = FileRecord {
        size: body.len() as u64,
        sha256: Sha256::of(&body),
        h1: is_mod.then(|| hash_go_mod(&body)),
        from: "http://proxy.example.com".to_owned(),
        seen: now,
        verified: match is_mod {
            true => Verified::Sumdb,
            false => Verified::None,
        },
        by: is_mod.then(|| "sum.bench.example".to_owned()),
    };
    unsynced.write(key, body).with_context(|| key.to_string())?;
    let put = Change::Put(Fact::File(key.clone(), record));
    let recorded = store.catalog().apply(Vec::new(), vec![put]).await;
    recorded.with_context(|| key.to_string()).map(drop)
}

/// Files of an ordinary size.
fn body(key: &FileKey) -> Bytes {
    let (module, version) = (key.module.as_str(), key.version.as_str());
    let text = match key.kind {
        Kind::Info => format!(r#"{{"Version":"{version}","Time":"2024-01-02T03:04:05Z"}}"#),
        Kind::Mod | Kind::Zip => {
            let required: String = (0..12)
                .map(|number| format!("\tbench.example/required/library{number} v1.2.{number}\n"))
                .collect();
            format!("module {module}\n\ngo 1.21\n\nrequire (\n{required})\n")
        }
    };
    text.into()
}

/// The files of a data directory, written where the store looks for them, but not synced. For filling only.
struct Unsynced {
    modules: PathBuf,
    /// Those that do not share their content.
    own: HashSet<FileKey>,
    /// Where a content is, and how many links it has.
    written: Mutex<HashMap<Bytes, (PathBuf, u32)>>,
}

impl Unsynced {
    fn write(&self, key: &FileKey, body: Bytes) -> io::Result<()> {
        let path = self.modules.join(key.to_string());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if self.own.contains(key) {
            return std::fs::write(path, body);
        }
        let mut written = self.written.lock();
        if let Some((original, links)) = written.get_mut(&body)
            && *links < LINKS
        {
            *links += 1;
            return std::fs::hard_link(original, path);
        }
        std::fs::write(&path, &body)?;
        written.insert(body, (path, 1));
        Ok(())
    }
}
