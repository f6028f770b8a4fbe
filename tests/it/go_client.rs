//! The real `go` as the judge of last resort (checklist 64, 84 to 87, 132 to 135).

use crate::support::*;

const TOOLCHAIN: &str = "v0.0.1-go1.999testmod.linux-amd64";

fn start(modules: &[Module]) -> (FakeUpstream, Larder) {
    let up = FakeUpstream::serving(modules);
    let larder = larder().of(&up).start();
    (up, larder)
}

/// A small world: a graph with a diamond, upper case, a major version, a nested module and commands.
fn world() -> Vec<Module> {
    let tool =
        "package main\n\nimport \"example.com/lib/sub\"\n\nfunc main() { println(sub.Name) }\n";
    vec![
        Module::new("example.com/app", "v1.2.0")
            .requires("example.com/lib", "v1.1.0")
            .requires("example.com/Upper/case", "v0.3.0")
            .requires("example.com/major/v2", "v2.0.1"),
        Module::new("example.com/lib", "v1.0.0")
            .file("sub/sub.go", "package sub\n\nconst Name = \"1.0\"\n"),
        Module::new("example.com/lib", "v1.1.0")
            .file("sub/sub.go", "package sub\n\nconst Name = \"1.1\"\n")
            .file("cmd/tool/main.go", tool),
        Module::new("example.com/lib", "v1.2.0-rc.1"),
        Module::new("example.com/lib/nested", "v0.1.0"),
        Module::new("example.com/Upper/case", "v0.3.0").requires("example.com/lib", "v1.0.0"),
        Module::new("example.com/major/v2", "v2.0.1"),
        Module::new("example.com/old", "v2.0.0+incompatible").no_gomod(),
    ]
}

/// What a developer does in a day; returns what `go` printed where it matters.
fn day(go: &Go) -> Vec<String> {
    go.module(&["example.com/app v1.2.0"]);
    go.ok(&["mod", "download", "all"]);
    go.ok(&["mod", "verify"]);
    go.write(
        "main.go",
        "package main\n\nimport \"example.com/lib/sub\"\n\nfunc main() { println(sub.Name) }\n",
    );
    go.ok(&["get", "example.com/lib/sub"]);
    go.ok(&["get", "example.com/old@v2.0.0+incompatible"]);
    go.ok(&["get", "example.com/lib@main"]);
    go.ok(&["get", "example.com/lib@abcdef123456"]);
    go.ok(&["get", "example.com/lib@v1.1.0"]);
    go.ok(&["mod", "tidy"]);
    go.ok(&["build", "-o", "program", "."]);
    let run = |arguments: &[&str]| go.ok(arguments).stdout;
    vec![
        run(&["list", "-m", "-versions", "example.com/lib"]),
        run(&["list", "-m", "-u", "all"]),
        run(&[
            "list",
            "-m",
            "-f",
            "{{.}} {{.Time}} {{.Sum}}",
            "example.com/lib@latest",
        ]),
        run(&["list", "-m", "example.com/Upper/case@v0"]),
        run(&["mod", "graph"]),
        go.read("go.sum"),
    ]
}

