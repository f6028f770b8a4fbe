//! By which rules repositories are asked, and who we are to them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::github::{self, AppTokenError, GithubApp};
use super::tenant::Tenant;
use super::url::RepoUrl;
use crate::credentials::{Login, Renewed};

/// What git may hold in memory while it fetches what strangers name. Bytes.
const FETCH_MEMORY: u64 = 2 << 30;

/// By which rules the repositories of some modules are asked.
#[derive(Clone, Debug, Default)]
pub struct HostRules {
    /// The rule in an operator's words, for reasons.
    pub name: String,
    /// Its modules are private.
    pub private: bool,
    /// It is one of an operator's routes.
    pub route: bool,
    /// Whether ssh may be used, and with what.
    pub ssh: Option<Ssh>,
    /// Whether plain http may be used.
    pub insecure: bool,
    /// Who we are to the repositories, if this rule says it.
    pub login: Option<HostLogin>,
    /// The only host, or `host:port`, that `login` is for.
    pub host: Option<String>,
    /// Of one fetch.
    pub timeout: Duration,
    /// Of one repository. Bytes.
    pub max_repository: u64,
}

/// How ssh is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssh {
    /// The key; else what ssh finds itself.
    pub key: Option<PathBuf>,
    /// The hosts' keys; else what ssh finds itself.
    pub known_hosts: Option<PathBuf>,
}

/// Who we are, as a route says it.
#[derive(Clone, Debug)]
pub enum HostLogin {
    /// A name and a password or token.
    Fixed(Arc<Renewed<Login>>),
    /// A GitHub App, which has new tokens made.
    App(Arc<GithubApp>),
}

impl HostLogin {
    /// A login was refused. Says whether another one can be had.
    pub async fn refused(&self, login: &Login) -> bool {
        match (self, login) {
            (HostLogin::App(app), Login::Basic { password, .. }) => app.forget(password),
            (HostLogin::App(_), Login::Bearer(_)) => false,
            (HostLogin::Fixed(own), _) => *own.refused().await != *login,
        }
    }

    /// Who that is, for people; the same however often tokens are made anew.
    pub(super) fn name(&self) -> String {
        match self {
            HostLogin::Fixed(own) => own.known().name().to_owned(),
            HostLogin::App(app) => format!("{app:?}"),
        }
    }

    pub(super) async fn login(&self) -> Result<Login, AppTokenError> {
        match self {
            HostLogin::Fixed(own) => Ok(Login::clone(&*own.get().await)),
            HostLogin::App(app) => Ok(Login::Basic {
                user: github::USER.to_owned(),
                password: app.token().await?.secret().to_owned(),
            }),
        }
    }
}

/// Who we are to one repository, and where that is written.
#[derive(Clone, Debug)]
pub struct Who {
    /// What is sent.
    pub login: Login,
    /// Where it is written.
    pub written: String,
}

/// What a repository is asked for: by which rules, for modules of which hosts.
#[derive(Clone, Debug)]
pub struct Purpose {
    pub rules: Arc<HostRules>,
    /// The repository as modules name it.
    pub url: RepoUrl,
    /// Whether it is on the host that the modules' paths begin with.
    pub own_host: bool,
}

impl Purpose {
    /// Whether the rule's own login is for an address: the host that it names, or else the one that the modules' own paths
    /// begin with. What a page names beyond that is for its writer to choose, who may be anybody below a pattern.
    pub(super) fn admits(&self, url: &Url) -> bool {
        if self.rules.host.is_some() {
            return self.rules.is_for(url);
        }
        let named = Url::parse(self.url.as_str());
        self.own_host && named.is_ok_and(|named| named.origin() == url.origin())
    }
}

impl HostRules {
    /// Whose modules these rules are for.
    pub fn tenant(&self) -> Tenant {
        match self.private || self.route {
            true => Tenant::Own,
            false => Tenant::Strangers,
        }
    }

