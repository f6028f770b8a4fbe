//! The verdict on a module zip.

use super::super::dirhash::{H1, hash1};
use super::super::{ModulePath, Version};
use super::content::{Content, Fault, Inflater};
use super::error::EntryName;
use super::names::Names;
use super::source::Window;
use super::stream::{Hashed, StreamHasher};
use super::structures::{
    DESCRIPTOR_LENS, Directory, Entry, LOCAL_LEN, LocalHeader, STORED, is_descriptor,
};
use super::{ReadAt, ZipError, ZipLimits};

/// A zip that keeps all rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedZip {
    /// The hash that go.sum and the checksum database have for it.
    pub h1: H1,
    /// Number of files, directories not counted.
    pub files: u64,
    /// Sum of their sizes.
    pub uncompressed: u64,
}

/// Checks the zip of a module version and hashes its files: the rules of x/mod/zip `CheckZip` and
/// `Unzip`, and that the zip can be read in one way only (see the module's documentation).
pub fn check_zip(
    source: &dyn ReadAt,
    module: &ModulePath,
    version: &Version,
) -> Result<CheckedZip, ZipError> {
    check_zip_limited(source, module, version, None, &ZipLimits::GO)
}

/// [`check_zip`] with the work that was done while the bytes of `source` arrived. The verdict comes
/// from the directory as before; an entry's content is not inflated again if it was hashed from
/// where the directory says it is, under the same name and with the same sizes and CRC-32.
///
/// `pre` must have been given the very bytes that `source` begins with; they need not be all. If it
/// was given more than `source` has it is ignored.
pub fn check_zip_with(
    source: &dyn ReadAt,
    module: &ModulePath,
    version: &Version,
    pre: StreamHasher,
) -> Result<CheckedZip, ZipError> {
    check_zip_limited(source, module, version, Some(pre), &ZipLimits::GO)
}

/// [`check_zip`] and [`check_zip_with`] under other limits.
pub fn check_zip_limited(
    source: &dyn ReadAt,
    module: &ModulePath,
    version: &Version,
    pre: Option<StreamHasher>,
    limits: &ZipLimits,
) -> Result<CheckedZip, ZipError> {
    if !version.fits(module) {
        return Err(ZipError::VersionMismatch {
            module: module.to_string(),
            version: version.to_string(),
        });
    }
    let size = source.size();
    if size > limits.zip {
        return Err(ZipError::TooLarge {
            size,
            limit: limits.zip,
        });
    }
    let directory = Directory::read(source, limits)?;

    let mut texts = Vec::with_capacity(directory.entries.len());
    let mut names = Names::new(
        format!("{module}@{version}/"),
        directory.entries.len(),
        limits,
    );
    let mut files = 0;
    for entry in &directory.entries {
        let (text, is_file) = names.check(directory.name(entry), entry.size)?;
        files += u64::from(is_file);
        texts.push(text);
    }
    let uncompressed = names.total();
    drop(names);

    let digests = digests(source, &directory, pre.filter(|pre| pre.received() <= size))?;
    // Cannot fail: no name that passed the checks has a line break.
    let h1 = hash1(texts.iter().zip(digests))
        .map_err(|_| ZipError::Malformed("a name with a line break"))?;
    Ok(CheckedZip {
        h1,
        files,
        uncompressed,
    })
}

/// The SHA-256 of every entry's content, in the order of the directory. Walks the file front to
/// back and finds that its entries fill it up to the directory.
fn digests(
    source: &dyn ReadAt,
    directory: &Directory,
    pre: Option<StreamHasher>,
) -> Result<Vec<[u8; 32]>, ZipError> {
    let entries = &directory.entries;
    let shown = |entry: &Entry| EntryName::new(directory.name(entry));
    let mut by_offset: Vec<usize> = (0..entries.len()).collect();
    by_offset.sort_by_key(|&i| entries[i].offset);

    let mut digests = vec![[0; 32]; entries.len()];
    let mut reader: Option<EntryReader<'_>> = None;
    let mut hashed = pre.iter().flat_map(StreamHasher::hashed).peekable();
    let mut expected = 0;
    for (rank, &i) in by_offset.iter().enumerate() {
        let entry = &entries[i];
        match entry.offset.checked_sub(expected) {
            Some(0) => {}
            Some(_) if rank == 0 => return Err(ZipError::LeadingData),
            Some(_) => return Err(ZipError::Gap { name: shown(entry) }),
            None => return Err(ZipError::Overlap { name: shown(entry) }),
        }
        // Where this entry must end. Several at one offset are an overlap: the first of them has
        // no room.
        let end = match by_offset.get(rank + 1) {
            Some(&next) => entries[next].offset,
            None => directory.start,
        };
        while hashed.next_if(|h| h.offset < entry.offset).is_some() {}
        let known = hashed
            .next_if(|h| h.offset == entry.offset)
            .filter(|h| agrees(h, entry, directory.name(entry), end));
        digests[i] = match known {
            Some(h) => *h.sha256,
            None => reader
                .get_or_insert_with(|| EntryReader::new(source))
                .digest(entry, directory.name(entry), end)?,
        };
        expected = end;
    }
    if expected != directory.start {
        // Only without entries.
        return Err(ZipError::LeadingData);
    }
    Ok(digests)
}

