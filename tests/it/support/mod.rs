//! What the tests stand on: an upstream of our own, the real program, raw HTTP and the real `go`.

pub mod disk;
pub mod fault;
pub mod git;
pub mod githost;
pub mod go;
pub mod h2;
pub mod h2c;
pub mod http;
pub mod issuer;
pub mod modules;
pub mod oracle;
pub mod server;
pub mod sumdb;
mod tests;
pub mod upstream;
mod wire;
pub mod zip;

pub use disk::SmallDisk;
pub use fault::{At, Body, Fault, Gate, Length};
pub use git::{Commit, Repo};
pub use githost::GitHost;
pub use go::Go;
pub use h2::H2Upstream;
pub use h2c::H2Client;
pub use http::{Conn, Request, Response};
pub use modules::Module;
pub use oracle::{Oracle, Verdict};
pub use server::{Larder, larder};
pub use upstream::FakeUpstream;
pub use zip::{Entry, Zip};

use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take that has no reason to take long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Held by tests that measure time or memory, or use a lot of either: one of them runs at a time.
pub fn heavy() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::new(());
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks again and again until the answer is `Some`; panics with `what` after the deadline.
#[track_caller]
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, ask)
}

/// The same with a limit that is a promise.
#[track_caller]
pub fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < limit, "not in {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether `text` fits the pattern, in which `*` stands for any text.
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or("")) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3);
        let code = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Holds the address without listening: whoever connects is refused, and nobody else gets the port.
pub fn refusing_socket(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    // A child that another test is just starting may hold a copy of the old listener for a moment.
    until("the port", || socket.bind(&addr.into()).ok());
    socket
}

/// A port of our own where connections are refused for as long as this lives.
pub struct DeadPort {
    socket: Socket,
}

impl DeadPort {
    pub fn new() -> DeadPort {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        DeadPort {
            socket: refusing_socket(addr),
        }
    }

    pub fn port(&self) -> u16 {
        let addr = self.socket.local_addr().unwrap();
        addr.as_socket().unwrap().port()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }
}

/// A port of our own where connections are neither taken nor refused.
pub struct BlackHole {
    socket: Socket,
    _fillers: Vec<Socket>,
}

impl BlackHole {
    pub fn new() -> BlackHole {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = refusing_socket(addr);
        socket.listen(0).unwrap();
        let addr = socket.local_addr().unwrap();
        // Once the queue is full, the kernel drops what knocks.
        let fill = || {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            filler.set_nonblocking(true).unwrap();
            let _ = filler.connect(&addr);
            filler
        };
        BlackHole {
            _fillers: (0..4).map(|_| fill()).collect(),
            socket,
        }
    }

    pub fn url(&self) -> String {
        let addr = self.socket.local_addr().unwrap();
        format!("http://{}", addr.as_socket().unwrap())
    }
}

/// The certificate of the authority behind `FakeUpstream::start_tls`, as a file.
pub fn tls_authority() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/tls/authority.pem")
}

/// The certificate of the authority behind `GitHost`, as a file.
pub fn hosts_authority() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/tls/hosts-authority.pem")
}

/// The certificate of `FakeUpstream::start_self_signed` and `GitHost::start_self_signed`, as a file.
pub fn self_signed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/tls/self-signed.pem")
}

/// A port that was free a moment ago, for the few tests in which the program must be told its own.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The machine's variables that lead to the outside world.
pub fn machine_network() -> Vec<(String, String)> {
    let wanted = |name: &str| {
        let upper = name.to_uppercase();
        upper.ends_with("_PROXY") || upper.starts_with("SSL_CERT_") || upper == "NETRC"
    };
    std::env::vars().filter(|(name, _)| wanted(name)).collect()
}

/// The middle of the durations.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
