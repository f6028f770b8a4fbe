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
//! whatever is written, and nothing is replayed. The highest settled file replaces all layers up to its number: that is
//! the only rule by which a folder is read after an end at any moment.

use std::fs::{self, File};
use std::io::{self, Write};
use std::iter::Peekable;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};

use super::settled::{Row, Settled, SettledError, Writer};
use crate::store::local::INDEX_TEXT;

/// Says what the folder is, and the version of its layout.
const LAYOUT: &str = "layout";
const LAYOUT_VERSION: &str = "1";
const SETTLED: &str = "settled-";
const RECENT: &str = "recent-";
const NEW: &str = ".new";
/// What sled made when the folder itself was its own.
const OF_OLD: &[&str] = &["conf", "db", "blobs"];
/// Names and values written, after which they are folded. sled takes three to four times that on disk. In tests it is so
/// little that every one of the catalog's folds. Bytes.
const FOLD_AT: u64 = if cfg!(test) { 2048 } else { 4 << 20 };
/// So many times that may be written while folding goes on; then the writer waits for it.
const WAIT_AT: u64 = 8;
/// Free room that folding leaves. Bytes.
const MARGIN: u64 = 4 << 20;
/// Rows merged between two looks at whether the index is being closed.
const LOOK_EVERY: usize = 1000;

/// An open folder.
pub struct Layers {
    shared: Arc<Shared>,
    folding: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    folder: PathBuf,
    cache: u64,
    /// Changed by folding only; the write lock is held for the moment of the change, the read lock while something is
    /// read or written. Guards no await.
    parts: RwLock<Parts>,
    written: AtomicU64,
    fold_at: u64,
    folding: AtomicBool,
    ending: AtomicBool,
}

struct Parts {
    recent: sled::Db,
    number: u64,
    /// The one before, until it is merged.
    frozen: Option<sled::Db>,
    settled: Option<(u64, Settled)>,
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
                let settled = Settled::open(&folder.join(format!("{SETTLED}{number}")));
                Some((number, settled.map_err(failed)?))
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

impl Shared {
    fn fold(&self) -> Result<(), sled::Error> {
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
        let new = self.folder.join(format!("{SETTLED}{number}"));
        let unready = self.folder.join(format!("{SETTLED}{number}{NEW}"));
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
            let _ = fs::remove_file(self.folder.join(format!("{SETTLED}{old}")));
        }
        Ok(())
    }

    /// From here on changes go into a layer of their own.
    fn freeze(&self) -> Result<(), sled::Error> {
        let number = self.parts.read().number + 1;
        make_recent(&self.folder, number, self.cache)?;
        let db = open_recent(&recent(&self.folder, number), self.cache)?;
        let mut parts = self.parts.write();
        parts.frozen = Some(std::mem::replace(&mut parts.recent, db));
        parts.number = number;
        Ok(())
    }

    /// False if it was stopped, since the index is being closed.
    fn merge(&self, frozen: &sled::Db, to: &Path) -> Result<bool, sled::Error> {
        let mut writer = Writer::create(to)?;
        let parts = self.parts.read();
        // Of its own, so that the lock need not be held.
        let old = parts.settled.as_ref();
        let old = old.map(|(number, _)| self.folder.join(format!("{SETTLED}{number}")));
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

type Layer<'a> = Box<dyn Iterator<Item = Result<Row, sled::Error>> + 'a>;

fn rows_of(db: &sled::Db, from: Bound<Vec<u8>>) -> Layer<'static> {
    let rows = db.range::<Vec<u8>, _>((from, Bound::Unbounded));
    Box::new(rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))))
}

fn settled_rows(settled: &Settled, from: Bound<Vec<u8>>) -> Layer<'_> {
    Box::new(settled.range(from).filter_map(|row| match row {
        // As a damaged row is.
        Err(error @ SettledError::Damaged(_)) => {
            tracing::error!(%error, "rows of the index are unknown now");
            None
        }
        row => Some(row.map_err(failed)),
    }))
}

/// Rows of several layers in order; of those with one key, that of the first layer which has it.
struct Merged<'a>(Vec<Peekable<Layer<'a>>>);

