//! The tar archives that `git archive` writes, and no others.
//!
//! Names come from strangers and may hold any byte but NUL. Long ones stand in extended headers, whose records are found
//! by their lengths: a line break in a name ends nothing, so that no name can pass for another record. What git would not
//! write is refused.

use std::io;

use thiserror::Error;

use crate::gomod::zip::ReadAt;

/// Everything is padded to blocks of this size.
const BLOCK: u64 = 512;
/// Longest extended header: room for a name and the target of a link. Ours.
const MAX_EXTENDED: u64 = 1 << 20;

/// Why an archive cannot be read.
#[derive(Debug, Error)]
pub enum TarError {
    /// Reading failed; says nothing about the archive.
    #[error("reading it failed: {0}")]
    Io(#[from] io::Error),
    /// Git does not write that.
    #[error("malformed at byte {at}: {what}")]
    Malformed {
        /// Where the header begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A name that is longer than any that can be used.
    #[error("a name in it is too long")]
    LongName,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TarKind {
    /// A regular file, executable or not.
    File,
    /// A symbolic link.
    Link,
    /// A folder, or what stands for a submodule.
    Folder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TarEntry<'a> {
    /// Its name with all folders, as it is.
    pub name: &'a [u8],
    pub kind: TarKind,
    /// Where its content begins.
    pub at: u64,
    /// The length of its content.
    pub size: u64,
}

/// Goes through an archive from front to back.
pub struct Tar<'a> {
    source: &'a dyn ReadAt,
    at: u64,
    name: Vec<u8>,
}

/// What an extended header says about the entry behind it.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<'a> Tar<'a> {
    /// Starts at the beginning.
    pub fn new(source: &'a dyn ReadAt) -> Self {
        Tar {
            source,
            at: 0,
            name: Vec::new(),
        }
    }

    /// The next entry; `None` at the end mark.
    #[allow(
        clippy::should_implement_trait,
        reason = "what it gives borrows from it"
    )]
    pub fn next(&mut self) -> Result<Option<TarEntry<'_>>, TarError> {
        let mut extended = None;
        loop {
            let start = self.at;
            let malformed = |what| TarError::Malformed { at: start, what };
            let header = self.block()?;
            if header.iter().all(|byte| *byte == 0) {
                return match extended {
                    None if self.block()? == header => Ok(None),
                    _ => Err(malformed("it ends where an entry should be")),
                };
            }
            if !is_sound(&header) {
                return Err(malformed("a damaged header"));
            }
            let size = number(&header[124..136]).ok_or_else(|| malformed("a bad size"))?;
            let kind = match header[156] {
                b'0' => TarKind::File,
                b'2' => TarKind::Link,
                b'5' => TarKind::Folder,
                // For all entries: which commit it is.
                b'g' if extended.is_none() => {
                    self.extended(start, size)?;
                    continue;
                }
                b'x' if extended.is_none() => {
                    let records = self.extended(start, size)?;
                    extended = Some(
                        Extended::parse(&records)
                            .ok_or_else(|| malformed("a bad extended header"))?,
                    );
                    continue;
                }
                _ => return Err(malformed("an unknown kind of entry")),
            };
            let extended = extended.unwrap_or_default();
            let size = extended.size.unwrap_or(size);
            if size > 0 && kind != TarKind::File {
                return Err(malformed("content of what is no file"));
            }
            let content = self.at;
            self.skip(start, size)?;
            self.name = extended.path.unwrap_or_else(|| plain_name(&header));
            if self.name.is_empty() {
                return Err(malformed("no name"));
            }
            return Ok(Some(TarEntry {
                name: &self.name,
                kind,
                at: content,
                size,
            }));
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK as usize], TarError> {
        let mut block = [0; BLOCK as usize];
        read_exact(self.source, &mut block, self.at)?;
        self.at += BLOCK;
        Ok(block)
    }

    /// Goes behind content of `size` bytes and its padding.
    fn skip(&mut self, start: u64, size: u64) -> Result<(), TarError> {
        let end = size
            .checked_next_multiple_of(BLOCK)
            .and_then(|padded| self.at.checked_add(padded))
            .filter(|end| *end <= self.source.size());
        self.at = end.ok_or(TarError::Malformed {
            at: start,
            what: "content behind its end",
        })?;
        Ok(())
    }

    fn extended(&mut self, start: u64, size: u64) -> Result<Vec<u8>, TarError> {
        if size > MAX_EXTENDED {
            return Err(TarError::LongName);
        }
        let content = self.at;
        self.skip(start, size)?;
        // At most 1 MiB.
        let mut records = vec![0; size as usize];
        read_exact(self.source, &mut records, content)?;
        Ok(records)
    }
}

