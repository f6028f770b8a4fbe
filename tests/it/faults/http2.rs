//! Connections that die without a word, and HTTP/2 upstreams that end them in good order.

use crate::support::*;
use std::time::Duration;

fn path(n: usize) -> String {
    format!("/example.com/m{n}x/@v/list")
}

fn start(up: &H2Upstream) -> server::Builder {
    larder()
        .upstream(&up.url())
        .env("SSL_CERT_FILE", tls_authority())
}

/// So many different misses at once, all of which must be answered well.
#[track_caller]
fn at_once(larder: &Larder, misses: std::ops::Range<usize>) {
    let answers: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = misses
            .map(|n| scope.spawn(move || larder.get(&path(n))))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for answer in answers {
        assert!(answer.is_ok(), "{}\n{}", answer.describe(), larder.stderr());
    }
}

#[test]
fn after_a_time_out_a_new_connection_is_tried() {
    let up = H2Upstream::start();
    let larder = start(&up).set("upstream.first_byte_timeout", "2s").start();
    larder.get(&path(0)).ok();
    up.fall_silent();
    at_once(&larder, 1..5);
    // One would do; several that begin at once may each make their own.
    let connections = up.connections();
    assert!((2..=5).contains(&connections), "{connections}");
}

#[test]
fn a_silent_connection_is_noticed_in_time_for_another_try() {
    let up = H2Upstream::start();
    let larder = start(&up).start();
    larder.get(&path(0)).ok();
    up.fall_silent();
    let began = std::time::Instant::now();
    at_once(&larder, 1..5);
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(18),
        "before first_byte_timeout: {took:?}"
    );
}

#[test]
fn idle_connections_that_died_together_cost_one_time_out() {
    let modules: Vec<_> = (0..6)
        .map(|n| Module::new(&format!("example.com/m{n}x"), "v1.0.0"))
        .collect();
    let up = FakeUpstream::serving(&modules);
    let larder = larder().of(&up).impatient().start();
    // Three connections, idle afterwards.
    let gate = up.gated("*");
    std::thread::scope(|scope| {
        for n in 0..3 {
            let larder = &larder;
            scope.spawn(move || larder.get(&path(n)).ok().to_vec());
        }
        gate.wait_arrived(3);
        gate.open();
    });
    up.fall_silent();
    at_once(&larder, 3..4);
    at_once(&larder, 4..6);
}

#[test]
fn connections_that_end_after_a_few_requests_cost_nobody_an_answer() {
    let up = H2Upstream::start();
    up.per_connection(4);
    let larder = start(&up).start();
    for round in 0..4 {
        at_once(&larder, round * 24..(round + 1) * 24);
    }
    assert_eq!(up.requests(), 96, "each processed once");
    let metrics = larder.metrics();
    assert!(!metrics.contains(r#"outcome="broken""#), "{metrics}");
    assert!(
        larder
            .get("/readyz")
            .text()
            .contains(r#""breaker": "closed""#)
    );
}

#[test]
fn refused_streams_are_no_attempts() {
    let up = H2Upstream::start();
    let larder = start(&up).start();
    up.refuse(8);
    larder.get(&path(0)).ok();
    assert_eq!(up.requests(), 1);
    // Whoever refuses for ever is given up, but not left alone for it.
    up.refuse(1_000_000);
    for n in 1..8 {
        let text = larder.get(&path(n)).refuses(&[502]);
        assert!(text.contains("did not take the request"), "{text}");
    }
    up.refuse(0);
    larder.get(&path(9)).ok();
}
