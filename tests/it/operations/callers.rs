//! Who counts as this machine, and what others are told of private modules.

use crate::support::server::Builder;
use crate::support::sumdb::Log;
use crate::support::*;

/// A private module, which has an upstream of its own, and one that is public.
struct Scene {
    up: FakeUpstream,
    own: FakeUpstream,
    private: Module,
    public: Module,
}

fn scene() -> Scene {
    let private = Module::new("corp.example.com/team/lib", "v1.0.0");
    let public = Module::new("example.com/m", "v1.0.0");
    Scene {
        up: FakeUpstream::serving(std::slice::from_ref(&public)),
        own: FakeUpstream::serving(std::slice::from_ref(&private)),
        private,
        public,
    }
}

impl Scene {
    fn larder(&self) -> Builder {
        let route = format!(
            "[[routes]]\nmatch = \"corp.example.com\"\nvia = \"{}\"\n",
            self.own.url()
        );
        larder()
            .of(&self.up)
            .set("prefetch.enabled", "false")
            .config(&route)
    }

    /// The upstream of private modules, as it would be named.
    fn own_name(&self) -> String {
        self.own.addr().to_string()
    }

    fn paths(&self) -> Vec<String> {
        let mut paths: Vec<_> = ["info", "mod", "zip"].map(|it| self.private.url(it)).into();
        paths.extend([self.private.list_url(), self.private.latest_url()]);
        paths
    }
}

fn new_token(larder: &Larder) -> String {
    let made = larder.run(&["token", "new", "ci"]).expect(0);
    made.stdout.split_whitespace().last().unwrap().to_owned()
}

/// One request with exactly these lines as its head, on a connection of its own.
fn raw(larder: &Larder, lines: &[&str]) -> Response {
    let mut conn = Conn::open(larder.addr()).unwrap();
    let head = format!("{}\r\n\r\n", lines.join("\r\n"));
    conn.write(head.as_bytes()).unwrap();
    conn.response(lines[0].starts_with("HEAD")).unwrap()
}

fn get(path: &str, host: &str, more: &[&str]) -> Vec<String> {
    let mut lines = vec![format!("GET {path} HTTP/1.1"), format!("Host: {host}")];
    lines.extend(more.iter().map(|line| (*line).to_owned()));
    lines
}

