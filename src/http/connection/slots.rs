//! Who may have a connection: there are so many slots, and none may take so many that others find none.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::kit::machine;

/// While fewer than one slot in so many is free, …
const SHORT: usize = 8;
/// … one address gets no more than one in so many of all.
const SHARE: usize = 2;

/// So many slots.
pub struct Slots {
    max: usize,
    /// The most of one address, where that is said.
    per_address: Option<usize>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    by_client: HashMap<IpAddr, usize>,
    /// Who waits, longest first. None of them may have a slot now, or it would have been given one.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    client: Option<IpAddr>,
    give: oneshot::Sender<Slot>,
}

/// A slot; free again when it is dropped.
pub struct Slot {
    slots: Arc<Slots>,
    client: Option<IpAddr>,
}

/// Why there is no slot for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// None is free.
    All,
    /// It has its share of them.
    Share,
}

impl Slots {
    /// So many in all, and of one address; without a number for that its share counts only when there are few left. A
    /// server in front and a network behind one address bring many people, so nobody is held to a share without need.
    pub fn new(max: usize, per_address: Option<usize>) -> Arc<Self> {
        Arc::new(Slots {
            max,
            per_address,
            state: Mutex::default(),
        })
    }

    /// A slot for a connection from this address, if it may have one now.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Slot, Full> {
        self.take_for(&mut self.state.lock(), client(address))
    }

    fn take_for(self: &Arc<Self>, state: &mut State, client: Option<IpAddr>) -> Result<Slot, Full> {
        let free = self.max.saturating_sub(state.taken);
        if let Some(client) = client {
            let held = state.by_client.get(&client).copied().unwrap_or_default();
            let within = match self.per_address {
                Some(most) => held < most,
                None => held < (self.max / SHARE).max(1) || free > self.max / SHORT,
            };
            if !within {
                return Err(Full::Share);
            }
        }
        if free == 0 {
            return Err(Full::All);
        }
        state.taken += 1;
        if let Some(client) = client {
            *state.by_client.entry(client).or_default() += 1;
        }
        Ok(Slot {
            slots: Arc::clone(self),
            client,
        })
    }

    /// Waits until there is one. Of those who may have what becomes free, whoever has waited longest gets it.
    pub async fn wait(self: &Arc<Self>, address: IpAddr) -> Slot {
        let client = client(address);
        let given = {
            let mut state = self.state.lock();
            if let Ok(slot) = self.take_for(&mut state, client) {
                return slot;
            }
            state.waiting.retain(|waiting| !waiting.give.is_closed());
            let (give, given) = oneshot::channel();
            state.waiting.push_back(Waiting { client, give });
            given
        };
        match given.await {
            Ok(slot) => slot,
            // Nobody who still waits is taken off the list without a slot.
            Err(_) => pending().await,
        }
    }

    fn free(self: &Arc<Self>, client: Option<IpAddr>) {
        let mut given = Vec::new();
        {
            let state = &mut *self.state.lock();
            state.taken -= 1;
            if let Some(client) = client
                && let Some(held) = state.by_client.get_mut(&client)
            {
                *held -= 1;
                if *held == 0 {
                    state.by_client.remove(&client);
                }
            }
            // Each that gets one only makes it harder for the others, so that one look at each is enough.
            let mut at = 0;
            while state.taken < self.max
                && let Some(Waiting { client, give }) = state.waiting.get(at)
            {
                let (client, left) = (*client, give.is_closed());
                let slot = match left {
                    true => None,
                    false => self.take_for(state, client).ok(),
                };
                if slot.is_none() && !left {
                    at += 1;
                } else if let Some(waiting) = state.waiting.remove(at) {
                    given.extend(slot.map(|slot| (waiting.give, slot)));
                }
            }
        }
        for (give, slot) in given {
            // Who has left just now gives it back.
            drop(give.send(slot));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.free(self.client);
    }
}

