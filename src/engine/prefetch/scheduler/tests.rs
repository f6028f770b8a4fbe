//! The scheduler with a `Fetch` that does as it is told, on a clock that stands still.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{self, advance};

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::engine::Rules;
use crate::gomod::{ModulePath, Version};
use crate::kit::FetchContext;
use crate::policy::Decision;
use crate::telemetry::metrics::PrefetchOutcome;

/// A fetch that has begun: it ends when it is told how.
struct Call {
    file: String,
    end: oneshot::Sender<Option<Bytes>>,
}

/// Who fetches.
struct Fake {
    idle: AtomicBool,
    /// Of what is not missing, what there is to know.
    known: Mutex<HashMap<String, Lookup>>,
    calls: Mutex<Vec<Call>>,
}

impl Fake {
    async fn call(&self, key: &FileKey) -> Option<Bytes> {
        let (end, told) = oneshot::channel();
        let file = name(key);
        self.calls.lock().push(Call { file, end });
        told.await.ok()?
    }
}

#[async_trait::async_trait]
impl Fetch for Fake {
    fn is_idle_enough(&self) -> bool {
        self.idle.load(Ordering::SeqCst)
    }

    fn context(&self, module: &ModulePath) -> Option<RequestContext> {
        (!module.as_str().starts_with("corp.io/")).then(|| {
            let rules = Arc::new(Rules::empty());
            let fetch = FetchContext::prefetch();
            RequestContext::in_background(rules, Decision::default(), fetch)
        })
    }

    async fn look_up(&self, key: &FileKey, _: &RequestContext) -> Lookup {
        let known = self.known.lock();
        known.get(&name(key)).cloned().unwrap_or(Lookup::Missing)
    }

    async fn small(self: Arc<Self>, key: &FileKey, _: &RequestContext) -> Option<Bytes> {
        self.call(key).await
    }

    async fn zip(self: Arc<Self>, key: &FileKey, _: &RequestContext) -> Option<u64> {
        self.call(key).await.map(|body| body.len() as u64)
    }
}

/// The clock of the test's runtime, which moves only when it is told to, or when nothing else is left to do.
struct Paused;

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }

    fn instant(&self) -> Instant {
        time::Instant::now().into_std()
    }
}

fn key(file: &str) -> FileKey {
    let (name, ext) = file.rsplit_once('.').unwrap();
    let (module, version) = name.split_once('@').unwrap();
    FileKey {
        module: ModulePath::parse(module).unwrap(),
        version: Version::parse(version).unwrap(),
        kind: Kind::from_ext(ext).unwrap(),
    }
}

fn name(key: &FileKey) -> String {
    format!("{}@{}.{}", key.module, key.version, key.kind.ext())
}

/// A go.mod of before 1.17, whose requirements are all wanted.
fn go_mod(requires: &[&str]) -> Bytes {
    let mut text = "module x\ngo 1.16\n".to_owned();
    for required in requires {
        text += &format!("require {} v1.0.0\n", required);
    }
    text.into()
}

const ALICE: u64 = 1;
const BOB: u64 = 2;

struct Rig {
    fake: Arc<Fake>,
    scheduler: Arc<Scheduler>,
    metrics: PrefetchMetrics,
    under_way: BTreeMap<String, oneshot::Sender<Option<Bytes>>>,
}

impl Rig {
    fn with(settings: PrefetchSettings) -> Self {
        let fake = Arc::new(Fake {
            idle: AtomicBool::new(true),
            known: Mutex::default(),
            calls: Mutex::default(),
        });
        let metrics = PrefetchMetrics::default();
        let weak = Arc::downgrade(&fake);
        Rig {
            scheduler: Scheduler::new(settings, Arc::new(Paused), metrics.clone(), weak),
            fake,
            metrics,
            under_way: BTreeMap::new(),
        }
    }

    /// Eight requests at once, one of them of a zip.
    fn new() -> Self {
        Rig::with(PrefetchSettings {
            enabled: true,
            requests: 8,
            bytes: 1000,
        })
    }

