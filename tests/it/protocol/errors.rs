//! Errors: text for `go` and for people, their parts for programs that ask for them.

use serde_json::Value;

use crate::support::*;

/// What comes through whole, with this `Accept`.
fn asked(larder: &Larder, method: &str, path: &str, accept: Option<&str>) -> Response {
    let mut request = Request::new(method, path).header("X-Request-Id", "the-build");
    if let Some(accept) = accept {
        request = request.header("Accept", accept);
    }
    request.send(larder.addr())
}

#[test]
fn programs_get_the_parts_of_an_error() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    up.rule("*/broken/@v/list", Fault::status(500));
    up.rule("*/no/@v/list", Fault::status(403));
    let larder = larder()
        .of(&up)
        .listen("0.0.0.0:0")
        .set("upstream.attempts", "1")
        .no_breaker()
        .arg("--private")
        .arg("corp.example.com")
        .start();
    for (method, path, status, kind, names_upstream, has_hint) in [
        (
            "GET",
            "/example.com/gone/@v/list",
            404,
            "absent",
            true,
            false,
        ),
        ("GET", "/example.com/no/@v/list", 403, "refused", true, true),
        (
            "GET",
            "/example.com/broken/@v/list",
            502,
            "upstream_fault",
            true,
            true,
        ),
        ("GET", "/example.com/M/@v/list", 404, "absent", false, false),
        (
            "GET",
            "/corp.example.com/secret/@v/list",
            401,
            "unauthorized",
            false,
            true,
        ),
        ("POST", "/healthz", 405, "method_not_allowed", false, false),
        (
            "POST",
            "/example.com/m/@v/list",
            405,
            "method_not_allowed",
            false,
            false,
        ),
    ] {
        let text = asked(&larder, method, path, None);
        let shown = text.describe();
        assert_eq!(text.status, status, "{shown}");
        let lines = text.refuses(&[status]);
        assert_eq!(text.header("vary"), Some("accept"), "{shown}");
        for accept in ["*/*", "text/html,*/*;q=0.8", "text/plain, application/json"] {
            let same = asked(&larder, method, path, Some(accept));
            assert_eq!(same.text(), lines, "{accept}");
        }
        let answer = asked(&larder, method, path, Some("application/json"));
        let shown = answer.describe();
        assert_eq!(answer.status, status, "{shown}");
        assert!(answer.complete, "{shown}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{shown}"
        );
        assert_eq!(answer.header("vary"), Some("accept"), "{shown}");
        for name in ["cache-control", "www-authenticate", "allow", "retry-after"] {
            assert_eq!(answer.header(name), text.header(name), "{name}: {shown}");
        }
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let error = &body["error"];
        let fields: Vec<_> = error.as_object().expect("an object").keys().collect();
        assert_eq!(
            fields,
            ["kind", "message", "upstream", "hint", "request_id"]
        );
        assert_eq!(error["kind"], kind, "{shown}");
        assert_eq!(error["request_id"], "the-build");
        assert_eq!(error["upstream"].is_string(), names_upstream, "{shown}");
        assert_eq!(error["hint"].is_string(), has_hint, "{shown}");
        // The same words as in the text, however far that goes.
        let parts = [&error["message"], &error["hint"]].map(|part| part.as_str().unwrap_or(""));
        let all = parts.join("\n");
        assert!(all.starts_with(lines.trim_end()), "{lines:?} and {all:?}");
    }
}

#[test]
fn head_has_no_body_in_either_form() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let larder = larder().of(&up).start();
    let path = "/example.com/gone/@v/list";
    let get = asked(&larder, "GET", path, Some("application/json"));
    let head = asked(&larder, "HEAD", path, Some("application/json"));
    assert_eq!((head.status, head.body.len()), (404, 0));
    let length = head
        .header("content-length")
        .map(|length| length.parse().unwrap());
    assert_eq!(length, Some(get.body.len()));
}

#[test]
fn what_is_refused_before_it_is_routed_has_parts_too() {
    let admin = format!("127.0.0.1:{}", free_port());
    let larder = larder().upstream("off").set("admin.listen", &admin).start();
    let two_hosts = Request::get("/").header("Host", "x").header("Host", "y");
    let nothing = Request::get("/nothing");
    for (request, addr, status, kind) in [
        (two_hosts, larder.addr(), 400, "bad_request"),
        (nothing, admin.parse().unwrap(), 404, "absent"),
    ] {
        let request = request.header("X-Request-Id", "the-build");
        let text = request.send(addr);
        text.refuses(&[status]);
        let json = request.header("Accept", "application/json").send(addr);
        assert_eq!(json.status, status, "{}", json.describe());
        for answer in [&text, &json] {
            assert_eq!(
                answer.header("vary"),
                Some("accept"),
                "{}",
                answer.describe()
            );
        }
        let body: Value = serde_json::from_slice(&json.body).expect("JSON");
        assert_eq!(body["error"]["kind"], kind);
        assert_eq!(body["error"]["request_id"], "the-build");
    }
}