/// Whose a connection is. Programs on this machine, servers in front among them, are nobody's.
fn client(address: IpAddr) -> Option<IpAddr> {
    Some(machine(address)).filter(|address| !address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn why_not(slots: &Arc<Slots>, address: &str) -> Option<Full> {
        slots.take(ip(address)).err()
    }

    fn take(slots: &Arc<Slots>, address: &str, most: usize) -> Vec<Slot> {
        let taken = std::iter::from_fn(|| slots.take(ip(address)).ok());
        taken.take(most).collect()
    }

    #[test]
    fn one_address_cannot_take_them_all() {
        let slots = Slots::new(40, None);
        let mut greedy = take(&slots, "10.0.0.1", 100);
        assert_eq!(greedy.len(), 35);
        let others: Vec<_> = (2..=9)
            .filter_map(|n| slots.take(ip(&format!("10.0.0.{n}"))).ok())
            .collect();
        assert_eq!(others.len(), 5);
        assert_eq!(why_not(&slots, "127.0.0.1"), Some(Full::All));
        assert_eq!(why_not(&slots, "10.0.0.99"), Some(Full::All));
        // With its share it gets none of the last ones, which are for others.
        greedy.truncate(20);
        drop(others);
        let mut others = take(&slots, "10.0.0.2", 15);
        assert_eq!(others.len(), 15);
        assert_eq!(why_not(&slots, "10.0.0.1"), Some(Full::Share));
        others.truncate(14);
        assert_eq!(why_not(&slots, "10.0.0.1"), None);
    }

    #[test]
    fn an_address_alone_may_have_most_and_programs_here_all() {
        let slots = Slots::new(800, None);
        assert_eq!(take(&slots, "192.0.2.1", 1000).len(), 700);
        assert_eq!(take(&slots, "127.0.0.1", 1000).len(), 800);
        assert_eq!(take(&slots, "::ffff:127.0.0.1", 1000).len(), 800);
        assert!(slots.state.lock().by_client.is_empty());
    }

    #[test]
    fn of_few_slots_all_can_be_used() {
        for max in 1..8 {
            assert_eq!(take(&Slots::new(max, None), "10.0.0.1", 100).len(), max);
        }
    }

    #[test]
    fn a_number_holds_always() {
        let slots = Slots::new(1000, Some(3));
        let held = take(&slots, "2001:db8::1", 100);
        assert_eq!(held.len(), 3);
        let network = why_not(&slots, "2001:db8::2");
        assert_eq!(network, Some(Full::Share), "the same network");
        assert_eq!(why_not(&slots, "2001:db8:0:1::1"), None);
    }

    fn waiting(slots: &Arc<Slots>, address: &'static str) -> tokio::task::JoinHandle<Slot> {
        let slots = Arc::clone(slots);
        tokio::spawn(async move { slots.wait(ip(address)).await })
    }

    #[tokio::test]
    async fn whoever_waits_gets_what_becomes_free() {
        let slots = Slots::new(2, Some(1));
        let (mine, other) = (slots.take(ip("10.0.0.1")), slots.take(ip("10.0.0.2")));
        let mut again = waiting(&slots, "10.0.0.1");
        tokio::task::yield_now().await;
        let third = waiting(&slots, "10.0.0.3");
        tokio::task::yield_now().await;
        drop(other);
        let third = third.await.unwrap();
        tokio::task::yield_now().await;
        assert!(!again.is_finished());
        drop(third);
        drop(mine);
        drop((&mut again).await.unwrap());
    }

    #[tokio::test]
    async fn who_has_waited_longest_comes_first() {
        let slots = Slots::new(1, None);
        let held = slots.take(ip("10.0.0.1"));
        let mut all = Vec::new();
        for address in ["10.0.0.2", "10.0.0.3", "127.0.0.1", "10.0.0.4"] {
            all.push(waiting(&slots, address));
            tokio::task::yield_now().await;
        }
        // Who leaves is passed over.
        let left = all.remove(1);
        left.abort();
        assert!(left.await.is_err());
        let mut slot = held.unwrap();
        for next in all {
            drop(slot);
            // Given to the next before anybody else could have it.
            assert_eq!(why_not(&slots, "10.0.0.9"), Some(Full::All));
            slot = next.await.unwrap();
        }
        drop(slot);
        let state = slots.state.lock();
        assert!(state.taken == 0 && state.by_client.is_empty() && state.waiting.is_empty());
    }

    #[tokio::test]
    async fn who_leaves_without_taking_what_was_given_gives_it_back() {
        let slots = Slots::new(1, None);
        let held = slots.take(ip("10.0.0.1"));
        let (second, third) = (waiting(&slots, "10.0.0.2"), waiting(&slots, "10.0.0.3"));
        tokio::task::yield_now().await;
        drop(held);
        second.abort();
        assert!(second.await.is_err());
        drop(third.await.unwrap());
        assert_eq!(why_not(&slots, "10.0.0.4"), None);
    }
}
