//! A database that tells two stories (checklist 80).

use super::*;
use crate::support::sumdb::Partials;

/// Other histories from the same key: what they are, and what they look like to whoever saw the first.
fn other_histories(log: &Log) -> [(&'static str, Log); 3] {
    let future = |keep: usize, size: usize| {
        let fork = log.fork(keep);
        fork.fill(size, "other");
        fork
    };
    [
        ("the same size and another root", future(650, SIZE)),
        ("larger and no extension", future(650, 900)),
        ("smaller and no prefix", future(630, 670)),
    ]
}

/// Larder has seen the first history; then the database tells another, in which the second module is known.
struct Forked {
    world: World,
    honest: Log,
    larder: Larder,
}

fn forked(which: usize) -> (&'static str, Forked) {
    let world = world();
    let honest = world.log.copy();
    let larder = world.larder().no_breaker().start();
    vouched_for(&larder, &world.first);
    let latest = larder.get(&world.log.url("/latest"));
    assert_eq!(latest.ok(), honest.head(SIZE).as_bytes());
    let (what, other) = other_histories(&honest).into_iter().nth(which).unwrap();
    world.log.become_like(&other);
    let forked = Forked {
        world,
        honest,
        larder,
    };
    (what, forked)
}

impl Forked {
    /// Nothing new is believed.
    #[track_caller]
    fn new_modules_are_refused(&self, what: &str) {
        for path in [
            self.world.second.url("mod"),
            self.world.second.url("zip"),
            self.world.lookup(&self.world.second),
        ] {
            let answer = self.larder.get(&path);
            assert_eq!(answer.status, 502, "{what}: {}", answer.describe());
        }
        nothing_kept(&self.larder, &self.world.second);
        let text = self
            .larder
            .get(&self.world.second.url("zip"))
            .refuses(&[502]);
        assert!(text.contains("larder sumdb acknowledge"), "{what}: {text}");
        assert!(text.to_lowercase().contains("alarm"), "{what}: {text}");
    }

    /// What was believed is served as before.
    #[track_caller]
    fn the_old_story_goes_on(&self, what: &str) {
        let (larder, world) = (&self.larder, &self.world);
        vouched_for(larder, &world.first);
        let latest = larder.get(&world.log.url("/latest"));
        assert_eq!(latest.ok(), self.honest.head(SIZE).as_bytes(), "{what}");
        let lookup = larder.get(&world.lookup(&world.first));
        assert_eq!(lookup.ok(), self.honest.answer(&world.first), "{what}");
        let tile = larder.get(&world.log.url("/tile/8/0/000"));
        assert_eq!(tile.ok(), self.honest.tile(0, 0, 256), "{what}");
        larder.get(&world.log.url("/supported")).expect(200);
        let state = state_of(larder, &world.log.name());
        assert_eq!(state["size"], SIZE, "{what}: the head is not replaced");
        // Modules that need no database are served as ever.
        larder.get(&world.last.url("info")).ok();
        larder.get(&world.last.list_url()).ok();
    }
}

#[test]
fn c80_a_fork_is_an_alarm_and_nothing_of_it_is_believed() {
    for which in 0..3 {
        let (what, forked) = forked(which);
        forked.new_modules_are_refused(what);
        wait_alarm(&forked.larder, &forked.honest, "fork");
        forked.the_old_story_goes_on(what);
        forked.larder.wait_stderr("fork");
    }
}

#[test]
fn c80_the_alarm_outlasts_restarts_and_the_database_s_change_of_mind() {
    for which in 0..3 {
        let (what, mut forked) = forked(which);
        forked.new_modules_are_refused(what);
        forked.larder.stop();
        forked.world.log.become_like(&forked.honest);
        forked.larder.restart();
        wait_alarm(&forked.larder, &forked.honest, "fork");
        forked.new_modules_are_refused(what);
        forked.the_old_story_goes_on(what);
    }
}

#[test]
fn c80_a_fork_is_seen_by_who_only_relays() {
    for which in 0..3 {
        let (what, forked) = forked(which);
        let path = forked.world.lookup(&forked.world.second);
        forked.larder.get(&path).refuses(&[502]);
        wait_alarm(&forked.larder, &forked.honest, "fork");
        forked.the_old_story_goes_on(what);
    }
}

#[test]
fn c80_a_fork_is_seen_in_latest_alone() {
    let (what, forked) = forked(1);
    let path = forked.world.log.url("/latest");
    let head = forked.honest.head(SIZE);
    until("the fork to be seen", || {
        assert_eq!(forked.larder.get(&path).ok(), head.as_bytes());
        (alarm(&forked.larder, &forked.honest)? == "fork").then_some(())
    });
    forked.the_old_story_goes_on(what);
    forked.new_modules_are_refused(what);
}

#[test]
fn c80_a_fork_is_seen_by_a_larder_that_was_killed() {
    let (what, mut forked) = forked(0);
    let first = &forked.world.first;
    let lookup = forked.world.lookup(first);
    // A head is kept before it is believed.
    forked
        .larder
        .wait_kept(&[first.url("mod"), first.url("zip"), lookup]);
    forked.larder.kill9();
    forked.larder.restart();
    forked.new_modules_are_refused(what);
    wait_alarm(&forked.larder, &forked.honest, "fork");
    forked.larder.kill9();
    forked.larder.restart();
    wait_alarm(&forked.larder, &forked.honest, "fork");
    forked.the_old_story_goes_on(what);
}

#[track_caller]
fn acknowledge(larder: &Larder, log: &Log) {
    let finished = larder.run(&["sumdb", "acknowledge", &log.name()]).expect(0);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains(&log.name()), "{said}");
}

