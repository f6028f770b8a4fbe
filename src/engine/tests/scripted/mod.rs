//! Origins with a script: they say what a test wants, at the moment that it wants. The catalog is in memory, the clock
//! stands still; nothing here sleeps, and nothing leaves the process.

mod chains;
mod databases;
mod files;
mod metadata;
mod refresh;
mod restart;
mod rules;
mod zips;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;

use super::{ROOMY, files_in, folder};
use crate::clock::{Clock, SharedClock, Timestamp};
use crate::engine::origins::{
    Chain, ChainEntry, Chains, FetchRequest, Known, Origin, OriginError, Reply, Revalidation,
};
use crate::engine::*;
use crate::gomod::zip::ZipWriter;
use crate::gomod::{ModulePath, Patterns, Version};
use crate::kit::FetchContext;
use crate::policy::Policy;
use crate::protocol::Kind;
use crate::store::Catalog;
use crate::store::catalog::memory::MemoryCatalog;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{OnFailure, Validators, ZipStream};
use databases::FakeDatabase;

/// Where a script has got to, for whoever waits for that, and when it may go on.
#[derive(Clone, Default)]
struct Gate(Arc<(watch::Sender<bool>, watch::Sender<bool>)>);

impl Gate {
    async fn pass(&self) {
        self.0.0.send_replace(true);
        let _ = self.0.1.subscribe().wait_for(|open| *open).await;
    }

    /// Somebody stands before it.
    async fn reached(&self) {
        let _ = self.0.0.subscribe().wait_for(|reached| *reached).await;
    }

    fn open(&self) {
        self.0.1.send_replace(true);
    }
}

/// What an origin does when it is asked.
#[derive(Clone)]
enum Step {
    /// It has this.
    Body(Bytes),
    /// And names it so.
    Named(&'static str, &'static str),
    NotModified,
    Absent,
    Gone,
    Fails(Class),
    TooLarge,
    /// It sends so many bytes of a zip and then no more.
    Cut(Bytes, usize),
    /// It waits before it does so.
    After(Gate, Box<Step>),
    /// It waits when so many bytes have been sent.
    Halfway(Gate, Bytes, usize),
}

fn body(text: &str) -> Step {
    Step::Body(Bytes::copy_from_slice(text.as_bytes()))
}

fn after(gate: &Gate, step: Step) -> Step {
    Step::After(gate.clone(), Box::new(step))
}

/// How an origin was asked.
#[derive(Clone, Debug)]
struct Call {
    path: String,
    time: Duration,
    prefetch: bool,
    conditional: bool,
}

/// An origin with a script: for each path, one step after the other; the last one is done again and again. What it has
/// no script for is absent.
struct FakeOrigin {
    label: Arc<str>,
    is_proxy: bool,
    rest: bool,
    scripts: Mutex<Vec<(String, Vec<Step>)>>,
    calls: Mutex<Vec<Call>>,
}

impl FakeOrigin {
    fn new(label: &str) -> Arc<Self> {
        Arc::new(FakeOrigin {
            label: label.into(),
            // By its name.
            is_proxy: !label.starts_with("repo"),
            rest: label.starts_with("tired"),
            scripts: Mutex::default(),
            calls: Mutex::default(),
        })
    }

