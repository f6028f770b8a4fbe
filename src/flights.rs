//! Flights: one shared fetch per key, run by its own task and owned by no client.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::kit::{FetchContext, Priority, WaitingClients};

/// All flights of one kind.
pub struct Flights<K, F> {
    map: Map<K, F>,
    limit: usize,
    gauge: Gauge,
    count: AtomicU64,
    tasks: TaskTracker,
}

/// Flights under way.
type Map<K, F> = Arc<Mutex<HashMap<K, Flight<F>>>>;

struct Flight<F> {
    /// Its own, so that it is not taken for a later one.
    number: u64,
    priority: Priority,
    waiting: WaitingClients,
    followed: F,
}

/// A flight's place among those that can be joined.
pub struct FlightEntry<K: Eq + Hash, F> {
    map: Map<K, F>,
    key: K,
    number: u64,
    waiting: WaitingClients,
}

impl<K: Eq + Hash, F> FlightEntry<K, F> {
    /// The clients that have joined, and those that will.
    pub fn waiting(&self) -> &WaitingClients {
        &self.waiting
    }

    /// Nobody can join any more. To be called before an outcome is told that holds only for those who are waiting: who
    /// comes after a failure wants another try.
    pub fn leave(&self) {
        let mut map = self.map.lock();
        if map
            .get(&self.key)
            .is_some_and(|flight| flight.number == self.number)
        {
            map.remove(&self.key);
        }
    }
}

/// Takes a flight out of the map when its task ends, however it ends.
struct Landed<K: Eq + Hash, F> {
    place: FlightEntry<K, F>,
    gauge: Gauge,
}

impl<K: Eq + Hash, F> Drop for Landed<K, F> {
    fn drop(&mut self) {
        self.place.leave();
        self.gauge.dec();
    }
}

impl<K, F> Flights<K, F>
where
    K: Eq + Hash + Clone + Send + 'static,
    F: Clone + Send + 'static,
{
    /// At most `limit` at once.
    pub fn new(limit: usize, gauge: Gauge) -> Self {
        Flights {
            map: Arc::default(),
            limit,
            gauge,
            count: AtomicU64::new(0),
            tasks: TaskTracker::new(),
        }
    }

    /// Joins the flight for `key`, or starts one; `None` if there are too many. `start` gives what followers hold and
    /// the work; it is called at once and must not block. Whoever joins in the foreground raises a flight that is a
    /// prefetch.
    pub fn join<W>(
        &self,
        key: &K,
        by: &FetchContext,
        start: impl FnOnce(FlightEntry<K, F>) -> (F, W),
    ) -> Option<F>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let FetchContext {
            priority, client, ..
        } = by;
        let mut map = self.map.lock();
        if let Some(flight) = map.get(key) {
            if !priority.is_prefetch() {
                flight.priority.raise();
            }
            if let Some(client) = client {
                flight.waiting.join(*client);
            }
            return Some(flight.followed.clone());
        }
        if map.len() >= self.limit {
            return None;
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let waiting = WaitingClients::from(*client);
        let place = || FlightEntry {
            map: Arc::clone(&self.map),
            key: key.clone(),
            number,
            waiting: waiting.clone(),
        };
        let (followed, work) = start(place());
        let flight = Flight {
            number,
            priority: priority.clone(),
            waiting: waiting.clone(),
            followed: followed.clone(),
        };
        map.insert(key.clone(), flight);
        self.gauge.inc();
        let landed = Landed {
            place: place(),
            gauge: self.gauge.clone(),
        };
        // Before it can be seen: who waits for all to end knows each that can be joined.
        self.tasks.spawn(async move {
            let _landed = landed;
            work.await;
        });
        drop(map);
        Some(followed)
    }

    /// The flight for `key`, if one is under way.
    pub fn get(&self, key: &K) -> Option<F> {
        let map = self.map.lock();
        map.get(key).map(|flight| flight.followed.clone())
    }

    /// How many can be joined.
    pub fn under_way(&self) -> usize {
        self.map.lock().len()
    }

    /// How many have not ended: those that can be joined, and those that go on after their place was left.
    pub fn unfinished(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until all have ended that have begun by then.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl<K, T, E> Flights<K, FlightOutcome<Result<T, E>>>
where
    K: Eq + Hash + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Joins the flight for `key` in the foreground, or starts one, and waits for its outcome: `None` if there are too many,
    /// and within it if its task died.
    pub async fn outcome<W>(
        &self,
        key: &K,
        start: impl FnOnce(
            FlightEntry<K, FlightOutcome<Result<T, E>>>,
        ) -> (FlightOutcome<Result<T, E>>, W),
    ) -> Option<Option<Result<T, E>>>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        Some(outcome(self.join(key, &FetchContext::default(), start)?).await)
    }
}

