//! A module proxy on loopback with a chosen round trip and bandwidth: the upstream of every benchmark.
//!
//! It serves a folder in the layout of the Go command's download cache, and modules of its own making below
//! `bench.example/`, so that most benchmarks need no module data at all:
//!
//! * `bench.example/zipN`: every version's zip is N MB (10^6 bytes, exactly), one incompressible stored file.
//! * `bench.example/sourceN`: about N MB of deflated source text in many files, with data descriptors, as the Go
//!   command's own tools write them; unpacked about four times that.
//! * `bench.example/versionsN`: a small module with N versions in its list.
//! * `bench.example/anything-else`: a small module; `.info` of about 150 bytes, `.mod` of 4,096, 20 versions.
//!
//! With `--sumdb` it serves a checksum database of the folder's modules, too.
//!
//! Every canonical version exists (`v1.0.0`, `v0.3.7`, ...), so that each round can ask for a version that is not
//! kept yet. Nothing is held in memory but one block of each kind of content.

// What is expected here are sizes that this program has made up itself; if one is wrong, it should end.
#![allow(clippy::expect_used, clippy::unwrap_used)]
#![allow(
    clippy::disallowed_methods,
    reason = "a program of its own: the rules for the server's clock do not hold here"
)]

mod emulated_sumdb;

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Parser;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

/// An emulated Go module proxy with a chosen round trip and bandwidth, for benchmarks
#[derive(Parser)]
#[command(name = "emulated-upstream")]
struct Options {
    /// The address to listen on; port 0 lets the system choose
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// A folder in the download-cache layout (GOMODCACHE/cache/download, or a data directory's modules/)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Serve a checksum database of the folder's modules too, and write its GOSUMDB to this file
    #[arg(long, value_name = "FILE", requires = "data")]
    sumdb: Option<PathBuf>,

