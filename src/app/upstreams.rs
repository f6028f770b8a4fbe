//! Making upstreams: clients with their certificates, who we are to whom, and the chains.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::watch;
use url::Url;

use super::direct::DirectParts;
use super::egress::Egress;
use super::routes::Routes;
use super::start_error::StartError;
use super::{logins, settings};
use crate::clock::SharedClock;
use crate::config::{Config, Environment, read_certificates};
use crate::credentials::Credentials;
use crate::engine::{Chain, ChainEntry, Chains, DirectOrigin, MakeProxy, SumdbRoutes};
use crate::proxies::Proxies;
use crate::sumdb::DatabaseSpec;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{
    ChainSpec, ClientSettings, Pool, Roster, RosterEdition, Share, SourceSpec, Trust, Upstream,
};
use crate::vcs::direct::DirectProfile;
use crate::vcs::rules::HostRules;
use crate::vcs::tenant::Tenant;
use crate::vcs::web::judge_redirect;
use crate::vcs::workspace::Folders;

/// Requests at a time to a proxy that a stranger's page names.
const STRANGERS_SLOTS: usize = 8;

/// Makes upstreams.
pub struct UpstreamMaker {
    parts: Arc<Parts>,
    direct: DirectParts,
    material: ConnectionMaterial,
}

/// What connections to upstreams are made with, read from its files.
pub struct ConnectionMaterial {
    trust: Trust,
    /// Our own certificate and its key, as PEM.
    identity: Option<Vec<u8>>,
    connect_timeout: Duration,
    no_http2: bool,
}

impl ConnectionMaterial {
    /// As the files are now.
    pub fn read(config: &Config, env: &Environment) -> Result<Self, StartError> {
        let upstream = &config.upstream;
        let variable = |name: &str| env.get(name).cloned();
        let trust = Trust::load(variable, &upstream.ca_files).map_err(StartError::Files)?;
        let identity = match (&upstream.client_cert, &upstream.client_key) {
            (Some(cert), Some(key)) => {
                let mut pem = read_certificates(cert).map_err(StartError::Files)?;
                pem.push(b'\n');
                pem.extend(read_certificates(key).map_err(StartError::Files)?);
                Some(pem)
            }
            _ => None,
        };
        Ok(ConnectionMaterial {
            trust,
            identity,
            connect_timeout: upstream.connect_timeout,
            no_http2: upstream.no_http2,
        })
    }

    /// Whether the same connections come of both.
    pub fn is_as(&self, other: &Self) -> bool {
        self.identity == other.identity
            && self.connect_timeout == other.connect_timeout
            && self.no_http2 == other.no_http2
            && self.trust.pem() == other.trust.pem()
    }

    /// For upstreams, and for whom nobody is shown a certificate of ours.
    fn clients(
        &self,
        env: &Environment,
    ) -> Result<(ClientSettings, rustls::ClientConfig), StartError> {
        let tls = |identity: Option<&[u8]>| {
            let made = self.trust.tls(identity, !self.no_http2);
            made.map_err(StartError::Files)
        };
        let variable = |name: &str| env.get(name).cloned();
        let plain = ClientSettings {
            connect_timeout: self.connect_timeout,
            tls: tls(self.identity.as_deref())?,
            proxies: Arc::new(Proxies::from_environment(variable)),
            no_http2: self.no_http2,
            guarded: None,
        };
        Ok((plain, tls(None)?))
    }
}

/// What all upstreams have in common.
struct Parts {
    pool: Arc<Pool>,
    /// For hosts that modules name.
    egress: Egress,
    credentials: Arc<Credentials>,
    via: HeaderValue,
    settings: crate::upstream::UpstreamSettings,
    /// What all upstreams share that the operator has named, or whom the operator trusts.
    share: Arc<Share>,
    /// What all share that strangers have named.
    share_of_strangers: Arc<Share>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    roster: Arc<Roster>,
    /// Of which configuration they are.
    edition: RosterEdition,
    /// Those of the configuration before, each with the database that it is a way to. What is known of one goes to the one
    /// that takes its place.
    before: Mutex<Vec<(Arc<Upstream>, Option<String>)>>,
}

