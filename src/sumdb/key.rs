//! Verifier keys: `name+hash+key` (protocol.md 4.2, x/mod/sumdb/note).

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The signature algorithm's number: Ed25519 is the only one there is.
const ED25519_ALGORITHM: u8 = 1;

/// A key that verifies the notes of one database.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    hash: [u8; 4],
    key: [u8; 32],
}

/// What is wrong with a verifier key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not `name+hash+key`.
    #[error("a verifier key is written name+hash+key")]
    Malformed,
    /// Not a name that can sign notes.
    #[error("the key's name is empty or holds white space or a plus sign")]
    Name,
    /// The hash is not that of this name and key: a typing error, most likely.
    #[error("the key's hash does not fit its name and key; it is not copied whole, or altered")]
    Hash,
    /// Not Ed25519.
    #[error("the key is of an unknown kind; only Ed25519 is known")]
    Algorithm,
}

impl VerifierKey {
    /// Reads `name+hash+key`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Malformed);
        };
        if !is_name(name) {
            return Err(KeyError::Name);
        }
        let hex = hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = u32::from_str_radix(hash, 16)
            .ok()
            .filter(|_| hex)
            .ok_or(KeyError::Malformed)?;
        let bytes = STANDARD.decode(key).map_err(|_| KeyError::Malformed)?;
        let (&algorithm, key) = bytes.split_first().ok_or(KeyError::Malformed)?;
        if key_hash(name, &bytes) != hash.to_be_bytes() {
            return Err(KeyError::Hash);
        }
        if algorithm != ED25519_ALGORITHM {
            return Err(KeyError::Algorithm);
        }
        Ok(VerifierKey {
            name: name.to_owned(),
            hash: hash.to_be_bytes(),
            key: key.try_into().map_err(|_| KeyError::Malformed)?,
        })
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What signatures by this key begin with.
    pub fn hash(&self) -> [u8; 4] {
        self.hash
    }

    /// Whether `signature` is this key's over `text`.
    pub fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key)
            .verify(text, signature)
            .is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ED25519_ALGORITHM];
        bytes.extend_from_slice(&self.key);
        let hash = u32::from_be_bytes(self.hash);
        write!(f, "{}+{hash:08x}+{}", self.name, STANDARD.encode(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

/// The first four bytes of the hash of name and key.
fn key_hash(name: &str, key: &[u8]) -> [u8; 4] {
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update(key)
        .finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Whether this can name a signer.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    const TEST: &str =
        "localhost.localdev/sumdb+00000c67+AcTrnkbUA+TU4heY3hkjiSES/DSQniBqIeQ/YppAUtK6";

    #[test]
    fn c76_the_vector_keys_are_read_and_written_back() {
        for text in [PUBLIC, TEST] {
            assert_eq!(VerifierKey::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            VerifierKey::parse(TEST).unwrap().name(),
            "localhost.localdev/sumdb"
        );
    }

    #[test]
    fn c76_altered_keys_are_refused() {
        let bad = |text: &str| VerifierKey::parse(text).unwrap_err();
        assert_eq!(bad("sum.golang.org"), KeyError::Malformed);
        assert_eq!(bad(&PUBLIC.replace("033d", "133d")), KeyError::Hash);
        assert_eq!(bad(&PUBLIC.replace("Ac4z", "Ac4y")), KeyError::Hash);
        assert_eq!(bad(&PUBLIC.replace("sum.", "sun.")), KeyError::Hash);
        assert_eq!(
            bad(&PUBLIC.replace("033de0ae", "33de0ae")),
            KeyError::Malformed
        );
        assert_eq!(bad(&PUBLIC.replace("sum.", "su m.")), KeyError::Name);
        assert_eq!(bad(&format!("+{PUBLIC}")), KeyError::Name);
        assert_eq!(bad(&PUBLIC[..PUBLIC.len() - 1]), KeyError::Malformed);
    }
}