#[test]
fn c132_c135_a_day_s_work_cold_then_warm_then_with_the_world_gone() {
    let modules = world();
    let mut up = FakeUpstream::serving(&modules);
    let mut larder = larder()
        .of(&up)
        .set("freshness.ttl", "1h")
        .set("freshness.negative_ttl", "1h")
        .start();
    let commit = Module::new("example.com/lib", "v1.1.1-0.20240301045959-abcdef123456")
        .file("sub/sub.go", "package sub\n\nconst Name = \"main\"\n");
    up.add(&commit);
    up.put_list("example.com/lib", "v1.0.0\nv1.1.0\nv1.2.0-rc.1\n");
    up.put(
        "/example.com/lib/@latest",
        "application/json",
        modules[2].info_bytes(),
    );
    up.query(&commit, "main");
    up.query(&commit, "abcdef123456");
    let straight = day(&Go::new(&up.url()));
    assert!(
        straight[0].contains("v1.0.0 v1.1.0 v1.2.0-rc.1"),
        "{}",
        straight[0]
    );
    up.forget();

    let go = Go::new(&larder.url());
    assert_eq!(day(&go), straight, "through Larder as straight");
    // No file is fetched twice.
    let immutable = |path: &&String| path.ends_with(".zip") || path.ends_with(".mod");
    let paths = up.paths();
    let mut files: Vec<_> = paths.iter().filter(immutable).collect();
    files.sort();
    assert!(files.windows(2).all(|pair| pair[0] != pair[1]), "{paths:?}");

    // Another machine, warm: only versions that do not exist are asked for again.
    up.forget();
    assert_eq!(day(&Go::new(&larder.url())), straight);
    let known = |r: &&upstream::Recorded| r.status != 404 || !r.path.ends_with(".info");
    let again: Vec<_> = up
        .requests()
        .iter()
        .filter(known)
        .map(|r| r.path.clone())
        .collect();
    assert!(again.is_empty(), "{again:?}");

    // Another machine, the world gone.
    up.stop();
    assert_eq!(day(&Go::new(&larder.url())), straight);
    go.forget_modules();
    assert_eq!(day(&go), straight);

    // And after a restart, for what needs the kept files only.
    assert_eq!(larder.stop(), 0);
    larder.restart();
    let go = Go::new(&larder.url());
    go.module(&["example.com/app v1.2.0"]);
    go.ok(&["mod", "download", "all"]);
    go.ok(&["get", "example.com/lib@main"]);
    go.ok(&["list", "-m", "-versions", "example.com/lib"]);
}

/// What a developer or a build does with packages rather than modules; each as on a new machine. The `go` command asks for
/// every longer path first, and needs its 404 there.
const BY_PACKAGE: [&[&str]; 5] = [
    &["install", "example.com/lib/cmd/tool@v1.1.0"],
    &["run", "example.com/lib/cmd/tool@v1.1.0"],
    &["get", "example.com/lib/sub"],
    &["get", "-u", "./..."],
    &["get", "-tool", "example.com/lib/cmd/tool@latest"],
];

fn by_package(larder: &Larder, when: &str) {
    std::thread::scope(|scope| {
        for arguments in BY_PACKAGE {
            scope.spawn(move || {
                let go = Go::new(&larder.url());
                go.module(&["example.com/lib v1.0.0"]);
                let text = go.read("go.mod").replace("go 1.20", "go 1.24");
                go.write("go.mod", &text);
                let main = "package main\n\nimport \"example.com/lib/sub\"\n\nfunc main() { println(sub.Name) }\n";
                go.write("main.go", main);
                let output = go.run(arguments);
                assert!(output.ok, "{when}: go {arguments:?}: {output:#?}");
            });
        }
    });
}

#[test]
fn packages_can_be_had_again_on_a_day_without_upstream() {
    let mut up = FakeUpstream::serving(&world());
    let mut larder = larder()
        .of(&up)
        .set("freshness.ttl", "1ms")
        .set("freshness.negative_ttl", "1ms")
        .start();
    by_package(&larder, "warming up");
    let day = |larder: &Larder, up: &mut FakeUpstream, when: &str| {
        for status in [429, 503] {
            up.rule("*", Fault::status(status));
            by_package(larder, &format!("{status} {when}"));
            up.clear_rules();
        }
        up.rule("*", Fault::status(503).header("Retry-After", "3600"));
        by_package(larder, &format!("503 with Retry-After {when}"));
        up.clear_rules();
        up.rule("*", Fault::hang());
        by_package(larder, &format!("hung {when}"));
        up.clear_rules();
        up.stop();
        by_package(larder, &format!("refused {when}"));
        up.restart();
    };
    day(&larder, &mut up, "at first");
    assert_eq!(larder.stop(), 0);
    larder.restart();
    day(&larder, &mut up, "after a restart");
}

#[test]
fn c135_a_second_download_causes_no_upstream_traffic_at_all() {
    let (up, larder) = start(&world());
    let go = Go::new(&larder.url());
    go.module(&["example.com/app v1.2.0"]);
    go.ok(&["mod", "download", "all"]);
    up.forget();
    go.forget_modules();
    go.ok(&["mod", "download", "all"]);
    up.assert_untouched();
}

#[test]
fn c25_a_trailing_slash_in_goproxy() {
    let (_up, larder) = start(&world());
    let go = Go::new(&format!("{}/", larder.url()));
    go.module(&["example.com/app v1.2.0"]);
    go.ok(&["mod", "download"]);
}

