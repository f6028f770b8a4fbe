//! The rules in force, from the configuration: as a whole or not at all.

use super::routes::Routes;
use crate::config::{Config, OnUnavailable, OnUnknown};
use crate::engine::{Chains, Freshness, Rules, VerifySettings};
use crate::policy::{Policy, RouteRule, TrustedProxies};

/// What the configuration says of modules.
pub fn policy(config: &Config, routes: &[RouteRule]) -> Policy {
    Policy::new(
        routes.to_vec(),
        config.modules.private.clone(),
        config.sumdb.exclude.clone(),
    )
    .prefetching_private(config.prefetch.include_private)
}

/// Everything that a configuration says of modules and callers, with the sources that it leads to.
pub fn rules(config: &Config, routes: &Routes, chains: Chains) -> Rules {
    let public_url = config.server.public_url.as_deref();
    Rules::new(
        policy(config, &routes.rules),
        crate::http::access(config.private.open, config.server.listen, public_url),
        TrustedProxies::new(&config.access.trusted_proxies),
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
}