fn ask(larder: &Larder, path: &str, host: &str, more: &[&str]) -> Response {
    let lines = get(path, host, more);
    raw(
        larder,
        &lines.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

#[test]
fn programs_on_this_machine_get_private_modules_and_web_pages_by_another_name_do_not() {
    let scene = scene();
    let larder = scene.larder().start();
    let port = larder.addr().port();
    let token = new_token(&larder);
    // The second time it is there, the third time it is ready.
    for round in 0..3 {
        for path in scene.paths() {
            for host in [
                format!("127.0.0.1:{port}"),
                "localhost".to_owned(),
                format!("LARDER.localhost.:{port}"),
                format!("[::1]:{port}"),
            ] {
                let answer = ask(&larder, &path, &host, &[]);
                answer.ok();
                let cached = answer.header("cache-control").unwrap();
                assert!(cached.starts_with("private, "), "{cached}");
                assert!(round == 0 || answer.is_hit(), "{}", answer.describe());
                ask(&larder, &path, &host, &["X-Nothing: 1"]).ok();
            }
            for host in [
                "rebind.example.com",
                "larder.example.com:3080",
                "localhost.example.com",
                "127.0.0.1.example.com",
                "2130706433",
                "127.1",
                "10.0.0.1",
                "0.0.0.0",
                "",
            ] {
                let bearer = format!("Authorization: Bearer {token}");
                for more in [&[][..], &["X-Nothing: 1"], &["User-Agent: Mozilla/5.0"]] {
                    let refused = ask(&larder, &path, host, more);
                    refused.refuses(&[401]);
                    assert_eq!(refused.header("etag"), None);
                    assert_eq!(refused.header("cache-control"), Some("no-store"));
                }
                ask(&larder, &path, host, &[&bearer]).ok();
            }
        }
    }
    // Public ones are for everyone.
    for more in [&[][..], &["X-Forwarded-For: 192.0.2.1"]] {
        let answer = ask(
            &larder,
            &scene.public.url("zip"),
            "larder.example.com",
            more,
        );
        assert_eq!(answer.ok(), scene.public.zip_bytes());
    }
}

#[test]
fn requests_that_a_web_server_passes_on_need_a_token() {
    let scene = scene();
    let larder = scene.larder().start();
    let host = larder.addr().to_string();
    let token = new_token(&larder);
    for path in scene.paths() {
        larder.get_hit(&path);
        for line in [
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Host: larder.example.com",
            "x-forwarded-proto: https",
            "Forwarded: for=192.0.2.1",
            "X-Real-IP: 192.0.2.1",
            "Via: 1.1 front",
            "True-Client-IP: 192.0.2.1",
            "CF-Connecting-IP: 192.0.2.1",
            "X-Original-Host: larder.example.com",
            "X-Envoy-External-Address: 192.0.2.1",
            "X-Scheme: https",
            "Origin: http://evil.example.com",
        ] {
            ask(&larder, &path, &host, &[line]).refuses(&[401]);
            let range = ask(&larder, &path, &host, &["Range: bytes=0-1", line]);
            range.refuses(&[401]);
            let token = format!("Authorization: Bearer {token}");
            ask(&larder, &path, &host, &[line, &token]).ok();
        }
        // As nginx passes on what it is asked, unless it is told otherwise.
        let first = format!("GET {path} HTTP/1.0");
        let nginx = raw(
            &larder,
            &[&first, &format!("Host: {host}"), "Connection: close"],
        );
        nginx.refuses(&[401]);
        raw(&larder, &[&first]).refuses(&[401]);
        // The host of an absolute target counts as well.
        let first = format!("GET http://larder.example.com{path} HTTP/1.1");
        raw(&larder, &[&first, &format!("Host: {host}")]).refuses(&[401]);
        let first = format!("GET http://{host}{path} HTTP/1.1");
        raw(&larder, &[&first, &format!("Host: {host}")]).ok();
        // On a connection that has been answered by the short way.
        let mut conn = Conn::open(larder.addr()).unwrap();
        let head = |more: &[&str]| get(&path, &host, more).join("\r\n") + "\r\n\r\n";
        for _ in 0..2 {
            conn.write(head(&[]).as_bytes()).unwrap();
            conn.response(false).unwrap().ok();
            let front = head(&["X-Forwarded-For: 192.0.2.1"]);
            conn.write(front.as_bytes()).unwrap();
            conn.response(false).unwrap().refuses(&[401]);
            let other = get(&path, "rebind.example.com", &[]).join("\r\n") + "\r\n\r\n";
            conn.write(other.as_bytes()).unwrap();
            conn.response(false).unwrap().refuses(&[401]);
        }
    }
}

#[test]
fn a_start_warns_that_web_servers_in_front_open_private_modules() {
    const WARNING: &str = "set server.public_url";
    let scene = scene();
    let pattern = || {
        larder()
            .of(&scene.up)
            .arg("--private")
            .arg("corp.example.com")
    };
    for (builder, warns) in [
        (scene.larder(), true),
        (pattern(), true),
        (larder().of(&scene.up), false),
        (
            pattern().set("server.public_url", "https://larder.example.com"),
            false,
        ),
        (pattern().set("private.open", "true"), false),
        (pattern().listen("0.0.0.0:0"), false),
    ] {
        let larder = builder.start();
        larder.wait_stderr("larder serves");
        let log = larder.stderr();
        let lines = log.lines().filter(|line| line.contains(WARNING)).count();
        assert_eq!(lines, usize::from(warns), "{log}");
        assert!(!warns || log.contains("WARN"), "{log}");
    }
}

#[test]
fn names_of_private_upstreams_are_for_those_who_may_have_the_modules() {
    let scene = scene();
    let own = scene.own_name();
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        let larder = scene.larder().listen(listen).start();
        let token = format!("Authorization: Bearer {}", new_token(&larder));
        let host = format!("127.0.0.1:{}", larder.addr().port());
        let path = scene.private.url("mod");
        ask(&larder, &path, &host, &[&token]).ok();
        let on_this_machine = listen.starts_with("127");
        for page in ["/metrics", "/readyz", "/version", "/"] {
            let shown = |host: &str, more: &[&str]| {
                let text = ask(&larder, page, host, more).expect(200).text();
                assert!(text.len() > 20);
                text
            };
            for (host, more) in [
                ("larder.example.com", &[][..]),
                (host.as_str(), &["X-Forwarded-For: 192.0.2.1"]),
                ("larder.example.com", &["Authorization: Bearer lrd_x"]),
            ] {
                let text = shown(host, more);
                assert!(!text.contains(&own), "{page} {host}: {text}");
                assert!(!text.contains("corp.example.com"), "{page}: {text}");
                assert_eq!(text.contains("private-1"), page == "/metrics", "{text}");
            }
            let local = shown(&host, &[]);
            let with_token = shown("larder.example.com", &[&token]);
            if page == "/metrics" {
                let label = format!("upstream=\"{own}\"");
                assert_eq!(local.contains(&label), on_this_machine, "{local}");
                assert!(with_token.contains(&label), "{with_token}");
                // What everyone may have from there, everyone may know.
                let public = format!("upstream=\"{}\"", scene.up.addr());
                assert!(shown("larder.example.com", &[]).contains(&public));
            }
        }
    }
}

#[test]
fn an_upstream_of_public_modules_keeps_its_name() {
    let module = Module::new("corp.example.com/lib", "v1.0.0");
    let up = FakeUpstream::serving(&[module]);
    let route = format!(
        "[[routes]]\nmatch = \"corp.example.com\"\nvia = \"{}\"\n",
        up.url()
    );
    let larder = larder().of(&up).config(&route).listen("0.0.0.0:0").start();
    let metrics = larder.metrics();
    assert!(metrics.contains(&up.addr().to_string()), "{metrics}");
    assert!(!metrics.contains("private-1"), "{metrics}");
}

#[test]
fn the_address_of_administration_tells_web_pages_as_little() {
    let scene = scene();
    let admin = format!("127.0.0.1:{}", free_port());
    let larder = scene.larder().set("admin.listen", &admin).start();
    larder.get(&scene.private.url("mod")).ok();
    let metrics = |host: &str| {
        let request = Request::get("/metrics").header("Host", host);
        request.send(admin.parse().unwrap()).expect(200).text()
    };
    assert!(metrics(&admin).contains(&scene.own_name()));
    let rebound = metrics("rebind.example.com");
    assert!(!rebound.contains(&scene.own_name()), "{rebound}");
    assert!(rebound.contains("private-1"), "{rebound}");
}

#[test]
fn look_ups_of_private_modules_are_refused_in_the_same_words() {
    let scene = scene();
    let log = Log::new();
    log.add(&scene.public);
    log.install(&scene.up);
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        let builder = scene.larder().sumdb(&log.verifier()).listen(listen);
        let larder = builder.start();
        let token = format!("Authorization: Bearer {}", new_token(&larder));
        let module = ask(
            &larder,
            &scene.private.list_url(),
            "larder.example.com",
            &[],
        );
        let module = module.refuses(&[401]);
        for prefix in ["", "/cached-only"] {
            let path = log.url("/lookup/corp.example.com/team/lib@v1.0.0");
            let path = format!("{prefix}{path}");
            let stranger = ask(&larder, &path, "larder.example.com", &[]);
            assert_eq!(stranger.refuses(&[401]), module);
            assert!(stranger.header("www-authenticate").is_some());
            // Who may have the module may know the pattern.
            let text = ask(&larder, &path, "larder.example.com", &[&token]).refuses(&[403]);
            assert!(text.contains("\"corp.example.com\""), "{text}");
        }
    }
}

#[test]
fn the_page_tells_how_to_send_a_token() {
    let scene = scene();
    let builder = || {
        let builder = scene.larder().set("server.base_path", "/go");
        builder.set("server.public_url", "https://larder.example.com")
    };
    let larder = builder().start();
    let token = new_token(&larder);
    for path in ["/", "/go/"] {
        let page = larder.get(path).expect(200).text();
        for line in [
            "go env -w GOPROXY=https://larder.example.com/go</pre>",
            "machine larder.example.com login x password TOKEN",
            "GOPROXY=https://x:TOKEN@larder.example.com/go",
            "GONOSUMDB=PATTERNS",
            "GOPRIVATE",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
        assert!(!page.contains("corp.example.com"), "{page}");
        let bearer = format!("Bearer {token}");
        let page = larder.get_with(path, "Authorization", &bearer).text();
        assert!(
            page.contains("go env -w GONOSUMDB=corp.example.com<"),
            "{page}"
        );
    }
    // Nobody needs one here.
    let page = scene.larder().start().get("/").text();
    assert!(!page.contains("TOKEN"), "{page}");
    assert!(
        page.contains("go env -w GONOSUMDB=corp.example.com<"),
        "{page}"
    );
}
