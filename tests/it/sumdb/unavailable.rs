//! A database that cannot be reached, and one that does not know (design 9).

use super::*;
use crate::support::http::Request;
use crate::support::server::Builder;
use std::time::Duration;

/// Short waits, and a settlement that comes soon.
fn quick(builder: Builder) -> Builder {
    builder
        .no_breaker()
        .set("upstream.attempts", "1")
        .set("sumdb.patience", "1s")
        .set("sumdb.lookup_timeout", "2s")
        .set("sumdb.settle_every", "200ms")
}

/// The module is served, though nobody vouches for it.
#[track_caller]
fn served_unverified(larder: &Larder, module: &Module, what: &str) {
    for (kind, bytes) in [("mod", module.mod_bytes()), ("zip", module.zip_bytes())] {
        let answer = larder.get(&module.url(kind));
        assert_eq!(answer.status, 200, "{what}: {}", answer.describe());
        assert_eq!(answer.ok(), bytes, "{what} {kind}");
        assert_eq!(verified(&answer), "none", "{what}: {}", answer.describe());
        nobody_keeps(&answer);
    }
}

/// No cache in front keeps what may still be revoked.
#[track_caller]
fn nobody_keeps(answer: &Response) {
    let shown = answer.describe();
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{shown}");
}

#[test]
fn what_is_not_verified_is_kept_by_no_cache_in_front() {
    let world = world();
    let larder = quick(world.larder()).start();
    world.up.rule("/sumdb/*", Fault::status(500));
    served_unverified(&larder, &world.first, "500");
    let tags = ["mod", "zip"].map(|kind| {
        let answer = larder.get_hit(&world.first.url(kind));
        answer.header("etag").expect("an ETag").to_owned()
    });
    let ways = || {
        let mut answers = Vec::new();
        for (kind, tag) in ["mod", "zip"].into_iter().zip(&tags) {
            let path = world.first.url(kind);
            answers.push(larder.get(&path));
            answers.push(larder.get(&path));
            answers.push(larder.head(&path));
            answers.push(larder.get_kept(&path));
            answers.push(larder.get(&format!("/cached-only{path}")));
            answers.push(larder.get_with(&path, "Range", "bytes=0-3"));
            answers.push(larder.get_with(&path, "If-None-Match", tag));
            answers.push(larder.get_with(&path, "X-Nothing", "1"));
        }
        answers
    };
    for answer in ways() {
        assert!([200, 206, 304].contains(&answer.status));
        assert_eq!(verified(&answer), "none", "{}", answer.describe());
        nobody_keeps(&answer);
    }
    // Nothing about these is to be verified.
    for path in [
        world.first.url("info"),
        world.first.list_url(),
        world.first.latest_url(),
    ] {
        for _ in 0..3 {
            let answer = larder.get(&path);
            answer.ok();
            assert_eq!(answer.header("larder-verified"), None, "{path}");
            assert_ne!(answer.header("cache-control"), Some("no-store"), "{path}");
        }
    }
    world.up.clear_rules();
    settled(&larder, &world.first);
    for answer in ways() {
        let cached = answer.header("cache-control").unwrap();
        assert!(cached.contains("immutable"), "{}", answer.describe());
    }
}

#[test]
fn a_zip_on_its_way_is_kept_by_no_cache_unless_the_database_knows_it() {
    for known in [true, false] {
        let world = world();
        let large =
            Module::new("example.com/large", "v1.0.0").file("data", zip::noise(2_000_000, 3));
        world.log.add(&large);
        world.up.add(&large);
        let larder = quick(world.larder()).start();
        if known {
            larder.get(&large.url("mod")).ok();
        } else {
            world.up.rule("/sumdb/*", Fault::status(500));
        }
        let gate = Gate::new();
        world
            .up
            .rule_n("*.zip", 1, Fault::gate_at(1_000_000, &gate));
        let (head, mut conn) = Request::get(&large.url("zip")).open(larder.addr());
        // The answer may begin before the database has said anything.
        let says = verified(&head);
        assert!(says == "none" || (known && says == "sumdb"), "{says}");
        let cached = head.header("cache-control").unwrap();
        assert_eq!(cached.contains("immutable"), says == "sumdb", "{cached}");
        assert_eq!(cached == "no-store", says == "none", "{cached}");
        gate.open();
        let whole = large.zip_bytes();
        assert_eq!(conn.compare(&whole), whole.len());
    }
}

