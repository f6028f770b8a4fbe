//! How fast one client may ask, and how fast it is answered.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Engine;
use super::context::RequestContext;
use super::error::EngineError;
use crate::clock::SharedClock;
use crate::kit::{ClientId, Pace};
use crate::policy::ClientLimits;
use crate::telemetry::metrics::{Limit, LimitMetrics};

/// A request for what has to be fetched counts as so many hits.
const MISS: u32 = 16;
/// How far ahead of its rate a client may be.
const BURST: Duration = Duration::from_secs(2);
/// One thing costs no more than this, however low the rate is.
const MOST: Duration = Duration::from_secs(3600);
/// A body goes out in pieces of a tenth of a second, between these sizes. Bytes.
const PIECE: std::ops::RangeInclusive<u64> = 1 << 10..=64 << 10;

impl Engine {
    /// Takes what a request takes that is a hit, and waits if its client asks for more than it may.
    ///
    /// # Errors
    /// If it would have to wait for longer than may be.
    pub async fn pace_request(&self, context: &RequestContext) -> Result<(), EngineError> {
        match context.rules.limits.exempt(&context.caller) {
            true => Ok(()),
            false => self.pace(context, 1).await,
        }
    }

    /// The same for what a miss takes besides.
    pub(super) async fn pace_miss(&self, context: &RequestContext) -> Result<(), EngineError> {
        self.pace(context, MISS - 1).await
    }

    async fn pace(&self, context: &RequestContext, hits: u32) -> Result<(), EngineError> {
        let limits = &context.rules.limits;
        let (Some(cost), Some(client)) = (cost_of_hits(limits, hits), context.limited_as()) else {
            return Ok(());
        };
        let pace = self.request_paces.of(client);
        let now = self.clock.instant();
        match pace.take(cost, BURST.max(cost), limits.queue, now) {
            Ok(Duration::ZERO) => Ok(()),
            Ok(wait) => {
                let _delayed = self.metrics.limits.delayed(Limit::Requests);
                let _waits = pace.waits();
                sleep(wait).await;
                Ok(())
            }
            Err(wait) => Err(self.over_limit(context, Limit::Requests, pace.waiting() + 1, wait)),
        }
    }

    /// Takes what a hit of so many bytes takes, for whoever comes from there and has shown nothing; false if they would
    /// have to wait.
    pub fn take_at_once(&self, limits: &ClientLimits, from: Option<IpAddr>, bytes: u64) -> bool {
        if from.is_some_and(|from| limits.exempt_address(from)) {
            return true;
        }
        let client = ClientId::new(from, None);
        let now = self.clock.instant();
        let taken = |pace: Arc<Pace>, cost: Duration| {
            pace.take(cost, BURST.max(cost), Duration::ZERO, now)
                .is_ok()
        };
        cost_of_hits(limits, 1).is_none_or(|cost| taken(self.request_paces.of(client), cost))
            && cost_of_bytes(limits.bytes_per_second, bytes)
                .is_none_or(|cost| taken(self.byte_paces.of(client), cost))
    }

    /// How fast the body of an answer to this request goes out, if that is limited.
    pub fn body_pace(&self, context: &RequestContext) -> Option<BodyPace> {
        let limits = &context.rules.limits;
        let limited = limits.bytes_per_second > 0 && !limits.exempt(&context.caller);
        let client = context.limited_as().filter(|_| limited)?;
        Some(BodyPace {
            pace: self.byte_paces.of(client),
            rate: limits.bytes_per_second,
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.limits.clone(),
        })
    }
}

fn cost_of_hits(limits: &ClientLimits, hits: u32) -> Option<Duration> {
    let rate = limits.requests_per_second;
    (rate > 0).then(|| cost(f64::from(hits) / (f64::from(rate) * f64::from(MISS))))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "nobody sees the last digits of a time"
)]
fn cost_of_bytes(rate: u64, bytes: u64) -> Option<Duration> {
    (rate > 0).then(|| cost(bytes as f64 / rate as f64))
}

fn cost(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).map_or(MOST, |cost| cost.min(MOST))
}

/// How fast the bodies go out that one client is sent.
pub struct BodyPace {
    pace: Arc<Pace>,
    rate: u64,
    clock: SharedClock,
    metrics: LimitMetrics,
}

impl BodyPace {
    /// How much goes out at once. Bytes.
    pub fn piece(&self) -> usize {
        // At most 64 KiB.
        (self.rate / 10).clamp(*PIECE.start(), *PIECE.end()) as usize
    }

    /// How long to wait before so many bytes go out.
    pub fn take(&self, bytes: usize) -> Duration {
        let cost = cost_of_bytes(self.rate, bytes as u64).unwrap_or_default();
        let taken = self
            .pace
            .take(cost, BURST.max(cost), Duration::MAX, self.clock.instant());
        taken.unwrap_or_default()
    }

    /// A body has to wait for the first time.
    pub fn delays(&self) {
        drop(self.metrics.delayed(Limit::Bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_things_cost() {
        let limits = ClientLimits {
            requests_per_second: 10,
            ..ClientLimits::default()
        };
        let of_hits = |hits| cost_of_hits(&limits, hits).unwrap();
        assert_eq!(of_hits(MISS), Duration::from_millis(100));
        assert_eq!(of_hits(1), Duration::from_micros(6250));
        assert_eq!(cost_of_hits(&ClientLimits::default(), 1), None);
        assert_eq!(cost_of_bytes(0, 1), None);
        assert_eq!(cost_of_bytes(1000, 500), Some(Duration::from_millis(500)));
        assert_eq!(cost_of_bytes(1, u64::MAX), Some(MOST));
    }
}
