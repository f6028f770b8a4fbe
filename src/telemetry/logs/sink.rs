//! The way of log lines to standard error: a bounded batch that callers append to, and a thread
//! that writes it out.
//!
//! A caller pays for formatting its line, for copying it under a lock, and for waking the thread
//! only if that is asleep. The thread lets lines gather for [`LINGER`] and writes them at once; so
//! there are at most 50 wake-ups and writes a second, however many lines there are, until batches
//! get large. If standard error takes no more, the batch fills up and lines are dropped and counted;
//! the count becomes a line itself as soon as there is room.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::encode::{self, Bytes};
use super::format::{Format, Now};

/// How long lines gather before they are written.
const LINGER: Duration = Duration::from_millis(20);
/// A batch of this size is written without waiting any longer.
const LARGE: usize = 128 << 10;
/// How long to wait for a standard error that somebody has set to be non-blocking.
const RETRY: Duration = Duration::from_millis(5);

/// Appends the line that tells of so many dropped ones.
pub type Tell = Box<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;

/// The bounds of what waits to be written.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// The most lines.
    pub lines: usize,
    /// The most bytes. Twice as many are in memory at worst: one batch gathers while one is written.
    pub bytes: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            lines: 65_536,
            bytes: 8 << 20,
        }
    }
}

/// What a sink has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SinkStats {
    /// Lines written.
    pub lines: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Lines dropped, because too many were waiting or because they could not be written.
    pub dropped: u64,
}

/// Where log lines go. Clones share one queue; the thread behind it ends, after writing what is
/// left, when the last of them is gone.
#[derive(Debug, Clone)]
pub struct LogSink {
    owner: Arc<Owner>,
}