/// What was served unverified comes to be vouched for.
#[track_caller]
fn settled(larder: &Larder, module: &Module) {
    for kind in ["mod", "zip"] {
        until(&format!("{} {kind} to be settled", module.path), || {
            let answer = larder.get(&module.url(kind));
            answer.ok();
            (verified(&answer) == "sumdb").then_some(())
        });
    }
}

#[test]
fn c48_while_the_database_fails_modules_are_served_and_settled_later() {
    for (what, fault) in [
        ("500", Fault::status(500)),
        ("503", Fault::status(503)),
        ("no answer", Fault::hang()),
        ("closed", Fault::close()),
        ("silence", Fault::stall(10)),
    ] {
        let world = world();
        let larder = quick(world.larder()).impatient().start();
        world.up.rule("/sumdb/*", fault);
        served_unverified(&larder, &world.first, what);
        assert_eq!(alarm(&larder, &world.log), None, "{what} is no alarm");
        world.up.clear_rules();
        settled(&larder, &world.first);
        vouched_for(&larder, &world.last);
        assert_eq!(world.up.count(&world.first.url("zip")), 1, "{what}");
        assert_eq!(world.up.count(&world.first.url("mod")), 1, "{what}");
    }
}

#[test]
fn a_database_that_fails_in_parts_is_one_that_fails() {
    for pattern in ["*/supported", "*/lookup/*", "*/tile/*", "*/tile/8/1/*"] {
        let world = world();
        let larder = quick(world.larder()).start();
        world.up.rule(pattern, Fault::status(500));
        served_unverified(&larder, &world.first, pattern);
        world.up.clear_rules();
        settled(&larder, &world.first);
    }
}

#[test]
fn an_address_where_nobody_listens() {
    let world = world();
    let mut database = FakeUpstream::start();
    world.log.install_at(&database, "");
    database.stop();
    let address = world.log.with_url(&database.url());
    let larder = quick(larder().of(&world.up)).sumdb(&address).start();
    served_unverified(&larder, &world.first, "refused");
    database.restart();
    settled(&larder, &world.first);
}

#[test]
fn an_address_that_swallows() {
    let world = world();
    let hole = BlackHole::new();
    let address = world.log.with_url(&hole.url());
    let larder = quick(larder().of(&world.up)).sumdb(&address).start();
    served_unverified(&larder, &world.first, "swallowed");
}

#[test]
fn what_was_served_unverified_is_settled_after_a_restart() {
    let world = world();
    let mut larder = quick(world.larder()).start();
    world.up.rule("/sumdb/*", Fault::status(500));
    served_unverified(&larder, &world.first, "500");
    larder.get_hit(&world.first.url("mod"));
    larder.get_hit(&world.first.url("zip"));
    larder.stop();
    larder.restart();
    served_unverified(&larder, &world.first, "500, restarted");
    larder.stop();
    world.up.clear_rules();
    larder.restart();
    settled(&larder, &world.first);
    assert_eq!(world.up.count("*.zip"), 1);
}

