//! What is fetched before anybody asks for it: what starts it, what it yields to, and what it must never do.

use crate::support::*;

mod answers;

/// A module from before pruned graphs: whoever wants it wants all that it requires.
fn old(path: &str) -> Module {
    Module::new(path, "v1.0.0").gomod(&format!("module {path}\n\ngo 1.16\n"))
}

/// `a` requires `b`, `b` requires `c`, all of them old; `x`, `y` and `z` require nothing.
fn world() -> Vec<Module> {
    vec![
        old("example.com/a").requires("example.com/b", "v1.0.0"),
        old("example.com/b").requires("example.com/c", "v1.0.0"),
        old("example.com/c"),
        old("example.com/x"),
        old("example.com/y"),
        old("example.com/z"),
    ]
}

fn url(name: &str, kind: &str) -> String {
    format!("/example.com/{name}/@v/v1.0.0.{kind}")
}

/// How many prefetches of a kind have come to this, by `/metrics`.
fn prefetches(larder: &Larder, kind: &str, outcome: &str) -> u64 {
    let name = format!("larder_prefetches_total{{kind=\"{kind}\",outcome=\"{outcome}\"}} ");
    let metrics = larder.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

fn all_prefetches(larder: &Larder) -> u64 {
    let kinds = ["info", "mod", "zip"].into_iter();
    kinds.map(|kind| prefetches(larder, kind, "made")).sum()
}

#[test]
fn a_lone_module_costs_one_request_for_each_file() {
    let up = FakeUpstream::serving(&world());
    let larder = larder().of(&up).start();
    for (n, kind) in ["info", "mod", "zip"].into_iter().enumerate() {
        larder.get(&url("a", kind)).ok();
        assert_eq!(up.total(), n + 1, "{:?}", up.paths());
    }
    assert_eq!(all_prefetches(&larder), 0);
}

#[test]
fn a_graph_is_fetched_ahead_of_who_walks_it() {
    let up = FakeUpstream::serving(&world());
    let larder = larder().of(&up).start();
    larder.get(&url("a", "mod")).ok();
    larder.get(&url("x", "mod")).ok();
    up.wait_count("*/b/@v/*.mod", 1);
    up.wait_count("*/c/@v/*.mod", 1);
    until("they are there", || {
        (larder.metrics().contains("larder_store_files 4")).then_some(())
    });
    assert_eq!(up.total(), 4, "two modules only: {:?}", up.paths());
    for name in ["b", "c"] {
        larder.get_hit(&url(name, "mod"));
    }
    assert_eq!(prefetches(&larder, "mod", "made"), 2);
    assert_eq!(prefetches(&larder, "mod", "used"), 2);
    assert_eq!(up.count("*.mod"), 4, "{:?}", up.paths());
}

#[test]
fn zips_come_once_three_modules_were_missed_in_the_order_of_paths() {
    let up = FakeUpstream::serving(&world());
    // One at a time, so that their order can be told.
    let larder = larder().of(&up).set("prefetch.requests", "1").start();
    for name in ["x", "y", "z"] {
        assert_eq!(up.count("*.zip"), 0);
        larder.get(&url(name, "mod")).ok();
    }
    up.wait_count("*.zip", 3);
    let zips = up.paths().into_iter().filter(|path| path.ends_with(".zip"));
    let expected = ["x", "y", "z"].map(|name| format!("GET {}", url(name, "zip")));
    assert_eq!(zips.collect::<Vec<_>>(), expected);
    until("they are there", || {
        (larder.metrics().contains("larder_store_files 6")).then_some(())
    });
    for name in ["x", "y", "z"] {
        larder.get_hit(&url(name, "zip"));
    }
    assert_eq!(prefetches(&larder, "zip", "used"), 3);
    assert_eq!(up.count("*.zip"), 3);
}

#[test]
fn one_info_brings_those_of_the_others() {
    let up = FakeUpstream::serving(&world());
    let larder = larder().of(&up).start();
    for name in ["x", "y", "z"] {
        larder.get(&url(name, "mod")).ok();
    }
    assert_eq!(up.count("*.info"), 0);
    larder.get(&url("x", "info")).ok();
    up.wait_count("*.info", 3);
}

#[test]
fn other_clients_are_other_walks() {
    let up = FakeUpstream::serving(&world());
    let larder = larder().of(&up).start();
    for (name, client) in [("a", "10.0.0.1"), ("x", "10.0.0.2"), ("y", "10.0.0.3")] {
        let request = Request::get(&url(name, "mod")).header("X-Forwarded-For", client);
        request.send(larder.addr()).ok();
    }
    assert_eq!(all_prefetches(&larder), 0);
    assert_eq!(up.total(), 3);
}

#[test]
fn who_wants_nothing_fetched_starts_nothing() {
    let up = FakeUpstream::serving(&world());
    let larder = larder().of(&up).start();
    for name in ["x", "y", "z", "a"] {
        larder
            .get_with(&url(name, "mod"), "Cache-Control", "no-cache")
            .ok();
        larder
            .get_with(&url(name, "zip"), "Disable-Module-Fetch", "true")
            .expect(404);
        larder
            .get(&format!("/cached-only{}", url(name, "info")))
            .expect(404);
    }
    assert_eq!(up.total(), 4, "{:?}", up.paths());
    assert_eq!(all_prefetches(&larder), 0);
}

#[test]
fn hits_start_nothing() {
    let up = FakeUpstream::serving(&world());
    let mut larder = larder().of(&up).start();
    // The go.mod files only, one by one: their requirements and zips are not kept.
    for name in ["a", "x", "y", "z"] {
        let client = format!("client {name}");
        let request = Request::get(&url(name, "mod")).header("X-Forwarded-For", &client);
        request.send(larder.addr()).ok();
    }
    until("they are kept", || {
        (larder.metrics().contains("larder_store_files 4")).then_some(())
    });
    assert_eq!(larder.stop(), 0);
    larder.restart();
    up.forget();
    for _ in 0..3 {
        for name in ["a", "x", "y", "z"] {
            larder.get_hit(&url(name, "mod"));
        }
    }
    assert_eq!(all_prefetches(&larder), 0);
    up.assert_untouched();
}

#[test]
fn kept_files_are_walked_through() {
    let up = FakeUpstream::serving(&world());
    let mut larder = larder().of(&up).start();
    larder.get(&url("b", "mod")).ok();
    assert_eq!(larder.stop(), 0);
    larder.restart();
    larder.get(&url("a", "mod")).ok();
    larder.get(&url("x", "mod")).ok();
    // Through b, which is kept.
    up.wait_count("*/c/@v/*.mod", 1);
    assert_eq!(up.count("*/b/@v/*.mod"), 1);
}

#[test]
fn what_is_waited_for_overtakes_what_is_prefetched() {
    let modules: Vec<_> = (10..40)
        .map(|n| old(&format!("example.com/m{n}")))
        .collect();
    let up = FakeUpstream::serving(&modules);
    let other = Module::new("example.com/other", "v1.0.0");
    up.add(&other);
    let gate = up.gated("*/m*.zip");
    // Four places: two of them may be taken by prefetches.
    let larder = larder()
        .of(&up)
        .set("upstream.concurrency", "4")
        .set("prefetch.requests", "64")
        .start();
    for module in &modules[..6] {
        larder.get(&module.url("mod")).ok();
    }
    gate.wait_arrived(2);
    // More prefetches wait, and these go before them.
    larder.get(&other.url("mod")).ok();
    larder.get(&other.url("zip")).ok();
    assert_eq!(gate.arrived(), 2);
    gate.open();
}

#[test]
fn a_prefetch_that_somebody_comes_to_wait_for_goes_on_at_once() {
    let modules: Vec<_> = (10..16)
        .map(|n| old(&format!("example.com/m{n}")))
        .collect();
    let up = FakeUpstream::serving(&modules);
    let slow = up.gated("*/m10/*.zip");
    let slow_too = up.gated("*/m11/*.zip");
    let larder = larder()
        .of(&up)
        .set("upstream.concurrency", "4")
        .set("prefetch.requests", "64")
        .start();
    for module in &modules {
        larder.get(&module.url("mod")).ok();
    }
    slow.wait_arrived(1);
    slow_too.wait_arrived(1);
    // Prefetched, and waiting for a place among prefetches: now it gets one of the others.
    assert_eq!(
        larder.get(&modules[5].url("zip")).ok(),
        modules[5].zip_bytes()
    );
    for gate in [slow, slow_too] {
        gate.open();
    }
    for module in &modules {
        assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
        assert_eq!(up.count(&format!("*/{}/*.zip", &module.path[12..])), 1);
    }
}

#[test]
fn a_prefetch_under_way_is_shared() {
    let up = FakeUpstream::serving(&world());
    let gate = up.gated("*/b/@v/*.mod");
    let larder = larder().of(&up).start();
    larder.get(&url("a", "mod")).ok();
    larder.get(&url("x", "mod")).ok();
    gate.wait_arrived(1);
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| larder.get(&url("b", "mod")));
        until("the client waits for it", || {
            (prefetches(&larder, "mod", "used") == 1).then_some(())
        });
        gate.open();
        answer.join().unwrap()
    });
    answer.ok();
    assert_eq!(up.count("*/b/@v/*.mod"), 1);
}

