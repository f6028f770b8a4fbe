//! The product: look up what is kept, decide whether it is fresh, fetch what is missing once for all who want it,
//! verify it, answer, keep it.
//!
//! A request comes in as a [`Key`] and a [`RequestContext`] and leaves as an [`Answer`] or an [`EngineError`]. Fetches run in
//! tasks of their own (flights); a client that goes away disturbs nobody.

mod absent;
mod answer;
mod appeared;
mod context;
mod databases;
mod error;
mod fetched;
mod fetching;
mod files;
mod latest;
mod memory;
mod metadata;
mod negative;
mod operate;
mod origins;
mod paces;
mod prefetch;
mod recent;
mod refresh;
mod relay;
mod reverify;
mod rules;
mod slow;
mod still_absent;
#[cfg(test)]
mod tests;
mod turns;
mod validity;
mod verifier;

use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;

use absent::Absences;
pub use answer::{Answer, CacheStatus, Content};
use appeared::Appeared;
use context::FlightKey;
pub use context::RequestContext;
pub use databases::{Network, SumdbRoutes, SumdbState};
pub use error::{
    Cause, Class, EngineError, Failure, KnownSum, LINES, Lacking, SinkError, SourceError, Stale,
    SumdbError,
};
use files::Hashers;
pub use files::{ZipFlight, ZipProgress};
pub use operate::{
    Checked, Checks, DatabaseStatus, Facts, Finding, FirstSeen, FirstSeenPages, Inventory,
    KeptFiles, KnownFact, OperateError, Rebuilt,
};
pub use origins::{Chain, ChainEntry, Chains, DirectOrigin, FetchRequest, MakeProxy};
pub use paces::BodyPace;
pub use prefetch::PrefetchSettings;
use prefetch::{Fetch, Scheduler};
pub use refresh::Refresher;
pub use relay::{Relayed, SumdbTarget};
pub use reverify::Reverified;
use rules::CurrentRules;
pub use rules::{Freshness, Rules, VerifySettings};
pub use validity::{RulesGeneration, Validities, Validity};
pub use verifier::Verifier;

use crate::clock::SharedClock;
use crate::flights::{self, Flights};
use crate::gomod::ModulePath;
use crate::kit::{FetchContext, Paces, Turns};
use crate::policy::RouteDecision;
use crate::protocol::{FileKey, Key, Meta, MetaKey};
use crate::store::Store;
use crate::sumdb::Database;
use crate::telemetry::metrics::EngineMetrics;
use memory::MemoryCache;
use negative::Negatives;
use recent::Recent;

/// Small files that have been answered and are not durable yet, at the most.
const PUBLISHING: usize = 512;

/// Fetches of all clients together that go on at once: beyond it clients take turns, rather than those having all places
/// who came first.
const TURNS: usize = 1024;

/// Lists in files that are read at once.
const LARGE_LISTS: usize = 4;

/// How the engine behaves, from its start to its end. What can be changed while it runs is in [`Rules`].
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of the memory cache.
    pub memory: u64,
    /// Fetches of small things at once.
    pub max_flights: usize,
    /// Fetches of zips at once.
    pub max_zip_flights: usize,
    /// What is fetched before it is asked for.
    pub prefetch: PrefetchSettings,
    /// How often what was served unverified is asked about again.
    pub reverify_every: Duration,
}

/// The engine.
pub struct Engine {
    settings: Settings,
    rules: CurrentRules,
    store: Store,
    prefetch: Arc<Scheduler>,
    verifier: Arc<Verifier>,
    clock: SharedClock,
    metrics: EngineMetrics,
    validities: Validities,
    memory: MemoryCache,
    appeared: Appeared,
    negatives: Negatives,
    absences: Arc<Absences>,
    recent: Recent,
    /// Places for small files that have been answered and are being made durable.
    publishing: Semaphore,
    /// Queries of one module at a time are made fewer.
    tidying: Semaphore,
    /// So many large lists are read at once, to derive something from them.
    large_lists: Semaphore,
    small_flights: Flights<
        FlightKey<FileKey>,
        flights::FlightOutcome<Result<fetched::FetchedFile, EngineError>>,
    >,
    zip_flights: Flights<FlightKey<FileKey>, Arc<ZipFlight>>,
    meta_flights: Flights<FlightKey<MetaKey>, flights::FlightOutcome<fetched::MetaOutcome>>,
    slow: slow::SlowFetches,
    /// Which clients may begin fetches.
    turns: Turns,
    /// What clients have taken lately: of requests, and of bytes.
    request_paces: Paces,
    byte_paces: Paces,
    /// What hashes and checks zips.
    hashers: Arc<Hashers>,
}

