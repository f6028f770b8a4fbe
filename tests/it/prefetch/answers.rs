//! What is fetched ahead follows from answers: never from a question about something that may not exist, nor for
//! clients that look at what there is, or want the graph only.

use super::{all_prefetches, old, prefetches};
use crate::support::*;

/// Waits until nothing is under way, and tells what was asked for of this kind.
fn asked_in_the_end(larder: &Larder, up: &FakeUpstream, kind: &str) -> usize {
    until("nothing is under way", || {
        larder
            .metrics()
            .contains("\nlarder_flights 0\n")
            .then_some(())
    });
    up.count(&format!("*/@v/*.{kind}"))
}

/// The paths of a package, of which only the second is a module.
const PATHS: [&str; 5] = [
    "example.com/a/tool/cmd/x",
    "example.com/a/tool",
    "example.com/a/tool/cmd",
    "example.com/a",
    "example.com",
];

fn tool() -> Module {
    old(PATHS[1]).file("cmd/x/main.go", "package main\n\nfunc main() {}\n")
}

/// A database that knows these modules and enough others, at an upstream that serves them.
fn world(modules: &[Module]) -> (FakeUpstream, sumdb::Log) {
    let log = sumdb::Log::of(modules);
    log.fill(300, "other");
    let up = FakeUpstream::serving(modules);
    log.install(&up);
    (up, log)
}

#[test]
fn what_does_not_exist_sets_off_nothing() {
    let (up, log) = world(&[tool()]);
    let larder = larder().of(&up).sumdb(&log.verifier()).start();
    let larder = &larder;
    let ask = |kind: &str| {
        std::thread::scope(|scope| {
            for path in PATHS {
                let url = format!("/{path}/@v/v1.0.0.{kind}");
                scope.spawn(move || larder.get(&url));
            }
        });
    };
    for round in 1..=2 {
        ask("info");
        assert_eq!(asked_in_the_end(larder, &up, "info"), 4 * round + 1);
        assert_eq!(up.total(), 4 * round + 1, "{:?}", up.paths());
    }
    // Not even what the client asks for is looked up before it is known to exist.
    for kind in ["mod", "zip"] {
        up.forget();
        ask(kind);
        assert_eq!(asked_in_the_end(larder, &up, kind), 5);
        for path in PATHS {
            let there = usize::from(path == PATHS[1] && kind == "mod");
            assert_eq!(up.count(&format!("*/lookup/{path}@*")), there, "{path}");
        }
    }
    assert_eq!(all_prefetches(larder), 0);
    let log = larder.stderr();
    assert!(!log.contains("does not know this"), "{log}");
}

#[test]
fn paths_of_one_package_that_are_modules_all_are_one() {
    let modules = PATHS[..4]
        .iter()
        .map(|path| old(path).requires("example.org/b", "v1.0.0"));
    let up = FakeUpstream::serving(&modules.collect::<Vec<_>>());
    up.add(&old("example.org/b"));
    let larder = larder().of(&up).start();
    for path in &PATHS[..4] {
        for kind in ["info", "mod"] {
            larder.get(&format!("/{path}/@v/v1.0.0.{kind}")).ok();
        }
    }
    assert_eq!(asked_in_the_end(&larder, &up, "mod"), 4);
    assert_eq!(up.total(), 8, "{:?}", up.paths());
}

#[test]
fn a_look_up_begins_with_the_answer_and_at_once_if_the_version_is_known() {
    for known in [false, true] {
        let module = tool();
        let (up, log) = world(std::slice::from_ref(&module));
        let larder = larder().of(&up).sumdb(&log.verifier()).start();
        if known {
            larder.get(&module.url("info")).ok();
            until("it is kept", || {
                larder
                    .metrics()
                    .contains("larder_store_files 1")
                    .then_some(())
            });
        }
        let gate = up.gated(&module.url("mod"));
        let lookups = format!("*/lookup/{}@v1.0.0", module.path);
        let answer = std::thread::scope(|scope| {
            let answer = scope.spawn(|| larder.get(&module.url("mod")));
            gate.wait_arrived(1);
            match known {
                true => up.wait_count(&lookups, 1),
                false => assert_eq!(up.count(&lookups), 0),
            }
            gate.open();
            answer.join().unwrap()
        });
        assert_eq!(answer.ok(), module.mod_bytes());
        assert_eq!(answer.header("larder-verified"), Some("sumdb"));
        assert_eq!(up.count(&lookups), 1);
    }
}

#[test]
fn what_a_go_mod_requires_does_not_wait_for_its_look_up() {
    let modules = [
        old("example.com/a").requires("example.com/b", "v1.0.0"),
        old("example.com/b"),
        old("example.com/x"),
        old("example.com/y"),
    ];
    let (up, log) = world(&modules);
    let larder = larder().of(&up).sumdb(&log.verifier()).start();
    larder.get(&modules[2].url("mod")).ok();
    larder.get(&modules[3].url("mod")).ok();
    let slow = up.gated("*/lookup/example.com/a@*");
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| larder.get(&modules[0].url("mod")));
        up.wait_count(&modules[1].url("mod"), 1);
        slow.open();
        answer.join().unwrap().ok();
    });
    assert_eq!(asked_in_the_end(&larder, &up, "mod"), 4);
}

#[test]
fn go_install_costs_what_it_costs_straight() {
    let (up, log) = world(&[tool(), Module::new("example.com", "v1.0.0")]);
    let larder = larder().of(&up).sumdb(&log.verifier()).start();
    let install = |proxy: &str| {
        up.forget();
        let go = Go::new(proxy).env("GOSUMDB", &log.verifier());
        go.ok(&["install", &format!("{}@v1.0.0", PATHS[0])]);
        let mut asked = up.paths();
        asked.retain(|path| path.contains("/@v/") || path.contains("/lookup/"));
        asked.sort();
        asked
    };
    let straight = install(&up.url());
    assert_eq!(install(&larder.url()), straight);
    assert_eq!(all_prefetches(&larder), 0);
}

