//! Of the audit log.

use prometheus_client::metrics::counter::Counter;

use super::families::Families;

/// Metrics of the audit log.
#[derive(Clone)]
pub struct AuditMetrics {
    /// Lines that were not written, looked up when somebody reads them.
    pub lost: Counter,
    /// How often its file could not be written or opened anew.
    pub failures: Counter,
}

impl AuditMetrics {
    pub(super) fn register(families: &mut Families) -> Self {
        AuditMetrics {
            lost: families.one(
                "audit_lost",
                "Lines of the audit log that were not written, because too many waited or the file took none",
            ),
            failures: families.one(
                "audit_write_failures",
                "How often the file of the audit log could not be written or opened anew",
            ),
        }
    }
}
