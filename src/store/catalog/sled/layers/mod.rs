//! The index on disk in two layers, because sled is good at taking what changes and bad at keeping a million rows: it
//! holds what has changed lately, and everything else lies in one settled file (`settled.rs`).
//!
//! | in the folder | what |
//! |---|---|
//! | `layout` | says that this is an index, and of which layout |
//! | `settled-N` | all rows as they were when `recent-N` was frozen |
//! | `recent-N` | sled: what has changed since; a removed row is an empty value |
//! | `*.new` | not whole yet |
//!
//! Once enough has changed, it is folded: changes go into a new `recent-N+1`, a thread of its own merges the frozen
//! `recent-N` with the settled file into `settled-N`, and what that replaces is removed. So the folder's size is bounded
//! whatever is written, and nothing is replayed. Of a frozen layer with a page that cannot be read, what lies before and
//! after it is merged: else nothing would ever be folded again. The highest settled file replaces all layers up to its
//! number: that is the only rule by which a folder is read after an end at any moment.

mod error;
mod fold;
mod folder;
mod merged;
#[cfg(test)]
mod tests;

use std::fs;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};

use super::settled::{Row, Settled, SettledError};
use error::{damaged, failed};
use fold::{Parts, Shared};
pub use folder::is_of_index;
use folder::{Found, claim, open_recent, recent, remove, settled_path};
use merged::{Merged, rows_of, settled_rows};

/// Names and values written, after which they are folded. sled takes three to four times that on disk. In tests it is so
/// little that every one of the catalog's folds. Bytes.
const FOLD_AT: u64 = if cfg!(test) { 2048 } else { 4 << 20 };
/// So many times that may be written while folding goes on; then the writer waits for it.
const WAIT_AT: u64 = 8;
/// Free room that folding leaves. Bytes.
const MARGIN: u64 = 4 << 20;

/// An open folder.
pub struct Layers {
    shared: Arc<Shared>,
    folding: Mutex<Option<JoinHandle<()>>>,
}

impl Layers {
    /// Opens a folder, or makes it; sled gets `cache` bytes of memory.
    pub fn open(folder: &Path, cache: u64) -> Result<Self, sled::Error> {
        Self::open_to_fold_at(folder, cache, FOLD_AT)
    }

    fn open_to_fold_at(folder: &Path, cache: u64, fold_at: u64) -> Result<Self, sled::Error> {
        fs::create_dir_all(folder)?;
        claim(folder)?;
        let found = Found::look(folder)?;
        let settled = match found.settled {
            Some(number) => {
                let opened = Settled::open(&settled_path(folder, number));
                Some((number, opened.map_err(failed)?))
            }
            None => None,
        };
        let (number, frozen) = match *found.recents.as_slice() {
            [] if settled.is_some() => return Err(damaged("what has changed lately is not there")),
            // There is nothing yet that an end while it is made could lose.
            [] => (1, None),
            [number] => (number, None),
            [frozen, number] if number == frozen + 1 => (number, Some(frozen)),
            _ => return Err(damaged("there are too many layers")),
        };
        let frozen = frozen.map(|number| open_recent(&recent(folder, number), cache));
        let frozen = frozen.transpose()?;
        let recent = open_recent(&recent(folder, number), cache)?;
        // As if all of it had been written just now, which is more than it was.
        let written = match frozen {
            Some(_) => fold_at,
            None => recent.size_on_disk()? / 4,
        };
        // Last, so that nothing is removed of what turns out to be damaged.
        found.left.iter().for_each(|path| remove(path));
        let parts = Parts {
            recent,
            number,
            frozen,
            settled,
        };
        Ok(Layers {
            shared: Arc::new(Shared {
                folder: folder.to_owned(),
                cache,
                parts: RwLock::new(parts),
                written: AtomicU64::new(written),
                fold_at,
                folding: AtomicBool::new(false),
                ending: AtomicBool::new(false),
            }),
            folding: Mutex::new(None),
        })
    }

