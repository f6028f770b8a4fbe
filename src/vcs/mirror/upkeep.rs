//! How a mirror is kept small and whole.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{LOCAL, Mirror, SERVED};
use crate::vcs::git::Bounds;

/// Packs that a mirror has before they are made one.
pub(super) const PACKS: usize = 80;
/// How long it is left alone when that has failed.
const UNTIDY: Duration = Duration::from_secs(6 * 3600);
/// How long that may take.
const TIDY: Duration = Duration::from_secs(600);

impl Mirror {
    /// Removes what fails for ever as it is: it can be fetched again. Waits for its turn.
    pub async fn condemn(&self, why: &str) {
        let _lock = self.lock().await;
        tracing::warn!(dir = %self.dir.display(), why, "a damaged mirror is removed");
        self.remove().await;
    }

    pub(super) async fn remove(&self) {
        let dir = self.dir.clone();
        // Whatever is left makes the next fetch say so.
        let _ = tokio::task::spawn_blocking(move || remove(&dir)).await;
    }

    /// Removes what a fetch that was ended has left behind; only one's own turn may do that.
    pub(super) async fn sweep(&self) {
        let dir = self.dir.clone();
        // Whatever cannot be removed makes git say so.
        let _ = tokio::task::spawn_blocking(move || sweep(&dir)).await;
    }

    /// Makes fewer packs of many, if there are many.
    pub async fn tidy(&self) {
        let lately = |at: Instant| at.elapsed() < UNTIDY;
        if self.packs() <= PACKS || self.untidy.lock().is_some_and(lately) {
            return;
        }
        if self.tidying.swap(true, Ordering::AcqRel) {
            return;
        }
        let lock = self.lock().await;
        if self.packs() > PACKS {
            let bounds = Bounds {
                time: TIDY,
                ..LOCAL
            };
            let arguments = ["repack", "--geometric=2", "-d", "-q"];
            if let Err(error) = self.local(&arguments, bounds).await {
                tracing::warn!(%error, dir = %self.dir.display(), "a mirror could not be tidied");
                *self.untidy.lock() = Some(Instant::now());
            }
        }
        drop(lock);
        self.tidying.store(false, Ordering::Release);
    }

    fn packs(&self) -> usize {
        let packs = self.dir.join("objects/pack");
        let pack = |path: &Path| path.extension().is_some_and(|kind| kind == "pack");
        std::fs::read_dir(packs).map_or(0, |entries| {
            entries.flatten().filter(|it| pack(&it.path())).count()
        })
    }
}

/// Out of the way first, in one step: nobody finds half of it.
pub fn remove(dir: &Path) -> std::io::Result<()> {
    let aside = dir.with_extension(format!("gone-{:08x}", fastrand::u32(..)));
    std::fs::rename(dir, &aside)?;
    std::fs::remove_dir_all(aside)
}

/// What a mirror takes on the disk. Bytes.
pub async fn size(dir: &Path) -> u64 {
    let dir = dir.to_owned();
    let counted = tokio::task::spawn_blocking(move || {
        let mut bytes = 0;
        each_file(&dir, &mut |_, length| bytes += length);
        bytes
    });
    counted.await.unwrap_or(0)
}

fn sweep(dir: &Path) {
    let mut left = Vec::new();
    // A commit is held on to at any time, by whoever gives it out.
    let own = dir.join(SERVED);
    each_file(dir, &mut |path, _| {
        let name = path.file_name().map(OsStr::to_string_lossy);
        let stale = name.is_some_and(|name| name.ends_with(".lock") || name.starts_with("tmp_"));
        if stale && !path.starts_with(&own) {
            left.push(path.to_owned());
        }
    });
    for path in left {
        // Gone already, or git will say.
        let _ = std::fs::remove_file(path);
    }
}

/// Every file below, with its size; links are not followed.
pub(super) fn each_file(dir: &Path, tell: &mut dyn FnMut(&Path, u64)) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => each_file(&entry.path(), tell),
            Ok(meta) => tell(&entry.path(), meta.len()),
            Err(_) => {}
        }
    }
}
