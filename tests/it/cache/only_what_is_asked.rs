//! Each file is fetched for itself, once, and asked for in the upstream's own terms.

use crate::support::*;

#[test]
fn one_file_asked_for_is_one_file_fetched() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let larder = larder().of(&up).start();
    for (n, kind) in ["mod", "info", "zip"].into_iter().enumerate() {
        larder.get(&format!("/example.com/m/@v/v1.0.0.{kind}")).ok();
        assert_eq!(up.total(), n + 1, "{:?}", up.paths());
    }
    larder.get("/example.com/m/@v/list").ok();
    assert_eq!(up.count("*/list"), 1);
    assert_eq!(up.total(), 4, "{:?}", up.paths());
}

#[test]
fn files_of_a_version_do_not_depend_on_each_other() {
    for gone in ["info", "mod", "zip"] {
        let module = Module::new("example.com/m", "v1.0.0");
        let up = FakeUpstream::serving(std::slice::from_ref(&module));
        let status = if gone == "mod" { 500 } else { 404 };
        up.rule(&format!("*.{gone}"), Fault::status(status));
        let larder = larder().of(&up).start();
        for (kind, body) in [
            ("info", module.info_bytes()),
            ("mod", module.mod_bytes()),
            ("zip", module.zip_bytes()),
        ] {
            let answer = larder.get(&module.url(kind));
            if kind == gone {
                answer.refuses(&[404, 502]);
            } else {
                assert_eq!(answer.ok(), body, "{kind} without {gone}");
            }
        }
    }
}

#[test]
fn upstream_is_asked_plainly() {
    let module = Module::new("github.com/Upper/m", "v2.0.0+incompatible").no_gomod();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    Request::get(&module.url("zip"))
        .header("Cookie", "session=secret")
        .header("Authorization", "Basic c2VjcmV0")
        .header("X-Forwarded-For", "10.1.2.3")
        .header("Accept-Encoding", "gzip, br")
        .header("If-None-Match", "\"x\"")
        .send(larder.addr())
        .ok();
    let seen = up.last("*.zip");
    assert_eq!(seen.method, "GET");
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    for name in ["cookie", "authorization", "if-none-match", "range"] {
        assert_eq!(seen.header(name), None, "{seen:?}");
    }
    let all = format!("{seen:?}");
    assert!(!all.contains("10.1.2.3"), "the client's address: {all}");
    let target = percent_decode(&seen.target);
    assert_eq!(target, "/github.com/!upper/m/@v/v2.0.0+incompatible.zip");
}

#[test]
fn hits_ask_nobody() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    for _ in 0..10 {
        for kind in ["info", "mod", "zip"] {
            larder.get(&module.url(kind)).ok();
        }
    }
    assert_eq!(up.total(), 3);
}

#[test]
fn hits_leak_no_descriptors_and_no_children() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(200_000, 4));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    let round = || {
        for kind in ["info", "mod", "zip"] {
            larder.get(&module.url(kind)).ok();
        }
        // And readers that leave in the middle.
        let (_, mut conn) = Request::get(&module.url("zip")).open(larder.addr());
        conn.read(100).unwrap();
    };
    (0..20).for_each(|_| round());
    let before = larder.descriptors();
    (0..100).for_each(|_| round());
    until("descriptors closed again", || {
        (larder.descriptors() <= before + 8).then_some(())
    });
    let children = format!("/proc/{0}/task/{0}/children", larder.pid());
    assert_eq!(std::fs::read_to_string(children).unwrap_or_default(), "");
}

#[test]
fn private_modules_are_never_asked_of_an_upstream() {
    let up = FakeUpstream::serving(&[
        Module::new("git.corp.example.com/secret", "v1.0.0"),
        Module::new("example.com/team/tool", "v1.0.0"),
        Module::new("corp.example.com/public", "v1.0.0"),
        Module::new("example.com/teamwork", "v1.0.0"),
    ]);
    let patterns = "*.corp.example.com,example.com/team,*/internal";
    for flag in [true, false] {
        up.forget();
        // They are asked straight of their hosts; here nothing leads there.
        let dead = DeadPort::new();
        let builder = larder()
            .of(&up)
            .env("HTTPS_PROXY", format!("http://127.0.0.1:{}", dead.port()));
        let larder = if flag {
            builder.arg("--private").arg(patterns).start()
        } else {
            builder.env("LARDER_PRIVATE", patterns).start()
        };
        for path in [
            "git.corp.example.com/secret",
            "example.com/team/tool",
            "example.com/team",
            "any.example/internal/x",
        ] {
            for end in [
                "@v/list",
                "@latest",
                "@v/v1.0.0.info",
                "@v/v1.0.0.mod",
                "@v/v1.0.0.zip",
            ] {
                let text = larder
                    .get(&format!("/{path}/{end}"))
                    .refuses(&[404, 502, 503, 504]);
                assert!(text.contains(path), "{text}");
            }
        }
        up.assert_untouched();
        larder.get("/corp.example.com/public/@v/list").ok();
        larder.get("/example.com/teamwork/@v/list").ok();
    }
}
