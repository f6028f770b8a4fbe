//! What handlers of requests work with.

use std::sync::Arc;

use http::request::Parts;

use super::access::{Access, Caller};
use super::peer::Peer;
use super::responses::ResponseCache;
use crate::engine::{Engine, EngineError};
use crate::gomod::ModulePath;
use crate::store::Disk;
use crate::telemetry::logs::LogSink;
use crate::telemetry::metrics::Metrics;

/// What the face shows and asks.
pub struct Face {
    /// Answers for modules.
    pub engine: Arc<Engine>,
    /// Who may have private modules.
    pub access: Access,
    /// Cached responses.
    pub responses: ResponseCache,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Below which path modules are served: empty, or `/…` without a slash at its end.
    pub base_path: String,
    /// The address to show to people, if the operator set one.
    pub public_url: Option<String>,
    /// Our name in `Via` headers.
    pub via: String,
    /// The store's disk.
    pub disk: Arc<Disk>,
    /// Where logs go, for the count of dropped lines.
    pub log: LogSink,
    /// What the chain is, for people; known once it has been read.
    pub chain: tokio::sync::watch::Receiver<Option<String>>,
    /// All upstreams, for people and metrics.
    pub upstreams: Arc<crate::upstream::Roster>,
    /// Whether everything administrative is on an address of its own.
    pub separate_admin: bool,
}

impl Face {
    /// Lets requests about a module through from those who may have it; says whether these are some only.
    pub fn admit(
        &self,
        request: &Parts,
        peer: &Peer,
        module: &ModulePath,
    ) -> Result<bool, EngineError> {
        if !self.access.guards(self.engine.policy(), module) {
            return Ok(false);
        }
        let caller: Caller = self.access.caller(request.into(), peer.address);
        self.access.admit(module, caller).map(|()| true)
    }
}
