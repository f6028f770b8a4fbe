use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use parking_lot::Mutex;

use super::super::testing::{Signer, TestLog};
use super::records::{UNKNOWN_FOR, lookup_key};
use super::*;
use crate::clock::SystemClock;
use crate::kit::FetchContext;
use crate::sumdb::alarm::AlarmKind;
use crate::sumdb::seams::Ask;
use crate::sumdb::tile::{FULL, TileId};
use crate::telemetry::metrics::Metrics;

const NAME: &str = "localhost.localdev/sumdb";

/// State in memory, which can be looked at.
#[derive(Default)]
struct Memory {
    map: Mutex<HashMap<String, Bytes>>,
    full: AtomicBool,
}

#[async_trait]
impl State for Memory {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateError> {
        Ok(self.map.lock().get(key).cloned())
    }
    fn has_room(&self) -> bool {
        !self.full.load(Ordering::Relaxed)
    }
    async fn put(&self, key: &str, value: Bytes) -> Result<(), StateError> {
        self.map.lock().insert(key.to_owned(), value);
        Ok(())
    }
    async fn swap(&self, key: &str, old: Option<&Bytes>, new: Bytes) -> Result<bool, StateError> {
        let mut map = self.map.lock();
        let same = map.get(key) == old;
        if same {
            map.insert(key.to_owned(), new);
        }
        Ok(same)
    }
    async fn tile(&self, key: &str) -> Result<Option<Bytes>, StateError> {
        self.get(key).await
    }
    async fn put_tile(&self, key: &str, value: Bytes) -> Result<(), StateError> {
        self.put(key, value).await
    }
    async fn clear(&self) -> Result<(), StateError> {
        self.map.lock().clear();
        Ok(())
    }
}

/// A log behind a transport that can lie.
struct Server {
    log: Mutex<TestLog>,
    /// Of heads: at most this many records.
    size: Mutex<u64>,
    /// Bodies given instead.
    lies: Mutex<HashMap<String, Bytes>>,
    asked: Mutex<Vec<String>>,
    gone: Mutex<HashSet<String>>,
    down: AtomicBool,
    no_partials: AtomicBool,
}

impl Server {
    fn new(size: u64, salt: &str) -> Arc<Self> {
        let log = TestLog::new(Signer::new(NAME, 7), size, salt);
        Arc::new(Server {
            size: Mutex::new(size),
            log: Mutex::new(log),
            lies: Mutex::default(),
            asked: Mutex::default(),
            gone: Mutex::default(),
            down: AtomicBool::new(false),
            no_partials: AtomicBool::new(false),
        })
    }

    fn lie(&self, path: &str, body: impl Into<Bytes>) {
        self.lies.lock().insert(path.to_owned(), body.into());
    }

    fn answer(&self, path: &str) -> Option<Bytes> {
        let is_partial = |tile: TilePath| tile.width < FULL;
        if self.no_partials.load(Ordering::Relaxed) && TilePath::parse(path).is_some_and(is_partial)
        {
            return None;
        }
        self.log.lock().answer(path, *self.size.lock())
    }
}

#[async_trait]
impl Transport for Server {
    async fn get(&self, ask: &Ask) -> Result<Bytes, SumdbError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(SumdbError::Fault("no connection".into()));
        }
        self.asked.lock().push(ask.path.clone());
        if let Some(lie) = self.lies.lock().get(&ask.path) {
            return Ok(lie.clone());
        }
        let gone = self.gone.lock().contains(&ask.path);
        self.answer(&ask.path)
            .filter(|_| !gone)
            .ok_or_else(|| SumdbError::Unknown {
                gone: false,
                text: "not found".into(),
            })
    }
}

