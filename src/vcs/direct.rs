//! Modules straight from their repositories: the one entrance to direct mode.
//!
//! A [`Way`] is direct mode under one set of rules (a route, the private patterns, `direct` in the chain). It leads from a
//! module path to a [`Lodging`], the module where it lies in its repository, and that answers what a GOPROXY is asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::git::Bounds;
use super::hosts::Hosts;
use super::layout::{Layout, LayoutError};
use super::mirror::{Listing, Mirror, MirrorKey, Remote};
use super::pack::{self, PackError};
use super::party::Party;
use super::refusals::Refusals;
use super::repository::{At, Repository, Shared};
use super::resolve::{Outside, Page, PageError, ResolveError, Resolver};
use super::root::{Root, Vcs};
use super::rules::{Purpose, Rules, Who};
use super::shelf::Shelf;
use super::tables::{Key, Snapshot, Tables};
use super::url::{Allowed, RepoUrl, Scheme};
use super::versions::{Dated, MAX_GO_MOD, Module, NoVersion, RepoError};
use super::workspace::Workspace;
use crate::clock::SharedClock;
use crate::credentials::Login;
use crate::gomod::version::by_preference;
use crate::gomod::{ModulePath, Patterns, Version};

/// Repositories whose references are remembered, at the most.
const REPOSITORIES: usize = 1024;
/// From the module path to the repository's references: whoever waits for that alone is answered within 45 s.
const CONTACT: Duration = Duration::from_secs(42);
/// For versions, which do not change, references may be as old as this.
const VERSIONS_TTL: Duration = Duration::from_secs(300);
/// How long it is remembered which repository a module is in.
const ROOT_TTL: Duration = Duration::from_secs(600);
/// The largest tree that is unpacked for a module. Bytes.
const MAX_TREE: u64 = 8 << 30;
/// The same of what strangers name.
const MAX_STRANGERS_TREE: u64 = 2 << 30;

