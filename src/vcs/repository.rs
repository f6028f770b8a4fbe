//! One repository as some modules reach it: its references, believed for a while, and its mirror, asked only as far as a
//! question needs it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::git::GitError;
use super::hosts::Hosts;
use super::mirror::{Mirror, MirrorError, MirrorLock, RefsLimit, Remote};
use super::mirror_cache::MirrorCache;
use super::refs::{ObjectId, RefTable};
use super::refusal::Diagnosis;
use super::refusals::{self, Refusals};
use super::rules::{HostRules, Purpose, Who};
use super::tables::{RepositoryKey, Snapshot, Tables};
use super::tenant::Tenant;
use super::url::RepoUrl;
use super::versions::{CommitInfo, Commits, InHistory, RepoError};
use super::workspace::Workspace;
use crate::gomod::CommitTime;

/// How long it is believed that it has moved.
const MOVED_TTL: Duration = Duration::from_secs(600);
/// Ways to a repository that are tried one after the other: where it was, where it has moved to, as nobody.
const WAYS: usize = 3;

pub struct Repository {
    purpose: Purpose,
    hosts: Arc<Hosts>,
    mirror: Arc<Mirror>,
    shared: Arc<Shared>,
    /// Among its like.
    key: RepositoryKey,
    /// One list of references at a time.
    asking: Semaphore,
    /// Where it is now, and since when we know that.
    moved: Mutex<Option<(RepoUrl, Instant)>>,
    /// Failures of git in a row that nobody can explain.
    unexplained: AtomicU32,
    /// Our login is not accepted, and not needed.
    anonymous: AtomicBool,
    /// A digest of the references whose history was last fetched whole.
    whole: Mutex<Option<u64>>,
    hasher: RandomState,
}

/// What all repositories have in common.
pub struct Shared {
    /// Git hosts.
    pub hosts: Arc<Hosts>,
    /// The references of all of them.
    pub tables: Tables,
    /// What was too large.
    pub refusals: Refusals<RepoError>,
    /// The room of all mirrors.
    pub mirror_cache: MirrorCache,
    /// The disk.
    pub space: Workspace,
}

/// What the host is asked for.
enum Ask<'a> {
    References,
    /// The tree of a commit that a reference stands for.
    Tree {
        id: &'a ObjectId,
        reference: &'a str,
    },
    /// The history of everything in a table; `any` of it says what kind of hashes the repository has.
    History {
        any: &'a ObjectId,
        table: &'a RefTable,
    },
}

impl Ask<'_> {
    /// In labels of metrics.
    fn word(&self) -> &'static str {
        match self {
            Ask::References => "references",
            Ask::Tree { .. } => "tree",
            Ask::History { .. } => "history",
        }
    }
}

impl Repository {
    /// Nothing is asked yet.
    pub fn new(
        purpose: Purpose,
        key: RepositoryKey,
        shared: Arc<Shared>,
        mirror: Arc<Mirror>,
    ) -> Arc<Self> {
        Arc::new(Repository {
            purpose,
            unexplained: AtomicU32::new(0),
            hosts: Arc::clone(&shared.hosts),
            mirror,
            shared,
            key,
            hasher: RandomState::new(),
            asking: Semaphore::new(1),
            moved: Mutex::default(),
            anonymous: AtomicBool::new(false),
            whole: Mutex::default(),
        })
    }

    /// Its address, as modules name it.
    pub fn url(&self) -> &RepoUrl {
        &self.purpose.url
    }

    /// By which rules it is asked.
    pub fn rules(&self) -> &HostRules {
        &self.purpose.rules
    }

    pub fn mirror(&self) -> &Arc<Mirror> {
        &self.mirror
    }

    /// Who we are to it.
    pub async fn who(&self) -> Result<Option<Who>, RepoError> {
        Ok(self.here().await?.2)
    }

    /// What was last known of its references, however old.
    pub fn last_known(&self) -> Option<Snapshot> {
        let tenant = self.purpose.rules.tenant();
        self.shared.tables.get(tenant, &self.key)
    }

