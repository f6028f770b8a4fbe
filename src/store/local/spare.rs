//! A spare file: room that is given back when the index needs some to open and the disk has none. Opening it writes, so
//! without that a restart on a full disk would end all hits.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::room::Disk;
use super::temporary;

/// Its name in the data directory.
pub const NAME: &str = "spare";
/// Bytes. sled writes half a MiB and its snapshot when it opens.
const MOST: u64 = 8 << 20;
const LEAST: u64 = 1 << 20;
/// The part of a small file system that it may take.
const PART: u64 = 16;
/// On a file system smaller than this there is none.
const WORTH: u64 = 8 << 20;

/// The spare file of a data directory.
pub struct Spare {
    dir: PathBuf,
    /// Held while it is made or removed.
    turn: Mutex<()>,
}

impl Spare {
    /// In a data directory.
    pub fn of(dir: &Path) -> Self {
        Spare {
            dir: dir.to_owned(),
            turn: Mutex::default(),
        }
    }

    /// Bytes that it is to take; none on a tiny file system.
    fn size(disk: &Disk) -> Option<u64> {
        let total = disk.total().filter(|total| *total >= WORTH)?;
        Some((total / PART).clamp(LEAST, MOST))
    }

    /// Has its room left free where it is missing: that is for the index, and not to be filled with files.
    pub fn claim(&self, disk: &Disk) {
        if self.dir.join(NAME).symlink_metadata().is_err() {
            disk.set_owed(Self::size(disk).unwrap_or(0));
        }
    }

    /// Removes it; whether there was one.
    pub fn give_back(&self, disk: &Disk) -> bool {
        let _turn = self.turn.lock();
        let path = self.dir.join(NAME);
        let is_file = path.symlink_metadata().is_ok_and(|meta| meta.is_file());
        let given = is_file && fs::remove_file(path).is_ok();
        if given {
            self.claim(disk);
            tracing::warn!(
                "the disk is full; the spare file was given back to make room for the index"
            );
        }
        given
    }

    /// Makes it, if it is not there and there is room beyond the reserve. Whoever cannot make it will be asked again.
    pub fn tend(&self, disk: &Disk) {
        let Some(size) = Self::size(disk) else {
            return;
        };
        if disk.owed() == 0 || disk.left() < size {
            return;
        }
        let _turn = self.turn.lock();
        match self.make(size) {
            Ok(()) => disk.set_owed(0),
            Err(error) => tracing::debug!(%error, "the spare file could not be made"),
        }
    }

    fn make(&self, size: u64) -> io::Result<()> {
        let temporary = self.dir.join("tmp").join(temporary::fresh_name());
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(&temporary)?;
        let made = allocate(&file, size)
            .and_then(|()| file.sync_all())
            .and_then(|()| temporary::place(&temporary, &self.dir.join(NAME)));
        made.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }
}

/// Takes the room, by writing where the file system cannot do it otherwise.
fn allocate(mut file: &File, size: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size) {
        Ok(()) => return Ok(()),
        Err(error) if super::room::is_no_room(io::Error::from(error).kind()) => {
            return Err(error.into());
        }
        Err(_) => {}
    }
    // Not zeros: a file system that compresses would take no room for them.
    let mut block = vec![0; 64 << 10];
    let mut left = size;
    while left > 0 {
        fastrand::fill(&mut block);
        let part = left.min(block.len() as u64);
        file.write_all(&block[..usize::try_from(part).unwrap_or(0)])?;
        left -= part;
    }
    Ok(())
}
