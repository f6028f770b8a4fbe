//! Methods and headers (checklist 19 to 22, 24, 25).

use crate::support::*;

/// One upstream with everything that the endpoints need.
fn upstream() -> (FakeUpstream, Module) {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.query(&module, "main");
    (up, module)
}

fn endpoints(module: &Module) -> Vec<String> {
    vec![
        module.list_url(),
        module.latest_url(),
        module.url("info"),
        module.url("mod"),
        module.url("zip"),
        "/example.com/m/@v/main.info".to_owned(),
        "/example.com/unknown/@v/list".to_owned(),
    ]
}

/// The headers that must not depend on the method.
fn stable(response: &Response) -> Vec<(String, String)> {
    let varying = ["date", "age", "connection", "x-request-id", "cache-status"];
    let mut headers: Vec<_> = response
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .filter(|(name, _)| !varying.contains(&name.as_str()))
        .collect();
    headers.sort();
    headers
}

#[test]
fn c19_head_is_get_without_the_body() {
    let (up, module) = upstream();
    let larder = larder().of(&up).start();
    for path in endpoints(&module) {
        let get = larder.get(&path);
        let head = larder.head(&path);
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(stable(&head), stable(&get), "{path}");
        let length = head.header("content-length").map(|l| l.parse().unwrap());
        assert_eq!(length, Some(get.body.len()), "{path}");
    }
}

#[test]
fn c19_head_on_a_miss_fetches_like_get() {
    let (up, module) = upstream();
    let larder = larder().of(&up).start();
    for kind in ["info", "mod", "zip"] {
        let head = larder.head(&module.url(kind));
        head.expect(200);
        let length: usize = head.header("content-length").unwrap().parse().unwrap();
        assert_eq!(length, larder.get_hit(&module.url(kind)).body.len());
    }
    assert_eq!(up.total(), 3);
    assert!(up.requests().iter().all(|r| r.method == "GET"));
}

#[test]
fn c20_other_methods_are_405_with_allow() {
    let (up, module) = upstream();
    let larder = larder().of(&up).start();
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
        for path in [module.list_url(), module.url("zip")] {
            let answer = Request::new(method, &path)
                .header("Content-Length", "0")
                .send(larder.addr());
            assert_eq!(answer.status, 405, "{method} {}", answer.describe());
            let allow = answer.header("allow").unwrap_or("").to_uppercase();
            let allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
            assert!(allowed.contains(&"GET"), "{allow}");
            assert!(allowed.contains(&"HEAD"), "{allow}");
        }
    }
    up.assert_untouched();
}

#[test]
fn c21_content_types() {
    let (up, module) = upstream();
    // Whatever upstream calls them.
    up.rule(
        "*",
        Fault::none().header("Content-Type", "application/x-odd"),
    );
    let larder = larder().of(&up).start();
    for _ in 0..2 {
        for (path, kind) in [
            (module.list_url(), "text/plain; charset=utf-8"),
            (module.latest_url(), "application/json"),
            (module.url("info"), "application/json"),
            (module.url("mod"), "text/plain; charset=utf-8"),
            (module.url("zip"), "application/zip"),
        ] {
            let answer = larder.get(&path);
            answer.ok();
            let found = answer.header("content-type").unwrap().to_lowercase();
            assert_eq!(found, kind, "{path}");
        }
    }
    larder.get("/example.com/none/@v/list").refuses(&[404]);
}

#[test]
fn c22_caching_headers() {
    let (up, module) = upstream();
    up.rule("/example.com/gone/*", Fault::status(410));
    up.rule("/example.com/forbidden/*", Fault::status(403));
    up.rule("/example.com/broken/*", Fault::status(500));
    let larder = larder().of(&up).start();
    let forever = "public, max-age=31536000, immutable";
    let briefly = "public, max-age=60";
    for _ in 0..2 {
        for (path, status, wanted) in [
            (module.url("info"), 200, forever),
            (module.url("mod"), 200, forever),
            (module.url("zip"), 200, forever),
            (module.list_url(), 200, briefly),
            (module.latest_url(), 200, briefly),
            ("/example.com/m/@v/main.info".into(), 200, briefly),
            ("/example.com/none/@v/list".into(), 404, briefly),
            ("/example.com/gone/@v/list".into(), 410, briefly),
            ("/example.com/forbidden/@v/list".into(), 403, "no-store"),
            ("/example.com/broken/@v/list".into(), 502, "no-store"),
        ] {
            let answer = larder.get(&path);
            let shown = answer.describe();
            assert_eq!(answer.status, status, "{path}: {shown}");
            assert_eq!(answer.header("cache-control"), Some(wanted), "{path}");
        }
    }
}

#[test]
fn every_answer_has_a_request_id_of_its_own() {
    let (up, module) = upstream();
    let larder = larder().of(&up).start();
    let mut seen = std::collections::HashSet::new();
    for path in endpoints(&module).iter().chain(&endpoints(&module)) {
        let answer = larder.get(path);
        let id = answer.header("x-request-id").expect("an X-Request-Id");
        assert!(!id.is_empty() && seen.insert(id.to_owned()), "{id} again");
    }
}

