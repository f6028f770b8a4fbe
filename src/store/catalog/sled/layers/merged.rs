//! Rows of several layers as those of one.

use std::iter::Peekable;
use std::ops::Bound;

use super::error::failed;
use crate::store::catalog::sled::settled::{Row, Settled, SettledError};

pub(super) type Layer<'a> = Box<dyn Iterator<Item = Result<Row, sled::Error>> + 'a>;

pub(super) fn rows_of(db: &sled::Db, from: Bound<Vec<u8>>) -> Layer<'static> {
    let rows = db.range::<Vec<u8>, _>((from, Bound::Unbounded));
    Box::new(rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))))
}

pub(super) fn settled_rows(settled: &Settled, from: Bound<Vec<u8>>) -> Layer<'_> {
    Box::new(settled.range(from).filter_map(|row| match row {
        // As a damaged row is.
        Err(error @ SettledError::Damaged(_)) => {
            tracing::error!(%error, "rows of the index are unknown now");
            None
        }
        row => Some(row.map_err(failed)),
    }))
}

/// Rows of several layers in order; of those with one key, that of the first layer which has it.
pub(super) struct Merged<'a>(Vec<Peekable<Layer<'a>>>);

impl<'a> Merged<'a> {
    pub(super) fn new(layers: Vec<Layer<'a>>) -> Self {
        Merged(layers.into_iter().map(Iterator::peekable).collect())
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<Row, sled::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<Vec<u8>> = None;
        for layer in &mut self.0 {
            match layer.peek() {
                Some(Ok((key, _))) if least.as_ref().is_none_or(|least| key < least) => {
                    least = Some(key.clone());
                }
                Some(Err(_)) => return layer.next(),
                _ => {}
            }
        }
        let least = least?;
        let mut found = None;
        for layer in &mut self.0 {
            let row = layer.next_if(|row| row.as_ref().is_ok_and(|(key, _)| *key == least));
            found = found.or(row);
        }
        found
    }
}
