//! The records of the zip format (PKWARE APPNOTE 4.3), read strictly.

use super::error::EntryName;
use super::source::read_exact_at;
use super::{ReadAt, ZipError, ZipLimits};

pub(super) const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
pub(super) const DIRECTORY_SIGNATURE: u32 = 0x0201_4b50;
pub(super) const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;
pub(super) const END_SIGNATURE: u32 = 0x0605_4b50;
pub(super) const END64_SIGNATURE: u32 = 0x0606_4b50;
pub(super) const LOCATOR64_SIGNATURE: u32 = 0x0706_4b50;

pub(super) const LOCAL_LEN: usize = 30;
const DIRECTORY_LEN: usize = 46;
const END_LEN: usize = 22;
const LOCATOR64_LEN: usize = 20;
const END64_LEN: usize = 56;
const ZIP64_EXTRA: u16 = 1;

/// Flag bit 3: CRC and sizes follow the data.
pub(super) const HAS_DESCRIPTOR: u16 = 1 << 3;
/// Bits 0, 6 and 13: encrypted content, strong encryption, masked headers.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// Bit 5: patch data in place of content.
const PATCHED: u16 = 1 << 5;
/// The flags that decide how an entry is read; local header and directory must agree on them.
pub(super) const FLAGS_THAT_MATTER: u16 = HAS_DESCRIPTOR | ENCRYPTED | PATCHED;

pub(super) const STORED: u16 = 0;
pub(super) const DEFLATED: u16 = 8;

/// One entry of the central directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its name stands in the directory's bytes.
    name_at: u32,
    name_len: u16,
    pub method: u16,
    pub flags: u16,
    pub crc: u32,
    /// Compressed size.
    pub packed: u64,
    pub size: u64,
    /// Where its local header stands in the file.
    pub offset: u64,
}

impl Entry {
    pub(super) fn has_descriptor(&self) -> bool {
        self.flags & HAS_DESCRIPTOR != 0
    }
}

/// The whole central directory.
pub(super) struct Directory {
    bytes: Vec<u8>,
    pub entries: Vec<Entry>,
    /// Where it begins, which is where the last entry must end.
    pub start: u64,
}

impl Directory {
    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        let at = entry.name_at as usize;
        &self.bytes[at..at + usize::from(entry.name_len)]
    }

    /// Finds the directory from the end of the file and reads all of it.
    pub(super) fn read(source: &dyn ReadAt, limits: &ZipLimits) -> Result<Self, ZipError> {
        let end = End::find(source)?;
        if end.size > limits.directory {
            return Err(ZipError::DirectoryTooLarge {
                size: end.size,
                limit: limits.directory,
            });
        }
        // Bounded by the limit above, and `End` has checked that it lies within the file.
        let mut bytes = vec![0; end.size as usize];
        read_exact_at(source, &mut bytes, end.offset)?;

        let mut entries = Vec::new();
        let mut rest = Bytes(&bytes);
        while !rest.0.is_empty() {
            if entries.len() == limits.entries {
                return Err(ZipError::TooManyEntries {
                    limit: limits.entries,
                });
            }
            let at = bytes.len() - rest.0.len();
            entries
                .push(directory_entry(&mut rest, at).ok_or(ZipError::Malformed("a broken entry"))?);
        }
        let count = entries.len() as u64;
        // Without zip64 the count has 16 bits; writers of more entries let it wrap, and Go lets
        // them.
        if count != end.records && (end.is_zip64 || count & 0xffff != end.records) {
            return Err(ZipError::Malformed("a wrong number of entries"));
        }
        for entry in &entries {
            let at = entry.name_at as usize;
            let name = || EntryName::new(&bytes[at..at + usize::from(entry.name_len)]);
            if entry.flags & ENCRYPTED != 0 {
                return Err(ZipError::Encrypted { name: name() });
            }
            if !matches!(entry.method, STORED | DEFLATED) || entry.flags & PATCHED != 0 {
                return Err(ZipError::UnknownMethod {
                    name: name(),
                    method: entry.method,
                });
            }
        }
        Ok(Self {
            bytes,
            entries,
            start: end.offset,
        })
    }
}

/// What the end records say about the directory.
struct End {
    offset: u64,
    size: u64,
    records: u64,
    is_zip64: bool,
}