async fn open(server: &Arc<Server>, state: &Arc<Memory>) -> Arc<Database> {
    let key = server.log.lock().signer.verifier();
    let (transport, state) = (Arc::clone(server), Arc::clone(state));
    let clock = Arc::new(SystemClock);
    let metrics = Metrics::new().sumdb(NAME);
    Database::open(key, transport, state, clock, UNKNOWN_FOR, metrics)
        .await
        .unwrap()
}

async fn fresh(server: &Arc<Server>) -> (Arc<Database>, Arc<Memory>) {
    let state = Arc::new(Memory::default());
    (open(server, &state).await, state)
}

async fn ask(database: &Arc<Database>, n: u64) -> Result<Sums, SumdbError> {
    let module = ModulePath::parse(&format!("a.com/m{n}")).unwrap();
    let version = Version::parse("v1.0.0").unwrap();
    database
        .sums(&module, &version, &FetchContext::default())
        .await
}

fn expected(n: u64, salt: &str) -> Sums {
    let text = TestLog::record(n, salt);
    let mut hashes = text
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap().1.to_owned());
    Sums {
        zip: vec![hashes.next().unwrap()],
        go_mod: vec![hashes.next().unwrap()],
    }
}

fn rotated(seed: u64, size: u64) -> Vec<u64> {
    let mut all: Vec<u64> = (0..size).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut all);
    all
}

#[tokio::test]
async fn inclusion_of_every_record_of_every_size_below_300() {
    let server = Server::new(300, "");
    for size in 1..300 {
        *server.size.lock() = size;
        let (database, _) = fresh(&server).await;
        for n in rotated(size, size)
            .into_iter()
            .take(10)
            .chain([0, size - 1])
        {
            assert_eq!(
                ask(&database, n).await,
                Ok(expected(n, "")),
                "{n} of {size}"
            );
        }
    }
}

#[tokio::test]
async fn consistency_of_every_pair_of_sizes_below_300() {
    let server = Server::new(300, "");
    // Forwards: every head continues the one before. And then every older one is a prefix of the last.
    let (database, _) = fresh(&server).await;
    for size in 0..300 {
        let head = server.log.lock().head(size);
        database
            .history
            .merge(head, &FetchContext::default())
            .await
            .unwrap();
        assert_eq!(database.status().size, Some(size));
    }
    for size in 0..300 {
        let head = server.log.lock().head(size);
        database
            .history
            .merge(head, &FetchContext::default())
            .await
            .unwrap();
        assert_eq!(database.status().size, Some(299));
    }
    // In leaps, with nothing kept but what the first head needed.
    for (old, new) in (1..299)
        .step_by(3)
        .map(|old| (old, (old * 7) % (299 - old) + old + 1))
    {
        let (database, _) = fresh(&server).await;
        for size in [old, new, old] {
            let head = server.log.lock().head(size);
            database
                .history
                .merge(head, &FetchContext::default())
                .await
                .unwrap();
        }
        assert_eq!(database.status().size, Some(new));
    }
    assert!(database.status().alarms.is_empty());
}

#[tokio::test]
async fn tiles_are_fetched_once_ever_and_records_too() {
    let server = Server::new(70_000, "");
    let (database, state) = fresh(&server).await;
    let asks = rotated(1, 70_000).into_iter().take(200);
    let all: Vec<u64> = asks.collect();
    let asking = all.iter().map(|n| ask(&database, *n));
    for result in futures_util::future::join_all(asking).await {
        result.unwrap();
    }
    let asked = server.asked.lock().clone();
    assert_eq!(asked.len(), asked.iter().collect::<HashSet<_>>().len());
    // And after a restart nothing is asked.
    let database = open(&server, &state).await;
    server.asked.lock().clear();
    server.down.store(true, Ordering::Relaxed);
    for n in all {
        ask(&database, n).await.unwrap();
    }
    assert!(server.asked.lock().is_empty());
    assert_eq!(
        database
            .latest(&FetchContext::default(), false)
            .await
            .unwrap()
            .body,
        server.log.lock().note(70_000)
    );
}

