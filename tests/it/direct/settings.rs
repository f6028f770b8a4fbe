//! How Larder is told what direct mode needs to know. The names of settings beyond `--private` are assumptions:
//! when they turn out different, this file is the one to change.

use super::*;

/// Patterns of the paths that are private in these tests.
pub(super) const PRIVATE: &str = "corp.example.com,*.corp.example.com,git.example.com,other.example.com,\
    evil.example.com,down.example.com,gopkg.in/corp,github.com/corp,bitbucket.org/corp";

/// The hosts that repositories are on. They are on our own network, which has to be said.
const HOSTS: &str = "corp.example.com,git.example.com,other.example.com,evil.example.com,down.example.com,\
    team.corp.example.com,code.example.org,gopkg.in,github.com,bitbucket.org";

/// A Larder whose private modules are on the git host, and whose public ones on the upstream.
pub(super) fn private(host: &GitHost, up: &FakeUpstream) -> Builder {
    let builder = on_network(larder().of(up), host);
    allow_hosts(builder.arg("--private").arg(PRIVATE), HOSTS)
}

/// A Larder that fetches public modules from git, too, if the upstream does not have them.
pub(super) fn public(host: &GitHost, up: &FakeUpstream) -> Builder {
    let builder = larder().upstream(&format!("{},direct", up.url()));
    allow_hosts(on_network(builder, host), HOSTS)
}

/// The way out leads to the git host.
pub(super) fn on_network(builder: Builder, host: &GitHost) -> Builder {
    let network = host.network().into_iter();
    network.fold(builder, |builder, (name, value)| builder.env(name, value))
}

/// Hosts whose addresses may be loopback or private.
pub(super) fn allow_hosts(builder: Builder, hosts: &str) -> Builder {
    builder.set("direct.allow_hosts", hosts)
}

/// How long a list of references is believed.
pub(super) fn refs_ttl(builder: Builder, ttl: &str) -> Builder {
    builder.set("direct.refs_ttl", ttl)
}

/// How long one fetch may take.
pub(super) fn fetch_timeout(builder: Builder, timeout: &str) -> Builder {
    builder.set("direct.timeout", timeout)
}

/// How large a repository may be.
pub(super) fn max_repository(builder: Builder, size: &str) -> Builder {
    builder.set("direct.max_repository", size)
}

/// How many fetches from one host at a time.
pub(super) fn per_host(builder: Builder, number: usize) -> Builder {
    builder.set("direct.per_host", &number.to_string())
}

/// Private modules for everyone who reaches the port.
pub(super) fn open(builder: Builder) -> Builder {
    builder.set("private.open", "true")
}

/// Logins as people have them, by way of `NETRC`: host, user and password.
pub(super) fn netrc(builder: Builder, logins: &[(&str, &str, &str)]) -> Builder {
    let file = builder.write("netrc", &netrc_text(logins));
    builder.env("NETRC", file)
}

pub(super) fn netrc_text(logins: &[(&str, &str, &str)]) -> String {
    let logins = logins.iter();
    logins.fold(String::new(), |text, (host, user, password)| {
        format!("{text}machine {host} login {user} password {password}\n")
    })
}

/// A `[[routes]]` table.
#[derive(Clone, Copy, Default)]
pub(super) struct Route<'a> {
    pub pattern: &'a str,
    pub via: &'a str,
    /// Which host the login is for.
    pub host: &'a str,
    pub username: &'a str,
    /// The name of a variable.
    pub password_env: &'a str,
    /// The name of a variable.
    pub token_env: &'a str,
    pub insecure: bool,
}

/// Routes, the first that matches counts.
pub(super) fn routes(builder: Builder, routes: &[Route]) -> Builder {
    let text: String = routes.iter().map(Route::table).collect();
    builder.config(&text)
}

impl Route<'_> {
    fn table(&self) -> String {
        let mut text = format!(
            "[[routes]]\nmatch = {:?}\nvia = {:?}\n",
            self.pattern, self.via
        );
        for (name, value) in [
            ("host", self.host),
            ("username", self.username),
            ("password_env", self.password_env),
            ("token_env", self.token_env),
        ] {
            if !value.is_empty() {
                text.push_str(&format!("{name} = {value:?}\n"));
            }
        }
        if self.insecure {
            text.push_str("insecure = true\n");
        }
        text.push('\n');
        text
    }
}
