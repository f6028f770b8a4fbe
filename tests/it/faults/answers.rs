//! Wrong answers: statuses, bodies of another kind, bodies that are too short.

use crate::support::*;

const FAULT: &[u16] = &[502, 503, 504];

fn module() -> Module {
    Module::new("example.com/m", "v1.0.0")
}

fn endpoints(module: &Module) -> [String; 5] {
    [
        module.list_url(),
        module.latest_url(),
        module.url("info"),
        module.url("mod"),
        module.url("zip"),
    ]
}

/// Every endpoint answers the fault as an upstream's, keeps nothing of it, and is well once upstream is.
#[track_caller]
fn is_upstream_fault(what: &str, fault: &Fault) {
    let module = module();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).no_breaker().impatient().start();
    up.rule("*", fault.clone());
    for path in endpoints(&module) {
        let answer = larder.get(&path);
        assert!(
            FAULT.contains(&answer.status),
            "{what} at {path}: {}",
            answer.describe()
        );
        let text = answer.refuses(FAULT);
        let host = up.addr().to_string();
        assert!(text.contains(&host), "{what}: names the upstream: {text}");
        assert!(!larder.blob(&path).exists(), "{what} at {path}: kept");
    }
    up.clear_rules();
    for path in endpoints(&module) {
        let answer = larder.get(&path);
        assert_eq!(
            answer.status,
            200,
            "{what} at {path}: {}",
            answer.describe()
        );
    }
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
}

#[test]
fn c38_server_errors_are_never_not_found() {
    is_upstream_fault("500", &Fault::status(500));
    is_upstream_fault("502", &Fault::status(502).body("<html>bad gateway</html>"));
    is_upstream_fault("503", &Fault::status(503));
    is_upstream_fault("504", &Fault::status(504).body(""));
}

#[test]
fn c38_other_temporary_statuses() {
    is_upstream_fault("408", &Fault::status(408));
    is_upstream_fault("425", &Fault::status(425));
    is_upstream_fault("429", &Fault::status(429));
}

#[test]
fn c38_statuses_that_mean_nothing_here() {
    is_upstream_fault("204", &Fault::status(204).body(""));
    is_upstream_fault("206", &Fault::status(206));
    is_upstream_fault("304", &Fault::status(304).body(""));
    is_upstream_fault("418", &Fault::status(418));
}

#[test]
fn c38_broken_connections() {
    is_upstream_fault("closed without an answer", &Fault::close());
    is_upstream_fault("reset in the body", &Fault::reset(5));
    is_upstream_fault("silence in the body", &Fault::stall(5));
}

#[test]
fn c38_an_unreachable_upstream() {
    let dead = DeadPort::new();
    let larder = larder().upstream(&dead.url()).no_breaker().start();
    for path in endpoints(&module()) {
        larder.get(&path).refuses(FAULT);
    }
}

#[test]
fn c38_a_host_that_does_not_exist() {
    let larder = larder().upstream("http://no-such-host.invalid").start();
    let text = larder.get("/example.com/m/@v/list").refuses(FAULT);
    assert!(text.contains("no-such-host.invalid"), "{text}");
}

#[test]
fn c38_wanted_credentials_are_our_misconfiguration() {
    for status in [401, 407] {
        let up = FakeUpstream::serving(&[module()]);
        up.rule(
            "*",
            Fault::status(status).header("WWW-Authenticate", "Basic realm=x"),
        );
        let larder = larder().of(&up).start();
        for path in endpoints(&module()) {
            let text = larder.get(&path).refuses(&[502]);
            assert!(text.contains(&up.addr().to_string()), "{text}");
            assert!(text.to_lowercase().contains("credential"), "{text}");
        }
    }
}

#[test]
fn c42_short_bodies() {
    is_upstream_fault("cut at the start", &Fault::cut(0));
    is_upstream_fault("cut in the body", &Fault::cut(4));
    is_upstream_fault(
        "one byte short",
        &Fault::none().with_length(Length::Declared(100_000)),
    );
}