#[test]
fn c25_larder_below_a_base_path() {
    let up = FakeUpstream::serving(&world());
    let larder = larder().of(&up).set("server.base_path", "/x/y").start();
    for end in ["/x/y", "/x/y/"] {
        let go = Go::new(&format!("{}{end}", larder.url()));
        go.module(&["example.com/app v1.2.0"]);
        go.ok(&["mod", "download", "all"]);
    }
}

#[test]
fn c134_a_new_import_is_found_by_probing() {
    let (up, larder) = start(&world());
    let go = Go::new(&larder.url()).env("GOFLAGS", "-modcacherw -mod=mod");
    go.module(&[]);
    go.write(
        "main.go",
        "package main\n\nimport \"example.com/lib/sub\"\n\nfunc main() { println(sub.Name) }\n",
    );
    go.ok(&["build", "-o", "program", "."]);
    assert!(go.read("go.mod").contains("example.com/lib v1.1.0"));
    // The candidates were asked for in parallel, and those that are no modules were 404.
    assert!(
        up.requests()
            .iter()
            .all(|r| r.status == 200 || r.status == 404)
    );
    assert!(up.count("/example.com/lib/sub/*") >= 1);
    up.forget();
    go.forget_modules();
    go.module(&[]);
    go.ok(&["build", "-o", "program", "."]);
    up.assert_untouched();
}

#[test]
fn c40_go_get_of_a_package_inside_a_module() {
    let (_up, larder) = start(&world());
    let go = Go::new(&larder.url());
    go.module(&[]);
    go.ok(&["get", "example.com/lib/cmd/tool@v1.1.0"]);
    go.ok(&["run", "example.com/lib/cmd/tool"]);
}

#[test]
fn c16_retractions_reach_the_client() {
    let (_up, larder) = start(&[
        Module::new("example.com/m", "v1.0.0"),
        Module::new("example.com/m", "v1.1.0"),
        Module::new("example.com/m", "v1.2.0")
            .gomod_more("\nretract (\n\tv1.2.0\n\tv1.1.0 // broken\n)\n"),
    ]);
    let go = Go::new(&larder.url());
    go.module(&[]);
    let versions = go.ok(&["list", "-m", "-versions", "example.com/m"]).stdout;
    assert_eq!(versions, "example.com/m v1.0.0\n");
    let versions = go
        .ok(&["list", "-m", "-versions", "-retracted", "example.com/m"])
        .stdout;
    assert_eq!(versions, "example.com/m v1.0.0 v1.1.0 v1.2.0\n");
    go.ok(&["get", "example.com/m"]);
    assert!(go.read("go.mod").contains("example.com/m v1.0.0"));
}

#[test]
fn c41_errors_are_shown_to_the_developer() {
    let (up, larder) = start(&world());
    up.rule(
        "/example.com/blocked/*",
        Fault::status(403).body("licence not approved, ask legal\n"),
    );
    up.rule("/example.com/broken/*", Fault::status(500));
    let go = Go::new(&larder.url());
    go.module(&[]);
    let text = go.fails(&["get", "example.com/blocked@v1.0.0"]);
    assert!(text.contains("licence not approved, ask legal"), "{text}");
    assert!(text.contains("403"), "{text}");
    let text = go.fails(&["get", "example.com/broken@v1.0.0"]);
    assert!(
        text.contains(&up.addr().to_string()),
        "names the upstream: {text}"
    );
    let text = go.fails(&["get", "example.com/none@v1.0.0"]);
    assert!(text.contains("404"), "{text}");
    assert!(text.contains("server response"), "has a reason: {text}");
}

#[test]
fn c54_a_new_tag_can_be_got_at_once() {
    let (up, larder) = start(&world());
    let go = Go::new(&larder.url());
    go.module(&[]);
    go.ok(&["get", "example.com/lib@latest"]);
    go.fails(&["get", "example.com/lib@v1.3.0"]);
    up.add(&Module::new("example.com/lib", "v1.3.0"));
    go.ok(&["get", "example.com/lib@v1.3.0"]);
}