impl UpstreamMaker {
    /// From the configuration; reads certificates and netrc. Repositories are mirrored in the `folders`.
    pub fn new(
        config: &Config,
        env: &Environment,
        via: &str,
        folders: Folders,
        clock: SharedClock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let upstream = &config.upstream;
        let material = ConnectionMaterial::read(config, env)?;
        let trust = &material.trust;
        for problem in trust.problems() {
            tracing::warn!("root certificates: {problem}");
        }
        if trust.is_empty() {
            // What is kept can be served, and plain http spoken, without any.
            tracing::warn!("there are no root certificates: no https server can be trusted");
        }
        let (plain, anonymous) = material.clients(env)?;
        let pool = Pool::new(plain.clone()).map_err(StartError::Files)?;
        let via = HeaderValue::try_from(format!("1.1 {via}"))
            .map_err(|error| StartError::Internal(error.to_string()))?;
        let credentials = Arc::new(logins::credentials(config, env));
        let apis = pool.client().1;
        let egress = Egress::new(config, &plain, anonymous, apis, &credentials);
        let direct = DirectParts::new(
            config,
            env,
            folders,
            &egress,
            trust,
            &clock,
            metrics.direct.clone(),
        )?;
        let parts = Parts {
            pool: Arc::new(pool),
            egress,
            credentials,
            via,
            settings: settings::upstream(config),
            share: Share::of_the_operator(),
            share_of_strangers: Share::of_strangers(upstream.concurrency),
            clock,
            metrics,
            roster: Arc::default(),
            edition: RosterEdition::default(),
            before: Mutex::default(),
        };
        Ok(UpstreamMaker {
            parts: Arc::new(parts),
            direct,
            material,
        })
    }

    /// For another configuration. What this one knows of upstreams and git hosts, its mirrors and, if they would be the
    /// same, its connections are those of both. Nothing changes for whoever uses this one.
    pub fn renewed(
        &self,
        config: &Config,
        env: &Environment,
        material: ConnectionMaterial,
    ) -> Result<Self, StartError> {
        let parts = &self.parts;
        let (plain, anonymous) = material.clients(env)?;
        let pool = match material.is_as(&self.material) {
            true => Arc::clone(&parts.pool),
            false => Arc::new(Pool::new(plain.clone()).map_err(StartError::Files)?),
        };
        let credentials = Arc::new(logins::credentials(config, env));
        let apis = pool.client().1;
        let egress = Egress::new(config, &plain, anonymous, apis, &credentials);
        let direct = self
            .direct
            .renewed(config, env, &egress, &material.trust, &parts.clock)?;
        let parts = Parts {
            pool,
            egress,
            credentials,
            via: parts.via.clone(),
            settings: settings::upstream(config),
            share: Arc::clone(&parts.share),
            share_of_strangers: Arc::clone(&parts.share_of_strangers),
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
            roster: Arc::clone(&parts.roster),
            edition: parts.roster.begin(),
            before: Mutex::new(parts.roster.all_with_databases()),
        };
        Ok(UpstreamMaker {
            parts: Arc::new(parts),
            direct,
            material,
        })
    }

    /// Asks those whom the operator has named.
    pub fn apis(&self) -> reqwest::Client {
        self.parts.egress.apis.clone()
    }

    /// What connections are made with.
    pub fn material(&self) -> &ConnectionMaterial {
        &self.material
    }

    /// From now on its upstreams are told of, and no others. All of them have been made.
    pub fn put_in_force(&self) {
        self.parts.before.lock().clear();
        self.parts.roster.put_in_force(self.parts.edition);
    }

    /// Reads files of secrets and netrc again that have not been read for a while.
    pub async fn read_secrets_again(&self) {
        self.parts.credentials.read_again().await;
    }

    /// Where root certificates come from, and how many more each place has than those before it.
    pub fn trusted(&self) -> &[(String, usize)] {
        self.material.trust.places()
    }

