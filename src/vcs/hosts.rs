//! Git hosts: how each may be reached and who we are to it, how many ask it at once, and what is said when it says no.

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use url::Url;

use super::git::{Access, Git, GitError, Line};
use super::github::{self, GithubApp, TokenError};
use super::guard::{Barred, Guard};
use super::mirror::MirrorError;
use super::resolve::PageError;
use super::url::{Allowed, RepoUrl, Scheme};
use super::versions::RepoError;
use super::web::{Probe, Web};
use crate::breaker::{Breaker, BreakerSettings, Pass, Stopped};
use crate::clock::SharedClock;
use crate::credentials::{Credentials, Login};
use crate::telemetry::metrics::DirectMetrics;

/// Hosts whose places are remembered, at the most.
const HOSTS: usize = 1024;
/// How long a request waits for a place at its host.
const QUEUE: Duration = Duration::from_secs(40);
/// Pages asked of one host at a time.
const PAGES: usize = 16;
/// Failures this far apart still are one outage.
const WINDOW: Duration = Duration::from_secs(60);
/// A host that has answered less than this ago is taken to be there.
const LATELY: Duration = Duration::from_secs(60);

/// By which rules the repositories of some modules are asked.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The rule in an operator's words, for reasons.
    pub name: String,
    /// Its modules are private.
    pub private: bool,
    /// Whether ssh may be used, and with what.
    pub ssh: Option<Ssh>,
    /// Whether plain http may be used.
    pub insecure: bool,
    /// Who we are to the repositories, if this rule says it.
    pub login: Option<RouteLogin>,
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
pub enum RouteLogin {
    /// A name and a password or token.
    Fixed(Login),
    /// A GitHub App, which has new tokens made.
    App(Arc<GithubApp>),
}

impl RouteLogin {
    /// A login was refused. Says whether another one can be had.
    pub fn refused(&self, login: &Login) -> bool {
        match (self, login) {
            (RouteLogin::App(app), Login::Basic { password, .. }) => app.forget(password),
            _ => false,
        }
    }