#[test]
fn c133_a_comma_falls_through_on_404_only() {
    let missing = Module::new("example.com/missing", "v1.0.0");
    let second = FakeUpstream::serving(&[
        missing,
        Module::new("example.com/blocked", "v1.0.0"),
        Module::new("example.com/broken", "v1.0.0"),
        Module::new("example.com/forged", "v1.0.0"),
    ]);
    let (up, larder) = start(&[]);
    up.rule("/example.com/blocked/*", Fault::status(403));
    up.rule("/example.com/broken/*", Fault::status(500));
    up.rule("/example.com/forged/*", Fault::html());
    let run = |separator: &str, module: &str| {
        let go = Go::new(&format!("{}{separator}{}", larder.url(), second.url()));
        go.module(&[]);
        go.run(&["get", &format!("example.com/{module}@v1.0.0")]).ok
    };
    assert!(run(",", "missing"), "on to the next at our 404");
    second.forget();
    assert!(!run(",", "blocked"), "our 403 is the end");
    assert!(!run(",", "broken"), "our 5xx is the end");
    assert!(!run(",", "forged"), "our 5xx is the end");
    second.assert_untouched();
    for module in ["missing", "blocked", "broken", "forged"] {
        assert!(run("|", module), "{module}: on at any error");
    }
}

#[test]
fn c133_direct_after_a_comma_and_after_a_bar() {
    // A host on which nobody listens for https, so that going direct is seen and fails at once.
    let (up, larder) = start(&[]);
    up.rule("/127.0.0.1/blocked/*", Fault::status(403));
    up.rule("/127.0.0.1/broken/*", Fault::status(500));
    let run = |separator: &str, module: &str| {
        let go = Go::new(&format!("{}{separator}direct", larder.url())).env("GOVCS", "*:git");
        go.module(&[]);
        go.fails(&["get", &format!("127.0.0.1/{module}@v1.0.0")])
    };
    let went_direct = |text: &str| {
        text.contains("https://127.0.0.1/") || text.contains("unrecognized import path")
    };
    assert!(went_direct(&run(",", "missing")));
    for module in ["blocked", "broken"] {
        let text = run(",", module);
        assert!(!went_direct(&text), "{text}");
        assert!(went_direct(&run("|", module)));
    }
}

/// The toolchain of Go's own tests, whose `go` is a shell script.
fn toolchain() -> Module {
    let prefix = format!("golang.org/toolchain@{TOOLCHAIN}/");
    let zip = Zip::new()
        .file(format!("{prefix}_go.mod"), "module golang.org/toolchain\n")
        .file(
            format!("{prefix}bin/go"),
            "#!/bin/sh\necho go1.999testmod here!\n",
        )
        .file(format!("{prefix}bin/gofmt"), "#!/bin/sh\necho unused\n")
        .file(format!("{prefix}pkg/tool/fake"), "")
        .file(format!("{prefix}lib/wasm/go_js_wasm_exec"), "")
        .build();
    Module::new("golang.org/toolchain", TOOLCHAIN)
        .gomod("module golang.org/toolchain\n")
        .zip(zip)
}

#[test]
fn c84_a_toolchain_is_a_module_like_any_other() {
    let toolchain = toolchain();
    let (up, larder) = start(std::slice::from_ref(&toolchain));
    let zip = larder.get(&toolchain.url("zip"));
    assert_eq!(zip.ok(), toolchain.zip_bytes());
    assert_eq!(
        larder.get(&toolchain.url("mod")).ok(),
        toolchain.mod_bytes()
    );
    assert_eq!(up.total(), 2);
}

#[test]
fn c84_a_large_toolchain_streams_in_constant_memory() {
    let _heavy = heavy();
    let prefix = format!("golang.org/toolchain@{TOOLCHAIN}/");
    let mut zip = Zip::new();
    for n in 0..10 {
        let data = zip::noise(8 << 20, n);
        zip = zip.entry(Entry::new(format!("{prefix}pkg/{n}.a"), data).stored());
    }
    let toolchain = toolchain().zip(zip.build());
    let (up, larder) = start(std::slice::from_ref(&toolchain));
    let gate = Gate::new();
    up.rule("*.zip", Fault::gate_at(40 << 20, &gate));
    larder.get("/healthz").ok();
    let before = larder.memory().now;
    larder.reset_peak();
    let bytes = toolchain.zip_bytes();
    let (_, mut conn) = Request::get(&toolchain.url("zip")).open(larder.addr());
    conn.read_exact(32 << 20);
    assert_eq!(gate.arrived(), 1, "its first bytes come before its last");
    gate.open();
    let rest = &bytes[32 << 20..];
    assert_eq!(conn.compare(rest), rest.len());
    let grown = larder.memory().peak.saturating_sub(before);
    assert!(grown < 48 << 20, "grown by {grown}");
}

