//! An upstream that speaks HTTP/2, frame by frame and on blocking sockets, so that it can do what no library does. It
//! knows one answer, a list of one version, to whatever it is asked.

use super::wire;
use rustls::{ServerConnection, StreamOwned};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const REFUSED_STREAM: u32 = 7;

#[derive(Default)]
struct Shared {
    connections: AtomicU64,
    requests: AtomicU64,
    /// Connections up to this number have fallen silent.
    silent: AtomicU64,
    /// Streams that are still to be refused.
    refuse: AtomicU64,
    /// Requests answered on one connection, if not all.
    per_connection: AtomicU64,
    stopped: AtomicBool,
}

pub struct H2Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

impl H2Upstream {
    /// On `https://localhost:PORT`, like [`super::FakeUpstream::start_tls`].
    pub fn start() -> H2Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let shared = Arc::new(Shared::default());
        let upstream = H2Upstream {
            addr: listener.local_addr().unwrap(),
            shared: shared.clone(),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let shared = shared.clone();
                // How a connection ends is the client's business.
                std::thread::spawn(move || drop(Connection::run(stream, number, &shared)));
            }
        });
        upstream
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.addr.port())
    }

    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Requests that were answered.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// All connections that are there fall silent: they stay open, and nothing is read or written any more.
    pub fn fall_silent(&self) {
        let number = self.connections();
        self.shared.silent.store(number, Ordering::SeqCst);
    }

    /// So many streams are refused before the next one is answered.
    pub fn refuse(&self, streams: u64) {
        self.shared.refuse.store(streams, Ordering::SeqCst);
    }

    /// Each connection ends in good order after so many answers; what came later on it was not processed.
    pub fn per_connection(&self, requests: u64) {
        self.shared.per_connection.store(requests, Ordering::SeqCst);
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
    }
}

struct Connection<'a> {
    stream: StreamOwned<ServerConnection, TcpStream>,
    number: u64,
    shared: &'a Shared,
    read: VecDeque<u8>,
}

impl Connection<'_> {
    fn run(stream: TcpStream, number: u64, shared: &Shared) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let connection = ServerConnection::new(wire::h2_tls()).unwrap();
        let mut this = Connection {
            stream: StreamOwned::new(connection, stream),
            number,
            shared,
            read: VecDeque::new(),
        };
        // The handshake first: it must not be cut short by the time-out below.
        this.take(24)?;
        let patience = Duration::from_millis(20);
        this.stream.sock.set_read_timeout(Some(patience))?;
        this.frame(SETTINGS, 0, 0, &[])?;
        this.converse()
    }

    fn converse(&mut self) -> std::io::Result<()> {
        let mut answered = 0;
        loop {
            let head = self.take(9)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let payload = self.take(length)?;
            match kind {
                SETTINGS if flags & 1 == 0 => self.frame(SETTINGS, 1, 0, &[])?,
                PING if flags & 1 == 0 => self.frame(PING, 1, 0, &payload)?,
                HEADERS => {
                    let less = |left: u64| left.checked_sub(1);
                    let refuse = &self.shared.refuse;
                    let refused = refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
                    if refused.is_ok() {
                        self.frame(RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes())?;
                        continue;
                    }
                    self.shared.requests.fetch_add(1, Ordering::SeqCst);
                    // `:status: 200`, as HPACK's static table has it.
                    self.frame(HEADERS, 4, id, &[0x88])?;
                    self.frame(DATA, 1, id, b"v1.0.0\n")?;
                    answered += 1;
                    if answered == self.shared.per_connection.load(Ordering::SeqCst) {
                        let last = [id.to_be_bytes(), [0; 4]].concat();
                        self.frame(GOAWAY, 0, 0, &last)?;
                        return self.linger();
                    }
                }
                GOAWAY => return Ok(()),
                _ => {}
            }
        }
    }

    /// Reads until the client has gone, so that nothing that it has sent makes the kernel reset the connection.
    fn linger(&mut self) -> std::io::Result<()> {
        self.stream.conn.send_close_notify();
        self.stream.flush()?;
        loop {
            self.take(1)?;
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(id.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame)?;
        self.stream.flush()
    }

    fn take(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        let mut chunk = [0; 16 << 10];
        loop {
            while self.shared.silent.load(Ordering::SeqCst) >= self.number {
                if self.shared.stopped.load(Ordering::SeqCst) {
                    return Err(ErrorKind::Interrupted.into());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            if self.read.len() >= count {
                return Ok(self.read.drain(..count).collect());
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.read.extend(&chunk[..count]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
            if self.shared.stopped.load(Ordering::SeqCst) {
                return Err(ErrorKind::Interrupted.into());
            }
        }
    }
}
