//! A module proxy of our own on a loopback port: tells the truth about the modules it was given, except
//! where a rule says otherwise, and remembers every request.

use super::fault::{Body, Fault, Gate};
use super::modules::{Module, escape};
use super::wire::{self, Tls, Wire};
use super::{DEADLINE, glob, percent_decode};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A request as it arrived, and how far its answer got.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub method: String,
    /// As written on the request line.
    pub target: String,
    /// The target's path, percent-decoded, without the base path.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub at: Instant,
    pub status: u16,
    pub sent: u64,
    /// The answer went out as planned (a cut that a rule asked for is no plan of the server's).
    pub done: bool,
}

impl Recorded {
    pub fn header(&self, name: &str) -> Option<&str> {
        super::http::header(&self.headers, name)
    }
}

#[derive(Clone)]
pub(super) struct Resource {
    pub kind: &'static str,
    pub body: Body,
}

struct Rule {
    pattern: String,
    /// How many more requests; none means all.
    left: Option<usize>,
    fault: Fault,
}

/// What holds for every answer of this upstream.
#[derive(Clone, Default)]
pub(super) struct Manners {
    pub latency: Duration,
    pub rate: Option<u64>,
    pub validators: bool,
    pub ranges: bool,
    pub base: String,
}

/// What is told below a path, by what comes after it.
type Mount = Box<dyn Fn(&str) -> Option<Resource> + Send>;

#[derive(Default)]
pub(super) struct State {
    resources: HashMap<String, Resource>,
    mounts: Vec<(String, Mount)>,
    versions: BTreeMap<String, Vec<String>>,
    no_latest: bool,
    rules: Vec<Rule>,
    pub requests: Vec<Recorded>,
    pub manners: Manners,
    pub open: usize,
    pub max_open: usize,
    /// Connections of an earlier life end themselves.
    pub life: u64,
    /// Second handles of the open connections, so that `stop` can end them.
    pub sockets: HashMap<u64, TcpStream>,
    connections: u64,
    /// Connections up to this number have fallen silent.
    pub silent: u64,
    forgotten: usize,
}

pub(super) struct Inner {
    addr: SocketAddr,
    tls: Option<Tls>,
    state: Mutex<State>,
    changed: Condvar,
}

pub struct FakeUpstream {
    inner: Arc<Inner>,
    acceptor: Option<JoinHandle<()>>,
    /// Keeps the port, without listening, while the upstream is stopped.
    placeholder: Option<socket2::Socket>,
}

impl Inner {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits for a change.
    pub fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let out = change(&mut self.state());
        self.changed.notify_all();
        out
    }

    /// What is to be told about `path`: the truth, and the rule that bends it.
    pub fn find(&self, path: &str) -> (Option<Resource>, Fault, Manners) {
        let mut state = self.state();
        let mounted = |(prefix, mount): &(String, Mount)| mount(path.strip_prefix(prefix)?);
        let truth = state.resources.get(path).cloned();
        let truth = truth.or_else(|| state.mounts.iter().find_map(mounted));
        let manners = state.manners.clone();
        let rule = state
            .rules
            .iter_mut()
            .find(|r| r.left != Some(0) && glob(&r.pattern, path));
        let fault = rule.map_or_else(Fault::none, |rule| {
            rule.left = rule.left.map(|n| n - 1);
            rule.fault.clone()
        });
        (truth, fault, manners)
    }
}

impl FakeUpstream {
    pub fn start() -> FakeUpstream {
        FakeUpstream::launch(None)
    }

    /// Speaks TLS with the certificate for `localhost` and `127.0.0.1` that `tls::authority` signed.
    pub fn start_tls() -> FakeUpstream {
        FakeUpstream::launch(Some(wire::tls()))
    }

    /// The same with a certificate that signs itself.
    pub fn start_self_signed() -> FakeUpstream {
        FakeUpstream::launch(Some(wire::self_signed_tls()))
    }

    /// Started and filled in one go.
    pub fn serving(modules: &[Module]) -> FakeUpstream {
        let upstream = FakeUpstream::start();
        for module in modules {
            upstream.add(module);
        }
        upstream
    }

