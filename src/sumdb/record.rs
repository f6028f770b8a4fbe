//! Records: what a database says of one version (protocol.md 4.2 and 4.5).

use bytes::Bytes;
use thiserror::Error;

use super::head::number;
use super::merkle::{Hash, leaf};
use super::note::clean_text;
use crate::gomod::{ModulePath, Version};

/// The body of a look-up, taken apart but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log.
    pub id: u64,
    /// The record itself, which is what is hashed: nothing else of the body says anything about a module.
    pub text: Bytes,
    /// The signed tree note below it.
    pub note: Bytes,
}

/// Not the body of a look-up.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("it is not a record: {0}")]
pub struct RecordError(&'static str);

/// What the database says of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Of its zip: `h1:…`, as written.
    pub zip: Vec<String>,
    pub go_mod: Vec<String>,
}

impl Record {
    /// Takes a body apart: `id`, text, blank line, note.
    pub fn parse(body: &Bytes) -> Result<Self, RecordError> {
        let text =
            clean_text(body).ok_or(RecordError("it is not UTF-8, or holds control characters"))?;
        let (id, rest) = text
            .split_once('\n')
            .ok_or(RecordError("it has one line only"))?;
        let id = number(id).ok_or(RecordError("it does not begin with a number"))?;
        let end = rest
            .find("\n\n")
            .ok_or(RecordError("it has no blank line"))?;
        let start = text.len() - rest.len();
        if end == 0 || rest.starts_with('\n') {
            return Err(RecordError("it is empty"));
        }
        Ok(Record {
            id,
            text: body.slice(start..=start + end),
            note: body.slice(start + end + 2..),
        })
    }

    /// Its hash in the tree.
    pub fn leaf(&self) -> Hash {
        leaf(&self.text)
    }

    /// The hashes of a version that it names.
    pub fn sums(&self, module: &ModulePath, version: &Version) -> Sums {
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        let all = |prefix: String| {
            text.lines()
                .filter_map(|line| line.strip_prefix(prefix.as_str()))
                .filter(|hash| hash.starts_with("h1:"))
                .map(str::to_owned)
                .collect()
        };
        Sums {
            zip: all(format!("{} {} ", module.as_str(), version.as_str())),
            go_mod: all(format!("{} {}/go.mod ", module.as_str(), version.as_str())),
        }
    }
}

/// The texts in a tile of records: each is followed by a blank line. `None` if it is not such a tile.
pub fn texts(tile: &[u8]) -> Option<Vec<&str>> {
    let text = clean_text(tile)?.strip_suffix("\n\n")?;
    let texts: Vec<&str> = text.split("\n\n").collect();
    let sound = |text: &&str| !text.is_empty() && !text.starts_with('\n') && !text.ends_with('\n');
    texts.iter().all(sound).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "7\na.com/M v1.0.0 h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k=\na.com/M v1.0.0/go.mod h1:fCHMqo5ggHEQvwcrsN81zr5orRk5lClR36KRHpfUjKg=\n\nnote\n";

    fn parse(body: &str) -> Result<Record, RecordError> {
        Record::parse(&Bytes::copy_from_slice(body.as_bytes()))
    }

    fn sums(body: &str, module: &str, version: &str) -> (usize, usize) {
        let (module, version) = (
            ModulePath::parse(module).unwrap(),
            Version::parse(version).unwrap(),
        );
        let sums = parse(body).unwrap().sums(&module, &version);
        (sums.zip.len(), sums.go_mod.len())
    }

    #[test]
    fn taken_apart() {
        let record = parse(BODY).unwrap();
        assert_eq!(record.id, 7);
        assert!(record.text.ends_with(b"jKg=\n"));
        assert_eq!(record.note, "note\n");
        assert_eq!(sums(BODY, "a.com/M", "v1.0.0"), (1, 1));
        for bad in [
            "",
            "7",
            "7\n",
            "07\na\n\nn\n",
            "-7\na\n\nn\n",
            "a\n\nn\n",
            "7\n\nn\n",
            "7\n\n\nn\n",
            "7\na\n",
            "7\na\tb\n\nn\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn c78_only_what_is_named() {
        assert_eq!(sums(BODY, "a.com/m", "v1.0.0"), (0, 0));
        assert_eq!(sums(BODY, "a.com/M", "v1.0.1"), (0, 0));
        assert_eq!(sums(BODY, "a.com/M/v2", "v2.0.0"), (0, 0));
    }

    #[test]
    fn c79_lines_outside_the_text_say_nothing() {
        let forged = BODY.replace("a.com/M", "a.com/other");
        let line = "a.com/M v1.0.0 h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k=\n";
        assert_eq!(
            sums(&format!("{forged}{line}"), "a.com/M", "v1.0.0"),
            (0, 0)
        );
        assert_eq!(
            sums(&format!("{forged}\n{line}\nnote\n"), "a.com/M", "v1.0.0"),
            (0, 0)
        );
        assert!(parse(&format!("{line}{forged}")).is_err());
    }

    #[test]
    fn tiles_of_records() {
        assert_eq!(texts(b"a\nb\n\nc\n\n"), Some(vec!["a\nb", "c"]));
        for bad in ["", "a\n", "a", "a\n\n\nb\n\n", "\n\n", "\na\n\n", "a\n\n\n"] {
            assert_eq!(texts(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
