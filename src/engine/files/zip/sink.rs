//! Writes what arrives of a zip, and hashes it beside.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::flight::{HASH_LATER, ZipFlight, ZipProgress};
use super::hashers::Hashers;
use crate::gomod::zip::{ReadAt, StreamHasher};
use crate::store::{LocalFile, LocalFiles, StageWriter, Staged};
use crate::upstream::{Sink, SinkError};

/// Pieces waiting to be written.
const QUEUE: usize = 8;
/// What has been written is hashed when there is so much of it. Bytes.
const PIECE: u64 = 128 << 10;
/// Hashed in one go at the most, so that others get their turn. Bytes.
const AT_ONCE: u64 = 2 << 20;
/// Read at once. Bytes.
const BUFFER: usize = 128 << 10;

/// Writes what arrives into the flight's staged file, and has it hashed beside.
pub struct StagingSink {
    flight: Arc<ZipFlight>,
    local: LocalFiles,
    hashers: Arc<Hashers>,
    work: Option<Work>,
    first: Vec<u8>,
}

struct Work {
    queue: mpsc::Sender<Bytes>,
    /// Ends with the queue; by then everything is written that was taken.
    writer: JoinHandle<Result<(), String>>,
    /// Ends with this: it must not take another try's file for its own.
    hasher: Option<AbortOnDropHandle<Option<StreamHasher>>>,
}

impl StagingSink {
    /// For a flight.
    pub fn new(flight: Arc<ZipFlight>, local: LocalFiles, hashers: &Arc<Hashers>) -> Self {
        StagingSink {
            flight,
            local,
            hashers: Arc::clone(hashers),
            work: None,
            first: Vec::new(),
        }
    }

    /// Waits until everything is written; gives what has been hashed on the way.
    pub(super) async fn finish(self) -> Result<Option<StreamHasher>, SinkError> {
        let Some(work) = self.work else {
            return Err(SinkError::Content("an empty answer".into()));
        };
        drop(work.queue);
        let died = |error: tokio::task::JoinError| SinkError::Store(error.to_string());
        work.writer.await.map_err(died)?.map_err(SinkError::Store)?;
        match work.hasher {
            // What was not hashed on the way is hashed with the check.
            Some(hasher) => hasher.await.map_err(died),
            None => Ok(None),
        }
    }
}

#[async_trait]
impl Sink for StagingSink {
    async fn begin(&mut self, total: Option<u64>, from: &Arc<str>) -> Result<(), SinkError> {
        let writer = self
            .local
            .stage(total)
            .await
            .map_err(|error| SinkError::Store(error.to_string()))?;
        let staged = Arc::clone(writer.staged());
        self.flight.begins(&staged, total, from);
        let (queue, pieces) = mpsc::channel(QUEUE);
        let flight = Arc::clone(&self.flight);
        let writer = tokio::spawn(write(flight, self.local.clone(), writer, pieces));
        let hash_now = total.is_none_or(|total| total > HASH_LATER);
        let hasher = hash_now.then(|| {
            let progress = self.flight.follow();
            let hash = hash(Arc::clone(&self.hashers), staged, progress);
            AbortOnDropHandle::new(tokio::spawn(hash))
        });
        self.work = Some(Work {
            queue,
            writer,
            hasher,
        });
        Ok(())
    }

    fn shown(&self) -> bool {
        self.flight.may_have_begun()
    }

    async fn forget(&mut self) -> bool {
        if let Some(work) = self.work.take() {
            drop(work.queue);
            drop(work.hasher);
            // However it ended, what it wrote is not wanted.
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

/// Writes what arrives. A thread is taken for as long as writing takes; while nothing arrives, none is held.
async fn write(
    flight: Arc<ZipFlight>,
    local: LocalFiles,
    mut writer: StageWriter,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<(), String> {
    let mut arrived = Vec::with_capacity(QUEUE);
    while pieces.recv_many(&mut arrived, QUEUE).await > 0 {
        let all = std::mem::take(&mut arrived);
        let written = local.append(writer, all).await;
        writer = written.map_err(|error| error.to_string())?;
        flight.has_grown(writer.staged());
    }
    Ok(())
}

/// Follows the growing file and has its entries inflated and hashed as they become whole, so that the h1 is there soon
/// after the last byte. It ends when the flight's writer is gone. `None` if hashing died.
async fn hash(
    hashers: Arc<Hashers>,
    staged: Arc<Staged>,
    mut progress: watch::Receiver<ZipProgress>,
) -> Option<StreamHasher> {
    let mut hasher = StreamHasher::new();
    let mut offset = 0;
    loop {
        let (written, over) = {
            let now = progress.borrow_and_update();
            if now.end.is_some() {
                // It has failed.
                return None;
            }
            (now.written, now.total == Some(now.written))
        };
        // Less than a piece is not worth the way to another thread, until it is the last one.
        let due = written.saturating_sub(offset);
        if due >= PIECE || (over && due > 0) {
            let file = staged.part(written);
            let end = written.min(offset + AT_ONCE);
            let read = move || hash_part(&file, hasher, offset..end);
            let hashed = hashers.run(read).await?;
            hasher = hashed.0;
            // It ends before it should only if it cannot be read.
            if hashed.1 < end {
                return Some(hasher);
            }
            offset = hashed.1;
            continue;
        }
        // Of an unknown size, what remains after the last look is hashed with the check.
        if over || progress.changed().await.is_err() {
            return Some(hasher);
        }
    }
}

/// Hashes a part of a file. Gives how far it has come as well.
fn hash_part(
    file: &LocalFile,
    mut hasher: StreamHasher,
    part: std::ops::Range<u64>,
) -> (StreamHasher, u64) {
    let mut buffer = vec![0; BUFFER];
    let mut offset = part.start;
    while offset < part.end {
        let most = usize::try_from(part.end - offset).map_or(BUFFER, |left| left.min(BUFFER));
        match file.read_at(&mut buffer[..most], offset) {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                hasher.push(&buffer[..count]);
                offset += count as u64;
            }
        }
    }
    (hasher, offset)
}
