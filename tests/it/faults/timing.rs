//! Silence and slowness: everything ends in time, and nobody else notices (checklist 38, 55).

use crate::support::*;
use std::time::{Duration, Instant};

const FAULT: &[u16] = &[502, 503, 504];

#[test]
fn c38_a_silent_upstream_is_a_timeout() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.rule("*", Fault::hang());
    let larder = larder().of(&up).impatient().no_breaker().start();
    for path in [module.list_url(), module.url("mod"), module.url("zip")] {
        up.forget();
        let started = Instant::now();
        let text = larder.get(&path).refuses(&[504]);
        assert!(started.elapsed() < Duration::from_secs(15));
        assert!(text.contains(&up.addr().to_string()), "{text}");
        assert_eq!(up.total(), 2, "at most two attempts time out");
    }
    up.clear_rules();
    larder.get(&module.url("zip")).ok();
}

#[test]
fn c38_an_address_that_swallows_connections_is_a_timeout() {
    let hole = BlackHole::new();
    let larder = larder().upstream(&hole.url()).impatient().start();
    let started = Instant::now();
    larder.get("/example.com/m/@v/list").refuses(&[504]);
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
#[ignore = "slow: the defaults take their time"]
fn c38_a_silent_upstream_is_answered_within_45_seconds_by_default() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    up.rule("*", Fault::hang());
    let larder = larder().of(&up).start();
    std::thread::scope(|scope| {
        for kind in ["info", "mod", "zip"] {
            let larder = &larder;
            scope.spawn(move || {
                let answer = larder.get(&format!("/example.com/m/@v/v1.0.0.{kind}"));
                answer.refuses(FAULT);
                assert!(
                    answer.elapsed < Duration::from_secs(45),
                    "{:?}",
                    answer.elapsed
                );
            });
        }
    });
}

#[test]
fn after_a_bar_the_next_source_is_asked_when_the_first_is_silent() {
    let module = Module::new("example.com/m", "v1.0.0");
    let (a, b) = (
        FakeUpstream::start(),
        FakeUpstream::serving(std::slice::from_ref(&module)),
    );
    a.rule("*", Fault::hang());
    let larder = larder()
        .upstream(&format!("{}|{}", a.url(), b.url()))
        .impatient()
        .start();
    let answer = larder.get(&module.url("zip"));
    assert_eq!(answer.ok(), module.zip_bytes());
    assert!(
        answer.elapsed < Duration::from_secs(15),
        "{:?}",
        answer.elapsed
    );
}

#[test]
fn a_stalled_body_ends() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(2_000_000, 2));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.rule("*.zip", Fault::stall(500_000));
    up.rule("*/list", Fault::stall(2));
    let larder = larder().of(&up).impatient().no_breaker().start();
    let started = Instant::now();
    larder.get(&module.url("zip")).breaks_off();
    larder.get(&module.list_url()).refuses(&[504]);
    assert!(started.elapsed() < Duration::from_secs(30));
    up.clear_rules();
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
}

#[test]
fn a_slow_but_steady_body_arrives() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(300_000, 2));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    // Longer than every single timeout, but never idle for long.
    up.rule("*.zip", Fault::rate(150_000));
    let larder = larder().of(&up).impatient().start();
    let answer = larder.get(&module.url("zip"));
    assert_eq!(answer.ok(), module.zip_bytes());
    assert_eq!(up.total(), 1);
}

#[test]
fn hung_fetches_leave_hits_and_other_misses_alone() {
    let _heavy = heavy();
    let kept = Module::new("example.com/kept", "v1.0.0").file("data", zip::noise(300_000, 2));
    let up = FakeUpstream::serving(std::slice::from_ref(&kept));
    let gate = up.gated("/example.com/hung/*");
    let larder = larder().of(&up).start();
    larder.get(&kept.url("zip")).ok();
    larder.get(&kept.url("mod")).ok();
    let hits = || {
        let times = (0..60).map(|_| {
            larder.get(&kept.url("mod")).ok();
            let zip = larder.get(&kept.url("zip"));
            zip.ok();
            zip.elapsed
        });
        median(times.collect())
    };
    let before = hits();
    std::thread::scope(|scope| {
        for n in 0..30 {
            let larder = &larder;
            scope.spawn(move || larder.get(&format!("/example.com/hung/@v/v1.0.{n}.zip")));
        }
        gate.wait_arrived(30);
        let during = hits();
        assert!(
            during < before * 3 + Duration::from_millis(5),
            "hits took {before:?} before and {during:?} with thirty hung fetches"
        );
        for n in 0..10 {
            let other = Module::new("example.com/other", &format!("v1.0.{n}"));
            up.add(&other);
            let started = Instant::now();
            assert_eq!(larder.get(&other.url("zip")).ok(), other.zip_bytes());
            assert!(started.elapsed() < Duration::from_secs(5), "another miss");
        }
        gate.open();
    });
}

