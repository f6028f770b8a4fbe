//! Writes what arrives of a zip, and hashes it beside.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::flight::{HASH_LATER, Progress, ZipFlight};
use crate::gomod::zip::{ReadAt, StreamHasher};
use crate::store::{LocalFiles, StageWriter, Staged};
use crate::upstream::{Sink, SinkError};

/// Pieces waiting to be written.
const QUEUE: usize = 8;
/// Writes what arrives into the flight's staged file, on a thread of its own, and has it hashed beside.
pub struct StagingSink {
    flight: Arc<ZipFlight>,
    local: LocalFiles,
    work: Option<Work>,
    first: Vec<u8>,
}

struct Work {
    queue: mpsc::Sender<Bytes>,
    writer: JoinHandle<Result<(), String>>,
    hasher: Option<JoinHandle<StreamHasher>>,
}

impl StagingSink {
    /// For a flight.
    pub fn new(flight: Arc<ZipFlight>, local: LocalFiles) -> Self {
        StagingSink {
            flight,
            local,
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
            Some(hasher) => Ok(Some(hasher.await.map_err(died)?)),
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
        let writer = tokio::task::spawn_blocking(move || write(&flight, writer, pieces));
        let hash_now = total.is_none_or(|total| total > HASH_LATER);
        let hasher = hash_now.then(|| {
            let runtime = tokio::runtime::Handle::current();
            let progress = self.flight.follow();
            tokio::task::spawn_blocking(move || hash(&runtime, &staged, progress))
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
    mut writer: StageWriter,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<(), String> {
    while let Some(piece) = pieces.blocking_recv() {
        writer.write(&piece).map_err(|error| error.to_string())?;
        flight.has_grown(writer.staged());
    }
    Ok(())
}

/// The hasher's thread: follows the growing file and inflates and hashes its entries as they become whole, so that
/// the h1 is there with the last byte. It ends when the flight's writer is gone.
fn hash(
    runtime: &tokio::runtime::Handle,
    staged: &Staged,
    mut progress: watch::Receiver<Progress>,
) -> StreamHasher {
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
        let file = staged.part(written);
        while offset < written {
            match file.read_at(&mut buffer, offset) {
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
