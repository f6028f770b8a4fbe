//! The real program, started as a user starts it, with an environment in which nothing of the machine's own
//! settings is left.

use super::http::{Request, Response};
use super::{DEADLINE, FakeUpstream, until};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the program may take to be ready, on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(10);

/// How the program is to be started.
#[derive(Clone)]
pub struct Builder {
    home: Arc<TempDir>,
    upstream: Option<String>,
    listen: String,
    /// None: nothing is said of it.
    sumdb: Option<Vec<String>>,
    own_data_dir: bool,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    shell: Option<String>,
    handed_over: Option<Arc<OwnedFd>>,
}

/// A builder with a home and a data directory of its own.
pub fn larder() -> Builder {
    let home = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(home.path().join("tmp")).unwrap();
    Builder {
        home: Arc::new(home),
        upstream: None,
        listen: "127.0.0.1:0".to_owned(),
        sumdb: Some(Vec::new()),
        own_data_dir: true,
        arguments: Vec::new(),
        environment: Vec::new(),
        shell: None,
        handed_over: None,
    }
}

impl Builder {
    /// `--upstream`, as a chain in Go's notation.
    pub fn upstream(mut self, chain: &str) -> Builder {
        self.upstream = Some(chain.to_owned());
        self
    }

    /// The one upstream is this.
    pub fn of(self, upstream: &FakeUpstream) -> Builder {
        let url = upstream.url();
        self.upstream(&url)
    }

    /// One more checksum database; without any, there is none.
    pub fn sumdb(mut self, database: &str) -> Builder {
        let databases = self.sumdb.get_or_insert_default();
        databases.push(database.to_owned());
        self
    }

    /// No checksum database but those that are named from here on.
    pub fn without_sumdb(mut self) -> Builder {
        self.sumdb = Some(Vec::new());
        self
    }

    /// Nothing is said of checksum databases, by flag or variable.
    pub fn sumdb_unsaid(mut self) -> Builder {
        self.sumdb = None;
        self
    }

    /// Nothing is said about where to keep things.
    pub fn without_data_dir(mut self) -> Builder {
        self.own_data_dir = false;
        self
    }

    pub fn listen(mut self, addr: &str) -> Builder {
        self.listen = addr.to_owned();
        self
    }

    /// A key of the configuration, by way of its environment variable: `freshness.ttl` and the like.
    pub fn set(self, key: &str, value: &str) -> Builder {
        let name = format!("LARDER_{}", key.replace('.', "__").to_uppercase());
        self.env(&name, value)
    }

    /// Short waits for an upstream that does not answer.
    pub fn impatient(self) -> Builder {
        self.set("upstream.connect_timeout", "1s")
            .set("upstream.first_byte_timeout", "700ms")
            .set("upstream.idle_timeout", "700ms")
    }

    /// A breaker that never opens, for tests that fail many times on purpose.
    pub fn no_breaker(self) -> Builder {
        self.set("breaker.failures", "1000000")
    }

    pub fn env(mut self, name: &str, value: impl AsRef<Path>) -> Builder {
        let value = value.as_ref().to_str().unwrap().to_owned();
        self.environment.retain(|(n, _)| n != name);
        self.environment.push((name.to_owned(), value));
        self
    }

