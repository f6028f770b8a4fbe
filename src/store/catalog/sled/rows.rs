//! How facts lie in the tree: each is a row under its name.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::base::{Base, RowChange};
use crate::store::catalog::claims::Claims;
use crate::store::catalog::{Change, Expect, Query, Totals};
use crate::store::codec::{self, Damaged};
use crate::store::model::{Fact, FactKey, FactKind};

/// With this begin the names of the rows that have what a query asks for.
pub fn prefix_of(query: &Query) -> String {
    format!("{}{}", query.kind().prefix(), query.path())
}

/// Reads a row.
pub fn read(key: FactKey, row: &[u8]) -> Result<Fact, Damaged> {
    Ok(match key {
        FactKey::File(key) => Fact::File(key, codec::decode(row)?),
        FactKey::Metadata(key) => Fact::Metadata(key, codec::decode(row)?),
        FactKey::FallbackInfo(key) => Fact::FallbackInfo(key, codec::decode(row)?),
        FactKey::FirstSeen(key) => Fact::FirstSeen(key, codec::decode(row)?),
        FactKey::Pending(key) => Fact::Pending(key, codec::decode(row)?),
        FactKey::Token(_) => Fact::Token(codec::decode(row)?),
        FactKey::Absent(slot) => Fact::Absent(slot, codec::decode(row)?),
        FactKey::Sumdb(key) => Fact::Sumdb(key, Bytes::copy_from_slice(codec::decode_bytes(row)?)),
        FactKey::State(key) => Fact::State(key, codec::decode(row)?),
    })
}

/// Writes a row.
pub fn write(fact: &Fact) -> Vec<u8> {
    match fact {
        Fact::File(_, record) => codec::encode(record),
        Fact::Metadata(_, record) | Fact::FallbackInfo(_, record) => codec::encode(record),
        Fact::FirstSeen(_, record) => codec::encode(record),
        Fact::Pending(_, record) => codec::encode(record),
        Fact::Token(record) => codec::encode(record),
        Fact::Absent(_, set) => codec::encode(set),
        Fact::Sumdb(_, value) => codec::encode_bytes(value),
        Fact::State(_, value) => codec::encode(value),
    }
}

/// What the writer makes of several transactions before it writes them as one batch.
pub struct Batch<'a> {
    base: &'a Base,
    rows: BTreeMap<String, Option<Vec<u8>>>,
    /// How much is kept once the batch is written.
    pub totals: Totals,
    /// Names of what changes.
    pub changed: Vec<FactKey>,
}

impl<'a> Batch<'a> {
    /// Nothing is changed.
    pub fn new(base: &'a Base, totals: Totals) -> Self {
        Batch {
            base,
            rows: BTreeMap::new(),
            totals,
            changed: Vec::new(),
        }
    }

    fn fact(&self, key: &FactKey) -> Result<Option<Fact>, sled::Error> {
        let name = key.to_string();
        let row = match self.rows.get(&name) {
            Some(row) => row.clone(),
            None => self.base.get(&name)?,
        };
        Ok(row.and_then(|row| decoded_or_unknown(&name, read(key.clone(), &row))))
    }

    /// Whether an expectation holds, after what is in the batch already.
    pub fn holds(&self, expect: &Expect, claims: &Claims) -> Result<bool, sled::Error> {
        Ok(match expect {
            Expect::Unknown(key) => self.fact(key)?.is_none(),
            Expect::Is(fact) => self.fact(&fact.key())?.as_ref() == Some(fact),
            Expect::Held(claim) => claims.is_held(claim),
        })
    }

    /// Makes a change.
    pub fn make(&mut self, change: &Change) -> Result<(), sled::Error> {
        let key = change.key();
        if let FactKind::File | FactKind::Pending = key.kind()
            && let Some(old) = self.fact(&key)?
        {
            self.totals.subtract(&old);
        }
        let row = match change {
            Change::Put(fact) => {
                self.totals.add(fact);
                Some(write(fact))
            }
            Change::Remove(_) => None,
        };
        self.rows.insert(key.to_string(), row);
        self.changed.push(key);
        Ok(())
    }

    /// What is to be written.
    pub fn into_rows(self) -> Vec<RowChange> {
        let row = |(name, row)| match row {
            Some(row) => RowChange::Put(name, row),
            None => RowChange::Remove(name),
        };
        self.rows.into_iter().map(row).collect()
    }
}

/// Says that a value is damaged; it counts as unknown.
pub fn decoded_or_unknown<T>(name: &str, decoded: Result<T, Damaged>) -> Option<T> {
    decoded
        .inspect_err(
            |error| tracing::error!(name, %error, "a value in the index is damaged; it counts as unknown"),
        )
        .ok()
}