    /// The delay before each answer: one round trip per request
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = humantime::parse_duration)]
    latency: Duration,

    /// Bandwidth for all connections together, "50MB/s" for instance [default: unlimited]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<u64>,

    /// Never answer requests whose path contains this; may be repeated
    #[arg(long, value_name = "PATTERN")]
    hang: Vec<String>,

    /// Keep the counts of /__stats in this file too, written anew twice a second
    #[arg(long, value_name = "FILE")]
    count_file: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let sumdb = match (&options.sumdb, &options.data) {
        (Some(file), Some(data)) => {
            let database = emulated_sumdb::Database::of(data)?;
            std::fs::write(file, database.verifier())?;
            Some(database)
        }
        _ => None,
    };
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    io::stdout().flush()?;
    let upstream = Arc::new(Upstream {
        data: options.data,
        sumdb,
        latency: options.latency,
        pace: options.rate.map(|rate| Arc::new(Pace::new(rate))),
        hang: options.hang,
        made: Made::new()?,
        counts: Arc::default(),
    });
    if let Some(file) = options.count_file {
        tokio::spawn(write_counts(file, Arc::clone(&upstream.counts)));
    }
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&upstream)));
            }
            // No descriptors, mostly: they come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(stream: TcpStream, upstream: Arc<Upstream>) {
    upstream.counts.connections.fetch_add(1, Ordering::Relaxed);
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let upstream = Arc::clone(&upstream);
        async move { Ok::<_, Infallible>(upstream.answer(request).await) }
    });
    // A client that leaves is no concern of ours.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn write_counts(file: PathBuf, counts: Arc<Counts>) {
    loop {
        // Whole or not at all: whoever reads it may do so at any time.
        let beside = file.with_extension("tmp");
        if std::fs::write(&beside, counts.json()).is_ok() {
            let _ = std::fs::rename(&beside, &file);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Reads "50MB/s", "8MiB/s", "1000000": bytes per second.
fn rate(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches("/s");
    let digits = number
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(number.len());
    let (digits, unit) = number.split_at(digits);
    let unit = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => {
            return Err(format!(
                "unknown unit {other:?}; write 50MB/s or 8MiB/s for instance"
            ));
        }
    };
    match digits.parse::<u64>() {
        Ok(count @ 1..) => Ok(count * unit),
        _ => Err("a number above 0 is needed, 50MB/s for instance".to_owned()),
    }
}

// What is asked for

/// Kinds of requests, counted apart.
#[derive(Clone, Copy)]
enum Kind {
    List,
    Latest,
    Info,
    Mod,
    Zip,
    Lookup,
    Tile,
    Other,
}

impl Kind {
    const ALL: [(Kind, &str); 8] = [
        (Kind::List, "list"),
        (Kind::Latest, "latest"),
        (Kind::Info, "info"),
        (Kind::Mod, "mod"),
        (Kind::Zip, "zip"),
        (Kind::Lookup, "lookup"),
        (Kind::Tile, "tile"),
        (Kind::Other, "other"),
    ];

    fn of(path: &str) -> Kind {
        if path.starts_with("/sumdb/") {
            return match () {
                () if path.contains("/lookup/") => Kind::Lookup,
                () if path.contains("/tile/") => Kind::Tile,
                () => Kind::Other,
            };
        }
        let Some((_, file)) = path.split_once("/@v/") else {
            return if path.ends_with("/@latest") {
                Kind::Latest
            } else {
                Kind::Other
            };
        };
        match file.rsplit_once('.') {
            _ if file == "list" => Kind::List,
            Some((_, "info")) => Kind::Info,
            Some((_, "mod")) => Kind::Mod,
            Some((_, "zip")) => Kind::Zip,
            _ => Kind::Other,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Kind::Info | Kind::Latest => "application/json",
            Kind::Zip => "application/zip",
            Kind::Tile => "application/octet-stream",
            Kind::List | Kind::Mod | Kind::Lookup | Kind::Other => "text/plain; charset=utf-8",
        }
    }
}

/// What was asked for and sent since the start, or since the last reset.
#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: [AtomicU64; Kind::ALL.len()],
    bytes: [AtomicU64; Kind::ALL.len()],
    not_found: AtomicU64,
    /// Requests that never get an answer, as long as their clients wait.
    hanging: AtomicU64,
}

impl Counts {
    /// Flat, a line per number, so that scripts can read it with sed.
    fn json(&self) -> String {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: &AtomicU64| {
            lines.push(format!("  \"{name}\": {}", value.load(Ordering::Relaxed)));
        };
        line("connections", &self.connections);
        for (kind, name) in Kind::ALL {
            line(&format!("{name}_requests"), &self.requests[kind as usize]);
        }
        for (kind, name) in Kind::ALL {
            line(&format!("{name}_bytes"), &self.bytes[kind as usize]);
        }
        line("not_found", &self.not_found);
        line("hanging", &self.hanging);
        format!("{{\n{}\n}}\n", lines.join(",\n"))
    }

    fn reset(&self) {
        let each = self.requests.iter().chain(&self.bytes);
        for count in each.chain([&self.connections, &self.not_found]) {
            count.store(0, Ordering::Relaxed);
        }
    }
}

/// Counts a hanging request until its client gives up.
struct Hanging<'a>(&'a AtomicU64);

impl<'a> Hanging<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Hanging(count)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Upstream {
    data: Option<PathBuf>,
    sumdb: Option<emulated_sumdb::Database>,
    latency: Duration,
    pace: Option<Arc<Pace>>,
    hang: Vec<String>,
    made: Made,
    counts: Arc<Counts>,
}

