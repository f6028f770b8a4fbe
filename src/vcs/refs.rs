//! The references of a repository as `git ls-remote` lists them (protocol.md 6.3, checklist 99, 116
//! and 122; cmd/go/internal/modfetch/codehost `loadRefs` and `stat`).
//!
//! Every line comes from the server. A line that git would not write spoils the table, since then
//! something else has written it; a reference that nobody can ask for is passed over.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

/// The name of an object: 40 hex digits, or 64 in repositories that hash with SHA-256.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(Box<str>);

impl ObjectId {
    /// Reads a whole name in lower case.
    pub fn parse(s: &str) -> Option<Self> {
        (matches!(s.len(), 40 | 64) && is_hex(s)).then(|| Self(s.into()))
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, which is what pseudo-versions have.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ObjectId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// codehost `AllHex`.
fn is_hex(s: &str) -> bool {
    s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Fewest digits that are taken for an object's name (codehost `minHashDigits`).
const MIN_DIGITS: usize = 7;

/// How large a table may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefLimits {
    /// Heads and tags together.
    pub refs: usize,
    /// Bytes of a name.
    pub name: usize,
}

impl Default for RefLimits {
    fn default() -> Self {
        Self {
            refs: 500_000,
            name: 1024,
        }
    }
}

/// Why the list of references is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefsError {
    /// git writes a hash, a tab and a name.
    #[error("line {line} of the list of references is not one of git's")]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// One repository has one kind of hashes.
    #[error("line {line} of the list of references has a hash of another length")]
    MixedHashes {
        /// Counted from 1.
        line: usize,
    },
    /// [`RefLimits`].
    #[error("the repository has too many heads and tags (the limit is {limit})")]
    TooMany {
        /// The bound.
        limit: usize,
    },
}

/// HEAD, heads and tags with the objects they stand for; annotated tags stand for what they tag.
/// Ordered by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RefTable {
    head: Option<ObjectId>,
    heads: BTreeMap<Box<str>, ObjectId>,
    tags: BTreeMap<Box<str>, ObjectId>,
    is_sha256: bool,
}

