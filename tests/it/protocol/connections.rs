//! The way the server speaks HTTP itself.

use crate::support::*;
use std::time::Duration;

fn start() -> (FakeUpstream, Module, Larder) {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    (up, module, larder)
}

#[test]
fn one_connection_carries_many_requests() {
    let (_up, module, larder) = start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    for _ in 0..3 {
        for (path, body) in [
            (module.url("info"), module.info_bytes()),
            (module.url("mod"), module.mod_bytes()),
            (module.url("zip"), module.zip_bytes()),
        ] {
            conn.write(&Request::get(&path).bytes(larder.addr()))
                .unwrap();
            assert_eq!(conn.response(false).unwrap().ok(), body);
        }
        let missing = Request::get("/example.com/none/@v/list").bytes(larder.addr());
        conn.write(&missing).unwrap();
        assert_eq!(conn.response(false).unwrap().status, 404);
    }
}

#[test]
fn requests_may_be_sent_before_the_answers_are_read() {
    let (_up, module, larder) = start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    let mut bytes = Vec::new();
    for kind in ["zip", "info", "mod"] {
        bytes.extend(Request::get(&module.url(kind)).bytes(larder.addr()));
    }
    conn.write(&bytes).unwrap();
    assert_eq!(conn.response(false).unwrap().ok(), module.zip_bytes());
    assert_eq!(conn.response(false).unwrap().ok(), module.info_bytes());
    assert_eq!(conn.response(false).unwrap().ok(), module.mod_bytes());
}

#[test]
fn an_absolute_target_is_served_by_its_path() {
    let (up, module, larder) = start();
    let other = FakeUpstream::start();
    for scheme in ["http", "https", "HTTP"] {
        let target = format!("{scheme}://{}{}", other.addr(), module.url("mod"));
        let answer = Request::get(&target).send(larder.addr());
        assert_eq!(answer.ok(), module.mod_bytes(), "{scheme}");
    }
    for target in [
        "ftp://example.com/example.com/m/@v/list",
        "file:///etc/passwd",
    ] {
        let answer = Request::get(target).send(larder.addr());
        assert_eq!(answer.status, 400, "{target}: {}", answer.describe());
    }
    other.assert_untouched();
    assert_eq!(up.total(), 1);
}

#[test]
fn a_request_with_two_lengths_is_answered_and_the_connection_closed() {
    let (_up, module, larder) = start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    let mut bytes = Request::get(&module.url("mod"))
        .header("Content-Length", "5")
        .header("Transfer-Encoding", "chunked")
        .bytes(larder.addr());
    bytes.extend_from_slice(b"0\r\n\r\n");
    conn.write(&bytes).unwrap();
    assert_eq!(conn.response(false).unwrap().ok(), module.mod_bytes());
    assert!(conn.is_closed(), "what follows cannot be trusted");
}

#[test]
fn a_body_with_a_get_disturbs_nothing() {
    let (_up, module, larder) = start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    let mut bytes = Request::get(&module.url("mod"))
        .header("Content-Length", "11")
        .bytes(larder.addr());
    bytes.extend_from_slice(b"hello world");
    bytes.extend(Request::get(&module.url("info")).bytes(larder.addr()));
    conn.write(&bytes).unwrap();
    assert_eq!(conn.response(false).unwrap().ok(), module.mod_bytes());
    assert!(conn.is_closed(), "a body is not read, nor what follows");
}

#[test]
fn heads_up_to_12_kilobytes_pass() {
    let (_up, module, larder) = start();
    let mut request = Request::get(&module.url("mod"));
    for n in 0..11 {
        request = request.header(&format!("X-Filler-{n}"), &"f".repeat(1000));
    }
    assert_eq!(request.send(larder.addr()).ok(), module.mod_bytes());
    let long = Request::get(&module.url("mod")).header("Cookie", &"c".repeat(11_500));
    assert_eq!(long.send(larder.addr()).ok(), module.mod_bytes());
}

#[test]
fn an_endless_head_is_cut_off() {
    let (_up, module, larder) = start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    let before = larder.memory().now;
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\nX-Long: ", module.url("mod"));
    conn.write(head.as_bytes()).unwrap();
    let mut refused = false;
    for _ in 0..256 {
        if conn.write(&[b'x'; 64 << 10]).is_err() {
            refused = true;
            break;
        }
    }
    assert!(refused, "16 MiB of a head were taken");
    assert_eq!(conn.head().map(|r| r.status).unwrap(), 431);
    assert!(larder.memory().now < before + (12 << 20));
    larder.get(&module.url("mod")).ok();
}

