//! Who is asked, in which order, and what is said when nobody has it.

use super::*;

/// Walks along a chain of `a`, `b`, `c` (proxies) and `repo`, of which each does one thing. Gives what came of it, and
/// who was asked with how many seconds.
async fn walked(text: &str, steps: &[(&str, Step)]) -> (String, Vec<(String, u64)>) {
    let origins: Vec<_> = steps
        .iter()
        .map(|(name, step)| FakeOrigin::new(name).says("", [step.clone()]))
        .collect();
    let refs: Vec<_> = origins.iter().collect();
    let chain = chain(text, &refs);
    let (key, context) = (key("example.com/m/@v/v1.0.0.mod"), FetchContext::default());
    let result = chain.fetch_small(&FetchRequest::new(&key, &context)).await;
    let said = match result {
        Ok(reply) => reply.from.to_string(),
        Err(error) => match error.class() {
            Class::Absent { gone: true } => "gone".into(),
            Class::Absent { .. } if error.nobody_was_asked() => "nobody asked".into(),
            Class::Absent { .. } if error.is_said_by_all() => "absent, say all".into(),
            class => format!("{class:?}"),
        },
    };
    let called = |origin: &Arc<FakeOrigin>| {
        let calls = origin.calls();
        calls
            .first()
            .map(|call| (origin.label.to_string(), call.time.as_secs()))
    };
    (said, origins.iter().filter_map(called).collect())
}

fn module() -> Step {
    body("module example.com/m\n")
}

const FAULT: Step = Step::Fails(Class::Upstream);

/// One test for each line: a chain, what its origins do, what is said, who is asked with how many seconds.
macro_rules! walks {
    ($($name:ident: $chain:literal [$($origin:literal $step:expr),*] => $said:literal, $asked:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let (said, asked) = walked($chain, &[$(($origin, $step)),*]).await;
            let asked: Vec<_> = asked.iter().map(|(name, time)| (name.as_str(), *time)).collect();
            let expected: Vec<(&str, u64)> = Vec::from($asked);
            assert_eq!((said.as_str(), asked), ($said, expected));
        }
    )*};
}

