//! Whether the index knows all files.

use super::base::{Base, RowChange};
use super::migrate::MigrateError;
use crate::store::codec;
use crate::store::local::is_no_room;
use crate::store::model::{FactKey, StateKey};

/// What the fact `state/complete` says.
pub const COMPLETE: &str = "yes";

/// Whether the index has ever known all files; that of a store without files does, and is marked so.
pub fn is_complete(base: &Base, no_files: bool) -> Result<bool, MigrateError> {
    let complete = FactKey::State(StateKey::Complete).to_string();
    let is_marked = base.get(&complete)?.is_some();
    if no_files && !is_marked {
        let yes = codec::encode(&COMPLETE.to_owned());
        match base.apply(vec![RowChange::Put(complete, yes)]) {
            // It is marked at a later start, when there is room.
            Err(sled::Error::Io(error)) if is_no_room(error.kind()) => {}
            marked => marked?,
        }
    }
    Ok(no_files || is_marked)
}
