//! A circuit breaker: after repeated outages an upstream, or a git host, is left alone for a while, then tried with one
//! request.
//!
//! It counts whole fetches after their retries. What one module alone can do is limited: fetches that hang count at
//! most one short of the threshold for each module, and a fetch that fails although others have succeeded since it
//! began says nothing about the upstream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::SharedClock;

/// When to stop and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerSettings {
    /// Failed fetches in a row that open it.
    pub failures: u32,
    /// Within which time.
    pub window: Duration,
    /// How long it stays open.
    pub open_for: Duration,
}

/// What a breaker does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All requests pass.
    Closed,
    /// None passes.
    Open,
    /// One passes, to see.
    HalfOpen,
}

impl BreakerState {
    /// A word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        }
    }

    /// For the gauge: 0 closed, 1 half-open, 2 open.
    pub fn number(self) -> i64 {
        match self {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        }
    }
}

/// Counts outages of one upstream.
pub struct Breaker {
    settings: BreakerSettings,
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: VecDeque<Failed>,
    last_success: Option<Instant>,
    open_until: Option<Instant>,
    /// Since when a request is trying whether it is well again.
    probing: Option<Instant>,
    paused_until: Option<Instant>,
}

struct Failed {
    at: Instant,
    /// Whose fetch hung, if it hung.
    hung: Option<Arc<str>>,
}

/// A pass for one fetch.
#[derive(Debug)]
pub struct Pass {
    began: Instant,
    probe: bool,
}

/// Why there is no pass.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The breaker is open for this long.
    Open(Duration),
    /// The upstream asked for a pause of this long.
    Paused(Duration),
}

/// A probe that has not reported within this time is taken for lost (its task ended), and another may try.
const PROBE_LOST: Duration = Duration::from_secs(60);

impl Breaker {
    /// Closed.
    pub fn new(settings: BreakerSettings, clock: SharedClock) -> Self {
        Breaker {
            settings,
            clock,
            state: Mutex::default(),
        }
    }

    /// Asks to start a fetch.
    pub fn pass(&self) -> Result<Pass, Stopped> {
        let now = self.clock.instant();
        let mut state = self.state.lock();
        if let Some(until) = state.paused_until {
            if now < until {
                return Err(Stopped::Paused(until - now));
            }
            state.paused_until = None;
        }
        let Some(until) = state.open_until else {
            return Ok(Pass {
                began: now,
                probe: false,
            });
        };
        if now < until {
            return Err(Stopped::Open(until - now));
        }
        if state.probing.is_some_and(|since| now - since < PROBE_LOST) {
            return Err(Stopped::Open(Duration::from_secs(1)));
        }
        state.probing = Some(now);
        Ok(Pass {
            began: now,
            probe: true,
        })
    }

    /// Whether a fetch would be stopped now; takes nothing.
    pub fn stopped(&self) -> Option<Stopped> {
        let now = self.clock.instant();
        let state = self.state.lock();
        match (state.paused_until, state.open_until) {
            (Some(until), _) if now < until => Some(Stopped::Paused(until - now)),
            (_, Some(until)) if now < until => Some(Stopped::Open(until - now)),
            _ => None,
        }
    }

    /// A request has got the head of a success: if that is the probe, its body, which may take minutes, need not be
    /// waited for.
    pub fn answers(&self) {
        let mut state = self.state.lock();
        if state.probing.take().is_some() {
            state.open_until = None;
            state.failures.clear();
        }
    }

    /// When the upstream last answered sensibly.
    pub fn last_success(&self) -> Option<Instant> {
        self.state.lock().last_success
    }

    /// The upstream answered sensibly, be it 404.
    pub fn success(&self, _pass: &Pass) {
        let now = self.clock.instant();
        let mut state = self.state.lock();
        state.failures.clear();
        state.last_success = Some(now);
        state.open_until = None;
        state.probing = None;
    }

    /// The fetch failed in a way that speaks of an outage. `hung` names the module if it ran out of time.
    pub fn failure(&self, pass: &Pass, hung: Option<&str>) {
        let now = self.clock.instant();
        let mut state = self.state.lock();
        if pass.probe && state.probing.is_some() {
            state.probing = None;
            state.open_until = Some(now + self.settings.open_for);
            return;
        }
        if state.open_until.is_some() || state.last_success.is_some_and(|at| at > pass.began) {
            return;
        }
        let window = self.settings.window;
        state.failures.retain(|failed| now - failed.at < window);
        let threshold = self.settings.failures as usize;
        if let Some(module) = hung {
            let same = state
                .failures
                .iter()
                .filter(|failed| failed.hung.as_deref() == Some(module))
                .count();
            if same + 1 >= threshold.max(2) {
                return;
            }
        }
        state.failures.push_back(Failed {
            at: now,
            hung: hung.map(Arc::from),
        });
        if state.failures.len() >= threshold {
            state.failures.clear();
            state.open_until = Some(now + self.settings.open_for);
        }
    }

