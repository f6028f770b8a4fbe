//! Joins the checksum databases' clients with the upstreams that lead to them and with the store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use super::error::{Cause, EngineError};
use crate::flights::{FlightOutcome, Flights, outcome};
use crate::kit::FetchContext;
use crate::store::{DatabaseFacts, Store, StoreError};
use crate::sumdb::{Ask, State, StateError, SumdbError, Transport};
use crate::upstream::{Failure, OnFailure, SourceError, Upstream, UpstreamRequest};

/// Tiles, heads and such are there within this, or not at all.
const SMALL_TIME: Duration = Duration::from_secs(30);
/// Whether an upstream serves the database it says within this, or it does not.
const SUPPORTED_TIME: Duration = Duration::from_secs(10);
/// How long an upstream's word that it serves a database holds.
const ROUTE_HOLDS: Duration = Duration::from_secs(600);
/// After a failure another way may be chosen if the choice is as old as this.
const CHOOSE_AGAIN: Duration = Duration::from_secs(30);
/// The answer to `supported`, which says nothing but by its status. Bytes.
const MAX_SUPPORTED: u64 = 64 << 10;

/// The routes to one database.
#[derive(Clone, Default)]
pub struct SumdbRoutes {
    /// Through upstreams that serve it, in the order of the chain; each at `<upstream>/sumdb/<name>`.
    pub proxies: Vec<(Arc<Upstream>, OnFailure)>,
    /// The database itself.
    pub direct: Option<Arc<Upstream>>,
}

/// The way to a database over the network: the first upstream in the chain that says it serves the database, else the
/// database itself, as the `go` command chooses (protocol.md 4.6.2).
pub struct Network {
    routes: watch::Receiver<Option<SumdbRoutes>>,
    lookup_time: Duration,
    /// By its address: another configuration makes it anew.
    chosen: Mutex<Option<(Url, Instant)>>,
    choosing: Flights<(), FlightOutcome<Result<Arc<Upstream>, SumdbError>>>,
}

impl Network {
    /// `routes` may become known later. A look-up may take `lookup_time`.
    pub fn new(routes: watch::Receiver<Option<SumdbRoutes>>, lookup_time: Duration) -> Arc<Self> {
        Arc::new(Network {
            routes,
            lookup_time,
            chosen: Mutex::default(),
            choosing: Flights::new(1, Default::default()),
        })
    }

    /// The latest tree head, as it comes.
    pub async fn latest(self: &Arc<Self>) -> Result<Bytes, SumdbError> {
        let ask = Ask {
            path: "latest".into(),
            lookup: None,
            max: MAX_SUPPORTED,
            context: FetchContext::default(),
        };
        self.get(&ask).await
    }

    async fn route(self: &Arc<Self>, context: &FetchContext) -> Result<Arc<Upstream>, SumdbError> {
        let chosen = self.chosen.lock().clone();
        if let Some((url, since)) = chosen
            && since.elapsed() < ROUTE_HOLDS
            && let Some(upstream) = self.at(&url)
        {
            return Ok(upstream);
        }
        let flight = self.choosing.join(&(), &FetchContext::default(), |place| {
            let (sender, receiver) = watch::channel(None);
            // Somebody waits, if not now: the way is kept for long.
            let (network, context) = (
                Arc::clone(self),
                FetchContext {
                    via: context.via.clone(),
                    ..FetchContext::default()
                },
            );
            let work = async move {
                let chosen = network.choose(&context).await;
                match &chosen {
                    Ok(upstream) => {
                        let url = upstream.base().clone();
                        *network.chosen.lock() = Some((url, Instant::now()));
                    }
                    Err(_) => place.leave(),
                }
                sender.send_replace(Some(chosen));
            };
            (receiver, work)
        });
        outcome(flight.ok_or(SumdbError::Overloaded)?)
            .await
            .unwrap_or_else(|| {
                Err(SumdbError::Fault(
                    "choosing a route ended unexpectedly".into(),
                ))
            })
    }

    /// The route with this address, if it is still one.
    fn at(&self, url: &Url) -> Option<Arc<Upstream>> {
        let routes = self.routes.borrow();
        let routes = routes.as_ref()?;
        let proxies = routes.proxies.iter().map(|(upstream, _)| upstream);
        let mut all = proxies.chain(&routes.direct);
        all.find(|upstream| upstream.base() == url).cloned()
    }

    async fn choose(&self, context: &FetchContext) -> Result<Arc<Upstream>, SumdbError> {
        let mut routes = self.routes.clone();
        let routes = match routes.wait_for(Option::is_some).await {
            Ok(known) => known.clone().unwrap_or_default(),
            Err(_) => {
                let text = "larder is stopping, and had not yet found out how to ask it".into();
                return Err(SumdbError::Unavailable {
                    text,
                    retry_after: None,
                });
            }
        };
        for (upstream, on_failure) in &routes.proxies {
            let request = UpstreamRequest {
                path: "supported",
                module: None,
                first_byte: None,
                max: MAX_SUPPORTED,
                max_of_strangers: MAX_SUPPORTED,
                large: false,
                context,
            };
            let check = |_: &Bytes| Ok(());
            match upstream.fetch_small(&request, SUPPORTED_TIME, &check).await {
                Ok(_) => return Ok(Arc::clone(upstream)),
                Err(error) if error.is_absent() || *on_failure == OnFailure::AnyError => {
                    tracing::debug!(upstream = %upstream.label(), %error, "does not serve the checksum database");
                }
                Err(error) => return Err(trouble(upstream, &error)),
            }
        }
        routes.direct.ok_or_else(|| {
            SumdbError::Fault("there is no way to it: no upstream serves it, and the chain ends before the database itself is asked".into())
        })
    }
}