    pub fn arg(mut self, argument: &str) -> Builder {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A configuration file with this text, given by `--config`.
    pub fn config(self, text: &str) -> Builder {
        let file = self.home().join("larder.toml");
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap().to_owned();
        self.arg("--config").arg(&file)
    }

    /// Lets the machine's way to the outside in: proxies and certificates. For live tests.
    pub fn machine_network(mut self) -> Builder {
        for (name, value) in super::machine_network() {
            self = self.env(&name, &value);
        }
        self
    }

    /// A shell command to run before the program takes the shell's place, such as `ulimit`.
    pub fn shell(mut self, command: &str) -> Builder {
        self.shell = Some(command.to_owned());
        self
    }

    /// A listening socket that the program is handed, as systemd does it, by this name.
    pub fn handed_over(mut self, socket: impl Into<OwnedFd>, name: &str) -> Builder {
        self.handed_over = Some(Arc::new(socket.into()));
        self.shell(&format!(
            "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}"
        ))
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.home().join("data")
    }

    /// Writes a file below the home folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.home().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    fn program(&self, arguments: &[&str]) -> Command {
        // Other commands are to know the databases too, and none may ask the real one.
        let sumdb = self.sumdb.as_ref().map(|databases| match &databases[..] {
            [] => "off".to_owned(),
            databases => databases.join(";"),
        });
        let binary = env!("CARGO_BIN_EXE_larder");
        let mut command = match &self.shell {
            None => Command::new(binary),
            Some(first) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(format!("{first}; exec \"$0\" \"$@\""));
                shell.arg(binary);
                shell
            }
        };
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("XDG_CONFIG_HOME", self.home().join("config"))
            .env("XDG_DATA_HOME", self.home().join("share"))
            .env("XDG_CACHE_HOME", self.home().join("cache"))
            .env("TMPDIR", self.home().join("tmp"))
            .env("GOTELEMETRY", "off")
            .env("RUST_BACKTRACE", "1")
            .envs(sumdb.map(|databases| ("LARDER_SUMDB", databases)))
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .current_dir(self.home())
            .stdin(match &self.handed_over {
                Some(socket) => Stdio::from(socket.try_clone().unwrap()),
                None => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn serve(&self) -> Command {
        let data = self.data_dir();
        let mut arguments = vec!["serve", "--listen", &self.listen];
        if self.own_data_dir {
            arguments.extend(["--data-dir", data.to_str().unwrap()]);
        }
        if let Some(chain) = &self.upstream {
            arguments.extend(["--upstream", chain]);
        }
        for database in self.sumdb.iter().flatten() {
            arguments.extend(["--sumdb", database]);
        }
        arguments.extend(self.arguments.iter().map(String::as_str));
        self.program(&arguments)
    }

    /// Starts the server and waits until it says that it is ready.
    #[track_caller]
    pub fn start(self) -> Larder {
        let process = Process::spawn(self.serve());
        let mut larder = Larder {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            builder: self,
            process,
        };
        larder.await_ready();
        larder
    }

    /// Runs `larder serve` where it is expected to give up by itself.
    #[track_caller]
    pub fn serve_to_end(&self) -> Finished {
        Process::spawn(self.serve()).finish(START)
    }

    /// Runs another command of the program to its end, in the same environment.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Process::spawn(self.program(arguments)).finish(2 * DEADLINE)
    }
}

/// What a command that ended left behind.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    #[track_caller]
    pub fn expect(self, code: i32) -> Finished {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

/// A running child with its output being read.
struct Process {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    status: Option<ExitStatus>,
}

impl Process {
    fn spawn(mut command: Command) -> Process {
        let mut child = command.spawn().expect("the program starts");
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let out = child.stdout.take().unwrap();
        let err = child.stderr.take().unwrap();
        let readers = vec![
            collect(out, Arc::clone(&stdout)),
            collect(err, Arc::clone(&stderr)),
        ];
        Process {
            child,
            stdout,
            stderr,
            readers,
            status: None,
        }
    }

    fn text(of: &Mutex<String>) -> String {
        of.lock().unwrap().clone()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the signal is sent");
    }

    /// Waits for the end; none if it did not come in time.
    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        while self.status.is_none() && started.elapsed() < limit {
            self.status = self.child.try_wait().unwrap();
            if self.status.is_none() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.status
    }

    #[track_caller]
    fn finish(mut self, limit: Duration) -> Finished {
        let status = self.wait(limit);
        if status.is_none() {
            let _ = self.child.kill();
        } else {
            for reader in self.readers.drain(..) {
                let _ = reader.join();
            }
        }
        let (stdout, stderr) = (Self::text(&self.stdout), Self::text(&self.stderr));
        let Some(status) = status else {
            panic!("still running after {limit:?}\nstdout: {stdout}\nstderr: {stderr}");
        };
        Finished {
            code: status.code(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn collect(
    from: impl Read + Send + 'static,
    into: Arc<Mutex<String>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line);
            into.lock().unwrap().push_str(&text);
            line.clear();
        }
    })
}

/// Resident memory in bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    pub now: u64,
    /// The most since the last `reset_peak`.
    pub peak: u64,
    pub anonymous: u64,
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [now, peak, anonymous] = [self.now, self.peak, self.anonymous].map(|b| b >> 20);
        write!(f, "{now} MiB ({anonymous} anonymous, peak {peak})")
    }
}

/// The server under test.
pub struct Larder {
    addr: SocketAddr,
    // Before the builder: the process has to end before its folder is removed.
    process: Process,
    builder: Builder,
}

impl Larder {
    #[track_caller]
    fn await_ready(&mut self) {
        let started = Instant::now();
        loop {
            let text = self.stdout();
            if let Some((line, _)) = text.split_once('\n') {
                let addr = line.strip_prefix("listening on ");
                if addr.is_some_and(|addr| addr.starts_with("unix:")) {
                    return;
                }
                let addr =
                    addr.and_then(|a| a.strip_prefix("http://").or(a.strip_prefix("https://")));
                let addr = addr.and_then(|a| a.parse().ok());
                self.addr = addr.unwrap_or_else(|| panic!("no ready line: {line:?}"));
                return;
            }
            let ended = self.process.wait(Duration::from_millis(2));
            assert!(
                ended.is_none() && started.elapsed() < START,
                "not ready after {:?}, ended with {ended:?}",
                started.elapsed()
            );
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The value for a client's GOPROXY.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.builder.data_dir()
    }

    pub fn home(&self) -> &Path {
        self.builder.home()
    }

    /// The kept file behind a request path.
    pub fn blob(&self, path: &str) -> PathBuf {
        self.data_dir().join("modules").join(&path[1..])
    }

    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        Request::get(path).send(self.addr)
    }

