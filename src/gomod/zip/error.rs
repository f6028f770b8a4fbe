use std::fmt;
use std::io;

use super::super::PathError;

/// Why a zip is refused, or could not be read.
#[allow(missing_docs, reason = "the messages say what is meant")]
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// Reading failed; says nothing about the zip.
    #[error("the zip could not be read: {0}")]
    Io(#[from] io::Error),

    #[error("the version {version} cannot exist for the module {module}")]
    VersionMismatch { module: String, version: String },

    // The file as a whole.
    #[error("the zip file is too large ({size} bytes; the limit is {limit})")]
    TooLarge { size: u64, limit: u64 },
    #[error("not a valid zip file: no end record of a central directory")]
    NotAZip,
    #[error("the zip has bytes behind its end record")]
    TrailingData,
    #[error("the zip has bytes before its first entry")]
    LeadingData,
    #[error("the zip's directory is malformed: {0}")]
    Malformed(&'static str),
    #[error("the zip's directory is too large ({size} bytes; the limit is {limit})")]
    DirectoryTooLarge { size: u64, limit: u64 },
    #[error("the zip has too many entries (the limit is {limit})")]
    TooManyEntries { limit: usize },
    #[error("the files in the zip are too large in total (the limit is {limit} bytes)")]
    TotalTooLarge { limit: u64 },

    // Names.
    #[error("{name}: the entry does not have the prefix {prefix:?}")]
    WrongPrefix { name: EntryName, prefix: String },
    #[error("{name}: the name is not valid UTF-8")]
    NotUtf8 { name: EntryName },
    #[error("{name}: the name is too long (the limit is {limit} bytes)")]
    NameTooLong { name: EntryName, limit: usize },
    #[error("{name}: malformed file path: {source}")]
    BadName { name: EntryName, source: PathError },
    #[error("{name}: its name and that of {other} differ only in case")]
    Collision { name: EntryName, other: EntryName },
    #[error("{name} is both a file and a directory")]
    FileAndDirectory { name: EntryName },
    #[error("{name} is in the zip more than once")]
    Duplicate { name: EntryName },
    #[error("{name}: a go.mod outside the module's root")]
    GoModNotInRoot { name: EntryName },
    #[error("{name}: the go.mod must be in lower case")]
    GoModCase { name: EntryName },
    #[error("{name} is too large ({size} bytes; the limit is {limit})")]
    FileTooLarge {
        name: EntryName,
        size: u64,
        limit: u64,
    },

    // Entries.
    #[error("{name} is encrypted")]
    Encrypted { name: EntryName },
    #[error("{name} is compressed by the unknown method {method}")]
    UnknownMethod { name: EntryName, method: u16 },
    #[error("{name} overlaps another part of the zip")]
    Overlap { name: EntryName },
    #[error("the zip has bytes that belong to no entry, before {name}")]
    Gap { name: EntryName },
    #[error("{name} has bytes behind its compressed data")]
    HiddenData { name: EntryName },
    #[error("{name}: its local header contradicts the directory ({what})")]
    LocalMismatch { name: EntryName, what: &'static str },
    #[error("{name}: its data descriptor contradicts the directory")]
    BadDescriptor { name: EntryName },
    #[error("{name}: the compressed data is damaged")]
    BadDeflate { name: EntryName },
    #[error("{name}: its content is not of the declared size of {declared} bytes")]
    SizeMismatch { name: EntryName, declared: u64 },
    #[error("{name}: its content does not have the declared CRC-32")]
    CrcMismatch { name: EntryName },
}

impl ZipError {
    /// Whether reading failed, so that nothing is known about the zip.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Io(_))
    }
}

/// The name of an entry as errors print it: quoted, escaped, of bounded length.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryName(Box<str>);

impl EntryName {
    const SHOWN: usize = 200;

    pub(super) fn new(name: &[u8]) -> Self {
        if name.len() <= Self::SHOWN {
            return Self(String::from_utf8_lossy(name).into());
        }
        let head = String::from_utf8_lossy(&name[..Self::SHOWN]);
        Self(format!("{head}…").into())
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
