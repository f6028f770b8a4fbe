//! Reads the configuration again: at SIGHUP, at an operator's word, and when its file has changed. What is new is made and
//! judged as a whole before anything of it is put in force, and that is one step (`engine/rules.rs`); what is wrong changes
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::chain::{
    Chosen, Ourselves, chain_remarks, choose_chain, memory_file, operators_chain, remember_beside,
};
use super::compose::ChainSet;
use super::oidc::issuers;
use super::routes::routes;
use super::rules::rules;
use super::service_manager::ServiceManager;
use super::start_error::StartError;
use super::upstreams::{ConnectionMaterial, UpstreamMaker};
use crate::clock::SharedClock;
use crate::config::{
    Config, ConfigErrors, Environment, FileDigest, Loaded, Overrides, Shadowed, WatchedFile, load,
};
use crate::engine::Engine;
use crate::kit::reload::{Reload, ReloadError, Reloaded, ShadowedKey};
use crate::kit::tasks::Job;
use crate::telemetry::audit::{Audit, AuditReload};
use crate::telemetry::logs::LogLevel;
use crate::telemetry::metrics::ReloadMetrics;

/// Those who wait for a reload that has not begun; more of them wait to be taken.
const WAITING: usize = 64;
/// For so long nothing may have been written to a watched file, or it is not read yet.
const SETTLES: Duration = Duration::from_millis(500);
/// Keys from which upstreams, git hosts and who we are to them are made.
const OF_SOURCES: [&str; 5] = [
    "upstream.",
    "direct.",
    "modules.private",
    "credentials",
    "routes",
];

/// What the configuration is read from and put in force in.
pub struct ReloadParts {
    /// The flags that the server was started with.
    pub overrides: Overrides,
    pub env: Environment,
    pub clock: SharedClock,
    pub level: LogLevel,
    pub engine: Arc<Engine>,
    pub chains: Arc<ChainSet>,
    /// What leads to this very server; the addresses do not change.
    pub ourselves: Ourselves,
    pub manager: Arc<ServiceManager>,
    pub metrics: ReloadMetrics,
    /// What is kept of what was put in force, and why.
    pub audit: Audit,
    /// Woken by SIGHUP, also before this runs.
    pub hangup: Arc<Notify>,
    /// Warnings about who may have what, once the rules are in force.
    pub look_at_access: Box<dyn Fn(&Config) + Send + Sync>,
}

/// Reads the configuration again whenever somebody wants it, one time after the other.
pub struct ConfigReloader {
    parts: ReloadParts,
    /// What is in force. Whoever reads the configuration holds it.
    in_force: Mutex<InForce>,
    requests: Mutex<mpsc::Receiver<Waiting>>,
}

/// The configuration in force, and what its file says that does not count.
struct InForce {
    config: Config,
    shadowed: Vec<Shadowed>,
    digest: Option<FileDigest>,
}

type Waiting = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// By which others have the configuration read again.
pub struct ReloadRequests(mpsc::Sender<Waiting>);

impl Reload for ReloadRequests {
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ReloadError>> {
        async {
            let stopping = || ReloadError::Failed("the server is stopping".to_owned());
            let (sender, told) = oneshot::channel();
            self.0.send(sender).await.map_err(|_| stopping())?;
            told.await.unwrap_or_else(|_| Err(stopping()))
        }
        .boxed()
    }
}

/// Those who want a reload, and the end that `ConfigReloader` has of it.
pub fn requests() -> (Arc<ReloadRequests>, mpsc::Receiver<Waiting>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Arc::new(ReloadRequests(sender)), receiver)
}

impl ConfigReloader {
    /// With what the server was started with in force.
    pub fn new(parts: ReloadParts, loaded: &Loaded, requests: mpsc::Receiver<Waiting>) -> Self {
        let generation = generation(&parts.engine);
        parts
            .metrics
            .in_force(generation, parts.clock.now().0 / 1000);
        ConfigReloader {
            parts,
            in_force: Mutex::new(InForce {
                config: loaded.config.clone(),
                shadowed: loaded.shadowed.clone(),
                digest: loaded.digest,
            }),
            requests: Mutex::new(requests),
        }
    }

