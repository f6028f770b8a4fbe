//! A git host of our own: `?go-get=1` pages and repositories over smart HTTP, for any number of host names.
//!
//! Clients come to it through `HTTPS_PROXY`: one port is both a proxy that takes `CONNECT` to any name and, on
//! the same connection, the server of that name, with the certificate beside this file. It can be reached
//! without the proxy, too, as `https://127.0.0.1:PORT`, and notices whoever speaks anything else to it.

use super::fault::{At, Fault};
use super::wire::{self, Tls, Wire, reason};
use super::{DEADLINE, Module, Repo, glob, percent_decode};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// As the client calls it, without a port.
    pub host: String,
    pub method: String,
    /// Path and query as written.
    pub target: String,
    /// Host, path and query, for patterns.
    pub name: String,
    pub headers: Vec<(String, String)>,
    pub tls: bool,
    pub status: u16,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        super::http::header(&self.headers, name)
    }

    /// User and password, if there were any.
    pub fn credentials(&self) -> Option<String> {
        let value = self.header("authorization")?.strip_prefix("Basic ")?;
        let bytes = STANDARD.decode(value).ok()?;
        String::from_utf8(bytes).ok()
    }
}

/// A page under a host and path.
#[derive(Clone)]
struct Page {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

struct Rule {
    pattern: String,
    left: Option<usize>,
    fault: Fault,
}

/// What lies below `prefix` is for whoever knows the password.
struct Guard {
    prefix: String,
    user: String,
    password: String,
}

impl State {
    /// The page of that name; clients of the go command find those above it, too, as on real hosts.
    fn page(&self, name: &str, above: bool) -> Option<&Page> {
        let mut name = name;
        loop {
            let page = self.pages.get(name);
            if page.is_some() || !above {
                return page;
            }
            name = name.rsplit_once('/')?.0;
        }
    }
}

#[derive(Default)]
struct State {
    repositories: Vec<(String, PathBuf)>,
    /// What is shown to these credentials alone, in place of what others are shown.
    shown: Vec<(String, String, PathBuf)>,
    pages: HashMap<String, Page>,
    guards: Vec<Guard>,
    rules: Vec<Rule>,
    /// Names that the proxy cannot reach.
    unreachable: Vec<String>,
    seen: Vec<Seen>,
    tunnels: Vec<String>,
    strays: Vec<Vec<u8>>,
    life: u64,
    connections: u64,
    open: HashMap<u64, TcpStream>,
}

struct Inner {
    addr: SocketAddr,
    tls: Tls,
    state: Mutex<State>,
    changed: Condvar,
}

pub struct GitHost {
    inner: Arc<Inner>,
    acceptor: Option<JoinHandle<()>>,
    placeholder: Option<socket2::Socket>,
}

impl GitHost {
    pub fn start() -> GitHost {
        GitHost::launch(wire::hosts_tls())
    }

    /// With a certificate that signs itself.
    pub fn start_self_signed() -> GitHost {
        GitHost::launch(wire::self_signed_tls())
    }

    fn launch(tls: Tls) -> GitHost {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let inner = Arc::new(Inner {
            addr: listener.local_addr().unwrap(),
            tls,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut host = GitHost {
            inner,
            acceptor: None,
            placeholder: None,
        };
        host.listen(listener);
        host
    }

    fn listen(&mut self, listener: TcpListener) {
        let inner = self.inner.clone();
        let life = inner.state().life;
        self.acceptor = Some(std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(handle) = stream.try_clone() else {
                    continue;
                };
                let number = {
                    let mut state = inner.state();
                    if state.life != life {
                        return;
                    }
                    state.connections += 1;
                    let number = state.connections;
                    state.open.insert(number, handle);
                    number
                };
                let inner = inner.clone();
                std::thread::spawn(move || {
                    let conversation = Conversation {
                        inner: &inner,
                        life,
                    };
                    conversation.run(stream);
                    inner.update(|state| state.open.remove(&number));
                });
            }
        }));
    }

    pub fn port(&self) -> u16 {
        self.inner.addr.port()
    }

    /// The value for `HTTPS_PROXY`.
    pub fn proxy(&self) -> String {
        format!("http://{}", self.inner.addr)
    }

