//! Several addresses at once, unix sockets, and sockets that systemd hands over.

use super::tls;
use crate::support::server::Builder;
use crate::support::*;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One more address, at a port of the system's choice.
const PLAIN: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n";

/// The addresses of a line each on standard output that begins so.
fn told(larder: &Larder, begin: &str) -> Vec<SocketAddr> {
    let stdout = larder.stdout();
    let lines = stdout.lines().filter_map(|line| line.strip_prefix(begin));
    lines.filter_map(|line| line.parse().ok()).collect()
}

fn socket(builder: &Builder) -> PathBuf {
    builder.home().join("larder.sock")
}

/// A table with a unix socket.
fn unix(path: &Path, more: &str) -> String {
    format!("[[listeners]]\nunix = \"{}\"\n{more}", path.display())
}

/// One request over a unix socket, with these lines below `Host`.
fn ask_unix(path: &Path, request: &str, more: &[&str]) -> Response {
    let mut conn = Conn::open_unix(path).unwrap();
    let mut head = format!("{request} HTTP/1.1\r\nHost: localhost\r\n");
    for line in more {
        head.push_str(&format!("{line}\r\n"));
    }
    conn.write(format!("{head}\r\n").as_bytes()).unwrap();
    conn.response(false).unwrap()
}

#[test]
fn every_listener_serves_the_same_module() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(300_000, 3));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let builder = tls::with(larder().of(&up), "server");
    let socket = socket(&builder);
    let text = format!("{PLAIN}{PLAIN}{PLAIN}tls = true\n{}", unix(&socket, ""));
    let larder = builder.config(&text).start();
    let plain = told(&larder, "listening on http://");
    let tls = told(&larder, "listening on https://");
    // The first is server.listen.
    assert_eq!((plain.len(), tls.len(), tls[0]), (2, 2, larder.addr()));
    let unix_line = format!("listening on unix:{}\n", socket.display());
    assert!(larder.stdout().ends_with(&unix_line), "{}", larder.stdout());
    larder.wait_stderr("larder serves");
    let log = larder.stderr();
    let serves = log.lines().find(|line| line.contains("larder serves"));
    let serves = serves.unwrap();
    assert!(serves.contains(&format!("address={}", tls[0])), "{serves}");
    for other in [&plain[1].to_string(), socket.to_str().unwrap()] {
        assert!(serves.contains(other), "{serves}");
    }
    let config = Arc::new(tls::client(None, &[]));
    // Missed once, kept then; small files from memory, large ones as files.
    for _ in 0..3 {
        for (path, content) in [
            (module.url("zip"), module.zip_bytes().to_vec()),
            (module.url("mod"), module.mod_bytes().to_vec()),
        ] {
            for addr in &plain {
                assert_eq!(Request::get(&path).send(*addr).ok(), content);
            }
            for addr in &tls {
                let (answer, _) = tls::ask(*addr, &config, &path).unwrap();
                assert!(answer.starts_with(b"HTTP/1.1 200"));
                assert!(answer.ends_with(&content));
            }
            assert_eq!(ask_unix(&socket, &format!("GET {path}"), &[]).ok(), content);
        }
    }
    larder.wait_stderr("remote=unix:");
    let go = Go::new(&format!("https://{}", tls[1]))
        .env("SSL_CERT_FILE", tls_authority().to_str().unwrap());
    go.module(&["example.com/m v1.0.0"]);
    go.ok(&["mod", "download", "all"]);
}

#[test]
fn a_connection_over_a_unix_socket_is_kept() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(3_000_000, 3));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let builder = larder().of(&up);
    let socket = socket(&builder);
    let larder = builder.config(&unix(&socket, "")).start();
    larder.get_hit(&module.url("zip"));
    larder.get_hit(&module.url("mod"));
    let mut conn = Conn::open_unix(&socket).unwrap();
    for _ in 0..3 {
        for (path, content) in [
            (module.url("mod"), module.mod_bytes().to_vec()),
            (module.url("zip"), module.zip_bytes().to_vec()),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            conn.write(request.as_bytes()).unwrap();
            assert_eq!(conn.response(false).unwrap().ok(), content, "{path}");
        }
    }
}

