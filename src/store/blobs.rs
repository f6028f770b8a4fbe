//! The seam for the files themselves.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use super::disk::Room;
use super::spool::{Spool, SpoolError};
use crate::gomod::{H1, ModulePath};
use crate::protocol::FileKey;

/// A fault of the place where files are kept.
#[derive(Debug, Error)]
#[error("{doing}: {source}")]
pub struct BlobError {
    /// What was being done.
    pub doing: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// An open, immutable file. It is only ever replaced by rename, so what is open stays as it is.
#[derive(Clone, Debug)]
pub struct BlobFile {
    /// The file.
    pub file: Arc<File>,
    /// Bytes.
    pub size: u64,
}

/// Where files are kept. A file that is not there is `None`; every other failure is an error, never "not there".
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// The content, if it is not larger than `limit` bytes (a larger one is an error).
    async fn read(&self, key: &FileKey, limit: u64) -> Result<Option<Bytes>, BlobError>;

    /// The file, opened.
    async fn open(&self, key: &FileKey) -> Result<Option<BlobFile>, BlobError>;

    /// Makes a small file durable under its name, replacing what was there.
    async fn publish_bytes(&self, key: &FileKey, body: Bytes) -> Result<(), BlobError>;

    /// Makes a spooled zip durable under its name, its `.ziphash` first.
    async fn publish_spool(
        &self,
        key: &FileKey,
        spool: &Arc<Spool>,
        h1: &H1,
    ) -> Result<(), BlobError>;

    /// Puts a module's list where the `go` command finds it when the folder serves as `GOPROXY=file://…`. Of a small one
    /// it is a copy, on which nothing depends; a large one is nowhere else.
    async fn publish_list(&self, module: &ModulePath, body: Bytes) -> Result<(), BlobError>;

    /// A module's list, opened.
    async fn open_list(&self, module: &ModulePath) -> Result<Option<BlobFile>, BlobError>;

    /// Reads all of an open file.
    async fn read_whole(&self, file: &BlobFile) -> Result<Bytes, BlobError>;

    /// Something small that can be had again, such as a checksum database's tile. Gone, or damaged by a power cut, it
    /// counts as absent.
    async fn loose(&self, name: &str) -> Result<Option<Bytes>, BlobError>;

    /// Keeps such a thing; that need not be durable at once.
    async fn put_loose(&self, name: &str, body: Bytes) -> Result<(), BlobError>;

    /// Removes all such things below a name.
    async fn clear_loose(&self, below: &str) -> Result<(), BlobError>;

    /// Removes a file and what belongs to it; no error if it is not there.
    async fn remove(&self, key: &FileKey) -> Result<(), BlobError>;

    /// A place for a file of about `expected` bytes to grow in. One that cannot be kept when there is no room.
    async fn spool(&self, expected: Option<u64>) -> Result<Arc<Spool>, SpoolError>;

    /// Whether there is room to keep more.
    fn room(&self) -> Room;

    /// Whether this file will be kept, as far as can be said: there is room, and keeping it has not failed lately.
    fn can_keep(&self, key: &FileKey) -> bool;

    /// Something of this name could not be kept, here or in the index.
    fn keeping_failed(&self, name: &str, error: &dyn Display, kind: io::ErrorKind);

    /// Something of this name was kept.
    fn kept(&self, name: &str);

    /// Bytes of files that are still arriving or being checked.
    fn temporary(&self) -> u64;

    /// Free bytes, if known.
    fn free(&self) -> Option<u64>;
}
