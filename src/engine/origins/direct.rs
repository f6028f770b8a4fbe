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
use crate::engine::error::{Cause, EngineError};
use crate::gomod::Version;
use crate::protocol::{FileKey, Key, Kind, Meta, MetaKey};
use crate::upstream::{Failure, SinkError, Upstream, Validators, ZipStream};
use crate::vcs::direct::{DirectError, DirectProfile, DirectQuery, Location, RepositoryModule};
use crate::vcs::pack::PackError;
use crate::vcs::tenant::Tenant;

/// Module proxies that pages name and that are remembered, at the most.
const PROXIES: usize = 64;
/// Pieces of a zip in the making.
const AHEAD: usize = 4;

/// Makes a module proxy that a page names, if it may be asked.
pub type MakeProxy = Arc<dyn Fn(&Url) -> Result<Arc<Upstream>, String> + Send + Sync>;

/// Straight from version control, by one set of rules.
pub struct DirectOrigin {
    label: Arc<str>,
    profile: Arc<DirectProfile>,
    make: MakeProxy,
    proxies: Cache<String, Arc<Upstream>>,
}

/// Whom to ask about a module.
enum Found {
    /// A repository.
    Repository(Box<RepositoryModule>),
    /// Another module proxy, as the module's page says.
    Proxy(Arc<Upstream>),
}

impl DirectOrigin {
    /// By the rules of `profile`.
    pub fn new(profile: Arc<DirectProfile>, make: MakeProxy) -> Arc<Self> {
        Arc::new(DirectOrigin {
            label: "direct".into(),
            profile,
            make,
            proxies: Cache::new(PROXIES),
        })
    }

    /// Finds out whom to ask.
    async fn find(&self, request: &FetchRequest<'_>) -> Result<Found, OriginError> {
        let place = self.profile.place(request.key.module()).await;
        match place.map_err(|error| failed(verdict(request, error)))? {
            Location::Repository(hosted) => Ok(Found::Repository(hosted)),
            Location::Proxy(url) => {
                let make = || {
                    let url = Url::parse(url.as_str()).map_err(|error| error.to_string())?;
                    (self.make)(&url)
                };
                let proxy = self.proxies.get_or_insert_with(&url.to_string(), make);
                proxy.map(Found::Proxy).map_err(|why| {
                    let barred = Cause::BarredProxy {
                        what: request.describe(),
                        url: url.to_string(),
                        why,
                    };
                    failed(barred.into())
                })
            }
        }
    }

    /// The largest small body that a repository may give: own ones have the bounds of what reads them, which are the go
    /// command's.
    fn max(&self, request: &FetchRequest<'_>) -> Option<u64> {
        let is_own = self.profile.rules().tenant() == Tenant::Own;
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
            Found::Repository(hosted) => {
                let reply = small(&hosted, request, self.max(request)).await;
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
            Found::Repository(hosted) => {
                let reply = small(&hosted, request, self.max(request)).await;
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
            Found::Repository(hosted) => {
                let made = zip(&hosted, request, version, stream).await;
                made.map_err(failed)
            }
            Found::Proxy(proxy) => proxy.fetch_zip(request, version, PATIENCE, stream).await,
        }
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.profile.patience())
    }
}

/// How an error is told beside those of other origins.
fn failed(error: EngineError) -> OriginError {
    let line = error.cause().to_string();
    let brief = format!("direct: {}", line.trim_start_matches("not found: "));
    OriginError { error, brief }
}

/// Asks a repository for something small, of at most `max` bytes.
async fn small(
    hosted: &RepositoryModule,
    request: &FetchRequest<'_>,
    max: Option<u64>,
) -> Result<Reply, EngineError> {
    let body = hosted.ask(question(request.key)).await;
    let body: Bytes = body.map_err(|error| verdict(request, error))?;
    let what = request.describe();
    if let Some(max) = max.filter(|max| body.len() as u64 > *max) {
        let url = hosted.url().to_string();
        return Err(Cause::TooLargeThere { what, url, max }.into());
    }
    let url = || hosted.url().to_string();
    let content = request.check(&body).map_err(|why| Cause::UnusableThere {
        what,
        url: url(),
        why,
    })?;
    Ok(Reply {
        content,
        validators: Validators::default(),
        from: label(hosted),
    })
}

/// Has a zip made; gives the name of the repository.
async fn zip(
    hosted: &RepositoryModule,
    request: &FetchRequest<'_>,
    version: &Version,
    stream: &mut ZipStream<'_>,
) -> Result<Arc<str>, EngineError> {
    let (sender, pieces) = mpsc::channel(AHEAD);
    let from = label(hosted);
    let making = hosted.zip(version, sender);
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
        Err(source) => Err(Cause::UnusableZip { what, from, source }.into()),
    }
}

/// A repository's name in records and logs.
fn label(hosted: &RepositoryModule) -> Arc<str> {
    let url = hosted.url().as_str();
    url.split_once("://").map_or(url, |(_, rest)| rest).into()
}

fn question(key: &Key) -> DirectQuery<'_> {
    match key {
        Key::File(FileKey { version, kind, .. }) => match kind {
            Kind::Info => DirectQuery::Info(version),
            Kind::Mod | Kind::Zip => DirectQuery::GoMod(version),
        },
        Key::Meta(MetaKey { meta, .. }) => match meta {
            Meta::List => DirectQuery::List,
            Meta::Latest => DirectQuery::Latest,
            Meta::Query(name) => DirectQuery::Query(name.as_str()),
        },
    }
}

/// Why there is no answer.
fn verdict(request: &FetchRequest<'_>, source: DirectError) -> EngineError {
    let what = request.describe();
    if let DirectError::Pack(error) = &source
        && matches!(**error, PackError::Disk(_) | PackError::Gone)
    {
        tracing::error!(%error, what, "a zip could not be made");
    }
    Cause::Direct { what, source }.into()
}
