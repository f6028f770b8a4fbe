//! What is known not to exist (checklist 36, 37, 53).

use crate::support::*;

#[test]
fn c36_an_unknown_version_is_404_with_a_reason() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let larder = larder().of(&up).start();
    for kind in ["info", "mod", "zip"] {
        let path = format!("/example.com/m/@v/v1.9.0.{kind}");
        let text = larder.get(&path).refuses(&[404]);
        assert!(text.contains("v1.9.0"), "{text}");
    }
}

#[test]
fn c37_statuses_of_refusal_are_passed_on() {
    let up = FakeUpstream::start();
    up.rule(
        "/example.com/gone/*",
        Fault::status(410).body("withdrawn by its author\n"),
    );
    up.rule(
        "/example.com/no/*",
        Fault::status(403).body("licence not approved here\n"),
    );
    // Some mirrors say it without a word.
    up.rule("/example.com/mute/*", Fault::status(403).body(""));
    let larder = larder().of(&up).start();
    for end in [
        "@v/list",
        "@latest",
        "@v/v1.0.0.info",
        "@v/v1.0.0.mod",
        "@v/v1.0.0.zip",
    ] {
        let text = larder
            .get(&format!("/example.com/gone/{end}"))
            .refuses(&[410]);
        assert!(text.contains("withdrawn by its author"), "{end}: {text}");
        let text = larder
            .get(&format!("/example.com/no/{end}"))
            .refuses(&[403]);
        assert!(text.contains("licence not approved here"), "{end}: {text}");
        larder
            .get(&format!("/example.com/mute/{end}"))
            .refuses(&[403]);
        larder
            .get(&format!("/example.com/none/{end}"))
            .refuses(&[404]);
    }
}

#[test]
fn c37_what_an_upstream_says_is_shown_only_as_far_as_it_is_text() {
    let up = FakeUpstream::start();
    let page = format!("<html><body>{}</body></html>", "<p>no</p>\n".repeat(200));
    up.rule(
        "/example.com/page/*",
        Fault::status(403)
            .header("Content-Type", "text/html")
            .body(page),
    );
    up.rule(
        "/example.com/long/*",
        Fault::status(404).body("line\n\n".repeat(500)),
    );
    up.rule(
        "/example.com/binary/*",
        Fault::status(403).body(zip::noise(3000, 1)),
    );
    up.rule(
        "/example.com/huge/*",
        Fault::status(404).body(Body::repeat(b"no ", 64 << 20)),
    );
    let larder = larder().of(&up).start();
    for name in ["page", "long", "binary", "huge"] {
        let answer = larder.get(&format!("/example.com/{name}/@v/list"));
        let text = answer.refuses(&[403, 404]);
        assert!(!text.contains('<'), "{text}");
    }
    // Of the huge one, no more is read than can be shown.
    assert!(up.last("/example.com/huge/*").sent < 16 << 20);
}

#[test]
fn c53_the_second_request_of_a_404_is_answered_from_memory() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    let module = Module::new("example.com/m", "v1.0.0");
    for path in [
        module.list_url(),
        module.latest_url(),
        module.url("mod"),
        module.url("zip"),
        "/example.com/m/@v/main.info".to_owned(),
    ] {
        larder.get(&path).refuses(&[404]);
        let asked = up.total();
        let again = larder.get(&path);
        again.refuses(&[404]);
        assert_eq!(up.total(), asked, "{path}");
    }
}

#[test]
fn c53_a_canonical_info_is_always_asked_for() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    let path = "/example.com/m/@v/v1.0.0.info";
    for n in 1..4 {
        larder.get(path).refuses(&[404]);
        assert_eq!(up.count(path), n);
    }
    up.add(&Module::new("example.com/m", "v1.0.0"));
    larder.get(path).ok();
}

#[test]
fn c53_a_negative_answer_expires() {
    let up = FakeUpstream::start();
    let larder = larder()
        .of(&up)
        .set("freshness.negative_ttl", "200ms")
        .start();
    let module = Module::new("example.com/m", "v1.0.0");
    for path in [module.list_url(), module.url("mod"), module.url("zip")] {
        larder.get(&path).refuses(&[404]);
    }
    up.add(&module);
    for path in [module.list_url(), module.url("mod"), module.url("zip")] {
        until("the module seen", || {
            larder.get(&path).is_ok().then_some(())
        });
    }
}

