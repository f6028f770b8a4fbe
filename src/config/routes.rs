//! `[[routes]]`: where modules come from, by their names.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::codec::{
    Checked, Codec, Context, Raw, Written, api_url, flag, host_port, path, patterns, quote, text,
};
use super::direct;
use super::files::{SecretFile, one_line};
use super::origin::ValueSource;
use super::problem::ConfigErrors;
use super::reader::Reader;
use super::secret::Secret;
use super::tables::{Row, Table, Tables, table, username};
use super::upstream::chain;
use crate::gomod::Patterns;
use crate::upstream::ChainSpec;

table! {
    /// Routes of modules by their names, a table each; the first that matches a module counts. These
    /// cannot be set in the environment, but the secrets can come from there.
    struct Keys = "routes" {
        /// The modules, written as GOPRIVATE.
        modules as "match": Patterns = "git.example.com" => patterns().needed(),
            needed "it says which modules go this way";
        /// "direct": from their repositories; "refuse": not at all; "upstream": by upstream.chain; or a
        /// chain of their own, written as that.
        via: RouteVia = "direct" => Via,
            needed "write \"direct\", \"refuse\", \"upstream\" or a chain";
        /// Whether these modules are private: never asked of public upstreams or checksum databases, and
        /// not for everyone. Without it, those that come directly or by a chain of their own are.
        private: bool = true => flag();
        /// Whether plain http is allowed.
        insecure: bool = false => flag();
        /// The credentials below are for this host only (with its port if that is not the usual one);
        /// without it, for the host that the modules' paths begin with.
        host: String = "git.example.com" => text(host_port);
        /// With a password: the user. A token may have one.
        username: String = "ci" => username();
        /// Instead of password and token: a GitHub app, whose tokens are asked for.
        github_app_id: String = "12345" => identifier();
        /// Where it is installed.
        github_installation_id: String = "12345678" => identifier();
        /// Where tokens are asked for.
        github_api: String = "https://api.github.com" => api_url();
        /// Whether ssh may be used; without it, if there is a key.
        ssh: bool = true => flag();
        /// The private key.
        ssh_key: PathBuf = "/etc/larder/ssh-key" => path().readable();
        /// The keys of hosts.
        ssh_known_hosts: PathBuf = "/etc/larder/known_hosts" => path().readable();
        /// Instead of direct.timeout.
        timeout: Duration = "5m" => direct::timeout();
        /// Instead of direct.max_repository.
        max_repository: u64 = "4GiB" => direct::room();
    }
    secrets SECRETS {
        /// The password; better kept elsewhere, with one of these two.
        password = "…";
        /// A file that holds it.
        password_file = "/etc/larder/git-password";
        /// An environment variable that holds it.
        password_env = "GIT_PASSWORD";
        /// Instead of a password: a token, which needs no user.
        token = "…";
        /// A file that holds it.
        token_file = "/etc/larder/git-token";
        /// An environment variable that holds it.
        token_env = "GIT_TOKEN";
    }
    secrets GITHUB_KEYS {
        /// A file that holds the private key of the GitHub app (PEM).
        github_key_file = "/etc/larder/app.pem";
        /// An environment variable that holds it.
        github_key_env = "GITHUB_KEY";
    }
}

/// The other keys of a GitHub app.
const GITHUB_APP: &[&str] = &["github_app_id", "github_installation_id", "github_api"];

/// Words of `via`.
const REFUSE: &str = "refuse";
const UPSTREAM: &str = "upstream";

/// Who tokens belong to if nobody says.
const TOKEN_USER: &str = "x-access-token";

/// Where the tokens of GitHub apps come from if nobody says.
const GITHUB_API: &str = "https://api.github.com";

