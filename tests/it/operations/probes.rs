//! What operators and their machines look at.

use crate::support::*;
use std::time::Duration;

fn start() -> (FakeUpstream, Larder) {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let larder = larder().of(&up).start();
    (up, larder)
}

#[test]
fn healthz_says_that_the_process_serves() {
    let (up, larder) = start();
    larder.get("/healthz").ok();
    larder.head("/healthz").expect(200);
    up.assert_untouched();
}

#[test]
fn readyz_tells_the_state_of_every_part_and_asks_nobody() {
    let (mut up, larder) = start();
    let check = || {
        let ready = larder.get("/readyz");
        ready.expect(200);
        let kind = ready.header("content-type").unwrap();
        assert!(kind.starts_with("application/json"), "{kind}");
        let _: serde_json::Value = serde_json::from_slice(&ready.body).expect("JSON");
        let text = ready.text().to_lowercase();
        for part in ["store", "upstream", "disk", "checksum", "breaker"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(ready.elapsed < Duration::from_secs(2));
    };
    check();
    up.rule("*", Fault::hang());
    check();
    up.assert_untouched();
    up.stop();
    check();
}

#[test]
fn version_is_told() {
    let (_up, larder) = start();
    let text = larder.get("/version").expect(200).text();
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
}

#[test]
fn metrics_are_openmetrics_and_hold_no_module_path() {
    let (up, larder) = start();
    up.rule("/example.com/broken/*", Fault::status(500));
    for path in [
        "m/@v/list",
        "m/@v/v1.0.0.zip",
        "m/@v/v1.0.0.zip",
        "none/@v/list",
        "broken/@v/list",
    ] {
        larder.get(&format!("/example.com/{path}"));
    }
    let answer = larder.get("/metrics");
    let kind = answer.header("content-type").unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.expect(200).text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(
        !text.contains("example.com"),
        "no module path in a label: {text}"
    );
    for word in [
        "request", "retries", "breaker", "flight", "upstream", "bytes",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(
            line.starts_with("larder_") || line.starts_with("process_"),
            "{line}"
        );
    }
}

#[test]
fn metrics_come_in_the_form_that_is_asked_for() {
    let (_up, larder) = start();
    larder.get("/example.com/m/@v/v1.0.0.zip").ok();
    for (accept, kind) in [
        ("text/plain", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
        ),
    ] {
        let answer = larder.get_with("/metrics", "Accept", accept);
        let found = answer.header("content-type").unwrap().to_owned();
        assert!(found.starts_with(kind), "{accept}: {found}");
        assert_eq!(answer.header("vary"), Some("accept"));
        let text = answer.expect(200).text();
        let open = kind.contains("openmetrics");
        assert_eq!(text.ends_with("# EOF\n"), open, "{accept}");
        let help = "# HELP larder_requests_total ";
        assert_eq!(text.contains(help), !open, "{accept}");
        assert!(text.contains("larder_requests_total{"), "{text}");
    }
}

/// All that a running server shows is in the README; that it shows all that is there is a unit test's.
#[test]
fn the_readme_knows_every_metric_of_a_running_server() {
    let (_up, larder) = start();
    larder.get("/example.com/m/@v/v1.0.0.zip").ok();
    let readme = include_str!("../../../README.md");
    let text = larder.get_with("/metrics", "Accept", "text/plain").text();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut count = 0;
    for family in families.filter_map(|line| line.split(' ').next()) {
        assert!(readme.contains(&format!("`{family}`")), "{family}");
        count += 1;
    }
    assert!(count > 15, "{text}");
}

#[test]
fn with_an_address_of_its_own_the_administrative_part_moves() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let port = free_port();
    let admin = format!("127.0.0.1:{port}");
    let larder = larder().of(&up).set("admin.listen", &admin).start();
    let addr = admin.parse().unwrap();
    larder.get("/healthz").ok();
    for path in ["/metrics", "/readyz", "/version"] {
        assert_eq!(larder.get(path).status, 404, "{path} on the public address");
        Request::get(path).send(addr).expect(200);
    }
    Request::get("/healthz").send(addr).ok();
    // No modules there.
    let answer = Request::get("/example.com/m/@v/list").send(addr);
    assert_eq!(answer.status, 404, "{}", answer.describe());
    larder.get("/example.com/m/@v/list").ok();
}

#[test]
fn the_page_at_the_root_shows_the_lines_to_copy() {
    let (_up, larder) = start();
    let page = larder.get("/");
    let kind = page.header("content-type").unwrap();
    assert!(kind.starts_with("text/html"), "{kind}");
    let text = page.expect(200).text();
    assert!(text.contains("GOPROXY"), "{text}");
    assert!(text.contains(&larder.addr().to_string()), "{text}");
}

#[test]
fn the_page_says_what_clients_of_private_modules_set() {
    let builder = larder()
        .arg("--private")
        .arg("git.example.com/*,example.com/[<b]");
    let page = builder.start().get("/").text();
    let line = "go env -w GONOSUMDB=git.example.com/*,example.com/[&lt;b]";
    assert!(page.contains(line), "{page}");
    assert!(!larder().start().get("/").text().contains("GONOSUMDB"));
}

#[test]
fn the_page_does_not_believe_the_host_header_blindly() {
    let (_up, larder) = start();
    let page = larder.get_with("/", "Host", "<script>alert(1)</script>");
    assert!(!page.text().contains("<script>alert"), "{}", page.text());
}

