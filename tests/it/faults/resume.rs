//! Broken transfers are taken up again, and never stitched from two different files.

use crate::support::*;

fn large(seed: u64) -> Module {
    Module::new("example.com/m", "v1.0.0").file("data", zip::noise(3_000_000, seed))
}

#[test]
fn c42_broken_bodies_are_tried_again() {
    let module = Module::new("example.com/m", "v1.0.0");
    for fault in [
        Fault::cut(5),
        Fault::reset(5),
        Fault::close(),
        Fault::status(500),
        Fault::status(503),
    ] {
        let up = FakeUpstream::serving(std::slice::from_ref(&module));
        up.rule_n("*.zip", 1, fault.clone());
        up.rule_n("*.mod", 1, fault);
        let larder = larder().of(&up).start();
        assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
        assert_eq!(larder.get(&module.url("mod")).ok(), module.mod_bytes());
        assert_eq!(up.total(), 4, "{:?}", up.paths());
    }
}

#[test]
fn attempts_are_counted() {
    let up = FakeUpstream::start();
    up.rule("*", Fault::status(500));
    let larder = larder().of(&up).no_breaker().start();
    larder
        .get("/example.com/m/@v/list")
        .refuses(&[502, 503, 504]);
    assert_eq!(up.total(), 3);
    up.forget();
    up.clear_rules();
    // What upstream means is not asked twice.
    for status in [404, 410, 403, 401] {
        up.clear_rules();
        up.rule("*", Fault::status(status));
        let path = format!("/example.com/m{status}x/@v/list");
        larder.get(&path);
        assert_eq!(up.count(&path), 1, "{status}");
    }
}

#[test]
fn a_broken_transfer_is_resumed_by_range() {
    let module = large(1);
    let zip = module.zip_bytes();
    for (fault, lossy) in [
        (Fault::cut(1_000_000), false),
        (Fault::reset(1_000_000), true),
        (Fault::stall(1_000_000), false),
    ] {
        println!("{fault:?}");
        let up = FakeUpstream::serving(std::slice::from_ref(&module));
        up.ranges();
        up.rule_n("*.zip", 1, fault);
        let larder = larder().of(&up).impatient().start();
        assert_eq!(larder.get(&module.url("zip")).ok(), zip);
        let second = up.last("*.zip");
        let range = second.header("range").expect("a Range");
        assert!(
            range.starts_with("bytes=") && range.ends_with('-'),
            "{range}"
        );
        assert!(second.header("if-range").is_some(), "{second:?}");
        assert_eq!(second.status, 206);
        assert_eq!(up.count("*.zip"), 2);
        // What came before the break is not asked for again, but a reset may lose what nobody had read.
        let from = range["bytes=".len()..].trim_end_matches('-');
        let from: u64 = from.parse().unwrap();
        assert!((1..=1_000_000).contains(&from), "{range}");
        assert!(from == 1_000_000 || lossy, "{range}");
    }
}

#[test]
fn a_transfer_without_validators_starts_over() {
    let module = large(1);
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.rule_n("*.zip", 1, Fault::cut(1_000_000));
    let larder = larder().of(&up).start();
    // Of the second copy what had come already is compared and passed over.
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    assert_eq!(up.last("*.zip").header("range"), None);
    assert_eq!(up.count("*.zip"), 2);
}

/// The file changes at the upstream between the two parts.
fn changed_in_between(arrange: impl Fn(&FakeUpstream)) {
    let (old, new) = (large(1), large(2));
    let up = FakeUpstream::serving(std::slice::from_ref(&old));
    arrange(&up);
    let gate = Gate::new();
    up.rule_n("*.zip", 1, Fault::cut(1_000_000).with_gate(&gate));
    let larder = larder().of(&up).no_breaker().start();
    let answer = std::thread::scope(|scope| {
        let client = scope.spawn(|| larder.get(&old.url("zip")));
        // This request is still answered with the old file, each after it with the new one.
        gate.wait_arrived(1);
        up.add(&new);
        gate.open();
        client.join().unwrap()
    });
    answer.breaks_off();
    assert!(old.zip_bytes().starts_with(&answer.body));
    assert_eq!(larder.get(&old.url("zip")).ok(), new.zip_bytes());
    let settled = larder.get_hit(&old.url("zip"));
    assert_eq!(settled.ok(), new.zip_bytes());
    let tag = format!("\"{}\"", new.h1());
    assert_eq!(settled.header("etag"), Some(tag.as_str()));
}

#[test]
fn a_file_that_changed_meanwhile_is_not_stitched() {
    changed_in_between(FakeUpstream::ranges);
}

#[test]
fn a_file_that_changed_meanwhile_is_not_stitched_without_validators() {
    changed_in_between(|_| {});
}

#[test]
fn a_range_that_is_answered_wrongly_does_no_harm() {
    let module = large(1);
    let zip = module.zip_bytes();
    let rest = zip.slice(1_000_000..);
    // What is no answer to the question ends the transfer; what tells the question away, or answers another one rightly,
    // lets it go on.
    let (ends, goes_on) = (false, true);
    for (status, place, body, outcome) in [
        (
            206,
            format!("bytes 0-99/{}", zip.len()),
            zip.slice(..100),
            ends,
        ),
        (
            206,
            format!("bytes 999999-{}/{}", zip.len() - 1, zip.len()),
            zip.slice(999_999..),
            ends,
        ),
        (
            206,
            format!("bytes 1000000-{}/*", zip.len() - 1),
            zip.slice(..rest.len()),
            ends,
        ),
        (206, String::new(), rest.clone(), ends),
        (
            416,
            format!("bytes */{}", zip.len()),
            bytes::Bytes::new(),
            goes_on,
        ),
        (200, String::new(), zip.clone(), goes_on),
    ] {
        let up = FakeUpstream::serving(std::slice::from_ref(&module));
        up.ranges();
        up.rule_n("*.zip", 1, Fault::cut(1_000_000));
        let mut odd = Fault::status(status).body(body);
        if !place.is_empty() {
            odd = odd.header("Content-Range", &place);
        }
        up.rule_n("*.zip", 1, odd);
        let larder = larder().of(&up).no_breaker().start();
        let answer = larder.get(&module.url("zip"));
        match outcome {
            true => assert_eq!(answer.ok(), zip),
            false => answer.breaks_off(),
        }
        assert_eq!(larder.get(&module.url("zip")).ok(), zip);
    }
}