/// Whether the entry that was hashed on arrival is the one in the directory.
fn agrees(h: &Hashed<'_>, entry: &Entry, name: &[u8], end: u64) -> bool {
    h.name == name
        && h.end == end
        && h.packed == entry.packed
        && h.size == entry.size
        && h.crc == entry.crc
        && h.local
            .contradiction(
                entry.flags,
                entry.method,
                entry.crc,
                entry.packed,
                entry.size,
            )
            .is_none()
}

/// Reads entries from the file, in the order of their offsets.
struct EntryReader<'a> {
    window: Window<'a>,
    inflater: Inflater,
    content: Content,
}

impl<'a> EntryReader<'a> {
    fn new(source: &'a dyn ReadAt) -> Self {
        Self {
            window: Window::new(source),
            inflater: Inflater::new(),
            content: Content::new(),
        }
    }

    /// Checks the entry between its offset and `end` against the directory and hashes its content.
    fn digest(&mut self, entry: &Entry, name: &[u8], end: u64) -> Result<[u8; 32], ZipError> {
        let shown = || EntryName::new(name);
        let room = end - entry.offset;
        let overlap = || ZipError::Overlap { name: shown() };

        if room < LOCAL_LEN as u64 {
            return Err(overlap());
        }
        let head = self.window.at(entry.offset, LOCAL_LEN)?;
        let header_len = LocalHeader::len(head);
        let packed_end = entry.packed.checked_add(header_len as u64);
        let left = packed_end
            .and_then(|len| room.checked_sub(len))
            .ok_or_else(overlap)?;
        let head = self.window.at(entry.offset, header_len)?;
        let mismatch = |what| ZipError::LocalMismatch {
            name: shown(),
            what,
        };
        let (local, local_name) =
            LocalHeader::parse(&head[..header_len]).ok_or_else(|| mismatch("no local header"))?;
        if local_name != name {
            return Err(mismatch("name"));
        }
        if let Some(what) = local.contradiction(
            entry.flags,
            entry.method,
            entry.crc,
            entry.packed,
            entry.size,
        ) {
            return Err(mismatch(what));
        }

        let data = entry.offset + header_len as u64;
        self.hash_data(entry, data, shown)?;
        let size = self.content.size;
        let (sha256, crc) = self.content.finish();
        if size != entry.size {
            return Err(ZipError::SizeMismatch {
                name: shown(),
                declared: entry.size,
            });
        }
        if crc != entry.crc {
            return Err(ZipError::CrcMismatch { name: shown() });
        }

        // What is left must be the descriptor, or nothing.
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if !entry.has_descriptor() && left > 0 {
            return Err(ZipError::Gap { name: shown() });
        }
        if entry.has_descriptor() {
            if !DESCRIPTOR_LENS.contains(&left) {
                return Err(ZipError::BadDescriptor { name: shown() });
            }
            let bytes = &self.window.at(data + entry.packed, left)?[..left];
            if !is_descriptor(bytes, entry.crc, entry.packed, entry.size) {
                return Err(ZipError::BadDescriptor { name: shown() });
            }
        }
        Ok(sha256)
    }

    /// Runs the entry's data through `self.content`.
    fn hash_data(
        &mut self,
        entry: &Entry,
        mut at: u64,
        shown: impl Fn() -> EntryName,
    ) -> Result<(), ZipError> {
        let size_mismatch = || ZipError::SizeMismatch {
            name: shown(),
            declared: entry.size,
        };
        // An earlier entry that failed may have left something.
        self.content = Content::new();
        self.inflater.start();
        if entry.method == STORED && entry.packed != entry.size {
            return Err(size_mismatch());
        }
        let mut left = entry.packed;
        let mut ended = entry.method == STORED;
        while left > 0 {
            let bytes = self.window.at(at, 1)?;
            let n = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let bytes = &bytes[..n];
            if entry.method == STORED {
                self.content.update(bytes);
            } else {
                let fed = self.inflater.feed(bytes, &mut self.content, entry.size);
                let used = match fed {
                    Ok((used, end)) => {
                        ended = end;
                        used
                    }
                    Err(Fault::TooLong) => return Err(size_mismatch()),
                    Err(Fault::Damaged) => return Err(ZipError::BadDeflate { name: shown() }),
                };
                if ended && used as u64 != left {
                    return Err(ZipError::HiddenData { name: shown() });
                }
            }
            at += n as u64;
            left -= n as u64;
        }
        if !ended {
            return Err(ZipError::BadDeflate { name: shown() });
        }
        Ok(())
    }
}
