//! Redirects, and who gets to see credentials (checklist 45).

use crate::support::*;

const FAULT: &[u16] = &[502, 503, 504];

fn module() -> Module {
    Module::new("example.com/m", "v1.0.0")
}

/// A chain of redirects that ends at the truth after `hops`.
fn hops(up: &FakeUpstream, path: &str, hops: usize, end: &str) {
    for n in 0..hops {
        let from = if n == 0 {
            path.to_owned()
        } else {
            format!("/hop/{n}")
        };
        let to = if n + 1 == hops {
            end.to_owned()
        } else {
            format!("/hop/{}", n + 1)
        };
        up.rule(&from, Fault::redirect(&to));
    }
}

#[test]
fn c45_redirects_are_followed_for_every_endpoint() {
    let module = module();
    let cdn = FakeUpstream::serving(std::slice::from_ref(&module));
    for status in [301, 302, 303, 307, 308] {
        let up = FakeUpstream::start();
        let larder = larder().of(&up).start();
        for path in [
            module.list_url(),
            module.latest_url(),
            module.url("info"),
            module.url("mod"),
            module.url("zip"),
        ] {
            let to = format!("{}{path}", cdn.url());
            up.rule(&path, Fault::status(status).header("Location", &to));
            let answer = larder.get(&path);
            assert_eq!(answer.status, 200, "{status}: {}", answer.describe());
        }
        assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    }
}

#[test]
fn c45_redirects_have_an_end() {
    let module = module();
    let path = module.url("mod");
    let up = FakeUpstream::start();
    up.put("/elsewhere", "text/plain", module.mod_bytes());
    hops(&up, &path, 9, "/elsewhere");
    let near = larder().of(&up).start();
    assert_eq!(near.get(&path).ok(), module.mod_bytes());
    up.clear_rules();
    hops(&up, &path, 12, "/elsewhere");
    let far = larder().of(&up).start();
    far.get(&path).refuses(FAULT);
    up.clear_rules();
    up.rule(&path, Fault::redirect(&path));
    let round = larder().of(&up).start();
    round.get(&path).refuses(FAULT);
}

#[test]
fn c45_redirects_to_other_schemes_are_refused() {
    let module = module();
    for to in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//",
        "http://",
        ":",
    ] {
        let up = FakeUpstream::start();
        up.rule("*", Fault::redirect(to));
        let larder = larder().of(&up).start();
        let text = larder.get(&module.url("mod")).refuses(FAULT);
        assert!(!text.contains("root:"), "{text}");
    }
}

#[test]
fn c45_https_is_never_left_for_http() {
    let module = module();
    let plain = FakeUpstream::serving(std::slice::from_ref(&module));
    let up = FakeUpstream::start_tls();
    for kind in ["info", "mod", "zip"] {
        let to = format!("{}{}", plain.url(), module.url(kind));
        up.rule(&module.url(kind), Fault::redirect(&to));
    }
    let larder = larder()
        .of(&up)
        .env("SSL_CERT_FILE", tls_authority())
        .start();
    for kind in ["info", "mod", "zip"] {
        larder.get(&module.url(kind)).refuses(FAULT);
    }
    plain.assert_untouched();
}

#[test]
fn c45_credentials_stay_with_their_host() {
    let module = module();
    let other = FakeUpstream::start_tls();
    other.add(&module);
    let up = FakeUpstream::start_tls();
    up.add(&module);
    // Another port of the same name, and another name.
    let same_name = format!("{}{}", other.url(), module.url("mod"));
    let other_name = format!("https://127.0.0.1:{}{}", other.port(), module.url("zip"));
    up.rule("*.mod", Fault::redirect(&same_name));
    up.rule("*.zip", Fault::redirect(&other_name));
    let builder = larder().of(&up).env("SSL_CERT_FILE", tls_authority());
    let netrc = builder.write("netrc", "machine localhost login ann password hunter2\n");
    let larder = builder.env("NETRC", netrc).start();
    for kind in ["info", "mod", "zip"] {
        larder.get(&module.url(kind)).ok();
    }
    // `ann:hunter2`
    let basic = Some("Basic YW5uOmh1bnRlcjI=");
    for request in up.requests() {
        assert_eq!(request.header("authorization"), basic, "{}", request.path);
    }
    for request in other.requests() {
        assert_eq!(request.header("authorization"), None, "{}", request.path);
    }
    assert!(!larder.stderr().contains("hunter2"));
}

