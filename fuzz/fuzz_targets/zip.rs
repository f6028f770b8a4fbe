//! Zips: no panic, bounded work, and the same verdict with and without precomputation. The input is two bytes that say in
//! which pieces it arrives, and a zip, or what one is made of.
#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use larder::gomod::zip::{StreamHasher, check_zip, check_zip_with};
use larder::gomod::{ModulePath, Version};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Archive<'a> {
    entries: Vec<Entry<'a>>,
    comment: &'a [u8],
    /// Bytes of structures, not of contents, whose checksums stay right.
    damage: Vec<(u32, u8)>,
}

#[derive(Arbitrary, Debug)]
struct Entry<'a> {
    /// It begins as every name in a module's zip.
    prefixed: bool,
    name: Name<'a>,
    content: &'a [u8],
    deflated: bool,
    descriptor: Descriptor,
    extra: &'a [u8],
    attributes: u32,
}

#[derive(Arbitrary, Debug)]
enum Name<'a> {
    GoMod,
    Nested,
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// Where sizes and checksum stand.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Descriptor {
    InFront,
    Plain,
    Signed,
}

impl Entry<'_> {
    fn name(&self) -> Vec<u8> {
        let name = match self.name {
            Name::GoMod => b"go.mod",
            Name::Nested => &b"sub/go.mod"[..],
            Name::Text(text) => text.as_bytes(),
            Name::Bytes(bytes) => bytes,
        };
        let prefix: &[u8] = if self.prefixed { b"a.b@v1.0.0/" } else { b"" };
        [prefix, name].concat()
    }

    fn stored(&self) -> Vec<u8> {
        if !self.deflated {
            return self.content.to_vec();
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        // Memory takes everything.
        encoder.write_all(self.content).unwrap();
        encoder.finish().unwrap()
    }
}

/// Little-endian numbers, one after another.
fn numbers(fields: &[(u32, usize)]) -> Vec<u8> {
    let bytes = |(number, width): &(u32, usize)| number.to_le_bytes()[..*width].to_vec();
    fields.iter().flat_map(bytes).collect()
}

impl Archive<'_> {
    fn write(&self) -> Vec<u8> {
        let (mut archive, mut directory) = (Vec::new(), Vec::new());
        let mut contents = Vec::new();
        for entry in &self.entries {
            let (name, stored) = (entry.name(), entry.stored());
            let start = archive.len() as u32;
            let sizes = [
                (crc32fast::hash(entry.content), 4),
                (stored.len() as u32, 4),
                (entry.content.len() as u32, 4),
            ];
            let behind = entry.descriptor != Descriptor::InFront;
            // 8: sizes stand behind the content; 0x800: the name is UTF-8.
            let flags = if behind { 0x808 } else { 0x800 };
            let method = if entry.deflated { 8 } else { 0 };
            let start_of = [(20, 2), (flags, 2), (method, 2), (0, 2), (33, 2)];
            let lengths = [(name.len() as u32, 2), (entry.extra.len() as u32, 2)];
            let in_front = if behind { [(0, 4); 3] } else { sizes };
            archive.extend(b"PK\x03\x04");
            archive.extend(numbers(&start_of));
            archive.extend(numbers(&in_front));
            archive.extend(numbers(&lengths));
            archive.extend(&name);
            archive.extend(entry.extra);
            contents.push(archive.len()..archive.len() + stored.len());
            archive.extend(&stored);
            if behind {
                if entry.descriptor == Descriptor::Signed {
                    archive.extend(b"PK\x07\x08");
                }
                archive.extend(numbers(&sizes));
            }
            directory.extend(b"PK\x01\x02");
            directory.extend(numbers(&[(0x314, 2)]));
            directory.extend(numbers(&start_of));
            directory.extend(numbers(&sizes));
            directory.extend(numbers(&lengths));
            let rest = [(0, 2), (0, 2), (0, 2), (entry.attributes, 4), (start, 4)];
            directory.extend(numbers(&rest));
            directory.extend(&name);
            directory.extend(entry.extra);
        }
        let (count, at) = (self.entries.len() as u32, archive.len() as u32);
        let end = [
            (0, 2),
            (0, 2),
            (count, 2),
            (count, 2),
            (directory.len() as u32, 4),
            (at, 4),
            (self.comment.len() as u32, 2),
        ];
        archive.extend(&directory);
        archive.extend(b"PK\x05\x06");
        archive.extend(numbers(&end));
        archive.extend(self.comment);
        for (at, flip) in &self.damage {
            let at = *at as usize % archive.len();
            if !contents.iter().any(|content| content.contains(&at)) {
                archive[at] ^= flip;
            }
        }
        archive
    }
}

fuzz_target!(|input: (u16, &[u8])| {
    let (piece, bytes) = input;
    if bytes.starts_with(b"PK") {
        check(piece, bytes);
    } else if let Ok(archive) = Archive::arbitrary_take_rest(Unstructured::new(bytes)) {
        check(piece, &archive.write());
    }
});

fn check(piece: u16, bytes: &[u8]) {
    let (Ok(module), Ok(version)) = (ModulePath::parse("a.b"), Version::parse("v1.0.0")) else {
        return;
    };
    let whole = check_zip(&bytes, &module, &version);
    let mut pre = StreamHasher::new();
    for piece in bytes.chunks(usize::from(piece).max(1)) {
        pre.push(piece);
    }
    let with = check_zip_with(&bytes, &module, &version, pre);
    match (whole, with) {
        (Ok(whole), Ok(with)) => assert_eq!(whole, with),
        (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
        (whole, with) => panic!("{whole:?} but {with:?}"),
    }
}
