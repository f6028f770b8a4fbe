//! Making direct mode: which hosts may be asked, the ways with their rules, and the sources of routes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use url::Url;

use super::upstreams::in_file;
use super::{StartError, UpstreamMaker};
use crate::clock::SharedClock;
use crate::config::{self, Config, ConfigErrors, Environment, Loaded, Route};
use crate::credentials::{Credentials, Login, Renewed};
use crate::engine::{AllSources, Sources};
use crate::gomod::Patterns;
use crate::policy::{RouteRule, Via};
use crate::store::Disk;
use crate::telemetry::metrics::DirectMetrics;
use crate::upstream::{ChainSpec, ClientSettings, Guarded, Pool, SourceSpec, Trust};
use crate::vcs::direct::{Direct, DirectSettings, Way};
use crate::vcs::git::Git;
use crate::vcs::github::{AppError, GithubApp};
use crate::vcs::guard::{Guard, Resolver, named_host};
use crate::vcs::hosts::{HostSettings, Hosts, Side, Sides};
use crate::vcs::reserved::Reserved;
use crate::vcs::rules::{RouteLogin, Rules, Ssh};
use crate::vcs::web::{Connections, MakeClient, Web, judge_redirect};
use crate::vcs::workspace::{Left, Workspace};

/// Of a page as much is read: tags stand in its head. Bytes.
const MAX_PAGE: usize = 4 << 20;
/// The same of what strangers name.
const MAX_STRANGERS_PAGE: usize = 1 << 20;

/// What git takes for home: nothing of anybody's settings is there.
const NO_HOME: &str = "/nonexistent";
/// Where repositories are mirrored.
pub struct Ground {
    /// For mirrors.
    pub mirrors: PathBuf,
    /// For what is in the making.
    pub temporary: PathBuf,
    /// How much more may be written. Bytes.
    pub left: Left,
}

impl Ground {
    /// In a folder of a command that only passes by.
    pub fn passing(folder: &Path) -> Self {
        Ground {
            mirrors: folder.join("git"),
            temporary: folder.to_owned(),
            left: Arc::new(|| u64::MAX),
        }
    }

    /// In a data directory.
    pub fn of(data_dir: &Path, disk: &Arc<Disk>) -> Self {
        let disk = Arc::clone(disk);
        Ground {
            mirrors: data_dir.join("git"),
            temporary: data_dir.join("tmp"),
            left: Arc::new(move || {
                // While git writes, half a second ago is too long ago.
                disk.free_now();
                disk.left()
            }),
        }
    }
}

/// The routes, judged.
pub struct Routes {
    /// For the policy.
    pub rules: Vec<RouteRule>,
    chains: Vec<Option<ChainSpec>>,
}

/// Patterns of a configuration, which has checked them.
pub fn patterns(text: &str) -> Patterns {
    Patterns::parse(text)
}

/// The routes that the operator wants.
pub fn routes(loaded: &Loaded) -> Result<Routes, ConfigErrors> {
    let mut routes = Routes {
        rules: Vec::new(),
        chains: Vec::new(),
    };
    for route in &loaded.config.routes {
        let (via, chain) = match route.via.as_str() {
            "refuse" => (Via::Refuse, None),
            "upstream" if route.private == Some(true) => {
                let why = "would tell the upstreams of all of private modules; give these a chain of their own";
                return Err(route.refuse("via", why));
            }
            "upstream" => (Via::Upstream, None),
            chain => {
                let chain = ChainSpec::parse(chain);
                let chain = chain.map_err(|error| route.refuse("via", error.to_string()))?;
                (Via::Own, Some(chain))
            }
        };
        routes.rules.push(RouteRule {
            modules: patterns(&route.patterns),
            via,
            private: route.private,
        });
        routes.chains.push(chain);
    }
    Ok(routes)
}

impl Routes {
    /// What comes by the `chain`, by routes, and private modules.
    pub fn sources(
        &self,
        maker: &UpstreamMaker,
        chain: watch::Receiver<Option<Sources>>,
    ) -> AllSources {
        let of_route = |(number, chain): (usize, &Option<ChainSpec>)| {
            let way = maker.direct().of_route(number);
            Some(maker.sources(chain.as_ref()?, &way))
        };
        let private: Sources = {
            let way = maker.direct().of_private();
            maker.sources(&ChainSpec::direct(), &way)
        };
        AllSources {
            chain,
            private,
            routes: self.chains.iter().enumerate().map(of_route).collect(),
        }
    }
}

/// Gives connections, made when they are first needed.
pub type MakePool = Arc<dyn Fn() -> Result<Arc<Pool>, String> + Send + Sync>;

