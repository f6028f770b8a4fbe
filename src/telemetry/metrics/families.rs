//! Registers families: one call defines, documents and registers one.

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

/// What a label set must be.
pub(super) trait Labels:
    Clone + std::fmt::Debug + std::hash::Hash + Eq + EncodeLabelSet + Send + Sync + 'static
{
}

impl<T> Labels for T where
    T: Clone + std::fmt::Debug + std::hash::Hash + Eq + EncodeLabelSet + Send + Sync + 'static
{
}

/// A family of histograms.
pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Where owners register their families.
pub(super) struct Families(pub(super) Registry);

impl Families {
    /// One metric or family, made here.
    pub(super) fn one<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    /// The same, in a unit, which is a part of its name.
    pub(super) fn in_unit<M: Metric + Clone + Default>(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
    ) -> M {
        let metric = M::default();
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }

    /// Metrics by labels.
    pub(super) fn labelled<L: Labels, M>(&mut self, name: &str, help: &str) -> Family<L, M>
    where
        M: Default + TypedMetric + EncodeMetric + std::fmt::Debug + Send + Sync + 'static,
    {
        let family = Family::default();
        self.0.register(name, help, Family::clone(&family));
        family
    }

    /// The same, in a unit.
    pub(super) fn labelled_in_unit<L: Labels, M>(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
    ) -> Family<L, M>
    where
        M: Default + TypedMetric + EncodeMetric + std::fmt::Debug + Send + Sync + 'static,
    {
        let family = Family::default();
        self.0
            .register_with_unit(name, help, unit, Family::clone(&family));
        family
    }

    /// Times by labels.
    pub(super) fn seconds<L: Labels>(
        &mut self,
        name: &str,
        help: &str,
        buckets: fn() -> Histogram,
    ) -> Histograms<L> {
        let family = Family::new_with_constructor(buckets);
        self.0
            .register_with_unit(name, help, Unit::Seconds, Histograms::clone(&family));
        family
    }
}

/// Buckets for what a network takes part in.
pub(super) fn of_fetches() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0, 120.0,
    ])
}
