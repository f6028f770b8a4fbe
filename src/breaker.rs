//! A circuit breaker: after repeated outages an upstream, or a git host, is left alone for a while, then tried with one
//! request.
//!
//! It counts whole fetches after their retries. What one module alone can do is limited: fetches that hang count at
//! most one short of the threshold for each module, and a fetch that fails although others have succeeded since it
//! began says nothing about the upstream. What strangers name says little: if fetches of it hang, that is a doubt, and
//! enough doubts are a reason to find out with what it has answered before. While requests pass, what that brings counts
//! as any other fetch does; if it fails, doubts count as well until something succeeds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::{SharedClock, Timestamp};

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

/// Counts outages of one upstream, and remembers how it is.
pub struct Breaker {
    /// Whose it is, as the log names it: `upstream proxy.example.com`.
    name: String,
    settings: BreakerSettings,
    clock: SharedClock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    failures: VecDeque<Failed>,
    /// When fetches hung of what strangers have named.
    doubts: VecDeque<Instant>,
    last_success: Option<Instant>,
    open_until: Option<Instant>,
    /// When it was last found out in vain with what it has answered before.
    confirmed: Option<Instant>,
    /// Who is trying whether it is well again.
    probing: Option<Probing>,
    /// Probes that there have been.
    probes: u64,
    paused_until: Option<Instant>,
    /// For people.
    answered: Option<Timestamp>,
    last_error: Option<(Timestamp, Arc<str>)>,
    /// What has failed since it last answered well.
    outage: Option<Outage>,
    /// When the log last said that it answers again.
    told: Option<Instant>,
}

#[derive(Debug)]
struct Failed {
    at: Instant,
    /// Whose fetch hung, if it hung.
    hung: Option<Arc<str>>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    failed: u64,
    /// Whether the log has said that it is left alone.
    told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Probing {
    /// Its own, so that it is not taken for a later one.
    number: u64,
    since: Instant,
}

/// A pass for one fetch. Dropped without a report it says nothing, and a probe makes room for the next one.
#[derive(Debug)]
pub struct Pass {
    began: Instant,
    probe: Option<(u64, Arc<Mutex<State>>)>,
}

impl Pass {
    /// Whether it finds out how the upstream is.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some((number, state)) = &self.probe {
            state.lock().ends_probe(*number);
        }
    }
}

/// Why there is no pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The breaker is open.
    Open {
        /// For this long.
        left: Duration,
        /// What failed last.
        lastly: Option<Arc<str>>,
    },
    /// The upstream asked for a pause of this long.
    Paused(Duration),
}

/// How an upstream is, for people and metrics.
#[derive(Clone, Debug)]
pub struct BreakerReport {
    /// Whether requests are let through.
    pub breaker: BreakerState,
    /// For how long it wants to be left alone, if it does.
    pub paused: Option<Duration>,
    pub paused_until: Option<Timestamp>,
    /// When it last answered well, be it with 404.
    pub last_success: Option<Timestamp>,
    /// What last went wrong, and when.
    pub last_error: Option<(Timestamp, Arc<str>)>,
    /// Whether that was after the last success.
    pub failing: bool,
}

impl BreakerReport {
    /// All of it in a word.
    pub fn word(&self) -> &'static str {
        match self.breaker {
            _ if self.paused.is_some() => "paused",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
            BreakerState::Closed if self.failing => "failing",
            BreakerState::Closed if self.last_success.is_none() => "not asked yet",
            BreakerState::Closed => "ok",
        }
    }
}

/// A probe that has not reported within this time takes too long, and another may try.
const PROBE_LOST: Duration = Duration::from_secs(60);
/// That something answers again without having been left alone is told at most so often.
const TELL_AGAIN: Duration = Duration::from_secs(10);

