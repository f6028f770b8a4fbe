//! The face: connections, routes, and how answers and errors look on the wire.

mod access;
mod address;
mod body;
mod caller;
mod conditional;
mod error;
mod heads;
mod holder;
mod io;
mod listener;
mod mapped;
mod modules;
mod observe;
mod page;
mod responses;
mod router;
mod shortcut;
mod status;
mod sumdb;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

pub use access::{Access, Caller, is_for_this_machine};
pub use address::for_clients;
pub use holder::port_holder;
pub use listener::{Connections, open_descriptors, raise_descriptor_limit, serve};
pub use observe::Observer;
pub use responses::ResponseCache;
pub use router::Site;

use crate::engine::Engine;
use crate::store::Disk;
use crate::telemetry::logs::LogSink;
use crate::telemetry::metrics::Metrics;

/// How the cache took part (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What vouches for a file.
pub const LARDER_VERIFIED: HeaderName = HeaderName::from_static("larder-verified");
/// Names a request in answers and logs.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `Cache-Status` of what is past its time by so many seconds, given because nobody can be asked.
fn stale(over: u64) -> HeaderValue {
    // Rounded up: what is past its time by less than a second is past it, too.
    let text = format!("larder; hit; ttl=-{}; detail=stale", over.max(1));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("larder; hit; detail=stale"))
}

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

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// Open at once; further ones wait to be accepted.
    pub max: usize,
    /// A request's head must be whole within this; also how long an idle connection is kept.
    pub header_timeout: Duration,
}
