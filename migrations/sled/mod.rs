//! The schema steps of the sled index, in order. See `migrations/README.md` for the rules.

mod step_0001_initial;
mod step_0002_typed_facts;

use super::Layers;

/// A row that a step changes, and its value; none removes it.
pub type RowChange = (String, Option<Vec<u8>>);
/// The changes of a step, which are made at once with its number.
pub type Step = fn(&Layers) -> Result<Vec<RowChange>, sled::Error>;

/// Every step; a step's number is its place here, counted from 1.
pub const ALL: &[Step] = &[step_0001_initial::up, step_0002_typed_facts::up];
