//! What is cached never outlives what it was made of.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;

use super::held::{At, HeldCatalog};
use super::{ROOMY, files_in, folder};
use crate::clock::{Clock, SharedClock, Timestamp};
use crate::engine::memory::{CachedFile, CachedMetadata};
use crate::engine::{
    Answer, CacheStatus, Chain, Chains, Content, Engine, Freshness, PrefetchSettings,
    RequestContext, Reverified, Rules, RulesGeneration, Settings, Validity, Verifier,
};
use crate::gomod::dirhash::hash_go_mod;
use crate::gomod::{H1, ModulePath, Patterns, Version};
use crate::kit::FetchContext;
use crate::policy::Policy;
use crate::protocol::{FileKey, Key, Kind, Meta, MetaKey};
use crate::store::{
    Companions, FactKey, FileRecord, MetaRecord, Sha256, Store, Verification, Verified,
};
use crate::telemetry::metrics::EngineMetrics;

const TTL: u64 = 60_000;

/// A clock that is set by hand.
pub(super) struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
    #[allow(clippy::disallowed_methods)]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// An engine that has nobody to ask.
struct World {
    engine: Arc<Engine>,
    catalog: Arc<HeldCatalog>,
    clock: Arc<Hand>,
    _folder: TempDir,
}

impl World {
    fn new() -> Self {
        World::with_memory(8 << 20)
    }

    fn with_memory(bytes: u64) -> Self {
        let folder = folder();
        let clock = Arc::new(Hand(Mutex::new(Timestamp(1_000_000))));
        let shared: SharedClock = clock.clone();
        let files = files_in(folder.path(), &Arc::new(AtomicU64::new(ROOMY)), &shared);
        let catalog = Arc::new(HeldCatalog::new(&shared));
        let store = Store::new(catalog.clone(), files);
        let policy = Policy::new(Vec::new(), Patterns::parse(""), Patterns::parse(""));
        let verifier = Verifier::new(Vec::new(), store.clone(), Arc::clone(&shared));
        let settings = Settings {
            memory: bytes,
            max_flights: 64,
            max_zip_flights: 8,
            prefetch: PrefetchSettings {
                enabled: false,
                requests: 1,
                bytes: 0,
            },
            reverify_every: Duration::from_secs(15),
        };
        let freshness = Freshness {
            ttl: Duration::from_millis(TTL),
            negative_ttl: Duration::from_secs(60),
            refused_ttl: Duration::from_secs(10),
            refresh_wait: Duration::from_secs(1),
        };
        let nobody = Chain::default();
        let chains = Chains {
            public: watch::channel(Some(nobody.clone())).1,
            private: nobody,
            routes: Vec::new(),
        };
        let engine = Engine::new(
            settings,
            Rules::for_tests(policy, freshness, chains),
            store,
            verifier,
            shared,
            EngineMetrics::default(),
        );
        World {
            engine,
            catalog,
            clock,
            _folder: folder,
        }
    }

    async fn keep(&self, key: &FileKey, body: &str, verified: Verified) {
        let companions = Companions {
            first_seen: None,
            pending_since: (verified == Verified::None).then(|| self.clock.now()),
        };
        let record = FileRecord {
            size: body.len() as u64,
            sha256: Sha256::of(body.as_bytes()),
            h1: Some(h1()),
            from: "somewhere".into(),
            seen: self.clock.now(),
            verified,
            by: None,
        };
        let body = Bytes::copy_from_slice(body.as_bytes());
        let kept = self
            .engine
            .store
            .publish_bytes(key, body, &record, &companions);
        kept.await.unwrap();
    }

    fn context(&self, key: &Key) -> RequestContext {
        self.engine
            .background(key.module(), FetchContext::default())
    }

    /// What a client of the cached responses would go by.
    fn holds(&self, validity: &Validity) -> bool {
        self.engine.validities.holds(validity, || self.clock.now())
    }

    async fn ask(&self, key: impl Into<Key>) -> Answer {
        let key = key.into();
        let context = self.context(&key);
        self.engine.ask(&key, &context).await.unwrap()
    }

    /// Looks a file up on a task of its own.
    fn looking_up(&self, key: &FileKey) -> tokio::task::JoinHandle<Option<CachedFile>> {
        let (engine, key) = (Arc::clone(&self.engine), key.clone());
        let context = self.engine.background(&key.module, FetchContext::default());
        tokio::spawn(async move { engine.lookup(&key, &context).await.unwrap() })
    }

