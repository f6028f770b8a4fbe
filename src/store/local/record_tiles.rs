//! How much may be kept of what checksum databases have in their tiles of records. No `go` command asks for these, but
//! anyone may, and a database has gigabytes of them: so they have a bound, and the oldest go first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::name::RECORD_TILES;

/// All of them together. Bytes.
const MOST: u64 = 256 << 20;
/// What stays when that is reached, in hundredths.
const STAYS: u64 = 75;

/// What the tiles of records take.
pub struct RecordTiles {
    /// The folder of all databases.
    folder: PathBuf,
    most: u64,
    /// As counted, and added to since; none before that. Held while old ones are removed.
    taken: Mutex<Option<u64>>,
}

struct Kept {
    modified: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl RecordTiles {
    /// Of the databases below a folder.
    pub fn new(folder: PathBuf) -> Self {
        Self::bounded(folder, MOST)
    }

    fn bounded(folder: PathBuf, most: u64) -> Self {
        RecordTiles {
            folder,
            most,
            taken: Mutex::default(),
        }
    }

    /// Makes room for one more. Blocks.
    pub fn add(&self, bytes: u64) {
        let mut taken = self.taken.lock();
        let sum = match *taken {
            Some(sum) => sum,
            None => sum(&self.all()),
        };
        let sum = sum.saturating_add(bytes);
        *taken = Some(match sum > self.most {
            true => self.remove_oldest(bytes),
            false => sum,
        });
    }

    /// Gives what is left, with `more` bytes that are about to come.
    fn remove_oldest(&self, more: u64) -> u64 {
        let mut all = self.all();
        all.sort_by_key(|kept| kept.modified);
        let mut left = sum(&all).saturating_add(more);
        let stays = self.most / 100 * STAYS;
        let mut removed = 0_u64;
        for kept in all {
            if left <= stays {
                break;
            }
            if fs::remove_file(&kept.path).is_ok() {
                left -= kept.bytes;
                removed += 1;
            }
        }
        tracing::info!(
            removed,
            left,
            "old tiles of checksum databases' records made room for new ones"
        );
        left
    }

    fn all(&self) -> Vec<Kept> {
        let mut all = Vec::new();
        for database in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            // What cannot be read is counted the next time.
            let _ = gather(&database.path().join(RECORD_TILES), &mut all);
        }
        all
    }
}

fn sum(all: &[Kept]) -> u64 {
    all.iter().map(|kept| kept.bytes).sum()
}

/// Files with names that tiles have; links are not followed.
fn gather(folder: &Path, into: &mut Vec<Kept>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        let Some(name) = name.to_str() else { continue };
        let digits = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        if kind.is_dir() && name.strip_prefix('x').is_some_and(digits) {
            gather(&entry.path(), into)?;
        } else if kind.is_file() && digits(name) {
            let meta = entry.metadata()?;
            into.push(Kept {
                modified: meta.modified()?,
                bytes: meta.len(),
                path: entry.path(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let records = RecordTiles::bounded(dir.path().to_owned(), 10_000);
        let tiles = dir.path().join("sum.test/tile/8/data/x001");
        fs::create_dir_all(&tiles).unwrap();
        let hashes = dir.path().join("sum.test/tile/8/0");
        fs::create_dir_all(&hashes).unwrap();
        fs::write(hashes.join("000"), vec![0; 8192]).unwrap();
        fs::write(tiles.join("notes.txt"), vec![0; 5000]).unwrap();
        let epoch = SystemTime::UNIX_EPOCH;
        for n in 0..30_u64 {
            records.add(1000);
            let path = tiles.join(format!("{n:03}"));
            fs::write(&path, vec![0; 1000]).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(epoch + Duration::from_secs(n)).unwrap();
            assert!(sum(&records.all()) <= 10_000);
        }
        let newest = tiles.join("029");
        assert!(newest.exists() && !tiles.join("000").exists());
        // What was kept before a start counts.
        let again = RecordTiles::bounded(dir.path().to_owned(), 10_000);
        again.add(9000);
        assert!(sum(&again.all()) <= 1000);
        assert!(hashes.join("000").exists() && tiles.join("notes.txt").exists());
    }
}
