//! How much room there is for what is kept, and whether keeping works at all.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{SharedClock, Timestamp};

/// How long a reading holds. Milliseconds.
const HOLDS: u64 = 500;
/// The reserve unless the operator sets another one. Bytes.
pub const DEFAULT_RESERVE: u64 = 512_000_000;
/// Of a small file system the default reserve is at most this part.
const DEFAULT_PART: u64 = 10;
/// A change is told once it has been this long since the last one was: a disk at the edge must not fill the log.
const TOLD_AGAIN: Duration = Duration::from_secs(5);
/// Failures to keep something are told this often at the most.
const FAILURES_TOLD: Duration = Duration::from_secs(10);
/// Names whose keeping failed lately, at the most, and how long that counts.
const FAILED: usize = 1024;
const FAILED_COUNTS: Duration = Duration::from_secs(600);

/// Whether there is room to keep more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// More than the reserve is free, and keeping works.
    Enough,
    /// Misses pass through unkept until that is so again.
    Low,
}

/// A file system, as far as it tells.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    /// Bytes free for an unprivileged process.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// How a file system is asked; another one in tests.
pub type Measure = Box<dyn Fn(&Path) -> io::Result<Volume> + Send + Sync>;

/// What operators are told.
#[derive(Clone, Debug)]
pub struct DiskStatus {
    /// Whether more is kept.
    pub room: Room,
    /// Free bytes, if known.
    pub free: Option<u64>,
    /// Bytes that are left free.
    pub reserve: u64,
    /// Why keeping fails, if it does.
    pub failing: Option<String>,
}

/// Watches the file systems that are written to.
pub struct Disk {
    places: Vec<PathBuf>,
    reserve: u64,
    clock: SharedClock,
    measure: Measure,
    /// Guards no slow call but reading the free space, and no await.
    seen: Mutex<Option<Seen>>,
    trouble: Mutex<Trouble>,
    /// Nothing can be recorded, so nothing is kept.
    unrecorded: AtomicBool,
    /// Bytes of spare room that is missing: left free until it is there.
    owed: AtomicU64,
}

/// The tightest of the file systems.
#[derive(Clone, Copy)]
struct Seen {
    at: Timestamp,
    volume: Volume,
    reserve: u64,
    /// Bytes that were granted since it was read: they may not be written yet.
    granted: u64,
}

#[derive(Default)]
struct Trouble {
    /// What was last said of the room, and when.
    told: Option<(Room, Timestamp)>,
    failing: Option<String>,
    /// It may be that nothing can be kept: to be tried.
    suspect: bool,
    failure_told: Option<Timestamp>,
    untold: u64,
    failed: BTreeMap<String, Timestamp>,
}

impl Disk {
    /// Watches the file system of `path`; less than `reserve` bytes free means [`Room::Low`]. The default reserve is at
    /// most a tenth of the file system.
    pub fn new(path: PathBuf, reserve: u64, clock: SharedClock) -> Self {
        Self::measured(vec![path], reserve, clock, Box::new(volume))
    }

    /// One that says that so many bytes are free, for tests.
    #[cfg(test)]
    pub fn with_free(path: PathBuf, free: std::sync::Arc<AtomicU64>, clock: SharedClock) -> Self {
        let measure = move |_: &Path| {
            Ok(Volume {
                free: free.load(Ordering::SeqCst),
                total: u64::MAX,
            })
        };
        Self::measured(vec![path], 1 << 20, clock, Box::new(measure))
    }

    /// The same for several folders, which may be on file systems of their own, measured by `measure`.
    pub fn measured(
        places: Vec<PathBuf>,
        reserve: u64,
        clock: SharedClock,
        measure: Measure,
    ) -> Self {
        Disk {
            places,
            reserve,
            clock,
            measure,
            seen: Mutex::default(),
            trouble: Mutex::default(),
            unrecorded: AtomicBool::new(false),
            owed: AtomicU64::new(0),
        }
    }

