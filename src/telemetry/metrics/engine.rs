//! Of what is fetched and kept.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::families::Families;
use super::limits::LimitMetrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PrefetchLabels {
    kind: &'static str,
    outcome: PrefetchOutcome,
}

/// Metrics of the engine.
#[derive(Clone, Default)]
pub struct EngineMetrics {
    /// Fetches under way that clients may share.
    pub flights: Gauge,
    /// Clients reading a zip that is still being fetched.
    pub followers: Gauge,
    /// Files in the store.
    pub files: Gauge,
    /// Bytes of the files in the store.
    pub bytes: Gauge,
    /// Files that failed verification.
    pub rejected: Counter,
    /// Verified files that were not kept: no room, or a fault.
    pub unkept: Counter,
    /// Background refreshes.
    pub refreshes: Counter,
    /// Files served although their checksum database could not be reached, and not verified since.
    pub unsettled: Gauge,
    /// Of what is fetched before it is asked for.
    pub prefetch: PrefetchMetrics,
    /// Of what one client may take.
    pub limits: LimitMetrics,
}

impl EngineMetrics {
    pub(super) fn register(families: &mut Families) -> Self {
        EngineMetrics {
            flights: families.one("flights", "Fetches under way that clients may share"),
            followers: families.one(
                "followers",
                "Clients reading a zip that is still being fetched",
            ),
            files: families.one("store_files", "Files kept"),
            bytes: families.in_unit("store_size", "Size of the files kept", Unit::Bytes),
            rejected: families.one("rejected", "Fetched files that failed verification"),
            unkept: families.one("unkept", "Verified files that were not kept"),
            refreshes: families.one(
                "background_refreshes",
                "Answers asked for again before they got old",
            ),
            unsettled: families.one(
                "unsettled_files",
                "Files served although their checksum database could not be reached, and not verified since",
            ),
            prefetch: PrefetchMetrics::register(families),
            limits: LimitMetrics::register(families),
        }
    }
}

/// What became of a prefetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrefetchOutcome {
    /// It is made.
    Made,
    /// Somebody has asked for it.
    Used,
    /// Nobody has, for long.
    Wasted,
    /// It could not be had.
    Failed,
}

impl EncodeLabelValue for PrefetchOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        let word = match self {
            PrefetchOutcome::Made => "made",
            PrefetchOutcome::Used => "used",
            PrefetchOutcome::Wasted => "wasted",
            PrefetchOutcome::Failed => "failed",
        };
        word.encode(encoder)
    }
}

/// Metrics of what is fetched before it is asked for.
#[derive(Clone, Default)]
pub struct PrefetchMetrics {
    outcomes: Family<PrefetchLabels, Counter>,
    /// Bytes of prefetched files that nobody has asked for yet.
    pub bytes: Gauge,
}

impl PrefetchMetrics {
    fn register(families: &mut Families) -> Self {
        PrefetchMetrics {
            outcomes: families.labelled(
                "prefetches",
                "Files fetched before anybody asked for them, and what became of that",
            ),
            bytes: families.in_unit(
                "prefetch_unused",
                "Size of prefetched files that nobody has asked for yet",
                Unit::Bytes,
            ),
        }
    }

    /// Counts a prefetch of a kind of file (`info`, `mod`, `zip`) with what became of it.
    pub fn count(&self, kind: &'static str, outcome: PrefetchOutcome) {
        let labels = PrefetchLabels { kind, outcome };
        self.outcomes.get_or_create(&labels).inc();
    }

    /// How often that was counted.
    #[cfg(test)]
    pub fn counted(&self, kind: &'static str, outcome: PrefetchOutcome) -> u64 {
        let labels = PrefetchLabels { kind, outcome };
        self.outcomes.get_or_create(&labels).get()
    }
}