impl<'a> Merged<'a> {
    fn new(layers: Vec<Layer<'a>>) -> Self {
        Merged(layers.into_iter().map(Iterator::peekable).collect())
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<Row, sled::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<Vec<u8>> = None;
        for layer in &mut self.0 {
            match layer.peek() {
                Some(Ok((key, _))) if least.as_ref().is_none_or(|least| key < least) => {
                    least = Some(key.clone());
                }
                Some(Err(_)) => return layer.next(),
                _ => {}
            }
        }
        let least = least?;
        let mut found = None;
        for layer in &mut self.0 {
            let row = layer.next_if(|row| row.as_ref().is_ok_and(|(key, _)| *key == least));
            found = found.or(row);
        }
        found
    }
}

fn recent(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{RECENT}{number}"))
}

fn open_recent(path: &Path, cache: u64) -> Result<sled::Db, sled::Error> {
    sled::Config::new().path(path).cache_capacity(cache).open()
}

/// Makes an empty layer, whole or not at all.
fn make_recent(folder: &Path, number: u64, cache: u64) -> Result<(), sled::Error> {
    let unready = folder.join(format!("{RECENT}{number}{NEW}"));
    remove(&unready);
    let make = || -> Result<(), sled::Error> {
        open_recent(&unready, cache)?.flush()?;
        for entry in fs::read_dir(&unready)? {
            File::open(entry?.path())?.sync_all()?;
        }
        File::open(&unready)?.sync_all()?;
        fs::rename(&unready, recent(folder, number))?;
        Ok(File::open(folder)?.sync_all()?)
    };
    make().inspect_err(|_| remove(&unready))
}

/// Whether it is a name that the index gives in its folder.
pub fn is_of_index(name: &str) -> bool {
    [LAYOUT, SETTLED, RECENT]
        .iter()
        .any(|begin| name.starts_with(begin))
}

/// Makes sure that the folder is an index of the layout that this program knows.
fn claim(folder: &Path) -> Result<(), sled::Error> {
    let name = folder.join(LAYOUT);
    match fs::read_to_string(&name) {
        Ok(text) => {
            return match text.trim_end().strip_prefix(INDEX_TEXT) {
                Some(LAYOUT_VERSION) => Ok(()),
                Some(other) => Err(sled::Error::Io(io::Error::other(format!(
                    "it has the layout {other}, and this program knows {LAYOUT_VERSION}"
                )))),
                None => Err(damaged("it does not say what it is")),
            };
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damaged("it does not say what it is"));
        }
        Err(error) => return Err(error.into()),
    }
    let unready = folder.join(format!("{LAYOUT}{NEW}"));
    let mut file = File::create(&unready)?;
    writeln!(file, "{INDEX_TEXT}{LAYOUT_VERSION}")?;
    file.sync_all()?;
    Ok(fs::rename(&unready, &name)?)
}

/// What is in a folder.
#[derive(Default)]
struct Found {
    settled: Option<u64>,
    /// In order.
    recents: Vec<u64>,
    left: Vec<PathBuf>,
}

impl Found {
    fn look(folder: &Path) -> io::Result<Self> {
        let mut found = Found::default();
        let mut all = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let number = |prefix: &str| name.strip_prefix(prefix)?.parse::<u64>().ok();
            if let Some(number) = number(SETTLED) {
                all.push(number);
            } else if let Some(number) = number(RECENT) {
                found.recents.push(number);
            } else if name.ends_with(NEW) || OF_OLD.contains(&name) || name.starts_with("snap.") {
                found.left.push(folder.join(name));
            }
        }
        found.settled = all.iter().max().copied();
        found.recents.sort_unstable();
        let past = |number: &u64| found.settled.is_some_and(|settled| *number <= settled);
        let (old, recents) = found.recents.into_iter().partition(past);
        found.recents = recents;
        let old: Vec<u64> = old;
        found
            .left
            .extend(old.iter().map(|number| recent(folder, *number)));
        let settled = all.iter().filter(|number| Some(**number) != found.settled);
        found
            .left
            .extend(settled.map(|number| folder.join(format!("{SETTLED}{number}"))));
        Ok(found)
    }
}

/// Best effort: what is left is found again.
fn remove(path: &Path) {
    let _ = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
}

fn damaged(what: &str) -> sled::Error {
    sled::Error::Unsupported(what.to_owned())
}

