//! A module where it lies in its repository, and what it is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::error::DirectError;
use super::repositories::{CONTACT, Direct};
use crate::gomod::version::by_preference;
use crate::gomod::{ModulePath, Version};
use crate::vcs::git::Bounds;
use crate::vcs::layout::Layout;
use crate::vcs::pack::{self, PackError};
use crate::vcs::repository::{At, Repository};
use crate::vcs::root::Root;
use crate::vcs::rules::Who;
use crate::vcs::tables::Snapshot;
use crate::vcs::tenant::Tenant;
use crate::vcs::url::RepoUrl;
use crate::vcs::versions::{Dated, Located, Module, NoVersion, RepoError};

/// For versions, which do not change, references may be as old as this.
const VERSIONS_TTL: Duration = Duration::from_secs(300);
/// The largest tree that is unpacked for a module. Bytes.
const MAX_TREE: u64 = 8 << 30;
/// The same of what strangers name.
const MAX_STRANGERS_TREE: u64 = 2 << 30;

/// What a module is asked for.
#[derive(Clone, Copy, Debug)]
pub enum DirectQuery<'a> {
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

/// A module where it lies in its repository.
pub struct RepositoryModule {
    pub(super) direct: Arc<Direct>,
    pub(super) repository: Arc<Repository>,
    pub(super) root: Root,
    pub(super) layout: Layout,
    pub(super) module: ModulePath,
}

impl RepositoryModule {
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
    pub async fn ask(&self, question: DirectQuery<'_>) -> Result<Bytes, DirectError> {
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
        let question = DirectQuery::GoMod(version);
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
        let source = pack::ModuleTree {
            mirror: self.repository.mirror(),
            commit: &located.dated.commit.id,
            dir: &located.dir,
        };
        let bounds = Bounds {
            time: self.repository.rules().timeout,
            output: match self.repository.rules().tenant() {
                Tenant::Strangers => MAX_STRANGERS_TREE,
                Tenant::Own => MAX_TREE,
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
        question: &DirectQuery<'_>,
        asked: Instant,
    ) -> Result<Snapshot, RepoError> {
        self.direct
            .shared
            .mirror_cache
            .used(self.repository.mirror());
        let ttl = match question {
            DirectQuery::Info(_) | DirectQuery::GoMod(_) => self.direct.refs_ttl.max(VERSIONS_TTL),
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
            hosted: self,
        })
    }

    async fn answer(
        &self,
        snapshot: &Snapshot,
        question: DirectQuery<'_>,
    ) -> Result<Bytes, NoVersion> {
        let opened = self.open(snapshot).await?;
        let module = opened.module().await?;
        let dated = match question {
            DirectQuery::List => return Ok(list(&module.versions().await?)),
            DirectQuery::GoMod(version) => return module.go_mod(version).await,
            DirectQuery::Latest => latest(&module).await?,
            DirectQuery::Query(query) => module.info(query).await?,
            DirectQuery::Info(version) => {
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
    hosted: &'a RepositoryModule,
}

impl Opened<'_> {
    async fn module(&self) -> Result<Module<'_>, RepoError> {
        let (layout, path) = (&self.hosted.layout, &self.hosted.module);
        Module::open(&self.at, layout.clone(), path.clone()).await
    }

    async fn locate(&self, version: &Version) -> Result<Located, NoVersion> {
        self.module().await?.locate(version).await
    }
}

impl NoVersion {
    /// Since when references must be to be worth another try: what is not known may have been made a moment ago, and what
    /// was there has just changed.
    fn newer(
        &self,
        question: &DirectQuery<'_>,
        snapshot: &Snapshot,
        asked: Instant,
    ) -> Option<Instant> {
        match self.repo_error() {
            Some(RepoError::Moved(_)) => Some(Instant::now()),
            Some(_) => None,
            None if matches!(question, DirectQuery::List | DirectQuery::Latest) => None,
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
