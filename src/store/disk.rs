//! How much room the data directory's file system has.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::SharedClock;

/// How long a reading holds. Milliseconds.
const HOLDS: u64 = 500;

/// Whether there is room to keep more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// More than the reserve is free.
    Enough,
    /// Misses pass through unkept until there is more.
    Low,
}

/// Watches the free space of a file system.
pub struct Disk {
    path: PathBuf,
    reserve: u64,
    clock: SharedClock,
    free: AtomicU64,
    read_at: AtomicU64,
}

impl Disk {
    /// Watches the file system of `path`; less than `reserve` bytes free means [`Room::Low`].
    pub fn new(path: PathBuf, reserve: u64, clock: SharedClock) -> Self {
        Disk {
            path,
            reserve,
            clock,
            free: AtomicU64::new(u64::MAX),
            read_at: AtomicU64::new(0),
        }
    }

    /// Free bytes for an unprivileged process, read at most twice a second. A file system that does not tell counts
    /// as roomy: a write will find out.
    pub fn free(&self) -> u64 {
        let now = self.clock.now().0;
        if now.saturating_sub(self.read_at.load(Ordering::Relaxed)) >= HOLDS {
            let free = match rustix::fs::statvfs(&self.path) {
                Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
                Err(_) => u64::MAX,
            };
            self.free.store(free, Ordering::Relaxed);
            self.read_at.store(now, Ordering::Relaxed);
        }
        self.free.load(Ordering::Relaxed)
    }

    /// Bytes that may be written before the reserve is touched.
    pub fn left(&self) -> u64 {
        self.free().saturating_sub(self.reserve)
    }

    /// Whether more may be kept.
    pub fn room(&self) -> Room {
        if self.free() < self.reserve {
            Room::Low
        } else {
            Room::Enough
        }
    }
}
