//! The index in sled 0.34, with the four traps of that version handled here and nowhere else:
//!
//! * a damaged database makes `open` panic: caught, the folder is set aside and a fresh one opened (the caller then
//!   rebuilds it from the files);
//! * after "no space left" every later write fails until it is reopened: reopened by the writer thread;
//! * writes are cheap in batches only: one writer thread gathers what is waiting into one batch and one flush;
//! * a flush survives the end of the process at once, a power cut after up to 500 ms: enough, because a file is
//!   on disk before its record is written, and a record that is lost means that the file is fetched again.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use super::index::{Change, Index, IndexError};
use super::layout;
use super::totals::{COUNTED, Count, Step, Totals};

/// Commits waiting for the writer at the most; further ones wait for room.
const QUEUE: usize = 1024;
/// Changes in one batch at the most.
const BATCH: usize = 4096;
/// Entries counted at once, while commits wait.
const COUNTED_AT_ONCE: usize = 500;
/// Tries to reopen at once, and the pause between them.
const REOPEN_TRIES: u32 = 20;
const REOPEN_PAUSE: Duration = Duration::from_millis(25);
/// Looks for an open database before a read gives up.
const WAIT_TRIES: u32 = 80;
/// Pause before it is tried again.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// An index in a folder.
pub struct SledIndex {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Job>,
}

struct Shared {
    path: PathBuf,
    cache: u64,
    /// `None` while it is being reopened, and after the end. Guards no await and no slow call.
    db: RwLock<Option<sled::Db>>,
    healthy: AtomicBool,
    /// The writer changes it, after each batch; others read it. Guards no await and no slow call.
    count: RwLock<Count>,
}

enum Job {
    Commit(Vec<Change>, oneshot::Sender<Result<(), IndexError>>),
    Swap(Swap, oneshot::Sender<Result<bool, IndexError>>),
    Count(bool, oneshot::Sender<Result<bool, IndexError>>),
    Close(oneshot::Sender<()>),
}

struct Swap {
    key: String,
    expected: Option<Vec<u8>>,
    value: Vec<u8>,
}

/// Why a database does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is damaged; opening another one in its place and rebuilding helps.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The folder cannot be used.
    #[error("{0}")]
    Io(String),
}

/// Opens a database; a panic inside sled, which is its way to say "damaged", becomes an error.
pub fn open_db(path: &Path, cache: u64) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new().path(path).cache_capacity(cache);
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
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

impl SledIndex {
    /// Takes over an open, migrated database. `path` and `cache` (bytes) are for reopening it.
    pub fn new(db: sled::Db, path: PathBuf, cache: u64) -> std::io::Result<Self> {
        let count = known_count(&db).map_err(std::io::Error::other)?;
        let shared = Arc::new(Shared {
            path,
            cache,
            db: RwLock::new(Some(db)),
            healthy: AtomicBool::new(true),
            count: RwLock::new(count),
        });
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("larder-index".into())
            .spawn(move || write(&writer, jobs))?;
        Ok(SledIndex { shared, queue })
    }
}

/// What is known of the totals when a database is opened: what it says, nothing at all if it is empty, or that they must
/// be counted.
fn known_count(db: &sled::Db) -> Result<Count, sled::Error> {
    if let Some(bytes) = db.get(layout::TOTALS)? {
        match Totals::decode(&bytes) {
            Ok(totals) => return Ok(Count::Done(totals)),
            Err(error) => tracing::warn!(%error, "what is kept must be counted anew"),
        }
    }
    for prefix in COUNTED {
        if db.scan_prefix(prefix).next().transpose()?.is_some() {
            return Ok(Count::begin());
        }
    }
    Ok(Count::Done(Totals::default()))
}

