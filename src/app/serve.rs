//! A server from its start to its end.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::audit::audit;
use super::chain::{
    Chosen, Ourselves, chain_remarks, choose_chain, memory_file, operators_chain, remember_beside,
};
use super::compose::{Assembled, assemble, databases};
use super::direct::left;
use super::handed_over::HandedOver;
use super::listeners::{OpenListener, open_listeners};
use super::reload::{self, ConfigReloader, ReloadParts};
use super::routes::{Routes, routes};
use super::service_manager::ServiceManager;
use super::settings;
use super::signals;
use super::start_error::StartError;
use super::supervise::Supervisor;
use super::tls::CertificateWatcher;
use super::upstreams::UpstreamMaker;
use crate::admin::{AdminService, SocketServer};
use crate::clock::SharedClock;
use crate::config::{Config, Environment, Loaded, Overrides};
use crate::engine::Rules;
use crate::http::{
    AddressRouter, AppState, BEYOND, BoundListener, ConnectionSettings, Connections, Listener,
    Observer, ResponseCache, TlsListener,
};
use crate::identity::Tokens;
use crate::jobs::{RepeatedRefusals, TokenUse};
use crate::kit::reload::Reload;
use crate::policy::{AccessMode, RouteRule};
use crate::store::DataDir;
use crate::telemetry::logs::{LogLevel, LogSink};
use crate::telemetry::metrics::Metrics;
use crate::vcs::git::Git;
use crate::vcs::workspace::Folders;

