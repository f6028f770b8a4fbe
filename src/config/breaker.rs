//! `[breaker]`: when an upstream that keeps failing is left alone for a while.

use std::time::Duration;

use super::codec::{Codec, count, duration};
use super::section::section;

section! {
    /// When an upstream that keeps failing is left alone for a while.
    pub struct Breaker = "breaker" {
        /// So many fetches must fail, each after its retries; 403, 404 and 410 are no failures.
        failures: u32 = 5 => count(1, 1_000_000);

        /// They count if they fail within this time.
        window: Duration = "10s" => span();

        /// For so long the upstream is not asked; then one fetch tries it again.
        open_for: Duration = "15s" => span();
    }
}

fn span() -> impl Codec<Value = Duration> {
    duration().between(Duration::from_millis(1), Duration::from_hours(1))
}