#[test]
fn hung_fetches_of_one_module_leave_others_the_slots_of_the_upstream() {
    let other = Module::new("example.com/other", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&other));
    let gate = up.gated("/example.com/hung/*");
    let larder = larder().of(&up).set("upstream.concurrency", "8").start();
    std::thread::scope(|scope| {
        for n in 0..30 {
            let larder = &larder;
            scope.spawn(move || larder.get(&format!("/example.com/hung/@v/v1.0.{n}.zip")));
        }
        gate.wait_arrived(1);
        let answer = larder.get(&other.url("zip"));
        assert_eq!(answer.ok(), other.zip_bytes());
        assert!(
            answer.elapsed < Duration::from_secs(10),
            "{:?}",
            answer.elapsed
        );
        gate.open();
    });
}

#[test]
fn the_upstream_gets_no_more_at_once_than_configured() {
    let up = FakeUpstream::start();
    let gate = up.gated("*");
    let larder = larder().of(&up).set("upstream.concurrency", "5").start();
    std::thread::scope(|scope| {
        for n in 0..20 {
            let larder = &larder;
            scope.spawn(move || larder.get(&format!("/example.com/m{n}x/@v/list")));
        }
        gate.wait_arrived(3);
        gate.open();
    });
    assert_eq!(up.total(), 20);
    assert!(up.max_open() <= 5, "{} at once", up.max_open());
}

#[test]
fn first_byte_of_a_missed_zip_does_not_wait_for_the_last() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(4_000_000, 2));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let gate = Gate::new();
    up.rule("*.zip", Fault::gate_at(2_000_000, &gate));
    let larder = larder().of(&up).start();
    let zip = module.zip_bytes();
    let (head, mut conn) = Request::get(&module.url("zip")).open(larder.addr());
    assert_eq!(head.status, 200);
    assert_eq!(
        head.header("content-length"),
        Some(zip.len().to_string().as_str())
    );
    assert!(head.has_cache_status("fwd=miss"), "{}", head.describe());
    // All but the part that is held back for verification flows while upstream still waits.
    assert_eq!(conn.read_exact(1_500_000), zip[..1_500_000]);
    assert_eq!(gate.arrived(), 1);
    gate.open();
    assert_eq!(conn.compare(&zip[1_500_000..]), zip.len() - 1_500_000);
}

#[test]
fn the_last_part_of_a_zip_is_held_back_until_it_is_verified() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(1_000_000, 2));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let zip = module.zip_bytes();
    let gate = Gate::new();
    up.rule("*.zip", Fault::gate_at(zip.len() as u64 - 1, &gate));
    let larder = larder().of(&up).start();
    let (_, mut conn) = Request::get(&module.url("zip")).open(larder.addr());
    gate.wait_arrived(1);
    conn.deadline(Duration::from_millis(700));
    let mut have = 0;
    while let Ok(bytes) = conn.read(1 << 20) {
        assert!(!bytes.is_empty(), "ended after {have}");
        have += bytes.len();
    }
    assert!(
        zip.len() - have >= 64 << 10,
        "only {} held back",
        zip.len() - have
    );
    gate.open();
    conn.deadline(DEADLINE);
    assert_eq!(conn.compare(&zip[have..]), zip.len() - have);
}

#[test]
fn recovery_after_an_outage_is_quick_also_under_load() {
    let module = Module::new("example.com/m", "v1.0.0");
    let mut up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.stop();
    let larder = larder().of(&up).set("breaker.open_for", "2s").start();
    let well = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        let load = |n: usize| {
            let (larder, well) = (&larder, &well);
            move || {
                let mut round = 0;
                while !well.load(order) {
                    round += 1;
                    let path = format!("/example.com/load{n}x/@v/v1.0.{round}.info");
                    let answer = larder.get(&path);
                    assert_ne!(answer.status, 500, "{}", answer.describe());
                }
            }
        };
        for n in 0..4 {
            scope.spawn(load(n));
        }
        until("the outage felt", || {
            let answer = larder.get(&module.url("info"));
            answer.refuses(FAULT);
            (answer.status == 503).then_some(())
        });
        up.restart();
        until("recovery", || {
            larder.get(&module.url("info")).is_ok().then_some(())
        });
        well.store(true, order);
    });
    larder.get(&module.url("zip")).ok();
}
