//! Renewals in the background.

use super::*;

/// Asked for often, each of them, and soon old.
async fn watched(world: &World, paths: &[String]) {
    for path in paths {
        for _ in 0..5 {
            world.ask(path).await.unwrap();
        }
    }
    world.quiet().await;
    world.pass(Duration::from_secs(46)).await;
}

/// Renews what is due, in a task of its own.
fn renewing(world: &World) -> tokio::task::JoinHandle<()> {
    let mut refresher = Refresher::new(&world.engine);
    tokio::spawn(async move {
        refresher.look();
        loop {
            refresher.goes_on().await;
        }
    })
}

/// The clock stands, so whatever waits for time waits for ever.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_000_000 {
        if holds() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("waited in vain for {what}");
}

fn asked_again(origin: &FakeOrigin, of: &str) -> usize {
    let calls = origin.calls();
    let of_it = calls.iter().filter(|call| call.path.contains(of));
    of_it.count()
}

const LIST: &str = "example.com/m/@v/list";

/// Lists of so many modules.
fn lists(name: &str, count: usize) -> Vec<String> {
    let list = |n| format!("example.com/{name}{n}/@v/list");
    (0..count).map(list).collect()
}

/// Twenty lists that are watched; whoever asks for one again waits for the gate.
async fn twenty_due(gate: &Gate) -> (Arc<FakeOrigin>, World, Vec<String>) {
    let origin = FakeOrigin::new("a");
    let paths = lists("m", 20);
    for path in &paths {
        origin.says(path, [body("v1.0.0\n"), after(gate, body("v1.0.0\n"))]);
    }
    let world = World::of(&origin);
    watched(&world, &paths).await;
    (origin, world, paths)
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_often_is_asked_for_again_before_it_is_old() {
    let origin = FakeOrigin::new("a").says("/list", [body("v1.0.0\n")]);
    let world = World::of(&origin);
    for _ in 0..4 {
        world.ask(LIST).await.unwrap();
    }
    world.quiet().await;
    world.pass(Duration::from_secs(50)).await;
    Refresher::new(&world.engine).look();
    world.quiet().await;
    assert_eq!(origin.asked(), 2);
    world.pass(Duration::from_secs(50)).await;
    assert_eq!(world.ask(LIST).await.unwrap().cache, CacheStatus::Hit);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_once_is_left_to_get_old() {
    let origin = FakeOrigin::new("a").says("/list", [body("v1.0.0\n")]);
    let world = World::of(&origin);
    world.ask(LIST).await.unwrap();
    world.pass(Duration::from_secs(50)).await;
    Refresher::new(&world.engine).look();
    world.quiet().await;
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_module_that_hangs_delays_no_other_and_takes_few_slots() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a");
    let info = r#"{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}"#;
    let mut hanging = Vec::new();
    for n in 0..12 {
        let path = format!("example.com/hangs/@v/branch{n}.info");
        origin.says(&path, [body(info), after(&gate, body(info))]);
        hanging.push(path);
    }
    origin.says("/list", [body("v1.0.0\n")]);
    let others = lists("m", 40);
    let world = World::of(&origin);
    // What hangs comes first, as far as that is up to us.
    watched(&world, &[&hanging[..], &others[..]].concat()).await;
    let first = origin.asked();
    assert_eq!(first, 52);
    let renewing = renewing(&world);
    until("all others", || asked_again(&origin, "/list") == 80).await;
    assert_eq!(asked_again(&origin, "/hangs/"), 12 + 2);
    gate.open();
    until("the rest", || asked_again(&origin, "/hangs/") == 24).await;
    renewing.abort();
}

#[tokio::test(start_paused = true)]
async fn many_modules_that_hang_delay_the_others_by_moments() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a");
    let hanging = lists("hangs", 20);
    for path in &hanging {
        origin.says(path, [body("v1.0.0\n"), after(&gate, body("v1.0.0\n"))]);
    }
    let others = lists("m", 20);
    for path in &others {
        origin.says(path, [body("v1.0.0\n")]);
    }
    let world = World::of(&origin);
    watched(&world, &[&hanging[..], &others[..]].concat()).await;
    let renewing = renewing(&world);
    // Twenty of them have had eight slots by then, in whatever order they came.
    for _ in 0..3 {
        world.stand().await;
        world.pass(Duration::from_secs(4)).await;
    }
    until("all others", || asked_again(&origin, "/m") == 40).await;
    until("those that hang", || asked_again(&origin, "/hangs") == 40).await;
    // They are not asked again while they hang.
    world.pass(Duration::from_secs(10)).await;
    world.stand().await;
    assert_eq!(origin.asked(), 80);
    gate.open();
    world.quiet().await;
    renewing.abort();
}

#[tokio::test(start_paused = true)]
async fn what_was_renewed_while_it_waited_for_a_slot_is_not_asked_for_again() {
    let gate = Gate::default();
    let (origin, world, paths) = twenty_due(&gate).await;
    let mut refresher = Refresher::new(&world.engine);
    refresher.look();
    world.stand().await;
    let of = |path: &str| asked_again(&origin, path);
    let waiting = paths.iter().find(|path| of(path.as_str()) == 1).unwrap();
    origin.says(waiting, [body("v1.1.0\n")]);
    assert_eq!(text(&world.ask_anew(waiting).await.unwrap()), "v1.1.0\n");
    assert_eq!(of(waiting), 2);
    gate.open();
    while world.engine.metrics.refreshes.get() < 20 {
        refresher.goes_on().await;
        world.stand().await;
    }
    world.quiet().await;
    assert_eq!(of(waiting), 2, "somebody else had it renewed");
    assert_eq!(origin.asked(), 40);
}

#[tokio::test(start_paused = true)]
async fn so_many_are_renewed_at_once_and_none_twice() {
    let gate = Gate::default();
    let (origin, world, _) = twenty_due(&gate).await;
    let mut refresher = Refresher::new(&world.engine);
    refresher.look();
    world.stand().await;
    assert_eq!(origin.asked(), 20 + 8);
    refresher.look();
    world.stand().await;
    assert_eq!(origin.asked(), 20 + 8);
    gate.open();
    while origin.asked() < 40 {
        refresher.goes_on().await;
        world.stand().await;
    }
    world.quiet().await;
    assert_eq!(origin.asked(), 40);
}