    /// Reads the configuration again and says in the log what came of it.
    async fn reload(&self, why: &'static str) -> Result<Reloaded, ReloadError> {
        let parts = &self.parts;
        parts.manager.reloading();
        let mut in_force = self.in_force.lock().await;
        let done = self.read(&mut in_force).await;
        let error = done.as_ref().err().map(ToString::to_string);
        let nothing = Reloaded::default();
        let told = done.as_ref().unwrap_or(&nothing);
        parts.audit.reloaded(&AuditReload {
            cause: why,
            changed: &told.changed,
            needs_restart: &told.needs_restart,
            error: error.as_deref(),
        });
        match &done {
            Ok(done) => {
                parts.metrics.taken();
                let now = parts.clock.now().0 / 1000;
                parts.metrics.in_force(done.generation, now);
                tracing::info!(
                    why,
                    generation = done.generation,
                    changed = done.changed.join(", "),
                    "the configuration was read again"
                );
                if !done.needs_restart.is_empty() {
                    let keys = done.needs_restart.join(", ");
                    tracing::warn!(
                        keys,
                        "changed in the configuration, and waits for a restart"
                    );
                }
                for ShadowedKey { key, by } in &done.shadowed {
                    tracing::warn!("{key}: changed in the file, but {by} says otherwise");
                }
                for warning in &done.warnings {
                    tracing::warn!("{warning}");
                }
                (parts.look_at_access)(&in_force.config);
            }
            Err(error) => {
                parts.metrics.refused();
                for line in error.to_string().lines() {
                    tracing::error!(why, "the configuration was not reloaded: {line}");
                }
            }
        }
        // In either case, as the service manager wants it.
        parts.manager.ready();
        done
    }

    async fn read(&self, in_force: &mut InForce) -> Result<Reloaded, ReloadError> {
        let parts = &self.parts;
        let (overrides, env) = (parts.overrides.clone(), parts.env.clone());
        let running = in_force.config.clone();
        // Files may lie on a network.
        let read = spawn_blocking(move || {
            let loaded = load(&overrides, &env).map_err(wrong)?;
            let config = running.with_changes_of(&loaded.config);
            let material = ConnectionMaterial::read(&config, &env).map_err(refused)?;
            Ok((loaded, config, material))
        });
        let (loaded, config, material) = read.await.map_err(failed)??;
        let changed = config.changed_keys(&in_force.config);
        let of_sources = |key: &&str| OF_SOURCES.iter().any(|name| key.starts_with(name));
        let maker = parts.chains.maker();
        let renewed = changed.iter().any(of_sources) || !material.is_as(maker.material());
        let mut chosen = None;
        let generation = if renewed {
            let spec = match operators_chain(&config) {
                Some(chain) if chain.proxies().any(|url| parts.ourselves.are(url)) => {
                    let text = format!(
                        "{chain} names this very server; name the proxy that it is to fetch from, or \"direct\", or \"off\""
                    );
                    return Err(wrong(loaded.refuse("upstream.chain", text)));
                }
                Some(chain) => {
                    chosen = Some(Chosen::by_operator(chain.clone(), &config.upstream));
                    chain
                }
                None if in_force.config.upstream.chain.is_none() => {
                    let known = parts.chains.known().await;
                    known.ok_or_else(|| failed("the chain of upstreams is not known"))?
                }
                None => {
                    let memory = memory_file(&config.store);
                    let found = choose_chain(&parts.env, parts.ourselves.clone(), &memory).await;
                    found.log();
                    let chain = found.chain.clone();
                    found.remember(&memory, parts.clock.now());
                    chain
                }
            };
            let (env, new) = (parts.env.clone(), config.clone());
            let made = spawn_blocking(move || UpstreamMaker::renewed(&maker, &new, &env, material));
            let made = made.await.map_err(failed)?.map_err(refused)?;
            let routes = routes(&config);
            let issuers = issuers(&config, &made.apis(), &parts.clock);
            let (prepared, chains) = parts.chains.prepare(made, &routes, &spec);
            // All is made and nothing can fail any more; from here to the end nobody waits for anything.
            let number = parts
                .engine
                .swap_rules(rules(&config, &routes, issuers, chains));
            parts.chains.put_in_force(prepared);
            u64::from(number.number()) + 1
        } else if changed.is_empty() {
            maker.read_secrets_again().await;
            generation(&parts.engine)
        } else {
            maker.read_secrets_again().await;
            let now = parts.engine.rules();
            let issuers = match changed.contains(&"access.oidc") {
                true => issuers(&config, &maker.apis(), &parts.clock),
                false => Arc::clone(&now.issuers),
            };
            let rules = rules(&config, &routes(&config), issuers, now.chains.clone());
            u64::from(parts.engine.swap_rules(rules).number()) + 1
        };
        if changed.contains(&"log.level")
            && let Err(error) = parts.level.set(&config.log.level)
        {
            tracing::error!(%error, "the log level stays");
        }
        let known = &in_force.shadowed;
        let anew = |it: &&Shadowed| {
            !known
                .iter()
                .any(|old| old.key == it.key && old.in_file == it.in_file)
        };
        let shadowed = loaded.shadowed.iter().filter(anew);
        let mut warnings = loaded.warnings.clone();
        warnings.extend(chain_remarks(&config));
        let done = Reloaded {
            generation,
            needs_restart: owned(&loaded.config.changed_keys(&config)),
            changed: owned(&changed),
            shadowed: shadowed
                .map(|it| ShadowedKey {
                    key: it.key.clone(),
                    by: it.by.to_string(),
                })
                .collect(),
            warnings,
        };
        let new_chain = changed.contains(&"upstream.chain");
        *in_force = InForce {
            config,
            shadowed: loaded.shadowed,
            digest: loaded.digest,
        };
        if let Some(chosen) = chosen.filter(|_| new_chain) {
            chosen.log();
            let memory = memory_file(&in_force.config.store);
            let (ourselves, at) = (parts.ourselves.clone(), parts.clock.now());
            remember_beside(&chosen, &parts.env, ourselves, &memory, at).await;
        }
        Ok(done)
    }
}