/// What followers of a flight with a single outcome hold.
pub type FlightOutcome<T> = watch::Receiver<Option<T>>;

/// Waits for a flight's outcome; `None` if its task died.
pub async fn outcome<T: Clone>(mut flight: FlightOutcome<T>) -> Option<T> {
    flight.wait_for(Option::is_some).await.ok()?.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::ClientId;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn c49_c50_one_run_for_all_and_nobody_owns_it() {
        let flights: Flights<&str, FlightOutcome<u32>> = Flights::new(1, Gauge::default());
        let runs = Arc::new(AtomicU32::new(0));
        let go = Arc::new(Notify::new());
        let join = || {
            flights.join(&"key", &FetchContext::default(), |_| {
                let (runs, go) = (Arc::clone(&runs), Arc::clone(&go));
                let (sender, receiver) = watch::channel(None);
                let work = async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    go.notified().await;
                    sender.send_replace(Some(7));
                };
                (receiver, work)
            })
        };
        let first = join().unwrap();
        let second = join().unwrap();
        assert_eq!(flights.under_way(), 1);
        assert!(
            flights
                .join(&"other", &FetchContext::default(), |_| (
                    first.clone(),
                    async {}
                ))
                .is_none(),
            "bounded"
        );
        drop(first);
        go.notify_one();
        assert_eq!(outcome(second).await, Some(7));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_prefetch_is_raised_by_who_waits_and_not_by_another_prefetch() {
        let flights: Flights<u8, FlightOutcome<u32>> = Flights::new(1, Gauge::default());
        let prefetch = Priority::prefetch();
        let join = |priority: &Priority| {
            let by = FetchContext {
                priority: priority.clone(),
                ..FetchContext::default()
            };
            flights.join(&1, &by, |_| {
                let (sender, receiver) = watch::channel(None);
                (receiver, async move { sender.closed().await })
            })
        };
        let first = join(&prefetch);
        let second = join(&Priority::prefetch());
        assert!(prefetch.is_prefetch());
        let client = join(&Priority::Foreground);
        assert!(!prefetch.is_prefetch());
        drop((first, second, client));
    }

    #[tokio::test]
    async fn all_clients_that_wait_are_known() {
        let flights: Flights<u8, FlightOutcome<u32>> = Flights::new(1, Gauge::default());
        let by = |number: Option<u64>| FetchContext {
            client: number.map(ClientId::number),
            ..FetchContext::default()
        };
        let waiting = std::cell::OnceCell::new();
        let join = |number| {
            flights.join(&1, &by(number), |place| {
                waiting.set(place.waiting().clone()).unwrap();
                let (sender, receiver) = watch::channel(None);
                (receiver, async move { sender.closed().await })
            })
        };
        let _all = [None, Some(1), Some(2), Some(1)].map(join);
        let known = waiting.get().unwrap().with(<[_]>::to_vec);
        assert_eq!(known, [1, 2].map(ClientId::number));
    }

    #[tokio::test]
    async fn who_comes_after_a_failure_starts_anew() {
        let flights: Flights<u8, FlightOutcome<u32>> = Flights::new(2, Gauge::default());
        let go = Arc::new(Notify::new());
        let join = |outcome: u32| {
            flights.join(&1, &FetchContext::default(), |place| {
                let (sender, receiver) = watch::channel(None);
                let go = Arc::clone(&go);
                let work = async move {
                    place.leave();
                    sender.send_replace(Some(outcome));
                    go.notified().await;
                };
                (receiver, work)
            })
        };
        assert_eq!(outcome(join(1).unwrap()).await, Some(1));
        let second = join(2).unwrap();
        assert_eq!(outcome(second).await, Some(2));
        // The first one ends: the second one's place is not its to take away.
        let third = join(3).unwrap();
        go.notify_waiters();
        assert_eq!(outcome(third).await, Some(3));
    }

    #[tokio::test]
    async fn a_flight_that_dies_is_taken_out() {
        let flights: Flights<u8, FlightOutcome<u32>> = Flights::new(1, Gauge::default());
        let flight = flights.join(&1, &FetchContext::default(), |_| {
            let (sender, receiver) = watch::channel(None);
            let work = async move {
                let _sender = sender;
                panic!("deliberate, for this test");
            };
            (receiver, work)
        });
        assert_eq!(outcome(flight.unwrap()).await, None);
        while flights.under_way() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
