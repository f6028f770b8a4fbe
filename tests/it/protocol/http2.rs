//! HTTP/2 without TLS, from clients that know that we speak it: everything is as over HTTP/1.1.

use crate::support::*;
use ::h2::Reason;
use std::time::{Duration, Instant};

/// Headers but for those that differ between any two answers, or say how HTTP/1.1 frames a message.
fn lasting(response: &Response) -> Vec<(String, String)> {
    let mut headers = response.lasting_headers();
    headers.retain(|(name, _)| !["connection", "transfer-encoding"].contains(&name.as_str()));
    headers
}

#[test]
fn answers_are_those_of_http_1_1() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(3_000_000, 7));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.query(&module, "main");
    let larder = larder().of(&up).set("prefetch.enabled", "false").start();
    let etag = larder.get_hit(&module.url("zip"));
    let etag = etag.header("etag").unwrap().to_owned();
    let mut paths: Vec<_> = ["info", "mod", "zip"].map(|it| module.url(it)).into();
    paths.extend([module.list_url(), module.latest_url()]);
    paths.extend(
        [
            "/example.com/m/@v/main.info",
            "/example.com/none/@v/list",
            "/example.com/UPPER/@v/list",
            "/nothing",
            "/healthz",
            "/",
        ]
        .map(str::to_owned),
    );
    let id = ("x-request-id", "my-own");
    let mut client = H2Client::open(larder.addr());
    for path in &paths {
        until("an answer that stays as it is", || {
            let fetched = larder.get(path).has_cache_status("stored");
            (!fetched).then_some(())
        });
        for method in ["GET", "HEAD", "POST"] {
            for headers in [
                &[][..],
                &[("range", "bytes=70000-200000"), id],
                &[("range", "bytes=-5")],
                &[("range", "bytes=99999999-")],
                &[("if-none-match", etag.as_str())],
                &[("disable-module-fetch", "true")],
                &[("via", "1.1 other"), ("cookie", "a=b"), ("cookie", "c=d")],
            ] {
                let mut request = Request::new(method, path);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let old = request.send(larder.addr());
                let new = client.send(method, path, headers);
                let what = format!("{method} {path} {headers:?}");
                assert_eq!(new.version, "HTTP/2.0");
                assert!(new.complete && old.complete, "{what}");
                assert_eq!(new.status, old.status, "{what}");
                assert_eq!(lasting(&new), lasting(&old), "{what}");
                // The page and the state tell of what changes.
                let changes = path == "/" && method == "GET";
                assert!(changes || new.body == old.body, "{what}");
                let given = headers.contains(&id);
                let said = new.header("x-request-id").unwrap();
                assert!(if given {
                    said == "my-own"
                } else {
                    said.len() == 20
                });
            }
        }
    }
}

#[test]
fn large_heads_pass_and_larger_ones_do_not() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    let mut client = H2Client::open(larder.addr());
    let long = "f".repeat(12_000);
    let answer = client.send("GET", &module.url("mod"), &[("x-filler", &long)]);
    assert_eq!(answer.ok(), module.mod_bytes());
    let longer = "f".repeat(70_000);
    let asked = client.ask("GET", &module.url("mod"), &[("x-filler", &longer)]);
    let refused = match client.head(asked) {
        Ok(body) => body.head.status == 431,
        Err(_) => true,
    };
    assert!(refused);
    larder.get(&module.url("mod")).ok();
}

#[test]
fn a_request_that_names_two_hosts_is_refused() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    let mut client = H2Client::open(larder.addr());
    let path = module.url("mod");
    for (headers, status) in [
        (&[(":authority", "x"), ("host", "X")][..], 200),
        (&[(":authority", "x"), ("host", "y")], 400),
    ] {
        assert_eq!(client.send("GET", &path, headers).status, status);
    }
}