impl End {
    /// Reads the last end record in the file, as Go does, and the zip64 records before it. The
    /// directory must lie right before them, and nothing behind.
    fn find(source: &dyn ReadAt) -> Result<Self, ZipError> {
        let size = source.size();
        let tail_len = size.min((END_LEN + usize::from(u16::MAX)) as u64);
        let mut tail = vec![0; tail_len as usize];
        read_exact_at(source, &mut tail, size - tail_len)?;

        let signature = END_SIGNATURE.to_le_bytes();
        let last = tail.len().checked_sub(END_LEN).ok_or(ZipError::NotAZip)?;
        let at = (0..=last)
            .rev()
            .find(|&at| tail[at..].starts_with(&signature))
            .ok_or(ZipError::NotAZip)?;
        let position = size - tail_len + at as u64;

        let mut b = Bytes(&tail[at + 4..]);
        let fields = (|| {
            Some((
                (b.u16()?, b.u16()?),
                (b.u16()?, b.u16()?),
                b.u32()?,
                b.u32()?,
                b.u16()?,
            ))
        })();
        let Some((disks, records, dir_size, dir_offset, comment)) = fields else {
            return Err(ZipError::NotAZip);
        };
        if b.0.len() > usize::from(comment) {
            return Err(ZipError::TrailingData);
        }
        if b.0.len() < usize::from(comment) {
            return Err(ZipError::NotAZip);
        }

        let saturated = records.1 == u16::MAX || dir_size == u32::MAX || dir_offset == u32::MAX;
        let mut end = Self {
            offset: dir_offset.into(),
            size: dir_size.into(),
            records: records.1.into(),
            is_zip64: false,
        };
        let mut directory_end = position;
        if (saturated || end.offset.checked_add(end.size) != Some(position))
            && let Some((end64, start)) = Self::find64(source, position)?
        {
            let agree16 = |short: u16, long: u64| short == u16::MAX || u64::from(short) == long;
            let agree32 = |short: u32, long: u64| short == u32::MAX || u64::from(short) == long;
            if !agree16(records.1, end64.records)
                || !agree32(dir_size, end64.size)
                || !agree32(dir_offset, end64.offset)
            {
                return Err(ZipError::Malformed("two end records that disagree"));
            }
            end = end64;
            directory_end = start;
        }
        let one_disk = |n: u16| n == 0 || (end.is_zip64 && n == u16::MAX);
        if !one_disk(disks.0) || !one_disk(disks.1) || records.0 != records.1 {
            return Err(ZipError::Malformed("more than one disk"));
        }
        if end.offset.checked_add(end.size) != Some(directory_end) {
            return Err(ZipError::Malformed("it does not end at its end record"));
        }
        Ok(end)
    }

    /// The zip64 end record, if its locator stands right before `position`, and where it starts.
    fn find64(source: &dyn ReadAt, position: u64) -> Result<Option<(Self, u64)>, ZipError> {
        let broken = || ZipError::Malformed("a broken zip64 end record");
        let Some(locator_at) = position.checked_sub(LOCATOR64_LEN as u64) else {
            return Ok(None);
        };
        let mut locator = [0; LOCATOR64_LEN];
        read_exact_at(source, &mut locator, locator_at)?;
        let mut b = Bytes(&locator);
        if b.u32() != Some(LOCATOR64_SIGNATURE) {
            return Ok(None);
        }
        let (disk, start, disks) =
            (|| Some((b.u32()?, b.u64()?, b.u32()?)))().ok_or_else(broken)?;
        // Right before the locator, without the extensible part that nobody writes.
        if disk != 0 || disks > 1 || start.checked_add(END64_LEN as u64) != Some(locator_at) {
            return Err(broken());
        }
        let mut record = [0; END64_LEN];
        read_exact_at(source, &mut record, start)?;
        let mut b = Bytes(&record);
        let signature = b.u32();
        let length = b.u64();
        if signature != Some(END64_SIGNATURE) || length != Some(END64_LEN as u64 - 12) {
            return Err(broken());
        }
        let (disks, records, size, offset) = (|| {
            b.skip(4)?;
            Some((
                (b.u32()?, b.u32()?),
                (b.u64()?, b.u64()?),
                b.u64()?,
                b.u64()?,
            ))
        })()
        .ok_or_else(broken)?;
        if disks != (0, 0) || records.0 != records.1 {
            return Err(broken());
        }
        let end = Self {
            offset,
            size,
            records: records.1,
            is_zip64: true,
        };
        Ok(Some((end, start)))
    }
}

fn directory_entry(b: &mut Bytes<'_>, at: usize) -> Option<Entry> {
    if b.u32()? != DIRECTORY_SIGNATURE {
        return None;
    }
    b.skip(4)?;
    let flags = b.u16()?;
    let method = b.u16()?;
    b.skip(4)?;
    let crc = b.u32()?;
    let (packed, size) = (b.u32()?, b.u32()?);
    let (name_len, extra_len, comment_len) = (b.u16()?, b.u16()?, b.u16()?);
    let disk = b.u16()?;
    b.skip(6)?;
    let offset = b.u32()?;
    b.take(name_len.into())?;
    let extra = b.take(extra_len.into())?;
    b.take(comment_len.into())?;

    let mut wide = Zip64::find(extra);
    let size = wide.widen(size)?;
    let packed = wide.widen(packed)?;
    let offset = wide.widen(offset)?;
    if disk != 0 && disk != u16::MAX {
        return None;
    }
    Some(Entry {
        name_at: u32::try_from(at + DIRECTORY_LEN).ok()?,
        name_len,
        method,
        flags,
        crc,
        packed,
        size,
        offset,
    })
}

