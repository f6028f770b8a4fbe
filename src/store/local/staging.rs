//! Where a file grows while it is fetched and checked: a temporary file, or memory when the disk has no room.
//!
//! What has been written is never written again nor made shorter: readers may map it. When room ends in the middle, what is
//! there is copied to where there is some, and the file goes on growing there: it will not be kept, but it can be checked
//! and sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::error::{LocalError, StageError};
use super::file::{LocalFile, Open};
use super::room::Disk;
use super::temporary;

/// Memory that all files in memory may take together. Bytes.
const MEMORY: u64 = 256 << 20;
/// Left free by what will not be kept, when the disk is below its reserve. Bytes.
const MARGIN: u64 = 16 << 20;
/// Copied at once. Bytes.
const BLOCK: usize = 256 << 10;

/// A growing file.
#[derive(Debug)]
pub struct Staged {
    /// Held for no longer than it takes to look, or to take it away.
    place: Mutex<Place>,
    keep: AtomicBool,
    written: AtomicU64,
    /// Of all staged files that are neither kept nor gone.
    temporary: Arc<AtomicU64>,
}

/// Where its bytes are now.
#[derive(Debug)]
struct Place {
    open: Arc<Open>,
    medium: Medium,
}

#[derive(Debug)]
enum Medium {
    /// On disk, under a temporary name.
    Disk(Temporary),
    /// In memory, with what it may take.
    Memory(Allowance),
    /// It has its final name.
    Kept,
}

/// A temporary file, removed when dropped.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // What stays behind is removed at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A share of the memory, given back when dropped.
#[derive(Debug)]
struct Allowance {
    pool: Arc<AtomicU64>,
    most: u64,
    bytes: u64,
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.pool.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Allowance {
    /// False if there is not as much.
    fn grow_to(&mut self, end: u64) -> bool {
        let more = end.saturating_sub(self.bytes);
        let most = self.most;
        let taken = self
            .pool
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(more).filter(|sum| *sum <= most)
            });
        if taken.is_ok() {
            self.bytes += more;
        }
        taken.is_ok()
    }
}

impl Staged {
    /// What has been written of its first `end` bytes.
    pub fn part(&self, end: u64) -> LocalFile {
        let open = Arc::clone(&self.place.lock().open);
        LocalFile::new(open, end.min(self.written()))
    }

    /// Bytes that have been written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Whether it can become a kept file, as far as is known before it is whole.
    pub fn can_be_kept(&self) -> bool {
        self.keep.load(Ordering::Relaxed)
    }

    /// Makes it durable and gives it its final name. Blocks.
    pub(super) fn adopt(&self, name: &Path, doing: &'static str) -> Result<(), LocalError> {
        let failed = |source| LocalError::Io { doing, source };
        let open = Arc::clone(&self.place.lock().open);
        open.file.sync_all().map_err(failed)?;
        let mut place = self.place.lock();
        let Medium::Disk(from) = &place.medium else {
            return Err(LocalError::NotToBeKept { doing });
        };
        if !self.can_be_kept() {
            return Err(LocalError::NotToBeKept { doing });
        }
        temporary::place(&from.0, name).map_err(failed)?;
        // There is nothing of that name to be removed any more.
        place.medium = Medium::Kept;
        self.no_longer_temporary();
        Ok(())
    }

    fn no_longer_temporary(&self) {
        let written = self.written();
        self.temporary.fetch_sub(written, Ordering::Relaxed);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !matches!(self.place.get_mut().medium, Medium::Kept) {
            self.no_longer_temporary();
        }
    }
}

/// The one through which a staged file grows. It asks for room while it writes.
pub struct StageWriter {
    staged: Arc<Staged>,
    staging: Staging,
    /// The size that it is expected to have. Bytes.
    expected: u64,
    /// Bytes of the file for which there is room, as far as asked.
    granted: u64,
}

impl StageWriter {
    /// What it writes.
    pub fn staged(&self) -> &Arc<Staged> {
        &self.staged
    }

    /// Adds bytes at the end. Blocks. After an error it takes no more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StageError> {
        let offset = self.staged.written();
        let end = offset + bytes.len() as u64;
        if end > self.granted && !self.ask_for(end) {
            self.move_away(end)?;
        }
        match self.write_at(bytes, offset) {
            // Others were quicker, or this file system tells nothing.
            Err(StageError::NoRoom) => {
                self.move_away(end)?;
                self.write_at(bytes, offset)?;
            }
            written => written?,
        }
        self.staged.written.store(end, Ordering::Release);
        let temporary = &self.staged.temporary;
        temporary.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StageError> {
        let open = Arc::clone(&self.staged.place.lock().open);
        Ok(open.file.write_all_at(bytes, offset)?)
    }