#[test]
fn a_head_of_more_than_64_kibibytes_is_refused() {
    let (_up, module, larder) = start();
    larder.get(&module.url("mod")).ok();
    let filled = |bytes: usize| {
        let empty = Request::get(&module.url("mod")).header("X-Filler", "");
        let rest = bytes - empty.bytes(larder.addr()).len();
        Request::get(&module.url("mod"))
            .header("X-Filler", &"f".repeat(rest))
            .bytes(larder.addr())
    };
    for (bytes, status) in [
        (63 << 10, 200),
        (66 << 10, 431),
        (100_000, 431),
        (131_000, 431),
    ] {
        let mut conn = Conn::open(larder.addr()).unwrap();
        // It may be refused before it is whole.
        let _ = conn.write(&filled(bytes));
        let answer = conn.response(false).unwrap();
        assert_eq!(answer.status, status, "{bytes}: {}", answer.describe());
        assert!(status == 200 || conn.read(1).map_or(true, |rest| rest.is_empty()));
    }
}

#[test]
fn a_request_has_exactly_one_host() {
    let (up, module, larder) = start();
    let path = module.url("mod");
    let ask = |head: String| {
        let mut conn = Conn::open(larder.addr()).unwrap();
        conn.write(head.as_bytes()).unwrap();
        let answer = conn.response(false).unwrap();
        if answer.status == 400 {
            assert!(conn.is_closed(), "{head:?}");
        }
        answer.status
    };
    // Also when the answer is ready.
    for _ in 0..3 {
        for (version, hosts, status) in [
            ("1.1", "", 400),
            ("1.1", "Host: x\r\nHost: x\r\n", 400),
            ("1.1", "Host: x\r\nhost: y\r\n", 400),
            ("1.1", "Host: a b\r\n", 400),
            ("1.1", "Host: a/b\r\n", 400),
            ("1.0", "Host: x\r\nHost: x\r\n", 400),
            ("1.0", "", 200),
            ("1.1", "Host:\r\n", 200),
            ("1.1", "Host: my_host:80\r\n", 200),
            ("1.1", "Host: [::1]:80\r\n", 200),
        ] {
            let head = format!("GET {path} HTTP/{version}\r\n{hosts}\r\n");
            assert_eq!(ask(head.clone()), status, "{head:?}");
        }
    }
    assert_eq!(up.total(), 1);
}

#[test]
fn lines_of_a_head_end_with_both_characters() {
    let (_up, module, larder) = start();
    let path = module.url("mod");
    let sound = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    for head in [
        format!("GET {path} HTTP/1.1\nHost: x\n\n"),
        format!("GET {path} HTTP/1.1\r\nHost: x\nX-Other: y\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n\n"),
    ] {
        for before in [String::new(), sound.clone()] {
            let mut conn = Conn::open(larder.addr()).unwrap();
            conn.write(format!("{before}{head}").as_bytes()).unwrap();
            if !before.is_empty() {
                conn.response(false).unwrap().ok();
            }
            let answer = conn.response(false).unwrap();
            assert_eq!(answer.status, 400, "{head:?}");
            assert!(conn.is_closed());
        }
    }
}

#[test]
fn nothing_after_a_body_is_taken_for_a_request() {
    let (_up, module, larder) = start();
    for _ in 0..3 {
        let mut conn = Conn::open(larder.addr()).unwrap();
        let mut bytes = Request::get(&module.url("mod"))
            .header("Transfer-Encoding", "chunked")
            .bytes(larder.addr());
        bytes.extend_from_slice(b"1\na\n0\n\n");
        bytes.extend(Request::get(&module.url("info")).bytes(larder.addr()));
        conn.write(&bytes).unwrap();
        assert_eq!(conn.response(false).unwrap().ok(), module.mod_bytes());
        assert!(conn.response(false).is_err());
    }
}

/// Closes the client's side for sending.
fn done_asking(conn: &Conn) {
    conn.shutdown_write();
}

#[test]
fn a_client_that_closes_its_side_after_asking_is_answered() {
    let (up, module, larder) = start();
    larder.get_hit(&module.url("mod"));
    let gate = Gate::new();
    up.rule_n("*.zip", 1, Fault::gate(&gate));
    for kind in ["mod", "info", "zip"] {
        let mut conn = Conn::open(larder.addr()).unwrap();
        let request = Request::get(&module.url(kind)).header("X-Nothing", "1");
        conn.write(&request.bytes(larder.addr())).unwrap();
        done_asking(&conn);
        if kind == "zip" {
            gate.wait_arrived(1);
            gate.open();
        }
        conn.response(false).unwrap().ok();
        assert!(conn.is_closed());
    }
}

