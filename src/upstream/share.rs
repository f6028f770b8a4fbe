//! What upstreams share that the same people have named: room for large answers, and among those that strangers name,
//! slots. However many of them there are, together they take no more.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::error::Failure;
use super::limits::Limits;
use crate::kit::Priority;

/// An answer up to this size needs no room: there are no more of them than slots. Bytes.
pub(super) const FREE: u64 = 64 << 10;
/// While it is read and checked, an answer is there so many times.
const COPIES: u64 = 3;
/// What one permit stands for. Bytes.
const UNIT: u64 = 1 << 10;
/// Room of the upstreams that the operator has named, and of the others. Bytes.
const ROOM: u64 = 64 << 20;
const ROOM_OF_STRANGERS: u64 = 16 << 20;

/// What some upstreams have in common.
pub struct Share {
    room: Arc<Semaphore>,
    permits: u32,
    /// Slots of all of them together.
    slots: Option<Limits>,
}

impl Share {
    fn new(room: u64, slots: Option<Limits>) -> Arc<Self> {
        let permits = u32::try_from(room / UNIT).unwrap_or(u32::MAX);
        Arc::new(Share {
            room: Arc::new(Semaphore::new(permits as usize)),
            permits,
            slots,
        })
    }

    /// Of upstreams that the operator has named.
    pub fn of_the_operator() -> Arc<Self> {
        Share::new(ROOM, None)
    }

    /// Of upstreams that strangers have named, with so many slots in all.
    pub fn of_strangers(slots: usize) -> Arc<Self> {
        Share::new(ROOM_OF_STRANGERS, Some(Limits::new(slots)))
    }

    /// Slots that they share.
    pub(super) fn slots(&self) -> Option<&Limits> {
        self.slots.as_ref()
    }

    /// Whether strangers have named them.
    pub(super) fn is_of_strangers(&self) -> bool {
        self.slots.is_some()
    }

    /// Waits for room for an answer of so many bytes. A prefetch does not wait.
    pub(super) async fn room(
        &self,
        bytes: u64,
        until: Instant,
        priority: &Priority,
    ) -> Result<Room, Failure> {
        let permits = u32::try_from(bytes.saturating_mul(COPIES).div_ceil(UNIT));
        let permits = permits.unwrap_or(u32::MAX).min(self.permits);
        let room = Arc::clone(&self.room);
        let permit = match priority.is_prefetch() {
            true => room.try_acquire_many_owned(permits).ok(),
            false => {
                let granted = timeout_at(until, room.acquire_many_owned(permits)).await;
                granted.ok().and_then(Result::ok)
            }
        };
        permit.map(Room).ok_or(Failure::Crowded)
    }
}

/// Room for an answer, given back when dropped.
pub(super) struct Room(OwnedSemaphorePermit);

impl Room {
    /// The answer, which takes its room for as long as it is anywhere.
    pub(super) fn holds(self, body: Bytes) -> Bytes {
        Bytes::from_owner(Held {
            body,
            _room: self.0,
        })
    }
}

struct Held {
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn large_answers_wait_for_each_other_and_prefetches_do_not() {
        let share = Share::new(12 << 20, None);
        let waits = Priority::default();
        let soon = || Instant::now() + Duration::from_millis(20);
        let first = share.room(2 << 20, soon(), &waits).await.unwrap();
        let second = share.room(2 << 20, soon(), &waits).await.unwrap();
        let third = share.room(FREE, soon(), &waits).await;
        assert!(matches!(third, Err(Failure::Crowded)));
        let body = first.holds(Bytes::from_static(b"body"));
        let part = body.slice(1..2);
        drop((second, body));
        let prefetch = share.room(4 << 20, soon(), &Priority::prefetch()).await;
        assert!(matches!(prefetch, Err(Failure::Crowded)));
        drop(part);
        // More than there is at all has all of it.
        assert!(share.room(1 << 30, soon(), &waits).await.is_ok());
        let prefetch = share.room(4 << 20, soon(), &Priority::prefetch()).await;
        assert!(prefetch.is_ok());
    }
}
