//! What may be asked of whom.

use thiserror::Error;

use crate::gomod::{ModulePath, Patterns};

/// The rules in force.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    private: Patterns,
    nosumdb: Patterns,
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
    /// `private` are GOPRIVATE patterns, `nosumdb` GONOSUMDB ones.
    pub fn new(private: Patterns, nosumdb: Patterns) -> Self {
        Policy { private, nosumdb }
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

    /// The pattern that makes this module private. Toolchains are nobody's private modules (protocol.md 3).
    pub fn private_pattern(&self, module: &ModulePath) -> Option<&str> {
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
        let path = module.as_str();
        self.private
            .matching(path)
            .or_else(|| self.nosumdb.matching(path))
    }

    /// All patterns that keep modules' names from checksum databases.
    pub fn unlisted(&self) -> String {
        format!("{},{}", self.private, self.nosumdb)
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
    fn c88_patterns_do_not_cover_toolchains() {
        let private = Patterns::parse("golang.org/*,*.corp.example.com");
        let policy = Policy::new(private, Patterns::parse("golang.org,example.com/b"));
        let is_private = |path: &str| policy.check(&ModulePath::parse(path).unwrap()).is_err();
        assert!(is_private("golang.org/x"));
        assert!(!is_private("golang.org/toolchain"));
        assert!(is_private("git.corp.example.com/a/b"));
        assert!(!is_private("example.com/a"));
        let is_unlisted = |path: &str| {
            let path = ModulePath::parse(path).unwrap();
            policy.unlisted_pattern(&path).is_some()
        };
        assert!(is_unlisted("golang.org/x"));
        assert!(!is_unlisted("golang.org/toolchain"));
        assert!(is_unlisted("example.com/b/c"));
        assert!(!is_unlisted("example.com/a"));
    }
}