impl Upstream {
    async fn answer(&self, request: Request<Incoming>) -> Response<Paced> {
        let asked = Instant::now();
        let path = request.uri().path();
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        if path == "/__stats" {
            let json = self.counts.json();
            if request.uri().query() == Some("reset") {
                self.counts.reset();
            }
            return self.response(StatusCode::OK, Kind::Info, Content::from(json), false);
        }
        let kind = Kind::of(&path);
        self.counts.requests[kind as usize].fetch_add(1, Ordering::Relaxed);
        if self.hang.iter().any(|pattern| path.contains(&**pattern)) {
            let _counted = Hanging::new(&self.counts.hanging);
            std::future::pending::<()>().await;
        }
        if !self.latency.is_zero() {
            tokio::time::sleep_until(asked + self.latency).await;
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let text = Content::from("only GET and HEAD\n".to_owned());
            return self.response(StatusCode::METHOD_NOT_ALLOWED, Kind::Other, text, false);
        }
        if let Some(content) = self.find(&path, kind) {
            return self.response(StatusCode::OK, kind, content, true);
        }
        self.counts.not_found.fetch_add(1, Ordering::Relaxed);
        let text = Content::from(format!("not found: {path}\n"));
        self.response(StatusCode::NOT_FOUND, Kind::Other, text, false)
    }

