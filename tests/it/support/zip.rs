//! A zip writer of our own: what Go writes, and everything that it never would.

use bytes::Bytes;
use flate2::{Compression, Crc, write::DeflateEncoder};
use std::io::Write;
use std::sync::OnceLock;

/// One member. The `declared_*` and `local_*` fields let the headers lie.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub content: Bytes,
    pub deflate: bool,
    /// Unix mode for the external attributes; zero is what Go writes.
    pub mode: u32,
    /// Uncompressed size in the central directory, where it differs from the truth.
    pub declared_size: Option<u32>,
    /// CRC-32 in the central directory, where it differs from the truth.
    pub declared_crc: Option<u32>,
    /// Name in the local header, where it differs from the central directory's.
    pub local_name: Option<Vec<u8>>,
}

impl Entry {
    pub fn new(name: impl AsRef<str>, content: impl Into<Bytes>) -> Entry {
        Entry {
            name: name.as_ref().as_bytes().to_vec(),
            content: content.into(),
            deflate: true,
            mode: 0,
            declared_size: None,
            declared_crc: None,
            local_name: None,
        }
    }

    pub fn stored(mut self) -> Entry {
        self.deflate = false;
        self
    }

    pub fn mode(mut self, mode: u32) -> Entry {
        self.mode = mode;
        self
    }

    pub fn declared_size(mut self, size: u32) -> Entry {
        self.declared_size = Some(size);
        self
    }

    pub fn declared_crc(mut self, crc: u32) -> Entry {
        self.declared_crc = Some(crc);
        self
    }

    pub fn local_name(mut self, name: &str) -> Entry {
        self.local_name = Some(name.as_bytes().to_vec());
        self
    }
}

/// A whole archive under construction.
#[derive(Clone, Default)]
pub struct Zip {
    entries: Vec<Entry>,
    before: Vec<u8>,
    trailing: Vec<u8>,
}

impl Zip {
    pub fn new() -> Zip {
        Zip::default()
    }

    pub fn entry(mut self, entry: Entry) -> Zip {
        self.entries.push(entry);
        self
    }

    pub fn file(self, name: impl AsRef<str>, content: impl Into<Bytes>) -> Zip {
        self.entry(Entry::new(name, content))
    }

    /// Bytes before the first local header; the offsets account for them, as self-extractors do.
    pub fn before(mut self, bytes: &[u8]) -> Zip {
        self.before = bytes.to_vec();
        self
    }

    /// Bytes after the end record, which does not mention them.
    pub fn trailing(mut self, bytes: &[u8]) -> Zip {
        self.trailing = bytes.to_vec();
        self
    }

    pub fn build(&self) -> Bytes {
        let expected: usize = self.entries.iter().map(|e| e.content.len() + 300).sum();
        let mut out = Vec::with_capacity(expected / if expected > 1 << 20 { 1 } else { 2 } + 64);
        out.extend_from_slice(&self.before);
        let mut central = Vec::new();
        for entry in &self.entries {
            self.one(entry, &mut out, &mut central);
        }
        let at = out.len() as u32;
        out.extend_from_slice(&central);
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        let count = (self.entries.len() as u16).to_le_bytes();
        out.extend_from_slice(&count);
        out.extend_from_slice(&count);
        out.extend_from_slice(&(central.len() as u32).to_le_bytes());
        out.extend_from_slice(&at.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.trailing);
        Bytes::from(out)
    }

    fn one(&self, entry: &Entry, out: &mut Vec<u8>, central: &mut Vec<u8>) {
        let offset = out.len() as u32;
        let mut crc = Crc::new();
        crc.update(&entry.content);
        let mut crc = crc.sum();
        let directory = entry.name.ends_with(b"/");
        let method: u16 = if entry.deflate && !directory { 8 } else { 0 };
        // Go sets the bit for a data descriptor on files, and zeroes in the local header.
        let mut flags: u16 = if directory { 0 } else { 8 };
        if !entry.name.is_ascii() {
            flags |= 0x800;
        }
        let local = entry.local_name.as_ref().unwrap_or(&entry.name);
        out.extend_from_slice(b"PK\x03\x04");
        for field in [20u16, flags, method, 0, 0] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&(local.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(local);
        let start = out.len();
        if method == 8 {
            let mut encoder = DeflateEncoder::new(&mut *out, Compression::fast());
            encoder.write_all(&entry.content).unwrap();
            encoder.finish().unwrap();
        } else {
            out.extend_from_slice(&entry.content);
        }
        let packed = (out.len() - start) as u32;
        let size = entry.declared_size.unwrap_or(entry.content.len() as u32);
        crc = entry.declared_crc.unwrap_or(crc);
        if !directory {
            out.extend_from_slice(b"PK\x07\x08");
            for field in [crc, packed, size] {
                out.extend_from_slice(&field.to_le_bytes());
            }
        }
        central.extend_from_slice(b"PK\x01\x02");
        let made_by: u16 = if entry.mode == 0 { 20 } else { 0x0314 };
        for field in [made_by, 20, flags, method, 0, 0] {
            central.extend_from_slice(&field.to_le_bytes());
        }
        for field in [crc, packed, size] {
            central.extend_from_slice(&field.to_le_bytes());
        }
        for field in [entry.name.len() as u16, 0, 0, 0, 0] {
            central.extend_from_slice(&field.to_le_bytes());
        }
        central.extend_from_slice(&(entry.mode << 16).to_le_bytes());
        central.extend_from_slice(&offset.to_le_bytes());
        central.extend_from_slice(&entry.name);
    }
}

/// Bytes that no compressor shortens, equal for equal arguments.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = vec![0; len];
    for chunk in out.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
    out
}

/// The zip of `example.com/big@v1.0.0` with `mib` MiB of noise, stored: made once in a run.
pub fn big(mib: usize) -> Bytes {
    static SMALL: OnceLock<Bytes> = OnceLock::new();
    static LARGE: OnceLock<Bytes> = OnceLock::new();
    let make = |mib: usize| {
        let mut zip = Zip::new().file(
            "example.com/big@v1.0.0/go.mod",
            "module example.com/big\n\ngo 1.20\n",
        );
        // Several members, as a toolchain has, so that hashing sees many files.
        let block = Bytes::from(noise(8 << 20, 7));
        for part in 0..mib.div_ceil(8) {
            let mut content = block.to_vec();
            content[..8].copy_from_slice(&(part as u64).to_le_bytes());
            let name = format!("example.com/big@v1.0.0/data/{part:04}.bin");
            zip = zip.entry(Entry::new(name, content).stored());
        }
        zip.build()
    };
    match mib {
        80 => SMALL.get_or_init(|| make(80)).clone(),
        200 => LARGE.get_or_init(|| make(200)).clone(),
        other => make(other),
    }
}
