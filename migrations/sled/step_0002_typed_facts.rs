//! 0002: facts are typed.
//!
//! One map. Names of rows are text, `<kind>/<bang-escaped path as in the GOPROXY protocol>`:
//!
//! | row | value |
//! |---|---|
//! | `schema` | the number of the last step applied, big-endian u32 |
//! | `totals` | how many files are kept, their bytes, how many a database is still to be asked about |
//! | `file/M/@v/V.{info,mod,zip}` | a kept file |
//! | `meta/M/@v/list`, `meta/M/@latest`, `meta/M/@v/NAME.info` | the last answer of a changing resource |
//! | `fallback-info/M/@v/V.info` | what a query that resolved to `V` said, for when nobody can be asked |
//! | `first-seen/M/@v/V.{mod,zip}` | the first-seen h1 of what no checksum database covers |
//! | `pending/M/@v/V.{mod,zip}` | a kept file that its checksum database is still to be asked about |
//! | `token/NAME` | a token that opens private modules |
//! | `absent/SLOT` | names that do not exist and share a slot by their hash |
//! | `sumdb/NAME/head` | the latest verified tree head, a signed note |
//! | `sumdb/NAME/alarm/KIND` | an alarm, JSON |
//! | `state/complete` | there once the index knows all files |
//! | `state/rules` | by which rules of `[sumdb]` and `private` the kept files were last looked through |
//!
//! Values (but `schema`) are as in `src/store/codec.rs`, of the types in `src/store/model.rs`.

use super::{Layers, RowChange};

/// What was written before is not there: it lay in another kind of folder, of which nothing is read. The index is made
/// anew from the files, which a server does by itself when it starts.
pub fn up(_index: &Layers) -> Result<Vec<RowChange>, sled::Error> {
    Ok(Vec::new())
}
