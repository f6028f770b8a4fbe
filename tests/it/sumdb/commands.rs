//! `larder sumdb` and what operators see.

use super::*;

#[track_caller]
fn status(larder: &Larder) -> String {
    larder.run(&["sumdb", "status"]).expect(0).stdout
}

#[test]
fn status_tells_name_size_and_alarms() {
    let other = Log::named("sum.example.com", 9);
    other.fill(20, "o");
    let world = world();
    other.install(&world.up);
    let mut larder = world.larder().sumdb(&other.verifier()).no_breaker().start();
    vouched_for(&larder, &world.first);
    larder.get(&other.url("/latest")).ok();
    let check = |larder: &Larder| {
        let text = status(larder);
        for word in [&world.log.name(), "700", "sum.example.com", "20"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        text
    };
    assert!(!check(&larder).contains("fork"));
    larder.stop();
    assert!(!check(&larder).contains("fork"));
    larder.restart();
    let fork = world.log.fork(650);
    fork.fill(800, "other");
    let honest = world.log.copy();
    world.log.become_like(&fork);
    larder.get(&world.lookup(&world.second)).refuses(&[502]);
    wait_alarm(&larder, &honest, "fork");
    assert!(check(&larder).contains("fork"));
    larder.stop();
    assert!(check(&larder).contains("fork"));
}

#[test]
fn verify_is_content_with_what_was_verified() {
    let world = world();
    let mut larder = world.larder().start();
    larder.run(&["sumdb", "verify"]).expect(0);
    for module in [&world.first, &world.second, &world.last] {
        vouched_for(&larder, module);
        larder.get_hit(&module.url("zip"));
        larder.get_hit(&module.url("mod"));
    }
    let running = larder.run(&["sumdb", "verify"]).expect(0);
    larder.stop();
    let stopped = larder.run(&["sumdb", "verify"]).expect(0);
    for said in [running, stopped] {
        assert!(said.stdout.contains(&world.log.name()), "{said:?}");
        assert!(said.stdout.lines().count() >= 1, "{said:?}");
    }
}

#[test]
fn verify_finds_files_that_the_database_does_not_vouch_for() {
    let world = world();
    let evil = world.first.clone().file("evil.go", "package evil\n");
    world.up.add(&evil);
    // Kept while there was no database.
    let mut larder = larder().of(&world.up).start();
    larder.get(&evil.url("zip")).ok();
    larder.get_hit(&evil.url("zip"));
    larder.stop();
    let verifier = world.log.verifier();
    larder.restart_with(|b| b.sumdb(&verifier));
    // By way of the relay, so that Larder has the record.
    larder.get(&world.lookup(&world.first)).ok();
    for running in [true, false] {
        if !running {
            larder.stop();
        }
        let finished = larder.run(&["sumdb", "verify"]).expect(1);
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(said.contains("example.com/First"), "{said}");
        assert!(said.contains("v1.0.0"), "{said}");
    }
}

#[test]
fn usage_errors_exit_with_2() {
    let builder = larder();
    for arguments in [
        &["sumdb"][..],
        &["sumdb", "no-such-verb"],
        &["sumdb", "acknowledge"],
        &["sumdb", "verify", "--no-such-flag"],
    ] {
        let finished = builder.run(arguments);
        assert_eq!(finished.code, Some(2), "{arguments:?}: {finished:?}");
    }
    let help = builder.run(&["--help"]).expect(0).stdout;
    for command in ["sumdb", "first-seen"] {
        assert!(help.contains(command), "{help}");
    }
}

#[test]
fn readyz_without_a_database_names_none() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    let text = larder.get("/readyz").expect(200).text();
    let ready: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(ready["checksum_databases"], serde_json::json!([]), "{text}");
}

#[test]
fn metrics_name_databases_and_no_modules() {
    let world = world();
    let larder = world.larder().start();
    vouched_for(&larder, &world.first);
    larder.get(&world.lookup(&world.second)).ok();
    let text = larder.metrics();
    assert!(text.contains("larder_sumdb"), "{text}");
    assert!(text.contains(&world.log.name()), "{text}");
    assert!(!text.contains("example.com"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn doctor_asks_the_database_too() {
    let world = world();
    let builder = larder()
        .env("LARDER_UPSTREAM", world.up.url())
        .env("LARDER_SUMDB", world.log.verifier());
    let finished = builder.run(&["doctor"]);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains(&world.log.name()), "{said}");
}

#[test]
fn verify_without_a_way_to_the_database_says_so_once_for_all() {
    let world = world();
    let modules: Vec<_> = (0..8).map(|n| world.publish(&format!("many{n}"))).collect();
    let mut larder = world.larder().no_breaker().start();
    for module in &modules {
        vouched_for(&larder, module);
    }
    larder.stop();
    // Nothing of what the database said is kept, and nobody can be asked.
    std::fs::remove_dir_all(larder.data_dir().join("index")).unwrap();
    larder.restart_with(|b| b.upstream("off"));
    larder.wait_stderr("the index is made anew kept=");
    for running in [true, false] {
        if !running {
            larder.stop();
        }
        let said = larder.run(&["sumdb", "verify", "--upstream", "off"]);
        let said = said.expect(1).stdout;
        let lines = said.lines().count();
        assert!(lines < 10, "{said}");
        assert!(said.contains("11 more: "), "{said}");
        assert!(said.contains("16 could not be asked about"), "{said}");
    }
}

#[test]
fn verify_does_not_take_a_database_that_lies_for_one_that_is_away() {
    let world = world();
    let mut larder = world.larder().no_breaker().start();
    world.up.rule("*/lookup/*", Fault::status(500));
    larder.get(&world.first.url("mod")).ok();
    larder.get_hit(&world.first.url("mod"));
    larder.stop();
    world.up.clear_rules();
    world.log.flip(0, 0, 3);
    let upstream = world.up.url();
    let said = larder.run(&["sumdb", "verify", "--upstream", &upstream]);
    let said = said.expect(1).stdout;
    assert!(said.contains("NOT TRUSTED: example.com/!first"), "{said}");
    assert!(said.contains(" 0 could not be asked about"), "{said}");
}
