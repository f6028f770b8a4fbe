//! Making direct mode: which hosts may be asked, the ways with their rules, and the sources of routes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::{StartError, UpstreamMaker};
use crate::clock::SharedClock;
use crate::config::{self, Config, ConfigErrors, Environment, Loaded, Route};
use crate::credentials::{Credentials, Login};
use crate::engine::{AllSources, Sources};
use crate::gomod::Patterns;
use crate::policy::{RouteRule, Via};
use crate::store::{Disk, Room};
use crate::telemetry::metrics::DirectMetrics;
use crate::upstream::ChainSpec;
use crate::vcs::direct::{Direct, DirectSettings, Way};
use crate::vcs::git::Git;
use crate::vcs::github::{AppError, GithubApp};
use crate::vcs::guard::{Guard, named_host};
use crate::vcs::hosts::{HostSettings, Hosts, RouteLogin, Rules, Ssh};
use crate::vcs::web::Web;

/// What git takes for home: nothing of anybody's settings is there.
const NO_HOME: &str = "/nonexistent";
/// Certificates as Debian has them all in one file.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Where repositories are mirrored.
pub struct Ground {
    /// For mirrors.
    pub mirrors: PathBuf,
    /// For what is in the making.
    pub temporary: PathBuf,
    /// Whether there is room for more.
    pub room: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Ground {
    /// For a command that only passes by; whoever runs it removes the folder.
    pub fn passing() -> Self {
        let folder = std::env::temp_dir().join(format!("larder-{}", std::process::id()));
        Ground {
            mirrors: folder.join("git"),
            temporary: folder,
            room: Arc::new(|| true),
        }
    }

    /// In a data directory.
    pub fn of(data_dir: &Path, disk: &Arc<Disk>) -> Self {
        let disk = Arc::clone(disk);
        Ground {
            mirrors: data_dir.join("git"),
            temporary: data_dir.join("tmp"),
            room: Arc::new(move || disk.room() == Room::Enough),
        }
    }
}

/// The routes, judged.
pub struct Routes {
    /// For the policy.
    pub rules: Vec<RouteRule>,
    chains: Vec<Option<ChainSpec>>,
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
            "upstream" => (Via::Upstream, None),
            chain => {
                let chain = ChainSpec::parse(chain);
                let chain = chain.map_err(|error| route.refuse("via", error.to_string()))?;
                (Via::Own, Some(chain))
            }
        };
        routes.rules.push(RouteRule {
            modules: Patterns::parse(&route.patterns),
            via,
            private: route.private.unwrap_or(via == Via::Own),
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

/// Which hosts may be asked.
pub fn guard(config: &Config, env: &Environment) -> Guard {
    let routes = config.routes.iter();
    let of_routes = routes.filter(|route| !matches!(route.via.as_str(), "refuse" | "upstream"));
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
    let allowed = config.direct.allow_hosts.iter().map(String::as_str);
    Guard::new(allowed.chain(named).chain(hosts), |name| {
        env.get(name).cloned()
    })
}

/// How the world is asked over http.
pub struct Outside {
    /// Hosts that strangers name, by the `guard`.
    pub guarded: reqwest::Client,
    /// Those that the operator has named.
    pub apis: reqwest::Client,
    /// Which hosts may be asked.
    pub guard: Arc<Guard>,
    /// Who we are to whom.
    pub credentials: Arc<Credentials>,
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
        outside: Outside,
        clock: &SharedClock,
        metrics: DirectMetrics,
    ) -> Result<Self, StartError> {
        let direct = &config.direct;
        let bundle = certificates(config, env, &ground.mirrors)?;
        let variable = |name: &str| match (name, &bundle) {
            ("SSL_CERT_FILE", Some(bundle)) => Some(bundle.clone().into_os_string()),
            _ => env.get(name).map(Into::into),
        };
        let git = Git::new(
            direct.git.clone(),
            NO_HOME.into(),
            direct.processes,
            metrics.processes.clone(),
            variable,
        );
        let Outside {
            guarded,
            apis,
            guard,
            credentials,
        } = outside;
        let web = Web::new(
            guarded,
            Arc::clone(&guard),
            Arc::clone(&credentials),
            config.upstream.first_byte_timeout,
        );
        let hosts = Hosts::new(
            git,
            guard,
            web,
            credentials,
            HostSettings {
                per_host: direct.per_host,
                connect_timeout: config.upstream.connect_timeout,
                breaker: super::upstreams::breaker(config),
            },
            Arc::clone(clock),
            metrics,
        );
        let settings = DirectSettings {
            mirrors: ground.mirrors,
            max_mirrors: direct.mirrors,
            temporary: ground.temporary,
            refs_ttl: direct.refs_ttl,
            insecure: Patterns::parse(&direct.insecure),
        };
        let rules = |name: &str| Rules {
            name: name.to_owned(),
            timeout: direct.timeout,
            max_repository: direct.max_repository,
            ..Rules::default()
        };
        let app = |id: &str, installation: &str, key: &str, api: &str| {
            GithubApp::new(id, installation, key, api, apis.clone(), Arc::clone(clock))
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
            direct: Direct::new(hosts, settings, ground.room, Arc::clone(clock)),
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
            Some(RouteLogin::Fixed(Login::Basic {
                user: username.clone(),
                password: password.expose().to_owned(),
            }))
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
        private: route.private.unwrap_or(true),
        ssh: route.ssh.then(|| Ssh {
            key: route.ssh_key.clone(),
            known_hosts: route.ssh_known_hosts.clone(),
        }),
        insecure: route.insecure,
        login,
        host: route.host.clone(),
        timeout: route.timeout.unwrap_or(rules.timeout),
        max_repository: route.max_repository.unwrap_or(rules.max_repository),
    })
}

/// Git takes one file of root certificates only: where the operator has given more, they are put together.
fn certificates(
    config: &Config,
    env: &Environment,
    mirrors: &Path,
) -> Result<Option<PathBuf>, StartError> {
    if config.upstream.ca_files.is_empty() {
        return Ok(None);
    }
    let system = match env.get("SSL_CERT_FILE") {
        Some(file) => Some(PathBuf::from(file)),
        None => SYSTEM_ROOTS
            .iter()
            .map(PathBuf::from)
            .find(|it| it.exists()),
    };
    let bundle = mirrors.join("certificates.pem");
    let write = || -> std::io::Result<()> {
        let mut pem = Vec::new();
        for file in system.iter().chain(&config.upstream.ca_files) {
            pem.extend(std::fs::read(file)?);
            pem.push(b'\n');
        }
        std::fs::create_dir_all(mirrors)?;
        std::fs::write(&bundle, pem)
    };
    write().map_err(|error| {
        StartError::Files(format!(
            "root certificates for git ({}): {error}",
            bundle.display()
        ))
    })?;
    Ok(Some(bundle))
}