    /// Whatever ends so is answered by these steps.
    fn says(self: &Arc<Self>, end: &str, steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        let mut steps: Vec<_> = steps.into_iter().collect();
        steps.reverse();
        let mut scripts = self.scripts.lock();
        scripts.retain(|(known, _)| known != end);
        scripts.push((end.to_owned(), steps));
        drop(scripts);
        Arc::clone(self)
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    fn asked(&self) -> usize {
        self.calls.lock().len()
    }

    fn begin(&self, request: &FetchRequest<'_>, time: Duration, conditional: bool) -> Step {
        let path = request.key.to_string();
        self.calls.lock().push(Call {
            path: path.clone(),
            time,
            prefetch: request.context.priority.is_prefetch(),
            conditional,
        });
        let mut scripts = self.scripts.lock();
        let script = scripts
            .iter_mut()
            .find(|(end, _)| path.ends_with(end.as_str()));
        match script {
            Some((_, steps)) if steps.len() > 1 => steps.pop().unwrap(),
            Some((_, steps)) => steps.last().cloned().unwrap_or(Step::Absent),
            None => Step::Absent,
        }
    }

    fn failed(&self, request: &FetchRequest<'_>, step: &Step) -> OriginError {
        let (what, label) = (request.describe(), &self.label);
        let brief = format!("{label} says 404");
        let (class, text, too_large) = match step {
            Step::Absent | Step::Gone => {
                let gone = matches!(step, Step::Gone);
                let text = format!("not found: {what}: {brief}");
                (Class::Absent { gone }, text, false)
            }
            Step::Fails(class) => (*class, format!("{what}: {label} failed"), false),
            Step::TooLarge => (Class::Upstream, format!("{what}: too large"), true),
            _ => panic!("{label} was asked for {what} in another way than its script expects"),
        };
        let cause = Cause::Scripted {
            class,
            text,
            from: Some(label.to_string()),
            too_large,
        };
        let error = cause.into();
        OriginError { error, brief }
    }

    /// None if that cannot be what is asked for.
    fn reply(&self, request: &FetchRequest<'_>, body: &Bytes, etag: Option<&str>) -> Option<Reply> {
        Some(Reply {
            content: request.check(body).ok()?,
            validators: Validators {
                etag: etag.map(str::to_owned),
                modified: None,
            },
            from: Arc::clone(&self.label),
        })
    }

    async fn at_last(mut step: Step) -> Step {
        while let Step::After(gate, then) = step {
            gate.pass().await;
            step = *then;
        }
        step
    }
}

#[async_trait]
impl Origin for FakeOrigin {
    fn label(&self) -> &Arc<str> {
        &self.label
    }

    fn is_proxy(&self) -> bool {
        self.is_proxy
    }

    fn wants_rest(&self) -> bool {
        self.rest
    }

    async fn fetch_small(
        &self,
        request: &FetchRequest<'_>,
        time: Duration,
    ) -> Result<Reply, OriginError> {
        let reply = match Self::at_last(self.begin(request, time, false)).await {
            Step::Body(body) => self.reply(request, &body, None),
            Step::Named(body, etag) => self.reply(request, &body.into(), Some(etag)),
            step => return Err(self.failed(request, &step)),
        };
        reply.ok_or_else(|| self.failed(request, &Step::Fails(Class::Upstream)))
    }

    async fn revalidate(
        &self,
        request: &FetchRequest<'_>,
        known: &Known<'_>,
        time: Duration,
    ) -> Result<Revalidation, OriginError> {
        let is_own = *known.from == *self.label;
        let step = Self::at_last(self.begin(request, time, is_own)).await;
        let reply = match step {
            Step::NotModified if is_own => return Ok(Revalidation::NotModified),
            Step::Body(body) => self.reply(request, &body, None),
            Step::Named(body, etag) => self.reply(request, &body.into(), Some(etag)),
            step => return Err(self.failed(request, &step)),
        };
        let reply = reply.map(Revalidation::New);
        reply.ok_or_else(|| self.failed(request, &Step::Fails(Class::Upstream)))
    }

    async fn fetch_zip(
        &self,
        request: &FetchRequest<'_>,
        _version: &Version,
        time: Duration,
        stream: &mut ZipStream<'_>,
    ) -> Result<Arc<str>, OriginError> {
        let step = Self::at_last(self.begin(request, time, false)).await;
        let (body, sent, gate) = match &step {
            Step::Body(body) => (body, body.len(), None),
            Step::Cut(body, sent) => (body, *sent, None),
            Step::Halfway(gate, body, sent) => (body, *sent, Some(gate)),
            step => return Err(self.failed(request, step)),
        };
        let broken = |_| self.failed(request, &Step::Fails(Class::Upstream));
        let total = Some(body.len() as u64);
        let mut received = stream.whole(total, &self.label).await.map_err(broken)?;
        for piece in body[..sent].chunks(16 << 10) {
            let piece = Bytes::copy_from_slice(piece);
            stream.pass(&mut received, piece).await.map_err(broken)?;
        }
        if let Some(gate) = gate {
            gate.pass().await;
            let rest = body.slice(sent..);
            stream.pass(&mut received, rest).await.map_err(broken)?;
        }
        stream.ended(received).await.map_err(broken)?;
        Ok(Arc::clone(&self.label))
    }
}

/// A clock that goes on when it is told to.
struct TestClock {
    start: Instant,
    passed: AtomicU64,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000 + self.passed.load(Ordering::SeqCst))
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.passed.load(Ordering::SeqCst))
    }
}

