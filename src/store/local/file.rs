//! A kept file, opened.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Timestamp;
use crate::gomod::zip::ReadAt;

/// Uses are noted to within this. Milliseconds.
const NOTED: u64 = 60_000;

/// An immutable file, or the part of a growing one that has been written. A name gets another file only by rename, so what
/// is open stays as it is.
#[derive(Clone, Debug)]
pub struct LocalFile {
    open: Arc<Open>,
    size: u64,
}

/// What all handles of an open file share.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: File,
    used: AtomicU64,
}

impl Open {
    pub(super) fn new(file: File, now: Timestamp) -> Arc<Self> {
        let used = AtomicU64::new(now.0);
        Arc::new(Open { file, used })
    }
}

impl LocalFile {
    pub(super) fn new(open: Arc<Open>, size: u64) -> Self {
        LocalFile { open, size }
    }

    /// A file of this content, for tests.
    #[cfg(test)]
    pub(crate) fn of(content: &[u8]) -> Self {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        LocalFile::new(Open::new(file, Timestamp(1_000)), content.len() as u64)
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Notes that it is used. Cheap: seldom more than a look.
    pub fn touch(&self, now: Timestamp) {
        let used = &self.open.used;
        if now.0.saturating_sub(used.load(Ordering::Relaxed)) >= NOTED {
            used.store(now.0, Ordering::Relaxed);
        }
    }

    /// When it was last used, to the minute, through any handle of it that has the same origin.
    pub fn last_used(&self) -> Timestamp {
        Timestamp(self.open.used.load(Ordering::Relaxed))
    }

    /// Fills the buffer from `offset` on. Blocks.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.saturating_add(buffer.len() as u64) > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.open.file.read_exact_at(buffer, offset)
    }

    /// Fills the buffer from `offset` on, if that is in the page cache; false if it is not.
    #[cfg(target_os = "linux")]
    pub fn read_at_once(&self, buffer: &mut [u8], offset: u64) -> bool {
        use rustix::io::{ReadWriteFlags, preadv2};
        let length = buffer.len();
        let mut buffers = [io::IoSliceMut::new(buffer)];
        preadv2(
            &self.open.file,
            &mut buffers,
            offset,
            ReadWriteFlags::NOWAIT,
        ) == Ok(length)
    }

    /// Elsewhere nobody can promise not to wait.
    #[cfg(not(target_os = "linux"))]
    pub fn read_at_once(&self, _buffer: &mut [u8], _offset: u64) -> bool {
        false
    }
}

impl ReadAt for LocalFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        self.open.file.read_at(&mut buffer[..most], offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// For a connection only, which hands the file to the kernel.
impl AsFd for LocalFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_beyond_its_size_is_read() {
        let whole = LocalFile::of(b"0123456789");
        let file = LocalFile::new(whole.open, 6);
        let mut buffer = [0; 4];
        assert_eq!(file.read_at(&mut buffer, 4).unwrap(), 2);
        assert_eq!(&buffer[..2], b"45");
        assert_eq!(file.read_at(&mut buffer, 6).unwrap(), 0);
        assert_eq!(file.read_at(&mut buffer, 99).unwrap(), 0);
        file.read_exact_at(&mut buffer, 2).unwrap();
        assert_eq!(&buffer, b"2345");
        let error = file.read_exact_at(&mut buffer, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn every_handle_knows_the_last_use() {
        let file = LocalFile::of(b"x");
        let other = file.clone();
        assert_eq!(other.last_used(), Timestamp(1_000));
        file.touch(Timestamp(1_000 + NOTED - 1));
        assert_eq!(other.last_used(), Timestamp(1_000));
        file.touch(Timestamp(1_000 + NOTED));
        assert_eq!(other.last_used(), Timestamp(1_000 + NOTED));
        // A clock that steps back.
        file.touch(Timestamp(7));
        assert_eq!(other.last_used(), Timestamp(1_000 + NOTED));
    }
}
