//! The chain of upstreams, in Go's notation (checklist 39).

use crate::support::*;

const FAULT: &[u16] = &[502, 503, 504];

fn two() -> (FakeUpstream, FakeUpstream, Module) {
    let module = Module::new("example.com/m", "v1.0.0");
    let second = FakeUpstream::serving(std::slice::from_ref(&module));
    (FakeUpstream::start(), second, module)
}

fn paths(module: &Module) -> [String; 5] {
    [
        module.list_url(),
        module.latest_url(),
        module.url("info"),
        module.url("mod"),
        module.url("zip"),
    ]
}

#[test]
fn c39_a_comma_goes_on_at_404_and_410() {
    for status in [404, 410] {
        let (a, b, module) = two();
        a.rule("*", Fault::status(status));
        let larder = larder()
            .upstream(&format!("{},{}", a.url(), b.url()))
            .start();
        for path in paths(&module) {
            larder.get(&path).ok();
            assert_eq!(a.count(&path), 1, "asked in order");
        }
        assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    }
}

#[test]
fn c39_a_comma_stops_at_everything_else() {
    for fault in [
        Fault::status(403),
        Fault::status(500),
        Fault::status(429),
        Fault::close(),
        Fault::html(),
    ] {
        println!("first upstream: {fault:?}");
        let (a, b, module) = two();
        a.rule("*", fault);
        let larder = larder()
            .upstream(&format!("{},{}", a.url(), b.url()))
            .no_breaker()
            .start();
        for path in paths(&module) {
            larder.get(&path).refuses(&[403, 502, 503, 504]);
        }
        b.assert_untouched();
    }
}

#[test]
fn c39_a_bar_goes_on_at_any_error() {
    for fault in [
        Fault::status(404),
        Fault::status(403),
        Fault::status(401),
        Fault::status(500),
        Fault::status(429),
        Fault::close(),
        Fault::cut(3),
        Fault::html(),
    ] {
        println!("first upstream: {fault:?}");
        let (a, b, module) = two();
        a.rule("*", fault);
        let larder = larder()
            .upstream(&format!("{}|{}", a.url(), b.url()))
            .no_breaker()
            .start();
        for path in paths(&module) {
            larder.get(&path).ok();
        }
        assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    }
}

#[test]
fn c39_garbage_before_a_bar_leaves_no_trace() {
    for length in [Length::Chunked, Length::Exact] {
        for garbage in ["<!DOCTYPE html><p>who are you?", "<", ""] {
            let (a, b, module) = two();
            a.rule("*.zip", Fault::none().body(garbage).with_length(length));
            let mut larder = larder()
                .upstream(&format!("{}|{}", a.url(), b.url()))
                .no_breaker()
                .start();
            let got = larder.get(&module.url("zip"));
            assert_eq!(got.ok(), module.zip_bytes(), "{garbage:?} {length:?}");
            // What was recorded is what was kept.
            larder.stop();
            larder.run(&["index", "verify"]).expect(0);
        }
    }
}

#[test]
fn c39_a_dead_upstream_before_a_bar_costs_nothing_but_time() {
    let (_, b, module) = two();
    let dead = DeadPort::new();
    let larder = larder()
        .upstream(&format!("{}|{}", dead.url(), b.url()))
        .start();
    for path in paths(&module) {
        larder.get(&path).ok();
    }
}

#[test]
fn c39_not_found_only_if_every_source_said_so() {
    let missing = "/example.com/none/@v/list";
    for (separator, fault, wanted) in [
        (",", Fault::status(404), &[404, 410][..]),
        (",", Fault::status(410), &[404, 410]),
        ("|", Fault::status(404), &[404, 410]),
        ("|", Fault::status(500), FAULT),
        ("|", Fault::close(), FAULT),
        ("|", Fault::html(), FAULT),
        ("|", Fault::status(403), &[403, 502]),
    ] {
        let (a, b, _) = two();
        a.rule("*", fault);
        let chain = format!("{}{separator}{}", a.url(), b.url());
        let larder = larder().upstream(&chain).no_breaker().start();
        larder.get(missing).refuses(wanted);
        assert_eq!(b.count(missing), 1, "after {separator}");
    }
    // Also where the first one knows nothing and the second one fails.
    let (a, b, _) = two();
    b.rule("*", Fault::status(500));
    let larder = larder()
        .upstream(&format!("{},{}", a.url(), b.url()))
        .start();
    larder.get(missing).refuses(FAULT);
}