/// Entries as they are written: names of origins, `,` or `|` between them, `off`.
fn chain(text: &str, origins: &[&Arc<FakeOrigin>]) -> Chain {
    let entry = |piece: &str| {
        let on_failure = match piece.ends_with('|') {
            true => OnFailure::AnyError,
            false => OnFailure::NotFoundOnly,
        };
        let name = piece.trim_end_matches([',', '|']);
        let origin = origins.iter().find(|origin| *origin.label == *name);
        let entry = match origin {
            Some(origin) => ChainEntry::Origin(Arc::clone(origin) as Arc<dyn Origin>),
            None => ChainEntry::Off,
        };
        (entry, on_failure)
    };
    let pieces = text.split_inclusive([',', '|']).filter(|it| !it.is_empty());
    Chain::new(pieces.map(entry).collect())
}

struct World {
    engine: Arc<Engine>,
    clock: Arc<TestClock>,
    catalog: Arc<dyn Catalog>,
    /// Bytes that the disk says are free.
    free: Arc<AtomicU64>,
    dir: Arc<TempDir>,
}

/// What an engine is made of.
struct Setup {
    public: Chain,
    /// `private.example` is private, and comes by a chain of its own.
    private: Chain,
    settings: Settings,
    freshness: Freshness,
    verification: VerifySettings,
    database: Option<Arc<FakeDatabase>>,
    clock: Arc<TestClock>,
    catalog: Arc<dyn Catalog>,
    dir: Arc<TempDir>,
}

impl Setup {
    #[allow(
        clippy::disallowed_methods,
        reason = "where a clock begins does not matter"
    )]
    fn of(public: Chain) -> Self {
        let clock = Arc::new(TestClock {
            start: Instant::now(),
            passed: AtomicU64::new(0),
        });
        let shared: SharedClock = clock.clone();
        Setup {
            public,
            private: Chain::default(),
            settings: Settings {
                memory: 1 << 20,
                max_flights: 64,
                max_zip_flights: 64,
                prefetch: PrefetchSettings {
                    enabled: false,
                    requests: 8,
                    bytes: 1 << 30,
                },
                reverify_every: Duration::from_secs(60),
            },
            freshness: Freshness {
                ttl: Duration::from_secs(60),
                negative_ttl: Duration::from_secs(60),
                refused_ttl: Duration::from_secs(10),
                refresh_wait: Duration::from_secs(1),
            },
            verification: VerifySettings {
                serve_unverified: true,
                first_seen_unknown: true,
                patience: Duration::from_secs(15),
            },
            database: None,
            clock,
            catalog: Arc::new(MemoryCatalog::new(&shared)),
            dir: Arc::new(folder()),
        }
    }

    /// On what another engine has left behind.
    fn after(world: &World, public: Chain) -> Self {
        Setup {
            clock: Arc::clone(&world.clock),
            catalog: Arc::clone(&world.catalog),
            dir: Arc::clone(&world.dir),
            ..Setup::of(public)
        }
    }

    fn build(self) -> World {
        let shared: SharedClock = self.clock.clone();
        let free = Arc::new(AtomicU64::new(ROOMY));
        let files = files_in(self.dir.path(), &free, &shared);
        let store = Store::new(Arc::clone(&self.catalog), files);
        let policy = Policy::new(
            Vec::new(),
            Patterns::parse("private.example"),
            Patterns::parse(""),
        );
        let database = self
            .database
            .map(|database| database.open(&store, shared.clone()));
        let databases = database.into_iter().collect();
        let verifier = Verifier::new(databases, store.clone(), shared.clone());
        let (_, public) = watch::channel(Some(self.public));
        let chains = Chains {
            public,
            private: self.private,
            routes: Vec::new(),
        };
        let metrics = Metrics::new().engine;
        let mut rules = Rules::for_tests(policy, self.freshness, chains);
        rules.verification = self.verification;
        let engine = Engine::new(self.settings, rules, store, verifier, shared, metrics);
        World {
            engine,
            clock: self.clock,
            catalog: self.catalog,
            free,
            dir: self.dir,
        }
    }
}

