//! Who asks for something, and what the rules say of it: made once for a request, or for a piece of work in the
//! background, and taken along through flights, verification and prefetching. Nobody decides again.

use std::sync::Arc;

use super::rules::Rules;
use super::validity::RulesGeneration;
use crate::kit::{ClientId, FetchContext, WaitingClients};
use crate::policy::{Caller, Decision};

/// A request, or what is done in the background as if it was one.
#[derive(Clone)]
pub struct RequestContext {
    /// The rules that it goes by, to its end.
    pub rules: Arc<Rules>,
    /// Who asks; nobody in the background.
    pub caller: Caller,
    /// What the rules say of the module that it is about.
    pub decision: Decision,
    /// Only what is kept: `Disable-Module-Fetch: true`, `/cached-only`.
    pub cached_only: bool,
    /// Whether the client is one whose next requests may be foreseen.
    pub foresee: bool,
    /// It is done for a fetch that has had its turn.
    pub has_turn: bool,
    /// What those are told who fetch.
    pub fetch: FetchContext,
}

/// What flights are joined by: only requests under the same rules share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey<K> {
    rules: RulesGeneration,
    key: K,
}

impl RequestContext {
    /// In the background, of a module of which the rules say this; nobody asks.
    pub(super) fn in_background(
        rules: Arc<Rules>,
        decision: Decision,
        fetch: FetchContext,
    ) -> Self {
        RequestContext {
            rules,
            caller: Caller::default(),
            decision,
            cached_only: false,
            foresee: false,
            has_turn: false,
            fetch,
        }
    }

    /// Which rules it goes by.
    pub(super) fn generation(&self) -> RulesGeneration {
        self.rules.generation()
    }

    /// As whom it counts where clients have their limits: as whoever has shown who they are, else by where it comes from.
    /// Nobody in the background.
    pub(super) fn limited_as(&self) -> Option<ClientId> {
        let client = self.fetch.client?;
        let name = self.caller.name();
        Some(name.map_or(client, |name| ClientId::named(&name)))
    }

    /// The flight that brings this for it.
    pub(super) fn flight<K: Clone>(&self, key: &K) -> FlightKey<K> {
        FlightKey {
            rules: self.generation(),
            key: key.clone(),
        }
    }

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

    /// The same for a piece of work of its own, for which these wait: who is asked for that is told apart.
    pub(super) fn forked(&self, waiting: &WaitingClients) -> Self {
        RequestContext {
            fetch: FetchContext {
                waiting: Some(waiting.clone()),
                ..self.fetch.forked()
            },
            has_turn: true,
            ..self.clone()
        }
    }
}
