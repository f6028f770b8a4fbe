//! Making upstreams: clients with their certificates, who we are to whom, and the chains.

use std::io;
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use url::Url;

use super::StartError;
use super::direct::{DirectParts, Ground, Outside};
use crate::breaker::BreakerSettings;
use crate::clock::SharedClock;
use crate::config::{Auth, Config, Environment, read_secret};
use crate::credentials::{CredentialRule, Credentials, Known, Login, Read, netrc};
use crate::engine::{Direct, MakeProxy, Source, Sources, Ways};
use crate::proxies::Proxies;
use crate::sumdb::DatabaseSpec;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{
    ChainSpec, ClientSettings, Pool, Roster, Share, SourceSpec, Trust, Upstream,
};
use crate::vcs::direct::Way;
use crate::vcs::party::Party;
use crate::vcs::rules::Rules;
use crate::vcs::web::judge_redirect;

/// Requests at a time to a proxy that a stranger's page names.
const STRANGERS_SLOTS: usize = 8;

/// Makes upstreams.
pub struct UpstreamMaker {
    parts: Arc<Parts>,
    direct: DirectParts,
    /// Where root certificates come from, for `doctor`.
    trusted: Vec<(String, usize)>,
}

/// What all upstreams have in common.
struct Parts {
    pool: Arc<Pool>,
    /// For hosts that modules name.
    outside: Outside,
    credentials: Arc<Credentials>,
    via: HeaderValue,
    settings: crate::upstream::Settings,
    /// What all upstreams share that the operator has named, or whom the operator trusts.
    share: Arc<Share>,
    /// What all share that strangers have named.
    share_of_strangers: Arc<Share>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    roster: Arc<Roster>,
}

impl UpstreamMaker {
    /// From the configuration; reads certificates and netrc. Repositories are mirrored on `ground`.
    pub fn new(
        config: &Config,
        env: &Environment,
        via: &str,
        ground: Ground,
        clock: SharedClock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| {
                StartError::Files(format!("{} cannot be read: {error}", path.display()))
            })
        };
        let upstream = &config.upstream;
        let variable = |name: &str| env.get(name).cloned();
        let trust = Trust::load(variable, &upstream.ca_files).map_err(StartError::Files)?;
        for problem in trust.problems() {
            tracing::warn!("root certificates: {problem}");
        }
        if trust.is_empty() {
            // What is kept can be served, and plain http spoken, without any.
            tracing::warn!("there are no root certificates: no https server can be trusted");
        }
        let identity = match (&upstream.client_cert, &upstream.client_key) {
            (Some(cert), Some(key)) => {
                let mut pem = read(cert)?;
                pem.push(b'\n');
                pem.extend(read(key)?);
                Some(pem)
            }
            _ => None,
        };
        let tls = |identity: Option<&[u8]>| {
            let made = trust.tls(identity, !upstream.no_http2);
            made.map_err(StartError::Files)
        };
        let plain = ClientSettings {
            connect_timeout: upstream.connect_timeout,
            tls: tls(identity.as_deref())?,
            proxies: Arc::new(Proxies::from_environment(variable)),
            no_http2: upstream.no_http2,
            guarded: None,
        };
        let pool = Pool::new(plain.clone()).map_err(StartError::Files)?;
        let via = HeaderValue::try_from(format!("1.1 {via}"))
            .map_err(|error| StartError::Ours(error.to_string()))?;
        let credentials = Arc::new(credentials(config, env));
        let apis = pool.client().1;
        let outside = Outside::new(config, &plain, tls(None)?, apis, &credentials);
        let direct = DirectParts::new(
            config,
            env,
            ground,
            &outside,
            &trust,
            &clock,
            metrics.direct.clone(),
        )?;
        let parts = Parts {
            pool: Arc::new(pool),
            outside,
            credentials,
            via,
            settings: crate::upstream::Settings {
                first_byte_timeout: upstream.first_byte_timeout,
                idle_timeout: upstream.idle_timeout,
                attempts: upstream.attempts,
                timeouts: 2,
                concurrency: upstream.concurrency,
                breaker: breaker(config),
            },
            share: Share::of_the_operator(),
            share_of_strangers: Share::of_strangers(upstream.concurrency),
            clock,
            metrics,
            roster: Arc::default(),
        };
        Ok(UpstreamMaker {
            parts: Arc::new(parts),
            direct,
            trusted: trust.places().to_vec(),
        })
    }

    /// Where root certificates come from, and how many more each place has than those before it.
    pub fn trusted(&self) -> &[(String, usize)] {
        &self.trusted
    }

    /// All upstreams that are made here and are the operator's.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.parts.roster
    }

    /// Straight from git, by the rules of a way.
    pub fn by_way(&self, way: &Arc<Way>) -> Arc<Direct> {
        let parts = Arc::clone(&self.parts);
        let rules = way.rules().clone();
        let make: MakeProxy = Arc::new(move |url| parts.named_by_a_page(url, &rules));
        Direct::new(Arc::clone(way), make)
    }

    /// What makes direct mode.
    pub fn direct(&self) -> &DirectParts {
        &self.direct
    }

    /// A chain's sources, made; `direct` in it goes that way.
    pub fn sources(&self, chain: &ChainSpec, way: &Arc<Way>) -> Sources {
        let made = chain.sources().iter().map(|(source, fall)| {
            let source = match source {
                SourceSpec::Direct => Source::Direct(self.by_way(way)),
                SourceSpec::Off => Source::Off,
                SourceSpec::Proxy(url) => Source::Proxy(self.parts.upstream(url, None)),
            };
            (source, *fall)
        });
        Sources::new(made.collect())
    }

    /// The ways to a checksum database.
    pub fn ways(&self, chain: &ChainSpec, spec: &DatabaseSpec) -> Ways {
        let made = |url: &Url| self.parts.upstream(url, Some(spec.name()));
        if let Some(url) = &spec.url {
            return Ways {
                proxies: Vec::new(),
                direct: Some(made(url)),
            };
        }
        let mut ways = Ways::default();
        let mut direct = true;
        for (source, fall) in chain.sources() {
            match source {
                SourceSpec::Proxy(url) => {
                    let mut below = url.clone();
                    let path =
                        format!("{}/sumdb/{}", url.path().trim_end_matches('/'), spec.name());
                    below.set_path(&path);
                    ways.proxies.push((made(&below), *fall));
                }
                SourceSpec::Direct => {}
                // The operator wants nobody asked.
                SourceSpec::Off => direct = false,
            }
        }
        ways.direct = spec.own_url().filter(|_| direct).map(|url| made(&url));
        ways
    }
}