    fn reading_list(&self, key: &MetaKey) -> tokio::task::JoinHandle<Option<CachedMetadata>> {
        let (engine, key) = (Arc::clone(&self.engine), key.clone());
        let context = self.engine.background(&key.module, FetchContext::default());
        tokio::spawn(async move { engine.kept_meta(&key, &context).await.unwrap() })
    }

    fn list_record(&self, body: &str) -> MetaRecord {
        MetaRecord {
            body: body.to_owned(),
            fetched: self.clock.now(),
            from: "somewhere".into(),
            ..MetaRecord::default()
        }
    }

    async fn keep_list(&self, key: &MetaKey, body: &str) {
        let put = self
            .engine
            .store
            .put_metadata(key, &self.list_record(body))
            .await;
        put.unwrap();
    }

    /// A list that has just come.
    fn land(&self, key: &MetaKey, body: &str) -> CachedMetadata {
        let until = Timestamp(self.clock.now().0 + TTL);
        let validity = self
            .engine
            .validities
            .of(key, RulesGeneration::FIRST)
            .until(until);
        let list = CachedMetadata::new(self.list_record(body), None, validity);
        self.engine.memory.put_fetched(key, list)
    }
}

fn module(path: &str) -> ModulePath {
    ModulePath::parse(path).unwrap()
}

fn file(path: &str, version: &str, kind: Kind) -> FileKey {
    FileKey {
        module: module(path),
        version: Version::parse(version).unwrap(),
        kind,
    }
}

fn list(path: &str) -> MetaKey {
    MetaKey {
        module: module(path),
        meta: Meta::List,
    }
}

fn body(answer: &Answer) -> &[u8] {
    match &answer.content {
        Content::Bytes(bytes) => bytes,
        other => panic!("not in memory: {other:?}"),
    }
}

fn verified(file: &CachedFile) -> (Option<Verified>, Validity) {
    let answer = file.answer(CacheStatus::Hit, None);
    (answer.verified, answer.validity.unwrap())
}

/// Large enough to be answered from an open file, which the memory cache keeps.
fn large() -> String {
    "a line of a very large go.mod\n".repeat(4000)
}

fn h1() -> H1 {
    hash_go_mod(b"module example.com/m\n")
}

async fn verify(world: &World, key: &FileKey, verified: Verified) {
    let verification = Verification {
        verified,
        by: None,
        first_seen: None,
    };
    let h1 = h1();
    let put = world.engine.put_verification(key, &h1, verification);
    assert!(put.await.unwrap());
}

#[tokio::test]
async fn a_file_revoked_before_it_is_read_is_not_there() {
    let world = World::new();
    let key = file("example.com/m", "v1.0.0", Kind::Mod);
    world.keep(&key, &large(), Verified::Sumdb).await;
    let mut hold = world.catalog.hold(At::Read, FactKey::File(key.clone()));
    let looking_up = world.looking_up(&key);
    hold.reached().await;
    world.engine.revoke(&key).await.unwrap();
    hold.go_on();
    assert!(looking_up.await.unwrap().is_none());
    assert!(
        world
            .engine
            .memory
            .lookup(&key, RulesGeneration::FIRST)
            .is_none()
    );
}

#[tokio::test]
async fn a_file_that_changes_while_a_hit_is_assembled_enters_no_cache() {
    let world = World::new();
    let small = "module example.com/small\n".to_owned();
    for (path, content) in [("example.com/large", large()), ("example.com/small", small)] {
        let key = file(path, "v1.0.0", Kind::Mod);
        world.keep(&key, &content, Verified::FirstSeen).await;
        let mut hold = world.catalog.hold(At::HasRead, FactKey::File(key.clone()));
        let looking_up = world.looking_up(&key);
        hold.reached().await;
        verify(&world, &key, Verified::Sumdb).await;
        hold.go_on();
        // This one asked before.
        let (was, validity) = verified(&looking_up.await.unwrap().unwrap());
        assert_eq!(was, Some(Verified::FirstSeen));
        assert!(!world.holds(&validity), "no cache takes it");
        assert!(
            world
                .engine
                .memory
                .lookup(&key, RulesGeneration::FIRST)
                .is_none()
        );
        let context = world
            .engine
            .background(&key.module, FetchContext::default());
        let (is, validity) = verified(&world.engine.lookup(&key, &context).await.unwrap().unwrap());
        assert_eq!(is, Some(Verified::Sumdb));
        assert!(world.holds(&validity));
    }
}

