//! Other rules are put in force while clients ask: each of them is answered by those that its request was made under.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use tokio::task::JoinHandle;

use super::*;
use crate::policy::{RouteRule, Via};

const LIST: &str = "example.com/m/@v/list";
const BRANCH: &str = "example.com/m/@v/branch.info";
/// Clients that ask all the time.
const CLIENTS: usize = 8;
/// How often others are put in force meanwhile.
const SWAPS: usize = 300;

/// Under which the modules of everybody come from this origin, or from nowhere.
fn rules(origin: Option<&Arc<FakeOrigin>>) -> Rules {
    let refused = RouteRule {
        modules: Patterns::parse("example.com"),
        via: Via::Refuse,
        private: None,
    };
    let routes = Vec::from_iter(origin.is_none().then_some(refused));
    let chain = origin.map_or_else(Chain::default, |it| chain(&it.label, &[it]));
    let chains = Chains {
        public: watch::channel(Some(chain)).1,
        private: Chain::default(),
        routes: Vec::new(),
    };
    let policy = Policy::new(routes, Patterns::default(), Patterns::default());
    let freshness = Freshness {
        ttl: Duration::from_secs(3600),
        negative_ttl: Duration::from_secs(3600),
        refused_ttl: Duration::from_secs(3600),
        refresh_wait: Duration::from_secs(30),
    };
    Rules::for_tests(policy, freshness, chains)
}

/// What one client is told of a list and of a branch.
async fn told(engine: &Arc<Engine>, context: &RequestContext) -> (String, String) {
    let mut told = [String::new(), String::new()];
    for (path, told) in [LIST, BRANCH].into_iter().zip(&mut told) {
        *told = match engine.ask(&key(path), context).await {
            Ok(answer) => text(&answer),
            Err(error) => format!("{:?}", error.class()),
        };
    }
    let [list, branch] = told;
    (list, branch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_answered_by_two_rules() {
    const INFO: &str = r#"{"Version":"v1.5.1-0.20200101000000-abcdefabcdef"}"#;
    let a = FakeOrigin::new("a").says("/list", [body("v1.0.0\n")]);
    let b = FakeOrigin::new("b").says("/list", [body("v1.5.0\n")]);
    b.says("/branch.info", [body(INFO)]);
    let all = [rules(Some(&a)), rules(Some(&b)), rules(None)];
    let expected = [
        ("v1.0.0\n".to_owned(), "Absent { gone: false }".to_owned()),
        ("v1.5.0\n".to_owned(), INFO.to_owned()),
        ("Refused".to_owned(), "Refused".to_owned()),
    ];
    let world = World::of(&a);
    // The first ones are those of `World`: the same as the first of `all`.
    let stop = Arc::new(AtomicBool::new(false));
    let seen: Arc<[AtomicUsize; 3]> = Arc::default();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (engine, stop) = (Arc::clone(&world.engine), Arc::clone(&stop));
            let (expected, seen) = (expected.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let module = key(LIST).module().clone();
                    let context = engine.background(&module, FetchContext::default());
                    let which = context.generation().number() as usize % expected.len();
                    assert_eq!(told(&engine, &context).await, expected[which], "{which}");
                    seen[which].fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for swap in 1..=SWAPS {
        // Time passes between two changes of the configuration.
        world.clock.passed.fetch_add(2, Ordering::SeqCst);
        let which = swap % all.len();
        let before = seen[which].load(Ordering::SeqCst);
        world.engine.swap_rules(all[which].clone());
        // Whoever asks from here on is answered by these, the cached answers of the ones before notwithstanding.
        let module = key(LIST).module().clone();
        let context = world.engine.background(&module, FetchContext::default());
        assert_eq!(context.generation().number() as usize % all.len(), which);
        assert_eq!(told(&world.engine, &context).await, expected[which]);
        // And some client is, before the next change.
        while seen[which].load(Ordering::SeqCst) == before
            && !clients.iter().all(JoinHandle::is_finished)
        {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_ends_with_its_rules() {
    let a = FakeOrigin::new("a").says("/list", [body("v1.0.0\n")]);
    let b = FakeOrigin::new("b").says("/list", [body("v1.5.0\n")]);
    let world = World::of(&a);
    for _ in 0..3 {
        assert_eq!(text(&world.ask(LIST).await.unwrap()), "v1.0.0\n");
        assert!(world.ask(BRANCH).await.is_err());
    }
    let often = world.ask(LIST).await.unwrap().validity.unwrap();
    let validities = world.engine.validities().clone();
    assert!(validities.holds(&often, || world.clock.now()));
    assert_eq!(a.asked(), 2, "what was asked once is remembered");
    world.pass(Duration::from_secs(1)).await;
    world.engine.swap_rules(rules(Some(&b)));
    assert!(!validities.holds(&often, || world.clock.now()));
    assert_eq!(text(&world.ask(LIST).await.unwrap()), "v1.5.0\n");
    assert!(world.ask(BRANCH).await.is_err());
    assert_eq!((a.asked(), b.asked()), (2, 2));
    // A fetch under rules that have ended is for those who wait for it, and for nobody else.
    let gate = Gate::default();
    b.says("/list", [after(&gate, body("v1.6.0\n"))]);
    let mut context = world.context(&key(LIST));
    context.fetch.no_cache = true;
    let engine = Arc::clone(&world.engine);
    let old = tokio::spawn(async move { engine.ask(&key(LIST), &context).await });
    gate.reached().await;
    world.pass(Duration::from_secs(1)).await;
    world.engine.swap_rules(rules(Some(&a)));
    assert_eq!(text(&world.ask(LIST).await.unwrap()), "v1.0.0\n");
    gate.open();
    assert_eq!(text(&old.await.unwrap().unwrap()), "v1.6.0\n");
    world.quiet().await;
    assert_eq!(text(&world.ask(LIST).await.unwrap()), "v1.0.0\n");
    assert_eq!(a.asked(), 3, "nor was what is known asked for again");
}

/// A list that is too large for the index, so that it has a file.
fn large_list(minor: u32) -> String {
    (0..9000)
        .map(|patch| format!("v1.{minor}.{patch}\n"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_fetched_under_rules_that_have_ended_replaces_no_file() {
    let gate = Gate::default();
    let (a, b) = (FakeOrigin::new("a"), FakeOrigin::new("b"));
    a.says("/list", [after(&gate, body(&large_list(1)))]);
    b.says("/list", [body(&large_list(2))]);
    let world = World::of(&a);
    let old = world.client(LIST);
    gate.reached().await;
    world.engine.swap_rules(rules(Some(&b)));
    let new = world.client(LIST);
    // So that no time passes for the old one while threads are writing.
    world.until(|| new.is_finished()).await;
    world.until(|| world.engine.flights() == 1).await;
    gate.open();
    world.until(|| old.is_finished()).await;
    assert_eq!(text(&old.await.unwrap().unwrap()), large_list(1));
    world.quiet().await;
    // Whoever has nothing in memory reads the file.
    let next = Setup::after(&world, Chain::default()).build();
    let kept = next.ask_kept(LIST).await.unwrap();
    let Content::File(file) = &kept.content else {
        panic!("{kept:?}");
    };
    let kept = next.engine.store().read_whole(file).await.unwrap();
    assert_eq!(kept, large_list(2));
}