#[test]
fn c39_the_way_through_the_chain_is_walked_for_each_file() {
    let (a, b, module) = two();
    a.put(&module.url("info"), "application/json", module.info_bytes());
    let larder = larder()
        .upstream(&format!("{},{}", a.url(), b.url()))
        .start();
    for kind in ["info", "mod", "zip"] {
        larder.get(&module.url(kind)).ok();
    }
    assert_eq!(b.count("*.info"), 0);
    assert_eq!(b.count("*.zip"), 1);
}

#[test]
fn c39_direct_ends_the_chain_and_is_asked_as_any_other() {
    let (a, b, module) = two();
    // Nothing leads out of here; and of this path it is known without asking that there is no repository.
    let dead = DeadPort::new();
    let nowhere = format!("http://127.0.0.1:{}", dead.port());
    let impossible = "/github.com/one/@v/v1.0.0.info";
    let larder_of = |chain: &str| {
        let builder = larder().upstream(chain).no_breaker();
        builder.env("HTTPS_PROXY", &nowhere).start()
    };
    for chain in [
        "direct".to_owned(),
        format!("{},direct", a.url()),
        format!("{},direct,{}", a.url(), b.url()),
    ] {
        let larder = larder_of(&chain);
        let text = larder.get(&module.url("info")).refuses(FAULT);
        assert!(text.contains("https://example.com/m"), "{text}");
        larder.get(impossible).refuses(&[404]);
    }
    b.assert_untouched();
    // It does not turn the failure of another source into "not found".
    a.rule("*", Fault::status(500));
    for separator in [",", "|"] {
        let larder = larder_of(&format!("{}{separator}direct", a.url()));
        larder.get(impossible).refuses(FAULT);
    }
}

#[test]
fn c39_off_ends_the_chain() {
    let (a, b, module) = two();
    for chain in ["off".to_owned(), format!("{},off,{}", a.url(), b.url())] {
        let larder = larder().upstream(&chain).start();
        larder.get(&module.url("info")).refuses(&[403, 404]);
    }
    b.assert_untouched();
}

#[test]
fn c39_a_chain_that_means_nothing_is_refused() {
    for chain in [",", "|,", "ftp://example.com", "http://", "nonsense"] {
        let finished = larder().upstream(chain).serve_to_end();
        let finished = finished.expect(2);
        assert!(finished.stderr.contains("upstream"), "{}", finished.stderr);
    }
}

#[test]
fn c39_spaces_and_empty_entries_do_not_matter() {
    let (a, b, module) = two();
    let chain = format!(" {} ,, {} ", a.url(), b.url());
    let larder = larder().upstream(&chain).start();
    larder.get(&module.url("info")).ok();
    assert_eq!(a.total(), 1);
}

#[test]
fn a_host_alone_means_https() {
    let up = FakeUpstream::start_tls();
    let module = Module::new("example.com/m", "v1.0.0");
    up.add(&module);
    let chain = format!("localhost:{}", up.port());
    let larder = larder()
        .upstream(&chain)
        .env("SSL_CERT_FILE", tls_authority())
        .start();
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
}

#[test]
fn an_upstream_with_an_unknown_certificate_is_not_trusted() {
    let up = FakeUpstream::start_tls();
    up.add(&Module::new("example.com/m", "v1.0.0"));
    let larder = larder().of(&up).start();
    larder.get("/example.com/m/@v/list").refuses(FAULT);
    up.assert_untouched();
}

#[test]
fn a_proxy_of_the_environment_is_used_for_upstreams() {
    let module = Module::new("example.com/m", "v1.0.0");
    let proxy = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder()
        .upstream("http://modules.corp.invalid")
        .env("HTTP_PROXY", proxy.url())
        .env("http_proxy", proxy.url())
        .start();
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    let seen = proxy.last("*.zip");
    assert!(
        seen.target.starts_with("http://modules.corp.invalid"),
        "{seen:?}"
    );
}

#[test]
fn no_proxy_is_honoured() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let proxy = FakeUpstream::start();
    let larder = larder()
        .of(&up)
        .env("HTTP_PROXY", proxy.url())
        .env("http_proxy", proxy.url())
        .env("NO_PROXY", "127.0.0.0/8,localhost")
        .env("no_proxy", "127.0.0.0/8,localhost")
        .start();
    larder.get(&module.url("zip")).ok();
    proxy.assert_untouched();
}