#[test]
fn prefetches_that_fail_say_nothing() {
    for fault in [
        Fault::status(404),
        Fault::status(500),
        Fault::close(),
        Fault::html(),
    ] {
        let up = FakeUpstream::serving(&world());
        up.rule_n("*/b/@v/*.mod", 1, fault);
        let larder = larder().of(&up).set("upstream.attempts", "1").start();
        larder.get(&url("a", "mod")).ok();
        larder.get(&url("x", "mod")).ok();
        until("the prefetch has failed", || {
            (prefetches(&larder, "mod", "failed") == 1).then_some(())
        });
        larder.get(&url("b", "mod")).ok();
        assert_eq!(up.count("*/b/@v/*.mod"), 2);
    }
}

#[test]
fn prefetches_that_fail_are_not_held_against_the_upstream() {
    let children: Vec<_> = (0..20).map(|n| old(&format!("example.com/n{n}"))).collect();
    let parent = children.iter().fold(old("example.com/a"), |parent, child| {
        parent.requires(&child.path, "v1.0.0")
    });
    let up = FakeUpstream::serving(&children);
    up.add(&parent);
    up.add(&old("example.com/x"));
    for child in &children {
        up.rule_n(&child.url("mod"), 1, Fault::status(502));
    }
    let larder = larder().of(&up).set("upstream.attempts", "1").start();
    larder.get(&url("a", "mod")).ok();
    larder.get(&url("x", "mod")).ok();
    until("all prefetches have failed", || {
        (prefetches(&larder, "mod", "failed") == 20).then_some(())
    });
    for child in &children {
        assert_eq!(larder.get(&child.url("mod")).ok(), child.mod_bytes());
    }
}

