//! Git hosts: how each may be reached and who we are to it, how many ask it at once, and when it is left alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use url::Url;

use super::git::{Git, GitAccess, GitError, Line};
use super::github::AppTokenError;
use super::guard::{Barred, Guard};
use super::mirror::MirrorError;
use super::refs::RefsError;
use super::refusal::{Diagnosis, judge, ssh_refusal};
use super::reserved::Reserved;
use super::resolve::PageError;
use super::rules::{HostRules, Purpose, Ssh, Who};
use super::tenant::Tenant;
use super::url::{RepoUrl, Scheme};
use super::versions::RepoError;
use super::web::Web;
use crate::breaker::{Breaker, BreakerSettings, Pass, Stopped};
use crate::clock::SharedClock;
use crate::credentials::Credentials;
use crate::telemetry::metrics::DirectMetrics;

/// Hosts whose places are remembered, at the most.
const HOSTS: usize = 1024;
/// How long a request waits for a place at its host.
const QUEUE: Duration = Duration::from_secs(40);
/// Pages asked of one host at a time.
const PAGES: usize = 16;
/// And of all hosts.
const ALL_PAGES: usize = 64;
/// Failures this far apart still are one outage.
const WINDOW: Duration = Duration::from_secs(60);
/// A host that has answered less than this ago is taken to be there.
const LATELY: Duration = Duration::from_secs(60);

/// All that asks git hosts.
pub struct Hosts {
    git: Git,
    clients: HostClients,
    credentials: Arc<Credentials>,
    settings: HostSettings,
    clock: SharedClock,
    metrics: DirectMetrics,
    strangers: Arc<Known>,
    own: Arc<Known>,
}

/// Hosts as one tenant's modules know them: what keeps those of strangers busy, or fails for them, says nothing to others.
struct Known {
    hosts: Cache<String, Arc<Host>>,
    pages: Arc<Semaphore>,
}

impl Known {
    fn new() -> Self {
        Known {
            hosts: Cache::new(HOSTS),
            pages: Arc::new(Semaphore::new(ALL_PAGES)),
        }
    }
}

pub struct HostClients {
    /// Of public modules. What they name are strangers' words: they lead to no host inside, and bring nobody's credentials.
    pub public: HostClient,
    /// Of public modules that a route names: they lead to hosts inside that the operator allows, and bring no credentials
    /// but the route's.
    pub routes: HostClient,
    /// Of private modules.
    pub private: HostClient,
}

/// Whom modules of one kind may reach.
pub struct HostClient {
    /// Which hosts may be asked.
    pub guard: Arc<Guard>,
    /// Their pages.
    pub web: Web,
    /// Which repositories are not for them.
    pub reserved: Arc<Reserved>,
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

pub struct Host {
    name: String,
    /// For git.
    places: Arc<Semaphore>,
    /// For lists of references.
    brief: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    breaker: Breaker,
    /// When it last answered.
    answered: Mutex<Option<Instant>>,
}

/// One request at a host: a place, and what its end says of the host; dropped without a word, nothing.
pub struct HostPermit {
    host: Arc<Host>,
    pass: Pass,
    _place: OwnedSemaphorePermit,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl HostPermit {
    /// The host has answered, be it with a no.
    pub fn answered(&self) {
        *self.host.answered.lock() = Some(Instant::now());
        self.host.breaker.success(&self.pass);
    }

    /// It has not, for this reason.
    pub fn failed(&self, reason: &str) {
        *self.host.answered.lock() = None;
        self.host.breaker.failure(&self.pass, None, reason);
    }

    /// One thing asked of it took too long, which says less of the host than of that thing.
    pub fn hung(&self, what: &str) {
        let reason = "it did not bring all in time";
        self.host.breaker.failure(&self.pass, Some(what), reason);
    }
}

impl Hosts {
    /// All that asks git hosts.
    pub fn new(
        git: Git,
        clients: HostClients,
        credentials: Arc<Credentials>,
        settings: HostSettings,
        clock: SharedClock,
        metrics: DirectMetrics,
    ) -> Self {
        Hosts {
            git,
            clients,
            credentials,
            settings,
            clock,
            metrics,
            strangers: Arc::new(Known::new()),
            own: Arc::new(Known::new()),
        }
    }

    /// The same hosts, with all that is known of them, as others may reach them.
    pub fn renewed(
        &self,
        git: Git,
        clients: HostClients,
        credentials: Arc<Credentials>,
        settings: HostSettings,
    ) -> Self {
        Hosts {
            git,
            clients,
            credentials,
            settings,
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
            strangers: Arc::clone(&self.strangers),
            own: Arc::clone(&self.own),
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
    pub fn client(&self, rules: &HostRules) -> &HostClient {
        match (rules.private, rules.route) {
            (true, _) => &self.clients.private,
            (false, true) => &self.clients.routes,
            (false, false) => &self.clients.public,
        }
    }

    fn known(&self, rules: &HostRules) -> &Known {
        match rules.tenant() {
            Tenant::Strangers => &self.strangers,
            Tenant::Own => &self.own,
        }
    }

    fn host(&self, name: &str, rules: &HostRules) -> Arc<Host> {
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
                breaker: Breaker::new(
                    format!("git host {name}"),
                    settings,
                    Arc::clone(&self.clock),
                ),
                answered: Mutex::default(),
            }))
        };
        let host = self.known(rules).hosts.get_or_insert_with(name, make);
        host.unwrap_or_else(|never| match never {})
    }

    /// A place at a host for git; the text says why there is none.
    pub async fn permit(&self, url: &RepoUrl, rules: &HostRules) -> Result<HostPermit, RepoError> {
        let host = self.host(&format!("{}:{}", url.host(), port(url)), rules);
        let places = Arc::clone(&host.places);
        self.enter(host, places).await
    }

