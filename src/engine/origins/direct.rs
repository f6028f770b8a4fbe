//! Direct mode as an origin: questions of clients become questions about a repository, and what has no answer
//! gets its class.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache;
use tokio::sync::mpsc;
use url::Url;

use super::{FetchRequest, Known, Origin, OriginError, PATIENCE, Reply, Revalidation};
use crate::engine::error::{Class, EngineError};
use crate::gomod::Version;
use crate::protocol::{FileKey, Key, Kind, Meta, MetaKey};
use crate::upstream::{Failure, SinkError, Upstream, Validators, ZipStream};
use crate::vcs::direct::{DirectError, Lodging, Place, Question, Way};
use crate::vcs::pack::PackError;
use crate::vcs::party::Party;
use crate::vcs::resolve::ResolveError;
use crate::vcs::{NoVersion, RepoError};

/// Module proxies that pages name and that are remembered, at the most.
const PROXIES: usize = 64;
/// When what had no room here may be asked for again.
const NO_ROOM: Duration = Duration::from_secs(60);
/// Pieces of a zip in the making.
const AHEAD: usize = 4;

/// Makes a module proxy that a page names, if it may be asked.
pub type MakeProxy = Arc<dyn Fn(&Url) -> Result<Arc<Upstream>, String> + Send + Sync>;

/// Straight from version control, by one set of rules.
pub struct DirectOrigin {
    label: Arc<str>,
    way: Arc<Way>,
    make: MakeProxy,
    proxies: Cache<String, Arc<Upstream>>,
}

/// Whom to ask about a module.
enum Found {
    /// A repository.
    Repository(Box<Lodging>),
    /// Another module proxy, as the module's page says.
    Proxy(Arc<Upstream>),
}

impl DirectOrigin {
    /// By the rules of `way`.
    pub fn new(way: Arc<Way>, make: MakeProxy) -> Arc<Self> {
        Arc::new(DirectOrigin {
            label: "direct".into(),
            way,
            make,
            proxies: Cache::new(PROXIES),
        })
    }

    /// Finds out whom to ask.
    async fn find(&self, request: &FetchRequest<'_>) -> Result<Found, OriginError> {
        let place = self.way.place(request.key.module()).await;
        match place.map_err(|error| failed(verdict(request, error)))? {
            Place::Repository(lodging) => Ok(Found::Repository(lodging)),
            Place::Proxy(url) => {
                let make = || {
                    let url = Url::parse(url.as_str()).map_err(|error| error.to_string())?;
                    (self.make)(&url)
                };
                let proxy = self.proxies.get_or_insert_with(&url.to_string(), make);
                proxy.map(Found::Proxy).map_err(|why| {
                    let what = request.describe();
                    failed(EngineError::absent(format!(
                        "not found: {what}: its page names the module proxy {url}: {why}"
                    )))
                })
            }
        }
    }

    /// The largest small body that a repository may give: own ones have the bounds of what reads them, which are the go
    /// command's.
    fn max(&self, request: &FetchRequest<'_>) -> Option<u64> {
        let is_own = self.way.rules().party() == Party::Own;
        (!is_own).then_some(request.max_of_strangers)
    }
}

#[async_trait]
impl Origin for DirectOrigin {
    fn label(&self) -> &Arc<str> {
        &self.label
    }

    fn is_proxy(&self) -> bool {
        false
    }

    async fn fetch_small(
        &self,
        request: &FetchRequest<'_>,
        _time: Duration,
    ) -> Result<Reply, OriginError> {
        match self.find(request).await? {
            Found::Repository(lodging) => {
                let reply = small(&lodging, request, self.max(request)).await;
                reply.map_err(failed)
            }
            Found::Proxy(proxy) => Origin::fetch_small(&*proxy, request, PATIENCE).await,
        }
    }

    async fn revalidate(
        &self,
        request: &FetchRequest<'_>,
        known: &Known<'_>,
        _time: Duration,
    ) -> Result<Revalidation, OriginError> {
        match self.find(request).await? {
            Found::Repository(lodging) => {
                let reply = small(&lodging, request, self.max(request)).await;
                reply.map(Revalidation::New).map_err(failed)
            }
            Found::Proxy(proxy) => Origin::revalidate(&*proxy, request, known, PATIENCE).await,
        }
    }

    async fn fetch_zip(
        &self,
        request: &FetchRequest<'_>,
        version: &Version,
        _time: Duration,
        stream: &mut ZipStream<'_>,
    ) -> Result<Arc<str>, OriginError> {
        match self.find(request).await? {
            Found::Repository(lodging) => {
                let made = zip(&lodging, request, version, stream).await;
                made.map_err(failed)
            }
            Found::Proxy(proxy) => proxy.fetch_zip(request, version, PATIENCE, stream).await,
        }
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.way.patience())
    }
}

/// How an error is told beside those of other origins.
fn failed(error: EngineError) -> OriginError {
    let line = error.lines.first().map_or("", String::as_str);
    let brief = format!("direct: {}", line.trim_start_matches("not found: "));
    OriginError { error, brief }
}

/// Asks a repository for something small, of at most `max` bytes.
async fn small(
    lodging: &Lodging,
    request: &FetchRequest<'_>,
    max: Option<u64>,
) -> Result<Reply, EngineError> {
    let body = lodging.ask(question(request.key)).await;
    let body: Bytes = body.map_err(|error| verdict(request, error))?;
    let what = request.describe();
    if let Some(max) = max.filter(|max| body.len() as u64 > *max) {
        let url = lodging.url();
        let text = format!("{what}: what {url} has of it is larger than {max} bytes");
        let mut error = EngineError::new(Class::Upstream, text);
        error.too_large = true;
        return Err(error);
    }
    let content = request.check(&body).map_err(|why| {
        EngineError::absent(format!(
            "not found: {what}: what {} has of it is not to be used: {why}",
            lodging.url()
        ))
    })?;
    Ok(Reply {
        content,
        validators: Validators::default(),
        from: label(lodging),
    })
}