    /// What is fetched now and was not when this was asked last.
    async fn begun(&mut self) -> Vec<String> {
        // A clock that stands still moves by itself only when no task can go on.
        time::sleep(Duration::from_nanos(1)).await;
        let calls: Vec<_> = self.fake.calls.lock().drain(..).collect();
        let begun = calls.into_iter().map(|call| {
            self.under_way.insert(call.file.clone(), call.end);
            call.file
        });
        begun.collect()
    }

    /// A fetch comes to this; `None` for a failure.
    fn ends(&mut self, file: &str, body: Option<Bytes>) {
        let end = self.under_way.remove(file).expect(file);
        end.send(body).unwrap();
    }

    fn misses(&self, client: u64, file: &str) {
        self.scheduler.missed(&key(file), followed(client, file));
    }

    fn hits(&self, client: u64, file: &str) {
        self.scheduler
            .hit(&key(file), Some(ClientId::number(client)));
    }

    /// A client asks for a go.mod that is missing, and gets it.
    fn gets(&self, client: u64, module: &str, requires: &[&str]) {
        let file = format!("{module}@v1.0.0.mod");
        self.misses(client, &file);
        let body = go_mod(requires);
        let client = followed(client, &file);
        self.scheduler.came(&key(&file), Some(&body), client);
    }

    fn counted(&self, kind: &'static str, outcome: PrefetchOutcome) -> u64 {
        self.metrics.counted(kind, outcome)
    }

    fn slots(&self) -> (usize, usize) {
        let state = self.scheduler.state.lock();
        (state.small, state.zips)
    }
}

/// For whom prefetches may be made, as the context of a request has it.
fn followed(client: u64, file: &str) -> Option<ClientId> {
    (!file.starts_with("corp.io/")).then(|| ClientId::number(client))
}

/// `count` modules below `prefix`.
fn modules(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}/m{n:03}")).collect()
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn so_many_are_under_way_and_no_more() {
    let mut rig = Rig::new();
    let wanted = modules("x.io", 20);
    rig.gets(ALICE, "a.io/a", &[]);
    assert!(rig.begun().await.is_empty(), "one module is no graph");
    rig.gets(ALICE, "a.io/b", &refs(&wanted));
    let begun = rig.begun().await;
    assert_eq!(begun.len(), 7);
    assert_eq!(begun[0], "x.io/m000@v1.0.0.mod");
    rig.ends(&begun[0], Some(go_mod(&[])));
    assert_eq!(rig.begun().await, ["x.io/m007@v1.0.0.mod"]);
    assert_eq!(rig.slots(), (7, 0));
    while let Some(file) = rig.under_way.keys().next().cloned() {
        rig.ends(&file, Some(go_mod(&[])));
        rig.begun().await;
    }
    assert_eq!(rig.slots(), (0, 0));
    assert_eq!(rig.counted("mod", PrefetchOutcome::Made), 20);
}