    /// The variables that lead `go`, `git` and Larder here, whatever the host is called.
    pub fn network(&self) -> Vec<(&'static str, String)> {
        let authority = super::hosts_authority();
        vec![
            ("HTTPS_PROXY", self.proxy()),
            // Whoever goes back to plain HTTP is to be seen. (curl knows this one in small letters only.)
            ("HTTP_PROXY", self.proxy()),
            ("http_proxy", self.proxy()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
            ("SSL_CERT_FILE", authority.to_str().unwrap().to_owned()),
        ]
    }

    // ---- what it serves ----

    /// `https://{name}` is this repository, as in `git.example.com/team/lib`.
    pub fn serve(&self, name: &str, repo: &Repo) {
        let folder = repo.folder();
        self.inner.update(|state| {
            state.repositories.retain(|(n, _)| n != name);
            state.repositories.push((name.to_owned(), folder));
        });
    }

    /// Whoever sends this user and password is shown that repository instead.
    pub fn serve_to(&self, user: &str, password: &str, name: &str, repo: &Repo) {
        let (credentials, folder) = (format!("{user}:{password}"), repo.folder());
        self.inner.update(|state| {
            state.shown.push((credentials, name.to_owned(), folder));
        });
    }

    /// The repository and the page that names it: the module `path` is at `https://{name}`.
    pub fn publish(&self, path: &str, name: &str, repo: &Repo) {
        self.serve(name, repo);
        self.go_import(path, &format!("{path} git https://{name}"));
    }

    /// The page of `path` says this in its `go-import`.
    pub fn go_import(&self, path: &str, content: &str) {
        self.page(path, 200, go_import_page(&[content]));
    }

    /// An HTML page under a host and path, whatever the query. With `go-get=1` it is that of all paths below, too,
    /// which have none of their own.
    pub fn page(&self, path: &str, status: u16, body: impl AsRef<[u8]>) {
        self.put(
            path,
            status,
            &[("Content-Type", "text/html")],
            body.as_ref(),
        );
    }

    pub fn redirect(&self, path: &str, to: &str) {
        self.put(path, 302, &[("Location", to)], b"");
    }

    pub fn put(&self, path: &str, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let headers = headers.iter();
        let page = Page {
            status,
            headers: headers
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            body: body.to_vec(),
        };
        self.inner
            .update(|state| state.pages.insert(path.to_owned(), page));
    }

    /// `https://{base}` is a module proxy that has this.
    pub fn proxy_module(&self, base: &str, module: &Module) {
        for (url, bytes) in [
            (module.url("info"), module.info_bytes()),
            (module.url("mod"), module.mod_bytes()),
            (module.url("zip"), module.zip_bytes()),
            (module.latest_url(), module.info_bytes()),
            (module.list_url(), format!("{}\n", module.version).into()),
        ] {
            self.page(&format!("{base}{url}"), 200, bytes);
        }
    }

    /// What begins with `prefix` is 401 without this user and password. The longest prefix counts.
    pub fn protect(&self, prefix: &str, user: &str, password: &str) {
        self.inner.update(|state| {
            state.guards.retain(|g| g.prefix != prefix);
            state.guards.push(Guard {
                prefix: prefix.to_owned(),
                user: user.to_owned(),
                password: password.to_owned(),
            });
        });
    }

    // ---- how it behaves ----

    /// What matches the pattern (`host/path?query`) is answered by this. The oldest rule wins.
    pub fn rule(&self, pattern: &str, fault: Fault) {
        self.push_rule(pattern, None, fault);
    }

    /// The same for the next `times` requests only.
    pub fn rule_n(&self, pattern: &str, times: usize, fault: Fault) {
        self.push_rule(pattern, Some(times), fault);
    }

    fn push_rule(&self, pattern: &str, left: Option<usize>, fault: Fault) {
        self.inner.update(|state| {
            state.rules.push(Rule {
                pattern: pattern.to_owned(),
                left,
                fault,
            });
        });
    }

    pub fn clear_rules(&self) {
        self.inner.update(|state| state.rules.clear());
    }

    /// The proxy has no way to this host.
    pub fn unreachable(&self, host: &str) {
        self.inner
            .update(|state| state.unreachable.push(host.to_owned()));
    }

    /// Refuses connections from now on and ends those that are open; the port stays ours.
    pub fn stop(&mut self) {
        let open = self.inner.update(|state| {
            state.life += 1;
            std::mem::take(&mut state.open)
        });
        drop(TcpStream::connect(self.inner.addr));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().unwrap();
        }
        for socket in open.into_values() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        if !std::thread::panicking() {
            self.placeholder = Some(super::refusing_socket(self.inner.addr));
        }
    }

