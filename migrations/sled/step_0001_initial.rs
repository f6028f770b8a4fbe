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
//! | `pin/M/@v/V.{mod,zip}` | the first-seen h1 of what no checksum database covers |
//! | `unsettled/M/@v/V.{mod,zip}` | a kept file that its checksum database has not vouched for yet |
//! | `totals` | how many files are kept, their bytes, how many are unsettled |
//! | `rules` | by which rules of `[sumdb]` and `private` what is kept was last looked through, text |
//! | `sumdb/NAME/head` | the latest verified tree head, a signed note |
//! | `sumdb/NAME/lookup/M@V` | a verified record with its note, as it came |
//! | `sumdb/NAME/alarm/KIND` | an alarm, JSON |
//!
//! Values (but `schema`, `rules`) are one version byte, JSON, and a CRC-32 of both, big-endian; those below `sumdb/` have
//! another version byte, and what came, byte for byte, in place of JSON, and so have those below `file/`, with a compact
//! form (`src/store/compact.rs`). Keys may be added; their readers cope with
//! their absence.

/// A fresh tree needs nothing but its number.
pub fn up(_db: &sled::Db, _batch: &mut sled::Batch) -> Result<(), sled::Error> {
    Ok(())
}
