//! What handlers of requests work with.

use std::sync::Arc;

use super::responses::ResponseCache;
use crate::engine::Engine;
use crate::identity::Tokens;
use crate::kit::reload::Reload;
use crate::store::Disk;
use crate::telemetry::audit::Audit;
use crate::telemetry::logs::LogSink;
use crate::telemetry::metrics::Metrics;

/// What the face shows and asks.
pub struct AppState {
    /// Answers for modules.
    pub engine: Arc<Engine>,
    /// Who is known by which token.
    pub tokens: Arc<Tokens>,
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
    /// What is kept of who was refused.
    pub audit: Audit,
    /// What the chain is, for people; known once it has been read.
    pub chain: tokio::sync::watch::Receiver<Option<String>>,
    /// All upstreams, for people and metrics.
    pub upstreams: Arc<crate::upstream::Roster>,
    /// Who reads the configuration again.
    pub reload: Arc<dyn Reload>,
    /// Whether everything administrative is on an address of its own.
    pub separate_admin: bool,
}
