//! Of direct mode.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::families::{Families, Histograms, of_fetches};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectLabels {
    what: &'static str,
    outcome: &'static str,
}

/// Metrics of direct mode.
#[derive(Clone)]
pub struct DirectMetrics {
    seconds: Histograms<DirectLabels>,
    /// Git processes that are running.
    pub processes: Gauge,
    /// Bytes of all mirrors, as last counted.
    pub mirrors: Gauge,
}

impl DirectMetrics {
    pub(super) fn register(families: &mut Families) -> Self {
        DirectMetrics {
            seconds: families.seconds(
                "direct_fetch",
                "Requests to git hosts: pages, references, trees, histories",
                of_fetches,
            ),
            processes: families.one("direct_git_processes", "Git processes that are running"),
            mirrors: families.in_unit(
                "direct_mirrors",
                "Size of all mirrors of repositories, as last counted",
                Unit::Bytes,
            ),
        }
    }

    /// A git host was asked for something; `what` and `outcome` are each one of a few fixed words.
    pub fn asked(&self, what: &'static str, outcome: &'static str, took: Duration) {
        let labels = DirectLabels { what, outcome };
        let seconds = self.seconds.get_or_create(&labels);
        seconds.observe(took.as_secs_f64());
    }
}
