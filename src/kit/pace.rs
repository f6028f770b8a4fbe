//! Paces: how fast one client may go on, on average, with a burst now and then. Nobody is remembered but when he will have
//! paid for all he has had (the generic cell rate algorithm), and who has paid is as one who was never seen.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::client::ClientId;

/// Clients that are remembered; of more, those go that have not come again for longest.
const CLIENTS: usize = 65_536;

/// When each client has paid for what it has had. Takes no memory until it is used.
#[derive(Default)]
pub struct Paces(OnceLock<Cache<ClientId, Arc<Pace>>>);

/// When one client has paid for what it has had.
#[derive(Debug, Default)]
pub struct Pace {
    paid: Mutex<Option<Instant>>,
    waiting: AtomicUsize,
}

impl Paces {
    /// That of this client.
    pub fn of(&self, client: ClientId) -> Arc<Pace> {
        let paces = self.0.get_or_init(|| Cache::new(CLIENTS));
        let found = paces.get_or_insert_with(&client, || Ok::<_, Infallible>(Arc::default()));
        match found {
            Ok(pace) => pace,
            Err(never) => match never {},
        }
    }

    /// How many are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.get().map_or(0, Cache::len)
    }
}

impl Pace {
    /// Takes something that takes `cost` to pay for: how long to wait before it may be had, who may be `ahead` by so much;
    /// or, if that would be longer than `longest`, nothing is taken, and that is the error.
    pub fn take(
        &self,
        cost: Duration,
        ahead: Duration,
        longest: Duration,
        now: Instant,
    ) -> Result<Duration, Duration> {
        let mut paid = self.paid.lock();
        let until = paid.map_or(now, |paid| paid.max(now)) + cost;
        let wait = until.saturating_duration_since(now).saturating_sub(ahead);
        if wait > longest {
            return Err(wait);
        }
        *paid = Some(until);
        Ok(wait)
    }

    /// One more waits, for as long as this is held.
    pub fn waits(&self) -> PaceWait<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        PaceWait(&self.waiting)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Somebody who waits.
pub struct PaceWait<'a>(&'a AtomicUsize);

impl Drop for PaceWait<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_burst_is_free_and_then_the_rate_holds() {
        let (pace, began) = (Pace::default(), now());
        let cost = SECOND / 10;
        let take = |at: Duration| pace.take(cost, SECOND, 2 * SECOND, began + at);
        for _ in 0..10 {
            assert_eq!(take(Duration::ZERO), Ok(Duration::ZERO));
        }
        for number in 1..=20 {
            assert_eq!(take(Duration::ZERO), Ok(cost * number));
        }
        // Who would wait for too long takes nothing.
        for _ in 0..3 {
            assert_eq!(take(Duration::ZERO), Err(2 * SECOND + cost));
        }
        assert_eq!(take(cost), Ok(2 * SECOND));
        // And who has paid is as if he had never come.
        let later = 10 * SECOND;
        for _ in 0..10 {
            assert_eq!(take(later), Ok(Duration::ZERO));
        }
        assert_eq!(take(later), Ok(cost));
    }

    #[test]
    fn as_many_are_remembered_as_may_be_and_those_who_come_again_stay() {
        let paces = Paces::default();
        let now = now();
        let busy = ClientId::number(u64::MAX);
        let take = |client| {
            let pace = paces.of(client);
            pace.take(SECOND, Duration::ZERO, Duration::MAX, now)
        };
        for number in 0..200_000 {
            if number % 64 == 0 {
                assert_eq!(take(busy), Ok(SECOND * (number / 64 + 1)));
            }
            let _ = take(ClientId::number(u64::from(number)));
        }
        assert!(paces.len() <= CLIENTS, "{}", paces.len());
        assert!(paces.len() > CLIENTS / 2, "{}", paces.len());
    }
}
