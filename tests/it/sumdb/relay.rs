//! The relay's endpoints: `supported`, `latest` and `lookup` (checklist 65 to 69, 73 to 75).

use super::*;
use std::sync::Barrier;
use std::time::Duration;

#[test]
fn c65_supported_for_what_is_configured_only() {
    let world = world();
    let larder = world.larder().start();
    larder.get(&world.log.url("/supported")).expect(200);
    larder.head(&world.log.url("/supported")).expect(200);
    world.up.forget();
    for name in [
        "sum.golang.org",
        "localhost.localdev",
        "localhost.localdev/sumdb2",
        "localhost.localdev/sumdb/more",
        "LOCALHOST.localdev/sumdb",
    ] {
        for end in ["supported", "latest", "lookup/example.com/!first@v1.0.0"] {
            let answer = larder.get(&format!("/sumdb/{name}/{end}"));
            assert!(
                [404, 410].contains(&answer.status),
                "{name}/{end}: {}",
                answer.status
            );
        }
    }
    for rest in [
        "",
        "/",
        "/nonsense",
        "/tile",
        "/lookup",
        "/supported/x",
        "/latest/x",
    ] {
        let answer = larder.get(&world.log.url(rest));
        assert!(
            [400, 404].contains(&answer.status),
            "{rest}: {}",
            answer.status
        );
    }
    world.up.assert_untouched();
}

#[test]
fn c65_supported_while_a_verified_head_is_kept_or_the_database_answers() {
    let world = world();
    let supported = world.log.url("/supported");
    let mut larder = world
        .larder()
        .no_breaker()
        .impatient()
        .set("upstream.attempts", "1")
        .start();
    world.up.rule("*", Fault::status(503));
    larder.get(&supported).refuses(&[404]);
    world.up.clear_rules();
    until("the database to be seen again", || {
        larder.get(&supported).is_ok().then_some(())
    });
    vouched_for(&larder, &world.first);
    world.up.rule("*", Fault::status(503));
    larder.get(&supported).expect(200);
    larder.stop();
    larder.restart();
    larder.get(&supported).expect(200);
}

#[test]
fn c65_no_head_that_cannot_be_verified_makes_it_supported() {
    let world = world();
    for (what, note) in world.log.bad_notes(SIZE).into_iter().take(5) {
        world.log.forge("/latest", note);
        let larder = world.larder().start();
        let answer = larder.get(&world.log.url("/supported"));
        assert_eq!(answer.status, 404, "{what}: {}", answer.describe());
    }
}

#[test]
fn other_methods_are_not_allowed() {
    let world = world();
    let larder = world.larder().start();
    for rest in ["/supported", "/latest", "/tile/8/0/000"] {
        let path = world.log.url(rest);
        let answer = Request::new("POST", &path).send(larder.addr());
        assert_eq!(answer.status, 405, "{}", answer.describe());
        assert!(answer.header("allow").is_some_and(|a| a.contains("GET")));
    }
    world.up.assert_untouched();
}

#[test]
fn c67_a_look_up_is_passed_on_byte_for_byte_and_kept() {
    let world = world();
    let mut larder = world.larder().start();
    let first = world.log.answer(&world.first);
    for n in 0..2 {
        for module in [&world.first, &world.second, &world.last] {
            let answer = larder.get(&world.lookup(module));
            assert_eq!(
                answer.ok(),
                world.log.body(world.log.id(module), SIZE).as_bytes()
            );
            let kind = answer.header("content-type").unwrap().to_lowercase();
            assert_eq!(kind, "text/plain; charset=utf-8");
            assert_eq!(world.lookups(module), 1, "round {n}");
        }
    }
    // HEAD tells the same without the body.
    let head = larder.head(&world.lookup(&world.first));
    head.expect(200);
    assert_eq!(
        head.header("content-length"),
        Some(first.len().to_string().as_str())
    );
    // Other heads do not change what is kept.
    world.log.fill(SIZE + 100, "later");
    assert_eq!(larder.get(&world.lookup(&world.first)).ok(), first);
    larder.stop();
    larder.restart();
    assert_eq!(larder.get(&world.lookup(&world.first)).ok(), first);
    assert_eq!(world.lookups(&world.first), 1);
}