#[test]
fn negatives_of_files_are_dropped_when_the_info_succeeds() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    let module = Module::new("example.com/m", "v1.0.0");
    larder.get(&module.url("mod")).refuses(&[404]);
    larder.get(&module.url("zip")).refuses(&[404]);
    up.add(&module);
    larder.get(&module.url("mod")).refuses(&[404]);
    larder.get(&module.url("info")).ok();
    assert_eq!(larder.get(&module.url("mod")).ok(), module.mod_bytes());
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
}

const NO: [&str; 6] = [
    "/example.com/m/cmd/x/@v/list",
    "/example.com/m/cmd/x/@latest",
    "/example.com/m/cmd/x/@v/main.info",
    "/example.com/m/cmd/x/@v/v1.0.0.info",
    "/example.com/m/cmd/x/@v/v1.0.0.mod",
    "/example.com/m/cmd/x/@v/v1.0.0.zip",
];

/// Asks until the answer is a kept 404 that is past its time.
#[track_caller]
fn stale_no(larder: &Larder, path: &str) -> Response {
    until(&format!("a kept 404 for {path}"), || {
        let answer = larder.get(path);
        answer.refuses(&[404]);
        answer.is_stale().then_some(answer)
    })
}

fn forgetful(up: &FakeUpstream) -> server::Builder {
    larder()
        .of(up)
        .set("freshness.negative_ttl", "1ms")
        .no_breaker()
}

