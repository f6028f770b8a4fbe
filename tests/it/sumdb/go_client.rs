//! The real `go` with a checksum database behind Larder (checklist 82, 83, 85).

use super::*;
use crate::support::sumdb::Partials;

const PROGRAM: &str =
    "package main\n\nimport m \"rsc.io/quote\"\n\nfunc main() { println(m.Version) }\n";

const TEXT: &str = "v0.0.0-20170915032832-14c0d48ead0c";

/// A package that takes its version from another.
fn importing(name: &str, other: &str) -> String {
    format!("package {name}\n\nimport m \"{other}\"\n\nconst Version = m.Version\n")
}

/// Modules as Go's own tests have them: each imports the one before.
fn quote() -> Vec<Module> {
    vec![
        Module::new("golang.org/x/text", TEXT),
        Module::new("rsc.io/sampler", "v1.3.0")
            .requires("golang.org/x/text", TEXT)
            .file("m.go", importing("sampler", "golang.org/x/text")),
        Module::new("rsc.io/quote", "v1.5.2")
            .requires("rsc.io/sampler", "v1.3.0")
            .requires("golang.org/x/text", TEXT)
            .file("m.go", importing("quote", "rsc.io/sampler")),
    ]
}

pub(super) fn with_quote() -> World {
    let world = world();
    for module in quote() {
        world.log.add(&module);
        world.up.add(&module);
    }
    world.log.fill(world.log.size() + 50, "after");
    world
}

/// A client of Larder, and what it would meet if it went anywhere else.
fn client(world: &World, larder: &Larder) -> (Go, FakeUpstream) {
    let trap = FakeUpstream::start();
    let go = Go::new(&larder.url())
        .env("GOSUMDB", &world.log.verifier())
        .env("HTTPS_PROXY", &trap.url())
        .env("HTTP_PROXY", &trap.url());
    (go, trap)
}

#[track_caller]
pub(super) fn builds(go: &Go) {
    go.module(&["rsc.io/quote v1.5.2"]);
    go.write("main.go", PROGRAM);
    go.ok(&["mod", "tidy"]);
    go.ok(&["build", "-o", "program", "."]);
    go.ok(&["mod", "verify"]);
    for module in quote() {
        let line = format!("{} {} {}\n", module.path, module.version, module.h1());
        assert!(go.read("go.sum").contains(&line), "{}", go.read("go.sum"));
    }
}

#[test]
fn c82_go_get_touches_only_our_port() {
    let world = with_quote();
    let larder = world.larder().start();
    let (go, trap) = client(&world, &larder);
    go.module(&[]);
    go.ok(&["get", "rsc.io/quote@v1.5.2"]);
    builds(&go);
    trap.assert_untouched();
    let quote = &quote()[2];
    assert_eq!(world.lookups(quote), 1, "{:?}", world.up.paths());
    // Another machine: no more traffic than that.
    world.up.forget();
    let (go, trap) = client(&world, &larder);
    builds(&go);
    trap.assert_untouched();
    assert_eq!(world.up.count("*/lookup/*"), 0, "{:?}", world.up.paths());
    assert_eq!(world.up.count("*/tile/*"), 0, "{:?}", world.up.paths());
    assert_eq!(world.up.count("*.zip"), 0, "{:?}", world.up.paths());
}

#[test]
fn c83_a_wrong_database_is_a_security_error() {
    let world = world();
    for module in quote() {
        world.log.add_wrong(&module);
        world.up.add(&module);
    }
    let larder = world.larder().start();
    let (go, trap) = client(&world, &larder);
    go.module(&["rsc.io/quote v1.5.2"]);
    let text = go.fails(&["mod", "download", "rsc.io/quote@v1.5.2"]);
    assert!(text.contains("SECURITY ERROR"), "{text}");
    let text = go.fails(&["get", "rsc.io/quote@v1.5.2"]);
    assert!(text.contains("SECURITY ERROR"), "{text}");
    trap.assert_untouched();
    for module in quote() {
        nothing_kept(&larder, &module);
    }
    let folder = larder.data_dir().join("modules/rsc.io/quote/@v");
    for name in ["v1.5.2.zip", "v1.5.2.mod", "v1.5.2.ziphash"] {
        assert!(!folder.join(name).exists(), "{name}");
    }
}