#[test]
fn what_turns_out_wrong_is_taken_back() {
    let world = world();
    let honest = Module::new("example.com/m", "v1.0.0");
    let evil = honest
        .clone()
        .gomod_more("\n// evil\n")
        .file("evil.go", "package evil\n");
    world.log.add(&honest);
    world.up.add(&evil);
    let larder = quick(world.larder()).start();
    world.up.rule("/sumdb/*", Fault::status(500));
    served_unverified(&larder, &evil, "500");
    larder.get_hit(&evil.url("mod"));
    larder.get_hit(&evil.url("zip"));
    world.up.clear_rules();
    for kind in ["mod", "zip"] {
        let path = evil.url(kind);
        let text = until(&format!("{kind} to be refused"), || {
            let answer = larder.get(&path);
            (answer.status != 200).then(|| answer.refuses(&[502]))
        });
        assert!(text.contains("SECURITY ERROR"), "{text}");
        // The record goes first, then the file.
        until("the file to be gone", || {
            (!larder.blob(&path).exists()).then_some(())
        });
        // Upstream is asked every time from here on.
        let asked = world.up.count(&path);
        larder.get(&path).refuses(&[502]);
        assert_eq!(world.up.count(&path), asked + 1);
    }
    nothing_kept(&larder, &evil);
    larder.wait_stderr("SECURITY ERROR");
    world.up.add(&honest);
    vouched_for(&larder, &honest);
}

#[test]
fn hits_stay_hits_while_the_database_is_gone() {
    let world = world();
    let larder = quick(world.larder()).start();
    vouched_for(&larder, &world.first);
    world.up.rule("/sumdb/*", Fault::status(500));
    vouched_for(&larder, &world.first);
}

#[test]
fn c52_list_and_info_work_while_the_database_is_gone() {
    let world = world();
    world.up.rule("/sumdb/*", Fault::hang());
    for policy in ["serve-unverified", "refuse"] {
        let builder = world.larder().set("sumdb.on_unavailable", policy);
        let larder = builder.start();
        for path in [
            world.first.list_url(),
            world.first.url("info"),
            world.first.latest_url(),
        ] {
            let answer = larder.get(&path);
            answer.ok();
            assert!(
                answer.elapsed < Duration::from_secs(5),
                "{:?}",
                answer.elapsed
            );
        }
    }
}

#[test]
fn a_hanging_database_delays_nobody_but_who_waits_for_it() {
    let _heavy = heavy();
    let world = world();
    let larder = world.larder().start();
    vouched_for(&larder, &world.first);
    larder.get_hit(&world.first.url("zip"));
    let gate = world.up.gated("/sumdb/*");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| larder.get(&world.second.url("mod")));
        let relayed = scope.spawn(|| larder.get(&world.lookup(&world.last)));
        gate.wait_arrived(2);
        for path in [
            world.first.url("mod"),
            world.first.url("zip"),
            world.second.url("info"),
            world.second.list_url(),
            world.last.latest_url(),
            world.lookup(&world.first),
            world.log.url("/supported"),
            world.log.url("/tile/8/0/000"),
            "/healthz".to_owned(),
            "/readyz".to_owned(),
            "/metrics".to_owned(),
        ] {
            let answer = larder.get(&path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.describe());
            let limit = Duration::from_secs(2);
            assert!(answer.elapsed < limit, "{path}: {:?}", answer.elapsed);
        }
        assert!(!waiting.is_finished() && !relayed.is_finished());
        gate.open();
        let answer = waiting.join().unwrap();
        answer.ok();
        assert_eq!(verified(&answer), "sumdb");
        relayed.join().unwrap().ok();
    });
}

#[test]
fn patience_has_an_end() {
    let world = world();
    let larder = world
        .larder()
        .set("sumdb.patience", "1s")
        .set("sumdb.settle_every", "200ms")
        .start();
    let gate = world.up.gated("*/lookup/*");
    let answer = larder.get(&world.first.url("mod"));
    answer.ok();
    assert_eq!(verified(&answer), "none");
    assert!(
        answer.elapsed >= Duration::from_secs(1),
        "{:?}",
        answer.elapsed
    );
    assert!(
        answer.elapsed < Duration::from_secs(10),
        "{:?}",
        answer.elapsed
    );
    // The look-up goes on, and what it brings is not lost.
    gate.open();
    until("the go.mod to be settled", || {
        let answer = larder.get(&world.first.url("mod"));
        (verified(&answer) == "sumdb").then_some(())
    });
    assert_eq!(world.lookups(&world.first), 1);
}

