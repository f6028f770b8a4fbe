//! The index in sled 0.34, with the four traps of that version handled here and nowhere else:
//!
//! * a damaged database makes `open` panic: caught, the folder is set aside and a fresh one opened (the caller then
//!   rebuilds it from the files);
//! * after "no space left" every later write fails until it is reopened: reopened by the writer thread, from a copy in
//!   memory if the disk has no room for that (`base.rs`), and not written at all while the disk is all but full;
//! * writes are cheap in batches only: one writer thread gathers what is waiting into one batch and one flush;
//! * a flush survives the end of the process at once, a power cut after up to 500 ms: enough, because a file is
//!   on disk before its record is written, and a record that is lost means that the file is fetched again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use super::base::{Base, FLOOR, OpenError, Opener};
use super::index::{Change, Index, IndexError};
use super::totals::{COUNTED, Count, Step, Totals};
use super::{layout, migrate};

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
/// Free room with which going back to the disk is tried. Bytes.
const RETURN: u64 = 4 << 20;
/// That costs something, and so not each look does it.
const RETURN_EVERY: u32 = 5;
/// Pause before it is tried again.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// An index in a folder.
pub struct SledIndex {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Job>,
    looks: AtomicU32,
}

struct Shared {
    opener: Opener,
    /// `None` while it is being reopened, and after the end. Guards no await and no slow call.
    db: RwLock<Option<Base>>,
    healthy: AtomicBool,
    /// The writer changes it, after each batch; others read it. Guards no await and no slow call.
    count: RwLock<Count>,
}

enum Job {
    Commit(Vec<Change>, oneshot::Sender<Result<(), IndexError>>),
    Swap(Swap, oneshot::Sender<Result<bool, IndexError>>),
    Count(bool, oneshot::Sender<Result<bool, IndexError>>),
    /// Back to the disk, if it is in memory and there is room.
    Return,
    Close(oneshot::Sender<()>),
}

struct Swap {
    key: String,
    expected: Option<Vec<u8>>,
    value: Vec<u8>,
}

impl SledIndex {
    /// Takes over an open, migrated database; `opener` is for reopening it.
    pub fn new(base: Base, opener: Opener) -> std::io::Result<Self> {
        let count = known_count(&base).map_err(std::io::Error::other)?;
        opener.disk.set_unrecorded(base.is_held());
        let shared = Arc::new(Shared {
            opener,
            db: RwLock::new(Some(base)),
            healthy: AtomicBool::new(true),
            count: RwLock::new(count),
        });
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("larder-index".into())
            .spawn(move || write(&writer, jobs))?;
        Ok(SledIndex {
            shared,
            queue,
            looks: AtomicU32::new(0),
        })
    }

    /// Makes spare room, and goes back to the disk from memory, once there is room. To be called now and then.
    pub fn tend(&self) {
        let (opener, disk) = (&self.shared.opener, &self.shared.opener.disk);
        if !self.in_memory() {
            opener.spare.tend(disk);
        } else if disk.free_now() >= RETURN
            && self
                .looks
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(RETURN_EVERY)
        {
            // If the queue is full, the next time will do.
            let _ = self.queue.try_send(Job::Return);
        }
    }
}

