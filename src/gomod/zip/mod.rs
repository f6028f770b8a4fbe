//! Module zips: our own strict reader, the rules a downloaded zip must keep, and its h1
//! (protocol.md 5 and 4.1, x/mod/zip `CheckZip` and `Unzip`, x/mod/sumdb/dirhash `HashZip`).
//!
//! Strict means: exactly one way to read the file. Go looks at the central directory alone; here
//! the local headers must say the same, entries must lie side by side without gap or overlap from
//! the first byte on, and nothing but the comment it announces may follow the end record. So no
//! two readers can see different files in a zip that passes.
//!
//! * [`check_zip`] judges a whole file.
//! * [`StreamHasher`] inflates and hashes entries while the bytes arrive; with it
//!   [`check_zip_with`] gives the same verdict without inflating again.
//! * [`select_files`] says which files make up the zip of a new version, [`ZipWriter`] writes it.

mod check;
mod content;
mod create;
mod error;
mod names;
mod source;
mod stream;
mod structures;
#[cfg(test)]
mod tests;
mod write;

pub use check::{CheckedZip, check_zip, check_zip_limited, check_zip_with};
pub use create::{Candidate, CreateError, FileKind, select_files, wants_root_license};
pub use error::{EntryName, ZipError};
pub use source::{FileAt, ReadAt};
pub use stream::StreamHasher;
pub use write::ZipWriter;

/// What a module zip may measure. [`Default`] gives the limits of Go (protocol.md 5) and our own
/// bounds on memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipLimits {
    /// Bytes of the zip file (x/mod/zip `MaxZipFile`).
    pub zip: u64,
    /// Sum of the sizes of all files in it (`MaxZipFile` again).
    pub total: u64,
    /// Bytes of the go.mod (x/mod/zip `MaxGoMod`).
    pub go_mod: u64,
    /// Bytes of the LICENSE (x/mod/zip `MaxLICENSE`).
    pub license: u64,
    /// Bytes of the central directory, which is held in memory. Ours.
    pub directory: u64,
    /// Number of entries, and half the number of files and directories they make up. Ours.
    pub entries: usize,
    /// Bytes of an entry's name. Ours: what is longer than a path may be nobody can unpack, and
    /// names of thousands of elements would make the check for collisions slow.
    pub name: usize,
}

impl ZipLimits {
    /// What holds for every module zip.
    pub const GO: Self = Self {
        zip: 500 << 20,
        total: 500 << 20,
        go_mod: 16 << 20,
        license: 16 << 20,
        directory: 64 << 20,
        entries: 500_000,
        name: 4096,
    };
}

impl Default for ZipLimits {
    fn default() -> Self {
        Self::GO
    }
}
