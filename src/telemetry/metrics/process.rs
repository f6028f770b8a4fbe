//! Of the process and its disk.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::families::Families;

/// Metrics that are looked up when somebody reads them.
#[derive(Clone, Default)]
pub struct ProcessMetrics {
    /// Log lines dropped because the log was not read fast enough.
    pub log_dropped: Counter,
    /// Free bytes of the store's disk.
    pub disk_free: Gauge,
    /// 1 while less than the reserve is free.
    pub disk_low: Gauge,
    /// Bytes of files that are still arriving or being checked.
    pub temporary: Gauge,
    /// Bytes of the memory tier.
    pub hot: Gauge,
    /// Open descriptors.
    pub descriptors: Gauge,
}

impl ProcessMetrics {
    pub(super) fn register(families: &mut Families) -> Self {
        ProcessMetrics {
            log_dropped: families.one("log_dropped_lines", "Log lines dropped so far"),
            disk_free: families.in_unit("disk_free", "Free space on the store's disk", Unit::Bytes),
            disk_low: families.one(
                "disk_low",
                "1 while less than the reserve is free and nothing more is kept",
            ),
            temporary: families.in_unit(
                "temporary",
                "Files still arriving or being checked",
                Unit::Bytes,
            ),
            hot: families.in_unit(
                "memory_tier",
                "Ready answers in memory, open files counted as if they were",
                Unit::Bytes,
            ),
            descriptors: families.one("open_descriptors", "Open file descriptors"),
        }
    }
}