#[test]
fn c83_a_tampered_upstream_is_a_security_error() {
    let world = with_quote();
    let evil = quote()[2].clone().file("evil.go", "package quote\n");
    world.up.add(&evil);
    let larder = world.larder().start();
    let (go, _trap) = client(&world, &larder);
    go.module(&["rsc.io/quote v1.5.2"]);
    let text = go.fails(&["mod", "download", "rsc.io/quote@v1.5.2"]);
    assert!(text.contains("SECURITY ERROR"), "{text}");
    assert!(text.contains(&evil.h1()), "{text}");
    assert!(!larder.blob(&evil.url("zip")).exists());
    world.up.add(&quote()[2]);
    builds(&go);
}

#[test]
fn offline_after_a_restart_an_empty_client_builds_what_is_kept() {
    let mut world = with_quote();
    let mut larder = world.larder().no_breaker().start();
    let (go, _trap) = client(&world, &larder);
    builds(&go);
    world.up.stop();
    larder.stop();
    larder.restart();
    for _ in 0..2 {
        let (go, trap) = client(&world, &larder);
        builds(&go);
        trap.assert_untouched();
    }
}

#[test]
fn what_was_never_asked_for_by_a_client_of_the_database_is_verifiable_too() {
    // The first client trusts its go.sum, so that Larder alone looked things up; the second does not.
    let mut world = with_quote();
    let mut larder = world.larder().no_breaker().start();
    let go = Go::new(&larder.url());
    builds(&go);
    world.up.stop();
    larder.stop();
    larder.restart();
    let (go, trap) = client(&world, &larder);
    builds(&go);
    trap.assert_untouched();
}

/// Modules whose look-ups were signed by heads of very different ages, one of them in each way that matters.
pub(super) fn aged(world: &World) -> Vec<Module> {
    let modules: Vec<Module> = (0..8).map(|n| world.publish(&format!("m{n}x"))).collect();
    world.log.fill(1500, "between");
    let all = [&world.first, &world.second, &world.last].map(Module::clone);
    let all: Vec<Module> = all.into_iter().chain(modules).collect();
    for (n, module) in all.iter().enumerate() {
        let id = world.log.id(module);
        let room = world.log.size() - id;
        let size = match n % 4 {
            0 => id + 1,
            1 => id + room / 3,
            2 => (id / 256 + 1) * 256,
            _ => world.log.size(),
        };
        world.log.sign_with(module, size.max(id + 1));
    }
    all
}

#[test]
fn offline_in_any_order_of_clients_and_ages_of_heads() {
    for seed in 0..3 {
        let mut world = world();
        let mut modules = aged(&world);
        let mut rng = fastrand::Rng::with_seed(seed);
        if seed == 2 {
            world.log.partials(Partials::UntilFull);
        }
        let mut larder = world.larder().no_breaker().start();
        rng.shuffle(&mut modules);
        for module in &modules {
            for kind in ["info", "mod", "zip"] {
                larder.get(&module.url(kind)).ok();
            }
            let zip = larder.get_hit(&module.url("zip"));
            assert_eq!(verified(&zip), "sumdb");
        }
        world.up.stop();
        larder.stop();
        larder.restart();
        for _ in 0..2 {
            let (go, trap) = client(&world, &larder);
            go.module(&[]);
            rng.shuffle(&mut modules);
            // One at a time, so that the client's head moves as the order has it.
            for module in &modules {
                let name = format!("{}@{}", module.path, module.version);
                go.ok(&["mod", "download", &name]);
            }
            trap.assert_untouched();
        }
        // All in one process, in no order at all.
        let (go, trap) = client(&world, &larder);
        go.module(&[]);
        let names = modules.iter().map(|m| format!("{}@{}", m.path, m.version));
        let names: Vec<String> = names.collect();
        let mut arguments = vec!["mod", "download"];
        arguments.extend(names.iter().map(String::as_str));
        go.ok(&arguments);
        trap.assert_untouched();
    }
}