#[test]
fn strict_servers_refuse_what_cannot_be_verified() {
    for (what, fault) in [
        ("500", Fault::status(500)),
        ("no answer", Fault::hang()),
        ("closed", Fault::close()),
    ] {
        let world = world();
        let larder = quick(world.larder())
            .set("sumdb.on_unavailable", "refuse")
            .set("sumdb.lookup_timeout", "500ms")
            .start();
        world.up.rule("/sumdb/*", fault);
        for kind in ["mod", "zip"] {
            let answer = larder.get(&world.first.url(kind));
            assert!(
                TROUBLE.contains(&answer.status),
                "{what}: {}",
                answer.describe()
            );
            let text = answer.refuses(TROUBLE);
            assert!(text.contains(&world.log.name()), "{what}: {text}");
        }
        nothing_kept(&larder, &world.first);
        world.up.clear_rules();
        // A look-up that hangs is given up when its time is over.
        until("the database to be asked anew", || {
            larder.get(&world.first.url("mod")).is_ok().then_some(())
        });
        vouched_for(&larder, &world.first);
    }
}

#[test]
fn strict_servers_go_on_with_what_is_kept() {
    let mut world = world();
    let mut larder = quick(world.larder())
        .set("sumdb.on_unavailable", "refuse")
        .start();
    vouched_for(&larder, &world.first);
    world.up.stop();
    vouched_for(&larder, &world.first);
    larder.stop();
    larder.restart();
    vouched_for(&larder, &world.first);
}

#[test]
fn a_large_zip_is_refused_by_strict_servers_too() {
    let world = world();
    let module = Module::new("example.com/large", "v1.0.0").file("data", zip::noise(3 << 20, 4));
    world.log.add(&module);
    world.up.add(&module);
    let larder = quick(world.larder())
        .set("sumdb.on_unavailable", "refuse")
        .start();
    world.up.rule("/sumdb/*", Fault::status(500));
    // Refused, or begun while the look-up was still tried, and then cut off.
    if let Ok(answer) = Request::get(&module.url("zip")).try_send(larder.addr()) {
        assert!(!answer.is_ok(), "{}", answer.status);
        if answer.status != 200 {
            answer.refuses(TROUBLE);
        }
    }
    larder.get_kept(&module.url("zip")).refuses(&[404]);
    world.up.clear_rules();
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    assert_eq!(verified(&larder.get_hit(&module.url("zip"))), "sumdb");
}

/// A module of which the database has never heard.
fn unknown(world: &World) -> Module {
    let module = Module::new("example.com/team/unknown", "v1.0.0");
    world.up.add(&module);
    module
}

#[test]
fn what_the_database_does_not_know_is_refused_with_the_way_out() {
    for status in [404, 410] {
        let world = world();
        let module = unknown(&world);
        world
            .up
            .rule("*/lookup/example.com/team/*", Fault::status(status));
        let larder = world.larder().start();
        let text = refused(&larder, &module);
        for word in ["example.com/team/unknown", "sumdb.exclude", "--private"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("SECURITY ERROR"), "{text}");
        assert_eq!(alarm(&larder, &world.log), None);
    }
}

#[test]
fn what_the_database_does_not_know_can_be_held_to_what_came_first() {
    let world = world();
    let module = unknown(&world);
    let larder = world.larder().set("sumdb.on_unknown", "first-seen").start();
    for (kind, bytes) in [("mod", module.mod_bytes()), ("zip", module.zip_bytes())] {
        let miss = larder.get(&module.url(kind));
        assert_eq!(miss.ok(), bytes);
        assert_eq!(verified(&miss), "first-seen", "{}", miss.describe());
        assert_eq!(verified(&larder.get_hit(&module.url(kind))), "first-seen");
    }
    vouched_for(&larder, &world.first);
}

#[test]
fn settling_does_not_serve_what_the_database_does_not_know() {
    let world = world();
    let module = unknown(&world);
    let larder = quick(world.larder()).start();
    world.up.rule("/sumdb/*", Fault::status(500));
    served_unverified(&larder, &module, "500");
    larder.get_hit(&module.url("zip"));
    world.up.clear_rules();
    let text = until("the zip to be refused", || {
        let answer = larder.get(&module.url("zip"));
        (answer.status != 200).then(|| answer.refuses(&[502]))
    });
    assert!(text.contains("sumdb.exclude"), "{text}");
}

