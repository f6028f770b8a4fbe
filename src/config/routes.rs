//! `[[routes]]`: which way modules come, by their names.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::codec::{
    Checked, Codec, api_url, duration, flag, host_port, path, patterns, size, text,
};
use super::direct;
use super::files::{SecretFile, one_line};
use super::origin::ValueSource;
use super::problem::{ConfigErrors, Problem, ProblemKind};
use super::raw::RawTable;
use super::reader::Reader;
use super::secret::{Secret, mask_user_info};
use super::tables::{self, Array, Origin, Shown, Table, field, username};

/// The array of tables and its keys.
pub(super) static ARRAY: Array = Array {
    name: "routes",
    doc: &[
        " Ways of modules by their names, a table each; the first that matches a module counts. These",
        " cannot be set in the environment, but the secrets can come from there.",
    ],
    fields: &[
        field(
            "match",
            r#""git.example.com""#,
            "The modules, written as GOPRIVATE.",
        ),
        field(
            "via",
            r#""direct""#,
            "\"direct\": from their repositories; \"refuse\": not at all; \
             \"upstream\": by upstream.chain; or a chain of their own, written as that.",
        ),
        field(
            "private",
            "true",
            "Whether these modules are private: never asked of public upstreams or checksum \
             databases, and not for everyone. Without it, those that come directly or by a chain \
             of their own are.",
        ),
        field("insecure", "false", "Whether plain http is allowed."),
        field(
            "host",
            r#""git.example.com""#,
            "The credentials below are for this host only (with its port if that is not the usual \
             one); without it, for the host that the modules' paths begin with.",
        ),
        field(
            "username",
            r#""ci""#,
            "With a password: the user. A token may have one.",
        ),
        field(
            "password",
            r#""…""#,
            "The password; better kept elsewhere, with one of these two.",
        ),
        field(
            "password_file",
            r#""/etc/larder/git-password""#,
            "A file that holds it.",
        ),
        field(
            "password_env",
            r#""GIT_PASSWORD""#,
            "An environment variable that holds it.",
        ),
        field(
            "token",
            r#""…""#,
            "Instead of a password: a token, which needs no user.",
        ),
        field(
            "token_file",
            r#""/etc/larder/git-token""#,
            "A file that holds it.",
        ),
        field(
            "token_env",
            r#""GIT_TOKEN""#,
            "An environment variable that holds it.",
        ),
        field(
            "github_app_id",
            r#""12345""#,
            "Instead of both: a GitHub app, whose tokens are asked for.",
        ),
        field(
            "github_installation_id",
            r#""12345678""#,
            "Where it is installed.",
        ),
        field(
            "github_key_file",
            r#""/etc/larder/app.pem""#,
            "A file that holds its private key (PEM).",
        ),
        field(
            "github_key_env",
            r#""GITHUB_KEY""#,
            "An environment variable that holds it.",
        ),
        field(
            "github_api",
            r#""https://api.github.com""#,
            "Where tokens are asked for.",
        ),
        field(
            "ssh",
            "true",
            "Whether ssh may be used; without it, if there is a key.",
        ),
        field("ssh_key", r#""/etc/larder/ssh-key""#, "The private key."),
        field(
            "ssh_known_hosts",
            r#""/etc/larder/known_hosts""#,
            "The keys of hosts.",
        ),
        field("timeout", r#""5m""#, "Instead of direct.timeout."),
        field(
            "max_repository",
            r#""4GiB""#,
            "Instead of direct.max_repository.",
        ),
    ],
};

/// The keys of passwords and tokens.
const SECRETS: [&str; 6] = [
    "password",
    "password_file",
    "password_env",
    "token",
    "token_file",
    "token_env",
];

/// The keys that hold the key of a GitHub app.
const GITHUB_KEYS: [&str; 2] = ["github_key_file", "github_key_env"];

/// The keys of a GitHub app.
const GITHUB: [&str; 5] = [
    "github_app_id",
    "github_installation_id",
    GITHUB_KEYS[0],
    GITHUB_KEYS[1],
    "github_api",
];

/// Who tokens belong to if nobody says.
const TOKEN_USER: &str = "x-access-token";

/// Where the tokens of GitHub apps come from if nobody says.
const GITHUB_API: &str = "https://api.github.com";

/// A way of modules. The first of all routes that matches a module counts.
#[derive(Clone, PartialEq, Eq)]
pub struct Route {
    /// `match`: the modules, as GOPRIVATE has them; not empty.
    pub patterns: String,
    /// `direct`, `refuse`, `upstream` (the default chain) or a chain; not empty, and judged by whoever
    /// knows chains. May carry credentials.
    pub via: String,
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
    /// Where the table stands.
    pub source: ValueSource,
    /// How the secret of `login` was given.
    origin: Option<Origin>,
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
        self.origin.as_ref()?.file().map(SecretFile::new)
    }

    /// The errors for a value that only another part of the program can judge (the form of a chain,
    /// say), in the same words as ours: `larder.toml:7: routes.via: <message>`.
    pub fn refuse(&self, field: &str, message: impl Into<String>) -> ConfigErrors {
        ConfigErrors::new(vec![Problem {
            source: self.source.clone(),
            key: tables::key(&ARRAY, field),
            cause: ProblemKind::BadValue,
            message: message.into(),
        }])
    }

    /// The table in TOML, with the secret masked if it stands in the file itself.
    pub(super) fn show(&self, sources: bool) -> String {
        let mut toml = Shown::new(&ARRAY, &self.source, sources);
        toml.text("match", &self.patterns);
        toml.text("via", &mask_user_info(&self.via));
        if let Some(private) = self.private {
            toml.line("private", &private.to_string());
        }
        if self.insecure {
            toml.line("insecure", "true");
        }
        if let Some(host) = &self.host {
            toml.text("host", host);
        }
        let secret = |toml: &mut Shown, secret: &Secret| {
            if let Some(origin) = &self.origin {
                toml.secret(secret, origin);
            }
        };
        match &self.login {
            Some(RouteLogin::Basic { username, password }) => {
                toml.text("username", username);
                secret(&mut toml, password);
            }
            Some(RouteLogin::GithubApp {
                id,
                installation,
                key,
                api,
            }) => {
                toml.text("github_app_id", id);
                toml.text("github_installation_id", installation);
                secret(&mut toml, key);
                toml.text("github_api", api);
            }
            None => {}
        }
        if self.ssh != self.ssh_key.is_some() {
            toml.line("ssh", &self.ssh.to_string());
        }
        for (name, file) in [
            ("ssh_key", &self.ssh_key),
            ("ssh_known_hosts", &self.ssh_known_hosts),
        ] {
            if let Some(file) = file {
                toml.line(name, &path().write(file));
            }
        }
        if let Some(timeout) = &self.timeout {
            toml.line("timeout", &duration().write(timeout));
        }
        if let Some(most) = &self.max_repository {
            toml.line("max_repository", &size().write(most));
        }
        toml.finish()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("patterns", &self.patterns)
            // A chain may carry credentials.
            .field("via", &mask_user_info(&self.via))
            .field("private", &self.private)
            .field("insecure", &self.insecure)
            .field("host", &self.host)
            .field("login", &self.login)
            .field("ssh", &self.ssh)
            .field("ssh_key", &self.ssh_key)
            .field("ssh_known_hosts", &self.ssh_known_hosts)
            .field("timeout", &self.timeout)
            .field("max_repository", &self.max_repository)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Reads every table; nothing if one is wrong, which the reader then knows. `used` gets the names of
/// variables that hold secrets.
pub(super) fn read(
    file: &Path,
    tables: Vec<RawTable>,
    used: &mut BTreeSet<String>,
    reader: &mut Reader<'_>,
) -> Option<Vec<Route>> {
    tables::read(&ARRAY, file, tables, used, reader, one)
}

fn one(table: &mut Table<'_, '_>) -> Option<Route> {
    let why = "it says which modules go this way";
    let patterns = table.required("match", &patterns().needed(), why);
    let why = "write \"direct\", \"refuse\", \"upstream\" or a chain";
    let via = table.required("via", &via(), why);
    let private = table.value("private", &flag());
    let insecure = table.value("insecure", &flag()).unwrap_or_default();
    let host = table.value("host", &text(host_port));
    let any = |names: &[&'static str]| !table.written(names).is_empty();
    if any(&["host"]) && !any(&SECRETS) && !any(&GITHUB) && !any(&["username", "ssh_key"]) {
        let message = "says who gets the credentials, and there are none; leave it out";
        table.tell("host", message);
    }
    let (login, origin) = login(table).unzip();
    let ssh_key = table.value("ssh_key", &path().readable());
    let ssh_known_hosts = table.value("ssh_known_hosts", &path().readable());
    let ssh = ssh(table);
    let timeout = table.value("timeout", &direct::timeout());
    let max_repository = table.value("max_repository", &direct::room());
    Some(Route {
        patterns: patterns?,
        via: via?,
        private,
        insecure,
        host,
        login,
        ssh,
        ssh_key,
        ssh_known_hosts,
        timeout,
        max_repository,
        source: table.source(),
        origin,
    })
}

/// Who we are, and how the secret was given; nothing if nobody says, or if that is wrong.
fn login(table: &mut Table<'_, '_>) -> Option<(RouteLogin, Origin)> {
    let user = table.value("username", &username());
    let has_user = table.has("username");
    let mut kinds = table.written(&SECRETS);
    // One of these stands for all: together they are one kind.
    kinds.extend(table.written(&GITHUB).first());
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
        return github_app(table);
    }
    let secret = table.secret(name, one_line);
    let username = match user {
        Some(user) => user,
        None if name.starts_with("token") => TOKEN_USER.into(),
        None => {
            if !table.failed() {
                table.tell("username", "is missing; a password goes with a user");
            }
            return None;
        }
    };
    let (password, origin) = secret?;
    Some((RouteLogin::Basic { username, password }, origin))
}

fn github_app(table: &mut Table<'_, '_>) -> Option<(RouteLogin, Origin)> {
    let why = "a GitHub app is known by its number";
    let id = table.required("github_app_id", &identifier(), why);
    let why = "it is the number at the end of the address of the installation's settings";
    let installation = table.required("github_installation_id", &identifier(), why);
    let api = if table.has("github_api") {
        table.value("github_api", &api_url())
    } else {
        Some(GITHUB_API.into())
    };
    let key = match table.written(&GITHUB_KEYS).as_slice() {
        [name] => table.secret(name, pem),
        [] => {
            let message = "is missing; give the app's private key with it or with github_key_env";
            table.tell(GITHUB_KEYS[0], message);
            None
        }
        several => {
            table.tell_exclusive(several);
            None
        }
    };
    let (key, origin) = key?;
    let app = RouteLogin::GithubApp {
        id: id?,
        installation: installation?,
        key,
        api: api?,
    };
    Some((app, origin))
}

/// Whether ssh may be used.
fn ssh(table: &mut Table<'_, '_>) -> bool {
    let ssh = table.value("ssh", &flag());
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

/// Where to. What a chain must look like is known where chains are asked.
fn via() -> Checked {
    text(|text| match text {
        "" => Err("leads nowhere; write \"direct\", \"refuse\", \"upstream\" or a chain".into()),
        text => Ok(text.into()),
    })
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
mod tests {
    use super::super::testing::{Operator, errors, loaded, loaded_with};
    use super::super::{Config, show};
    use super::*;

    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----\n";

    /// A file of a directory, and its name as TOML.
    fn file(directory: &tempfile::TempDir, name: &str, content: &str) -> String {
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("a file");
        super::super::codec::quote(&path.to_string_lossy())
    }

    fn routes(config: &Config) -> Vec<(&str, &str)> {
        let routes = config.routes.iter();
        routes
            .map(|route| (route.patterns.as_str(), route.via.as_str()))
            .collect()
    }

    #[test]
    fn a_route_in_few_words() {
        let loaded = loaded(
            "[[routes]]\nmatch = \" git.example.com/*,example.com/team \"\nvia = \"direct\"\n\
             [[routes]]\nmatch = \"example.com\"\nvia = \"https://proxy.example.com|direct\"\n",
        );
        assert_eq!(
            routes(&loaded.config),
            [
                ("git.example.com/*,example.com/team", "direct"),
                ("example.com", "https://proxy.example.com|direct")
            ]
        );
        let route = &loaded.config.routes[0];
        let source = route.source.clone();
        assert!(source.to_string().ends_with("larder.toml:1"), "{source}");
        assert_eq!(
            *route,
            Route {
                patterns: "git.example.com/*,example.com/team".into(),
                via: "direct".into(),
                private: None,
                insecure: false,
                host: None,
                login: None,
                ssh: false,
                ssh_key: None,
                ssh_known_hosts: None,
                timeout: None,
                max_repository: None,
                source,
                origin: None,
            }
        );
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }

    #[test]
    fn a_route_with_everything() {
        let directory = tempfile::tempdir().expect("a directory");
        let key = file(&directory, "key", "x");
        let known = file(&directory, "known", "x");
        let loaded = loaded(&format!(
            r#"
            [[routes]]
            match = "a.example.com"
            via = "direct"
            private = false
            insecure = true
            host = "Git.Example.com:8443"
            username = "ci"
            password = "hunter2"
            ssh_key = {key}
            ssh_known_hosts = {known}
            timeout = "90s"
            max_repository = "1GiB"
            [[routes]]
            match = "b.example.com"
            via = "upstream"
            private = true
            ssh = true
            ssh_known_hosts = {known}
            "#
        ));
        let [a, b] = loaded.config.routes.as_slice() else {
            panic!("two tables")
        };
        assert_eq!((a.private, a.insecure), (Some(false), true));
        assert_eq!(a.host.as_deref(), Some("git.example.com:8443"));
        assert_eq!(a.ssh_key, Some(directory.path().join("key")));
        assert_eq!(a.ssh_known_hosts, Some(directory.path().join("known")));
        assert_eq!(a.timeout, Some(Duration::from_secs(90)));
        assert_eq!(a.max_repository, Some(1 << 30));
        assert!(a.ssh, "there is a key");
        assert_eq!((b.private, b.insecure, b.ssh), (Some(true), false, true));
        assert_eq!(b.ssh_known_hosts, a.ssh_known_hosts);
    }

    #[test]
    fn every_way_to_say_who_we_are() {
        let directory = tempfile::tempdir().expect("a directory");
        let secret = file(&directory, "secret", "from file\n");
        let key = file(&directory, "app.pem", KEY);
        let logins = [
            "username = \"ci\"\npassword = \"inline\"".to_owned(),
            format!("username = \"ci\"\npassword_file = {secret}"),
            "username = \"ci\"\npassword_env = \"LARDER_PASSWORD\"".to_owned(),
            "token = \"inline\"".to_owned(),
            format!("token_file = {secret}"),
            "username = \"oauth2\"\ntoken_env = \" LARDER_PASSWORD \"".to_owned(),
            format!(
                "github_app_id = \"1\"\ngithub_installation_id = \"2\"\ngithub_key_file = {key}"
            ),
            "github_app_id = \"1\"\ngithub_installation_id = \"2\"\ngithub_key_env = \"LARDER_KEY\"\n\
             github_api = \"https://github.example.com/api/v3/\""
                .to_owned(),
        ];
        let text: String = logins
            .iter()
            .map(|login| {
                format!("[[routes]]\nmatch = \"a.example.com\"\nvia = \"direct\"\n{login}\n")
            })
            .collect();
        let variables = [("LARDER_PASSWORD", "from env"), ("LARDER_KEY", KEY)];
        let loaded = loaded_with(&text, &variables);
        let basic = |username: &str, password: &str| RouteLogin::Basic {
            username: username.into(),
            password: Secret::new(password),
        };
        let app = |key: &str, api: &str| RouteLogin::GithubApp {
            id: "1".into(),
            installation: "2".into(),
            key: Secret::new(key),
            api: api.into(),
        };
        let found: Vec<_> = loaded
            .config
            .routes
            .iter()
            .map(|route| route.login.clone())
            .collect();
        assert_eq!(
            found,
            [
                basic("ci", "inline"),
                basic("ci", "from file"),
                basic("ci", "from env"),
                basic("x-access-token", "inline"),
                basic("x-access-token", "from file"),
                basic("oauth2", "from env"),
                app(KEY.trim_end(), "https://api.github.com"),
                app(KEY, "https://github.example.com/api/v3"),
            ]
            .map(Some)
        );
        assert_eq!(loaded.warnings, Vec::<String>::new());
        for secret in ["inline", "from file", "from env", "hunter2"] {
            assert!(!format!("{loaded:?}").contains(secret), "{secret}");
            assert!(!show(&loaded, true).contains(secret), "{secret}");
        }
    }

    #[test]
    fn what_is_shown_loads_to_the_same() {
        let directory = tempfile::tempdir().expect("a directory");
        let secret = file(&directory, "secret", "hunter2");
        let key = file(&directory, "app.pem", KEY);
        let text = format!(
            r#"
            [[routes]]
            match = "a.example.com"
            via = "direct"
            private = false
            insecure = true
            host = "git.example.com"
            token_file = {secret}
            ssh = false
            timeout = "90s"
            max_repository = "1GiB"
            [[routes]]
            match = "b.example.com"
            via = "refuse"
            [[routes]]
            match = "c.example.com"
            via = "direct"
            ssh = true
            ssh_known_hosts = {secret}
            [[routes]]
            match = "d.example.com"
            via = "direct"
            github_app_id = "1"
            github_installation_id = "2"
            github_key_file = {key}
            ssh_key = {key}
            "#
        );
        let plain = |mut routes: Vec<Route>| {
            for route in &mut routes {
                route.source = ValueSource::Default;
            }
            routes
        };
        let first = loaded(&text);
        for sources in [false, true] {
            let again = loaded(&show(&first, sources));
            assert_eq!(
                plain(again.config.routes.clone()),
                plain(first.config.routes.clone())
            );
            assert_eq!(show(&again, false), show(&first, false));
        }
    }

    #[test]
    fn what_is_shown() {
        let text = "[[routes]]\nmatch = \"a.example.com\"\nvia = \"https://me:hunter2@a.example.com\"\n\
                    token = \"hunter2\"\ntimeout = \"1m\"\n";
        let loaded = loaded(text);
        assert!(
            show(&loaded, false).ends_with(
                "\n\n[[routes]]\nmatch = \"a.example.com\"\nvia = \"https://***@a.example.com\"\n\
                 username = \"x-access-token\"\ntoken = \"***\"\ntimeout = \"60s\"\n"
            ),
            "{}",
            show(&loaded, false)
        );
        assert!(show(&loaded, true).contains("larder.toml:1\nmatch"));
        assert!(!format!("{loaded:?}").contains("hunter2"));
    }

    #[test]
    fn every_fault_is_told_and_no_secret_is() {
        let operator = Operator::new(
            r#"[[routes]]
metch = "a.example.com"
via = ""
host = "https://git.example.com/x"
token = "hunter2"
password = "hunter2"
github_key_file = "/nonexistent/key"

[[routes]]
match = " , "
private = "yes"
username = "a:b"
timeout = "2h"
max_repository = "1B"
ssh_key = "/nonexistent/key"

[[routes]]
match = "a.example.com"
via = "direct"
password = "hunter2"

[[routes]]
match = "a.example.com"
via = "direct"
username = "ci"

[[routes]]
match = "a.example.com"
via = "direct"
token = "hunter2\n"

[[routes]]
match = "a.example.com"
via = "direct"
token_env = "MISSING"

[[routes]]
match = "a.example.com"
via = "direct"
username = "ci"
github_app_id = 12345
github_api = "http://api.example.com"

[[routes]]
match = "a.example.com"
via = "direct"
github_app_id = "../1"
github_installation_id = "1"
github_key_env = "NO_PEM"

[[routes]]
match = "a.example.com"
via = "direct"
github_app_id = "1"
github_installation_id = "1"
github_key_env = "NO_PEM"
github_key_file = "/nonexistent/key"

[[routes]]
match = "a.example.com"
via = "direct"
host = "a.example.com"

[[routes]]
match = "a.example.com"
via = "direct"
ssh = false
ssh_key = "larder.toml"
ssh_known_hosts = "larder.toml"

[[routes]]
match = "a.example.com"
via = "direct"
ssh_known_hosts = "larder.toml"

[[routes]]
match = "a.example.com"
via = "direct"
colour = "blue"
"#,
        )
        .with_env(&[("NO_PEM", "hunter2")]);
        let text = operator.errors();
        let expected = [
            "larder.toml:1: routes.match: is missing; it says which modules go this way",
            "larder.toml:1: routes: password and token and github_key_file exclude each other; keep one",
            "larder.toml:2: routes.metch: there is no such key; did you mean match?",
            "larder.toml:3: routes.via: \"\" leads nowhere; write \"direct\", \"refuse\", \"upstream\" or a chain",
            "larder.toml:4: routes.host: \"https://git.example.com/x\" is more than a host; write only",
            "larder.toml:9: routes.via: is missing; write \"direct\", \"refuse\", \"upstream\" or a chain",
            "larder.toml:9: routes.username: comes without a secret; give one of password,",
            "larder.toml:10: routes.match: \" , \" matches nothing; write it as",
            "larder.toml:11: routes.private: \"yes\" is not a switch",
            "larder.toml:12: routes.username: \"a:b\" contains a colon",
            "larder.toml:13: routes.timeout: \"2h\" is too long; allowed is 1ms to 1h",
            "larder.toml:14: routes.max_repository: \"1B\" is too little; allowed is 1MiB or more",
            "larder.toml:15: routes.ssh_key: cannot read /nonexistent/key: No such file",
            "larder.toml:17: routes.username: is missing; a password goes with a user",
            "larder.toml:22: routes.username: comes without a secret; give one of password,",
            "larder.toml:30: routes.token: the secret contains control characters",
            "larder.toml:35: routes.token_env: the environment variable \"MISSING\" is not set",
            "larder.toml:37: routes.username: does not go with a GitHub app; leave it out",
            "larder.toml:37: routes.github_installation_id: is missing; it is the number",
            "larder.toml:37: routes.github_key_file: is missing; give the app's private key",
            "larder.toml:41: routes.github_app_id: 12345 is not a text in quotes",
            "larder.toml:42: routes.github_api: \"http://api.example.com\" is not an https address",
            "larder.toml:47: routes.github_app_id: \"../1\" is no number of GitHub's",
            "larder.toml:49: routes.github_key_env: the secret is no key in PEM, which begins with",
            "larder.toml:51: routes: github_key_file and github_key_env exclude each other; keep one",
            "larder.toml:59: routes.host: says who gets the credentials, and there are none",
            "larder.toml:64: routes.ssh_key: is of no use with ssh = false",
            "larder.toml:64: routes.ssh_known_hosts: is of no use with ssh = false",
            "larder.toml:71: routes.ssh_known_hosts: is of no use without ssh; give ssh_key",
            "larder.toml:79: routes.colour: there is no such key; there are match, via, private,",
        ];
        for (line, expected) in text.lines().zip(expected) {
            assert!(line.contains(expected), "{line}\n{expected}");
        }
        assert_eq!(text.lines().count(), expected.len(), "{text}");
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn keys_in_pem() {
        assert_eq!(pem(KEY), Ok(()));
        assert_eq!(pem(&KEY.replace('\n', "\r\n")), Ok(()));
        assert!(pem(&format!("{KEY}\0")).is_err_and(|e| e.contains("control")));
        assert!(pem("MIIE").is_err_and(|e| e.contains("no key in PEM")));
    }

    #[test]
    fn another_part_of_the_program_may_refuse_a_route() {
        let loaded = loaded("\n[[routes]]\nmatch = \"a.example.com\"\nvia = \"ftp://x.example\"\n");
        let refused = loaded.config.routes[0]
            .refuse("via", "is no chain")
            .to_string();
        assert!(
            refused.ends_with("larder.toml:2: routes.via: is no chain"),
            "{refused}"
        );
    }

    #[test]
    fn not_a_list_of_tables() {
        assert!(errors("[routes]\nvia = \"direct\"\n").contains("write each one as [[routes]]"));
        assert!(errors("[[rutes]]\nvia = \"direct\"\n").contains("did you mean [[routes]]?"));
    }
}
