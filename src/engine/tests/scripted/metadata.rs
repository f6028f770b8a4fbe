//! Lists, `@latest`, queries.

use super::*;
use crate::engine::tests::held::{At, HeldCatalog};
use crate::store::FactKey;

const LIST: &str = "example.com/m/@v/list";
const LATEST: &str = "example.com/m/@latest";
const FAULT: Step = Step::Fails(Class::Upstream);
const REFRESHED: CacheStatus = CacheStatus::Refreshed { stored: true };
const OLD: Duration = Duration::from_secs(61);

fn info(version: &str) -> Step {
    body(&format!(
        r#"{{"Version":"{version}","Time":"2020-01-01T00:00:00Z"}}"#
    ))
}

/// A list that has been fetched and is past its time, and what its origin says next.
async fn old_list(next: Step) -> (Arc<FakeOrigin>, World) {
    let first = Step::Named("v1.0.0\n", "\"one\"");
    let origin = FakeOrigin::new("a").says("/list", [first, next]);
    let world = World::of(&origin);
    assert_eq!(world.ask(LIST).await.unwrap().cache, STORED);
    world.quiet().await;
    world.pass(OLD).await;
    (origin, world)
}

#[tokio::test(start_paused = true)]
async fn a_fresh_list_is_answered_and_nobody_is_asked() {
    let origin = FakeOrigin::new("a").says("/list", [body("v1.0.0\n")]);
    let world = World::of(&origin);
    world.ask(LIST).await.unwrap();
    world.pass(Duration::from_secs(59)).await;
    assert_eq!(world.ask(LIST).await.unwrap().cache, CacheStatus::Hit);
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_fresh_again() {
    let (origin, world) = old_list(Step::NotModified).await;
    let answer = world.ask(LIST).await.unwrap();
    assert_eq!(
        (answer.cache, text(&answer).as_str()),
        (REFRESHED, "v1.0.0\n")
    );
    let calls = origin.calls();
    assert!(!calls[0].conditional && calls[1].conditional);
    assert_eq!(world.ask(LIST).await.unwrap().cache, CacheStatus::Hit);
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_is_answered_as_it_is_now() {
    let (_origin, world) = old_list(body("v1.0.0\nv1.1.0\n")).await;
    let answer = world.ask(LIST).await.unwrap();
    assert_eq!(
        (answer.cache, text(&answer).as_str()),
        (REFRESHED, "v1.0.0\nv1.1.0\n")
    );
}

#[tokio::test(start_paused = true)]
async fn what_exists_no_more_is_absent_whatever_is_kept() {
    let (_origin, world) = old_list(Step::Absent).await;
    assert!(world.ask(LIST).await.unwrap_err().is_absent());
}

#[tokio::test(start_paused = true)]
async fn an_old_copy_is_the_answer_whenever_nobody_denies_it() {
    for class in [
        Class::Upstream,
        Class::Refused,
        Class::Timeout,
        Class::Unavailable,
    ] {
        let (_origin, world) = old_list(Step::Fails(class)).await;
        let answer = world.ask(LIST).await.unwrap();
        assert_eq!(answer.cache, CacheStatus::Stale(1), "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_a_moment_for_a_refresh_and_then_has_the_old_copy() {
    let gate = Gate::default();
    let (origin, world) = old_list(after(&gate, body("v1.1.0\n"))).await;
    let client = world.client(LIST);
    gate.reached().await;
    world.stand().await;
    world.pass(Duration::from_millis(1001)).await;
    let answer = client.await.unwrap().unwrap();
    assert_eq!(text(&answer), "v1.0.0\n");
    assert!(matches!(answer.cache, CacheStatus::Stale(_)));
    // The refresh goes on without it.
    gate.open();
    world.quiet().await;
    assert_eq!(text(&world.ask(LIST).await.unwrap()), "v1.1.0\n");
    assert_eq!(origin.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_wants_it_asked_for_again_is_not_answered_from_a_fetch_that_began_before() {
    let gate = Gate::default();
    let steps = [after(&gate, body("v1.0.0\n")), body("v1.1.0\n")];
    let origin = FakeOrigin::new("a").says("/list", steps);
    let world = World::of(&origin);
    let first = world.client(LIST);
    gate.reached().await;
    let engine = Arc::clone(&world.engine);
    let mut context = world.context(&key(LIST));
    context.fetch.no_cache = true;
    let anew = tokio::spawn(async move { engine.ask(&key(LIST), &context).await });
    world.stand().await;
    assert_eq!(origin.asked(), 1);
    gate.open();
    assert_eq!(text(&first.await.unwrap().unwrap()), "v1.0.0\n");
    assert_eq!(text(&anew.await.unwrap().unwrap()), "v1.1.0\n");
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_answered_at_any_age_to_whoever_wants_nobody_asked() {
    let (origin, world) = old_list(FAULT).await;
    assert_eq!(
        world.ask_kept(LIST).await.unwrap().cache,
        CacheStatus::Stale(1)
    );
    assert_eq!(origin.asked(), 1);
    assert!(world.ask_kept(LATEST).await.unwrap_err().is_absent());
}

#[tokio::test(start_paused = true)]
async fn a_version_that_the_list_does_not_have_outdates_it() {
    let origin = FakeOrigin::new("a")
        .says("/list", [body("v1.0.0\n"), body("v1.0.0\nv1.1.0\n")])
        .says("v1.1.0.info", [info("v1.1.0")]);
    let world = World::of(&origin);
    world.ask(LIST).await.unwrap();
    world.quiet().await;
    world.ask("example.com/m/@v/v1.1.0.info").await.unwrap();
    let answer = world.ask(LIST).await.unwrap();
    assert_eq!(text(&answer), "v1.0.0\nv1.1.0\n");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_the_list_has_leaves_it_fresh() {
    let origin = FakeOrigin::new("a")
        .says("/list", [body("v1.0.0\n")])
        .says("v1.0.0.info", [info("v1.0.0")]);
    let world = World::of(&origin);
    world.ask(LIST).await.unwrap();
    world.ask("example.com/m/@v/v1.0.0.info").await.unwrap();
    assert_eq!(world.ask(LIST).await.unwrap().cache, CacheStatus::Hit);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_has_a_latest_it_follows_from_the_list() {
    let origin = FakeOrigin::new("a")
        .says("/list", [body("v1.0.0\nv1.2.0\nv1.3.0-rc.1\n")])
        .says(".mod", [body("module example.com/m\n")])
        .says("v1.2.0.info", [info("v1.2.0")]);
    let world = World::of(&origin);
    let answer = world.ask(LATEST).await.unwrap();
    assert!(text(&answer).contains("v1.2.0"), "{answer:?}");
    let paths: Vec<_> = origin.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths.first().map(String::as_str), Some(LATEST));
}

#[tokio::test(start_paused = true)]
async fn what_follows_from_a_stale_list_is_stale() {
    let origin = FakeOrigin::new("a")
        .says("/list", [body("v1.0.0\n"), FAULT])
        .says(".mod", [body("module example.com/m\n")])
        .says("v1.0.0.info", [info("v1.0.0")]);
    let world = World::of(&origin);
    world.ask(LIST).await.unwrap();
    world.quiet().await;
    world.pass(OLD).await;
    let answer = world.ask(LATEST).await.unwrap();
    assert_eq!(answer.cache, CacheStatus::Stale(1));
}

#[tokio::test(start_paused = true)]
async fn without_anybody_to_ask_latest_follows_from_what_is_kept() {
    let origin = FakeOrigin::new("a")
        .says("@latest", [FAULT])
        .says("/list", [body("v1.0.0\n")])
        .says(".mod", [body("module example.com/m\n")])
        .says("v1.0.0.info", [info("v1.0.0")]);
    let world = World::of(&origin);
    for path in [
        LIST,
        "example.com/m/@v/v1.0.0.info",
        "example.com/m/@v/v1.0.0.mod",
    ] {
        world.ask(path).await.unwrap();
    }
    world.quiet().await;
    assert!(text(&world.ask(LATEST).await.unwrap()).contains("v1.0.0"));
}

#[tokio::test(start_paused = true)]
async fn a_list_without_a_version_in_it_is_a_fault() {
    let origin = FakeOrigin::new("a").says("/list", [body("<html>")]);
    let world = World::of(&origin);
    assert_eq!(world.ask(LIST).await.unwrap_err().class(), Class::Upstream);
}

#[tokio::test(start_paused = true)]
async fn an_info_of_a_version_that_cannot_be_this_modules_is_a_fault() {
    let origin = FakeOrigin::new("a").says("main.info", [info("v3.0.0")]);
    let world = World::of(&origin);
    let error = world.ask("example.com/m/@v/main.info").await.unwrap_err();
    assert_eq!(error.class(), Class::Upstream);
}

fn list_key() -> MetaKey {
    match key(LIST) {
        Key::Meta(key) => key,
        other => panic!("{other:?}"),
    }
}

/// A list that has been asked for often, is still fresh, and is due to be asked for again: how it was answered last.
async fn due_list(next: Step) -> (Arc<FakeOrigin>, World, Answer) {
    let first = Step::Named("v1.0.0\n", "\"one\"");
    let origin = FakeOrigin::new("a").says("/list", [first, next]);
    let world = World::of(&origin);
    for _ in 0..3 {
        world.ask(LIST).await.unwrap();
    }
    let answer = world.ask(LIST).await.unwrap();
    world.quiet().await;
    world.pass(Duration::from_secs(50)).await;
    (origin, world, answer)
}

/// Whether the cached responses would give it.
fn holds(world: &World, answer: &Answer) -> bool {
    let now = || world.clock.now();
    let validity = answer.validity.as_ref();
    validity.is_some_and(|validity| world.engine.validities.holds(validity, now))
}

#[tokio::test(start_paused = true)]
async fn a_client_joins_the_refresh_that_is_under_way() {
    let gate = Gate::default();
    let (origin, world, _) = due_list(after(&gate, body("v1.1.0\n"))).await;
    Refresher::new(&world.engine).look();
    gate.reached().await;
    // It gets old meanwhile.
    world.pass(Duration::from_secs(11)).await;
    let clients = [world.client(LIST), world.client(LIST)];
    world.stand().await;
    gate.open();
    for client in clients {
        let answer = client.await.unwrap().unwrap();
        assert_eq!(
            (answer.cache, text(&answer).as_str()),
            (REFRESHED, "v1.1.0\n")
        );
    }
    assert_eq!(origin.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_two_refreshes_the_one_that_began_last_is_what_is_kept() {
    let steps = ["v1.0.0\n", "v1.1.0\n", "v1.2.0\n"].map(body);
    let origin = FakeOrigin::new("a").says("/list", steps);
    let mut setup = Setup::of(chain("a", &[&origin]));
    let shared: SharedClock = setup.clock.clone();
    let catalog = Arc::new(HeldCatalog::new(&shared));
    setup.catalog = catalog.clone();
    let world = setup.build();
    world.ask(LIST).await.unwrap();
    world.quiet().await;
    let mut hold = catalog.hold(At::Change, FactKey::Metadata(list_key()));
    assert_eq!(text(&world.ask_anew(LIST).await.unwrap()), "v1.1.0\n");
    hold.reached().await;
    // The first one has been answered and is being kept.
    let engine = Arc::clone(&world.engine);
    let mut context = world.context(&key(LIST));
    context.fetch.no_cache = true;
    let second = tokio::spawn(async move { engine.ask(&key(LIST), &context).await });
    world.stand().await;
    assert_eq!(origin.asked(), 2);
    hold.go_on();
    assert_eq!(text(&second.await.unwrap().unwrap()), "v1.2.0\n");
    world.quiet().await;
    let kept = world.engine.store().metadata(&list_key()).await.unwrap();
    assert_eq!(kept.unwrap().body, "v1.2.0\n");
    assert_eq!(text(&world.ask(LIST).await.unwrap()), "v1.2.0\n");
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_takes_the_place_of_what_the_responses_hold() {
    let (_origin, world, old) = due_list(Step::NotModified).await;
    assert!(holds(&world, &old));
    Refresher::new(&world.engine).look();
    world.quiet().await;
    // It is younger now than that answer says, and who put it among the responses only now would put it in vain.
    assert!(!holds(&world, &old));
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(world.ask(LIST).await.unwrap());
    }
    let new = answers.pop().unwrap();
    assert_eq!((new.cache, text(&new)), (CacheStatus::Hit, text(&old)));
    assert_eq!(new.fetched.unwrap().0 - old.fetched.unwrap().0, 50_000);
    world.pass(Duration::from_secs(59)).await;
    assert!(holds(&world, &new));
    world.pass(Duration::from_secs(1)).await;
    assert!(!holds(&world, &new));
}

#[tokio::test(start_paused = true)]
async fn what_the_responses_hold_ends_in_time_while_a_refresh_hangs() {
    let gate = Gate::default();
    let (_origin, world, old) = due_list(after(&gate, Step::NotModified)).await;
    Refresher::new(&world.engine).look();
    gate.reached().await;
    world.pass(Duration::from_secs(9)).await;
    assert!(holds(&world, &old));
    world.pass(Duration::from_secs(2)).await;
    assert!(!holds(&world, &old));
    let stale = world.ask(LIST).await.unwrap();
    assert!(matches!(stale.cache, CacheStatus::Stale(_)), "{stale:?}");
    assert!(stale.validity.is_none());
    gate.open();
    world.quiet().await;
    assert_eq!(world.ask(LIST).await.unwrap().cache, CacheStatus::Hit);
}

/// With so many lines that it is of about this size.
fn long_list(bytes: usize, last: &str) -> String {
    let lines = (0..bytes / 9).map(|n| format!("v1.{}.0\n", 1000 + n));
    lines.chain([format!("{last}\n")]).collect()
}

#[tokio::test(start_paused = true)]
async fn lists_of_any_size_are_there_after_a_restart() {
    for bytes in [1 << 10, 5 << 10, 66 << 10] {
        let (first, second) = (long_list(bytes, "v1.0.0"), long_list(bytes, "v1.1.0"));
        let steps = [
            Step::Body(first.clone().into()),
            Step::Body(second.clone().into()),
        ];
        let origin = FakeOrigin::new("a").says("/list", steps);
        let public = || chain("a", &[&origin]);
        let world = Setup::of(public()).build();
        world.ask(LIST).await.unwrap();
        world.quiet().await;
        let body = async |world: &World, answer: Answer| match &answer.content {
            Content::File(file) => world.engine.store().read_whole(file).await.unwrap(),
            _ => text(&answer).into(),
        };
        let again = Setup::after(&world, public()).build();
        let kept = again.ask_kept(LIST).await.unwrap();
        assert_eq!(kept.cache, CacheStatus::Hit);
        assert_eq!(body(&again, kept).await, first);
        let anew = again.ask_anew(LIST).await.unwrap();
        assert_eq!(body(&again, anew).await, second);
        again.quiet().await;
        let last = Setup::after(&again, public()).build();
        let kept = last.ask_kept(LIST).await.unwrap();
        assert_eq!(body(&last, kept).await, second);
        assert_eq!(origin.asked(), 2);
    }
}