    /// The same for lists of references, which do not wait behind what takes long.
    pub async fn permit_briefly(
        &self,
        url: &RepoUrl,
        rules: &HostRules,
    ) -> Result<HostPermit, RepoError> {
        let host = self.host(&format!("{}:{}", url.host(), port(url)), rules);
        let places = Arc::clone(&host.brief);
        self.enter(host, places).await
    }

    /// The same for pages.
    pub async fn permit_page(
        &self,
        host: &str,
        rules: &HostRules,
    ) -> Result<HostPermit, RepoError> {
        let host = self.host(host, rules);
        let places = Arc::clone(&host.pages);
        let mut permit = self.enter(host, places).await?;
        let all = Arc::clone(&self.known(rules).pages);
        match timeout(QUEUE, all.acquire_owned()).await {
            Ok(Ok(slot)) => permit._of_all = Some(slot),
            _ => {
                return Err(RepoError::Timeout(
                    "as many pages are being asked for as may be, and none has come in time".into(),
                ));
            }
        }
        Ok(permit)
    }

    async fn enter(
        &self,
        host: Arc<Host>,
        places: Arc<Semaphore>,
    ) -> Result<HostPermit, RepoError> {
        let name = &host.name;
        let stopped = |why: Stopped| {
            let (left, lastly) = match why {
                Stopped::Open { left, lastly } => (left, lastly),
                Stopped::Paused(left) => (left, None),
            };
            let lastly = lastly.map_or_else(String::new, |why| format!("; lastly: {why}"));
            RepoError::Unreachable(format!(
                "{name} has not answered several times and is not asked for another {} s{lastly}",
                left.as_secs() + 1
            ))
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
        Ok(HostPermit {
            pass,
            _place: place,
            _of_all: None,
            host,
        })
    }

    /// Whether a host can be connected to at all, if that is not known: git itself would wait for minutes.
    pub async fn connects(
        &self,
        permit: &HostPermit,
        url: &RepoUrl,
        rules: &HostRules,
        access: &GitAccess,
    ) -> Result<(), RepoError> {
        let lately = |at: Instant| at.elapsed() < LATELY;
        let known = permit.host.answered.lock().is_some_and(lately);
        let Line::Straight(_) = &access.line else {
            return Ok(());
        };
        // Ssh may go by ways of its own.
        if known || url.scheme().is_ssh() {
            return Ok(());
        }
        let (host, port) = (url.host(), port(url));
        let addresses = match self.client(rules).guard.straight(host, port).await {
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

    /// As whom a repository is asked, as far as what it shows may depend on that; no secret, and no token's lifetime.
    pub fn identity(&self, purpose: &Purpose) -> String {
        let (rules, url) = (&purpose.rules, &purpose.url);
        if rules.tenant() == Tenant::Strangers {
            return String::new();
        }
        let parsed = Url::parse(url.as_str()).ok();
        let own = parsed.as_ref().filter(|url| purpose.admits(url));
        let login = match (own.and(rules.login.as_ref()), &rules.ssh) {
            (_, Some(Ssh { key: Some(key), .. })) if url.scheme().is_ssh() => {
                format!("key {}", key.display())
            }
            (Some(login), _) => login.name(),
            (None, _) if rules.private && url.scheme() == Scheme::Https => {
                let known = self.credentials.known();
                let found = parsed.and_then(|it| known.login_of(&it, url.user()));
                found.map_or_else(String::new, |(login, _)| login.name().to_owned())
            }
            (None, _) => String::new(),
        };
        format!("{}\n{}\n{login}", rules.private, rules.name)
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
                    AppTokenError::Refused { .. } | AppTokenError::Signing => {
                        RepoError::Refused(text)
                    }
                    AppTokenError::Unreachable(_) | AppTokenError::Nonsense(_) => {
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
        let found = self.credentials.login_of(&parsed, url.user()).await;
        Ok(found.map(|(login, written)| Who {
            login,
            written: written.to_owned(),
        }))
    }

    /// Who we are to a repository was refused. Says whether we are somebody else by now.
    pub async fn is_renewed(&self, url: &RepoUrl, purpose: &Purpose, who: &Who) -> bool {
        let own = purpose.rules.login.as_ref();
        if let Some(own) = own.filter(|_| who.written == purpose.rules.name) {
            return own.refused(&who.login).await;
        }
        let Ok(parsed) = Url::parse(url.as_str()) else {
            return false;
        };
        let sent = who.login.header();
        let now = self.credentials.renewed(&parsed, url.user(), sent.as_ref());
        now.await.is_some()
    }

    /// How git may reach a repository.
    pub async fn access(
        &self,
        url: &RepoUrl,
        rules: &HostRules,
        who: Option<&Who>,
    ) -> Result<GitAccess, RepoError> {
        let scheme = if url.scheme().is_ssh() {
            "ssh"
        } else {
            url.scheme().as_str()
        };
        let guard = &self.client(rules).guard;
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
        Ok(GitAccess {
            authorization,
            ssh,
            insecure: rules.insecure,
            line,
            tenant: rules.tenant(),
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
            MirrorError::NoRoom => {
                return Diagnosis::Final(RepoError::NoRoom(format!("{url}: {error}")));
            }
            MirrorError::Git(GitError::TooMuch(_))
            | MirrorError::Refs(RefsError::TooMany { .. }) => {
                return Diagnosis::Final(RepoError::TooLarge(format!(
                    "{url}: it has more references than larder takes of a repository"
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
            .client(rules)
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
