//! A zip in flight: it grows in a spool, followers read what has been written, and its last part is released only
//! once it has been verified.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::error::{Class, EngineError};
use super::slow::Look;
use super::vouch::{Foresight, Vouching};
use crate::gomod::H1;
use crate::gomod::zip::{self as gozip, CheckedZip, StreamHasher};
use crate::protocol::FileKey;
use crate::store::{Beside, Blobs, FileRecord, Spool};
use crate::upstream::{Sink, SinkError, ZipStream};

/// What is held back of a zip until it is verified: more than an end of central directory with the longest comment,
/// so that what went out before is never a readable zip. Bytes.
pub const HELD_BACK: u64 = 68 * 1024;
/// An answer of a known size above this begins as soon as the first bytes look like a zip. Bytes.
const EARLY_HEAD: u64 = 256 * 1024;
/// Pieces waiting to be written.
const QUEUE: usize = 8;
/// Below this hashing does not begin before the last byte; it would not be worth the thread. Bytes.
const HASH_LATER: u64 = 128 * 1024;

/// How far a zip is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The upstream that it comes from.
    pub from: Option<Arc<str>>,
    /// The whole size, if upstream said it. Bytes.
    pub total: Option<u64>,
    /// Bytes in the spool.
    pub written: u64,
    /// It is kept already: another flight has landed in the meantime.
    pub kept: bool,
    /// How it ended.
    pub end: Option<Result<Arc<Verdict>, EngineError>>,
}

impl Progress {
    /// Bytes that followers may read.
    pub fn released(&self) -> u64 {
        match &self.end {
            Some(Ok(verdict)) => verdict.record.size,
            _ => self.written.saturating_sub(HELD_BACK),
        }
    }

    /// Whether an answer to a client may begin: a part is released, or the size is known and the first bytes, which
    /// have been looked at, are a zip's; or it has ended.
    pub fn may_begin(&self) -> bool {
        let early = self.written > 0 && self.total.is_some_and(|total| total > EARLY_HEAD);
        early || self.kept || self.end.is_some() || self.released() > 0
    }
}

/// A verified zip, in its spool.
#[derive(Debug)]
pub struct Verdict {
    /// What will be kept of it in the index.
    pub record: FileRecord,
    /// And beside it.
    pub beside: Beside,
    /// Its h1.
    pub h1: H1,
    /// Whether it will be kept, as far as can be said.
    pub stored: bool,
    /// From where.
    pub from: Arc<str>,
}

/// What followers hold of a zip in flight.
#[derive(Debug)]
pub struct ZipFlight {
    progress: watch::Sender<Progress>,
    spool: Mutex<Option<Arc<Spool>>>,
    foresight: Foresight,
}

impl ZipFlight {
    /// Nothing has arrived.
    pub fn new(foresight: Foresight) -> Arc<Self> {
        Arc::new(ZipFlight {
            foresight,
            progress: watch::Sender::new(Progress::default()),
            spool: Mutex::default(),
        })
    }

    /// What may be promised of it now.
    pub fn foresight(&self) -> &Foresight {
        &self.foresight
    }

    /// How far it is, and goes on telling.
    pub fn follow(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// How many follow it.
    pub fn followers(&self) -> usize {
        self.progress.receiver_count()
    }

    /// For whoever wonders why it takes so long.
    pub(super) fn look(&self) -> Look {
        let progress = self.progress.borrow();
        let hashing = |total: u64| total > HASH_LATER;
        // Its own task follows it, and what hashes it.
        let own = 1 + usize::from(progress.from.is_some() && progress.total.is_none_or(hashing));
        Look {
            waiting: self.followers().saturating_sub(own),
            received: Some(progress.written),
        }
    }

    /// The growing file; there as soon as anything is written.
    pub fn file(&self) -> Option<Arc<File>> {
        self.spool
            .lock()
            .as_ref()
            .map(|spool| Arc::clone(spool.file()))
    }

    /// The spool, for publishing.
    pub fn spool(&self) -> Option<Arc<Spool>> {
        self.spool.lock().clone()
    }

    /// Back to nothing, for another try; false if anybody may have seen a part of it. In one step, because what was
    /// still being written may have let a follower begin.
    pub fn begin_again(&self) -> bool {
        self.progress.send_if_modified(|progress| {
            let unseen = !progress.may_begin();
            if unseen {
                *progress = Progress::default();
                *self.spool.lock() = None;
            }
            unseen
        })
    }

    /// Tells followers to look at what is kept.
    pub fn is_kept(&self) {
        self.progress.send_modify(|progress| progress.kept = true);
    }

    /// Tells followers how it ended; only the first end counts.
    pub fn end(&self, end: Result<Arc<Verdict>, EngineError>) {
        self.progress.send_if_modified(|progress| {
            let first = progress.end.is_none();
            if first {
                progress.end = Some(end);
            }
            first
        });
    }
}

/// Ends the flight with a fault of ours if its task dies.
pub struct EndGuard(pub Arc<ZipFlight>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0
            .end(Err(EngineError::ours("the fetch ended unexpectedly")));
    }
}

