//! Rows of several layers as those of one.

use std::iter::Peekable;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};

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

/// Names between which nothing can be read.
pub(super) type Gap = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// What can be read of a layer that is damaged: its rows before the damage and after it.
pub(super) struct WhatIsLeft {
    /// In order. There are no more of them than are folded at once.
    pub(super) rows: Vec<Row>,
    /// None if all could be read this time.
    pub(super) gap: Option<Gap>,
}

impl WhatIsLeft {
    pub(super) fn of(db: &sled::Db) -> Self {
        let (mut rows, is_whole) = readable(db.iter(), |_| true);
        if is_whole {
            return WhatIsLeft { rows, gap: None };
        }
        let end = rows.last().map(|(key, _)| key.clone());
        let is_after = |key: &[u8]| end.as_deref().is_none_or(|end| key > end);
        let (mut after, _) = readable(db.iter().rev(), is_after);
        after.reverse();
        let bound = |key: Option<&Vec<u8>>| key.cloned().map_or(Bound::Unbounded, Bound::Excluded);
        let gap = (
            bound(end.as_ref()),
            bound(after.first().map(|(key, _)| key)),
        );
        rows.extend(after);
        let gap = Some(gap);
        WhatIsLeft { rows, gap }
    }
}

/// Rows up to the first that cannot be read, or is not wanted, and whether there is none such. sled may panic at it.
fn readable(
    mut rows: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
    is_wanted: impl Fn(&[u8]) -> bool,
) -> (Vec<Row>, bool) {
    let mut next = || catch_unwind(AssertUnwindSafe(|| rows.next()));
    let mut found = Vec::new();
    loop {
        match next() {
            Ok(Some(Ok((key, value)))) if is_wanted(&key) => {
                found.push((key.to_vec(), value.to_vec()));
            }
            stopped => return (found, matches!(stopped, Ok(None))),
        }
    }
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
