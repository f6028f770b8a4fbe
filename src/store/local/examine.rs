//! Whether a kept file is what it should be by its own form.

use std::fs::File;
use std::io::{self, Read};
use std::time::UNIX_EPOCH;

use sha2::Digest;
use thiserror::Error;

use super::name::BlobName;
use super::{LocalFiles, if_there};
use crate::clock::Timestamp;
use crate::gomod::dirhash::hash_go_mod;
use crate::gomod::{H1, ModulePath, check, zip};
use crate::protocol::{FileKey, Kind};
use crate::store::model::Sha256;

/// What is true of a file that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Bytes.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Sha256,
    /// Of a `.mod` or `.zip`.
    pub h1: Option<H1>,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum Flaw {
    /// There is none.
    #[error("the file is gone")]
    Gone,
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It breaks the rules that hold when it is fetched.
    #[error("{0}")]
    Form(String),
    /// It is not what its `.ziphash` says.
    #[error("its h1 is {h1}, kept is {kept}")]
    ZipHash {
        /// By its content.
        h1: H1,
        /// In the file beside it.
        kept: String,
    },
}

impl LocalFiles {
    /// Reads a file whole and checks it by the rules that hold when it is fetched. It is durable afterwards: an imported
    /// one may not have been.
    pub async fn examine(&self, key: &FileKey) -> Result<Examined, Flaw> {
        let (files, key) = (self.clone(), key.clone());
        let examined = tokio::task::spawn_blocking(move || files.examine_now(&key));
        examined.await.map_err(io::Error::other)?
    }

    fn examine_now(&self, key: &FileKey) -> Result<Examined, Flaw> {
        let path = self.0.folders.path(&key.into());
        let mut file = if_there(File::open(&path))?.ok_or(Flaw::Gone)?;
        let (size, sha256) = hash(&mut file)?;
        file.sync_data()?;
        let small = || std::fs::read(&path);
        let h1 = match key.kind {
            Kind::Info => {
                check::info(&key.version, &small()?).map_err(Flaw::Form)?;
                None
            }
            Kind::Mod => {
                let body = small()?;
                check::go_mod(&key.module, &body).map_err(Flaw::Form)?;
                Some(hash_go_mod(&body))
            }
            Kind::Zip => {
                let source = zip::FileAt::new(file.try_clone()?)?;
                let checked = zip::check_zip(&source, &key.module, &key.version);
                let h1 = checked.map_err(|error| Flaw::Form(error.to_string()))?.h1;
                let beside = self.0.folders.path(&BlobName::zip_hash(key));
                match std::fs::read_to_string(beside) {
                    Ok(kept) if kept.trim() != h1.to_string() => {
                        let kept = kept.trim().to_owned();
                        return Err(Flaw::ZipHash { h1, kept });
                    }
                    _ => Some(h1),
                }
            }
        };
        Ok(Examined { size, sha256, h1 })
    }

    /// A module's list and when it was written, if it has no more than `limit` bytes.
    pub async fn dated_list(
        &self,
        module: &ModulePath,
        limit: u64,
    ) -> io::Result<(Vec<u8>, Timestamp)> {
        let path = self.0.folders.path(&BlobName::List(module.clone()));
        let read = tokio::task::spawn_blocking(move || {
            let file = File::open(&path)?;
            let modified = file.metadata()?.modified()?;
            let mut body = Vec::new();
            let size = file.take(limit + 1).read_to_end(&mut body)?;
            if size as u64 > limit {
                return Err(io::Error::other("the list is too long"));
            }
            let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
            let millis = u64::try_from(since.as_millis()).unwrap_or(0);
            Ok((body, Timestamp(millis)))
        });
        read.await.map_err(io::Error::other)?
    }
}

fn hash(file: &mut File) -> io::Result<(u64, Sha256)> {
    let mut sha = sha2::Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        sha.update(&buffer[..count]);
        size += count as u64;
    }
    Ok((size, sha.into()))
}