    fn response(
        &self,
        status: StatusCode,
        kind: Kind,
        content: Content,
        paced: bool,
    ) -> Response<Paced> {
        let length = content.length;
        let body = Paced {
            content,
            kind,
            slice: self.pace.as_ref().map_or(UNPACED_SLICE, |pace| pace.slice),
            sender: self.pace.as_ref().filter(|_| paced).map(Pace::sender),
            counts: Arc::clone(&self.counts),
            waiting: None,
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(CONTENT_TYPE, kind.content_type().parse().expect("a type"));
        response
    }

    fn find(&self, path: &str, kind: Kind) -> Option<Content> {
        let path = path.strip_prefix('/')?;
        if path.starts_with("sumdb/") {
            return self.sumdb.as_ref()?.find(path).map(Content::from);
        }
        if let Some(rest) = path.strip_prefix("bench.example/") {
            let (name, file) = rest.split_once("/@v/")?;
            return self.made.find(name, file, kind);
        }
        let data = self.data.as_deref()?;
        let safe = |element: &str| !element.is_empty() && !element.starts_with('.');
        if !path.split('/').all(safe) || path.contains(['\\', '\0']) {
            return None;
        }
        match kind {
            Kind::List => kept_list(&data.join(path)).map(Content::from),
            Kind::Mod | Kind::Zip => Content::file(&data.join(path)).ok(),
            Kind::Info => {
                let file = data.join(path);
                let kept = Content::file(&file).ok();
                kept.or_else(|| info_of(&file).map(Content::from))
            }
            Kind::Latest | Kind::Lookup | Kind::Tile | Kind::Other => None,
        }
    }
}

/// An `.info` for a version of which there is a `.mod` only: a proxy that asks ahead may want it.
fn info_of(file: &Path) -> Option<String> {
    let escaped = file.file_name()?.to_str()?.strip_suffix(".info")?;
    let version = unescape(escaped);
    let go_mod = file.with_file_name(format!("{escaped}.mod"));
    go_mod
        .is_file()
        .then(|| format!(r#"{{"Version":"{version}","Time":"2024-01-02T03:04:05Z"}}"#))
}

/// The list of a kept module: its file, or made of what is there.
fn kept_list(file: &Path) -> Option<String> {
    if let Ok(list) = std::fs::read_to_string(file) {
        return Some(list);
    }
    let mut versions = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(file.parent()?).ok()? {
        let name = entry.ok()?.file_name().into_string().ok()?;
        if let Some((version, "mod" | "info")) = name.rsplit_once('.') {
            versions.insert(unescape(version));
        }
    }
    let lines = versions.into_iter().map(|version| version + "\n");
    Some(lines.collect())
}

/// Turns "!x" of file names back into "X".
fn unescape(escaped: &str) -> String {
    let mut upper = false;
    let mut text = String::with_capacity(escaped.len());
    for c in escaped.chars() {
        if c == '!' {
            upper = true;
        } else {
            text.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    text
}

// Sending at a chosen pace

/// Sent at once without a rate. Bytes.
const UNPACED_SLICE: usize = 256 << 10;
/// Credit of a line that was idle: as timers fire up to a millisecond late, small files need not wait for them.
const CREDIT: Duration = Duration::from_millis(2);
/// How far a line in use may catch up when its senders were woken late, as they are on a busy machine.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Bandwidth that all connections share: each slice takes the next stretch of time on the line.
struct Pace {
    bytes_per_second: u64,
    slice: usize,
    line: Mutex<Line>,
}

struct Line {
    free_at: Instant,
    /// Bodies under way.
    senders: usize,
}

/// A body's part in the line.
struct Sender(Arc<Pace>);

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        // A millisecond's worth: small enough to be fair, large enough to cost little.
        let slice = usize::try_from(bytes_per_second / 1000).unwrap_or(usize::MAX);
        Pace {
            bytes_per_second,
            slice: slice.clamp(1 << 10, 64 << 10),
            line: Mutex::new(Line {
                free_at: Instant::now(),
                senders: 0,
            }),
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sender(self: &Arc<Self>) -> Sender {
        let mut line = self.line();
        if line.senders == 0 {
            line.free_at = line.free_at.max(Instant::now() - CREDIT);
        }
        line.senders += 1;
        Sender(Arc::clone(self))
    }
}

impl Sender {
    /// When the last byte of a slice will have passed.
    fn take(&self, bytes: usize) -> Instant {
        let time = Duration::from_secs_f64(bytes as f64 / self.0.bytes_per_second as f64);
        let mut line = self.0.line();
        line.free_at = line.free_at.max(Instant::now() - CATCH_UP) + time;
        line.free_at
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.line().senders -= 1;
    }
}

/// A body that is sent at the pace of the line and counted.
struct Paced {
    content: Content,
    kind: Kind,
    slice: usize,
    sender: Option<Sender>,
    counts: Arc<Counts>,
    waiting: Option<(Bytes, Pin<Box<Sleep>>)>,
}

impl Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let slice = match &mut this.waiting {
            Some((slice, sleep)) => {
                ready!(sleep.as_mut().poll(cx));
                std::mem::take(slice)
            }
            None => {
                let Some(slice) = this.content.next(this.slice)? else {
                    return Poll::Ready(None);
                };
                if let Some(sender) = &this.sender {
                    let mut sleep = Box::pin(tokio::time::sleep_until(sender.take(slice.len())));
                    if sleep.as_mut().poll(cx).is_pending() {
                        this.waiting = Some((slice, sleep));
                        return Poll::Pending;
                    }
                }
                slice
            }
        };
        this.waiting = None;
        this.counts.bytes[this.kind as usize].fetch_add(slice.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.length == 0 && self.waiting.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.waiting.as_ref().map_or(0, |(slice, _)| slice.len());
        SizeHint::with_exact(self.content.length + waiting as u64)
    }
}

/// What is left to send of an answer.
struct Content {
    length: u64,
    supply: Supply,
}

enum Supply {
    File(File),
    Pieces {
        pieces: Box<dyn Iterator<Item = Bytes> + Send>,
        rest: Bytes,
    },
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Content::pieces(bytes.len() as u64, std::iter::once(bytes))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Content::pieces(text.len() as u64, std::iter::once(text.into()))
    }
}

impl Content {
    fn file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Content {
            length: about.len(),
            supply: Supply::File(file),
        })
    }

    fn pieces(length: u64, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Self {
        Content {
            length,
            supply: Supply::Pieces {
                pieces: Box::new(pieces),
                rest: Bytes::new(),
            },
        }
    }

    /// The next bytes, at most `limit`.
    fn next(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        let limit = limit.min(usize::try_from(self.length).unwrap_or(usize::MAX));
        if limit == 0 {
            return Ok(None);
        }
        let slice = match &mut self.supply {
            // Read in place: what benchmarks serve is in the page cache.
            Supply::File(file) => {
                let mut slice = vec![0; limit];
                file.read_exact(&mut slice)?;
                slice.into()
            }
            Supply::Pieces { pieces, rest } => {
                while rest.is_empty() {
                    *rest = pieces.next().ok_or(io::ErrorKind::UnexpectedEof)?;
                }
                rest.split_to(limit.min(rest.len()))
            }
        };
        self.length -= slice.len() as u64;
        Ok(Some(slice))
    }
}

// Modules made here

/// Size of every `.mod` made here. Bytes.
const MOD_SIZE: usize = 4096;
/// The largest zips that the Go command accepts, whose contents may have 500 MiB: incompressible, and source text. MB.
const LARGEST: (u64, u64) = (500, 120);
/// Source text per file of a `sourceN` zip. Bytes, unpacked.
const SOURCE_FILE: usize = 64 << 10;

/// Contents of the modules that are made here.
struct Made {
    /// Incompressible; repeated as often as needed.
    noise: Block,
    /// Source text, deflated.
    source: Block,
}

/// A piece of content that files are made of.
#[derive(Clone)]
struct Block {
    packed: Bytes,
    /// Unpacked.
    size: u64,
    crc: crc32fast::Hasher,
}

impl Made {
    fn new() -> io::Result<Self> {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let noise: Vec<u8> = (0..1 << 17)
            .flat_map(|_| random.next().to_le_bytes())
            .collect();
        let source = source_text(&mut random);
        let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), <_>::default());
        packer.write_all(&source)?;
        Ok(Made {
            noise: Block {
                size: noise.len() as u64,
                crc: crc(&noise),
                packed: noise.into(),
            },
            source: Block {
                size: source.len() as u64,
                crc: crc(&source),
                packed: packer.finish()?.into(),
            },
        })
    }