#[test]
fn c67_more_lines_in_a_signed_tree_are_passed_on_too() {
    let world = world();
    let tree = format!("{}later extension\n", world.log.tree(SIZE));
    let note = world.log.sign(&tree);
    let id = world.log.id(&world.second);
    let body = format!("{id}\n{}\n{note}", world.log.record(id));
    world.log.forge(&lookup_path(&world.second), body.clone());
    world.log.forge("/latest", note.clone());
    let larder = world.larder().start();
    assert_eq!(
        larder.get(&world.lookup(&world.second)).ok(),
        body.as_bytes()
    );
    vouched_for(&larder, &world.second);
    assert_eq!(larder.get(&world.log.url("/latest")).ok(), note.as_bytes());
}

#[test]
fn c68_c26_both_spellings_of_an_exclamation_mark() {
    let world = world();
    let module = Module::new("rsc.io/QUOT", "v1.5.2");
    world.log.add(&module);
    let larder = world.larder().start();
    for name in ["!q!u!o!t", "%21q%21u!o!t", "%21q%21u%21o%21t"] {
        let answer = larder.get(&world.log.url(&format!("/lookup/rsc.io/{name}@v1.5.2")));
        assert_eq!(answer.ok(), world.log.answer(&module));
    }
    assert_eq!(world.lookups(&module), 1);
}

#[test]
fn look_ups_with_a_bad_syntax_go_nowhere() {
    let world = world();
    let larder = world.larder().start();
    larder.get(&world.log.url("/supported")).expect(200);
    world.up.forget();
    for rest in [
        "example.com/!first",
        "example.com/!first@",
        "@v1.0.0",
        "example.com/!first@v1.0",
        "example.com/!first@v1",
        "example.com/!first@main",
        "example.com/!first@latest",
        "example.com/!first@1.0.0",
        "example.com/!first@v1.0.0@v1.0.0",
        "example.com/!first@v1.0.0/go.mod",
        "example.com/First@v1.0.0",
        "example.com/!First@v1.0.0",
        "example.com/!!first@v1.0.0",
        "example.com/first!@v1.0.0",
        "example.com/../first@v1.0.0",
        "example.com//first@v1.0.0",
        "example.com/%2e%2e/first@v1.0.0",
        "nodots/first@v1.0.0",
        "example.com/first%00@v1.0.0",
        "example.com/first%0a@v1.0.0",
        "example.com/%2521first@v1.0.0",
    ] {
        let answer = larder.get(&world.log.url(&format!("/lookup/{rest}")));
        assert!(
            [400, 404].contains(&answer.status),
            "{rest}: {}",
            answer.describe()
        );
    }
    let answer = larder.get(&world.log.url("/lookup/example.com/m@main"));
    assert_eq!(answer.status, 400, "{}", answer.describe());
    world.up.assert_untouched();
}

#[test]
fn c69_not_found_and_gone_are_passed_on() {
    let world = world();
    let larder = world.larder().start();
    let unknown = Module::new("example.com/unknown", "v1.0.0");
    let text = larder.get(&world.lookup(&unknown)).refuses(&[404]);
    assert!(text.contains("not"), "{text}");
    let gone = Module::new("example.com/gone", "v1.0.0");
    world
        .up
        .rule("*/lookup/example.com/gone*", Fault::status(410));
    larder.get(&world.lookup(&gone)).refuses(&[410]);
    assert_eq!(alarm(&larder, &world.log), None);
}

#[test]
fn c53_unknown_versions_are_not_asked_for_by_every_client() {
    let world = world();
    let larder = world.larder().start();
    let unknown = Module::new("example.com/unknown", "v1.0.0");
    for _ in 0..5 {
        larder.get(&world.lookup(&unknown)).refuses(&[404]);
    }
    assert_eq!(world.lookups(&unknown), 1);
}

#[test]
fn c73_how_long_unknown_versions_are_remembered_can_be_set() {
    let world = world();
    let larder = world
        .larder()
        .set("freshness.negative_ttl", "300ms")
        .start();
    let module = Module::new("example.com/new", "v1.0.0");
    world.up.add(&module);
    larder.get(&world.lookup(&module)).refuses(&[404]);
    larder.get(&module.url("mod")).refuses(&[502]);
    world.log.add(&module);
    until("the new version to be known", || {
        larder.get(&world.lookup(&module)).is_ok().then_some(())
    });
    vouched_for(&larder, &module);
}

