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
mod access_oidc;
mod access_rules;
mod admin;
mod breaker;
mod change;
mod codec;
mod credentials;
mod digest;
mod direct;
mod environment;
mod file;
mod files;
mod freshness;
mod limits;
mod listeners;
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
mod tls;
mod upstream;
mod watched;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::gomod::Patterns;
use crate::policy::CallerPattern;
use reader::Reader;
use section::Section;
use tables::{Array, Tables};

pub use access::{Access, AccessDefault};
pub use access_oidc::AccessOidc;
pub use access_rules::AccessRule;
pub use admin::Admin;
pub use breaker::Breaker;
pub use codec::{FrontServer, Written};
pub use credentials::{Auth, Credential};
pub use digest::FileDigest;
pub use direct::Direct;
pub use files::{JwksFile, NetrcFile, SecretFile, read_certificates};
pub use freshness::Freshness;
pub use limits::Limits;
pub use listeners::{FurtherListener, ListenPlace};
pub use log::{AuditTarget, Log, LogFormat};
pub use modules::Modules;
pub use origin::{Shadowed, Sources, ValueSource};
pub use overrides::Overrides;
pub use prefetch::Prefetch;
pub use private::Private;
pub use problem::{ConfigErrors, Problem, ProblemKind};
pub use raw::Environment;
pub use routes::{Route, RouteLogin, RouteVia};
pub use secret::Secret;
pub use server::Server;
pub use show::{print_default, show};
pub use store::Store;
pub use sumdb::{OnUnavailable, OnUnknown, Sumdb};
pub use tls::{ClientAuth, Tls};
pub use upstream::Upstream;
pub use watched::WatchedFile;

/// Declares the whole: every section, and every array of tables in the module of its name, in the order of the default
/// file.
macro_rules! configuration {
    (
        $(#[doc = $about:literal])*
        pub struct Config {
            $($section:ident: $Section:ident,)*
            $([[$array:ident]]: $Table:ident,)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            $(pub $section: $Section,)*
            $(pub $array: Vec<$Table>,)*
        }

        impl Config {
            /// The keys and arrays that are not as in another one, in the order of the default file.
            pub fn changed_keys(&self, other: &Config) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(keys.extend(self.$section.changed_keys(&other.$section));)*
                $(if self.$array != other.$array {
                    keys.push($array::ARRAY.name);
                })*
                keys
            }
        }

        /// Every section.
        fn sections() -> Vec<Section> {
            vec![$($Section::section()),*]
        }

        /// Every array of tables.
        fn arrays() -> Vec<&'static Array> {
            vec![$(&$array::ARRAY),*]
        }

        /// What could be read, part by part.
        struct Parts {
            $($section: Option<$Section>,)*
            $($array: Option<Vec<$Table>>,)*
        }

        impl Parts {
            /// The layers are in the reader; arrays of tables come from the file only.
            fn read(mut tables: Tables, reader: &mut Reader<'_>) -> Self {
                Parts {
                    $($array: $array::read(&mut tables, reader),)*
                    $($section: $Section::read(reader),)*
                }
            }

            /// The whole, if no part is missing.
            fn complete(self) -> Option<Config> {
                Some(Config {
                    $($section: self.$section?,)*
                    $($array: self.$array?,)*
                })
            }
        }
    };
}

configuration! {
    /// A configuration that has passed every check.
    pub struct Config {
        server: Server,
        tls: Tls,
        admin: Admin,
        store: Store,
        upstream: Upstream,
        breaker: Breaker,
        prefetch: Prefetch,
        direct: Direct,
        freshness: Freshness,
        modules: Modules,
        private: Private,
        access: Access,
        limits: Limits,
        sumdb: Sumdb,
        log: Log,
        [[listeners]]: FurtherListener,
        [[credentials]]: Credential,
        [[routes]]: Route,
        [[access_rules]]: AccessRule,
        [[access_oidc]]: AccessOidc,
    }
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
    /// What the file says and does not count, since the environment or a flag says otherwise.
    pub shadowed: Vec<Shadowed>,
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    /// Of its content.
    pub digest: Option<FileDigest>,
}