    /// Its references, none of them asked for before `since`.
    pub async fn snapshot(&self, since: Instant) -> Result<Snapshot, RepoError> {
        let new = || self.last_known().filter(|known| known.at >= since);
        if let Some(known) = new() {
            return Ok(known);
        }
        let _one = self.asking.acquire().await.ok();
        if let Some(known) = new() {
            return Ok(known);
        }
        let at = Instant::now();
        let table = self.network(&Ask::References).await?.unwrap_or_default();
        let snapshot = Snapshot {
            table: Arc::new(table),
            at,
        };
        let tenant = self.purpose.rules.tenant();
        let tables = &self.shared.tables;
        tables.put(tenant, &self.key, snapshot.clone());
        Ok(snapshot)
    }

    /// Where it is, whether that is not where modules say, and who we are there.
    async fn here(&self) -> Result<(RepoUrl, bool, Option<Who>), RepoError> {
        let moved = {
            let mut moved = self.moved.lock();
            // Whoever has the old address now is to be noticed.
            moved.take_if(|(_, since)| since.elapsed() > MOVED_TTL);
            moved.as_ref().map(|(url, _)| url.clone())
        };
        let is_moved = moved.is_some();
        let url = moved.unwrap_or_else(|| self.purpose.url.clone());
        let who = match self.anonymous.load(Ordering::Relaxed) {
            true => None,
            false => self.hosts.who(&url, &self.purpose).await?,
        };
        Ok((url, is_moved, who))
    }

    async fn ask(
        &self,
        what: &Ask<'_>,
        remote: Remote<'_>,
        lock: Option<&MirrorLock<'_>>,
    ) -> Result<Option<RefTable>, MirrorError> {
        let mirror = &self.mirror;
        match (what, lock) {
            (Ask::Tree { id, reference }, Some(lock)) => {
                mirror.ensure(lock, remote, id, reference).await?;
            }
            (Ask::History { any, table }, Some(lock)) => {
                mirror.complete(lock, remote, any).await?;
                *self.whole.lock() = Some(self.hasher.hash_one(table));
            }
            _ => {
                let limit = RefsLimit::of(self.purpose.rules.tenant());
                return Ok(Some(mirror.refs(remote, limit).await?));
            }
        }
        Ok(None)
    }

    /// Asks the host, and counts that. What was too large a moment ago is not asked for again.
    async fn network(&self, what: &Ask<'_>) -> Result<Option<RefTable>, RepoError> {
        let about = self.about(what);
        if let Some(error) = self.shared.refusals.get(&about) {
            return Err(error);
        }
        let began = Instant::now();
        let found = self.by_some_way(what).await;
        let lasts = match &found {
            Err(RepoError::TooLarge(_)) => Some(refusals::TOO_LARGE),
            Err(RepoError::NoRoom(_)) => Some(refusals::NO_ROOM),
            _ => None,
        };
        if let Some((time, error)) = lasts.zip(found.as_ref().err()) {
            self.shared.refusals.put(about, error, time);
        }
        let outcome = match &found {
            Ok(_) => "ok",
            Err(RepoError::Missing(_)) => "missing",
            Err(RepoError::Refused(_)) => "refused",
            Err(RepoError::Timeout(_)) => "timeout",
            Err(_) => "fault",
        };
        let metrics = self.hosts.metrics();
        metrics.asked(what.word(), outcome, began.elapsed());
        found
    }

    /// What is asked for, in all words. Of what strangers name one commit that is too large speaks for all.
    fn about(&self, what: &Ask<'_>) -> String {
        let commit = match (what, self.purpose.rules.tenant()) {
            (Ask::Tree { id, .. }, Tenant::Own) => id.as_str(),
            _ => "",
        };
        let dir = self.mirror.dir().display();
        format!("{dir} {} {commit}", what.word())
    }