    async fn login(&self) -> Result<Login, TokenError> {
        match self {
            RouteLogin::Fixed(login) => Ok(login.clone()),
            RouteLogin::App(app) => Ok(Login::Basic {
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

/// All that asks git hosts.
pub struct Hosts {
    git: Git,
    public: Side,
    private: Side,
    credentials: Arc<Credentials>,
    settings: HostSettings,
    clock: SharedClock,
    metrics: DirectMetrics,
    known: Cache<String, Arc<Host>>,
}

/// Whom modules of one kind may reach. What public modules name are strangers' words: they lead to no host inside that is
/// named for private ones, and bring nobody's credentials.
pub struct Side {
    /// Which hosts may be asked.
    pub guard: Arc<Guard>,
    /// Their pages.
    pub web: Web,
}

/// How hosts are treated.
#[derive(Clone, Copy, Debug)]
pub struct HostSettings {
    /// Runs of git at one host.
    pub per_host: usize,
    /// Until a connection is there.
    pub connect_timeout: Duration,
    /// When a host is left alone.
    pub breaker: BreakerSettings,
}

/// One host.
pub struct Host {
    name: String,
    /// For git.
    places: Arc<Semaphore>,
    /// For lists of references.
    brief: Arc<Semaphore>,
    /// For pages.
    pages: Arc<Semaphore>,
    breaker: Breaker,
    /// When it last answered.
    answered: Mutex<Option<Instant>>,
}

/// One request at a host: a place, and what its end says of the host.
pub struct Visit {
    host: Arc<Host>,
    pass: Pass,
    _place: OwnedSemaphorePermit,
}

impl Visit {
    /// The host has answered, be it with a no.
    pub fn answered(&self) {
        *self.host.answered.lock() = Some(Instant::now());
        self.host.breaker.success(&self.pass);
    }

    /// It has not.
    pub fn failed(&self) {
        *self.host.answered.lock() = None;
        self.host.breaker.failure(&self.pass, None);
    }

    /// One thing asked of it took too long, which says less of the host than of that thing.
    pub fn hung(&self, what: &str) {
        self.host.breaker.failure(&self.pass, Some(what));
    }

    /// It is not known whether it would have.
    pub fn neutral(&self) {
        self.host.breaker.neutral(&self.pass);
    }
}

/// What becomes of a refusal.
pub enum Diagnosis {
    /// It is final.
    Final(RepoError),
    /// The host itself is not there.
    Outage(RepoError),
    /// Git has failed though the host answers well; its words.
    Unexplained(RepoError),
    /// The repository is elsewhere now.
    Moved(RepoUrl),
    /// It may be open to everybody, though it is closed to who we are.
    TryAnonymous(RepoError),
}

impl Hosts {
    /// All that asks git hosts.
    pub fn new(
        git: Git,
        public: Side,
        private: Side,
        credentials: Arc<Credentials>,
        settings: HostSettings,
        clock: SharedClock,
        metrics: DirectMetrics,
    ) -> Self {
        Hosts {
            git,
            public,
            private,
            credentials,
            settings,
            clock,
            metrics,
            known: Cache::new(HOSTS),
        }
    }

    /// The git command.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// What is counted.
    pub fn metrics(&self) -> &DirectMetrics {
        &self.metrics
    }

    /// Whom modules under these rules may reach.
    pub fn side(&self, rules: &Rules) -> &Side {
        match rules.private {
            true => &self.private,
            false => &self.public,
        }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let make = || {
            let window = self.settings.breaker.window.max(WINDOW);
            let settings = BreakerSettings {
                window,
                ..self.settings.breaker
            };
            Ok::<_, Infallible>(Arc::new(Host {
                name: name.to_owned(),
                places: Arc::new(Semaphore::new(self.settings.per_host)),
                brief: Arc::new(Semaphore::new(self.settings.per_host)),
                pages: Arc::new(Semaphore::new(PAGES)),
                breaker: Breaker::new(settings, Arc::clone(&self.clock)),
                answered: Mutex::default(),
            }))
        };
        let host = self.known.get_or_insert_with(name, make);
        host.unwrap_or_else(|never| match never {})
    }

    /// A place at a host for git; the text says why there is none.
    pub async fn visit(&self, url: &RepoUrl) -> Result<Visit, RepoError> {
        let host = self.host(&format!("{}:{}", url.host(), port(url)));
        let places = Arc::clone(&host.places);
        self.enter(host, places).await
    }

    /// The same for lists of references, which do not wait behind what takes long.
    pub async fn visit_briefly(&self, url: &RepoUrl) -> Result<Visit, RepoError> {
        let host = self.host(&format!("{}:{}", url.host(), port(url)));
        let places = Arc::clone(&host.brief);
        self.enter(host, places).await
    }

    /// The same for pages.
    pub async fn visit_page(&self, host: &str) -> Result<Visit, RepoError> {
        let host = self.host(host);
        let places = Arc::clone(&host.pages);
        self.enter(host, places).await
    }

    async fn enter(&self, host: Arc<Host>, places: Arc<Semaphore>) -> Result<Visit, RepoError> {
        let name = &host.name;
        let stopped = |why: Stopped| match why {
            Stopped::Open(left) | Stopped::Paused(left) => RepoError::Unreachable(format!(
                "{name} has not answered several times and is not asked for another {} s",
                left.as_secs() + 1
            )),
        };
        if let Some(why) = host.breaker.stopped() {
            return Err(stopped(why));
        }
        // The place first: a probe of the breaker must not wait for one.
        let Ok(Ok(place)) = timeout(QUEUE, places.acquire_owned()).await else {
            return Err(RepoError::Timeout(format!(
                "{name} is being asked by as many as may be (direct.per_host), and none has ended in time"
            )));
        };
        let pass = host.breaker.pass().map_err(stopped)?;
        Ok(Visit {
            pass,
            _place: place,
            host,
        })
    }

    /// Whether a host can be connected to at all, if that is not known: git itself would wait for minutes.
    pub async fn connects(
        &self,
        visit: &Visit,
        url: &RepoUrl,
        rules: &Rules,
        access: &Access,
    ) -> Result<(), RepoError> {
        let lately = |at: Instant| at.elapsed() < LATELY;
        let known = visit.host.answered.lock().is_some_and(lately);
        let Line::Straight(_) = &access.line else {
            return Ok(());
        };
        // Ssh may go by ways of its own.
        if known || url.scheme().is_ssh() {
            return Ok(());
        }
        let (host, port) = (url.host(), port(url));
        let addresses = match self.side(rules).guard.straight(host, port).await {
            Ok(addresses) => addresses,
            Err(error) => return Err(barred(url, error)),
        };
        let mut last = "it has no address".to_owned();
        for address in addresses {
            match timeout(self.settings.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = "no connection in time".to_owned(),
            }
        }
        Err(RepoError::Unreachable(format!(
            "{url}: {host} cannot be reached: {last}"
        )))
    }

    /// Who we are to a repository.
    pub async fn who(&self, url: &RepoUrl, purpose: &Purpose) -> Result<Option<Who>, RepoError> {
        let rules = &purpose.rules;
        if url.scheme() != Scheme::Https {
            return Ok(None);
        }
        let Ok(parsed) = Url::parse(url.as_str()) else {
            return Ok(None);
        };
        if let Some(own) = rules.login.as_ref().filter(|_| purpose.admits(&parsed)) {
            let login = own.login().await.map_err(|error| {
                let text = format!("{url}: {}: no token of the GitHub App: {error}", rules.name);
                match error {
                    TokenError::Refused { .. } | TokenError::Signing => RepoError::Refused(text),
                    TokenError::Unreachable(_) | TokenError::Nonsense(_) => {
                        RepoError::Unreachable(text)
                    }
                }
            })?;
            let written = rules.name.clone();
            return Ok(Some(Who { login, written }));
        }
        if !rules.private {
            // Whoever writes a page could have us fetch for everybody what is for us alone.
            return Ok(None);
        }
        let found = self.credentials.login_from(&parsed);
        Ok(found.map(|(login, written)| Who {
            login,
            written: written.to_owned(),
        }))
    }

    /// How git may reach a repository.
    pub async fn access(
        &self,
        url: &RepoUrl,
        rules: &Rules,
        who: Option<&Who>,
    ) -> Result<Access, RepoError> {
        let scheme = if url.scheme().is_ssh() {
            "ssh"
        } else {
            url.scheme().as_str()
        };
        let guard = &self.side(rules).guard;
        let line = match guard.line(scheme, url.host(), port(url)).await {
            Ok(line) => line,
            // Names may mean something to ssh that they mean to nobody else.
            Err(Barred::NoHost(_) | Barred::Unresolved { .. }) if scheme == "ssh" => {
                Line::Straight(Vec::new())
            }
            Err(error) => return Err(barred(url, error)),
        };
        let authorization = who.and_then(|who| {
            let origin = Url::parse(url.as_str()).ok()?.origin();
            let below = format!("{}/", origin.ascii_serialization());
            Some((below, who.login.header()?))
        });
        let ssh = rules.ssh.as_ref().map(Ssh::command);
        Ok(Access {
            authorization,
            ssh,
            insecure: rules.insecure,
            line,
            #[cfg(test)]
            folders: false,
        })
    }

    /// Why a host has said no to git, in words for whoever can change it. What git says depends on its version and is for
    /// nobody to read; so over http the host is asked once more, by us.
    pub async fn diagnose(
        &self,
        url: &RepoUrl,
        purpose: &Purpose,
        who: Option<&Who>,
        error: MirrorError,
    ) -> Diagnosis {
        let rules = &*purpose.rules;
        let words = match error {
            MirrorError::Git(GitError::Failed { words, .. }) => words,
            MirrorError::Git(GitError::Timeout(time)) => {
                return Diagnosis::Final(RepoError::Timeout(format!(
                    "{url}: {} did not bring all within {} s\nFor a repository that takes longer, larder's operator sets direct.timeout, or the route's.",
                    url.host(),
                    time.as_secs()
                )));
            }
            MirrorError::Git(GitError::Missing(why)) => {
                return Diagnosis::Final(RepoError::Broken(format!(
                    "larder cannot run git ({why}); its operator must install it, or set direct.git"
                )));
            }
            MirrorError::TooLarge(_) => {
                return Diagnosis::Final(RepoError::TooLarge(format!(
                    "{url}: {error}, which is as much as larder may mirror (direct.max_repository, or the route's)"
                )));
            }
            MirrorError::Moved(_) | MirrorError::Damaged(_) => {
                return Diagnosis::Final(RepoError::Moved(format!("{url}: {error}")));
            }
            other => return Diagnosis::Final(RepoError::Broken(format!("{url}: {other}"))),
        };
        tracing::debug!(%url, words, "git was refused");
        if url.scheme().is_ssh() {
            return Diagnosis::Final(ssh_refusal(url, rules, &words));
        }
        let authorization: Option<HeaderValue> = who.and_then(|who| who.login.header());
        match self
            .side(rules)
            .web
            .probe(url.as_str(), authorization)
            .await
        {
            Ok(probe) => judge(url, purpose, who, &probe, &words),
            Err(PageError::NoHost) => Diagnosis::Final(RepoError::Missing(format!(
                "{url}: there is no host {}",
                url.host()
            ))),
            Err(PageError::Forbidden(why)) => {
                Diagnosis::Final(RepoError::Missing(format!("{url}: {why}")))
            }
            Err(PageError::Timeout) => Diagnosis::Outage(RepoError::Timeout(format!(
                "{url}: {} did not answer in time",
                url.host()
            ))),
            Err(PageError::Fault(why)) => Diagnosis::Outage(RepoError::Unreachable(format!(
                "{url}: {} cannot be reached: {why}",
                url.host()
            ))),
        }
    }
}

fn judge(
    url: &RepoUrl,
    purpose: &Purpose,
    who: Option<&Who>,
    probe: &Probe,
    words: &str,
) -> Diagnosis {
    let rules = &*purpose.rules;
    let host = url.host();
    let last = |error| Diagnosis::Final(error);
    if let Some(to) = &probe.moved {
        let allowed = Allowed {
            ssh: false,
            insecure: rules.insecure,
        };
        return match RepoUrl::parse(to, allowed) {
            // Who we are there may be somebody else: what it says to nobody is not its last word.
            Ok(to) => Diagnosis::Moved(to),
            Err(error) => last(RepoError::Missing(format!(
                "{url}: it has moved to where larder may not follow: {error}"
            ))),
        };
    }
    match probe.status {
        401 | 407 => match who {
            None => last(RepoError::Missing(wants_login(url, purpose))),
            Some(who) => {
                let refused = RepoError::Refused(format!(
                    "{url}: {host} does not accept larder's credentials ({} by {})\nLarder's operator must set them right there; what was sent is shown to nobody.",
                    who.login.name(),
                    who.written
                ));
                match rules.private {
                    true => last(refused),
                    false => Diagnosis::TryAnonymous(refused),
                }
            }
        },
        403 => last(RepoError::Refused(format!(
            "{url}: {host} answers 403: {}",
            match who {
                Some(who) => format!(
                    "{} ({}) may not read it, or too much has been asked",
                    who.login.name(),
                    who.written
                ),
                None => "larder may not read it without a login, or has asked too much".into(),
            }
        ))),
        404 | 410 => last(RepoError::Missing(format!(
            "{url}: repository not found ({host} answers {}){}",
            probe.status,
            match who {
                Some(who) => format!(
                    "\nIf it exists, {} ({}) may not see it.",
                    who.login.name(),
                    who.written
                ),
                None => String::new(),
            }
        ))),
        200..=299 => Diagnosis::Unexplained(RepoError::Unreachable(format!(
            "{url}: git failed: {}",
            shown(words)
        ))),
        status => last(RepoError::Unreachable(format!(
            "{url}: {host} answers {status}"
        ))),
    }
}

/// What a repository is asked for: by which rules, for modules of which hosts.
#[derive(Clone, Debug)]
pub struct Purpose {
    /// The rules.
    pub rules: Arc<Rules>,
    /// The repository as modules name it.
    pub url: RepoUrl,
    /// Whether it is on the host that the modules' paths begin with.
    pub own_host: bool,
}

impl Purpose {
    /// Whether the rule's own login is for an address: the host that it names, or else the one that the modules' own paths
    /// begin with. What a page names beyond that is for its writer to choose, who may be anybody below a pattern.
    fn admits(&self, url: &Url) -> bool {
        if self.rules.host.is_some() {
            return self.rules.is_for(url);
        }
        let named = Url::parse(self.url.as_str());
        self.own_host && named.is_ok_and(|named| named.origin() == url.origin())
    }
}

impl Rules {
    /// What is sent to a page: the rule's own login only where it names the page's host itself.
    pub async fn login_for_page(&self, url: &str) -> Option<HeaderValue> {
        let url = Url::parse(url).ok()?;
        let named = self.host.is_some() && url.scheme() == "https" && self.is_for(&url);
        let own = self.login.as_ref().filter(|_| named)?;
        // Without a token the page says what it says to everybody.
        own.login().await.ok()?.header()
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
    fn command(&self) -> OsString {
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

/// A host that does not exist has no repositories either (protocol.md 6.1.7).
fn barred(url: &RepoUrl, error: Barred) -> RepoError {
    match error {
        Barred::Inside(_) | Barred::NoHost(_) => RepoError::Missing(format!("{url}: {error}")),
        Barred::Unresolved { .. } => RepoError::Unreachable(format!("{url}: {error}")),
    }
}

fn port(url: &RepoUrl) -> u16 {
    url.port().unwrap_or(match url.scheme() {
        Scheme::Ssh | Scheme::GitSsh => 22,
        Scheme::Http => 80,
        Scheme::Https => 443,
    })
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn wants_login(url: &RepoUrl, purpose: &Purpose) -> String {
    let host = url.host();
    let rules = &purpose.rules;
    let first = format!(
        "{url}: {host} wants a login and larder has none for it: the repository is private, or does not exist"
    );
    let second = match (&rules.login, rules.private) {
        (Some(_), _) => format!(
            "The login of {} is not for this host; if it should be, larder's operator sets host = \"{host}\" in the route.",
            rules.name
        ),
        (None, true) => format!(
            "Larder's operator gives it one in netrc (machine {host}), as [[credentials]] host = \"{host}\", or with a route."
        ),
        (None, false) => {
            "If the module is private, larder's operator names it in --private, or with a route."
                .to_owned()
        }
    };
    format!("{first}\n{second}")
}

fn ssh_refusal(url: &RepoUrl, rules: &Rules, words: &str) -> RepoError {
    let host = url.host();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let key = rules.ssh.as_ref().is_some_and(|ssh| ssh.key.is_some());
    if has(&["Host key verification failed"]) {
        return RepoError::Broken(format!(
            "{url}: the ssh key of {host} is not known here, or not the one that is known\nLarder's operator adds it to known_hosts (ssh_known_hosts of the route)."
        ));
    }
    if has(&["Permission denied"]) {
        let text = format!(
            "{url}: {host} does not accept larder's ssh key\nLarder's operator sets one with ssh_key of the route, or for the user larder runs as."
        );
        return match key {
            true => RepoError::Refused(text),
            false => RepoError::Missing(text),
        };
    }
    if has(&["Name or service not known", "No address associated"]) {
        return RepoError::Missing(format!("{url}: there is no host {host}"));
    }
    if has(&[
        "not found",
        "does not exist",
        "does not appear to be a git repository",
    ]) && !has(&["command not found", "cannot run ssh"])
    {
        return RepoError::Missing(format!("{url}: repository not found"));
    }
    RepoError::Unreachable(format!("{url}: {}", shown(words)))
}

/// Of what git said, as much as fits into a reason.
fn shown(words: &str) -> String {
    let mut start = words.len().saturating_sub(300);
    while !words.is_char_boundary(start) {
        start += 1;
    }
    words[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c127_a_route_s_login_is_for_one_host() {
        let rules = |host: Option<&str>| Rules {
            host: host.map(str::to_owned),
            ..Rules::default()
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
    fn ssh_refusals_have_classes() {
        let url = RepoUrl::parse(
            "ssh://git@git.example.com/x",
            Allowed {
                ssh: true,
                insecure: false,
            },
        )
        .unwrap();
        let of = |words: &str, key: bool| {
            let ssh = Ssh {
                key: key.then(|| "/k".into()),
                known_hosts: None,
            };
            let rules = Rules {
                ssh: Some(ssh),
                ..Rules::default()
            };
            let error = ssh_refusal(&url, &rules, words);
            assert!(error.to_string().contains("git.example.com"), "{error}");
            error
        };
        let denied = "git@git.example.com: Permission denied (publickey).";
        assert!(matches!(of(denied, true), RepoError::Refused(_)));
        assert!(matches!(of(denied, false), RepoError::Missing(_)));
        let key = "Host key verification failed.; fatal: Could not read from remote repository.";
        assert!(matches!(of(key, true), RepoError::Broken(_)));
        let missing = "ERROR: Repository not found.; fatal: Could not read";
        assert!(matches!(of(missing, true), RepoError::Missing(_)));
        let down = "ssh: connect to host git.example.com port 22: Connection refused";
        assert!(matches!(of(down, true), RepoError::Unreachable(_)));
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