    /// Asks for room where it is now; false if there is none.
    fn ask_for(&mut self, end: u64) -> bool {
        let more = end - self.granted;
        let disk = &self.staging.disk;
        let granted = match &mut self.staged.place.lock().medium {
            Medium::Memory(allowance) => allowance.grow_to(end),
            _ if self.staged.can_be_kept() => disk.take(more),
            _ => disk.take_leaving(more, MARGIN),
        };
        if granted {
            self.granted = end;
        }
        granted
    }

    /// Whether there is room on the disk for the rest of a file that is not to be kept.
    fn can_stay(&self, size: u64) -> bool {
        let more = size.saturating_sub(self.granted);
        self.staging.disk.take_leaving(more, MARGIN)
    }

    /// Goes on somewhere else, for a file of at least `end` bytes.
    fn move_away(&mut self, end: u64) -> Result<(), StageError> {
        let size = end.max(self.expected);
        let was_kept = self.staged.keep.swap(false, Ordering::Relaxed);
        let in_memory = matches!(self.staged.place.lock().medium, Medium::Memory(_));
        let place = if in_memory {
            self.staging.on_what_is_left(size)?
        } else {
            match self.staging.in_memory(size) {
                Ok(place) => place,
                // Not to be kept, it may take what is left of the disk where it is.
                Err(StageError::NoRoom) if was_kept && self.can_stay(size) => {
                    self.granted = size;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        };
        let from = Arc::clone(&self.staged.place.lock().open);
        copy(&from.file, &place.open.file, self.staged.written())?;
        // What it was in goes with its last reader.
        *self.staged.place.lock() = place;
        self.granted = size;
        Ok(())
    }
}

fn copy(from: &File, to: &File, size: u64) -> Result<(), StageError> {
    let mut block = vec![0; BLOCK];
    let mut offset = 0;
    while offset < size {
        let count = usize::try_from(size - offset).unwrap_or(BLOCK).min(BLOCK);
        from.read_exact_at(&mut block[..count], offset)?;
        to.write_all_at(&block[..count], offset)?;
        offset += count as u64;
    }
    Ok(())
}

/// Makes staged files.
#[derive(Clone)]
pub(super) struct Staging {
    /// On the file system of what is kept, so that a rename can keep them.
    dir: PathBuf,
    disk: Arc<Disk>,
    memory: Arc<AtomicU64>,
    /// What files in memory may take. Bytes.
    most: u64,
    temporary: Arc<AtomicU64>,
}

impl Staging {
    pub(super) fn new(dir: PathBuf, disk: Arc<Disk>) -> Self {
        Self::bounded(dir, disk, MEMORY)
    }

    fn bounded(dir: PathBuf, disk: Arc<Disk>, most: u64) -> Self {
        Staging {
            dir,
            disk,
            memory: Arc::default(),
            most,
            temporary: Arc::default(),
        }
    }

    /// Bytes in staged files that are neither kept nor gone.
    pub(super) fn bytes(&self) -> u64 {
        self.temporary.load(Ordering::Relaxed)
    }

    /// A place for a file of `expected` bytes to grow in, if that is known. Below the reserve nothing is kept, but a build
    /// must not fail for that: then it is in memory, or on what is left of the disk. Blocks.
    pub(super) fn stage(&self, expected: Option<u64>) -> Result<StageWriter, StageError> {
        let size = expected.unwrap_or(0);
        if self.disk.take(size) {
            match self.on_disk(size) {
                Ok(place) => return Ok(self.writer(place, true, size)),
                Err(StageError::NoRoom) => {}
                // As little a reason to fail a build as a full disk.
                Err(error) => self.disk.keeping_failed("a temporary file", &error, false),
            }
        }
        let place = match self.in_memory(size) {
            Err(StageError::NoRoom) => self.on_what_is_left(size)?,
            place => place?,
        };
        Ok(self.writer(place, false, size))
    }

    fn writer(&self, place: Place, keep: bool, size: u64) -> StageWriter {
        StageWriter {
            staged: Arc::new(Staged {
                place: Mutex::new(place),
                keep: AtomicBool::new(keep),
                written: AtomicU64::new(0),
                temporary: Arc::clone(&self.temporary),
            }),
            staging: self.clone(),
            expected: size,
            granted: size,
        }
    }

    /// With room for all of it taken at once where the file system can do that.
    fn on_disk(&self, size: u64) -> Result<Place, StageError> {
        let path = self.dir.join(temporary::fresh_name());
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        let file = options.open(&path)?;
        let medium = Medium::Disk(Temporary(path));
        if size > 0 {
            reserve(&file, size)?;
        }
        let open = Open::new(file, self.disk.now());
        Ok(Place { open, medium })
    }

    fn on_what_is_left(&self, size: u64) -> Result<Place, StageError> {
        match self.disk.take_leaving(size, MARGIN) {
            true => self.on_disk(size),
            false => Err(StageError::NoRoom),
        }
    }

    fn in_memory(&self, size: u64) -> Result<Place, StageError> {
        let mut allowance = Allowance {
            pool: Arc::clone(&self.memory),
            most: self.most,
            bytes: 0,
        };
        if !allowance.grow_to(size) {
            return Err(StageError::NoRoom);
        }
        let open = Open::new(memory_file()?, self.disk.now());
        let medium = Medium::Memory(allowance);
        Ok(Place { open, medium })
    }
}

/// Takes room for a file; not every file system can, and then writing finds out.
#[cfg(target_os = "linux")]
fn reserve(file: &File, bytes: u64) -> Result<(), StageError> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Err(Errno::NOSPC | Errno::DQUOT) => Err(StageError::NoRoom),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &File, _bytes: u64) -> Result<(), StageError> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn memory_file() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("larder-staged", rustix::fs::MemfdFlags::CLOEXEC)?.into())
}

