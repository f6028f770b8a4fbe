//! Running the `git` command: sealed, bounded, and gone when it must be (protocol.md 6.6).
//!
//! Nothing of the operator's own git configuration is read, nothing is ever checked out, and no program of a repository is
//! run. Whatever comes from outside stands behind `--end-of-options` or `--`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use prometheus_client::metrics::gauge::Gauge;
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::party::Party;

/// Of what git says on standard error, what is kept: the end. Bytes.
const WORDS: usize = 8 << 10;
/// Pieces in which output is read. Bytes.
const PIECE: usize = 64 << 10;
/// How long a run waits for its turn.
const QUEUE: Duration = Duration::from_secs(60);
/// How long git may take to end after its output has.
const LAST: Duration = Duration::from_secs(5);

/// What git may use of the outside.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What is sent as `Authorization` to this address and those below it.
    pub authorization: Option<(String, HeaderValue)>,
    /// Whether ssh may be used, and how; as `GIT_SSH_COMMAND` has it.
    pub ssh: Option<OsString>,
    /// Whether unencrypted http may be used.
    pub insecure: bool,
    /// The way out.
    pub line: Line,
    /// Whose slots are taken.
    pub party: Party,
    /// Whether folders of this machine may be fetched from.
    #[cfg(test)]
    pub folders: bool,
}

/// How http leaves this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Line {
    /// Not at all.
    #[default]
    None,
    /// Through this proxy.
    Proxied(Url),
    /// Straight to these addresses, each as `http.curloptResolve` has it: `host:port:address`.
    Straight(Vec<String>),
}

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

/// The `git` command.
#[derive(Clone)]
pub struct Git {
    program: PathBuf,
    /// An empty folder for what git thinks is home.
    home: PathBuf,
    /// Names of environment variables that are passed on, and their values: certificates, the path.
    passed: Vec<(OsString, OsString)>,
    strangers: Slots,
    own: Slots,
    running: Gauge,
}

/// Slots for processes.
#[derive(Clone)]
struct Slots {
    /// For what asks the world.
    world: Arc<Semaphore>,
    /// For what is asked of our own disk: it must not wait for the world.
    local: Arc<Semaphore>,
}

impl Slots {
    fn new(each: usize) -> Self {
        Slots {
            world: Arc::new(Semaphore::new(each)),
            local: Arc::new(Semaphore::new(each)),
        }
    }
}

/// Variables of our own environment that git needs.
const PASSED: &[&str] = &[
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSH_AUTH_SOCK",
    "TMPDIR",
];

impl Git {
    /// With at most `slots` runs at once that ask the world and as many that do not; private modules and routes have as
    /// many of their own. `home` exists and is empty; `environment` gives our own variables.
    pub fn new(
        program: PathBuf,
        home: PathBuf,
        slots: usize,
        running: Gauge,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let of = |names: &[&str]| -> Vec<(OsString, OsString)> {
            let set = |name: &&str| Some((OsString::from(name), environment(name)?));
            names.iter().filter_map(set).collect()
        };
        let mut passed = of(PASSED);
        // What is honoured by these names elsewhere, git does by others.
        for (ours, gits) in [
            ("SSL_CERT_FILE", "GIT_SSL_CAINFO"),
            ("SSL_CERT_DIR", "GIT_SSL_CAPATH"),
        ] {
            passed.extend(environment(ours).map(|value| (OsString::from(gits), value)));
        }
        Git {
            program,
            home,
            passed,
            strangers: Slots::new(slots),
            own: Slots::new(slots),
            running,
        }
    }

