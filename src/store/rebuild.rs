//! Making the index anew from the files, and checking the files against it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::index::Change;
use super::layout::{self, Beside};
use super::migrate::COMPLETE;
use super::record::{FileRecord, ListFile, MetaRecord, UnsettledRecord, Verified};
use super::{Content, SMALL, Store, StoreError, hex};
use crate::clock::{SharedClock, Timestamp};
use crate::gomod::dirhash::hash_go_mod;
use crate::gomod::{ModulePath, check, list, zip};
use crate::protocol::{FileKey, Kind, Meta, MetaKey};

/// Prefix of the records of files in the index.
pub const FILES: &str = layout::FILE;

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
    let mut changes = Vec::new();
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
            let Some(key) = layout::parse_file(relative).filter(|_| !misplaced) else {
                let beside = match misplaced {
                    true => Beside::Unknown,
                    false => layout::parse_beside(relative),
                };
                match beside {
                    Beside::Known => {}
                    Beside::List(module) => match take_list(store, module, &path, clock).await? {
                        Ok(taken) => summary.lists += u64::from(taken),
                        Err(why) => summary.bad.push((relative.display().to_string(), why)),
                    },
                    Beside::Unknown => {
                        summary.unknown += 1;
                        if summary.unknown_such_as.len() < TOLD {
                            let name = relative.display().to_string();
                            summary.unknown_such_as.push(name);
                        }
                    }
                }
                continue;
            };
            seen.files += 1;
            seen.current = key.to_string();
            match examine(key.clone(), path, clock.now()).await {
                Ok(mut record) => {
                    seen.bytes += record.size;
                    summary.good += 1;
                    if let Some(known) = store
                        .record(&key)
                        .await?
                        .filter(|known| known.sha256 == record.sha256)
                    {
                        record = known;
                    }
                    let put = Change::Put(layout::file_key(&key), record.encode());
                    // Nobody has vouched for what is new here.
                    let vouch = (record.verified == Verified::None && key.kind != Kind::Info)
                        .then(|| unsettled(&key, record.seen));
                    changes.push((key.clone(), put));
                    changes.extend(vouch.map(|change| (key, change)));
                }
                Err(why) => {
                    summary.bad.push((key.to_string(), why));
                    let remove = Change::Remove(layout::file_key(&key));
                    changes.push((key, remove));
                }
            }
            if changes.len() >= BATCH {
                commit_older(store, std::mem::take(&mut changes), started).await?;
            }
            if !progress(&seen) {
                summary.ended_early = true;
                commit_older(store, changes, started).await?;
                return Ok(summary);
            }
        }
    }
    commit_older(store, changes, started).await?;
    drop_gone(store, modules, &mut summary).await?;
    let complete = Change::Put(COMPLETE.to_owned(), vec![1]);
    store.index().commit(vec![complete]).await?;
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
            let sha256 = hex(&Sha256::digest(&body));
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
    let key = layout::meta_key(&MetaKey {
        module,
        meta: Meta::List,
    });
    Ok(Ok(store.index().swap(&key, None, record.encode()).await?))
}

fn unsettled(key: &FileKey, since: Timestamp) -> Change {
    let record = UnsettledRecord::since(since);
    Change::Put(layout::unsettled_key(key), record.encode())
}

/// Commits what was found, but for files that have been fetched anew since it began: what is recorded of those is right.
async fn commit_older(
    store: &Store,
    found: Vec<(FileKey, Change)>,
    started: Timestamp,
) -> Result<(), StoreError> {
    let mut changes = Vec::with_capacity(found.len());
    for (key, change) in found {
        let known = store.record(&key).await?;
        if known.is_none_or(|known| known.seen < started) {
            changes.push(change);
        }
    }
    Ok(store.index().commit(changes).await?)
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
                Some(hash_go_mod(&body).to_string())
            }
            Kind::Zip => {
                let source = file
                    .try_clone()
                    .and_then(zip::FileAt::new)
                    .map_err(|error| error.to_string())?;
                let checked = zip::check_zip(&source, &key.module, &key.version)
                    .map_err(|error| error.to_string())?;
                let h1 = checked.h1.to_string();
                match std::fs::read_to_string(path.with_extension("ziphash")) {
                    Ok(kept) if kept.trim() != h1 => {
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

fn hash(file: &mut File) -> io::Result<(u64, String)> {
    let mut sha = Sha256::new();
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
    let hex = sha
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok((size, hex))
}

async fn drop_gone(store: &Store, modules: &Path, summary: &mut Summary) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let page = store.index().scan(FILES, after.as_deref(), PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        let gone = |name: &String| {
            name.strip_prefix(FILES)
                .is_none_or(|path| !modules.join(path).exists())
        };
        let changes: Vec<_> = page
            .iter()
            .map(|(name, _)| name)
            .filter(|name| gone(name))
            .cloned()
            .map(Change::Remove)
            .collect();
        summary.gone += changes.len() as u64;
        store.index().commit(changes).await?;
    }
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
    let mut after: Option<String> = None;
    loop {
        let page = store.index().scan(FILES, after.as_deref(), PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(summary);
        };
        after = Some(last.clone());
        for (name, value) in &page {
            let path = name.strip_prefix(FILES).unwrap_or(name);
            let fault = compare(store, modules, path, value, clock).await;
            seen.files += 1;
            seen.current = path.to_owned();
            match fault {
                Ok(size) => {
                    seen.bytes += size;
                    summary.good += 1;
                }
                Err(why) => {
                    summary.bad.push((path.to_owned(), why));
                    if repair {
                        remove(store, name, path).await?;
                    }
                }
            }
            if !progress(&seen) {
                summary.ended_early = true;
                return Ok(summary);
            }
        }
    }
}

/// Reads a kept file, checks it by the rules that hold when it is fetched, and compares it with what was recorded.
pub async fn check_file(
    modules: &Path,
    key: &FileKey,
    recorded: &FileRecord,
    now: Timestamp,
) -> Result<u64, String> {
    let place = layout::file_path(modules, key);
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
    path: &str,
    value: &[u8],
    clock: &SharedClock,
) -> Result<u64, String> {
    let recorded =
        FileRecord::decode(value).map_err(|error| format!("its record is damaged: {error}"))?;
    let key = layout::parse_file(Path::new(path)).ok_or("its name is not one of a file")?;
    let kept = store.file(&key).await.map_err(|error| error.to_string())?;
    match kept.map(|kept| kept.content) {
        Some(Content::Bytes(_) | Content::File(_)) => {}
        None => return Err("the file is gone or of another size than recorded".to_owned()),
    }
    check_file(modules, &key, &recorded, clock.now()).await
}

async fn remove(store: &Store, name: &str, path: &str) -> Result<(), StoreError> {
    store
        .index()
        .commit(vec![Change::Remove(name.to_owned())])
        .await?;
    if let Some(key) = layout::parse_file(Path::new(path)) {
        Arc::clone(store.blobs()).remove(&key).await?;
    }
    Ok(())
}
