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
    secrets {
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
        /// A file that holds the private key of the GitHub app (PEM).
        github_key_file = "/etc/larder/app.pem";
        /// An environment variable that holds it.
        github_key_env = "GITHUB_KEY";
    }
}

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
    if any(&["host"]) && !any(&SECRETS) && !any(&GITHUB) && !any(&["username", "ssh_key"]) {
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
    let key = match table.written(&GITHUB_KEYS).as_slice() {
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

    fn routes(config: &Config) -> Vec<(String, String)> {
        let routes = config.routes.iter();
        routes
            .map(|route| (route.modules.to_string(), route.via.to_string()))
            .collect()
    }

    fn by(chain: &str) -> RouteVia {
        RouteVia::Chain(Written {
            text: chain.into(),
            value: ChainSpec::parse(chain).expect("a chain"),
        })
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
            .map(|(modules, via)| (modules.to_owned(), via.to_owned()))
        );
        let route = &loaded.config.routes[0];
        let source = route.source();
        assert!(source.to_string().ends_with("larder.toml:1"), "{source}");
        assert_eq!(
            *route,
            Route {
                modules: Patterns::parse("git.example.com/*,example.com/team"),
                via: by("direct"),
                private: None,
                insecure: false,
                host: None,
                login: None,
                ssh: false,
                ssh_key: None,
                ssh_known_hosts: None,
                timeout: None,
                max_repository: None,
                row: route.row.clone(),
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
            via = "off"
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
                route.row.source = ValueSource::Default;
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
                 username = \"x-access-token\"\ntimeout = \"1m\"\ntoken = \"***\"\n"
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
        let loaded = loaded("\n[[routes]]\nmatch = \"a.example.com\"\nvia = \"direct\"\n");
        let refused = loaded.config.routes[0]
            .refuse("github_app_id", "is no app")
            .to_string();
        assert!(
            refused.ends_with("larder.toml:2: routes.github_app_id: is no app"),
            "{refused}"
        );
    }

    #[test]
    fn chains_are_judged_where_they_are_read() {
        let text = errors(
            "[[routes]]\nmatch = \"a.example.com\"\nvia = \"ftp://me:hunter2@x.example\"\n\
             [[routes]]\nmatch = \"b.example.com\"\nvia = \"upstream\"\nprivate = true\n",
        );
        let expected = [
            "larder.toml:3: routes.via: \"ftp://***@x.example\": only https, http and file URLs",
            "larder.toml:4: routes.via: would tell the upstreams of all of private modules",
        ];
        for (line, expected) in text.lines().zip(expected) {
            assert!(line.contains(expected), "{line}\n{expected}");
        }
        assert_eq!(text.lines().count(), expected.len(), "{text}");
    }

    #[test]
    fn not_a_list_of_tables() {
        assert!(errors("[routes]\nvia = \"direct\"\n").contains("write each one as [[routes]]"));
        assert!(errors("[[rutes]]\nvia = \"direct\"\n").contains("did you mean [[routes]]?"));
    }
}
