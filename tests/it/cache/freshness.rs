//! Metadata gets old: asked for again, or served stale where upstream does not answer.

use crate::support::*;
use std::time::{Duration, Instant};

const LIST: &str = "/example.com/m/@v/list";

fn upstream() -> FakeUpstream {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.query(&module, "main");
    up
}

fn metadata() -> [&'static str; 3] {
    [
        LIST,
        "/example.com/m/@latest",
        "/example.com/m/@v/main.info",
    ]
}

#[test]
fn fresh_metadata_is_not_asked_for_again() {
    let up = upstream();
    let larder = larder().of(&up).start();
    for _ in 0..5 {
        for path in metadata() {
            larder.get(path).ok();
        }
    }
    assert_eq!(up.total(), 3, "{:?}", up.paths());
}

#[test]
fn c54_a_new_tag_is_listed_within_the_ttl() {
    let up = upstream();
    let larder = larder().of(&up).set("freshness.ttl", "300ms").start();
    assert_eq!(larder.get(LIST).ok(), b"v1.0.0\n");
    let newer = Module::new("example.com/m", "v1.1.0");
    up.add(&newer);
    until("the new tag in the list", || {
        let list = larder.get(LIST);
        (list.ok() == b"v1.0.0\nv1.1.0\n").then_some(())
    });
    until("the new tag as the latest", || {
        let latest = larder.get("/example.com/m/@latest");
        (latest.ok() == newer.info_bytes()).then_some(())
    });
}

#[test]
fn c54_a_new_tag_is_listed_although_older_versions_are_kept() {
    let up = upstream();
    let mut larder = larder().of(&up).start();
    for path in ["@v/v1.0.0.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip"] {
        larder.get(&format!("/example.com/m/{path}")).ok();
    }
    up.add(&Module::new("example.com/m", "v1.1.0"));
    // The first list ever asked for comes from upstream, not from the kept files.
    assert_eq!(larder.get(LIST).ok(), b"v1.0.0\nv1.1.0\n");
    larder.stop();
}

#[test]
fn c54_a_new_version_is_usable_at_once() {
    let up = upstream();
    let larder = larder().of(&up).start();
    let newer = Module::new("example.com/m", "v1.1.0");
    larder.get(LIST).ok();
    for kind in ["info", "mod", "zip"] {
        larder.get(&newer.url(kind)).refuses(&[404]);
    }
    up.add(&newer);
    for kind in ["info", "mod", "zip"] {
        larder.get(&newer.url(kind)).ok();
    }
}

#[test]
fn c54_no_cache_forces_a_refresh_of_metadata() {
    let up = upstream();
    let larder = larder().of(&up).start();
    for path in metadata() {
        larder.get_hit(path);
        let count = up.count(path);
        let forced = larder.get_with(path, "Cache-Control", "no-cache");
        forced.ok();
        assert!(!forced.is_hit(), "{path}: {}", forced.describe());
        assert_eq!(up.count(path), count + 1, "{path}");
    }
    // A negative answer as well.
    let newer = Module::new("example.com/n", "v1.0.0");
    larder.get(&newer.list_url()).refuses(&[404]);
    up.add(&newer);
    let forced = larder.get_with(&newer.list_url(), "Cache-Control", "no-cache");
    assert_eq!(forced.ok(), b"v1.0.0\n");
    assert_eq!(larder.get(&newer.list_url()).ok(), b"v1.0.0\n");
}

#[test]
fn no_cache_does_not_touch_immutable_files() {
    let up = upstream();
    let larder = larder().of(&up).start();
    for kind in ["info", "mod", "zip"] {
        let path = format!("/example.com/m/@v/v1.0.0.{kind}");
        larder.get_hit(&path);
        let again = larder.get_with(&path, "Cache-Control", "no-cache");
        assert!(again.is_hit(), "{}", again.describe());
    }
    assert_eq!(up.total(), 3);
}

#[test]
fn c52_everything_kept_is_served_while_upstream_is_down() {
    let mut up = upstream();
    let mut larder = larder().of(&up).set("freshness.ttl", "100ms").start();
    let files = ["info", "mod", "zip"].map(|k| format!("/example.com/m/@v/v1.0.0.{k}"));
    let paths: Vec<&str> = metadata()
        .into_iter()
        .chain(files.iter().map(String::as_str))
        .collect();
    let before: Vec<_> = paths.iter().map(|p| larder.get_hit(p).body).collect();
    up.stop();
    for round in 0..2 {
        for (path, body) in paths.iter().zip(&before) {
            let answer = larder.get(path);
            assert_eq!(answer.ok(), body, "{path} in round {round}");
            assert!(answer.is_hit(), "{}", answer.describe());
        }
        larder.kill9();
        larder.restart();
    }
    for path in metadata() {
        until("a stale answer that says so", || {
            let answer = larder.get(path);
            answer.ok();
            answer.is_stale().then(|| {
                assert!(answer.header("age").is_some());
                let value = answer.header("cache-status").unwrap();
                assert!(value.contains("ttl=-"), "how old: {value}");
            })
        });
    }
}

#[test]
fn c52_stale_metadata_at_every_kind_of_trouble() {
    let up = upstream();
    let larder = larder()
        .of(&up)
        .set("freshness.ttl", "50ms")
        .set("freshness.refresh_wait", "200ms")
        .no_breaker()
        .impatient()
        .start();
    let before = larder.get(LIST).ok().to_vec();
    for (name, trouble) in [
        ("500", Fault::status(500)),
        ("503", Fault::status(503)),
        ("429", Fault::status(429).header("Retry-After", "1")),
        ("401", Fault::status(401)),
        ("403", Fault::status(403)),
        ("html", Fault::html()),
        ("garbage", Fault::none().body("no version anywhere\n")),
        ("cut", Fault::cut(3)),
        ("reset", Fault::reset(3)),
        ("close", Fault::close()),
        ("redirect loop", Fault::redirect(LIST)),
    ] {
        up.clear_rules();
        // Fresh again, so that this trouble is what makes it stale.
        larder.get_with(LIST, "Cache-Control", "no-cache").ok();
        up.rule("*", trouble);
        until(&format!("stale at {name}"), || {
            let answer = larder.get(LIST);
            assert_eq!(answer.ok(), before, "at {name}");
            answer.is_stale().then_some(())
        });
    }
}

