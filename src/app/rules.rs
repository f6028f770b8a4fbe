//! The rules in force, from the configuration: as a whole or not at all.

use tokio::sync::watch;

use super::routes::Routes;
use super::upstreams::UpstreamMaker;
use crate::config::{Config, OnUnavailable, OnUnknown};
use crate::engine::{Chain, Freshness, Rules, VerifySettings};
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

/// Everything that a configuration says of modules and callers. `maker` makes the sources, and
/// `public` tells the chain of public modules.
pub fn rules(
    config: &Config,
    routes: &Routes,
    maker: &UpstreamMaker,
    public: watch::Receiver<Option<Chain>>,
) -> Rules {
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
        maker.chains(routes, public),
    )
}
