//! One run of git: its bounds, its end, and what it has said.

use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prometheus_client::metrics::gauge::Gauge;
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Of what git says on standard error, what is kept: the end. Bytes.
const WORDS: usize = 8 << 10;
/// Pieces in which output is read. Bytes.
const PIECE: usize = 64 << 10;
/// How long git may take to end after its output has.
pub(super) const LAST: Duration = Duration::from_secs(5);

/// How a run of git ended that did not end well.
#[derive(Clone, Debug, Error)]
pub enum GitError {
    /// There is no git.
    #[error("git cannot be run: {0}")]
    Missing(String),
    /// It said no, in these words (cleaned, without secrets).
    #[error("git: {words}")]
    Failed {
        /// Its exit code, if it ended by itself.
        code: Option<i32>,
        /// The end of what it said on standard error.
        words: String,
    },
    /// As many runs as may be are under way.
    #[error("as many git processes are running as may be (direct.processes)")]
    Busy,
    /// It took too long.
    #[error("git took longer than {} s", .0.as_secs())]
    Timeout(Duration),
    /// It gave more than may be.
    #[error("git gave more than {0} bytes")]
    TooMuch(u64),
    /// Its output could not be read, or ours not written.
    #[error("talking to git failed: {0}")]
    Io(String),
}

/// Bounds of one run.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From start to end.
    pub time: Duration,
    /// Of standard output. Bytes.
    pub output: u64,
    /// Of what git may hold in memory, if that is bounded (on Linux). Bytes.
    pub memory: Option<u64>,
}

/// Bounds what a process and its children may hold in memory. It has only just been started: what it is to read has not
/// arrived.
#[cfg(target_os = "linux")]
fn limit_memory(process: Pid, bytes: u64) {
    use rustix::process::{Resource, Rlimit, prlimit};
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    if let Err(error) = prlimit(Some(process), Resource::Data, limit) {
        tracing::debug!(%error, "git's memory is not bounded");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_memory(_process: Pid, _bytes: u64) {}

/// A process group that ends with this value, children of git included.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// One more that runs, as long as it lives.
struct Counted(Gauge);

impl Counted {
    fn new(running: &Gauge) -> Self {
        running.inc();
        Counted(running.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A run under way; git ends with it, and its children do.
struct Running {
    child: Child,
    _group: Group,
    _counted: Counted,
    words: Option<JoinHandle<String>>,
    until: Instant,
    bounds: Bounds,
    _slot: OwnedSemaphorePermit,
}

impl Running {
    /// Its output has ended: waits for it to end as well.
    async fn end(mut self) -> Result<(), GitError> {
        let until = self.until.max(Instant::now() + LAST);
        let status = match timeout_at(until, self.child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(GitError::Io(error.to_string())),
            Err(_) => return Err(GitError::Timeout(self.bounds.time)),
        };
        // Waited for: its number may be somebody else's soon. But a child of its that holds standard error is not waited
        // for, and goes with the group.
        let words = match self.words.take() {
            Some(words) => timeout_at(Instant::now() + LAST, words).await,
            None => Ok(Ok(String::new())),
        };
        if status.success() {
            return Ok(());
        }
        let words = words.ok().and_then(Result::ok).unwrap_or_default();
        match self.bounds.memory {
            Some(most) if words.contains("ut of memory") => Err(GitError::TooMuch(most)),
            _ => Err(GitError::Failed {
                code: status.code(),
                words,
            }),
        }
    }
}

/// The output of a run of git, read piece by piece. Dropped early, git ends.
pub struct Output {
    running: Running,
    stdout: ChildStdout,
    read: u64,
}

impl Output {
    /// Starts a run that has its slot, and counts it among those that are `running`.
    pub(super) fn start(
        mut command: Command,
        input: Option<Bytes>,
        bounds: Bounds,
        running: &Gauge,
        slot: OwnedSemaphorePermit,
    ) -> Result<Self, GitError> {
        let until = Instant::now() + bounds.time;
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command
            .spawn()
            .map_err(|error| GitError::Missing(error.to_string()))?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some((group, bytes)) = group.zip(bounds.memory) {
            limit_memory(group, bytes);
        }
        let missing = || GitError::Io("a pipe is missing".into());
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let stdin = child.stdin.take();
        let words = tokio::spawn(last_words(stderr));
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // Git may well end before it has read everything; what it says then is what counts.
            tokio::spawn(async move { drop(stdin.write_all(&input).await) });
        }
        let running = Running {
            child,
            _group: Group(group),
            _counted: Counted::new(running),
            words: Some(words),
            until,
            bounds,
            _slot: slot,
        };
        Ok(Output {
            running,
            stdout,
            read: 0,
        })
    }

    /// All of it, once git has ended well.
    pub(super) async fn whole(self) -> Result<Bytes, GitError> {
        let Output {
            running,
            mut stdout,
            ..
        } = self;
        let bounds = running.bounds;
        let mut output = BytesMut::new();
        loop {
            output.reserve(PIECE.min(4096 + output.len()));
            match timeout_at(running.until, stdout.read_buf(&mut output)).await {
                Ok(Ok(0)) => break,
                Ok(Ok(_)) if output.len() as u64 > bounds.output => {
                    return Err(GitError::TooMuch(bounds.output));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(GitError::Io(error.to_string())),
                Err(_) => return Err(GitError::Timeout(bounds.time)),
            }
        }
        running.end().await?;
        Ok(output.freeze())
    }

    /// The next bytes; `None` when git has ended well.
    pub async fn next(&mut self, buffer: &mut BytesMut) -> Result<bool, GitError> {
        buffer.reserve(PIECE);
        match timeout_at(self.running.until, self.stdout.read_buf(buffer)).await {
            Ok(Ok(0)) => Ok(false),
            Ok(Ok(count)) => {
                self.read += count as u64;
                if self.read > self.running.bounds.output {
                    return Err(GitError::TooMuch(self.running.bounds.output));
                }
                Ok(true)
            }
            Ok(Err(error)) => Err(GitError::Io(error.to_string())),
            Err(_) => Err(GitError::Timeout(self.running.bounds.time)),
        }
    }

    /// Says how git ended, once its output has.
    pub async fn end(self) -> Result<(), GitError> {
        self.running.end().await
    }
}

/// The end of what is said on standard error, in clean lines.
async fn last_words(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut piece = vec![0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut piece).await {
        kept.extend_from_slice(&piece[..count]);
        if kept.len() > 2 * WORDS {
            kept.drain(..kept.len() - WORDS);
        }
    }
    let start = kept.len().saturating_sub(WORDS);
    let text = String::from_utf8_lossy(&kept[start..]);
    let lines = text
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    lines.map(clean).collect::<Vec<_>>().join("; ")
}