impl Engine {
    /// Joins the parts. The chain may become known later: the default one is read while clients are served already.
    pub fn new(
        settings: Settings,
        rules: Rules,
        store: Store,
        verifier: Arc<Verifier>,
        clock: SharedClock,
        metrics: EngineMetrics,
    ) -> Arc<Self> {
        let gauge = metrics.flights.clone();
        let flights = || gauge.clone();
        let validities = Validities::default();
        Arc::new_cyclic(|engine: &Weak<Engine>| Engine {
            memory: MemoryCache::new(settings.memory, validities.clone()),
            appeared: Appeared::default(),
            negatives: Negatives::new(Arc::clone(&clock)),
            absences: Absences::new(store.clone(), Arc::clone(&clock)),
            recent: Recent::default(),
            publishing: Semaphore::new(PUBLISHING),
            tidying: Semaphore::new(1),
            large_lists: Semaphore::new(LARGE_LISTS),
            small_flights: Flights::new(settings.max_flights, flights()),
            zip_flights: Flights::new(settings.max_zip_flights, flights()),
            meta_flights: Flights::new(settings.max_flights, flights()),
            slow: slow::SlowFetches::default(),
            turns: Turns::new(rules.limits.misses_at_once(), TURNS),
            request_paces: Paces::default(),
            byte_paces: Paces::default(),
            hashers: Arc::new(Hashers::start()),
            rules: CurrentRules::new(rules, validities.clone()),
            validities,
            settings,
            store,
            prefetch: Scheduler::new(
                settings.prefetch,
                Arc::clone(&clock),
                metrics.prefetch.clone(),
                engine.clone() as Weak<dyn Fetch>,
            ),
            verifier,
            clock,
            metrics,
        })
    }

    /// Answers a request about a module.
    pub async fn ask(
        self: &Arc<Self>,
        key: &Key,
        context: &RequestContext,
    ) -> Result<Answer, EngineError> {
        if let RouteDecision::Refused(pattern) = &context.decision.route {
            return Err(Cause::RefusedByRoute {
                module: key.module().clone(),
                pattern: Arc::clone(pattern),
            }
            .into());
        }
        match key {
            Key::File(file) => self.file(file, context).await,
            Key::Meta(MetaKey {
                module,
                meta: Meta::Query(name),
            }) if name.as_str() == "latest" => {
                self.meta(
                    &MetaKey {
                        module: module.clone(),
                        meta: Meta::Latest,
                    },
                    context,
                )
                .await
            }
            Key::Meta(meta) => self.meta(meta, context).await,
        }
    }

    /// Where a module comes from; what is refused comes from nowhere. An error if the chain of public modules will not
    /// be known.
    async fn chain_of(&self, context: &RequestContext) -> Result<Chain, EngineError> {
        let chains = &context.rules.chains;
        Ok(match &context.decision.route {
            RouteDecision::Upstream => chains.known_public().await?,
            RouteDecision::Route(number) => chains.route(*number),
            RouteDecision::Private(_) => chains.private.clone(),
            RouteDecision::Refused(_) | RouteDecision::Nowhere => Chain::default(),
        })
    }

    /// The chain of public modules, if it is known already.
    pub fn known_chain(&self) -> Option<Chain> {
        self.rules.peek().chains.public.borrow().clone()
    }

    /// The upstreams of routes whose modules are private, in the routes' order, each once. Their names are not for
    /// everyone.
    pub fn private_upstreams(&self) -> Vec<Arc<str>> {
        self.upstreams_of_routes(true)
    }

    /// Whether an upstream of this name serves public modules, as far as is known.
    pub fn serves_public_modules(&self, upstream: &str) -> bool {
        self.known_chain()
            .is_some_and(|chain| chain.has_proxy(upstream))
            || self
                .upstreams_of_routes(false)
                .iter()
                .any(|name| &**name == upstream)
    }