    /// Listens again on the same port.
    pub fn restart(&mut self) {
        self.placeholder = None;
        let listener = super::until("our port again", || TcpListener::bind(self.inner.addr).ok());
        self.listen(listener);
    }

    // ---- what it saw ----

    pub fn requests(&self) -> Vec<Seen> {
        self.inner.state().seen.clone()
    }

    /// Host, path and query of every request, for messages.
    pub fn names(&self) -> Vec<String> {
        let seen = self.requests();
        let shown = seen.iter();
        shown
            .map(|s| format!("{} {} -> {}", s.method, s.name, s.status))
            .collect()
    }

    /// Requests whose `host/path?query` matches the pattern.
    pub fn count(&self, pattern: &str) -> usize {
        let state = self.inner.state();
        let found = state.seen.iter().filter(|s| glob(pattern, &s.name));
        found.count()
    }

    pub fn total(&self) -> usize {
        self.count("*")
    }

    /// What was asked of the proxy, as `host:port`.
    pub fn tunnels(&self) -> Vec<String> {
        self.inner.state().tunnels.clone()
    }

    /// The first bytes of connections that were neither TLS nor HTTP.
    pub fn strays(&self) -> Vec<Vec<u8>> {
        self.inner.state().strays.clone()
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.inner.state().open.len()
    }

    /// What came so far counts no more.
    pub fn forget(&self) {
        self.inner.update(|state| {
            state.seen.clear();
            state.tunnels.clear();
            state.strays.clear();
        });
    }

    /// Waits until so many requests have come for the pattern.
    pub fn wait_count(&self, pattern: &str, n: usize) {
        let enough =
            |state: &State| state.seen.iter().filter(|s| glob(pattern, &s.name)).count() >= n;
        let state = self.inner.state();
        let waited = self
            .inner
            .changed
            .wait_timeout_while(state, DEADLINE, |state| !enough(state));
        let (state, result) = waited.unwrap();
        let names: Vec<_> = state.seen.iter().map(|s| s.name.clone()).collect();
        drop(state);
        assert!(!result.timed_out(), "{n} of {pattern} in {names:?}");
    }

    /// Nobody came, by whatever way.
    #[track_caller]
    pub fn assert_untouched(&self) {
        let state = self.inner.state();
        let (names, tunnels) = (self::names_of(&state), state.tunnels.clone());
        let strays = state.strays.len();
        drop(state);
        assert!(
            names.is_empty() && tunnels.is_empty() && strays == 0,
            "the git host was to be left alone: {names:?} {tunnels:?}, {strays} strays"
        );
    }

    /// This user's password was sent to requests that match the pattern, and nowhere else.
    #[track_caller]
    pub fn assert_secret_only_at(&self, secret: &str, pattern: &str) {
        for seen in self.requests() {
            let told = seen.credentials().is_some_and(|c| c.contains(secret));
            let told = told || format!("{seen:?}").contains(secret);
            assert!(!told || glob(pattern, &seen.name), "told {seen:#?}");
        }
    }
}

fn names_of(state: &State) -> Vec<String> {
    state.seen.iter().map(|s| s.name.clone()).collect()
}

impl Drop for GitHost {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A page with these values of `go-import`.
pub fn go_import_page(contents: &[&str]) -> String {
    let tags = contents.iter().fold(String::new(), |mut tags, content| {
        let _ = writeln!(tags, "<meta name=\"go-import\" content=\"{content}\">");
        tags
    });
    format!("<!DOCTYPE html>\n<html><head>\n{tags}</head><body>Nothing here</body></html>\n")
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let out = change(&mut self.state());
        self.changed.notify_all();
        out
    }
}