    /// An empty list, from a host that may not have spoken git at all: a page that asks for a login has no line that git
    /// would read either.
    async fn confirm_empty(&self, url: &RepoUrl, who: Option<&Who>) -> Result<(), RepoError> {
        if url.scheme().is_ssh() {
            return Ok(());
        }
        let web = &self.hosts.client(&self.purpose.rules).web;
        let authorization = who.and_then(|who| who.login.header());
        match web.probe(url.as_str(), authorization).await {
            Ok(probe) if probe.is_git => Ok(()),
            Ok(probe) => Err(RepoError::Unreachable(format!(
                "{url}: {} answers {} with something that is no list of references: a sign-in or maintenance page, perhaps",
                url.host(),
                probe.status
            ))),
            Err(error) => Err(RepoError::Unreachable(format!("{url}: {error}"))),
        }
    }

    /// Asks the host, and finds out why it says no if it does.
    async fn by_some_way(&self, what: &Ask<'_>) -> Result<Option<RefTable>, RepoError> {
        // First the turn, then a place at the host: who waits for a turn must not keep others from the host.
        let lock = match what {
            Ask::References => None,
            Ask::Tree { .. } | Ask::History { .. } => self.mirror.lock().await,
        };
        if let Ask::History { table, .. } = what
            && self.has_whole(table)
        {
            // Whoever had the turn before has fetched it.
            return Ok(None);
        }
        let rules = &self.purpose.rules;
        let mut last = None;
        for _ in 0..WAYS {
            let (url, is_moved, who) = self.here().await?;
            let access = self.hosts.access(&url, rules, who.as_ref()).await?;
            let permit = match what {
                Ask::References => self.hosts.permit_briefly(&url, rules).await?,
                Ask::Tree { .. } | Ask::History { .. } => self.hosts.permit(&url, rules).await?,
            };
            if let Err(error) = self.hosts.connects(&permit, &url, rules, &access).await {
                match error {
                    RepoError::Missing(_) => {}
                    _ => permit.failed(&reason(&url, &error)),
                }
                return Err(error);
            }
            let remote = Remote {
                url: url.as_str(),
                access: &access,
                time: rules.timeout,
                size: rules.max_repository,
                memory: rules.memory(),
                space: &self.shared.space,
            };
            let error = match self.ask(what, remote, lock.as_ref()).await {
                Ok(found) => {
                    permit.answered();
                    if found.as_ref().is_some_and(RefTable::is_empty) {
                        self.confirm_empty(&url, who.as_ref()).await?;
                    }
                    self.unexplained.store(0, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(error) => error,
            };
            if lock.is_some() && error.is_damage() {
                drop((permit, lock));
                return Err(self.local(error).await);
            }
            let diagnosis = self
                .hosts
                .diagnose(&url, &self.purpose, who.as_ref(), error);
            let diagnosis = diagnosis.await;
            match &diagnosis {
                Diagnosis::Outage(error) => permit.failed(&reason(&url, error)),
                Diagnosis::Final(RepoError::Timeout(_)) => permit.hung(url.as_str()),
                // What is wrong is here.
                Diagnosis::Final(
                    RepoError::Broken(_)
                    | RepoError::TooLarge(_)
                    | RepoError::NoRoom(_)
                    | RepoError::Moved(_),
                ) => {}
                _ => permit.answered(),
            }
            match diagnosis {
                Diagnosis::Moved(to) if self.is_reserved(&to) => {
                    return Err(RepoError::Missing(format!(
                        "{url}: it has moved to a repository of private modules, where public ones do not come from"
                    )));
                }
                Diagnosis::Moved(to) if !is_moved => {
                    tracing::info!(from = %url, %to, "a repository has moved");
                    *self.moved.lock() = Some((to, Instant::now()));
                }
                Diagnosis::Moved(to) => {
                    *self.moved.lock() = None;
                    return Err(RepoError::Unreachable(format!(
                        "{url}: it has moved again, to {to}"
                    )));
                }
                Diagnosis::TryAnonymous(error) => {
                    self.anonymous.store(true, Ordering::Relaxed);
                    last = Some(error);
                }
                Diagnosis::Unexplained(error) => {
                    drop(lock);
                    self.puzzled(what).await;
                    return Err(error);
                }
                // A token may be withdrawn before its time.
                Diagnosis::Final(RepoError::Refused(error))
                    if last.is_none() && self.may_be_renewed(&url, who.as_ref()).await =>
                {
                    last = Some(RepoError::Refused(error));
                }
                Diagnosis::Final(error) | Diagnosis::Outage(error) => {
                    // Where it has moved to, and that it is open to all, are to be found out anew.
                    *self.moved.lock() = None;
                    self.anonymous.store(false, Ordering::Relaxed);
                    return Err(last.unwrap_or(error));
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            RepoError::Unreachable(format!("{}: no way leads to it", self.purpose.url))
        }))
    }

    fn is_reserved(&self, to: &RepoUrl) -> bool {
        let client = self.hosts.client(&self.purpose.rules);
        let to = url::Url::parse(to.as_str());
        to.is_ok_and(|to| client.reserved.covers_url(&to))
    }

    async fn may_be_renewed(&self, url: &RepoUrl, who: Option<&Who>) -> bool {
        match who {
            Some(who) => self.hosts.is_renewed(url, &self.purpose, who).await,
            None => false,
        }
    }

    /// Git has failed and the host is well: the second time in a row the mirror is blamed.
    async fn puzzled(&self, what: &Ask<'_>) {
        if matches!(what, Ask::References) {
            return;
        }
        if self.unexplained.fetch_add(1, Ordering::Relaxed) > 0 {
            self.unexplained.store(0, Ordering::Relaxed);
            self.mirror.condemn("git fails without a reason").await;
        }
    }

    /// Fetches something into the mirror.
    async fn fetch(&self, what: &Ask<'_>) -> Result<(), RepoError> {
        let no_room = |why: &str| RepoError::NoRoom(format!("{}: {why}", self.purpose.url));
        if !self.shared.space.has_room() {
            return Err(no_room(
                "larder's disk is too full to fetch it (store.reserve)",
            ));
        }
        if !self
            .shared
            .mirror_cache
            .has_room(self.purpose.rules.tenant())
        {
            return Err(no_room(
                "larder has no room for more mirrors at the moment (direct.mirrors)",
            ));
        }
        self.network(what).await?;
        let mirror = Arc::clone(&self.mirror);
        tokio::spawn(async move { mirror.tidy().await });
        Ok(())
    }

    /// Makes sure that the tree of a commit is here, which a reference of the table stands for.
    async fn ensure(&self, table: &RefTable, id: &ObjectId) -> Result<(), RepoError> {
        match self.mirror.has(id).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => return Err(self.local(error).await),
        }
        let Some(reference) = reference(table, id) else {
            return self.complete(table).await;
        };
        let reference = &reference;
        self.fetch(&Ask::Tree { id, reference }).await
    }

    /// Makes sure that the history of all references of the table is here.
    async fn complete(&self, table: &RefTable) -> Result<(), RepoError> {
        let Some(any) = any(table).filter(|_| !self.has_whole(table)) else {
            return Ok(());
        };
        self.fetch(&Ask::History { any, table }).await
    }

    /// Whether that is so already; the mirror may have made room for others since.
    fn has_whole(&self, table: &RefTable) -> bool {
        self.mirror.is_complete() && *self.whole.lock() == Some(self.hasher.hash_one(table))
    }

    /// The commit that the digits stand for in the history that is here.
    async fn find(&self, digits: &str) -> Result<Option<CommitInfo>, RepoError> {
        match self.mirror.in_history(digits).await {
            Ok(Some(id)) => self.info(&id).await,
            Ok(None) => Ok(None),
            Err(error) => Err(self.local(error).await),
        }
    }

    async fn info(&self, id: &ObjectId) -> Result<Option<CommitInfo>, RepoError> {
        match self.mirror.has(id).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(self.local(error).await),
        }
        let times = match self.mirror.times(id).await {
            Ok(times) => times,
            Err(error) => return Err(self.local(error).await),
        };
        Ok(
            CommitTime::from_unix(times.committed).map(|time| CommitInfo {
                id: id.clone(),
                time,
            }),
        )
    }