/// A local header, its name and extra fields left aside.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalHeader {
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub packed: u64,
    pub size: u64,
}

impl LocalHeader {
    /// How many bytes the header that starts here has, as far as that can be told: the fixed part
    /// until that is there, then all of it.
    pub(super) fn len(head: &[u8]) -> usize {
        let lengths = || {
            let mut b = Bytes(head.get(LOCAL_LEN - 4..LOCAL_LEN)?);
            Some(usize::from(b.u16()?) + usize::from(b.u16()?))
        };
        LOCAL_LEN + lengths().unwrap_or(0)
    }

    /// Reads a header of the length that [`len`](Self::len) tells, and its name.
    pub(super) fn parse(header: &[u8]) -> Option<(Self, &[u8])> {
        let mut b = Bytes(header);
        if b.u32()? != LOCAL_SIGNATURE {
            return None;
        }
        b.skip(2)?;
        let flags = b.u16()?;
        let method = b.u16()?;
        b.skip(4)?;
        let crc = b.u32()?;
        let (packed, size) = (b.u32()?, b.u32()?);
        let (name_len, extra_len) = (b.u16()?, b.u16()?);
        let name = b.take(name_len.into())?;
        let mut wide = Zip64::find(b.take(extra_len.into())?);
        let size = wide.widen(size)?;
        let packed = wide.widen(packed)?;
        let header = Self {
            flags,
            method,
            crc,
            packed,
            size,
        };
        Some((header, name))
    }

    /// What contradicts the values found elsewhere, if anything. With a data descriptor a value
    /// may be left out (0) but not wrong.
    pub(super) fn contradiction(
        &self,
        flags: u16,
        method: u16,
        crc: u32,
        packed: u64,
        size: u64,
    ) -> Option<&'static str> {
        let may_be_zero = self.flags & HAS_DESCRIPTOR != 0;
        let differs = |stated: u64, actual: u64| stated != actual && !(may_be_zero && stated == 0);
        if (self.flags ^ flags) & FLAGS_THAT_MATTER != 0 {
            Some("flags")
        } else if self.method != method {
            Some("method")
        } else if differs(self.crc.into(), crc.into()) {
            Some("CRC-32")
        } else if differs(self.packed, packed) {
            Some("compressed size")
        } else if differs(self.size, size) {
            Some("size")
        } else {
            None
        }
    }
}

/// Whether `bytes` is a data descriptor that states these values: with or without signature, sizes
/// of 32 or 64 bits.
pub(super) fn is_descriptor(bytes: &[u8], crc: u32, packed: u64, size: u64) -> bool {
    let mut b = Bytes(bytes);
    if matches!(bytes.len(), 16 | 24) && b.u32() != Some(DESCRIPTOR_SIGNATURE) {
        return false;
    }
    if b.u32() != Some(crc) {
        return false;
    }
    let mut sizes = || match bytes.len() {
        12 | 16 => Some((b.u32()?.into(), b.u32()?.into())),
        20 | 24 => Some((b.u64()?, b.u64()?)),
        _ => None,
    };
    sizes() == Some((packed, size))
}

/// The lengths a data descriptor can have, likelier ones first.
pub(super) const DESCRIPTOR_LENS: [usize; 4] = [16, 24, 12, 20];

/// The zip64 extra field, which holds what does not fit 32 bits, in a fixed order.
struct Zip64<'a>(Option<Bytes<'a>>);

impl<'a> Zip64<'a> {
    fn find(extra: &'a [u8]) -> Self {
        let mut b = Bytes(extra);
        while let (Some(tag), Some(len)) = (b.u16(), b.u16()) {
            let Some(field) = b.take(len.into()) else {
                break;
            };
            if tag == ZIP64_EXTRA {
                return Self(Some(Bytes(field)));
            }
        }
        Self(None)
    }

    /// The value that a 32-bit field stands for. A saturated field without zip64 means itself.
    fn widen(&mut self, short: u32) -> Option<u64> {
        match &mut self.0 {
            Some(field) if short == u32::MAX => field.u64(),
            _ => Some(short.into()),
        }
    }
}

/// Little-endian numbers from the front of a slice.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn skip(&mut self, n: usize) -> Option<()> {
        self.take(n).map(drop)
    }
}
