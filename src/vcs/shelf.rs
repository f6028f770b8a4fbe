//! The folder of all mirrors: together they take no more than they may, and what was not used for longest goes first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::mirror::{self, Mirror, USED};

/// How often the room is looked at, at the most.
const LOOK: Duration = Duration::from_secs(60);
/// What was used less than this ago stays: it may be in use.
const IN_USE: Duration = Duration::from_secs(3600);

/// All mirrors.
pub struct Shelf {
    folder: PathBuf,
    /// Bytes.
    most: u64,
    /// How much they take, as last counted.
    taken: Gauge,
    looked: Arc<Mutex<Option<Instant>>>,
}

impl Shelf {
    /// Mirrors in `folder` take at most `most` bytes.
    pub fn new(folder: PathBuf, most: u64, taken: Gauge) -> Self {
        Shelf {
            folder,
            most,
            taken,
            looked: Arc::default(),
        }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A mirror is about to be used. Now and then this makes room beside.
    pub fn used(&self, mirror: &Mirror) {
        let due = {
            let mut looked = self.looked.lock();
            let due = looked.is_none_or(|at| at.elapsed() > LOOK);
            if due {
                *looked = Some(Instant::now());
            }
            due
        };
        let mark = mirror.dir().join(USED);
        let old = |mark: &Path| {
            let modified = mark.metadata().and_then(|meta| meta.modified()).ok();
            modified.is_none_or(|at| at.elapsed().is_ok_and(|age| age > LOOK))
        };
        if mirror.dir().exists() && old(&mark) {
            // A mirror without a mark is one of long ago.
            let _ = std::fs::write(&mark, "");
        }
        if due {
            let (folder, most) = (self.folder.clone(), self.most);
            let taken = self.taken.clone();
            tokio::spawn(async move {
                let left = make_room(&folder, most, IN_USE).await;
                taken.set(i64::try_from(left).unwrap_or(i64::MAX));
            });
        }
    }
}

/// Removes what there is no room for; gives how much is left. Bytes.
async fn make_room(folder: &Path, most: u64, in_use: Duration) -> u64 {
    let mut mirrors = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let dir = entry.path();
        if !dir.is_dir() {
            continue;
        }
        let used = dir.join(USED).metadata().and_then(|meta| meta.modified());
        let used = used.unwrap_or(SystemTime::UNIX_EPOCH);
        mirrors.push((used, mirror::size(&dir).await, dir));
    }
    let mut sum: u64 = mirrors.iter().map(|(_, size, _)| size).sum();
    mirrors.sort();
    for (used, size, dir) in mirrors {
        let recent = used.elapsed().map_or(true, |age| age < in_use);
        if sum <= most || recent {
            break;
        }
        // It may have been taken into use while the others were counted.
        let mark = dir.join(USED).metadata().and_then(|meta| meta.modified());
        if mark.is_ok_and(|at| at != used) {
            continue;
        }
        sum -= size;
        tracing::info!(dir = %dir.display(), size, "a mirror makes room for others (direct.mirrors)");
        let removed = tokio::task::spawn_blocking(move || mirror::remove(&dir)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "a mirror could not be removed");
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_not_used_for_longest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let epoch = SystemTime::UNIX_EPOCH;
        let now = epoch + epoch.elapsed().unwrap();
        for (name, hours) in [("old", 3), ("older", 4), ("new", 0)] {
            let dir = folder.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("pack"), vec![0; 1000]).unwrap();
            let mark = std::fs::File::create(dir.join(USED)).unwrap();
            mark.set_modified(now - Duration::from_secs(hours * 3600))
                .unwrap();
        }
        let left = || {
            let names = std::fs::read_dir(folder.path()).unwrap().flatten();
            let mut names: Vec<_> = names
                .map(|it| it.file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        make_room(folder.path(), 3000, IN_USE).await;
        assert_eq!(left().len(), 3);
        make_room(folder.path(), 2500, IN_USE).await;
        assert_eq!(left(), ["new", "old"]);
        make_room(folder.path(), 0, IN_USE).await;
        assert_eq!(left(), ["new"], "it may be in use");
    }
}
