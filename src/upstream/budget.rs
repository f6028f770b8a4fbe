//! A budget for retries: a share of the requests made, and a floor, so that retries never multiply an outage.

use std::time::Instant;

use parking_lot::Mutex;

use crate::clock::SharedClock;

/// Retries allowed per request made.
const SHARE: f64 = 0.2;
/// Retries allowed per second whatever was asked.
const FLOOR: f64 = 10.0;
/// Retries that can be saved up.
const MOST: f64 = 100.0;

/// A token bucket.
pub struct Budget {
    clock: SharedClock,
    state: Mutex<State>,
}

struct State {
    tokens: f64,
    at: Instant,
}

impl Budget {
    /// With a second's worth of retries.
    pub fn new(clock: SharedClock) -> Self {
        let at = clock.instant();
        Budget {
            clock,
            state: Mutex::new(State { tokens: FLOOR, at }),
        }
    }

    /// A fetch begins: it earns a part of a retry.
    pub fn earn(&self) {
        let mut state = self.state.lock();
        state.tokens = (state.tokens + SHARE).min(MOST);
    }

    /// Takes a retry out of the budget; false if there is none left.
    pub fn spend(&self) -> bool {
        let now = self.clock.instant();
        let mut state = self.state.lock();
        let earned = now.saturating_duration_since(state.at).as_secs_f64() * FLOOR;
        state.at = now;
        // Time alone fills it up to the floor only.
        if state.tokens < FLOOR {
            state.tokens = (state.tokens + earned).min(FLOOR);
        }
        if state.tokens < 1.0 {
            return false;
        }
        state.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use std::sync::Arc;

    #[test]
    fn spends_what_it_earned() {
        let budget = Budget::new(Arc::new(SystemClock));
        let at_once = (0..1000).filter(|_| budget.spend()).count();
        assert!((10..20).contains(&at_once), "{at_once}");
        for _ in 0..100 {
            budget.earn();
        }
        let earned = (0..1000).filter(|_| budget.spend()).count();
        assert!((20..31).contains(&earned), "{earned}");
    }
}