    fn find(&self, name: &str, file: &str, kind: Kind) -> Option<Content> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if name.is_empty() || !name.bytes().all(plain) {
            return None;
        }
        if let Kind::List = kind {
            let count = name.strip_prefix("versions").map(str::parse::<u32>);
            let count = count.and_then(Result::ok).unwrap_or(20).min(1_000_000);
            let lines = (0..count).map(|patch| format!("v1.0.{patch}\n"));
            return Some(lines.collect::<String>().into());
        }
        let (version, _) = file.rsplit_once('.')?;
        if !is_release(version) {
            return None;
        }
        match kind {
            Kind::Info => Some(info(name, version).into()),
            Kind::Mod => Some(go_mod(name).into()),
            Kind::Zip => self.zip(name, version),
            Kind::List | Kind::Latest | Kind::Lookup | Kind::Tile | Kind::Other => None,
        }
    }

    fn zip(&self, name: &str, version: &str) -> Option<Content> {
        let prefix = format!("bench.example/{name}@{version}/");
        let go_mod = Entry::stored(format!("{prefix}go.mod"), Bytes::from(go_mod(name)));
        let megabytes = |kind: &str, largest| -> Option<u64> {
            let count = name.strip_prefix(kind)?.parse().ok()?;
            (1..=largest).contains(&count).then_some(count * 1_000_000)
        };
        if let Some(bytes) = megabytes("source", LARGEST.1) {
            let entry = Entry {
                name: source_name(&prefix, 0),
                crc: self.source.crc.clone().finalize(),
                size: self.source.size,
                packed: self.source.packed.len() as u64,
                deflated: true,
                content: self.source.packed.clone(),
            };
            let each = entry.local_length() + entry.central_length();
            return Some(zip_of(go_mod, entry, bytes / each, prefix));
        }
        let name = format!("{prefix}noise.bin");
        let mut entry = Entry::stored(name, self.noise.packed.clone());
        let bytes = megabytes("zip", LARGEST.0).unwrap_or(8_000);
        let frame = go_mod.length() + entry.length() - entry.packed + END_LENGTH;
        entry.size = bytes.checked_sub(frame)?;
        entry.packed = entry.size;
        entry.crc = crc_repeated(&self.noise, entry.size);
        Some(zip_of(go_mod, entry, 1, prefix))
    }
}