/// A request under way, read to its end.
struct Asked {
    id: usize,
    seen: Seen,
    body: Vec<u8>,
}

/// What is sent back.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Source,
}

enum Source {
    Text(Vec<u8>),
    Program(Child),
}

impl Answer {
    fn text(status: u16, text: &str) -> Answer {
        Answer {
            status,
            headers: vec![("Content-Type".into(), "text/plain; charset=utf-8".into())],
            body: Source::Text(text.as_bytes().to_vec()),
        }
    }
}

/// None: the conversation is over.
type Goes = Option<()>;

struct Conversation<'a> {
    inner: &'a Inner,
    life: u64,
}

impl Conversation<'_> {
    fn gone(&self) -> bool {
        self.inner.state().life != self.life
    }

    fn run(&self, stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(4 * DEADLINE));
        let mut first = [0; 16];
        let Ok(have) = stream.peek(&mut first) else {
            return;
        };
        if first[0] == 0x16 {
            let wire = Wire::new(stream, Some(&self.inner.tls));
            self.converse(wire, Vec::new(), true);
            return;
        }
        // A request of git's own protocol begins with its length, and may come in pieces.
        let foreign = first[0] == b'0' || first.starts_with(b"SSH") || !first[0].is_ascii();
        if have > 0 && foreign {
            self.inner
                .update(|state| state.strays.push(first[..have].to_vec()));
            return;
        }
        let mut wire = Wire::new(stream, None);
        let mut buffer = Vec::new();
        let Some(head) = wire::read_head(&mut wire, &mut buffer) else {
            return;
        };
        let Some(target) = head.strip_prefix("CONNECT ") else {
            let head = format!("{head}\r\n\r\n");
            let buffer = [head.into_bytes(), buffer].concat();
            self.converse(wire, buffer, false);
            return;
        };
        let target = target.split(' ').next().unwrap_or("");
        if self.tunnel(&mut wire, target).is_some()
            && let Wire::Plain(stream) = wire
        {
            let wire = Wire::new(stream, Some(&self.inner.tls));
            self.converse(wire, Vec::new(), true);
        }
    }

    fn tunnel(&self, wire: &mut Wire, target: &str) -> Goes {
        let host = target.split(':').next().unwrap_or("");
        let refused = self.inner.update(|state| {
            state.tunnels.push(target.to_owned());
            state.unreachable.iter().any(|u| u == host)
        });
        let line = if refused {
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 200 Connection established\r\n\r\n"
        };
        wire.write_all(line.as_bytes()).ok()?;
        (!refused).then_some(())
    }

    fn converse(&self, mut wire: Wire, mut buffer: Vec<u8>, tls: bool) {
        while let Some(head) = wire::read_head(&mut wire, &mut buffer) {
            let Some(asked) = self.take(&mut wire, &mut buffer, &head, tls) else {
                break;
            };
            if self.answer(&mut wire, &asked).is_none() {
                break;
            }
        }
        let _ = wire.flush();
        let _ = wire.socket().shutdown(std::net::Shutdown::Both);
    }

    /// Reads the rest of the request and writes it down.
    fn take(&self, wire: &mut Wire, buffer: &mut Vec<u8>, head: &str, tls: bool) -> Option<Asked> {
        let mut seen = parse(head, tls);
        let id = self.inner.update(|state| {
            state.seen.push(seen.clone());
            state.seen.len() - 1
        });
        let chunked = seen.header("transfer-encoding").is_some();
        let body = if chunked {
            read_chunked(wire, buffer)?
        } else {
            let length = seen
                .header("content-length")
                .map_or(Some(0), |l| l.parse().ok());
            read_exact(wire, buffer, length?)?
        };
        if chunked {
            seen.headers
                .push(("content-length".into(), body.len().to_string()));
        }
        Some(Asked { id, seen, body })
    }

    fn answer(&self, wire: &mut Wire, asked: &Asked) -> Goes {
        let fault = self.fault(&asked.seen.name);
        if let Some(gate) = &fault.gate
            && !gate.pass(|| self.gone())
        {
            return None;
        }
        if !fault.delay.is_zero() {
            std::thread::sleep(fault.delay);
        }
        if fault.hang {
            wire.linger(|| self.gone());
            return None;
        }
        if fault.close {
            return None;
        }
        let answer = self.plan(asked, &fault);
        self.inner.update(|state| {
            // After a `forget` the request counts no more.
            if let Some(seen) = state.seen.get_mut(asked.id) {
                seen.status = answer.status;
            }
        });
        self.send(wire, asked, answer, &fault)
    }

    fn fault(&self, name: &str) -> Fault {
        let mut state = self.inner.state();
        let mut rules = state.rules.iter_mut();
        let rule = rules.find(|r| r.left != Some(0) && glob(&r.pattern, name));
        rule.map_or_else(Fault::none, |rule| {
            rule.left = rule.left.map(|n| n - 1);
            rule.fault.clone()
        })
    }

    fn plan(&self, asked: &Asked, fault: &Fault) -> Answer {
        let mut answer = match (&fault.body, fault.status) {
            (Some(body), status) => Answer {
                status: status.unwrap_or(200),
                headers: Vec::new(),
                body: Source::Text(body.slice(0, body.len() as usize).to_vec()),
            },
            (None, Some(status)) => Answer::text(status, "as the rule says\n"),
            (None, None) => self.truth(asked),
        };
        answer.headers.extend(fault.headers.iter().cloned());
        answer
    }

    fn truth(&self, asked: &Asked) -> Answer {
        let name = asked.seen.name.split('?').next().unwrap_or("");
        let state = self.inner.state();
        let guards = state.guards.iter().filter(|g| name.starts_with(&g.prefix));
        if let Some(guard) = guards.max_by_key(|g| g.prefix.len())
            && asked.seen.credentials() != Some(format!("{}:{}", guard.user, guard.password))
        {
            let mut answer = Answer::text(401, "who are you?\n");
            let realm = ("WWW-Authenticate".into(), "Basic realm=\"git\"".into());
            answer.headers.push(realm);
            return answer;
        }
        if let Some(page) = state.page(name, asked.seen.name.contains("go-get=1")) {
            return Answer {
                status: page.status,
                headers: page.headers.clone(),
                body: Source::Text(page.body.clone()),
            };
        }
        let credentials = asked.seen.credentials();
        let shown = state.shown.iter();
        let shown = shown.filter(|(to, ..)| credentials.as_ref() == Some(to));
        let shown = shown.map(|(_, prefix, folder)| (prefix, folder));
        let all = state.repositories.iter();
        let all = all.map(|(prefix, folder)| (prefix, folder));
        for (prefix, folder) in shown.chain(all) {
            let Some(rest) = name.strip_prefix(prefix.as_str()) else {
                continue;
            };
            if rest.is_empty() {
                return Answer::text(200, "a repository lives here\n");
            }
            if ["/info/refs", "/git-upload-pack", "/git-receive-pack"].contains(&rest) {
                return backend(folder, rest, asked);
            }
        }
        Answer::text(404, "not found: nothing of that name\n")
    }

    fn send(&self, wire: &mut Wire, asked: &Asked, answer: Answer, fault: &Fault) -> Goes {
        let mut headers = answer.headers;
        let (mut body, mut program): (Box<dyn Read>, _) = match answer.body {
            Source::Text(bytes) => (Box::new(std::io::Cursor::new(bytes)), None),
            Source::Program(mut child) => {
                let stdout = child.stdout.take().unwrap();
                (Box::new(stdout), Some(child))
            }
        };
        headers.push(("Transfer-Encoding".into(), "chunked".into()));
        let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
        for (name, value) in &headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let bodiless = asked.seen.method == "HEAD";
        let done = wire.write_all(head.as_bytes()).ok().and_then(|()| {
            wire.flush().ok()?;
            if bodiless {
                return Some(());
            }
            self.send_body(wire, &mut body, fault)
        });
        drop(body);
        if let Some(program) = &mut program {
            if done.is_none() {
                let _ = program.kill();
            }
            let _ = program.wait();
        }
        done
    }

    fn send_body(&self, wire: &mut Wire, body: &mut dyn Read, fault: &Fault) -> Goes {
        let mut sent = 0;
        let mut at = fault.at.clone();
        let mut piece = vec![0; 32 << 10];
        loop {
            if let Some((n, event)) = &at
                && sent >= *n
            {
                wire.flush().ok()?;
                self.event(wire, event)?;
                at = None;
            }
            let mut size = piece.len();
            if let Some((n, _)) = &at {
                size = size.min((n - sent) as usize);
            }
            if let Some(rate) = fault.rate {
                size = size.min((rate / 20).max(1) as usize);
            }
            let got = body.read(&mut piece[..size]).ok()?;
            if got == 0 {
                break;
            }
            wire.write_all(format!("{got:x}\r\n").as_bytes()).ok()?;
            wire.write_all(&piece[..got]).ok()?;
            wire.write_all(b"\r\n").ok()?;
            sent += got as u64;
            if let Some(rate) = fault.rate {
                wire.flush().ok()?;
                std::thread::sleep(Duration::from_secs_f64(got as f64 / rate as f64));
                if self.gone() {
                    return None;
                }
            }
        }
        wire.write_all(b"0\r\n\r\n").ok()?;
        wire.flush().ok()
    }

    fn event(&self, wire: &mut Wire, event: &At) -> Goes {
        match event {
            At::Cut | At::Reset => None,
            At::Hang => {
                wire.linger(|| self.gone());
                None
            }
            At::Gate(gate) => gate.pass(|| self.gone()).then_some(()),
            At::Delay(delay) => {
                std::thread::sleep(*delay);
                Some(())
            }
        }
    }
}