    /// The fetch ended in a way that says nothing.
    pub fn neutral(&self, pass: &Pass) {
        if pass.probe {
            self.state.lock().probing = None;
        }
    }

    /// The upstream asked to be left alone.
    pub fn pause(&self, time: Duration) {
        let until = self.clock.instant() + time;
        let mut state = self.state.lock();
        state.paused_until = Some(state.paused_until.map_or(until, |old| old.max(until)));
    }

    /// At the moment.
    pub fn state(&self) -> BreakerState {
        let now = self.clock.instant();
        match self.state.lock().open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Millis};

    struct Hand(Mutex<Instant>);

    impl Clock for Hand {
        fn now(&self) -> Millis {
            Millis(0)
        }
        fn instant(&self) -> Instant {
            *self.0.lock()
        }
    }

    fn breaker() -> (Breaker, Arc<Hand>) {
        #[allow(clippy::disallowed_methods)]
        let hand = Arc::new(Hand(Mutex::new(Instant::now())));
        let settings = BreakerSettings {
            failures: 5,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(15),
        };
        (Breaker::new(settings, hand.clone()), hand)
    }

    fn later(hand: &Hand, seconds: u64) {
        *hand.0.lock() += Duration::from_secs(seconds);
    }

    #[test]
    fn opens_tries_with_one_and_closes() {
        let (breaker, hand) = breaker();
        for _ in 0..5 {
            assert_eq!(breaker.state(), BreakerState::Closed);
            let pass = breaker.pass().unwrap();
            breaker.failure(&pass, None);
        }
        assert_eq!(
            breaker.pass().unwrap_err(),
            Stopped::Open(Duration::from_secs(15))
        );
        later(&hand, 15);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        let probe = breaker.pass().unwrap();
        assert!(breaker.pass().is_err(), "one at a time");
        breaker.failure(&probe, None);
        assert_eq!(breaker.state(), BreakerState::Open);
        later(&hand, 15);
        let probe = breaker.pass().unwrap();
        breaker.success(&probe);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(breaker.pass().is_ok());
    }

    #[test]
    fn failures_far_apart_or_with_success_between_do_not_open() {
        let (breaker, hand) = breaker();
        for _ in 0..20 {
            let pass = breaker.pass().unwrap();
            breaker.failure(&pass, None);
            later(&hand, 4);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        for _ in 0..20 {
            let pass = breaker.pass().unwrap();
            breaker.failure(&pass, None);
            let pass = breaker.pass().unwrap();
            breaker.success(&pass);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn one_hanging_module_does_not_open_it() {
        let (breaker, _hand) = breaker();
        let passes: Vec<_> = (0..30).map(|_| breaker.pass().unwrap()).collect();
        for pass in &passes {
            breaker.failure(pass, Some("example.com/hangs"));
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.failure(&passes[0], Some("example.com/other"));
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn a_failure_that_began_before_a_success_says_nothing() {
        let (breaker, hand) = breaker();
        let old: Vec<_> = (0..9).map(|_| breaker.pass().unwrap()).collect();
        later(&hand, 1);
        let pass = breaker.pass().unwrap();
        breaker.success(&pass);
        later(&hand, 1);
        for pass in &old {
            breaker.failure(pass, None);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_probe_that_gets_a_head_lets_the_others_through() {
        let (breaker, hand) = breaker();
        for _ in 0..5 {
            breaker.failure(&breaker.pass().unwrap(), None);
        }
        later(&hand, 15);
        let probe = breaker.pass().unwrap();
        assert!(breaker.pass().is_err());
        breaker.answers();
        assert!(breaker.pass().is_ok());
        breaker.failure(&probe, None);
        assert_eq!(
            breaker.state(),
            BreakerState::Closed,
            "counted like any other by then"
        );
    }

    #[test]
    fn a_lost_probe_is_replaced() {
        let (breaker, hand) = breaker();
        for _ in 0..5 {
            breaker.failure(&breaker.pass().unwrap(), None);
        }
        later(&hand, 15);
        breaker.pass().unwrap();
        assert!(breaker.pass().is_err());
        later(&hand, 60);
        assert!(breaker.pass().is_ok());
    }
}
