//! The composition root: turns a configuration into a running server. The only room that knows every type.

mod chain;
mod direct;
mod signals;
mod upstreams;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::clock::SharedClock;
use crate::config::{Config, ConfigErrors, Environment, Loaded, OnUnavailable, OnUnknown};
use crate::control::Controls;
use crate::engine::{
    Engine, Kept, Network, PrefetchSettings, Settings, Sources, Tokens, VouchSettings, Voucher,
    Ways,
};
use crate::http::{Access, ConnectionSettings, Connections, Face, Observer, ResponseCache, Site};
use crate::policy::Policy;
use crate::store::{DataDir, DataDirError, TokenFile};
use crate::sumdb::{Database, DatabaseSpec};
use crate::telemetry::logs::{Format, LogSink};
use crate::telemetry::metrics::Metrics;
use crate::upstream::ChainSpec;
use crate::vcs::git::Git;
pub use chain::{Chosen, Ourselves, Weight, chain_remarks, choose_chain, operators_chain};
pub use direct::{Ground, Routes, patterns, routes};
pub use upstreams::UpstreamMaker;

/// How long fetches without a client may go on after the last connection has ended.
const FLIGHTS_END: Duration = Duration::from_secs(2);
/// Connections waiting to be accepted.
const BACKLOG: u32 = 4096;
/// Descriptors left for files, upstreams and the index; of few, a quarter.
const DESCRIPTORS_KEPT: usize = 1024;

/// Why the server does not start. Each has its own exit code.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration cannot be used: exit code 2.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Certificates that the configuration names cannot be used: exit code 2.
    #[error("{0}")]
    Files(String),
    /// The address is taken or not permitted: exit code 3.
    #[error("{0}")]
    Address(String),
    /// The data directory cannot be used: exit code 4.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Anything else: exit code 1.
    #[error("{0}")]
    Ours(String),
}