#[test]
fn c42_a_large_zip_that_breaks_off_never_arrives_whole() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(2_000_000, 2));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).no_breaker().impatient().start();
    let len = module.zip_bytes().len() as u64;
    for at in [100_000, len - 30_000, len - 1] {
        up.rule("*.zip", Fault::cut(at));
        let answer = larder.get(&module.url("zip"));
        assert!(!answer.is_ok(), "cut at {at}");
        assert!(![404, 410].contains(&answer.status), "{}", answer.status);
        assert!(module.zip_bytes().starts_with(&answer.body) || answer.status != 200);
        larder.get_kept(&module.url("zip")).refuses(&[404]);
        up.clear_rules();
    }
    until("no temporary file", || {
        larder.files("tmp").is_empty().then_some(())
    });
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
}

#[test]
fn c42_a_chunked_zip_that_ends_early_by_its_own_account() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(400_000, 2));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).no_breaker().start();
    let short = module.zip_bytes().slice(..300_000);
    for length in [Length::Exact, Length::Chunked, Length::UntilClose] {
        up.clear_rules();
        up.rule("*", Fault::length(length).body(short.clone()));
        let answer = larder.get(&module.url("zip"));
        assert!(!answer.is_ok(), "{}", answer.describe());
    }
    up.clear_rules();
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
}

#[test]
fn c43_html_with_status_200() {
    is_upstream_fault("HTML", &Fault::html());
    let disguised = Fault::html().header("X-Odd", "1");
    let disguised = Fault {
        headers: Vec::new(),
        ..disguised
    };
    is_upstream_fault("HTML under the right type", &disguised);
}

#[test]
fn c43_bodies_that_are_something_else() {
    is_upstream_fault(
        "JSON error",
        &Fault::none().body("{\"error\":\"overloaded\"}"),
    );
    is_upstream_fault("one word", &Fault::none().body("invalid\n"));
    is_upstream_fault("binary", &Fault::none().body(zip::noise(1000, 3)));
}

#[test]
fn c43_info_that_is_no_info() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).no_breaker().start();
    for text in [
        "",
        "[]",
        "null",
        "{}",
        "\"v1.0.0\"",
        "{\"Version\":7}",
        "{\"Version\":\"\"}",
        "{\"Version\":\"v1.0.0\"",
        "{\"Version\":\"v1.0.0\"} trailing",
        "{\"Version\":\"v1.0.0\",\"Time\":\"yesterday\"}",
        "{\"Time\":\"2024-03-01T04:59:59Z\"}",
    ] {
        for end in ["@v/v1.0.0.info", "@v/main.info", "@latest"] {
            let path = format!("/example.com/m/{end}");
            up.put(&path, "application/json", text);
            let answer = larder.get(&path);
            assert_eq!(answer.status, 502, "{end} {text}: {}", answer.describe());
        }
    }
    for text in ["{\"Version\":\"main\"}", "{\"Version\":\"v1.2\"}"] {
        up.put("/example.com/m/@v/main.info", "application/json", text);
        let answer = larder.get("/example.com/m/@v/main.info");
        assert_eq!(answer.status, 502, "{text}: {}", answer.describe());
    }
}

#[test]
fn c44_info_of_another_version() {
    let up = FakeUpstream::start();
    let module = module();
    up.add(&module);
    let other = Fault::none().body("{\"Version\":\"v1.0.1\",\"Time\":\"2024-03-01T04:59:59Z\"}");
    up.rule("*.info", other);
    let larder = larder().of(&up).no_breaker().start();
    larder.get(&module.url("info")).refuses(&[502]);
    up.clear_rules();
    assert_eq!(larder.get(&module.url("info")).ok(), module.info_bytes());
}

