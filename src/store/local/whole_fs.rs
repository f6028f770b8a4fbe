//! One sync of a whole file system in place of one for each of many files.
//!
//! A file system with a journal commits everything for every single file that is synced, so that a group of a hundred
//! small files costs a hundred commits, or one. Measured on ext4: three to ten times as many files a second, also beside
//! somebody who writes much and does not sync.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file system on which `syncfs` is known to make everything durable. (FUSE answers it and does nothing.)
pub struct WholeFs {
    folder: File,
    device: u64,
}

impl WholeFs {
    /// The one that a folder is on, if it is of such a kind.
    pub fn of(folder: &Path) -> Option<Self> {
        let folder = File::open(folder).ok()?;
        let device = folder.metadata().ok()?.dev();
        is_known(&folder).then_some(WholeFs { folder, device })
    }

    /// Whether a file or folder is on it.
    pub fn has(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|meta| meta.dev() == self.device)
    }

    /// Makes durable all that was written on it. An error may be that of a file of somebody else's.
    #[cfg(target_os = "linux")]
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.folder)?)
    }

    /// There is no such call.
    #[cfg(not(target_os = "linux"))]
    pub fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// ext2, 3 and 4, XFS, Btrfs, F2FS, by their magic numbers.
#[cfg(target_os = "linux")]
fn is_known(folder: &File) -> bool {
    const KNOWN: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];
    rustix::fs::fstatfs(folder).is_ok_and(|fs| KNOWN.contains(&(fs.f_type as u32)))
}

#[cfg(not(target_os = "linux"))]
fn is_known(_folder: &File) -> bool {
    false
}