#[test]
fn a_prefetch_that_could_not_be_verified_in_time_is_verified_for_who_asks() {
    let modules = world();
    let log = sumdb::Log::of(&modules);
    log.fill(600, "other");
    let up = FakeUpstream::serving(&modules);
    log.install(&up);
    let larder = larder().of(&up).sumdb(&log.verifier()).start();
    larder.get(&url("z", "mod")).ok();
    let slow = up.gated("*/lookup/example.com/b@*");
    larder.get(&url("a", "mod")).ok();
    larder.get(&url("x", "mod")).ok();
    slow.wait_arrived(1);
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| larder.get(&url("b", "mod")));
        until("the client waits for it", || {
            (prefetches(&larder, "mod", "used") == 1).then_some(())
        });
        slow.open();
        answer.join().unwrap()
    });
    answer.ok();
    assert_eq!(answer.header("larder-verified"), Some("sumdb"));
}

#[test]
fn a_prefetch_that_hangs_does_not_hold_up_who_comes_to_wait_for_it() {
    let up = FakeUpstream::serving(&world());
    up.rule_n("*/b/@v/*.mod", 1, Fault::hang());
    up.rule_n("*/x/@v/*.zip", 1, Fault::hang());
    let larder = larder()
        .of(&up)
        .set("upstream.first_byte_timeout", "1s")
        .start();
    for name in ["a", "x", "y"] {
        larder.get(&url(name, "mod")).ok();
    }
    up.wait_count("*/b/@v/*.mod", 1);
    up.wait_count("*/x/@v/*.zip", 1);
    larder.get(&url("b", "mod")).ok();
    larder.get(&url("x", "zip")).ok();
    assert!(larder.metrics().contains("larder_upstream_breaker_state"));
    // Neither counts as an outage.
    larder.get(&url("z", "mod")).ok();
}

#[test]
fn an_upstream_that_is_asked_too_much_is_asked_for_nothing_more() {
    let up = FakeUpstream::serving(&world());
    up.rule_n("*/y/@v/*.info", 1, Fault::status(429));
    let larder = larder().of(&up).start();
    larder.get(&url("y", "info")).ok();
    up.forget();
    for name in ["a", "x", "z"] {
        larder.get(&url(name, "mod")).ok();
    }
    assert_eq!(up.total(), 3, "{:?}", up.paths());
    assert_eq!(all_prefetches(&larder), 0);
}

#[test]
fn a_full_disk_and_the_setting_stop_it() {
    for (key, value) in [("store.reserve", "1000TB"), ("prefetch.enabled", "false")] {
        let up = FakeUpstream::serving(&world());
        let larder = larder().of(&up).set(key, value).start();
        for name in ["a", "x", "z"] {
            larder.get(&url(name, "mod")).ok();
        }
        assert_eq!(up.total(), 3, "{key}: {:?}", up.paths());
    }
}

