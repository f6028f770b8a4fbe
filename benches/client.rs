//! The client of the benchmarks: plain HTTP/1.1 over TCP, so that it costs little of the machine it measures.
//!
//! Numbers go to standard output, one `name=value` per line.

#![allow(
    clippy::disallowed_methods,
    reason = "a program of its own: the rules for the server's clock do not hold here"
)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Args, Parser, Subcommand};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What benchmarks of a module proxy need to ask it
#[derive(Parser)]
#[command(name = "bench-client")]
struct Options {
    #[command(subcommand)]
    command: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Ask for files, with many readers or slowly, and report times and bytes
    Get(Get),
    /// Hold keep-alive connections that have had one answer each, until killed
    Idle {
        /// How many
        #[arg(long, default_value_t = 1000)]
        connections: usize,
        url: Url,
    },
    /// Start a server and report the time from exec to its first answer; leaves it running
    Start {
        /// Asked for until there is a 200
        #[arg(long)]
        url: Url,
        /// Where the server's output goes
        #[arg(long, value_name = "FILE")]
        log: PathBuf,
        /// The server's command line
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Args)]
struct Get {
    /// Connections that ask at the same time
    #[arg(long, default_value_t = 1)]
    readers: usize,

    /// Requests of each connection, one after the other
    #[arg(long, default_value_t = 1, conflicts_with = "paths")]
    requests: usize,

    /// Ask once for each path of this file (one per line, relative to the URL), in turn over all connections
    #[arg(long, value_name = "FILE")]
    paths: Option<PathBuf>,

    /// Bytes per second and connection [default: as fast as they come]
    #[arg(long, value_name = "BYTES")]
    rate: Option<u64>,

    /// Ask again after a 503, a little later
    #[arg(long)]
    patient: bool,

    /// Count files that differ from the first one
    #[arg(long)]
    check: bool,

    /// Stop after this time, with whatever is under way
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = humantime::parse_duration)]
    within: Duration,

    url: Url,
}

/// `http://host:port/path`, nothing else.
#[derive(Clone)]
struct Url {
    address: String,
    path: String,
}

