//! The file of the audit log. It is written at its end only, a line is there whole or counted as lost, and a disk that
//! takes nothing is told once.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use rustix::fs::OFlags;

use super::line::lost_line;
use crate::clock::SharedClock;

/// For its owner to write, and its group to read.
const MODE: u32 = 0o640;

/// A file, and what it has last been opened as.
#[derive(Clone)]
pub struct AuditFile(Arc<Shared>);

struct Shared {
    path: PathBuf,
    slot: Mutex<Slot>,
    failures: Counter,
}

struct Slot {
    file: File,
    /// A part of a line stands at its end.
    is_torn: bool,
    /// The last attempt failed.
    is_failing: bool,
    /// Lines lost since then.
    lost: u64,
}

impl AuditFile {
    /// Opens it, or makes it; `failures` counts what cannot be written later.
    ///
    /// # Errors
    /// If it cannot be opened, or is no file.
    pub fn open(path: &Path, failures: Counter) -> io::Result<Self> {
        let slot = Slot {
            file: open(path)?,
            is_torn: false,
            is_failing: false,
            lost: 0,
        };
        Ok(AuditFile(Arc::new(Shared {
            path: path.to_owned(),
            slot: Mutex::new(slot),
            failures,
        })))
    }

    /// Goes on in the file that has the name now; in the old one if there cannot be any.
    pub(super) fn reopen(&self) {
        let shared = &self.0;
        let path = shared.path.display();
        match open(&shared.path) {
            Ok(file) => {
                let mut slot = shared.slot.lock();
                slot.file = file;
                slot.is_torn = false;
                drop(slot);
                tracing::info!(%path, "the audit log was opened anew");
            }
            Err(error) => {
                shared.failures.inc();
                tracing::error!(%path, %error, "the audit log cannot be opened anew, and goes on in the file that is open");
            }
        }
    }

    /// What writes to it.
    pub(super) fn writer(&self, clock: SharedClock) -> AuditWriter {
        AuditWriter {
            file: self.clone(),
            clock,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    // A pipe that nobody reads is an error rather than a server that does not start.
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        .custom_flags(nonblock)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a file")),
    }
}

/// Writes whole lines.
pub(super) struct AuditWriter {
    file: AuditFile,
    clock: SharedClock,
}

impl Write for AuditWriter {
    /// Takes all of the lines, or says how much of them stands in whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let shared = &self.file.0;
        let mut slot = shared.slot.lock();
        let written = slot.mend(&self.clock).and_then(|()| slot.append(lines));
        match written {
            Ok(written) if written == lines.len() => {
                if std::mem::take(&mut slot.is_failing) {
                    tracing::info!(path = %shared.path.display(), "the audit log is written again");
                }
                Ok(written)
            }
            // It is called again with the rest, and tells why that cannot be written.
            Ok(written @ 1..) => Ok(written),
            failed => {
                let error = failed.err().unwrap_or(ErrorKind::WriteZero.into());
                shared.failures.inc();
                slot.lost += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                if !std::mem::replace(&mut slot.is_failing, true) {
                    tracing::error!(path = %shared.path.display(), %error, "the audit log cannot be written; lines are lost until it can");
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Slot {
    /// Ends a line that was cut, and tells of those that were lost.
    fn mend(&mut self, clock: &SharedClock) -> io::Result<()> {
        if self.is_torn {
            self.append(b"\n")?;
        }
        if self.lost > 0 {
            let mut line = Vec::new();
            lost_line(clock.now(), self.lost, &mut line);
            if self.append(&line)? < line.len() {
                return Err(ErrorKind::WriteZero.into());
            }
            self.lost = 0;
        }
        Ok(())
    }

    /// Says how much of it stands in whole lines. An error means nothing does.
    fn append(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut rest = lines;
        let mut failed = None;
        while !rest.is_empty() && failed.is_none() {
            match self.file.write(rest) {
                Ok(n @ 1..) => rest = &rest[n.min(rest.len())..],
                Ok(0) => failed = Some(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => failed = Some(error),
            }
        }
        let written = &lines[..lines.len() - rest.len()];
        if let Some(last) = written.last() {
            self.is_torn = *last != b'\n';
        }
        let whole = written.iter().rposition(|byte| *byte == b'\n');
        match (whole, failed) {
            (Some(end), _) => Ok(end + 1),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(written.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_files_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let opened = |path: &Path| AuditFile::open(path, Counter::default()).map(|_| ());
        let path = folder.path().join("audit.log");
        opened(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & !MODE, 0, "{mode:o}");
        assert!(opened(folder.path()).is_err());
        assert!(opened(&folder.path().join("none/audit.log")).is_err());
        assert!(opened(Path::new("/dev/null")).is_err());
    }

    /// What is written, where the system takes no more than so many bytes of a file.
    #[test]
    fn lines_are_whole_or_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let failures = Counter::default();
        let file = AuditFile::open(&path, failures.clone()).unwrap();
        let mut writer = file.writer(Arc::new(SystemClock));
        writer.write_all(b"one\n").unwrap();
        // A descriptor that cannot be written to, in place of a disk that is full.
        file.0.slot.lock().file = File::open(&path).unwrap();
        assert!(writer.write(b"two\nthree\n").is_err());
        assert!(writer.write(b"four\n").is_err());
        assert_eq!(failures.get(), 2);
        // Half a line was all there was room for.
        std::fs::write(&path, "one\nfi").unwrap();
        file.0.slot.lock().is_torn = true;
        file.0.slot.lock().file = open(&path).unwrap();
        writer.write_all(b"six\n").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!((lines[0], lines[1], lines[3]), ("one", "fi", "six"));
        assert!(lines[2].contains("\"lost\"") && lines[2].contains("\"count\":3"));
        // Another file takes the name.
        std::fs::rename(&path, folder.path().join("audit.log.1")).unwrap();
        file.reopen();
        writer.write_all(b"seven\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "seven\n");
    }
}
