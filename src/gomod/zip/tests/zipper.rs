//! A zip writer that can write what no honest writer does.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// How an entry ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptor {
    /// Sizes in the local header.
    None,
    Signed32,
    Plain32,
    Signed64,
    Plain64,
}

impl Descriptor {
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Signed32,
        Self::Plain32,
        Self::Signed64,
        Self::Plain64,
    ];
}

#[derive(Debug, Clone)]
pub struct Item {
    pub name: Vec<u8>,
    pub content: Vec<u8>,
    pub method: u16,
    pub descriptor: Descriptor,
    /// Sizes in a zip64 extra field, in both headers.
    pub zip64: bool,
    /// The declared size, where that is a lie.
    pub declared: Option<u64>,
    /// Bytes to put between data and descriptor, counted as compressed data or not.
    pub hidden: Vec<u8>,
    pub hidden_counts: bool,
    pub local_extra: Vec<u8>,
    pub comment: Vec<u8>,
}

pub fn item(name: &str, content: impl AsRef<[u8]>) -> Item {
    let is_dir = name.ends_with('/');
    Item {
        name: name.into(),
        content: content.as_ref().to_vec(),
        method: if is_dir { 0 } else { 8 },
        descriptor: if is_dir {
            Descriptor::None
        } else {
            Descriptor::Signed32
        },
        zip64: false,
        declared: None,
        hidden: Vec::new(),
        hidden_counts: false,
        local_extra: Vec::new(),
        comment: Vec::new(),
    }
}

/// The bytes of a zip and where its parts stand.
#[derive(Debug, Clone, Default)]
pub struct Built {
    pub bytes: Vec<u8>,
    pub locals: Vec<usize>,
    pub data: Vec<usize>,
    pub centrals: Vec<usize>,
    pub directory: usize,
    pub end: usize,
}

impl Built {
    pub fn set(&mut self, at: usize, value: &[u8]) -> &mut Self {
        self.bytes[at..at + value.len()].copy_from_slice(value);
        self
    }

    /// Changes a byte somewhere.
    pub fn flip(&mut self, at: usize) -> &mut Self {
        self.bytes[at] ^= 1;
        self
    }
}

pub fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn put16(out: &mut Vec<u8>, n: u16) {
    out.extend(n.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, n: u32) {
    out.extend(n.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, n: u64) {
    out.extend(n.to_le_bytes());
}

fn narrow(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

pub fn build(items: &[Item]) -> Built {
    build_as(items, false, b"")
}

/// A zip of these entries; with `zip64` end records of both kinds, the old one saturated.
pub fn build_as(items: &[Item], zip64: bool, comment: &[u8]) -> Built {
    let mut built = Built::default();
    let out = &mut built.bytes;
    let mut central = Vec::new();
    let mut centrals = Vec::new();
    for item in items {
        let mut packed = match item.method {
            8 => deflate(&item.content),
            _ => item.content.clone(),
        };
        if item.hidden_counts {
            packed.extend(&item.hidden);
        }
        let has_descriptor = item.descriptor != Descriptor::None;
        let crc = crc32fast::hash(&item.content);
        let (packed_len, size) = (
            packed.len() as u64,
            item.declared.unwrap_or(item.content.len() as u64),
        );
        let flags = u16::from(has_descriptor) << 3;
        let offset = out.len();

        let common = |out: &mut Vec<u8>, crc: u32, packed: u64, size: u64, extra: &[u8]| {
            put16(out, 20);
            put16(out, flags);
            put16(out, item.method);
            put32(out, 0);
            put32(out, crc);
            if item.zip64 {
                put32(out, u32::MAX);
                put32(out, u32::MAX);
            } else {
                put32(out, narrow(packed));
                put32(out, narrow(size));
            }
            let mut all = Vec::new();
            if item.zip64 {
                put16(&mut all, 1);
                put16(&mut all, 16);
                put64(&mut all, size);
                put64(&mut all, packed);
            }
            all.extend(extra);
            put16(out, item.name.len() as u16);
            put16(out, all.len() as u16);
            all
        };

        built.locals.push(offset);
        put32(out, 0x0403_4b50);
        let extra = match has_descriptor {
            true => common(out, 0, 0, 0, &item.local_extra),
            false => common(out, crc, packed_len, size, &item.local_extra),
        };
        out.extend(&item.name);
        out.extend(extra);
        built.data.push(out.len());
        out.extend(&packed);
        if !item.hidden_counts {
            out.extend(&item.hidden);
        }
        if matches!(item.descriptor, Descriptor::Signed32 | Descriptor::Signed64) {
            put32(out, 0x0807_4b50);
        }
        match item.descriptor {
            Descriptor::None => {}
            Descriptor::Signed32 | Descriptor::Plain32 => {
                put32(out, crc);
                put32(out, narrow(packed_len));
                put32(out, narrow(size));
            }
            Descriptor::Signed64 | Descriptor::Plain64 => {
                put32(out, crc);
                put64(out, packed_len);
                put64(out, size);
            }
        }

        centrals.push(central.len());
        put32(&mut central, 0x0201_4b50);
        put16(&mut central, 20);
        let extra = common(&mut central, crc, packed_len, size, b"");
        put16(&mut central, item.comment.len() as u16);
        put32(&mut central, 0);
        put32(&mut central, 0);
        put32(&mut central, offset as u32);
        central.extend(&item.name);
        central.extend(extra);
        central.extend(&item.comment);
    }
    built.directory = out.len();
    built.centrals = centrals.iter().map(|at| out.len() + at).collect();
    out.extend(&central);
    let directory_end = out.len();
    let (count, size, start) = (items.len(), central.len(), built.directory);
    if zip64 {
        put32(out, 0x0606_4b50);
        put64(out, 44);
        put16(out, 45);
        put16(out, 45);
        put64(out, 0);
        put64(out, count as u64);
        put64(out, count as u64);
        put64(out, size as u64);
        put64(out, start as u64);
        put32(out, 0x0706_4b50);
        put32(out, 0);
        put64(out, directory_end as u64);
        put32(out, 1);
    }
    built.end = out.len();
    put32(out, 0x0605_4b50);
    put32(out, 0);
    let count = if zip64 { u16::MAX } else { count as u16 };
    put16(out, count);
    put16(out, count);
    put32(out, if zip64 { u32::MAX } else { size as u32 });
    put32(out, if zip64 { u32::MAX } else { start as u32 });
    put16(out, comment.len() as u16);
    out.extend(comment);
    built
}
