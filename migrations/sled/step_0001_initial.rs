//! 0001: the first schema, of which no release has written anything.

/// A fresh tree needs nothing but its number.
pub fn up(_db: &sled::Db, _batch: &mut sled::Batch) -> Result<(), sled::Error> {
    Ok(())
}