/// Ten modules with so many versions each. All of them require something.
fn shelf(versions: usize) -> Vec<Vec<Module>> {
    let module = |n: usize, version: usize| {
        let path = format!("example.com/shelf/m{n}");
        Module::new(&path, &format!("v1.{version}.0"))
            .gomod(&format!("module {path}\n\ngo 1.16\n"))
            .requires("example.com/c", "v1.0.0")
    };
    let versions = |n| (0..versions).map(|version| module(n, version)).collect();
    (0..10).map(versions).collect()
}

/// Asks for all of them, so many at a time.
fn ask_all(larder: &Larder, at_a_time: usize, urls: &[String]) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while let Some(url) =
                    urls.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
                {
                    larder.get(url).ok();
                }
            });
        }
    });
}

/// All that a robot asks for: after the lists, or the latest versions, a kind of file of every version, one module
/// after the other or all of them side by side.
fn robots(shelf: &[Vec<Module>], kind: &str) -> Vec<Vec<String>> {
    let first = |module: &[Module], latest: bool| match latest {
        true => module[0].latest_url(),
        false => module[0].list_url(),
    };
    let one_by_one = |latest| {
        let of = |module: &Vec<Module>| {
            let urls = module.iter().map(|module| module.url(kind));
            std::iter::once(first(module, latest))
                .chain(urls)
                .collect::<Vec<_>>()
        };
        shelf.iter().flat_map(of).collect()
    };
    let side_by_side = |latest| {
        let mut urls: Vec<_> = shelf.iter().map(|module| first(module, latest)).collect();
        for version in 0..shelf[0].len() {
            urls.extend(shelf.iter().map(|module| module[version].url(kind)));
        }
        urls
    };
    vec![
        one_by_one(false),
        one_by_one(true),
        side_by_side(false),
        side_by_side(true),
    ]
}

#[test]
fn a_robot_that_looks_at_every_version_gets_what_it_asks_for() {
    let shelf = shelf(12);
    let modules: Vec<_> = shelf.iter().flatten().cloned().collect();
    for kind in ["info", "mod"] {
        for urls in robots(&shelf, kind) {
            for at_a_time in [1, 5] {
                let up = FakeUpstream::serving(&modules);
                up.add(&old("example.com/c"));
                let larder = larder().of(&up).start();
                ask_all(&larder, at_a_time, &urls);
                let wanted = urls.iter().filter(|url| url.ends_with(".mod")).count();
                let mods = asked_in_the_end(&larder, &up, "mod");
                // Of old go.mod files, the one that all of them require.
                let more = usize::from(kind == "mod");
                assert!((wanted..=wanted + more).contains(&mods), "{mods}");
                assert_eq!(up.count("*.zip"), 0, "{:?}", up.paths());
            }
        }
    }
}

#[test]
fn a_robot_with_one_version_of_many_modules_gets_no_zips() {
    let modules: Vec<_> = (0..100)
        .map(|n| old(&format!("example.com/m{n:03}")))
        .collect();
    let up = FakeUpstream::serving(&modules);
    let larder = larder().of(&up).start();
    let urls: Vec<_> = modules.iter().map(|module| module.url("info")).collect();
    ask_all(&larder, 5, &urls);
    assert_eq!(asked_in_the_end(&larder, &up, "mod"), 0);
    assert_eq!(up.count("*.zip"), 0);
    assert_eq!(all_prefetches(&larder), 0);
}

/// A main module's requirements.
fn requirements(modules: &[Module]) -> Vec<String> {
    let line = |module: &Module| format!("{} {}", module.path, module.version);
    modules.iter().map(line).collect()
}

#[test]
fn who_wants_the_graph_only_gets_hardly_a_dozen_zips() {
    let modules: Vec<_> = (0..120)
        .map(|n| Module::new(&format!("example.com/m{n:03}"), "v1.0.0"))
        .collect();
    let lines = requirements(&modules);
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    for command in [&["mod", "graph"][..], &["list", "-m", "-mod=mod", "all"]] {
        let up = FakeUpstream::serving(&modules);
        let larder = larder().of(&up).start();
        // Several of them: what one client left lying makes none for the others.
        for _ in 0..3 {
            let go = Go::new(&larder.url());
            go.module(&lines);
            go.ok(command);
        }
        assert_eq!(asked_in_the_end(&larder, &up, "mod"), 120);
        let zips = up.count("*.zip");
        assert!(zips <= 12, "{command:?}: {zips} zips");
    }
}

#[test]
fn who_takes_zips_after_that_gets_them_ahead_all_the_same() {
    let modules: Vec<_> = (0..120)
        .map(|n| Module::new(&format!("example.com/m{n:03}"), "v1.0.0"))
        .collect();
    let up = FakeUpstream::serving(&modules);
    let larder = larder().of(&up).start();
    // Others have left lying what there may be of those who take none.
    for module in &modules[..20] {
        let request = Request::get(&module.url("mod")).header("X-Forwarded-For", "10.0.0.1");
        request.send(larder.addr()).ok();
    }
    up.wait_count("*.zip", 12);
    up.latency(std::time::Duration::from_millis(5));
    let go = Go::new(&larder.url());
    let lines = requirements(&modules[20..]);
    go.module(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    go.ok(&["mod", "download"]);
    assert_eq!(asked_in_the_end(&larder, &up, "zip"), 112);
    let used = prefetches(&larder, "zip", "used");
    assert!(used >= 20, "{used} of 100");
}
