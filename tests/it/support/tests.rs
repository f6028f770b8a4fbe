//! That the ground itself is firm: the fake upstream does what its rules say, and the real `go` believes it.

use super::*;

fn served() -> (FakeUpstream, Module) {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(300_000, 1));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    (up, module)
}

fn get(up: &FakeUpstream, path: &str) -> Response {
    Request::get(path).send(up.addr())
}

#[test]
fn go_is_content_with_the_fake_upstream() {
    let up = FakeUpstream::serving(&[
        Module::new("example.com/Upper", "v1.0.0").requires("example.com/b", "v1.1.0"),
        Module::new("example.com/b", "v1.1.0"),
    ]);
    let go = Go::new(&up.url());
    go.module(&["example.com/Upper v1.0.0"]);
    go.ok(&["mod", "download", "all"]);
    go.ok(&["mod", "verify"]);
    let sums = go.read("go.sum");
    let b = Module::new("example.com/b", "v1.1.0");
    assert!(
        sums.contains(&format!("example.com/b v1.1.0 {}\n", b.h1())),
        "{sums}"
    );
    assert!(
        sums.contains(&format!("v1.1.0/go.mod {}\n", b.mod_h1())),
        "{sums}"
    );
    let versions = go.ok(&["list", "-m", "-versions", "example.com/b"]).stdout;
    assert_eq!(versions, "example.com/b v1.1.0\n");
}

#[test]
fn go_is_content_with_the_fake_certificate() {
    let (_, module) = served();
    let up = FakeUpstream::start_tls();
    up.add(&module);
    let authority = tls_authority();
    let go = Go::new(&up.url()).env("SSL_CERT_FILE", authority.to_str().unwrap());
    go.module(&["example.com/m v1.0.0"]);
    go.ok(&["mod", "download"]);
}

#[test]
fn go_refuses_what_the_zipper_does_wrong() {
    let prefix = "example.com/m@v1.0.0/";
    let file = |name: &str| Zip::new().file(format!("{prefix}{name}"), "package m\n");
    for (zip, complaint) in [
        (
            Zip::new().file("example.com/m@v1.0.1/a.go", "x"),
            "has unexpected file",
        ),
        (
            file("a.go").file(format!("{prefix}A.go"), "x"),
            "case-insensitive",
        ),
        (
            file("a.go").file(format!("{prefix}a.go"), "x"),
            "multiple entries",
        ),
        (file("sub/go.mod"), "go.mod file not in module root"),
        (
            Zip::new().entry(Entry::new(format!("{prefix}a"), vec![b'a'; 900]).declared_size(5)),
            "",
        ),
    ] {
        let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0").zip(zip.build())]);
        let go = Go::new(&up.url());
        go.module(&["example.com/m v1.0.0"]);
        let text = go.fails(&["mod", "download"]);
        assert!(text.contains(complaint), "{complaint}: {text}");
    }
}

#[test]
fn answers_end_as_the_rules_say() {
    let (up, module) = served();
    let zip = module.zip_bytes();
    let path = module.url("zip");
    assert_eq!(get(&up, &path).ok(), zip);
    for length in [Length::Chunked, Length::UntilClose] {
        up.rule_n(&path, 1, Fault::length(length));
        assert_eq!(get(&up, &path).ok(), zip);
    }
    for fault in [
        Fault::cut(1000),
        Fault::reset(1000),
        Fault::none().with_length(Length::Declared(zip.len() as u64 + 1)),
    ] {
        up.rule_n(&path, 1, fault);
        let answer = get(&up, &path);
        assert!(!answer.complete && answer.body.len() <= zip.len());
    }
    up.rule_n(&path, 1, Fault::close());
    assert!(Request::get(&path).try_send(up.addr()).is_err());
    up.rule_n(&path, 1, Fault::hang());
    let hung = Request::get(&path).deadline(Duration::from_millis(100));
    assert!(hung.try_send(up.addr()).is_err());
    up.rule_n(&path, 1, Fault::status(503).header("Retry-After", "7"));
    let busy = get(&up, &path);
    assert_eq!(busy.expect(503).header("retry-after"), Some("7"));
    // All rules are used up.
    assert_eq!(get(&up, &path).ok(), zip);
    assert_eq!(get(&up, "/example.com/none/@v/list").status, 404);
    assert_eq!(up.count("/example.com/none/*"), 1);
    assert_eq!(up.last("*none*").status, 404);
}