/// Runs a server until it is told to stop.
pub async fn serve(
    loaded: &Loaded,
    env: &Environment,
    clock: SharedClock,
    log: LogSink,
) -> Result<(), StartError> {
    let config = &loaded.config;
    // First of all: from here on none of these ends the process, however long it takes to open what is kept.
    signals::note_others().map_err(|error| StartError::Ours(error.to_string()))?;
    let descriptors = crate::http::raise_descriptor_limit();
    judge(loaded)?;
    let operators_chain = operators_chain(loaded)?;
    let databases = databases(loaded)?;
    let routes = routes(loaded)?;
    let store = &config.store;
    let data = DataDir::open(&store.data_dir, store.reserve, store.index_cache, &clock)?;
    warn_of_readers(config, &data);
    let listener = bind(config.server.listen).await?;
    let local = listener
        .local_addr()
        .map_err(|error| StartError::Ours(error.to_string()))?;
    let admin = match config.admin.listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };

    let metrics = Arc::new(Metrics::new());
    let via_name = format!("larder-{:016x}", fastrand::u64(..));
    let maker = UpstreamMaker::new(
        config,
        env,
        &via_name,
        Ground::of(&store.data_dir, &data.disk),
        Arc::clone(&clock),
        Arc::clone(&metrics),
    )?;
    let upstreams = Arc::clone(maker.roster());
    let git = maker.direct().direct().hosts().git().clone();
    let Assembled {
        engine,
        tokens,
        chains,
        chain,
    } = assemble(config, databases, routes, maker, &data, &clock, &metrics).await?;
    for text in chain_remarks(loaded) {
        tracing::warn!("{text}");
    }
    let ourselves = Ourselves::new(config, local);
    match operators_chain {
        Some(chain) if chain.proxies().any(|url| ourselves.are(url)) => {
            let text = format!(
                "{chain} names this very server ({local}); name the proxy that it is to fetch from, or \"direct\", or \"off\""
            );
            return Err(loaded.refuse("upstream.chain", text).into());
        }
        Some(chain) => {
            chains.set(&chain);
            let chosen = Chosen::by_operator(chain, &config.upstream);
            tracing::info!(chain = %chosen.chain, from = chosen.from, "upstream chain");
            let (env, data_dir, at) = (env.clone(), store.data_dir.clone(), clock.now());
            tokio::spawn(async move {
                chain::remember_beside(&chosen, &env, ourselves, &data_dir, at).await;
            });
        }
        None => {
            let (env, data_dir, at) = (env.clone(), store.data_dir.clone(), clock.now());
            let find = async move {
                let chosen = choose_chain(&env, ourselves, &data_dir).await;
                chosen.log();
                chains.set(&chosen.chain);
                chosen.remember(&data_dir, at);
            };
            // Usually read from files at once; where the go command must be asked, nobody waits for it.
            tokio::spawn(find);
        }
    }

    if !config.modules.private.is_empty() || !config.routes.is_empty() {
        tokio::spawn(warn_of_git(git));
    }

    let face = Arc::new(Face {
        engine: Arc::clone(&engine),
        access: access(config, engine.policy(), local, &tokens),
        responses: ResponseCache::new(
            config.store.hot / 8 * 5,
            response_files(descriptors),
            engine.validities().clone(),
            Arc::clone(&clock),
        ),
        metrics: Arc::clone(&metrics),
        base_path: config.server.base_path.clone(),
        public_url: config.server.public_url.clone(),
        via: via_name,
        disk: Arc::clone(&data.disk),
        log: log.clone(),
        chain,
        upstreams,
        separate_admin: admin.is_some(),
    });
    let format = log_format(config);
    let observer = Arc::new(Observer::new(
        Arc::clone(&metrics.requests),
        Arc::clone(&clock),
        log,
        format,
        config.log.access,
    ));
    let connections = Arc::new(Connections::default());
    let limits = ConnectionSettings {
        max: match config.server.max_connections {
            0 => {
                (descriptors - DESCRIPTORS_KEPT.min(descriptors / 4) - response_files(descriptors))
                    .clamp(64, 1 << 20)
            }
            given => given,
        },
        header_timeout: config.server.request_header_timeout,
    };

    let (stop_sender, stop) = watch::channel(false);
    let public = Arc::new(Site::public(Arc::clone(&face)));
    tokio::spawn(crate::http::serve(
        listener,
        public,
        Arc::clone(&observer),
        limits,
        Arc::clone(&connections),
        stop.clone(),
    ));
    if let Some(admin) = admin {
        let address = admin.local_addr();
        let address = address.map_err(|error| StartError::Ours(error.to_string()))?;
        tracing::info!(%address, "administration listens");
        let access = face.access.for_admin(address);
        let router = Arc::new(Site::admin(Arc::clone(&face), access));
        tokio::spawn(crate::http::serve(
            admin,
            router,
            Arc::clone(&observer),
            limits,
            Arc::clone(&connections),
            stop.clone(),
        ));
    }
    start_jobs(config, &data, &engine, &clock, &stop);
    let controls = Controls {
        engine: Arc::clone(&engine),
        tokens,
        modules: data.modules.clone(),
        clock: Arc::clone(&clock),
    };
    // Without it the server serves all the same.
    match crate::control::listen(&store.data_dir) {
        Ok(socket) => drop(tokio::spawn(socket.serve(controls, stop.clone()))),
        Err(error) => {
            tracing::warn!(%error, "commands such as `larder first-seen` cannot reach this server while it runs")
        }
    }
    let mut signals =
        signals::Signals::new().map_err(|error| StartError::Ours(error.to_string()))?;
    announce(local, loaded);

    signals.next().await;
    tracing::info!(
        grace = config.server.shutdown_grace.as_secs(),
        "stopping; a second signal stops at once"
    );
    // Receivers are gone only if everything has ended already.
    let _ = stop_sender.send(true);
    tokio::select! {
        () = ended(&connections, &engine, config.server.shutdown_grace) => {}
        () = signals.next() => tracing::warn!("stopped at once"),
    }
    data.store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Private modules are kept beside the others.
fn warn_of_readers(config: &Config, data: &DataDir) {
    let keeps_private = !config.modules.private.is_empty()
        || config
            .routes
            .iter()
            .any(|route| route.private == Some(true));
    if keeps_private && data.is_open_to_others() {
        tracing::warn!(
            data_dir = %config.store.data_dir.display(),
            "other users of this machine can read private modules in the data directory; chmod 0700 it"
        );
    }
}

/// Says early what would else be said of each module that comes straight from git.
async fn warn_of_git(git: Git) {
    match git.version().await {
        Ok(version) => {
            if let Some(why) = Git::trouble(version) {
                tracing::warn!(version = format!("{}.{}", version.0, version.1), why, "git");
            }
        }
        Err(error) => {
            tracing::warn!(%error, "what comes straight from git cannot come (direct.git)");
        }
    }
}

