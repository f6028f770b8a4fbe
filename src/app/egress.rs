//! Which hosts may be asked for what modules name, and how.

use std::sync::{Arc, OnceLock};

use super::routes::rule;
use crate::config::{Config, RouteVia};
use crate::credentials::Credentials;
use crate::gomod::Patterns;
use crate::upstream::{ClientSettings, Guarded, Pool, SourceSpec};
use crate::vcs::guard::{Guard, GuardedResolver, named_host};
use crate::vcs::hosts::HostClient;
use crate::vcs::reserved::Reserved;
use crate::vcs::rules::HostRules;
use crate::vcs::web::{HostConnections, MakeClient, Web, judge_redirect};

/// Of a page as much is read: tags stand in its head. Bytes.
const MAX_PAGE: usize = 4 << 20;
/// The same of what strangers name.
const MAX_STRANGERS_PAGE: usize = 1 << 20;

/// Gives connections, made when they are first needed.
pub type MakePool = Arc<dyn Fn() -> Result<Arc<Pool>, String> + Send + Sync>;

/// Whom public modules, or private ones, may reach, and who we are there.
#[derive(Clone)]
pub struct EgressProfile {
    /// Which hosts may be asked.
    pub guard: Arc<Guard>,
    /// Asks them.
    pub pool: MakePool,
    /// Who we are to them.
    pub credentials: Arc<Credentials>,
    /// Which repositories are not for them.
    pub reserved: Arc<Reserved>,
    /// Of a page. Bytes.
    max_page: usize,
}

/// How the world is asked over http.
pub struct Egress {
    /// By public modules, which come from anywhere.
    pub public: EgressProfile,
    /// By public modules of routes, which the operator has named.
    pub routes: EgressProfile,
    /// By private ones, which the operator has named.
    pub private: EgressProfile,
    /// Those that the operator has named.
    pub apis: reqwest::Client,
}

impl Egress {
    /// `plain` is how upstreams are asked.
    pub fn new(
        config: &Config,
        plain: &ClientSettings,
        anonymous: rustls::ClientConfig,
        apis: reqwest::Client,
        credentials: &Arc<Credentials>,
    ) -> Self {
        let allowed = || config.direct.allow_hosts.iter().map(String::as_str);
        let nobody = ClientSettings {
            tls: anonymous,
            ..plain.clone()
        };
        let named = named_hosts(config);
        let named = named.iter().map(String::as_str);
        let reserved = Arc::new(reserved(config));
        let profile = EgressProfile::new;
        Egress {
            public: profile(
                &mut std::iter::empty(),
                nobody.clone(),
                &reserved,
                MAX_STRANGERS_PAGE,
            ),
            routes: profile(&mut allowed(), nobody, &reserved, MAX_PAGE),
            private: EgressProfile {
                credentials: Arc::clone(credentials),
                ..profile(
                    &mut allowed().chain(named),
                    plain.clone(),
                    &Arc::default(),
                    MAX_PAGE,
                )
            },
            apis,
        }
    }

    /// For modules under these rules.
    pub fn of(&self, rules: &HostRules) -> &EgressProfile {
        match (rules.private, rules.route) {
            (true, _) => &self.private,
            (false, true) => &self.routes,
            (false, false) => &self.public,
        }
    }
}

impl EgressProfile {
    fn new(
        inside: &mut dyn Iterator<Item = &str>,
        plain: ClientSettings,
        reserved: &Arc<Reserved>,
        max_page: usize,
    ) -> Self {
        let guard = Arc::new(Guard::new(inside, Arc::clone(&plain.proxies)));
        let judge = Arc::clone(&guard);
        let barred = Arc::clone(reserved);
        let settings = ClientSettings {
            guarded: Some(Guarded {
                resolver: Arc::new(GuardedResolver(Arc::clone(&guard))),
                judge: Arc::new(move |url| judge_redirect(&judge, &barred, url)),
            }),
            ..plain
        };
        // When it is first needed: most servers never do.
        let made = OnceLock::new();
        let make = move || Pool::new(settings.clone()).map(Arc::new);
        EgressProfile {
            guard,
            pool: Arc::new(move || made.get_or_init(&make).clone()),
            credentials: Arc::default(),
            reserved: Arc::clone(reserved),
            max_page,
        }
    }

    pub fn host_client(&self, config: &Config) -> HostClient {
        let pool = Arc::clone(&self.pool);
        let client: MakeClient = Arc::new(move || {
            let pool = pool()?;
            let (generation, client) = pool.client();
            Ok(HostConnections {
                client,
                leave_behind: Box::new(move || pool.renew(generation)),
            })
        });
        HostClient {
            guard: Arc::clone(&self.guard),
            web: Web::new(
                client,
                Arc::clone(&self.guard),
                Arc::clone(&self.credentials),
                config.upstream.first_byte_timeout,
                self.max_page,
            ),
            reserved: Arc::clone(&self.reserved),
        }
    }
}

/// The hosts that private patterns and routes name, which may be inside.
fn named_hosts(config: &Config) -> Vec<String> {
    let of_routes = config
        .routes
        .iter()
        .filter(|route| rule(route).is_private());
    let patterns = of_routes.clone().map(|route| &route.modules);
    let patterns = patterns.chain([&config.modules.private]);
    let named = patterns
        .flat_map(Patterns::iter)
        .filter_map(|it| named_host(it.trim()));
    let hosts = of_routes.filter_map(|route| {
        let host = route.host.as_deref()?;
        Some(host.rsplit_once(':').map_or(host, |(host, _)| host))
    });
    named.chain(hosts).map(str::to_owned).collect()
}

/// What public modules do not come from: repositories that private patterns and routes name, and the proxies of such
/// routes.
fn reserved(config: &Config) -> Reserved {
    let of_routes = || {
        config
            .routes
            .iter()
            .filter(|route| rule(route).is_private())
    };
    let patterns = of_routes().map(|route| &route.modules);
    let patterns = patterns.chain([&config.modules.private]);
    let patterns: Vec<_> = patterns.map(Patterns::to_string).collect();
    let proxies = of_routes().filter_map(|route| match &route.via {
        RouteVia::Chain(chain) => Some(&chain.value),
        RouteVia::Refuse | RouteVia::Upstream => None,
    });
    let hosts = proxies.flat_map(|chain| {
        let sources = chain.sources().iter();
        let hosts = sources.filter_map(|(source, _)| match source {
            SourceSpec::Proxy(url) => Some(url.host_str()?.to_ascii_lowercase()),
            SourceSpec::Direct | SourceSpec::Off => None,
        });
        hosts.collect::<Vec<_>>()
    });
    Reserved::new(&patterns.join(","), hosts.collect())
}
