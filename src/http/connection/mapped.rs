//! Parts of files as memory that is not read: the one place of `unsafe` in this program.
//!
//! A response's body is `Bytes` over a mapped part of a file. The connection (`io.rs`) recognises such a slice by its
//! address and hands the file to `sendfile(2)` in its place, so the mapping's pages are never touched. Streams that
//! cannot do that get no such slices (`files.rs`).

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};
use parking_lot::Mutex;

use crate::store::LocalFile;

/// The mapped parts whose bytes one connection is about to send.
#[derive(Debug, Default)]
pub struct Regions {
    /// As many as there are in `list`; looked at first, because most connections never have one.
    count: AtomicUsize,
    /// A handful at the most: one for the body under way.
    list: Mutex<Vec<Region>>,
}

#[derive(Clone, Debug)]
struct Region {
    start: usize,
    len: usize,
    file: LocalFile,
    offset: u64,
}

/// Where a slice of memory comes from.
#[derive(Clone, Debug)]
pub struct FilePart {
    /// The file.
    pub file: LocalFile,
    /// Of the slice's first byte in it.
    pub offset: u64,
    /// Of the slice. Bytes.
    pub len: usize,
}

/// Keeps a mapping alive and known to its connection.
struct Mapped {
    map: Mmap,
    regions: Arc<Regions>,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let start = self.map.as_ptr() as usize;
        let mut list = self.regions.list.lock();
        if let Some(at) = list.iter().position(|region| region.start == start) {
            list.swap_remove(at);
            self.regions.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Regions {
    /// Maps `len` bytes of `file` from `offset` on; they must have been written already.
    pub fn map(self: &Arc<Self>, file: &LocalFile, offset: u64, len: usize) -> io::Result<Bytes> {
        let descriptor = file.as_fd().as_raw_fd();
        // SAFETY: a mapping is undefined behaviour only if the file changes or shrinks beneath it. The files that
        // come here are kept ones, which are replaced by rename and never written again, and staged ones, which only
        // grow beyond what has been written (store/local/staging.rs); both live in directories of this process alone.
        #[allow(unsafe_code)]
        let map = unsafe { MmapOptions::new().offset(offset).len(len).map(descriptor)? };
        let region = Region {
            start: map.as_ptr() as usize,
            len,
            file: file.clone(),
            offset,
        };
        self.list.lock().push(region);
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(Bytes::from_owner(Mapped {
            map,
            regions: Arc::clone(self),
        }))
    }

    /// The first of some slices that is part of a mapped file, and which.
    pub fn first_in(&self, slices: &[io::IoSlice<'_>]) -> Option<(usize, FilePart)> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let list = self.list.lock();
        slices.iter().enumerate().find_map(|(at, slice)| {
            let start = slice.as_ptr() as usize;
            let within =
                |region: &&Region| start >= region.start && start < region.start + region.len;
            let region = list.iter().find(within).filter(|_| !slice.is_empty())?;
            let offset = region.offset + (start - region.start) as u64;
            Some((
                at,
                FilePart {
                    file: region.file.clone(),
                    offset,
                    len: slice.len(),
                },
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;

    #[test]
    fn a_slice_is_recognised_until_it_is_dropped() {
        let content: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let regions = Arc::new(Regions::default());
        let file = LocalFile::of(&content);
        let bytes = regions.map(&file, 5_000, 90_000).unwrap();
        assert_eq!(bytes, content[5_000..95_000]);
        let part = bytes.slice(70_000..80_000);
        drop(bytes);
        let head = *b"HTTP/1.1";
        let (at, found) = regions
            .first_in(&[IoSlice::new(&head), IoSlice::new(&part)])
            .unwrap();
        assert_eq!((at, found.offset, found.len), (1, 75_000, 10_000));
        assert!(regions.first_in(&[IoSlice::new(&head)]).is_none());
        drop(part);
        assert_eq!(regions.count.load(Ordering::Relaxed), 0);
        assert!(regions.list.lock().is_empty());
    }
}