/// Why direct mode has no answer.
#[derive(Debug, Clone, Error)]
pub enum DirectError {
    /// It is not known in which repository the module is.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The module cannot be in that repository.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// There is no such version, or the repository does not answer.
    #[error(transparent)]
    Version(#[from] NoVersion),
    /// The version has no zip, or it cannot be made.
    #[error("{0}")]
    Pack(#[from] Arc<PackError>),
}

impl From<RepoError> for DirectError {
    fn from(error: RepoError) -> Self {
        DirectError::Version(NoVersion::Repo(error))
    }
}

/// What a module is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// The list of versions.
    List,
    /// The `.info` of what is newest.
    Latest,
    /// The `.info` of a branch, a tag, a commit.
    Query(&'a str),
    /// The `.info` of a version.
    Info(&'a Version),
    /// The `.mod` of a version.
    GoMod(&'a Version),
}

/// What all ways have in common.
pub struct Direct {
    shared: Arc<Shared>,
    refs_ttl: Duration,
    insecure: Patterns,
    strangers: Repositories,
    own: Repositories,
    /// All that anybody has; there must be one only for each folder.
    mirrors: Mutex<HashMap<MirrorKey, Weak<Mirror>>>,
    /// Trees that no zip was made from.
    unpacked: Refusals<Arc<PackError>>,
    clock: SharedClock,
}

/// Repositories that were asked lately. Their references are elsewhere.
type Repositories = Cache<Key, Arc<Repository>>;

/// How direct mode behaves.
pub struct DirectSettings {
    /// The folder of the mirrors.
    pub mirrors: PathBuf,
    /// How much they may take together. Bytes.
    pub max_mirrors: u64,
    /// How long references are believed.
    pub refs_ttl: Duration,
    /// Modules whose hosts may be asked over plain http, as GOINSECURE.
    pub insecure: Patterns,
}

impl Direct {
    /// What is in the making is in the `space`, on the same disk as what is kept.
    pub fn new(
        hosts: Hosts,
        settings: DirectSettings,
        space: Workspace,
        clock: SharedClock,
    ) -> Arc<Self> {
        let shared = Shared {
            shelf: Shelf::new(
                settings.mirrors,
                settings.max_mirrors,
                hosts.metrics().mirrors.clone(),
            ),
            hosts: Arc::new(hosts),
            tables: Tables::default(),
            refusals: Refusals::default(),
            space,
        };
        Arc::new(Direct {
            shared: Arc::new(shared),
            refs_ttl: settings.refs_ttl,
            insecure: settings.insecure,
            strangers: Cache::new(REPOSITORIES),
            own: Cache::new(REPOSITORIES),
            mirrors: Mutex::default(),
            unpacked: Refusals::default(),
            clock,
        })
    }

    /// Git hosts.
    pub fn hosts(&self) -> &Hosts {
        &self.shared.hosts
    }

    fn repository(&self, id: usize, purpose: Purpose) -> Arc<Repository> {
        // Credentials may change while we run, and so what may be believed.
        let identity = self.hosts().identity(&purpose);
        let key: Key = format!(
            "{id} {} {} {:?} {} {identity}",
            purpose.rules.insecure,
            purpose.own_host,
            purpose.url.user(),
            purpose.url,
        )
        .into();
        let repositories = match purpose.rules.party() {
            Party::Strangers => &self.strangers,
            Party::Own => &self.own,
        };
        let make = || {
            let mirror = self.mirror(MirrorKey {
                url: purpose.url.as_str().to_owned(),
                identity,
                party: purpose.rules.party(),
            });
            let (key, shared) = (Arc::clone(&key), Arc::clone(&self.shared));
            Ok::<_, Infallible>(Repository::new(purpose, key, shared, mirror))
        };
        let repository = repositories.get_or_insert_with(&key, make);
        repository.unwrap_or_else(|never| match never {})
    }

    fn mirror(&self, key: MirrorKey) -> Arc<Mirror> {
        let mut mirrors = self.mirrors.lock();
        if let Some(mirror) = mirrors.get(&key).and_then(Weak::upgrade) {
            return mirror;
        }
        if mirrors.len() > 4 * REPOSITORIES {
            mirrors.retain(|_, mirror| mirror.strong_count() > 0);
        }
        let git = self.hosts().git().clone();
        let mirror = Mirror::new(git, self.shared.shelf.folder(), &key, MAX_GO_MOD);
        mirrors.insert(key, Arc::downgrade(&mirror));
        mirror
    }
}

/// Direct mode under one set of rules.
pub struct Way {
    id: usize,
    direct: Arc<Direct>,
    rules: Arc<Rules>,
    /// The same, where plain http is allowed.
    insecure: Arc<Rules>,
    resolver: Resolver,
}

/// Where a module is.
pub enum Place {
    Repository(Box<Lodging>),
    /// At another module proxy (`mod` of its page).
    Proxy(RepoUrl),
}

/// A module where it lies in its repository.
pub struct Lodging {
    direct: Arc<Direct>,
    repository: Arc<Repository>,
    root: Root,
    layout: Layout,
    module: ModulePath,
}

impl Way {
    /// Each way has a number of its own.
    pub fn new(id: usize, direct: &Arc<Direct>, rules: Rules) -> Arc<Self> {
        let private = rules.private;
        let insecure = Arc::new(Rules {
            insecure: true,
            ..rules.clone()
        });
        let rules = Arc::new(rules);
        let outside = Arc::new(World {
            direct: Arc::clone(direct),
            rules: Arc::clone(&rules),
            insecure: Arc::clone(&insecure),
        });
        Arc::new(Way {
            id,
            direct: Arc::clone(direct),
            rules,
            insecure,
            resolver: Resolver::new(outside, Arc::clone(&direct.clock), ROOT_TTL, private),
        })
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How long an answer may take that needs a fetch.
    pub fn patience(&self) -> Duration {
        CONTACT + self.rules.timeout
    }

    /// Where a module is.
    pub async fn place(&self, module: &ModulePath) -> Result<Place, DirectError> {
        let insecure =
            self.rules.insecure || self.direct.insecure.matching(module.as_str()).is_some();
        let allowed = Allowed {
            ssh: self.rules.ssh.is_some(),
            insecure,
        };
        let found = timeout(CONTACT, self.resolver.resolve(module, allowed)).await;
        let root = found.unwrap_or_else(|_| {
            Err(ResolveError::Timeout(format!(
                "{module}: its host did not say in time where its repository is"
            )))
        })?;
        let side = self.direct.hosts().side(&self.rules);
        if side.reserved.covers(&root.url, module) {
            return Err(ResolveError::Barred(format!(
                "{module}: its repository is one that private patterns name (--private), and public modules do not come from those"
            ))
            .into());
        }
        if root.vcs == Vcs::Mod {
            return Ok(Place::Proxy(root.url));
        }
        let layout = Layout::new(module, &root)?;
        let rules = match insecure {
            true => &self.insecure,
            false => &self.rules,
        };
        let first = module.as_str().split('/').next();
        let purpose = Purpose {
            rules: Arc::clone(rules),
            own_host: first.is_some_and(|host| host.eq_ignore_ascii_case(root.url.host())),
            url: root.url.clone(),
        };
        Ok(Place::Repository(Box::new(Lodging {
            repository: self.direct.repository(self.id, purpose),
            direct: Arc::clone(&self.direct),
            root,
            layout,
            module: module.clone(),
        })))
    }
}

impl Lodging {
    /// Its repository's address.
    pub fn url(&self) -> &RepoUrl {
        &self.root.url
    }

    /// The folder in the repository that the module's path names.
    pub fn folder(&self) -> &str {
        self.layout.dir()
    }

    /// Who we are to the repository.
    pub async fn who(&self) -> Result<Option<Who>, RepoError> {
        self.repository.who().await
    }

    /// Answers a question.
    pub async fn ask(&self, question: Question<'_>) -> Result<Bytes, DirectError> {
        let asked = Instant::now();
        let snapshot = self.snapshot(&question, asked).await?;
        match self.answer(&snapshot, question).await {
            Err(error) => match error.newer(&question, &snapshot, asked) {
                Some(since) => {
                    let snapshot = self.contact(since).await?;
                    Ok(self.answer(&snapshot, question).await?)
                }
                None => Err(error.into()),
            },
            Ok(body) => Ok(body),
        }
    }

    /// Makes the zip of a version, in pieces.
    pub async fn zip(
        &self,
        version: &Version,
        out: mpsc::Sender<Bytes>,
    ) -> Result<(), DirectError> {
        let asked = Instant::now();
        let question = Question::GoMod(version);
        let snapshot = self.snapshot(&question, asked).await?;
        let located = match self.open(&snapshot).await?.locate(version).await {
            Err(error) => match error.newer(&question, &snapshot, asked) {
                Some(since) => {
                    let snapshot = self.contact(since).await?;
                    self.open(&snapshot).await?.locate(version).await?
                }
                None => return Err(error.into()),
            },
            Ok(located) => located,
        };
        let source = pack::Source {
            mirror: self.repository.mirror(),
            commit: &located.dated.commit.id,
            dir: &located.dir,
        };
        let bounds = Bounds {
            time: self.repository.rules().timeout,
            output: match self.repository.rules().party() {
                Party::Strangers => MAX_STRANGERS_TREE,
                Party::Own => MAX_TREE,
            },
            memory: None,
        };
        let about = format!(
            "{} {} {}",
            self.repository.mirror().dir().display(),
            located.dated.commit.id,
            located.dir
        );
        if let Some(error) = self.direct.unpacked.get(&about) {
            return Err(error.into());
        }
        let space = &self.direct.shared.space;
        let made = pack::module_zip(source, &self.module, version, space, bounds, out).await;
        if let Err(PackError::Git(error)) = &made
            && error.is_damage()
        {
            self.repository.mirror().condemn(&error.to_string()).await;
        }
        let error = match made {
            Ok(()) => return Ok(()),
            Err(error) => Arc::new(error),
        };
        if let Some(time) = error.lasts() {
            self.direct.unpacked.put(about, &error, time);
        }
        Err(error.into())
    }

    /// The repository's references, new enough for the question.
    async fn snapshot(
        &self,
        question: &Question<'_>,
        asked: Instant,
    ) -> Result<Snapshot, RepoError> {
        self.direct.shared.shelf.used(self.repository.mirror());
        let ttl = match question {
            Question::Info(_) | Question::GoMod(_) => self.direct.refs_ttl.max(VERSIONS_TTL),
            _ => self.direct.refs_ttl,
        };
        self.contact(asked.checked_sub(ttl).unwrap_or(asked)).await
    }

    async fn contact(&self, since: Instant) -> Result<Snapshot, RepoError> {
        match timeout(CONTACT, self.repository.snapshot(since)).await {
            Ok(snapshot) => snapshot,
            Err(_) => Err(RepoError::Timeout(format!(
                "{}: its host did not answer in time",
                self.root.url
            ))),
        }
    }

    async fn open<'a>(&'a self, snapshot: &Snapshot) -> Result<Opened<'a>, RepoError> {
        Ok(Opened {
            at: At {
                repository: &self.repository,
                table: Arc::clone(&snapshot.table),
            },
            lodging: self,
        })
    }

    async fn answer(
        &self,
        snapshot: &Snapshot,
        question: Question<'_>,
    ) -> Result<Bytes, NoVersion> {
        let opened = self.open(snapshot).await?;
        let module = opened.module().await?;
        let dated = match question {
            Question::List => return Ok(list(&module.versions().await?)),
            Question::GoMod(version) => return module.go_mod(version).await,
            Question::Latest => latest(&module).await?,
            Question::Query(query) => module.info(query).await?,
            Question::Info(version) => {
                let dated = module.info(version.as_str()).await?;
                if dated.version != *version {
                    return Err(NoVersion::NotATag {
                        found: dated.version.to_string(),
                        asked: version.to_string(),
                    });
                }
                dated
            }
        };
        if dated.version.is_pseudo() {
            // Whoever has its name in a go.mod goes on to need it.
            self.repository.mirror().hold(&dated.commit.id).await;
        }
        Ok(self.info(&dated))
    }

    /// An `.info` as `go` writes it. Whoever has put credentials into the address has been refused long before.
    fn info(&self, dated: &Dated) -> Bytes {
        let mut origin = Map::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                origin.insert(name.to_owned(), Value::from(value));
            }
        };
        put("VCS", self.root.vcs.as_str());
        put("URL", self.root.url.as_str());
        put("Subdir", &dated.subdir);
        put("Hash", dated.commit.id.as_str());
        // As go keeps it under a version: not another tag or branch that has led there.
        let own = self.layout.tag(&dated.version);
        let own = own.map(|tag| format!("refs/tags/{tag}"));
        let reference = dated
            .reference
            .as_ref()
            .filter(|it| Some(*it) == own.as_ref());
        put("Ref", reference.map_or("", String::as_str));
        let mut info = Map::new();
        info.insert("Version".into(), dated.version.as_str().into());
        info.insert("Time".into(), dated.commit.time.rfc3339().into());
        info.insert("Origin".into(), origin.into());
        Value::from(info).to_string().into()
    }
}

/// A module with its repository's references as they were.
struct Opened<'a> {
    at: At<'a>,
    lodging: &'a Lodging,
}