#[test]
fn administration_is_where_it_is_asked_for() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let builder = larder().of(&up);
    let socket = socket(&builder);
    let text = format!("{PLAIN}admin = true\n{}", unix(&socket, "admin = true\n"));
    let larder = builder.config(&text).start();
    let admin = told(&larder, "administration on http://");
    assert_eq!(admin.len(), 1, "{}", larder.stdout());
    larder.get(&module.url("mod")).ok();
    assert_eq!(larder.get("/metrics").status, 404);
    for answer in [
        Request::get("/metrics").send(admin[0]),
        ask_unix(&socket, "GET /metrics", &[]),
    ] {
        let text = answer.expect(200).text();
        assert!(text.contains("larder_connections "), "{text}");
    }
    let request = format!("GET {}", module.url("mod"));
    ask_unix(&socket, &request, &[]).refuses(&[404]);
    let answer = Request::get(&module.url("mod")).send(admin[0]);
    answer.refuses(&[404]);
    ask_unix(&socket, "POST /-/reload", &["Content-Length: 0"]).expect(200);
}

#[test]
fn a_socket_that_nobody_answers_at_is_replaced_and_no_other() {
    let builder = larder().upstream("off");
    let socket = socket(&builder);
    let text = unix(&socket, "mode = \"0600\"\n");
    let builder = builder.config(&text);
    let mut first = builder.clone().start();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    ask_unix(&socket, "GET /healthz", &[]).ok();
    let second = larder().upstream("off").config(&text);
    let said = second.serve_to_end().expect(3).stderr;
    for word in [
        format!(
            "unix:{} is taken by process {} (",
            socket.display(),
            first.pid()
        ),
        "listeners.unix (".to_owned(),
        "larder.toml:1)".to_owned(),
    ] {
        assert!(said.contains(&word), "{word}: {said}");
    }
    // What a killed process leaves.
    first.kill9();
    assert!(socket.exists());
    let mut second = second.start();
    ask_unix(&socket, "GET /healthz", &[]).ok();
    assert_eq!(second.stop(), 0);
    assert!(!socket.exists());
    std::fs::write(&socket, "mine").unwrap();
    let said = builder.serve_to_end().expect(3).stderr;
    assert!(said.contains("no socket"), "{said}");
    assert_eq!(std::fs::read(&socket).unwrap(), b"mine");
}

#[test]
fn private_modules_are_for_this_machine_where_only_it_comes() {
    let module = Module::new("corp.example.com/lib", "v1.0.0");
    let own = FakeUpstream::serving(std::slice::from_ref(&module));
    let builder = larder().upstream("off");
    let socket = socket(&builder);
    let text = format!(
        "[[routes]]\nmatch = \"corp.example.com\"\nvia = \"{}\"\n\
         [[listeners]]\naddress = \"0.0.0.0:0\"\n{PLAIN}{}",
        own.url(),
        unix(&socket, "")
    );
    let larder = builder.config(&text).start();
    let path = module.url("mod");
    // A loopback address, an address of everybody's, another loopback address.
    let addresses = told(&larder, "listening on http://");
    let [_, wide, narrow] = addresses[..] else {
        panic!("{}", larder.stdout());
    };
    let wide = SocketAddr::from(([127, 0, 0, 1], wide.port()));
    let made = larder.run(&["token", "new", "ci"]).expect(0).stdout;
    let token = made.split_whitespace().last().unwrap();
    let authorization = format!("Authorization: Bearer {token}");
    let request = format!("GET {path}");
    // Fetched, and then from what is kept.
    for _ in 0..3 {
        larder.get(&path).ok();
        Request::get(&path).send(narrow).ok();
        Request::get(&path).send(wide).refuses(&[401]);
        // A server in front may pass on what others ask, and say nothing of it.
        ask_unix(&socket, &request, &[]).refuses(&[401]);
        ask_unix(&socket, &request, &["X-Forwarded-For: 127.0.0.1"]).refuses(&[401]);
        ask_unix(&socket, &request, &[&authorization]).ok();
    }
    larder.get_hit(&path);
    ask_unix(&socket, &request, &[]).refuses(&[401]);
    let page = ask_unix(&socket, "GET /", &[]).expect(200).text();
    assert!(!page.contains("corp.example.com"), "{page}");
}

