//! What operators are told of an upstream: its true state on the page, in readiness, metrics and log.

use crate::support::*;
use serde_json::Value;

fn path(n: usize) -> String {
    format!("/example.com/m{n}x/@v/list")
}

/// The first upstream, as `/readyz` has it.
fn standing(larder: &Larder) -> Value {
    let ready: Value = serde_json::from_slice(&larder.get("/readyz").body).unwrap();
    ready["upstreams"][0].clone()
}

fn metric(larder: &Larder, name: &str) -> i64 {
    let text = larder.metrics();
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn an_upstream_that_wants_to_be_left_alone_is_shown_so_everywhere() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    assert_eq!(standing(&larder)["state"], "not asked yet");
    larder.get(&module.url("mod")).ok();
    let well = standing(&larder);
    assert_eq!(well["state"], "ok");
    assert!(
        well["last_success"].is_u64() && well["last_error"].is_null(),
        "{well}"
    );
    assert!(metric(&larder, "larder_upstream_last_success_timestamp_seconds") > 1_000_000_000);
    assert_eq!(metric(&larder, "larder_upstream_paused"), 0);
    up.rule("*", Fault::status(429).header("Retry-After", "30"));
    for n in 0..4 {
        larder.get(&path(n)).refuses(&[503]);
    }
    let paused = standing(&larder);
    assert_eq!(paused["state"], "paused");
    assert!(paused["paused_until"].is_u64(), "{paused}");
    let text = paused["last_error"]["text"].as_str().unwrap();
    assert!(text.contains("429"), "{paused}");
    assert_eq!(metric(&larder, "larder_upstream_paused"), 1);
    assert!(metric(&larder, "larder_upstream_last_error_timestamp_seconds") > 1_000_000_000);
    let page = larder.get("/").text();
    assert!(page.contains("asks to be left alone until"), "{page}");
    assert!(!page.contains(">in use"), "{page}");
    let said = "asks to be left alone and is not asked for 30 s";
    larder.wait_stderr(said);
    assert_eq!(
        larder.stderr().matches(said).count(),
        1,
        "{}",
        larder.stderr()
    );
}

#[test]
fn what_fails_without_an_outage_is_shown_too() {
    let up = FakeUpstream::start();
    up.rule("*", Fault::status(401));
    let larder = larder().of(&up).start();
    larder.get(&path(0)).refuses(&[502]);
    let failing = standing(&larder);
    assert_eq!(failing["state"], "failing");
    assert_eq!(failing["breaker"], "closed");
    let page = larder.get("/").text();
    assert!(page.contains("the last fetch failed"), "{page}");
    // What an upstream says, and of which module, is not for everybody.
    up.clear_rules();
    up.rule("*", Fault::status(500).body("example.com/m1x is secret"));
    larder.get(&path(1)).refuses(&[502]);
    for place in ["/", "/readyz"] {
        let text = larder.get(place).text();
        assert!(text.contains("it answered 500"), "{text}");
        assert!(!text.contains("m1x") && !text.contains("secret"), "{text}");
    }
}

#[test]
fn the_log_has_a_line_for_each_change_of_the_breaker() {
    let module = Module::new("example.com/m", "v1.0.0");
    let mut up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder()
        .of(&up)
        .set("breaker.failures", "2")
        .set("breaker.open_for", "1s")
        .start();
    larder.get(&module.url("info")).ok();
    up.stop();
    for n in 0..2 {
        larder.get(&path(n)).refuses(&[502]);
    }
    // Whoever comes later learns what is wrong as well.
    let text = larder.get(&path(3)).refuses(&[503]);
    assert!(text.contains("lastly: no connection"), "{text}");
    assert!(text.to_lowercase().contains("refused"), "{text}");
    larder.wait_stderr("is failing and is not asked for 1 s (breaker open)");
    let open = standing(&larder);
    assert_eq!(open["state"], "open");
    up.restart();
    until("recovery", || {
        larder.get(&module.url("mod")).is_ok().then_some(())
    });
    larder.wait_stderr("is tried again with one request (breaker half-open)");
    larder.wait_stderr("answers again, after");
    assert_eq!(standing(&larder)["state"], "ok");
}

#[test]
fn a_fetch_that_takes_long_is_told_while_it_does() {
    let module = Module::new("example.com/slow", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let gate = up.gated("*.mod");
    let larder = larder().of(&up).start();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| larder.get(&module.url("mod")).ok().to_vec());
        }
        gate.wait_arrived(1);
        larder.wait_stderr("a fetch takes long");
        let log = larder.stderr();
        let line = log.lines().find(|line| line.contains("a fetch takes long"));
        let line = line.unwrap();
        for part in [
            "example.com/slow/@v/v1.0.0.mod",
            &up.addr().to_string(),
            "waiting=3",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        let ready: Value = serde_json::from_slice(&larder.get("/readyz").body).unwrap();
        assert_eq!(ready["slow_fetches"], 1, "{ready}");
        gate.open();
    });
    until("the end", || {
        let ready: Value = serde_json::from_slice(&larder.get("/readyz").body).unwrap();
        (ready["slow_fetches"] == 0).then_some(())
    });
    assert_eq!(larder.stderr().matches("a fetch takes long").count(), 1);
}