    #[track_caller]
    pub fn head(&self, path: &str) -> Response {
        Request::new("HEAD", path).send(self.addr)
    }

    /// GET with one header more.
    #[track_caller]
    pub fn get_with(&self, path: &str, name: &str, value: &str) -> Response {
        Request::get(path).header(name, value).send(self.addr)
    }

    /// GET that finds the file kept: publishing runs beside the first answer and takes a moment.
    #[track_caller]
    pub fn get_hit(&self, path: &str) -> Response {
        until(&format!("{path} to be kept"), || {
            let answer = self.get(path);
            answer.ok();
            answer.is_hit().then_some(answer)
        })
    }

    /// GET that is to be answered from what is kept.
    #[track_caller]
    pub fn get_kept(&self, path: &str) -> Response {
        self.get_with(path, "Disable-Module-Fetch", "true")
    }

    /// What has been received whole is kept a second later: that is promised.
    #[track_caller]
    pub fn wait_kept(&self, paths: &[String]) {
        super::within(Duration::from_secs(1), "all of it kept", || {
            let is_kept = |path: &String| self.get_kept(path).is_ok();
            paths.iter().all(is_kept).then_some(())
        });
    }

    /// All metrics as text.
    #[track_caller]
    pub fn metrics(&self) -> String {
        self.get("/metrics").expect(200).text()
    }

    /// Connections that are open, with the one that asks.
    #[track_caller]
    pub fn open_connections(&self) -> u64 {
        let metrics = self.metrics();
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix("larder_connections "));
        count.unwrap().parse().unwrap()
    }

    pub fn stdout(&self) -> String {
        Process::text(&self.process.stdout)
    }

    pub fn stderr(&self) -> String {
        Process::text(&self.process.stderr)
    }

    /// Waits until the log contains the text.
    #[track_caller]
    pub fn wait_stderr(&self, text: &str) {
        until(&format!("{text:?} in the log"), || {
            self.stderr().contains(text).then_some(())
        });
    }

    /// Ends the process as a power cut would.
    pub fn kill9(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.wait(DEADLINE).expect("a killed process ends");
    }

    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Any other signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub fn interrupt(&self) {
        self.process.signal(Signal::INT);
    }

    /// SIGTERM and the exit code.
    #[track_caller]
    pub fn stop(&mut self) -> i32 {
        self.terminate();
        self.wait_exit()
    }

    /// Waits for the end that something else has asked for.
    #[track_caller]
    pub fn wait_exit(&mut self) -> i32 {
        let status = self.process.wait(DEADLINE).expect("the server ends");
        status
            .code()
            .unwrap_or_else(|| panic!("no exit code, but {status}"))
    }

    pub fn is_running(&mut self) -> bool {
        self.process.wait(Duration::ZERO);
        self.process.status = self.process.child.try_wait().unwrap();
        self.process.status.is_none()
    }

    /// Starts again on the same data, after `stop` or `kill9`.
    #[track_caller]
    pub fn restart(&mut self) {
        self.restart_with(|builder| builder);
    }

    /// The same with other settings.
    #[track_caller]
    pub fn restart_with(&mut self, change: impl FnOnce(Builder) -> Builder) {
        assert!(self.process.status.is_some(), "stop it first");
        self.builder = change(self.builder.clone());
        self.process = Process::spawn(self.builder.serve());
        self.await_ready();
    }

    /// Another command of the program on the same data directory.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let data = self.data_dir();
        let arguments = [arguments, &["--data-dir", data.to_str().unwrap()]].concat();
        self.builder.run(&arguments)
    }

    /// Runs another command of the program and kills it after a moment.
    pub fn kill_during(&self, arguments: &[&str], moment: Duration) {
        let data = self.data_dir();
        let arguments = [arguments, &["--data-dir", data.to_str().unwrap()]].concat();
        let mut process = Process::spawn(self.builder.program(&arguments));
        process.wait(moment);
        // Its end, if it has not come yet, is the drop's doing.
    }

    pub fn memory(&self) -> Memory {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name)).unwrap();
            let number: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            number * 1024
        };
        Memory {
            now: field("VmRSS:"),
            peak: field("VmHWM:"),
            anonymous: field("RssAnon:"),
        }
    }

    /// Lets the kernel count the peak of resident memory from here on.
    pub fn reset_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// Processor time used so far.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Files below the data directory's folder, for messages and counts.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.data_dir().join(folder)];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else {
                    found.push(entry.path());
                }
            }
        }
        found
    }
}

impl Drop for Larder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.stderr();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(200)..];
            eprintln!("---- larder's log ----\n{}\n----", last.join("\n"));
        }
    }
}
