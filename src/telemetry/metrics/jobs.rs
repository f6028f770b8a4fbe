//! Of the jobs in the background.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::families::Families;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    job: &'static str,
}

/// Metrics of jobs.
#[derive(Clone)]
pub struct JobMetrics {
    restarts: Family<JobLabels, Counter>,
}

impl JobMetrics {
    pub(super) fn register(families: &mut Families) -> Self {
        JobMetrics {
            restarts: families.labelled(
                "job_restarts",
                "How often a job in the background was started again because it had died",
            ),
        }
    }

    /// The counter of one job, which is shown from now on.
    pub fn restarts(&self, job: &'static str) -> Counter {
        self.restarts.get_or_create_owned(&JobLabels { job })
    }
}