/// Ends the thread when it is dropped.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Tells the thread that there is something to do.
    work: Condvar,
    /// Tells those who flush that a batch has been written.
    done: Condvar,
    queue: Queue,
    tell: Tell,
    lines: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines, not yet written.
    batch: Vec<u8>,
    /// How many they are.
    lines: usize,
    /// Lines dropped and not yet told.
    untold: u64,
    /// Lines ever put into a batch, and those of them that the thread is done with.
    accepted: u64,
    settled: u64,
    /// The thread sleeps until somebody wakes it.
    asleep: bool,
    /// The batch is not to wait for more.
    hurry: bool,
    stopping: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("queue", &self.queue)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl LogSink {
    /// A sink to standard error. `format` and `now` are for the line that tells of dropped ones.
    ///
    /// # Errors
    /// If standard error is closed or no thread can be started.
    pub fn stderr(queue: Queue, format: Format, now: Now) -> io::Result<Self> {
        // A descriptor of our own: the standard library's handle has a lock, and while we wait for a
        // full pipe a panic elsewhere could not be told.
        let stderr = std::fs::File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::start(queue, format, now, stderr)
    }

    /// A sink to anything.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(
        queue: Queue,
        format: Format,
        now: Now,
        out: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let tell: Tell =
            Box::new(move |dropped, batch| tell_dropped(dropped, format, now(), batch));
        Self::start_telling(queue, tell, out)
    }

    /// The same with a line of one's own for dropped ones.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start_telling(
        queue: Queue,
        tell: Tell,
        out: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            queue,
            tell,
            lines: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("larder-log".into())
            .spawn(move || thread.run(out))?;
        Ok(Self {
            owner: Arc::new(Owner { shared }),
        })
    }

    /// Writes one line, formatted by `format` into an empty buffer that is reused. A line end is
    /// added if there is none; a line that stays empty is no line. Never waits for the writing.
    pub fn write_line(&self, format: impl FnOnce(&mut Vec<u8>)) {
        thread_local! {
            static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
        }
        /// Larger buffers are not kept.
        const KEEP: usize = 64 << 10;

        // Taken out and put back, not borrowed: `format` may log itself, or panic.
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        line.clear();
        format(&mut line);
        if !line.is_empty() {
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            self.owner.shared.push(&line, false);
        }
        if line.capacity() <= KEEP {
            let _ = LINE.try_with(|cell| cell.set(line));
        }
    }

    /// Waits until everything logged before is written, at most for `timeout`. Tells whether it is.
    pub fn flush(&self, timeout: Duration) -> bool {
        let shared = &self.owner.shared;
        let mut state = shared.lock();
        let until = state.accepted;
        state.hurry = true;
        shared.work.notify_one();
        let waited = shared
            .done
            .wait_timeout_while(state, timeout, |state| state.settled < until);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.settled >= until
    }

    /// How many lines have been dropped so far.
    pub fn dropped(&self) -> u64 {
        self.owner.shared.dropped.load(Ordering::Relaxed)
    }

    /// What has been done so far.
    #[cfg(test)]
    pub fn stats(&self) -> SinkStats {
        self.owner.shared.stats()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can leave the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> SinkStats {
        SinkStats {
            lines: self.lines.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    /// Takes a whole line (or several) into the batch, or drops it.
    fn push(&self, line: &[u8], urgent: bool) {
        let mut state = self.lock();
        if state.lines >= self.queue.lines || state.batch.len() + line.len() > self.queue.bytes {
            state.untold += 1;
            drop(state);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.batch.extend_from_slice(line);
        state.lines += 1;
        state.accepted += 1;
        let hurry = (urgent || state.batch.len() >= LARGE) && !state.hurry;
        state.hurry |= hurry;
        // While it is awake it comes by itself, within LINGER: no system call for most lines.
        let wake = std::mem::take(&mut state.asleep) || hurry;
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// The thread.
    fn run(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            while state.lines == 0 && state.untold == 0 && !state.stopping {
                state.asleep = true;
                // A flush with nothing to write has nothing to wait for.
                state.hurry = false;
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.asleep = false;
            let gathered = self
                .work
                .wait_timeout_while(state, LINGER, |state| !state.hurry && !state.stopping);
            let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            state.hurry = false;
            std::mem::swap(&mut state.batch, &mut batch);
            let lines = std::mem::take(&mut state.lines) as u64;
            let untold = std::mem::take(&mut state.untold);
            let last = state.stopping;
            drop(state);

            if untold > 0 {
                (self.tell)(untold, &mut batch);
            }
            self.write(&mut out, &batch, lines);
            batch.clear();
            batch.shrink_to(LARGE * 2);

            self.lock().settled += lines;
            self.done.notify_all();
            if last {
                return;
            }
        }
    }

    fn write(&self, out: &mut impl Write, batch: &[u8], lines: u64) {
        let mut rest = batch;
        while !rest.is_empty() {
            match out.write(rest) {
                Ok(n @ 1..) => rest = &rest[n.min(rest.len())..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
                // There is nobody to tell but the counter.
                Ok(0) | Err(_) => break,
            }
        }
        let lost = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        self.lines
            .fetch_add(lines.saturating_sub(lost), Ordering::Relaxed);
        self.bytes
            .fetch_add((batch.len() - rest.len()) as u64, Ordering::Relaxed);
    }
}

/// Appends the line of a log that tells of dropped ones.
fn tell_dropped(dropped: u64, format: Format, now: u64, batch: &mut Vec<u8>) {
    let mut out = Bytes(batch);
    let target = "larder::telemetry::logs";
    // Writing into memory cannot fail.
    let _ = match format {
        Format::Text => encode::timestamp(&mut out, now).and_then(|()| {
            writeln!(
                out,
                "  WARN {target}: log lines were dropped dropped={dropped}"
            )
        }),
        Format::Json => out
            .write_str("{\"ts\":\"")
            .and_then(|()| encode::timestamp(&mut out, now))
            .and_then(|()| {
                writeln!(
                    out,
                    "\",\"level\":\"WARN\",\"target\":\"{target}\",\
                     \"msg\":\"log lines were dropped\",\"dropped\":{dropped}}}"
                )
            }),
    };
}

/// Takes an event of `tracing`, whole, as one line.
#[derive(Debug)]
pub struct Writer<'a> {
    shared: &'a Shared,
    urgent: bool,
}

impl Write for Writer<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.push(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogSink {
    type Writer = Writer<'a>;

    fn make_writer(&'a self) -> Writer<'a> {
        Writer {
            shared: &self.owner.shared,
            urgent: false,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Writer<'a> {
        // An error may be the last thing that this process says.
        Writer {
            shared: &self.owner.shared,
            urgent: *metadata.level() == Level::ERROR,
        }
    }
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