/// Elsewhere an unlinked file of the system's temporary folder has to do.
#[cfg(not(target_os = "linux"))]
fn memory_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!(
        "larder-staged-{}-{}",
        std::process::id(),
        fastrand::u64(..)
    ));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use tempfile::TempDir;

    use super::*;
    use crate::clock::{SharedClock, SystemClock};
    use crate::gomod::zip::ReadAt;
    use crate::store::local::room::Volume;

    const MB: u64 = 1 << 20;

    /// A folder on a disk that had so much free when the folder was empty; and the staging in it, which may take 4 MiB of
    /// memory.
    struct World {
        dir: TempDir,
        free: Arc<AtomicU64>,
        staging: Staging,
    }

    fn world(free: u64, reserve: u64) -> World {
        let dir = tempfile::tempdir().unwrap();
        let free = Arc::new(AtomicU64::new(free));
        let told = Arc::clone(&free);
        let measure = move |path: &Path| {
            let files = std::fs::read_dir(path)?.flatten();
            let metas = files.filter_map(|file| file.metadata().ok());
            let used: u64 = metas.map(|meta| meta.len().max(meta.blocks() * 512)).sum();
            Ok(Volume {
                free: told.load(Ordering::Relaxed).saturating_sub(used),
                total: 1 << 40,
            })
        };
        let clock: SharedClock = Arc::new(SystemClock);
        let places = vec![dir.path().to_owned()];
        let disk = Disk::measured(places, reserve, clock, Box::new(measure));
        let staging = Staging::bounded(dir.path().to_owned(), Arc::new(disk), 4 * MB);
        World { dir, free, staging }
    }

    impl World {
        fn files(&self) -> usize {
            std::fs::read_dir(self.dir.path()).unwrap().count()
        }

        fn memory(&self) -> u64 {
            self.staging.memory.load(Ordering::Relaxed)
        }
    }

    fn noise(seed: u64, bytes: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        std::iter::repeat_with(|| random.u8(..))
            .take(bytes as usize)
            .collect()
    }

    fn content(staged: &Staged) -> Vec<u8> {
        let file = staged.part(u64::MAX);
        let mut all = vec![0; file.size() as usize];
        file.read_exact_at(&mut all, 0).unwrap();
        all
    }

    #[test]
    fn it_grows_and_is_adopted() {
        let world = world(100 * MB, 10 * MB);
        let mut writer = world.staging.stage(Some(6)).unwrap();
        writer.write(b"abc").unwrap();
        let part = writer.staged().part(2);
        assert_eq!((part.size(), world.staging.bytes()), (2, 3));
        writer.write(b"def").unwrap();
        // What was taken of it before stays what it was.
        assert_eq!(part.read_at(&mut [0; 9], 0).unwrap(), 2);
        let name = world.dir.path().join("final");
        writer.staged().adopt(&name, "keeping").unwrap();
        assert_eq!((world.files(), world.staging.bytes()), (1, 0));
        assert!(writer.staged().adopt(&name, "keeping").is_err());
        assert_eq!(content(writer.staged()), b"abcdef");
        drop(writer);
        assert_eq!(std::fs::read(name).unwrap(), b"abcdef");
        assert_eq!(world.staging.bytes(), 0);
    }

    #[test]
    fn what_is_dropped_leaves_nothing() {
        let world = world(100 * MB, 10 * MB);
        for size in [None, Some(MB)] {
            let mut writer = world.staging.stage(size).unwrap();
            writer.write(&noise(1, MB)).unwrap();
            assert_eq!((world.files(), world.staging.bytes()), (1, MB));
        }
        assert_eq!((world.files(), world.staging.bytes()), (0, 0));
    }

    #[test]
    fn a_size_that_would_go_beyond_the_reserve_is_not_kept() {
        let world = world(100 * MB, 90 * MB);
        let fits = world.staging.stage(Some(9 * MB)).unwrap();
        assert!(fits.staged().can_be_kept());
        // What was granted counts, though the file system does not show it yet.
        let next = world.staging.stage(Some(2 * MB)).unwrap();
        assert!(!next.staged().can_be_kept());
        assert_eq!((world.files(), world.memory()), (1, 2 * MB));
    }

    #[test]
    fn the_reserve_is_left_alone_by_what_told_no_size_or_a_wrong_one() {
        for told in [None, Some(10)] {
            let world = world(100 * MB, 98 * MB);
            let mut writer = world.staging.stage(told).unwrap();
            let all = noise(7, 3 * MB);
            let (mut early, mut kept) = (None, Vec::new());
            for piece in all.chunks(256 << 10) {
                writer.write(piece).unwrap();
                kept.push(writer.staged().can_be_kept());
                early.get_or_insert_with(|| writer.staged().part(u64::MAX));
            }
            // It was to be kept as long as that left the reserve alone.
            let on = kept.iter().filter(|kept| **kept).count();
            assert!((7..=8).contains(&on), "{on}");
            assert!(!writer.staged().can_be_kept());
            // It went on in memory, and whoever read it before reads on.
            assert_eq!((world.files(), world.memory()), (0, 3 * MB));
            assert!(content(writer.staged()) == all);
            let mut buffer = vec![0; 256 << 10];
            early.unwrap().read_exact_at(&mut buffer, 0).unwrap();
            assert!(buffer == all[..256 << 10]);
            let name = world.dir.path().join("final");
            let refused = writer.staged().adopt(&name, "keeping").unwrap_err();
            assert!(matches!(refused, LocalError::NotToBeKept { .. }));
            drop(writer);
            assert_eq!((world.memory(), world.staging.bytes()), (0, 0));
        }
    }

    #[test]
    fn what_memory_does_not_hold_goes_on_where_it_is_or_back_to_the_disk() {
        let all = noise(3, 6 * MB);
        // On the disk, and then too large for memory.
        let low = world(100 * MB, 95 * MB);
        let mut writer = low.staging.stage(None).unwrap();
        writer.write(&all[..5 << 20]).unwrap();
        assert!(writer.staged().can_be_kept());
        writer.write(&all[5 << 20..]).unwrap();
        assert!(!writer.staged().can_be_kept() && content(writer.staged()) == all);
        assert_eq!((low.files(), low.memory()), (1, 0));
        // In memory from the beginning, and then too large for it.
        let full = world(50 * MB, 95 * MB);
        let mut writer = full.staging.stage(None).unwrap();
        writer.write(&all[..3 << 20]).unwrap();
        assert_eq!((full.files(), full.memory()), (0, 3 * MB));
        writer.write(&all[3 << 20..]).unwrap();
        assert_eq!((full.files(), full.memory()), (1, 0));
        assert!(!writer.staged().can_be_kept() && content(writer.staged()) == all);
    }

    #[test]
    fn without_room_anywhere_it_ends() {
        let world = world(17 * MB, 95 * MB);
        let refused = world.staging.stage(Some(5 * MB));
        assert!(matches!(refused, Err(StageError::NoRoom)));
        let mut writer = world.staging.stage(None).unwrap();
        writer.write(&noise(1, 4 * MB)).unwrap();
        world.free.store(16 * MB, Ordering::Relaxed);
        let refused = writer.write(b"x");
        assert!(matches!(refused, Err(StageError::NoRoom)));
        drop(writer);
        assert_eq!((world.files(), world.memory()), (0, 0));
    }
}