/// Has a zip made; gives the name of the repository.
async fn zip(
    lodging: &Lodging,
    request: &FetchRequest<'_>,
    version: &Version,
    stream: &mut ZipStream<'_>,
) -> Result<Arc<str>, EngineError> {
    let (sender, pieces) = mpsc::channel(AHEAD);
    let from = label(lodging);
    let making = lodging.zip(version, sender);
    // When taking ends early, its end of the channel goes, and with it what is being made.
    let (made, taken) = tokio::join!(making, stream.take_all(&from, pieces));
    let what = request.describe();
    match taken {
        Ok(()) => match made {
            Ok(()) => Ok(from),
            Err(error) => Err(verdict(request, error)),
        },
        Err(Failure::Sink(SinkError::Store(text))) => {
            tracing::error!(%text, what, "a zip that was made could not be written");
            Err(EngineError::ours(format!(
                "{what}: larder could not store what it made"
            )))
        }
        Err(failure) => Err(EngineError::new(
            Class::Upstream,
            format!("{what}: the zip made from {from} cannot be used: {failure}"),
        )),
    }
}

/// A repository's name in records and logs.
fn label(lodging: &Lodging) -> Arc<str> {
    let url = lodging.url().as_str();
    url.split_once("://").map_or(url, |(_, rest)| rest).into()
}

fn question(key: &Key) -> Question<'_> {
    match key {
        Key::File(FileKey { version, kind, .. }) => match kind {
            Kind::Info => Question::Info(version),
            Kind::Mod | Kind::Zip => Question::GoMod(version),
        },
        Key::Meta(MetaKey { meta, .. }) => match meta {
            Meta::List => Question::List,
            Meta::Latest => Question::Latest,
            Meta::Query(name) => Question::Query(name.as_str()),
        },
    }
}

/// Why there is no answer, with its class (protocol.md 6.1.7).
fn verdict(request: &FetchRequest<'_>, error: DirectError) -> EngineError {
    let what = request.describe();
    let text = error.to_string();
    let class = match &error {
        DirectError::Resolve(error) => of_resolving(error),
        DirectError::Layout(_) => Class::Absent { gone: false },
        DirectError::Version(NoVersion::Repo(error)) => of_repository(error),
        DirectError::Version(_) => Class::Absent { gone: false },
        DirectError::Pack(error) => match &**error {
            PackError::Rule(_) | PackError::TooLarge { .. } | PackError::TooMany => {
                Class::Absent { gone: false }
            }
            PackError::NoRoom => Class::Unavailable,
            PackError::Git(_) | PackError::Archive(_) | PackError::List => Class::Upstream,
            PackError::Disk(_) | PackError::Gone => {
                tracing::error!(%error, what, "a zip could not be made");
                Class::Ours
            }
        },
    };
    if class == Class::Ours {
        return EngineError::ours(format!("{what}: larder could not make the zip"));
    }
    let said_by_all = is_said(&error);
    let too_large = matches!(
        &error,
        DirectError::Version(NoVersion::Repo(RepoError::TooLarge(_)))
    );
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let first = match class {
        Class::Absent { .. } => format!("not found: {what}: {first}"),
        _ => format!("{what}: {first}"),
    };
    let mut verdict = lines.fold(EngineError::new(class, first), EngineError::and);
    verdict.said_by_all = said_by_all;
    verdict.doubtful = matches!(
        &error,
        DirectError::Resolve(ResolveError::Untagged { .. } | ResolveError::Closed(_))
    );
    if class == Class::Unavailable {
        verdict.retry_after = Some(NO_ROOM);
    }
    verdict.too_large = too_large;
    verdict
}

/// Whether it is known of the module or its repository that there is no such thing. A repository that is not there may
/// only want a login, and what the rules in force forbid says nothing of what there is.
fn is_said(error: &DirectError) -> bool {
    match error {
        DirectError::Resolve(error) => matches!(
            error,
            ResolveError::None(_) | ResolveError::Untagged { known: false, .. }
        ),
        DirectError::Layout(_) => true,
        DirectError::Version(error) => !matches!(error, NoVersion::Repo(_)),
        DirectError::Pack(_) => false,
    }
}

fn of_resolving(error: &ResolveError) -> Class {
    match error {
        ResolveError::None(_) | ResolveError::Barred(_) | ResolveError::Closed(_) => {
            Class::Absent { gone: false }
        }
        // A sign-in page looks like that.
        ResolveError::Untagged { known: true, .. } => Class::Upstream,
        ResolveError::Untagged { known: false, .. } => Class::Absent { gone: false },
        ResolveError::Timeout(_) => Class::Timeout,
        ResolveError::Fault(_) => Class::Upstream,
    }
}

fn of_repository(error: &RepoError) -> Class {
    match error {
        RepoError::Missing(_) => Class::Absent { gone: false },
        RepoError::Timeout(_) => Class::Timeout,
        RepoError::NoRoom(_) => Class::Unavailable,
        RepoError::Refused(_)
        | RepoError::Unreachable(_)
        | RepoError::Moved(_)
        | RepoError::TooLarge(_)
        | RepoError::Broken(_) => Class::Upstream,
    }
}
