//! Files against their records (checklist 58, 81, 88).

use super::*;
use crate::support::sumdb::wrong_h1;

#[test]
fn c58_what_the_record_says_is_served_and_vouched_for() {
    let world = world();
    let larder = world.larder().start();
    for module in [&world.first, &world.second, &world.last] {
        // On the miss, and on every hit.
        vouched_for(&larder, module);
        for kind in ["mod", "zip"] {
            let hit = larder.get_hit(&module.url(kind));
            assert_eq!(verified(&hit), "sumdb", "{}", hit.describe());
            let head = larder.head(&module.url(kind));
            assert_eq!(verified(&head), "sumdb", "{}", head.describe());
        }
        assert_eq!(world.lookups(module), 1, "{}", module.path);
    }
    world.assert_tiles_once();
    assert_eq!(alarm(&larder, &world.log), None);
    let size = state_of(&larder, &world.log.name())["size"].clone();
    assert_eq!(size, SIZE);
}

#[test]
fn the_flag_may_be_a_variable_or_a_key() {
    let world = world();
    let verifier = world.log.verifier();
    let start = || larder().of(&world.up).sumdb_unsaid();
    let text = format!("[sumdb]\ndatabases = [\"{verifier}\"]\n");
    for builder in [
        start().env("LARDER_SUMDB", &verifier),
        start().set("sumdb.databases", &verifier),
        start().config(&text),
    ] {
        vouched_for(&builder.start(), &world.first);
    }
    // Larder in front of a world where the real database cannot be.
    let larder = larder().upstream("off").sumdb_unsaid().start();
    state_of(&larder, "sum.golang.org");
}

#[test]
fn impossible_databases_are_refused_at_the_start() {
    let good = Log::new().verifier();
    let other = good.replacen('+', "+0", 1);
    for database in [
        "sum.example.com",
        "sum.example.com+033de0ae",
        "sum.golang.org+033de0af+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        &other,
        &format!("{good} not-a-url"),
        &format!("{good} http://127.0.0.1:1 more"),
    ] {
        let finished = larder().upstream("off").sumdb(database).serve_to_end();
        assert_eq!(finished.code, Some(2), "{database}: {finished:#?}");
        assert!(finished.stderr.contains("sumdb"), "{}", finished.stderr);
    }
    for database in [
        "sum.golang.org",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "localhost.localdev/sumdb+00000c67+AcTrnkbUA+TU4heY3hkjiSES/DSQniBqIeQ/YppAUtK6",
    ] {
        let larder = larder().upstream("off").sumdb(database).start();
        let name = database.split('+').next().unwrap();
        assert_eq!(state_of(&larder, name)["size"].as_u64().unwrap_or(0), 0);
    }
}

#[test]
fn one_look_up_serves_both_files_for_ever() {
    let world = world();
    let mut larder = world.larder().start();
    larder.get(&world.last.url("mod")).ok();
    assert_eq!(world.lookups(&world.last), 1);
    assert_eq!(larder.stop(), 0);
    larder.restart();
    vouched_for(&larder, &world.last);
    assert_eq!(world.lookups(&world.last), 1);
    world.assert_tiles_once();
}

#[test]
fn a_record_that_is_kept_verifies_while_the_database_is_gone() {
    let world = world();
    let mut larder = world.larder().no_breaker().start();
    larder.get(&world.last.url("mod")).ok();
    larder.get(&world.lookup(&world.first)).ok();
    world.up.rule("/sumdb/*", Fault::status(500));
    vouched_for(&larder, &world.last);
    larder.stop();
    larder.restart();
    // Its record came by way of the relay.
    vouched_for(&larder, &world.first);
}

#[test]
fn c49_many_clients_of_both_files_are_one_look_up() {
    let world = world();
    let larder = world.larder().start();
    let gate = world.up.gated("*/lookup/*");
    let paths = [
        world.first.url("mod"),
        world.first.url("zip"),
        world.lookup(&world.first),
    ];
    std::thread::scope(|scope| {
        let all = paths.iter().cycle().take(60);
        let clients: Vec<_> = all.map(|path| scope.spawn(|| larder.get(path))).collect();
        gate.wait_arrived(1);
        world.up.wait_count(&paths[0], 1);
        world.up.wait_count(&paths[1], 1);
        gate.open();
        for client in clients {
            client.join().unwrap().ok();
        }
    });
    assert_eq!(world.lookups(&world.first), 1);
    for path in &paths {
        assert_eq!(world.up.count(path), 1, "{path}");
    }
    world.assert_tiles_once();
}

