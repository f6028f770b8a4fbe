//! The audit log: one JSON object a line of who was refused, what operators did, and what became of reloads. It holds no
//! token, and nothing by which one could be known.
//!
//! Lines go through a [`LogSink`] of its own, so nobody waits for the disk. What does not fit is counted, and the count is
//! a line itself. Of refusals that repeat themselves the count is told (`refusals.rs`): a stranger fills no disk.

mod file;
mod line;
mod refusals;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::logs::{LogSink, Queue, Tell};
use crate::clock::SharedClock;
pub use file::AuditFile;
pub use line::{AuditAction, AuditRefusal, AuditReload};
use line::{Line, lost_line};
use refusals::{RefusalCounts, Repeated};

/// What waits to be written: some thousand lines.
const QUEUE: Queue = Queue {
    lines: 8_192,
    bytes: 4 << 20,
};

/// Takes what is to be kept of what somebody did or wanted. Clones write to the same place; the default to none.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Inner>>);

struct Inner {
    sink: LogSink,
    /// None among the lines of the log, which counts for itself.
    file: Option<AuditFile>,
    clock: SharedClock,
    refusals: Mutex<RefusalCounts>,
}

impl Audit {
    /// To a file of its own.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn to_file(file: AuditFile, clock: SharedClock) -> io::Result<Self> {
        let now = Arc::clone(&clock);
        let tell: Tell = Box::new(move |lost, out| lost_line(now.now(), lost, out));
        let sink = LogSink::start_telling(QUEUE, tell, file.writer(Arc::clone(&clock)))?;
        Ok(Self::of(sink, Some(file), clock))
    }

    /// Among the lines of the log.
    pub fn to_log(log: LogSink, clock: SharedClock) -> Self {
        Self::of(log, None, clock)
    }

    fn of(sink: LogSink, file: Option<AuditFile>, clock: SharedClock) -> Self {
        Audit(Some(Arc::new(Inner {
            sink,
            file,
            clock,
            refusals: Mutex::default(),
        })))
    }

    /// Somebody was not given what they asked for, because of who they are.
    pub fn refused(&self, refusal: &AuditRefusal<'_>) {
        let Some(inner) = &self.0 else { return };
        let now = inner.clock.instant();
        let (over, is_new) = {
            let mut refusals = inner.refusals.lock();
            let over = refusals.over(now);
            (over, refusals.note(now, refusal.machine, refusal.module))
        };
        inner.repeated(over);
        if is_new {
            inner.write(Line::refused(inner.clock.now(), refusal));
        }
    }

    /// An operator has done something, or has tried to.
    pub fn acted(&self, action: &AuditAction<'_>) {
        let Some(inner) = &self.0 else { return };
        inner.write(Line::acted(inner.clock.now(), action));
    }

    /// The configuration was read again.
    pub fn reloaded(&self, reload: &AuditReload<'_>) {
        let Some(inner) = &self.0 else { return };
        inner.write(Line::reloaded(inner.clock.now(), reload));
    }

    /// Tells how often refusals have repeated themselves, if their time is over.
    pub fn tell_repeated(&self) {
        let Some(inner) = &self.0 else { return };
        let over = inner.refusals.lock().over(inner.clock.instant());
        inner.repeated(over);
    }

    /// Goes on in a new file of the same name, now that the one before may have another name. What waits to be written
    /// goes into the new one. False if there is no file. May wait for the disk.
    pub fn reopen(&self) -> bool {
        let Some(file) = self.0.as_ref().and_then(|inner| inner.file.as_ref()) else {
            return false;
        };
        file.reopen();
        true
    }

    /// Lines that were not written so far.
    pub fn lost(&self) -> u64 {
        match &self.0 {
            Some(inner) if inner.file.is_some() => inner.sink.dropped(),
            _ => 0,
        }
    }

    /// Waits until all of it is written, at most so long. Says whether it is.
    pub fn flush(&self, limit: Duration) -> bool {
        let Some(inner) = &self.0 else { return true };
        let left = inner.refusals.lock().take();
        inner.repeated(left);
        inner.sink.flush(limit)
    }
}

impl Inner {
    fn write(&self, line: Line<'_>) {
        self.sink.write_line(|out| line.write(out));
    }

    fn repeated(&self, over: Vec<Repeated>) {
        let now = self.clock.now();
        for repeated in &over {
            self.write(Line::repeated(now, repeated));
        }
    }
}

#[cfg(test)]
mod tests;
