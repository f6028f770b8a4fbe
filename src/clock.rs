//! The only place that reads the time. Everything else is handed a [`Clock`], so that tests can say what time it is.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z, as kept in the index.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How long ago `earlier` was; zero when it lies in the future (clocks step back).
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// So much later.
    pub fn plus(self, time: Duration) -> Timestamp {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(millis))
    }

    /// As RFC 3339 has it, to the second: `2026-11-21T16:04:05Z`. Times after the year 9999 become its end.
    pub fn rfc3339(self) -> String {
        format!("{:.0}", self.civil())
    }

    /// The same to the millisecond.
    pub fn rfc3339_millis(self) -> String {
        format!("{:.3}", self.civil())
    }

    fn civil(self) -> jiff::Timestamp {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// Tells the time of day, and a monotonic time for measuring.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time.
    fn now(&self) -> Timestamp;
    /// Monotonic time: for durations and deadlines.
    fn instant(&self) -> Instant;
}

/// A clock as it is passed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    #[allow(clippy::disallowed_methods)]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that moves when a test says so.
#[cfg(test)]
pub struct Manual {
    begun: Instant,
    start: Timestamp,
    passed: std::sync::atomic::AtomicU64,
}

#[cfg(test)]
impl Manual {
    /// Stands at this time.
    #[allow(clippy::disallowed_methods, reason = "where it begins does not matter")]
    pub fn at(start: Timestamp) -> Self {
        Manual {
            begun: Instant::now(),
            start,
            passed: 0.into(),
        }
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.passed
            .fetch_add(millis, std::sync::atomic::Ordering::SeqCst);
    }

    fn passed(&self) -> u64 {
        self.passed.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[cfg(test)]
impl Clock for Manual {
    fn now(&self) -> Timestamp {
        Timestamp(self.start.0 + self.passed())
    }

    fn instant(&self) -> Instant {
        self.begun + Duration::from_millis(self.passed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_gives_no_age() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(
            Timestamp(1_500).since(Timestamp(500)),
            Duration::from_secs(1)
        );
    }
}
