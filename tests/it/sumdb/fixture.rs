//! That the database of these tests is one: the real `go` believes it, and sees through its forgeries.

use super::*;
use crate::support::sumdb::{NAME, Partials, tile_path};
use base64::{Engine, engine::general_purpose::STANDARD};

fn go(world: &World) -> Go {
    let go = Go::new(&world.up.url()).env("GOSUMDB", &world.log.verifier());
    go.module(&["example.com/last v1.0.0"]);
    go
}

#[test]
fn the_roots_of_the_protocol_s_vectors() {
    let log = Log::new();
    for name in ["m", "n", "o"] {
        let text = format!("a.com/{name} v1.0.0 h1:AAA=\na.com/{name} v1.0.0/go.mod h1:BBB=\n");
        log.add_text(&format!("a.com/{name}@v1.0.0"), &text);
    }
    for (size, root) in [
        (1, "2ZJU+biMn1sg8qlW7Layt3iXc+pN34nH7O1+xbSQ8e4="),
        (2, "jgu59bzlA2JQ/icVCO6FlcYmfeVRopjl2NM6+o5x8uA="),
        (3, "NxVwu8et7V28+KKRj4kuoNoy+ST4JSEnjcteGA+d/+Q="),
    ] {
        let tree = format!("go.sum database tree\n{size}\n{root}\n");
        assert_eq!(log.tree(size), tree);
    }
}

#[test]
fn tiles_and_their_names() {
    for (index, name) in [(5, "005"), (1000, "x001/000"), (1_234_067, "x001/x234/067")] {
        assert_eq!(tile_path("0", index, 256), format!("/tile/8/0/{name}"));
        assert_eq!(tile_path("1", index, 7), format!("/tile/8/1/{name}.p/7"));
    }
    let world = world();
    let get = |rest: &str| {
        let answer = Request::get(&world.log.url(rest)).send(world.up.addr());
        (answer.status, answer.body.len())
    };
    for (rest, status, len) in [
        ("/tile/8/0/001", 200, 8192),
        ("/tile/8/0/001.p/255", 200, 8160),
        ("/tile/8/0/002.p/188", 200, 6016),
        ("/tile/8/1/000.p/2", 200, 64),
        ("/tile/8/0/002.p/189", 404, 0),
        ("/tile/8/0/002", 404, 0),
        ("/tile/8/0/003.p/1", 404, 0),
        ("/tile/8/0/2", 404, 0),
        ("/tile/8/9/000.p/1", 404, 0),
    ] {
        let (got, bytes) = get(rest);
        assert_eq!(got, status, "{rest}");
        assert!(status == 404 || bytes == len, "{rest}: {bytes}");
    }
    world.log.partials(Partials::UntilFull);
    assert_eq!(get("/tile/8/0/002.p/187").0, 200);
    assert_eq!(get("/tile/8/0/001.p/255").0, 404);
    world.log.partials(Partials::Gone);
    assert_eq!(get("/tile/8/0/002.p/188").0, 404);
    let data = String::from_utf8(world.log.data_tile(0, 5)).unwrap();
    assert!(data.ends_with(&format!(
        "{}\n{}\n",
        world.log.record(3),
        world.log.record(4)
    )));
}

#[test]
fn go_believes_it_with_another_head_for_every_look_up() {
    let world = world();
    world.log.sign_with(&world.first, 257);
    world.log.sign_with(&world.second, SIZE - 30);
    world.log.sign_with(&world.last, 650);
    let go = go(&world);
    go.ok(&["mod", "download", "all"]);
    go.ok(&["mod", "verify"]);
    for module in [&world.first, &world.second, &world.last] {
        assert_eq!(world.lookups(module), 1, "{:?}", world.up.paths());
    }
    assert!(world.up.count("*/tile/8/0/000") >= 1);
    let latest = go.module_cache().join("../gopath/pkg/sumdb").join(NAME);
    let latest = std::fs::read_to_string(latest.join("latest")).unwrap();
    assert!(
        latest.starts_with("go.sum database tree\n670\n"),
        "{latest}"
    );
}

#[test]
fn go_takes_full_tiles_where_partial_ones_are_gone() {
    let world = world();
    world.log.sign_with(&world.first, 20);
    world.log.partials(Partials::UntilFull);
    let go = Go::new(&world.up.url()).env("GOSUMDB", &world.log.verifier());
    go.module(&["example.com/First v1.0.0"]);
    go.ok(&["mod", "download"]);
    assert_eq!(world.up.last("*/tile/8/0/000.p/20").status, 404);
    assert_eq!(world.up.last("*/tile/8/0/000").status, 200);
}

