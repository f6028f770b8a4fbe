//! Making the index anew from the files, and checking the files against it.

use super::catalog::sled::complete::COMPLETE;
use super::catalog::{Change, Expect};
use super::local::{BlobName, Entry, Flaw, is_of_layout};
use super::model::{
    Fact, FactKey, FileRecord, ListFile, MetaRecord, PendingRecord, StateKey, Verified,
};
use super::walk::{OverFiles, OverRecords, Progress};
use super::{IN_INDEX, SMALL, Store, StoreError};
use crate::clock::{SharedClock, Timestamp};
use crate::gomod::{ModulePath, list};
use crate::protocol::{FileKey, Kind, Meta, MetaKey};

/// Files recorded at once.
const BATCH: usize = 256;
/// Here lies everything under the wrong name, where the whole GOMODCACHE was copied.
const MISPLACED: &str = "cache/download/";

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Files in order.
    pub good: u64,
    /// Files not in order, each with why.
    pub bad: Vec<(String, String)>,
    /// Records whose file is gone.
    pub gone: u64,
    /// Lists of versions that were taken over.
    pub lists: u64,
    /// Files that are not in the layout of the go command's download cache, and so are left alone.
    pub unknown: u64,
    /// Some of them.
    pub unknown_such_as: Vec<String>,
    /// Whether it was ended before all was seen.
    pub ended_early: bool,
}

/// What cannot be made anew from files, for people.
pub const LOST: &str = "first-seen checksums, what was still to be verified, tree heads, records and alarms of checksum databases, @latest, branches and other queries";

/// Names of unknown files that are told.
const TOLD: usize = 5;
/// The largest list that is taken over. Bytes.
const MAX_LIST: u64 = 4 << 20;
/// A list that is taken over is at least as old, so that it is asked for again before it is believed: one from elsewhere
/// may have only what somebody happened to fetch. Milliseconds.
const LIST_AGE: u64 = 3_600_000;

/// Looks at every file that lies there, records those that are whole and valid, and drops what is known of files that are
/// gone. `progress` is told about each and says whether to go on.
pub async fn rebuild(
    store: &Store,
    clock: &SharedClock,
    progress: impl Fn(&Progress) -> bool,
) -> Result<Summary, StoreError> {
    let mut summary = Summary::default();
    let mut seen = Progress::default();
    let mut found = Vec::new();
    let started = clock.now();
    let mut walk = OverFiles::of(store.local());
    loop {
        let entries = match walk.next().await {
            Ok(Some(entries)) => entries,
            Ok(None) => break,
            Err(error) => {
                let what = "the files".to_owned();
                summary.bad.push((what, error.to_string()));
                break;
            }
        };
        for entry in entries {
            let (path, name) = match entry {
                Entry::File { path, name } => (path, name),
                Entry::Unreadable(folder, error) => {
                    let folder = folder.display().to_string();
                    summary.bad.push((folder, error.to_string()));
                    continue;
                }
            };
            let misplaced = path.starts_with(MISPLACED);
            let key = match name.filter(|_| !misplaced) {
                Some(BlobName::File(key)) => key,
                Some(BlobName::List(module)) => {
                    match take_list(store, module, clock).await? {
                        Ok(taken) => summary.lists += u64::from(taken),
                        Err(why) => summary.bad.push((path, why)),
                    }
                    continue;
                }
                Some(BlobName::ZipHash(..) | BlobName::NextList(_) | BlobName::Tile(_)) => continue,
                None => {
                    if misplaced || !is_of_layout(&path) {
                        summary.unknown += 1;
                        if summary.unknown_such_as.len() < TOLD {
                            summary.unknown_such_as.push(path);
                        }
                    }
                    continue;
                }
            };
            match examine(store, &key, clock.now()).await {
                Ok(record) => {
                    seen.saw(&key, record.size);
                    summary.good += 1;
                    found.push((key, Some(record)));
                }
                Err(flaw) => {
                    seen.saw(&key, 0);
                    summary.bad.push((key.to_string(), flaw.to_string()));
                    found.push((key, None));
                }
            }
            if found.len() >= BATCH {
                record(store, std::mem::take(&mut found), started).await?;
            }
            if !progress(&seen) {
                summary.ended_early = true;
                record(store, found, started).await?;
                return Ok(summary);
            }
        }
    }
    record(store, found, started).await?;
    drop_gone(store, &mut summary).await?;
    let complete = Fact::State(StateKey::Complete, COMPLETE.to_owned());
    store.change(vec![Change::Put(complete)]).await?;
    Ok(summary)
}

