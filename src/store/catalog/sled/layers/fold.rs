//! Folding: what has changed lately goes into the settled file, beside the work that goes on.

use std::fs::{self, File};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::error::failed;
use super::folder::{make_recent, open_recent, recent, remove, settled_path, unready_path};
use super::merged::{Merged, rows_of, settled_rows};
use crate::store::catalog::sled::settled::{Settled, SettledWriter};

/// Rows merged between two looks at whether the index is being closed.
const LOOK_EVERY: usize = 1000;
/// How often, and after which pauses, a layer that has just been made is opened at the most.
const OPEN_TRIES: u32 = 500;
const OPEN_PAUSE: Duration = Duration::from_millis(10);

/// What the writer and the thread that folds have in common.
pub(super) struct Shared {
    pub(super) folder: PathBuf,
    pub(super) cache: u64,
    /// Changed by folding only; the write lock is held for the moment of the change, the read lock while something is
    /// read or written. Guards no await.
    pub(super) parts: RwLock<Parts>,
    pub(super) written: AtomicU64,
    pub(super) fold_at: u64,
    pub(super) folding: AtomicBool,
    pub(super) ending: AtomicBool,
}

pub(super) struct Parts {
    pub(super) recent: sled::Db,
    pub(super) number: u64,
    /// The one before, until it is merged.
    pub(super) frozen: Option<sled::Db>,
    pub(super) settled: Option<(u64, Settled)>,
}

impl Shared {
    pub(super) fn fold(&self) -> Result<(), sled::Error> {
        if self.parts.read().frozen.is_none() {
            self.freeze()?;
        }
        let (number, frozen, old) = {
            let parts = self.parts.read();
            let old = parts.settled.as_ref().map(|(number, _)| *number);
            (parts.number - 1, parts.frozen.clone(), old)
        };
        let Some(frozen) = frozen else { return Ok(()) };
        frozen.flush()?;
        let new = settled_path(&self.folder, number);
        let unready = unready_path(&self.folder, number);
        match self.merge(&frozen, &unready) {
            Ok(true) => {}
            // It is done again from the beginning; on a full disk, what it takes is wanted.
            stopped => {
                remove(&unready);
                return stopped.map(drop);
            }
        }
        let settled = Settled::open(&unready).map_err(failed)?;
        fs::rename(&unready, &new)?;
        File::open(&self.folder)?.sync_all()?;
        drop(frozen);
        let replaced = {
            let mut parts = self.parts.write();
            (
                parts.settled.replace((number, settled)),
                parts.frozen.take(),
            )
        };
        // Outside of the lock: the last handle of a sled waits for its thread.
        drop(replaced);
        // Best effort: the next start removes what is left.
        let _ = fs::remove_dir_all(recent(&self.folder, number));
        if let Some(old) = old {
            let _ = fs::remove_file(settled_path(&self.folder, old));
        }
        Ok(())
    }

    /// From here on changes go into a layer of their own.
    fn freeze(&self) -> Result<(), sled::Error> {
        let number = self.parts.read().number + 1;
        make_recent(&self.folder, number, self.cache)?;
        let path = recent(&self.folder, number);
        let mut opened = open_recent(&path, self.cache);
        // The sled that made it lets go of its lock a moment after it has been dropped.
        for _ in 0..OPEN_TRIES {
            if opened.is_ok() || self.ending.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(OPEN_PAUSE);
            opened = open_recent(&path, self.cache);
        }
        let db = opened?;
        let mut parts = self.parts.write();
        parts.frozen = Some(std::mem::replace(&mut parts.recent, db));
        parts.number = number;
        Ok(())
    }

    /// False if it was stopped, since the index is being closed.
    fn merge(&self, frozen: &sled::Db, to: &Path) -> Result<bool, sled::Error> {
        let mut writer = SettledWriter::create(to)?;
        let parts = self.parts.read();
        // Of its own, so that the lock need not be held.
        let old = parts.settled.as_ref();
        let old = old.map(|(number, _)| settled_path(&self.folder, *number));
        drop(parts);
        let old = old
            .map(|path| Settled::open(&path))
            .transpose()
            .map_err(failed)?;
        let mut layers = vec![rows_of(frozen, Bound::Unbounded)];
        layers.extend(old.as_ref().map(|old| settled_rows(old, Bound::Unbounded)));
        for (count, row) in Merged::new(layers).enumerate() {
            if count.is_multiple_of(LOOK_EVERY) && self.ending.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let (key, value) = row?;
            if !value.is_empty() {
                writer.add(&key, &value)?;
            }
        }
        writer.finish()?;
        Ok(true)
    }
}