#[test]
fn private_modules_are_for_those_who_may_have_them() {
    let private = Module::new("corp.example.com/lib", "v1.0.0");
    let (up, own) = (
        FakeUpstream::start(),
        FakeUpstream::serving(std::slice::from_ref(&private)),
    );
    let larder = larder()
        .of(&up)
        .config(&format!(
            "[[routes]]\nmatch = \"corp.example.com\"\nvia = \"{}\"\n",
            own.url()
        ))
        .start();
    let token = larder.run(&["token", "new", "ci"]).expect(0).stdout;
    let token = format!("Bearer {}", token.split_whitespace().last().unwrap());
    let mut client = H2Client::open(larder.addr());
    let path = private.url("mod");
    for _ in 0..3 {
        for (headers, status) in [
            (&[][..], 200),
            (&[(":authority", "localhost:1")], 200),
            (&[(":authority", "larder.example.com")], 401),
            (&[("x-forwarded-for", "10.0.0.1")], 401),
            (
                &[
                    (":authority", "larder.example.com"),
                    ("authorization", token.as_str()),
                ],
                200,
            ),
        ] {
            let answer = client.send("GET", &path, headers);
            assert_eq!(answer.status, status, "{headers:?}: {}", answer.describe());
        }
    }
}

#[test]
fn many_requests_share_a_connection() {
    let modules: Vec<_> = (0..40)
        .map(|n| {
            let data = zip::noise(100_000, n);
            Module::new(&format!("example.com/m{n}"), "v1.0.0").file("data", data)
        })
        .collect();
    let up = FakeUpstream::serving(&modules);
    let larder = larder().of(&up).start();
    let mut client = H2Client::open(larder.addr());
    for _ in 0..2 {
        let asked: Vec<_> = modules
            .iter()
            .map(|module| client.ask("GET", &module.url("zip"), &[]))
            .collect();
        for (asked, module) in asked.into_iter().zip(&modules) {
            let (answer, _) = client.finish(asked);
            assert_eq!(answer.ok(), module.zip_bytes());
        }
    }
}

#[test]
fn a_growing_zip_comes_as_it_grows() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(2_000_000, 5));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let gate = Gate::new();
    up.rule_n("*.zip", 1, Fault::gate_at(1_000_000, &gate));
    let larder = larder().of(&up).start();
    let mut client = H2Client::open(larder.addr());
    let asked = client.ask("GET", &module.url("zip"), &[]);
    let mut body = client.head(asked).unwrap();
    let mut all = Vec::new();
    while all.len() < 500_000 {
        all.extend_from_slice(&client.part(&mut body).unwrap().unwrap());
    }
    gate.open();
    while let Some(part) = client.part(&mut body).unwrap() {
        all.extend_from_slice(&part);
    }
    assert_eq!(all, module.zip_bytes());
}

