//! What all profiles have in common: hosts, repositories and their mirrors.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;

use crate::clock::SharedClock;
use crate::gomod::Patterns;
use crate::vcs::hosts::Hosts;
use crate::vcs::mirror::{Mirror, MirrorKey};
use crate::vcs::mirror_cache::MirrorCache;
use crate::vcs::pack::PackError;
use crate::vcs::refusals::Refusals;
use crate::vcs::repository::{Repository, Shared};
use crate::vcs::rules::Purpose;
use crate::vcs::tables::{RepositoryKey, Tables};
use crate::vcs::tenant::Tenant;
use crate::vcs::versions::MAX_GO_MOD;
use crate::vcs::workspace::Workspace;

/// Repositories whose references are remembered, at the most.
const REPOSITORIES: usize = 1024;
/// From the module path to the repository's references: whoever waits for that alone is answered within 45 s.
pub(super) const CONTACT: Duration = Duration::from_secs(42);

/// What all profiles have in common.
pub struct Direct {
    pub(super) shared: Arc<Shared>,
    pub(super) refs_ttl: Duration,
    pub(super) insecure: Patterns,
    strangers: Repositories,
    own: Repositories,
    /// All that anybody has; there must be one only for each folder.
    mirrors: Arc<Mutex<HashMap<MirrorKey, Weak<Mirror>>>>,
    /// Trees that no zip was made from.
    pub(super) unpacked: Refusals<Arc<PackError>>,
    pub(super) clock: SharedClock,
}

/// Repositories that were asked lately. Their references are elsewhere.
type Repositories = Cache<RepositoryKey, Arc<Repository>>;

/// How direct mode behaves.
pub struct DirectSettings {
    /// The folder of the mirrors.
    pub mirrors: PathBuf,
    /// How much they may take together. Bytes.
    pub max_mirrors: u64,
    /// How long references are believed.
    pub refs_ttl: Duration,
    /// Modules whose hosts may be asked over plain http, as GOINSECURE.
    pub insecure: Patterns,
}

impl Direct {
    /// What is in the making is in the `space`, on the same disk as what is kept.
    pub fn new(
        hosts: Hosts,
        settings: DirectSettings,
        space: Workspace,
        clock: SharedClock,
    ) -> Arc<Self> {
        let shared = Shared {
            mirror_cache: MirrorCache::new(
                settings.mirrors,
                settings.max_mirrors,
                hosts.metrics().mirrors.clone(),
            ),
            hosts: Arc::new(hosts),
            tables: Tables::default(),
            refusals: Refusals::default(),
            space,
        };
        Arc::new(Direct {
            shared: Arc::new(shared),
            refs_ttl: settings.refs_ttl,
            insecure: settings.insecure,
            strangers: Cache::new(REPOSITORIES),
            own: Cache::new(REPOSITORIES),
            mirrors: Arc::default(),
            unpacked: Refusals::default(),
            clock,
        })
    }

    /// The same under another configuration: the mirrors are those of this one. What is remembered of repositories is
    /// not, since who asks them may be somebody else now.
    pub fn renewed(&self, hosts: Hosts, refs_ttl: Duration, insecure: Patterns) -> Arc<Self> {
        let shared = Shared {
            mirror_cache: self.shared.mirror_cache.clone(),
            hosts: Arc::new(hosts),
            tables: Tables::default(),
            refusals: Refusals::default(),
            space: self.shared.space.clone(),
        };
        Arc::new(Direct {
            shared: Arc::new(shared),
            refs_ttl,
            insecure,
            strangers: Cache::new(REPOSITORIES),
            own: Cache::new(REPOSITORIES),
            mirrors: Arc::clone(&self.mirrors),
            unpacked: Refusals::default(),
            clock: Arc::clone(&self.clock),
        })
    }

    /// Git hosts.
    pub fn hosts(&self) -> &Hosts {
        &self.shared.hosts
    }

    pub(super) fn repository(&self, id: usize, purpose: Purpose) -> Arc<Repository> {
        // Credentials may change while we run, and so what may be believed.
        let identity = self.hosts().identity(&purpose);
        let key: RepositoryKey = format!(
            "{id} {} {} {:?} {} {identity}",
            purpose.rules.insecure,
            purpose.own_host,
            purpose.url.user(),
            purpose.url,
        )
        .into();
        let repositories = match purpose.rules.tenant() {
            Tenant::Strangers => &self.strangers,
            Tenant::Own => &self.own,
        };
        let make = || {
            let mirror = self.mirror(MirrorKey {
                url: purpose.url.as_str().to_owned(),
                identity,
                tenant: purpose.rules.tenant(),
            });
            let (key, shared) = (Arc::clone(&key), Arc::clone(&self.shared));
            Ok::<_, Infallible>(Repository::new(purpose, key, shared, mirror))
        };
        let repository = repositories.get_or_insert_with(&key, make);
        repository.unwrap_or_else(|never| match never {})
    }

    pub(super) fn mirror(&self, key: MirrorKey) -> Arc<Mirror> {
        let mut mirrors = self.mirrors.lock();
        if let Some(mirror) = mirrors.get(&key).and_then(Weak::upgrade) {
            return mirror;
        }
        if mirrors.len() > 4 * REPOSITORIES {
            mirrors.retain(|_, mirror| mirror.strong_count() > 0);
        }
        let git = self.hosts().git().clone();
        let mirror = Mirror::new(git, self.shared.mirror_cache.folder(), &key, MAX_GO_MOD);
        mirrors.insert(key, Arc::downgrade(&mirror));
        mirror
    }
}