/// Writes what arrives into the flight's spool, on a thread of its own, and has it hashed beside.
pub struct SpoolSink {
    flight: Arc<ZipFlight>,
    blobs: Arc<dyn Blobs>,
    work: Option<Work>,
    first: Vec<u8>,
}

struct Work {
    queue: mpsc::Sender<Bytes>,
    writer: JoinHandle<Result<(), String>>,
    hasher: Option<JoinHandle<StreamHasher>>,
}

impl SpoolSink {
    /// For a flight.
    pub fn new(flight: Arc<ZipFlight>, blobs: Arc<dyn Blobs>) -> Self {
        SpoolSink {
            flight,
            blobs,
            work: None,
            first: Vec::new(),
        }
    }

    /// Waits until everything is written; gives what has been hashed on the way.
    async fn finish(self) -> Result<Option<StreamHasher>, SinkError> {
        let Some(work) = self.work else {
            return Err(SinkError::Content("an empty answer".into()));
        };
        drop(work.queue);
        let died = |error: tokio::task::JoinError| SinkError::Store(error.to_string());
        work.writer.await.map_err(died)?.map_err(SinkError::Store)?;
        match work.hasher {
            Some(hasher) => Ok(Some(hasher.await.map_err(died)?)),
            None => Ok(None),
        }
    }
}

impl Sink for SpoolSink {
    async fn begin(&mut self, total: Option<u64>, from: &Arc<str>) -> Result<(), SinkError> {
        let spool = self
            .blobs
            .spool(total)
            .await
            .map_err(|error| SinkError::Store(error.to_string()))?;
        *self.flight.spool.lock() = Some(Arc::clone(&spool));
        self.flight.progress.send_modify(|progress| {
            progress.total = total;
            progress.from = Some(Arc::clone(from));
        });
        let (queue, pieces) = mpsc::channel(QUEUE);
        let flight = Arc::clone(&self.flight);
        let writer = tokio::task::spawn_blocking({
            let spool = Arc::clone(&spool);
            move || write(&flight, &spool, pieces)
        });
        let hash_now = total.is_none_or(|total| total > HASH_LATER);
        let hasher = hash_now.then(|| {
            let runtime = tokio::runtime::Handle::current();
            let progress = self.flight.follow();
            tokio::task::spawn_blocking(move || hash(&runtime, spool.file(), progress))
        });
        self.work = Some(Work {
            queue,
            writer,
            hasher,
        });
        Ok(())
    }

    fn shown(&self) -> bool {
        self.flight.progress.borrow().may_begin()
    }

    async fn forget(&mut self) -> bool {
        if let Some(work) = self.work.take() {
            drop(work.queue);
            // However it ended, what it wrote is not wanted; its hasher ends at the end of its own file.
            let _ = work.writer.await;
        }
        let forgotten = self.flight.begin_again();
        if forgotten {
            self.first.clear();
        }
        forgotten
    }

    async fn take(&mut self, bytes: Bytes) -> Result<(), SinkError> {
        if self.first.len() < 4 {
            let mut first = self.first.clone();
            first.extend(bytes.iter().take(4 - first.len()));
            if !b"PK\x03\x04".starts_with(&first) && !b"PK\x05\x06".starts_with(&first) {
                return Err(SinkError::Content("it is not a zip file".into()));
            }
            self.first = first;
        }
        let Some(work) = &self.work else {
            return Err(SinkError::Store("written before it began".into()));
        };
        if work.queue.send(bytes).await.is_ok() {
            return Ok(());
        }
        // The writer has ended early, and only an error makes it do that.
        let error = match self.work.take() {
            Some(work) => match work.writer.await {
                Ok(Err(error)) => error,
                Ok(Ok(())) => "the writer ended early".into(),
                Err(error) => error.to_string(),
            },
            None => "the writer is gone".into(),
        };
        Err(SinkError::Store(error))
    }
}

