//! The catalog in sled 0.34, with the five traps of that version handled here and nowhere else:
//!
//! * a damaged database makes `open` panic: caught, the folder is set aside and a fresh one opened (the caller then
//!   rebuilds it from the files);
//! * after "no space left" every later write fails until it is reopened: reopened by the writer thread, from a copy in
//!   memory if the disk has no room for that (`base.rs`), and not written at all while the disk is all but full;
//! * it takes three times the room of what is in it, and never gives any back: it holds what has changed lately only, the
//!   rest lies in a file of our own (`layers`);
//! * writes are cheap in batches only: one writer thread gathers the transactions that are waiting into one batch and one
//!   flush;
//! * a flush survives the end of the process at once, a power cut after up to 500 ms: enough, because a file is
//!   on disk before its fact is written, and a fact that is lost means that the file is fetched again.

pub mod base;
pub mod complete;
pub(in crate::store) mod layers;
pub mod migrate;
pub(in crate::store) mod rows;
mod settled;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot, watch};

use self::base::{Base, FLOOR, OpenError, Opener, RowChange};
pub use self::layers::is_of_index;
use self::rows::{Batch, decoded_or_unknown};
use super::claims::Claims;
use super::feed::Feed;
use super::{
    Applied, Catalog, CatalogError, Change, Changes, Claim, ClaimKey, Claimed, Cursor, Expect,
    Health, Page, Query, Sequence, Totals,
};
use crate::clock::SharedClock;
use crate::store::codec;
use crate::store::model::{Fact, FactKey, FactKind};

/// Transactions waiting for the writer at the most; further ones wait for room.
const QUEUE: usize = 1024;
/// Changes in one batch at the most, but for those of its last transaction.
const BATCH: usize = 4096;
/// Rows read at once when the totals are to be counted.
const COUNTED_AT_ONCE: usize = 1000;
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
/// Name of the row that says how much is kept.
const TOTALS: &str = "totals";

/// A catalog in a folder.
pub struct SledCatalog {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Job>,
    looks: AtomicU32,
}

struct Shared {
    opener: Opener,
    /// `None` while it is being reopened, and after the end. Guards no await and no slow call.
    db: RwLock<Option<Base>>,
    healthy: AtomicBool,
    /// The writer changes it, after each batch.
    totals: watch::Sender<Totals>,
    claims: Claims,
    feed: Feed,
}

enum Job {
    Apply(Transaction),
    /// Back to the disk, if it is in memory and there is room.
    Return,
    Close(oneshot::Sender<()>),
}

struct Transaction {
    expect: Vec<Expect>,
    changes: Vec<Change>,
    answer: oneshot::Sender<Result<Applied, CatalogError>>,
}

impl SledCatalog {
    /// Takes over an open, migrated database; `opener` is for reopening it.
    pub fn new(base: Base, opener: Opener, clock: &SharedClock) -> std::io::Result<Self> {
        let totals = known_totals(&base).map_err(std::io::Error::other)?;
        opener.disk.set_unrecorded(base.is_held());
        let shared = Arc::new(Shared {
            opener,
            db: RwLock::new(Some(base)),
            healthy: AtomicBool::new(true),
            totals: watch::Sender::new(totals),
            claims: Claims::new(Arc::clone(clock)),
            feed: Feed::new(clock),
        });
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("larder-index".into())
            .spawn(move || write(&writer, jobs))?;
        Ok(SledCatalog {
            shared,
            queue,
            looks: AtomicU32::new(0),
        })
    }

    /// Waits until the thread that writes is gone, be it that the catalog was closed.
    pub async fn writer_ended(&self) {
        self.queue.closed().await;
    }