impl Extended {
    /// Records are `LENGTH KEY=VALUE\n`; the length counts all of that.
    fn parse(mut records: &[u8]) -> Option<Self> {
        let mut extended = Extended::default();
        while !records.is_empty() {
            let space = records.iter().take(8).position(|byte| *byte == b' ')?;
            let length: usize = digits(&records[..space])?.try_into().ok()?;
            let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" if value.contains(&0) => return None,
                b"path" => extended.path = Some(value.to_vec()),
                b"size" => extended.size = Some(digits(value)?),
                _ => {}
            }
            records = &records[length..];
        }
        Some(extended)
    }
}

/// A decimal number, nothing but digits.
fn digits(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// An octal number with something behind it.
fn number(field: &[u8]) -> Option<u64> {
    let end = field.iter().position(|byte| matches!(byte, 0 | b' '))?;
    let (digits, rest) = field.split_at(end);
    if digits.is_empty() || rest.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| match digit {
        // At most eleven digits.
        b'0'..=b'7' => Some(number * 8 + u64::from(digit - b'0')),
        _ => None,
    })
}

/// Whether the sum is right and the format is POSIX's.
fn is_sound(header: &[u8; BLOCK as usize]) -> bool {
    let sum: u64 = (0..)
        .zip(header)
        .map(|(at, byte)| match at {
            148..156 => u64::from(b' '),
            _ => u64::from(*byte),
        })
        .sum();
    &header[257..265] == b"ustar\x0000" && number(&header[148..156]) == Some(sum)
}

/// The name as the header itself has it.
fn plain_name(header: &[u8; BLOCK as usize]) -> Vec<u8> {
    let until_nul = |field: &[u8]| -> Vec<u8> {
        field
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default()
            .to_vec()
    };
    let (name, prefix) = (until_nul(&header[..100]), until_nul(&header[345..500]));
    if prefix.is_empty() {
        name
    } else {
        [prefix, name].join(&b'/')
    }
}