/// What a revision is, as far as references tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved<'a> {
    /// A tag of this name.
    Tag(&'a ObjectId),
    /// A head of this name, and no tag.
    Head(&'a ObjectId),
    /// `HEAD` itself, if nothing else is called so.
    Default(&'a ObjectId),
    /// Hex digits with which the hash behind a reference begins.
    Hash {
        /// The first such reference by name: `HEAD`, `refs/heads/…`, `refs/tags/…`.
        name: String,
        /// What it stands for.
        id: &'a ObjectId,
    },
    /// Hex digits that may be those of a commit in the history of a head or a tag.
    InHistory,
    /// Hex digits with which more than one known hash begins.
    Ambiguous,
    /// Nothing that the repository could have.
    Unknown,
}

impl RefTable {
    /// Reads what `git ls-remote` printed.
    pub fn parse(output: &[u8], limits: RefLimits) -> Result<Self, RefsError> {
        let mut table = Self::default();
        let mut digits = None;
        let mut peeled = Vec::new();
        for (number, line) in (1..).zip(output.split(|&b| b == b'\n')) {
            if line.is_empty() {
                continue;
            }
            let malformed = || RefsError::Malformed { line: number };
            let tab = line.iter().position(|&b| b == b'\t');
            let (hash, name) = line.split_at(tab.ok_or_else(malformed)?);
            let id = std::str::from_utf8(hash)
                .ok()
                .and_then(ObjectId::parse)
                .ok_or_else(malformed)?;
            if *digits.get_or_insert(id.0.len()) != id.0.len() {
                return Err(RefsError::MixedHashes { line: number });
            }
            let name = &name[1..];
            if name.len() > limits.name {
                continue;
            }
            // Nobody can ask for other names, nor for those with spaces, which Go cannot read.
            let Ok(name) = std::str::from_utf8(name) else {
                continue;
            };
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
                continue;
            }
            table.insert(name, id, &mut peeled);
            let count = table.heads.len() + table.tags.len() + peeled.len();
            if count > limits.refs.saturating_mul(2) || table.len() > limits.refs {
                return Err(RefsError::TooMany { limit: limits.refs });
            }
        }
        for (name, id) in peeled {
            table.tags.insert(name, id);
        }
        if table.len() > limits.refs {
            return Err(RefsError::TooMany { limit: limits.refs });
        }
        table.is_sha256 = digits == Some(64);
        Ok(table)
    }

    fn insert(&mut self, name: &str, id: ObjectId, peeled: &mut Vec<(Box<str>, ObjectId)>) {
        if name == "HEAD" {
            self.head = Some(id);
        } else if let Some(head) = named(name, HEADS) {
            self.heads.insert(head.into(), id);
        } else if let Some(tag) = named(name, TAGS) {
            // No name of a reference has such an end by itself.
            match tag.strip_suffix("^{}") {
                Some(tag) => peeled.push((tag.into(), id)),
                None => {
                    self.tags.insert(tag.into(), id);
                }
            }
        }
    }

    fn len(&self) -> usize {
        self.heads.len() + self.tags.len()
    }

    /// Whether there is nothing at all, as in a repository without commits.
    pub fn is_empty(&self) -> bool {
        self.head.is_none() && self.len() == 0
    }

    /// About how much memory it takes. Bytes.
    pub fn weight(&self) -> u64 {
        // Names and hashes are allocated each by itself.
        const EACH: u64 = 96;
        let all = self.heads.iter().chain(&self.tags);
        all.map(|(name, id)| EACH + (name.len() + id.0.len()) as u64)
            .sum::<u64>()
            + EACH
    }

    /// What `HEAD` stands for.
    pub fn head(&self) -> Option<&ObjectId> {
        self.head.as_ref()
    }

    /// What the tag stands for.
    pub fn tag(&self, name: &str) -> Option<&ObjectId> {
        self.tags.get(name)
    }

    /// The heads and what they stand for, by name.
    pub fn heads(&self) -> impl Iterator<Item = (&str, &ObjectId)> {
        self.heads.iter().map(|(name, id)| (&**name, id))
    }

    /// The tags whose names begin so, whole names, by name.
    pub fn tags(&self, prefix: &str) -> impl Iterator<Item = (&str, &ObjectId)> {
        let from: (std::ops::Bound<&str>, _) = (
            std::ops::Bound::Included(prefix),
            std::ops::Bound::Unbounded,
        );
        self.tags
            .range::<str, _>(from)
            .map(|(name, id)| (&**name, id))
            .take_while(move |(name, _)| name.starts_with(prefix))
    }

    /// The tags of one object, by name.
    pub fn tags_of<'a>(&'a self, id: &'a ObjectId) -> impl Iterator<Item = &'a str> {
        self.tags
            .iter()
            .filter(move |(_, of)| *of == id)
            .map(|(name, _)| &**name)
    }

    /// How many digits a whole hash has in this repository.
    pub fn digits(&self) -> usize {
        if self.is_sha256 { 64 } else { 40 }
    }

    /// Whether these can be the first digits of a hash, or all of them.
    pub fn may_be_hash(&self, rev: &str) -> bool {
        (MIN_DIGITS..=self.digits()).contains(&rev.len()) && is_hex(rev)
    }

    /// What a revision is: a tag, a head, `HEAD` or digits of a hash, in this order (protocol.md
    /// 6.3, steps 2 to 5). Names are taken as they are: `~`, `^`, `:` and `@{}` mean nothing.
    pub fn resolve(&self, rev: &str) -> Resolved<'_> {
        if let Some(id) = self.tags.get(rev) {
            return Resolved::Tag(id);
        }
        if let Some(id) = self.heads.get(rev) {
            return Resolved::Head(id);
        }
        if rev == "HEAD" {
            return self
                .head
                .as_ref()
                .map_or(Resolved::Unknown, Resolved::Default);
        }
        if !self.may_be_hash(rev) {
            return Resolved::Unknown;
        }
        let of = |kind: &'static str| move |(name, id)| (kind, name, id);
        let all = (self.head.iter().map(|id| ("HEAD", "", id)))
            .chain(self.heads().map(of(HEADS)))
            .chain(self.tags("").map(of(TAGS)));
        // They come in the order of their whole names.
        let mut found: Option<(&str, &str, &ObjectId)> = None;
        for this in all.filter(|(_, _, id)| id.0.starts_with(rev)) {
            match found {
                None => found = Some(this),
                Some((_, _, id)) if id != this.2 => return Resolved::Ambiguous,
                Some(_) => {}
            }
        }
        match found {
            Some((kind, name, id)) => Resolved::Hash {
                name: format!("{kind}{name}"),
                id,
            },
            None => Resolved::InHistory,
        }
    }
}

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