/// C77: whichever hash of whichever tile is forged, on the way to a look-up or to a newer head, it is noticed, nothing of
/// it is kept, and an honest answer is believed afterwards.
#[tokio::test]
async fn c77_every_flipped_hash_of_every_tile_is_detected() {
    const SIZE: u64 = 600;
    let server = Server::new(SIZE, "");
    let record = 300;
    // The tiles that this look-up needs.
    let (database, _) = fresh(&server).await;
    ask(&database, record).await.unwrap();
    let mut tiles: Vec<String> = server.asked.lock().clone();
    tiles.retain(|path| path.starts_with("tile/"));
    assert!(
        tiles.contains(&"tile/8/0/001".to_owned()),
        "outside the root set: {tiles:?}"
    );
    for path in tiles {
        let honest = server.answer(&path).unwrap();
        for at in 0..honest.len() / 32 {
            let mut forged = honest.to_vec();
            forged[at * 32 + at % 32] ^= 1 << (at % 8);
            server.lie(&path, forged);
            let (database, state) = fresh(&server).await;
            let refused = ask(&database, record).await.unwrap_err();
            assert!(
                matches!(refused, SumdbError::Inconsistent(_)),
                "{path} {at}: {refused:?}"
            );
            assert_eq!(database.status().alarms[0].kind, AlarmKind::Inconsistent);
            assert!(
                !state
                    .map
                    .lock()
                    .keys()
                    .any(|key| key.starts_with("lookup") || *key == path)
            );
            server.lies.lock().clear();
            assert_eq!(ask(&database, record).await, Ok(expected(record, "")));
        }
        for bad in [
            honest.slice(1..),
            honest.slice(32..),
            Bytes::new(),
            "<html>".into(),
        ] {
            server.lie(&path, bad);
            let (database, _) = fresh(&server).await;
            let refused = ask(&database, record).await.unwrap_err();
            assert!(matches!(refused, SumdbError::Forged(_)), "{refused:?}");
            server.lies.lock().clear();
            ask(&database, record).await.unwrap();
        }
    }
}

#[tokio::test]
async fn c78_c79_forged_records_are_refused() {
    let server = Server::new(600, "");
    let (log, other) = (
        server.answer("lookup/a.com/m5@v1.0.0").unwrap(),
        server.answer("lookup/a.com/m6@v1.0.0").unwrap(),
    );
    let text = |body: &Bytes| String::from_utf8(body.to_vec()).unwrap();
    let record = TestLog::record(5, "");
    let forged_hash = TestLog::record(5, "forged");
    let swapped = text(&log).replace(&record, &forged_hash);
    let renumbered = text(&log).replacen("5\n", "6\n", 1);
    let beyond = text(&log).replacen("5\n", "600\n", 1);
    let in_note = format!("{}{record}", text(&other));
    let in_note_text = text(&other).replacen("\n\ngo.sum", &format!("\n\n{record}go.sum"), 1);
    for (what, body) in [
        ("another module's", text(&other)),
        ("other hashes", swapped),
        ("another number", renumbered),
        ("a number beyond", beyond),
        ("lines after the note", in_note),
        ("lines in the note", in_note_text),
        ("no note", format!("5\n{record}\n")),
        ("rubbish", "rubbish".into()),
    ] {
        let (database, state) = fresh(&server).await;
        server.lie("lookup/a.com/m5@v1.0.0", body);
        let refused = ask(&database, 5).await.unwrap_err();
        assert!(
            matches!(refused, SumdbError::Forged(_)),
            "{what}: {refused:?}"
        );
        assert!(
            !state.map.lock().keys().any(|key| key.starts_with("lookup")),
            "{what}"
        );
        server.lies.lock().clear();
        assert_eq!(ask(&database, 5).await, Ok(expected(5, "")), "{what}");
    }
}

