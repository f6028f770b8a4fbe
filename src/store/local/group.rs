//! Small files made durable in groups: what is waiting is written, synced and renamed together, so that the file system
//! commits twice for many files rather than several times for each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::error::LocalError;
use super::temporary;
use super::whole_fs::WholeFs;

/// Files waiting at the most; whoever comes later waits for room, which slows fetching down to what the disk takes.
const QUEUE: usize = 256;
/// Files in one group at the most.
const GROUP: usize = 128;
/// From so many files on, their whole file system is synced rather than each of them.
const MANY: usize = 4;

/// One file to be kept.
pub struct Adoption {
    /// Its final name; the folder may not exist yet.
    pub path: PathBuf,
    /// The folder in which it is made.
    pub temporary: PathBuf,
    /// Its content.
    pub body: Bytes,
}

type Waiting = (Adoption, oneshot::Sender<io::Result<()>>);

/// The thread that makes files durable.
pub struct Group {
    queue: mpsc::Sender<Waiting>,
}

impl Group {
    /// Starts it. `root` is the folder below which all names are; it exists and is durable.
    pub fn start(root: PathBuf) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let run = move || work(&root, jobs);
        std::thread::Builder::new()
            .name("larder-publish".into())
            .spawn(run)?;
        Ok(Group { queue })
    }

    /// Waits until the thread is gone.
    pub async fn ended(&self) {
        self.queue.closed().await;
    }

    /// Returns when the file is durable under its name.
    pub async fn publish(&self, adoption: Adoption) -> Result<(), LocalError> {
        let doing = "keeping a file";
        let (answer, done) = oneshot::channel();
        let queued = self.queue.send((adoption, answer)).await;
        queued.map_err(|_| LocalError::Ended { doing })?;
        match done.await {
            Ok(kept) => kept.map_err(|source| LocalError::Io { doing, source }),
            Err(_) => Err(LocalError::Ended { doing }),
        }
    }
}

/// A file that has been written under a temporary name.
struct Written {
    temporary: PathBuf,
    file: File,
    /// Whose entries must be durable before the file is.
    folders: Vec<PathBuf>,
    adoption: Adoption,
    answer: oneshot::Sender<io::Result<()>>,
}

fn work(root: &Path, mut jobs: mpsc::Receiver<Waiting>) {
    let whole_fs = WholeFs::of(root);
    let mut group = Vec::with_capacity(GROUP);
    while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
        // Folders that this group makes concern all its files below them, whoever was first.
        let mut made = BTreeSet::new();
        let mut written = Vec::with_capacity(group.len());
        for (adoption, answer) in group.drain(..) {
            match write(root, &adoption, &mut made) {
                Ok((temporary, file)) => written.push(Written {
                    temporary,
                    file,
                    folders: folders_of(root, &adoption.path, &made),
                    adoption,
                    answer,
                }),
                // A caller that has gone away does not need the answer; so below.
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        // Synced and renamed at once where that is possible, else one by one, which also tells whose fault an error is.
        let whole_fs = whole_fs
            .as_ref()
            .filter(|fs| written.len() >= MANY && written.iter().all(|one| one.is_on(fs)));
        let is_synced = whole_fs.is_some_and(|fs| fs.sync().is_ok());
        written.retain_mut(|one| match one.rename(is_synced) {
            Ok(()) => true,
            Err(error) => {
                // Best effort: the next start removes it anyway.
                let _ = std::fs::remove_file(&one.temporary);
                let (gone, _) = oneshot::channel();
                let _ = std::mem::replace(&mut one.answer, gone).send(Err(error));
                false
            }
        });
        let is_synced = is_synced && whole_fs.is_some_and(|fs| fs.sync().is_ok());
        let mut synced: BTreeMap<PathBuf, Result<(), io::ErrorKind>> = BTreeMap::new();
        for Written {
            folders, answer, ..
        } in written
        {
            let all = folders.into_iter().try_for_each(|folder| match is_synced {
                true => Ok(()),
                false => *synced
                    .entry(folder)
                    .or_insert_with_key(|folder| sync(folder).map_err(|error| error.kind())),
            });
            let _ = answer.send(all.map_err(io::Error::from));
        }
    }
}

impl Written {
    fn is_on(&self, fs: &WholeFs) -> bool {
        fs.has(&self.temporary) && self.folders.iter().all(|folder| fs.has(folder))
    }

    /// Gives it its name, once its content is durable.
    fn rename(&self, is_synced: bool) -> io::Result<()> {
        if !is_synced {
            self.file.sync_all()?;
        }
        temporary::place(&self.temporary, &self.adoption.path)
    }
}

/// Makes a folder's entries durable.
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folders whose entries must be durable for a file to be: its own, and the parents of those above it that are new.
pub fn folders_of(root: &Path, path: &Path, made: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let own = path.parent().map(Path::to_owned);
    let above = path
        .ancestors()
        .skip(1)
        .take_while(|folder| *folder != root)
        .filter(|folder| made.contains(*folder))
        .filter_map(|folder| folder.parent().map(Path::to_owned));
    own.into_iter().chain(above).collect()
}

/// Makes the folder of a file, if it is not there; what is new is noted.
pub fn make_folder(root: &Path, path: &Path, made: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        let missing = folder
            .ancestors()
            .take_while(|above| *above != root && !above.is_dir());
        let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        std::fs::create_dir_all(folder)?;
        made.extend(missing);
    }
    Ok(())
}