#[test]
fn a_client_with_a_newer_head_than_ours_is_content_with_what_is_kept() {
    // It has seen today's head elsewhere; offline we have yesterday's.
    let mut world = world();
    let mut larder = world.larder().no_breaker().start();
    vouched_for(&larder, &world.first);
    larder.get(&world.first.url("info")).ok();
    let (go, _trap) = client(&world, &larder);
    go.module(&[]);
    world.log.fill(900, "later");
    let later = world.publish("later");
    // Straight from the upstream, into the same module cache.
    let straight = go.env("GOPROXY", &world.up.url());
    straight.ok(&["mod", "download", "example.com/later@v1.0.0"]);
    assert_eq!(world.lookups(&later), 1);
    larder.stop();
    larder.restart();
    let go = straight.env("GOPROXY", &larder.url());
    // The proof that our head is a prefix of its own is made of tiles that the database has.
    go.ok(&["mod", "download", "example.com/First@v1.0.0"]);
    world.up.stop();
}

#[test]
fn c85_a_toolchain_is_verified_by_larder_and_by_its_client() {
    let version = "v0.0.1-go1.999testmod.linux-amd64";
    let prefix = format!("golang.org/toolchain@{version}/");
    let script = "#!/bin/sh\necho go1.999testmod here!\n";
    let zip = Zip::new()
        .file(format!("{prefix}_go.mod"), "module golang.org/toolchain\n")
        .file(format!("{prefix}bin/go"), script)
        .file(format!("{prefix}bin/gofmt"), "#!/bin/sh\n")
        .file(format!("{prefix}pkg/tool/fake"), "")
        .file(format!("{prefix}lib/wasm/go_js_wasm_exec"), "");
    let toolchain = Module::new("golang.org/toolchain", version)
        .gomod("module golang.org/toolchain\n")
        .zip(zip.build());
    let world = world();
    world.log.add(&toolchain);
    world.up.add(&toolchain);
    let mut larder = world.larder().no_breaker().start();
    let switch = |larder: &Larder| {
        let (go, trap) = client(&world, larder);
        let go = go.env("GOTOOLCHAIN", "go1.999testmod");
        assert_eq!(go.ok(&["version"]).stdout, "go1.999testmod here!\n");
        trap.assert_untouched();
    };
    switch(&larder);
    // And once more with the world gone.
    world.up.rule("*", Fault::status(503));
    larder.stop();
    larder.restart();
    switch(&larder);
}

#[test]
fn c65_go_goes_to_its_next_proxy_where_we_have_no_database() {
    let world = with_quote();
    let larder = larder().of(&world.up).start();
    let (go, trap) = client(&world, &larder);
    let go = go.env("GOPROXY", &format!("{},{}", larder.url(), world.up.url()));
    go.module(&["rsc.io/quote v1.5.2"]);
    go.ok(&["mod", "download", "rsc.io/quote@v1.5.2"]);
    assert_eq!(world.lookups(&quote()[2]), 1);
    trap.assert_untouched();
}

#[test]
fn go_is_told_what_is_wrong() {
    let world = world();
    let unknown = Module::new("example.com/unknown", "v1.0.0");
    world.up.add(&unknown);
    let larder = world.larder().start();
    let (go, _trap) = client(&world, &larder);
    go.module(&[]);
    let text = go.fails(&["mod", "download", "example.com/unknown@v1.0.0"]);
    assert!(text.contains("sumdb.exclude"), "{text}");
    assert!(text.contains("example.com/unknown"), "{text}");
}