#[test]
fn go_builds_what_the_tests_of_larder_build() {
    let world = go_client::with_quote();
    let go = Go::new(&world.up.url()).env("GOSUMDB", &world.log.verifier());
    go_client::builds(&go);
    assert_eq!(world.up.count("*/lookup/*"), 3, "{:?}", world.up.paths());
}

/// One at a time, and then all in one process.
#[track_caller]
fn downloads(world: &World, modules: &[Module]) {
    let names = modules.iter().map(|m| format!("{}@{}", m.path, m.version));
    let names: Vec<String> = names.collect();
    let new = || {
        let go = Go::new(&world.up.url()).env("GOSUMDB", &world.log.verifier());
        go.module(&[]);
        go
    };
    let slow = new();
    for name in &names {
        slow.ok(&["mod", "download", name]);
    }
    let mut all = vec!["mod", "download"];
    all.extend(names.iter().map(String::as_str));
    new().ok(&all);
}

#[test]
fn go_takes_heads_of_all_ages_in_any_order() {
    for seed in 0..2 {
        for partials in [Partials::All, Partials::UntilFull] {
            let world = world();
            let mut modules = match seed {
                0 => go_client::aged(&world),
                _ => heads::many_heads(&world),
            };
            world.log.partials(partials);
            fastrand::Rng::with_seed(seed).shuffle(&mut modules);
            downloads(&world, &modules);
        }
    }
}

#[test]
fn go_finds_it_by_an_address_of_its_own() {
    let world = world();
    let database = FakeUpstream::start();
    world.log.install_at(&database, "/db");
    let address = world.log.with_url(&format!("{}/db", database.url()));
    let go = Go::new(&world.up.url()).env("GOSUMDB", &address);
    go.module(&["example.com/last v1.0.0"]);
    go.ok(&["mod", "download", "all"]);
    assert_eq!(world.up.count("/sumdb/*"), 0);
    assert!(database.count("/db/tile/*") >= 1);
}

#[test]
fn go_says_security_error_for_a_wrong_record() {
    let world = world();
    let wrong = Module::new("example.com/wrong", "v1.0.0");
    world.log.add_wrong(&wrong);
    world.up.add(&wrong);
    let go = Go::new(&world.up.url()).env("GOSUMDB", &world.log.verifier());
    go.module(&["example.com/wrong v1.0.0"]);
    let text = go.fails(&["mod", "download"]);
    assert!(text.contains("SECURITY ERROR"), "{text}");
}

#[test]
fn go_sees_a_fork() {
    let world = world();
    let go = go(&world);
    go.ok(&["mod", "download", "example.com/First@v1.0.0"]);
    let fork = world.log.fork(650);
    fork.fill(800, "other");
    world.log.become_like(&fork);
    let text = go.fails(&["mod", "download", "example.com/last@v1.0.0"]);
    assert!(text.contains("server misbehavior"), "{text}");
}

#[test]
fn go_refuses_forged_tiles_records_and_notes() {
    let world = world();
    let log = &world.log;
    let path = lookup_path(&world.first);
    let body = log.body(log.id(&world.first), SIZE);
    let refused = |what: &str| {
        let go = go(&world);
        let output = go.run(&["mod", "download", "example.com/First@v1.0.0"]);
        assert!(!output.ok, "{what}: {output:?}");
        log.heal();
    };
    for (level, index, slot) in [(0, 0, 3), (0, 0, 200), (0, 2, 100), (1, 0, 0)] {
        log.flip(level, index, slot);
        refused(&format!("tile {level}/{index}, hash {slot}"));
    }
    log.forge(&path, log.answer(&world.second));
    refused("the record of another module");
    log.forge(&path, body.replacen('3', "4", 1));
    refused("another number");
    log.forge(&path, body.replacen("v1.0.0 h1:", "v1.0.0 h1:A", 1));
    refused("another hash");
    let record = log.record(log.id(&world.first));
    for (what, note) in log.bad_notes(SIZE) {
        log.forge(&path, [format!("3\n{record}\n").as_bytes(), &note].concat());
        refused(what);
    }
    go(&world).ok(&["mod", "download", "example.com/First@v1.0.0"]);
}

#[test]
fn go_s_own_test_key_is_spelt_as_ours() {
    // 4.2: the name, eight digits, and the algorithm's byte before the key.
    let parts: Vec<String> = Log::new()
        .verifier()
        .split('+')
        .map(str::to_owned)
        .collect();
    assert_eq!(parts[0], NAME);
    assert_eq!(parts[1].len(), 8);
    let key = STANDARD.decode(parts[2..].join("+")).unwrap();
    assert_eq!((key.len(), key[0]), (33, 1));
}