impl Parts {
    /// An upstream that the operator has named.
    fn upstream(&self, url: &Url, database: Option<&str>) -> Arc<Upstream> {
        let upstream = Arc::new(Upstream::new(
            url,
            Arc::clone(&self.pool),
            &self.credentials,
            self.via.clone(),
            self.settings,
            Arc::clone(&self.share),
            Arc::clone(&self.clock),
            |label| self.metrics.upstream(label),
        ));
        self.roster.add(&upstream, database);
        upstream
    }

    /// One that a module's page has named. All of them are one in the metrics: there can be any number.
    fn named_by_a_page(&self, url: &Url, rules: &Rules) -> Result<Arc<Upstream>, String> {
        let reach = self.outside.of(rules);
        judge_redirect(&reach.guard, &reach.reserved, url)?;
        let mut settings = self.settings;
        let share = match rules.party() {
            Party::Strangers => {
                settings.concurrency = settings.concurrency.min(STRANGERS_SLOTS);
                Arc::clone(&self.share_of_strangers)
            }
            Party::Own => Arc::clone(&self.share),
        };
        Ok(Arc::new(Upstream::new(
            url,
            (reach.pool)()?,
            &reach.credentials,
            self.via.clone(),
            settings,
            share,
            Arc::clone(&self.clock),
            |_| self.metrics.upstream("named by pages"),
        )))
    }
}

/// When somebody is left alone for a while.
pub fn breaker(config: &Config) -> BreakerSettings {
    BreakerSettings {
        failures: config.breaker.failures,
        window: config.breaker.window,
        open_for: config.breaker.open_for,
    }
}

fn credentials(config: &Config, env: &Environment) -> Credentials {
    let rules = config.credentials.iter().map(|credential| CredentialRule {
        host: credential.host.clone(),
        path: credential.path.clone().unwrap_or_default(),
        login: match &credential.auth {
            Auth::Basic { username, password } => Login::Basic {
                user: username.clone(),
                password: password.expose().to_owned(),
            },
            Auth::Bearer(token) => Login::Bearer(token.expose().to_owned()),
        },
    });
    let files = config.credentials.iter();
    let files = files.map(|credential| credential.secret_file().map(Path::to_owned));
    let files: Vec<_> = files.collect();
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    let path = config
        .upstream
        .netrc
        .clone()
        .or_else(|| set("NETRC").map(Into::into))
        .or_else(|| set("HOME").map(|home| Path::new(home).join(".netrc")));
    let known = Known {
        rules: rules.collect(),
        netrc: path
            .as_deref()
            .map_or_else(Vec::new, |path| machines(path, &[])),
    };
    let in_files = path.is_some() || files.iter().any(Option::is_some);
    let read: Read<Known> = Arc::new(move |old: &Known| {
        let mut now = old.clone();
        for (rule, file) in now.rules.iter_mut().zip(&files) {
            if let Some(file) = file {
                rule.login = in_file(file, &rule.login);
            }
        }
        if let Some(path) = &path {
            now.netrc = machines(path, &old.netrc);
        }
        now
    });
    Credentials::new(known, in_files.then_some(read))
}

/// The entries of a netrc file, none if there is none; `old` ones if it cannot be read.
fn machines(path: &Path, old: &[netrc::Machine]) -> Vec<netrc::Machine> {
    match std::fs::read_to_string(path) {
        Ok(text) => netrc::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "netrc cannot be read");
            old.to_vec()
        }
    }
}

/// The same login with the secret that a file has now; as it is if that cannot be read.
pub fn in_file(file: &Path, known: &Login) -> Login {
    let secret = match read_secret(file) {
        Ok(secret) => secret.expose().to_owned(),
        Err(error) => {
            tracing::warn!(
                error,
                "a secret cannot be read again; the old one stays in use"
            );
            return known.clone();
        }
    };
    match known {
        Login::Basic { user, .. } => Login::Basic {
            user: user.clone(),
            password: secret,
        },
        Login::Bearer(_) => Login::Bearer(secret),
    }
}