/// Whom public modules, or private ones, may reach, and who we are there.
#[derive(Clone)]
pub struct Reach {
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
pub struct Outside {
    /// By public modules, which come from anywhere.
    pub public: Reach,
    /// By public modules of routes, which the operator has named.
    pub routes: Reach,
    /// By private ones, which the operator has named.
    pub private: Reach,
    /// Those that the operator has named.
    pub apis: reqwest::Client,
}

impl Outside {
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
        let reach = Reach::new;
        Outside {
            public: reach(
                &mut std::iter::empty(),
                nobody.clone(),
                &reserved,
                MAX_STRANGERS_PAGE,
            ),
            routes: reach(&mut allowed(), nobody, &reserved, MAX_PAGE),
            private: Reach {
                credentials: Arc::clone(credentials),
                ..reach(
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
    pub fn of(&self, rules: &Rules) -> &Reach {
        match (rules.private, rules.route) {
            (true, _) => &self.private,
            (false, true) => &self.routes,
            (false, false) => &self.public,
        }
    }
}

impl Reach {
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
                resolver: Arc::new(Resolver(Arc::clone(&guard))),
                judge: Arc::new(move |url| judge_redirect(&judge, &barred, url)),
            }),
            ..plain
        };
        // When it is first needed: most servers never do.
        let made = OnceLock::new();
        let make = move || Pool::new(settings.clone()).map(Arc::new);
        Reach {
            guard,
            pool: Arc::new(move || made.get_or_init(&make).clone()),
            credentials: Arc::default(),
            reserved: Arc::clone(reserved),
            max_page,
        }
    }

