//! The folder of all mirrors: together they take no more than they may, and what was not used for longest goes first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::mirror::{self, Mirror, OWN, USED};
use super::tenant::Tenant;

/// How often the room is looked at, at the most.
const LOOK: Duration = Duration::from_secs(60);
/// What was used less than this ago stays: it may be in use.
const IN_USE: Duration = Duration::from_secs(3600);
/// Of strangers' mirrors: longer than one use of them takes.
const IN_USE_BY_STRANGERS: Duration = Duration::from_secs(900);

/// All mirrors. Clones are the same.
#[derive(Clone)]
pub struct MirrorCache {
    folder: PathBuf,
    /// Bytes.
    most: u64,
    /// How much they take, as last counted.
    taken: Gauge,
    looked: Arc<Mutex<Option<Instant>>>,
    /// Strangers' mirrors, as last counted. Bytes.
    strangers: Arc<AtomicU64>,
}

impl MirrorCache {
    /// Mirrors in `folder` take at most `most` bytes.
    pub fn new(folder: PathBuf, most: u64, taken: Gauge) -> Self {
        MirrorCache {
            folder,
            most,
            taken,
            looked: Arc::default(),
            strangers: Arc::default(),
        }
    }

    /// Whether there is room for another fetch of somebody's. Strangers must wait where what they have caused already takes
    /// all of it, and none of that can go yet.
    pub fn has_room(&self, tenant: Tenant) -> bool {
        tenant == Tenant::Own || self.strangers.load(Ordering::Relaxed) <= self.most
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
            let strangers = Arc::clone(&self.strangers);
            tokio::spawn(async move {
                let left = make_room(&folder, most, [IN_USE_BY_STRANGERS, IN_USE]).await;
                strangers.store(left[0], Ordering::Relaxed);
                let sum = left.iter().sum::<u64>();
                taken.set(i64::try_from(sum).unwrap_or(i64::MAX));
            });
        }
    }
}

/// Removes what there is no room for: of whoever has more than half of it, the least recently used first. Gives how much
/// is left of strangers' and of others. Bytes.
async fn make_room(folder: &Path, most: u64, in_use: [Duration; 2]) -> [u64; 2] {
    let mut mirrors: [BTreeSet<_>; 2] = Default::default();
    let mut sums = [0; 2];
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let dir = entry.path();
        // What has no mark, or is a link, is not ours to remove.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder || !dir.join(USED).is_file() {
            continue;
        }
        let used = dir.join(USED).metadata().and_then(|meta| meta.modified());
        let used = used.unwrap_or(SystemTime::UNIX_EPOCH);
        let size = mirror::size(&dir).await;
        let own = usize::from(entry.file_name().to_string_lossy().starts_with(OWN));
        sums[own] += size;
        mirrors[own].insert((used, size, dir));
    }
    while sums[0] + sums[1] > most {
        // One of the two has more than half.
        let side = usize::from(sums[0] <= most / 2);
        let Some((used, size, dir)) = mirrors[side].pop_first() else {
            break;
        };
        if used.elapsed().map_or(true, |age| age < in_use[side]) {
            break;
        }
        // It may have been taken into use while the others were counted.
        let mark = dir.join(USED).metadata().and_then(|meta| meta.modified());
        if mark.is_ok_and(|at| at != used) {
            continue;
        }
        sums[side] -= size;
        tracing::info!(dir = %dir.display(), size, "a mirror makes room for others (direct.mirrors)");
        let removed = tokio::task::spawn_blocking(move || mirror::remove(&dir)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "a mirror could not be removed");
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that was used so many hours ago.
    fn mirror(folder: &Path, name: &str, hours: u64) {
        let dir = folder.join(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("pack"), vec![0; 1000]).unwrap();
        let epoch = SystemTime::UNIX_EPOCH;
        let now = epoch + epoch.elapsed().unwrap();
        let mark = std::fs::File::create(dir.join(USED)).unwrap();
        let used = now - Duration::from_secs(hours * 3600);
        mark.set_modified(used).unwrap();
    }

    #[tokio::test]
    async fn what_was_not_used_for_longest_goes() {
        let folder = tempfile::tempdir().unwrap();
        for (name, hours) in [("old", 3), ("older", 4), ("new", 0)] {
            mirror(folder.path(), name, hours);
        }
        let left = || {
            let names = std::fs::read_dir(folder.path()).unwrap().flatten();
            let mut names: Vec<_> = names
                .map(|it| it.file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        make_room(folder.path(), 3000, [IN_USE; 2]).await;
        assert_eq!(left().len(), 3);
        make_room(folder.path(), 2500, [IN_USE; 2]).await;
        assert_eq!(left(), ["new", "old"]);
        make_room(folder.path(), 0, [IN_USE; 2]).await;
        assert_eq!(left(), ["new"], "it may be in use");
    }

    #[tokio::test]
    async fn strangers_mirrors_do_not_drive_out_others() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, hours| mirror(folder.path(), name, hours);
        make("own-old", 9);
        make("own-older", 10);
        for n in 0..6 {
            make(&n.to_string(), n + 2);
        }
        assert_eq!(
            make_room(folder.path(), 4000, [IN_USE; 2]).await,
            [2000, 2000]
        );
        make("new", 0);
        make("newer", 0);
        // Strangers' mirrors that are in use stay, and drive out nobody.
        let left = make_room(folder.path(), 3000, [IN_USE; 2]).await;
        assert_eq!(left, [2000, 2000]);
        assert!(folder.path().join("own-older").exists());
    }
}
