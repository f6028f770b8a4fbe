//! What an operator writes, and nothing of what the program does with it.
//!
//! Four layers lie over each other: defaults < file < environment < command line. [`load`] reads
//! them all, checks everything and reports every fault at once, with file, line and what is allowed;
//! nothing may start before it has succeeded. The source of every value is kept for
//! `config show --sources`.
//!
//! One file per section declares its keys, once each: `section.rs` explains how. To add a key, add
//! it to its section and write the output of `config print-default` to `config/default.toml`; a test
//! compares the two.
//!
//! Nothing global is read here: the environment comes in as a map. Files are read (the
//! configuration, secrets) or tried (certificates), and names in listening addresses resolved.

mod access;
mod admin;
mod breaker;
mod codec;
mod credentials;
mod direct;
mod environment;
mod file;
mod files;
mod freshness;
mod log;
mod modules;
mod origin;
mod overrides;
mod prefetch;
mod private;
mod problem;
mod raw;
mod reader;
mod routes;
mod secret;
mod section;
mod server;
mod show;
mod store;
mod suggest;
mod sumdb;
mod tables;
mod upstream;

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::gomod::Patterns;
use reader::Reader;
use section::Section;
use tables::Array;

pub use access::Access;
pub use admin::Admin;
pub use breaker::Breaker;
pub use credentials::{Auth, Credential};
pub use direct::Direct;
pub use files::{NetrcFile, SecretFile, read_certificates};
pub use freshness::Freshness;
pub use log::{Log, LogFormat};
pub use modules::Modules;
pub use origin::{Sources, ValueSource};
pub use overrides::Overrides;
pub use prefetch::Prefetch;
pub use private::Private;
pub use problem::{ConfigErrors, Problem, ProblemKind};
pub use raw::Environment;
pub use routes::{Route, RouteLogin};
pub use secret::Secret;
pub use server::Server;
pub use show::{print_default, show};
pub use store::Store;
pub use sumdb::{OnUnavailable, OnUnknown, Sumdb};
pub use upstream::Upstream;

