//! Values in the index: one version byte, JSON, and a CRC-32 of both, because sled does not notice a flipped bit. What
//! must be given back byte for byte stands in place of the JSON as it is, under a version byte of its own; and so do
//! records of files in their compact form (`compact.rs`), those in JSON being read as well.
//!
//! JSON tolerates fields that a later version adds. `larder index dump` shows all as JSON.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::Timestamp;
use crate::gomod::info;

use super::absent::AbsentSet;
use super::compact;
use super::totals::Totals;

/// Version of the encoding; the first byte of every value.
const FORMAT: u8 = 1;
/// The same, of values that are kept as they are.
const RAW: u8 = 2;
/// The same, of records of files in their compact form.
const COMPACT: u8 = 3;

/// What vouches for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verified {
    /// The checksum database.
    Sumdb,
    /// The h1 it had when it was first seen.
    #[serde(rename = "first-seen")]
    Pin,
    /// Nothing but its own form.
    None,
}

impl Verified {
    /// As in the `Larder-Verified` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Verified::Sumdb => "sumdb",
            Verified::Pin => "first-seen",
            Verified::None => "none",
        }
    }
}

/// Facts about a kept file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// The `h1:` of a `.mod` or `.zip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h1: Option<String>,
    /// Which source it came from, as shown to people.
    pub from: String,
    /// When it was first kept.
    pub seen: Timestamp,
    /// What vouches for it.
    pub verified: Verified,
    /// Of `sumdb`, which database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The first-seen h1 of a file that no database covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRecord {
    /// What it must be.
    pub h1: String,
    /// Which source it came from, as shown to people.
    pub from: String,
    /// When it was first seen.
    pub seen: Timestamp,
    /// Held to because the database did not know it (`sumdb.on_unknown = "first-seen"`): it is asked again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// An operator has accepted that it changes: the next one that comes takes its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept: bool,
}

/// A kept file that its database has not vouched for yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsettledRecord {
    /// When it was served without.
    pub since: Timestamp,
    /// How often the database has said since that it does not know it.
    #[serde(default)]
    pub unknown: u32,
    /// When it is to be asked again at the earliest.
    #[serde(default)]
    pub not_before: Timestamp,
}

/// A token that opens private modules, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// SHA-256 of the token as its holder has it, lower-case hexadecimal.
    pub sha256: String,
    /// When it was made.
    pub created: Timestamp,
    /// What the operator calls it.
    pub name: String,
}

/// Names a list that is too large for the index: it is the file beside the module's versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFile {
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

/// The last good answer of a changing resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaRecord {
    /// What is served, unless it is in a file.
    pub body: String,
    /// A list that is served from its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ListFile>,
    /// When a source last said so.
    pub fetched: Timestamp,
    /// Which source, as shown to people.
    pub from: String,
    /// Of a list: the newest of its lines that have a time (pseudo-versions and such), needed to derive `@latest` as the
    /// client does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unlisted: String,
    /// The `ETag` that the source gave, to be asked again politely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The `Last-Modified` that the source gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
}

impl MetaRecord {
    /// The `.info` body as it may stand for the version it names: without what depends on the query.
    pub fn stand_in(&self) -> String {
        info::stand_in(self.body.as_bytes())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_else(|| self.body.clone())
    }
}

impl UnsettledRecord {
    /// Due at once.
    pub fn since(since: Timestamp) -> Self {
        UnsettledRecord {
            since,
            unknown: 0,
            not_before: since,
        }
    }
}

/// A value that cannot be what was written.
#[derive(Debug, Error)]
pub enum Damaged {
    /// Too short or with a wrong CRC-32.
    #[error("its checksum does not match")]
    Checksum,
    /// Written by a later version of the program.
    #[error("it has the unknown format {0}")]
    Format(u8),
    /// Something that is kept as it is, of this many bytes.
    #[error("it is not JSON but {0} bytes kept as they are")]
    Raw(usize),
    /// Not the compact record expected.
    #[error("it cannot be read")]
    Compact,
    /// Not the JSON expected.
    #[error("it cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    // Writing plain structs with string keys to a Vec has no way to fail.
    let _ = serde_json::to_writer(&mut bytes, value);
    sealed(bytes)
}

/// A value that is kept as it is.
pub fn raw(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 5);
    bytes.push(RAW);
    bytes.extend_from_slice(value);
    sealed(bytes)
}

