//! One pass over all that is kept: over what is known, or over the files that lie there. Whoever has something to do with
//! everything (rebuild, verify, re-verification; later eviction, a scrub, an export) goes by it. It holds a page of it in
//! memory, can be left at any moment, and rests if it is told to.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::catalog::{Pages, Query};
use super::local::{Entry, FileListing, LocalFiles, Namespace};
use super::model::{Fact, FactKind, FileRecord};
use super::{Store, StoreError};
use crate::protocol::FileKey;

/// Facts read at once.
const PAGE: usize = 500;

/// How far a pass is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Files looked at.
    pub files: u64,
    /// Bytes of those that are in order.
    pub bytes: u64,
    /// The one looked at last.
    pub current: String,
}

impl Progress {
    /// One more file has been looked at.
    pub fn saw(&mut self, file: &impl Display, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
        self.current = file.to_string();
    }
}

/// A page of what is known.
#[derive(Debug, Default)]
pub struct Records {
    /// Files.
    pub files: Vec<(FileKey, FileRecord)>,
    /// Names of what is damaged, and so unknown.
    pub damaged: Vec<String>,
}

/// A pass over the files that are known.
pub struct OverRecords {
    pages: Pages,
    /// After each page, in times of what was done with it.
    rest: u32,
    given: Option<Instant>,
}

impl OverRecords {
    /// From the beginning, without rests.
    pub fn of(store: &Store) -> Self {
        OverRecords {
            pages: Pages::new(store.catalog(), Query::All(FactKind::File), PAGE),
            rest: 0,
            given: None,
        }
    }

    /// Rests after each page for so many times as long as it took: then millions take a part of one core only.
    pub fn resting(self, times: u32) -> Self {
        OverRecords {
            rest: times,
            ..self
        }
    }

    /// The next page; none after the last.
    pub async fn next(&mut self) -> Result<Option<Records>, StoreError> {
        let took = self.given.map_or(Duration::ZERO, |given| given.elapsed());
        let rest = took.saturating_mul(self.rest);
        if !rest.is_zero() {
            sleep(rest).await;
        }
        let Some(page) = self.pages.next().await? else {
            return Ok(None);
        };
        self.given = Some(Instant::now());
        let files = page.facts.into_iter().filter_map(|fact| match fact {
            Fact::File(key, record) => Some((key, record)),
            _ => None,
        });
        Ok(Some(Records {
            files: files.collect(),
            damaged: page.damaged,
        }))
    }
}

/// A pass over the files that lie in the folder of modules, known or not.
pub struct OverFiles(FileListing);

impl OverFiles {
    /// From the beginning.
    pub fn of(files: &LocalFiles) -> Self {
        OverFiles(files.list(Namespace::Modules))
    }

    /// Some more of them; none at the end.
    pub async fn next(&mut self) -> io::Result<Option<Vec<Entry>>> {
        let entries = self.0.next().await?;
        Ok(Some(entries).filter(|entries| !entries.is_empty()))
    }
}