#[test]
fn clients_that_left_hold_no_connection() {
    let (up, module, larder) = start();
    let gate = up.gated("*.zip");
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let mut conn = Conn::open(larder.addr()).unwrap();
            let request = Request::get(&module.url("zip")).bytes(larder.addr());
            conn.write(&request).unwrap();
            conn
        })
        .collect();
    gate.wait_arrived(1);
    until("all of them to be there", || {
        (larder.open_connections() == 11).then_some(())
    });
    drop(clients);
    until("all of them to be gone", || {
        (larder.open_connections() == 1).then_some(())
    });
    larder.wait_stderr(&format!("GET {} 499", module.url("zip")));
    let left = "{endpoint=\"other\",outcome=\"cancelled\"} 10";
    assert!(larder.metrics().contains(left), "{}", larder.metrics());
    assert_eq!(gate.arrived(), 1, "the fetch goes on");
    gate.open();
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    assert_eq!(up.count("*.zip"), 1);
}

#[test]
fn http_1_0_gets_plain_bodies() {
    let (up, module, larder) = start();
    up.rule_n("*.zip", 1, Fault::length(Length::Chunked));
    for _ in 0..2 {
        let answer = Request::get(&module.url("zip"))
            .http10()
            .send(larder.addr());
        assert_eq!(answer.ok(), module.zip_bytes());
        assert_eq!(answer.header("transfer-encoding"), None);
        // The version is the server's own, the framing the client's.
        assert!(answer.version.starts_with("HTTP/1."), "{}", answer.version);
    }
}

#[test]
fn http_1_0_of_a_zip_of_unknown_length_comes_after_verification() {
    let big = Module::new("example.com/m", "v1.1.0").file("data", zip::noise(1_000_000, 3));
    let (up, _, larder) = start();
    up.add(&big);
    let gate = Gate::new();
    let whole = big.zip_bytes().len() as u64;
    let last = Fault::gate_at(whole - 1, &gate).with_length(Length::Chunked);
    up.rule_n("*.zip", 1, last);
    std::thread::scope(|scope| {
        let request = Request::get(&big.url("zip")).http10();
        let client = scope.spawn(move || request.send(larder.addr()));
        gate.wait_arrived(1);
        assert!(!client.is_finished());
        gate.open();
        let answer = client.join().unwrap();
        assert_eq!(answer.ok(), big.zip_bytes());
        assert_eq!(answer.header("transfer-encoding"), None);
        let length = answer.header("content-length").expect("known by now");
        assert_eq!(length, whole.to_string());
    });
}

#[test]
fn an_upstream_without_content_length_is_chunked_on() {
    let big = Module::new("example.com/m", "v1.1.0").file("data", zip::noise(2_000_000, 3));
    let (up, _, larder) = start();
    up.add(&big);
    for length in [Length::Chunked, Length::UntilClose] {
        up.rule_n("*.zip", 1, Fault::length(length));
    }
    let first = larder.get(&big.url("zip"));
    assert_eq!(first.ok(), big.zip_bytes());
    assert_eq!(first.header("transfer-encoding"), Some("chunked"));
    let hit = larder.get(&big.url("zip"));
    assert_eq!(hit.ok(), big.zip_bytes());
    assert_eq!(
        hit.header("content-length"),
        Some(big.zip_bytes().len().to_string().as_str())
    );
    let small = Module::new("example.com/m", "v1.2.0");
    up.add(&small);
    assert_eq!(larder.get(&small.url("zip")).ok(), small.zip_bytes());
}

#[test]
fn nonsense_on_the_wire_is_answered_or_closed() {
    let (up, module, larder) = start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET /example.com/m/@v/list HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /example.com/m/@v/list HTTP/1.1\r\nHo st: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ] {
        let mut conn = Conn::open(larder.addr()).unwrap();
        conn.write(bytes).unwrap();
        conn.deadline(Duration::from_secs(2));
        if let Ok(answer) = conn.response(false) {
            assert!(answer.status >= 400 || bytes.starts_with(b"OPTIONS"));
            assert!(answer.status < 500 || answer.status == 505);
        }
    }
    up.assert_untouched();
    larder.get(&module.url("mod")).ok();
}

#[test]
fn a_query_string_is_ignored() {
    let (_up, module, larder) = start();
    let path = format!("{}?go-get=1&x=/../y", module.url("mod"));
    assert_eq!(larder.get(&path).ok(), module.mod_bytes());
}