    fn command(&self, dir: &Path, access: &Access, arguments: &[&OsStr]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(self.passed.iter().map(|(name, value)| (name, value)))
            .env("GIT_DIR", dir)
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", &self.home)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GCM_INTERACTIVE", "never")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_ALLOW_PROTOCOL", protocols(access))
            .env("SSH_ASKPASS", "/bin/false")
            .env("GIT_ASKPASS", "/bin/false")
            .env("GIT_SSH_COMMAND", ssh(access));
        match &access.line {
            // In the environment: its address may hold a password. It follows no redirect, so it is one host's.
            Line::Proxied(proxy) => {
                for name in ["https_proxy", "http_proxy"] {
                    command.env(name, proxy.as_str());
                }
            }
            Line::None | Line::Straight(_) => {
                command.env("no_proxy", "*");
            }
        }
        if let Some((below, value)) = &access.authorization {
            // In the environment, which only this user may read, and not on a command line.
            let mut header = OsString::from("Authorization: ");
            header.push(OsStr::from_bytes(value.as_bytes()));
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", format!("http.{below}.extraHeader"))
                .env("GIT_CONFIG_VALUE_0", header);
        }
        for setting in [
            "protocol.version=2",
            // Where a redirect leads is looked at by us first.
            "http.followRedirects=false",
            // A connection on which nothing comes is given up: bytes in a second, and for how many seconds.
            "http.lowSpeedLimit=1",
            "http.lowSpeedTime=60",
            "credential.helper=",
            "submodule.recurse=false",
            "gc.auto=0",
            "maintenance.auto=false",
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.untrackedCache=false",
            "core.quotePath=false",
            "core.logAllRefUpdates=false",
            "fetch.writeCommitGraph=false",
            "fetch.fsckObjects=false",
            "fetch.unpackLimit=1",
            "transfer.bundleURI=false",
            "log.showSignature=false",
            "log.decorate=no",
        ] {
            command.arg("-c").arg(setting);
        }
        if let Line::Straight(pins) = &access.line {
            for pin in pins {
                command.arg("-c").arg(format!("http.curloptResolve={pin}"));
            }
        }
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        command
    }

    async fn start(
        &self,
        dir: &Path,
        access: &Access,
        arguments: &[&OsStr],
        input: Option<Bytes>,
        bounds: Bounds,
    ) -> Result<(Running, ChildStdout), GitError> {
        let slots = match access.party {
            Party::Strangers => &self.strangers,
            Party::Own => &self.own,
        };
        let slots = match access.line {
            Line::None => &slots.local,
            Line::Proxied(_) | Line::Straight(_) => &slots.world,
        };
        let slot = timeout(QUEUE, Arc::clone(slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else {
            return Err(GitError::Busy);
        };
        let until = Instant::now() + bounds.time;
        let mut command = self.command(dir, access, arguments);
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
            _counted: Counted::new(&self.running),
            words: Some(words),
            until,
            bounds,
            _slot: slot,
        };
        Ok((running, stdout))
    }

    /// Its version, major and minor.
    pub async fn version(&self) -> Result<(u32, u32), GitError> {
        let bounds = Bounds {
            time: LAST,
            output: 4 << 10,
            memory: None,
        };
        let nowhere = Path::new("/nonexistent");
        let said = self
            .run(nowhere, &Access::default(), &["version"], None, bounds)
            .await?;
        let text = String::from_utf8_lossy(&said);
        let numbers = text.split_whitespace().nth(2).unwrap_or_default();
        let mut numbers = numbers.split('.').map_while(|number| number.parse().ok());
        Ok((
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        ))
    }

    /// What is wrong with a version of git, if anything.
    pub fn trouble(version: (u32, u32)) -> Option<&'static str> {
        match version {
            // GIT_CONFIG_COUNT came with 2.31, http.curloptResolve with 2.37.
            (0..2, _) | (2, 0..31) => {
                Some("too old: no login could be sent; 2.31 is needed, 2.37 better")
            }
            (2, 31..37) => Some(
                "it cannot be held to the addresses that were judged (2.37 can): names that change their address could lead it inside this network",
            ),
            _ => None,
        }
    }

    /// Runs git to its end and gives what it printed.
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        dir: &Path,
        access: &Access,
        arguments: &[A],
        input: Option<Bytes>,
        bounds: Bounds,
    ) -> Result<Bytes, GitError> {
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let (running, mut stdout) = self.start(dir, access, &arguments, input, bounds).await?;
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

    /// Starts git for whoever reads its output piece by piece.
    pub async fn stream<A: AsRef<OsStr>>(
        &self,
        dir: &Path,
        access: &Access,
        arguments: &[A],
        bounds: Bounds,
    ) -> Result<Output, GitError> {
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let (running, stdout) = self.start(dir, access, &arguments, None, bounds).await?;
        Ok(Output {
            running,
            stdout,
            read: 0,
        })
    }
}

