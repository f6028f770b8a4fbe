//! The feed of a catalog that no other process shares: the last changes, in memory.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::super::model::FactKey;
use crate::clock::SharedClock;

/// Changes that are remembered.
const REMEMBERED: usize = 4096;

/// A place in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(u64);

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These, in order; the next look goes on at `next`.
    Since {
        /// Names of what has changed. One may come several times.
        changed: Vec<FactKey>,
        /// Where to go on.
        next: Sequence,
    },
    /// More than is remembered.
    Missed {
        /// Where to go on.
        next: Sequence,
    },
}

/// The last changes of this process.
pub struct Feed {
    ring: Mutex<VecDeque<FactKey>>,
    end: watch::Sender<Sequence>,
}

impl Feed {
    /// Nothing has changed. It begins at the time of day, so that a place of an earlier process counts as missed.
    pub fn new(clock: &SharedClock) -> Self {
        Feed {
            ring: Mutex::default(),
            end: watch::Sender::new(Sequence(clock.now().0 << 20)),
        }
    }

    /// These have changed, and can be read.
    pub fn push(&self, changed: impl IntoIterator<Item = FactKey>) {
        let mut ring = self.ring.lock();
        let mut added = 0;
        for key in changed {
            if ring.len() == REMEMBERED {
                ring.pop_front();
            }
            ring.push_back(key);
            added += 1;
        }
        if added > 0 {
            self.end.send_modify(|end| end.0 += added);
        }
    }

    /// See [`super::Catalog::changes`].
    pub fn after(&self, after: Sequence) -> Changes {
        let ring = self.ring.lock();
        let next = *self.end.borrow();
        let back = next.0.checked_sub(after.0);
        match back.and_then(|back| usize::try_from(back).ok()) {
            Some(back) if back <= ring.len() => Changes::Since {
                changed: ring.range(ring.len() - back..).cloned().collect(),
                next,
            },
            _ => Changes::Missed { next },
        }
    }

    /// See [`super::Catalog::sequence`].
    pub fn sequence(&self) -> watch::Receiver<Sequence> {
        self.end.subscribe()
    }
}
