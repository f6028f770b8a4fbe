//! What strangers send is bounded in bytes: module proxies that pages name, and what is asked of them.

use super::*;
use std::time::{Duration, Instant};

/// The module `corp.example.com/NAME` is at `https://proxy.example.com/NAME`, says its page.
fn proxied(host: &GitHost, name: &str) -> String {
    let path = format!("corp.example.com/{name}");
    host.go_import(
        &path,
        &format!("{path} mod https://proxy.example.com/{name}"),
    );
    path
}

/// A list of about so many bytes.
fn list_of(bytes: usize, major: usize) -> Vec<u8> {
    let mut list = Vec::with_capacity(bytes + 32);
    for n in 0.. {
        if list.len() >= bytes {
            break;
        }
        list.extend_from_slice(format!("v1.{major}.{n}\n").as_bytes());
    }
    list
}

fn larder_for(scene: &Scene) -> Builder {
    settings::public(&scene.host, &scene.up).no_breaker()
}

fn size_of(larder: &Larder, folder: &str) -> u64 {
    let files = larder.files(folder);
    files
        .iter()
        .map(|file| file.metadata().map_or(0, |it| it.len()))
        .sum()
}

#[test]
fn large_lists_of_strangers_take_no_memory() {
    let _heavy = heavy();
    let scene = Scene::new();
    scene.host.rule(
        "proxy.example.com/*",
        Fault::none().body(list_of(28 << 20, 0)),
    );
    let mut larder = larder_for(&scene).start();
    let paths: Vec<_> = (0..24)
        .map(|n| proxied(&scene.host, &format!("m{n}")))
        .collect();
    larder.get("/healthz").ok();
    let before = larder.memory().now;
    larder.reset_peak();
    std::thread::scope(|scope| {
        for path in &paths {
            let larder = &larder;
            scope.spawn(move || {
                let text = larder.get(&format!("/{path}/@v/list")).refuses(&[502]);
                assert!(text.contains("larger than"), "{text}");
            });
        }
    });
    let grown = larder.memory().peak.saturating_sub(before);
    assert!(grown < 96 << 20, "grown by {grown}");
    // What was too large is not asked for again at once, however it is asked.
    let asked = scene.host.count("proxy.example.com/m0/*");
    let again = Request::get(&format!("/{}/@v/list", paths[0])).header("Cache-Control", "no-cache");
    again.send(larder.addr()).refuses(&[502]);
    assert_eq!(scene.host.count("proxy.example.com/m0/*"), asked);
    assert!(size_of(&larder, "index") < 8 << 20);
    larder.stop();
    larder.restart();
    assert!(larder.memory().now < 64 << 20, "{:?}", larder.memory().now);
}

#[test]
fn large_files_and_answers_of_strangers_are_refused() {
    let scene = Scene::new();
    let path = proxied(&scene.host, "m");
    let info = format!(
        "{{\"Version\":\"v1.0.0\",\"More\":\"{}\"}}",
        "x".repeat(100 << 10)
    );
    scene
        .host
        .rule("proxy.example.com/m/*.info", Fault::none().body(info));
    let mut gomod = format!("module {path}\n//").into_bytes();
    gomod.resize(2 << 20, b'x');
    scene
        .host
        .rule("proxy.example.com/m/*.mod", Fault::none().body(gomod));
    let larder = larder_for(&scene).start();
    for end in ["v1.0.0.info", "main.info", "v1.0.0.mod"] {
        let text = larder.get(&format!("/{path}/@v/{end}")).refuses(&[502]);
        assert!(text.contains("larger than"), "{text}");
    }
}

