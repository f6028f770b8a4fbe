//! Writing a module zip, entry by entry, as Go writes them (protocol.md 5 "What Go writes",
//! archive/zip `Writer`): DEFLATE, sizes behind the data, no times, no modes, no directories.

use std::io::{Read, Write};

use flate2::{Compress, Compression, FlushCompress, Status};

use super::super::{ModulePath, Version};
use super::create::CreateError;
use super::error::EntryName;
use super::structures::{
    DEFLATED, DESCRIPTOR_SIGNATURE, DIRECTORY_SIGNATURE, END_SIGNATURE, END64_SIGNATURE,
    HAS_DESCRIPTOR, LOCAL_SIGNATURE, LOCATOR64_SIGNATURE,
};
use super::{ZipError, ZipLimits};

/// Version 2.0 of the format, for DEFLATE, and 4.5, for zip64.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// Flag bit 11: the name is UTF-8.
const IS_UTF8: u16 = 1 << 11;

const BUFFER: usize = 64 << 10;

/// Writes a module zip from front to back. Nothing of a file's content is kept; of its entry, what
/// the directory needs.
pub struct ZipWriter<W> {
    out: W,
    written: u64,
    prefix: String,
    limits: ZipLimits,
    directory: Vec<u8>,
    entries: usize,
    deflate: Compress,
    input: Box<[u8]>,
    output: Vec<u8>,
}

impl<W: Write> ZipWriter<W> {
    /// Begins the zip of a module version.
    pub fn new(out: W, module: &ModulePath, version: &Version) -> Result<Self, CreateError> {
        Self::limited(out, module, version, ZipLimits::GO)
    }

    pub(super) fn limited(
        out: W,
        module: &ModulePath,
        version: &Version,
        limits: ZipLimits,
    ) -> Result<Self, CreateError> {
        if !version.fits(module) {
            return Err(CreateError::Rule(ZipError::VersionMismatch {
                module: module.to_string(),
                version: version.to_string(),
            }));
        }
        Ok(Self {
            out,
            written: 0,
            prefix: format!("{module}@{version}/"),
            limits,
            directory: Vec::new(),
            entries: 0,
            deflate: Compress::new(Compression::default(), false),
            input: vec![0; BUFFER].into_boxed_slice(),
            output: Vec::with_capacity(BUFFER),
        })
    }

    /// Adds a file whose content has exactly this size. Which files there are is decided by
    /// [`select_files`](super::select_files); after an error the zip is of no use.
    pub fn add(
        &mut self,
        path: &str,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), CreateError> {
        let name = format!("{}{path}", self.prefix);
        let limit = self.limits.name;
        let (Ok(name_len), true) = (u16::try_from(name.len()), name.len() <= limit) else {
            return Err(CreateError::Rule(ZipError::NameTooLong {
                name: EntryName::new(name.as_bytes()),
                limit,
            }));
        };
        if self.entries == self.limits.entries {
            return Err(CreateError::Rule(ZipError::TooManyEntries {
                limit: self.limits.entries,
            }));
        }
        let utf8 = if must_say_utf8(&name) { IS_UTF8 } else { 0 };
        let flags = HAS_DESCRIPTOR | utf8;
        let offset = self.narrow(self.written)?;

        let mut header = Vec::with_capacity(30 + name.len());
        put32(&mut header, LOCAL_SIGNATURE);
        for n in [VERSION, flags, DEFLATED, 0, 0] {
            put16(&mut header, n);
        }
        // CRC-32 and sizes stand in the descriptor.
        header.extend_from_slice(&[0; 12]);
        put16(&mut header, name_len);
        put16(&mut header, 0);
        header.extend_from_slice(name.as_bytes());
        self.write(&header)?;

        let start = self.written;
        let crc = self.content(path, size, content)?;
        let packed = self.narrow(self.written - start)?;
        let size = self.narrow(size)?;
        let mut descriptor = Vec::with_capacity(16);
        for n in [DESCRIPTOR_SIGNATURE, crc, packed, size] {
            put32(&mut descriptor, n);
        }
        self.write(&descriptor)?;

        let entry = &mut self.directory;
        put32(entry, DIRECTORY_SIGNATURE);
        for n in [VERSION, VERSION, flags, DEFLATED, 0, 0] {
            put16(entry, n);
        }
        for n in [crc, packed, size] {
            put32(entry, n);
        }
        // Length of the name, then extra field, comment, disk and attributes.
        for n in [name_len, 0, 0, 0, 0, 0, 0] {
            put16(entry, n);
        }
        put32(entry, offset);
        entry.extend_from_slice(name.as_bytes());
        self.entries += 1;
        Ok(())
    }

