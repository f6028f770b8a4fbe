//! What followers hold of a zip in flight.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::engine::error::EngineError;
use crate::engine::slow::Look;
use crate::engine::verifier::ProvisionalVerdict;
use crate::gomod::H1;
use crate::store::{Companions, FileRecord, LocalFile, Staged};

/// What is held back of a zip until it is verified: more than an end of central directory with the longest comment,
/// so that what went out before is never a readable zip. Bytes.
pub const HELD_BACK: u64 = 68 * 1024;
/// An answer of a known size above this begins as soon as the first bytes look like a zip. Bytes.
const EARLY_HEAD: u64 = 256 * 1024;
/// Below this hashing does not begin before the last byte; it would not be worth the thread. Bytes.
pub(super) const HASH_LATER: u64 = 128 * 1024;
/// How far a zip is.
#[derive(Clone, Debug, Default)]
pub struct ZipProgress {
    /// The upstream that it comes from.
    pub from: Option<Arc<str>>,
    /// The whole size, if upstream said it. Bytes.
    pub total: Option<u64>,
    /// Bytes that have been written.
    pub written: u64,
    /// It is kept already: another flight has landed in the meantime.
    pub kept: bool,
    /// How it ended.
    pub end: Option<Result<Arc<Verdict>, EngineError>>,
}

impl ZipProgress {
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

/// A verified zip, still staged.
#[derive(Debug)]
pub struct Verdict {
    /// What will be kept of it in the index.
    pub record: FileRecord,
    /// And beside it.
    pub companions: Companions,
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
    progress: watch::Sender<ZipProgress>,
    staged: Mutex<Option<Arc<Staged>>>,
    provisional: ProvisionalVerdict,
}

impl ZipFlight {
    /// Nothing has arrived.
    pub fn new(provisional: ProvisionalVerdict) -> Arc<Self> {
        Arc::new(ZipFlight {
            provisional,
            progress: watch::Sender::new(ZipProgress::default()),
            staged: Mutex::default(),
        })
    }

    /// What may be promised of it now.
    pub fn provisional(&self) -> &ProvisionalVerdict {
        &self.provisional
    }

    /// How far it is, and goes on telling.
    pub fn follow(&self) -> watch::Receiver<ZipProgress> {
        self.progress.subscribe()
    }

    /// How many follow it.
    pub fn followers(&self) -> usize {
        self.progress.receiver_count()
    }

    /// For whoever wonders why it takes so long.
    pub(in crate::engine) fn look(&self) -> Look {
        let progress = self.progress.borrow();
        let hashing = |total: u64| total > HASH_LATER;
        // Its own task follows it, and what hashes it.
        let own = 1 + usize::from(progress.from.is_some() && progress.total.is_none_or(hashing));
        Look {
            waiting: self.followers().saturating_sub(own),
            received: Some(progress.written),
        }
    }

    /// What has been written of the first `end` bytes; there as soon as anything is.
    pub fn part(&self, end: u64) -> Option<LocalFile> {
        self.staged.lock().as_ref().map(|staged| staged.part(end))
    }

    /// The growing file, for publishing.
    pub fn staged(&self) -> Option<Arc<Staged>> {
        self.staged.lock().clone()
    }

    /// It begins to arrive, into this file.
    pub(super) fn begins(&self, staged: &Arc<Staged>, total: Option<u64>, from: &Arc<str>) {
        *self.staged.lock() = Some(Arc::clone(staged));
        self.progress.send_modify(|progress| {
            progress.total = total;
            progress.from = Some(Arc::clone(from));
        });
    }

    /// This file has grown; which is not the flight's any more if it has begun again meanwhile.
    pub(super) fn has_grown(&self, staged: &Arc<Staged>) {
        self.progress.send_if_modified(|progress| {
            let now = self.staged.lock();
            let same = now.as_ref().is_some_and(|now| Arc::ptr_eq(now, staged));
            if same {
                progress.written = staged.written();
            }
            same
        });
    }

    /// All of it has arrived: so many bytes.
    pub(super) fn has_arrived(&self, bytes: u64) {
        self.progress
            .send_modify(|progress| progress.total = Some(bytes));
    }

    /// Whether an answer to a client may have begun.
    pub(super) fn may_have_begun(&self) -> bool {
        self.progress.borrow().may_begin()
    }

    /// Back to nothing, for another try; false if anybody may have seen a part of it. In one step, because what was
    /// still being written may have let a follower begin.
    pub fn begin_again(&self) -> bool {
        self.progress.send_if_modified(|progress| {
            let unseen = !progress.may_begin();
            if unseen {
                *progress = ZipProgress::default();
                *self.staged.lock() = None;
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