/// A route of modules. The first of all that matches a module counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `match`: the modules; at least one pattern.
    pub modules: Patterns,
    pub via: RouteVia,
    /// Whether these modules are private, if that is said.
    pub private: Option<bool>,
    /// Whether plain http is allowed.
    pub insecure: bool,
    /// `host` or `host:port`, in lower case: the only one that gets the credentials. Without it, the
    /// host of the module's repository.
    pub host: Option<String>,
    /// Who we are over https.
    pub login: Option<RouteLogin>,
    /// Whether ssh may be used.
    pub ssh: bool,
    /// The private key for ssh.
    pub ssh_key: Option<PathBuf>,
    /// The known keys of hosts for ssh.
    pub ssh_known_hosts: Option<PathBuf>,
    /// Instead of `direct.timeout`.
    pub timeout: Option<Duration>,
    /// Instead of `direct.max_repository`. Bytes.
    pub max_repository: Option<u64>,
    pub(super) row: Row,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteVia {
    /// Nowhere.
    Refuse,
    /// `upstream.chain`.
    Upstream,
    /// A chain of its own.
    Chain(Written<ChainSpec>),
}

impl fmt::Display for RouteVia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteVia::Refuse => f.write_str(REFUSE),
            RouteVia::Upstream => f.write_str(UPSTREAM),
            RouteVia::Chain(chain) => chain.fmt(f),
        }
    }
}

/// Who we are to the host of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteLogin {
    /// A user and a password or token.
    Basic {
        /// The user; `x-access-token` for a token without one.
        username: String,
        /// The password or token.
        password: Secret,
    },
    /// A GitHub app, which gets tokens for a while.
    GithubApp {
        /// The app.
        id: String,
        /// Its installation.
        installation: String,
        /// Its private key: PEM, several lines.
        key: Secret,
        /// Where tokens are asked for: an https URL without a slash at the end.
        api: String,
    },
}

impl Route {
    /// The file that the secret of `login` stands in, if it stands in one.
    pub fn secret_file(&self) -> Option<SecretFile> {
        self.row.secret_file()
    }

    /// Where the table stands.
    pub fn source(&self) -> &ValueSource {
        &self.row.source
    }

    /// The errors for a value that only another part of the program can judge, in the same words as ours:
    /// `larder.toml:7: routes.github_app_id: <message>`.
    pub fn refuse(&self, field: &str, message: impl Into<String>) -> ConfigErrors {
        self.row.refuse(field, message)
    }
}

/// Reads every table; nothing if one is wrong, which the reader then knows.
pub(super) fn read(tables: &mut Tables, reader: &mut Reader<'_>) -> Option<Vec<Route>> {
    tables.read(&ARRAY, reader, one)
}

