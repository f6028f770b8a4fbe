//! Joins the parts that a server and the commands that work without one have in common.

use std::sync::Arc;

use tokio::sync::watch;

use super::routes::Routes;
use super::rules::rules;
use super::settings;
use super::start_error::StartError;
use super::upstreams::UpstreamMaker;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::engine::{Chain, Engine, Network, SumdbRoutes, SumdbState, Tokens, Verifier};
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
    let rules = rules(config, &routes, &maker, chain);
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
        maker,
        text,
        made: chain_sender,
        database_routes,
    };
    Ok(Assembled {
        engine,
        tokens: Arc::new(tokens),
        chains,
        chain,
    })
}

/// Whoever wants to know the chain.
pub struct ChainSet {
    maker: UpstreamMaker,
    text: watch::Sender<Option<String>>,
    made: watch::Sender<Option<Chain>>,
    database_routes: Vec<(DatabaseSpec, watch::Sender<Option<SumdbRoutes>>)>,
}

impl ChainSet {
    pub fn set(&self, chain: &ChainSpec) {
        self.text.send_replace(Some(chain.to_string()));
        for (spec, routes) in &self.database_routes {
            routes.send_replace(Some(self.maker.database_routes(chain, spec)));
        }
        let profile = self.maker.direct().of_chain();
        self.made
            .send_replace(Some(self.maker.chain(chain, &profile)));
    }
}

/// The checksum databases that the operator wants.
pub fn databases(config: &Config) -> Vec<DatabaseSpec> {
    let databases = config.sumdb.databases.iter();
    databases.map(|it| it.value.clone()).collect()
}