impl Job for ConfigReloader {
    const NAME: &'static str = "reload";

    async fn run(&self, stop: &CancellationToken) {
        let mut requests = self.requests.lock().await;
        let mut watched = Watched {
            file: WatchedFile::new(&self.parts.overrides, &self.parts.env),
            taken: self.in_force.lock().await.digest,
        };
        loop {
            let watch = self.in_force.lock().await.config.server.watch;
            let mut waiting = Vec::new();
            let why = tokio::select! {
                () = stop.cancelled() => return,
                () = self.parts.hangup.notified() => "SIGHUP",
                Some(first) = requests.recv() => {
                    waiting.push(first);
                    "an operator's command"
                }
                () = sleep(watch.unwrap_or_default()), if watch.is_some() => {
                    match stop.run_until_cancelled(watched.has_changed()).await {
                        Some(true) => "its file has changed",
                        _ => continue,
                    }
                }
            };
            // Whoever has asked before it begins has the answer.
            while let Ok(next) = requests.try_recv() {
                waiting.push(next);
            }
            let done = self.reload(why).await;
            if done.is_ok() {
                watched.taken = self.in_force.lock().await.digest;
            }
            for one in waiting {
                // They may have gone.
                let _ = one.send(done.clone());
            }
        }
    }
}

/// The configuration file, and what it was when it was last read.
struct Watched {
    file: Option<WatchedFile>,
    taken: Option<FileDigest>,
}

impl Watched {
    /// Whether it is to be read again: it has changed, and nobody is writing it at the moment.
    async fn has_changed(&mut self) -> bool {
        let now = self.look().await;
        if now == self.taken {
            return false;
        }
        sleep(SETTLES).await;
        if self.look().await != now {
            return false;
        }
        self.taken = now;
        true
    }

    async fn look(&self) -> Option<FileDigest> {
        let file = self.file.clone()?;
        spawn_blocking(move || file.digest()).await.ok()?
    }
}

/// Which rules are in force, counted from 1.
fn generation(engine: &Engine) -> u64 {
    u64::from(engine.rules_now().generation().number()) + 1
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn wrong(errors: ConfigErrors) -> ReloadError {
    let problems = errors.problems().iter();
    ReloadError::Wrong(problems.map(ToString::to_string).collect())
}

fn refused(error: StartError) -> ReloadError {
    match error {
        StartError::Config(errors) => wrong(errors),
        StartError::Files(text) => ReloadError::Wrong(vec![text]),
        other => failed(other),
    }
}

fn failed(error: impl std::fmt::Display) -> ReloadError {
    ReloadError::Failed(error.to_string())
}
