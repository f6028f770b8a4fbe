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

#[test]
fn negatives_are_never_served_stale() {
    let mut up = FakeUpstream::start();
    let larder = larder()
        .of(&up)
        .set("freshness.negative_ttl", "200ms")
        .start();
    let path = "/example.com/m/@v/list";
    larder.get(path).refuses(&[404]);
    up.stop();
    // While it is fresh it is an answer, afterwards nobody knows.
    let answer = until("no more 404", || {
        let answer = larder.get(path);
        (answer.status != 404).then_some(answer)
    });
    answer.refuses(&[502, 503, 504]);
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
