//! 0001: the first schema.
//!
//! One tree. Keys are text, `<kind>/<bang-escaped path as in the GOPROXY protocol>`:
//!
//! | key | value |
//! |---|---|
//! | `schema` | the number of the last step applied, big-endian u32 |
//! | `file/M/@v/V.{info,mod,zip}` | facts about a kept file |
//! | `meta/M/@v/list`, `meta/M/@latest`, `meta/M/@v/NAME.info` | the last answer of a changing resource |
//! | `stand/M/@v/V.info` | what a query that resolved to `V` said, for when nobody can be asked |
//!
//! Values (but `schema`) are one version byte, JSON, and a CRC-32 of both, big-endian.

/// A fresh tree needs nothing but its number.
pub fn up(_db: &sled::Db, _batch: &mut sled::Batch) -> Result<(), sled::Error> {
    Ok(())
}
