//! The schema steps of the sled index, in order. See `migrations/README.md` for the rules.

mod step_0001_initial;
mod step_0002_typed_facts;

/// Adds the changes of one step to a batch.
pub type Step = fn(&sled::Db, &mut sled::Batch) -> Result<(), sled::Error>;

/// Every step; a step's number is its place here, counted from 1.
pub const ALL: &[Step] = &[step_0001_initial::up, step_0002_typed_facts::up];