    /// Makes spare room, and goes back to the disk from memory, once there is room. To be called now and then.
    pub fn tend(&self) {
        let (opener, disk) = (&self.shared.opener, &self.shared.opener.disk);
        if !self.shared.is_held() {
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

/// How much a database says is kept. It is counted only if that cannot be read.
fn known_totals(base: &Base) -> Result<Totals, sled::Error> {
    let row = base.get(TOTALS)?;
    if let Some(totals) = row.and_then(|row| decoded_or_unknown(TOTALS, codec::decode(&row))) {
        return Ok(totals);
    }
    let mut totals = Totals::default();
    for kind in [FactKind::File, FactKind::Pending] {
        let prefix = rows::prefix_of(&Query::All(kind));
        let mut after: Option<String> = None;
        loop {
            let rows = base.page(&prefix, after.as_deref(), COUNTED_AT_ONCE)?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            for (name, row) in &rows {
                if let Some(fact) = read(name, row) {
                    totals.add(&fact);
                }
            }
        }
    }
    Ok(totals)
}

/// Reads a row; nothing if its name is not that of a fact, or it is damaged.
fn read(name: &str, row: &[u8]) -> Option<Fact> {
    decoded_or_unknown(name, rows::read(FactKey::parse(name)?, row))
}

/// The writer thread: takes what is waiting, writes it in one batch, flushes, answers all.
fn write(shared: &Shared, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        let mut transactions = Vec::new();
        let mut changes = 0;
        let (mut closing, mut returning) = (None, false);
        let mut next = Some(job);
        while let Some(job) = next {
            match job {
                Job::Apply(transaction) => {
                    changes += transaction.changes.len();
                    transactions.push(transaction);
                }
                // After what came before it, and before what comes after.
                Job::Return => {
                    returning = true;
                    break;
                }
                Job::Close(answer) => {
                    closing = Some(answer);
                    break;
                }
            }
            next = if changes < BATCH {
                jobs.try_recv().ok()
            } else {
                None
            };
        }
        let written = shared.apply(&transactions);
        let error = written.as_ref().err().cloned();
        let outcomes = written.unwrap_or_default().into_iter().map(Some);
        for (transaction, outcome) in transactions
            .into_iter()
            .zip(outcomes.chain(std::iter::repeat(None)))
        {
            let outcome = match (outcome, &error) {
                (Some(outcome), _) => outcome,
                (None, Some(error)) => Err(error.clone()),
                (None, None) => Err(CatalogError::Unavailable),
            };
            // A caller that has gone away does not need the answer.
            let _ = transaction.answer.send(outcome);
        }
        if returning {
            shared.go_back();
        }
        if error.is_none() {
            shared.fold_if_due();
        }
        if let Some(error @ CatalogError::Failed(_)) = &error
            && closing.is_none()
        {
            tracing::error!(%error, "writing to the index failed; reopening it");
            closing = reopen_in_time(shared, &mut jobs);
        }
        if let Some(answer) = closing {
            shared.end();
            // As above.
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
                // As above.
                Job::Apply(it) => drop(it.answer.send(Err(CatalogError::Unavailable))),
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
    ) -> Result<T, CatalogError> {
        let guard = self.db.read();
        let base = guard.as_ref().ok_or(CatalogError::Unavailable)?;
        match catch_unwind(AssertUnwindSafe(|| work(base))) {
            Ok(done) => done.map_err(CatalogError::failed),
            Err(_) => Err(CatalogError::failed("sled panicked")),
        }
    }

    /// Whether changes may be written now.
    fn may_write(&self, changes: &[Change]) -> Result<(), CatalogError> {
        if self.is_held() {
            // To say that a token was made or revoked, and to forget it with the process, would be worse than an error.
            let touches_tokens = |change: &Change| change.key().kind() == FactKind::Token;
            return match changes.iter().any(touches_tokens) {
                true => Err(CatalogError::NoRoom),
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
            false => Err(CatalogError::NoRoom),
        }
    }

    fn fold_if_due(&self) {
        if let Some(base) = &*self.db.read() {
            base.fold_if_due(&self.opener.disk);
        }
    }

    fn is_held(&self) -> bool {
        self.db.read().as_ref().is_some_and(Base::is_held)
    }

    /// Writes transactions and the totals after them as one batch, and flushes. An error is that of all of them; the
    /// outcomes are those of each.
    ///
    /// The writer alone gets here, so what it reads stays true until it writes.
    fn apply(
        &self,
        transactions: &[Transaction],
    ) -> Result<Vec<Result<Applied, CatalogError>>, CatalogError> {
        if transactions.is_empty() {
            return Ok(Vec::new());
        }
        let may_write: Vec<_> = transactions
            .iter()
            .map(|transaction| self.may_write(&transaction.changes))
            .collect();
        let before = *self.totals.borrow();
        let (outcomes, totals, changed) = self.with_db(|base| {
            let mut batch = Batch::new(base, before);
            let mut outcomes = Vec::with_capacity(transactions.len());
            for (transaction, may_write) in transactions.iter().zip(may_write) {
                outcomes.push(match may_write {
                    Ok(()) => Ok(self.add(&mut batch, transaction)?),
                    Err(error) => Err(error),
                });
            }
            let (totals, changed) = (batch.totals, std::mem::take(&mut batch.changed));
            if !changed.is_empty() {
                write_rows(base, batch.into_rows(), before, totals)?;
            }
            Ok((outcomes, totals, changed))
        })?;
        if totals != before {
            self.totals.send_replace(totals);
        }
        self.feed.push(changed);
        Ok(outcomes)
    }

    fn add(
        &self,
        batch: &mut Batch<'_>,
        transaction: &Transaction,
    ) -> Result<Applied, sled::Error> {
        for expect in &transaction.expect {
            if !batch.holds(expect, &self.claims)? {
                return Ok(Applied::Conflict);
            }
        }
        for change in &transaction.changes {
            batch.make(change)?;
        }
        Ok(Applied::Done)
    }

    /// Whether it is open again; if not, after a pause.
    fn reopen(&self) -> bool {
        self.healthy.store(false, Ordering::Relaxed);
        // All handles must be gone before the folder's lock is free again; sled's own thread lets go a moment later.
        let old = self.db.write().take();
        // Not under the lock, for which reads would wait: it waits for folding to stop.
        drop(old);
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
                self.take(Base::Disk(db));
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
        if let Ok(totals) = known_totals(&base) {
            self.totals.send_replace(totals);
        }
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
            Ok(db) => Base::Disk(db),
            Err(error) => return tracing::debug!(%error, "the index does not open yet"),
        };
        // What counts the files is among the rows that have changed, if they have.
        let written = catch_unwind(AssertUnwindSafe(|| {
            db.apply(changes)?;
            db.flush()
        }));
        let failure = match written {
            Ok(Ok(())) => {
                *self.db.write() = Some(db);
                self.opener.disk.set_unrecorded(false);
                return tracing::info!("the index is on the disk again; misses are kept");
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "sled panicked".to_owned(),
        };
        tracing::warn!(
            error = failure,
            "the index stays in memory: what has changed could not be written"
        );
    }

    /// The row, if the database is open.
    fn read(&self, name: &str) -> Option<Result<Option<Vec<u8>>, CatalogError>> {
        let guard = self.db.read();
        let row = guard.as_ref()?.get(name);
        Some(row.map_err(CatalogError::failed))
    }

    fn page(&self, query: &Query, after: Option<&str>, rows: usize) -> Result<Page, CatalogError> {
        let guard = self.db.read();
        let base = guard.as_ref().ok_or(CatalogError::Unavailable)?;
        let prefix = rows::prefix_of(query);
        let rows = base
            .page(&prefix, after, rows)
            .map_err(CatalogError::failed)?;
        let mut page = Page {
            next: rows.last().map(|(last, _)| Cursor(last.clone())),
            ..Page::default()
        };
        for (name, row) in rows {
            match read(&name, &row) {
                Some(fact) if query.wants(&fact) => page.facts.push(fact),
                Some(_) => {}
                None => page.damaged.push(name),
            }
        }
        Ok(page)
    }

    fn end(&self) {
        if let Some(base) = self.db.write().take()
            && let Err(error) = base.flush()
        {
            tracing::error!(%error, "the last flush of the index failed");
        }
    }
}

fn write_rows(
    base: &Base,
    mut rows: Vec<RowChange>,
    before: Totals,
    totals: Totals,
) -> Result<(), sled::Error> {
    if totals != before {
        rows.push(RowChange::Put(TOTALS.to_owned(), codec::encode(&totals)));
    }
    base.apply(rows)?;
    base.flush()
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
impl Catalog for SledCatalog {
    async fn read(&self, key: &FactKey) -> Result<Option<Fact>, CatalogError> {
        let name = key.to_string();
        for _ in 0..WAIT_TRIES {
            if let Some(row) = self.shared.read(&name) {
                let row = row?;
                return Ok(
                    row.and_then(|row| decoded_or_unknown(&name, rows::read(key.clone(), &row)))
                );
            }
            if self.queue.is_closed() {
                break;
            }
            // It is being reopened: a moment's wait is better than an error.
            tokio::time::sleep(REOPEN_PAUSE).await;
        }
        Err(CatalogError::Unavailable)
    }

    async fn apply(
        &self,
        expect: Vec<Expect>,
        changes: Vec<Change>,
    ) -> Result<Applied, CatalogError> {
        let (answer, outcome) = oneshot::channel();
        let transaction = Transaction {
            expect,
            changes,
            answer,
        };
        let gone = || CatalogError::Unavailable;
        let sent = self.queue.send(Job::Apply(transaction)).await;
        sent.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    async fn page(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, CatalogError> {
        let shared = Arc::clone(&self.shared);
        let (query, after) = (query.clone(), after.cloned());
        let page = tokio::task::spawn_blocking(move || {
            let after = after.as_ref().map(|Cursor(name)| name.as_str());
            shared.page(&query, after, limit.max(1))
        });
        page.await.map_err(CatalogError::failed)?
    }

    async fn claim(
        &self,
        key: &ClaimKey,
        owner: &str,
        lease: Duration,
    ) -> Result<Claimed, CatalogError> {
        self.shared.claims.claim(key, owner, lease)
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<bool, CatalogError> {
        Ok(self.shared.claims.renew(claim, lease))
    }

    async fn release(&self, claim: &Claim) -> Result<(), CatalogError> {
        self.shared.claims.release(claim);
        Ok(())
    }

    async fn changes(&self, after: Sequence) -> Result<Changes, CatalogError> {
        Ok(self.shared.feed.after(after))
    }

    fn sequence(&self) -> watch::Receiver<Sequence> {
        self.shared.feed.sequence()
    }

    fn totals(&self) -> watch::Receiver<Totals> {
        self.shared.totals.subscribe()
    }

    fn health(&self) -> Health {
        match self.shared.healthy.load(Ordering::Relaxed) {
            false => Health::Unavailable,
            true if self.shared.is_held() => Health::InMemory,
            true => Health::Ready,
        }
    }

    async fn close(&self) {
        let (answer, done) = oneshot::channel();
        if self.queue.send(Job::Close(answer)).await.is_ok() {
            // An error means that the thread has ended, which is what was wanted.
            let _ = done.await;
        }
    }
}