#[test]
fn a_no_that_every_source_gave_is_left_when_nobody_can_be_asked() {
    let mut up = FakeUpstream::start();
    up.rule(
        "/example.com/gone/*",
        Fault::status(410).body("withdrawn\n"),
    );
    let mut larder = forgetful(&up).start();
    let gone = "/example.com/gone/@v/v1.0.0.info";
    for path in NO {
        larder.get(path).refuses(&[404]);
    }
    larder.get(gone).refuses(&[410]);
    // It is asked again each time as long as somebody answers.
    for path in NO {
        let answer = larder.get(path);
        answer.refuses(&[404]);
        assert!(!answer.is_stale(), "{}", answer.describe());
    }
    let stays = |larder: &Larder| {
        for path in NO {
            let answer = stale_no(larder, path);
            let text = answer.text();
            assert!(text.contains("cannot ask again"), "{text}");
            assert!(answer.header("Age").is_some());
            assert_eq!(answer.header("Cache-Control"), Some("public, max-age=60"));
        }
        larder.get(gone).refuses(&[410]);
    };
    for status in [429, 503] {
        up.rule("*", Fault::status(status));
        stays(&larder);
        up.clear_rules();
    }
    up.stop();
    stays(&larder);
    // Nobody has said anything of these.
    larder
        .get("/example.com/other/@v/list")
        .refuses(&[502, 503, 504]);
    larder.kill9();
    larder.restart();
    stays(&larder);
    // "Ask again" is done as well as it can be.
    let forced = larder.get_with(NO[0], "Cache-Control", "no-cache");
    assert!(forced.is_stale(), "{}", forced.describe());
    assert!(larder.metrics().contains(r#"outcome="stale""#));
}

#[test]
fn a_kept_no_does_not_wait_for_an_upstream_that_hangs() {
    let up = FakeUpstream::start();
    let larder = forgetful(&up).start();
    for path in NO {
        larder.get(path).refuses(&[404]);
    }
    up.rule("*", Fault::hang());
    for (paths, patience) in [(&NO[..3], 4), (&NO[3..], 9)] {
        let started = std::time::Instant::now();
        std::thread::scope(|scope| {
            for path in paths {
                scope.spawn(|| stale_no(&larder, path));
            }
        });
        let took = started.elapsed().as_secs();
        assert!(took < patience, "{took} s");
    }
}

#[test]
fn a_kept_no_does_not_hide_what_comes_slowly() {
    let up = FakeUpstream::start();
    let larder = forgetful(&up).set("freshness.refresh_wait", "2s").start();
    let module = Module::new("example.com/m", "v1.0.0");
    let other = Module::new("example.com/other", "v1.0.0");
    for kind in ["info", "mod", "zip"] {
        larder.get(&module.url(kind)).refuses(&[404]);
    }
    larder.get(&module.list_url()).refuses(&[404]);
    up.add(&module);
    up.add(&other);
    // Nothing else is answered meanwhile, so it might be hanging; but not for long.
    let slow = std::time::Duration::from_millis(2500);
    up.rule("/example.com/m/*", Fault::delay(slow));
    assert_eq!(larder.get(&module.url("mod")).ok(), module.mod_bytes());
    // Somebody else is answered, so it is not: that is seen when the moment for a refresh is over.
    let list = std::thread::scope(|scope| {
        let list = scope.spawn(|| larder.get(&module.list_url()));
        up.wait_count(&module.list_url(), 2);
        larder.get(&other.url("info")).ok();
        list.join().unwrap()
    });
    assert_eq!(list.ok(), b"v1.0.0\n", "{}", list.describe());
}

#[test]
fn what_appears_is_not_missing_any_more() {
    let mut up = FakeUpstream::start();
    let larder = forgetful(&up).start();
    let module = Module::new("example.com/m", "v1.0.0");
    let paths = [module.url("mod"), module.url("zip"), module.list_url()];
    for path in &paths {
        larder.get(path).refuses(&[404]);
    }
    up.add(&module);
    larder.get(&module.url("info")).ok();
    up.stop();
    for path in &paths {
        until("the 404 to be dropped", || {
            let answer = larder.get(path);
            (answer.status != 404).then(|| answer.refuses(&[502, 503, 504]))
        });
    }
}

#[test]
fn only_a_no_of_every_source_is_kept() {
    let (first, mut second) = (FakeUpstream::start(), FakeUpstream::start());
    let chain = format!("{},{}", first.url(), second.url());
    let mut larder = larder()
        .upstream(&chain)
        .set("freshness.negative_ttl", "1ms")
        .no_breaker()
        .start();
    let faults = |larder: &Larder| {
        for path in NO {
            larder.get(path).refuses(&[502, 503, 504]);
        }
    };
    second.rule("*", Fault::status(500));
    faults(&larder);
    // Whoever is asked for nothing has not said anything.
    for path in NO {
        larder.get_kept(path).refuses(&[404]);
    }
    larder.stop();
    larder.restart_with(|builder| builder.upstream("off"));
    for path in NO {
        larder.get(path).refuses(&[404]);
    }
    larder.stop();
    larder.restart_with(|builder| builder.upstream(&chain));
    faults(&larder);
    second.clear_rules();
    for path in NO {
        larder.get(path).refuses(&[404]);
    }
    second.stop();
    for path in NO {
        stale_no(&larder, path);
    }
}

#[test]
fn names_at_random_do_not_fill_the_index() {
    let _heavy = heavy();
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    let size = || -> u64 {
        let files = larder.files("index");
        files
            .iter()
            .map(|file| file.metadata().map_or(0, |it| it.len()))
            .sum()
    };
    std::thread::scope(|scope| {
        for client in 0..4 {
            let larder = &larder;
            scope.spawn(move || {
                for n in 0..1500 {
                    let path = format!("/example.com/c{client}/n{n}/@v/list");
                    larder.get(&path).refuses(&[404]);
                }
            });
        }
    });
    assert!(size() < 8 << 20, "{}", size());
}

#[test]
fn c37_a_403_is_kept_for_ten_seconds_at_most() {
    let up = FakeUpstream::start();
    let module = Module::new("example.com/m", "v1.0.0");
    up.add(&module);
    up.rule("*", Fault::status(403));
    let larder = larder().of(&up).start();
    for path in [module.list_url(), module.url("zip"), module.url("info")] {
        larder.get(&path).refuses(&[403]);
    }
    up.clear_rules();
    for path in [module.list_url(), module.url("zip"), module.url("info")] {
        until("the ban lifted", || larder.get(&path).is_ok().then_some(()));
    }
}

#[test]
fn negative_answers_do_not_outlive_a_restart_as_truth() {
    let up = FakeUpstream::start();
    let module = Module::new("example.com/m", "v1.0.0");
    let mut larder = larder().of(&up).start();
    larder.get(&module.list_url()).refuses(&[404]);
    larder.kill9();
    up.add(&module);
    larder.restart_with(|b| b.set("freshness.negative_ttl", "100ms"));
    until("the module seen", || {
        larder.get(&module.list_url()).is_ok().then_some(())
    });
}
