//! Of what one client may take.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::families::Families;

/// A limit, by the key that sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    Misses,
    Requests,
    Bytes,
}

impl Limit {
    const ALL: [Limit; 3] = [Limit::Misses, Limit::Requests, Limit::Bytes];

    /// As it is called in the configuration, in `[limits]`.
    pub fn key(self) -> &'static str {
        match self {
            Limit::Misses => "misses_per_client",
            Limit::Requests => "requests_per_second",
            Limit::Bytes => "bytes_per_second",
        }
    }
}

impl EncodeLabelValue for Limit {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.key(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: Limit,
    action: &'static str,
}

/// Metrics of limits.
#[derive(Clone, Default)]
pub struct LimitMetrics {
    limited: Family<LimitLabels, Counter>,
    waiting: Gauge,
}

impl LimitMetrics {
    pub(super) fn register(families: &mut Families) -> Self {
        let metrics = LimitMetrics {
            limited: families.labelled(
                "limited",
                "Requests that a client's limit has delayed, or refused",
            ),
            waiting: families.one(
                "limited_waiting",
                "Requests that wait because of a limit of their client",
            ),
        };
        for limit in Limit::ALL {
            metrics.count(limit, "delayed", 0);
            if limit != Limit::Bytes {
                metrics.count(limit, "refused", 0);
            }
        }
        metrics
    }

    fn count(&self, limit: Limit, action: &'static str, times: u64) {
        let labels = LimitLabels { limit, action };
        self.limited.get_or_create(&labels).inc_by(times);
    }

    /// A request has to wait because of this limit, for as long as what this gives is held.
    pub fn delayed(&self, limit: Limit) -> Delayed {
        self.count(limit, "delayed", 1);
        self.waiting.inc();
        Delayed(self.waiting.clone())
    }

    /// A request was refused because of this limit.
    pub fn refused(&self, limit: Limit) {
        self.count(limit, "refused", 1);
    }
}

/// A request that waits.
pub struct Delayed(Gauge);

impl Drop for Delayed {
    fn drop(&mut self) {
        self.0.dec();
    }
}