#[tokio::test]
async fn a_file_revoked_while_a_hit_is_assembled_enters_no_cache() {
    let world = World::new();
    let key = file("example.com/m", "v1.0.0", Kind::Mod);
    world.keep(&key, &large(), Verified::Sumdb).await;
    let mut hold = world.catalog.hold(At::HasRead, FactKey::File(key.clone()));
    let looking_up = world.looking_up(&key);
    hold.reached().await;
    world.engine.revoke(&key).await.unwrap();
    // It has come again, as something else.
    world
        .keep(&key, "module example.com/m\n", Verified::Sumdb)
        .await;
    hold.go_on();
    // The record does not fit the file: it is fetched.
    assert!(looking_up.await.unwrap().is_none());
    assert!(
        world
            .engine
            .memory
            .lookup(&key, RulesGeneration::FIRST)
            .is_none()
    );
    let answer = world.ask(key.clone()).await;
    assert_eq!(body(&answer), b"module example.com/m\n");
    assert!(world.holds(&answer.validity.unwrap()));
}

#[tokio::test]
async fn a_file_revoked_after_it_was_cached_is_not_given_again() {
    let world = World::new();
    let key = file("example.com/m", "v1.0.0", Kind::Mod);
    world.keep(&key, &large(), Verified::Sumdb).await;
    let answer = world.ask(key.clone()).await;
    assert!(
        world
            .engine
            .memory
            .lookup(&key, RulesGeneration::FIRST)
            .is_some()
    );
    assert!(world.holds(&answer.validity.unwrap()));
    world.engine.revoke(&key).await.unwrap();
    assert!(
        world
            .engine
            .memory
            .lookup(&key, RulesGeneration::FIRST)
            .is_none()
    );
    assert!(!world.holds(&answer.validity.unwrap()));
    let context = world
        .engine
        .background(&key.module, FetchContext::default());
    assert!(world.engine.lookup(&key, &context).await.unwrap().is_none());
}

#[tokio::test]
async fn re_verification_ends_the_answers_of_its_files_and_no_others() {
    let world = World::new();
    let pending: Vec<_> = (0..20)
        .map(|n| file(&format!("example.com/pending{n}"), "v1.0.0", Kind::Mod))
        .collect();
    for key in &pending {
        world.keep(key, "module pending\n", Verified::None).await;
        let answer = world.ask(key.clone()).await;
        assert_eq!(answer.verified, Some(Verified::None));
        assert!(answer.validity.is_none(), "what is pending is not cached");
    }
    let slots: Vec<_> = pending
        .iter()
        .map(|key| world.engine.validities.of(key, RulesGeneration::FIRST))
        .collect();
    let others = (0..40).map(|n| file(&format!("example.com/m{n}"), "v1.0.0", Kind::Mod));
    let others: Vec<_> = others
        .filter(|key| !slots.contains(&world.engine.validities.of(key, RulesGeneration::FIRST)))
        .collect();
    assert!(others.len() > 30);
    let mut answers = Vec::new();
    for key in &others {
        world.keep(key, "module m\n", Verified::Sumdb).await;
        answers.push(world.ask(key.clone()).await.validity.unwrap());
    }
    let done = world.engine.reverify_due().await.unwrap();
    assert_eq!(
        done,
        Reverified {
            verified: 20,
            revoked: 0
        }
    );
    assert!(answers.iter().all(|validity| world.holds(validity)));
    let answer = world.ask(pending[0].clone()).await;
    assert_eq!(answer.verified, Some(Verified::FirstSeen));
    assert!(world.holds(&answer.validity.unwrap()));
}

