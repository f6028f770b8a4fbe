//! The checksum database: what Larder verifies with it, and how it relays it (checklist 58, 65 to 83, 88).

mod commands;
mod deep;
mod first_seen;
mod fixture;
mod forgeries;
mod forks;
mod go_client;
mod heads;
mod notes;

mod relay;
mod sources;
mod tiles;
mod unavailable;
mod verify;

use crate::support::server::Builder;
use crate::support::sumdb::{Log, lookup_path};
use crate::support::*;

/// How many records the log of `world` has: two full tiles, and a part of a third.
const SIZE: usize = 700;

/// The statuses that tell clients of trouble rather than of absence.
const TROUBLE: &[u16] = &[502, 503, 504];

/// Modules whose records lie in different tiles, an upstream that has them, and on it a database that
/// knows them.
struct World {
    up: FakeUpstream,
    log: Log,
    /// Of a tile outside the set that the head's hash is made of.
    first: Module,
    /// Of the second of these tiles.
    second: Module,
    /// Of the partial tile.
    last: Module,
}

fn world() -> World {
    let module = |name: &str| Module::new(&format!("example.com/{name}"), "v1.0.0");
    let world = World {
        up: FakeUpstream::start(),
        log: Log::new(),
        first: module("First"),
        second: module("second").requires("example.com/First", "v1.0.0"),
        // Pruned as module graphs are, it names what its requirements require.
        last: module("last")
            .requires("example.com/second", "v1.0.0")
            .requires("example.com/First", "v1.0.0"),
    };
    for (before, module) in [(3, &world.first), (300, &world.second), (600, &world.last)] {
        world.log.fill(before, "m");
        world.log.add(module);
        world.up.add(module);
    }
    world.log.fill(SIZE, "m");
    world.log.install(&world.up);
    world
}

impl World {
    /// Larder before this world, as it is usually set up.
    fn larder(&self) -> Builder {
        larder().of(&self.up).sumdb(&self.log.verifier())
    }

    /// A module that upstream and database come to know now.
    fn publish(&self, name: &str) -> Module {
        let module = Module::new(&format!("example.com/{name}"), "v1.0.0");
        self.log.add(&module);
        self.up.add(&module);
        module
    }

    /// Larder's path of the module's look-up.
    fn lookup(&self, module: &Module) -> String {
        self.log.url(&lookup_path(module))
    }

    /// How often the database was asked for this module.
    fn lookups(&self, module: &Module) -> usize {
        self.up.count(&self.lookup(module))
    }

    /// No tile was fetched more than once.
    #[track_caller]
    fn assert_tiles_once(&self) {
        let mut tiles = self.up.paths();
        tiles.retain(|path| path.contains("/tile/"));
        tiles.sort();
        assert!(!tiles.is_empty(), "there were tiles to fetch");
        let twice: Vec<_> = tiles.windows(2).filter(|p| p[0] == p[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

/// What vouches for the file, by the answer's own account.
fn verified(answer: &Response) -> &str {
    answer.header("larder-verified").unwrap_or("")
}

/// Both files are served, and the database vouches for them.
#[track_caller]
fn vouched_for(larder: &Larder, module: &Module) {
    for (kind, bytes) in [("mod", module.mod_bytes()), ("zip", module.zip_bytes())] {
        let answer = larder.get(&module.url(kind));
        assert_eq!(answer.ok(), bytes, "{} {kind}", module.path);
        assert_eq!(verified(&answer), "sumdb", "{}", answer.describe());
    }
}

/// Both files are refused for good reason, and nothing of them is kept; returns what was said of the zip.
#[track_caller]
fn refused(larder: &Larder, module: &Module) -> String {
    larder.get(&module.url("mod")).refuses(&[502]);
    let text = larder.get(&module.url("zip")).refuses(&[502]);
    nothing_kept(larder, module);
    text
}

#[track_caller]
fn nothing_kept(larder: &Larder, module: &Module) {
    for kind in ["mod", "zip"] {
        let path = module.url(kind);
        larder.get_kept(&path).refuses(&[404]);
        assert!(!larder.blob(&path).exists(), "{path} is kept");
    }
}

/// What `/readyz` says of the database.
#[track_caller]
fn state_of(larder: &Larder, name: &str) -> serde_json::Value {
    let ready = larder.get("/readyz").expect(200).text();
    let ready: serde_json::Value = serde_json::from_str(&ready).expect("JSON");
    let databases = ready["checksum_databases"].as_array().expect("databases");
    let found = databases.iter().find(|d| d["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {ready}")).clone()
}

/// The kind of the alarm that nobody has acknowledged yet.
#[track_caller]
fn alarm(larder: &Larder, log: &Log) -> Option<String> {
    let alarm = &state_of(larder, &log.name())["alarm"];
    let open = alarm["acknowledged"] == false;
    open.then(|| alarm["kind"].as_str().expect("a kind").to_owned())
}

#[track_caller]
fn wait_alarm(larder: &Larder, log: &Log, kind: &str) {
    until(&format!("an alarm: {kind}"), || {
        (alarm(larder, log)? == kind).then_some(())
    });
    let line = metric(log, kind);
    until(&line, || larder.metrics().contains(&line).then_some(()));
}

/// The metric of an open alarm.
fn metric(log: &Log, kind: &str) -> String {
    let name = log.name();
    format!("larder_sumdb_alarms{{database=\"{name}\",kind=\"{kind}\"}} 1\n")
}
