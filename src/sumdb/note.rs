//! Signed notes (protocol.md 4.2, x/mod/sumdb/note): a text and the signatures below it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::key::{VerifierKey, is_name};

/// Signatures of a note at the most.
const MOST_SIGNATURES: usize = 100;

/// Why a note is not believed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoteError {
    /// Not a note at all.
    #[error("it is not a signed note: {0}")]
    Malformed(&'static str),
    /// A signature in the key's name that the key did not make.
    #[error("its signature is not the database's")]
    Invalid,
    /// Signed by nobody we know.
    #[error("it is not signed with the database's key")]
    Unsigned,
}

/// Verifies a note; gives its text, which ends in a newline.
pub fn open<'a>(note: &'a [u8], key: &VerifierKey) -> Result<&'a str, NoteError> {
    let note = clean_text(note).ok_or(NoteError::Malformed(
        "it is not UTF-8, or holds control characters",
    ))?;
    let end = note
        .rfind("\n\n")
        .ok_or(NoteError::Malformed("it has no blank line"))?;
    let (text, signatures) = (&note[..=end], &note[end + 2..]);
    let lines = signatures
        .strip_suffix('\n')
        .ok_or(NoteError::Malformed("it has no signature"))?;
    let mut verified = false;
    for (count, line) in lines.split('\n').enumerate() {
        if count >= MOST_SIGNATURES {
            return Err(NoteError::Malformed("it has too many signatures"));
        }
        let (name, signature) =
            signature(line).ok_or(NoteError::Malformed("one of its signatures cannot be read"))?;
        let ours = name == key.name() && signature[..4] == key.hash();
        // A second signature by the same key is ignored, as the reference does.
        if ours && !verified {
            if !key.verify(text.as_bytes(), &signature[4..]) {
                return Err(NoteError::Invalid);
            }
            verified = true;
        }
    }
    if verified {
        Ok(text)
    } else {
        Err(NoteError::Unsigned)
    }
}

/// `— name base64`, at least five bytes of it.
fn signature(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    (is_name(name) && bytes.len() >= 5).then_some((name, bytes))
}

/// UTF-8 without control characters but newlines.
pub(super) fn clean_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.bytes().any(|byte| byte < 0x20 && byte != b'\n')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Signer;
    use super::*;

    const TEXT: &str = "go.sum database tree\n1\n2ZJU+biMn1sg8qlW7Layt3iXc+pN34nH7O1+xbSQ8e4=\n";

    #[test]
    fn c76_good_notes_open() {
        let (ours, other) = (Signer::new("a.example/db", 1), Signer::new("b", 2));
        let key = ours.verifier();
        assert_eq!(open(ours.sign(TEXT).as_bytes(), &key), Ok(TEXT));
        let with_other = format!("{}{}", other.sign(TEXT), ours.signature(TEXT));
        assert_eq!(open(with_other.as_bytes(), &key), Ok(TEXT));
        // A blank line within the text: the last one counts.
        let two = format!("first\n\n{TEXT}");
        assert_eq!(open(ours.sign(&two).as_bytes(), &key), Ok(&*two));
    }

    #[test]
    fn c76_bad_notes_do_not() {
        let ours = Signer::new("a.example/db", 1);
        let (key, note) = (ours.verifier(), ours.sign(TEXT));
        let bad = |note: &str| open(note.as_bytes(), &key).unwrap_err();
        assert_eq!(bad(&note.replace("tree\n1", "tree\n2")), NoteError::Invalid);
        assert_eq!(bad(&Signer::new("b", 2).sign(TEXT)), NoteError::Unsigned);
        // Same name, other key: its hash is not known.
        assert_eq!(
            bad(&Signer::new("a.example/db", 2).sign(TEXT)),
            NoteError::Unsigned
        );
        for malformed in [
            note.replace("\n\n", "\n"),
            note.replace("tree", "tr\tee"),
            note.trim_end().to_owned(),
            TEXT.to_owned(),
            format!("{TEXT}\n"),
            note.replace('\u{2014}', "-"),
            format!("{note}\u{2014} a.example/db AAAA\n"),
            format!("{note}rubbish\n"),
            note.clone() + &Signer::new("b", 2).signature(TEXT).repeat(100),
        ] {
            assert!(
                matches!(bad(&malformed), NoteError::Malformed(_)),
                "{malformed}"
            );
        }
        assert!(open(b"\xff\n\n\xe2\x80\x94 a b\n", &key).is_err());
    }

    #[test]
    fn c76_every_flipped_bit_is_noticed() {
        let ours = Signer::new("a.example/db", 1);
        let (key, note) = (ours.verifier(), ours.sign(TEXT).into_bytes());
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut bad = note.clone();
                bad[at] ^= 1 << bit;
                // The unused bits of the last base64 digit are none of the signature; the decoder refuses them too.
                assert!(open(&bad, &key).is_err(), "byte {at} bit {bit}");
            }
        }
    }
}