#[test]
fn no_zips_beyond_the_bytes_allowed() {
    let mut modules = world();
    for module in &mut modules[3..] {
        *module = module.clone().file("large.txt", vec![b'x'; 100_000]);
    }
    let up = FakeUpstream::serving(&modules);
    let larder = larder().of(&up).set("prefetch.bytes", "0").start();
    for name in ["x", "y", "z"] {
        larder.get(&url(name, "mod")).ok();
    }
    larder.get(&url("x", "info")).ok();
    up.wait_count("*.info", 3);
    assert_eq!(up.count("*.zip"), 0);
    assert_eq!(larder.get(&url("x", "zip")).ok(), modules[3].zip_bytes());
}

#[test]
fn private_modules_are_prefetched_only_if_that_is_allowed() {
    for allowed in [false, true] {
        let modules = [
            old("corp.example.com/a").requires("corp.example.com/b", "v1.0.0"),
            old("corp.example.com/b"),
            old("corp.example.com/x"),
        ];
        let up = FakeUpstream::serving(&modules);
        let route = format!(
            "[[routes]]\nmatch = \"corp.example.com\"\nvia = \"{}\"\nprivate = true\n",
            up.url()
        );
        let larder = larder()
            .upstream("off")
            .config(&route)
            .set("prefetch.include_private", &allowed.to_string())
            .start();
        larder.get(&modules[0].url("mod")).ok();
        larder.get(&modules[2].url("mod")).ok();
        if allowed {
            up.wait_count("*/b/@v/*.mod", 1);
        } else {
            assert_eq!(all_prefetches(&larder), 0);
            assert_eq!(up.total(), 2);
        }
    }
}

#[test]
fn what_is_prefetched_is_verified_like_everything() {
    let modules = world();
    let log = sumdb::Log::of(&modules);
    let up = FakeUpstream::serving(&modules);
    log.install(&up);
    // What the database has recorded of y is not what the upstream serves.
    let forged = old("example.com/y").file("evil.go", "package y\n");
    up.add(&forged);
    let larder = larder().of(&up).sumdb(&log.verifier()).start();
    larder.get(&url("a", "mod")).ok();
    larder.get(&url("x", "mod")).ok();
    // Its look-up comes with it.
    up.wait_count("*/lookup/example.com/c@v1.0.0", 1);
    larder.get(&url("y", "mod")).ok();
    until("the forged zip was refused", || {
        (prefetches(&larder, "zip", "failed") == 1).then_some(())
    });
    let text = larder.get(&url("y", "zip")).refuses(&[502]);
    assert!(text.contains("SECURITY ERROR"), "{text}");
    until("the others are there", || {
        (prefetches(&larder, "zip", "made") == 3).then_some(())
    });
    assert_eq!(larder.get(&url("x", "zip")).ok(), modules[3].zip_bytes());
}

/// A larger graph: 40 modules, each of which requires the next ones; the first ten are old.
fn graph() -> Vec<Module> {
    let name = |n: usize| format!("example.com/g/m{n:02}");
    let modules = (0..40).map(|n| {
        let module = match n < 10 {
            true => old(&name(n)),
            false => Module::new(&name(n), "v1.0.0"),
        };
        (n + 1..40.min(n + 4)).fold(module, |module, m| module.requires(&name(m), "v1.0.0"))
    });
    modules.collect()
}

#[test]
fn the_go_command_gets_the_same_and_mostly_finds_it_there() {
    let modules = graph();
    let log = sumdb::Log::of(&modules);
    let up = FakeUpstream::serving(&modules);
    log.install(&up);
    up.latency(std::time::Duration::from_millis(20));
    let larder = larder().of(&up).sumdb(&log.verifier()).start();
    let download = |proxy: &str| {
        let go = Go::new(proxy).env("GOSUMDB", &log.verifier());
        go.module(&["example.com/g/m00 v1.0.0", "example.com/g/m20 v1.0.0"]);
        go.ok(&["mod", "download", "all"]);
        go.ok(&["mod", "verify"]);
        go.read("go.sum")
    };
    let straight = download(&up.url());
    let asked = |kind: &str| up.count(&format!("*/@v/*.{kind}"));
    let before = ["info", "mod", "zip"].map(asked);
    up.forget();
    assert_eq!(download(&larder.url()), straight);
    let after = ["info", "mod", "zip"].map(asked);
    for (straight, through) in before.into_iter().zip(after) {
        assert!(through <= 2 * straight, "{before:?} {after:?}");
    }
    assert!(
        prefetches(&larder, "mod", "used") >= 20,
        "{}",
        larder.metrics()
    );
    assert!(
        prefetches(&larder, "zip", "used") >= 20,
        "{}",
        larder.metrics()
    );
    up.forget();
    assert_eq!(download(&larder.url()), straight);
    assert_eq!(up.count("*/@v/*"), 0, "{:?}", up.paths());
}
