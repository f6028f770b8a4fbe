//! `larder auth URL`: the program that GOAUTH names on clients. It needs no configuration, data directory or server, and
//! gives a token to nobody but the `go` command, for nothing but Larder's own address.

mod buildkite;
mod error;
mod file;
mod github;
mod protocol;
mod sources;
mod token;

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{exit, runtime};
use crate::config::{Environment, Secret};
use error::AuthError;
use protocol::{ProxyAddress, wants_token};
use sources::TokenSource;

/// Of what `go` writes to standard input as much is read. Bytes.
const LONGEST_RESPONSE: u64 = 256 << 10;
/// How long that may take: `go` has it all when it starts us.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct AuthCommand {
    /// Larder's address, as it stands in GOPROXY
    #[arg(value_name = "URL")]
    url: ProxyAddress,
    /// What was refused; the go command adds it
    #[arg(value_name = "REFUSED")]
    refused: Option<String>,
    /// Take the token from this file, and from nowhere else
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Take the token from this environment variable, and from nowhere else
    #[arg(long, value_name = "NAME", conflicts_with = "token_file")]
    token_env: Option<String>,
    /// For whom identity tokens are asked; the URL if nothing is said
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Give tokens for an http address of another machine, where everyone on the way can read them
    #[arg(long)]
    insecure: bool,
}

impl AuthCommand {
    pub fn run(self, env: &Environment) -> ExitCode {
        if !self.insecure && !self.url.is_confidential() {
            let text = format!(
                "a token for {} could be read on its way: use https, or --insecure if nobody is on the way",
                self.url.as_str()
            );
            return exit::fail(exit::CONFIG, &text);
        }
        if let Some(refused) = &self.refused {
            // No answer at all leaves `go` with what it was told before.
            if !self.url.covers(refused) || !wants_token(&response()) {
                return ExitCode::SUCCESS;
            }
        }
        match self.token(env) {
            Ok(token) => print(&self.url.credentials(&token)),
            Err(error) => exit::fail(exit::OURS, &error),
        }
    }

    fn token(&self, env: &Environment) -> Result<Secret, AuthError> {
        let source = match (&self.token_file, &self.token_env) {
            (Some(path), _) => TokenSource::File(path.clone()),
            (None, Some(name)) => TokenSource::Variable(name.clone()),
            (None, None) => TokenSource::Any,
        };
        let audience = self.audience.as_deref().unwrap_or(self.url.as_str());
        let runtime = runtime::small().map_err(|error| AuthError::Machine(error.to_string()))?;
        let token = runtime.block_on(sources::take(&source, audience, env));
        // A file that does not come is not waited for.
        runtime.shutdown_background();
        token
    }
}

/// The refusal, as far as it comes. A terminal has none.
fn response() -> Vec<u8> {
    if std::io::stdin().is_terminal() {
        return Vec::new();
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    // It may stay behind if nobody ends the input, and ends with the process.
    std::thread::spawn(move || {
        let mut response = Vec::new();
        // What has come says enough, or nothing is like a call by hand.
        let _ = std::io::stdin()
            .take(LONGEST_RESPONSE)
            .read_to_end(&mut response);
        let _ = sender.send(response);
    });
    receiver.recv_timeout(LIMIT).unwrap_or_default()
}

fn print(answer: &str) -> ExitCode {
    let mut out = std::io::stdout();
    let written = out.write_all(answer.as_bytes()).and_then(|()| out.flush());
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::fail(
            exit::OURS,
            &format!("standard output cannot be written: {error}"),
        ),
    }
}