#[test]
#[ignore = "slow: what is unknown may be remembered for a minute"]
fn c73_a_version_that_the_database_came_to_know_is_found_within_a_minute() {
    let world = world();
    let larder = world.larder().start();
    let module = Module::new("example.com/new", "v1.0.0");
    world.up.add(&module);
    larder.get(&world.lookup(&module)).refuses(&[404]);
    larder.get(&module.url("mod")).refuses(&[502]);
    world.log.add(&module);
    std::thread::sleep(Duration::from_secs(61)); // The promise itself: a minute.
    larder.get(&world.lookup(&module)).ok();
    vouched_for(&larder, &module);
}

#[test]
fn c69_trouble_is_told_as_trouble_and_not_remembered() {
    for fault in [
        Fault::status(500),
        Fault::status(502),
        Fault::status(503),
        Fault::status(429),
        Fault::close(),
        Fault::cut(20),
        Fault::stall(20),
        Fault::hang(),
        Fault::html(),
        Fault::none().body(""),
    ] {
        let world = world();
        let larder = world
            .larder()
            .no_breaker()
            .impatient()
            .set("upstream.attempts", "1")
            .set("sumdb.lookup_timeout", "2s")
            .start();
        world.up.rule("*/lookup/*", fault.clone());
        let path = world.lookup(&world.first);
        let answer = larder.get(&path);
        assert!(
            TROUBLE.contains(&answer.status),
            "{fault:?}: {}",
            answer.describe()
        );
        answer.refuses(TROUBLE);
        world.up.clear_rules();
        assert_eq!(
            larder.get(&path).ok(),
            world.log.answer(&world.first),
            "{fault:?}"
        );
    }
}

#[test]
fn c69_an_unreachable_database_is_trouble() {
    let dead = DeadPort::new();
    let log = Log::new();
    let larder = larder()
        .upstream(&dead.url())
        .sumdb(&log.with_url(&dead.url()))
        .no_breaker()
        .start();
    larder.get(&log.url("/supported")).refuses(&[404]);
    for rest in ["/latest", "/lookup/example.com/m@v1.0.0", "/tile/8/0/000"] {
        larder.get(&log.url(rest)).refuses(TROUBLE);
    }
}

#[test]
fn c73_latest_is_asked_for_every_few_seconds() {
    let world = world();
    let larder = world.larder().start();
    let path = world.log.url("/latest");
    for _ in 0..5 {
        let answer = larder.get(&path);
        assert_eq!(answer.ok(), world.log.head(SIZE).as_bytes());
        let kind = answer.header("content-type").unwrap().to_lowercase();
        assert_eq!(kind, "text/plain; charset=utf-8");
    }
    assert_eq!(world.up.count("*/latest"), 1);
    world.log.fill(SIZE + 77, "later");
    until("the new head", || {
        let answer = larder.get(&path);
        (answer.ok() == world.log.head(SIZE + 77).as_bytes()).then_some(())
    });
    assert_eq!(state_of(&larder, &world.log.name())["size"], SIZE + 77);
    assert!(world.up.count("*/latest") <= 4);
}

#[test]
fn the_last_verified_head_is_told_while_the_database_is_gone() {
    let mut world = world();
    let path = world.log.url("/latest");
    let mut larder = world.larder().no_breaker().start();
    // The head of a look-up is as good as one that was asked for.
    larder.get(&world.lookup(&world.last)).ok();
    world.up.stop();
    let head = world.log.head(SIZE);
    assert_eq!(larder.get(&path).ok(), head.as_bytes());
    larder.stop();
    larder.restart();
    assert_eq!(larder.get(&path).ok(), head.as_bytes());
    assert_eq!(
        larder.get(&world.lookup(&world.last)).ok(),
        world.log.answer(&world.last)
    );
}

#[test]
fn c74_equal_look_ups_are_one() {
    let world = world();
    let larder = world.larder().start();
    let path = world.lookup(&world.second);
    let gate = world.up.gated("*/lookup/*");
    let start = Barrier::new(50);
    std::thread::scope(|scope| {
        let ask = || {
            start.wait();
            larder.get(&path)
        };
        let clients: Vec<_> = (0..50).map(|_| scope.spawn(ask)).collect();
        gate.wait_arrived(1);
        gate.open();
        for client in clients {
            assert_eq!(client.join().unwrap().ok(), world.log.answer(&world.second));
        }
    });
    assert_eq!(world.lookups(&world.second), 1);
}