/// The writer thread: takes what is waiting, writes it in one batch, flushes, answers all.
fn write(shared: &Shared, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        let mut waiting = Vec::new();
        let mut changes = Vec::new();
        let (mut closing, mut swapping, mut counting) = (None, None, None);
        let mut next = Some(job);
        while let Some(job) = next {
            match job {
                Job::Commit(list, answer) => {
                    changes.extend(list);
                    waiting.push(answer);
                }
                // After what came before it, and before what comes after.
                Job::Swap(swap, answer) => {
                    swapping = Some((swap, answer));
                    break;
                }
                Job::Count(anew, answer) => {
                    counting = Some((anew, answer));
                    break;
                }
                Job::Close(answer) => {
                    closing = Some(answer);
                    break;
                }
            }
            next = if changes.len() < BATCH {
                jobs.try_recv().ok()
            } else {
                None
            };
        }
        let mut result = shared.apply(changes);
        if let Err(error) = &result {
            tracing::error!(%error, "writing to the index failed; reopening it");
        }
        for answer in waiting {
            // A caller that has gone away does not need the answer; so below.
            let _ = answer.send(result.clone());
        }
        if let Some((swap, answer)) = swapping {
            let swapped = result.clone().and_then(|()| shared.swap(swap));
            result = swapped.clone().map(drop);
            let _ = answer.send(swapped);
        }
        if let Some((anew, answer)) = counting {
            let counted = result.clone().and_then(|()| shared.count_on(anew));
            result = counted.clone().map(drop);
            let _ = answer.send(counted);
        }
        if result.is_err() && closing.is_none() {
            closing = reopen_in_time(shared, &mut jobs);
        }
        if let Some(answer) = closing {
            shared.end();
            let _ = answer.send(());
            return;
        }
    }
    shared.end();
}

/// Reopens the database, however long it takes; what is to be written meanwhile is refused. Gives who wants it closed.
fn reopen_in_time(shared: &Shared, jobs: &mut mpsc::Receiver<Job>) -> Option<oneshot::Sender<()>> {
    while !shared.reopen() {
        while let Ok(job) = jobs.try_recv() {
            match job {
                Job::Commit(_, answer) => drop(answer.send(Err(IndexError::Unavailable))),
                Job::Swap(_, answer) | Job::Count(_, answer) => {
                    drop(answer.send(Err(IndexError::Unavailable)))
                }
                Job::Close(answer) => return Some(answer),
            }
        }
    }
    None
}

impl Shared {
    /// Does something with the database that writes; a panic inside sled becomes an error.
    fn with_db<T>(
        &self,
        work: impl FnOnce(&sled::Db) -> Result<T, sled::Error>,
    ) -> Result<T, IndexError> {
        let guard = self.db.read();
        let db = guard.as_ref().ok_or(IndexError::Unavailable)?;
        match catch_unwind(AssertUnwindSafe(|| work(db))) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(IndexError::Failed(error.to_string())),
            Err(_) => Err(IndexError::Failed("sled panicked".into())),
        }
    }

    /// Writes changes and the totals after them as one batch, and flushes.
    fn apply(&self, changes: Vec<Change>) -> Result<(), IndexError> {
        self.with_db(|db| {
            self.write(db, changes)?;
            db.flush().map(drop)
        })
    }

    /// The writer alone gets here, so what it reads stays true until it writes.
    fn write(&self, db: &sled::Db, changes: Vec<Change>) -> Result<(), sled::Error> {
        let before = self.count.read().clone();
        let old = |key: &str| Ok::<_, sled::Error>(db.get(key)?.map(|value| value.to_vec()));
        let mut step = Step::new(before.clone(), old);
        for change in &changes {
            match change {
                Change::Put(key, value) => step.change(key, Some(value))?,
                Change::Remove(key) => step.change(key, None)?,
            }
        }
        let after = step.end();
        let mut batch = sled::Batch::default();
        for change in changes {
            match change {
                Change::Put(key, value) => batch.insert(key.as_bytes(), value),
                Change::Remove(key) => batch.remove(key.as_bytes()),
            }
        }
        if let Some(totals) = after.done().filter(|_| after != before) {
            batch.insert(layout::TOTALS, totals.encode());
        }
        db.apply_batch(batch)?;
        *self.count.write() = after;
        Ok(())
    }

    /// Counts a page, or notes the totals when there is nothing left to count.
    fn count_on(&self, anew: bool) -> Result<bool, IndexError> {
        self.with_db(|db| {
            if anew {
                // First of all: half a count must not be taken for a whole one after a crash.
                db.remove(layout::TOTALS)?;
                *self.count.write() = Count::begin();
            }
            let before = self.count.read().clone();
            let Some((prefix, after)) = before.next() else {
                return Ok(true);
            };
            let page = page(db, prefix, Some(after), COUNTED_AT_ONCE)?;
            let count = before.clone().page(prefix, &page);
            if let Some(totals) = count.done() {
                db.insert(layout::TOTALS, totals.encode())?;
                db.flush()?;
            }
            let done = count.done().is_some();
            *self.count.write() = count;
            Ok(done)
        })
    }

    fn swap(&self, swap: Swap) -> Result<bool, IndexError> {
        self.with_db(|db| {
            let same = db.get(&swap.key)?.as_deref() == swap.expected.as_deref();
            if same {
                self.write(db, vec![Change::Put(swap.key, swap.value)])?;
            }
            db.flush()?;
            Ok(same)
        })
    }

    /// Whether it is open again; if not, after a pause.
    fn reopen(&self) -> bool {
        self.healthy.store(false, Ordering::Relaxed);
        // All handles must be gone before the folder's lock is free again; sled's own thread lets go a moment later.
        drop(self.db.write().take());
        let mut opened = open_db(&self.path, self.cache);
        for _ in 0..REOPEN_TRIES {
            if opened.is_ok() {
                break;
            }
            std::thread::sleep(REOPEN_PAUSE);
            opened = open_db(&self.path, self.cache);
        }
        match opened {
            Ok(db) => {
                // What was being written may be in it or not.
                *self.count.write() = known_count(&db).unwrap_or_else(|_| Count::begin());
                *self.db.write() = Some(db);
                self.healthy.store(true, Ordering::Relaxed);
                tracing::info!("the index is open again");
                true
            }
            Err(error) => {
                tracing::error!(%error, "the index does not open again; trying on");
                std::thread::sleep(REOPEN_EVERY);
                false
            }
        }
    }

    /// The database, if it is open.
    fn read(&self, key: &str) -> Option<Result<Option<Vec<u8>>, IndexError>> {
        let guard = self.db.read();
        let value = guard.as_ref()?.get(key);
        Some(match value {
            Ok(value) => Ok(value.map(|value| value.to_vec())),
            Err(error) => Err(IndexError::Failed(error.to_string())),
        })
    }

    fn end(&self) {
        if let Some(db) = self.db.write().take()
            && let Err(error) = db.flush()
        {
            tracing::error!(%error, "the last flush of the index failed");
        }
    }
}

