//! Archives of git: no panic, bounded work, and every content lies inside, behind the one before; what is written as git
//! writes it comes back. The input is an archive, whose headers get their right checksums, or what one is made of.
#![no_main]

use larder::vcs::tar::{Tar, TarKind};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;
const FORMAT: &[u8] = b"ustar\x0000";

/// Name, kind, content.
type Found = (Vec<u8>, TarKind, Vec<u8>);

#[derive(Arbitrary, Debug)]
struct Archive<'a> {
    /// Git names the commit first.
    commit: Option<&'a [u8]>,
    entries: Vec<Entry<'a>>,
    damage: Vec<Damage>,
}

#[derive(Arbitrary, Debug)]
struct Entry<'a> {
    kind: Kind,
    name: &'a [u8],
    content: &'a [u8],
    /// Its name stands in an extended header though it is short.
    extended: bool,
    records: Vec<(Key, &'a [u8])>,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    File,
    Link,
    Folder,
}

#[derive(Arbitrary, Debug)]
enum Key {
    Path,
    Size,
    Link,
    Time,
}

#[derive(Arbitrary, Debug)]
enum Damage {
    /// A byte of a header, whose checksum is right again afterwards.
    Header {
        which: u8,
        at: u16,
        to: u8,
    },
    /// A size, the same.
    Size {
        which: u8,
        to: u64,
    },
    Byte {
        at: u32,
        flip: u8,
    },
    Cut {
        at: u32,
    },
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    headers: Vec<usize>,
}

impl Writer {
    fn block(&mut self, name: &[u8], kind: u8, content: &[u8]) {
        let mut header = [0; BLOCK];
        let short = &name[..name.len().min(100)];
        header[..short.len()].copy_from_slice(short);
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[156] = kind;
        seal(&mut header);
        self.headers.push(self.bytes.len());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK), 0);
    }

    fn damage(&mut self, damage: &Damage) {
        let (headers, length) = (self.headers.len().max(1), self.bytes.len().max(1));
        let of = |which: u8| self.headers.get(usize::from(which) % headers).copied();
        match *damage {
            Damage::Header { which, at, to } => {
                if let Some(header) =
                    of(which).and_then(|start| self.bytes.get_mut(start..start + BLOCK))
                {
                    header[usize::from(at) % BLOCK] = to;
                    seal(header);
                }
            }
            Damage::Size { which, to } => {
                if let Some(header) =
                    of(which).and_then(|start| self.bytes.get_mut(start..start + BLOCK))
                {
                    let size = format!("{:011o}\0", to >> 31);
                    header[124..136].copy_from_slice(&size.as_bytes()[..12]);
                    seal(header);
                }
            }
            Damage::Byte { at, flip } => {
                if let Some(byte) = self.bytes.get_mut(at as usize % length) {
                    *byte ^= flip;
                }
            }
            Damage::Cut { at } => self.bytes.truncate(at as usize % length),
        }
    }
}

/// Puts format and checksum right.
fn seal(header: &mut [u8]) {
    header[257..265].copy_from_slice(FORMAT);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
}

/// A record of an extended header, which begins with its whole length.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut digits = 1;
    while (rest + digits).to_string().len() != digits {
        digits += 1;
    }
    let start = format!("{} {key}=", rest + digits);
    [start.as_bytes(), value, b"\n"].concat()
}

impl Archive<'_> {
    /// The archive, and what it holds if it is one that git could write.
    fn write(&self) -> (Vec<u8>, Option<Vec<Found>>) {
        let mut writer = Writer::default();
        let mut found = self.damage.is_empty().then(Vec::new);
        if let Some(commit) = self.commit {
            writer.block(b"pax_global_header", b'g', &record("comment", commit));
        }
        for entry in &self.entries {
            let (flag, kind, content) = match entry.kind {
                Kind::File => (b'0', TarKind::File, entry.content),
                Kind::Link => (b'2', TarKind::Link, &b""[..]),
                Kind::Folder => (b'5', TarKind::Folder, &b""[..]),
            };
            let mut records = Vec::new();
            if entry.extended || entry.name.len() > 100 {
                records.extend(record("path", entry.name));
            }
            for (key, value) in &entry.records {
                let key = match key {
                    Key::Path => "path",
                    Key::Size => "size",
                    Key::Link => "linkpath",
                    Key::Time => "mtime",
                };
                records.extend(record(key, value));
                if matches!(key, "path" | "size") {
                    found = None;
                }
            }
            if !records.is_empty() {
                writer.block(b"id.paxheader", b'x', &records);
            }
            writer.block(entry.name, flag, content);
            if entry.name.is_empty() || entry.name.contains(&0) {
                found = None;
            }
            if let Some(found) = &mut found {
                found.push((entry.name.to_vec(), kind, content.to_vec()));
            }
        }
        writer.bytes.resize(writer.bytes.len() + 2 * BLOCK, 0);
        for damage in &self.damage {
            writer.damage(damage);
        }
        (writer.bytes, found)
    }
}

/// The archive with sound headers where its sizes say that headers are.
fn repaired(archive: &[u8]) -> Vec<u8> {
    let mut archive = archive.to_vec();
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..at + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        seal(header);
        let digits = header[124..135].iter().map(|digit| usize::from(digit & 7));
        let size = digits.fold(0, |size, digit| size * 8 + digit);
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive
}

fn read(archive: &[u8]) -> Option<Vec<Found>> {
    let mut tar = Tar::new(&archive);
    let (mut end, mut all) = (0, Vec::new());
    while let Some(entry) = tar.next().ok()? {
        assert!(!entry.name.is_empty() && !entry.name.contains(&0));
        assert!(entry.at > end);
        end = entry.at + entry.size;
        assert!(end <= archive.len() as u64);
        let content = archive[entry.at as usize..end as usize].to_vec();
        assert!(content.is_empty() || entry.kind == TarKind::File);
        all.push((entry.name.to_vec(), entry.kind, content));
    }
    Some(all)
}

fuzz_target!(|input: &[u8]| {
    if input.get(257..262) == Some(&FORMAT[..5]) {
        read(input);
        read(&repaired(input));
    } else if let Ok(archive) = Archive::arbitrary_take_rest(Unstructured::new(input)) {
        let (bytes, found) = archive.write();
        let all = read(&bytes);
        if found.is_some() {
            assert_eq!(all, found);
        }
    }
});