#[test]
fn c74_a_client_that_leaves_takes_no_look_up_along() {
    let world = world();
    let larder = world.larder().start();
    let path = world.lookup(&world.second);
    let gate = world.up.gated("*/lookup/*");
    let mut conn = Conn::open(larder.addr()).unwrap();
    conn.write(&Request::get(&path).bytes(larder.addr()))
        .unwrap();
    gate.wait_arrived(1);
    drop(conn);
    gate.open();
    assert_eq!(larder.get(&path).ok(), world.log.answer(&world.second));
    assert_eq!(world.lookups(&world.second), 1);
}

#[test]
#[ignore = "slow: the database takes 50 seconds"]
fn c74_a_slow_look_up_is_waited_for() {
    let world = world();
    let larder = world.larder().start();
    world
        .up
        .rule("*/lookup/*", Fault::delay(Duration::from_secs(50)));
    let request = Request::get(&world.lookup(&world.second)).deadline(3 * DEADLINE);
    let answer = request.send(larder.addr());
    assert_eq!(answer.ok(), world.log.answer(&world.second));
    assert_eq!(world.lookups(&world.second), 1);
}

#[test]
fn a_look_up_is_waited_for_longer_than_a_module() {
    let world = world();
    let larder = world.larder().impatient().start();
    let delay = Duration::from_secs(3);
    world.up.rule("*/lookup/*", Fault::delay(delay));
    // Four times what an upstream may take for anything else.
    let answer = larder.get(&world.lookup(&world.second));
    assert_eq!(answer.ok(), world.log.answer(&world.second));
    assert!(answer.elapsed >= delay);
    assert_eq!(world.lookups(&world.second), 1, "not asked twice meanwhile");
}

#[test]
fn c75_names_with_and_without_slashes() {
    for name in [
        "sum.example.com",
        "sum.example.com/a/b/c",
        "localhost.localdev/sumdb",
        "sum.example.com/lookup",
        "sum.example.com/tile/8",
    ] {
        let log = Log::named(name, 3);
        let module = Module::new("example.com/m", "v1.0.0");
        log.add(&module);
        log.fill(30, "m");
        let up = FakeUpstream::serving(std::slice::from_ref(&module));
        log.install(&up);
        let larder = larder().of(&up).sumdb(&log.verifier()).start();
        larder.get(&log.url("/supported")).expect(200);
        let answer = larder.get(&log.url(&lookup_path(&module)));
        assert_eq!(answer.ok(), log.answer(&module), "{name}");
        let tile = larder.get(&log.url("/tile/8/0/000.p/30"));
        assert_eq!(tile.ok(), log.tile(0, 0, 30), "{name}");
        vouched_for(&larder, &module);
    }
}

#[test]
fn c25_the_relay_below_a_base_path() {
    let world = world();
    let larder = world.larder().set("server.base_path", "/x/y").start();
    let at = |rest: &str| format!("/x/y{}", world.log.url(rest));
    larder.get(&at("/supported")).expect(200);
    assert_eq!(
        larder.get(&at("/latest")).ok(),
        world.log.latest().as_bytes()
    );
    let answer = larder.get(&at("/lookup/example.com/%21first@v1.0.0"));
    assert_eq!(answer.ok(), world.log.answer(&world.first));
}

#[test]
fn c81_what_is_private_or_excluded_is_not_looked_up_for_clients_either() {
    let world = world();
    let larder = world
        .larder()
        .set("modules.private", "git.example.com/*")
        .set("sumdb.exclude", "example.com/ours")
        .start();
    for path in [
        "git.example.com/team/m",
        "example.com/ours",
        "example.com/ours/m",
    ] {
        let text = larder
            .get(&world.log.url(&format!("/lookup/{path}@v1.0.0")))
            .refuses(&[403]);
        assert!(text.contains(path), "{text}");
    }
    world.up.assert_untouched();
    larder.get(&world.lookup(&world.first)).ok();
}
