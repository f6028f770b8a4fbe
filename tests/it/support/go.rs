//! The real `go` command with folders of its own and nothing of the machine's settings.

use super::DEADLINE;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// One client: a working module, an empty module cache and a GOPROXY.
pub struct Go {
    folder: TempDir,
    environment: Vec<(String, String)>,
    deadline: Duration,
}

/// What a run of `go` printed.
#[derive(Debug)]
pub struct Output {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Go {
    pub fn new(proxy: &str) -> Go {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["home", "work", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let go = Go {
            folder,
            environment: Vec::new(),
            deadline: 4 * DEADLINE,
        };
        go.env("GOPROXY", proxy)
    }

    pub fn env(mut self, name: &str, value: &str) -> Go {
        self.environment.retain(|(n, _)| n != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn deadline(mut self, deadline: Duration) -> Go {
        self.deadline = deadline;
        self
    }

    /// The folder of the working module.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub fn module_cache(&self) -> PathBuf {
        self.folder.path().join("modcache")
    }

    pub fn write(&self, name: &str, text: &str) -> &Go {
        std::fs::write(self.work().join(name), text).unwrap();
        self
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.work().join(name)).unwrap_or_default()
    }

    /// The working module's go.mod, with the requirements given as `path version`.
    pub fn module(&self, requirements: &[&str]) -> &Go {
        let mut text = "module example.org/work\n\ngo 1.20\n".to_owned();
        for requirement in requirements {
            text.push_str(&format!("\nrequire {requirement}\n"));
        }
        let _ = std::fs::remove_file(self.work().join("go.sum"));
        self.write("go.mod", &text)
    }

    /// Empties the module cache, as on another machine.
    pub fn forget_modules(&self) {
        for name in ["modcache", "gopath"] {
            let folder = self.folder.path().join(name);
            if folder.exists() {
                std::fs::remove_dir_all(&folder).expect("-modcacherw lets us remove it");
            }
        }
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let at = |name: &str| self.folder.path().join(name);
        // Shared by all tests and runs: it holds build results, no modules.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gocache");
        let mut command = Command::new("go");
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", at("home"))
            .env("TMPDIR", at("tmp"))
            .env("GOPATH", at("gopath"))
            .env("GOMODCACHE", at("modcache"))
            .env("GOCACHE", cache)
            .env("GOENV", "off")
            .env("GOSUMDB", "off")
            .env("GOTOOLCHAIN", "local")
            .env("GOTELEMETRY", "off")
            .env("GOFLAGS", "-modcacherw")
            .env("CGO_ENABLED", "0")
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .current_dir(self.work())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().unwrap_or_else(|e| {
            panic!("these tests need the go command in PATH to be Larder's client: {e}")
        });
        let stdout = drain(child.stdout.take().unwrap());
        let stderr = drain(child.stderr.take().unwrap());
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if started.elapsed() > self.deadline {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let output = Output {
            ok: status.is_some_and(|s| s.success()),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        };
        assert!(
            status.is_some(),
            "go {arguments:?} not done after {:?}: {output:#?}",
            self.deadline
        );
        output
    }

    /// Runs it to success and returns what it printed.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert!(output.ok, "go {arguments:?}: {output:#?}");
        output
    }

    /// Runs it to failure and returns what it complained about.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.ok, "go {arguments:?} was to fail: {output:#?}");
        output.stderr
    }
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