    fn side(&self, config: &Config) -> Side {
        let pool = Arc::clone(&self.pool);
        let client: MakeClient = Arc::new(move || {
            let pool = pool()?;
            let (generation, client) = pool.client();
            Ok(Connections {
                client,
                leave_behind: Box::new(move || pool.renew(generation)),
            })
        });
        Side {
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
    let of_routes = config.routes.iter().filter(|route| is_private(route));
    let patterns = of_routes
        .clone()
        .map(|route| route.patterns.as_str())
        .chain([config.modules.private.as_str()]);
    let named = patterns.flat_map(|patterns| {
        let each = patterns.split(',').map(str::trim);
        each.filter_map(named_host)
    });
    let hosts = of_routes.filter_map(|route| {
        let host = route.host.as_deref()?;
        Some(host.rsplit_once(':').map_or(host, |(host, _)| host))
    });
    named.chain(hosts).map(str::to_owned).collect()
}

/// What public modules do not come from: repositories that private patterns and routes name, and the proxies of such
/// routes.
fn reserved(config: &Config) -> Reserved {
    let of_routes = || config.routes.iter().filter(|route| is_private(route));
    let patterns = of_routes().map(|route| route.patterns.as_str());
    let patterns: Vec<_> = patterns.chain([config.modules.private.as_str()]).collect();
    let proxies = of_routes().filter_map(|route| ChainSpec::parse(&route.via).ok());
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

fn is_private(route: &Route) -> bool {
    let own = !matches!(route.via.as_str(), "refuse" | "upstream");
    route.private.unwrap_or(own)
}

/// What makes ways.
pub struct DirectParts {
    direct: Arc<Direct>,
    chain: Rules,
    private: Rules,
    routes: Vec<Rules>,
}

impl DirectParts {
    /// From the configuration.
    pub fn new(
        config: &Config,
        env: &Environment,
        ground: Ground,
        outside: &Outside,
        trust: &Trust,
        clock: &SharedClock,
        metrics: DirectMetrics,
    ) -> Result<Self, StartError> {
        let direct = &config.direct;
        let bundle = certificates(config, env, trust, &ground.temporary)?;
        let variable = |name: &str| match (name, &bundle) {
            ("SSL_CERT_FILE", Some(bundle)) => Some(bundle.clone().into_os_string()),
            ("SSL_CERT_DIR", Some(_)) => None,
            _ => env.get(name).map(Into::into),
        };
        let git = Git::new(
            direct.git.clone(),
            NO_HOME.into(),
            direct.processes,
            metrics.processes.clone(),
            variable,
        );
        let hosts = Hosts::new(
            git,
            Sides {
                public: outside.public.side(config),
                routes: outside.routes.side(config),
                private: outside.private.side(config),
            },
            Arc::clone(&outside.private.credentials),
            HostSettings {
                per_host: direct.per_host,
                connect_timeout: config.upstream.connect_timeout,
                breaker: super::upstreams::breaker(config),
            },
            Arc::clone(clock),
            metrics,
        );
        let space = Workspace::new(ground.temporary, ground.left);
        let settings = DirectSettings {
            mirrors: ground.mirrors,
            max_mirrors: direct.mirrors,
            refs_ttl: direct.refs_ttl,
            insecure: patterns(&direct.insecure),
        };
        let rules = |name: &str| Rules {
            name: name.to_owned(),
            timeout: direct.timeout,
            max_repository: direct.max_repository,
            ..Rules::default()
        };
        let app = |id: &str, installation: &str, key: &str, api: &str| {
            GithubApp::new(
                id,
                installation,
                key,
                api,
                outside.apis.clone(),
                Arc::clone(clock),
            )
        };
        let routes = config.routes.iter();
        let routes = routes.map(|route| of_route(route, rules(""), &app));
        Ok(DirectParts {
            routes: routes.collect::<Result<_, _>>()?,
            chain: rules("\"direct\" in the chain"),
            private: Rules {
                private: true,
                ssh: Some(Ssh::default()),
                ..rules("the private patterns")
            },
            direct: Direct::new(hosts, settings, space, Arc::clone(clock)),
        })
    }

    /// What all ways have in common.
    pub fn direct(&self) -> &Arc<Direct> {
        &self.direct
    }

    /// The way of `direct` in the chain of upstreams.
    pub fn of_chain(&self) -> Arc<Way> {
        Way::new(0, &self.direct, self.chain.clone())
    }

    /// The way of private modules.
    pub fn of_private(&self) -> Arc<Way> {
        Way::new(1, &self.direct, self.private.clone())
    }

    /// The way of a route, by its number.
    pub fn of_route(&self, number: usize) -> Arc<Way> {
        let rules = self.routes.get(number).cloned().unwrap_or_default();
        Way::new(2 + number, &self.direct, rules)
    }
}

/// Makes a GitHub App of its id, installation, key and API.
type MakeApp<'a> = &'a dyn Fn(&str, &str, &str, &str) -> Result<Arc<GithubApp>, AppError>;

fn of_route(route: &Route, rules: Rules, app: MakeApp<'_>) -> Result<Rules, ConfigErrors> {
    let login = match &route.login {
        None => None,
        Some(config::RouteLogin::Basic { username, password }) => {
            let login = Login::Basic {
                user: username.clone(),
                password: password.expose().to_owned(),
            };
            let renewed = match route.secret_file().map(Path::to_owned) {
                None => Renewed::fixed(login),
                Some(file) => {
                    Renewed::new(login, Arc::new(move |known: &Login| in_file(&file, known)))
                }
            };
            Some(RouteLogin::Fixed(Arc::new(renewed)))
        }
        Some(config::RouteLogin::GithubApp {
            id,
            installation,
            key,
            api,
        }) => {
            let app = app(id, installation, key.expose(), api);
            let app = app.map_err(|error| route.refuse("github_app_id", error.to_string()))?;
            Some(RouteLogin::App(app))
        }
    };
    Ok(Rules {
        name: format!("the route for {:?}", route.patterns),
        private: is_private(route),
        route: true,
        ssh: route.ssh.then(|| Ssh {
            key: route.ssh_key.clone(),
            known_hosts: route.ssh_known_hosts.clone(),
        }),
        insecure: route.insecure,
        login,
        host: route.host.clone().or_else(|| app_host(route)),
        timeout: route.timeout.unwrap_or(rules.timeout),
        max_repository: route.max_repository.unwrap_or(rules.max_repository),
    })
}

/// The host that a GitHub App's tokens are for, as its API says.
fn app_host(route: &Route) -> Option<String> {
    let Some(config::RouteLogin::GithubApp { api, .. }) = &route.login else {
        return None;
    };
    let api = Url::parse(api).ok()?;
    let host = api.host_str()?;
    Some(host.strip_prefix("api.").unwrap_or(host).to_owned())
}

/// Git takes one file of root certificates only: where the operator has said anything of them, all are put together.
fn certificates(
    config: &Config,
    env: &Environment,
    trust: &Trust,
    temporary: &Path,
) -> Result<Option<PathBuf>, StartError> {
    let set = |name: &str| env.get(name).is_some_and(|value| !value.is_empty());
    let said = !config.upstream.ca_files.is_empty() || set("SSL_CERT_FILE") || set("SSL_CERT_DIR");
    if !said || trust.is_empty() {
        return Ok(None);
    }
    let bundle = temporary.join("certificates.pem");
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(temporary)?;
        std::fs::write(&bundle, trust.pem())
    };
    if std::fs::read_to_string(&bundle).is_ok_and(|known| known == trust.pem()) {
        return Ok(Some(bundle));
    }
    use std::io::ErrorKind;
    match write() {
        Ok(()) => {}
        // A full disk must not end hits.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::NotFound
            ) =>
        {
            tracing::error!(%error, "root certificates for git could not be written; git goes by the system's until a start with room on the disk");
            return Ok(None);
        }
        Err(error) => {
            let text = format!("root certificates for git ({}): {error}", bundle.display());
            return Err(StartError::Files(text));
        }
    }
    Ok(Some(bundle))
}
