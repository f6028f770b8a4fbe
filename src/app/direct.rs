//! Making direct mode: git, its hosts, and the rules of each profile.

use std::ffi::OsString;
use std::sync::Arc;

use url::Url;

use super::egress::Egress;
use super::logins::in_file;
use super::routes::rule;
use super::settings;
use super::start_error::StartError;
use crate::clock::SharedClock;
use crate::config::{self, Config, ConfigErrors, Environment, Route};
use crate::credentials::{Login, Renewed};
use crate::store::Disk;
use crate::telemetry::metrics::DirectMetrics;
use crate::upstream::Trust;
use crate::vcs::certificates;
use crate::vcs::direct::{Direct, DirectProfile, DirectSettings};
use crate::vcs::git::Git;
use crate::vcs::github::{AppError, GithubApp};
use crate::vcs::hosts::{HostClients, HostSettings, Hosts};
use crate::vcs::rules::{HostLogin, HostRules, Ssh};
use crate::vcs::workspace::{Folders, Left, Workspace};

/// What git takes for home: nothing of anybody's settings is there.
const NO_HOME: &str = "/nonexistent";

/// How much more may be written to the store's disk.
pub fn left(disk: &Arc<Disk>) -> Left {
    let disk = Arc::clone(disk);
    Arc::new(move || {
        // While git writes, half a second ago is too long ago.
        disk.free_now();
        disk.left()
    })
}

/// What makes direct profiles.
pub struct DirectParts {
    direct: Arc<Direct>,
    rules: RulesOfProfiles,
    folders: Folders,
}

/// The rules of each profile.
struct RulesOfProfiles {
    chain: HostRules,
    private: HostRules,
    routes: Vec<HostRules>,
}

impl RulesOfProfiles {
    fn new(config: &Config, egress: &Egress, clock: &SharedClock) -> Result<Self, StartError> {
        let direct = &config.direct;
        let rules = |name: &str| HostRules {
            name: name.to_owned(),
            timeout: direct.timeout,
            max_repository: direct.max_repository,
            ..HostRules::default()
        };
        let app = |id: &str, installation: &str, key: &str, api: &str| {
            GithubApp::new(
                id,
                installation,
                key,
                api,
                egress.apis.clone(),
                Arc::clone(clock),
            )
        };
        let routes = config.routes.iter();
        let routes = routes.map(|route| of_route(route, rules(""), &app));
        Ok(RulesOfProfiles {
            routes: routes.collect::<Result<_, _>>()?,
            chain: rules("\"direct\" in the chain"),
            private: HostRules {
                private: true,
                ssh: Some(Ssh::default()),
                ..rules("the private patterns")
            },
        })
    }
}

/// The file of root certificates for git, where the operator has said anything of those: then all are put together.
fn bundle(
    config: &Config,
    env: &Environment,
    folders: &Folders,
    trust: &Trust,
) -> Result<Option<OsString>, StartError> {
    let set = |name: &str| env.get(name).is_some_and(|value| !value.is_empty());
    let said = !config.upstream.ca_files.is_empty() || set("SSL_CERT_FILE") || set("SSL_CERT_DIR");
    let bundle = match said && !trust.is_empty() {
        true => certificates::bundle(&folders.temporary, &trust.pem()),
        false => Ok(None),
    };
    let bundle = bundle.map_err(|error| StartError::Files(error.to_string()))?;
    Ok(bundle.map(Into::into))
}

/// What git has in its environment.
fn variable(env: &Environment, bundle: Option<&OsString>, name: &str) -> Option<OsString> {
    match (name, bundle) {
        ("SSL_CERT_FILE", Some(bundle)) => Some(bundle.clone()),
        ("SSL_CERT_DIR", Some(_)) => None,
        _ => env.get(name).map(Into::into),
    }
}

fn host_clients(config: &Config, egress: &Egress) -> HostClients {
    HostClients {
        public: egress.public.host_client(config),
        routes: egress.routes.host_client(config),
        private: egress.private.host_client(config),
    }
}

fn host_settings(config: &Config) -> HostSettings {
    HostSettings {
        per_host: config.direct.per_host,
        connect_timeout: config.upstream.connect_timeout,
        breaker: settings::breaker(config),
    }
}

