//! What may be asked of whom.

mod access;
mod caller;
mod caller_pattern;
mod decision;
mod limits;

use std::sync::Arc;

use crate::gomod::{ModulePath, Patterns};
pub use access::{Access, AccessMode, CallerRule, Reach, TrustedProxies};
pub use caller::{Caller, Identity, Proof, Standing};
pub use caller_pattern::{CallerPattern, Wildcard};
pub use decision::{Decision, RouteDecision, VerifiedBy};
pub use limits::{ClientLimits, Exempt};

/// The rules about modules.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    routes: Arc<[RouteRule]>,
    private: Patterns,
    nosumdb: Patterns,
    prefetches_private: bool,
}

/// A route: whose modules, and where they come from.
#[derive(Clone, Debug)]
pub struct RouteRule {
    pub modules: Patterns,
    /// Where they come from.
    pub via: Via,
    /// Whether they are private, if the operator says so. Else those with sources of their own are, and of the others
    /// what private patterns match.
    pub private: Option<bool>,
}

impl RouteRule {
    /// Whether all of its modules are private. This is the only place that says what makes a route private.
    pub fn is_private(&self) -> bool {
        self.private.unwrap_or(self.via == Via::Own)
    }
}

/// Where a route's modules come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// As all other public modules do.
    Upstream,
    /// By sources of the route's own.
    Own,
    /// From nowhere: they are not served.
    Refuse,
}

impl Policy {
    /// The first of the `routes` that matches a module counts; `private` are GOPRIVATE patterns, `nosumdb` GONOSUMDB
    /// ones.
    pub fn new(routes: Vec<RouteRule>, private: Patterns, nosumdb: Patterns) -> Self {
        Policy {
            routes: routes.into(),
            private,
            nosumdb,
            prefetches_private: false,
        }
    }

    /// The same, where private modules may be prefetched, too.
    pub fn prefetching_private(self, prefetches_private: bool) -> Self {
        Policy {
            prefetches_private,
            ..self
        }
    }

    /// What the rules say of a module. Toolchains are in no repository and nobody's private modules, and they are always
    /// verified (protocol.md 2.5 and 3), so that only a refusal concerns them.
    pub fn decide(&self, module: &ModulePath) -> Decision {
        let rule = self.route(module);
        if module.is_toolchain() {
            let route = match rule {
                Some((_, rule, pattern)) if rule.via == Via::Refuse => {
                    RouteDecision::Refused(pattern.into())
                }
                _ => RouteDecision::Upstream,
            };
            return Decision {
                route,
                private: None,
                verified_by: VerifiedBy::Databases,
                may_be_prefetched: false,
            };
        }
        let by_pattern = || self.private.matching(module.as_str()).map(Arc::from);
        let private: Option<Arc<str>> = match rule {
            Some((_, rule, pattern)) if rule.is_private() => Some(pattern.into()),
            Some((_, rule, _)) if rule.private.is_some() => None,
            _ => by_pattern(),
        };
        let route = match rule {
            Some((_, rule, pattern)) if rule.via == Via::Refuse => {
                RouteDecision::Refused(pattern.into())
            }
            Some((number, rule, _)) if rule.via == Via::Own => RouteDecision::Route(number),
            // No wide route leads a private module to the public.
            _ => match &private {
                Some(pattern) => RouteDecision::Private(Arc::clone(pattern)),
                None => RouteDecision::Upstream,
            },
        };
        let unlisted = match &private {
            Some(pattern) => Some(Arc::clone(pattern)),
            None => self.nosumdb.matching(module.as_str()).map(Arc::from),
        };
        let may_be_prefetched = match route {
            RouteDecision::Upstream => true,
            RouteDecision::Route(_) | RouteDecision::Private(_) => self.prefetches_private,
            RouteDecision::Refused(_) | RouteDecision::Nowhere => false,
        };
        Decision {
            may_be_prefetched: may_be_prefetched && (private.is_none() || self.prefetches_private),
            verified_by: unlisted.map_or(VerifiedBy::Databases, VerifiedBy::FirstSeen),
            route,
            private,
        }
    }

    /// The first route that matches, its number from 0, and which of its patterns it is.
    fn route(&self, module: &ModulePath) -> Option<(usize, &RouteRule, &str)> {
        let mut routes = self.routes.iter().enumerate();
        routes.find_map(|(number, route)| {
            let pattern = route.modules.matching(module.as_str())?;
            Some((number, route, pattern))
        })
    }

    /// Whether private modules may be prefetched.
    pub fn prefetches_private(&self) -> bool {
        self.prefetches_private
    }

