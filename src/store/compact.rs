//! The compact form of records of files, of which there are millions: hashes as their 32 bytes, numbers as varints
//! (LEB128, seven bits a byte, the lowest first), text by its length.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | flags: bits 0 and 1 what vouches for it (0 `none`, 1 `pin`, 2 `sumdb`), bit 2 an h1, bit 3 a `by` |
//! | varint | size |
//! | varint | first seen, milliseconds |
//! | 32 | SHA-256 |
//! | 32 | the h1, if bit 2 is set |
//! | varint, text | where from |
//! | varint, text | by, if bit 3 is set |
//!
//! There is one form of each record and nothing else decodes: what does not is damaged or of a later version.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::record::{FileRecord, Verified};
use crate::clock::Timestamp;

const H1: u8 = 1 << 2;
const BY: u8 = 1 << 3;
const PREFIX: &str = "h1:";

/// Appends the compact form; `None` if the record has none, since its hashes are not written as they should be.
pub fn encode(record: &FileRecord, to: &mut Vec<u8>) -> Option<()> {
    let sha256 = unhex(&record.sha256)?;
    let h1 = match &record.h1 {
        Some(text) => Some(hash_of(text)?),
        None => None,
    };
    let verified = match record.verified {
        Verified::None => 0,
        Verified::Pin => 1,
        Verified::Sumdb => 2,
    };
    let flag = |there: bool, flag: u8| if there { flag } else { 0 };
    to.push(verified | flag(h1.is_some(), H1) | flag(record.by.is_some(), BY));
    put_number(to, record.size);
    put_number(to, record.seen.0);
    to.extend_from_slice(&sha256);
    to.extend(h1.iter().flatten());
    put_text(to, &record.from);
    if let Some(by) = &record.by {
        put_text(to, by);
    }
    Some(())
}

/// Reads the compact form; `None` if it is not one.
pub fn decode(bytes: &[u8]) -> Option<FileRecord> {
    let mut left = Reader(bytes);
    let [flags] = left.array()?;
    if flags & !(H1 | BY | 3) != 0 {
        return None;
    }
    let verified = match flags & 3 {
        0 => Verified::None,
        1 => Verified::Pin,
        2 => Verified::Sumdb,
        _ => return None,
    };
    let size = left.number()?;
    let seen = Timestamp(left.number()?);
    let sha256 = hex(&left.array()?);
    let h1 = match flags & H1 {
        0 => None,
        _ => Some(format!("{PREFIX}{}", STANDARD.encode(left.array::<32>()?))),
    };
    let from = left.text()?;
    let by = match flags & BY {
        0 => None,
        _ => Some(left.text()?),
    };
    left.0.is_empty().then_some(FileRecord {
        size,
        sha256,
        h1,
        from,
        seen,
        verified,
        by,
    })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..10 {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if place == 9 && bits > 1 {
                return None;
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                // A last byte of nothing would be a second form of the same number.
                return (byte != 0 || place == 0).then_some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    to.push(number as u8);
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    put_number(to, text.len() as u64);
    to.extend_from_slice(text.as_bytes());
}

/// The bytes of an h1, if its text is what these bytes give again.
fn hash_of(text: &str) -> Option<[u8; 32]> {
    let base64 = text.strip_prefix(PREFIX)?;
    let hash: [u8; 32] = STANDARD.decode(base64).ok()?.try_into().ok()?;
    (STANDARD.encode(hash) == base64).then_some(hash)
}

fn hex(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let half = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = half(*high)? << 4 | half(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records() -> impl Strategy<Value = FileRecord> {
        let verified = prop_oneof![
            Just(Verified::None),
            Just(Verified::Pin),
            Just(Verified::Sumdb)
        ];
        let h1 = proptest::option::of(any::<[u8; 32]>());
        let by = proptest::option::of(".{0,200}");
        (
            any::<u64>(),
            any::<[u8; 32]>(),
            h1,
            ".{0,200}",
            any::<u64>(),
            verified,
            by,
        )
            .prop_map(|(size, sha256, h1, from, seen, verified, by)| FileRecord {
                size,
                sha256: hex(&sha256),
                h1: h1.map(|h1| format!("{PREFIX}{}", STANDARD.encode(h1))),
                from,
                seen: Timestamp(seen),
                verified,
                by,
            })
    }

    fn encoded(record: &FileRecord) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(record, &mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn round_trip(record in records()) {
            let bytes = encoded(&record);
            prop_assert_eq!(decode(&bytes), Some(record));
        }

        #[test]
        fn what_is_cut_off_or_has_more_is_refused(record in records(), more in any::<u8>()) {
            let mut bytes = encoded(&record);
            for length in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..length]), None);
            }
            bytes.push(more);
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn anything_decodes_to_what_it_is_the_form_of(bytes in any::<Vec<u8>>()) {
            if let Some(record) = decode(&bytes) {
                prop_assert_eq!(encoded(&record), bytes);
            }
        }

        #[test]
        fn a_changed_byte_gives_no_second_form(record in records(), at in any::<prop::sample::Index>(), to: u8) {
            let mut bytes = encoded(&record);
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Some(other) = decode(&bytes) {
                prop_assert_eq!(encoded(&other), bytes);
            }
        }
    }

    #[test]
    fn numbers_have_one_form() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            assert_eq!(Reader(&bytes).number(), Some(number));
        }
        assert_eq!(Reader(&[0x80, 0]).number(), None);
        assert_eq!(Reader(&[0xff; 11]).number(), None);
        let mut too_large = [0xff; 10];
        too_large[9] = 2;
        assert_eq!(Reader(&too_large).number(), None);
    }

    #[test]
    fn a_usual_record_is_small() {
        let record = FileRecord {
            size: 40_000,
            sha256: hex(&[0xa5; 32]),
            h1: Some(format!("{PREFIX}{}", STANDARD.encode([7; 32]))),
            from: "proxy.example.com".into(),
            seen: Timestamp(1_700_000_000_000),
            verified: Verified::Sumdb,
            by: Some("sum.example.com".into()),
        };
        assert!(encoded(&record).len() < 110);
    }

    #[test]
    fn hashes_of_another_form_have_no_compact_record() {
        let mut record = FileRecord {
            size: 1,
            sha256: hex(&[0xa5; 32]),
            h1: None,
            from: String::new(),
            seen: Timestamp(0),
            verified: Verified::None,
            by: None,
        };
        assert!(encode(&record, &mut Vec::new()).is_some());
        record.h1 = Some("h1:x=".into());
        assert!(encode(&record, &mut Vec::new()).is_none());
        record.h1 = None;
        record.sha256 = record.sha256.to_uppercase();
        assert!(encode(&record, &mut Vec::new()).is_none());
    }
}
