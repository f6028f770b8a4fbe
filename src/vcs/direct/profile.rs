//! Direct mode under one set of rules: from a module path to its repository.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::error::DirectError;
use super::lookups::LiveLookups;
use super::module::RepositoryModule;
use super::repositories::{CONTACT, Direct};
use crate::gomod::ModulePath;
use crate::vcs::layout::Layout;
use crate::vcs::resolve::{ResolveError, Resolver};
use crate::vcs::root::Vcs;
use crate::vcs::rules::{HostRules, Purpose};
use crate::vcs::url::{Allowed, RepoUrl};

/// How long it is remembered which repository a module is in.
const ROOT_TTL: Duration = Duration::from_secs(600);

/// Direct mode under one set of rules.
pub struct DirectProfile {
    id: usize,
    direct: Arc<Direct>,
    rules: Arc<HostRules>,
    /// The same, where plain http is allowed.
    insecure: Arc<HostRules>,
    resolver: Resolver,
}

/// Where a module is.
pub enum Location {
    Repository(Box<RepositoryModule>),
    /// At another module proxy (`mod` of its page).
    Proxy(RepoUrl),
}

impl DirectProfile {
    /// Each profile has a number of its own.
    pub fn new(id: usize, direct: &Arc<Direct>, rules: HostRules) -> Arc<Self> {
        let private = rules.private;
        let insecure = Arc::new(HostRules {
            insecure: true,
            ..rules.clone()
        });
        let rules = Arc::new(rules);
        let lookups = Arc::new(LiveLookups {
            direct: Arc::clone(direct),
            rules: Arc::clone(&rules),
            insecure: Arc::clone(&insecure),
        });
        Arc::new(DirectProfile {
            id,
            direct: Arc::clone(direct),
            rules,
            insecure,
            resolver: Resolver::new(lookups, Arc::clone(&direct.clock), ROOT_TTL, private),
        })
    }

    pub fn rules(&self) -> &HostRules {
        &self.rules
    }

    /// How long an answer may take that needs a fetch.
    pub fn patience(&self) -> Duration {
        CONTACT + self.rules.timeout
    }

    /// Where a module is.
    pub async fn place(&self, module: &ModulePath) -> Result<Location, DirectError> {
        let insecure =
            self.rules.insecure || self.direct.insecure.matching(module.as_str()).is_some();
        let allowed = Allowed {
            ssh: self.rules.ssh.is_some(),
            insecure,
        };
        let found = timeout(CONTACT, self.resolver.resolve(module, allowed)).await;
        let root = found.unwrap_or_else(|_| {
            Err(ResolveError::Timeout(format!(
                "{module}: its host did not say in time where its repository is"
            )))
        })?;
        let client = self.direct.hosts().client(&self.rules);
        if client.reserved.covers(&root.url, module) {
            return Err(ResolveError::Barred(format!(
                "{module}: its repository is one that private patterns name (--private), and public modules do not come from those"
            ))
            .into());
        }
        if root.vcs == Vcs::Mod {
            return Ok(Location::Proxy(root.url));
        }
        let layout = Layout::new(module, &root)?;
        let rules = match insecure {
            true => &self.insecure,
            false => &self.rules,
        };
        let first = module.as_str().split('/').next();
        let purpose = Purpose {
            rules: Arc::clone(rules),
            own_host: first.is_some_and(|host| host.eq_ignore_ascii_case(root.url.host())),
            url: root.url.clone(),
        };
        Ok(Location::Repository(Box::new(RepositoryModule {
            repository: self.direct.repository(self.id, purpose),
            direct: Arc::clone(&self.direct),
            root,
            layout,
            module: module.clone(),
        })))
    }
}
