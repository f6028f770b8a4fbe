//! 0001: the first schema, of which no release has written anything.

use super::{Layers, RowChange};

/// A fresh tree needs nothing but its number.
pub fn up(_index: &Layers) -> Result<Vec<RowChange>, sled::Error> {
    Ok(Vec::new())
}