/// The writer's thread.
fn write(
    flight: &ZipFlight,
    spool: &Spool,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<(), String> {
    let mut offset = 0;
    while let Some(piece) = pieces.blocking_recv() {
        spool
            .write_at(&piece, offset)
            .map_err(|error| error.to_string())?;
        offset += piece.len() as u64;
        flight.progress.send_if_modified(|progress| {
            // Else it has begun again meanwhile, in another spool.
            let spool_now = flight.spool.lock();
            let same = spool_now
                .as_ref()
                .is_some_and(|now| std::ptr::eq(now.as_ref(), spool));
            if same {
                progress.written = offset;
            }
            same
        });
    }
    Ok(())
}

/// The hasher's thread: follows the growing file and inflates and hashes its entries as they become whole, so that
/// the h1 is there with the last byte. It ends when the flight's writer is gone.
fn hash(
    runtime: &tokio::runtime::Handle,
    file: &File,
    mut progress: watch::Receiver<Progress>,
) -> StreamHasher {
    use std::os::unix::fs::FileExt;
    let mut hasher = StreamHasher::new();
    let mut buffer = vec![0; 128 << 10];
    let mut offset = 0;
    loop {
        let (written, over) = {
            let now = progress.borrow_and_update();
            (
                now.written,
                now.end.is_some() || now.total == Some(now.written),
            )
        };
        while offset < written {
            let want = usize::try_from(written - offset)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            match file.read_at(&mut buffer[..want], offset) {
                Ok(0) | Err(_) => return hasher,
                Ok(count) => {
                    hasher.push(&buffer[..count]);
                    offset += count as u64;
                }
            }
        }
        // Of an unknown size, what remains after the last look is hashed with the check.
        if over || runtime.block_on(progress.changed()).is_err() {
            return hasher;
        }
    }
}

/// A zip that has arrived whole: checks it by all rules, then asks who vouches for it. The verdict on its content
/// comes from the central directory; what was hashed on the way only saves doing it again.
pub async fn check(
    key: &FileKey,
    flight: &Arc<ZipFlight>,
    stream: ZipStream<SpoolSink>,
    vouching: Vouching,
    from: &str,
    now: crate::clock::Timestamp,
) -> Result<Verdict, EngineError> {
    let what = format!("{}@{}", key.module, key.version);
    let (sink, size, sha256) = stream.finish();
    // Of an unknown size the hasher waits for more: tell it that this is all.
    flight
        .progress
        .send_modify(|progress| progress.total = Some(size));
    let hashed = sink.finish().await.map_err(|error| match error {
        SinkError::Content(text) => rejected(&what, from, &text),
        SinkError::Store(text) => {
            tracing::error!(%text, file = %key, "a fetched file could not be written");
            EngineError::ours(format!("{what}: larder could not store what it fetched"))
        }
    })?;
    let spool = flight
        .spool()
        .ok_or_else(|| EngineError::ours("nothing was written"))?;
    let (module, version, file) = (
        key.module.clone(),
        key.version.clone(),
        Arc::clone(spool.file()),
    );
    let checking = tokio::task::spawn_blocking(move || -> Result<CheckedZip, gozip::ZipError> {
        let source = gozip::FileAt::new(file.try_clone()?)?;
        match hashed {
            Some(hashed) => gozip::check_zip_with(&source, &module, &version, hashed),
            None => gozip::check_zip(&source, &module, &version),
        }
    });
    let checked = match checking.await {
        Ok(Ok(checked)) => checked,
        Ok(Err(error)) if error.is_io() => {
            tracing::error!(%error, file = %key, "a fetched file could not be read back");
            return Err(EngineError::ours(format!(
                "{what}: larder could not read back what it fetched"
            )));
        }
        Ok(Err(error)) => return Err(rejected(&what, from, &error.to_string())),
        Err(error) => {
            tracing::error!(%error, file = %key, "checking a zip died");
            return Err(EngineError::ours(format!(
                "{what}: checking the zip failed"
            )));
        }
    };
    let vouched = vouching.verdict(&checked.h1, from).await?;
    let record = FileRecord {
        size,
        sha256: super::hex(&sha256),
        h1: Some(checked.h1.to_string()),
        from: from.to_owned(),
        seen: now,
        verified: vouched.verified,
        by: vouched.by,
    };
    Ok(Verdict {
        record,
        beside: vouched.beside,
        h1: checked.h1,
        stored: spool.can_be_kept(),
        from: from.into(),
    })
}

fn rejected(what: &str, from: &str, why: &str) -> EngineError {
    let mut error = EngineError::new(Class::Rejected, format!("{what}: the zip from {from} failed verification: {why}"))
        .and("It was not kept and will be asked for again. If it stays so, that upstream serves a broken or forged file.");
    error.upstream = Some(from.to_owned());
    error
}
