//! Schema versions: recorded in the store, applied in order when it is opened; a newer store is refused untouched.
//! The steps themselves are in `migrations/`.

use std::fs;
use std::io;
use std::path::Path;

use thiserror::Error;

use super::layers::Layers;
use crate::store::local::is_no_room;
use crate::store::local::{MARK, MARK_NEW};

#[path = "../../../../migrations/sled/mod.rs"]
mod steps;

/// Key of the schema version in the index, a big-endian u32.
const KEY: &str = "schema";
/// The version of the files' layout that this program reads and writes (`migrations/files/`).
const LAYOUT: u32 = 1;

/// The schema version of the index that this program reads and writes.
pub const INDEX_SCHEMA: u32 = steps::ALL.len() as u32;

/// Why a store cannot be brought to this program's schema.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// It is ahead of this program.
    #[error("{what} has version {found}, this program knows {known}")]
    Newer {
        /// Which part.
        what: &'static str,
        /// In the store.
        found: u64,
        /// In the program.
        known: u32,
    },
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The index failed.
    #[error("{0}")]
    Index(String),
    /// The disk is full.
    #[error("{0}")]
    NoRoom(String),
}

impl From<sled::Error> for MigrateError {
    fn from(error: sled::Error) -> Self {
        match &error {
            sled::Error::Io(io) if is_no_room(io.kind()) => MigrateError::NoRoom(error.to_string()),
            _ => MigrateError::Index(error.to_string()),
        }
    }
}

/// Refuses a layout of files that is newer than this program.
pub fn check_files(found: u64) -> Result<(), MigrateError> {
    if found > u64::from(LAYOUT) {
        return Err(MigrateError::Newer {
            what: "the layout of the modules folder",
            found,
            known: LAYOUT,
        });
    }
    Ok(())
}

/// Records the layout's version, and that the directory is Larder's; whole or not at all.
pub fn mark_files(data: &Path) -> io::Result<()> {
    let unready = data.join(MARK_NEW);
    fs::write(&unready, format!("{LAYOUT}\n"))
        .and_then(|()| fs::rename(&unready, data.join(MARK)))
        // Best effort: it means nothing.
        .inspect_err(|_| drop(fs::remove_file(&unready)))
}

/// Brings the index to this program's schema, step by step; each step and its number are one atomic batch.
pub fn apply_index(db: &Layers) -> Result<(), MigrateError> {
    let found = match db.get(KEY)? {
        Some(bytes) => bytes.try_into().map(u32::from_be_bytes).unwrap_or(u32::MAX),
        None => 0,
    };
    if found > INDEX_SCHEMA {
        return Err(MigrateError::Newer {
            what: "the index",
            found: u64::from(found),
            known: INDEX_SCHEMA,
        });
    }
    for (number, step) in (1..).zip(steps::ALL).skip(found as usize) {
        let mut changes = step(db)?;
        changes.push((KEY.to_owned(), Some(u32::to_be_bytes(number).into())));
        db.apply(changes)?;
        db.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_index_gets_every_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let db = Layers::open(dir.path(), 1 << 20).unwrap();
        apply_index(&db).unwrap();
        let schema = db.get(KEY).unwrap().unwrap();
        assert_eq!(schema, INDEX_SCHEMA.to_be_bytes());
        apply_index(&db).unwrap();
    }

    #[test]
    fn a_newer_index_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let db = Layers::open(dir.path(), 1 << 20).unwrap();
        let newer = (INDEX_SCHEMA + 1).to_be_bytes().to_vec();
        db.apply([(KEY.to_owned(), Some(newer.clone()))]).unwrap();
        assert!(matches!(apply_index(&db), Err(MigrateError::Newer { .. })));
        let all = db.page("", None, 10).unwrap();
        assert_eq!(all, [(KEY.to_owned(), newer)]);
    }

    #[test]
    fn a_newer_layout_is_refused() {
        check_files(LAYOUT.into()).unwrap();
        let newer = check_files(u64::from(LAYOUT) + 1);
        assert!(matches!(newer, Err(MigrateError::Newer { .. })));
    }

    #[test]
    fn the_mark_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        // What an end in the middle left.
        fs::write(dir.path().join(MARK_NEW), "").unwrap();
        mark_files(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(MARK)).unwrap(), "1\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