impl Breaker {
    /// Closed. `name` says in the log whose it is.
    pub fn new(name: impl Into<String>, settings: BreakerSettings, clock: SharedClock) -> Self {
        Breaker {
            name: name.into(),
            settings,
            clock,
            state: Arc::default(),
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
                probe: None,
            });
        };
        if now < until {
            return Err(state.open(until - now));
        }
        if state.is_tried(now) {
            return Err(state.open(Duration::from_secs(1)));
        }
        let pass = self.begins_probe(&mut state, now);
        drop(state);
        tracing::info!(
            "{} is tried again with one request (breaker half-open)",
            self.name
        );
        Ok(pass)
    }

    fn begins_probe(&self, state: &mut State, now: Instant) -> Pass {
        state.probes += 1;
        let number = state.probes;
        state.probing = Some(Probing { number, since: now });
        Pass {
            began: now,
            probe: Some((number, Arc::clone(&self.state))),
        }
    }

    /// A pass to find out how it is: half-open it decides, closed it counts as any other. None while somebody is at it, or
    /// while it is left alone.
    pub fn probe(&self) -> Option<Pass> {
        let now = self.clock.instant();
        let mut state = self.state.lock();
        let left_alone = [state.paused_until, state.open_until];
        let is_left_alone = left_alone.iter().flatten().any(|until| now < *until);
        if is_left_alone || state.is_tried(now) {
            return None;
        }
        Some(self.begins_probe(&mut state, now))
    }

    /// Whether it was found out in vain how it is, and nothing has succeeded since: then what hangs is no longer doubted.
    pub fn is_confirmed(&self) -> bool {
        let now = self.clock.instant();
        let state = self.state.lock();
        let lately = |at| now - at < self.settings.window;
        state.confirmed.is_some_and(lately)
    }

    /// Whether a fetch would be stopped now; takes nothing.
    pub fn stopped(&self) -> Option<Stopped> {
        let now = self.clock.instant();
        let state = self.state.lock();
        match (state.paused_until, state.open_until) {
            (Some(until), _) if now < until => Some(Stopped::Paused(until - now)),
            (_, Some(until)) if now < until => Some(state.open(until - now)),
            _ => None,
        }
    }

    /// A request has got the head of a success: if that is the probe, its body, which may take minutes, need not be
    /// waited for.
    pub fn answers(&self) {
        let now = self.clock.instant();
        let mut state = self.state.lock();
        if state.probing.take().is_some() {
            state.open_until = None;
            state.confirmed = None;
            state.failures.clear();
            let recovery = state.recovers(now, self.clock.now());
            drop(state);
            self.tell(recovery);
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
        state.doubts.clear();
        state.confirmed = None;
        state.last_success = Some(now);
        state.open_until = None;
        state.probing = None;
        let recovery = state.recovers(now, self.clock.now());
        drop(state);
        self.tell(recovery);
    }

    /// The fetch failed in a way that speaks of an outage, for this `reason`. `hung` names the module if it ran out of
    /// time.
    pub fn failure(&self, pass: &Pass, hung: Option<&str>, reason: &str) {
        let now = self.clock.instant();
        let mut state = self.state.lock();
        state.fails(now, self.clock.now(), reason);
        if !self.counts(&mut state, now, pass, hung) {
            return;
        }
        state.open_until = Some(now + self.settings.open_for);
        let failed = state.outage.as_mut().map_or(0, |outage| {
            outage.told = true;
            outage.failed
        });
        drop(state);
        tracing::warn!(
            reason,
            failed,
            "{} is failing and is not asked for {} s (breaker open)",
            self.name,
            self.settings.open_for.as_secs_f32().ceil()
        );
    }

    /// The fetch hung, of something of which nobody knows whether it is to be had at all. Says whether that has happened
    /// so often that somebody should find out how it is.
    pub fn doubt(&self, pass: &Pass, reason: &str) -> bool {
        let now = self.clock.instant();
        let mut state = self.state.lock();
        state.fails(now, self.clock.now(), reason);
        if state.open_until.is_some() || state.has_succeeded_since(pass) {
            return false;
        }
        let window = self.settings.window;
        state.doubts.retain(|at| now - *at < window);
        state.doubts.push_back(now);
        let enough = state.doubts.len() >= self.settings.failures as usize;
        if enough {
            state.doubts.clear();
        }
        enough
    }

    /// Whether a failure opens the breaker.
    fn counts(&self, state: &mut State, now: Instant, pass: &Pass, hung: Option<&str>) -> bool {
        let probe = pass.probe.as_ref();
        let was_probing = probe.is_some_and(|(number, _)| state.ends_probe(*number));
        // Half-open the probe decides, and nothing else does.
        if state.open_until.is_some() {
            return was_probing;
        }
        if state.has_succeeded_since(pass) {
            return false;
        }
        if was_probing {
            state.confirmed = Some(now);
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
                return false;
            }
        }
        state.failures.push_back(Failed {
            at: now,
            hung: hung.map(Arc::from),
        });
        let opens = state.failures.len() >= threshold;
        if opens {
            state.failures.clear();
        }
        opens
    }

    /// A fetch ended in a way that is no outage, and nothing good either.
    pub fn trouble(&self, reason: &str) {
        let now = self.clock.instant();
        self.state.lock().fails(now, self.clock.now(), reason);
    }

    /// The upstream asked to be left alone.
    pub fn pause(&self, time: Duration) {
        let now = self.clock.instant();
        let until = now + time;
        let mut state = self.state.lock();
        let is_new = state.paused_until.is_none_or(|old| old <= now);
        state.paused_until = Some(state.paused_until.map_or(until, |old| old.max(until)));
        if let Some(outage) = state.outage.as_mut().filter(|_| is_new) {
            outage.told = true;
        }
        drop(state);
        if is_new {
            tracing::warn!(
                "{} asks to be left alone and is not asked for {} s",
                self.name,
                time.as_secs_f32().ceil()
            );
        }
    }

    /// At the moment.
    pub fn state(&self) -> BreakerState {
        self.state.lock().breaker(self.clock.instant())
    }

    /// At the moment, and what led to it.
    pub fn standing(&self) -> BreakerReport {
        let now = self.clock.instant();
        let wall = self.clock.now();
        let state = self.state.lock();
        let paused = state
            .paused_until
            .map(|until| until.saturating_duration_since(now))
            .filter(|left| !left.is_zero());
        let millis = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        BreakerReport {
            breaker: state.breaker(now),
            paused,
            paused_until: paused.map(|left| Timestamp(wall.0.saturating_add(millis(left)))),
            last_success: state.answered,
            last_error: state.last_error.clone(),
            failing: state.outage.is_some(),
        }
    }

    fn tell(&self, recovery: Option<(Outage, Instant)>) {
        if let Some((outage, now)) = recovery {
            tracing::info!(
                failed = outage.failed,
                "{} answers again, after {:.1} s",
                self.name,
                now.saturating_duration_since(outage.since).as_secs_f32()
            );
        }
    }
}

