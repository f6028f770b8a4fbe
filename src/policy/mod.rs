//! What may be asked of whom.

use std::sync::Arc;

use crate::gomod::{ModulePath, Patterns};

/// The rules in force.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    routes: Arc<[RouteRule]>,
    private: Patterns,
    nosumdb: Patterns,
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
    fn is_private(&self) -> bool {
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

/// Where a module comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course<'a> {
    /// The chain of upstreams.
    Upstream,
    /// The sources of the route with this number, from 0.
    Route(usize),
    /// Straight from git, as this private pattern says.
    Private(&'a str),
    /// Nowhere, as this pattern of a route says.
    Refused(&'a str),
}

impl Policy {
    /// The first of the `routes` that matches a module counts; `private` are GOPRIVATE patterns, `nosumdb` GONOSUMDB
    /// ones.
    pub fn new(routes: Vec<RouteRule>, private: Patterns, nosumdb: Patterns) -> Self {
        Policy {
            routes: routes.into(),
            private,
            nosumdb,
        }
    }

    /// Where a module comes from. Toolchains are in no repository, so that only a refusal concerns them.
    pub fn course(&self, module: &ModulePath) -> Course<'_> {
        if let Some((number, route, pattern)) = self.route(module) {
            match route.via {
                Via::Refuse => return Course::Refused(pattern),
                Via::Own if !module.is_toolchain() => return Course::Route(number),
                Via::Upstream if route.private == Some(false) => return Course::Upstream,
                // No wide route leads a private module to the public.
                Via::Own | Via::Upstream => {}
            }
        }
        match self.by_pattern(module) {
            Some(pattern) => Course::Private(pattern),
            None => Course::Upstream,
        }
    }

    /// The first route that matches, its number from 0, and which of its patterns it is.
    pub fn route(&self, module: &ModulePath) -> Option<(usize, &RouteRule, &str)> {
        if self.routes.is_empty() {
            return None;
        }
        let mut routes = self.routes.iter().enumerate();
        routes.find_map(|(number, route)| {
            let pattern = route.modules.matching(module.as_str())?;
            Some((number, route, pattern))
        })
    }

    /// The pattern that makes this module private. Toolchains are nobody's private modules (protocol.md 3).
    pub fn private_pattern(&self, module: &ModulePath) -> Option<&str> {
        if module.is_toolchain() {
            return None;
        }
        match self.route(module) {
            Some((_, route, pattern)) => match (route.private, route.via) {
                (Some(true), _) | (None, Via::Own) => Some(pattern),
                (Some(false), _) => None,
                (None, Via::Upstream | Via::Refuse) => self.by_pattern(module),
            },
            None => self.by_pattern(module),
        }
    }

    fn by_pattern(&self, module: &ModulePath) -> Option<&str> {
        if self.private.is_empty() || module.is_toolchain() {
            return None;
        }
        self.private.matching(module.as_str())
    }

    /// The pattern that keeps this module's name from checksum databases. Toolchains are always verified (protocol.md 3).
    pub fn unlisted_pattern(&self, module: &ModulePath) -> Option<&str> {
        if module.is_toolchain() {
            return None;
        }
        self.private_pattern(module)
            .or_else(|| self.nosumdb.matching(module.as_str()))
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
        let course = |text: &str| policy.course(&path(text)) != Course::Upstream;
        assert!(course("golang.org/x"));
        assert!(!course("golang.org/toolchain"));
        assert_eq!(policy.private_pattern(&path("golang.org/toolchain")), None);
        assert!(course("git.corp.example.com/a/b"));
        assert!(!course("example.com/a"));
        let is_unlisted = |text: &str| policy.unlisted_pattern(&path(text)).is_some();
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
        for (text, course, private) in [
            ("corp.example.com/open/x", Course::Route(0), false),
            (
                "corp.example.com/no",
                Course::Refused("corp.example.com/no"),
                true,
            ),
            (
                "evil.example.com/x",
                Course::Refused("evil.example.com"),
                false,
            ),
            ("corp.example.com/up", Course::Upstream, false),
            (
                "corp.example.com/wide",
                Course::Private("corp.example.com"),
                true,
            ),
            ("mirror.example.com/x", Course::Route(4), true),
            (
                "corp.example.com/x",
                Course::Private("corp.example.com"),
                true,
            ),
            ("example.com/x", Course::Upstream, false),
        ] {
            assert_eq!(policy.course(&path(text)), course, "{text}");
            let is = policy.private_pattern(&path(text)).is_some();
            assert_eq!(is, private, "{text}");
        }
        assert!(policy.unlisted().contains("mirror.example.com"));
        assert_eq!(policy.private_text(), "mirror.example.com,corp.example.com");
        assert!(policy.has_private() && !Policy::default().has_private());
        let private: Vec<_> = (0..6).map(|it| policy.is_private_route(it)).collect();
        assert_eq!(private, [false, false, false, false, true, false]);
    }
}
