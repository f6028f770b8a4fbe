//! Of the configuration.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::families::Families;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// Metrics of the configuration in force.
#[derive(Clone)]
pub struct ReloadMetrics {
    taken: Counter,
    refused: Counter,
    successful: Gauge,
    at: Gauge,
    generation: Gauge,
}

impl ReloadMetrics {
    pub(super) fn register(families: &mut Families) -> Self {
        let reloads: Family<ResultLabels, Counter> = families.labelled(
            "config_reloads",
            "How often the configuration was read again, by whether it was put in force",
        );
        let of = |result| reloads.get_or_create_owned(&ResultLabels { result });
        ReloadMetrics {
            taken: of("ok"),
            refused: of("failed"),
            successful: families.one(
                "config_last_reload_successful",
                "1 if the configuration that was read last is in force, 0 if it was refused",
            ),
            at: families.in_unit(
                "config_last_reload_success_timestamp",
                "When a configuration was last put in force",
                Unit::Seconds,
            ),
            generation: families.one(
                "config_generation",
                "Which rules are in force, counted from 1 at the start",
            ),
        }
    }

    /// A configuration is in force since `at`, in seconds since 1970. The first one is no reload.
    pub fn in_force(&self, generation: u64, at: u64) {
        let signed = |value| i64::try_from(value).unwrap_or(i64::MAX);
        self.successful.set(1);
        self.at.set(signed(at));
        self.generation.set(signed(generation));
    }

    /// It was read again, and is in force.
    pub fn taken(&self) {
        self.taken.inc();
    }

    /// What was read is not put in force.
    pub fn refused(&self) {
        self.refused.inc();
        self.successful.set(0);
    }
}