fn parse(head: &str, tls: bool) -> Seen {
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or("").split(' ');
    let (method, target) = (first.next().unwrap_or(""), first.next().unwrap_or(""));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let host = super::http::header(&headers, "host").unwrap_or("");
    let host = host.split(':').next().unwrap_or("").to_owned();
    // Proxies are asked for whole addresses where there is no tunnel.
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut name = format!("{host}{}", percent_decode(path).trim_end_matches('/'));
    if !query.is_empty() {
        let _ = write!(name, "?{query}");
    }
    Seen {
        host,
        method: method.to_owned(),
        target: target.to_owned(),
        name,
        headers,
        tls,
        status: 0,
    }
}

fn read_exact(wire: &mut Wire, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    let mut piece = [0; 16 << 10];
    while buffer.len() < length {
        match wire.read(&mut piece) {
            Ok(got) if got > 0 => buffer.extend_from_slice(&piece[..got]),
            _ => return None,
        }
    }
    Some(buffer.drain(..length).collect())
}

fn read_chunked(wire: &mut Wire, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(read_exact(wire, buffer, 1)?);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        body.extend(read_exact(wire, buffer, size)?);
        read_exact(wire, buffer, 2)?;
        if size == 0 {
            return Some(body);
        }
    }
}

/// `git http-backend`, which is a CGI program.
fn backend(folder: &Path, rest: &str, asked: &Asked) -> Answer {
    let mut command: Command = super::git::git(folder);
    command
        .arg("http-backend")
        .env_remove("GIT_DIR")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", rest)
        .env("REQUEST_METHOD", &asked.seen.method)
        .env(
            "QUERY_STRING",
            asked.seen.target.split_once('?').map_or("", |t| t.1),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for (name, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("CONTENT_LENGTH", "content-length"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        if let Some(value) = asked.seen.header(header) {
            command.env(name, value);
        }
    }
    let mut child = command.spawn().expect("git http-backend");
    let mut stdin = child.stdin.take().unwrap();
    let body = asked.body.clone();
    // It may begin to answer before it has read everything.
    std::thread::spawn(move || stdin.write_all(&body));
    let mut head = Vec::new();
    let mut byte = [0];
    let stdout = child.stdout.as_mut().unwrap();
    while !head.ends_with(b"\r\n\r\n") && stdout.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let lines = lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let (status, headers): (Vec<_>, Vec<_>) = lines.partition(|(name, _)| name == "Status");
    let status = status
        .first()
        .and_then(|(_, value)| value[..3].parse().ok());
    Answer {
        status: status.unwrap_or(if head.is_empty() { 500 } else { 200 }),
        headers,
        body: Source::Program(child),
    }
}