    /// The time, as everything here knows it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Read at most twice a second. A file system that does not tell counts as roomy: a write will find out.
    fn seen(&self) -> Seen {
        let now = self.clock.now();
        let mut seen = self.seen.lock();
        match *seen {
            Some(known) if now.0.wrapping_sub(known.at.0) < HOLDS => known,
            _ => *seen.insert(self.look_at(now)),
        }
    }

    fn look_at(&self, at: Timestamp) -> Seen {
        let unknown = Volume {
            free: u64::MAX,
            total: u64::MAX,
        };
        let each = self.places.iter().map(|place| {
            let volume = (self.measure)(place).unwrap_or(unknown);
            let reserve = match self.reserve {
                DEFAULT_RESERVE => DEFAULT_RESERVE.min(volume.total / DEFAULT_PART),
                set => set,
            };
            let reserve = reserve.saturating_add(self.owed());
            Seen {
                at,
                volume,
                reserve,
                granted: 0,
            }
        });
        let left = |seen: &Seen| i128::from(seen.volume.free) - i128::from(seen.reserve);
        each.min_by_key(left).unwrap_or(Seen {
            at,
            volume: unknown,
            reserve: self.reserve,
            granted: 0,
        })
    }

    /// Free bytes for an unprivileged process, where there are fewest; `u64::MAX` if that is not known.
    pub fn free(&self) -> u64 {
        self.seen().volume.free
    }

    /// Free bytes as they are this moment.
    pub fn free_now(&self) -> u64 {
        *self.seen.lock() = None;
        self.free()
    }

    /// Bytes that may be written before the reserve is reached; none while keeping fails.
    pub fn left(&self) -> u64 {
        let seen = self.seen();
        match self.room() {
            Room::Enough => seen.volume.free.saturating_sub(seen.reserve),
            Room::Low => 0,
        }
    }

    /// Grants so many bytes, which are to be kept, if that leaves the reserve free.
    pub fn take(&self, bytes: u64) -> bool {
        self.room() == Room::Enough && self.take_if(|seen| seen.reserve, bytes)
    }

    /// Grants so many bytes, which are not to be kept, if that leaves so many free.
    pub fn take_leaving(&self, bytes: u64, free: u64) -> bool {
        self.take_if(|_| free, bytes)
    }

    fn take_if(&self, leave: impl Fn(&Seen) -> u64, bytes: u64) -> bool {
        let fits = |seen: &Seen| {
            let needed = leave(seen).saturating_add(seen.granted);
            seen.volume.free >= needed.saturating_add(bytes)
        };
        // What was granted may have been written meanwhile, or given back.
        let known = self.seen();
        if known.granted > 0 && !fits(&known) {
            *self.seen.lock() = None;
            self.seen();
        }
        let mut seen = self.seen.lock();
        let granted = seen.as_mut().filter(|seen| fits(seen));
        granted
            .map(|seen| seen.granted = seen.granted.saturating_add(bytes))
            .is_some()
    }

    /// So many bytes of spare room are missing, or (0) none.
    pub fn set_owed(&self, bytes: u64) {
        self.owed.store(bytes, Ordering::Relaxed);
        *self.seen.lock() = None;
    }

    /// Bytes of spare room that is missing.
    pub fn owed(&self) -> u64 {
        self.owed.load(Ordering::Relaxed)
    }

    /// Bytes of the whole file system, if known.
    pub fn total(&self) -> Option<u64> {
        Some(self.seen().volume.total).filter(|total| *total != u64::MAX)
    }

    /// Whether more may be kept.
    pub fn room(&self) -> Room {
        let seen = self.seen();
        let works = !self.unrecorded.load(Ordering::Relaxed) && !self.fails();
        if works && seen.volume.free >= seen.reserve {
            Room::Enough
        } else {
            Room::Low
        }
    }

    /// What operators are told.
    pub fn status(&self) -> DiskStatus {
        let seen = self.seen();
        DiskStatus {
            room: self.room(),
            free: Some(seen.volume.free).filter(|free| *free != u64::MAX),
            reserve: seen.reserve,
            failing: self.trouble.lock().failing.clone(),
        }
    }