/// Adopts the head of 400 records, and is then shown a head of a forked history.
async fn forked(size: u64) -> (Arc<Server>, Arc<Database>, Arc<Memory>) {
    let server = Server::new(600, "");
    *server.size.lock() = 400;
    let (database, state) = fresh(&server).await;
    ask(&database, 5).await.unwrap();
    let mut fork = TestLog::new(Signer::new(NAME, 7), 390, "");
    for n in 390..600 {
        fork.add(n, "fork");
    }
    *server.log.lock() = fork;
    *server.size.lock() = size;
    (server, database, state)
}

#[tokio::test]
async fn c80_forks_raise_an_alarm_that_lasts() {
    // A longer one, one of the same size, and a shorter one.
    for size in [500, 400, 395] {
        let (server, database, state) = forked(size).await;
        let note = database.status().note;
        let refused = ask(&database, 6).await.unwrap_err();
        assert!(
            matches!(refused, SumdbError::Fork(_)),
            "{size}: {refused:?}"
        );
        let database = open(&server, &state).await;
        let status = database.status();
        assert_eq!((status.size, &status.note), (Some(400), &note), "{size}");
        assert_eq!(status.alarms.len(), 1, "{size}");
        assert_eq!(status.alarms[0].kind, AlarmKind::Fork, "{size}");
        // What is kept goes on being served, new records are not, and nobody is asked.
        server.asked.lock().clear();
        assert_eq!(ask(&database, 5).await, Ok(expected(5, "")));
        assert!(matches!(ask(&database, 7).await, Err(SumdbError::Fork(_))));
        assert_eq!(
            Some(
                database
                    .latest(&FetchContext::default(), false)
                    .await
                    .unwrap()
                    .body
            ),
            note
        );
        assert!(server.asked.lock().is_empty());
        // Acknowledged: asked again, and if it is honest again, all is well.
        assert_eq!(database.acknowledge().await, 1);
        *server.log.lock() = TestLog::new(Signer::new(NAME, 7), 600, "");
        *server.size.lock() = 500;
        assert_eq!(ask(&database, 7).await, Ok(expected(7, "")), "{size}");
        assert_eq!(database.status().size, Some(500));
        assert!(open(&server, &state).await.status().alarms[0].acknowledged);
    }
}

/// Another history of the same database, with less in it: whole tiles of the known tree are missing there, so that its
/// records and heads cannot be compared with that tree. What can be compared decides.
#[tokio::test]
async fn c80_a_smaller_other_tree_is_a_fork_although_tiles_are_missing() {
    for (known, keep, size, looked_up) in [
        (600, 0, 300, vec![599, 3]),
        (600, 0, 500, vec![599, 3]),
        (600, 200, 300, vec![599, 3]),
        // Of a tree so large there must be something to compare with.
        (70_000, 100, 600, vec![3]),
    ] {
        for looked_up in looked_up {
            for asked in [5, 250, size - 1] {
                let case = format!("{keep} of {known} kept, {size}, {looked_up}, {asked}");
                let server = Server::new(known, "");
                let (database, state) = fresh(&server).await;
                ask(&database, looked_up).await.unwrap();
                let mut evil = TestLog::new(Signer::new(NAME, 7), keep, "");
                for n in keep..size {
                    evil.add(n, "evil");
                }
                *server.log.lock() = evil;
                *server.size.lock() = size;
                if asked == looked_up {
                    continue;
                }
                let refused = ask(&database, asked).await.unwrap_err();
                assert!(
                    matches!(refused, SumdbError::Fork(_)),
                    "{case}: {refused:?}"
                );
                let lookup = lookup_key(&format!("a.com/m{asked}@v1.0.0"));
                assert!(!state.map.lock().contains_key(&lookup), "{case}");
                // Nothing new from then on, whatever is or is not answered.
                server.down.store(true, Ordering::Relaxed);
                let refused = ask(&database, 7).await.unwrap_err();
                assert!(
                    matches!(refused, SumdbError::Fork(_)),
                    "{case}: {refused:?}"
                );
                assert_eq!(ask(&database, looked_up).await, Ok(expected(looked_up, "")));
            }
        }
    }
}