    /// All patterns that keep modules' names from checksum databases.
    pub fn unlisted(&self) -> String {
        let routes = self.routes.iter().filter(|route| route.is_private());
        let routes: String = routes.map(|route| format!("{},", route.modules)).collect();
        format!("{routes}{},{}", self.private, self.nosumdb)
    }

    /// All patterns that make modules private, for people: those of routes and the private ones.
    pub fn private_text(&self) -> String {
        let routes = self.routes.iter().filter(|route| route.is_private());
        let mut all: Vec<_> = routes.map(|route| route.modules.to_string()).collect();
        all.push(self.private.to_string());
        all.retain(|text| !text.is_empty());
        all.join(",")
    }

    /// Whether any module can be private.
    pub fn has_private(&self) -> bool {
        !self.private.is_empty() || self.routes.iter().any(RouteRule::is_private)
    }

    /// Whether the modules of this route are private, all of them.
    pub fn is_private_route(&self, number: usize) -> bool {
        self.routes.get(number).is_some_and(RouteRule::is_private)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ModulePath {
        ModulePath::parse(text).unwrap()
    }

    #[test]
    fn c88_patterns_do_not_cover_toolchains() {
        let private = Patterns::parse("golang.org/*,*.corp.example.com");
        let route = RouteRule {
            modules: Patterns::parse("golang.org/toolchain"),
            via: Via::Own,
            private: None,
        };
        let nosumdb = Patterns::parse("golang.org,example.com/b");
        let policy = Policy::new(vec![route], private, nosumdb);
        let routed = |text: &str| policy.decide(&path(text)).route != RouteDecision::Upstream;
        assert!(routed("golang.org/x"));
        assert!(!routed("golang.org/toolchain"));
        assert!(!policy.decide(&path("golang.org/toolchain")).is_private());
        assert!(routed("git.corp.example.com/a/b"));
        assert!(!routed("example.com/a"));
        let is_unlisted = |text: &str| policy.decide(&path(text)).unlisted().is_some();
        assert!(is_unlisted("golang.org/x"));
        assert!(!is_unlisted("golang.org/toolchain"));
        assert!(is_unlisted("example.com/b/c"));
        assert!(!is_unlisted("example.com/a"));
    }

    #[test]
    fn the_first_route_counts_and_private_patterns_come_after() {
        let route = |modules: &str, via, private| RouteRule {
            modules: Patterns::parse(modules),
            via,
            private,
        };
        let routes = vec![
            route("corp.example.com/open", Via::Own, Some(false)),
            route("corp.example.com/no,evil.example.com", Via::Refuse, None),
            route("corp.example.com/up", Via::Upstream, Some(false)),
            route("corp.example.com/wide", Via::Upstream, None),
            route("mirror.example.com", Via::Own, None),
        ];
        let policy = Policy::new(
            routes,
            Patterns::parse("corp.example.com"),
            Patterns::default(),
        );
        for (text, route, private) in [
            ("corp.example.com/open/x", RouteDecision::Route(0), false),
            (
                "corp.example.com/no",
                RouteDecision::Refused("corp.example.com/no".into()),
                true,
            ),
            (
                "evil.example.com/x",
                RouteDecision::Refused("evil.example.com".into()),
                false,
            ),
            ("corp.example.com/up", RouteDecision::Upstream, false),
            (
                "corp.example.com/wide",
                RouteDecision::Private("corp.example.com".into()),
                true,
            ),
            ("mirror.example.com/x", RouteDecision::Route(4), true),
            (
                "corp.example.com/x",
                RouteDecision::Private("corp.example.com".into()),
                true,
            ),
            ("example.com/x", RouteDecision::Upstream, false),
        ] {
            let decision = policy.decide(&path(text));
            assert_eq!(decision.route, route, "{text}");
            assert_eq!(decision.is_private(), private, "{text}");
            assert_eq!(decision.unlisted().is_some(), private, "{text}");
            let prefetched = route == RouteDecision::Upstream && !private;
            assert_eq!(decision.may_be_prefetched, prefetched, "{text}");
            let refused = matches!(route, RouteDecision::Refused(_));
            let all = policy.clone().prefetching_private(true);
            assert_eq!(
                all.decide(&path(text)).may_be_prefetched,
                !refused,
                "{text}"
            );
        }
        assert!(policy.unlisted().contains("mirror.example.com"));
        assert_eq!(policy.private_text(), "mirror.example.com,corp.example.com");
        assert!(policy.has_private() && !Policy::default().has_private());
        let private: Vec<_> = (0..6).map(|it| policy.is_private_route(it)).collect();
        assert_eq!(private, [false, false, false, false, true, false]);
    }
}