fn failed(error: SettledError) -> sled::Error {
    match error {
        SettledError::Io(error) => sled::Error::Io(error),
        SettledError::Damaged(_) => damaged(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const CACHE: u64 = 1 << 20;

    type Model = BTreeMap<String, Vec<u8>>;

    fn all(layers: &Layers) -> Model {
        let (mut found, mut after) = (Model::new(), None::<String>);
        loop {
            let page = layers.page("", after.as_deref(), 97).unwrap();
            let Some((last, _)) = page.last() else {
                return found;
            };
            after = Some(last.clone());
            found.extend(page);
        }
    }

    fn size(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| match entry.metadata().ok()? {
                meta if meta.is_dir() => Some(size(&entry.path())),
                meta => Some(meta.len()),
            })
            .sum()
    }

    /// A change of one of 300 rows.
    fn change(random: &mut fastrand::Rng, model: &mut Model) -> (String, Option<Vec<u8>>) {
        let key = format!("version/example.com/m{}", random.u32(..300));
        let value = (random.u32(..4) > 0).then(|| vec![random.u8(..); random.usize(1..60)]);
        match &value {
            Some(value) => drop(model.insert(key.clone(), value.clone())),
            None => drop(model.remove(&key)),
        }
        (key, value)
    }

    fn wait(layers: &Layers) {
        if let Some(thread) = layers.folding.lock().take() {
            thread.join().unwrap();
        }
    }

    #[test]
    fn layers_are_one_map_whatever_is_folded_when() {
        for seed in 0..6 {
            let dir = tempfile::tempdir().unwrap();
            let mut random = fastrand::Rng::with_seed(seed);
            let mut model = Model::new();
            let mut layers = Layers::open_to_fold_at(dir.path(), CACHE, 2000).unwrap();
            for step in 0..200 {
                let changes: Vec<_> = (0..random.usize(1..20))
                    .map(|_| change(&mut random, &mut model))
                    .collect();
                layers.apply(changes).unwrap();
                layers.flush().unwrap();
                layers.fold_if_due(u64::MAX);
                let key = format!("version/example.com/m{}", random.u32(..300));
                assert_eq!(layers.get(&key).unwrap(), model.get(&key).cloned());
                if step % 50 == 49 {
                    assert_eq!(all(&layers), model);
                    drop(layers);
                    layers = Layers::open_to_fold_at(dir.path(), CACHE, 2000).unwrap();
                    assert_eq!(all(&layers), model);
                }
            }
            wait(&layers);
            assert!(layers.shared.parts.read().number > 3, "it was folded");
            let part = layers.page("version/example.com/m1", Some("version/example.com/m15"), 5);
            let from = (
                Bound::Excluded("version/example.com/m15".to_owned()),
                Bound::Unbounded,
            );
            let expected = model
                .range(from)
                .filter(|row| row.0.contains("/m1"))
                .take(5);
            let expected: Vec<_> = expected.map(|(k, v)| (k.clone(), v.clone())).collect();
            assert_eq!(part.unwrap(), expected);
        }
    }

    /// Each state of the folder between two steps of folding, as an end there leaves it.
    #[test]
    fn an_end_between_any_two_steps_loses_nothing_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str| dir.path().join(name);
        let mut random = fastrand::Rng::with_seed(7);
        let (mut before, mut model) = (Model::new(), Model::new());
        let layers = Layers::open_to_fold_at(&folder("a"), CACHE, u64::MAX).unwrap();
        let mut write = |layers: &Layers, model: &mut Model| {
            let changes: Vec<_> = (0..200).map(|_| change(&mut random, model)).collect();
            layers.apply(changes).unwrap();
            layers.flush().unwrap();
        };
        write(&layers, &mut before);
        layers.shared.fold().unwrap();
        model.clone_from(&before);
        write(&layers, &mut model);
        drop(layers);
        let copy = |from: &str, to: &str| copy_folder(&folder(from), &folder(to));
        let check = |name: &str, steps: &str| {
            let layers = Layers::open_to_fold_at(&folder(name), CACHE, u64::MAX).unwrap();
            assert_eq!(all(&layers), model, "{steps}");
            layers.shared.fold().unwrap();
            assert_eq!(all(&layers), model, "{steps}");
            drop(layers);
            let mut names: Vec<_> = fs::read_dir(folder(name)).unwrap().collect();
            names.retain(|it| it.as_ref().unwrap().file_name() != LAYOUT);
            assert_eq!(names.len(), 2, "{steps}: {names:?}");
        };
        copy("a", "1");
        check("1", "nothing");
        copy("a", "2");
        fs::create_dir(folder("2/recent-3.new")).unwrap();
        fs::write(folder("2/recent-3.new/conf"), "").unwrap();
        check("2", "a new layer that is not whole");
        copy("a", "3");
        make_recent(&folder("3"), 3, CACHE).unwrap();
        copy("3", "4");
        copy("3", "5");
        check("3", "a new layer");
        fs::write(folder("4/settled-2.new"), "half").unwrap();
        check("4", "a settled file that is not whole");
        let layers = Layers::open_to_fold_at(&folder("5"), CACHE, u64::MAX).unwrap();
        layers.shared.fold().unwrap();
        drop(layers);
        copy("a", "6");
        fs::rename(folder("5/recent-3"), folder("6/recent-3")).unwrap();
        fs::rename(folder("5/settled-2"), folder("6/settled-2")).unwrap();
        check("6", "both settled files, and all layers");
    }

    #[test]
    fn the_folder_stays_small_whatever_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let layers = Layers::open_to_fold_at(dir.path(), CACHE, 256 << 10).unwrap();
        let (mut written, mut most) = (0, 0);
        for n in 0..2000_u32 {
            let value: Vec<u8> = (0..4000).map(|_| fastrand::u8(1..)).collect();
            written += value.len() as u64;
            let changes = [
                (
                    format!("metadata/example.com/m{}/@v/list", n % 20),
                    Some(value),
                ),
                (format!("absent/{n}"), Some(vec![1; 40])),
                (format!("absent/{}", n.saturating_sub(50)), None),
            ];
            layers.apply(changes).unwrap();
            layers.flush().unwrap();
            layers.fold_if_due(u64::MAX);
            if n % 100 == 0 {
                most = most.max(size(dir.path()));
            }
        }
        wait(&layers);
        assert_eq!(all(&layers).len(), 20 + 50);
        assert!(most < written, "{most} of {written} bytes");
        layers.shared.fold().unwrap();
        assert!(size(dir.path()) < 2 << 20, "{} bytes", size(dir.path()));
    }

    #[test]
    fn what_is_damaged_or_of_a_later_version_does_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let layers = Layers::open(dir.path(), CACHE).unwrap();
        layers.apply([("a".to_owned(), Some(vec![1]))]).unwrap();
        layers.shared.fold().unwrap();
        drop(layers);
        fs::write(dir.path().join(LAYOUT), "damaged").unwrap();
        let opened = Layers::open(dir.path(), CACHE);
        assert!(matches!(opened, Err(sled::Error::Unsupported(_))));
        fs::write(dir.path().join(LAYOUT), "larder index 2\n").unwrap();
        assert!(matches!(
            Layers::open(dir.path(), CACHE),
            Err(sled::Error::Io(_))
        ));
        fs::write(dir.path().join(LAYOUT), "larder index 1\n").unwrap();
        assert_eq!(
            Layers::open(dir.path(), CACHE).unwrap().get("a").unwrap(),
            Some(vec![1])
        );
        fs::write(dir.path().join("settled-1"), "damaged").unwrap();
        let opened = Layers::open(dir.path(), CACHE);
        assert!(matches!(opened, Err(sled::Error::Unsupported(_))));
    }

    #[test]
    fn without_room_nothing_is_folded() {
        let dir = tempfile::tempdir().unwrap();
        let layers = Layers::open_to_fold_at(dir.path(), CACHE, 1000).unwrap();
        layers
            .apply([("a".to_owned(), Some(vec![1; 2000]))])
            .unwrap();
        layers.fold_if_due(MARGIN);
        assert!(layers.folding.lock().is_none());
        layers.fold_if_due(2 * MARGIN);
        wait(&layers);
        assert!(layers.shared.parts.read().settled.is_some());
    }

    fn copy_folder(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            let to = to.join(entry.file_name());
            match entry.path().is_dir() {
                true => copy_folder(&entry.path(), &to),
                false => drop(fs::copy(entry.path(), to).unwrap()),
            }
        }
    }
}
