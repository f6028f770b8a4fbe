//! Zips, which are read while they grow.

use super::*;

const ZIP: &str = "example.com/m/@v/v1.0.0.zip";
const FAULT: Step = Step::Fails(Class::Upstream);

#[tokio::test(start_paused = true)]
async fn a_zip_is_verified_and_kept() {
    let origin = FakeOrigin::new("a").says(".zip", [Step::Body(zip(1000))]);
    let world = World::of(&origin);
    let answer = world.ask(ZIP).await.unwrap();
    let answer = landed(&world, answer).await.unwrap();
    assert_eq!(answer.cache, STORED);
    world.quiet().await;
    assert_eq!(world.ask(ZIP).await.unwrap().cache, CacheStatus::Hit);
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_part_is_held_back_until_all_of_it_is_verified() {
    let (gate, whole) = (Gate::default(), zip(400 << 10));
    let sent = whole.len() - 10;
    let origin =
        FakeOrigin::new("a").says(".zip", [Step::Halfway(gate.clone(), whole.clone(), sent)]);
    let world = World::of(&origin);
    let answer = world.ask(ZIP).await.unwrap();
    let Content::Growing(flight) = &answer.content else {
        panic!("{answer:?}");
    };
    gate.reached().await;
    let mut progress = flight.follow();
    let all_written = |now: &ZipProgress| now.written == sent as u64;
    let released = progress.wait_for(all_written).await.unwrap().released();
    assert!(released > 0 && released <= sent as u64 - (68 << 10));
    gate.open();
    world.engine.landed(flight).await.unwrap();
    assert_eq!(flight.follow().borrow().released(), whole.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_zip_that_turns_out_wrong_is_never_released_whole() {
    let whole = zip(400 << 10);
    let mut wrong = whole.to_vec();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    let origin = FakeOrigin::new("a").says(".zip", [Step::Body(wrong.into()), Step::Body(whole)]);
    let world = World::of(&origin);
    let answer = world.ask(ZIP).await;
    match answer {
        Ok(answer) => {
            let Content::Growing(flight) = &answer.content else {
                panic!("{answer:?}");
            };
            let error = world.engine.landed(flight).await.unwrap_err();
            assert_eq!(error.class(), Class::VerificationFailed);
            let now = flight.follow().borrow().clone();
            assert_eq!(now.released(), now.written - (68 << 10));
        }
        Err(error) => assert_eq!(error.class(), Class::VerificationFailed),
    }
    world.quiet().await;
    let again = world.ask(ZIP).await.unwrap();
    assert_eq!(landed(&world, again).await.unwrap().cache, STORED);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_zip_is_given_up_at_its_first_bytes() {
    let origin = FakeOrigin::new("a").says(".zip", [body("<html>not found</html>")]);
    let world = World::of(&origin);
    assert_eq!(world.ask(ZIP).await.unwrap_err().class(), Class::Upstream);
    world.quiet().await;
    assert!(world.ask_kept(ZIP).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn where_one_origin_breaks_off_the_next_goes_on() {
    let whole = zip(400 << 10);
    let a = FakeOrigin::new("a").says(".zip", [Step::Cut(whole.clone(), 300 << 10)]);
    let b = FakeOrigin::new("b").says(".zip", [Step::Body(whole.clone())]);
    let world = World::with(chain("a|b", &[&a, &b]), |_| {});
    let answer = world.ask(ZIP).await.unwrap();
    let answer = landed(&world, answer).await.unwrap();
    assert_eq!(answer.from.as_deref(), Some("b"));
    let Content::File(file) = &answer.content else {
        panic!("{answer:?}");
    };
    assert_eq!(file.size(), whole.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_zip_that_breaks_off_fails_for_all_and_is_fetched_anew_for_who_comes_next() {
    let whole = zip(100 << 10);
    let gate = Gate::default();
    let cut = after(&gate, Step::Cut(whole.clone(), 1000));
    let origin = FakeOrigin::new("a").says(".zip", [cut, Step::Body(whole)]);
    let world = World::of(&origin);
    let clients: Vec<_> = (0..3).map(|_| world.client(ZIP)).collect();
    gate.reached().await;
    world.stand().await;
    gate.open();
    for client in clients {
        assert_eq!(client.await.unwrap().unwrap_err().class(), Class::Upstream);
    }
    let answer = world.ask(ZIP).await.unwrap();
    assert_eq!(landed(&world, answer).await.unwrap().cache, STORED);
    assert_eq!(origin.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_prefetched_zip_that_is_awaited_and_fails_is_tried_as_for_anybody() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a").says(".zip", [after(&gate, FAULT), Step::Body(zip(1000))]);
    let world = World::of(&origin);
    world.prefetch(ZIP);
    gate.reached().await;
    let client = world.client(ZIP);
    world.stand().await;
    gate.open();
    let answer = client.await.unwrap().unwrap();
    assert_eq!(landed(&world, answer).await.unwrap().cache, STORED);
    let calls = origin.calls();
    assert!(calls[0].prefetch && !calls[1].prefetch);
}

#[tokio::test(start_paused = true)]
async fn a_prefetched_zip_that_nobody_awaits_is_tried_once() {
    let origin = FakeOrigin::new("a").says(".zip", [FAULT]);
    let world = World::of(&origin);
    world.prefetch(ZIP);
    world.quiet().await;
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_prefetched_zip_of_which_somebody_has_seen_a_part_is_not_begun_again() {
    let (gate, whole) = (Gate::default(), zip(400 << 10));
    let half = Step::Halfway(gate.clone(), whole.slice(..300 << 10), 200 << 10);
    let origin = FakeOrigin::new("a").says(".zip", [half, Step::Body(whole)]);
    let world = World::of(&origin);
    world.prefetch(ZIP);
    gate.reached().await;
    let answer = world.ask(ZIP).await.unwrap();
    let Content::Growing(flight) = &answer.content else {
        panic!("{answer:?}");
    };
    gate.open();
    assert_eq!(
        world.engine.landed(flight).await.unwrap_err().class(),
        Class::VerificationFailed
    );
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn on_a_full_disk_a_zip_is_passed_on() {
    let origin = FakeOrigin::new("a").says(".zip", [Step::Body(zip(1000))]);
    let world = World::of(&origin);
    world.free.store(0, Ordering::SeqCst);
    for asked in 1..=2 {
        let answer = world.ask(ZIP).await.unwrap();
        assert_eq!(landed(&world, answer).await.unwrap().cache, PASSED_ON);
        world.quiet().await;
        assert_eq!(origin.asked(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_zip_is_held_to_what_it_was_when_it_was_first_seen() {
    let origin = FakeOrigin::new("a").says(".zip", [Step::Body(zip(1000)), Step::Body(zip(1001))]);
    let world = World::of(&origin);
    // It is not kept, so it is asked for again.
    world.free.store(0, Ordering::SeqCst);
    let answer = world.ask(ZIP).await.unwrap();
    landed(&world, answer).await.unwrap();
    world.quiet().await;
    let other = world.ask(ZIP).await;
    assert_eq!(other.unwrap_err().class(), Class::VerificationFailed);
}

#[tokio::test(start_paused = true)]
async fn with_too_many_zips_under_way_small_files_are_fetched() {
    let gate = Gate::default();
    let origin = FakeOrigin::new("a")
        .says("v1.0.0.zip", [after(&gate, Step::Body(zip(1000)))])
        .says(".mod", [body("module example.com/m\n")]);
    let world = World::with(chain("a", &[&origin]), |settings| {
        settings.max_zip_flights = 1
    });
    let slow = world.client(ZIP);
    gate.reached().await;
    let refused = world.ask("example.com/m/@v/v1.1.0.zip").await.unwrap_err();
    assert_eq!(refused.class(), Class::Overloaded);
    assert!(world.ask("example.com/m/@v/v1.0.0.mod").await.is_ok());
    gate.open();
    assert!(slow.await.unwrap().is_ok());
}

/// What hashes on the way follows the flight: the first try's ends with the first try.
#[tokio::test(start_paused = true)]
async fn what_hashes_a_try_ends_with_it() {
    let whole = zip(200 << 10);
    let (gate, second) = (Gate::default(), Gate::default());
    let cut = after(&gate, Step::Cut(whole.clone(), 20 << 10));
    let again = Step::Halfway(second.clone(), whole, 40 << 10);
    let origin = FakeOrigin::new("a").says(".zip", [cut, again]);
    let world = World::of(&origin);
    let Key::File(file) = key(ZIP) else {
        panic!("a file");
    };
    let prefetch = world
        .engine
        .background(&file.module, FetchContext::prefetch());
    let flight = world.engine.zip_flight(&file, &prefetch, None).unwrap();
    gate.reached().await;
    let client = world.client(ZIP);
    world.stand().await;
    gate.open();
    // Without time passing while threads are writing.
    let reached = tokio::spawn({
        let second = second.clone();
        async move { second.reached().await }
    });
    world.until(|| reached.is_finished()).await;
    world.stand().await;
    assert_eq!(flight.look().waiting, 1, "the client alone");
    second.open();
    let answer = client.await.unwrap().unwrap();
    assert_eq!(landed(&world, answer).await.unwrap().cache, STORED);
}