#[test]
fn c85_a_client_switches_to_a_toolchain_from_us() {
    let toolchain = toolchain();
    let (mut up, mut larder) = start(std::slice::from_ref(&toolchain));
    // The client insists on a checksum database for toolchains; this one stands beside us.
    let database = FakeUpstream::start();
    let gosumdb = sumdb::serve(&database, &[toolchain]);
    let switch = |larder: &Larder| {
        let go = Go::new(&larder.url())
            .env("GOTOOLCHAIN", "go1.999testmod")
            .env("GOSUMDB", &gosumdb);
        go.ok(&["version"]).stdout
    };
    assert_eq!(switch(&larder), "go1.999testmod here!\n");
    assert_eq!(up.total(), 1, "the zip and nothing else: {:?}", up.paths());
    assert!(database.count("/lookup/*") >= 1);
    up.stop();
    larder.stop();
    larder.restart();
    assert_eq!(switch(&larder), "go1.999testmod here!\n");
}

#[test]
fn c85_a_go_mod_that_wants_a_newer_go_switches() {
    let toolchain = toolchain();
    let (_up, larder) = start(std::slice::from_ref(&toolchain));
    let database = FakeUpstream::start();
    let gosumdb = sumdb::serve(&database, &[toolchain]);
    let go = Go::new(&larder.url())
        .env("GOTOOLCHAIN", "auto")
        .env("GOSUMDB", &gosumdb);
    go.write(
        "go.mod",
        "module example.org/work\n\ngo 1.20\n\ntoolchain go1.999testmod\n",
    );
    assert_eq!(go.ok(&["version"]).stdout, "go1.999testmod here!\n");
}

#[test]
fn c86_versions_of_go_are_listed() {
    let up = FakeUpstream::start();
    up.put_list(
        "golang.org/toolchain",
        "v0.0.1-go1.21.0.linux-amd64\nv0.0.1-go1.22rc1.linux-amd64\nv0.0.1-go1.22.5.linux-amd64\n\
         v0.0.1-go1.22.5.windows-arm64\nv0.0.1-go1.999testmod.linux-amd64\n",
    );
    let larder = larder().of(&up).start();
    let go = Go::new(&larder.url());
    go.module(&[]);
    let versions = go.ok(&["list", "-m", "-versions", "go"]).stdout;
    for version in ["1.21.0", "1.22rc1", "1.22.5", "1.999testmod"] {
        assert!(versions.contains(version), "{versions}");
    }
    let versions = go.ok(&["list", "-m", "-versions", "toolchain"]).stdout;
    assert!(versions.contains("go1.22.5"), "{versions}");
    let list = larder.get("/golang.org/toolchain/@v/list");
    assert_eq!(list.ok().split(|b| *b == b'\n').count(), 6);
}

#[test]
fn c87_a_missing_platform_is_404() {
    let (_up, larder) = start(&[toolchain()]);
    let path = "/golang.org/toolchain/@v/v0.0.1-go1.999testmod.plan9-arm.zip";
    larder.get(path).refuses(&[404]);
    let go = Go::new(&larder.url()).env("GOTOOLCHAIN", "go1.9999x");
    let text = go.fails(&["version"]);
    assert!(text.contains("toolchain not available"), "{text}");
}

#[test]
fn odd_modules_that_a_client_can_use() {
    let (_up, larder) = start(&[
        // A newer language than any, a fork under its old name, no file at all.
        Module::new("example.com/future", "v1.0.0")
            .gomod("module example.com/future\n\ngo 1.999\n"),
        Module::new("example.com/fork", "v1.0.0").gomod("module example.com/lib\n"),
        Module::new("example.com/empty", "v1.0.0").zip(Zip::new().build()),
    ]);
    let go = Go::new(&larder.url());
    go.module(&["example.com/lib v1.0.0"]);
    let text = go.read("go.mod") + "\nreplace example.com/lib => example.com/fork v1.0.0\n";
    go.write("go.mod", &text);
    go.ok(&["mod", "download", "example.com/lib"]);
    go.ok(&["mod", "download", "example.com/empty@v1.0.0"]);
    larder.get("/example.com/future/@v/v1.0.0.zip").ok();
    larder.get("/example.com/future/@v/v1.0.0.mod").ok();
}