    /// Writes the directory; gives back what the zip was written to.
    pub fn finish(mut self) -> Result<W, CreateError> {
        let start = self.written;
        let directory = std::mem::take(&mut self.directory);
        self.write(&directory)?;
        let (start32, size32) = (self.narrow(start)?, self.narrow(directory.len() as u64)?);
        let records = self.entries as u64;
        let short = u16::try_from(records).unwrap_or(u16::MAX);
        let is_64 = short == u16::MAX;

        let mut end = Vec::with_capacity(98);
        if is_64 {
            let at = self.written;
            put32(&mut end, END64_SIGNATURE);
            put64(&mut end, 44);
            put16(&mut end, VERSION_64);
            put16(&mut end, VERSION_64);
            put64(&mut end, 0);
            for n in [records, records, directory.len() as u64, start] {
                put64(&mut end, n);
            }
            put32(&mut end, LOCATOR64_SIGNATURE);
            put32(&mut end, 0);
            put64(&mut end, at);
            put32(&mut end, 1);
        }
        put32(&mut end, END_SIGNATURE);
        for n in [0, 0, short, short] {
            put16(&mut end, n);
        }
        put32(&mut end, if is_64 { u32::MAX } else { size32 });
        put32(&mut end, if is_64 { u32::MAX } else { start32 });
        put16(&mut end, 0);
        self.write(&end)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Deflates the content of one entry; gives its CRC-32.
    fn content(
        &mut self,
        path: &str,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<u32, CreateError> {
        let wrong_size = || CreateError::WrongSize {
            name: EntryName::new(path.as_bytes()),
            declared: size,
        };
        let mut crc = crc32fast::Hasher::new();
        let mut left = size;
        self.deflate.reset();
        loop {
            let n = match content.read(&mut self.input) {
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            };
            left = left.checked_sub(n as u64).ok_or_else(wrong_size)?;
            crc.update(&self.input[..n]);
            let last = n == 0;
            if last && left > 0 {
                return Err(wrong_size());
            }
            self.deflate(n, last)?;
            if last {
                return Ok(crc.finalize());
            }
        }
    }

    /// Deflates the first `n` bytes of the input, and ends the data if these were the last.
    fn deflate(&mut self, n: usize, last: bool) -> Result<(), CreateError> {
        let flush = if last {
            FlushCompress::Finish
        } else {
            FlushCompress::None
        };
        let mut used = 0;
        loop {
            self.output.clear();
            let before = self.deflate.total_in();
            let status = self
                .deflate
                .compress_vec(&self.input[used..n], &mut self.output, flush)
                .map_err(std::io::Error::other)?;
            // Bounded by the length of the slice.
            used += (self.deflate.total_in() - before) as usize;
            let output = std::mem::take(&mut self.output);
            let done = self.write(&output);
            let was_full = output.len() == output.capacity();
            self.output = output;
            done?;
            let finished = match last {
                true => status == Status::StreamEnd,
                false => used == n && !was_full,
            };
            if finished {
                return Ok(());
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CreateError> {
        self.written += bytes.len() as u64;
        if self.written > self.limits.zip {
            return Err(CreateError::Rule(ZipError::TooLarge {
                size: self.written,
                limit: self.limits.zip,
            }));
        }
        Ok(self.out.write_all(bytes)?)
    }

    /// A number that has 32 bits in the zip. Limits above that are none of Go's.
    fn narrow(&self, n: u64) -> Result<u32, CreateError> {
        u32::try_from(n).map_err(|_| {
            CreateError::Rule(ZipError::TooLarge {
                size: n,
                limit: self.limits.zip.min(u32::MAX.into()),
            })
        })
    }
}

/// archive/zip `detectUTF8`: also for two ASCII characters that some old encodings have replaced.
fn must_say_utf8(name: &str) -> bool {
    name.chars().any(|c| !(' '..='}').contains(&c) || c == '\\')
}

fn put16(out: &mut Vec<u8>, n: u16) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, n: u32) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(&n.to_le_bytes());
}