/// A mirror that is behind has less, and nothing else.
#[tokio::test]
async fn a_mirror_that_is_behind_is_no_alarm() {
    for size in [100, 256, 300, 512, 599] {
        let server = Server::new(600, "");
        let (database, _) = fresh(&server).await;
        ask(&database, 599).await.unwrap();
        *server.log.lock() = TestLog::new(Signer::new(NAME, 7), size, "");
        *server.size.lock() = size;
        for asked in [5, size - 1] {
            if let Err(error) = ask(&database, asked).await {
                assert!(error.is_unavailable(), "{size} {asked}: {error:?}");
            }
        }
        assert!(database.status().alarms.is_empty(), "{size}");
    }
}

/// "Not there" must not hide what was proven at the same time.
#[tokio::test]
async fn the_gravest_of_several_outcomes_decides() {
    // The first head's tree is forged, and the version is not known.
    let server = Server::new(600, "");
    let forged = |path: &str| {
        let mut forged = server.answer(path).unwrap().to_vec();
        forged[3] ^= 1;
        server.lie(path, forged);
    };
    let (database, _) = fresh(&server).await;
    forged("tile/8/1/000.p/2");
    let refused = ask(&database, 1000).await.unwrap_err();
    assert!(
        matches!(refused, SumdbError::Inconsistent(_)),
        "{refused:?}"
    );
    // On the way to a newer head one tile is missing, and another one is forged.
    for (gone, lie) in [
        ("tile/8/0/001", "tile/8/0/000"),
        ("tile/8/0/000", "tile/8/0/001"),
    ] {
        server.lies.lock().clear();
        *server.size.lock() = 300;
        let (database, _) = fresh(&server).await;
        ask(&database, 299).await.unwrap();
        database.history.tiles.clear();
        *server.size.lock() = 600;
        server.gone.lock().insert(gone.to_owned());
        forged(lie);
        let refused = ask(&database, 550).await;
        if lie == "tile/8/0/001" {
            let refused = refused.unwrap_err();
            assert!(
                matches!(refused, SumdbError::Inconsistent(_)),
                "{lie}: {refused:?}"
            );
        }
        server.gone.lock().clear();
    }
    // The narrow tile is missing, and the full one in its place is no tile at all.
    server.lies.lock().clear();
    *server.size.lock() = 300;
    let (database, _) = fresh(&server).await;
    server.gone.lock().insert("tile/8/0/001.p/44".to_owned());
    server.lie("tile/8/0/001", "<html>");
    let refused = ask(&database, 290).await.unwrap_err();
    assert!(matches!(refused, SumdbError::Forged(_)), "{refused:?}");
}

#[tokio::test]
async fn while_an_alarm_stands_nothing_passes_as_unavailable_or_unknown() {
    let server = Server::new(600, "");
    let (database, state) = fresh(&server).await;
    ask(&database, 599).await.unwrap();
    let mut forged = server.answer("tile/8/0/000").unwrap().to_vec();
    forged[3] ^= 1;
    server.lie("tile/8/0/000", forged);
    let refused = ask(&database, 5).await.unwrap_err();
    assert!(
        matches!(refused, SumdbError::Inconsistent(_)),
        "{refused:?}"
    );
    server.lies.lock().clear();
    for database in [database, open(&server, &state).await] {
        server.down.store(true, Ordering::Relaxed);
        let refused = ask(&database, 7).await.unwrap_err();
        assert!(matches!(refused, SumdbError::Alarmed(_)), "{refused:?}");
        server.down.store(false, Ordering::Relaxed);
        for _ in 0..2 {
            let refused = ask(&database, 1000).await.unwrap_err();
            assert!(matches!(refused, SumdbError::Alarmed(_)), "{refused:?}");
        }
        assert_eq!(ask(&database, 599).await, Ok(expected(599, "")));
    }
    // What proves itself is believed; and all is as ever once somebody has looked into it.
    let database = open(&server, &state).await;
    assert_eq!(ask(&database, 300).await, Ok(expected(300, "")));
    assert_eq!(database.acknowledge().await, 1);
    server.down.store(true, Ordering::Relaxed);
    let refused = ask(&database, 7).await.unwrap_err();
    assert!(matches!(refused, SumdbError::Fault(_)), "{refused:?}");
}

