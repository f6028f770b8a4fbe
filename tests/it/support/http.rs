//! A raw HTTP/1.1 client: the request's bytes are exactly what the test says, and an answer that ends too
//! early is a value, not an error.

use super::DEADLINE;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The first value of a header.
pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.as_str())
}

/// An answer, whole or not.
#[derive(Debug, Clone)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// All of the body came, by the message's own account of its length.
    pub complete: bool,
    /// From the request's first byte to the answer's head.
    pub first_byte: Duration,
    /// From the request's first byte to the answer's last.
    pub elapsed: Duration,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Headers but for those that differ between any two answers, in order.
    pub fn lasting_headers(&self) -> Vec<(String, String)> {
        let passing = ["date", "x-request-id", "age"];
        let headers = self.headers.iter();
        let mut headers: Vec<_> = headers
            .filter(|(name, _)| !passing.contains(&name.to_lowercase().as_str()))
            .cloned()
            .collect();
        headers.sort();
        headers
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A complete 200.
    pub fn is_ok(&self) -> bool {
        self.status == 200 && self.complete
    }

    /// The body of a complete 200; anything else fails the test.
    #[track_caller]
    pub fn ok(&self) -> &[u8] {
        assert_eq!(self.status, 200, "{}", self.describe());
        assert!(self.complete, "a whole body: {}", self.describe());
        &self.body
    }

    /// A complete answer with this status; anything else fails the test.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Response {
        assert_eq!(self.status, status, "{}", self.describe());
        assert!(self.complete, "a whole body: {}", self.describe());
        self
    }

    /// An answer that began well and broke off, since its status was out already; anything else fails the test.
    #[track_caller]
    pub fn breaks_off(&self) {
        assert_eq!(self.status, 200, "{}", self.describe());
        assert!(!self.complete, "a broken body: {} bytes", self.body.len());
    }

    /// An error as clients can print it, with one of these statuses; returns its text.
    #[track_caller]
    pub fn refuses(&self, statuses: &[u16]) -> String {
        let shown = self.describe();
        assert!(statuses.contains(&self.status), "not {statuses:?}: {shown}");
        assert!(self.complete, "a whole body: {shown}");
        let kind = self.header("content-type").unwrap_or("").to_lowercase();
        assert_eq!(kind, "text/plain; charset=utf-8", "{shown}");
        let text = String::from_utf8(self.body.clone()).expect("UTF-8");
        let first = text.lines().next().unwrap_or("").trim();
        assert!(first.len() > 5, "a reason in the first line: {shown}");
        assert!(text.lines().count() <= 8, "at most eight lines: {shown}");
        assert!(text.len() <= 648, "what go prints at most: {shown}");
        assert!(!text.contains("\n\n"), "go stops at a blank line: {shown}");
        let unprintable = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(unprintable), "go drops it all: {shown}");
        let local = std::env::temp_dir();
        let local = local.to_str().unwrap();
        assert!(!text.contains(local), "a local path: {shown}");
        text
    }

    pub fn describe(&self) -> String {
        let text: String = self.text().chars().take(600).collect();
        let headers = &self.headers;
        format!("{} {headers:?}\n{text}", self.status)
    }

    /// The members of `Cache-Status`, the cache's name first.
    pub fn cache_status(&self) -> Vec<String> {
        let value = self.header("cache-status").unwrap_or("");
        value.split(';').map(|p| p.trim().to_owned()).collect()
    }

    pub fn has_cache_status(&self, member: &str) -> bool {
        let members = self.cache_status();
        members[0] == "larder" && members[1..].iter().any(|m| m == member)
    }

    pub fn is_hit(&self) -> bool {
        self.has_cache_status("hit")
    }

    pub fn is_stale(&self) -> bool {
        self.is_hit() && self.has_cache_status("detail=stale")
    }
}

/// A request under construction.
#[derive(Clone)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    host: bool,
    deadline: Duration,
}