/// Takes a list over if none is known, or one whose file is another one by now (as after copying a GOMODCACHE); says
/// whether it was. The error within is a text for people.
async fn take_list(
    store: &Store,
    module: ModulePath,
    clock: &SharedClock,
) -> Result<Result<bool, String>, StoreError> {
    let (body, modified) = match store.local().dated_list(&module, MAX_LIST).await {
        Ok(read) => read,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let served = match list::read(&module, &body).map(|list| list.body) {
        Ok(served) => served,
        Err(why) => return Ok(Err(why)),
    };
    if served.is_empty() {
        // That says nothing.
        return Ok(Ok(false));
    }
    let (text, file) = match body.len() as u64 {
        ..=IN_INDEX => (served, None),
        // Short enough for the catalog in an emergency.
        ..=SMALL if served.as_bytes() != body => (served, None),
        // A large one is served from its file, so that must be what is served.
        _ if served.as_bytes() != body => {
            return Ok(Err("a large list with lines that are not served".to_owned()));
        }
        _ => (String::new(), Some(ListFile::of(&body))),
    };
    let record = MetaRecord {
        body: text,
        file,
        fetched: modified.min(Timestamp(clock.now().0.saturating_sub(LIST_AGE))),
        from: "files".to_owned(),
        ..MetaRecord::default()
    };
    let key = MetaKey {
        module,
        meta: Meta::List,
    };
    let expect = match store.recorded(&key).await? {
        None => Expect::Unknown(FactKey::Metadata(key.clone())),
        Some(known) => match &known.file {
            // It may be there under another name.
            Some(named) if !named.is_of(&body) && !store.place_list(&key.module, named).await? => {
                Expect::Is(Fact::Metadata(key.clone(), known))
            }
            _ => return Ok(Ok(false)),
        },
    };
    let put = Change::Put(Fact::Metadata(key, record));
    Ok(Ok(store.change_if(vec![expect], vec![put]).await?))
}

/// Records what was found: a file that is whole, or that there is none. What flights have kept since it began is right as
/// it is.
async fn record(
    store: &Store,
    found: Vec<(FileKey, Option<FileRecord>)>,
    started: Timestamp,
) -> Result<(), StoreError> {
    let each = found.into_iter().map(async |(key, found)| {
        let known = store.record(&key).await?;
        if known.as_ref().is_some_and(|known| known.seen >= started) {
            return Ok(());
        }
        let changes = match (found, &known) {
            (Some(found), Some(known)) if known.sha256 == found.sha256 => return Ok(()),
            (Some(found), _) => {
                // No database has answered for what is new here.
                let pending = (key.kind != Kind::Info).then(|| {
                    let record = PendingRecord::since(found.seen);
                    Change::Put(Fact::Pending(key.clone(), record))
                });
                let put = Change::Put(Fact::File(key.clone(), found));
                std::iter::once(put).chain(pending).collect()
            }
            (None, None) => return Ok(()),
            (None, Some(_)) => vec![Change::Remove(FactKey::File(key.clone()))],
        };
        // Otherwise a flight has come between.
        store
            .change_if(vec![as_known(key, known)], changes)
            .await
            .map(drop)
    });
    // The catalog makes few batches of them.
    futures_util::future::try_join_all(each).await.map(drop)
}

fn as_known(key: FileKey, known: Option<FileRecord>) -> Expect {
    match known {
        Some(record) => Expect::Is(Fact::File(key, record)),
        None => Expect::Unknown(FactKey::File(key)),
    }
}

/// What is to be known of a file that lies there.
async fn examine(store: &Store, key: &FileKey, now: Timestamp) -> Result<FileRecord, Flaw> {
    let examined = store.local().examine(key).await?;
    Ok(FileRecord {
        size: examined.size,
        sha256: examined.sha256,
        h1: examined.h1,
        from: "files".to_owned(),
        seen: now,
        verified: Verified::None,
        by: None,
    })
}

async fn drop_gone(store: &Store, summary: &mut Summary) -> Result<(), StoreError> {
    let mut walk = OverRecords::of(store);
    while let Some(page) = walk.next().await? {
        for (key, record) in page.files {
            if !matches!(store.local().open(&BlobName::from(&key)), Ok(None)) {
                continue;
            }
            let remove = vec![Change::Remove(FactKey::File(key.clone()))];
            let expect = vec![Expect::Is(Fact::File(key, record))];
            summary.gone += u64::from(store.change_if(expect, remove).await?);
        }
    }
    Ok(())
}

/// Reads a kept file, checks it by the rules that hold when it is fetched, and compares it with what was recorded. The
/// error is a text for people.
pub async fn check_file(store: &Store, key: &FileKey, recorded: &FileRecord) -> Result<(), String> {
    let found = store.local().examine(key).await;
    let found = found.map_err(|flaw| flaw.to_string())?;
    if found.size != recorded.size {
        return Err("the file is of another size than recorded".to_owned());
    }
    if found.sha256 != recorded.sha256 {
        return Err("its content is not what was recorded".to_owned());
    }
    if found.h1 != recorded.h1 {
        return Err("its h1 is not what was recorded".to_owned());
    }
    Ok(())
}
