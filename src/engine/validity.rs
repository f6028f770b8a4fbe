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
//! Rules that come from the configuration take part in the same way: a validity carries the number of the rules that the
//! answer is made under ([`RulesGeneration`]), and holds only as long as these are in force.

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
    /// The number of the rules in force.
    rules: Arc<AtomicU32>,
}

/// Which rules something was made under: a number that grows by one whenever others are put in force. The default is that
/// of the first ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RulesGeneration(u32);

impl RulesGeneration {
    /// That of the first ones.
    #[cfg(test)]
    pub(crate) const FIRST: RulesGeneration = RulesGeneration(0);

    /// As a number: 0 is that of the first ones.
    pub fn number(self) -> u32 {
        self.0
    }

    /// That of the rules after these.
    pub(super) fn next(self) -> Self {
        RulesGeneration(self.0.wrapping_add(1))
    }
}

/// How long an answer may be given: until what it was made of changes, or, if it gets old, until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    slot: u32,
    generation: u32,
    rules: RulesGeneration,
    until: Timestamp,
}

impl Validity {
    /// The rules that the answer was made under.
    pub fn rules(&self) -> RulesGeneration {
        self.rules
    }

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
    pub(super) fn with_slots(count: usize) -> Self {
        Validities {
            slots: (0..count).map(|_| AtomicU32::new(0)).collect(),
            hasher: Arc::default(),
            rules: Arc::default(),
        }
    }

    /// The validity of an answer about `key` that is made from now on under these rules. It does not get old.
    pub fn of(&self, key: &impl Hash, rules: RulesGeneration) -> Validity {
        let slot = self.slot(key);
        Validity {
            slot,
            generation: self.generation(slot),
            rules,
            until: NEVER,
        }
    }

    fn slot(&self, key: &impl Hash) -> u32 {
        // Below the number of slots, so within u32 and usize.
        (self.hasher.hash_one(key) % self.slots.len() as u64) as u32
    }

    /// Others are in force from now on: whatever was made under those before holds no more.
    pub(super) fn rules_changed(&self, rules: RulesGeneration) {
        self.rules.store(rules.0, Ordering::Release);
    }

    /// Whether these are in force.
    pub(super) fn are_in_force(&self, rules: RulesGeneration) -> bool {
        self.rules.load(Ordering::Acquire) == rules.0
    }

    /// What answers about `key` are made of has changed: those made so far hold no more.
    pub fn end(&self, key: &impl Hash) {
        let slot = self.slot(key);
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
        self.generation(validity.slot) == validity.generation && self.are_in_force(validity.rules)
    }

    /// Whether an answer may be given. The time is read only where it matters.
    pub fn holds(&self, validity: &Validity, now: impl FnOnce() -> Timestamp) -> bool {
        self.is_current(validity) && (validity.until == NEVER || now() < validity.until)
    }

    fn generation(&self, slot: u32) -> u32 {
        self.slots[slot as usize].load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: u64) -> impl FnOnce() -> Timestamp {
        move || Timestamp(now)
    }

    const FIRST: RulesGeneration = RulesGeneration::FIRST;

    fn never() -> Timestamp {
        panic!("the time is not read where it does not matter")
    }

    /// Two keys that share no slot.
    fn two(validities: &Validities) -> (u32, u32) {
        let other =
            (1..).find(|key| validities.of(key, FIRST).slot != validities.of(&0_u32, FIRST).slot);
        (0, other.unwrap())
    }

    #[test]
    fn a_change_ends_what_was_made_before_it() {
        let validities = Validities::default();
        let (key, other) = two(&validities);
        let (before, others) = (validities.of(&key, FIRST), validities.of(&other, FIRST));
        assert!(validities.holds(&before, never));
        validities.end(&key);
        assert!(!validities.holds(&before, never));
        assert!(validities.holds(&others, never), "another key's");
        assert!(validities.holds(&validities.of(&key, FIRST), never));
        // Clones are the same.
        validities.clone().end(&other);
        assert!(!validities.holds(&others, never));
    }

    #[test]
    fn what_shares_a_slot_ends_together() {
        let validities = Validities::with_slots(1);
        let (one, two) = (validities.of(&"one", FIRST), validities.of(&"two", FIRST));
        validities.end(&"one");
        assert!(!validities.holds(&one, never) && !validities.holds(&two, never));
    }

    #[test]
    fn other_rules_end_everything() {
        let validities = Validities::default();
        let before = validities.of(&"list", FIRST);
        let second = FIRST.next();
        let after = validities.of(&"list", second);
        assert!(validities.holds(&before, never) && !validities.holds(&after, never));
        validities.rules_changed(second);
        assert!(!validities.holds(&before, never) && validities.holds(&after, never));
        // Whoever still works under the old ones.
        assert!(!validities.holds(&validities.of(&"list", FIRST), never));
        assert_eq!(
            validities
                .renew(before)
                .map(|it| validities.is_current(&it)),
            Some(false)
        );
    }

    #[test]
    fn what_gets_old_holds_until_then() {
        let validities = Validities::default();
        let list = validities.of(&"list", FIRST).until(Timestamp(100));
        assert!(validities.holds(&list, at(99)));
        assert!(!validities.holds(&list, at(100)));
        assert!(validities.is_current(&list), "nothing has changed");
        validities.end(&"list");
        assert!(!validities.holds(&list, never));
    }

    #[test]
    fn only_what_holds_is_renewed() {
        let validities = Validities::default();
        let (mine, others) = (validities.of(&"list", FIRST), validities.of(&"list", FIRST));
        let renewed = validities.renew(mine).unwrap();
        assert!(validities.is_current(&renewed));
        assert!(!validities.is_current(&mine) && !validities.is_current(&others));
        assert_eq!(validities.renew(others), None);
        assert!(validities.is_current(&renewed));
    }

    #[test]
    fn earlier_and_later() {
        let validity = |generation| Validity {
            slot: 0,
            generation,
            rules: FIRST,
            until: NEVER,
        };
        for (first, second) in [(0, 1), (7, 1000), (u32::MAX, 0), (u32::MAX - 3, 5)] {
            let (first, second) = (validity(first), validity(second));
            assert!(first.is_before(&second), "{first:?} {second:?}");
            assert!(!second.is_before(&first), "{first:?} {second:?}");
        }
        assert!(!validity(3).is_before(&validity(3)));
    }

    #[test]
    fn generations_go_round() {
        let validities = Validities::with_slots(1);
        validities.slots[0].store(u32::MAX, Ordering::Release);
        let before = validities.of(&0, FIRST);
        validities.end(&0);
        let after = validities.of(&0, FIRST);
        assert!(!validities.is_current(&before) && before.is_before(&after));
        validities.slots[0].store(u32::MAX, Ordering::Release);
        let renewed = validities.renew(before).unwrap();
        assert!(validities.is_current(&renewed) && before.is_before(&renewed));
    }
}
