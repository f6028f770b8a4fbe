//! Other GOPROXY servers: the chain of them, and for each its client, credentials, limits, retries and breaker.
//!
//! An answer is classified here, once: found, absent (404, 410), refused (403) or a fault. Who asked decides what is
//! done about it. See design section 4 in ARCHITECTURE.md for the numbers.

mod budget;
mod chain;
mod client;
mod error;
mod fetch;
mod limits;
mod local;
mod request;
mod small;
mod stream;
mod text;
mod toolchain;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use parking_lot::Mutex;
use url::Url;

pub use chain::{ChainError, ChainSpec, Fall, SourceSpec};
pub use client::{ClientSettings, Guarded, Judge, build_client, install_crypto};
pub use error::{Failure, SourceError};
pub use fetch::Want;
pub use limits::Limits;
pub use small::{Fetched, Validators};
pub use stream::{Sink, SinkError, ZipStream};
pub use text::clean;
pub use toolchain::Toolchain;

use crate::breaker::{Breaker, BreakerSettings, BreakerState};
use crate::clock::SharedClock;
use crate::credentials::Credentials;
use crate::telemetry::metrics::UpstreamMetrics;
use budget::Budget;

/// How long an upstream that was asked too much is asked for nothing that nobody waits for.
const REST: Duration = Duration::from_secs(60);

/// How an upstream is used.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Until the head of an answer is there, per attempt.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a body.
    pub idle_timeout: Duration,
    /// Requests for one fetch at the most.
    pub attempts: u32,
    /// Of those, how many may end by running out of time.
    pub timeouts: u32,
    /// Requests under way at one upstream.
    pub concurrency: usize,
    /// When to stop asking for a while.
    pub breaker: BreakerSettings,
}

/// One upstream: a GOPROXY over HTTP, or a folder in the download cache's layout (`file://…`).
pub struct Upstream {
    label: Arc<str>,
    base: Url,
    client: reqwest::Client,
    authorization: Option<HeaderValue>,
    via: HeaderValue,
    settings: Settings,
    limits: Limits,
    breaker: Breaker,
    budget: Budget,
    /// When it last said that it was asked too much.
    limited: Mutex<Option<std::time::Instant>>,
    clock: SharedClock,
    metrics: UpstreamMetrics,
}

/// Checks the body of a small answer and takes from it what is wanted; the text says what is wrong with it.
pub type Check<'a, T> = &'a (dyn Fn(&Bytes) -> Result<T, String> + Send + Sync);

impl Upstream {
    /// An upstream at `base`. `via` is this server's own name in `Via` headers, by which a loop is noticed.
    pub fn new(
        base: &Url,
        client: reqwest::Client,
        credentials: &Credentials,
        via: HeaderValue,
        settings: Settings,
        clock: SharedClock,
        metrics: impl FnOnce(&str) -> UpstreamMetrics,
    ) -> Self {
        let authorization = credentials.authorization(base);
        let mut base = base.clone();
        // Neither fails for a URL with a host; without one (file) there is nothing to take away.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        let label: Arc<str> = chain::label(&base).into();
        Upstream {
            metrics: metrics(&label),
            label,
            base,
            client,
            authorization,
            via,
            settings,
            limits: Limits::new(settings.concurrency),
            breaker: Breaker::new(settings.breaker, Arc::clone(&clock)),
            budget: Budget::new(Arc::clone(&clock)),
            limited: Mutex::default(),
            clock,
        }
    }

    /// The name shown to people: host and port, without credentials.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The base URL, without credentials.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Whether requests are let through, for `/readyz` and metrics.
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Whether it is not well, or has lately been asked more than it likes: then only what is needed is asked for.
    pub fn wants_rest(&self) -> bool {
        let now = self.clock.instant();
        let lately = |at: std::time::Instant| now.saturating_duration_since(at) < REST;
        self.breaker.stopped().is_some()
            || self.breaker_state() != BreakerState::Closed
            || self.limited.lock().is_some_and(lately)
    }

    /// Whether it has answered a request since then.
    pub fn has_answered_since(&self, then: std::time::Instant) -> bool {
        self.breaker.last_success().is_some_and(|last| last >= then)
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.limits.in_use()
    }

    /// Brings the gauges up to date.
    pub fn update_metrics(&self) {
        self.metrics.breaker.set(self.breaker_state().number());
        self.metrics
            .in_flight
            .set(i64::try_from(self.in_flight()).unwrap_or(i64::MAX));
    }

    /// Whether credentials are sent.
    pub fn has_credentials(&self) -> bool {
        self.authorization.is_some()
    }
}
