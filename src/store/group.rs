//! Small files made durable in groups: what is waiting is written, synced and renamed together, so that the file system
//! commits once for many files rather than several times for each.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::spool::Spools;

/// Files waiting at the most; whoever comes later waits for room, which slows fetching down to what the disk takes.
const QUEUE: usize = 256;
/// Files in one group at the most.
const GROUP: usize = 128;

/// One file to be kept.
pub struct Job {
    /// Its final name; the folder may not exist yet.
    pub path: PathBuf,
    /// Its content.
    pub body: Bytes,
}

type Waiting = (Job, oneshot::Sender<io::Result<()>>);

/// The thread that makes files durable.
pub struct Group {
    queue: mpsc::Sender<Waiting>,
}

impl Group {
    /// Starts it. `root` is the folder below which all names are; it exists and is durable.
    pub fn start(root: PathBuf, spools: Arc<Spools>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let run = move || work(&root, &spools, jobs);
        std::thread::Builder::new()
            .name("larder-publish".into())
            .spawn(run)?;
        Ok(Group { queue })
    }

    /// Returns when the file is durable under its name.
    pub async fn publish(&self, job: Job) -> io::Result<()> {
        let (answer, done) = oneshot::channel();
        let ended = || io::Error::other("the publishing thread has ended");
        self.queue.send((job, answer)).await.map_err(|_| ended())?;
        done.await.map_err(|_| ended())?
    }
}

/// A file that has been written under a temporary name.
struct Written {
    temporary: PathBuf,
    file: File,
    job: Job,
    answer: oneshot::Sender<io::Result<()>>,
}

fn work(root: &Path, spools: &Spools, mut jobs: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(GROUP);
    while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
        let mut folders = BTreeSet::new();
        let mut written = Vec::with_capacity(group.len());
        for (job, answer) in group.drain(..) {
            match write(root, spools, &job, &mut folders) {
                Ok((temporary, file)) => written.push(Written {
                    temporary,
                    file,
                    job,
                    answer,
                }),
                // A caller that has gone away does not need the answer; so below.
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        let mut renamed = Vec::with_capacity(written.len());
        for Written {
            temporary,
            file,
            job,
            answer,
        } in written
        {
            match file
                .sync_all()
                .and_then(|()| std::fs::rename(&temporary, &job.path))
            {
                Ok(()) => renamed.push(answer),
                Err(error) => {
                    // Best effort: the next start removes it anyway.
                    let _ = std::fs::remove_file(&temporary);
                    let _ = answer.send(Err(error));
                }
            }
        }
        let synced = folders
            .iter()
            .try_for_each(|folder| File::open(folder)?.sync_all());
        for answer in renamed {
            let same = synced
                .as_ref()
                .copied()
                .map_err(|error| io::Error::new(error.kind(), error.to_string()));
            let _ = answer.send(same);
        }
    }
}

/// Writes a file under a temporary name and notes the folders whose entries must be made durable.
fn write(
    root: &Path,
    spools: &Spools,
    job: &Job,
    folders: &mut BTreeSet<PathBuf>,
) -> io::Result<(PathBuf, File)> {
    if let Some(folder) = job.path.parent() {
        make_folder(root, folder, folders)?;
    }
    let temporary = spools.fresh_path();
    let write = || -> io::Result<File> {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .open(&temporary)?;
        file.write_all(&job.body)?;
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

/// Makes a folder below `root`; those that get a new entry are noted.
pub fn make_folder(root: &Path, folder: &Path, folders: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    folders.insert(folder.to_owned());
    if folder.is_dir() {
        return Ok(());
    }
    let missing = folder
        .ancestors()
        .take_while(|ancestor| *ancestor != root && !ancestor.is_dir());
    folders.extend(missing.filter_map(Path::parent).map(Path::to_owned));
    std::fs::create_dir_all(folder)
}
