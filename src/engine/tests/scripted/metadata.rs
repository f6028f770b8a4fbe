//! Lists, `@latest`, queries.

use super::*;

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
    let anew = tokio::spawn(async move {
        let mode = Mode {
            no_cache: true,
            ..Mode::default()
        };
        engine.ask(&key(LIST), &mode).await
    });
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
    assert_eq!(world.ask(LIST).await.unwrap_err().class, Class::Upstream);
}

#[tokio::test(start_paused = true)]
async fn an_info_of_a_version_that_cannot_be_this_modules_is_a_fault() {
    let origin = FakeOrigin::new("a").says("main.info", [info("v3.0.0")]);
    let world = World::of(&origin);
    let error = world.ask("example.com/m/@v/main.info").await.unwrap_err();
    assert_eq!(error.class, Class::Upstream);
}