impl Opened<'_> {
    async fn module(&self) -> Result<Module<'_>, RepoError> {
        let (layout, path) = (&self.lodging.layout, &self.lodging.module);
        Module::open(&self.at, layout.clone(), path.clone()).await
    }

    async fn locate(&self, version: &Version) -> Result<super::Located, NoVersion> {
        self.module().await?.locate(version).await
    }
}

impl NoVersion {
    /// Since when references must be to be worth another try: what is not known may have been made a moment ago, and what
    /// was there has just changed.
    fn newer(
        &self,
        question: &Question<'_>,
        snapshot: &Snapshot,
        asked: Instant,
    ) -> Option<Instant> {
        match self.repo_error() {
            Some(RepoError::Moved(_)) => Some(Instant::now()),
            Some(_) => None,
            None if matches!(question, Question::List | Question::Latest) => None,
            None => (snapshot.at < asked).then_some(asked),
        }
    }
}

/// The highest release that is not withdrawn, else pre-release, else the newest commit (protocol.md 1.3).
async fn latest(module: &Module<'_>) -> Result<Dated, NoVersion> {
    let versions = module.versions().await?;
    if !versions.is_empty() {
        let withdrawn = module.retractions().await?;
        let allowed = |version: &Version| !withdrawn.iter().any(|range| range.covers(version));
        let best = by_preference(versions).into_iter().find(allowed);
        if let Some(best) = best {
            return module.info(best.as_str()).await;
        }
    }
    module.latest().await
}

