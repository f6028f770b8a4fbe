//! The routes that the operator wants.

use super::settings;
use crate::config::{ConfigErrors, Loaded, Route};
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
pub fn routes(loaded: &Loaded) -> Result<Routes, ConfigErrors> {
    let mut routes = Routes {
        rules: Vec::new(),
        chains: Vec::new(),
    };
    for route in &loaded.config.routes {
        let rule = rule(route);
        let chain = match rule.via {
            Via::Refuse => None,
            Via::Upstream if rule.is_private() => {
                let why = "would tell the upstreams of all of private modules; give these a chain of their own";
                return Err(route.refuse("via", why));
            }
            Via::Upstream => None,
            Via::Own => {
                let chain = ChainSpec::parse(&route.via);
                Some(chain.map_err(|error| route.refuse("via", error.to_string()))?)
            }
        };
        routes.rules.push(rule);
        routes.chains.push(chain);
    }
    Ok(routes)
}

/// A route of the configuration, for the policy.
pub fn rule(route: &Route) -> RouteRule {
    RouteRule {
        modules: settings::patterns(&route.patterns),
        via: match route.via.as_str() {
            "refuse" => Via::Refuse,
            "upstream" => Via::Upstream,
            _ => Via::Own,
        },
        private: route.private,
    }
}
