//! Making the index anew from the files, and checking the files against it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::Digest;

use super::catalog::sled::migrate::COMPLETE;
use super::catalog::{Change, Expect, Pages, Query};
use super::local::{BlobName, Namespace, is_of_layout};
use super::model::{
    Fact, FactKey, FactKind, FileRecord, ListFile, MetaRecord, PendingRecord, Sha256, StateKey,
    Verified,
};
use super::{SMALL, Store, StoreError};
use crate::clock::{SharedClock, Timestamp};
use crate::gomod::dirhash::hash_go_mod;
use crate::gomod::{ModulePath, check, list, zip};
use crate::protocol::{FileKey, Kind, Meta, MetaKey};

/// Records written at once.
const BATCH: usize = 256;
/// Records read at once.
const PAGE: usize = 1000;

/// How far it is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Files looked at.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The one looked at last.
    pub current: String,
}

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

/// Looks at every file below `modules`, records those that are whole and valid, and drops records without a file.
/// `progress` is told about each and says whether to go on.
pub async fn rebuild(
    store: &Store,
    modules: &Path,
    clock: &SharedClock,
    progress: impl Fn(&Progress) -> bool,
) -> Result<Summary, StoreError> {
    let mut summary = Summary::default();
    let mut seen = Progress::default();
    let mut found = Vec::new();
    let started = clock.now();
    let mut folders = vec![modules.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match read_folder(folder.clone()).await {
            Ok(entries) => entries,
            Err(error) => {
                summary
                    .bad
                    .push((folder.display().to_string(), error.to_string()));
                continue;
            }
        };
        for (path, is_folder) in entries {
            if is_folder {
                folders.push(path);
                continue;
            }
            let relative = path.strip_prefix(modules).unwrap_or(&path);
            // Where the whole GOMODCACHE was copied: everything in it has the wrong name.
            let misplaced = relative.starts_with("cache/download");
            let name = relative.to_str().filter(|_| !misplaced);
            let parsed = name.and_then(|name| BlobName::parse(Namespace::Modules, name));
            let key = match parsed {
                Some(BlobName::File(key)) => key,
                Some(BlobName::List(module)) => {
                    match take_list(store, module, &path, clock).await? {
                        Ok(taken) => summary.lists += u64::from(taken),
                        Err(why) => summary.bad.push((relative.display().to_string(), why)),
                    }
                    continue;
                }
                Some(BlobName::ZipHash(..) | BlobName::Tile(_)) => continue,
                None => {
                    if !name.is_some_and(is_of_layout) {
                        summary.unknown += 1;
                        if summary.unknown_such_as.len() < TOLD {
                            let name = relative.display().to_string();
                            summary.unknown_such_as.push(name);
                        }
                    }
                    continue;
                }
            };
            seen.files += 1;
            seen.current = key.to_string();
            match examine(key.clone(), path, clock.now()).await {
                Ok(record) => {
                    seen.bytes += record.size;
                    summary.good += 1;
                    found.push((key, Some(record)));
                }
                Err(why) => {
                    summary.bad.push((key.to_string(), why));
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
    drop_gone(store, modules, &mut summary).await?;
    let complete = Fact::State(StateKey::Complete, COMPLETE.to_owned());
    store.change(vec![Change::Put(complete)]).await?;
    Ok(summary)
}

/// Takes a list over if none is known; says whether it was. The error within is a text for people.
async fn take_list(
    store: &Store,
    module: ModulePath,
    path: &Path,
    clock: &SharedClock,
) -> Result<Result<bool, String>, StoreError> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let file = File::open(&file)?;
        let modified = file.metadata()?.modified()?;
        let mut body = Vec::new();
        let size = file.take(MAX_LIST + 1).read_to_end(&mut body)?;
        if size as u64 > MAX_LIST {
            return Err(io::Error::other("the list is too long"));
        }
        Ok((body, modified))
    });
    let (body, modified) = match read.await.map_err(io::Error::other).flatten() {
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
        ..=SMALL => (served, None),
        // A large one is served from its file, so that must be what is served.
        _ if served.as_bytes() != body => {
            return Ok(Err("a large list with lines that are not served".to_owned()));
        }
        size => {
            let sha256 = Sha256::of(&body);
            (String::new(), Some(ListFile { size, sha256 }))
        }
    };
    let modified = modified
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    let record = MetaRecord {
        body: text,
        file,
        fetched: Timestamp(modified.min(clock.now().0.saturating_sub(LIST_AGE))),
        from: "files".to_owned(),
        ..MetaRecord::default()
    };
    let key = MetaKey {
        module,
        meta: Meta::List,
    };
    let expect = Expect::Unknown(FactKey::Metadata(key.clone()));
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

/// A folder's entries in the order of their names, each with whether it is a folder itself.
async fn read_folder(folder: PathBuf) -> io::Result<Vec<(PathBuf, bool)>> {
    let read = move || {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() || kind.is_file() {
                entries.push((entry.path(), kind.is_dir()));
            }
        }
        entries.sort();
        Ok(entries)
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(io::Error::other)?
}

/// Reads a file, checks it by the rules that hold when it is fetched, and says what is true of it.
async fn examine(key: FileKey, path: PathBuf, now: Timestamp) -> Result<FileRecord, String> {
    let work = move || {
        let mut file = File::open(&path).map_err(|error| error.to_string())?;
        let (size, sha256) = hash(&mut file).map_err(|error| error.to_string())?;
        // An imported file may not have reached the disk yet, and a record says that it has.
        file.sync_data().map_err(|error| error.to_string())?;
        let small = || std::fs::read(&path).map_err(|error| error.to_string());
        let h1 = match key.kind {
            Kind::Info => {
                check::info(&key.version, &small()?)?;
                None
            }
            Kind::Mod => {
                let body = small()?;
                check::go_mod(&key.module, &body)?;
                Some(hash_go_mod(&body))
            }
            Kind::Zip => {
                let source = file
                    .try_clone()
                    .and_then(zip::FileAt::new)
                    .map_err(|error| error.to_string())?;
                let checked = zip::check_zip(&source, &key.module, &key.version)
                    .map_err(|error| error.to_string())?;
                let h1 = checked.h1;
                match std::fs::read_to_string(path.with_extension("ziphash")) {
                    Ok(kept) if kept.trim() != h1.to_string() => {
                        return Err(format!("its h1 is {h1}, kept is {}", kept.trim()));
                    }
                    _ => {}
                }
                Some(h1)
            }
        };
        let from = "files".to_owned();
        Ok(FileRecord {
            size,
            sha256,
            h1,
            from,
            seen: now,
            verified: Verified::None,
            by: None,
        })
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())?
}

fn hash(file: &mut File) -> io::Result<(u64, Sha256)> {
    let mut sha = sha2::Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        sha.update(&buffer[..count]);
        size += count as u64;
    }
    Ok((size, sha.into()))
}

async fn drop_gone(store: &Store, modules: &Path, summary: &mut Summary) -> Result<(), StoreError> {
    let query = Query::All(FactKind::File);
    let mut pages = Pages::new(store.catalog(), query, PAGE);
    while let Some(page) = pages.next().await? {
        for fact in page.facts {
            let key = fact.key();
            let FactKey::File(file) = &key else { continue };
            if modules.join(file.to_string()).exists() {
                continue;
            }
            let remove = vec![Change::Remove(key)];
            let removed = store.change_if(vec![Expect::Is(fact)], remove).await?;
            summary.gone += u64::from(removed);
        }
    }
    Ok(())
}

/// Reads every file that the index knows and compares it with what was recorded. With `repair`, what is not in order
/// is removed, so that it is fetched again.
pub async fn verify(
    store: &Store,
    modules: &Path,
    repair: bool,
    clock: &SharedClock,
    progress: impl Fn(&Progress) -> bool,
) -> Result<Summary, StoreError> {
    let mut summary = Summary::default();
    let mut seen = Progress::default();
    let query = Query::All(FactKind::File);
    let mut pages = Pages::new(store.catalog(), query, PAGE);
    while let Some(page) = pages.next().await? {
        for name in page.damaged {
            let why = "what is recorded of it is damaged".to_owned();
            summary.bad.push((name, why));
        }
        for fact in page.facts {
            let Fact::File(key, recorded) = fact else {
                continue;
            };
            let fault = compare(store, modules, &key, &recorded, clock).await;
            seen.files += 1;
            seen.current = key.to_string();
            match fault {
                Ok(size) => {
                    seen.bytes += size;
                    summary.good += 1;
                }
                Err(why) => {
                    summary.bad.push((key.to_string(), why));
                    if repair {
                        store.revoke(&key).await?;
                    }
                }
            }
            if !progress(&seen) {
                summary.ended_early = true;
                return Ok(summary);
            }
        }
    }
    Ok(summary)
}

/// Reads a kept file, checks it by the rules that hold when it is fetched, and compares it with what was recorded.
pub async fn check_file(
    modules: &Path,
    key: &FileKey,
    recorded: &FileRecord,
    now: Timestamp,
) -> Result<u64, String> {
    let place = modules.join(key.to_string());
    if !place.is_file() {
        return Err("the file is gone".to_owned());
    }
    let found = examine(key.clone(), place, now).await?;
    if found.sha256 != recorded.sha256 {
        return Err("its content is not what was recorded".to_owned());
    }
    if found.h1 != recorded.h1 {
        return Err("its h1 is not what was recorded".to_owned());
    }
    Ok(found.size)
}

async fn compare(
    store: &Store,
    modules: &Path,
    key: &FileKey,
    recorded: &FileRecord,
    clock: &SharedClock,
) -> Result<u64, String> {
    let kept = store.file(key).await.map_err(|error| error.to_string())?;
    if kept.is_none() {
        return Err("the file is gone or of another size than recorded".to_owned());
    }
    check_file(modules, key, recorded, clock.now()).await
}