    /// All upstreams that are made here and are the operator's.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.parts.roster
    }

    /// Straight from git, by the rules of a profile.
    pub fn direct_origin(&self, profile: &Arc<DirectProfile>) -> Arc<DirectOrigin> {
        let parts = Arc::clone(&self.parts);
        let rules = profile.rules().clone();
        let make: MakeProxy = Arc::new(move |url| parts.named_by_a_page(url, &rules));
        DirectOrigin::new(Arc::clone(profile), make)
    }

    /// What makes direct mode.
    pub fn direct(&self) -> &DirectParts {
        &self.direct
    }

    /// A chain with its origins made; `direct` in it goes by this profile.
    pub fn chain(&self, chain: &ChainSpec, profile: &Arc<DirectProfile>) -> Chain {
        let made = chain.sources().iter().map(|(source, on_failure)| {
            let entry = match source {
                SourceSpec::Direct => ChainEntry::Origin(self.direct_origin(profile)),
                SourceSpec::Off => ChainEntry::Off,
                SourceSpec::Proxy(url) => ChainEntry::Origin(self.parts.upstream(url, None)),
            };
            (entry, *on_failure)
        });
        Chain::new(made.collect())
    }

    /// The chains of public modules, of private ones and of routes.
    pub fn chains(&self, routes: &Routes, public: watch::Receiver<Option<Chain>>) -> Chains {
        let of_route = |(number, chain): (usize, &Option<ChainSpec>)| {
            let profile = self.direct.of_route(number);
            Some(self.chain(chain.as_ref()?, &profile))
        };
        Chains {
            public,
            private: self.chain(&ChainSpec::direct(), &self.direct.of_private()),
            routes: routes.chains.iter().enumerate().map(of_route).collect(),
        }
    }

    /// The routes to a checksum database.
    pub fn database_routes(&self, chain: &ChainSpec, spec: &DatabaseSpec) -> SumdbRoutes {
        let made = |url: &Url| self.parts.upstream(url, Some(spec.name()));
        if let Some(url) = &spec.url {
            return SumdbRoutes {
                proxies: Vec::new(),
                direct: Some(made(url)),
            };
        }
        let mut routes = SumdbRoutes::default();
        let mut direct = true;
        for (source, on_failure) in chain.sources() {
            match source {
                SourceSpec::Proxy(url) => {
                    let mut below = url.clone();
                    let path =
                        format!("{}/sumdb/{}", url.path().trim_end_matches('/'), spec.name());
                    below.set_path(&path);
                    routes.proxies.push((made(&below), *on_failure));
                }
                SourceSpec::Direct => {}
                // The operator wants nobody asked.
                SourceSpec::Off => direct = false,
            }
        }
        routes.direct = spec.own_url().filter(|_| direct).map(|url| made(&url));
        routes
    }
}

impl Parts {
    /// An upstream that the operator has named.
    fn upstream(&self, url: &Url, database: Option<&str>) -> Arc<Upstream> {
        let pool = Arc::clone(&self.pool);
        let upstream = match self.known(url, database) {
            Some(known) => known.reconfigured(url, pool, &self.credentials, self.settings),
            None => Upstream::new(
                url,
                pool,
                &self.credentials,
                self.via.clone(),
                self.settings,
                Arc::clone(&self.share),
                Arc::clone(&self.clock),
                |label| self.metrics.upstream(label),
            ),
        };
        self.roster.add(&upstream, database, self.edition);
        upstream
    }

    /// The one that was asked for the same before, once.
    fn known(&self, url: &Url, database: Option<&str>) -> Option<Arc<Upstream>> {
        let mut before = self.before.lock();
        let same = |(upstream, of): &(Arc<Upstream>, Option<String>)| {
            of.as_deref() == database && upstream.is_at(url)
        };
        let at = before.iter().position(same)?;
        Some(before.swap_remove(at).0)
    }

    /// One that a module's page has named. All of them are one in the metrics: there can be any number.
    fn named_by_a_page(&self, url: &Url, rules: &HostRules) -> Result<Arc<Upstream>, String> {
        let profile = self.egress.of(rules);
        judge_redirect(&profile.guard, &profile.reserved, url)?;
        let mut settings = self.settings;
        let share = match rules.tenant() {
            Tenant::Strangers => {
                settings.concurrency = settings.concurrency.min(STRANGERS_SLOTS);
                Arc::clone(&self.share_of_strangers)
            }
            Tenant::Own => Arc::clone(&self.share),
        };
        Ok(Upstream::new(
            url,
            (profile.pool)()?,
            &profile.credentials,
            self.via.clone(),
            settings,
            share,
            Arc::clone(&self.clock),
            |_| self.metrics.upstream("named by pages"),
        ))
    }
}
