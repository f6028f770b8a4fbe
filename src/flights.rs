//! Flights: one shared fetch per key, run by its own task and owned by no client.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

/// All flights of one kind.
pub struct Flights<K, F> {
    map: Arc<Mutex<HashMap<K, F>>>,
    limit: usize,
    gauge: Gauge,
}

/// Takes a flight out of the map when its task ends, however it ends.
struct Landed<K: Eq + Hash, F> {
    map: Arc<Mutex<HashMap<K, F>>>,
    gauge: Gauge,
    key: K,
}

impl<K: Eq + Hash, F> Drop for Landed<K, F> {
    fn drop(&mut self) {
        self.map.lock().remove(&self.key);
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
        }
    }

    /// Joins the flight for `key`, or starts one; `None` if there are too many. `start` gives what followers hold and
    /// the work; it is called at once and must not block.
    pub fn join<W>(&self, key: &K, start: impl FnOnce() -> (F, W)) -> Option<F>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let mut map = self.map.lock();
        if let Some(flight) = map.get(key) {
            return Some(flight.clone());
        }
        if map.len() >= self.limit {
            return None;
        }
        let (flight, work) = start();
        map.insert(key.clone(), flight.clone());
        self.gauge.inc();
        let landed = Landed {
            map: Arc::clone(&self.map),
            gauge: self.gauge.clone(),
            key: key.clone(),
        };
        drop(map);
        tokio::spawn(async move {
            let _landed = landed;
            work.await;
        });
        Some(flight)
    }

    /// The flight for `key`, if one is under way.
    pub fn get(&self, key: &K) -> Option<F> {
        self.map.lock().get(key).cloned()
    }

    /// How many are under way.
    pub fn under_way(&self) -> usize {
        self.map.lock().len()
    }
}

/// What followers of a flight with a single outcome hold.
pub type Outcome<T> = watch::Receiver<Option<T>>;

/// Waits for a flight's outcome; `None` if its task died.
pub async fn outcome<T: Clone>(mut flight: Outcome<T>) -> Option<T> {
    flight.wait_for(Option::is_some).await.ok()?.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn c49_c50_one_run_for_all_and_nobody_owns_it() {
        let flights: Flights<&str, Outcome<u32>> = Flights::new(1, Gauge::default());
        let runs = Arc::new(AtomicU32::new(0));
        let go = Arc::new(Notify::new());
        let join = || {
            flights.join(&"key", || {
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
                .join(&"other", || (first.clone(), async {}))
                .is_none(),
            "bounded"
        );
        drop(first);
        go.notify_one();
        assert_eq!(outcome(second).await, Some(7));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_flight_that_dies_is_taken_out() {
        let flights: Flights<u8, Outcome<u32>> = Flights::new(1, Gauge::default());
        let flight = flights.join(&1, || {
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