/// Writes a file under a temporary name, making its folder; folders that are new are noted.
fn write(
    root: &Path,
    adoption: &Adoption,
    made: &mut BTreeSet<PathBuf>,
) -> io::Result<(PathBuf, File)> {
    make_folder(root, &adoption.path, made)?;
    let temporary = adoption.temporary.join(temporary::fresh_name());
    let write = || -> io::Result<File> {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .open(&temporary)?;
        file.write_all(&adoption.body)?;
        Ok(file)
    };
    match write() {
        Ok(file) => Ok((temporary, file)),
        Err(error) => {
            // As above.
            let _ = std::fs::remove_file(&temporary);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn one_folder_that_cannot_be_made_fails_its_own_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let (root, tmp) = (dir.path().join("modules"), dir.path().join("tmp"));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&tmp).unwrap();
        // A file where a folder should be cannot be overcome by anyone, root included.
        std::fs::write(root.join("taken"), "").unwrap();
        std::fs::set_permissions(root.join("taken"), PermissionsExt::from_mode(0o400)).unwrap();
        let group = Group::start(root.clone()).unwrap();
        let publish = |path: String| {
            let adoption = Adoption {
                path: root.join(path),
                temporary: tmp.clone(),
                body: Bytes::from_static(b"x"),
            };
            group.publish(adoption)
        };
        let good = (0..200).map(|n| publish(format!("example.com/m{n}/@v/v1.0.0.info")));
        let bad = (0..20).map(|n| publish(format!("taken/m{n}/@v/v1.0.0.info")));
        let (good, bad) = futures_util::future::join(
            futures_util::future::join_all(good),
            futures_util::future::join_all(bad),
        )
        .await;
        assert!(good.iter().all(Result::is_ok), "{good:?}");
        assert!(bad.iter().all(Result::is_err));
        assert_eq!(
            std::fs::read(root.join("example.com/m7/@v/v1.0.0.info")).unwrap(),
            b"x"
        );
        assert_eq!(std::fs::read_dir(tmp).unwrap().count(), 0);
    }

    /// A folder that is a link may lead to another file system, which a sync of this one does not reach.
    #[tokio::test]
    async fn a_file_on_another_file_system_is_kept_with_the_others() {
        let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let (root, tmp) = (dir.path().join("data"), dir.path().join("tmp"));
        std::fs::create_dir_all(root.join("here")).unwrap();
        std::fs::create_dir(&tmp).unwrap();
        std::os::unix::fs::symlink(other.path(), root.join("there")).unwrap();
        if let Some(fs) = WholeFs::of(&root) {
            assert!(fs.has(&root.join("here")) && !fs.has(&root.join("there")));
            assert!(!fs.has(&root.join("absent")));
            fs.sync().unwrap();
        }
        let group = Group::start(root.clone()).unwrap();
        for folders in [&["here"][..], &["here", "there"]] {
            let publish = |n: usize| {
                group.publish(Adoption {
                    path: root
                        .join(folders[n % folders.len()])
                        .join(format!("{n}.mod")),
                    temporary: tmp.clone(),
                    body: Bytes::from(format!("{n}")),
                })
            };
            let kept = futures_util::future::join_all((0..64).map(publish)).await;
            assert!(kept.iter().all(Result::is_ok), "{kept:?}");
            for n in 0..64 {
                let path = root
                    .join(folders[n % folders.len()])
                    .join(format!("{n}.mod"));
                assert_eq!(std::fs::read_to_string(path).unwrap(), format!("{n}"));
            }
        }
        assert_eq!(std::fs::read_dir(tmp).unwrap().count(), 0);
    }
}