    /// What git may hold in memory during a fetch. Bytes.
    pub(super) fn memory(&self) -> Option<u64> {
        (self.tenant() == Tenant::Strangers).then_some(FETCH_MEMORY)
    }

    /// What is sent to a page: the rule's own login only where it names the page's host itself.
    pub async fn login_for_page(&self, url: &str) -> Option<Login> {
        // Without a token the page says what it says to everybody.
        self.own_for_page(url)?.login().await.ok()
    }

    /// What is sent instead of a login that a page has refused, if there is another one.
    pub async fn renewed_for_page(&self, url: &str, refused: &Login) -> Option<Login> {
        let own = self.own_for_page(url)?;
        match own.refused(refused).await {
            true => own.login().await.ok(),
            false => None,
        }
    }

    fn own_for_page(&self, url: &str) -> Option<&HostLogin> {
        let url = Url::parse(url).ok()?;
        let named = self.host.is_some() && url.scheme() == "https" && self.is_for(&url);
        self.login.as_ref().filter(|_| named)
    }

    /// Whether the rule's own login is for a host.
    fn is_for(&self, url: &Url) -> bool {
        let Some(wanted) = &self.host else {
            return false;
        };
        let host = url.host_str().unwrap_or_default();
        match url.port_or_known_default() {
            Some(port) if *wanted == format!("{host}:{port}") => true,
            _ => wanted == host,
        }
    }
}

impl Ssh {
    /// As `GIT_SSH_COMMAND` has it: words of a shell.
    pub(super) fn command(&self) -> OsString {
        let mut command = OsString::from(
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=15 \
             -o ClearAllForwardings=yes -o ForwardAgent=no -o PermitLocalCommand=no",
        );
        if let Some(key) = &self.key {
            command.push(" -o IdentitiesOnly=yes -i ");
            command.push(quoted(&key.to_string_lossy()));
        }
        if let Some(file) = &self.known_hosts {
            command.push(" -o GlobalKnownHostsFile=/dev/null -o ");
            // For ssh itself spaces separate several files.
            let option = format!("UserKnownHostsFile=\"{}\"", file.to_string_lossy());
            command.push(quoted(&option));
        }
        command
    }
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::url::Allowed;
    use super::*;

    #[test]
    fn c127_a_route_s_login_is_for_one_host() {
        let rules = |host: Option<&str>| HostRules {
            host: host.map(str::to_owned),
            ..HostRules::default()
        };
        let url = |text| Url::parse(text).unwrap();
        assert!(!rules(None).is_for(&url("https://a.example.com/x")));
        let purpose = |own_host| Purpose {
            rules: Arc::new(rules(None)),
            url: RepoUrl::parse("https://a.example.com/x", Allowed::default()).unwrap(),
            own_host,
        };
        assert!(purpose(true).admits(&url("https://a.example.com/renamed")));
        assert!(!purpose(true).admits(&url("https://b.example.com/x")));
        assert!(!purpose(true).admits(&url("https://a.example.com:8443/x")));
        assert!(!purpose(false).admits(&url("https://a.example.com/x")));
        let one = rules(Some("a.example.com"));
        assert!(one.is_for(&url("https://a.example.com/x")));
        assert!(!one.is_for(&url("https://a.example.com.evil.org/x")));
        let port = rules(Some("a.example.com:8443"));
        assert!(port.is_for(&url("https://a.example.com:8443/x")));
        assert!(!port.is_for(&url("https://a.example.com/x")));
    }

    #[test]
    fn paths_with_quotes_are_one_word() {
        let ssh = Ssh {
            key: Some("/k e/y's".into()),
            known_hosts: Some("/h".into()),
        };
        let command = ssh.command().into_string().unwrap();
        assert!(command.contains(r"-i '/k e/y'\''s'"), "{command}");
        assert!(
            command.ends_with("'UserKnownHostsFile=\"/h\"'"),
            "{command}"
        );
    }
}
