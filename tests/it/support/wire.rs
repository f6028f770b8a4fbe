//! The bytes of the [`FakeUpstream`](super::FakeUpstream): plain HTTP/1.1 on blocking sockets, one thread a
//! connection, so that every way of breaking an answer is a few lines.

use super::fault::{At, Body, Fault, Length};
use super::modules::{hex, sha256};
use super::upstream::{Inner, Manners, Recorded, Resource, path_of};
use flate2::{Compression, write::GzEncoder};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) type Tls = Arc<ServerConfig>;

/// The server side of TLS with the certificate for `localhost` beside this file.
pub(super) fn tls() -> Tls {
    tls_with(
        include_bytes!("tls/server.pem"),
        include_bytes!("tls/server.key"),
    )
}

/// The same with the certificate for the names of git hosts.
pub(super) fn hosts_tls() -> Tls {
    tls_with(
        include_bytes!("tls/hosts.pem"),
        include_bytes!("tls/hosts.key"),
    )
}

/// The same with a certificate that signs itself.
pub(super) fn self_signed_tls() -> Tls {
    tls_with(
        include_bytes!("tls/self-signed.pem"),
        include_bytes!("tls/self-signed.key"),
    )
}

/// The certificate for `localhost`, for HTTP/2.
pub(super) fn h2_tls() -> Tls {
    let mut config = ServerConfig::clone(&tls());
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

fn tls_with(certificate: &[u8], key: &[u8]) -> Tls {
    let certificates = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    Arc::new(config)
}

/// A connection, plain or not.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    pub fn new(stream: TcpStream, tls: Option<&Tls>) -> Wire {
        let _ = stream.set_nodelay(true);
        match tls {
            None => Wire::Plain(stream),
            Some(config) => {
                let connection = ServerConnection::new(config.clone()).unwrap();
                Wire::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        }
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    /// Waits until the other side leaves or `gone` says so.
    pub fn linger(&mut self, gone: impl Fn() -> bool) {
        let _ = self
            .socket()
            .set_read_timeout(Some(Duration::from_millis(20)));
        let mut sink = [0; 512];
        while !gone() {
            match self.read(&mut sink) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

/// A conversation is over, and how.
enum Over {
    Politely,
    WithReset,
}

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Over {
        Over::Politely
    }
}

/// Answers requests until one side has had enough.
pub(super) fn converse(inner: &Inner, life: u64, number: u64, mut wire: Wire) {
    let mut buffer = Vec::new();
    let mut end = Over::Politely;
    while let Some(head) = read_head(&mut wire, &mut buffer) {
        if inner.state().silent >= number {
            wire.linger(|| inner.state().life != life);
            break;
        }
        let (id, recorded) = inner.update(|state| {
            let recorded = parse(&head, &state.manners.base);
            state.open += 1;
            state.max_open = state.max_open.max(state.open);
            state.requests.push(recorded.clone());
            (state.requests.len() - 1, recorded)
        });
        let exchange = Exchange {
            inner,
            life,
            id,
            request: recorded,
        };
        let outcome = exchange.answer(&mut wire);
        inner.update(|state| {
            state.open -= 1;
            state.requests[id].done = outcome.is_ok();
        });
        if let Err(over) = outcome {
            end = over;
            break;
        }
    }
    // The second handle has to go first: a reset is sent when the last one closes.
    inner.update(|state| state.sockets.remove(&number));
    match end {
        Over::Politely => {
            let _ = wire.flush();
            let _ = wire.socket().shutdown(Shutdown::Write);
        }
        Over::WithReset => {
            let socket = socket2::SockRef::from(wire.socket());
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

pub(super) fn read_head(wire: &mut Wire, buffer: &mut Vec<u8>) -> Option<String> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 4);
            return Some(head);
        }
        match wire.read(&mut chunk) {
            Ok(n) if n > 0 && buffer.len() < 1 << 16 => buffer.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}

fn parse(head: &str, base: &str) -> Recorded {
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or("").split(' ');
    let (method, target) = (first.next().unwrap_or(""), first.next().unwrap_or(""));
    Recorded {
        method: method.to_owned(),
        target: target.to_owned(),
        path: path_of(target, base),
        headers: lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect(),
        at: Instant::now(),
        status: 0,
        sent: 0,
        done: false,
    }
}

struct Exchange<'a> {
    inner: &'a Inner,
    life: u64,
    id: usize,
    request: Recorded,
}

impl Exchange<'_> {
    fn gone(&self) -> bool {
        self.inner.state().life != self.life
    }

    fn answer(&self, wire: &mut Wire) -> Result<(), Over> {
        let (truth, fault, manners) = self.inner.find(&self.request.path);
        if !manners.latency.is_zero() {
            std::thread::sleep(manners.latency);
        }
        if let Some(gate) = &fault.gate
            && !gate.pass(|| self.gone())
        {
            return Err(Over::Politely);
        }
        if !fault.delay.is_zero() {
            std::thread::sleep(fault.delay);
        }
        if fault.hang {
            wire.linger(|| self.gone());
            return Err(Over::Politely);
        }
        if fault.close {
            return Err(Over::Politely);
        }
        let (status, headers, body, length) = self.plan(truth, &fault, &manners);
        self.inner
            .update(|state| state.requests[self.id].status = status);
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        for (name, value) in &headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        wire.write_all(head.as_bytes())?;
        wire.flush()?;
        if self.request.method == "HEAD" || status == 304 {
            return Ok(());
        }
        let rate = fault.rate.or(manners.rate);
        self.send(wire, &body, length, rate, fault.at.as_ref())?;
        match length {
            Length::UntilClose => Err(Over::Politely),
            Length::Declared(n) if n != body.len() => Err(Over::Politely),
            _ => Ok(()),
        }
    }

    /// Status, headers, body and the way its end is told.
    fn plan(
        &self,
        truth: Option<Resource>,
        fault: &Fault,
        manners: &Manners,
    ) -> (u16, Vec<(String, String)>, Body, Length) {
        let mut headers = fault.headers.clone();
        let set = |headers: &mut Vec<(String, String)>, name: &str, value: String| {
            if super::http::header(headers, name).is_none() {
                headers.push((name.to_owned(), value));
            }
        };
        let (mut status, kind, mut body) = match (&truth, &fault.body) {
            (Some(truth), None) => (200, truth.kind, truth.body.clone()),
            (Some(truth), Some(body)) => (200, truth.kind, body.clone()),
            (None, Some(body)) => (200, "text/plain; charset=utf-8", body.clone()),
            (None, None) => (
                404,
                "text/plain; charset=utf-8",
                Body::from(format!("not found: {} is not here\n", self.request.path)),
            ),
        };
        if let Some(other) = fault.status {
            status = other;
            set(
                &mut headers,
                "Content-Type",
                "text/plain; charset=utf-8".to_owned(),
            );
        }
        set(&mut headers, "Content-Type", kind.to_owned());
        if fault.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder
                .write_all(&body.slice(0, body.len() as usize))
                .unwrap();
            body = encoder.finish().unwrap().into();
            set(&mut headers, "Content-Encoding", "gzip".to_owned());
        }
        if manners.validators && status == 200 {
            let tag = match &body {
                Body::Bytes(bytes) => format!("\"{}\"", &hex(&sha256(bytes))[..16]),
                Body::Repeat { len, .. } => format!("\"repeat-{len}\""),
            };
            if self.request.header("If-None-Match") == Some(&tag) {
                status = 304;
                body = "".into();
            } else if let (true, Some((from, to))) = (manners.ranges, self.range(&tag, &body)) {
                set(
                    &mut headers,
                    "Content-Range",
                    format!("bytes {from}-{}/{}", to - 1, body.len()),
                );
                body = body.slice(from, (to - from) as usize).into();
                status = 206;
            }
            if manners.ranges {
                set(&mut headers, "Accept-Ranges", "bytes".to_owned());
            }
            set(&mut headers, "ETag", tag);
        }
        match fault.length {
            Length::Exact => set(&mut headers, "Content-Length", body.len().to_string()),
            Length::Declared(n) => set(&mut headers, "Content-Length", n.to_string()),
            Length::Chunked => set(&mut headers, "Transfer-Encoding", "chunked".to_owned()),
            Length::UntilClose => set(&mut headers, "Connection", "close".to_owned()),
        }
        (status, headers, body, fault.length)
    }

    /// The one range asked for, if its condition holds.
    fn range(&self, tag: &str, body: &Body) -> Option<(u64, u64)> {
        if self.request.header("If-Range").is_some_and(|t| t != tag) {
            return None;
        }
        let (from, to) = self
            .request
            .header("Range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let from: u64 = from.parse().ok()?;
        let to = to.parse().map_or(body.len(), |to: u64| to + 1);
        (from < to && to <= body.len()).then_some((from, to))
    }

    fn send(
        &self,
        wire: &mut Wire,
        body: &Body,
        length: Length,
        rate: Option<u64>,
        at: Option<&(u64, At)>,
    ) -> Result<(), Over> {
        let started = Instant::now();
        let mut sent = 0;
        let mut at = at.cloned();
        loop {
            if let Some((n, event)) = &at
                && sent >= (*n).min(body.len())
            {
                wire.flush()?;
                self.event(wire, event)?;
                at = None;
            }
            if sent >= body.len() {
                break;
            }
            let mut size = 64 << 10;
            if let Some(rate) = rate {
                size = size.min((rate / 20).max(1) as usize);
            }
            if let Some((n, _)) = &at {
                size = size.min((n - sent).max(1) as usize);
            }
            let piece = body.slice(sent, size);
            if length == Length::Chunked {
                wire.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
                wire.write_all(&piece)?;
                wire.write_all(b"\r\n")?;
            } else {
                wire.write_all(&piece)?;
            }
            sent += piece.len() as u64;
            self.inner.update(|s| s.requests[self.id].sent = sent);
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(sent as f64 / rate as f64);
                std::thread::sleep(due.saturating_sub(started.elapsed()));
                if self.gone() {
                    return Err(Over::Politely);
                }
            }
        }
        if length == Length::Chunked {
            wire.write_all(b"0\r\n\r\n")?;
        }
        wire.flush()?;
        Ok(())
    }

    fn event(&self, wire: &mut Wire, event: &At) -> Result<(), Over> {
        match event {
            At::Cut => Err(Over::Politely),
            At::Reset => Err(Over::WithReset),
            At::Hang => {
                wire.linger(|| self.gone());
                Err(Over::Politely)
            }
            At::Gate(gate) => gate
                .pass(|| self.gone())
                .then_some(())
                .ok_or(Over::Politely),
            At::Delay(delay) => {
                std::thread::sleep(*delay);
                Ok(())
            }
        }
    }
}

pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Other",
    }
}
