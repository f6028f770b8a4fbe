//! The `h1:` hash of a module zip or go.mod (protocol.md 4.1, x/mod/sumdb/dirhash `Hash1`).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A hash of a module's files. Its text form is `h1:` and the base64 of its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct H1([u8; 32]);

/// Why no hash can be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// x/mod/sumdb/dirhash refuses such names: a line would be ambiguous.
    #[error("the file name {0:?} has a line break, so the module cannot be hashed")]
    NewlineInName(String),
    /// Text that is no hash.
    #[error("not a hash of the form \"h1:\" and 44 characters of base64")]
    Malformed,
}

impl H1 {
    /// Reads the text form; base64 must be complete and strict.
    pub fn parse(s: &str) -> Result<Self, HashError> {
        let digest = s.strip_prefix("h1:").ok_or(HashError::Malformed)?;
        let bytes = STANDARD.decode(digest).map_err(|_| HashError::Malformed)?;
        bytes.try_into().map(H1).map_err(|_| HashError::Malformed)
    }
}

impl fmt::Display for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("h1:")?;
        Base64Display::new(&self.0, &STANDARD).fmt(f)
    }
}

impl fmt::Debug for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for H1 {
    type Err = HashError;
    fn from_str(s: &str) -> Result<Self, HashError> {
        Self::parse(s)
    }
}

/// The text form in JSON, the 32 bytes elsewhere.
impl Serialize for H1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for H1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom),
            false => <[u8; 32]>::deserialize(deserializer).map(H1),
        }
    }
}

/// The hash over files given by name and SHA-256 of their content: the hash of one line
/// `hex(sha256)  name\n` per file, sorted by name bytewise.
pub fn hash1<S: AsRef<str>>(
    entries: impl IntoIterator<Item = (S, [u8; 32])>,
) -> Result<H1, HashError> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
    // Lines are short; the hash runs faster over many at once.
    let mut hash = Sha256::new();
    let mut lines = Vec::with_capacity(16 << 10);
    for (name, digest) in &entries {
        let name = name.as_ref();
        if name.contains('\n') {
            return Err(HashError::NewlineInName(name.to_owned()));
        }
        lines.extend_from_slice(&hex(digest));
        lines.extend_from_slice(b"  ");
        lines.extend_from_slice(name.as_bytes());
        lines.push(b'\n');
        if lines.len() > 8 << 10 {
            hash.update(&lines);
            lines.clear();
        }
    }
    hash.update(&lines);
    Ok(H1(hash.finalize().into()))
}

/// The hash of a go.mod, as it stands in go.sum behind `V/go.mod`.
pub fn hash_go_mod(body: &[u8]) -> H1 {
    let mut hash = Sha256::new();
    hash.update(hex(&Sha256::digest(body).into()));
    hash.update(b"  go.mod\n");
    H1(hash.finalize().into())
}

fn hex(digest: &[u8; 32]) -> [u8; 64] {
    let mut digits = [0; 64];
    // It fails only when the lengths do not fit.
    let _ = const_hex::encode_to_slice(digest, &mut digits);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sha(content: &str) -> [u8; 32] {
        Sha256::digest(content).into()
    }

    #[test]
    fn c56_h1_vectors() {
        let go_mod = "module example.com/m\n";
        assert_eq!(
            hash_go_mod(go_mod.as_bytes()).to_string(),
            "h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k="
        );
        assert_eq!(
            hash_go_mod(b"").to_string(),
            "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="
        );
        let mut files = vec![
            ("example.com/m@v1.0.0/m.go", sha("package m\n")),
            ("example.com/m@v1.0.0/go.mod", sha(go_mod)),
        ];
        assert_eq!(
            hash1(files.clone()).unwrap().to_string(),
            "h1:fCHMqo5ggHEQvwcrsN81zr5orRk5lClR36KRHpfUjKg="
        );
        files.push(("example.com/m@v1.0.0/sub/", sha("")));
        assert_eq!(
            hash1(files).unwrap().to_string(),
            "h1:8qOrKE7XNjK42DsWKc+AJAlTSJxQ70jV8EOLMmS8E5w="
        );
        assert_eq!(
            hash1::<&str>([]).unwrap().to_string(),
            "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
        assert_eq!(
            hash1([("go.mod", sha(go_mod))]),
            Ok(hash_go_mod(go_mod.as_bytes()))
        );
    }

    #[test]
    fn a_line_break_in_a_name_is_an_error() {
        assert_eq!(
            hash1([("a\nb", sha(""))]),
            Err(HashError::NewlineInName("a\nb".into()))
        );
    }

    #[test]
    fn text_form() {
        let text = "h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k=";
        assert_eq!(H1::parse(text).unwrap().to_string(), text);
        for bad in [
            "",
            "h1:",
            "h2:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k=",
            "h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k",
            "h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k=\n",
            "h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYF",
        ] {
            assert_eq!(H1::parse(bad), Err(HashError::Malformed), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn order_of_entries_does_not_matter(
            mut names in proptest::collection::vec("[a-zA-Z/.]{1,8}", 0..12),
        ) {
            let hash = |names: &[String]| hash1(names.iter().map(|n| (n.as_str(), sha(n))));
            let before = hash(&names);
            names.reverse();
            prop_assert_eq!(before, hash(&names));
        }
    }
}
