//! Answers that are ready go out by a short way, below the HTTP library: it must not be possible to tell.

use crate::support::*;
use std::time::{Duration, Instant};

/// A go.mod of so many bytes, about.
fn sized(path: &str, bytes: usize) -> Module {
    let line = "// This line is here to make the file larger than it has to be.\n";
    Module::new(path, "v1.0.0").gomod_more(&line.repeat(bytes / line.len()))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: larder\r\nUser-Agent: test\r\n\r\n")
}

fn ask(conn: &mut Conn, request: &str) -> Response {
    conn.write(request.as_bytes()).unwrap();
    conn.response(request.starts_with("HEAD")).unwrap()
}

#[test]
fn both_ways_say_the_same() {
    let modules = [
        sized("example.com/small", 0),
        sized("example.com/middle", 4096),
        sized("example.com/large", 60_000),
    ];
    let up = FakeUpstream::serving(&modules);
    let larder = larder().of(&up).set("prefetch.enabled", "false").start();
    let mut paths = Vec::new();
    for module in &modules {
        paths.extend(["info", "mod"].map(|kind| module.url(kind)));
        paths.extend([module.list_url(), module.latest_url()]);
    }
    for path in &paths {
        larder.get_hit(path);
        let mut conn = Conn::open(larder.addr()).unwrap();
        for _ in 0..6 {
            let short = ask(&mut conn, &get(path));
            let long = ask(&mut conn, &get(path).replace("User-Agent", "X-Nothing"));
            assert_eq!(short.ok(), long.ok(), "{path}");
            assert_eq!(short.status, long.status);
            assert_eq!(short.lasting_headers(), long.lasting_headers(), "{path}");
            for response in [&short, &long] {
                assert!(response.is_hit(), "{}", response.describe());
                assert!(
                    response
                        .header("date")
                        .is_some_and(|date| date.ends_with("GMT"))
                );
                assert_eq!(response.header("x-request-id").map(str::len), Some(20));
            }
            let changes = path.ends_with("list") || path.ends_with("latest");
            assert_eq!(short.header("age").is_some(), changes, "{path}");
        }
    }
    assert_eq!(up.total(), paths.len());
}

#[test]
fn ways_mix_on_one_connection() {
    let module = sized("example.com/m", 4096).file("large.bin", vec![7; 300_000]);
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    for kind in ["info", "mod", "zip"] {
        larder.get_hit(&module.url(kind));
    }
    let mut conn = Conn::open(larder.addr()).unwrap();
    let (info, go_mod) = (get(&module.url("info")), get(&module.url("mod")));
    let zip = get(&module.url("zip"));
    for round in 0..5 {
        assert_eq!(ask(&mut conn, &info).ok(), module.info_bytes(), "{round}");
        assert_eq!(ask(&mut conn, &go_mod).ok(), module.mod_bytes(), "{round}");
        assert_eq!(ask(&mut conn, &zip).ok(), module.zip_bytes(), "{round}");
        let head = ask(&mut conn, &info.replace("GET", "HEAD"));
        assert_eq!(head.status, 200);
        assert_eq!(
            ask(&mut conn, &get("/example.com/none/@v/v1.0.0.mod")).status,
            404
        );
        let part = go_mod.replace("User-Agent: test", "Range: bytes=0-3");
        assert_eq!(
            ask(&mut conn, &part).ok(),
            module.mod_bytes(),
            "small files are sent whole"
        );
    }
    // In pieces, and several at once: in their order, whichever way each takes.
    for piece in go_mod.as_bytes().chunks(7) {
        conn.write(piece).unwrap();
    }
    assert_eq!(conn.response(false).unwrap().ok(), module.mod_bytes());
    conn.write(format!("{info}{zip}{go_mod}{info}").as_bytes())
        .unwrap();
    for body in [
        module.info_bytes(),
        module.zip_bytes(),
        module.mod_bytes(),
        module.info_bytes(),
    ] {
        assert_eq!(conn.response(false).unwrap().ok(), body);
    }
    assert_eq!(ask(&mut conn, &info).ok(), module.info_bytes());
    let last = info.replace("User-Agent: test", "Connection: close");
    assert_eq!(ask(&mut conn, &last).ok(), module.info_bytes());
    assert!(conn.is_closed());
}

