//! Tree heads: the size and root that a database has signed (protocol.md 4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::key::VerifierKey;
use super::merkle::Hash;
use super::note::{self, NoteError};

/// The largest size that is believed: what the reference's `int64` holds.
const MAX_SIZE: u64 = i64::MAX as u64;

/// A tree head with the note that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Records in the tree.
    pub size: u64,
    pub root: Hash,
    /// The signed note, as it came.
    pub note: Bytes,
}

impl Head {
    /// Verifies a signed tree note.
    pub fn open(note: Bytes, key: &VerifierKey) -> Result<Self, NoteError> {
        let text = note::open(&note, key)?;
        let (size, root) = tree(text).ok_or(NoteError::Malformed("it does not describe a tree"))?;
        Ok(Head { size, root, note })
    }

    /// Whether both describe the same tree.
    pub fn same_tree(&self, other: &Head) -> bool {
        self.size == other.size && self.root == other.root
    }
}

/// Reads a tree's text; lines may follow that we do not know.
fn tree(text: &str) -> Option<(u64, Hash)> {
    let mut lines = text.strip_prefix("go.sum database tree\n")?.splitn(3, '\n');
    let (size, root) = (number(lines.next()?)?, lines.next()?);
    // The root's line must have ended.
    lines.next()?;
    let root = STANDARD.decode(root).ok()?.try_into().ok()?;
    (size <= MAX_SIZE).then_some((size, root))
}

/// A decimal number without sign or leading zeros.
pub(super) fn number(text: &str) -> Option<u64> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_describes_a_tree() {
        let root = "2ZJU+biMn1sg8qlW7Layt3iXc+pN34nH7O1+xbSQ8e4=";
        let start = "go.sum database tree";
        assert_eq!(tree(&format!("{start}\n17\n{root}\n")).unwrap().0, 17);
        assert_eq!(tree(&format!("{start}\n0\n{root}\nmore\n")).unwrap().0, 0);
        for bad in [
            format!("{start}\n017\n{root}\n"),
            format!("{start}\n+17\n{root}\n"),
            format!("{start}\n-1\n{root}\n"),
            format!("{start}\n9223372036854775808\n{root}\n"),
            format!("{start}\n17\n{root}"),
            format!("{start}\n17\n{}\n", &root[4..]),
            format!("{start}\n17\n"),
            format!("go.sum database\n17\n{root}\n"),
            String::new(),
        ] {
            assert_eq!(tree(&bad), None, "{bad}");
        }
    }
}