    /// Nothing can be recorded (or it can again), so nothing is kept.
    pub fn set_unrecorded(&self, unrecorded: bool) {
        self.unrecorded.store(unrecorded, Ordering::Relaxed);
    }

    /// Says when the reserve is reached, and when there is room again. To be called now and then.
    pub fn tell(&self) {
        let seen = self.seen();
        let room = match seen.volume.free < seen.reserve {
            true => Room::Low,
            false => Room::Enough,
        };
        let now = self.clock.now();
        let before = {
            let mut trouble = self.trouble.lock();
            match trouble.told {
                Some((told, at)) if told == room || now.since(at) < TOLD_AGAIN => return,
                _ => trouble.told.replace((room, now)),
            }
        };
        let (free, reserve, total) = (seen.volume.free, seen.reserve, seen.volume.total);
        match (before, room) {
            (None, Room::Enough) => {}
            (_, Room::Enough) => {
                tracing::info!(
                    free,
                    reserve,
                    "there is room on the disk again; misses are kept"
                );
            }
            (_, Room::Low) if total <= reserve => tracing::warn!(
                free,
                reserve,
                total,
                "the file system is smaller than store.reserve, so nothing will ever be kept; set store.reserve to a part of it, such as a tenth"
            ),
            (_, Room::Low) => tracing::warn!(
                free,
                reserve,
                "less than store.reserve is free; misses are served but not kept until there is room again"
            ),
        }
    }

    /// Something could not be kept. What has a name is not said to be kept until it was, or for some time.
    /// Where there was `no_room`, nothing is until it is found that there is.
    pub fn keeping_failed(&self, name: &str, error: &dyn std::fmt::Display, no_room: bool) {
        let now = self.clock.now();
        let (first, more) = {
            let mut trouble = self.trouble.lock();
            trouble.suspect = true;
            if trouble.failed.len() >= FAILED {
                trouble.failed.clear();
            }
            trouble.failed.insert(name.to_owned(), now);
            let first = no_room && trouble.failing.is_none();
            if first {
                trouble.failing = Some(error.to_string());
            }
            let told = trouble.failure_told;
            if told.is_some_and(|at| now.since(at) < FAILURES_TOLD) {
                trouble.untold += 1;
                return;
            }
            trouble.failure_told = Some(now);
            (first, std::mem::take(&mut trouble.untold))
        };
        let then = match first {
            true => "; nothing more is kept until that works again",
            false => "",
        };
        tracing::error!(
            name,
            %error,
            more,
            "what was verified could not be kept; it was served all the same{then}"
        );
    }

    /// Something was kept.
    pub fn kept(&self, name: &str) {
        let mut trouble = self.trouble.lock();
        if !trouble.failed.is_empty() {
            trouble.failed.remove(name);
        }
    }

    /// Whether keeping this failed lately.
    pub fn failed(&self, name: &str) -> bool {
        let trouble = self.trouble.lock();
        let at = match trouble.failed.is_empty() {
            true => None,
            false => trouble.failed.get(name).copied(),
        };
        at.is_some_and(|at| self.clock.now().since(at) < FAILED_COUNTS)
    }

    fn fails(&self) -> bool {
        self.trouble.lock().failing.is_some()
    }

    /// Finds out whether anything can be kept, if there is doubt.
    pub fn try_keeping(&self, trial: impl FnOnce() -> io::Result<()>) {
        {
            let trouble = self.trouble.lock();
            if !trouble.suspect && trouble.failing.is_none() {
                return;
            }
        }
        let tried = trial();
        let mut trouble = self.trouble.lock();
        match tried {
            Ok(()) => {
                trouble.suspect = false;
                if trouble.failing.take().is_some() {
                    tracing::info!("files can be kept again");
                }
            }
            Err(error) => {
                if trouble.failing.replace(error.to_string()).is_none() {
                    tracing::error!(%error, "files cannot be kept; misses are served but not kept until that works again");
                }
            }
        }
    }
}

