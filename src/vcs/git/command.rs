//! What git is told: its environment, its settings, and what it may use of the outside.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use http::HeaderValue;
use tokio::process::Command;
use url::Url;

use crate::vcs::tenant::Tenant;

/// What git may use of the outside.
#[derive(Clone, Debug, Default)]
pub struct GitAccess {
    /// What is sent as `Authorization` to this address and those below it.
    pub authorization: Option<(String, HeaderValue)>,
    /// Whether ssh may be used, and how; as `GIT_SSH_COMMAND` has it.
    pub ssh: Option<OsString>,
    /// Whether unencrypted http may be used.
    pub insecure: bool,
    /// The way out.
    pub line: Line,
    /// Whose slots are taken.
    pub tenant: Tenant,
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

/// Variables of our own environment that git needs.
const PASSED: &[&str] = &[
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSH_AUTH_SOCK",
    "TMPDIR",
];

/// The program, and what it is always given.
#[derive(Clone)]
pub(super) struct Program {
    path: PathBuf,
    /// An empty folder for what git thinks is home.
    home: PathBuf,
    /// Names of environment variables that are passed on, and their values: certificates, the path.
    passed: Vec<(OsString, OsString)>,
}

impl Program {
    /// `home` exists and is empty; `environment` gives our own variables.
    pub(super) fn new(
        path: PathBuf,
        home: PathBuf,
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
        Program { path, home, passed }
    }

    /// The same with other variables.
    pub(super) fn renewed(&self, environment: impl Fn(&str) -> Option<OsString>) -> Self {
        Program::new(self.path.clone(), self.home.clone(), environment)
    }

    /// A run that may begin; its output and errors are ours to read, and it is a process group of its own.
    pub(super) fn command(&self, dir: &Path, access: &GitAccess, arguments: &[&OsStr]) -> Command {
        let mut command = Command::new(&self.path);
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
}

/// The protocols that git may use.
fn protocols(access: &GitAccess) -> &'static str {
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

fn ssh(access: &GitAccess) -> OsString {
    let refuse = || OsString::from("/bin/false");
    access.ssh.clone().unwrap_or_else(refuse)
}