#[test]
fn every_answer_has_its_access_line_and_is_counted() {
    let module = sized("example.com/m", 0);
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).set("log.format", "json").start();
    larder.get_hit(&module.url("mod"));
    let mut conn = Conn::open(larder.addr()).unwrap();
    let mut ids = std::collections::HashSet::new();
    for _ in 0..10 {
        let answer = ask(&mut conn, &get(&module.url("mod")));
        assert!(ids.insert(answer.header("x-request-id").unwrap().to_owned()));
    }
    for id in &ids {
        larder.wait_stderr(id);
    }
    let log = larder.stderr();
    let line = log
        .lines()
        .find(|line| ids.iter().any(|id| line.contains(id)));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(line["method"], "GET");
    assert_eq!(line["path"], module.url("mod"));
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes"], module.mod_bytes().len());
    assert_eq!(line["cache"], "hit");
    assert_eq!(line["user_agent"], "test");
    let counted = "larder_requests_total{endpoint=\"mod\",outcome=\"hit\"} ";
    let metrics = larder.metrics();
    let count = metrics.lines().find_map(|line| line.strip_prefix(counted));
    assert!(count.unwrap().parse::<u64>().unwrap() >= 10);
}

#[test]
fn more_files_than_fit_in_memory() {
    let modules: Vec<_> = (0..300)
        .map(|n| sized(&format!("example.com/m{n}"), 4096))
        .collect();
    let up = FakeUpstream::serving(&modules);
    let larder = larder()
        .of(&up)
        .set("store.hot", "1MB")
        .set("prefetch.enabled", "false")
        .start();
    for module in &modules {
        larder.get_hit(&module.url("mod"));
    }
    let mut conn = Conn::open(larder.addr()).unwrap();
    for _ in 0..3 {
        for module in &modules {
            let answer = ask(&mut conn, &get(&module.url("mod")));
            assert_eq!(answer.ok(), module.mod_bytes());
            assert!(answer.is_hit());
        }
    }
    assert_eq!(up.total(), modules.len());
}

#[test]
fn a_list_asked_for_often_is_no_older_for_that() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).set("freshness.ttl", "1h").start();
    let list = module.list_url();
    let often = |expected: &str| {
        for _ in 0..6 {
            let answer = larder.get(&list);
            assert_eq!(answer.text(), expected);
            let fresh: u64 = answer.header("age").unwrap().parse().unwrap();
            assert!(fresh < 3600);
        }
    };
    larder.get(&list).ok();
    often("v1.0.0\n");
    assert_eq!(up.count("*/list"), 1);
    // Somebody wants it new.
    up.add(&Module::new("example.com/m", "v1.1.0"));
    let forced = larder.get_with(&list, "Cache-Control", "no-cache");
    assert_eq!(forced.text(), "v1.0.0\nv1.1.0\n");
    often("v1.0.0\nv1.1.0\n");
    assert_eq!(up.count("*/list"), 2);
    // A version turns up that it does not have.
    let newest = Module::new("example.com/m", "v1.2.0");
    up.add(&newest);
    larder.get(&newest.url("info")).ok();
    larder.get(&list).ok();
    often("v1.0.0\nv1.1.0\nv1.2.0\n");
    // The module is gone.
    up.remove(&list);
    larder
        .get_with(&list, "Cache-Control", "no-cache")
        .expect(404);
    larder.get(&list).expect(404);
}

#[test]
fn a_list_asked_for_often_gets_old_in_its_time() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder()
        .of(&up)
        .set("freshness.ttl", "300ms")
        .set("freshness.background", "false")
        .start();
    for _ in 0..6 {
        larder.get(&module.list_url()).ok();
    }
    up.add(&Module::new("example.com/m", "v1.1.0"));
    until("the new version", || {
        let list = larder.get(&module.list_url());
        (list.text() == "v1.0.0\nv1.1.0\n").then_some(())
    });
}

#[test]
fn a_connection_that_is_used_stays_open_and_an_idle_one_does_not() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder()
        .of(&up)
        .set("server.request_header_timeout", "1s")
        .start();
    larder.get_hit(&module.url("info"));
    let mut conn = Conn::open(larder.addr()).unwrap();
    let began = Instant::now();
    // Longer than it may wait for one request.
    while began.elapsed() < Duration::from_millis(2500) {
        ask(&mut conn, &get(&module.url("info"))).ok();
        std::thread::sleep(Duration::from_millis(50));
    }
    ask(&mut conn, &get(&module.url("zip"))).ok();
    ask(&mut conn, &get(&module.url("info"))).ok();
    let idle = Instant::now();
    assert!(conn.is_closed());
    assert!(
        idle.elapsed() >= Duration::from_millis(700),
        "{:?}",
        idle.elapsed()
    );
    // Nor does one that begins a request and does not end it.
    let mut conn = Conn::open(larder.addr()).unwrap();
    conn.write(b"GET /example.com/m/@v/v1.0.0.info HT").unwrap();
    assert!(conn.is_closed());
}

/// Requests as clients may send them, plain and not.
struct Requests {
    random: fastrand::Rng,
    paths: Vec<String>,
    etag: String,
}