/// What is known of the totals when a database is opened: what it says, nothing at all if it is empty, or that they must
/// be counted.
fn known_count(base: &Base) -> Result<Count, sled::Error> {
    if let Some(bytes) = base.get(layout::TOTALS)? {
        match Totals::decode(&bytes) {
            Ok(totals) => return Ok(Count::Done(totals)),
            Err(error) => tracing::warn!(%error, "what is kept must be counted anew"),
        }
    }
    for prefix in COUNTED {
        if !base.page(prefix, None, 1)?.is_empty() {
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
        let mut returning = false;
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
                Job::Return => {
                    returning = true;
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
        if returning {
            shared.go_back();
        }
        if let Err(error @ IndexError::Failed(_)) = &result
            && closing.is_none()
        {
            tracing::error!(%error, "writing to the index failed; reopening it");
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
                Job::Return => {}
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
        work: impl FnOnce(&Base) -> Result<T, sled::Error>,
    ) -> Result<T, IndexError> {
        let guard = self.db.read();
        let base = guard.as_ref().ok_or(IndexError::Unavailable)?;
        match catch_unwind(AssertUnwindSafe(|| work(base))) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(IndexError::Failed(error.to_string())),
            Err(_) => Err(IndexError::Failed("sled panicked".into())),
        }
    }

    /// Whether changes may be written now.
    fn may_write(&self, changes: &[Change]) -> Result<(), IndexError> {
        let touches_tokens = |change: &Change| {
            let (Change::Put(key, _) | Change::Remove(key)) = change;
            key.starts_with(layout::TOKEN)
        };
        if self.is_held() {
            // To say that a token was made or revoked, and to forget it with the process, would be worse than an error.
            return match changes.iter().any(touches_tokens) {
                true => Err(IndexError::NoRoom),
                false => Ok(()),
            };
        }
        let disk = &self.opener.disk;
        if changes.is_empty() || disk.free() >= FLOOR || disk.free_now() >= FLOOR {
            return Ok(());
        }
        // What takes something back is worth the spare room.
        let takes_back = |change: &Change| matches!(change, Change::Remove(_));
        let given = changes.iter().any(takes_back) && self.opener.spare.give_back(disk);
        match given && disk.free_now() >= FLOOR {
            true => Ok(()),
            false => Err(IndexError::NoRoom),
        }
    }

    fn is_held(&self) -> bool {
        self.db.read().as_ref().is_some_and(Base::is_held)
    }

    /// Writes changes and the totals after them as one batch, and flushes.
    fn apply(&self, changes: Vec<Change>) -> Result<(), IndexError> {
        self.may_write(&changes)?;
        self.with_db(|base| {
            self.write(base, changes)?;
            base.flush()
        })
    }

    /// The writer alone gets here, so what it reads stays true until it writes.
    fn write(&self, base: &Base, mut changes: Vec<Change>) -> Result<(), sled::Error> {
        let before = self.count.read().clone();
        let mut step = Step::new(before.clone(), |key: &str| base.get(key));
        for change in &changes {
            match change {
                Change::Put(key, value) => step.change(key, Some(value))?,
                Change::Remove(key) => step.change(key, None)?,
            }
        }
        let after = step.end();
        if let Some(totals) = after.done().filter(|_| after != before) {
            changes.push(Change::Put(layout::TOTALS.to_owned(), totals.encode()));
        }
        base.apply(changes)?;
        *self.count.write() = after;
        Ok(())
    }

    /// Counts a page, or notes the totals when there is nothing left to count.
    fn count_on(&self, anew: bool) -> Result<bool, IndexError> {
        self.with_db(|base| {
            let totals_key = || layout::TOTALS.to_owned();
            let may_write = base.is_held() || self.opener.disk.free() >= FLOOR;
            if anew && may_write {
                // First of all: half a count must not be taken for a whole one after a crash.
                base.apply(vec![Change::Remove(totals_key())])?;
            }
            if anew {
                *self.count.write() = Count::begin();
            }
            let before = self.count.read().clone();
            let Some((prefix, after)) = before.next() else {
                return Ok(true);
            };
            let page = base.page(prefix, Some(after), COUNTED_AT_ONCE)?;
            let count = before.clone().page(prefix, &page);
            if let Some(totals) = count.done().filter(|_| may_write) {
                base.apply(vec![Change::Put(totals_key(), totals.encode())])?;
                base.flush()?;
            }
            let done = count.done().is_some();
            *self.count.write() = count;
            Ok(done)
        })
    }

    fn swap(&self, swap: Swap) -> Result<bool, IndexError> {
        let change = Change::Put(swap.key, swap.value);
        self.may_write(std::slice::from_ref(&change))?;
        let Change::Put(key, _) = &change else {
            return Ok(false);
        };
        self.with_db(|base| {
            let same = base.get(key)?.as_deref() == swap.expected.as_deref();
            if same {
                self.write(base, vec![change.clone()])?;
            }
            base.flush()?;
            Ok(same)
        })
    }

    /// Whether it is open again; if not, after a pause.
    fn reopen(&self) -> bool {
        self.healthy.store(false, Ordering::Relaxed);
        // All handles must be gone before the folder's lock is free again; sled's own thread lets go a moment later.
        drop(self.db.write().take());
        let mut opened = self.opener.open();
        for _ in 0..REOPEN_TRIES {
            if matches!(opened, Ok(_) | Err(OpenError::NoRoom(_))) {
                break;
            }
            std::thread::sleep(REOPEN_PAUSE);
            opened = self.opener.open();
        }
        match opened {
            Ok(db) => {
                self.take(Base::Sled(db));
                tracing::info!("the index is open again");
                true
            }
            Err(OpenError::NoRoom(why)) if let Some(held) = self.opener.read_copy() => {
                self.take(Base::Held(held));
                tell_held(&why, true);
                true
            }
            Err(error) => {
                tracing::error!(%error, "the index does not open again; trying on");
                std::thread::sleep(REOPEN_EVERY);
                false
            }
        }
    }

    fn take(&self, base: Base) {
        // What was being written may be in it or not.
        *self.count.write() = known_count(&base).unwrap_or_else(|_| Count::begin());
        self.opener.disk.set_unrecorded(base.is_held());
        *self.db.write() = Some(base);
        self.healthy.store(true, Ordering::Relaxed);
    }

    /// From memory back to the disk, with what has changed meanwhile.
    fn go_back(&self) {
        let changes = match &*self.db.read() {
            Some(Base::Held(held)) if held.is_whole() => held.changes(),
            _ => return,
        };
        let opened = match self.opener.open() {
            Ok(db) => migrate::apply_index(&db)
                .map(|()| db)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let db = match opened {
            Ok(db) => db,
            Err(error) => return tracing::debug!(%error, "the index does not open yet"),
        };
        let held = self.db.write().replace(Base::Sled(db));
        let count = std::mem::replace(&mut *self.count.write(), Count::begin());
        let known = self.with_db(known_count);
        *self.count.write() = known.unwrap_or_else(|_| Count::begin());
        if let Err(error) = self.apply(changes) {
            tracing::warn!(%error, "the index stays in memory: what has changed could not be written");
            *self.count.write() = count;
            *self.db.write() = held;
            return;
        }
        self.opener.disk.set_unrecorded(false);
        tracing::info!("the index is on the disk again; misses are kept");
    }

    /// The database, if it is open.
    fn read(&self, key: &str) -> Option<Result<Option<Vec<u8>>, IndexError>> {
        let guard = self.db.read();
        let value = guard.as_ref()?.get(key);
        Some(value.map_err(|error| IndexError::Failed(error.to_string())))
    }

    fn end(&self) {
        if let Some(base) = self.db.write().take()
            && let Err(error) = base.flush()
        {
            tracing::error!(%error, "the last flush of the index failed");
        }
    }
}

/// Says that the index is in memory, and what that means.
pub fn tell_held(why: &str, whole: bool) {
    match whole {
        true => tracing::error!(
            why,
            "the index does not open for lack of room, so it is in memory: hits are served, nothing is kept until there is room"
        ),
        false => tracing::error!(
            why,
            "the index does not open for lack of room, and is made anew from the files in memory: hits are served, nothing is kept; tokens, lists and first-seen checksums are missing until larder is started again with room on the disk"
        ),
    }
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
            let base = guard.as_ref().ok_or(IndexError::Unavailable)?;
            base.page(&prefix, after.as_deref(), limit)
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

    fn in_memory(&self) -> bool {
        self.shared.is_held()
    }

    async fn close(&self) {
        let (answer, done) = oneshot::channel();
        if self.queue.send(Job::Close(answer)).await.is_ok() {
            // An error means that the thread has ended, which is what was wanted.
            let _ = done.await;
        }
    }
}