#[test]
fn c52_trouble_met_in_the_background_hides_nothing() {
    for trouble in [Fault::status(403), Fault::status(401), Fault::html()] {
        println!("{trouble:?}");
        let up = upstream();
        let larder = larder()
            .of(&up)
            .set("freshness.ttl", "100ms")
            .set("freshness.refused_ttl", "50ms")
            .no_breaker()
            .start();
        let before = larder.get_hit(LIST).body;
        up.rule("*", trouble);
        // Asked for all the time, so that it is refreshed before it gets old, and again and again after.
        up.forget();
        until("many refreshes in vain", || {
            assert_eq!(larder.get(LIST).ok(), before);
            (up.count(LIST) >= 10).then_some(())
        });
    }
}

#[test]
fn c37_an_authoritative_404_replaces_what_was_kept() {
    let up = upstream();
    let larder = larder().of(&up).set("freshness.ttl", "50ms").start();
    larder.get(LIST).ok();
    up.rule("*", Fault::status(404));
    until("the 404 honoured", || {
        (larder.get(LIST).status == 404).then_some(())
    });
}

#[test]
fn a_slow_refresh_is_waited_for_one_second() {
    let _heavy = heavy();
    let up = upstream();
    let larder = larder().of(&up).set("freshness.ttl", "50ms").start();
    larder.get(LIST).ok();
    up.add(&Module::new("example.com/m", "v1.1.0"));
    let gate = up.gated(LIST);
    // Whether it was old already decides if this one waits; the next one does.
    let (old, waited) = until("an answer that waited", || {
        let started = Instant::now();
        let answer = larder.get(LIST);
        let waited = started.elapsed();
        assert!(waited < Duration::from_secs(5), "waited {waited:?}");
        (waited > Duration::from_millis(500)).then_some((answer, waited))
    });
    assert_eq!(old.ok(), b"v1.0.0\n");
    assert!(old.is_stale(), "after {waited:?}: {}", old.describe());
    // The refresh went on meanwhile.
    gate.open();
    until("the refreshed list", || {
        (larder.get(LIST).ok() == b"v1.0.0\nv1.1.0\n").then_some(())
    });
}

#[test]
fn a_quick_refresh_is_waited_for() {
    let up = upstream();
    let larder = larder().of(&up).set("freshness.ttl", "1s").start();
    larder.get(LIST).ok();
    up.add(&Module::new("example.com/m", "v1.1.0"));
    until("a refreshed answer", || {
        // The first client of the old list gets the new one: nobody ever sees it stale.
        let next = larder.get(LIST);
        assert!(!next.is_stale(), "{}", next.describe());
        (next.ok() == b"v1.0.0\nv1.1.0\n").then_some(())
    });
}

#[test]
fn many_clients_of_one_old_list_cause_one_refresh() {
    let up = upstream();
    let larder = larder().of(&up).set("freshness.ttl", "900ms").start();
    larder.get(LIST).ok();
    until("an old list", || {
        let kept = larder.get_kept(LIST);
        kept.header("age").filter(|age| *age != "0").map(drop)
    });
    let gate = up.gated(LIST);
    up.forget();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..30).map(|_| scope.spawn(|| larder.get(LIST))).collect();
        gate.wait_arrived(1);
        gate.open();
        for client in clients {
            client.join().unwrap().ok();
        }
    });
    // Late clients may find it old again.
    assert!(up.count(LIST) <= 4, "{} requests", up.count(LIST));
}

#[test]
fn what_is_asked_for_often_is_refreshed_in_the_background() {
    let up = upstream();
    let larder = larder().of(&up).set("freshness.ttl", "2s").start();
    larder.get(LIST).ok();
    let (mut hits, mut waits) = (0, 0);
    let started = Instant::now();
    until("three refreshes", || {
        let answer = larder.get(LIST);
        if answer.is_hit() && !answer.is_stale() {
            hits += 1;
        } else {
            waits += 1;
        }
        (up.count(LIST) >= 4).then_some(())
    });
    let took = started.elapsed();
    assert!(took > Duration::from_secs(2), "refreshed all the time");
    assert!(waits * 20 <= hits, "{waits} clients waited, {hits} did not");
}

#[test]
fn an_upstream_with_validators_is_asked_politely() {
    let up = upstream();
    up.validators();
    let larder = larder().of(&up).set("freshness.ttl", "100ms").start();
    larder.get(LIST).ok();
    until("a second request", || {
        assert_eq!(larder.get(LIST).ok(), b"v1.0.0\n");
        (up.count(LIST) >= 2).then_some(())
    });
    let second = up.last(LIST);
    assert!(second.header("if-none-match").is_some(), "{second:?}");
}

#[test]
fn two_ages_of_one_module_never_mix() {
    // The list and the derived latest each have their own age; both end up right.
    let up = upstream().without_latest();
    let larder = larder().of(&up).set("freshness.ttl", "200ms").start();
    larder.get("/example.com/m/@latest").ok();
    let newer = Module::new("example.com/m", "v1.1.0");
    up.add(&newer);
    until("the new latest", || {
        let latest = larder.get("/example.com/m/@latest");
        (latest.ok() == newer.info_bytes()).then_some(())
    });
}