#[tokio::test(start_paused = true)]
async fn who_stops_ends_what_is_under_way_and_begins_nothing() {
    let mut rig = Rig::new();
    rig.gets(ALICE, "a.io/a", &[]);
    rig.gets(ALICE, "a.io/b", &["x.io/x", "x.io/y"]);
    assert_eq!(rig.begun().await.len(), 2);
    rig.scheduler.stop();
    rig.ends("x.io/x@v1.0.0.mod", Some(go_mod(&["x.io/z"])));
    rig.gets(ALICE, "a.io/c", &["x.io/w"]);
    assert!(rig.begun().await.is_empty());
    assert_eq!(rig.slots(), (1, 0));
    rig.ends("x.io/y@v1.0.0.mod", None);
    assert!(rig.begun().await.is_empty());
    assert_eq!(rig.slots(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_comes_leads_further() {
    let mut rig = Rig::new();
    rig.gets(ALICE, "a.io/a", &[]);
    rig.gets(ALICE, "a.io/b", &["x.io/x"]);
    assert_eq!(rig.begun().await, ["x.io/x@v1.0.0.mod"]);
    // While it is still being verified.
    rig.scheduler
        .arrived(&key("x.io/x@v1.0.0.mod"), &go_mod(&["x.io/y"]));
    assert_eq!(rig.begun().await, ["x.io/y@v1.0.0.mod"]);
    rig.ends("x.io/y@v1.0.0.mod", Some(go_mod(&["x.io/z"])));
    assert_eq!(rig.begun().await, ["x.io/z@v1.0.0.mod"]);
}

#[tokio::test(start_paused = true)]
async fn small_files_come_before_zips_and_who_was_heard_last_before_others() {
    let mut rig = Rig::with(PrefetchSettings {
        requests: 1,
        ..Rig::new().scheduler.settings
    });
    rig.fake.idle.store(false, Ordering::SeqCst);
    for (client, prefix) in [(ALICE, "a.io"), (BOB, "b.io")] {
        rig.gets(client, &format!("{prefix}/a"), &[]);
        rig.gets(client, &format!("{prefix}/b"), &[]);
        let wanted = modules(prefix, 2);
        rig.gets(client, &format!("{prefix}/c"), &refs(&wanted));
        advance(Duration::from_millis(10)).await;
    }
    rig.fake.idle.store(true, Ordering::SeqCst);
    rig.scheduler.schedule();
    let mut order = rig.begun().await;
    assert_eq!(order, ["b.io/m000@v1.0.0.mod", "b.io/a@v1.0.0.zip"]);
    for _ in 0..3 {
        let small = order.iter().rfind(|file| file.ends_with(".mod")).unwrap();
        rig.ends(&small.clone(), Some(go_mod(&[])));
        order.extend(rig.begun().await);
    }
    let small = order.iter().filter(|file| file.ends_with(".mod"));
    let small: Vec<_> = small.map(|file| &file[..9]).collect();
    assert_eq!(small, ["b.io/m000", "b.io/m001", "a.io/m000", "a.io/m001"]);
    assert_eq!(rig.slots().1, 1, "the zip is still coming");
}

#[tokio::test(start_paused = true)]
async fn zips_stop_when_what_nobody_has_asked_for_takes_too_much() {
    let mut rig = Rig::new();
    for module in ["a.io/a", "a.io/b", "a.io/c"] {
        rig.gets(ALICE, module, &[]);
    }
    assert_eq!(rig.begun().await, ["a.io/a@v1.0.0.zip"]);
    assert_eq!(rig.scheduler.room(), 1000);
    rig.ends("a.io/a@v1.0.0.zip", Some(vec![0; 400].into()));
    assert_eq!(rig.begun().await, ["a.io/b@v1.0.0.zip"]);
    assert_eq!(rig.scheduler.room(), 600);
    rig.ends("a.io/b@v1.0.0.zip", Some(vec![0; 600].into()));
    assert!(rig.begun().await.is_empty());
    assert_eq!(rig.scheduler.room(), 0);
    assert_eq!(rig.metrics.bytes.get(), 1000);
    // The client takes one: there is room for the next.
    rig.hits(ALICE, "a.io/a@v1.0.0.zip");
    assert_eq!(rig.begun().await, ["a.io/c@v1.0.0.zip"]);
    assert_eq!(rig.scheduler.room(), 400);
    assert_eq!(rig.counted("zip", PrefetchOutcome::Used), 1);
    // Taken once, it counts once.
    rig.hits(ALICE, "a.io/a@v1.0.0.zip");
    assert_eq!(rig.counted("zip", PrefetchOutcome::Used), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_too_large_takes_nothing_and_the_next_one_comes() {
    let mut rig = Rig::new();
    for module in ["a.io/a", "a.io/b", "a.io/c"] {
        rig.gets(ALICE, module, &[]);
    }
    assert_eq!(rig.begun().await, ["a.io/a@v1.0.0.zip"]);
    // Who fetches gives it up at `room`.
    rig.ends("a.io/a@v1.0.0.zip", None);
    assert_eq!(rig.begun().await, ["a.io/b@v1.0.0.zip"]);
    assert_eq!(rig.scheduler.room(), 1000);
    assert_eq!(rig.counted("zip", PrefetchOutcome::Failed), 1);
    assert_eq!(rig.slots(), (0, 1));
    // Whoever wants it has it fetched as anybody does: that is no use of the prefetch.
    rig.misses(ALICE, "a.io/a@v1.0.0.zip");
    assert_eq!(rig.counted("zip", PrefetchOutcome::Used), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_gives_its_slot_back_and_is_not_made_again() {
    let mut rig = Rig::new();
    let wanted = modules("x.io", 8);
    rig.gets(ALICE, "a.io/a", &[]);
    rig.gets(ALICE, "a.io/b", &refs(&wanted));
    assert_eq!(rig.begun().await.len(), 7);
    rig.ends("x.io/m000@v1.0.0.mod", None);
    assert_eq!(rig.begun().await, ["x.io/m007@v1.0.0.mod"]);
    rig.gets(ALICE, "a.io/c", &["x.io/m000"]);
    let begun = rig.begun().await;
    assert!(begun.iter().all(|file| file.ends_with(".zip")), "{begun:?}");
    assert_eq!(rig.counted("mod", PrefetchOutcome::Failed), 1);
    assert_eq!(rig.counted("mod", PrefetchOutcome::Made), 8);
}

#[tokio::test(start_paused = true)]
async fn one_that_somebody_comes_to_wait_for_is_used_however_it_ends() {
    for end in [Some(go_mod(&[])), None] {
        let mut rig = Rig::new();
        rig.gets(ALICE, "a.io/a", &[]);
        rig.gets(ALICE, "a.io/b", &["x.io/x"]);
        rig.begun().await;
        rig.misses(ALICE, "x.io/x@v1.0.0.mod");
        assert_eq!(rig.slots(), (1, 0), "it goes on");
        rig.ends("x.io/x@v1.0.0.mod", end);
        assert!(rig.begun().await.is_empty());
        assert_eq!(rig.slots(), (0, 0));
        assert_eq!(rig.counted("mod", PrefetchOutcome::Used), 1);
        assert_eq!(rig.counted("mod", PrefetchOutcome::Failed), 0);
        assert_eq!(rig.metrics.bytes.get(), 0, "it is nobody's any more");
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_takes_is_used_but_not_by_who_it_was_for() {
    let mut rig = Rig::new();
    rig.gets(ALICE, "a.io/a", &[]);
    rig.gets(ALICE, "a.io/b", &["x.io/x"]);
    rig.begun().await;
    rig.ends("x.io/x@v1.0.0.mod", Some(go_mod(&[])));
    rig.begun().await;
    let heard = |rig: &Rig| {
        let state = rig.scheduler.state.lock();
        state.predictors[&ClientId::number(ALICE)].heard()
    };
    let before = heard(&rig);
    advance(Duration::from_secs(1)).await;
    rig.hits(BOB, "x.io/x@v1.0.0.mod");
    assert_eq!(rig.counted("mod", PrefetchOutcome::Used), 1);
    assert_eq!(heard(&rig), before);
    let state = rig.scheduler.state.lock();
    assert!(!state.predictors.contains_key(&ClientId::number(BOB)));
}

#[tokio::test(start_paused = true)]
async fn what_is_there_costs_nothing_and_leads_further() {
    let mut rig = Rig::new();
    let known = [
        ("x.io/x@v1.0.0.mod", Lookup::Kept(Some(go_mod(&["x.io/y"])))),
        ("x.io/y@v1.0.0.mod", Lookup::UnderWay),
        ("x.io/z@v1.0.0.mod", Lookup::Unavailable),
    ];
    let known = known.map(|(file, lookup)| (file.to_owned(), lookup));
    rig.fake.known.lock().extend(known);
    rig.gets(ALICE, "a.io/a", &[]);
    rig.gets(ALICE, "a.io/b", &["x.io/x", "x.io/z"]);
    // What somebody fetches already is joined.
    assert_eq!(rig.begun().await, ["x.io/y@v1.0.0.mod"]);
    rig.ends("x.io/y@v1.0.0.mod", Some(go_mod(&["x.io/last"])));
    assert_eq!(rig.begun().await, ["x.io/last@v1.0.0.mod"]);
    assert_eq!(rig.counted("mod", PrefetchOutcome::Made), 1);
    assert_eq!(rig.slots(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_while_there_is_more_important_work() {
    let mut rig = Rig::new();
    rig.fake.idle.store(false, Ordering::SeqCst);
    rig.gets(ALICE, "a.io/a", &[]);
    rig.gets(ALICE, "a.io/b", &["x.io/x"]);
    assert!(rig.begun().await.is_empty());
    rig.fake.idle.store(true, Ordering::SeqCst);
    rig.misses(ALICE, "a.io/c@v1.0.0.mod");
    assert_eq!(rig.begun().await, ["x.io/x@v1.0.0.mod"]);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_prefetched_is_neither_followed_nor_fetched() {
    let mut rig = Rig::new();
    rig.gets(ALICE, "corp.io/a", &["x.io/x"]);
    rig.gets(ALICE, "corp.io/b", &["x.io/y"]);
    assert!(rig.begun().await.is_empty());
    rig.gets(ALICE, "a.io/a", &[]);
    rig.gets(ALICE, "a.io/b", &["corp.io/c", "x.io/z"]);
    assert_eq!(rig.begun().await, ["x.io/z@v1.0.0.mod"]);
    assert_eq!(rig.slots(), (1, 0));
    // Nor is anything for who is not known, or where it is switched off.
    let off = Rig::with(PrefetchSettings {
        enabled: false,
        ..rig.scheduler.settings
    });
    for mut rig in [off, Rig::new()] {
        let client = Some(ClientId::number(ALICE)).filter(|_| !rig.scheduler.settings.enabled);
        for module in ["a.io/a", "a.io/b"] {
            let key = key(&format!("{module}@v1.0.0.mod"));
            rig.scheduler.missed(&key, client);
            let body = go_mod(&["x.io/x"]);
            rig.scheduler.came(&key, Some(&body), client);
        }
        assert!(rig.begun().await.is_empty());
        assert!(rig.scheduler.state.lock().predictors.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_given_up_and_who_is_gone_is_forgotten() {
    let mut rig = Rig::new();
    for module in ["a.io/a", "a.io/b", "a.io/c"] {
        rig.gets(ALICE, module, &[]);
    }
    rig.begun().await;
    rig.ends("a.io/a@v1.0.0.zip", Some(vec![0; 1000].into()));
    assert!(rig.begun().await.is_empty());
    advance(Duration::from_secs(10)).await;
    rig.scheduler.tidy();
    assert!(rig.scheduler.state.lock().predictors.is_empty());
    assert_eq!(rig.scheduler.room(), 0, "it may still be used");
    advance(Duration::from_secs(290)).await;
    rig.scheduler.tidy();
    assert_eq!(rig.scheduler.room(), 1000);
    assert_eq!(rig.counted("zip", PrefetchOutcome::Wasted), 1);
    rig.hits(ALICE, "a.io/a@v1.0.0.zip");
    assert_eq!(rig.counted("zip", PrefetchOutcome::Used), 0, "too late");
}

#[tokio::test(start_paused = true)]
async fn so_many_clients_are_followed_and_the_longest_silent_goes() {
    let rig = Rig::new();
    for client in 0..=CLIENTS as u64 {
        rig.misses(client, "a.io/a@v1.0.0.mod");
        advance(Duration::from_millis(1)).await;
    }
    let state = rig.scheduler.state.lock();
    assert_eq!(state.predictors.len(), CLIENTS);
    assert!(!state.predictors.contains_key(&ClientId::number(0)));
    assert!(state.predictors.contains_key(&ClientId::number(1)));
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_who_fetches() {
    let mut rig = Rig::new();
    rig.gets(ALICE, "a.io/a", &[]);
    rig.gets(ALICE, "a.io/b", &["x.io/x"]);
    rig.begun().await;
    rig.ends("x.io/x@v1.0.0.mod", Some(go_mod(&["x.io/y"])));
    let Rig {
        fake, scheduler, ..
    } = rig;
    let gone = Arc::downgrade(&fake);
    drop(fake);
    time::sleep(Duration::from_nanos(1)).await;
    assert!(gone.upgrade().is_none(), "no task holds it");
    scheduler.missed(&key("a.io/c@v1.0.0.mod"), Some(ClientId::number(ALICE)));
    assert_eq!(scheduler.state.lock().small, 0);
}