impl Loaded {
    /// The errors for a value that only another part of the program can judge, in the same words as ours:
    /// `larder.toml:7: upstream.chain: <message>`.
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

/// Reads the configuration: defaults, the file that `--config` or `LARDER_CONFIG` names (none else
/// is looked for), the environment, the command line.
///
/// # Errors
/// Every fault that was found, not only the first. If the file cannot be read or is not TOML, that
/// alone, since nothing else can be judged then.
pub fn load(overrides: &Overrides, env: &Environment) -> Result<Loaded, ConfigErrors> {
    let sections = sections();
    let mut reader = Reader::new(env);
    let path = overrides.file(env);
    let tables = match &path {
        Some(path) => {
            let found = file::read(path, &sections, &arrays(), &mut reader);
            Tables::new(path, found.map_err(ConfigErrors::new)?)
        }
        None => Tables::default(),
    };
    environment::read(&sections, &mut reader);
    environment::warn_of_unknown(&sections, &tables.variables(), &mut reader);
    overrides.read(&mut reader);

    let parts = Parts::read(tables, &mut reader);
    check_addresses(&parts, &mut reader);
    if let Some(tls) = &parts.tls {
        tls.check(&mut reader);
        let listeners = parts.listeners.iter().flatten();
        for listener in listeners.filter(|it| it.tls && tls.cert_file.is_none()) {
            let message = "needs a certificate; set tls.cert_file and tls.key_file too";
            reader.problems.push(listener.row.conflict("tls", message));
        }
    }
    if let Some(upstream) = &parts.upstream {
        check_client_certificate(upstream, &mut reader);
    }
    if let (Some(access), Some(private)) = (&parts.access, &parts.private) {
        access.check(private, &mut reader);
    }
    doubt_patterns(&parts, &mut reader);
    doubt_rules(&parts, &mut reader);

    let problems = std::mem::take(&mut reader.problems);
    match parts.complete() {
        Some(config) if problems.is_empty() => {
            let warnings = std::mem::take(&mut reader.warnings);
            let shadowed = std::mem::take(&mut reader.shadowed);
            let digest = reader.digest;
            Ok(Loaded {
                config,
                warnings,
                shadowed,
                sources: reader.into_values(),
                file: path,
                digest,
            })
        }
        _ => Err(ConfigErrors::new(problems)),
    }
}

/// Reports what cannot be listened on at the same time.
fn check_addresses(parts: &Parts, reader: &mut Reader<'_>) {
    let mut addresses: Vec<(String, SocketAddr)> = Vec::new();
    if let Some(server) = &parts.server {
        let name = format!("server.listen ({})", server.listen);
        addresses.push((name, server.listen));
    }
    if let Some(listen) = parts.admin.as_ref().and_then(|admin| admin.listen) {
        if let Some((name, _)) = addresses.iter().find(|it| admin::collide(it.1, listen)) {
            let message =
                format!("{listen} is taken by {name}; use another port, or leave one of them out");
            reader.conflict("admin.listen", message);
        }
        addresses.push((format!("admin.listen ({listen})"), listen));
    }
    let mut paths: Vec<(String, &Path)> = Vec::new();
    for listener in parts.listeners.iter().flatten() {
        let own = format!("[[listeners]] at {}", listener.source());
        let (key, taken) = match &listener.place {
            ListenPlace::Address(address) => {
                let taken = addresses.iter().find(|it| admin::collide(it.1, *address));
                let taken = taken.map(|(name, _)| name.clone());
                addresses.push((own, *address));
                ("address", taken)
            }
            ListenPlace::Unix { path, .. } => {
                let taken = paths.iter().find(|it| it.1 == path);
                let taken = taken.map(|(name, _)| name.clone());
                paths.push((own, path));
                ("unix", taken)
            }
        };
        if let Some(name) = taken {
            let place = &listener.place;
            let message =
                format!("{place} is taken by {name}; use another one, or leave one of them out");
            reader.problems.push(listener.row.conflict(key, message));
        }
    }
}

/// Warns of patterns that can match and hardly do what they are meant to.
fn doubt_patterns(parts: &Parts, reader: &mut Reader<'_>) {
    let private = parts.modules.as_ref().map(|it| &it.private);
    let exclude = parts.sumdb.as_ref().map(|it| &it.exclude);
    let insecure = parts.direct.as_ref().map(|it| &it.insecure);
    let keys = [
        ("modules.private", private),
        ("sumdb.exclude", exclude),
        ("direct.insecure", insecure),
    ];
    let keys = keys
        .into_iter()
        .filter_map(|(key, list)| Some((reader.source(key), key, list?)));
    let routes = parts.routes.iter().flatten();
    let routes = routes.map(|route| (route.source().clone(), "routes.match", &route.modules));
    let mut warnings = Vec::new();
    for (source, key, list) in keys.chain(routes) {
        for doubt in Patterns::doubts(&list.to_string()) {
            warnings.push(format!("{source}: {key}: {doubt}"));
        }
    }
    reader.warnings.extend(warnings);
}

/// Warns of rules that name nobody who can come, and of providers whose callers get nothing.
fn doubt_rules(parts: &Parts, reader: &mut Reader<'_>) {
    let (Some(rules), Some(providers)) = (&parts.access_rules, &parts.access_oidc) else {
        return;
    };
    let mut warnings = Vec::new();
    for rule in rules {
        for provider in rule.who.iter().filter_map(CallerPattern::provider) {
            if !providers.iter().any(|known| known.name == provider) {
                let source = &rule.row.source;
                warnings.push(format!(
                    "{source}: access.rules.who: no [[access.oidc]] has the name \"{provider}\", so that this names nobody"
                ));
            }
        }
    }
    for provider in providers {
        let gives = |rule: &AccessRule| {
            rule.who.iter().any(|who| match who {
                CallerPattern::Anyone | CallerPattern::Group(_) => true,
                CallerPattern::Address(_) => false,
                CallerPattern::Identity(_) => match who.provider() {
                    Some(name) => name == provider.name,
                    None => who.to_string().starts_with("oidc:"),
                },
            })
        };
        if !rules.iter().any(gives) {
            warnings.push(format!(
                "{}: access.oidc: no rule names callers of \"{}\", so that they get nothing for their tokens; add [[access.rules]] with who = [\"oidc:{}:…\"]",
                provider.source(), provider.name, provider.name
            ));
        }
        if provider.claims.is_empty() {
            warnings.push(format!(
                "{}: access.oidc: nothing is said of the claims of \"{}\", so that whoever can get a token from there for this audience is known by rules; add claims = {{ … }}, unless only your own people can",
                provider.source(), provider.name
            ));
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