impl State {
    fn is_tried(&self, now: Instant) -> bool {
        let is_under_way = |probing: Probing| now - probing.since < PROBE_LOST;
        self.probing.is_some_and(is_under_way)
    }

    /// What a fetch that began before a success says afterwards is of the time before.
    fn has_succeeded_since(&self, pass: &Pass) -> bool {
        self.last_success.is_some_and(|at| at > pass.began)
    }

    /// Says whether this one was still under way.
    fn ends_probe(&mut self, number: u64) -> bool {
        let ended = self.probing.take_if(|probing| probing.number == number);
        ended.is_some()
    }

    fn open(&self, left: Duration) -> Stopped {
        Stopped::Open {
            left,
            lastly: self.last_error.as_ref().map(|(_, text)| Arc::clone(text)),
        }
    }

    fn breaker(&self, now: Instant) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    fn fails(&mut self, now: Instant, wall: Timestamp, reason: &str) {
        self.last_error = Some((wall, reason.into()));
        let outage = self.outage.get_or_insert(Outage {
            since: now,
            failed: 0,
            told: false,
        });
        outage.failed += 1;
    }

    /// Gives what the log should say is over.
    fn recovers(&mut self, now: Instant, wall: Timestamp) -> Option<(Outage, Instant)> {
        self.answered = Some(wall);
        let outage = self.outage.take()?;
        let lately = self.told.is_some_and(|at| now - at < TELL_AGAIN);
        if !outage.told && lately {
            return None;
        }
        self.told = Some(now);
        Some((outage, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    struct Hand(Mutex<Instant>);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(0)
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
        (Breaker::new("upstream x", settings, hand.clone()), hand)
    }

    fn later(hand: &Hand, seconds: u64) {
        *hand.0.lock() += Duration::from_secs(seconds);
    }

    /// After an outage, and a while of rest.
    fn half_open() -> (Breaker, Arc<Hand>) {
        let (breaker, hand) = breaker();
        for _ in 0..5 {
            breaker.failure(&breaker.pass().unwrap(), None, "refused");
        }
        later(&hand, 15);
        (breaker, hand)
    }

    #[test]
    fn opens_tries_with_one_and_closes() {
        let (breaker, hand) = breaker();
        for _ in 0..5 {
            assert_eq!(breaker.state(), BreakerState::Closed);
            let pass = breaker.pass().unwrap();
            breaker.failure(&pass, None, "refused");
        }
        assert_eq!(
            breaker.pass().unwrap_err(),
            Stopped::Open {
                left: Duration::from_secs(15),
                lastly: Some("refused".into()),
            }
        );
        later(&hand, 15);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        let probe = breaker.pass().unwrap();
        assert!(breaker.pass().is_err(), "one at a time");
        breaker.failure(&probe, None, "refused");
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
            breaker.failure(&pass, None, "refused");
            later(&hand, 4);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        for _ in 0..20 {
            let pass = breaker.pass().unwrap();
            breaker.failure(&pass, None, "refused");
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
            breaker.failure(pass, Some("example.com/hangs"), "hangs");
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.failure(&passes[0], Some("example.com/other"), "hangs");
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
            breaker.failure(pass, None, "refused");
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_probe_that_gets_a_head_lets_the_others_through() {
        let (breaker, _hand) = half_open();
        let probe = breaker.pass().unwrap();
        assert!(breaker.pass().is_err());
        breaker.answers();
        assert!(breaker.pass().is_ok());
        breaker.failure(&probe, None, "refused");
        assert_eq!(
            breaker.state(),
            BreakerState::Closed,
            "counted like any other by then"
        );
    }

    #[test]
    fn what_strangers_name_opens_nothing_and_is_a_reason_to_find_out() {
        let (breaker, hand) = breaker();
        breaker.success(&breaker.pass().unwrap());
        later(&hand, 600);
        let passes: Vec<_> = (0..12).map(|_| breaker.pass().unwrap()).collect();
        let doubts = passes.iter().map(|pass| breaker.doubt(pass, "hangs"));
        assert_eq!(doubts.filter(|enough| *enough).count(), 2);
        assert_eq!(breaker.state(), BreakerState::Closed);
        let probe = breaker.probe().unwrap();
        assert!(breaker.probe().is_none(), "one at a time");
        assert!(breaker.pass().is_ok(), "nobody waits for it");
        breaker.success(&probe);
        assert!(!breaker.doubt(&passes[0], "hangs"), "it has answered since");
        let probe = breaker.probe().unwrap();
        breaker.failure(&probe, None, "hangs");
        assert_eq!(breaker.state(), BreakerState::Closed, "one of five");
        assert!(breaker.is_confirmed());
        breaker.success(&breaker.pass().unwrap());
        assert!(!breaker.is_confirmed());
        for _ in 0..5 {
            breaker.failure(&breaker.probe().unwrap(), None, "hangs");
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.probe().is_none());
        later(&hand, 15);
        breaker.failure(&breaker.probe().unwrap(), None, "hangs");
        assert_eq!(breaker.state(), BreakerState::Open, "that decides");
        later(&hand, 15);
        breaker.success(&breaker.probe().unwrap());
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_probe_that_is_dropped_makes_room_at_once() {
        let (breaker, _hand) = half_open();
        let probe = breaker.pass().unwrap();
        assert!(breaker.pass().is_err() && breaker.probe().is_none());
        drop(probe);
        let probe = breaker.probe().unwrap();
        assert!(breaker.pass().is_err());
        drop(probe);
        assert!(breaker.pass().is_ok());
    }

    #[test]
    fn a_lost_probe_is_replaced() {
        let (breaker, hand) = half_open();
        let lost = breaker.pass().unwrap();
        assert!(breaker.pass().is_err());
        later(&hand, 60);
        let next = breaker.pass().unwrap();
        drop(lost);
        assert!(breaker.pass().is_err(), "the next one's place is not its");
        drop(next);
    }

    #[test]
    fn a_probe_decides_whatever_else_was_no_outage() {
        let (breaker, _hand) = half_open();
        let probe = breaker.probe().unwrap();
        breaker.trouble("it answered 401");
        breaker.failure(&probe, None, "refused");
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn what_it_says_of_an_upstream() {
        let (breaker, hand) = breaker();
        let word = || breaker.standing().word();
        assert_eq!(word(), "not asked yet");
        breaker.success(&breaker.pass().unwrap());
        assert_eq!(word(), "ok");
        breaker.trouble("it answered 401");
        assert_eq!(word(), "failing");
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.pause(Duration::from_secs(30));
        let standing = breaker.standing();
        assert_eq!(standing.word(), "paused");
        assert_eq!(standing.paused_until, Some(Timestamp(30_000)));
        assert_eq!(&*standing.last_error.unwrap().1, "it answered 401");
        later(&hand, 30);
        assert_eq!(word(), "failing");
        breaker.success(&breaker.pass().unwrap());
        let standing = breaker.standing();
        assert_eq!(standing.word(), "ok");
        assert!(standing.last_error.is_some(), "what was is still known");
        for _ in 0..5 {
            breaker.failure(&breaker.pass().unwrap(), None, "refused");
        }
        assert_eq!(word(), "open");
        later(&hand, 15);
        assert_eq!(word(), "half-open");
    }
}
