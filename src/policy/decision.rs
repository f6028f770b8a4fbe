//! What the rules say of one module. It is decided once for a request, or for a piece of work in the background, and goes
//! with it from there.

use std::sync::Arc;

/// What the rules say of a module. The default is for what is about no module: it comes from nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Where it comes from.
    pub route: RouteDecision,
    /// The pattern that makes it private.
    pub private: Option<Arc<str>>,
    /// Who verifies its files.
    pub verified_by: VerifiedBy,
    /// Whether it may be fetched before anybody asks for it. Of a private module that is nobody's business, unless the
    /// operator allows it.
    pub may_be_prefetched: bool,
}

/// Where a module comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RouteDecision {
    /// Nobody has been asked what the module may come from.
    #[default]
    Nowhere,
    /// The chain of upstreams.
    Upstream,
    /// The sources of the route with this number, from 0.
    Route(usize),
    /// Straight from git, as this private pattern says.
    Private(Arc<str>),
    /// Nowhere, as this pattern of a route says.
    Refused(Arc<str>),
}

/// Who verifies the files of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VerifiedBy {
    /// The checksum databases that are configured; the checksum seen first if there are none.
    #[default]
    Databases,
    /// The checksum seen first, since this pattern keeps the module's name from checksum databases.
    FirstSeen(Arc<str>),
}

impl Decision {
    /// Whether nobody else may be told of the module.
    pub fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// Whether it comes by the chain of public modules.
    pub fn is_public_route(&self) -> bool {
        self.route == RouteDecision::Upstream
    }

    /// The pattern that keeps its name from checksum databases.
    pub fn unlisted(&self) -> Option<&str> {
        match &self.verified_by {
            VerifiedBy::Databases => None,
            VerifiedBy::FirstSeen(pattern) => Some(pattern),
        }
    }
}
