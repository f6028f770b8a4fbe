//! Of upstreams.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::families::{Families, Histograms, of_fetches};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    upstream: String,
    outcome: String,
}

/// Metrics of one upstream.
#[derive(Clone)]
pub struct UpstreamMetrics {
    upstream: String,
    seconds: Histograms<FetchLabels>,
    /// Requests made again.
    pub retries: Counter,
    /// 0 closed, 1 half-open, 2 open.
    pub breaker: Gauge,
    /// 1 while it asks to be left alone.
    pub paused: Gauge,
    /// When it last answered well, and when it last failed. Seconds since 1970; 0 for never.
    pub last_success: Gauge,
    /// As above.
    pub last_error: Gauge,
    /// Requests under way.
    pub in_flight: Gauge,
}

impl UpstreamMetrics {
    /// A fetch has ended; `outcome` is one of a few fixed words.
    pub fn fetched(&self, outcome: &'static str, took: Duration) {
        let labels = FetchLabels {
            upstream: self.upstream.clone(),
            outcome: outcome.to_owned(),
        };
        self.seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }
}

/// Metrics of all upstreams.
pub(super) struct Upstreams {
    seconds: Histograms<FetchLabels>,
    retries: Family<UpstreamLabels, Counter>,
    breaker: Family<UpstreamLabels, Gauge>,
    paused: Family<UpstreamLabels, Gauge>,
    last_success: Family<UpstreamLabels, Gauge>,
    last_error: Family<UpstreamLabels, Gauge>,
    in_flight: Family<UpstreamLabels, Gauge>,
}

impl Upstreams {
    pub(super) fn register(families: &mut Families) -> Self {
        Upstreams {
            seconds: families.seconds(
                "upstream_fetch",
                "Fetches from upstreams with their retries",
                of_fetches,
            ),
            retries: families.labelled("upstream_retries", "Requests to upstreams made again"),
            breaker: families.labelled("upstream_breaker_state", "0 closed, 1 half-open, 2 open"),
            paused: families.labelled(
                "upstream_paused",
                "1 while an upstream has asked to be left alone (429, or 503 with a time) and is not asked",
            ),
            last_success: families.labelled_in_unit(
                "upstream_last_success_timestamp",
                "When an upstream last answered well, 404 included; 0 for never",
                Unit::Seconds,
            ),
            last_error: families.labelled_in_unit(
                "upstream_last_error_timestamp",
                "When a fetch from an upstream last failed; 0 for never",
                Unit::Seconds,
            ),
            in_flight: families.labelled("upstream_in_flight", "Requests to upstreams under way"),
        }
    }

    /// Handles for one, shown by its label (host and port).
    pub(super) fn of(&self, label: &str) -> UpstreamMetrics {
        let labels = UpstreamLabels {
            upstream: label.to_owned(),
        };
        UpstreamMetrics {
            upstream: label.to_owned(),
            seconds: self.seconds.clone(),
            retries: self.retries.get_or_create(&labels).clone(),
            breaker: self.breaker.get_or_create(&labels).clone(),
            paused: self.paused.get_or_create(&labels).clone(),
            last_success: self.last_success.get_or_create(&labels).clone(),
            last_error: self.last_error.get_or_create(&labels).clone(),
            in_flight: self.in_flight.get_or_create(&labels).clone(),
        }
    }
}
