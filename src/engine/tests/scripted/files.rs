//! Small files.

use super::*;

const INFO: &str = "example.com/m/@v/v1.0.0.info";
const MOD: &str = "example.com/m/@v/v1.0.0.mod";

fn info() -> Step {
    body(r#"{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}"#)
}

fn module() -> Step {
    body("module example.com/m\n")
}

const FAULT: Step = Step::Fails(Class::Upstream);
const REFUSED: Step = Step::Fails(Class::Refused);

#[tokio::test(start_paused = true)]
async fn what_was_fetched_is_kept() {
    let origin = FakeOrigin::new("a").says(".mod", [module()]);
    let world = World::of(&origin);
    let first = world.ask(MOD).await.unwrap();
    assert_eq!(
        (first.cache, text(&first).as_str()),
        (STORED, "module example.com/m\n")
    );
    assert_eq!(first.from.as_deref(), Some("a"));
    world.quiet().await;
    let second = world.ask(MOD).await.unwrap();
    assert_eq!((second.cache, second.from), (CacheStatus::Hit, None));
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_who_ask_at_once_share_one_fetch() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a").says(".mod", [after(&gate, module())]);
    let world = World::of(&origin);
    let clients: Vec<_> = (0..5).map(|_| world.client(MOD)).collect();
    gate.reached().await;
    world.stand().await;
    gate.open();
    for client in clients {
        assert_eq!(client.await.unwrap().unwrap().cache, STORED);
    }
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_for_those_who_wait_and_not_for_who_comes_next() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a").says(".mod", [after(&gate, FAULT), module()]);
    let world = World::of(&origin);
    let clients: Vec<_> = (0..3).map(|_| world.client(MOD)).collect();
    gate.reached().await;
    world.stand().await;
    gate.open();
    for client in clients {
        assert_eq!(client.await.unwrap().unwrap_err().class(), Class::Upstream);
    }
    assert_eq!(origin.asked(), 1);
    assert_eq!(world.ask(MOD).await.unwrap().cache, STORED);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_goes_on_when_its_client_leaves() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a").says(".mod", [after(&gate, module())]);
    let world = World::of(&origin);
    let client = world.client(MOD);
    gate.reached().await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    gate.open();
    world.quiet().await;
    assert_eq!(world.ask(MOD).await.unwrap().cache, CacheStatus::Hit);
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn with_too_many_fetches_under_way_a_miss_is_refused_and_a_hit_is_not() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a")
        .says("v1.0.0.mod", [module()])
        .says("v1.1.0.mod", [after(&gate, module())]);
    let world = World::with(chain("a", &[&origin]), |settings| settings.max_flights = 1);
    world.ask(MOD).await.unwrap();
    world.quiet().await;
    let slow = world.client("example.com/m/@v/v1.1.0.mod");
    gate.reached().await;
    let refused = world.ask("example.com/m/@v/v1.2.0.mod").await.unwrap_err();
    assert_eq!(refused.class(), Class::Overloaded);
    assert!(refused.retry_after().is_some());
    assert_eq!(world.ask(MOD).await.unwrap().cache, CacheStatus::Hit);
    gate.open();
    assert!(slow.await.unwrap().is_ok());
}

/// A prefetch under way, for which a client has come to wait.
async fn raised(
    origin: &Arc<FakeOrigin>,
    gate: &Gate,
) -> (World, tokio::task::JoinHandle<Result<Answer, EngineError>>) {
    let world = World::of(origin);
    world.prefetch(MOD);
    gate.reached().await;
    let client = world.client(MOD);
    world.stand().await;
    (world, client)
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_that_is_awaited_and_fails_is_tried_as_for_anybody() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a").says(".mod", [after(&gate, FAULT), module()]);
    let (_world, client) = raised(&origin, &gate).await;
    gate.open();
    assert_eq!(client.await.unwrap().unwrap().cache, STORED);
    let calls = origin.calls();
    assert!(calls[0].prefetch && !calls[1].prefetch && calls.len() == 2);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waits_for_the_second_trial_too() {
    let (gate, second) = (Gate::default(), Gate::default());
    let origin = FakeOrigin::new("a").says(".mod", [after(&gate, FAULT), after(&second, module())]);
    let (world, client) = raised(&origin, &gate).await;
    gate.open();
    second.reached().await;
    assert_eq!(world.engine.flights(), 0, "nobody can join it any more");
    let engine = Arc::clone(&world.engine);
    let ended = tokio::spawn(async move { engine.flights_ended().await });
    world.stand().await;
    assert!(!ended.is_finished());
    assert_eq!(world.engine.unfinished_flights(), 1);
    second.open();
    world.until(|| ended.is_finished()).await;
    assert_eq!(client.await.unwrap().unwrap().cache, STORED);
    assert_eq!(world.ask_kept(MOD).await.unwrap().cache, CacheStatus::Hit);
}

#[tokio::test(start_paused = true)]
async fn the_second_trial_has_what_is_left_of_the_clients_time() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a").says(".mod", [after(&gate, FAULT), FAULT]);
    let (world, client) = raised(&origin, &gate).await;
    world.pass(Duration::from_secs(32)).await;
    gate.open();
    assert_eq!(client.await.unwrap().unwrap_err().class(), Class::Upstream);
    assert_eq!(origin.calls()[1].time.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_second_trial_without_time_for_it() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a").says(".mod", [after(&gate, FAULT), module()]);
    let (world, client) = raised(&origin, &gate).await;
    world.pass(Duration::from_millis(41_600)).await;
    gate.open();
    assert_eq!(client.await.unwrap().unwrap_err().class(), Class::Upstream);
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_failed_verification_is_not_tried_again() {
    let gate = Gate::default();
    let rejected = Step::Fails(Class::VerificationFailed);
    let origin = FakeOrigin::new("a").says(".mod", [after(&gate, rejected), module()]);
    let (_world, client) = raised(&origin, &gate).await;
    gate.open();
    assert_eq!(
        client.await.unwrap().unwrap_err().class(),
        Class::VerificationFailed
    );
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_absence_that_a_prefetch_has_found_is_asked_about_again_if_somebody_waits() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a").says(".mod", [after(&gate, Step::Absent), module()]);
    let (_world, client) = raised(&origin, &gate).await;
    gate.open();
    assert_eq!(client.await.unwrap().unwrap().cache, STORED);
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_that_nobody_awaits_is_tried_once_and_leaves_no_trace() {
    let origin = FakeOrigin::new("a").says(".mod", [Step::Absent, module()]);
    let world = World::of(&origin);
    world.prefetch(MOD);
    world.quiet().await;
    assert_eq!(origin.asked(), 1);
    assert_eq!(world.ask(MOD).await.unwrap().cache, STORED);
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_of_a_public_module_goes_to_no_repository() {
    let a = FakeOrigin::new("a");
    let repo = FakeOrigin::new("repo").says(".mod", [module()]);
    let world = World::with(chain("a,repo", &[&a, &repo]), |_| {});
    world.prefetch(MOD);
    world.quiet().await;
    assert_eq!((a.asked(), repo.asked()), (1, 0));
    assert_eq!(world.ask(MOD).await.unwrap().from.as_deref(), Some("repo"));
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_that_is_raised_may_go_to_a_repository() {
    let gate = Gate::default();
    let a = FakeOrigin::new("a").says(".mod", [after(&gate, Step::Absent), Step::Absent]);
    let repo = FakeOrigin::new("repo").says(".mod", [module()]);
    let world = World::with(chain("a,repo", &[&a, &repo]), |_| {});
    world.prefetch(MOD);
    gate.reached().await;
    let client = world.client(MOD);
    world.stand().await;
    gate.open();
    assert_eq!(client.await.unwrap().unwrap().from.as_deref(), Some("repo"));
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_begins_after_another_has_landed_asks_nobody() {
    let origin = FakeOrigin::new("a").says(".mod", [module()]);
    let world = World::of(&origin);
    world.ask(MOD).await.unwrap();
    world.quiet().await;
    // Its client has looked before the other one landed.
    world.prefetch(MOD);
    world.quiet().await;
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_begins_after_another_has_found_nothing_asks_nobody() {
    let origin = FakeOrigin::new("a");
    let world = World::of(&origin);
    assert!(world.ask(MOD).await.unwrap_err().is_absent());
    world.prefetch(MOD);
    world.quiet().await;
    assert_eq!(origin.asked(), 1);
}

/// Asks twice, with some seconds between; gives how often the origin was asked.
async fn asked_after(path: &str, step: Step, seconds: u64) -> usize {
    let origin = FakeOrigin::new("a").says("", [step]);
    let world = World::of(&origin);
    assert!(world.ask(path).await.is_err());
    world.pass(Duration::from_secs(seconds)).await;
    assert!(world.ask(path).await.is_err());
    origin.asked()
}

#[tokio::test(start_paused = true)]
async fn how_long_a_no_is_remembered() {
    for (path, step, seconds, asked) in [
        (MOD, Step::Absent, 59, 1),
        (MOD, Step::Absent, 61, 2),
        (MOD, Step::Gone, 59, 1),
        // A new tag is usable at once.
        (INFO, Step::Absent, 0, 2),
        (MOD, REFUSED, 9, 1),
        (MOD, REFUSED, 11, 2),
        (MOD, Step::TooLarge, 9, 1),
        (MOD, Step::TooLarge, 11, 2),
        (INFO, Step::TooLarge, 9, 1),
        (MOD, FAULT, 0, 2),
        (MOD, Step::Fails(Class::Timeout), 0, 2),
    ] {
        let found = asked_after(path, step.clone(), seconds).await;
        assert_eq!(found, asked, "{path} after {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_things_asked_for_again_has_absences_asked_for_again() {
    let origin = FakeOrigin::new("a").says(".mod", [Step::Absent, module()]);
    let world = World::of(&origin);
    assert!(world.ask(MOD).await.unwrap_err().is_absent());
    assert!(world.ask(MOD).await.unwrap_err().cached);
    assert_eq!(world.ask_anew(MOD).await.unwrap().cache, STORED);
}

#[tokio::test(start_paused = true)]
async fn nobody_has_what_is_too_large_sent_again() {
    let origin = FakeOrigin::new("a").says(".mod", [Step::TooLarge]);
    let world = World::of(&origin);
    assert!(world.ask(MOD).await.is_err());
    assert!(world.ask_anew(MOD).await.unwrap_err().cached);
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_info_that_appears_ends_the_absence_of_its_siblings() {
    let origin = FakeOrigin::new("a")
        .says(".mod", [Step::Absent, module()])
        .says(".info", [info()]);
    let world = World::of(&origin);
    assert!(world.ask(MOD).await.is_err());
    assert!(world.ask(INFO).await.is_ok());
    assert_eq!(world.ask(MOD).await.unwrap().cache, STORED);
}

#[tokio::test(start_paused = true)]
async fn who_wants_only_what_is_kept_asks_nobody() {
    let origin = FakeOrigin::new("a").says(".mod", [module()]);
    let world = World::of(&origin);
    let error = world.ask_kept(MOD).await.unwrap_err();
    assert!(error.is_absent() && error.passing && error.is_unasked());
    assert_eq!(origin.asked(), 0);
    world.ask(MOD).await.unwrap();
    world.quiet().await;
    assert_eq!(world.ask_kept(MOD).await.unwrap().cache, CacheStatus::Hit);
}

#[tokio::test(start_paused = true)]
async fn on_a_full_disk_what_comes_is_passed_on() {
    let origin = FakeOrigin::new("a").says(".mod", [module()]);
    let world = World::of(&origin);
    world.free.store(0, Ordering::SeqCst);
    assert_eq!(world.ask(MOD).await.unwrap().cache, PASSED_ON);
    world.quiet().await;
    assert_eq!(world.ask(MOD).await.unwrap().cache, PASSED_ON);
    world.quiet().await;
    world.free.store(ROOMY, Ordering::SeqCst);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.ask(MOD).await.unwrap().cache, STORED);
    assert_eq!(origin.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn on_a_full_disk_a_file_is_held_to_what_it_was_all_the_same() {
    let other = body("module example.com/m\n\ngo 1.21\n");
    let origin = FakeOrigin::new("a").says(".mod", [module(), other]);
    let world = World::of(&origin);
    world.free.store(0, Ordering::SeqCst);
    assert_eq!(world.ask(MOD).await.unwrap().cache, PASSED_ON);
    world.quiet().await;
    let error = world.ask(MOD).await.unwrap_err();
    assert_eq!(error.class(), Class::VerificationFailed);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_served_all_the_same() {
    let origin = FakeOrigin::new("a").says(".mod", [module()]);
    let world = World::of(&origin);
    // Where the module's folder would be.
    std::fs::write(world.dir.path().join("modules/example.com"), "").unwrap();
    world.ask(MOD).await.unwrap();
    world.quiet().await;
    assert_eq!(world.ask(MOD).await.unwrap().cache, PASSED_ON);
    assert_eq!(origin.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_all_have_denied_is_denied_when_nobody_can_be_asked() {
    let origin = FakeOrigin::new("a").says(".mod", [Step::Absent, FAULT]);
    let world = World::of(&origin);
    assert!(world.ask(MOD).await.unwrap_err().stale().is_none());
    world.pass(Duration::from_secs(3600)).await;
    let error = world.ask(MOD).await.unwrap_err();
    assert!(error.is_absent());
    assert_eq!(error.stale().unwrap().age.as_secs(), 3600);
    assert_eq!(origin.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_not_all_have_denied_is_a_fault_when_nobody_can_be_asked() {
    let origin = FakeOrigin::new("a").says(".mod", [REFUSED, FAULT]);
    let world = World::of(&origin);
    assert!(world.ask(MOD).await.is_err());
    world.pass(Duration::from_secs(3600)).await;
    assert_eq!(world.ask(MOD).await.unwrap_err().class(), Class::Upstream);
}

#[tokio::test(start_paused = true)]
async fn private_modules_are_never_asked_of_the_public_chain() {
    let public = FakeOrigin::new("a").says("", [module()]);
    let private = FakeOrigin::new("repo").says(".mod", [body("module private.example/m\n")]);
    let world = World::full(chain("a", &[&public]), chain("repo", &[&private]), |_| {});
    let there = world.ask("private.example/m/@v/v1.0.0.mod").await.unwrap();
    assert_eq!(there.from.as_deref(), Some("repo"));
    let absent = world
        .ask("private.example/m/@v/v2.0.0+incompatible.mod")
        .await;
    assert!(absent.is_ok());
    assert!(
        world
            .ask("private.example/m/@v/list")
            .await
            .unwrap_err()
            .is_absent()
    );
    assert_eq!(public.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_right_is_a_fault_and_not_kept() {
    let origin = FakeOrigin::new("a").says(".mod", [body("<html>"), module()]);
    let world = World::of(&origin);
    assert_eq!(world.ask(MOD).await.unwrap_err().class(), Class::Upstream);
    assert_eq!(world.ask(MOD).await.unwrap().cache, STORED);
}

#[tokio::test(start_paused = true)]
async fn what_a_query_said_stands_in_for_an_info_that_nobody_can_be_asked_for() {
    let origin = FakeOrigin::new("a")
        .says("main.info", [info()])
        .says("v1.0.0.info", [FAULT]);
    let world = World::of(&origin);
    world.ask("example.com/m/@v/main.info").await.unwrap();
    world.quiet().await;
    let answer = world.ask(INFO).await.unwrap();
    assert!(matches!(answer.cache, CacheStatus::Stale(_)));
    assert!(text(&answer).contains("v1.0.0"));
}
