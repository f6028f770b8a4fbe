//! What tests of logs share.

use super::*;

/// The other end of a sink: keeps what is written, and can be stopped up.
#[derive(Debug, Clone, Default)]
pub(in crate::telemetry::logs) struct Pipe {
    written: Arc<Mutex<Vec<u8>>>,
    /// Writes begun, of which all but the last are done.
    pub writes: Arc<AtomicU64>,
    /// Writing waits for this lock.
    pub gate: Arc<Mutex<()>>,
    pub broken: bool,
}

impl Pipe {
    pub(in crate::telemetry::logs) fn sink(&self, format: Format) -> LogSink {
        self.sink_of(Queue::default(), format)
    }

    pub(in crate::telemetry::logs) fn sink_of(&self, queue: Queue, format: Format) -> LogSink {
        LogSink::start(queue, format, Arc::new(|| 0), self.clone()).expect("a thread")
    }

    /// Waits, within reason, until something holds; whether it does is the caller's to assert.
    pub(in crate::telemetry::logs) fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..4_000 {
            if holds(self) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(in crate::telemetry::logs) fn text(&self) -> String {
        String::from_utf8(self.written.lock().expect("a lock").clone()).expect("UTF-8")
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let _gate = self.gate.lock().expect("a lock");
        if self.broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.written
            .lock()
            .expect("a lock")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