impl Request {
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    pub fn new(method: &str, target: &str) -> Request {
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            headers: Vec::new(),
            host: true,
            deadline: 2 * DEADLINE,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn http10(mut self) -> Request {
        self.version = "HTTP/1.0";
        self
    }

    pub fn deadline(mut self, deadline: Duration) -> Request {
        self.deadline = deadline;
        self
    }

    pub fn bytes(&self, addr: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        if self.host && header(&self.headers, "host").is_none() {
            head.push_str(&format!("Host: {addr}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn send(&self, addr: SocketAddr) -> Response {
        self.try_send(addr)
            .unwrap_or_else(|e| panic!("{} {}: {e}", self.method, self.target))
    }

    /// The same, where no answer at all is one of the expected ends.
    pub fn try_send(&self, addr: SocketAddr) -> std::io::Result<Response> {
        let mut conn = Conn::open(addr)?;
        conn.deadline(self.deadline);
        let request = self.clone().header("Connection", "close");
        conn.write(&request.bytes(addr))?;
        conn.response(self.method == "HEAD")
    }

    /// Sends the request and stops after the head, for readers with a pace of their own.
    #[track_caller]
    pub fn open(&self, addr: SocketAddr) -> (Response, Conn) {
        let mut conn = Conn::open(addr).expect("a connection");
        conn.deadline(self.deadline);
        conn.write(&self.bytes(addr)).expect("the request sent");
        let head = conn.head().expect("an answer's head");
        (head, conn)
    }
}

/// A connection that the test reads at its own pace.
pub struct Conn {
    stream: TcpStream,
    buffer: Vec<u8>,
    started: Instant,
}

impl Conn {
    pub fn open(addr: SocketAddr) -> std::io::Result<Conn> {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE)?;
        stream.set_nodelay(true)?;
        let conn = Conn {
            stream,
            buffer: Vec::new(),
            started: Instant::now(),
        };
        conn.deadline(2 * DEADLINE);
        Ok(conn)
    }

    /// Over a unix socket.
    pub fn open_unix(path: &std::path::Path) -> std::io::Result<Conn> {
        let stream = std::os::unix::net::UnixStream::connect(path)?;
        let conn = Conn {
            // Its calls are those of any stream.
            stream: TcpStream::from(std::os::fd::OwnedFd::from(stream)),
            buffer: Vec::new(),
            started: Instant::now(),
        };
        conn.deadline(2 * DEADLINE);
        Ok(conn)
    }

    /// From an address of this machine.
    pub fn open_from(from: std::net::IpAddr, addr: SocketAddr) -> std::io::Result<Conn> {
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect(&addr.into())?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        let conn = Conn {
            stream,
            buffer: Vec::new(),
            started: Instant::now(),
        };
        conn.deadline(2 * DEADLINE);
        Ok(conn)
    }

    /// How long one read or write may take.
    pub fn deadline(&self, deadline: Duration) {
        self.stream.set_read_timeout(Some(deadline)).unwrap();
        self.stream.set_write_timeout(Some(deadline)).unwrap();
    }

    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.started = Instant::now();
        self.stream.write_all(bytes)
    }

    /// Reads one answer; the connection can be used again if it allows that.
    pub fn response(&mut self, bodiless: bool) -> std::io::Result<Response> {
        let mut response = self.head()?;
        if bodiless || matches!(response.status, 204 | 304) {
            response.complete = true;
        } else if response.header("transfer-encoding").is_some() {
            response.complete = self.chunked(&mut response.body).is_ok();
        } else if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().map_err(std::io::Error::other)?;
            while self.buffer.len() < length && self.fill().unwrap_or(0) > 0 {}
            let have = self.buffer.len().min(length);
            response.body = self.buffer.drain(..have).collect();
            response.complete = have == length;
        } else {
            let end = loop {
                match self.fill() {
                    Ok(0) => break true,
                    Ok(_) => {}
                    Err(_) => break false,
                }
            };
            response.body = std::mem::take(&mut self.buffer);
            response.complete = end;
        }
        response.elapsed = self.started.elapsed();
        Ok(response)
    }

    /// Reads an answer's head only.
    pub fn head(&mut self) -> std::io::Result<Response> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end;
            }
            if self.fill()? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        };
        let first_byte = self.started.elapsed();
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or("");
        let mut words = status_line.split(' ');
        let version = words.next().unwrap_or("").to_owned();
        let status = words.next().and_then(|s| s.parse().ok());
        Ok(Response {
            version,
            status: status.ok_or_else(|| std::io::Error::other(status_line.to_owned()))?,
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
            complete: false,
            first_byte,
            elapsed: first_byte,
        })
    }

    /// Some body bytes as they are on the wire; empty at the end.
    pub fn read(&mut self, max: usize) -> std::io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        let have = self.buffer.len().min(max);
        Ok(self.buffer.drain(..have).collect())
    }

    /// Exactly so many body bytes.
    #[track_caller]
    pub fn read_exact(&mut self, n: usize) -> Vec<u8> {
        while self.buffer.len() < n {
            let got = self.fill().expect("more of the body");
            assert!(got > 0, "{} of {n} bytes, then the end", self.buffer.len());
        }
        self.buffer.drain(..n).collect()
    }

    /// Reads until the expected bytes are all there, comparing as they come; how many were right.
    pub fn compare(&mut self, expected: &[u8]) -> usize {
        let mut piece = std::mem::take(&mut self.buffer);
        let mut have = piece.len();
        let mut right = 0;
        // One buffer for all of it: this is how gigabytes are read.
        piece.resize(have.max(256 << 10), 0);
        loop {
            have = have.min(expected.len() - right);
            if piece[..have] != expected[right..right + have] {
                return right;
            }
            right += have;
            if right == expected.len() {
                return right;
            }
            have = match self.stream.read(&mut piece) {
                Ok(0) | Err(_) => return right,
                Ok(got) => got,
            };
        }
    }

    /// The connection ends without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && self.fill().is_ok_and(|n| n == 0)
    }

    /// Reads until the connection ends, which it must within this time without a read that waits for longer.
    #[track_caller]
    pub fn ends(&mut self, within: Duration) {
        self.deadline(within);
        let started = Instant::now();
        loop {
            match self.read(64 << 10) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(_) => assert!(started.elapsed() < within, "it goes on"),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("it does not end in {within:?}: {error}"),
            }
        }
    }

    /// Nothing more will be sent.
    pub fn shutdown_write(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Shrinks the receive window, so that a reader that stops reading is felt early.
    pub fn small_window(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_recv_buffer_size(128 << 10).unwrap();
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let at = self.buffer.len();
        self.buffer.resize(at + (64 << 10), 0);
        let got = self.stream.read(&mut self.buffer[at..]);
        self.buffer.truncate(at + *got.as_ref().unwrap_or(&0));
        got
    }

    fn line(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn chunked(&mut self, body: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or("").trim();
            let size = usize::from_str_radix(size, 16).map_err(std::io::Error::other)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(());
            }
            while self.buffer.len() < size + 2 {
                if self.fill()? == 0 {
                    let have = self.buffer.len().min(size);
                    body.extend(self.buffer.drain(..have));
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }
}
