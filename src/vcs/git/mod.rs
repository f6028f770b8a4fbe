//! Running the `git` command: sealed, bounded, and gone when it must be (protocol.md 6.6).
//!
//! Nothing of the operator's own git configuration is read, nothing is ever checked out, and no program of a repository is
//! run. Whatever comes from outside stands behind `--end-of-options` or `--`.

mod command;
mod run;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::tenant::Tenant;
use command::Program;
pub use command::{GitAccess, Line};
use run::LAST;
pub use run::{Bounds, GitError, Output};

/// How long a run waits for its turn.
const QUEUE: Duration = Duration::from_secs(60);

/// The `git` command.
#[derive(Clone)]
pub struct Git {
    program: Program,
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
        Git {
            program: Program::new(program, home, environment),
            strangers: Slots::new(slots),
            own: Slots::new(slots),
            running,
        }
    }

    /// The same with other variables: runs by both share their slots.
    pub fn renewed(&self, environment: impl Fn(&str) -> Option<OsString>) -> Self {
        Git {
            program: self.program.renewed(environment),
            ..self.clone()
        }
    }

    async fn start(
        &self,
        dir: &Path,
        access: &GitAccess,
        arguments: &[&OsStr],
        input: Option<Bytes>,
        bounds: Bounds,
    ) -> Result<Output, GitError> {
        let slots = match access.tenant {
            Tenant::Strangers => &self.strangers,
            Tenant::Own => &self.own,
        };
        let slots = match access.line {
            Line::None => &slots.local,
            Line::Proxied(_) | Line::Straight(_) => &slots.world,
        };
        let slot = timeout(QUEUE, Arc::clone(slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else {
            return Err(GitError::Busy);
        };
        let command = self.program.command(dir, access, arguments);
        Output::start(command, input, bounds, &self.running, slot)
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
            .run(nowhere, &GitAccess::default(), &["version"], None, bounds)
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
        access: &GitAccess,
        arguments: &[A],
        input: Option<Bytes>,
        bounds: Bounds,
    ) -> Result<Bytes, GitError> {
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let output = self.start(dir, access, &arguments, input, bounds).await?;
        output.whole().await
    }

    /// Starts git for whoever reads its output piece by piece.
    pub async fn stream<A: AsRef<OsStr>>(
        &self,
        dir: &Path,
        access: &GitAccess,
        arguments: &[A],
        bounds: Bounds,
    ) -> Result<Output, GitError> {
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        self.start(dir, access, &arguments, None, bounds).await
    }
}