#[test]
fn the_page_shows_the_address_that_a_server_in_front_was_asked_for() {
    let (_up, larder) = start();
    let line = |request: Request| {
        let page = request.send(larder.addr()).expect(200).text();
        let line = page
            .lines()
            .find(|line| line.contains("go env -w GOPROXY="));
        line.unwrap().trim().to_owned()
    };
    let get = || Request::get("/").header("Host", "larder.example.com");
    let shown = |address: &str| format!("<pre>go env -w GOPROXY={address}</pre>");
    assert_eq!(line(get()), shown("http://larder.example.com"));
    let https = get().header("X-Forwarded-Proto", "https");
    assert_eq!(line(https), shown("https://larder.example.com"));
    let other = Request::get("/")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "larder.example.com:8443");
    assert_eq!(line(other), shown("https://larder.example.com:8443"));
    let standard = Request::get("/").header("Forwarded", "proto=https;host=larder.example.com");
    assert_eq!(line(standard), shown("https://larder.example.com"));
    let evil = get().header("X-Forwarded-Host", "\"><script>");
    assert_eq!(line(evil), shown("http://larder.example.com"));
}

#[test]
fn the_page_appends_the_base_path_to_the_public_address_once() {
    let up = FakeUpstream::start();
    for public_url in [
        "https://larder.example.com",
        "https://larder.example.com/go",
    ] {
        let larder = larder()
            .of(&up)
            .set("server.base_path", "/go")
            .set("server.public_url", public_url)
            .start();
        let page = larder.get("/").text();
        let line = "<pre>go env -w GOPROXY=https://larder.example.com/go</pre>";
        assert!(page.contains(line), "{page}");
        let doctor = larder.run(&["doctor"]).stdout;
        let line = "go env -w GOPROXY=https://larder.example.com/go\n";
        assert!(doctor.contains(line), "{doctor}");
    }
}

#[test]
fn a_browser_that_wants_an_icon_is_content() {
    let (up, larder) = start();
    let icon = larder.get("/favicon.ico");
    assert_eq!((icon.status, icon.body.len()), (204, 0));
    assert_eq!(icon.header("cache-status"), None);
    let page = larder.get("/").text();
    assert!(page.contains("rel=\"icon\" href=\"data:"), "{page}");
    up.assert_untouched();
}

#[test]
fn every_request_leaves_one_access_line() {
    let (_up, larder) = start();
    for path in ["/example.com/m/@v/v1.0.0.zip", "/example.com/none/@v/list"] {
        let answer = larder.get(path);
        let id = answer.header("x-request-id").unwrap().to_owned();
        let line = until("the access line", || {
            let log = larder.stderr();
            let found = log.lines().find(|l| l.contains(&id) && l.contains(path));
            found.map(str::to_owned)
        });
        assert!(line.contains(&answer.status.to_string()), "{line}");
    }
}

/// Probes come every few seconds and say nothing as long as they go well.
#[test]
fn probes_that_go_well_have_lines_for_whoever_looks_closely() {
    for (level, shown) in [
        ("info", false),
        ("info,larder::access=debug", true),
        ("debug", true),
    ] {
        let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
        let larder = larder().of(&up).set("log.level", level).start();
        for path in ["/healthz", "/readyz", "/metrics", "/version"] {
            larder.get(path).expect(200);
        }
        let id = larder.get("/example.com/m/@v/v1.0.0.zip");
        larder.wait_stderr(id.header("x-request-id").unwrap());
        for path in ["/healthz", "/readyz", "/metrics", "/version"] {
            let log = larder.stderr();
            let line = log
                .lines()
                .find(|line| line.contains(&format!("GET {path} ")));
            assert_eq!(line.is_some(), shown, "{level} {path}: {line:?}");
            assert!(line.is_none_or(|line| line.contains(" DEBUG ")), "{line:?}");
        }
        // What does not go well is said.
        let missing = larder.get("/healthz/no");
        larder.wait_stderr(missing.header("x-request-id").unwrap());
    }
}

#[test]
fn a_failed_fetch_can_be_joined_with_its_request() {
    for format in ["text", "json"] {
        let up = FakeUpstream::start();
        up.rule("*", Fault::status(500));
        let larder = larder().of(&up).set("log.format", format).start();
        let path = "/example.com/m/@v/v1.0.0.mod";
        let answer = larder.get_with(path, "X-Request-Id", "mine-7");
        let advice = "What is kept here goes on being served";
        assert!(answer.refuses(&[502]).contains(advice));
        let line = until("both lines", || {
            let log = larder.stderr();
            let mut lines = log.lines().filter(|line| line.contains("mine-7"));
            let failed = lines.clone().find(|line| line.contains("a fetch failed"))?;
            lines.find(|line| line.contains("larder::access"))?;
            Some(failed.to_owned())
        });
        let name = match format {
            "json" => "\"request_id\":\"mine-7\"",
            _ => "request_id=\"mine-7\"",
        };
        assert!(
            line.contains(name) || line.contains("request_id=mine-7"),
            "{line}"
        );
        assert!(!larder.stderr().contains(advice), "advice is for clients");
    }
}

#[test]
fn logs_for_machines_are_one_object_a_line() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let larder = larder().of(&up).set("log.format", "json").start();
    let path = "/example.com/m/@v/v1.0.0.zip";
    let answer = larder.get(path);
    let id = answer.header("x-request-id").unwrap();
    larder.wait_stderr(id);
    for line in larder.stderr().lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(object.is_object(), "{line}");
    }
}

#[test]
fn a_disabled_checksum_database_is_not_relayed() {
    let (up, larder) = start();
    let other = FakeUpstream::start();
    for name in ["sum.example.com".to_owned(), other.addr().to_string()] {
        for end in [
            "supported",
            "latest",
            "lookup/example.com/m@v1.0.0",
            "tile/8/0/000",
        ] {
            let answer = larder.get(&format!("/sumdb/{name}/{end}"));
            assert!([404, 410].contains(&answer.status), "{}", answer.describe());
        }
    }
    up.assert_untouched();
    other.assert_untouched();
}
