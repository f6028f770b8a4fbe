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
mod roster;
mod share;
mod small;
mod stream;
mod text;
mod toolchain;
mod trust;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use url::Url;

pub use chain::{ChainError, ChainSpec, Fall, SourceSpec};
pub use client::{ClientSettings, Guarded, Judge, Pool, install_crypto};
pub use error::{Failure, SourceError};
pub use fetch::Want;
pub use limits::Limits;
pub use roster::Roster;
pub use share::Share;
pub use small::{Fetched, Validators};
pub use stream::{Sink, SinkError, ZipStream};
pub use text::clean;
pub use toolchain::{Origin, Toolchain};
pub use trust::Trust;

use crate::breaker::{Breaker, BreakerSettings, BreakerState, Standing};
use crate::clock::{SharedClock, Timestamp};
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
    pool: Arc<Pool>,
    credentials: Arc<Credentials>,
    /// The base URL with the credentials that it may have.
    account: Url,
    via: HeaderValue,
    settings: Settings,
    limits: Limits,
    share: Arc<Share>,
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
    /// An upstream at `base`, asked with the clients of a `pool`, and one of those that share a
    /// `share`. `via` is this server's own name in `Via` headers, by which a loop is noticed.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is something else, and there are two callers"
    )]
    pub fn new(
        base: &Url,
        pool: Arc<Pool>,
        credentials: &Arc<Credentials>,
        via: HeaderValue,
        settings: Settings,
        share: Arc<Share>,
        clock: SharedClock,
        metrics: impl FnOnce(&str) -> UpstreamMetrics,
    ) -> Self {
        let account = base.clone();
        let mut base = base.clone();
        // Neither fails for a URL with a host; without one (file) there is nothing to take away.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        let label: Arc<str> = chain::label(&base).into();
        Upstream {
            metrics: metrics(&label),
            base,
            pool,
            credentials: Arc::clone(credentials),
            account,
            via,
            settings,
            limits: Limits::new(settings.concurrency),
            share,
            breaker: Breaker::new(
                format!("upstream {label}"),
                settings.breaker,
                Arc::clone(&clock),
            ),
            budget: Budget::new(Arc::clone(&clock)),
            limited: Mutex::default(),
            clock,
            label,
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

    /// How it is, for people.
    pub fn standing(&self) -> Standing {
        self.breaker.standing()
    }

    /// Brings the gauges up to date. Several that have the same label are shown as one: the worst of them, or the sum.
    pub fn update_metrics<'a>(all: impl IntoIterator<Item = &'a Arc<Upstream>>) {
        let mut by_label: BTreeMap<&str, Vec<&Upstream>> = BTreeMap::new();
        for upstream in all {
            by_label.entry(&upstream.label).or_default().push(upstream);
        }
        let seconds = |at: Option<Timestamp>| i64::try_from(at.map_or(0, |at| at.0 / 1000));
        for same in by_label.values() {
            let Some(metrics) = same.first().map(|upstream| &upstream.metrics) else {
                continue;
            };
            let standings: Vec<_> = same.iter().map(|upstream| upstream.standing()).collect();
            let most = |of: &dyn Fn(&Standing) -> i64| standings.iter().map(of).max();
            let set = |gauge: &Gauge, value: Option<i64>| gauge.set(value.unwrap_or_default());
            set(&metrics.breaker, most(&|it| it.breaker.number()));
            set(&metrics.paused, most(&|it| i64::from(it.paused.is_some())));
            let last = |at: Option<Timestamp>| seconds(at).unwrap_or(i64::MAX);
            set(&metrics.last_success, most(&|it| last(it.last_success)));
            set(
                &metrics.last_error,
                most(&|it| last(it.last_error.as_ref().map(|(at, _)| *at))),
            );
            let in_flight = same
                .iter()
                .map(|upstream| upstream.in_flight())
                .sum::<usize>();
            metrics
                .in_flight
                .set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        }
    }

    /// Whether credentials are sent.
    pub fn has_credentials(&self) -> bool {
        let known = self.credentials.known();
        known.authorization(&self.account).is_some()
    }

    async fn authorization(&self) -> Option<HeaderValue> {
        self.credentials.authorization(&self.account).await
    }

    /// What to send instead of what was refused.
    async fn renewed(&self, refused: Option<&HeaderValue>) -> Option<HeaderValue> {
        self.credentials.renewed(&self.account, None, refused).await
    }

    /// The host of the proxy that it is asked through.
    pub fn proxy(&self) -> Option<String> {
        let proxy = self.pool.proxy(&self.base)?;
        let port = proxy
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        Some(format!("{}{port}", proxy.host_str()?))
    }
}