#[test]
fn c43_mod_that_is_no_mod() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).no_breaker().start();
    let path = "/example.com/m/@v/v1.0.0.mod";
    let kind = "text/plain; charset=utf-8";
    for text in [
        "",
        "\n\n",
        "go 1.20\n",
        "// module example.com/m\n",
        "example.com/m\n",
    ] {
        up.put(path, kind, text);
        let answer = larder.get(path);
        assert_eq!(answer.status, 502, "{text:?}: {}", answer.describe());
    }
    let bare = "golang.org/toolchain";
    let toolchain = "/golang.org/toolchain/@v/v0.0.1-go1.25.3.linux-amd64.mod";
    up.put(toolchain, kind, bare);
    assert_eq!(larder.get(toolchain).ok(), bare.as_bytes());
}

#[test]
fn c43_a_list_without_one_valid_line_is_an_upstream_fault() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).no_breaker().start();
    for (n, text) in [
        "invalid\n",
        "<html>\n",
        "{\"versions\":[\"v1.0.0\"]}\n",
        "1.0.0\n1.1.0\n",
        "service temporarily unavailable, try v1.0.0 later\n",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("example.com/m{n}x");
        up.put_list(&name, text);
        let answer = larder.get(&format!("/{name}/@v/list"));
        assert_eq!(answer.status, 502, "{text}: {}", answer.describe());
    }
}

#[test]
fn c46_gzip_nobody_asked_for_is_decoded() {
    let module = Module::new("example.com/m", "v1.0.0").file("text", vec![b'a'; 200_000]);
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.rule("*", Fault::gzip());
    let larder = larder().of(&up).start();
    for _ in 0..2 {
        for (path, body) in [
            (module.url("info"), module.info_bytes()),
            (module.url("mod"), module.mod_bytes()),
            (module.url("zip"), module.zip_bytes()),
            (module.list_url(), "v1.0.0\n".into()),
        ] {
            let answer = larder.get(&path);
            assert_eq!(answer.ok(), body, "{path}");
            assert_eq!(answer.header("content-encoding"), None, "{path}");
        }
    }
    let tag = format!("\"{}\"", module.h1());
    let zip = larder.get(&module.url("zip"));
    assert_eq!(zip.header("etag"), Some(tag.as_str()));
}

#[test]
fn c46_gzip_is_decoded_within_bounds() {
    let _heavy = heavy();
    let up = FakeUpstream::start();
    let zeros = vec![b'\n'; 200 << 20];
    for path in ["/example.com/m/@v/v1.0.0.mod", "/example.com/m/@v/list"] {
        up.put(path, "text/plain; charset=utf-8", zeros.clone());
    }
    up.rule("*", Fault::gzip());
    let larder = larder().of(&up).no_breaker().start();
    let before = larder.memory().now;
    larder.reset_peak();
    larder.get("/example.com/m/@v/v1.0.0.mod").refuses(&[502]);
    larder.get("/example.com/m/@v/list").refuses(&[502]);
    let grown = larder.memory().peak.saturating_sub(before);
    assert!(grown < 48 << 20, "grown by {grown}");
}

#[test]
fn c41_error_bodies_hold_no_secret_and_no_local_path() {
    let up = FakeUpstream::serving(&[module()]);
    up.rule("*.info", Fault::status(500));
    up.rule("*.mod", Fault::status(401));
    up.rule("*.zip", Fault::html());
    let chain = format!("http://user:hunter2@{}", up.addr());
    // Refused at the start, or started without ever using what may not go over plain http.
    let builder = larder().upstream(&chain);
    let larder = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| builder.clone().start()));
    let Ok(larder) = larder else {
        builder.serve_to_end().expect(2);
        return;
    };
    for path in endpoints(&module()) {
        let answer = larder.get(&path);
        assert!(!answer.text().contains("hunter2"), "{}", answer.describe());
    }
    larder.get("/example.com/none/@v/list").refuses(&[404]);
    assert!(!larder.get("/readyz").text().contains("hunter2"));
    assert!(!larder.metrics().contains("hunter2"));
    assert!(!larder.stderr().contains("hunter2"));
    let sent = up.requests();
    assert!(sent.iter().all(|r| r.header("authorization").is_none()));
}
