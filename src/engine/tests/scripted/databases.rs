//! What a checksum database says: in time, late, never; and what becomes of the file then.

use futures_util::FutureExt;

use super::*;
use crate::gomod::H1;
use crate::gomod::dirhash::hash_go_mod;
use crate::gomod::zip::check_zip;
use crate::store::Verified;
use crate::sumdb::testing::{Signer, TestLog};
use crate::sumdb::{Ask, Database, SumdbError, Transport};

const NAME: &str = "sum.example/db";
const ZIP: &str = "example.com/m/@v/v1.0.0.zip";
const MOD: &str = "example.com/m/@v/v1.0.0.mod";
const OTHER: &str = "example.com/other/@v/v1.0.0.mod";
const GO_MOD: &str = "module example.com/m\n";
/// Large enough that a part goes out before the verdict, and hashed only when it has arrived. Bytes.
const CONTENT: usize = 100 << 10;

/// What the database does when it is asked about a version.
#[derive(Clone)]
enum Say {
    /// What stands in its log, which may be "not known".
    Truth,
    Fails,
    After(Gate, Box<Say>),
}

/// A database with a script for its look-ups; the last step is done again and again. Everything else it answers at once.
pub(super) struct FakeDatabase {
    log: TestLog,
    script: Mutex<Vec<Say>>,
    lookups: AtomicU64,
}

impl FakeDatabase {
    /// That knows these versions: module, h1 of its zip, h1 of its go.mod.
    fn knows(versions: &[(&str, &H1, &H1)], script: impl IntoIterator<Item = Say>) -> Arc<Self> {
        let mut log = TestLog::new(Signer::new(NAME, 7), 3, "");
        for (module, zip, go_mod) in versions {
            log.push(format!(
                "{module} v1.0.0 {zip}\n{module} v1.0.0/go.mod {go_mod}\n"
            ));
        }
        let mut script: Vec<_> = script.into_iter().collect();
        script.reverse();
        Arc::new(FakeDatabase {
            log,
            script: Mutex::new(script),
            lookups: AtomicU64::new(0),
        })
    }

    /// Its client, which keeps what it learns in this store.
    pub(super) fn open(self: Arc<Self>, store: &Store, clock: SharedClock) -> Arc<Database> {
        let opening = Database::open(
            self.log.signer.verifier(),
            self,
            SumdbState::new(store, NAME),
            clock,
            Duration::from_secs(60),
            Metrics::new().sumdb(NAME),
        );
        // A catalog in memory answers at once.
        opening.now_or_never().unwrap().unwrap()
    }

