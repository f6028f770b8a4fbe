//! Of checksum databases.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::families::Families;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SumdbLabels {
    database: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DatabaseLabels {
    database: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlarmLabels {
    database: String,
    kind: &'static str,
}

/// Metrics of one checksum database.
#[derive(Clone)]
pub struct SumdbMetrics {
    database: String,
    asked: Family<SumdbLabels, Counter>,
    /// Records in the latest verified tree.
    pub size: Gauge,
    /// When a verified answer last came. Seconds since 1970; 0 before the first.
    pub heard: Gauge,
    /// 1 while there is a fork that no operator has acknowledged.
    pub fork: Gauge,
    /// 1 while there is a forged tile that no operator has acknowledged.
    pub inconsistent: Gauge,
}

impl SumdbMetrics {
    /// The database was asked for a record or a tree head; `outcome` is one of a few fixed words.
    pub fn asked(&self, outcome: &'static str) {
        let labels = SumdbLabels {
            database: self.database.clone(),
            outcome: outcome.to_owned(),
        };
        self.asked.get_or_create(&labels).inc();
    }
}

/// Metrics of all checksum databases.
pub(super) struct Databases {
    asked: Family<SumdbLabels, Counter>,
    size: Family<DatabaseLabels, Gauge>,
    heard: Family<DatabaseLabels, Gauge>,
    alarms: Family<AlarmLabels, Gauge>,
}

impl Databases {
    pub(super) fn register(families: &mut Families) -> Self {
        Databases {
            asked: families.labelled(
                "sumdb_asked",
                "Records and tree heads asked of a checksum database",
            ),
            size: families.labelled(
                "sumdb_tree_size",
                "Records in the latest verified tree of a checksum database",
            ),
            heard: families.labelled_in_unit(
                "sumdb_last_contact",
                "When a verified answer last came from a checksum database, since 1970; 0 before the first",
                Unit::Seconds,
            ),
            alarms: families.labelled(
                "sumdb_alarms",
                "1 while something was noticed about a checksum database that no operator has acknowledged",
            ),
        }
    }

    /// Handles for one.
    pub(super) fn of(&self, name: &str) -> SumdbMetrics {
        let labels = DatabaseLabels {
            database: name.to_owned(),
        };
        let alarm = |kind| {
            let database = name.to_owned();
            let labels = AlarmLabels { database, kind };
            self.alarms.get_or_create(&labels).clone()
        };
        SumdbMetrics {
            database: name.to_owned(),
            asked: self.asked.clone(),
            size: self.size.get_or_create(&labels).clone(),
            heard: self.heard.get_or_create(&labels).clone(),
            fork: alarm("fork"),
            inconsistent: alarm("inconsistent"),
        }
    }
}