/// The protocols that git may use.
fn protocols(access: &Access) -> &'static str {
    #[cfg(test)]
    if access.folders {
        return "file";
    }
    match (access.ssh.is_some(), access.insecure) {
        (false, false) => "https",
        (true, false) => "https:ssh",
        (false, true) => "https:http",
        (true, true) => "https:ssh:http",
    }
}

fn ssh(access: &Access) -> OsString {
    let refuse = || OsString::from("/bin/false");
    access.ssh.clone().unwrap_or_else(refuse)
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

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        time: Duration::from_secs(20),
        output: 1 << 20,
        memory: None,
    };

    fn git(home: &Path, program: &str) -> Git {
        let environment = |name: &str| (name == "PATH").then(|| std::env::var_os("PATH")).flatten();
        Git::new(
            program.into(),
            home.to_owned(),
            2,
            Gauge::default(),
            environment,
        )
    }

    fn script(home: &Path, text: &str) -> Git {
        let path = home.join("fake-git");
        // Written by another process: while one of this one's threads starts a program, a file that this one has written
        // may be open for writing there, and then cannot be run.
        let write = std::process::Command::new("sh")
            .args([
                "-c",
                "printf '%s\\n' '#!/bin/sh' \"$2\" > \"$1\"; chmod 755 \"$1\"",
                "sh",
            ])
            .arg(&path)
            .arg(text)
            .status();
        assert!(write.unwrap().success());
        git(home, path.to_str().unwrap())
    }

    #[tokio::test]
    async fn c118_nothing_of_the_operators_configuration_is_read() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(".gitconfig"), "[core]\n\tpager = evil\n").unwrap();
        let git = git(home.path(), "git");
        let dir = home.path().join("r");
        let access = Access::default();
        git.run(&dir, &access, &["init", "--bare", "--quiet"], None, BOUNDS)
            .await
            .unwrap();
        let listed = git
            .run(
                &dir,
                &access,
                &["config", "--list", "--show-origin"],
                None,
                BOUNDS,
            )
            .await
            .unwrap();
        let listed = String::from_utf8(listed.to_vec()).unwrap();
        assert!(
            !listed.contains("evil") && !listed.contains("gitconfig"),
            "{listed}"
        );
        assert!(listed.contains("credential.helper="), "{listed}");
    }

    #[tokio::test]
    async fn failures_say_what_git_said() {
        let home = tempfile::tempdir().unwrap();
        let git = script(
            home.path(),
            "echo out; printf 'fatal: no\\ngone\\033\\n' >&2; exit 128",
        );
        let failed = git
            .run(home.path(), &Access::default(), &["x"], None, BOUNDS)
            .await
            .unwrap_err();
        assert_eq!(failed.to_string(), "git: fatal: no; gone");
        let missing = super::tests::git(home.path(), "/no/such/git");
        let missing = missing
            .run(home.path(), &Access::default(), &["x"], None, BOUNDS)
            .await;
        assert!(matches!(missing, Err(GitError::Missing(_))));
    }

    #[tokio::test]
    async fn c129_what_takes_too_long_or_too_much_is_ended_with_its_children() {
        let home = tempfile::tempdir().unwrap();
        let pids = home.path().join("pids");
        let text = format!(
            "sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait",
            pids.display()
        );
        let git = script(home.path(), &text);
        let short = Bounds {
            time: Duration::from_millis(500),
            ..BOUNDS
        };
        let late = git
            .run(home.path(), &Access::default(), &["x"], None, short)
            .await;
        assert!(matches!(late, Err(GitError::Timeout(_))), "{late:?}");
        let child = std::fs::read_to_string(&pids).unwrap();
        let gone = || {
            std::fs::read_to_string(format!("/proc/{}/stat", child.trim()))
                .map_or(true, |stat| stat.contains(") Z "))
        };
        for _ in 0..500 {
            if gone() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(gone(), "the child of git lives on");
        let git = script(home.path(), "exec cat /dev/zero");
        let small = Bounds {
            output: 1000,
            ..BOUNDS
        };
        let much = git
            .run(home.path(), &Access::default(), &["x"], None, small)
            .await;
        assert!(matches!(much, Err(GitError::TooMuch(1000))), "{much:?}");
    }

    #[tokio::test]
    async fn c127_secrets_stand_in_no_command_line_and_go_to_one_host_only() {
        let home = tempfile::tempdir().unwrap();
        let git = script(home.path(), "tr '\\0' ' ' < /proc/$$/cmdline; echo; env");
        let mut header = HeaderValue::from_static("Basic s3cret");
        header.set_sensitive(true);
        let access = Access {
            authorization: Some(("https://git.example.com/".into(), header)),
            ..Access::default()
        };
        let said = git
            .run(home.path(), &access, &["fetch"], None, BOUNDS)
            .await
            .unwrap();
        let said = String::from_utf8(said.to_vec()).unwrap();
        let (line, environment) = said.split_once('\n').unwrap();
        assert!(!line.contains("s3cret"), "{line}");
        assert!(
            environment.contains("GIT_ALLOW_PROTOCOL=https\n"),
            "{environment}"
        );
        assert!(!format!("{access:?}").contains("s3cret"));
        assert!(
            environment.contains("GIT_CONFIG_KEY_0=http.https://git.example.com/.extraHeader\n"),
            "{environment}"
        );
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn memory_is_bounded_where_it_is_to_be() {
        let home = tempfile::tempdir().unwrap();
        // A process that has not been given its limit yet would run on.
        let text = "sleep 0.2; ulimit -d; echo 'fatal: Out of memory, malloc failed' >&2; exit 128";
        let git = script(home.path(), text);
        let bounds = Bounds {
            memory: Some(64 << 20),
            ..BOUNDS
        };
        let access = Access::default();
        let ended = git.run(home.path(), &access, &["x"], None, bounds).await;
        assert!(matches!(ended, Err(GitError::TooMuch(_))), "{ended:?}");
        let git = script(home.path(), "sleep 0.2; ulimit -d");
        let said = git.run(home.path(), &access, &["x"], None, bounds).await;
        assert_eq!(said.unwrap(), "65536\n", "kilobytes");
    }

    #[tokio::test]
    async fn strangers_take_no_slots_of_private_modules() {
        let home = tempfile::tempdir().unwrap();
        let git = script(home.path(), "sleep 1000");
        let strangers = Access::default();
        let hang = || git.stream(home.path(), &strangers, &["x"], BOUNDS);
        let _all = (hang().await.unwrap(), hang().await.unwrap());
        let own = Access {
            party: Party::Own,
            ..Access::default()
        };
        let short = Bounds {
            time: Duration::from_millis(100),
            ..BOUNDS
        };
        let ended = git.run(home.path(), &own, &["x"], None, short).await;
        assert!(matches!(ended, Err(GitError::Timeout(_))), "{ended:?}");
    }

    #[tokio::test]
    async fn a_place_is_given_back() {
        let home = tempfile::tempdir().unwrap();
        let git = script(home.path(), "cat");
        for _ in 0..5 {
            let said = git
                .run(
                    home.path(),
                    &Access::default(),
                    &["x"],
                    Some(Bytes::from_static(b"in")),
                    BOUNDS,
                )
                .await;
            assert_eq!(said.unwrap(), "in");
        }
    }
}