fn page(
    db: &sled::Db,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Vec<u8>)>, sled::Error> {
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded(after.as_bytes()),
        _ => Bound::Included(prefix.as_bytes()),
    };
    db.range::<&[u8], _>((from, Bound::Unbounded))
        .take_while(|entry| {
            entry
                .as_ref()
                .map_or(true, |(key, _)| key.starts_with(prefix.as_bytes()))
        })
        .take(limit)
        .map(|entry| {
            let (key, value) = entry?;
            Ok((String::from_utf8_lossy(&key).into_owned(), value.to_vec()))
        })
        .collect()
}

#[async_trait]
impl Index for SledIndex {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, IndexError> {
        for _ in 0..WAIT_TRIES {
            if let Some(value) = self.shared.read(key) {
                return value;
            }
            if self.queue.is_closed() {
                break;
            }
            // It is being reopened: a moment's wait is better than an error.
            tokio::time::sleep(REOPEN_PAUSE).await;
        }
        Err(IndexError::Unavailable)
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), IndexError> {
        let (answer, result) = oneshot::channel();
        self.queue
            .send(Job::Commit(changes, answer))
            .await
            .map_err(|_| IndexError::Unavailable)?;
        result.await.map_err(|_| IndexError::Unavailable)?
    }

    async fn swap(
        &self,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, IndexError> {
        let (answer, result) = oneshot::channel();
        let swap = Swap {
            key: key.to_owned(),
            expected,
            value,
        };
        self.queue
            .send(Job::Swap(swap, answer))
            .await
            .map_err(|_| IndexError::Unavailable)?;
        result.await.map_err(|_| IndexError::Unavailable)?
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, IndexError> {
        let shared = Arc::clone(&self.shared);
        let prefix = prefix.to_owned();
        let after = after.map(str::to_owned);
        let scan = tokio::task::spawn_blocking(move || {
            let guard = shared.db.read();
            let db = guard.as_ref().ok_or(IndexError::Unavailable)?;
            page(db, &prefix, after.as_deref(), limit)
                .map_err(|error| IndexError::Failed(error.to_string()))
        });
        scan.await
            .map_err(|error| IndexError::Failed(error.to_string()))?
    }

    fn totals(&self) -> Option<Totals> {
        self.shared.count.read().done()
    }

    async fn count(&self, anew: bool) -> Result<bool, IndexError> {
        let (answer, result) = oneshot::channel();
        self.queue
            .send(Job::Count(anew, answer))
            .await
            .map_err(|_| IndexError::Unavailable)?;
        result.await.map_err(|_| IndexError::Unavailable)?
    }

    fn healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed)
    }

    async fn close(&self) {
        let (answer, done) = oneshot::channel();
        if self.queue.send(Job::Close(answer)).await.is_ok() {
            // An error means that the thread has ended, which is what was wanted.
            let _ = done.await;
        }
    }
}