impl std::str::FromStr for Url {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let rest = text
            .strip_prefix("http://")
            .context("only http:// is spoken here")?;
        let (address, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        ensure!(
            address.contains(':'),
            "a port is needed: http://127.0.0.1:3080/"
        );
        Ok(Url {
            address: address.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl Url {
    fn request(&self, path: &str) -> String {
        let host = &self.address;
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench-client\r\n\r\n")
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match options.command {
        Mode::Get(get) => runtime.block_on(run_get(get)),
        Mode::Idle { connections, url } => runtime.block_on(idle(connections, &url)),
        Mode::Start { url, log, command } => start(&url, &log, &command),
    }
}

// Asking

/// Read at once. Bytes.
const BUFFER: usize = 256 << 10;
/// Read at once by connections with a rate, or without much to do. Bytes.
const SLOW_BUFFER: usize = 16 << 10;

/// Pause before a refused request is made again.
const AGAIN: Duration = Duration::from_millis(100);

/// What one request was like.
struct Sample {
    status: u16,
    /// Until the first byte of the body.
    first: Duration,
    total: Duration,
}

/// What all connections have done.
#[derive(Default)]
struct Report {
    samples: Vec<Sample>,
    bytes: u64,
    broken: usize,
    cut_off: usize,
    /// Answered 503 and asked again.
    refused: usize,
    /// Of the first file, if they are compared.
    checksum: Option<u32>,
    /// Files that differ from it.
    unequal: usize,
}

impl Report {
    fn compare(&mut self, checksum: Option<u32>) {
        let Some(checksum) = checksum else { return };
        let first = *self.checksum.get_or_insert(checksum);
        self.unequal += usize::from(first != checksum);
    }
}

/// What there is to ask for, and how.
struct Plan {
    url: Url,
    paths: Vec<String>,
    /// Requests per connection; with several paths, they are shared out instead.
    requests: usize,
    next: AtomicUsize,
    rate: Option<u64>,
    check: bool,
    patient: bool,
}

impl Plan {
    /// The path of a connection's next request.
    fn next(&self, done: usize) -> Option<&str> {
        if self.paths.is_empty() {
            return (done < self.requests).then_some(&*self.url.path);
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.paths.get(next).map(|path| &**path)
    }
}

async fn run_get(get: Get) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    if let Some(file) = &get.paths {
        let text = std::fs::read_to_string(file).context("the file of paths")?;
        let base = get.url.path.trim_end_matches('/');
        let relative = text.lines().map(|line| line.trim_start_matches('/'));
        paths.extend(relative.map(|line| format!("{base}/{line}")));
        ensure!(!paths.is_empty(), "no paths in {}", file.display());
    }
    let plan = Arc::new(Plan {
        url: get.url,
        paths,
        requests: get.requests,
        next: AtomicUsize::new(0),
        rate: get.rate,
        check: get.check,
        patient: get.patient,
    });
    let began = Instant::now();
    let tasks: Vec<_> = (0..get.readers)
        .map(|_| tokio::spawn(reader(Arc::clone(&plan), began + get.within)))
        .collect();
    let mut all = Report::default();
    for task in tasks {
        let one = task.await?;
        all.samples.extend(one.samples);
        all.bytes += one.bytes;
        all.broken += one.broken;
        all.cut_off += one.cut_off;
        all.refused += one.refused;
        all.unequal += one.unequal;
        all.compare(one.checksum);
    }
    print(&all, began.elapsed())
}

fn print(all: &Report, elapsed: Duration) -> anyhow::Result<()> {
    let good = all.samples.iter().filter(|sample| sample.status == 200);
    let mut first: Vec<_> = good.clone().map(|sample| sample.first).collect();
    let mut total: Vec<_> = good.map(|sample| sample.total).collect();
    let mut out = io::stdout().lock();
    writeln!(out, "requests={}", all.samples.len())?;
    writeln!(out, "ok={}", total.len())?;
    writeln!(out, "broken={}", all.broken)?;
    writeln!(out, "cut_off={}", all.cut_off)?;
    writeln!(out, "refused={}", all.refused)?;
    writeln!(out, "unequal={}", all.unequal)?;
    let other = all.samples.iter().find(|sample| sample.status != 200);
    writeln!(
        out,
        "other_status={}",
        other.map_or(0, |sample| sample.status)
    )?;
    writeln!(out, "bytes={}", all.bytes)?;
    writeln!(out, "seconds={:.4}", elapsed.as_secs_f64())?;
    for (name, times) in [("first", &mut first), ("total", &mut total)] {
        times.sort();
        for (part, q) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let value = quantile(times, q).map_or(0.0, |time| time.as_secs_f64() * 1e3);
            writeln!(out, "{name}_ms_{part}={value:.3}")?;
        }
    }
    Ok(())
}

fn quantile(sorted: &[Duration], q: f64) -> Option<Duration> {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

async fn reader(plan: Arc<Plan>, until: Instant) -> Report {
    let mut report = Report::default();
    let mut connection = None;
    while let Some(path) = plan.next(report.samples.len() + report.broken) {
        let asked = ask_patiently(&plan, path, &mut connection, &mut report);
        match tokio::time::timeout_at(until.into(), asked).await {
            Ok(Ok(sample)) => report.samples.push(sample),
            Ok(Err(error)) => {
                eprintln!("{path}: {error:#}");
                report.broken += 1;
                connection = None;
            }
            Err(_) => {
                report.cut_off += 1;
                break;
            }
        }
    }
    report
}

/// Asks until the answer is another than 503, if there is patience.
async fn ask_patiently(
    plan: &Plan,
    path: &str,
    kept: &mut Option<Connection>,
    report: &mut Report,
) -> anyhow::Result<Sample> {
    loop {
        let sample = ask(plan, path, kept, report).await?;
        if sample.status != 503 || !plan.patient {
            return Ok(sample);
        }
        report.refused += 1;
        tokio::time::sleep(AGAIN).await;
    }
}

/// A connection and its buffer.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(plan: &Plan) -> anyhow::Result<Self> {
        let buffer = if plan.rate.is_some() {
            SLOW_BUFFER
        } else {
            BUFFER
        };
        Ok(Connection {
            stream: connect(&plan.url).await?,
            buffer: vec![0; buffer],
        })
    }

    /// Reads a head into the buffer, and perhaps the beginning of the body; gives the bytes read, too.
    async fn head(&mut self) -> anyhow::Result<(Head, usize)> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "closed before the end of the head");
            filled += read;
            if let Some(head) = Head::parse(&self.buffer[..filled])? {
                return Ok((head, filled));
            }
        }
    }
}

