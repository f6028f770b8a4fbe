//! What the index stands on: sled, or memory while sled does not open for want of room. A full disk must not end hits, so
//! what the index has is then read from a copy in memory, and what changes meanwhile is written once there is room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::layers::Layers;
use super::migrate;
use crate::store::local::{self, Disk, Room, Spare};

/// With less than this free, sled is not opened or written without need: half a write makes it useless until it is opened
/// again, and opening takes room. Bytes.
pub const FLOOR: u64 = 1 << 20;
/// Room that opening a copy takes beyond the copy. Bytes.
const COPY_MARGIN: u64 = 8 << 20;
/// Rows of a copy read at once.
const COPIED_AT_ONCE: usize = 1000;

/// One change of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Sets it.
    Put(String, Vec<u8>),
    /// Removes it.
    Remove(String),
}

/// Why a database does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is damaged; opening another one in its place and rebuilding helps.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The disk is full, or takes no more for another reason.
    #[error("{0}")]
    NoRoom(String),
    /// The folder cannot be used.
    #[error("{0}")]
    Io(String),
}

/// Opens a database; a panic inside sled, which is its way to say "damaged", becomes an error.
pub fn open_db(path: &Path, cache: u64) -> Result<Layers, OpenError> {
    match catch_unwind(AssertUnwindSafe(|| Layers::open(path, cache))) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(error))) if local::is_no_room(error.kind()) => {
            Err(OpenError::NoRoom(error.to_string()))
        }
        Ok(Err(sled::Error::Io(error))) => Err(OpenError::Io(error.to_string())),
        Ok(Err(error)) => Err(OpenError::Damaged(error.to_string())),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("sled gave up");
            Err(OpenError::Damaged(text.to_owned()))
        }
    }
}

/// How a database is opened; another way in tests.
pub type OpenLayers = Box<dyn Fn(&Path) -> Result<Layers, OpenError> + Send + Sync>;

/// Opens the index of a data directory, with what helps on a full disk.
pub struct Opener {
    /// Its folder.
    pub path: PathBuf,
    /// The way to open it.
    pub open: OpenLayers,
    /// Room to be given back.
    pub spare: Spare,
    /// Where it is.
    pub disk: Arc<Disk>,
    /// Where a copy may be made, best first.
    pub copies: Vec<PathBuf>,
}

impl Opener {
    /// For a folder in a data directory, with `cache` bytes of memory.
    pub fn new(data: &Path, cache: u64, disk: Arc<Disk>) -> Self {
        let spare = Spare::of(data);
        spare.claim(&disk);
        Opener {
            path: data.join("index"),
            open: Box::new(move |path| open_db(path, cache)),
            spare,
            disk,
            copies: vec![PathBuf::from("/dev/shm"), std::env::temp_dir()],
        }
    }

    /// Opens it; gives the spare room back if need be.
    pub fn open(&self) -> Result<Layers, OpenError> {
        match (self.open)(&self.path) {
            Err(OpenError::NoRoom(why)) => {
                self.tidy();
                match self.spare.give_back(&self.disk) {
                    true => (self.open)(&self.path),
                    false => Err(OpenError::NoRoom(why)),
                }
            }
            // On a full disk sled may take its own half-written file for damage; what it holds must not be set aside for that.
            Err(OpenError::Damaged(why)) if self.disk.free_now() < FLOOR => {
                self.tidy();
                self.spare.give_back(&self.disk);
                match (self.open)(&self.path) {
                    Err(OpenError::Damaged(_)) if self.disk.free_now() < FLOOR => {
                        Err(OpenError::NoRoom(why))
                    }
                    again => again,
                }
            }
            other => other,
        }
    }

