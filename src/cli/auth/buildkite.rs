//! Identity tokens of Buildkite, which the agent's own program asks for.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::error::AuthError;
use super::token::{LONGEST, token};
use crate::config::{Environment, Secret};
use crate::upstream;

const PROGRAM: &str = "buildkite-agent";
/// It tries again by itself.
const LIMIT: Duration = Duration::from_secs(20);

/// Whether this is a job.
pub fn is_here(env: &Environment) -> bool {
    env.get("BUILDKITE").is_some_and(|value| value == "true")
}

/// A new token for this audience; none if the program is not here, as in a container of a job.
pub async fn ask(audience: &str) -> Result<Option<Secret>, AuthError> {
    let fault = |why: String| AuthError::Buildkite(why);
    let spawned = Command::new(PROGRAM)
        .args(["oidc", "request-token", "--audience", audience])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error.to_string())),
    };
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(fault("it has no output".to_owned()));
    };
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let (mut out, mut err) = (out.take(LONGEST), err.take(LONGEST));
    let ended = tokio::time::timeout(LIMIT, async {
        let (out, err) = tokio::join!(out.read_to_end(&mut said), err.read_to_end(&mut complained));
        out?;
        err?;
        child.wait().await
    });
    let status = match ended.await {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return Err(fault(error.to_string())),
        Err(_) => return Err(fault(format!("it took longer than {LIMIT:?}"))),
    };
    if !status.success() {
        let text = String::from_utf8_lossy(&complained);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        return Err(fault(upstream::clean(last.unwrap_or("it said nothing"))));
    }
    let said = String::from_utf8_lossy(&said);
    token("what buildkite-agent printed", &said).map(Some)
}