    /// Something that our own copy does not do as it should.
    pub async fn local(&self, error: MirrorError) -> RepoError {
        if error.is_damage() {
            self.mirror.condemn(&error.to_string()).await;
            return RepoError::Moved(format!("{}: {error}", self.purpose.url));
        }
        match error {
            MirrorError::Git(GitError::TooMuch(most)) => RepoError::TooLarge(format!(
                "{}: something in it is larger than {} MB",
                self.purpose.url,
                most / 1_000_000
            )),
            error @ MirrorError::Git(GitError::Timeout(_)) => {
                RepoError::Timeout(format!("{}: {error}", self.purpose.url))
            }
            error => RepoError::Broken(format!("{}: {error}", self.purpose.url)),
        }
    }
}

/// A reference that stands for the object, for the remote.
fn reference(table: &RefTable, id: &ObjectId) -> Option<String> {
    if let Some(tag) = table.tags_of(id).next() {
        return Some(format!("refs/tags/{tag}"));
    }
    let head = table.heads().find(|(_, known)| *known == id);
    match head {
        Some((name, _)) => Some(format!("refs/heads/{name}")),
        None => (table.head() == Some(id)).then(|| "HEAD".to_owned()),
    }
}

fn any(table: &RefTable) -> Option<&ObjectId> {
    let tag = || table.tags("").next();
    table
        .head()
        .or_else(|| table.heads().next().map(|(_, id)| id))
        .or_else(|| tag().map(|(_, id)| id))
}

