//! Folding: what has changed lately goes into the settled file, beside the work that goes on.

use std::fs::{self, File};
use std::ops::{Bound, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::error::failed;
use super::folder::{make_recent, open_recent, recent, remove, settled_path, unready_path};
use super::merged::{Gap, Layer, Merged, WhatIsLeft, rows_of, settled_rows};
use crate::store::catalog::sled::settled::{Settled, SettledWriter};
use crate::store::model::FactKind;

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
        let rows = rows_of(&frozen, Bound::Unbounded);
        // Of its own, so that the lock need not be held.
        let before = old.map(|number| Settled::open(&settled_path(&self.folder, number)));
        let before = before.transpose().map_err(failed)?;
        let before = before.as_ref();
        let merged = catch_unwind(AssertUnwindSafe(|| {
            self.merge(rows, before, None, &unready)
        }));
        let merged = match merged {
            // A disk that is full, or does not answer, may do so later.
            Ok(Err(sled::Error::Io(error))) => Err(error.into()),
            Ok(Err(error)) => {
                self.merge_what_is_left(&frozen, before, &error.to_string(), &unready)
            }
            Err(_) => self.merge_what_is_left(&frozen, before, "sled panicked", &unready),
            Ok(merged) => merged,
        };
        match merged {
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

    /// The same with what can be read of a layer that is damaged: else nothing would ever be folded again.
    fn merge_what_is_left(
        &self,
        frozen: &sled::Db,
        settled: Option<&Settled>,
        error: &str,
        to: &Path,
    ) -> Result<bool, sled::Error> {
        let WhatIsLeft { rows, gap } = WhatIsLeft::of(frozen);
        let name = |bound: &Bound<Vec<u8>>| match bound {
            Bound::Included(name) | Bound::Excluded(name) => {
                String::from_utf8_lossy(name).into_owned()
            }
            Bound::Unbounded => String::new(),
        };
        if let Some((after, before)) = &gap {
            tracing::error!(
                error,
                after = name(after),
                before = name(before),
                "a part of the index is damaged: what has changed lately of names between these two is unknown now, and tokens among them are gone. To compare what is known with the files, stop the server and run `larder index rebuild`"
            );
        }
        self.merge(Box::new(rows.into_iter().map(Ok)), settled, gap, to)
    }

    /// False if it was stopped, since the index is being closed. In a `gap` the rows of the frozen layer are unknown.
    fn merge(
        &self,
        frozen: Layer<'_>,
        settled: Option<&Settled>,
        gap: Option<Gap>,
        to: &Path,
    ) -> Result<bool, sled::Error> {
        let mut writer = SettledWriter::create(to)?;
        let mut layers = vec![frozen];
        layers.extend(settled.map(|settled| settled_rows(settled, Bound::Unbounded)));
        for (count, row) in Merged::new(layers).enumerate() {
            if count.is_multiple_of(LOOK_EVERY) && self.ending.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let (key, value) = row?;
            // One that was revoked must not come back.
            let is_doubtful = gap.as_ref().is_some_and(|gap| {
                gap.contains(&key) && key.starts_with(FactKind::Token.prefix().as_bytes())
            });
            if !value.is_empty() && !is_doubtful {
                writer.add(&key, &value)?;
            }
        }
        writer.finish()?;
        Ok(true)
    }
}