#[track_caller]
fn wait_calm(larder: &Larder, log: &Log) {
    until("the alarm to be over", || {
        alarm(larder, log).is_none().then_some(())
    });
    let line = metric(log, "fork");
    until("the metric to be over", || {
        (!larder.metrics().contains(&line)).then_some(())
    });
}

#[test]
fn an_alarm_is_acknowledged_while_the_server_runs() {
    let (what, forked) = forked(1);
    forked.new_modules_are_refused(what);
    wait_alarm(&forked.larder, &forked.honest, "fork");
    forked.world.log.become_like(&forked.honest);
    acknowledge(&forked.larder, &forked.honest);
    wait_calm(&forked.larder, &forked.honest);
    vouched_for(&forked.larder, &forked.world.second);
    vouched_for(&forked.larder, &forked.world.last);
}

#[test]
fn an_alarm_is_acknowledged_while_the_server_is_stopped() {
    let (what, mut forked) = forked(0);
    forked.new_modules_are_refused(what);
    forked.larder.stop();
    forked.world.log.become_like(&forked.honest);
    acknowledge(&forked.larder, &forked.honest);
    forked.larder.restart();
    wait_calm(&forked.larder, &forked.honest);
    vouched_for(&forked.larder, &forked.world.second);
    forked.larder.stop();
    forked.larder.restart();
    wait_calm(&forked.larder, &forked.honest);
}

#[test]
fn only_databases_that_are_known_can_be_acknowledged() {
    let world = world();
    let larder = world.larder().start();
    vouched_for(&larder, &world.first);
    let finished = larder.run(&["sumdb", "acknowledge", "sum.example.com"]);
    assert_ne!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("sum.example.com"), "{finished:?}");
    assert_eq!(larder.run(&["sumdb", "acknowledge"]).code, Some(2));
}

#[test]
fn c80_one_database_s_fork_is_not_another_s() {
    let other = Log::named("sum.example.com", 9);
    let module = Module::new("example.com/elsewhere", "v1.0.0");
    other.add(&module);
    other.fill(20, "o");
    let world = world();
    other.install(&world.up);
    let larder = world.larder().sumdb(&other.verifier()).no_breaker().start();
    vouched_for(&larder, &world.first);
    larder.get(&other.url("/latest")).ok();
    let honest = world.log.copy();
    world.log.become_like(&other_histories(&honest)[0].1);
    larder.get(&world.lookup(&world.second)).refuses(&[502]);
    wait_alarm(&larder, &honest, "fork");
    assert_eq!(alarm(&larder, &other), None);
    let answer = larder.get(&other.url(&lookup_path(&module)));
    assert_eq!(answer.ok(), other.answer(&module));
}

