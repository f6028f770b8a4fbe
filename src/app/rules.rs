//! The rules in force, from the configuration: as a whole or not at all.

use std::sync::Arc;

use super::routes::Routes;
use crate::config::{AccessDefault, Config, FrontServer, OnUnavailable, OnUnknown};
use crate::engine::{Chains, Freshness, Rules, VerifySettings};
use crate::http::is_for_this_machine;
use crate::identity::Issuers;
use crate::policy::{
    Access, AccessMode, CallerRule, ClientLimits, Policy, RouteRule, TrustedProxies,
};

/// What the configuration says of modules.
pub fn policy(config: &Config, routes: &[RouteRule]) -> Policy {
    Policy::new(
        routes.to_vec(),
        config.modules.private.clone(),
        config.sumdb.exclude.clone(),
    )
    .prefetching_private(config.prefetch.include_private)
}

/// Who may have which modules. Where nothing else is said, this machine's programs may have private ones if nobody else is
/// expected: the port is on a loopback address, and clients are not told to come by another one, through a server in front.
/// This is for server.listen; other addresses are judged by themselves ([`Access::at`]).
fn access(config: &Config) -> Access {
    let public_url = config.server.public_url.as_deref();
    let mode = match config.access.default {
        _ if config.private.open => AccessMode::Open,
        AccessDefault::Open => AccessMode::Open,
        AccessDefault::Closed => AccessMode::Closed,
        AccessDefault::PrivateNeedsToken => {
            match is_for_this_machine(config.server.listen, public_url) {
                true => AccessMode::ThisMachine,
                false => AccessMode::Tokens,
            }
        }
    };
    let rules = config.access_rules.iter().map(|rule| CallerRule {
        who: rule.who.clone(),
        read: rule.read.clone(),
        not: rule.not.clone(),
        admin: rule.admin,
    });
    Access::new(mode, rules.collect())
}

fn trusted_proxies(servers: &[FrontServer]) -> TrustedProxies {
    let networks = servers.iter().filter_map(|server| match server {
        FrontServer::Network(network) => Some(*network),
        FrontServer::Unix => None,
    });
    let networks: Vec<_> = networks.collect();
    TrustedProxies::new(&networks, servers.contains(&FrontServer::Unix))
}

/// Everything that a configuration says of modules and callers, with the sources that it leads to.
pub fn rules(config: &Config, routes: &Routes, issuers: Arc<Issuers>, chains: Chains) -> Rules {
    Rules::new(
        policy(config, &routes.rules),
        access(config),
        issuers,
        trusted_proxies(&config.access.trusted_proxies),
        Freshness {
            ttl: config.freshness.ttl,
            negative_ttl: config.freshness.negative_ttl,
            refused_ttl: config.freshness.refused_ttl,
            refresh_wait: config.freshness.refresh_wait,
        },
        VerifySettings {
            serve_unverified: config.sumdb.on_unavailable == OnUnavailable::ServeUnverified,
            first_seen_unknown: config.sumdb.on_unknown == OnUnknown::FirstSeen,
            patience: config.sumdb.patience,
        },
        chains,
    )
    .limited(ClientLimits {
        misses: config.limits.misses_per_client,
        requests_per_second: config.limits.requests_per_second,
        bytes_per_second: config.limits.bytes_per_second,
        queue: config.limits.queue,
        exempt: config.limits.exempt.as_slice().into(),
    })
}