/// Descriptors left for files, upstreams and the index; of few, a quarter.
const DESCRIPTORS_KEPT: usize = 1024;
/// How long the last lines of the audit log may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Runs a server until it is told to stop.
pub async fn serve(
    loaded: &Loaded,
    overrides: &Overrides,
    env: &Environment,
    handed_over: HandedOver,
    clock: SharedClock,
    log: LogSink,
    level: LogLevel,
) -> Result<(), StartError> {
    let config = &loaded.config;
    let metrics = Arc::new(Metrics::new());
    let supervisor = Supervisor::new(metrics.jobs.clone());
    // First of all: however long it takes to open what is kept.
    let hangup = Arc::new(Notify::new());
    let audit = audit(config, &clock, || Ok(log.clone()), &metrics.audit)?;
    let others = signals::note_others(Arc::clone(&hangup), audit.clone());
    let others = others.map_err(|error| StartError::Internal(error.to_string()))?;
    supervisor.background.minor("what notes signals", others);
    let descriptors = crate::http::raise_descriptor_limit();
    let operators_chain = operators_chain(config);
    let databases = databases(config);
    let routes = routes(config);
    let certificates = CertificateWatcher::begin(loaded, &clock, &metrics.tls)?;
    let store = &config.store;
    let data = DataDir::open(&store.data_dir, store.reserve, store.index_cache, &clock)?;
    warn_of_readers(config, &routes, &data);
    let listeners = open_listeners(loaded, handed_over).await?;
    let of_modules = listeners.iter().filter(|it| !it.admin);
    let local = of_modules.filter_map(|it| it.bound.address()).collect();

    let via_name = format!("larder-{:016x}", fastrand::u64(..));
    let maker = UpstreamMaker::new(
        config,
        env,
        &via_name,
        Folders::of(&store.data_dir, left(&data.disk)),
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
    for text in chain_remarks(config) {
        tracing::warn!("{text}");
    }
    let ourselves = Ourselves::new(config, local);
    let manager = Arc::new(ServiceManager::of(env));
    let (reload, requests) = reload::requests();
    let chains = Arc::new(chains);
    let parts = ReloadParts {
        overrides: overrides.clone(),
        env: env.clone(),
        clock: Arc::clone(&clock),
        level,
        engine: Arc::clone(&engine),
        chains: Arc::clone(&chains),
        ourselves: ourselves.clone(),
        manager: Arc::clone(&manager),
        metrics: metrics.reload.clone(),
        audit: audit.clone(),
        hangup,
        look_at_access: {
            let (engine, tokens) = (Arc::clone(&engine), Arc::clone(&tokens));
            Box::new(move |config| warn_of_access(config, &engine.rules_now(), &tokens))
        },
    };
    match operators_chain {
        Some(chain) if chain.proxies().any(|url| ourselves.are(url)) => {
            let text = format!(
                "{chain} names this very server; name the proxy that it is to fetch from, or \"direct\", or \"off\""
            );
            return Err(loaded.refuse("upstream.chain", text).into());
        }
        Some(chain) => {
            chains.set_first(&chain);
            let chosen = Chosen::by_operator(chain, &config.upstream);
            tracing::info!(chain = %chosen.chain, from = chosen.from, "upstream chain");
            let (env, memory, at) = (env.clone(), memory_file(store), clock.now());
            let remember = async move {
                remember_beside(&chosen, &env, ourselves, &memory, at).await;
            };
            supervisor
                .background
                .minor("remembering the chain", remember);
        }
        None => {
            let (env, memory, at) = (env.clone(), memory_file(store), clock.now());
            let find = async move {
                let chosen = choose_chain(&env, ourselves, &memory).await;
                chosen.log();
                chains.set_first(&chosen.chain);
                chosen.remember(&memory, at);
            };
            // Usually read from files at once; where the go command must be asked, nobody waits for it.
            supervisor
                .background
                .once("finding the default chain", find);
        }
    }

    if !config.modules.private.is_empty() || !config.routes.is_empty() {
        supervisor
            .background
            .minor("looking at git", warn_of_git(git));
    }

    warn_of_access(config, &engine.rules_now(), &tokens);
    let state = Arc::new(AppState {
        engine: Arc::clone(&engine),
        tokens: Arc::clone(&tokens),
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
        audit: audit.clone(),
        chain,
        upstreams,
        reload: Arc::clone(&reload) as Arc<dyn Reload>,
        separate_admin: listeners.iter().any(|it| it.admin),
    });
    let format = settings::log_format(config);
    let observer = Arc::new(Observer::new(
        Arc::clone(&metrics.requests),
        Arc::clone(&clock),
        log,
        format,
        config.log.access,
    ));
    let limits = ConnectionSettings {
        max: match config.server.max_connections {
            0 => {
                let left = descriptors
                    - DESCRIPTORS_KEPT.min(descriptors / 4)
                    - response_files(descriptors);
                // Those that wait for a slot have a descriptor, too.
                (left - (left / 5).min(BEYOND)).clamp(64, 1 << 20)
            }
            given => given,
        },
        max_per_address: match config.server.max_connections_per_address {
            0 => None,
            given => Some(given),
        },
        header_timeout: config.server.request_header_timeout,
        write_timeout: config.server.write_timeout,
    };

    let connections = Connections::new(&limits, metrics.requests.connections.clone());
    let admin_connections = connections.apart(&limits);
    let shown = Shown::of(&listeners);
    for open in listeners {
        let OpenListener {
            bound, tls, admin, ..
        } = open;
        let (name, address) = (bound.to_string(), bound.address());
        let (router, connections) = match admin {
            true => {
                tracing::info!(address = name, "administration listens");
                let reach = crate::http::reach(address, None);
                let router = AddressRouter::admin(Arc::clone(&state), reach);
                (router, admin_connections.clone())
            }
            false => {
                let reach = crate::http::reach(address, config.server.public_url.as_deref());
                let router = AddressRouter::public(Arc::clone(&state), reach);
                (router, connections.clone())
            }
        };
        let listener = match (bound, certificates.as_ref().filter(|_| tls)) {
            (BoundListener::Tcp(listener), Some(certificates)) => {
                let current = Arc::clone(certificates.current());
                Listener::Tls(TlsListener::new(listener, current, metrics.tls.clone()))
            }
            (BoundListener::Tcp(listener), None) => Listener::Plain(listener),
            (BoundListener::Unix(listener), _) => Listener::Unix(listener),
        };
        let service = Arc::new(crate::http::Service::new(router, Arc::clone(&observer)));
        supervisor
            .listeners
            .essential(format!("the listener at {name}"), |stop| {
                crate::http::serve(listener, service, limits, connections, stop)
            });
    }
    supervisor.watch_store(&data);
    supervisor.start_jobs(config, &data, &engine, &clock);
    supervisor.start_job(RepeatedRefusals {
        audit: audit.clone(),
    });
    supervisor.start_reloads(ConfigReloader::new(parts, loaded, requests), &manager);
    if let Some(certificates) = certificates {
        supervisor.start_job(certificates);
    }
    let tokens_used = Arc::clone(&tokens);
    supervisor.start_job(TokenUse {
        tokens: tokens_used,
    });
    let service = AdminService::new(Arc::clone(&engine), tokens).reloaded_by(reload);
    // Without it the server serves all the same.
    match crate::admin::listen(&store.data_dir) {
        Ok(socket) => {
            let audit = audit.clone();
            supervisor.start_commands(SocketServer {
                socket,
                service,
                audit,
            });
        }
        Err(error) => {
            tracing::warn!(%error, "commands such as `larder first-seen` cannot reach this server while it runs")
        }
    }
    let mut signals =
        signals::Signals::new().map_err(|error| StartError::Internal(error.to_string()))?;
    shown.announce(loaded);
    manager.ready();
    let grace = config.server.shutdown_grace;
    let end = supervisor.until_the_end(&mut signals, &connections, &engine, &data, grace, &manager);
    let ended = end.await;
    // It waits for a disk.
    let written = tokio::task::spawn_blocking(move || audit.flush(LAST_LINES));
    if !matches!(written.await, Ok(true)) {
        tracing::error!("the last lines of the audit log could not be written");
    }
    ended
}

/// Private modules are kept beside the others.
fn warn_of_readers(config: &Config, routes: &Routes, data: &DataDir) {
    let keeps_private =
        !config.modules.private.is_empty() || routes.rules.iter().any(RouteRule::is_private);
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

/// Says so if nobody may have private modules, or if somebody may who is not meant.
fn warn_of_access(config: &Config, rules: &Rules, tokens: &Tokens) {
    let public_url = config.server.public_url.as_deref();
    let policy = &rules.policy;
    match rules.access.mode {
        AccessMode::Closed if tokens.count() == 0 && config.access_rules.is_empty() => {
            tracing::warn!(
                "access.default is \"closed\", nobody has a token, and there are no [[access.rules]], so that nobody gets anything: larder token new NAME"
            )
        }
        AccessMode::Tokens if policy.has_private() && tokens.count() == 0 => tracing::warn!(
            "private modules are served to those who have a token, and nobody has one: larder token new NAME"
        ),
        AccessMode::ThisMachine if policy.has_private() && public_url.is_none() => tracing::warn!(
            "programs on this machine get private modules without a token; if a web server or a tunnel on this machine passes requests on to larder, set server.public_url to its address, so that private modules need a token (or private.open = true to serve them to everyone)"
        ),
        _ => {}
    }
}

/// How many descriptors cached responses may hold: few where there are few.
fn response_files(descriptors: usize) -> usize {
    match descriptors {
        ..16_384 => descriptors / 8,
        _ => (descriptors / 2).min(16_384),
    }
}

/// Where we listen, for whoever wants to know.
struct Shown {
    /// For the log: the first of the addresses, and the others.
    first: String,
    others: Vec<String>,
    /// A line for each.
    lines: String,
}

impl Shown {
    fn of(listeners: &[OpenListener]) -> Self {
        let modules = listeners.iter().filter(|it| !it.admin);
        let admin = listeners.iter().filter(|it| it.admin);
        let mut modules = modules.peekable();
        let first = modules
            .peek()
            .map_or_else(String::new, |it| it.bound.to_string());
        let lines = modules.map(|it| ("listening", &it.shown));
        let lines: Vec<_> = lines
            .chain(admin.map(|it| ("administration", &it.shown)))
            .collect();
        let others = lines.iter().skip(1).map(|(what, shown)| match *what {
            "administration" => format!("{shown} (administration)"),
            _ => (*shown).clone(),
        });
        Shown {
            first,
            others: others.collect(),
            lines: lines
                .iter()
                .map(|(what, shown)| format!("{what} on {shown}\n"))
                .collect(),
        }
    }

    /// Tells whoever started us that we serve, and with what.
    fn announce(&self, loaded: &Loaded) {
        let mut out = io::stdout();
        // Nobody may be listening; then there is nobody to tell.
        let _ = out
            .write_all(self.lines.as_bytes())
            .and_then(|()| out.flush());
        let file = loaded.file.as_deref();
        let file = file.map_or_else(|| "none".to_owned(), |file| file.display().to_string());
        let others = Some(self.others.join(", ")).filter(|others| !others.is_empty());
        tracing::info!(
            address = self.first,
            others,
            version = env!("CARGO_PKG_VERSION"),
            data_dir = %loaded.config.store.data_dir.display(),
            configuration = file,
            "larder serves"
        );
    }
}