#[tokio::test]
async fn a_list_that_lands_while_an_older_one_is_read_stays() {
    let world = World::new();
    let key = list("example.com/m");
    world.keep_list(&key, "v1.0.0\n").await;
    let mut hold = world
        .catalog
        .hold(At::HasRead, FactKey::Metadata(key.clone()));
    let reading = world.reading_list(&key);
    hold.reached().await;
    world.land(&key, "v1.0.0\nv1.1.0\n");
    hold.go_on();
    let given = reading.await.unwrap().unwrap();
    assert_eq!(given.record.body, "v1.0.0\nv1.1.0\n");
    let known = world.engine.memory.metadata(&key).unwrap();
    assert_eq!(known.record.body, "v1.0.0\nv1.1.0\n");
    assert!(world.holds(&known.validity));
}

#[tokio::test]
async fn a_list_that_is_outdated_while_it_is_read_is_not_fresh() {
    let world = World::new();
    let key = list("example.com/m");
    world.keep_list(&key, "v1.0.0\n").await;
    let mut hold = world
        .catalog
        .hold(At::HasRead, FactKey::Metadata(key.clone()));
    let reading = world.reading_list(&key);
    hold.reached().await;
    let version = file("example.com/m", "v1.1.0", Kind::Info);
    world.engine.outdate_list(&version);
    hold.go_on();
    let given = reading.await.unwrap().unwrap();
    assert_eq!(given.record.body, "v1.0.0\n");
    assert!(!world.holds(&given.validity));
    assert!(world.engine.memory.metadata(&key).is_none());
}

#[tokio::test]
async fn a_version_outdates_only_a_list_that_lacks_it() {
    let world = World::new();
    let key = list("example.com/m");
    let landed = world.land(&key, "v1.0.0\nv1.1.0\n");
    let appears = |version| {
        let version = file("example.com/m", version, Kind::Info);
        world.engine.outdate_list(&version);
    };
    appears("v1.1.0");
    appears("v0.0.0-20200101000000-abcdefabcdef");
    assert!(world.holds(&landed.validity));
    appears("v1.2.0");
    assert!(!world.holds(&landed.validity));
    // It is still the last that is known, with its own age.
    let known = world.engine.memory.metadata(&key).unwrap();
    assert_eq!(known.record, landed.record);
    // The next one has it, and is as fresh as any.
    let landed = world.land(&key, "v1.0.0\nv1.1.0\nv1.2.0\n");
    appears("v1.2.0");
    assert!(world.holds(&landed.validity));
}

#[tokio::test]
async fn a_list_that_lands_while_another_is_outdated_is_not_replaced() {
    let world = World::new();
    let key = list("example.com/m");
    for round in 0..200 {
        world.land(&key, "v1.0.0\n");
        let engine = Arc::clone(&world.engine);
        let outdating = std::thread::spawn(move || {
            let version = file("example.com/m", "v1.1.0", Kind::Info);
            engine.outdate_list(&version);
        });
        world.land(&key, "v1.0.0\nv1.1.0\n");
        outdating.join().unwrap();
        let known = world.engine.memory.metadata(&key).unwrap();
        assert_eq!(known.record.body, "v1.0.0\nv1.1.0\n", "{round}");
    }
}

#[tokio::test]
async fn a_list_is_outdated_that_only_others_have() {
    let world = World::with_memory(0);
    let key = list("example.com/m");
    let landed = world.land(&key, "v1.0.0\n");
    assert!(
        world.engine.memory.metadata(&key).is_none(),
        "for want of room"
    );
    assert!(world.holds(&landed.validity), "which ends nothing");
    let version = file("example.com/m", "v1.1.0", Kind::Info);
    world.engine.outdate_list(&version);
    assert!(!world.holds(&landed.validity));
}

#[tokio::test]
async fn a_list_asked_for_often_may_be_given_again_until_it_is_old() {
    let world = World::new();
    let key = list("example.com/m");
    world.keep_list(&key, "v1.0.0\n").await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(world.ask(key.clone()).await);
    }
    assert!(answers[..2].iter().all(|answer| answer.validity.is_none()));
    let validity = answers[2].validity.unwrap();
    let since = world.clock.now();
    assert!(world.holds(&validity));
    *world.clock.0.lock() = Timestamp(since.0 + TTL - 1);
    assert!(world.holds(&validity));
    *world.clock.0.lock() = Timestamp(since.0 + TTL);
    assert!(!world.holds(&validity));
    let key = key.into();
    let context = RequestContext {
        cached_only: true,
        ..world.context(&key)
    };
    let old = world.engine.ask(&key, &context).await.unwrap();
    assert_eq!(old.cache, CacheStatus::Stale(0));
}