/// The parts that a server and the commands that work without one have in common.
pub struct Assembled {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Who may have private modules.
    pub tokens: Arc<Tokens>,
    /// To be told the chain once it is known.
    pub chains: Chains,
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
    let (sources_sender, sources) = watch::channel(None);
    let sources = routes.sources(&maker, sources);
    let policy = Policy::new(
        routes.rules,
        patterns(&config.modules.private),
        patterns(&config.sumdb.exclude),
    );
    let failed =
        |error: &dyn std::fmt::Display| StartError::Ours(format!("the index failed: {error}"));
    let tokens = Tokens::load(
        data.store.clone(),
        TokenFile::new(&config.store.data_dir),
        Arc::clone(clock),
    )
    .await;
    let tokens = tokens.map_err(|error| failed(&error))?;
    let mut databases = Vec::new();
    let mut ways = Vec::new();
    for spec in specs {
        let (sender, receiver) = watch::channel(None);
        let network = Network::new(receiver, config.sumdb.lookup_timeout);
        let database = Database::open(
            spec.key.clone(),
            Arc::new(network),
            Kept::new(&data.store, spec.name()),
            Arc::clone(clock),
            config.freshness.negative_ttl,
            metrics.sumdb(spec.name()),
        );
        databases.push(database.await.map_err(|error| failed(&error))?);
        ways.push((spec, sender));
    }
    let voucher = Voucher::new(
        VouchSettings {
            serve_unverified: config.sumdb.on_unavailable == OnUnavailable::ServeUnverified,
            first_seen_unknown: config.sumdb.on_unknown == OnUnknown::FirstSeen,
            patience: config.sumdb.patience,
        },
        databases,
        policy.clone(),
        data.store.clone(),
        Arc::clone(clock),
    );
    let (text, chain) = watch::channel(None);
    let engine = Engine::new(
        engine_settings(config),
        policy,
        data.store.clone(),
        sources,
        voucher,
        Arc::clone(clock),
        metrics.engine.clone(),
    );
    let chains = Chains {
        maker,
        text,
        sources: sources_sender,
        ways,
    };
    Ok(Assembled {
        engine,
        tokens: Arc::new(tokens),
        chains,
        chain,
    })
}

/// Whoever wants to know the chain.
pub struct Chains {
    maker: UpstreamMaker,
    text: watch::Sender<Option<String>>,
    sources: watch::Sender<Option<Sources>>,
    ways: Vec<(DatabaseSpec, watch::Sender<Option<Ways>>)>,
}

impl Chains {
    /// This is the chain.
    pub fn set(&self, chain: &ChainSpec) {
        self.text.send_replace(Some(chain.to_string()));
        for (spec, ways) in &self.ways {
            ways.send_replace(Some(self.maker.ways(chain, spec)));
        }
        let way = self.maker.direct().of_chain();
        let sources = self.maker.sources(chain, &way);
        self.sources.send_replace(Some(sources));
    }
}

/// Everything that a configuration says and only other parts of the program can judge: all faults at once.
pub fn judge(loaded: &Loaded) -> Result<(), ConfigErrors> {
    let parts = [
        operators_chain(loaded).err(),
        databases(loaded).err(),
        routes(loaded).err(),
    ];
    match parts.into_iter().flatten().reduce(ConfigErrors::and) {
        Some(errors) => Err(errors),
        None => Ok(()),
    }
}

/// The checksum databases that the operator wants.
pub fn databases(loaded: &Loaded) -> Result<Vec<DatabaseSpec>, ConfigErrors> {
    let key = "sumdb.databases";
    let mut specs: Vec<DatabaseSpec> = Vec::new();
    for text in &loaded.config.sumdb.databases {
        let spec = DatabaseSpec::parse(text)
            .map_err(|error| loaded.refuse(key, format!("{error}, as in GOSUMDB")))?;
        if specs.iter().any(|known| known.name() == spec.name()) {
            return Err(loaded.refuse(key, format!("{} is named twice", spec.name())));
        }
        specs.push(spec);
    }
    Ok(specs)
}

/// Who may have private modules; says so if nobody may, or if somebody may who is not meant.
fn access(config: &Config, policy: &Policy, local: SocketAddr, tokens: &Arc<Tokens>) -> Access {
    let public_url = config.server.public_url.as_deref();
    let access = Access::new(config.private.open, local, public_url, Arc::clone(tokens));
    match &access {
        Access::Tokens(_) if policy.has_private() && tokens.count() == 0 => tracing::warn!(
            "private modules are served to those who have a token, and nobody has one: larder token new NAME"
        ),
        Access::ThisMachine(_) if policy.has_private() && public_url.is_none() => tracing::warn!(
            "programs on this machine get private modules without a token; if a web server or a tunnel on this machine passes requests on to larder, set server.public_url to its address, so that private modules need a token (or private.open = true to serve them to everyone)"
        ),
        _ => {}
    }
    access
}