/// Reads such a value back.
pub fn unraw(bytes: &[u8]) -> Result<&[u8], Damaged> {
    match opened(bytes)? {
        (RAW, value) => Ok(value),
        (other, _) => Err(Damaged::Format(other)),
    }
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// The JSON part of a value, checked.
fn json(bytes: &[u8]) -> Result<&[u8], Damaged> {
    match opened(bytes)? {
        (FORMAT, json) => Ok(json),
        (RAW, value) => Err(Damaged::Raw(value.len())),
        (other, _) => Err(Damaged::Format(other)),
    }
}

/// A value as JSON, for people: what is kept as it is becomes a string.
pub fn shown(bytes: &[u8]) -> Result<String, Damaged> {
    match opened(bytes)? {
        (FORMAT, json) => Ok(String::from_utf8_lossy(json).into_owned()),
        (RAW, value) => Ok(serde_json::to_string(&String::from_utf8_lossy(value))?),
        (COMPACT, value) => Ok(serde_json::to_string(
            &compact::decode(value).ok_or(Damaged::Compact)?,
        )?),
        (other, _) => Err(Damaged::Format(other)),
    }
}

/// Version and body, the checksum found to be right.
fn opened(bytes: &[u8]) -> Result<(u8, &[u8]), Damaged> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(Damaged::Checksum)?;
    if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
        return Err(Damaged::Checksum);
    }
    let (&version, body) = body.split_first().ok_or(Damaged::Checksum)?;
    Ok((version, body))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damaged> {
    Ok(serde_json::from_slice(json(bytes)?)?)
}

macro_rules! value {
    ($($type:ty),*) => {$(
        impl $type {
            /// As it stands in the index.
            pub fn encode(&self) -> Vec<u8> { encode(self) }
            /// Reads a value of the index back.
            pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> { decode(bytes) }
        }
    )*};
}

impl FileRecord {
    /// As it stands in the index.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(192);
        bytes.push(COMPACT);
        match compact::encode(self, &mut bytes) {
            Some(()) => sealed(bytes),
            // Nothing that Larder computes comes here.
            None => encode(self),
        }
    }

    /// Reads a value of the index back, also one of the time when they were JSON.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        match opened(bytes)? {
            (COMPACT, value) => compact::decode(value).ok_or(Damaged::Compact),
            _ => decode(bytes),
        }
    }
}

value!(
    AbsentSet,
    MetaRecord,
    PinRecord,
    TokenRecord,
    Totals,
    UnsettledRecord
);

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> FileRecord {
        FileRecord {
            size: 7,
            sha256: "00ff".repeat(16),
            h1: Some(format!("h1:{}=", "A".repeat(43))),
            from: "proxy.example.com".into(),
            seen: Timestamp(12),
            verified: Verified::None,
            by: None,
        }
    }

    #[test]
    fn round_trip_and_every_flipped_bit_is_noticed() {
        let bytes = record().encode();
        assert_eq!(FileRecord::decode(&bytes).unwrap(), record());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(FileRecord::decode(&bad).is_err(), "byte {at} bit {bit}");
            }
        }
        assert!(FileRecord::decode(&[]).is_err());
    }

    #[test]
    fn records_in_json_are_read_and_shown_alike() {
        let (old, new) = (encode(&record()), record().encode());
        assert!(new.len() < old.len() && new[0] == COMPACT);
        assert_eq!(FileRecord::decode(&old).unwrap(), record());
        assert_eq!(shown(&old).unwrap(), shown(&new).unwrap());
        let odd = FileRecord {
            sha256: "00ff".into(),
            ..record()
        };
        assert_eq!(FileRecord::decode(&odd.encode()).unwrap(), odd);
    }

    #[test]
    fn sealed_garbage_is_damaged_and_no_panic() {
        for version in [COMPACT, 4, 255] {
            for length in 0..100 {
                let mut bytes = vec![version];
                bytes.extend(std::iter::repeat_n(0xff, length));
                assert!(FileRecord::decode(&sealed(bytes.clone())).is_err());
                assert!(shown(&sealed(bytes)).is_err());
            }
        }
        assert!(PinRecord::decode(&record().encode()).is_err());
    }

    #[test]
    fn raw_values_come_back_as_they_are() {
        let bytes = raw(b"\x00any\xff");
        assert_eq!(unraw(&bytes).unwrap(), b"\x00any\xff");
        assert_eq!(shown(&raw(b"a\n")).unwrap(), r#""a\n""#);
        assert!(shown(&record().encode()).unwrap().contains("00ff"));
        assert!(matches!(json(&bytes), Err(Damaged::Raw(5))));
        assert!(unraw(&record().encode()).is_err());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(unraw(&bad).is_err());
        }
    }

    #[test]
    fn fields_of_later_versions_are_tolerated() {
        let json =
            br#"{"size":1,"sha256":"","from":"","seen":1,"verified":"first-seen","later":{"a":1}}"#;
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(json);
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        assert_eq!(FileRecord::decode(&bytes).unwrap().verified, Verified::Pin);
    }
}