impl World {
    /// Whose public chain is one origin.
    fn of(origin: &Arc<FakeOrigin>) -> World {
        Setup::of(chain(&origin.label, &[origin])).build()
    }

    fn with(public: Chain, change: impl FnOnce(&mut Settings)) -> World {
        World::full(public, Chain::default(), change)
    }

    fn full(public: Chain, private: Chain, change: impl FnOnce(&mut Settings)) -> World {
        let mut setup = Setup::of(public);
        setup.private = private;
        change(&mut setup.settings);
        setup.build()
    }

    /// Of somebody who asks for this.
    fn context(&self, key: &Key) -> RequestContext {
        self.engine
            .background(key.module(), FetchContext::default())
    }

    async fn ask(&self, path: &str) -> Result<Answer, EngineError> {
        let key = key(path);
        self.engine.ask(&key, &self.context(&key)).await
    }

    async fn ask_anew(&self, path: &str) -> Result<Answer, EngineError> {
        let key = key(path);
        let mut context = self.context(&key);
        context.fetch.no_cache = true;
        self.engine.ask(&key, &context).await
    }

    async fn ask_kept(&self, path: &str) -> Result<Answer, EngineError> {
        let key = key(path);
        let context = RequestContext {
            cached_only: true,
            ..self.context(&key)
        };
        self.engine.ask(&key, &context).await
    }

    /// A client that waits in a task of its own.
    fn client(&self, path: &str) -> tokio::task::JoinHandle<Result<Answer, EngineError>> {
        let (engine, key) = (Arc::clone(&self.engine), key(path));
        let context = self.context(&key);
        tokio::spawn(async move { engine.ask(&key, &context).await })
    }

    /// A prefetch has begun.
    fn prefetch(&self, path: &str) {
        let Key::File(file) = key(path) else {
            panic!("only files are prefetched");
        };
        let context = self
            .engine
            .background(&file.module, FetchContext::prefetch());
        match file.kind {
            Kind::Zip => drop(self.engine.zip_flight(&file, &context, None)),
            Kind::Info | Kind::Mod => drop(self.engine.small_flight(&file, &context, None)),
        }
    }

    /// Time passes, for whoever looks at a clock and for whoever waits.
    async fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.clock.passed.fetch_add(millis, Ordering::SeqCst);
        tokio::time::advance(time).await;
    }

    /// Everything that was begun has ended. Writing is done by threads that the clock does not know: while they are at
    /// work, whoever waits in vain would seem to have waited for long.
    async fn quiet(&self) {
        self.until(|| self.engine.flights() == 0).await;
    }

    /// Waits for that without letting the clock go on, as it does while all are waiting.
    async fn until(&self, is_so: impl Fn() -> bool) {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    }

    /// Everybody who could go on has done so.
    async fn stand(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

/// The zip of a module with one file of so many bytes that cannot be made fewer.
fn zip(bytes: usize) -> Bytes {
    let module = ModulePath::parse("example.com/m").unwrap();
    let version = Version::parse("v1.0.0").unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let content: Vec<u8> = (0..bytes).map(|_| random.u8(..)).collect();
    let mut writer = ZipWriter::new(Vec::new(), &module, &version).unwrap();
    writer
        .add("content", bytes as u64, &mut &content[..])
        .unwrap();
    writer.finish().unwrap().into()
}

async fn landed(world: &World, answer: Answer) -> Result<Answer, EngineError> {
    match &answer.content {
        Content::Growing(flight) => world.engine.landed(flight).await,
        _ => Ok(answer),
    }
}

fn key(path: &str) -> Key {
    match crate::protocol::parse(&format!("/{path}")).unwrap() {
        crate::protocol::Target::Module(key) => key,
        other => panic!("{other:?}"),
    }
}

fn text(answer: &Answer) -> String {
    match &answer.content {
        Content::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

const STORED: CacheStatus = CacheStatus::Miss { stored: true };
const PASSED_ON: CacheStatus = CacheStatus::Miss { stored: false };