/// One request on a kept connection, or on a new one.
async fn ask(
    plan: &Plan,
    path: &str,
    kept: &mut Option<Connection>,
    report: &mut Report,
) -> anyhow::Result<Sample> {
    let began = Instant::now();
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(plan).await?,
    };
    let request = plan.url.request(path);
    connection.stream.write_all(request.as_bytes()).await?;
    let (head, filled) = connection.head().await?;

    let mut left = head.content;
    let mut taken = 0;
    let mut first = None;
    let mut checksum = plan.check.then(crc32fast::Hasher::new);
    let mut part = head.length..filled;
    loop {
        let bytes = &connection.buffer[part];
        if !bytes.is_empty() {
            first.get_or_insert_with(|| began.elapsed());
            taken += bytes.len() as u64;
            left = left
                .checked_sub(bytes.len() as u64)
                .context("more bytes than announced")?;
            report.bytes += bytes.len() as u64;
            if let Some(checksum) = &mut checksum {
                checksum.update(bytes);
            }
        }
        if left == 0 {
            break;
        }
        if let Some(rate) = plan.rate {
            let due = began + Duration::from_secs_f64(taken as f64 / rate as f64);
            tokio::time::sleep_until(due.into()).await;
        }
        let read = connection.stream.read(&mut connection.buffer).await?;
        ensure!(read > 0, "closed {left} bytes before the end");
        part = 0..read;
    }
    let total = began.elapsed();
    report.compare(checksum.map(crc32fast::Hasher::finalize));
    if !head.close {
        *kept = Some(connection);
    }
    Ok(Sample {
        status: head.status,
        first: first.unwrap_or(total),
        total,
    })
}

async fn connect(url: &Url) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(&url.address)
        .await
        .with_context(|| format!("connecting to {}", url.address))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What must be known of an answer's head.
struct Head {
    status: u16,
    /// Of the head. Bytes.
    length: usize,
    /// Of the body. Bytes.
    content: u64,
    close: bool,
}

impl Head {
    /// `None` while it is not complete.
    fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes[..end]).context("a head that is not text")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let mut head = Head {
            status: status.context("no status line")?.parse()?,
            length: end + 4,
            content: 0,
            close: false,
        };
        let mut announced = false;
        for line in lines {
            let (name, value) = line.split_once(':').context("a line without colon")?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    head.content = value.parse()?;
                    announced = true;
                }
                "transfer-encoding" => bail!("{value} where a length was expected"),
                "connection" => head.close = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        ensure!(announced, "no Content-Length");
        Ok(Some(head))
    }
}

// Holding connections

async fn idle(connections: usize, url: &Url) -> anyhow::Result<()> {
    let plan = Plan {
        url: url.clone(),
        paths: Vec::new(),
        requests: 1,
        next: AtomicUsize::new(0),
        // Only for the small buffer.
        rate: Some(u64::MAX),
        check: false,
        patient: false,
    };
    let mut held = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut connection = None;
        ask(&plan, &url.path, &mut connection, &mut Report::default()).await?;
        held.push(connection.context("the server closes connections")?);
    }
    println!("open={}", held.len());
    io::stdout().flush()?;
    std::future::pending().await
}

// Starting a server

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two attempts to reach it.
const PAUSE: Duration = Duration::from_micros(200);

fn start(url: &Url, log: &Path, command: &[String]) -> anyhow::Result<()> {
    let log = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let (program, arguments) = command.split_first().context("no command")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let began = Instant::now();
    let mut server = command
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    while !answers(url) {
        if let Some(status) = server.try_wait()? {
            bail!("{program} ended before it answered: {status}");
        }
        if began.elapsed() > PATIENCE {
            server.kill()?;
            bail!("{program} does not answer within {PATIENCE:?}");
        }
        std::thread::sleep(PAUSE);
    }
    println!("first_answer_ms={:.3}", began.elapsed().as_secs_f64() * 1e3);
    println!("pid={}", server.id());
    Ok(())
}

/// Whether the server says 200 now.
fn answers(url: &Url) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = std::net::TcpStream::connect(&url.address)?;
        stream.write_all(url.request(&url.path).as_bytes())?;
        let mut line = [0; 12];
        stream.read_exact(&mut line)?;
        Ok(&line == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
