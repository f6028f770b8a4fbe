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
            modules: settings::patterns(&route.patterns),
            via,
            private: route.private,
        });
        routes.chains.push(chain);
    }
    Ok(routes)
}

/// Whether modules of a route are private.
pub fn is_private(route: &Route) -> bool {
    let own = !matches!(route.via.as_str(), "refuse" | "upstream");
    route.private.unwrap_or(own)
}
