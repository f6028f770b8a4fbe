//! One upstream: its client, credentials, limits and breaker in one place.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use url::Url;

use super::budget::Budget;
use super::chain;
use super::client::Pool;
use super::known::KnownModules;
use super::limits::Limits;
use super::share::Share;
use crate::breaker::{Breaker, BreakerReport, BreakerSettings, BreakerState};
use crate::clock::{SharedClock, Timestamp};
use crate::credentials::Credentials;
use crate::telemetry::metrics::UpstreamMetrics;

/// How long an upstream that was asked too much is asked for nothing that nobody waits for.
const REST: Duration = Duration::from_secs(60);

/// How an upstream is used.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamSettings {
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
    pub(super) label: Arc<str>,
    pub(super) base: Url,
    pub(super) pool: Arc<Pool>,
    pub(super) credentials: Arc<Credentials>,
    /// The base URL with the credentials that it may have.
    pub(super) account: Url,
    pub(super) via: HeaderValue,
    pub(super) settings: UpstreamSettings,
    pub(super) limits: Arc<Limits>,
    pub(super) share: Arc<Share>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) known: Arc<KnownModules>,
    /// Itself, for work that goes on when who began it has gone.
    pub(super) this: Weak<Upstream>,
    pub(super) budget: Arc<Budget>,
    /// When it last said that it was asked too much.
    pub(super) limited: Arc<Mutex<Option<std::time::Instant>>>,
    pub(super) clock: SharedClock,
    pub(super) metrics: UpstreamMetrics,
}

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
        settings: UpstreamSettings,
        share: Arc<Share>,
        clock: SharedClock,
        metrics: impl FnOnce(&str) -> UpstreamMetrics,
    ) -> Arc<Self> {
        let account = base.clone();
        let base = without_login(base);
        let label: Arc<str> = chain::label(&base).into();
        Arc::new_cyclic(|this| Upstream {
            this: Weak::clone(this),
            known: Arc::default(),
            metrics: metrics(&label),
            base,
            pool,
            credentials: Arc::clone(credentials),
            account,
            via,
            settings,
            limits: Arc::new(Limits::new(settings.concurrency)),
            share,
            breaker: Arc::new(Breaker::new(
                format!("upstream {label}"),
                settings.breaker,
                Arc::clone(&clock),
            )),
            budget: Arc::new(Budget::new(Arc::clone(&clock))),
            limited: Arc::default(),
            clock,
            label,
        })
    }

    /// The same upstream as another configuration has it, by which it may be asked with other clients, as somebody else and
    /// with other patience. What is known of it (its breaker, its slots, what it has answered) is one for both.
    pub fn reconfigured(
        &self,
        account: &Url,
        pool: Arc<Pool>,
        credentials: &Arc<Credentials>,
        settings: UpstreamSettings,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Upstream {
            this: Weak::clone(this),
            label: Arc::clone(&self.label),
            base: self.base.clone(),
            pool,
            credentials: Arc::clone(credentials),
            account: account.clone(),
            via: self.via.clone(),
            settings,
            limits: Arc::clone(&self.limits),
            share: Arc::clone(&self.share),
            breaker: Arc::clone(&self.breaker),
            known: Arc::clone(&self.known),
            budget: Arc::clone(&self.budget),
            limited: Arc::clone(&self.limited),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
        })
    }

    /// Whether requests to this address go to it, whoever makes them.
    pub fn is_at(&self, url: &Url) -> bool {
        self.base == without_login(url)
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
    pub fn standing(&self) -> BreakerReport {
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
            let most = |of: &dyn Fn(&BreakerReport) -> i64| standings.iter().map(of).max();
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

    pub(super) async fn authorization(&self) -> Option<HeaderValue> {
        self.credentials.authorization(&self.account).await
    }

    /// What to send instead of what was refused.
    pub(super) async fn renewed(&self, refused: Option<&HeaderValue>) -> Option<HeaderValue> {
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

fn without_login(url: &Url) -> Url {
    let mut url = url.clone();
    // Neither fails for a URL with a host; without one (file) there is nothing to take away.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}
