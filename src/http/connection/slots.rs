//! Who may have a connection: there are so many slots, and none may take so many that others find none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::kit::machine;

/// While fewer than one slot in so many is free, …
const SHORT: usize = 8;
/// … one address gets no more than one in so many of all.
const SHARE: usize = 2;

/// The slots of one listener.
pub struct Slots {
    max: usize,
    /// The most of one address, where the operator has said so.
    per_address: Option<usize>,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A slot; free again when it is dropped.
pub struct Slot {
    slots: Arc<Slots>,
    client: Option<IpAddr>,
}

impl Slots {
    /// So many in all, and of one address; without a number for that its share counts only when there are few left. A
    /// server in front and a network behind one address bring many people, so nobody is held to a share without need.
    pub fn new(max: usize, per_address: Option<usize>) -> Arc<Self> {
        Arc::new(Slots {
            max,
            per_address,
            taken: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// A slot for a connection from this address, if it may have one now.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let client = client(address);
        let mut taken = self.taken.lock();
        let free = self.max.saturating_sub(taken.all);
        if let Some(client) = client {
            let held = taken.by_client.get(&client).copied().unwrap_or_default();
            let within = match self.per_address {
                Some(most) => held < most,
                None => held < self.max / SHARE || free > self.max / SHORT,
            };
            if !within {
                return None;
            }
        }
        if free == 0 {
            return None;
        }
        taken.all += 1;
        if let Some(client) = client {
            *taken.by_client.entry(client).or_default() += 1;
        }
        Some(Slot {
            slots: Arc::clone(self),
            client,
        })
    }

    /// Waits until one is free.
    pub async fn wait(self: &Arc<Self>, address: IpAddr) -> Slot {
        loop {
            // From here on nothing that is freed is missed.
            let freed = self.freed.notified();
            if let Some(slot) = self.take(address) {
                return slot;
            }
            freed.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        taken.all -= 1;
        if let Some(client) = self.client
            && let Some(held) = taken.by_client.get_mut(&client)
        {
            *held -= 1;
            if *held == 0 {
                taken.by_client.remove(&client);
            }
        }
        drop(taken);
        // All of them, since the first may not be one that may have it.
        self.slots.freed.notify_waiters();
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

    fn take(slots: &Arc<Slots>, address: &str, most: usize) -> Vec<Slot> {
        let taken = std::iter::from_fn(|| slots.take(ip(address)));
        taken.take(most).collect()
    }

    #[test]
    fn one_address_cannot_take_them_all() {
        let slots = Slots::new(40, None);
        let mut greedy = take(&slots, "10.0.0.1", 100);
        assert_eq!(greedy.len(), 35);
        let others: Vec<_> = (2..=9)
            .filter_map(|n| slots.take(ip(&format!("10.0.0.{n}"))))
            .collect();
        assert_eq!(others.len(), 5);
        assert!(slots.take(ip("127.0.0.1")).is_none());
        // With its share it gets none of the last ones, which are for others.
        greedy.truncate(20);
        drop(others);
        let mut others = take(&slots, "10.0.0.2", 15);
        assert_eq!(others.len(), 15);
        assert!(slots.take(ip("10.0.0.1")).is_none());
        others.truncate(14);
        assert!(slots.take(ip("10.0.0.1")).is_some());
    }

    #[test]
    fn an_address_alone_may_have_most_and_programs_here_all() {
        let slots = Slots::new(800, None);
        assert_eq!(take(&slots, "192.0.2.1", 1000).len(), 700);
        assert_eq!(take(&slots, "127.0.0.1", 1000).len(), 800);
        assert_eq!(take(&slots, "::ffff:127.0.0.1", 1000).len(), 800);
        assert!(slots.taken.lock().by_client.is_empty());
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
        assert!(slots.take(ip("2001:db8::2")).is_none(), "the same network");
        assert!(slots.take(ip("2001:db8:0:1::1")).is_some());
    }

    #[tokio::test]
    async fn whoever_waits_gets_what_becomes_free() {
        let slots = Slots::new(2, Some(1));
        let (mine, other) = (slots.take(ip("10.0.0.1")), slots.take(ip("10.0.0.2")));
        let waiting = |address: &'static str| {
            let slots = Arc::clone(&slots);
            tokio::spawn(async move { slots.wait(ip(address)).await })
        };
        let (mut again, third) = (waiting("10.0.0.1"), waiting("10.0.0.3"));
        tokio::task::yield_now().await;
        drop(other);
        let third = third.await.unwrap();
        tokio::task::yield_now().await;
        assert!(!again.is_finished());
        drop(third);
        drop(mine);
        drop((&mut again).await.unwrap());
    }
}