#[tokio::test]
async fn older_honest_heads_are_no_alarm_and_unknown_records_are_remembered() {
    let server = Server::new(600, "");
    let (database, _) = fresh(&server).await;
    ask(&database, 5).await.unwrap();
    *server.size.lock() = 300;
    ask(&database, 6).await.unwrap();
    assert_eq!(database.status().size, Some(600));
    for _ in 0..2 {
        let unknown = ask(&database, 1000).await.unwrap_err();
        assert!(matches!(unknown, SumdbError::Unknown { .. }));
    }
    let lookups = server
        .asked
        .lock()
        .iter()
        .filter(|path| path.contains("m1000"))
        .count();
    assert_eq!(lookups, 1);
    assert!(database.status().alarms.is_empty());
}

#[tokio::test]
async fn c70_partial_tiles_that_are_gone_are_cut_from_the_full_ones() {
    let server = Server::new(512, "");
    *server.size.lock() = 300;
    server.no_partials.store(true, Ordering::Relaxed);
    let (database, _) = fresh(&server).await;
    // Level 1 has no full tile: only what is really gone can be had otherwise.
    let level1 = server
        .log
        .lock()
        .tile(TileId { level: 1, index: 0 }, 1)
        .unwrap();
    server.lie("tile/8/1/000.p/1", level1);
    assert_eq!(ask(&database, 290).await, Ok(expected(290, "")));
    assert!(server.asked.lock().contains(&"tile/8/0/001".to_owned()));
}

#[tokio::test]
async fn tiles_for_clients() {
    let server = Server::new(600, "");
    let (database, state) = fresh(&server).await;
    let get = async |path: &str| {
        database
            .tile(TilePath::parse(path).unwrap(), &FetchContext::default())
            .await
            .map(|found| found.body)
    };
    let honest = |path: &str| server.answer(path).unwrap();
    for path in [
        "tile/8/0/000",
        "tile/8/0/001.p/7",
        "tile/8/0/002.p/88",
        "tile/8/1/000.p/2",
        "tile/8/data/001",
        "tile/8/data/002.p/3",
    ] {
        assert_eq!(get(path).await, Ok(honest(path)), "{path}");
    }
    // Wider ones answer for narrower ones.
    server.asked.lock().clear();
    for path in [
        "tile/8/0/000.p/200",
        "tile/8/0/001",
        "tile/8/0/002.p/3",
        "tile/8/data/001.p/9",
    ] {
        assert_eq!(get(path).await, Ok(honest(path)), "{path}");
    }
    assert!(server.asked.lock().is_empty());
    // Gone, not there yet, forged.
    server.gone.lock().insert("tile/8/0/000.p/7".to_owned());
    let (other, _) = fresh(&server).await;
    let gone = other
        .tile(
            TilePath::parse("tile/8/0/000.p/7").unwrap(),
            &FetchContext::default(),
        )
        .await;
    assert!(matches!(gone, Err(SumdbError::Unknown { .. })), "{gone:?}");
    assert!(matches!(
        get("tile/8/0/007").await,
        Err(SumdbError::Unknown { .. })
    ));
    let mut forged = honest("tile/8/data/000").to_vec();
    let digit = forged.iter().position(|byte| *byte == b':').unwrap() + 1;
    forged[digit] ^= 1;
    server.lie("tile/8/data/000", forged);
    assert!(matches!(
        get("tile/8/data/000").await,
        Err(SumdbError::Inconsistent(_))
    ));
    assert!(!state.map.lock().contains_key("tile/8/data/000"));
}

