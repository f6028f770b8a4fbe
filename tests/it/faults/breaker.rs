//! The breaker, and what upstream says about coming back later.

use crate::support::*;
use std::time::Duration;

const FAULT: &[u16] = &[502, 503, 504];

fn path(n: usize) -> String {
    format!("/example.com/m{n}x/@v/list")
}

/// Fails until the breaker is open, with different modules.
fn open(larder: &Larder, up: &FakeUpstream) {
    up.rule("*", Fault::status(500));
    let mut n = 1000;
    until("the breaker open", || {
        n += 1;
        let asked = up.total();
        let answer = larder.get(&path(n));
        answer.refuses(FAULT);
        (up.total() == asked).then_some(())
    });
}

#[test]
fn an_open_breaker_answers_at_once_and_asks_nobody() {
    let kept = Module::new("example.com/kept", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&kept));
    let larder = larder()
        .of(&up)
        .set("breaker.failures", "3")
        .set("breaker.open_for", "60s")
        .start();
    larder.get_hit(&kept.url("zip"));
    larder.get_hit(&kept.list_url());
    open(&larder, &up);
    let asked = up.total();
    for n in 0..5 {
        let answer = larder.get(&path(n));
        let text = answer.refuses(&[503]);
        let after = answer.header("retry-after").expect("a Retry-After");
        let after: u64 = after.parse().unwrap();
        assert!((1..=60).contains(&after), "{after}");
        assert!(text.contains(&up.addr().to_string()), "{text}");
        assert!(answer.elapsed < Duration::from_secs(2));
    }
    assert_eq!(up.total(), asked);
    // Hits do not know about it, and the probes tell.
    assert!(larder.get(&kept.url("zip")).is_hit());
    larder.get(&kept.list_url()).ok();
    let ready = larder.get("/readyz");
    ready.expect(200);
    assert!(
        ready.text().to_lowercase().contains("open"),
        "{}",
        ready.text()
    );
    assert!(larder.metrics().contains("breaker"));
}

#[test]
fn a_breaker_opens_by_default_after_five_failed_fetches() {
    let up = FakeUpstream::start();
    up.rule("*", Fault::status(500));
    let larder = larder().of(&up).start();
    std::thread::scope(|scope| {
        for n in 0..5 {
            let larder = &larder;
            scope.spawn(move || larder.get(&path(n)).refuses(FAULT));
        }
    });
    // Whole fetches are counted, each of them three attempts as far as the retry budget reaches.
    assert!((12..=15).contains(&up.total()), "{} attempts", up.total());
    let asked = up.total();
    larder.get(&path(9)).refuses(&[503]);
    assert_eq!(up.total(), asked);
}

#[test]
fn a_breaker_recovers_by_a_probe() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder()
        .of(&up)
        .set("breaker.failures", "2")
        .set("breaker.open_for", "1s")
        .start();
    open(&larder, &up);
    up.clear_rules();
    until("recovery", || {
        larder.get(&module.url("zip")).is_ok().then_some(())
    });
    for n in 0..5 {
        larder.get(&path(n)).refuses(&[404]);
    }
}

#[test]
fn a_failed_probe_opens_the_breaker_again() {
    let up = FakeUpstream::start();
    let larder = larder()
        .of(&up)
        .set("breaker.failures", "2")
        .set("breaker.open_for", "700ms")
        .start();
    open(&larder, &up);
    let asked = up.total();
    let mut n = 0;
    until("a failed probe", || {
        n += 1;
        larder.get(&path(n)).refuses(FAULT);
        (up.total() > asked).then_some(())
    });
    let asked = up.total();
    larder.get(&path(5000)).refuses(&[503]);
    assert_eq!(up.total(), asked, "open again after the probe");
}

#[test]
fn answers_that_are_no_failures_do_not_count() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.rule("/example.com/no/*", Fault::status(403));
    up.rule("/example.com/gone/*", Fault::status(410));
    let larder = larder().of(&up).set("breaker.failures", "2").start();
    for n in 0..6 {
        larder.get(&path(n)).refuses(&[404]);
        larder
            .get(&format!("/example.com/no/@v/v1.0.{n}.info"))
            .refuses(&[403]);
        larder
            .get(&format!("/example.com/gone/@v/v1.0.{n}.info"))
            .refuses(&[410]);
    }
    larder.get(&module.url("zip")).ok();
}

#[test]
fn breakers_are_per_upstream() {
    let module = Module::new("example.com/m", "v1.0.0");
    let (a, b) = (
        FakeUpstream::start(),
        FakeUpstream::serving(std::slice::from_ref(&module)),
    );
    a.rule("*", Fault::status(500));
    let larder = larder()
        .upstream(&format!("{}|{}", a.url(), b.url()))
        .set("breaker.failures", "2")
        .set("breaker.open_for", "60s")
        .start();
    let mut n = 0;
    until("the first upstream left alone", || {
        n += 1;
        let asked = a.total();
        larder.get(&path(n)).refuses(FAULT);
        (a.total() == asked).then_some(())
    });
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    assert_eq!(a.count("*.zip"), 0);
}

#[test]
fn retry_after_is_obeyed_within_reason() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.rule_n("*", 1, Fault::status(429).header("Retry-After", "1"));
    let larder = larder().of(&up).start();
    let answer = larder.get(&module.url("mod"));
    if answer.is_ok() {
        let times: Vec<_> = up.requests().iter().map(|r| r.at).collect();
        let gap = times[1] - times[0];
        assert!(gap >= Duration::from_millis(900), "{gap:?}");
    } else {
        answer.refuses(&[503]);
        assert!(answer.header("retry-after").is_some());
    }
}

#[test]
fn an_upstream_that_is_busy_for_an_hour_is_reported_at_once() {
    let up = FakeUpstream::start();
    up.rule("*", Fault::status(429).header("Retry-After", "3600"));
    let larder = larder().of(&up).start();
    for n in 0..3 {
        let answer = larder.get(&path(n));
        answer.refuses(&[503]);
        let after = answer.header("retry-after").expect("a Retry-After");
        assert!(after.parse::<u64>().is_ok(), "{after}");
        assert!(
            answer.elapsed < Duration::from_secs(15),
            "{:?}",
            answer.elapsed
        );
    }
    assert!(up.total() <= 3, "asked {} times", up.total());
}

#[test]
#[ignore = "slow: up to a minute"]
fn recovery_within_a_minute_after_an_hour_was_asked_for() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.rule("*", Fault::status(503).header("Retry-After", "3600"));
    let larder = larder().of(&up).start();
    for n in 0..8 {
        larder.get(&path(n)).refuses(FAULT);
    }
    up.clear_rules();
    let healed = std::time::Instant::now();
    while !larder.get(&module.url("info")).is_ok() {
        assert!(healed.elapsed() < Duration::from_secs(60), "not recovered");
        std::thread::sleep(Duration::from_millis(250));
    }
}

#[test]
#[ignore = "slow: the default breaker stays open for 15 seconds"]
fn recovery_within_45_seconds_by_default() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    open(&larder, &up);
    up.clear_rules();
    let healed = std::time::Instant::now();
    while !larder.get(&module.url("info")).is_ok() {
        assert!(healed.elapsed() < Duration::from_secs(45), "not recovered");
        std::thread::sleep(Duration::from_millis(250));
    }
}
