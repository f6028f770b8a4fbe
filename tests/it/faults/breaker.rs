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
    assert_eq!(breaker_state(&larder), "2");
}

/// As the metrics have it: 0 closed, 1 half-open, 2 open.
fn breaker_state(larder: &Larder) -> String {
    let metrics = larder.metrics();
    let is_state = |line: &&str| line.starts_with("larder_upstream_breaker_state{");
    let line = metrics.lines().find(is_state).expect("the state");
    line.rsplit_once(' ').unwrap().1.to_owned()
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

/// A request from another address of this machine.
fn from(addr: std::net::Ipv4Addr, larder: &Larder, path: &str) -> Conn {
    let mut conn = Conn::open_from(addr.into(), larder.addr()).unwrap();
    conn.write(&Request::get(path).bytes(larder.addr()))
        .unwrap();
    conn
}

/// What one client names that hangs takes neither the slots nor the trust of an upstream that answers others.
#[test]
fn hung_names_of_one_client_are_no_harm_to_others() {
    const NAMES: usize = 150;
    let _alone = heavy();
    let known = Module::new("example.com/known", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&known));
    let gate = up.gated("/example.com/hung*");
    let larder = larder()
        .of(&up)
        .set("upstream.first_byte_timeout", "2s")
        .set("breaker.open_for", "60s")
        .start();
    larder.get(&known.list_url()).ok();
    let mut hung: Vec<_> = (0..NAMES)
        .map(|n| {
            let kind = ["list", "v1.0.0.info", "v1.0.0.zip"][n % 3];
            let path = format!("/example.com/hung{n}x/@v/{kind}");
            from([127, 0, 0, 2].into(), &larder, &path)
        })
        .collect();
    let others = |round: usize| {
        for n in 0..12 {
            let other = Module::new(&format!("example.com/other{round}x{n}x"), "v1.0.0");
            up.add(&other);
            let kind = ["mod", "zip", "info"][n % 3];
            let answer = larder.get(&other.url(kind));
            answer.ok();
            let took = answer.elapsed;
            assert!(
                took < Duration::from_secs(2),
                "{}: {took:?}",
                other.url(kind)
            );
        }
    };
    gate.wait_arrived(40);
    others(0);
    // Those that came first have been given up, and the next ones; nobody else has asked for anything since.
    for mut conn in hung.drain(..100) {
        conn.response(false).unwrap().refuses(FAULT);
    }
    others(1);
    assert_eq!(breaker_state(&larder), "0");
    gate.open();
}

/// Whoever has a module can let it answer first and hang then: that closes the upstream to nobody else.
#[test]
fn what_a_stranger_has_made_known_does_not_decide() {
    let known = Module::new("example.com/known", "v1.0.0");
    let strange = Module::new("stranger.example/m", "v1.0.0");
    let other = Module::new("example.com/other", "v1.0.0");
    let up = FakeUpstream::serving(&[known.clone(), strange.clone(), other.clone()]);
    let larder = larder()
        .of(&up)
        .set("upstream.first_byte_timeout", "700ms")
        .set("upstream.attempts", "1")
        .set("breaker.open_for", "60s")
        .start();
    larder.get(&known.list_url()).ok();
    larder.get(&strange.list_url()).ok();
    let gates = [
        up.gated("/stranger.example/*"),
        up.gated("/example.com/hung*"),
    ];
    let asked = up.count(&known.list_url());
    let mut names = 0;
    // A round of questions begins when the one before has ended.
    until("two rounds of questions", || {
        let hung: Vec<_> = (names..names + 6)
            .map(|n| {
                let path = format!("/example.com/hung{n}x/@v/list");
                from([127, 0, 0, 2].into(), &larder, &path)
            })
            .collect();
        names += 6;
        for mut conn in hung {
            conn.response(false).unwrap().refuses(FAULT);
        }
        (up.count(&known.list_url()) >= asked + 2).then_some(())
    });
    assert!(up.count(&strange.list_url()) > 1, "it was asked as well");
    larder.get(&other.url("mod")).ok();
    for gate in gates {
        gate.open();
    }
}

/// An upstream that answers nobody any more is left alone all the same, whatever is asked for.
#[test]
fn an_upstream_that_hangs_for_everybody_is_left_alone() {
    let known = Module::new("example.com/known", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&known));
    let larder = larder()
        .of(&up)
        .set("upstream.first_byte_timeout", "300ms")
        .set("upstream.attempts", "1")
        .set("breaker.open_for", "60s")
        .start();
    larder.get(&known.list_url()).ok();
    let gate = up.gated("*");
    let mut n = 0;
    until("the breaker open", || {
        n += 1;
        let asked = up.total();
        larder.get(&path(n)).refuses(FAULT);
        (up.total() == asked).then_some(())
    });
    gate.open();
}

/// Whether an upstream is well again is found out with what it has answered before.
#[test]
fn a_strangers_name_is_no_probe() {
    let known = Module::new("example.com/known", "v1.0.0");
    let other = Module::new("example.com/other", "v1.0.0");
    let up = FakeUpstream::serving(&[known.clone(), other.clone()]);
    let larder = larder()
        .of(&up)
        .set("breaker.failures", "2")
        .set("breaker.open_for", "1s")
        .start();
    larder.get(&known.list_url()).ok();
    open(&larder, &up);
    up.clear_rules();
    let gate = up.gated("/example.com/hung/*");
    let asked = up.count("/example.com/known/@v/list");
    // The first one that is asked for when the time is over hangs, and nobody notices.
    let mut conn = Conn::open(larder.addr()).unwrap();
    until("the hung one under way", || {
        let request = Request::get("/example.com/hung/@v/list").bytes(larder.addr());
        conn = Conn::open(larder.addr()).unwrap();
        conn.write(&request).unwrap();
        conn.deadline(Duration::from_millis(100));
        // It is refused until the breaker is half-open.
        conn.head().is_err().then_some(())
    });
    gate.wait_arrived(1);
    assert_eq!(up.count("/example.com/known/@v/list"), asked + 1);
    larder.get(&other.url("mod")).ok();
    gate.open();
}
