//! The `h1:` hash of a module zip or go.mod (protocol.md 4.1, x/mod/sumdb/dirhash `Hash1`).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// A hash in its text form, `h1:` and the base64 of 32 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct H1(String);

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
        match STANDARD.decode(digest) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self(s.to_owned())),
            _ => Err(HashError::Malformed),
        }
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_digest(digest: &[u8]) -> Self {
        Self(format!("h1:{}", STANDARD.encode(digest)))
    }
}

impl fmt::Display for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for H1 {
    type Err = HashError;
    fn from_str(s: &str) -> Result<Self, HashError> {
        Self::parse(s)
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
        for &b in digest {
            lines.extend_from_slice(&hex(b));
        }
        lines.extend_from_slice(b"  ");
        lines.extend_from_slice(name.as_bytes());
        lines.push(b'\n');
        if lines.len() > 8 << 10 {
            hash.update(&lines);
            lines.clear();
        }
    }
    hash.update(&lines);
    Ok(H1::from_digest(&hash.finalize()))
}

/// The hash of a go.mod, as it stands in go.sum behind `V/go.mod`.
pub fn hash_go_mod(body: &[u8]) -> H1 {
    let mut hash = Sha256::new();
    for b in Sha256::digest(body) {
        hash.update(hex(b));
    }
    hash.update(b"  go.mod\n");
    H1::from_digest(&hash.finalize())
}

fn hex(b: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]
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
            hash_go_mod(go_mod.as_bytes()).as_str(),
            "h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k="
        );
        assert_eq!(
            hash_go_mod(b"").as_str(),
            "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="
        );
        let mut files = vec![
            ("example.com/m@v1.0.0/m.go", sha("package m\n")),
            ("example.com/m@v1.0.0/go.mod", sha(go_mod)),
        ];
        assert_eq!(
            hash1(files.clone()).unwrap().as_str(),
            "h1:fCHMqo5ggHEQvwcrsN81zr5orRk5lClR36KRHpfUjKg="
        );
        files.push(("example.com/m@v1.0.0/sub/", sha("")));
        assert_eq!(
            hash1(files).unwrap().as_str(),
            "h1:8qOrKE7XNjK42DsWKc+AJAlTSJxQ70jV8EOLMmS8E5w="
        );
        assert_eq!(
            hash1::<&str>([]).unwrap().as_str(),
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
