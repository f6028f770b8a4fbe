//! A large repository: 5,000 tags and a long history, against `go` in direct mode in the same run.

use super::*;
use std::time::{Duration, Instant};

const LIB: &str = "corp.example.com/lib";

/// A history of so many commits with so much noise each, and 5,000 tags.
fn large(commits: u64, noise: usize) -> Scene {
    let repo = Repo::module(LIB);
    repo.history("main", commits, noise);
    let head = repo.commit(Commit::new().file("last.go", "package lib\n"));
    repo.tags(
        (0..5_000).map(|n| format!("v1.{}.{}", n / 10, n % 10)),
        &head,
    );
    Scene::with(repo, "lib")
}

fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let out = what();
    (out, started.elapsed())
}

#[test]
fn five_thousand_tags_are_listed_and_a_new_one_is_seen() {
    let scene = large(20, 1_000);
    let larder = settings::refs_ttl(scene.larder(), "1h").start();
    let path = format!("/{LIB}/@v/list");
    let versions = lines(&larder.get(&path));
    assert_eq!(versions, scene.oracle().versions(LIB).unwrap());
    assert_eq!(versions.len(), 5_000);
    assert_eq!(
        version_of(&larder.get(&query_path(LIB, "latest"))),
        "v1.499.9"
    );
    let head = scene.repos[0].git(&["rev-parse", "main"]);
    scene.repos[0].tag("v1.500.0", &head);
    assert_eq!(
        version_of(&larder.get(&query_path(LIB, "v1.500.0"))),
        "v1.500.0"
    );
    assert_eq!(lines(&larder.get(&path)).len(), 5_001);
}

/// A list needs references only, and a `.mod` no history.
#[test]
fn little_is_fetched_where_little_is_asked_for() {
    let _alone = heavy();
    let scene = large(200, 100_000);
    let larder = scene.larder().start();
    larder.get(&format!("/{LIB}/@v/list")).ok();
    let listed = scene.host.count("git.example.com/lib/git-upload-pack");
    // One for the references; the highest version's go.mod is in question only for other majors.
    assert!(listed <= 2, "{:?}", scene.host.names());
    // 20 MB of history at this pace would take minutes.
    scene.host.rule(
        "git.example.com/lib/git-upload-pack",
        Fault::rate(10_000_000),
    );
    let (answer, took) = timed(|| larder.get(&file_path(LIB, "v1.3.0", "mod")));
    answer.ok();
    let kept: u64 = larder
        .files("")
        .iter()
        // Room for a full disk.
        .filter(|f| !f.ends_with("spare"))
        .filter_map(|f| f.metadata().ok())
        .map(|m| m.len())
        .sum();
    println!("a .mod after {took:?}, {kept} bytes kept");
    assert!(kept < 15 << 20, "{kept} bytes were kept for one .mod");
}

#[test]
#[ignore = "slow: 200 MB of history"]
fn figures_against_go() {
    let _alone = heavy();
    let scene = large(2_000, 100_000);
    let oracle = || scene.oracle();
    let cold = oracle();
    let (_, go_cold_list) = timed(|| cold.versions(LIB).unwrap());
    let (_, go_warm_list) = timed(|| cold.versions(LIB).unwrap());
    let fresh = oracle();
    let (verdict, go_version) = timed(|| fresh.ask(LIB, "v1.3.0"));
    let larder = scene.larder().start();
    let list = format!("/{LIB}/@v/list");
    let (_, cold_list) = timed(|| larder.get(&list).ok().len());
    let (_, warm_list) = timed(|| larder.get(&list).ok().len());
    let (_, cold_mod) = timed(|| larder.get(&file_path(LIB, "v1.3.0", "mod")).ok().len());
    let other = scene.larder().start();
    let (zip, version) = timed(|| other.get(&file_path(LIB, "v1.3.0", "zip")));
    assert_eq!(Some(zip_h1(zip.ok())), verdict.h1);
    println!("list, cold: {cold_list:?}, go {go_cold_list:?}");
    println!("list, warm: {warm_list:?}, go {go_warm_list:?}");
    println!("version, cold: {version:?}, go {go_version:?}");
    println!(".mod alone, cold: {cold_mod:?}");
    assert!(warm_list * 10 <= go_warm_list, "a warm list");
    assert!(version <= go_version, "a cold version");
}

/// Zips that come slowly hold no thread that name look-ups, git, or what is made durable needs.
#[test]
fn six_hundred_slow_zips_hold_up_nobody() {
    const SLOW: usize = 600;
    let _alone = heavy();
    let repo = Repo::module(LIB);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    let scene = Scene::with(repo, "lib");
    let other =
        Module::new("code.example.org/other", "v1.0.0").file("data", zip::noise(300_000, 3));
    scene.up.add(&other);
    let body = Module::new("code.example.org/slow", "v1.0.0")
        .file("data", zip::noise(400_000, 2))
        .zip_bytes();
    let slow = Fault::stall(150_000).body(body);
    scene.up.rule("/code.example.org/slow*", slow);
    let larder = scene
        .larder()
        // By its name, which has to be looked up.
        .upstream(&format!("http://localhost:{}", scene.up.port()))
        // A client has at most three quarters of the slots for zips, which are three quarters of all.
        .set("upstream.concurrency", "1280")
        // All of them are one client's.
        .set("limits.misses_per_client", "1000")
        .set("upstream.idle_timeout", "120s")
        .start();
    let slow: Vec<_> = (0..SLOW)
        .map(|n| {
            let path = format!("/code.example.org/slow{n}/@v/v1.0.0.zip");
            let mut conn = Conn::open(larder.addr()).unwrap();
            conn.write(&Request::get(&path).bytes(larder.addr()))
                .unwrap();
            conn
        })
        .collect();
    scene.up.wait("600 zips that have stalled", |requests| {
        requests.iter().filter(|it| it.sent >= 150_000).count() >= SLOW
    });
    let prompt = |path: &str| {
        let (answer, took) = timed(|| larder.get(path));
        assert!(took < Duration::from_secs(5), "{path}: {took:?}");
        answer.ok().to_vec()
    };
    assert_eq!(prompt(&other.url("mod")), other.mod_bytes());
    assert_eq!(prompt(&other.url("zip")), other.zip_bytes());
    larder.wait_kept(&[other.url("mod"), other.url("zip")]);
    prompt(&format!("/{LIB}/@v/list"));
    prompt(&format!("/{LIB}/@v/v1.0.0.zip"));
    let metrics = larder.metrics();
    let flights = metrics
        .lines()
        .find_map(|line| line.strip_prefix("larder_flights "))
        .unwrap();
    assert!(flights.parse::<usize>().unwrap() >= SLOW, "{flights}");
    drop(slow);
}
