//! How a value is written: a version byte, postcard's wire format, and a CRC-32 of both, because sled does not notice a
//! flipped bit.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Version of the encoding; the first byte of every value.
const VERSION: u8 = 4;

/// A value that cannot be what was written.
#[derive(Debug, Error)]
pub enum Damaged {
    /// Too short, or with a wrong CRC-32.
    #[error("its checksum does not match")]
    Checksum,
    /// Written by another version of the program.
    #[error("it has the unknown version {0}")]
    Version(u8),
    /// Not of the form that it should have.
    #[error("it has another form than it should: {0}")]
    Form(#[from] postcard::Error),
}

/// Writes a value.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Nothing that is kept has a length that is unknown before it is written, and that alone makes postcard fail when it
    // writes to memory.
    sealed(postcard::to_extend(value, vec![VERSION]).unwrap_or_default())
}

/// Reads a value back.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damaged> {
    match postcard::take_from_bytes(opened(bytes)?)? {
        (value, []) => Ok(value),
        _ => Err(Damaged::Form(postcard::Error::DeserializeBadEncoding)),
    }
}

/// Writes a value that is bytes.
pub fn encode_bytes(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 5);
    bytes.push(VERSION);
    bytes.extend_from_slice(value);
    sealed(bytes)
}

/// Reads a value back that is bytes.
pub fn decode_bytes(bytes: &[u8]) -> Result<&[u8], Damaged> {
    opened(bytes)
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// What is between version and checksum, both found to be right.
fn opened(bytes: &[u8]) -> Result<&[u8], Damaged> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(Damaged::Checksum)?;
    if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
        return Err(Damaged::Checksum);
    }
    match body.split_first().ok_or(Damaged::Checksum)? {
        (&VERSION, body) => Ok(body),
        (&other, _) => Err(Damaged::Version(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::store::{FileRecord, Sha256, Verified};

    fn record() -> FileRecord {
        FileRecord {
            size: 7,
            sha256: Sha256::of(b""),
            h1: Some(crate::gomod::dirhash::hash_go_mod(b"")),
            from: "proxy.example.com".into(),
            seen: Timestamp(12),
            verified: Verified::None,
            by: None,
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = encode(&record());
        assert!(bytes.len() < 100, "{} bytes", bytes.len());
        assert_eq!(decode::<FileRecord>(&bytes).unwrap(), record());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(decode::<FileRecord>(&bad).is_err(), "byte {at} bit {bit}");
            }
        }
        assert!(decode::<FileRecord>(&[]).is_err());
    }

    #[test]
    fn what_is_sealed_and_wrong_all_the_same_is_damaged() {
        for version in [1, VERSION, 255] {
            for length in 0..100 {
                let mut bytes = vec![version];
                bytes.extend(std::iter::repeat_n(0xff, length));
                assert!(decode::<FileRecord>(&sealed(bytes)).is_err());
            }
        }
        // More than there should be.
        let mut long = encode(&record());
        long.truncate(long.len() - 4);
        long.push(0);
        assert!(matches!(
            decode::<FileRecord>(&sealed(long)),
            Err(Damaged::Form(_))
        ));
        assert!(decode::<u64>(&encode(&record())).is_err());
    }

    #[test]
    fn bytes_come_back_as_they_are() {
        let bytes = encode_bytes(b"\x00any\xff");
        assert_eq!(decode_bytes(&bytes).unwrap(), b"\x00any\xff");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(decode_bytes(&bad).is_err());
        }
    }
}