#[test]
fn a_large_list_that_changes_stays_out_of_the_index() {
    let _heavy = heavy();
    let scene = Scene::new();
    let path = proxied(&scene.host, "m");
    let mut larder = larder_for(&scene).start();
    let url = format!("/{path}/@v/list");
    larder.get("/healthz").ok();
    let before = larder.memory().now;
    larder.reset_peak();
    let at = "proxy.example.com/m";
    let mut last = Vec::new();
    for n in 0..12 {
        last = list_of(700 << 10, n);
        scene.host.page(&format!("{at}{url}"), 200, &last);
        let answer = larder.get_with(&url, "Cache-Control", "no-cache");
        assert!(answer.ok() == last, "list {n}");
    }
    let grown = larder.memory().peak.saturating_sub(before);
    assert!(grown < 64 << 20, "grown by {grown}");
    assert!(larder.get_hit(&url).ok() == last);
    let etag = larder.get(&url).header("ETag").map(str::to_owned);
    let part = Request::get(&url).header("If-None-Match", etag.as_deref().unwrap());
    part.send(larder.addr()).expect(304);
    assert!(
        size_of(&larder, "index") < 4 << 20,
        "{}",
        size_of(&larder, "index")
    );
    // `@latest` is derived from it where the proxy has none.
    let text = String::from_utf8(last.clone()).unwrap();
    let newest = Module::new(&path, text.lines().last().unwrap());
    scene.host.proxy_module(at, &newest);
    scene.host.page(&format!("{at}{url}"), 200, &last);
    let latest = newest.latest_url();
    scene.host.page(&format!("{at}{latest}"), 404, "none");
    assert_eq!(larder.get(&latest).ok(), newest.info_bytes());
    larder.stop();
    larder.restart();
    assert!(larder.get_kept(&url).ok() == last);
    assert_eq!(
        larder.get_kept(&url).header("ETag").map(str::to_owned),
        etag
    );
    // Without the file the record is worth nothing.
    larder.stop();
    std::fs::remove_file(larder.blob(&url)).unwrap();
    larder.restart();
    larder.get_kept(&url).refuses(&[404]);
    assert!(larder.get(&url).ok() == last);
}

#[test]
fn queries_of_a_module_are_kept_in_a_bounded_number() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let mut larder = larder().of(&up).start();
    for n in 0..700 {
        let query = format!("branch{n}");
        up.query(&module, &query);
        larder.get(&format!("/example.com/m/@v/{query}.info")).ok();
    }
    larder.get(&module.list_url()).ok();
    // What is answered is kept beside that.
    until("all to be kept", || {
        let metrics = larder.metrics();
        let idle = |line: &str| line.starts_with("larder_flights") && line.ends_with(" 0");
        metrics.lines().any(idle).then_some(())
    });
    larder.stop();
    let dump = larder.run(&["index", "dump"]).expect(0).stdout;
    let kept = dump.matches("meta/example.com/m/@v/branch").count();
    assert!((400..=520).contains(&kept), "{kept}");
    assert!(dump.contains("meta/example.com/m/@v/list"));
    assert!(dump.contains("branch699.info") && !dump.contains("branch0.info"));
}

#[test]
fn proxies_that_pages_name_share_their_slots() {
    let scene = Scene::new();
    let public = Module::new("example.com/public", "v1.0.0");
    scene.up.add(&public);
    let gate = Gate::new();
    for n in 0..12 {
        let fault = Fault::none().body("v1.0.0\n").with_gate(&gate);
        scene.host.rule(
            &format!("proxy{n}.example.com/*"),
            Fault {
                at: Some((0, At::Gate(gate.clone()))),
                gate: None,
                ..fault
            },
        );
        let path = format!("corp.example.com/m{n}");
        scene
            .host
            .go_import(&path, &format!("{path} mod https://proxy{n}.example.com/m"));
    }
    let larder = larder_for(&scene).set("upstream.concurrency", "4").start();
    std::thread::scope(|scope| {
        for n in 0..12 {
            let larder = &larder;
            scope.spawn(move || {
                larder.get(&format!("/corp.example.com/m{n}/@v/list")).ok();
            });
        }
        gate.wait_arrived(4);
        // The operator's own upstream has its own slots.
        let started = Instant::now();
        larder.get(&public.url("info")).ok();
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!(gate.arrived(), 4);
        gate.open();
    });
}