#[tokio::test]
async fn another_key_means_to_begin_anew() {
    let server = Server::new(10, "");
    let (database, state) = fresh(&server).await;
    ask(&database, 5).await.unwrap();
    server.log.lock().signer = Signer::new(NAME, 8);
    let database = open(&server, &state).await;
    assert_eq!(database.status().size, None);
    assert_eq!(ask(&database, 5).await, Ok(expected(5, "")));
}

/// A proxy that relays look-ups but not tiles says nothing about the version.
#[tokio::test]
async fn a_tile_that_is_missing_does_not_make_a_version_unknown() {
    let server = Server::new(600, "");
    let (database, _) = fresh(&server).await;
    let gone = || SumdbError::Fault(String::new());
    for path in ["tile/8/1/000.p/2", "tile/8/0/001"] {
        server.gone.lock().insert(path.to_owned());
        let refused = ask(&database, 300).await.unwrap_err();
        assert_eq!(
            std::mem::discriminant(&refused),
            std::mem::discriminant(&gone()),
            "{path}: {refused:?}"
        );
        server.gone.lock().clear();
    }
    assert_eq!(ask(&database, 300).await, Ok(expected(300, "")));
}

#[tokio::test]
async fn what_found_no_room_is_kept_once_there_is_room() {
    let server = Server::new(600, "");
    let (database, state) = fresh(&server).await;
    state.full.store(true, Ordering::Relaxed);
    ask(&database, 300).await.unwrap();
    assert!(!state.map.lock().keys().any(|key| key.starts_with("lookup")));
    // In memory all the same.
    server.down.store(true, Ordering::Relaxed);
    ask(&database, 300).await.unwrap();
    server.down.store(false, Ordering::Relaxed);
    state.full.store(false, Ordering::Relaxed);
    ask(&database, 300).await.unwrap();
    server.down.store(true, Ordering::Relaxed);
    let database = open(&server, &state).await;
    ask(&database, 300).await.unwrap();
    for path in ["tile/8/1/000.p/2", "tile/8/0/001", "tile/8/0/002.p/88"] {
        let tile = database
            .tile(TilePath::parse(path).unwrap(), &FetchContext::default())
            .await;
        assert_eq!(tile.unwrap().body, server.answer(path).unwrap(), "{path}");
    }
}

#[tokio::test]
async fn a_forged_full_tile_in_place_of_a_partial_one_is_fetched_again() {
    let server = Server::new(512, "");
    *server.size.lock() = 300;
    server.gone.lock().insert("tile/8/0/001.p/44".to_owned());
    let mut forged = server.answer("tile/8/0/001").unwrap().to_vec();
    forged[40] ^= 1;
    server.lie("tile/8/0/001", forged);
    let (database, _) = fresh(&server).await;
    let refused = ask(&database, 290).await.unwrap_err();
    assert!(
        matches!(refused, SumdbError::Inconsistent(_)),
        "{refused:?}"
    );
    server.lies.lock().clear();
    assert_eq!(ask(&database, 290).await, Ok(expected(290, "")));
}

#[tokio::test]
async fn begun_anew_nothing_is_left() {
    let server = Server::new(300, "");
    let (database, state) = fresh(&server).await;
    ask(&database, 5).await.unwrap();
    database.begin_anew().await.unwrap();
    assert!(state.map.lock().is_empty());
    *server.log.lock() = TestLog::new(Signer::new(NAME, 7), 200, "another");
    *server.size.lock() = 200;
    assert_eq!(ask(&database, 5).await, Ok(expected(5, "another")));
    assert!(database.status().alarms.is_empty());
}