fn list(versions: &[Version]) -> Bytes {
    let lines = versions.iter().map(|version| format!("{version}\n"));
    lines.collect::<String>().into()
}

/// What resolving asks, under one way's rules.
struct World {
    direct: Arc<Direct>,
    rules: Arc<Rules>,
    insecure: Arc<Rules>,
}

#[async_trait]
impl Outside for World {
    async fn page(&self, url: &str) -> Result<Page, PageError> {
        let own = self.rules.login_for_page(url).await;
        let hosts = self.direct.hosts();
        let began = Instant::now();
        let parsed = url::Url::parse(url).map_err(|error| PageError::Fault(error.to_string()))?;
        let visit = hosts
            .visit_page(parsed.host_str().unwrap_or_default(), &self.rules)
            .await;
        let visit = visit.map_err(|error| PageError::Fault(error.to_string()))?;
        let web = &hosts.side(&self.rules).web;
        let header = |login: &Option<Login>| login.as_ref().and_then(Login::header);
        let mut page = web.page(url, header(&own)).await;
        if page.as_ref().is_ok_and(|page| page.status == 401)
            && let Some(own) = &own
            && let Some(renewed) = self.rules.renewed_for_page(url, own).await
        {
            page = web.page(url, renewed.header()).await;
        }
        match &page {
            Err(error @ (PageError::Fault(_) | PageError::Timeout)) => {
                visit.failed(&error.to_string());
            }
            _ => visit.answered(),
        }
        let outcome = match &page {
            Ok(page) if page.status < 500 => "ok",
            Ok(_) | Err(PageError::Fault(_)) => "fault",
            Err(PageError::NoHost) => "missing",
            Err(PageError::Forbidden(_)) => "refused",
            Err(PageError::Timeout) => "timeout",
        };
        hosts.metrics().asked("page", outcome, began.elapsed());
        page
    }