#[test]
fn c58_changed_files_are_refused_and_not_kept() {
    let world = world();
    let honest = Module::new("example.com/Changed", "v1.2.3");
    let changed = honest
        .clone()
        .gomod_more("\n// changed\n")
        .file("evil.go", "package evil\n");
    world.log.add(&honest);
    world.up.add(&changed);
    let larder = world.larder().start();
    for (kind, hashes) in [
        ("mod", [honest.mod_h1(), changed.mod_h1()]),
        ("zip", [honest.h1(), changed.h1()]),
    ] {
        let path = honest.url(kind);
        for n in 1..=3 {
            let text = larder.get(&path).refuses(&[502]);
            assert!(text.contains("SECURITY ERROR"), "{text}");
            for hash in &hashes {
                assert!(text.contains(hash.as_str()), "{hash}: {text}");
            }
            assert_eq!(world.up.count(&path), n, "asked again every time");
            assert_eq!(world.lookups(&honest), 1);
        }
    }
    nothing_kept(&larder, &honest);
    until("no temporary file", || {
        larder.files("tmp").is_empty().then_some(())
    });
    assert_eq!(alarm(&larder, &world.log), None, "it is upstream's fault");
    world.up.add(&honest);
    vouched_for(&larder, &honest);
}

#[test]
fn c58_a_zip_with_a_right_gomod_and_a_wrong_rest() {
    let world = world();
    let honest = Module::new("example.com/m", "v1.0.0");
    let changed = honest.clone().file("evil.go", "package evil\n");
    world.log.add(&honest);
    world.up.add(&changed);
    let larder = world.larder().start();
    let gomod = larder.get(&honest.url("mod"));
    gomod.ok();
    assert_eq!(verified(&gomod), "sumdb");
    let text = larder.get(&honest.url("zip")).refuses(&[502]);
    assert!(text.contains("SECURITY ERROR"), "{text}");
    assert!(!larder.blob(&honest.url("zip")).exists());
    // Answered first, published beside that.
    until("the go.mod to be kept", || {
        larder.get_kept(&honest.url("mod")).is_ok().then_some(())
    });
    // HEAD and ranges are no way around.
    larder.head(&honest.url("zip")).expect(502);
    let range = larder.get_with(&honest.url("zip"), "Range", "bytes=0-10");
    range.refuses(&[502]);
}

#[test]
fn c58_wrong_records_are_as_good_as_wrong_files() {
    let world = world();
    let module = Module::new("example.com/m", "v1.0.0");
    world.log.add_wrong(&module);
    world.up.add(&module);
    let larder = world.larder().start();
    let text = refused(&larder, &module);
    assert!(text.contains("SECURITY ERROR"), "{text}");
    assert!(text.contains(&wrong_h1("example.com/m")), "{text}");
    assert!(text.contains(&module.h1()), "{text}");
}

#[test]
fn c58_a_large_zip_that_differs_never_arrives_whole() {
    let world = world();
    let honest = Module::new("example.com/large", "v1.0.0").file("data", zip::noise(3 << 20, 4));
    let changed = honest.clone().file("data", zip::noise(3 << 20, 5));
    world.log.add(&honest);
    world.up.add(&changed);
    let larder = world.larder().no_breaker().start();
    let held_back = changed.zip_bytes().len() - (64 << 10);
    for n in 1..=2 {
        let answer = Request::get(&honest.url("zip")).try_send(larder.addr());
        if let Ok(answer) = answer {
            assert!(!answer.is_ok(), "{}", answer.status);
            assert!([200, 502].contains(&answer.status), "{}", answer.status);
            if answer.status == 200 {
                assert!(answer.body.len() <= held_back, "{}", answer.body.len());
            }
        }
        assert_eq!(world.up.count("*.zip"), n);
    }
    larder.get_kept(&honest.url("zip")).refuses(&[404]);
    assert!(!larder.blob(&honest.url("zip")).exists());
    world.up.add(&honest);
    let healed = larder.get(&honest.url("zip"));
    assert_eq!(healed.ok(), honest.zip_bytes());
    assert_eq!(verified(&larder.get_hit(&honest.url("zip"))), "sumdb");
}

#[test]
fn c58_the_last_part_of_a_large_zip_waits_for_the_look_up() {
    let world = world();
    let module = Module::new("example.com/large", "v1.0.0").file("data", zip::noise(3 << 20, 4));
    world.log.add(&module);
    world.up.add(&module);
    let gate = world.up.gated("*/lookup/*");
    let larder = world.larder().start();
    let bytes = module.zip_bytes();
    let (head, mut conn) = Request::get(&module.url("zip")).open(larder.addr());
    assert_eq!(head.status, 200, "{}", head.describe());
    let early = conn.read_exact(1 << 20);
    assert_eq!(early, bytes[..1 << 20], "its first bytes do not wait");
    gate.wait_arrived(1);
    // Nobody else gets more: not the whole of it, anyway.
    let limit = std::time::Duration::from_millis(700);
    let request = Request::get(&module.url("zip")).deadline(limit);
    if let Ok(early) = request.try_send(larder.addr()) {
        assert!(!early.is_ok(), "whole before it was verified");
        assert!(early.body.len() <= bytes.len() - (64 << 10));
    }
    gate.open();
    let rest = &bytes[1 << 20..];
    assert_eq!(conn.compare(rest), rest.len());
    assert_eq!(verified(&larder.get_hit(&module.url("zip"))), "sumdb");
    assert_eq!(world.up.count("*.zip"), 1);
}