impl Requests {
    /// A method, and a head without its last line.
    fn next(&mut self) -> (bool, String) {
        let random = &mut self.random;
        let any = |random: &mut fastrand::Rng, of: &[&str]| of[random.usize(..of.len())].to_owned();
        let is_head = random.u8(..8) == 0;
        let mut path = self.paths[random.usize(..self.paths.len())].clone();
        match random.u8(..40) {
            0 => path.push_str("?go-get=1"),
            1 => path = format!("http://larder{path}"),
            2 => path = path.replace("example.com", "example%2Ecom"),
            _ => {}
        }
        let mut headers = vec!["Host: larder".to_owned()];
        for _ in 0..random.usize(..4) {
            headers.push(any(
                random,
                &[
                    "User-Agent: Go-http-client/1.1",
                    "user-agent:   x",
                    "Accept: */*",
                    "ACCEPT-ENCODING: gzip, br",
                    "Accept-Language: de",
                    "Connection: Keep-Alive",
                    "Accept:",
                ],
            ));
        }
        if random.u8(..4) == 0 {
            let odd = any(
                random,
                &[
                    "X-Nothing: 1",
                    "Range: bytes=0-9",
                    "Range: bytes=999999999-",
                    "Via: 1.1 other",
                    "Authorization: Basic eDp5",
                    "Content-Length: 0",
                    "Accept: \u{e9}",
                    "Accept: a\tb",
                    "If-None-Match: \"other\"",
                    "If-None-Match: @",
                    "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
                    "Expect: 100-continue",
                    "Disable-Module-Fetch: true",
                ],
            );
            headers.push(odd.replace('@', &self.etag));
        }
        random.shuffle(&mut headers);
        let method = if is_head { "HEAD" } else { "GET" };
        let head = format!("{method} {path} HTTP/1.1\r\n{}\r\n", headers.join("\r\n"));
        (is_head, head)
    }
}

/// Sends so many requests at random, in pieces and several at once; each also so that it cannot take the short way.
fn both_ways_say_the_same_at_random(requests: usize) {
    let module = sized("example.com/m", 4096).file("large.bin", vec![7; 300_000]);
    let tiny = sized("example.com/tiny", 0);
    let up = FakeUpstream::serving(&[module.clone(), tiny.clone()]);
    let larder = larder()
        .of(&up)
        .set("prefetch.enabled", "false")
        .set("freshness.ttl", "1h")
        .start();
    let mut paths = Vec::new();
    for module in [&module, &tiny] {
        paths.extend(["info", "mod", "zip"].map(|kind| module.url(kind)));
        paths.extend([module.list_url(), module.latest_url()]);
    }
    let etag = larder.get(&paths[1]).header("etag").unwrap().to_owned();
    // The fourth time everything is ready that ever is.
    for path in paths.iter().cycle().take(4 * paths.len()) {
        larder.get_hit(path);
    }
    paths.push("/example.com/none/@v/v1.0.0.mod".to_owned());
    larder.get(paths.last().unwrap());
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut source = Requests {
        random: fastrand::Rng::with_seed(seed),
        paths,
        etag,
    };
    let mut pieces = fastrand::Rng::with_seed(!seed);
    let mut short = Conn::open(larder.addr()).unwrap();
    let mut long = Conn::open(larder.addr()).unwrap();
    let mut sent = 0;
    while sent < requests {
        let together = match pieces.u8(..4) {
            0 => 1 + pieces.usize(..4),
            _ => 1,
        };
        let batch: Vec<_> = (0..together).map(|_| source.next()).collect();
        let bytes: String = batch
            .iter()
            .map(|(_, head)| format!("{head}\r\n"))
            .collect();
        let mut rest = bytes.as_bytes();
        while !rest.is_empty() {
            let piece = match pieces.u8(..8) {
                0 => 1 + pieces.usize(..rest.len()),
                _ => rest.len(),
            };
            short.write(&rest[..piece]).unwrap();
            rest = &rest[piece..];
        }
        for (is_head, head) in &batch {
            long.write(format!("{head}X-Long-Way: 1\r\n\r\n").as_bytes())
                .unwrap();
            let expected = long.response(*is_head).unwrap();
            let answer = short.response(*is_head).unwrap();
            let shown = || format!("seed {seed}, of {bytes:?}: {head:?}");
            assert!(answer.complete && expected.complete, "{}", shown());
            assert_eq!(answer.status, expected.status, "{}", shown());
            assert_eq!(
                answer.lasting_headers(),
                expected.lasting_headers(),
                "{}",
                shown()
            );
            assert_eq!(answer.body, expected.body, "{}", shown());
        }
        sent += together;
    }
    assert!(up.total() <= source.paths.len() + 1, "all of it was kept");
}

#[test]
fn both_ways_say_the_same_to_a_thousand_requests() {
    both_ways_say_the_same_at_random(1_000);
}

#[test]
#[ignore = "slow: 20,000 requests, each twice"]
fn both_ways_say_the_same_to_twenty_thousand_requests() {
    both_ways_say_the_same_at_random(20_000);
}