#[test]
fn c45_configured_credentials_go_to_their_host_only() {
    let module = module();
    let other = FakeUpstream::start_tls();
    other.add(&module);
    let up = FakeUpstream::start_tls();
    up.add(&module);
    let elsewhere = format!("https://127.0.0.1:{}{}", other.port(), module.url("zip"));
    up.rule("*.zip", Fault::redirect(&elsewhere));
    let text = format!(
        "[[credentials]]\nhost = \"localhost:{}\"\nusername = \"ann\"\npassword_env = \"SECRET\"\n",
        up.port()
    );
    let larder = larder()
        .of(&up)
        .config(&text)
        .env("SECRET", "hunter2")
        .env("SSL_CERT_FILE", tls_authority())
        .start();
    larder.get(&module.url("mod")).ok();
    larder.get(&module.url("zip")).ok();
    for request in up.requests() {
        let sent = request.header("authorization");
        assert_eq!(sent, Some("Basic YW5uOmh1bnRlcjI="), "{}", request.path);
    }
    assert_eq!(other.last("*.zip").header("authorization"), None);
}

#[test]
fn c45_user_information_in_the_url_is_used_over_https() {
    let module = module();
    let up = FakeUpstream::start_tls();
    up.add(&module);
    let chain = format!("https://ann:hunter2@localhost:{}", up.port());
    let larder = larder()
        .upstream(&chain)
        .env("SSL_CERT_FILE", tls_authority())
        .start();
    larder.get(&module.url("mod")).ok();
    let seen = up.last("*.mod");
    assert_eq!(seen.header("authorization"), Some("Basic YW5uOmh1bnRlcjI="));
    assert!(!seen.target.contains("hunter2"));
    larder.get("/example.com/none/@v/list").refuses(&[404]);
    assert!(!larder.get("/readyz").text().contains("hunter2"));
    assert!(!larder.stderr().contains("hunter2"));
}

#[test]
fn a_redirect_back_to_larder_is_a_loop() {
    let module = module();
    let up = FakeUpstream::start();
    let larder = larder().of(&up).impatient().start();
    for path in [module.list_url(), module.url("mod"), module.url("zip")] {
        up.rule(&path, Fault::redirect(&format!("{}{path}", larder.url())));
        let answer = larder.get(&path);
        answer.refuses(&[502, 503, 504, 508]);
        assert!(up.count(&path) <= 4, "{} requests", up.count(&path));
    }
    larder.get("/healthz").ok();
}

#[test]
fn two_larders_that_name_each_other_find_out() {
    let (a, b) = (free_port(), free_port());
    let at = |own: u16, other: u16| {
        larder()
            .listen(&format!("127.0.0.1:{own}"))
            .upstream(&format!("http://127.0.0.1:{other}"))
            .start()
    };
    let (one, two) = (at(a, b), at(b, a));
    for path in ["@v/list", "@v/v1.0.0.mod", "@v/v1.0.0.zip"] {
        let answer = one.get(&format!("/example.com/m/{path}"));
        answer.refuses(&[502, 503, 504, 508]);
        assert!(answer.elapsed.as_secs() < 15, "{:?}", answer.elapsed);
    }
    let answer = two.get("/example.com/m/@v/list");
    let text = answer.refuses(&[502, 503, 504, 508]);
    assert!(text.to_lowercase().contains("loop"), "{text}");
}

#[test]
fn a_chain_that_names_larder_itself_is_refused() {
    let port = free_port();
    for host in ["127.0.0.1", "localhost", "LOCALHOST"] {
        let finished = larder()
            .listen(&format!("127.0.0.1:{port}"))
            .upstream(&format!("http://{host}:{port}"))
            .serve_to_end()
            .expect(2);
        assert!(finished.stderr.contains("upstream"), "{}", finished.stderr);
    }
}