/// A configuration that has passed every check.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[admin]`
    pub admin: Admin,
    /// `[store]`
    pub store: Store,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[[credentials]]`, in the order of the file.
    pub credentials: Vec<Credential>,
    /// `[[routes]]`, in the order of the file.
    pub routes: Vec<Route>,
    /// `[breaker]`
    pub breaker: Breaker,
    /// `[prefetch]`
    pub prefetch: Prefetch,
    /// `[direct]`
    pub direct: Direct,
    /// `[freshness]`
    pub freshness: Freshness,
    /// `[modules]`
    pub modules: Modules,
    /// `[private]`
    pub private: Private,
    /// `[access]`
    pub access: Access,
    /// `[sumdb]`
    pub sumdb: Sumdb,
    /// `[log]`
    pub log: Log,
}

/// A configuration and what there is to say about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values in effect.
    pub config: Config,
    /// What an operator may want to know and nothing fails for, a sentence each: unknown `LARDER_*`
    /// variables, for instance.
    pub warnings: Vec<String>,
    /// Where the values in effect come from.
    pub sources: Sources,
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// The errors for a value that only another part of the program can judge (the form of a chain,
    /// say), in the same words as ours: `larder.toml:7: upstream.chain: <message>`.
    pub fn refuse(&self, key: &str, message: impl Into<String>) -> ConfigErrors {
        ConfigErrors::new(vec![Problem {
            source: self
                .sources
                .get(key)
                .cloned()
                .unwrap_or(ValueSource::Default),
            key: key.into(),
            cause: ProblemKind::BadValue,
            message: message.into(),
        }])
    }
}

/// Every section, in the order of the default file.
fn sections() -> Vec<Section> {
    vec![
        Server::section(),
        Admin::section(),
        Store::section(),
        Upstream::section(),
        Breaker::section(),
        Prefetch::section(),
        Direct::section(),
        Freshness::section(),
        Modules::section(),
        Private::section(),
        Access::section(),
        Sumdb::section(),
        Log::section(),
    ]
}

/// Every array of tables, in the order of the default file, which has them below the sections.
fn arrays() -> [&'static Array; 2] {
    [&credentials::ARRAY, &routes::ARRAY]
}

/// Reads the configuration: defaults, the file that `--config` or `LARDER_CONFIG` names (none else
/// is looked for), the environment, the command line.
///
/// # Errors
/// Every fault that was found, not only the first. If the file cannot be read or is not TOML, that
/// alone, since nothing else can be judged then.
pub fn load(overrides: &Overrides, env: &Environment) -> Result<Loaded, ConfigErrors> {
    let sections = sections();
    let mut reader = Reader::new(env);
    let path = match (&overrides.config, env.get(environment::CONFIG)) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(path)) if !path.trim().is_empty() => Some(PathBuf::from(path)),
        _ => None,
    };
    let mut variables = BTreeSet::new();
    let mut credentials = Some(Vec::new());
    let mut routes = Some(Vec::new());
    if let Some(path) = &path {
        let mut tables =
            file::read(path, &sections, &arrays(), &mut reader).map_err(ConfigErrors::new)?;
        let mut of = |array: &Array| tables.remove(array.name).unwrap_or_default();
        let tables = of(&credentials::ARRAY);
        credentials = credentials::read(path, tables, &mut variables, &mut reader);
        let tables = of(&routes::ARRAY);
        routes = routes::read(path, tables, &mut variables, &mut reader);
    }
    environment::read(&sections, &mut reader);
    environment::warn_of_unknown(&sections, &variables, &mut reader);
    overrides.read(&mut reader);

    let server = Server::read(&mut reader);
    let admin = Admin::read(&mut reader);
    let store = Store::read(&mut reader);
    let upstream = Upstream::read(&mut reader);
    let breaker = Breaker::read(&mut reader);
    let prefetch = Prefetch::read(&mut reader);
    let direct = Direct::read(&mut reader);
    let freshness = Freshness::read(&mut reader);
    let modules = Modules::read(&mut reader);
    let private = Private::read(&mut reader);
    let access = Access::read(&mut reader);
    let sumdb = Sumdb::read(&mut reader);
    let log = Log::read(&mut reader);

    if let (Some(server), Some(admin)) = (&server, &admin) {
        check_addresses(server, admin, &mut reader);
    }
    if let Some(upstream) = &upstream {
        check_client_certificate(upstream, &mut reader);
    }

    doubt_patterns(
        [
            (
                "modules.private",
                modules.as_ref().map(|it| it.private.as_str()),
            ),
            (
                "sumdb.exclude",
                sumdb.as_ref().map(|it| it.exclude.as_str()),
            ),
            (
                "direct.insecure",
                direct.as_ref().map(|it| it.insecure.as_str()),
            ),
        ],
        routes.as_deref().unwrap_or_default(),
        &mut reader,
    );

    let problems = std::mem::take(&mut reader.problems);
    let complete = || {
        Some(Config {
            server: server?,
            admin: admin?,
            store: store?,
            upstream: upstream?,
            credentials: credentials?,
            routes: routes?,
            breaker: breaker?,
            prefetch: prefetch?,
            direct: direct?,
            freshness: freshness?,
            modules: modules?,
            private: private?,
            access: access?,
            sumdb: sumdb?,
            log: log?,
        })
    };
    match complete() {
        Some(config) if problems.is_empty() => {
            let warnings = std::mem::take(&mut reader.warnings);
            Ok(Loaded {
                config,
                warnings,
                sources: reader.into_values(),
                file: path,
            })
        }
        _ => Err(ConfigErrors::new(problems)),
    }
}

fn check_addresses(server: &Server, admin: &Admin, reader: &mut Reader<'_>) {
    if let Some(listen) = admin.listen
        && admin::collide(server.listen, listen)
    {
        let message = format!(
            "{listen} is taken by server.listen ({}); use another port, or leave one of them out",
            server.listen
        );
        reader.conflict("admin.listen", message);
    }
}

/// Warns of patterns that can match and hardly do what they are meant to.
fn doubt_patterns(keys: [(&str, Option<&str>); 3], routes: &[Route], reader: &mut Reader<'_>) {
    let keys = keys.into_iter().filter_map(|(key, list)| {
        let source = reader.source(key);
        Some((source, key, list?))
    });
    let routes = routes.iter().map(|route| {
        (
            route.source.clone(),
            "routes.match",
            route.patterns.as_str(),
        )
    });
    let mut warnings = Vec::new();
    for (source, key, list) in keys.chain(routes) {
        for doubt in Patterns::doubts(list) {
            warnings.push(format!("{source}: {key}: {doubt}"));
        }
    }
    reader.warnings.extend(warnings);
}

fn check_client_certificate(upstream: &Upstream, reader: &mut Reader<'_>) {
    match (&upstream.client_cert, &upstream.client_key) {
        (Some(_), None) => {
            reader.conflict(
                "upstream.client_cert",
                "needs its private key; set upstream.client_key too",
            );
        }
        (None, Some(_)) => {
            reader.conflict(
                "upstream.client_key",
                "needs its certificate; set upstream.client_cert too",
            );
        }
        _ => {}
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