#[test]
fn cache_status_says_what_happened() {
    let (up, module) = upstream();
    let larder = larder().of(&up).start();
    for path in [
        module.list_url(),
        module.latest_url(),
        module.url("info"),
        module.url("mod"),
        module.url("zip"),
    ] {
        let miss = larder.get(&path);
        assert!(miss.has_cache_status("fwd=miss"), "{}", miss.describe());
        assert!(!miss.is_hit(), "{}", miss.describe());
        let hit = larder.get_hit(&path);
        assert!(!hit.is_stale(), "{path}: {}", hit.describe());
        assert!(!hit.header("cache-status").unwrap().contains("fwd="));
    }
    let stored = larder.get("/example.com/m/@v/main.info");
    assert!(stored.has_cache_status("stored"), "{}", stored.describe());
}

#[test]
fn cache_status_forwards_nothing_that_is_decided_here() {
    let (up, module) = upstream();
    let builder = larder().of(&up).listen("0.0.0.0:0");
    let larder = builder.arg("--private").arg("corp.example.com").start();
    for path in [
        "/corp.example.com/m/@v/list",
        "/not-a-module",
        "/example.com/m/@v/v1.0.0.nothing",
        "/example.com/m/../m/@v/list",
        "/sumdb/sum.example.com/supported",
        &format!("/cached-only{}", module.url("mod")),
    ] {
        let answer = larder.get(path);
        assert!([401, 404].contains(&answer.status), "{}", answer.describe());
        let status = answer.header("cache-status").unwrap_or_default();
        assert!(!status.contains("fwd="), "{path}: {}", answer.describe());
        assert!(!answer.is_hit(), "{path}: {}", answer.describe());
    }
    up.assert_untouched();
}

#[test]
fn metadata_tells_its_age() {
    let (up, module) = upstream();
    let larder = larder().of(&up).start();
    for path in [module.list_url(), module.latest_url()] {
        larder.get(&path).ok();
        let age = larder.get(&path);
        let age: u64 = age.header("age").expect("an Age").parse().unwrap();
        assert!(age < 30, "{age}");
    }
}

#[test]
fn module_files_say_how_they_were_verified() {
    let (up, module) = upstream();
    let larder = larder().of(&up).start();
    for _ in 0..2 {
        // Without a checksum database, files are held to what was seen first.
        for (kind, by) in [
            ("info", None),
            ("mod", Some("first-seen")),
            ("zip", Some("first-seen")),
        ] {
            let answer = larder.get(&module.url(kind));
            answer.ok();
            assert_eq!(answer.header("larder-verified"), by, "{kind}");
        }
    }
}

#[test]
fn c24_disable_module_fetch_serves_what_is_kept_only() {
    let (up, module) = upstream();
    let larder = larder().of(&up).set("freshness.ttl", "100ms").start();
    for path in endpoints(&module) {
        let kept = larder.get_kept(&path);
        kept.refuses(&[404]);
    }
    up.assert_untouched();
    for path in &endpoints(&module)[..6] {
        larder.get_hit(path);
    }
    let asked = up.total();
    // Metadata of any age counts as kept.
    until("an age beyond the TTL", || {
        let list = larder.get_kept(&module.list_url());
        list.ok();
        let age: u64 = list.header("age")?.parse().ok()?;
        (age >= 1).then_some(())
    });
    for path in &endpoints(&module)[..6] {
        larder.get_kept(path).ok();
        larder.get(&format!("/cached-only{path}")).ok();
    }
    assert_eq!(up.total(), asked, "{:?}", up.paths());
}

#[test]
fn c24_cached_only_never_asks() {
    let (up, module) = upstream();
    let larder = larder().of(&up).start();
    for path in endpoints(&module) {
        larder.get(&format!("/cached-only{path}")).refuses(&[404]);
    }
    up.assert_untouched();
}

#[test]
fn c25_upstream_below_a_base_path() {
    let (up, module) = upstream();
    up.base("/goproxy/public");
    for chain in [up.url(), format!("{}/", up.url())] {
        let larder = larder().upstream(&chain).start();
        assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
        larder.get(&module.list_url()).ok();
        let target = up.last("*.zip").target;
        assert_eq!(target, "/goproxy/public/example.com/m/@v/v1.0.0.zip");
    }
}

#[test]
fn c25_larder_below_a_base_path() {
    let (up, module) = upstream();
    for base in ["/go", "/go/public/"] {
        let larder = larder().of(&up).set("server.base_path", base).start();
        let base = base.trim_end_matches('/');
        for path in &endpoints(&module)[..6] {
            larder.get_hit(&format!("{base}{path}"));
            larder.get(&format!("{base}/cached-only{path}")).ok();
            let outside = larder.get(path);
            assert_eq!(outside.status, 404, "{path}: {}", outside.describe());
        }
        larder.get("/healthz").ok();
        let page = larder.get(&format!("{base}/"));
        let own = format!("{}{base}", larder.addr());
        assert!(page.expect(200).text().contains(&own), "{}", page.text());
    }
}