/// `v1.2.3`, major 0 or 1: other majors would need another path.
fn is_release(version: &str) -> bool {
    let Some(numbers) = version.strip_prefix('v') else {
        return false;
    };
    let plain = |n: &str| n.len() < 10 && n.parse::<u32>().is_ok_and(|v| v.to_string() == n);
    numbers.split('.').count() == 3
        && numbers.split('.').all(plain)
        && (numbers.starts_with("0.") || numbers.starts_with("1."))
}

fn info(name: &str, version: &str) -> String {
    const HASH: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    format!(
        r#"{{"Version":"{version}","Time":"2024-01-02T03:04:05Z","Origin":{{"VCS":"git","URL":"https://bench.example/{name}","Hash":"{HASH}"}}}}"#
    )
}

/// A module file without requirements (nobody shall follow them), filled up with comments.
fn go_mod(name: &str) -> String {
    let mut text = format!("module bench.example/{name}\n\ngo 1.21\n\n");
    while text.len() + 80 <= MOD_SIZE {
        text.push_str(
            "// These lines only fill the file up to the size of a larger program's go.mod\n",
        );
    }
    let left = MOD_SIZE - text.len();
    if left > 3 {
        text.push_str("//");
        text.extend(std::iter::repeat_n('.', left - 3));
        text.push('\n');
    }
    text
}

fn source_name(prefix: &str, index: u64) -> String {
    format!("{prefix}source{index:06}.go")
}

/// Text that packs about as well as source code does.
fn source_text(random: &mut Random) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "return ",
        "if err != nil {\n\t\t",
        "}\n\t",
        "ctx ",
        "err ",
        ":= ",
        "func ",
        "range ",
        "value, ",
        "len(",
        ") ",
        "string",
        "map[",
        "]byte ",
        "// the ",
        "nil, ",
    ];
    let mut text = b"package source\n\n".to_vec();
    while text.len() < SOURCE_FILE {
        let number = random.next();
        text.extend_from_slice(WORDS[(number % 16) as usize].as_bytes());
        text.extend_from_slice(WORDS[(number >> 8) as usize % 16].as_bytes());
        if number >> 16 & 1 == 0 {
            text.extend_from_slice(format!("{:03x} ", number >> 17 & 0xfff).as_bytes());
        }
    }
    text.truncate(SOURCE_FILE);
    text
}

/// splitmix64: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn crc(bytes: &[u8]) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes);
    hasher
}

/// The CRC of a block repeated up to a length, without reading it all.
fn crc_repeated(block: &Block, length: u64) -> u32 {
    let mut total = crc32fast::Hasher::new();
    let mut power = block.crc.clone();
    let mut times = length / block.size;
    while times > 0 {
        if times & 1 == 1 {
            total.combine(&power);
        }
        power.combine(&power.clone());
        times >>= 1;
    }
    let rest = usize::try_from(length % block.size).expect("less than a block");
    total.combine(&crc(&block.packed[..rest]));
    total.finalize()
}

// Zip files, piece by piece

/// Length of the record that ends a zip. Bytes.
const END_LENGTH: u64 = 22;
/// Length of the sizes that follow a deflated file's content. Bytes.
const DESCRIPTOR_LENGTH: u64 = 16;

/// A file in a zip.
#[derive(Clone)]
struct Entry {
    name: String,
    crc: u32,
    size: u64,
    packed: u64,
    deflated: bool,
    /// Repeated until there are `packed` bytes of it.
    content: Bytes,
}

impl Entry {
    fn stored(name: String, content: Bytes) -> Self {
        Entry {
            name,
            crc: crc(&content).finalize(),
            size: content.len() as u64,
            packed: content.len() as u64,
            deflated: false,
            content,
        }
    }