#[test]
fn a_zip_that_fails_verification_is_reset() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(2_000_000, 5));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let mut zip = module.zip_bytes().to_vec();
    // In the middle of the data, which the checksum in the zip covers.
    zip[1_000_000] ^= 1;
    let gate = Gate::new();
    up.rule("*.zip", Fault::gate_at(1_500_000, &gate).body(zip.clone()));
    let larder = larder().of(&up).start();
    let mut client = H2Client::open(larder.addr());
    let asked = client.ask("GET", &module.url("zip"), &[]);
    let mut body = client.head(asked).unwrap();
    assert_eq!(body.head.status, 200);
    gate.open();
    let mut read = 0;
    let reset = loop {
        match client.part(&mut body) {
            Ok(Some(part)) => read += part.len(),
            Ok(None) => panic!("a whole body"),
            Err(reason) => break reason,
        }
    };
    assert!(read < zip.len());
    assert_eq!(reset, Reason::INTERNAL_ERROR);
    // The connection goes on.
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn who_has_left_is_noticed_within_a_second() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    let gate = up.gated("*.zip");
    let path = module.url("zip");
    let mut clients: Vec<_> = (0..10).map(|_| H2Client::open(larder.addr())).collect();
    let asked: Vec<_> = clients
        .iter_mut()
        .map(|client| client.ask("GET", &path, &[]))
        .collect();
    gate.wait_arrived(1);
    until("all of them to be there", || {
        (larder.open_connections() == 11).then_some(())
    });
    let left = Instant::now();
    drop((asked, clients));
    within(Duration::from_secs(3), "all of them to be gone", || {
        (larder.open_connections() == 1).then_some(())
    });
    larder.wait_stderr(&format!("GET {path} 499"));
    assert!(left.elapsed() < Duration::from_secs(3));
    // Nor does anybody wait for a request that was given up.
    let mut client = H2Client::open(larder.addr());
    let asked = client.ask("GET", &path, &[("user-agent", "gives-up")]);
    assert_eq!(client.get("/healthz").status, 200, "it has come");
    client.cancel(asked);
    until("the note of it", || {
        assert_eq!(client.get("/healthz").status, 200);
        let log = larder.stderr();
        let mut lines = log.lines();
        lines
            .any(|line| line.contains("gives-up") && line.contains("499"))
            .then_some(())
    });
    assert_eq!(gate.arrived(), 1, "the fetch goes on");
    gate.open();
    assert_eq!(client.get(&path).ok(), module.zip_bytes());
}

#[test]
fn a_stream_that_nobody_reads_ends_and_others_do_not() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(2_000_000, 5));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).set("server.write_timeout", "1s").start();
    larder.get_hit(&module.url("zip"));
    let mut client = H2Client::open(larder.addr());
    let asked = client.ask("GET", &module.url("zip"), &[]);
    let unread = client.head(asked).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        assert_eq!(client.get(&module.url("mod")).ok(), module.mod_bytes());
    }
    let mut unread = unread;
    let reset = loop {
        match client.part(&mut unread) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a whole body, although nobody read it"),
            Err(reason) => break reason,
        }
    };
    assert_eq!(reset, Reason::CANCEL);
    assert_eq!(client.get(&module.url("mod")).ok(), module.mod_bytes());
    assert_eq!(client.get(&module.url("zip")).ok(), module.zip_bytes());
}

#[test]
fn an_idle_connection_is_told_that_it_ends() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder()
        .of(&up)
        .set("server.request_header_timeout", "1s")
        .start();
    let mut client = H2Client::open(larder.addr());
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        client.get(&module.url("mod")).ok();
        std::thread::sleep(Duration::from_millis(50)); // Its pace.
    }
    let idle = Instant::now();
    assert!(client.ended(Duration::from_secs(10)), "without a GOAWAY");
    assert!(idle.elapsed() >= Duration::from_millis(700));
    // Nor does one stay that never gets so far.
    let mut conn = Conn::open(larder.addr()).unwrap();
    conn.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n").unwrap();
    conn.ends(Duration::from_secs(10));
}

#[test]
fn requests_under_way_end_when_the_server_stops() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(1_000_000, 5));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let gate = up.gated("*.zip");
    let mut larder = larder().of(&up).start();
    let mut client = H2Client::open(larder.addr());
    let mut idle = H2Client::open(larder.addr());
    idle.get("/healthz").ok();
    let asked = client.ask("GET", &module.url("zip"), &[]);
    gate.wait_arrived(1);
    larder.terminate();
    assert!(idle.ended(Duration::from_secs(5)), "without a GOAWAY");
    gate.open();
    let (answer, _) = client.finish(asked);
    assert_eq!(answer.ok(), module.zip_bytes());
    assert!(client.ended(Duration::from_secs(5)));
    assert_eq!(larder.wait_exit(), 0);
}

#[test]
fn a_preface_may_come_in_pieces() {
    let larder = larder().upstream("off").start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let bytes = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
    for piece in bytes.chunks(5) {
        conn.write(piece).unwrap();
    }
    let head = conn.read_exact(9);
    assert_eq!(head[3], 4, "the server's settings: {head:?}");
}