fn named<'a>(name: &'a str, kind: &str) -> Option<&'a str> {
    name.strip_prefix(kind).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "aaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn table(lines: &[(&str, &str)]) -> RefTable {
        let text: String = lines
            .iter()
            .map(|(id, name)| format!("{id}\t{name}\n"))
            .collect();
        RefTable::parse(text.as_bytes(), RefLimits::default()).unwrap()
    }

    fn id(s: &str) -> ObjectId {
        ObjectId::parse(s).unwrap()
    }

    #[test]
    fn c116_annotated_tags_stand_for_what_they_tag() {
        for order in [[0, 1], [1, 0]] {
            let lines = [(B, "refs/tags/v1.0.0"), (A, "refs/tags/v1.0.0^{}")];
            let table = table(&order.map(|i| lines[i]));
            assert_eq!(table.resolve("v1.0.0"), Resolved::Tag(&id(A)));
            assert_eq!(table.tags("").count(), 1);
        }
    }

    /// Written by git 2.39.
    const WRITTEN: &str = "\
        39595565b703e051d6a25914aa996c82f80a71ce\tHEAD\n\
        39595565b703e051d6a25914aa996c82f80a71ce\trefs/heads/master\n\
        39595565b703e051d6a25914aa996c82f80a71ce\trefs/heads/v1.0.0\n\
        39595565b703e051d6a25914aa996c82f80a71ce\trefs/pull/1/head\n\
        39595565b703e051d6a25914aa996c82f80a71ce\trefs/tags/-x\n\
        39595565b703e051d6a25914aa996c82f80a71ce\trefs/tags/a\u{a0}b\n\
        78981922613b2afb6025042ff6bd878ac1994e85\trefs/tags/blob\n\
        6069638ba8830efb8a88ac52cf6ee8a14e9751e8\trefs/tags/nested\n\
        39595565b703e051d6a25914aa996c82f80a71ce\trefs/tags/nested^{}\n\
        39595565b703e051d6a25914aa996c82f80a71ce\trefs/tags/v1.0.0\n\
        cbc405b3856476be99ae77b2146a25ce8448473a\trefs/tags/v1.1.0\n\
        39595565b703e051d6a25914aa996c82f80a71ce\trefs/tags/v1.1.0^{}\n\
        39595565b703e051d6a25914aa996c82f80a71ce\trefs/tags/é\n\
        ";

    #[test]
    fn c116_what_git_writes() {
        let table = RefTable::parse(WRITTEN.as_bytes(), RefLimits::default()).unwrap();
        let head = table.head().unwrap();
        assert_eq!(head.short(), "39595565b703");
        let tags: Vec<_> = table.tags_of(head).collect();
        assert_eq!(tags, ["-x", "nested", "v1.0.0", "v1.1.0", "é"]);
        assert_eq!(table.tags("").count(), 6);
        let heads: Vec<_> = table.heads().map(|(name, _)| name).collect();
        assert_eq!(heads, ["master", "v1.0.0"]);
        // The tag itself, not what it tags, is in the history at best.
        assert_eq!(table.resolve("cbc405b38564"), Resolved::InHistory);
    }

    #[test]
    fn c99_the_order_of_look_ups() {
        let table = table(&[
            (A, "HEAD"),
            (A, "refs/heads/main"),
            (B, "refs/heads/v1.0.0"),
            (A, "refs/heads/v1.1.0"),
            (B, "refs/tags/v1.1.0"),
            (B, "refs/heads/deadbeef"),
            (A, "refs/pull/1/head"),
            (B, "refs/tags/sub/v1.0.0"),
        ]);
        let (a, b) = (id(A), id(B));
        assert_eq!(table.resolve("main"), Resolved::Head(&a));
        assert_eq!(table.resolve("v1.0.0"), Resolved::Head(&b));
        assert_eq!(table.resolve("v1.1.0"), Resolved::Tag(&b));
        assert_eq!(table.resolve("deadbeef"), Resolved::Head(&b));
        assert_eq!(table.resolve("HEAD"), Resolved::Default(&a));
        assert_eq!(table.resolve("deadbee"), Resolved::InHistory);
        for rev in [
            "pull/1/head",
            "refs/heads/main",
            "heads/main",
            "main~0",
            "main^",
            "main^{}",
            "main:go.mod",
            "main@{0}",
            "@",
            "",
            "abcdef",
            "ABCDEF0",
            "xabcdef",
            "--all",
            "sub",
        ] {
            assert_eq!(table.resolve(rev), Resolved::Unknown, "{rev}");
        }
        assert_eq!(table.resolve(&"c".repeat(40)), Resolved::InHistory);
        assert_eq!(table.resolve(&"c".repeat(41)), Resolved::Unknown);
        assert_eq!(table.resolve("refs/heads/main"), Resolved::Unknown);
    }

    #[test]
    fn digits_of_hashes() {
        let table = table(&[
            (A, "HEAD"),
            (A, "refs/heads/main"),
            (C, "refs/heads/x"),
            (B, "refs/tags/z"),
            (B, "refs/heads/z"),
        ]);
        assert_eq!(table.resolve("aaaaaaa"), Resolved::Ambiguous);
        let hash = |name: &str, of: &'static str| (name.to_owned(), id(of));
        for (rev, found) in [
            ("aaaaaaaa", hash("HEAD", A)),
            (A, hash("HEAD", A)),
            ("aaaaaaab", hash("refs/heads/x", C)),
            ("bbbbbbb", hash("refs/heads/z", B)),
        ] {
            let (name, id) = &found;
            let name = name.clone();
            assert_eq!(table.resolve(rev), Resolved::Hash { name, id });
        }
        assert_eq!(id(A).short(), "aaaaaaaaaaaa");
        assert_eq!(table.digits(), 40);
    }

    #[test]
    fn repositories_with_sha256() {
        let (long, other) = ("ab".repeat(32), "cd".repeat(32));
        let table = table(&[(&long, "HEAD"), (&long, "refs/tags/v1.0.0")]);
        assert_eq!(table.digits(), 64);
        assert_eq!(table.resolve(&other), Resolved::InHistory);
        assert!(matches!(table.resolve(&long[..50]), Resolved::Hash { .. }));
        let mixed = format!("{A}\tHEAD\n{long}\trefs/heads/x\n");
        assert_eq!(
            RefTable::parse(mixed.as_bytes(), RefLimits::default()),
            Err(RefsError::MixedHashes { line: 2 })
        );
    }

    #[test]
    fn tags_in_order_and_by_prefix() {
        let table = table(&[
            (A, "refs/tags/v1.10.0"),
            (B, "refs/tags/sub/v1.0.0"),
            (A, "refs/tags/v1.2.0"),
            (A, "refs/tags/sub2/v1.0.0"),
            (A, "refs/tags/sub"),
            (A, "refs/tags/-x"),
        ]);
        let names = |prefix| table.tags(prefix).map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names("sub/"), ["sub/v1.0.0"]);
        assert_eq!(names("v1.1"), ["v1.10.0"]);
        assert_eq!(names("w"), Vec::<&str>::new());
        let a = id(A);
        assert_eq!(
            table.tags_of(&a).collect::<Vec<_>>(),
            ["-x", "sub", "sub2/v1.0.0", "v1.10.0", "v1.2.0"]
        );
        assert_eq!(table.tag("sub/v1.0.0"), Some(&id(B)));
    }

    #[test]
    fn c119_nothing_there() {
        assert!(table(&[]).is_empty());
        assert!(table(&[(A, "refs/pull/1/head")]).is_empty());
        assert!(!table(&[(A, "refs/heads/main")]).is_empty());
        assert_eq!(table(&[]).resolve("HEAD"), Resolved::Unknown);
        assert_eq!(table(&[]).resolve(A), Resolved::InHistory);
    }

    #[test]
    fn c122_what_git_does_not_write() {
        let parse = |text: &[u8]| RefTable::parse(text, RefLimits::default());
        for line in [
            "--upload-pack=x\tHEAD".to_owned(),
            "\tHEAD".to_owned(),
            A.to_owned(),
            format!("{A} HEAD"),
            format!("{}\tHEAD", A.to_uppercase()),
            format!("{}\tHEAD", &A[1..]),
            format!(" {A}\tHEAD"),
            "ref: refs/heads/main\tHEAD".to_owned(),
        ] {
            let text = format!("{A}\tHEAD\n{line}\n");
            assert_eq!(
                parse(text.as_bytes()),
                Err(RefsError::Malformed { line: 2 }),
                "{line}"
            );
        }
        // Odd names are passed over.
        for name in [
            "",
            "refs/tags/",
            "refs/tags/a b",
            "refs/tags/a\u{a0}b",
            "refs/tags/a\u{1}",
            "refs/tags/x\r",
        ] {
            let text = format!("{A}\t{name}\n");
            assert_eq!(
                parse(text.as_bytes()).unwrap(),
                RefTable::default(),
                "{name}"
            );
        }
        let long = format!("{A}\trefs/tags/{}\n", "a".repeat(1024));
        assert!(parse(long.as_bytes()).unwrap().is_empty());
        let bytes = [A.as_bytes(), b"\trefs/tags/\xff\n"].concat();
        assert!(parse(&bytes).unwrap().is_empty());
    }

    #[test]
    fn tables_are_bounded() {
        let limits = RefLimits { refs: 3, name: 20 };
        let of = |names: &[&str]| {
            let text: String = names.iter().map(|name| format!("{A}\t{name}\n")).collect();
            RefTable::parse(text.as_bytes(), limits)
        };
        let three = [
            "refs/heads/a",
            "refs/tags/a",
            "refs/tags/b",
            "HEAD",
            "refs/pull/1",
        ];
        assert!(of(&three).is_ok());
        assert!(
            of(&[
                "refs/tags/a",
                "refs/tags/a^{}",
                "refs/tags/b",
                "refs/tags/b^{}"
            ])
            .is_ok()
        );
        let error = RefsError::TooMany { limit: 3 };
        assert_eq!(
            of(&["refs/heads/a", "refs/heads/b", "refs/tags/a", "refs/tags/b"]),
            Err(error.clone())
        );
        let peeled = [
            "refs/tags/a^{}",
            "refs/tags/b^{}",
            "refs/tags/c^{}",
            "refs/tags/d^{}",
        ];
        assert_eq!(of(&peeled), Err(error.clone()));
        let same: Vec<_> = std::iter::repeat_n("refs/tags/a^{}", 7).collect();
        assert_eq!(of(&same), Err(error));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), rev in "\\PC{0,8}") {
            if let Ok(table) = RefTable::parse(&bytes, RefLimits::default()) {
                let _ = table.resolve(&rev);
            }
        }

        #[test]
        fn the_order_of_lines_means_nothing(lines in proptest::collection::hash_map("(refs/(heads|tags)/[ab^{}]{1,3}|HEAD)", "[ab]", 0..8), rev in "a{7,9}") {
            let lines: Vec<_> = lines.iter().map(|(name, id)| format!("{}\t{name}", id.repeat(40))).collect();
            let parse = |lines: Vec<String>| RefTable::parse(lines.join("\n").as_bytes(), RefLimits::default()).unwrap();
            let backwards = parse(lines.iter().rev().cloned().collect());
            let table = parse(lines);
            prop_assert_eq!(table.resolve(&rev), backwards.resolve(&rev));
            prop_assert_eq!(&table, &backwards);
        }
    }
}