    /// Removes snapshots of sled's that never became whole.
    fn tidy(&self) {
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries(&self.path).flat_map(|layer| entries(&layer.path())) {
            let name = entry.file_name();
            let unfinished = name
                .to_str()
                .and_then(|name| name.strip_prefix("snap.")?.strip_suffix(".generating"))
                .is_some_and(|lsn| {
                    lsn.len() == 16 && lsn.bytes().all(|byte| byte.is_ascii_hexdigit())
                });
            if unfinished && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                // Best effort: sled writes over it.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Reads an index that does not open for want of room into memory, by way of a copy elsewhere. `None` if there is no
    /// place for one, or it does not open there either.
    pub fn read_copy(&self) -> Option<Held> {
        let size = size(&self.path).ok()?;
        let has_room = |folder: &&PathBuf| {
            let volume = local::volume(folder);
            volume.is_ok_and(|volume| volume.free >= size.saturating_mul(2) + COPY_MARGIN)
        };
        let folder = self.copies.iter().find(has_room)?;
        let copy = Copy::of(&self.path, folder)
            .inspect_err(|error| tracing::debug!(%error, "the index could not be copied"))
            .ok()?;
        let db = (self.open)(&copy.0)
            .inspect_err(|error| tracing::debug!(%error, "the index does not open in its copy"))
            .ok()?;
        let read = || -> Result<BTreeMap<String, Vec<u8>>, migrate::MigrateError> {
            migrate::apply_index(&db)?;
            let (mut map, mut after) = (BTreeMap::new(), None);
            loop {
                let page = db.page("", after.as_deref(), COPIED_AT_ONCE)?;
                let Some((last, _)) = page.last() else {
                    return Ok(map);
                };
                after = Some(last.clone());
                map.extend(page);
            }
        };
        let map = catch_unwind(AssertUnwindSafe(read)).ok()?.ok()?;
        Some(Held::new(map, true))
    }
}

/// A copy of the index's files; gone when dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(index: &Path, below: &Path) -> io::Result<Self> {
        let name = format!(
            "larder-index-{}-{:016x}",
            std::process::id(),
            fastrand::u64(..)
        );
        let dir = below.join(name);
        // Nobody else may read it, and a name that is there already may be a trap.
        fs::DirBuilder::new().mode(0o700).create(&dir)?;
        let copy = Copy(dir);
        copy_files(index, &copy.0)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(copy = %self.0.display(), %error, "a copy of the index could not be removed");
        }
    }
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            fs::DirBuilder::new().mode(0o700).create(&to)?;
            copy_files(&entry.path(), &to)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => size(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}

/// An index in memory, which remembers what has changed.
pub struct Held {
    map: RwLock<BTreeMap<String, Vec<u8>>>,
    changed: Mutex<BTreeSet<String>>,
    /// It has what the index on disk has.
    whole: bool,
}

impl Held {
    /// `whole` says that this is what the index on disk has.
    pub fn new(map: BTreeMap<String, Vec<u8>>, whole: bool) -> Self {
        Held {
            map: RwLock::new(map),
            changed: Mutex::default(),
            whole,
        }
    }

    /// Whether what has changed can be written over the index on disk.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// What has changed.
    pub fn changes(&self) -> Vec<RowChange> {
        let map = self.map.read();
        let change = |key: &String| match map.get(key) {
            Some(value) => RowChange::Put(key.clone(), value.clone()),
            None => RowChange::Remove(key.clone()),
        };
        let changed = self.changed.lock();
        changed.iter().map(change).collect()
    }
}

/// A map of keys to values.
pub enum Base {
    /// On disk.
    Disk(Layers),
    /// In memory.
    Held(Held),
}

impl Base {
    /// Whether it is in memory only.
    pub fn is_held(&self) -> bool {
        matches!(self, Base::Held(_))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, sled::Error> {
        match self {
            Base::Disk(layers) => layers.get(key),
            Base::Held(held) => Ok(held.map.read().get(key).cloned()),
        }
    }

    /// Applies all changes or none.
    pub fn apply(&self, changes: Vec<RowChange>) -> Result<(), sled::Error> {
        match self {
            Base::Disk(layers) => layers.apply(changes.into_iter().map(|change| match change {
                RowChange::Put(key, value) => (key, Some(value)),
                RowChange::Remove(key) => (key, None),
            })),
            Base::Held(held) => {
                let (mut map, mut changed) = (held.map.write(), held.changed.lock());
                for change in changes {
                    let (RowChange::Put(key, _) | RowChange::Remove(key)) = &change;
                    changed.insert(key.clone());
                    match change {
                        RowChange::Put(key, value) => drop(map.insert(key, value)),
                        RowChange::Remove(key) => drop(map.remove(&key)),
                    }
                }
                Ok(())
            }
        }
    }

    /// Makes it durable, as far as it can be.
    pub fn flush(&self) -> Result<(), sled::Error> {
        match self {
            Base::Disk(layers) => layers.flush(),
            Base::Held(_) => Ok(()),
        }
    }

    /// Up to `limit` entries whose keys start with `prefix` and come after `after`, in order.
    pub fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, sled::Error> {
        match self {
            Base::Disk(layers) => layers.page(prefix, after, limit),
            Base::Held(held) => {
                let from = match after {
                    Some(after) if after >= prefix => Bound::Excluded(after),
                    _ => Bound::Included(prefix),
                };
                let map = held.map.read();
                let entries = map
                    .range::<str, _>((from, Bound::Unbounded))
                    .take_while(|(key, _)| key.starts_with(prefix))
                    .take(limit);
                Ok(entries
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect())
            }
        }
    }

    /// Begins to fold it if that is due and there is room (`layers`). For the one that writes.
    pub fn fold_if_due(&self, disk: &Disk) {
        if let Base::Disk(layers) = self
            && disk.room() == Room::Enough
        {
            layers.fold_if_due(disk.free());
        }
    }
}