/// A repository with its references as they were.
pub struct At<'a> {
    pub repository: &'a Repository,
    /// Its references.
    pub table: Arc<RefTable>,
}

#[async_trait]
impl Commits for At<'_> {
    async fn refs(&self) -> Result<Arc<RefTable>, RepoError> {
        Ok(Arc::clone(&self.table))
    }

    async fn commit(&self, id: &ObjectId) -> Result<Option<CommitInfo>, RepoError> {
        self.repository.ensure(&self.table, id).await?;
        self.repository.info(id).await
    }

    async fn find_in_history(&self, digits: &str) -> Result<InHistory, RepoError> {
        let repository = self.repository;
        // What was reachable once goes on to be found, as long as it is here.
        if repository.mirror.is_complete()
            && let Some(commit) = repository.find(digits).await?
        {
            return Ok(InHistory::Commit(commit));
        }
        repository.complete(&self.table).await?;
        Ok(match repository.find(digits).await? {
            Some(commit) => InHistory::Commit(commit),
            None => InHistory::Nothing,
        })
    }

    async fn file(
        &self,
        commit: &ObjectId,
        path: &str,
        max: u64,
    ) -> Result<Option<Bytes>, RepoError> {
        let file = match self.repository.mirror.file(commit, path).await {
            Ok(file) => file,
            Err(error) => return Err(self.repository.local(error).await),
        };
        match file {
            Some(body) if body.len() as u64 > max => Err(RepoError::TooLarge(format!(
                "{}: {path} is larger than {max} bytes",
                self.repository.url()
            ))),
            file => Ok(file),
        }
    }

    async fn is_ancestor(&self, older: &ObjectId, commit: &ObjectId) -> Result<bool, RepoError> {
        self.repository.complete(&self.table).await?;
        match self.repository.mirror.is_ancestor(older, commit).await {
            Ok(is) => Ok(is),
            Err(error) => Err(self.repository.local(error).await),
        }
    }

    async fn tags_before(&self, commit: &ObjectId, prefix: &str) -> Result<Vec<String>, RepoError> {
        self.repository.complete(&self.table).await?;
        let mut tags = match self.repository.mirror.tags_before(commit).await {
            Ok(tags) => tags,
            Err(error) => return Err(self.repository.local(error).await),
        };
        tags.retain(|tag| tag.starts_with(prefix) && self.table.tag(tag).is_some());
        Ok(tags)
    }
}

/// Why a host could not be asked, without the address of one repository: others at that host are told as well.
fn reason(url: &RepoUrl, error: &RepoError) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let about_host = first.strip_prefix(&format!("{url}: ")).unwrap_or(first);
    about_host.to_owned()
}