#[test]
fn an_older_head_of_the_same_history_is_no_alarm() {
    let world = world();
    let larder = world.larder().start();
    vouched_for(&larder, &world.first);
    for size in [601, 640, 699] {
        world.log.sign_with(&world.second, 400);
        world.log.show(size);
        let answer = larder.get(&world.log.url("/latest"));
        assert_eq!(answer.ok(), world.log.head(SIZE).as_bytes());
    }
    vouched_for(&larder, &world.second);
    vouched_for(&larder, &world.last);
    assert_eq!(alarm(&larder, &world.log), None);
    assert_eq!(state_of(&larder, &world.log.name())["size"], SIZE);
    assert_eq!(
        larder.get(&world.lookup(&world.second)).ok(),
        world.log.body(world.log.id(&world.second), 400).as_bytes()
    );
}

/// Of the tree that is known, an evil one of the same key lacks whole tiles: what cannot be compared for want of them must
/// not pass for a database that cannot be reached.
#[test]
fn c80_a_fork_with_a_smaller_tree_is_no_database_that_cannot_be_reached() {
    for (keep, size, partials) in [
        (10, 400, Partials::All),
        (10, 270, Partials::UntilFull),
        (200, 500, Partials::UntilFull),
    ] {
        let what = format!("{keep} kept, {size} in all");
        let world = world();
        let honest = world.log.copy();
        let larder = world
            .larder()
            .no_breaker()
            .set("sumdb.on_unknown", "first-seen")
            .start();
        vouched_for(&larder, &world.first);
        let (evil, third) = (
            honest.fork(keep),
            Module::new("example.com/third", "v1.0.0"),
        );
        world.up.add(&third);
        evil.add(&world.second);
        evil.add(&third);
        evil.fill(size, "evil");
        evil.partials(partials);
        world.log.become_like(&evil);
        let mut forked = Forked {
            world,
            honest,
            larder,
        };
        forked.new_modules_are_refused(&what);
        wait_alarm(&forked.larder, &forked.honest, "fork");
        refused(&forked.larder, &third);
        forked.the_old_story_goes_on(&what);
        // Not even when nobody says anything any more, nor after a restart.
        forked.world.up.rule("/sumdb/*", Fault::status(503));
        forked.larder.stop();
        forked.larder.restart();
        forked.new_modules_are_refused(&what);
        let text = refused(&forked.larder, &third);
        assert!(text.contains("larder sumdb acknowledge"), "{what}: {text}");
        vouched_for(&forked.larder, &forked.world.first);
        forked.world.up.clear_rules();
        forked.world.log.become_like(&forked.honest);
        acknowledge(&forked.larder, &forked.honest);
        wait_calm(&forked.larder, &forked.honest);
        vouched_for(&forked.larder, &forked.world.second);
    }
}

/// What was served unverified before the alarm is not vouched for by the database that forks, and not given up either.
#[test]
fn while_an_alarm_stands_what_is_to_be_verified_stays_so() {
    let world = world();
    let honest = world.log.copy();
    let larder = world
        .larder()
        .no_breaker()
        .set("upstream.attempts", "1")
        .set("sumdb.settle_every", "200ms")
        .start();
    vouched_for(&larder, &world.first);
    world.up.rule("*/lookup/*", Fault::status(500));
    let path = world.second.url("mod");
    let answer = larder.get(&path);
    assert_eq!((answer.status, verified(&answer)), (200, "none"));
    world.log.become_like(&other_histories(&honest)[1].1);
    world.up.clear_rules();
    wait_alarm(&larder, &honest, "fork");
    // Many rounds of asking again.
    let asked = world.up.paths().len();
    let answer = larder.get(&world.second.url("zip"));
    assert_eq!(answer.status, 502, "{}", answer.describe());
    std::thread::sleep(std::time::Duration::from_millis(800)); // Four rounds: that nothing comes of them cannot be waited for.
    let answer = larder.get(&path);
    assert_eq!((answer.status, verified(&answer)), (200, "none"));
    assert!(
        world.up.paths()[asked..]
            .iter()
            .all(|path| !path.contains("/lookup/")),
        "a database that forks is not asked"
    );
    world.log.become_like(&honest);
    acknowledge(&larder, &honest);
    until("it to be verified", || {
        (verified(&larder.get(&path)) == "sumdb").then_some(())
    });
}