walks! {
    the_first_that_has_it_is_the_last_that_is_asked:
        "a,b" ["a" module(), "b" module()] => "a", [("a", 42)];
    a_comma_goes_on_at_not_found:
        "a,b" ["a" Step::Absent, "b" module()] => "b", [("a", 42), ("b", 42)];
    a_comma_goes_on_at_gone:
        "a,b" ["a" Step::Gone, "b" module()] => "b", [("a", 42), ("b", 42)];
    a_comma_stops_at_a_fault:
        "a,b" ["a" FAULT, "b" module()] => "Upstream", [("a", 42)];
    a_comma_stops_at_a_refusal:
        "a,b" ["a" Step::Fails(Class::Refused), "b" module()] => "Refused", [("a", 42)];
    a_bar_goes_on_at_a_fault:
        "a|b" ["a" FAULT, "b" module()] => "b", [("a", 21), ("b", 42)];
    a_bar_goes_on_at_a_refusal:
        "a|b" ["a" Step::Fails(Class::Refused), "b" module()] => "b", [("a", 21), ("b", 42)];
    what_cannot_be_stored_from_one_cannot_from_another:
        "a|b" ["a" Step::Fails(Class::Internal), "b" module()] => "Internal", [("a", 21)];
    a_fault_before_not_found_is_a_fault:
        "a|b" ["a" FAULT, "b" Step::Absent] => "Upstream", [("a", 21), ("b", 42)];
    a_fault_after_not_found_is_a_fault:
        "a,b" ["a" Step::Absent, "b" FAULT] => "Upstream", [("a", 42), ("b", 42)];
    of_two_faults_the_last_is_told:
        "a|b" ["a" FAULT, "b" Step::Fails(Class::Timeout)] => "Timeout", [("a", 21), ("b", 42)];
    not_found_is_what_all_say:
        "a,b" ["a" Step::Absent, "b" Step::Absent] => "absent, say all", [("a", 42), ("b", 42)];
    gone_is_what_all_say:
        "a,b" ["a" Step::Gone, "b" Step::Gone] => "gone", [("a", 42), ("b", 42)];
    gone_and_not_found_are_not_found:
        "a,b" ["a" Step::Gone, "b" Step::Absent] => "absent, say all", [("a", 42), ("b", 42)];
    off_ends_the_chain:
        "a,off,b" ["a" Step::Absent, "b" module()] => "absent, say all", [("a", 42)];
    where_nobody_is_asked_nobody_has_said_anything:
        "off" [] => "nobody asked", [];
    an_empty_chain_asks_nobody:
        "" [] => "nobody asked", [];
    proxies_that_are_asked_in_any_case_share_the_time:
        "a|b|c" ["a" FAULT, "b" FAULT, "c" module()] => "c", [("a", 14), ("b", 21), ("c", 42)];
    time_is_not_shared_with_whoever_is_asked_at_not_found_only:
        "a|b,c" ["a" FAULT, "b" Step::Absent, "c" module()] => "c", [("a", 21), ("b", 42), ("c", 42)];
    time_is_not_shared_with_a_repository:
        "a|repo" ["a" FAULT, "repo" module()] => "repo", [("a", 42), ("repo", 42)];
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_the_time_is_what_the_next_one_gets() {
    let gate = Gate::default();
    let a = FakeOrigin::new("a").says("", [after(&gate, FAULT)]);
    let b = FakeOrigin::new("b").says("", [module()]);
    let chain = chain("a|b", &[&a, &b]);
    let walk = tokio::spawn(async move {
        let (key, context) = (key("example.com/m/@v/v1.0.0.mod"), FetchContext::default());
        chain.fetch_small(&FetchRequest::new(&key, &context)).await
    });
    gate.reached().await;
    tokio::time::advance(Duration::from_secs(20)).await;
    gate.open();
    assert!(walk.await.unwrap().is_ok());
    assert_eq!(b.calls()[0].time.as_secs(), 22);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_last_gets_three_seconds_if_there_are_as_many() {
    let a = FakeOrigin::new("a").says("", [FAULT]);
    let b = FakeOrigin::new("b").says("", [FAULT]);
    let chain = chain("a|b", &[&a, &b]);
    let context = FetchContext {
        deadline: Some(tokio::time::Instant::now() + Duration::from_secs(4)),
        ..FetchContext::default()
    };
    let key = key("example.com/m/@v/v1.0.0.mod");
    assert!(
        chain
            .fetch_small(&FetchRequest::new(&key, &context))
            .await
            .is_err()
    );
    assert_eq!(a.calls()[0].time.as_secs(), 3);
    assert_eq!(b.calls()[0].time.as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_a_part_of_the_chain_says_is_not_said_by_all() {
    let a = FakeOrigin::new("a");
    let repo = FakeOrigin::new("repo").says("", [module()]);
    let part = chain("a,repo", &[&a, &repo]).proxies_only();
    let (key, context) = (key("example.com/m/@v/v1.0.0.mod"), FetchContext::default());
    let error = part
        .fetch_small(&FetchRequest::new(&key, &context))
        .await
        .unwrap_err();
    assert!(error.is_absent() && !error.is_said_by_all());
    assert_eq!(repo.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn prefetches_are_welcome_where_the_first_origin_is_healthy() {
    let (a, tired) = (FakeOrigin::new("a"), FakeOrigin::new("tired"));
    let repo = FakeOrigin::new("repo");
    for (text, welcome) in [
        ("a,tired", true),
        ("tired,a", false),
        ("repo", true),
        ("off", false),
        ("", false),
    ] {
        let chain = chain(text, &[&a, &tired, &repo]);
        assert_eq!(chain.welcomes_prefetches(), welcome, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_whoever_gave_something_is_asked_whether_it_has_changed() {
    let a = FakeOrigin::new("a");
    let b = FakeOrigin::new("b").says("", [Step::NotModified]);
    let chain = chain("a,b", &[&a, &b]);
    let (key, context) = (key("example.com/m/@v/list"), FetchContext::default());
    let validators = Validators::default();
    let known = Known {
        from: "b",
        validators: &validators,
    };
    let request = FetchRequest::new(&key, &context);
    let said = chain.revalidate(&request, &known).await;
    assert!(matches!(said, Ok(Revalidation::NotModified)));
    assert!(!a.calls()[0].conditional && b.calls()[0].conditional);
}

/// The server stops before it has found out the chain.
#[tokio::test(start_paused = true)]
async fn a_chain_that_will_not_be_known_says_nothing_of_what_exists() {
    let world = World::of(&FakeOrigin::new("a"));
    let (found, public) = watch::channel(None);
    let mut unknown = Rules::clone(&world.engine.rules());
    unknown.chains.public = public;
    world.engine.swap_rules(unknown);
    let paths = [
        "v1.0.0.info",
        "v1.0.0.mod",
        "v1.0.0.zip",
        "list",
        "branch.info",
    ]
    .map(|name| format!("example.com/m/@v/{name}"));
    let clients: Vec<_> = paths.iter().map(|path| world.client(path)).collect();
    world.stand().await;
    assert_eq!(world.engine.flights(), 5, "all of them wait for it");
    drop(found);
    for (path, client) in paths.iter().zip(clients) {
        let error = client.await.unwrap().unwrap_err();
        assert_eq!(error.class(), Class::Unavailable, "{path}: {error}");
        assert!(error.retry_after().is_some());
    }
}