#[async_trait]
impl Transport for Arc<Network> {
    async fn get(&self, ask: &Ask) -> Result<Bytes, SumdbError> {
        let upstream = self.route(&ask.context).await?;
        let lookup = ask.lookup.is_some();
        let request = UpstreamRequest {
            path: &ask.path,
            module: ask.lookup.as_ref(),
            first_byte: lookup.then_some(self.lookup_time),
            max: ask.max,
            max_of_strangers: ask.max,
            large: lookup,
            context: &ask.context,
        };
        let time = if lookup { self.lookup_time } else { SMALL_TIME };
        let whole = |body: &Bytes| Ok(body.clone());
        match upstream.fetch_small(&request, time, &whole).await {
            Ok((body, _)) => Ok(body),
            Err(error) => {
                if !error.is_absent() {
                    // Perhaps another one serves it by now; but that is not asked each time.
                    let old = |(_, since): &(Url, Instant)| since.elapsed() >= CHOOSE_AGAIN;
                    let mut chosen = self.chosen.lock();
                    if chosen.as_ref().is_some_and(old) {
                        *chosen = None;
                    }
                }
                Err(trouble(&upstream, &error))
            }
        }
    }
}

/// What a failed request means for whoever wanted to know something.
fn trouble(upstream: &Upstream, error: &SourceError) -> SumdbError {
    let label = upstream.label();
    let text = format!("{label}: {error}");
    let failure = match error {
        SourceError::Failed { failure, .. } => failure,
        SourceError::Open { left, .. } | SourceError::Paused(left) => {
            return SumdbError::Unavailable {
                text,
                retry_after: Some(*left),
            };
        }
        SourceError::Busy => {
            return SumdbError::Unavailable {
                text,
                retry_after: Some(Duration::from_secs(5)),
            };
        }
    };
    match failure {
        Failure::Absent { status, text } => SumdbError::Unknown {
            gone: status.as_u16() == 410,
            text: match text.as_str() {
                "" => format!("{label} says {status}"),
                words => format!("{label} says: {words}"),
            },
        },
        Failure::Refused { text: words } if !words.is_empty() => {
            SumdbError::Refused(format!("{label} says: {words}"))
        }
        Failure::Refused { .. } => SumdbError::Refused(text),
        Failure::Timeout(_) => SumdbError::Timeout(text),
        Failure::Limited { after, .. } => SumdbError::Unavailable {
            text,
            retry_after: *after,
        },
        Failure::Loop => SumdbError::Loop(text),
        // A tile or record cannot be that long: whoever sends it does not send what was asked for.
        Failure::TooLarge(_) => SumdbError::Forged(text),
        _ => SumdbError::Fault(text),
    }
}

/// What is kept of a database, in the store.
pub struct SumdbState {
    facts: DatabaseFacts,
    store: Store,
}

impl SumdbState {
    /// Of the database `name`.
    pub fn new(store: &Store, name: &str) -> Arc<Self> {
        Arc::new(SumdbState {
            facts: store.database(name),
            store: store.clone(),
        })
    }
}

fn failed(error: StoreError) -> StateError {
    StateError(error.to_string())
}

#[async_trait]
impl State for SumdbState {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateError> {
        self.facts.get(key).await.map_err(failed)
    }

    /// On a full disk what can be had again is not kept.
    fn has_room(&self) -> bool {
        self.store.keeps()
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<(), StateError> {
        self.facts.put(key, value).await.map_err(failed)
    }

    async fn swap(&self, key: &str, old: Option<&Bytes>, new: Bytes) -> Result<bool, StateError> {
        self.facts.swap(key, old, new).await.map_err(failed)
    }

    async fn tile(&self, key: &str) -> Result<Option<Bytes>, StateError> {
        self.facts.tile(key).await.map_err(failed)
    }

    async fn put_tile(&self, key: &str, value: Bytes) -> Result<(), StateError> {
        self.facts.put_tile(key, value).await.map_err(failed)
    }

    async fn clear(&self) -> Result<(), StateError> {
        self.facts.clear().await.map_err(failed)
    }
}

/// What a request to the relay, or a module that depends on the database, is answered.
pub fn database_error(what: &str, database: &str, source: SumdbError) -> EngineError {
    noted(what, database, &source);
    Cause::Database {
        what: what.to_owned(),
        database: database.into(),
        source,
    }
    .into()
}

/// A fault of ours is for the log.
pub(super) fn noted(what: &str, database: &str, error: &SumdbError) {
    if let SumdbError::Store(text) = error {
        tracing::error!(%text, database, what, "the store failed");
    }
}