    fn launch(tls: Option<Tls>) -> FakeUpstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let inner = Arc::new(Inner {
            addr: listener.local_addr().unwrap(),
            tls,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut upstream = FakeUpstream {
            inner,
            acceptor: None,
            placeholder: None,
        };
        upstream.listen(listener);
        upstream
    }

    fn listen(&mut self, listener: TcpListener) {
        let inner = self.inner.clone();
        let life = inner.state().life;
        self.acceptor = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let number = {
                    let mut state = inner.state();
                    if state.life != life {
                        return;
                    }
                    state.connections += 1;
                    let number = state.connections;
                    let Ok(handle) = stream.try_clone() else {
                        continue;
                    };
                    state.sockets.insert(number, handle);
                    number
                };
                let inner = inner.clone();
                std::thread::spawn(move || {
                    let stream = Wire::new(stream, inner.tls.as_ref());
                    wire::converse(&inner, life, number, stream);
                });
            }
        }));
    }

    pub fn addr(&self) -> SocketAddr {
        self.inner.addr
    }

    pub fn port(&self) -> u16 {
        self.inner.addr.port()
    }

    /// The base URL as an entry of a GOPROXY list.
    pub fn url(&self) -> String {
        let base = self.inner.state().manners.base.clone();
        match self.inner.tls {
            Some(_) => format!("https://localhost:{}{base}", self.port()),
            None => format!("http://{}{base}", self.inner.addr),
        }
    }

    // ---- what it serves ----

    pub fn add(&self, module: &Module) {
        let path = module.path.clone();
        self.put(&module.url("info"), "application/json", module.info_bytes());
        self.put(
            &module.url("mod"),
            "text/plain; charset=utf-8",
            module.mod_bytes(),
        );
        self.put(&module.url("zip"), "application/zip", module.zip_bytes());
        self.put(
            &module.latest_url(),
            "application/json",
            module.info_bytes(),
        );
        self.inner.update(|state| {
            let versions = state.versions.entry(path.clone()).or_default();
            if !versions.contains(&module.version) {
                versions.push(module.version.clone());
            }
            let list = versions.iter().fold(String::new(), |mut out, v| {
                if !is_pseudo(v) {
                    let _ = writeln!(out, "{v}");
                }
                out
            });
            state.resources.insert(
                module.list_url(),
                Resource {
                    kind: "text/plain; charset=utf-8",
                    body: list.into(),
                },
            );
            if state.no_latest {
                state.resources.remove(&module.latest_url());
            }
        });
    }

    /// `M@query` leads to `module`, as for a branch or a commit.
    pub fn query(&self, module: &Module, query: &str) {
        let path = format!("/{}/@v/{}.info", escape(&module.path), escape(query));
        self.put(&path, "application/json", module.info_bytes());
    }

    /// Any answer with status 200 under a path.
    pub fn put(&self, path: &str, kind: &'static str, body: impl Into<Body>) {
        let body = body.into();
        self.inner.update(|state| {
            state
                .resources
                .insert(path.to_owned(), Resource { kind, body })
        });
    }

    /// Whatever was not put under a path below `prefix` is answered by `mount`.
    pub(super) fn mount(
        &self,
        prefix: &str,
        mount: impl Fn(&str) -> Option<Resource> + Send + 'static,
    ) {
        let prefix = prefix.to_owned();
        self.inner
            .update(|state| state.mounts.push((prefix, Box::new(mount))));
    }

    /// The unfiltered list of a module, in place of the one made of its versions.
    pub fn put_list(&self, path: &str, text: &str) {
        let url = format!("/{}/@v/list", escape(path));
        self.put(&url, "text/plain; charset=utf-8", text.to_owned());
    }

    /// Forgets what it served under the path.
    pub fn remove(&self, path: &str) {
        self.inner.update(|state| state.resources.remove(path));
    }

    /// `@latest` is a 404 from here on, as many mirrors have it.
    pub fn without_latest(self) -> FakeUpstream {
        self.inner.update(|state| {
            state.no_latest = true;
            state
                .resources
                .retain(|path, _| !path.ends_with("/@latest"));
        });
        self
    }

    // ---- how it behaves ----

    /// Paths that match `pattern` (`*` is any text) are answered by `fault` from now on. The oldest rule wins.
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

    /// Connections that are open now stay so and are not answered any more, as when something between has forgotten
    /// them.
    pub fn fall_silent(&self) {
        self.inner.update(|state| state.silent = state.connections);
    }

    pub fn latency(&self, latency: Duration) {
        self.inner.update(|s| s.manners.latency = latency);
    }

    /// Every body goes out at so many bytes a second and connection.
    pub fn rate(&self, rate: u64) {
        self.inner.update(|s| s.manners.rate = Some(rate));
    }

    /// Sends entity tags and answers conditional requests.
    pub fn validators(&self) {
        self.inner.update(|s| s.manners.validators = true);
    }

    /// Sends entity tags and honours `Range` with `If-Range`.
    pub fn ranges(&self) {
        self.inner.update(|s| {
            s.manners.validators = true;
            s.manners.ranges = true;
        });
    }

    /// Serves below this path only, as in `/goproxy/public`.
    pub fn base(&self, base: &str) {
        self.inner.update(|s| s.manners.base = base.to_owned());
    }

    /// Refuses connections from now on and ends those that are open; the port stays ours.
    pub fn stop(&mut self) {
        let sockets = self.inner.update(|state| {
            state.life += 1;
            std::mem::take(&mut state.sockets)
        });
        // Wakes the acceptor, which sees the new life and leaves.
        drop(TcpStream::connect(self.inner.addr));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().unwrap();
        }
        for socket in sockets.into_values() {
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

    pub fn requests(&self) -> Vec<Recorded> {
        let state = self.inner.state();
        state.requests[state.forgotten..].to_vec()
    }

    pub fn total(&self) -> usize {
        self.count("*")
    }

    /// Requests whose path matches the pattern.
    pub fn count(&self, pattern: &str) -> usize {
        let state = self.inner.state();
        state.requests[state.forgotten..]
            .iter()
            .filter(|r| glob(pattern, &r.path))
            .count()
    }

    /// The last request whose path matches.
    pub fn last(&self, pattern: &str) -> Recorded {
        let found = self
            .requests()
            .into_iter()
            .rfind(|r| glob(pattern, &r.path));
        found.unwrap_or_else(|| panic!("no request for {pattern} in {:?}", self.paths()))
    }

    /// Body bytes that went out, all requests together.
    pub fn sent(&self) -> u64 {
        self.inner.state().requests.iter().map(|r| r.sent).sum()
    }

    /// The largest number of requests that were being answered at one time.
    pub fn max_open(&self) -> usize {
        self.inner.state().max_open
    }

    /// Requests being answered now.
    pub fn open(&self) -> usize {
        self.inner.state().open
    }

    /// Method and path of every request, for messages.
    pub fn paths(&self) -> Vec<String> {
        let requests = self.requests();
        requests
            .iter()
            .map(|r| format!("{} {}", r.method, r.path))
            .collect()
    }

    /// What came so far counts no more.
    pub fn forget(&self) {
        self.inner
            .update(|state| state.forgotten = state.requests.len());
    }

    /// Waits until so many requests have come for the pattern.
    pub fn wait_count(&self, pattern: &str, n: usize) {
        self.wait(&format!("{n} requests for {pattern}"), |requests| {
            requests.iter().filter(|r| glob(pattern, &r.path)).count() >= n
        });
    }

    /// Waits until the requests satisfy the condition.
    pub fn wait(&self, what: &str, condition: impl Fn(&[Recorded]) -> bool) {
        let state = self.inner.state();
        let (state, result) = self
            .inner
            .changed
            .wait_timeout_while(state, DEADLINE, |s| !condition(&s.requests[s.forgotten..]))
            .unwrap();
        if result.timed_out() {
            let seen = state.requests[state.forgotten..].iter();
            let seen: Vec<_> = seen.map(|r| r.path.clone()).collect();
            drop(state);
            panic!("upstream never saw {what}; it saw {seen:?}");
        }
    }

    /// No request of this test is to have reached the upstream.
    #[track_caller]
    pub fn assert_untouched(&self) {
        assert_eq!(
            self.paths(),
            Vec::<String>::new(),
            "upstream was to be left alone"
        );
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        if self.acceptor.is_some() {
            self.stop();
        }
    }
}

/// The same test as in the protocol: two dashes and a time stamp before the revision.
pub fn is_pseudo(version: &str) -> bool {
    let mut parts = version.rsplitn(2, '-');
    let (Some(revision), Some(rest)) = (parts.next(), parts.next()) else {
        return false;
    };
    let stamp = rest.rsplit(['-', '.']).next().unwrap_or("");
    version.matches('-').count() >= 2
        && stamp.len() == 14
        && stamp.bytes().all(|b| b.is_ascii_digit())
        && revision
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+')
}

/// Percent-decodes the path of a target and takes the base path off.
pub(super) fn path_of(target: &str, base: &str) -> String {
    let origin = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let path = percent_decode(origin.split('?').next().unwrap_or(""));
    match path.strip_prefix(base) {
        Some(rest) => rest.to_owned(),
        None => format!("outside the base path: {path}"),
    }
}

/// A gate that stops every answer under the pattern.
impl FakeUpstream {
    pub fn gated(&self, pattern: &str) -> Gate {
        let gate = Gate::new();
        self.rule(pattern, Fault::gate(&gate));
        gate
    }
}