impl DirectParts {
    /// From the configuration.
    pub fn new(
        config: &Config,
        env: &Environment,
        folders: Folders,
        egress: &Egress,
        trust: &Trust,
        clock: &SharedClock,
        metrics: DirectMetrics,
    ) -> Result<Self, StartError> {
        let direct = &config.direct;
        let rules = RulesOfProfiles::new(config, egress, clock)?;
        let bundle = bundle(config, env, &folders, trust)?;
        let git = Git::new(
            direct.git.clone(),
            NO_HOME.into(),
            direct.processes,
            metrics.processes.clone(),
            |name| variable(env, bundle.as_ref(), name),
        );
        let hosts = Hosts::new(
            git,
            host_clients(config, egress),
            Arc::clone(&egress.private.credentials),
            host_settings(config),
            Arc::clone(clock),
            metrics,
        );
        let space = Workspace::new(folders.temporary.clone(), Arc::clone(&folders.left));
        let settings = DirectSettings {
            mirrors: folders.mirrors.clone(),
            max_mirrors: direct.mirrors,
            refs_ttl: direct.refs_ttl,
            insecure: direct.insecure.clone(),
        };
        Ok(DirectParts {
            direct: Direct::new(hosts, settings, space, Arc::clone(clock)),
            rules,
            folders,
        })
    }

    /// For another configuration, with what this one knows of hosts, and its mirrors.
    pub fn renewed(
        &self,
        config: &Config,
        env: &Environment,
        egress: &Egress,
        trust: &Trust,
        clock: &SharedClock,
    ) -> Result<Self, StartError> {
        let rules = RulesOfProfiles::new(config, egress, clock)?;
        let bundle = bundle(config, env, &self.folders, trust)?;
        let known = self.direct.hosts();
        let git = known
            .git()
            .renewed(|name| variable(env, bundle.as_ref(), name));
        let hosts = known.renewed(
            git,
            host_clients(config, egress),
            Arc::clone(&egress.private.credentials),
            host_settings(config),
        );
        let direct = &config.direct;
        let direct = self
            .direct
            .renewed(hosts, direct.refs_ttl, direct.insecure.clone());
        Ok(DirectParts {
            direct,
            rules,
            folders: self.folders.clone(),
        })
    }

    /// What all profiles have in common.
    pub fn direct(&self) -> &Arc<Direct> {
        &self.direct
    }

    /// The profile of `direct` in the chain of upstreams.
    pub fn of_chain(&self) -> Arc<DirectProfile> {
        DirectProfile::new(0, &self.direct, self.rules.chain.clone())
    }

    /// The profile of private modules.
    pub fn of_private(&self) -> Arc<DirectProfile> {
        DirectProfile::new(1, &self.direct, self.rules.private.clone())
    }

    /// The profile of a route, by its number.
    pub fn of_route(&self, number: usize) -> Arc<DirectProfile> {
        let rules = self.rules.routes.get(number).cloned().unwrap_or_default();
        DirectProfile::new(2 + number, &self.direct, rules)
    }
}

/// Makes a GitHub App of its id, installation, key and API.
type MakeApp<'a> = &'a dyn Fn(&str, &str, &str, &str) -> Result<Arc<GithubApp>, AppError>;

fn of_route(route: &Route, rules: HostRules, app: MakeApp<'_>) -> Result<HostRules, ConfigErrors> {
    let login = match &route.login {
        None => None,
        Some(config::RouteLogin::Basic { username, password }) => {
            let login = Login::Basic {
                user: username.clone(),
                password: password.expose().to_owned(),
            };
            let renewed = match route.secret_file() {
                None => Renewed::fixed(login),
                Some(file) => {
                    Renewed::new(login, Arc::new(move |known: &Login| in_file(&file, known)))
                }
            };
            Some(HostLogin::Fixed(Arc::new(renewed)))
        }
        Some(config::RouteLogin::GithubApp {
            id,
            installation,
            key,
            api,
        }) => {
            let app = app(id, installation, key.expose(), api);
            let app = app.map_err(|error| route.refuse("github_app_id", error.to_string()))?;
            Some(HostLogin::App(app))
        }
    };
    Ok(HostRules {
        name: format!("the route for \"{}\"", route.modules),
        private: rule(route).is_private(),
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
