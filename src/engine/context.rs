//! Who asks for something, and what the rules say of it: made once for a request, or for a piece of work in the
//! background, and taken along through flights, verification and prefetching. Nobody decides again.

use super::Engine;
use crate::gomod::ModulePath;
use crate::kit::{ClientId, FetchContext};
use crate::policy::{Caller, Decision};

/// A request, or what is done in the background as if it was one.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    /// Who asks; nobody in the background.
    pub caller: Caller,
    /// What the rules say of the module that it is about.
    pub decision: Decision,
    /// Only what is kept: `Disable-Module-Fetch: true`, `/cached-only`.
    pub cached_only: bool,
    /// Whether the client is one whose next requests may be foreseen.
    pub foresee: bool,
    /// What those are told who fetch.
    pub fetch: FetchContext,
}

impl RequestContext {
    /// For whom prefetches may be made because of this request, if they may.
    pub(super) fn prefetches_for(&self) -> Option<ClientId> {
        let may = self.foresee && !self.cached_only && !self.fetch.no_cache;
        let may = may && self.decision.may_be_prefetched;
        self.fetch.client.filter(|_| may)
    }

    /// For a question about the same module that has to be answered first.
    pub(super) fn derived(&self) -> Self {
        RequestContext {
            cached_only: false,
            foresee: false,
            fetch: self.fetch.waited_for(),
            ..self.clone()
        }
    }

    /// The same for a piece of work of its own: who is asked for that is told apart.
    pub(super) fn forked(&self) -> Self {
        RequestContext {
            fetch: self.fetch.forked(),
            ..self.clone()
        }
    }
}

impl Engine {
    /// For work in the background about a module.
    pub(super) fn background(&self, module: &ModulePath, fetch: FetchContext) -> RequestContext {
        RequestContext {
            decision: self.policy.decide(module),
            fetch,
            ..RequestContext::default()
        }
    }
}