#[test]
fn a_reset_is_a_reset() {
    let (up, module) = served();
    up.rule("*.zip", Fault::reset(1000));
    let (_, mut conn) = Request::get(&module.url("zip")).open(up.addr());
    let error = loop {
        match conn.read(1 << 20) {
            Ok(bytes) => assert!(!bytes.is_empty(), "a polite end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn slowness_is_measurable() {
    let _heavy = heavy();
    let (up, module) = served();
    up.latency(Duration::from_millis(50));
    let answer = get(&up, &module.url("mod"));
    assert!(answer.first_byte >= Duration::from_millis(50));
    up.latency(Duration::ZERO);
    up.rate(1_000_000);
    let answer = get(&up, &module.url("zip"));
    assert!(
        answer.elapsed >= Duration::from_millis(250),
        "{:?}",
        answer.elapsed
    );
    up.rule("*.mod", Fault::delay(Duration::from_millis(60)));
    assert!(get(&up, &module.url("mod")).first_byte >= Duration::from_millis(60));
    let after = At::Delay(Duration::from_millis(60));
    up.rule("*.info", Fault::at(1, after).with_rate(10_000));
    assert!(get(&up, &module.url("info")).elapsed >= Duration::from_millis(60));
}

#[test]
fn gates_hold_and_open() {
    let (up, module) = served();
    let gate = up.gated("*.mod");
    let middle = Gate::new();
    up.rule("*.zip", Fault::gate_at(1000, &middle));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&up, &module.url("mod")));
        gate.wait_arrived(1);
        assert_eq!(up.open(), 1);
        gate.open();
        first.join().unwrap().ok();
    });
    let (_, mut conn) = Request::get(&module.url("zip")).open(up.addr());
    assert_eq!(conn.read_exact(1000), module.zip_bytes()[..1000]);
    assert_eq!(middle.arrived(), 1);
    middle.open();
    let rest = &module.zip_bytes()[1000..];
    assert_eq!(conn.compare(rest), rest.len());
    up.wait_count("*.zip", 1);
}

#[test]
fn validators_and_ranges() {
    let (up, module) = served();
    up.ranges();
    let path = module.url("zip");
    let whole = get(&up, &path);
    let tag = whole.header("etag").unwrap();
    let kept = Request::get(&path)
        .header("If-None-Match", tag)
        .send(up.addr());
    assert_eq!(kept.status, 304);
    let ask = |condition: &str| {
        Request::get(&path)
            .header("Range", "bytes=1000-")
            .header("If-Range", condition)
            .send(up.addr())
    };
    assert_eq!(ask(tag).expect(206).body, module.zip_bytes()[1000..]);
    assert_eq!(ask("\"other\"").ok(), module.zip_bytes());
}

#[test]
fn a_stopped_upstream_refuses_and_comes_back() {
    let (mut up, module) = served();
    let mut idle = Conn::open(up.addr()).unwrap();
    idle.write(&Request::get(&module.url("mod")).bytes(up.addr()))
        .unwrap();
    idle.response(false).unwrap().ok();
    for _ in 0..3 {
        up.stop();
        let refused = Conn::open(up.addr()).err().expect("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        up.restart();
        get(&up, &module.url("mod")).ok();
    }
    assert!(idle.is_closed());
    up.remove(&module.url("mod"));
    assert_eq!(get(&up, &module.url("mod")).status, 404);
}

#[test]
fn dead_ports_refuse_and_black_holes_swallow() {
    let dead = DeadPort::new();
    let addr: SocketAddr = ([127, 0, 0, 1], dead.port()).into();
    assert!(Conn::open(addr).is_err());
    let hole = BlackHole::new();
    let addr: SocketAddr = hole.url()["http://".len()..].parse().unwrap();
    let limit = Duration::from_millis(300);
    let taken = std::net::TcpStream::connect_timeout(&addr, limit);
    let error = taken.expect_err("neither taken nor refused");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn patterns() {
    for (pattern, text, fits) in [
        ("*", "", true),
        ("/a", "/a", true),
        ("/a", "/ab", false),
        ("/a*", "/ab/c", true),
        ("*.zip", "/a/@v/v1.zip", true),
        ("*.zip", "/a/@v/v1.zipx", false),
        ("/a/*/b*c", "/a/x/b-c", true),
        ("/a/*/b*c", "/a/x/c-b", false),
    ] {
        assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
    }
    for (version, pseudo) in [
        ("v0.0.0-20240301045959-abcdef123456", true),
        ("v1.2.10-0.20240301045959-abcdef123456", true),
        (
            "v1.2.3-rc.1.0.20240301045959-abcdef123456+incompatible",
            true,
        ),
        ("v1.2.3-rc.1", false),
        ("v0.0.1-go1.25.3.linux-amd64", false),
        ("v2.0.0+incompatible", false),
    ] {
        assert_eq!(upstream::is_pseudo(version), pseudo, "{version}");
    }
}