#[test]
fn other_endpoints_ask_no_database() {
    let world = world();
    let larder = world.larder().start();
    larder.get(&world.first.url("info")).ok();
    larder.get(&world.first.list_url()).ok();
    larder.get(&world.first.latest_url()).ok();
    assert_eq!(world.up.count("*/lookup/*"), 0, "{:?}", world.up.paths());
    // Nor does what upstream does not have.
    larder
        .get("/example.com/none/@v/v1.0.0.mod")
        .refuses(&[404]);
    larder
        .get("/example.com/none/@v/v1.0.0.zip")
        .refuses(&[404]);
}

#[test]
fn upper_case_and_plus_signs_are_looked_up_under_their_escaped_names() {
    let world = world();
    let module = Module::new("example.com/Big/Case", "v2.0.0-RC.1+incompatible").no_gomod();
    world.log.add(&module);
    world.up.add(&module);
    let larder = world.larder().start();
    vouched_for(&larder, &module);
    let path = "*/lookup/example.com/!big/!case@v2.0.0-!r!c.1+incompatible";
    assert_eq!(world.up.count(path), 1, "{:?}", world.up.paths());
}

#[test]
fn c81_private_modules_are_nobody_else_s_business() {
    let world = world();
    let private = Module::new("git.example.com/team/secret", "v1.0.0");
    world.log.add(&private);
    world.up.add(&private);
    let larder = world
        .larder()
        .set("modules.private", "git.example.com/*")
        .start();
    for kind in ["mod", "zip", "info"] {
        larder.get(&private.url(kind));
    }
    larder.get(&private.list_url());
    larder.get(&world.lookup(&private)).refuses(&[403]);
    assert_eq!(world.up.count("*secret*"), 0, "{:?}", world.up.paths());
    vouched_for(&larder, &world.first);
}

#[test]
fn excluded_modules_are_served_without_being_looked_up() {
    let world = world();
    let ours = Module::new("example.com/ours/a", "v1.0.0");
    world.log.add_wrong(&ours);
    world.up.add(&ours);
    let larder = world
        .larder()
        .set("sumdb.exclude", "other.example,example.com/ours")
        .start();
    for kind in ["mod", "zip"] {
        let answer = larder.get(&ours.url(kind));
        answer.ok();
        assert_eq!(verified(&answer), "first-seen", "{}", answer.describe());
    }
    larder.get(&world.lookup(&ours)).refuses(&[403]);
    assert_eq!(world.lookups(&ours), 0);
    vouched_for(&larder, &world.first);
}

#[test]
fn c88_patterns_do_not_exempt_toolchains() {
    let version = "v0.0.1-go1.999testmod.linux-amd64";
    let module = |text: &str| {
        let prefix = format!("golang.org/toolchain@{version}/");
        let zip = Zip::new().file(format!("{prefix}bin/go"), text.to_owned());
        Module::new("golang.org/toolchain", version)
            .gomod("module golang.org/toolchain\n")
            .zip(zip.build())
    };
    let (honest, forged) = (module("#!/bin/sh\n"), module("#!/bin/evil\n"));
    for (key, pattern) in [
        ("sumdb.exclude", "golang.org/*"),
        ("sumdb.exclude", "golang.org/toolchain"),
        ("modules.private", "golang.org,golang.org/*"),
    ] {
        let world = world();
        world.log.add(&honest);
        world.up.add(&forged);
        let larder = world.larder().set(key, pattern).start();
        let text = larder.get(&honest.url("zip")).refuses(&[502]);
        assert!(text.contains("SECURITY ERROR"), "{text}");
        assert!(!larder.blob(&honest.url("zip")).exists());
        world.up.add(&honest);
        vouched_for(&larder, &honest);
        assert_eq!(
            larder.get(&world.lookup(&honest)).ok(),
            world.log.answer(&honest)
        );
    }
}

#[test]
fn what_a_graph_requires_is_looked_up_ahead_and_what_one_module_requires_is_not() {
    let world = world();
    let required = world.publish("required");
    let secret = world.publish("secret");
    let walked: Vec<Module> = ["one", "two", "three"]
        .iter()
        .map(|name| {
            let module = Module::new(&format!("example.com/{name}"), "v1.0.0")
                .gomod(&format!("module example.com/{name}\n\ngo 1.16\n"))
                .requires("example.com/required", "v1.0.0")
                .requires("example.com/secret", "v1.0.0");
            world.log.add(&module);
            world.up.add(&module);
            module
        })
        .collect();
    let larder = world.larder().set("sumdb.exclude", "*/secret").start();
    larder.get(&walked[0].url("mod")).ok();
    larder.get(&walked[0].url("mod")).ok();
    assert_eq!(world.lookups(&required), 0);
    larder.get(&walked[1].url("mod")).ok();
    larder.get(&walked[2].url("mod")).ok();
    world.up.wait_count(&world.lookup(&required), 1);
    // Once wanted it is neither fetched nor looked up again.
    vouched_for(&larder, &required);
    assert_eq!(world.up.count(&required.url("mod")), 1);
    assert_eq!(world.lookups(&required), 1);
    assert_eq!(world.lookups(&secret), 0);
}
