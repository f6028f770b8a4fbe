//! The folder's names, and how a layer comes and goes whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::damaged;
use crate::store::local::INDEX_TEXT;

/// Says what the folder is, and the version of its layout.
pub(super) const LAYOUT: &str = "layout";
const LAYOUT_VERSION: &str = "1";
const SETTLED: &str = "settled-";
const RECENT: &str = "recent-";
const NEW: &str = ".new";
/// What sled made when the folder itself was its own.
const OF_OLD: &[&str] = &["conf", "db", "blobs"];

/// The settled file of a number.
pub(super) fn settled_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{SETTLED}{number}"))
}

/// The same while it is not whole.
pub(super) fn unready_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{SETTLED}{number}{NEW}"))
}

/// The sled of a number.
pub(super) fn recent(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{RECENT}{number}"))
}

pub(super) fn open_recent(path: &Path, cache: u64) -> Result<sled::Db, sled::Error> {
    sled::Config::new().path(path).cache_capacity(cache).open()
}

/// Makes an empty layer, whole or not at all. It may be there already, where an attempt to fold got no further than this:
/// nothing has been written to it then.
pub(super) fn make_recent(folder: &Path, number: u64, cache: u64) -> Result<(), sled::Error> {
    if recent(folder, number).exists() {
        return Ok(File::open(folder)?.sync_all()?);
    }
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
pub(super) fn claim(folder: &Path) -> Result<(), sled::Error> {
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
pub(super) struct Found {
    pub(super) settled: Option<u64>,
    /// In order.
    pub(super) recents: Vec<u64>,
    /// What is to be removed.
    pub(super) left: Vec<PathBuf>,
}

impl Found {
    pub(super) fn look(folder: &Path) -> io::Result<Self> {
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
        let old = all.iter().filter(|number| Some(**number) != found.settled);
        let settled_files = old.map(|number| settled_path(folder, *number));
        found.left.extend(settled_files);
        Ok(found)
    }
}

/// Best effort: what is left is found again.
pub(super) fn remove(path: &Path) {
    let _ = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
}
