//! Lists of references: no panic, bounded, and every name means what the list says. The input is a revision, a line break,
//! and what git printed; or, behind a byte that neither begins with, what such a list is made of.
#![no_main]

use larder::vcs::{ObjectId, RefLimits, RefTable, Resolved};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

const LIMITS: RefLimits = RefLimits { refs: 50, name: 40 };

#[derive(Arbitrary, Debug)]
struct List<'a> {
    long: bool,
    lines: Vec<(Id, Name<'a>)>,
    revision: Revision<'a>,
    damage: Option<(u16, u8)>,
}

/// Few objects, so that references share them, some alike in their first digits.
#[derive(Arbitrary, Debug)]
struct Id(u8, u8);

impl Id {
    fn digits(&self, long: bool) -> String {
        let (length, start) = (if long { 64 } else { 40 }, usize::from(self.0 % 48));
        let digit = char::from_digit(u32::from(self.1 % 16), 16).unwrap_or('0');
        let same = "0123456789abcdef".repeat(3);
        let mut digits = same[..start.min(length)].to_owned();
        digits.extend(std::iter::repeat_n(digit, length - digits.len()));
        digits
    }
}

#[derive(Arbitrary, Debug)]
enum Name<'a> {
    Default,
    Head(Short<'a>),
    Tag(Short<'a>),
    Peeled(Short<'a>),
    Other(&'a str),
}

#[derive(Arbitrary, Debug)]
enum Short<'a> {
    Version(u8, u8, u8),
    Text(&'a str),
    /// A name that could be an object's.
    Digits(Id, u8),
}

impl Short<'_> {
    fn text(&self) -> String {
        match self {
            Short::Version(major, minor, patch) => format!("v{major}.{minor}.{patch}"),
            Short::Text(text) => (*text).to_owned(),
            Short::Digits(id, length) => id.digits(true)[..usize::from(length % 65)].to_owned(),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Revision<'a> {
    Of(u8),
    Short(Short<'a>),
    Full(&'a str),
}

impl List<'_> {
    fn names(&self) -> Vec<String> {
        let name = |name: &Name<'_>| match name {
            Name::Default => "HEAD".to_owned(),
            Name::Head(head) => format!("refs/heads/{}", head.text()),
            Name::Tag(tag) => format!("refs/tags/{}", tag.text()),
            Name::Peeled(tag) => format!("refs/tags/{}^{{}}", tag.text()),
            Name::Other(other) => (*other).to_owned(),
        };
        self.lines.iter().map(|(_, line)| name(line)).collect()
    }

    fn write(&self) -> (String, Vec<u8>) {
        let names = self.names();
        let lines = self.lines.iter().zip(&names);
        let lines = lines.map(|((id, _), name)| format!("{}\t{name}\n", id.digits(self.long)));
        let mut list = lines.collect::<String>().into_bytes();
        if let Some((at, flip)) = self.damage
            && !list.is_empty()
        {
            let at = usize::from(at) % list.len();
            list[at] ^= flip;
        }
        let revision = match &self.revision {
            Revision::Of(at) if !names.is_empty() => names[usize::from(*at) % names.len()].clone(),
            Revision::Of(_) => "HEAD".to_owned(),
            Revision::Short(short) => short.text(),
            Revision::Full(text) => (*text).to_owned(),
        };
        (revision, list)
    }
}

fuzz_target!(|input: &[u8]| {
    if let [0, built @ ..] = input {
        if let Ok(list) = List::arbitrary_take_rest(Unstructured::new(built)) {
            let (revision, text) = list.write();
            check(&revision, &text);
        }
        return;
    }
    let end = input.iter().position(|byte| *byte == b'\n');
    let (revision, list) = input.split_at(end.unwrap_or_default());
    check(std::str::from_utf8(revision).unwrap_or_default(), list);
});

fn check(revision: &str, list: &[u8]) {
    if let Some(id) = ObjectId::parse(revision) {
        assert_eq!(id.as_str(), revision);
    }
    let Ok(table) = RefTable::parse(list, LIMITS) else {
        return;
    };
    assert!(table.heads().count() + table.tags("").count() <= LIMITS.refs);
    for (name, id) in table.tags("") {
        assert!(name.len() <= LIMITS.name + "refs/tags/".len());
        assert_eq!(table.resolve(name), Resolved::Tag(id));
        assert!(table.tags_of(id).any(|tag| tag == name));
    }
    for (name, id) in table.heads() {
        let resolved = table.resolve(name);
        assert!(resolved == Resolved::Head(id) || table.tag(name).is_some());
    }
    match table.resolve(revision) {
        Resolved::Hash { name, id } => {
            assert!(id.as_str().starts_with(revision));
            let is_known = match name.split_once("refs/heads/") {
                Some(("", head)) => table.heads().any(|(known, of)| known == head && of == id),
                _ => match name.strip_prefix("refs/tags/") {
                    Some(tag) => table.tag(tag) == Some(id),
                    None => name == "HEAD" && table.head() == Some(id),
                },
            };
            assert!(is_known, "{name}");
        }
        Resolved::Default(id) => assert_eq!((revision, table.head()), ("HEAD", Some(id))),
        _ => {}
    }
}
