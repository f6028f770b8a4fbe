//! Room on the data directory's disk, asked for by whoever writes there, before and while it is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::tenant::Tenant;

/// Bytes that may be written before the reserve is touched.
pub type Left = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where repositories are mirrored and trees unpacked.
#[derive(Clone)]
pub struct Folders {
    pub mirrors: PathBuf,
    /// For what is in the making.
    pub temporary: PathBuf,
    /// How much more may be written. Bytes.
    pub left: Left,
}

impl Folders {
    /// In a folder of a command that only passes by.
    pub fn passing(folder: &Path) -> Self {
        Folders {
            mirrors: folder.join("git"),
            temporary: folder.to_owned(),
            left: Arc::new(|| u64::MAX),
        }
    }

    /// In a data directory.
    pub fn of(data_dir: &Path, left: Left) -> Self {
        Folders {
            mirrors: data_dir.join("git"),
            temporary: data_dir.join("tmp"),
            left,
        }
    }
}

/// Where trees are unpacked, and how much room is left there.
#[derive(Clone)]
pub struct Workspace {
    temporary: PathBuf,
    left: Left,
    /// What others have still to write.
    promised: Arc<Mutex<u64>>,
    strangers: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

/// Trees with very many names that are held in memory at a time.
const LARGE: usize = 2;

/// Room that somebody will use. Given back when it is dropped.
pub struct Promise {
    of: Workspace,
    bytes: u64,
}

impl Workspace {
    /// `temporary` is on the disk that `left` speaks of.
    pub fn new(temporary: PathBuf, left: Left) -> Self {
        Workspace {
            temporary,
            left,
            promised: Arc::default(),
            strangers: Arc::new(Semaphore::new(LARGE)),
            own: Arc::new(Semaphore::new(LARGE)),
        }
    }

    /// For files without a name.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Whether there is room at all.
    pub fn has_room(&self) -> bool {
        (self.left)() > 0
    }

    /// A slot for one of the few large trees that may be held in memory.
    pub async fn large(&self, tenant: Tenant) -> Option<OwnedSemaphorePermit> {
        let slots = match tenant {
            Tenant::Strangers => &self.strangers,
            Tenant::Own => &self.own,
        };
        Arc::clone(slots).acquire_owned().await.ok()
    }

    /// Room for so many bytes, beside what others were promised.
    pub fn promise(&self, bytes: u64) -> Option<Promise> {
        let left = (self.left)();
        let mut promised = self.promised.lock();
        let all = promised.checked_add(bytes).filter(|all| *all <= left)?;
        *promised = all;
        Some(Promise {
            of: self.clone(),
            bytes,
        })
    }
}

impl Promise {
    /// So many bytes have been written; false if the disk has no room left all the same.
    pub fn written(&mut self, bytes: u64) -> bool {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        *self.of.promised.lock() -= bytes;
        self.of.has_room()
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        *self.of.promised.lock() -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn what_was_promised_to_others_counts() {
        let left = Arc::new(AtomicU64::new(100));
        let of = Arc::clone(&left);
        let left_now: Left = Arc::new(move || of.load(Ordering::Relaxed));
        let space = Workspace::new("/nonexistent".into(), left_now);
        let mut first = space.promise(60).unwrap();
        assert!(space.promise(41).is_none());
        let second = space.promise(40).unwrap();
        assert!(space.promise(1).is_none());
        drop(second);
        left.store(60, Ordering::Relaxed);
        assert!(first.written(40));
        assert!(space.promise(41).is_none());
        assert!(space.promise(40).is_some());
        left.store(0, Ordering::Relaxed);
        assert!(!first.written(1000), "somebody else has taken the room");
        drop(first);
        assert_eq!(*space.promised.lock(), 0);
    }
}