fn one(table: &mut Table<'_, '_>) -> Option<Route> {
    let keys = Keys::read(table);
    if keys.private == Some(true) && keys.via == Some(RouteVia::Upstream) {
        let message =
            "would tell the upstreams of all of private modules; give these a chain of their own";
        table.tell("via", message);
    }
    let any = |names: &[&'static str]| !table.written(names).is_empty();
    if any(&["host"])
        && !any(SECRETS)
        && !any(GITHUB_APP)
        && !any(GITHUB_KEYS)
        && !any(&["username", "ssh_key"])
    {
        let message = "says who gets the credentials, and there are none; leave it out";
        table.tell("host", message);
    }
    let login = login(table, &keys);
    let ssh = ssh(table, keys.ssh);
    Some(Route {
        modules: keys.modules?,
        via: keys.via?,
        private: keys.private,
        insecure: keys.insecure.unwrap_or_default(),
        host: keys.host,
        login,
        ssh,
        ssh_key: keys.ssh_key,
        ssh_known_hosts: keys.ssh_known_hosts,
        timeout: keys.timeout,
        max_repository: keys.max_repository,
        row: table.row(),
    })
}

/// Who we are; nothing if nobody says, or if that is wrong.
fn login(table: &mut Table<'_, '_>, keys: &Keys) -> Option<RouteLogin> {
    let has_user = table.has("username");
    let mut kinds = table.written(SECRETS);
    // One of these stands for all: together they are one kind.
    kinds.extend(
        table
            .written(GITHUB_APP)
            .into_iter()
            .chain(table.written(GITHUB_KEYS))
            .next(),
    );
    let name = match kinds.as_slice() {
        [] => {
            if has_user {
                table.tell(
                    "username",
                    "comes without a secret; give one of password, password_file, password_env, \
                     token, token_file and token_env",
                );
            }
            return None;
        }
        [name] => *name,
        several => {
            table.tell_exclusive(several);
            return None;
        }
    };
    if !SECRETS.contains(&name) {
        if has_user {
            table.tell("username", "does not go with a GitHub app; leave it out");
        }
        return github_app(table, keys);
    }
    let secret = table.secret(name, one_line);
    let username = match &keys.username {
        Some(user) => user.clone(),
        None if name.starts_with("token") => {
            table.default_is("username", TOKEN_USER);
            TOKEN_USER.into()
        }
        None => {
            if !table.failed() {
                table.tell("username", "is missing; a password goes with a user");
            }
            return None;
        }
    };
    let password = secret?;
    Some(RouteLogin::Basic { username, password })
}

fn github_app(table: &mut Table<'_, '_>, keys: &Keys) -> Option<RouteLogin> {
    table.need("github_app_id", "a GitHub app is known by its number");
    let why = "it is the number at the end of the address of the installation's settings";
    table.need("github_installation_id", why);
    let api = if table.has("github_api") {
        keys.github_api.clone()
    } else {
        table.default_is("github_api", GITHUB_API);
        Some(GITHUB_API.into())
    };
    let key = match table.written(GITHUB_KEYS).as_slice() {
        [name] => table.secret(name, pem),
        [] => {
            table.need(
                GITHUB_KEYS[0],
                "give the app's private key with it or with github_key_env",
            );
            None
        }
        several => {
            table.tell_exclusive(several);
            None
        }
    };
    Some(RouteLogin::GithubApp {
        key: key?,
        id: keys.github_app_id.clone()?,
        installation: keys.github_installation_id.clone()?,
        api: api?,
    })
}

/// Whether ssh may be used.
fn ssh(table: &mut Table<'_, '_>, ssh: Option<bool>) -> bool {
    let has_key = table.has("ssh_key");
    match ssh {
        Some(false) => {
            for name in table.written(&["ssh_key", "ssh_known_hosts"]) {
                let message = "is of no use with ssh = false; leave one of them out";
                table.tell(name, message);
            }
        }
        None if !has_key && !table.has("ssh") && table.has("ssh_known_hosts") => {
            let message = "is of no use without ssh; give ssh_key or set ssh = true";
            table.tell("ssh_known_hosts", message);
        }
        _ => {}
    }
    ssh.unwrap_or(has_key)
}

/// Where to: one of three words, or a chain.
struct Via;

impl Codec for Via {
    type Value = RouteVia;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<RouteVia, String> {
        match raw.as_text("a text in quotes")?.trim() {
            "" => Err(format!(
                "{} leads nowhere; write \"direct\", \"refuse\", \"upstream\" or a chain",
                raw.quoted()
            )),
            REFUSE => Ok(RouteVia::Refuse),
            UPSTREAM => Ok(RouteVia::Upstream),
            _ => chain().read(raw, context).map(RouteVia::Chain),
        }
    }

    fn write(&self, via: &RouteVia) -> String {
        quote(&via.to_string())
    }
}

/// What GitHub calls an app or an installation; it becomes an element of an address.
fn identifier() -> Checked {
    text(|text| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(fine) {
            Ok(text.into())
        } else {
            Err("is no number of GitHub's; write it as \"12345\"".into())
        }
    })
}

/// A private key, which has several lines.
fn pem(secret: &str) -> Result<(), &'static str> {
    if secret
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err("contains control characters");
    }
    if !secret.trim_start().starts_with("-----BEGIN ") {
        return Err("is no key in PEM, which begins with \"-----BEGIN\"");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