    fn lookups(&self) -> u64 {
        self.lookups.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Transport for FakeDatabase {
    async fn get(&self, ask: &Ask) -> Result<Bytes, SumdbError> {
        if ask.lookup.is_some() {
            self.lookups.fetch_add(1, Ordering::SeqCst);
            let mut say = {
                let mut script = self.script.lock();
                match script.len() {
                    0 | 1 => script.last().cloned().unwrap_or(Say::Truth),
                    _ => script.pop().unwrap(),
                }
            };
            while let Say::After(gate, then) = say {
                gate.pass().await;
                say = *then;
            }
            if let Say::Fails = say {
                return Err(SumdbError::Fault("no connection".into()));
            }
        }
        let unknown = || SumdbError::Unknown {
            gone: false,
            text: "not found".into(),
        };
        self.log
            .answer(&ask.path, self.log.size())
            .ok_or_else(unknown)
    }
}

fn late(gate: &Gate) -> Say {
    Say::After(gate.clone(), Box::new(Say::Truth))
}

/// That nobody ever opens.
fn never() -> Say {
    late(&Gate::default())
}

fn h1_of(zip: &Bytes) -> H1 {
    let module = ModulePath::parse("example.com/m").unwrap();
    let version = Version::parse("v1.0.0").unwrap();
    check_zip(&&zip[..], &module, &version).unwrap().h1
}

/// A database that knows the module as it is.
fn honest(script: impl IntoIterator<Item = Say>) -> Arc<FakeDatabase> {
    let (zip, go_mod) = (h1_of(&zip(CONTENT)), hash_go_mod(GO_MOD.as_bytes()));
    let other = hash_go_mod(b"module example.com/other\n");
    let versions = [
        ("example.com/m", &zip, &go_mod),
        ("example.com/other", &zip, &other),
    ];
    FakeDatabase::knows(&versions, script)
}

/// A database that knows the module as something else.
fn contradicting(script: impl IntoIterator<Item = Say>) -> Arc<FakeDatabase> {
    let other = hash_go_mod(b"something else");
    FakeDatabase::knows(&[("example.com/m", &other, &other)], script)
}

fn ignorant(script: impl IntoIterator<Item = Say>) -> Arc<FakeDatabase> {
    FakeDatabase::knows(&[], script)
}

fn origin() -> Arc<FakeOrigin> {
    FakeOrigin::new("a")
        .says(".zip", [Step::Body(zip(CONTENT))])
        .says("other/@v/v1.0.0.mod", [body("module example.com/other\n")])
        .says(".mod", [body(GO_MOD)])
}

fn setup(origin: &Arc<FakeOrigin>, database: &Arc<FakeDatabase>) -> Setup {
    let mut setup = Setup::of(chain("a", &[origin]));
    setup.database = Some(Arc::clone(database));
    setup
}

fn world(database: &Arc<FakeDatabase>) -> World {
    setup(&origin(), database).build()
}

/// Under `on_unavailable = "refuse"` and `on_unknown = "refuse"`.
fn strict(database: &Arc<FakeDatabase>) -> World {
    let mut setup = setup(&origin(), database);
    setup.verification.serve_unverified = false;
    setup.verification.first_seen_unknown = false;
    setup.build()
}

/// A client that has the first part of the zip, all of which has arrived.
async fn first_part(world: &World) -> Arc<ZipFlight> {
    let answer = world.ask(ZIP).await.unwrap();
    let Content::Growing(flight) = answer.content else {
        panic!("{answer:?}");
    };
    let all = zip(CONTENT).len() as u64;
    let progress = flight.follow();
    world.until(|| progress.borrow().written == all).await;
    assert_eq!(progress.borrow().released(), all - (68 << 10));
    flight
}

fn released(flight: &Arc<ZipFlight>) -> u64 {
    flight.follow().borrow().released()
}

async fn verified(world: &World, path: &str) -> Option<Verified> {
    world.ask_kept(path).await.unwrap().verified
}

#[tokio::test(start_paused = true)]
async fn the_last_part_of_a_zip_waits_for_the_database() {
    let gate = Gate::default();
    let world = world(&honest([late(&gate)]));
    let flight = first_part(&world).await;
    gate.reached().await;
    world.pass(Duration::from_secs(10)).await;
    world.stand().await;
    assert!(flight.follow().borrow().end.is_none());
    gate.open();
    let answer = world.engine.landed(&flight).await.unwrap();
    assert_eq!(
        (answer.cache, answer.verified),
        (STORED, Some(Verified::Sumdb))
    );
    assert_eq!(released(&flight), zip(CONTENT).len() as u64);
    world.quiet().await;
    assert_eq!(verified(&world, ZIP).await, Some(Verified::Sumdb));
}

#[tokio::test(start_paused = true)]
async fn a_small_file_waits_for_the_database() {
    let gate = Gate::default();
    let world = world(&honest([late(&gate)]));
    let client = world.client(MOD);
    gate.reached().await;
    world.pass(Duration::from_secs(14)).await;
    world.stand().await;
    assert!(!client.is_finished());
    gate.open();
    let answer = client.await.unwrap().unwrap();
    assert_eq!(answer.verified, Some(Verified::Sumdb));
}

#[tokio::test(start_paused = true)]
async fn one_look_up_is_for_both_files_of_a_version() {
    let gate = Gate::default();
    let database = honest([late(&gate)]);
    let world = world(&database);
    let clients = [world.client(MOD), world.client(ZIP)];
    gate.reached().await;
    world.stand().await;
    gate.open();
    for client in clients {
        landed(&world, client.await.unwrap().unwrap())
            .await
            .unwrap();
    }
    assert_eq!(database.lookups(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_zip_that_the_database_knows_otherwise_is_never_released_whole() {
    let gate = Gate::default();
    let world = world(&contradicting([late(&gate)]));
    let flight = first_part(&world).await;
    let before = released(&flight);
    gate.reached().await;
    gate.open();
    let error = world.engine.landed(&flight).await.unwrap_err();
    assert_eq!(error.class(), Class::VerificationFailed);
    assert!(error.to_string().contains("checksum mismatch"), "{error}");
    assert_eq!(released(&flight), before);
    world.quiet().await;
    assert!(world.ask_kept(ZIP).await.unwrap_err().is_absent());
}

#[tokio::test(start_paused = true)]
async fn a_small_file_that_the_database_knows_otherwise_is_refused_and_asked_for_again() {
    let other =
        FakeOrigin::new("a").says(".mod", [body("module example.com/m // v2\n"), body(GO_MOD)]);
    let world = setup(&other, &honest([Say::Truth])).build();
    assert_eq!(
        world.ask(MOD).await.unwrap_err().class(),
        Class::VerificationFailed
    );
    // An honest answer is taken as soon as it comes.
    let answer = world.ask(MOD).await.unwrap();
    assert_eq!(answer.verified, Some(Verified::Sumdb));
}

#[tokio::test(start_paused = true)]
async fn what_the_database_does_not_know_is_held_to_what_was_first_seen() {
    let database = ignorant([Say::Truth]);
    let world = world(&database);
    let flight = world.ask(ZIP).await.unwrap();
    let answer = landed(&world, flight).await.unwrap();
    assert_eq!(answer.verified, Some(Verified::FirstSeen));
    world.quiet().await;
    // The database is asked again, now and then.
    assert_eq!(world.engine.store().totals().pending, 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_database_does_not_know_is_refused_where_that_is_the_rule() {
    let gate = Gate::default();
    let world = strict(&ignorant([late(&gate)]));
    let flight = first_part(&world).await;
    let before = released(&flight);
    gate.reached().await;
    gate.open();
    let error = world.engine.landed(&flight).await.unwrap_err();
    assert_eq!(error.class(), Class::UnknownToDatabase);
    assert_eq!(released(&flight), before);
    world.quiet().await;
    assert!(world.ask_kept(ZIP).await.unwrap_err().is_absent());
}

#[tokio::test(start_paused = true)]
async fn what_will_be_refused_is_not_fetched_to_its_end() {
    let (gate, whole) = (Gate::default(), zip(CONTENT));
    let half = Step::Halfway(gate, whole.clone(), 80 << 10);
    let origin = FakeOrigin::new("a").says(".zip", [half]);
    let mut setup = setup(&origin, &ignorant([Say::Truth]));
    setup.verification.first_seen_unknown = false;
    let world = setup.build();
    let error = match world.ask(ZIP).await {
        Ok(answer) => landed(&world, answer).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.class(), Class::UnknownToDatabase);
}

#[tokio::test(start_paused = true)]
async fn a_file_waits_so_long_for_a_database_and_is_served_unverified() {
    let world = world(&honest([never()]));
    let flight = first_part(&world).await;
    world.pass(Duration::from_millis(14_900)).await;
    world.stand().await;
    assert!(flight.follow().borrow().end.is_none());
    world.pass(Duration::from_millis(101)).await;
    let answer = world.engine.landed(&flight).await.unwrap();
    assert_eq!(answer.verified, Some(Verified::None));
    world.quiet().await;
    let kept = world.ask_kept(ZIP).await.unwrap();
    assert_eq!(kept.verified, Some(Verified::None));
    assert!(kept.validity.is_none(), "no cache takes it");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_unverified_is_served_a_database_that_never_answers_refuses() {
    let database = honest([never(), Say::Truth]);
    let world = strict(&database);
    let flight = first_part(&world).await;
    let before = released(&flight);
    world.pass(Duration::from_millis(15_001)).await;
    let error = world.engine.landed(&flight).await.unwrap_err();
    assert_eq!(error.class(), Class::Timeout);
    assert_eq!(released(&flight), before);
    world.quiet().await;
    assert!(world.ask_kept(ZIP).await.unwrap_err().is_absent());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_fails_is_not_waited_for() {
    let world = world(&honest([Say::Fails]));
    let begun = tokio::time::Instant::now();
    let answer = world.ask(MOD).await.unwrap();
    assert_eq!(answer.verified, Some(Verified::None));
    assert!(begun.elapsed() < Duration::from_secs(1));
    let world = strict(&honest([Say::Fails]));
    assert_eq!(world.ask(MOD).await.unwrap_err().class(), Class::Upstream);
}

#[tokio::test(start_paused = true)]
async fn after_a_file_has_waited_in_vain_the_next_one_hardly_waits() {
    let world = world(&honest([never()]));
    let waited = async |path: &str| {
        let begun = tokio::time::Instant::now();
        let answer = world.ask(path).await.unwrap();
        assert_eq!(answer.verified, Some(Verified::None));
        begun.elapsed().as_millis()
    };
    assert_eq!(waited(MOD).await / 1000, 15);
    assert!(waited(OTHER).await < 200);
    world.pass(Duration::from_secs(5)).await;
    let third = "example.com/third/@v/v1.0.0.mod";
    assert_eq!(waited(third).await / 1000, 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_served_unverified_is_verified_when_the_database_answers() {
    let world = world(&honest([Say::Fails, Say::Truth]));
    world.ask(MOD).await.unwrap();
    world.quiet().await;
    assert_eq!(verified(&world, MOD).await, Some(Verified::None));
    let done = world.engine.reverify_due().await.unwrap();
    assert_eq!((done.verified, done.revoked), (1, 0));
    assert_eq!(verified(&world, MOD).await, Some(Verified::Sumdb));
    assert_eq!(world.engine.store().totals().pending, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_served_unverified_and_is_wrong_is_revoked_when_the_database_answers() {
    let world = world(&contradicting([Say::Fails, Say::Truth]));
    world.ask(MOD).await.unwrap();
    world.quiet().await;
    let done = world.engine.reverify_due().await.unwrap();
    assert_eq!((done.verified, done.revoked), (0, 1));
    assert!(world.ask_kept(MOD).await.unwrap_err().is_absent());
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_comes_when_the_file_has_been_served_waits_for_re_verification() {
    let gate = Gate::default();
    let world = world(&contradicting([late(&gate)]));
    let flight = first_part(&world).await;
    world.pass(Duration::from_millis(15_001)).await;
    world.engine.landed(&flight).await.unwrap();
    world.quiet().await;
    gate.open();
    world.stand().await;
    assert_eq!(verified(&world, ZIP).await, Some(Verified::None));
    let done = world.engine.reverify_due().await.unwrap();
    assert_eq!((done.verified, done.revoked), (0, 1));
    assert!(world.ask_kept(ZIP).await.unwrap_err().is_absent());
}

#[tokio::test(start_paused = true)]
async fn nothing_unverified_is_kept_in_stock() {
    let world = world(&honest([Say::Fails]));
    world.prefetch(MOD);
    world.quiet().await;
    assert!(world.ask_kept(MOD).await.unwrap_err().is_absent());
    assert_eq!(world.ask(MOD).await.unwrap().verified, Some(Verified::None));
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_whose_database_is_late_is_verified_for_whoever_has_come_to_wait() {
    let gate = Gate::default();
    let world = world(&honest([late(&gate)]));
    world.prefetch(MOD);
    gate.reached().await;
    let client = world.client(MOD);
    world.stand().await;
    gate.open();
    let answer = client.await.unwrap().unwrap();
    assert_eq!(
        (answer.cache, answer.verified),
        (STORED, Some(Verified::Sumdb))
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_a_database_about_what_does_not_exist() {
    let database = honest([Say::Truth]);
    let world = setup(&FakeOrigin::new("a"), &database).build();
    assert!(world.ask(MOD).await.unwrap_err().is_absent());
    assert!(world.ask(ZIP).await.unwrap_err().is_absent());
    assert_eq!(database.lookups(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_private_module_is_no_business_of_a_database() {
    let database = honest([Say::Truth]);
    let repo = FakeOrigin::new("repo").says(".mod", [body("module private.example/m\n")]);
    let mut setup = setup(&origin(), &database);
    setup.private = chain("repo", &[&repo]);
    let world = setup.build();
    let answer = world.ask("private.example/m/@v/v1.0.0.mod").await.unwrap();
    assert_eq!(answer.verified, Some(Verified::FirstSeen));
    assert_eq!(database.lookups(), 0);
}
