use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Something of known size that can be read at any offset.
pub trait ReadAt {
    /// Reads some bytes at `offset`; 0 only at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// The size in bytes; must not change while the source is in use.
    fn size(&self) -> u64;
}

impl ReadAt for [u8] {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| self.get(at..))
            .unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buf, offset)
    }

    fn size(&self) -> u64 {
        (**self).size()
    }
}

/// A file, with the size it had when it was wrapped.
#[derive(Debug)]
pub struct FileAt {
    file: File,
    size: u64,
}

impl FileAt {
    /// Asks the file for its size.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for FileAt {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Fills `buf` from `offset` on.
pub(super) fn read_exact_at(
    source: &dyn ReadAt,
    mut buf: &mut [u8],
    mut offset: u64,
) -> io::Result<()> {
    while !buf.is_empty() {
        match source.read_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Reads a source front to back through one buffer.
pub(super) struct Window<'a> {
    source: &'a dyn ReadAt,
    buf: Box<[u8]>,
    start: u64,
    len: usize,
}

impl<'a> Window<'a> {
    /// Larger than the largest local header (30 + 2 × 65535 bytes).
    pub(super) const SIZE: usize = 256 << 10;

    pub(super) fn new(source: &'a dyn ReadAt) -> Self {
        Self {
            source,
            buf: vec![0; Self::SIZE].into_boxed_slice(),
            start: 0,
            len: 0,
        }
    }

    /// What the buffer has from `offset` on, at least `want` bytes (`1 <= want <= SIZE`). An error
    /// of kind `UnexpectedEof` if the source ends before.
    pub(super) fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let skip = offset
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok())
            .map_or(self.len, |skip| skip.min(self.len));
        if self.len - skip >= want {
            return Ok(&self.buf[skip..self.len]);
        }
        self.buf.copy_within(skip..self.len, 0);
        self.len -= skip;
        self.start = offset;
        while self.len < want {
            let rest = &mut self.buf[self.len..];
            match self.source.read_at(rest, offset + self.len as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.len += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(&self.buf[..self.len])
    }
}