fn engine_settings(config: &Config) -> Settings {
    Settings {
        ttl: config.freshness.ttl,
        negative_ttl: config.freshness.negative_ttl,
        refused_ttl: config.freshness.refused_ttl,
        refresh_wait: config.freshness.refresh_wait,
        // The rest is for cached responses.
        memory: config.store.hot / 8 * 3,
        max_flights: config.store.max_flights,
        max_zip_flights: config.store.max_zip_flights,
        prefetch: PrefetchSettings {
            enabled: config.prefetch.enabled,
            requests: config.prefetch.requests,
            bytes: config.prefetch.bytes,
            include_private: config.prefetch.include_private,
        },
        reverify_every: config.sumdb.settle_every,
    }
}

/// How many descriptors cached responses may hold: few where there are few.
fn response_files(descriptors: usize) -> usize {
    match descriptors {
        ..16_384 => descriptors / 8,
        _ => (descriptors / 2).min(16_384),
    }
}

/// The form of log lines.
pub fn log_format(config: &Config) -> Format {
    match config.log.format {
        crate::config::LogFormat::Text => Format::Text,
        crate::config::LogFormat::Json => Format::Json,
    }
}

fn start_jobs(
    config: &Config,
    data: &DataDir,
    engine: &Arc<Engine>,
    clock: &SharedClock,
    stop: &watch::Receiver<bool>,
) {
    if config.freshness.background && !config.freshness.ttl.is_zero() {
        let every =
            (config.freshness.ttl / 8).clamp(Duration::from_millis(100), Duration::from_secs(5));
        tokio::spawn(
            crate::jobs::Refresh {
                engine: Arc::clone(engine),
                every,
            }
            .run(stop.clone()),
        );
    }
    tokio::spawn(
        crate::jobs::Reverify {
            engine: Arc::clone(engine),
            every: config.sumdb.settle_every,
        }
        .run(stop.clone()),
    );
    let room = crate::jobs::Room {
        keeper: data.keeper.clone(),
    };
    tokio::spawn(room.run(stop.clone()));
    let rebuild = data.needs_rebuild.then(|| crate::jobs::Rebuild {
        store: data.store.clone(),
        modules: data.modules.clone(),
        clock: Arc::clone(clock),
    });
    engine.show_totals();
    if let Some(rebuild) = rebuild {
        let (engine, stop) = (Arc::clone(engine), stop.clone());
        tokio::spawn(async move {
            rebuild.run(stop).await;
            engine.show_totals();
        });
    }
}

/// Tells whoever started us that we serve, and with what.
fn announce(local: SocketAddr, loaded: &Loaded) {
    let mut out = io::stdout();
    // Nobody may be listening; then there is nobody to tell.
    let _ = writeln!(out, "listening on http://{local}").and_then(|()| out.flush());
    let file = loaded.file.as_deref();
    let file = file.map_or_else(|| "none".to_owned(), |file| file.display().to_string());
    tracing::info!(
        address = %local,
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %loaded.config.store.data_dir.display(),
        configuration = file,
        "larder serves"
    );
}

/// Waits until connections, and then fetches, have ended; at most `grace`.
async fn ended(connections: &Connections, engine: &Engine, grace: Duration) {
    const LOOK: Duration = Duration::from_millis(10);
    let over = tokio::time::Instant::now() + grace;
    while connections.open() > 0 && tokio::time::Instant::now() < over {
        tokio::time::sleep(LOOK).await;
    }
    let left = connections.open();
    if left > 0 {
        tracing::warn!(
            connections = left,
            "the time to stop is over; connections are cut"
        );
    }
    let over = over.min(tokio::time::Instant::now() + FLIGHTS_END);
    while engine.flights() > 0 && tokio::time::Instant::now() < over {
        tokio::time::sleep(LOOK).await;
    }
    let left = engine.flights();
    if left > 0 {
        tracing::info!(
            fetches = left,
            "fetches that no client waits for are given up"
        );
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = |address: SocketAddr| -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let unspecified_v6 = address.is_ipv6() && address.ip().is_unspecified();
    let listener = match bound(address) {
        // A machine without IPv6: all its addresses are those of IPv4.
        Err(error) if unspecified_v6 && no_ipv6(&error) => {
            bound(SocketAddr::from(([0, 0, 0, 0], address.port())))
        }
        bound => bound,
    };
    listener.map_err(|error| {
        let text = match error.kind() {
            io::ErrorKind::AddrInUse => {
                let holder = crate::http::port_holder(address).unwrap_or_else(|| "another process".to_owned());
                format!("{address} is taken by {holder}.\nStop that one, or choose another address with --listen ADDR:PORT.")
            }
            io::ErrorKind::PermissionDenied => format!(
                "{address} may not be used by this user (ports below 1024 need a privilege).\nChoose another one with --listen ADDR:PORT."
            ),
            _ => format!("{address} cannot be listened on: {error}.\nChoose another one with --listen ADDR:PORT."),
        };
        StartError::Address(text)
    })
}
