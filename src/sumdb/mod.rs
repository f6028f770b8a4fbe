//! Checksum databases: a verifying client for each, which is also what the caching relay serves from.
//!
//! Pure parts: [`key`](self), notes, Merkle arithmetic, tiles, records, heads. On top of them [`Database`]: it looks
//! versions up, verifies what comes by the algorithm of protocol.md 4.4 and 4.5, with the fixes of 2026, and keeps what
//! is verified for ever. What it needs of the world are two small traits: [`Transport`] and [`State`].
//!
//! **Invariant: what is kept has been verified under a head that is consistent with the latest one; nothing else is
//! ever answered.**

mod alarm;
mod database;
mod error;
mod head;
mod key;
pub mod merkle;
mod note;
mod record;
mod seams;
mod spec;
#[cfg(test)]
pub mod testing;
mod tile;
mod tiles;

pub use alarm::{Alarm, AlarmKind};
pub use database::{Database, DatabaseAnswer, Status};
pub use error::SumdbError;
pub use head::Head;
pub use key::{KeyError, VerifierKey};
pub use note::{NoteError, open as open_note};
pub use record::{Record, Sums};
pub use seams::{Ask, State, StateError, Transport};
pub use spec::{DatabaseSpec, SpecError};
pub use tile::TilePath;