    async fn answers(&self, url: &RepoUrl) -> bool {
        let hosts = self.direct.hosts();
        let rules = match url.scheme() {
            Scheme::Http => &self.insecure,
            _ => &self.rules,
        };
        let reserved = url::Url::parse(url.as_str())
            .is_ok_and(|url| hosts.side(rules).reserved.covers_url(&url));
        if reserved {
            return false;
        }
        let purpose = Purpose {
            rules: Arc::clone(rules),
            url: url.clone(),
            own_host: true,
        };
        let Ok(who) = hosts.who(url, &purpose).await else {
            return false;
        };
        let Ok(access) = hosts.access(url, rules, who.as_ref()).await else {
            return false;
        };
        let Ok(visit) = hosts.visit_briefly(url, rules).await else {
            return false;
        };
        // That one scheme is not served says nothing of the host.
        if hosts.connects(&visit, url, rules, &access).await.is_err() {
            visit.neutral();
            return false;
        }
        let remote = Remote {
            url: url.as_str(),
            access: &access,
            time: rules.timeout,
            size: 0,
            memory: rules.memory(),
            space: &self.direct.shared.space,
        };
        let mirror = self.direct.mirror(MirrorKey {
            url: url.as_str().to_owned(),
            identity: hosts.identity(&purpose),
            party: rules.party(),
        });
        let found = mirror.refs(remote, Listing::of(rules.party())).await;
        visit.neutral();
        found.is_ok()
    }
}