    /// The value of a row.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, sled::Error> {
        let (parts, key) = (self.shared.parts.read(), key.as_bytes());
        for layer in [Some(&parts.recent), parts.frozen.as_ref()] {
            if let Some(value) = layer.map(|layer| layer.get(key)).transpose()?.flatten() {
                return Ok((!value.is_empty()).then(|| value.to_vec()));
            }
        }
        let Some((_, settled)) = &parts.settled else {
            return Ok(None);
        };
        match settled.get(key) {
            // As a damaged row is.
            Err(error @ SettledError::Damaged(_)) => {
                tracing::error!(%error, "rows of the index are unknown now");
                Ok(None)
            }
            read => read.map_err(failed),
        }
    }

    /// Applies all changes or none. A value of `None` removes the row; none is empty.
    pub fn apply(
        &self,
        changes: impl IntoIterator<Item = (String, Option<Vec<u8>>)>,
    ) -> Result<(), sled::Error> {
        let parts = self.shared.parts.read();
        let is_alone = parts.frozen.is_none() && parts.settled.is_none();
        let (mut batch, mut bytes) = (sled::Batch::default(), 0);
        for (key, value) in changes {
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            match value {
                None if is_alone => batch.remove(key.into_bytes()),
                value => batch.insert(key.into_bytes(), value.unwrap_or_default()),
            }
        }
        parts.recent.apply_batch(batch)?;
        self.shared
            .written
            .fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Makes what was applied durable, as far as sled does.
    pub fn flush(&self) -> Result<(), sled::Error> {
        let parts = self.shared.parts.read();
        // It may have been frozen since it was written.
        if let Some(frozen) = &parts.frozen {
            frozen.flush()?;
        }
        parts.recent.flush().map(drop)
    }

    /// Up to `limit` rows whose keys start with `prefix` and come after `after`, in order.
    pub fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, sled::Error> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.into()),
            _ => Bound::Included(prefix.into()),
        };
        let parts = self.shared.parts.read();
        let mut layers = vec![rows_of(&parts.recent, from.clone())];
        layers.extend(parts.frozen.iter().map(|it| rows_of(it, from.clone())));
        let settled = parts.settled.as_ref();
        layers.extend(settled.map(|(_, settled)| settled_rows(settled, from)));
        Merged::new(layers)
            .take_while(|row| {
                let is_wanted = |(key, _): &Row| key.starts_with(prefix.as_bytes());
                row.as_ref().map_or(true, is_wanted)
            })
            .filter(|row| row.as_ref().map_or(true, |(_, value)| !value.is_empty()))
            .take(limit)
            .map(|row| {
                let (key, value) = row?;
                Ok((String::from_utf8_lossy(&key).into_owned(), value))
            })
            .collect()
    }

    /// Begins to fold if enough has changed, and `free` bytes of room allow it. For the one that writes: while folding
    /// cannot keep up, it waits here.
    pub fn fold_if_due(&self, free: u64) {
        let shared = &self.shared;
        let written = shared.written.load(Ordering::Relaxed);
        if written < shared.fold_at {
            return;
        }
        let mut thread = self.folding.lock();
        if shared.folding.load(Ordering::Acquire) && written < WAIT_AT * shared.fold_at {
            return;
        }
        if let Some(thread) = thread.take() {
            // A panic in it was caught, and told.
            let _ = thread.join();
        }
        let settled = shared.parts.read().settled.as_ref().map(|it| it.1.size());
        // What is written beside the old one, before compression.
        if free < MARGIN + 2 * settled.unwrap_or(0) + 8 * shared.fold_at {
            return;
        }
        shared.written.store(0, Ordering::Relaxed);
        shared.folding.store(true, Ordering::Release);
        let folder = Arc::clone(shared);
        let begun = std::thread::Builder::new()
            .name("larder-fold".into())
            .spawn(move || {
                match catch_unwind(AssertUnwindSafe(|| folder.fold())) {
                    Ok(Ok(())) => {}
                    // It is tried again when as much has changed, or at the next start.
                    Ok(Err(error)) => tracing::error!(%error, "the index could not be folded"),
                    Err(_) => tracing::error!("the index could not be folded: sled panicked"),
                }
                folder.folding.store(false, Ordering::Release);
            });
        match begun {
            Ok(begun) => *thread = Some(begun),
            Err(error) => {
                tracing::error!(%error, "the index could not be folded");
                shared.folding.store(false, Ordering::Release);
            }
        }
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.folding.lock().take() {
            // As above.
            let _ = thread.join();
        }
    }
}