#[test]
fn a_taken_address_is_named_with_its_line() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap();
    let text = format!("[[listeners]]\naddress = \"{addr}\"\n");
    let builder = larder().upstream("off").config(&text);
    let said = builder.serve_to_end().expect(3).stderr;
    let own = std::process::id().to_string();
    for word in [&addr.to_string(), &own, "larder.toml:1)"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let twice = larder().upstream("off").listen("127.0.0.1:1").config(
        "[[listeners]]\naddress = \":1\"\n[[listeners]]\naddress = \"127.0.0.1:2\"\ntls = true\n",
    );
    let said = twice.serve_to_end().expect(2).stderr;
    for word in [
        "larder.toml:1: listeners.address: [::]:1 is taken by server.listen",
        "larder.toml:3: listeners.tls: needs a certificate",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn commands_tell_of_all_of_them_and_a_reload_of_what_waits() {
    let text = format!("[upstream]\nchain = \"off\"\n{PLAIN}");
    let builder = larder().config(&text);
    let file = builder.home().join("larder.toml");
    let larder = builder.start();
    let ask = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--config", file.to_str().unwrap()]);
        larder.run(&all)
    };
    let shown = ask(&["config", "show"]).expect(0).stdout;
    assert!(shown.contains(PLAIN), "{shown}");
    let doctor = ask(&["doctor"]).stdout;
    assert!(
        doctor.contains("\n                  127.0.0.1:0"),
        "{doctor}"
    );
    std::fs::write(&file, text.replace(":0", ":1")).unwrap();
    let said = ask(&["reload"]).expect(0).stdout;
    assert!(said.contains("waits for a restart: listeners"), "{said}");
}

#[test]
fn a_socket_that_was_handed_over_takes_the_place_of_ours() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    // As systemd names it if nobody says: server.listen, whatever its own address is.
    let given = listener();
    let addr = given.local_addr().unwrap();
    let taken = listener();
    let larder_ = larder()
        .of(&up)
        .listen(&taken.local_addr().unwrap().to_string())
        .handed_over(given, "larder.socket")
        .start();
    assert_eq!(larder_.addr(), addr);
    larder_.get(&module.url("mod")).ok();
    larder_.get("/metrics").ok();
    assert_eq!(told(&larder_, "listening on http://"), [addr]);
    drop(larder_);
    // For administration, beside server.listen.
    let given = listener();
    let addr = given.local_addr().unwrap();
    let larder_ = larder().of(&up).handed_over(given, "admin").start();
    assert_ne!(larder_.addr(), addr);
    Request::get("/metrics").send(addr).expect(200);
    Request::get(&module.url("mod")).send(addr).refuses(&[404]);
    larder_.get(&module.url("mod")).ok();
    drop(larder_);
    // By its address it is what the configuration says, whatever its name is.
    let builder = larder().of(&up);
    let socket = socket(&builder);
    let given = UnixListener::bind(&socket).unwrap();
    let text = unix(&socket, "admin = true\n");
    let mut larder_ = builder.config(&text).handed_over(given, "x").start();
    ask_unix(&socket, "GET /metrics", &[]).expect(200);
    larder_.get(&module.url("mod")).ok();
    assert_eq!(larder_.stop(), 0);
    assert!(socket.exists(), "it is not ours to remove");
}

#[test]
fn a_socket_that_cannot_be_used_is_told() {
    let connection = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    };
    let builder = larder().upstream("off").handed_over(connection(), "x");
    let said = builder.serve_to_end().expect(3).stderr;
    assert!(
        said.contains("LISTEN_FDS (x)") && said.contains("Accept=no"),
        "{said}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let builder = larder().upstream("off").handed_over(listener, "tls");
    let said = builder.serve_to_end().expect(3).stderr;
    assert!(said.contains("tls.cert_file"), "{said}");
    // They are for somebody else.
    let file = std::fs::File::open("/dev/null").unwrap();
    let builder = larder().upstream("off").handed_over(file, "x");
    builder
        .shell("exec 3<&0; export LISTEN_PID=1 LISTEN_FDS=1")
        .start();
}

#[test]
fn a_stop_ends_all_listeners_and_no_request_under_way() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(2_000_000, 1));
    let zip = module.zip_bytes();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let gate = Gate::new();
    up.rule("*.zip", Fault::gate_at(1_000_000, &gate));
    let builder = larder().of(&up);
    let socket = socket(&builder);
    let text = format!("{PLAIN}{}", unix(&socket, ""));
    let mut larder = builder.config(&text).start();
    let addresses = told(&larder, "listening on http://");
    let mut conns = vec![Conn::open_unix(&socket).unwrap()];
    conns.extend(addresses.iter().map(|addr| Conn::open(*addr).unwrap()));
    for conn in &mut conns {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            module.url("zip")
        );
        conn.write(request.as_bytes()).unwrap();
        conn.head().unwrap();
        conn.read_exact(100_000);
    }
    larder.terminate();
    until("no new connection", || {
        let refused = |addr: &SocketAddr| Conn::open(*addr).is_err();
        let all = addresses.iter().all(refused) && Conn::open_unix(&socket).is_err();
        all.then_some(())
    });
    assert!(!socket.exists());
    assert!(larder.is_running());
    gate.open();
    for conn in &mut conns {
        assert_eq!(conn.compare(&zip[100_000..]), zip.len() - 100_000);
    }
    assert_eq!(larder.wait_exit(), 0);
}
