//! What may be asked of whom.

use thiserror::Error;

use crate::gomod::{ModulePath, Patterns};

/// Where a module may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Through the chain of upstreams.
    Public,
    /// Straight from its own git host only; never asked of an upstream or a checksum database.
    Private,
}

/// The rules in force.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    private: Patterns,
}

/// A module that the rules keep from being fetched.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Barred {
    /// Private, and there is no way to it yet.
    #[error(
        "{module} is private here (it matches {pattern:?}) and so is not asked of any upstream; fetching private modules straight from git is not built into this version of larder"
    )]
    Private {
        /// The module.
        module: String,
        /// The pattern that made it so.
        pattern: String,
    },
}

impl Policy {
    /// `private` are GOPRIVATE patterns.
    pub fn new(private: Patterns) -> Self {
        Policy { private }
    }

    /// Where this module may come from. Toolchains are nobody's private modules (protocol.md 3).
    pub fn route(&self, module: &ModulePath) -> Route {
        if self.private_pattern(module).is_some() {
            Route::Private
        } else {
            Route::Public
        }
    }

    /// Says why a module cannot be fetched at all.
    pub fn check(&self, module: &ModulePath) -> Result<(), Barred> {
        match self.private_pattern(module) {
            None => Ok(()),
            Some(pattern) => Err(Barred::Private {
                module: module.as_str().to_owned(),
                pattern: pattern.to_owned(),
            }),
        }
    }

    /// The pattern that makes this module private.
    pub fn private_pattern(&self, module: &ModulePath) -> Option<&str> {
        if self.private.is_empty() || module.is_toolchain() {
            return None;
        }
        self.private.matching(module.as_str())
    }

    /// The private patterns, for people.
    pub fn private(&self) -> &Patterns {
        &self.private
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c88_private_patterns_do_not_cover_toolchains() {
        let policy = Policy::new(Patterns::parse("golang.org/*,*.corp.example.com"));
        let route = |path: &str| policy.route(&ModulePath::parse(path).unwrap());
        assert_eq!(route("golang.org/x"), Route::Private);
        assert_eq!(route("golang.org/toolchain"), Route::Public);
        assert_eq!(route("git.corp.example.com/a/b"), Route::Private);
        assert_eq!(route("example.com/a"), Route::Public);
    }
}
