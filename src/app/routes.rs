//! The routes that the operator wants.

use crate::config::{Config, Route, RouteVia};
use crate::policy::{RouteRule, Via};
use crate::upstream::ChainSpec;

/// The routes, judged.
pub struct Routes {
    /// For the policy.
    pub rules: Vec<RouteRule>,
    /// The chain of each that has one of its own.
    pub chains: Vec<Option<ChainSpec>>,
}

/// The routes that the operator wants.
pub fn routes(config: &Config) -> Routes {
    let chain = |route: &Route| match &route.via {
        RouteVia::Refuse | RouteVia::Upstream => None,
        RouteVia::Chain(chain) => Some(chain.value.clone()),
    };
    Routes {
        rules: config.routes.iter().map(rule).collect(),
        chains: config.routes.iter().map(chain).collect(),
    }
}

/// A route of the configuration, for the policy.
pub fn rule(route: &Route) -> RouteRule {
    RouteRule {
        modules: route.modules.clone(),
        via: match route.via {
            RouteVia::Refuse => Via::Refuse,
            RouteVia::Upstream => Via::Upstream,
            RouteVia::Chain(_) => Via::Own,
        },
        private: route.private,
    }
}