/// Whether an error says that the disk takes no more, whatever is written.
pub fn is_no_room(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Asks the system.
pub fn volume(path: &Path) -> io::Result<Volume> {
    let stat = rustix::fs::statvfs(path)?;
    // Some file systems count nothing at all.
    if stat.f_blocks == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(Volume {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::sync::Arc;
    use std::time::Instant;

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.fetch_add(HOLDS, Ordering::Relaxed))
        }

        #[allow(clippy::disallowed_methods)]
        fn instant(&self) -> Instant {
            Instant::now()
        }
    }

    fn disk(reserve: u64, volumes: &'static [(&'static str, u64, u64)]) -> Disk {
        let measure = move |path: &Path| {
            let found = volumes.iter().find(|(name, ..)| Path::new(name) == path);
            let (_, free, total) = found.ok_or(io::ErrorKind::NotFound)?;
            Ok(Volume {
                free: *free,
                total: *total,
            })
        };
        let places = volumes.iter().map(|(name, ..)| name.into()).collect();
        Disk::measured(
            places,
            reserve,
            Arc::new(Hand::default()),
            Box::new(measure),
        )
    }

    const MB: u64 = 1_000_000;

    #[test]
    fn the_default_reserve_is_a_part_of_a_small_disk() {
        let small = disk(DEFAULT_RESERVE, &[("a", 400 * MB, 450 * MB)]);
        assert_eq!(
            (small.room(), small.status().reserve),
            (Room::Enough, 45 * MB)
        );
        assert_eq!(small.left(), 355 * MB);
        let full = disk(DEFAULT_RESERVE, &[("a", 44 * MB, 450 * MB)]);
        assert_eq!(full.room(), Room::Low);
        let large = disk(DEFAULT_RESERVE, &[("a", 511 * MB, 100_000 * MB)]);
        assert_eq!(large.room(), Room::Low);
        // What an operator sets is taken at its word.
        let set = disk(500 * MB, &[("a", 400 * MB, 450 * MB)]);
        assert_eq!((set.room(), set.status().reserve), (Room::Low, 500 * MB));
    }

    #[test]
    fn every_file_system_that_is_written_to_counts() {
        let tight = disk(
            100 * MB,
            &[("a", 900 * MB, 1000 * MB), ("b", 99 * MB, 1000 * MB)],
        );
        assert_eq!((tight.room(), tight.free()), (Room::Low, 99 * MB));
        // Each has a default reserve of its own.
        let both = disk(
            DEFAULT_RESERVE,
            &[("a", 600 * MB, 90_000 * MB), ("b", 60 * MB, 500 * MB)],
        );
        assert_eq!((both.room(), both.left()), (Room::Enough, 10 * MB));
    }

    #[test]
    fn what_does_not_tell_counts_as_roomy() {
        let path = PathBuf::from("/nowhere/at/all");
        let disk = Disk::new(path, 1 << 40, Arc::new(Hand::default()));
        assert_eq!(disk.room(), Room::Enough);
        assert_eq!(disk.status().free, None);
    }

    #[test]
    fn a_full_disk_is_known_from_its_first_failure_until_a_trial_works() {
        let disk = disk(0, &[("a", 10 * MB, 450 * MB)]);
        disk.keeping_failed("m@v1", &"full", true);
        assert_eq!(disk.room(), Room::Low);
        disk.try_keeping(|| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(disk.room(), Room::Low);
        assert!(disk.status().failing.is_some());
        disk.try_keeping(|| Ok(()));
        assert_eq!(disk.room(), Room::Enough);
        // Until it was kept once, that file is not said to be.
        assert!(disk.failed("m@v1") && !disk.failed("m@v2"));
        disk.kept("m@v1");
        assert!(!disk.failed("m@v1"));
    }

    #[test]
    fn one_file_s_own_trouble_is_not_everybody_s() {
        let disk = disk(0, &[("a", 10 * MB, 450 * MB)]);
        disk.keeping_failed("m@v1", &"taken", false);
        assert_eq!(disk.room(), Room::Enough);
        disk.try_keeping(|| Ok(()));
        assert!(disk.failed("m@v1"));
        // Unless the trial finds that nothing can be kept.
        disk.keeping_failed("m@v1", &"denied", false);
        disk.try_keeping(|| Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(disk.room(), Room::Low);
    }
}