fn read_exact(source: &dyn ReadAt, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match source.read_at(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(name: &[u8], kind: u8, size: usize) -> Vec<u8> {
        let mut header = vec![0; BLOCK as usize];
        header[..name.len()].copy_from_slice(name);
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header[156] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut header);
        header
    }

    fn seal(header: &mut [u8]) {
        header[148..156].fill(b' ');
        let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
    }

    fn entry(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
        let mut entry = header(name, kind, content.len());
        entry.extend_from_slice(content);
        entry.resize(entry.len().next_multiple_of(512), 0);
        entry
    }

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let length = (1..)
            .find(|digits| (rest + digits).to_string().len() == *digits)
            .unwrap()
            + rest;
        [
            length.to_string().as_bytes(),
            b" ",
            key.as_bytes(),
            b"=",
            value,
            b"\n",
        ]
        .concat()
    }

    /// Name, kind, content.
    type Found = (Vec<u8>, TarKind, Vec<u8>);

    fn read(archive: &[u8]) -> Result<Vec<Found>, TarError> {
        let mut tar = Tar::new(&archive);
        let mut all = Vec::new();
        while let Some(entry) = tar.next()? {
            let (at, end) = (entry.at as usize, (entry.at + entry.size) as usize);
            all.push((entry.name.to_vec(), entry.kind, archive[at..end].to_vec()));
        }
        Ok(all)
    }

    #[test]
    fn names_of_all_lengths_and_bytes() {
        let mut deep = header(b"file", b'0', 0);
        deep[345..350].copy_from_slice(b"a/b/c");
        seal(&mut deep);
        let full = [b'n'; 100];
        let long = [
            b"x".repeat(300).as_slice(),
            b"\n16 path=go.mod\n13 size=999\n\xff",
        ]
        .concat();
        let archive = [
            entry(b"pax_global_header", b'g', &record("comment", &[b'0'; 40])),
            entry(b"p/", b'5', b""),
            entry(&full, b'0', b"one"),
            deep,
            entry(
                b"id.paxheader",
                b'x',
                &[record("path", &long), record("linkpath", b"l")].concat(),
            ),
            entry(b"id.data", b'2', b""),
            entry(b"id.paxheader", b'x', &record("size", b"4")),
            {
                let mut large = header(b"large", b'0', 0);
                large.extend_from_slice(b"four");
                large.resize(1024, 0);
                large
            },
            vec![0; 1024],
        ]
        .concat();
        let expected = [
            (b"p/".to_vec(), TarKind::Folder, vec![]),
            (full.to_vec(), TarKind::File, b"one".to_vec()),
            (b"a/b/c/file".to_vec(), TarKind::File, vec![]),
            (long, TarKind::Link, vec![]),
            (b"large".to_vec(), TarKind::File, b"four".to_vec()),
        ];
        assert_eq!(read(&archive).unwrap(), expected);
    }

    #[test]
    fn what_git_does_not_write_is_refused() {
        let end = vec![0; 1024];
        let whole = |parts: &[Vec<u8>]| read(&[parts.concat(), end.clone()].concat());
        let file = || entry(b"f", b'0', b"x");
        assert_eq!(whole(&[file()]).unwrap().len(), 1);
        let mut wrong_sum = file();
        wrong_sum[0] = b'g';
        let mut base_256 = file();
        base_256[124] = 0x80;
        seal(&mut base_256);
        let extended = |records: &[u8]| entry(b"x", b'x', records);
        for (why, parts) in [
            ("a wrong sum", vec![wrong_sum]),
            ("a size in another form", vec![base_256]),
            ("GNU's long name", vec![entry(b"l", b'L', b"name"), file()]),
            ("a hard link", vec![entry(b"l", b'1', b"")]),
            ("a link with content", vec![entry(b"l", b'2', b"x")]),
            ("no name", vec![entry(b"", b'0', b"")]),
            (
                "an extended header for nothing",
                vec![extended(&record("path", b"p"))],
            ),
            (
                "two extended headers",
                vec![extended(b""), extended(b""), file()],
            ),
            ("content behind the end", vec![header(b"f", b'0', 1 << 20)]),
            (
                "a size of nearly everything",
                vec![extended(&record("size", b"18446744073709551615")), file()],
            ),
            ("a record too short", vec![extended(b"5 path=p\n"), file()]),
            ("a record too long", vec![extended(b"99 path=p\n"), file()]),
            ("a record without end", vec![extended(b"9 path=pp"), file()]),
            ("a length of none", vec![extended(b"+9 path=p\n"), file()]),
            (
                "an endless length",
                vec![extended(b"00000000009 path=p\n"), file()],
            ),
            (
                "a name with NUL",
                vec![extended(&record("path", b"a\0b")), file()],
            ),
            ("no key", vec![extended(b"4 p\n"), file()]),
        ] {
            let read = whole(&parts);
            assert!(
                matches!(read, Err(TarError::Malformed { .. })),
                "{why}: {read:?}"
            );
        }
        assert!(matches!(
            whole(&[header(b"x", b'x', 2 << 20)]),
            Err(TarError::LongName)
        ));
        assert!(matches!(read(&file()), Err(TarError::Io(_))), "no end mark");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            records in proptest::collection::vec(any::<u8>(), 0..600),
            name in proptest::collection::vec(any::<u8>(), 0..100),
            rest in proptest::collection::vec(any::<u8>(), 0..2000),
        ) {
            let _ = Extended::parse(&records);
            let _ = read(&rest);
            let _ = read(&[entry(b"x", b'x', &records), entry(&name, b'0', &rest), rest].concat());
        }

        #[test]
        fn names_come_back(name in proptest::collection::vec(1u8.., 1..400)) {
            let archive = [
                entry(b"x", b'x', &record("path", &name)),
                entry(b"f", b'0', b""),
                vec![0; 1024],
            ].concat();
            prop_assert_eq!(&read(&archive).unwrap()[0].0, &name);
        }
    }
}