    fn upstreams_of_routes(&self, private: bool) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        let rules = self.rules();
        for (number, chain) in rules.chains.routes.iter().enumerate() {
            if rules.policy.is_private_route(number) != private {
                continue;
            }
            for name in chain.iter().flat_map(Chain::proxies) {
                if !names.contains(name) {
                    names.push(Arc::clone(name));
                }
            }
        }
        names
    }

    /// The rules in force, for as long as somebody goes by them.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load()
    }

    /// The rules in force, for a look at them.
    pub fn rules_now(&self) -> impl Deref<Target = Arc<Rules>> {
        self.rules.peek()
    }

    /// For work in the background about a module.
    fn background(&self, module: &ModulePath, fetch: FetchContext) -> RequestContext {
        let rules = self.rules();
        let decision = rules.policy.decide(module);
        RequestContext::in_background(rules, decision, fetch)
    }

    /// Puts other rules in force. When this returns, nothing is answered by the ones before any more but requests that
    /// were made under them.
    pub fn swap_rules(&self, rules: Rules) -> RulesGeneration {
        let at_once = rules.limits.misses_at_once();
        let number = self.rules.swap(rules, self.clock.now());
        // Those as well who wait under the ones before.
        self.turns.set(at_once);
        number
    }

    /// What is kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The checksum databases that files are verified with.
    pub fn checksum_databases(&self) -> &[Arc<Database>] {
        self.verifier.databases()
    }

    /// Whether answers may be given again that were cached elsewhere.
    pub fn validities(&self) -> &Validities {
        &self.validities
    }

    /// Metrics of this engine.
    pub fn metrics(&self) -> &EngineMetrics {
        &self.metrics
    }

    /// Bytes of the memory cache.
    pub fn memory_weight(&self) -> u64 {
        self.memory.weight()
    }

    /// Gives up prefetches that nobody has used for long, and forgets clients that have gone.
    pub fn tidy_prefetches(&self) {
        self.prefetch.tidy();
    }

    /// Fetches that can be joined.
    pub fn flights(&self) -> usize {
        self.small_flights.under_way()
            + self.zip_flights.under_way()
            + self.meta_flights.under_way()
    }

    /// Fetches that have not ended; those among them that nobody can join any more as well, since they may go on to
    /// fetch and to keep something.
    pub fn unfinished_flights(&self) -> usize {
        self.small_flights.unfinished()
            + self.zip_flights.unfinished()
            + self.meta_flights.unfinished()
    }

    /// Waits until all fetches have ended, and what they found absent is written.
    pub async fn flights_ended(&self) {
        loop {
            self.zip_flights.ended().await;
            self.meta_flights.ended().await;
            self.small_flights.ended().await;
            // One may have begun another of another kind.
            if self.unfinished_flights() == 0 {
                return self.absences.written().await;
            }
        }
    }

    /// From now on nothing is begun that nobody has asked for.
    pub fn stop_prefetching(&self) {
        self.prefetch.stop();
    }

    /// How many fetches have been under way for long.
    pub fn slow_fetches(&self) -> usize {
        self.slow.count()
    }

    /// Remembers an answer that says "no" with authority.
    fn remember_no(&self, key: &Key, error: &EngineError, context: &RequestContext) {
        if error.nobody_was_asked() {
            return;
        }
        self.negatives.put(key, error, context);
        self.absences.note(key, error);
    }

    /// Looks twice at an answer that says "not found" on weak evidence: if the module was had straight from its repository
    /// once, a page that names none any more is taken for one that asks for a login, or says that all is down.
    async fn judged<T>(
        &self,
        module: &ModulePath,
        chain: &Chain,
        found: Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match found {
            Err(error) if error.is_doubtful() && error.is_absent() => {
                let had = self.store.origins_of(module).await?;
                match had.iter().all(|from| chain.has_proxy(from)) {
                    true => Err(error),
                    false => Err(error.as_fault()),
                }
            }
            found => found,
        }
    }

    fn from_negative(mut error: EngineError) -> EngineError {
        error.cached = true;
        error
    }
}