#[test]
fn one_version_that_can_never_be_asked_about_does_not_keep_the_others_open() {
    let mut world = world();
    let stuck: Vec<Module> = (0..20)
        .map(|n| world.publish(&format!("a-stuck{n:02}")))
        .collect();
    let fine: Vec<Module> = (0..6).map(|n| world.publish(&format!("z{n}"))).collect();
    let mut larder = quick(world.larder()).start();
    world.up.rule("/sumdb/*", Fault::status(500));
    for module in stuck.iter().chain(&fine) {
        larder.get(&module.url("mod")).ok();
    }
    world.up.clear_rules();
    world
        .up
        .rule("*/lookup/example.com/a-stuck*", Fault::status(500));
    for module in &fine {
        until("the others to be settled", || {
            let answer = larder.get(&module.url("mod"));
            (verified(&answer) == "sumdb").then_some(())
        });
    }
    let stays = larder.get_hit(&stuck[7].url("mod"));
    assert_eq!(verified(&stays), "none");
    // Counted after a restart, too.
    larder.stop();
    world.up.stop();
    larder.restart();
    until("what is open to be counted", || {
        larder
            .metrics()
            .contains("larder_unsettled_files 20")
            .then_some(())
    });
}

#[test]
fn a_strict_server_does_not_serve_what_a_lax_one_kept_unverified() {
    let world = world();
    let mut larder = quick(world.larder()).start();
    world.up.rule("/sumdb/*", Fault::status(500));
    served_unverified(&larder, &world.first, "down");
    larder.stop();
    larder.restart_with(|builder| builder.set("sumdb.on_unavailable", "refuse"));
    larder.get(&world.first.url("mod")).refuses(TROUBLE);
    larder.get(&world.first.url("zip")).refuses(TROUBLE);
    world.up.clear_rules();
    until("the database to be asked anew", || {
        larder.get(&world.first.url("zip")).is_ok().then_some(())
    });
    vouched_for(&larder, &world.first);
}

#[test]
fn what_was_kept_without_a_database_is_looked_through_when_there_is_one() {
    let world = world();
    let forged = world.second.clone().file("more.go", "package more\n");
    world.up.add(&forged);
    let mut larder = quick(larder().of(&world.up)).start();
    for module in [&world.first, &forged] {
        let answer = larder.get(&module.url("zip"));
        assert_eq!(answer.ok(), module.zip_bytes());
        assert_eq!(verified(&answer), "first-seen");
    }
    larder.stop();
    larder.restart_with(|builder| builder.sumdb(&world.log.verifier()));
    until("the honest one to be vouched for", || {
        let answer = larder.get(&world.first.url("zip"));
        (verified(&answer) == "sumdb").then_some(())
    });
    until("the forged one to be taken back", || {
        let answer = larder.get(&world.second.url("zip"));
        (answer.status == 502).then(|| answer.refuses(&[502]))
    });
    world.up.add(&world.second);
    vouched_for(&larder, &world.second);
    // It is not held to what came first any more.
    let held = larder.run(&["first-seen", "list"]).expect(0).stdout;
    assert!(!held.contains("example.com/First v1.0.0 "), "{held}");
}

#[test]
fn where_no_database_can_be_reached_a_build_waits_once_and_not_at_each_step() {
    let world = world();
    let modules: Vec<Module> = (0..12).map(|n| world.publish(&format!("m{n}"))).collect();
    let hole = BlackHole::new();
    let larder = larder()
        .of(&world.up)
        .sumdb(&world.log.with_url(&hole.url()))
        .set("upstream.connect_timeout", "1s")
        .set("sumdb.patience", "3s")
        .start();
    let started = std::time::Instant::now();
    for module in &modules {
        let answer = larder.get(&module.url("mod"));
        assert_eq!(answer.ok(), module.mod_bytes());
        assert_eq!(verified(&answer), "none");
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
}