    fn local_length(&self) -> u64 {
        let descriptor = if self.deflated { DESCRIPTOR_LENGTH } else { 0 };
        30 + self.name.len() as u64 + self.packed + descriptor
    }

    fn central_length(&self) -> u64 {
        46 + self.name.len() as u64
    }

    fn length(&self) -> u64 {
        self.local_length() + self.central_length()
    }

    /// Checksum and sizes.
    fn sums(&self) -> [u8; 12] {
        let mut sums = [0; 12];
        sums[..4].copy_from_slice(&self.crc.to_le_bytes());
        sums[4..8].copy_from_slice(&small(self.packed).to_le_bytes());
        sums[8..].copy_from_slice(&small(self.size).to_le_bytes());
        sums
    }

    /// What local header and central directory have in common, up to the length of the name.
    fn common(&self, sums: [u8; 12]) -> Vec<u8> {
        let (flags, method) = if self.deflated { (8, 8) } else { (0, 0) };
        let mut common = vec![20, 0, flags, 0, method, 0, 0, 0, 0, 0];
        common.extend(sums);
        common.extend((self.name.len() as u16).to_le_bytes());
        common
    }

    /// Header, content and what follows it.
    fn local(self) -> impl Iterator<Item = Bytes> + Send {
        let mut header = b"PK\x03\x04".to_vec();
        let sums = if self.deflated { [0; 12] } else { self.sums() };
        header.extend(self.common(sums));
        header.extend([0; 2]);
        header.extend(self.name.as_bytes());
        let mut descriptor = Vec::new();
        if self.deflated {
            descriptor.extend(b"PK\x07\x08");
            descriptor.extend(self.sums());
        }
        let mut left = self.packed;
        let content = std::iter::from_fn(move || {
            let next = left.min(self.content.len() as u64);
            left -= next;
            (next > 0).then(|| self.content.slice(..next as usize))
        });
        let descriptor = Some(descriptor).filter(|bytes| !bytes.is_empty());
        std::iter::once(header.into())
            .chain(content)
            .chain(descriptor.map(Bytes::from))
    }

    /// Its record in the central directory.
    fn central(&self, offset: u64) -> Bytes {
        let mut record = b"PK\x01\x02\x14\x00".to_vec();
        record.extend(self.common(self.sums()));
        record.extend([0; 12]);
        record.extend(small(offset).to_le_bytes());
        record.extend(self.name.as_bytes());
        record.into()
    }
}

/// A zip of a go.mod and `times` the same file; if more than once, under numbered names of the same length.
fn zip_of(go_mod: Entry, entry: Entry, times: u64, prefix: String) -> Content {
    let named = move |index| Entry {
        name: match times {
            1 => entry.name.clone(),
            _ => source_name(&prefix, index),
        },
        ..entry.clone()
    };
    let any = named(0);
    let directory_at = go_mod.local_length() + times * any.local_length();
    let directory = go_mod.central_length() + times * any.central_length();
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    let count = u16::try_from(times + 1).expect("fewer files than zip64 would need");
    end.extend(count.to_le_bytes());
    end.extend(count.to_le_bytes());
    end.extend(small(directory).to_le_bytes());
    end.extend(small(directory_at).to_le_bytes());
    end.extend([0; 2]);

    let (first, each) = (go_mod.local_length(), any.local_length());
    let central = std::iter::once(go_mod.central(0));
    let pieces = go_mod
        .local()
        .chain((0..times).map(named.clone()).flat_map(Entry::local))
        .chain(central)
        .chain((0..times).map(move |index| named(index).central(first + index * each)))
        .chain(std::iter::once(end.into()));
    Content::pieces(directory_at + directory + END_LENGTH, pieces)
}

/// A number of a zip without zip64.
fn small(number: u64) -> u32 {
    u32::try_from(number).expect("zips made here are below 4 GB")
}
