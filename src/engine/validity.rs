//! Whether a cached answer may be given again. There is one rule for all caches, the engine's memory cache and the
//! cached responses of `http`:
//!
//! * Who makes an answer takes a [`Validity`] **before** it reads what the answer is made of, and the answer carries it.
//! * Who changes that thing calls [`Validities::end`] **after** the change: when it returns, no answer made of the old
//!   state is given any more.
//! * An answer enters a cache only if its validity still holds, and is given only as long as it does. Between these two
//!   looks nothing can go wrong: what is ended after it was put in is not given, what was ended before is not put in.
//!
//! A validity is a number, the *generation* of its key when it was taken. Generations stand in a table of fixed size,
//! by the hash of the key, so one can be had for what is in no cache, and memory is bounded whatever is asked for. Keys
//! that share a slot end each other's answers: such an answer is made once more, which is never wrong. With
//! [`SLOTS`] generations and some thousand cached answers, a file that is re-verified ends one answer and hardly ever
//! another one.
//!
//! What leaves a cache for want of room has not changed: its validity holds on, and so do copies elsewhere. A copy that
//! was ended is still the last that is known of a list or a query: the memory cache keeps it, as one that is past its
//! time.
//!
//! Rules that come from the configuration take part in the same way: whoever decides by a snapshot of them takes the
//! validity first, and whoever puts another snapshot in its place moves every generation on after that.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::Timestamp;

/// Generations; a power of two. They take 256 KiB.
const SLOTS: usize = 1 << 16;
/// The end of what does not get old.
const NEVER: Timestamp = Timestamp(u64::MAX);

/// The generations of all keys, and the only means to tell whether a validity holds. Clones are the same.
#[derive(Clone, Debug)]
pub struct Validities {
    slots: Arc<[AtomicU32]>,
    hasher: Arc<RandomState>,
}

/// How long an answer may be given: until what it was made of changes, or, if it gets old, until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    slot: u32,
    generation: u32,
    until: Timestamp,
}

impl Validity {
    /// The same, but at the most until then.
    pub fn until(self, until: Timestamp) -> Self {
        Validity { until, ..self }
    }

    /// Whether this was taken of an earlier generation than `other`, which is of the same key: what `other` stands for
    /// saw a change that this one did not.
    pub fn is_before(&self, other: &Validity) -> bool {
        let ahead = other.generation.wrapping_sub(self.generation);
        // Generations go round after 2^32 changes.
        ahead != 0 && ahead < u32::MAX / 2
    }
}

impl Default for Validities {
    fn default() -> Self {
        Validities::with_slots(SLOTS)
    }
}

impl Validities {
    fn with_slots(count: usize) -> Self {
        Validities {
            slots: (0..count).map(|_| AtomicU32::new(0)).collect(),
            hasher: Arc::default(),
        }
    }

    /// The validity of an answer about `key` that is made from now on. It does not get old.
    pub fn of(&self, key: &impl Hash) -> Validity {
        // Below the number of slots, so within u32 and usize.
        let slot = (self.hasher.hash_one(key) % self.slots.len() as u64) as u32;
        Validity {
            slot,
            generation: self.generation(slot),
            until: NEVER,
        }
    }

    /// What answers about `key` are made of has changed: those made so far hold no more.
    pub fn end(&self, key: &impl Hash) {
        let slot = self.of(key).slot;
        self.slots[slot as usize].fetch_add(1, Ordering::AcqRel);
    }

    /// As `end`, for whoever holds the newest answer itself: all others end, and this one holds on. Not if it has been
    /// ended before.
    pub fn renew(&self, validity: Validity) -> Option<Validity> {
        let Validity {
            slot, generation, ..
        } = validity;
        let next = generation.wrapping_add(1);
        self.slots[slot as usize]
            .compare_exchange(generation, next, Ordering::AcqRel, Ordering::Acquire)
            .ok()?;
        Some(Validity {
            generation: next,
            ..validity
        })
    }

    /// Whether it has not been ended, however old it is.
    pub fn is_current(&self, validity: &Validity) -> bool {
        self.generation(validity.slot) == validity.generation
    }

    /// Whether an answer may be given. The time is read only where it matters.
    pub fn holds(&self, validity: &Validity, now: impl FnOnce() -> Timestamp) -> bool {
        self.is_current(validity) && (validity.until == NEVER || now() < validity.until)
    }

    fn generation(&self, slot: u32) -> u32 {
        self.slots[slot as usize].load(Ordering::Acquire)
    }
}
