//! Joins the parts that a server and the commands that work without one have in common.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::oidc::issuers;
use super::routes::Routes;
use super::rules::rules;
use super::settings;
use super::start_error::StartError;
use super::upstreams::UpstreamMaker;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::engine::{Chain, Chains, Engine, Network, SumdbRoutes, SumdbState, Verifier};
use crate::identity::Tokens;
use crate::store::{DataDir, TokenFile};
use crate::sumdb::{Database, DatabaseSpec};
use crate::telemetry::metrics::Metrics;
use crate::upstream::ChainSpec;

/// The parts that a server and the commands that work without one have in common.
pub struct Assembled {
    pub engine: Arc<Engine>,
    /// Who may have private modules.
    pub tokens: Arc<Tokens>,
    /// To be told the chain once it is known.
    pub chains: ChainSet,
    /// The chain, for people.
    pub chain: watch::Receiver<Option<String>>,
}

/// Joins store, databases and engine. Nothing is asked of the world before the chain is set.
pub async fn assemble(
    config: &Config,
    specs: Vec<DatabaseSpec>,
    routes: Routes,
    maker: UpstreamMaker,
    data: &DataDir,
    clock: &SharedClock,
    metrics: &Metrics,
) -> Result<Assembled, StartError> {
    let (chain_sender, chain) = watch::channel(None);
    let issuers = issuers(config, &maker.apis(), clock);
    let rules = rules(config, &routes, issuers, maker.chains(&routes, chain));
    let failed =
        |error: &dyn std::fmt::Display| StartError::Internal(format!("the index failed: {error}"));
    let tokens = Tokens::load(
        data.store.clone(),
        TokenFile::new(&config.store.data_dir),
        Arc::clone(clock),
    )
    .await;
    let tokens = tokens.map_err(|error| failed(&error))?;
    let mut databases = Vec::new();
    let mut database_routes = Vec::new();
    for spec in specs {
        let (sender, receiver) = watch::channel(None);
        let network = Network::new(receiver, config.sumdb.lookup_timeout);
        let database = Database::open(
            spec.key.clone(),
            Arc::new(network),
            SumdbState::new(&data.store, spec.name()),
            Arc::clone(clock),
            config.freshness.negative_ttl,
            metrics.sumdb(spec.name()),
        );
        databases.push(database.await.map_err(|error| failed(&error))?);
        database_routes.push((spec, sender));
    }
    let verifier = Verifier::new(databases, data.store.clone(), Arc::clone(clock));
    let (text, chain) = watch::channel(None);
    let engine = Engine::new(
        settings::engine(config),
        rules,
        data.store.clone(),
        verifier,
        Arc::clone(clock),
        metrics.engine.clone(),
    );
    let chains = ChainSet {
        text,
        spec: watch::Sender::new(None),
        current: Mutex::new(InUse {
            maker: Arc::new(maker),
            made: chain_sender,
        }),
        database_routes,
    };
    Ok(Assembled {
        engine,
        tokens: Arc::new(tokens),
        chains,
        chain,
    })
}

/// Whoever wants to know the chain of public modules, and who makes it.
pub struct ChainSet {
    text: watch::Sender<Option<String>>,
    spec: watch::Sender<Option<ChainSpec>>,
    current: Mutex<InUse>,
    database_routes: Vec<(DatabaseSpec, watch::Sender<Option<SumdbRoutes>>)>,
}

/// Who makes chains for the rules in force, and who is told the one of public modules.
struct InUse {
    maker: Arc<UpstreamMaker>,
    made: watch::Sender<Option<Chain>>,
}

/// Chains of another configuration, which are not in force yet.
pub struct PreparedChains {
    in_use: InUse,
    spec: ChainSpec,
    database_routes: Vec<SumdbRoutes>,
}

impl ChainSet {
    /// The chain that the server was started with is known now. If a reload has brought another one meanwhile, that stays.
    pub fn set_first(&self, chain: &ChainSpec) {
        let current = self.current.lock();
        if self.spec.borrow().is_some() {
            return;
        }
        let (made, routes) = self.made_by(&current.maker, chain);
        current.made.send_replace(Some(made));
        self.tell(chain, routes);
    }

    /// The chain, once it is known.
    pub async fn known(&self) -> Option<ChainSpec> {
        let mut spec = self.spec.subscribe();
        let known = spec.wait_for(Option::is_some).await.ok()?;
        known.clone()
    }

    /// Who makes chains.
    pub fn maker(&self) -> Arc<UpstreamMaker> {
        Arc::clone(&self.current.lock().maker)
    }

    /// Makes the chains of another configuration. Nothing changes yet.
    pub fn prepare(
        &self,
        maker: UpstreamMaker,
        routes: &Routes,
        chain: &ChainSpec,
    ) -> (PreparedChains, Chains) {
        let (public, database_routes) = self.made_by(&maker, chain);
        let (made, public) = watch::channel(Some(public));
        let chains = maker.chains(routes, public);
        let prepared = PreparedChains {
            in_use: InUse {
                maker: Arc::new(maker),
                made,
            },
            spec: chain.clone(),
            database_routes,
        };
        (prepared, chains)
    }

    /// Those that were in force before are for requests under way.
    pub fn put_in_force(&self, prepared: PreparedChains) {
        prepared.in_use.maker.put_in_force();
        let mut current = self.current.lock();
        *current = prepared.in_use;
        self.tell(&prepared.spec, prepared.database_routes);
    }

    fn made_by(&self, maker: &UpstreamMaker, chain: &ChainSpec) -> (Chain, Vec<SumdbRoutes>) {
        let of_database = |(spec, _): &(DatabaseSpec, _)| maker.database_routes(chain, spec);
        let routes = self.database_routes.iter().map(of_database).collect();
        let profile = maker.direct().of_chain();
        (maker.chain(chain, &profile), routes)
    }

    fn tell(&self, chain: &ChainSpec, made: Vec<SumdbRoutes>) {
        self.text.send_replace(Some(chain.to_string()));
        for ((_, routes), made) in self.database_routes.iter().zip(made) {
            routes.send_replace(Some(made));
        }
        self.spec.send_replace(Some(chain.clone()));
    }
}

/// The checksum databases that the operator wants.
pub fn databases(config: &Config) -> Vec<DatabaseSpec> {
    let databases = config.sumdb.databases.iter();
    databases.map(|it| it.value.clone()).collect()
}
