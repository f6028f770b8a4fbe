//! A bare mirror of one repository: kept, updated in part, and read by one caller at a time where that matters
//! (protocol.md 6.3 and 6.6).
//!
//! A version needs the tree of one commit, so that is what is fetched first. The history is fetched only for questions that
//! need it (ancestors, commits that no reference names), once, and from then on by increments.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::git::{Access, Bounds, Git, GitError, Output};
use super::party::Party;
use super::refs::{ObjectId, RefLimits, RefTable, RefsError};
use super::workspace::Workspace;

/// Of a list of references: clients that wait for nothing else are answered within 45 s.
const REFS: Duration = Duration::from_secs(40);
/// Packs that a mirror has before they are made one.
const PACKS: usize = 80;
/// How long it is left alone when that has failed.
const UNTIDY: Duration = Duration::from_secs(6 * 3600);
/// How long that may take.
const TIDY: Duration = Duration::from_secs(600);
/// A mirror that has nothing yet is smaller than this. Bytes.
const EMPTY: u64 = 64 << 10;
/// How often the disk is looked at while something is fetched, and each how many times the size of the mirror.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 4;
/// Something local and small.
const LOCAL: Bounds = Bounds {
    time: Duration::from_secs(30),
    output: 64 << 10,
    memory: None,
};
/// A question about the history, which may be long.
const HISTORY: Bounds = Bounds {
    time: Duration::from_secs(300),
    output: 64 << 20,
    memory: None,
};
/// A commit object: its message may be long.
const COMMIT: Bounds = Bounds {
    time: Duration::from_secs(30),
    output: 4 << 20,
    memory: None,
};
/// The name under which what is fetched for one version is held on to.
const HELD: &str = "refs/larder/held/";
/// And that of commits that were given out.
const SERVED: &str = "refs/larder/served/";
/// All that counts.
const ALL: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
/// The file that is made last.
const MADE: &str = "info/attributes";
/// The file whose age says when a mirror was last used.
pub const USED: &str = "larder-used";
/// With this begin the names of folders that are not strangers'.
pub const OWN: &str = "own-";
/// The file that says that the history of all heads and tags is here.
const COMPLETE: &str = "larder-complete";

/// Why a repository has no answer.
#[derive(Clone, Debug, Error)]
pub enum MirrorError {
    /// Git said no, or took too long, or is not there.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Its list of references makes no sense.
    #[error("the list of references cannot be read: {0}")]
    Refs(#[from] RefsError),
    /// Our own folder cannot be used.
    #[error("the mirror's folder cannot be used: {0}")]
    Folder(String),
    /// The disk has no room for it.
    #[error("larder's disk has no room for it (store.reserve)")]
    NoRoom,
    /// It is larger than allowed.
    #[error("the repository is larger than {} MB", .0 / 1_000_000)]
    TooLarge(u64),
    /// It was damaged, and has been removed.
    #[error("the mirror was damaged and is made anew: {0}")]
    Damaged(String),
    /// A reference does not stand for what it stood for a moment ago.
    #[error("commit {} is not there any more", .0.as_str())]
    Moved(ObjectId),
    /// A commit object that is none.
    #[error("commit {} cannot be read", .0.as_str())]
    Commit(ObjectId),
}

/// Where a fetch goes.
#[derive(Clone, Copy)]
pub struct Remote<'a> {
    /// The address, without who we are.
    pub url: &'a str,
    /// How it may be reached.
    pub access: &'a Access,
    /// How long one fetch may take.
    pub time: Duration,
    /// How large the mirror may become. Bytes.
    pub size: u64,
    /// Of what git may hold in memory meanwhile. Bytes.
    pub memory: Option<u64>,
    /// The disk that it is on.
    pub space: &'a Workspace,
}

/// How large a list of references may be.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// Of what is read.
    pub limits: RefLimits,
    /// Of what git prints. Bytes.
    pub output: u64,
    /// Of what git may hold in memory. Bytes.
    pub memory: Option<u64>,
}

impl Listing {
    /// Of a repository of whichever size.
    const OWN: Listing = Listing {
        limits: RefLimits {
            refs: 500_000,
            name: 1024,
        },
        output: 64 << 20,
        memory: None,
    };
    /// Of one that anybody may name.
    const STRANGERS: Listing = Listing {
        limits: RefLimits {
            refs: 60_000,
            name: 256,
        },
        output: 6 << 20,
        memory: Some(256 << 20),
    };

    /// Of what whose modules name.
    pub fn of(party: Party) -> Self {
        match party {
            Party::Strangers => Self::STRANGERS,
            Party::Own => Self::OWN,
        }
    }
}

/// Which repository a mirror is of, as whom it is asked, and for whom. What was fetched under a login is for that login.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MirrorKey {
    /// The address.
    pub url: String,
    /// As whom; no secret.
    pub identity: String,
    /// For whose modules.
    pub party: Party,
}

/// A mirror.
pub struct Mirror {
    git: Git,
    dir: PathBuf,
    /// For what is asked of it here.
    access: Access,
    /// When it was last tidied in vain.
    untidy: Mutex<Option<Instant>>,
    tidying: AtomicBool,
    /// The largest file that is read. Bytes.
    max_file: u64,
    /// One fetch at a time.
    fetching: Semaphore,
}

/// As long as this lives nobody else changes the mirror.
pub struct Turn<'a> {
    _permit: SemaphorePermit<'a>,
}

/// What is known of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it was committed, in seconds since 1970.
    pub committed: i64,
}

impl Mirror {
    /// The mirror of `key` below `root`; nothing is made or asked yet.
    pub fn new(git: Git, root: &Path, key: &MirrorKey, max_file: u64) -> Arc<Self> {
        let name = Sha256::digest(format!("git4:{}\n{}", key.identity, key.url));
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let prefix = match key.party {
            Party::Strangers => "",
            Party::Own => OWN,
        };
        Arc::new(Mirror {
            git,
            dir: root.join(format!("{prefix}{name}")),
            access: Access {
                party: key.party,
                ..Access::default()
            },
            untidy: Mutex::default(),
            tidying: AtomicBool::new(false),
            max_file,
            fetching: Semaphore::new(1),
        })
    }

    /// Whether the history of all heads and tags was fetched once.
    pub fn is_complete(&self) -> bool {
        self.dir.join(COMPLETE).exists()
    }

    /// For whose modules it is.
    pub fn party(&self) -> Party {
        self.access.party
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Asks for the references.
    pub async fn refs(
        &self,
        remote: Remote<'_>,
        listing: Listing,
    ) -> Result<RefTable, MirrorError> {
        // Of some repositories nearly all references are proposals of strangers.
        let arguments = [
            "ls-remote",
            "--quiet",
            "--end-of-options",
            remote.url,
            "HEAD",
            "refs/heads/*",
            "refs/tags/*",
        ];
        // Outside any repository: nothing there can have a say.
        let nowhere = Path::new("/nonexistent");
        let bounds = Bounds {
            time: remote.time.min(REFS),
            output: listing.output,
            memory: listing.memory,
        };
        let list = self
            .git
            .run(nowhere, remote.access, &arguments, None, bounds)
            .await?;
        Ok(RefTable::parse(&list, listing.limits)?)
    }

    /// Waits until nobody else changes it. Places elsewhere are to be taken after this.
    pub async fn turn(&self) -> Option<Turn<'_>> {
        self.fetching
            .acquire()
            .await
            .ok()
            .map(|permit| Turn { _permit: permit })
    }

    /// Makes sure that a commit's tree is here; `reference` names it at the remote (`refs/tags/…`, `refs/heads/…`).
    pub async fn ensure(
        &self,
        _turn: &Turn<'_>,
        remote: Remote<'_>,
        id: &ObjectId,
        reference: &str,
    ) -> Result<(), MirrorError> {
        if self.has(id).await? {
            return Ok(());
        }
        self.init(id).await?;
        if self.is_complete() {
            // Of one commit alone its history would seem to end there.
            self.fetch(remote, &["--prune"], &ALL).await?;
        } else {
            let held = format!("+{reference}:{HELD}{}", id.as_str());
            match self.fetch(remote, &["--depth=1"], &[&held]).await {
                // Some servers give all or nothing.
                Err(MirrorError::Git(GitError::Failed { words, .. }))
                    if is_all_or_nothing(&words) =>
                {
                    self.fetch(remote, &["--prune"], &ALL).await?;
                }
                fetched => fetched?,
            }
        }
        if self.kind(id.as_str()).await?.is_some() {
            Ok(())
        } else {
            Err(MirrorError::Moved(id.clone()))
        }
    }

    /// Makes sure that all heads and tags are here with their history, as of now.
    pub async fn complete(
        &self,
        _turn: &Turn<'_>,
        remote: Remote<'_>,
        any: &ObjectId,
    ) -> Result<(), MirrorError> {
        self.init(any).await?;
        self.fetch(remote, &["--prune"], &ALL).await?;
        if self.dir.join("shallow").exists() {
            // By itself: together with new references some servers send too little (protocol.md 6.6).
            self.fetch(remote, &["--unshallow"], &ALL).await?;
        }
        let graph = ["commit-graph", "write", "--reachable", "--split"];
        if let Err(error) = self.local(&graph, HISTORY).await {
            // Questions take longer without.
            tracing::warn!(%error, dir = %self.dir.display(), "no commit graph");
        }
        let mark = self.dir.join(COMPLETE);
        std::fs::write(mark, "").map_err(|error| MirrorError::Folder(error.to_string()))
    }

    async fn fetch(
        &self,
        remote: Remote<'_>,
        options: &[&str],
        what: &[&str],
    ) -> Result<(), MirrorError> {
        self.sweep().await;
        let before = size(&self.dir).await;
        let mut arguments = vec![
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
        ];
        arguments.extend_from_slice(options);
        arguments.extend_from_slice(&["--end-of-options", remote.url]);
        arguments.extend_from_slice(what);
        let bounds = Bounds {
            time: remote.time,
            memory: remote.memory,
            ..LOCAL
        };
        let fetched = tokio::select! {
            fetched = self.git.run(&self.dir, remote.access, &arguments, None, bounds) => fetched.map_err(MirrorError::from),
            error = self.outgrown(remote) => Err(error),
        };
        if fetched.is_err() {
            self.sweep().await;
        }
        if size(&self.dir).await > remote.size || matches!(fetched, Err(MirrorError::TooLarge(_))) {
            self.remove().await;
            // Of many fetches together: one alone may well have room.
            return Err(match before > EMPTY {
                true => MirrorError::Damaged("it has outgrown its bounds".into()),
                false => MirrorError::TooLarge(remote.size),
            });
        }
        // It may have been over before anybody looked.
        let full = !remote.space.has_room() || matches!(fetched, Err(MirrorError::NoRoom));
        if full && (fetched.is_ok() || before <= EMPTY) {
            // It has taken the room that others are to have, and can be fetched again when there is more.
            self.remove().await;
        }
        let Err(error) = fetched.and(if full {
            Err(MirrorError::NoRoom)
        } else {
            Ok(())
        }) else {
            return Ok(());
        };
        if error.is_damage() {
            self.remove().await;
            return Err(MirrorError::Damaged(error.to_string()));
        }
        Err(error)
    }

    /// Removes what fails for ever as it is: it can be fetched again. Waits for its turn.
    pub async fn condemn(&self, why: &str) {
        let _turn = self.turn().await;
        tracing::warn!(dir = %self.dir.display(), why, "a damaged mirror is removed");
        self.remove().await;
    }

    async fn remove(&self) {
        let dir = self.dir.clone();
        // Whatever is left makes the next fetch say so.
        let _ = tokio::task::spawn_blocking(move || remove(&dir)).await;
    }

    /// Ends when the mirror is larger than it may be, or the disk has no more room, whoever has taken it.
    async fn outgrown(&self, remote: Remote<'_>) -> MirrorError {
        loop {
            for _ in 0..LOOKS {
                tokio::time::sleep(LOOK).await;
                if !remote.space.has_room() {
                    return MirrorError::NoRoom;
                }
            }
            if size(&self.dir).await > remote.size {
                return MirrorError::TooLarge(remote.size);
            }
        }
    }

    /// Removes what a fetch that was ended has left behind; only one's own turn may do that.
    async fn sweep(&self) {
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
        let turn = self.turn().await;
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
        drop(turn);
        self.tidying.store(false, Ordering::Release);
    }

    fn packs(&self) -> usize {
        let packs = self.dir.join("objects/pack");
        let pack = |path: &Path| path.extension().is_some_and(|kind| kind == "pack");
        std::fs::read_dir(packs).map_or(0, |entries| {
            entries.flatten().filter(|it| pack(&it.path())).count()
        })
    }

    /// Makes the folder, if it is not there.
    async fn init(&self, any: &ObjectId) -> Result<(), MirrorError> {
        if self.dir.join(MADE).exists() {
            return Ok(());
        }
        let failed = |error: std::io::Error| MirrorError::Folder(error.to_string());
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        std::fs::write(self.dir.join(USED), "").map_err(failed)?;
        let format = if any.as_str().len() == 64 {
            "sha256"
        } else {
            "sha1"
        };
        let format = format!("--object-format={format}");
        // Without templates: they could bring hooks.
        let arguments = ["init", "--quiet", "--bare", "--template=", &format];
        self.git
            .run(&self.dir, &self.access, &arguments, None, LOCAL)
            .await?;
        // Last, and what says that all is made: no archive may leave out or expand what `go` does not.
        let attributes = self.dir.join(MADE);
        std::fs::create_dir_all(self.dir.join("info")).map_err(failed)?;
        std::fs::write(attributes, "\n* -export-subst -export-ignore\n").map_err(failed)
    }

    async fn local<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: &[A],
        bounds: Bounds,
    ) -> Result<Bytes, GitError> {
        self.git
            .run(&self.dir, &self.access, arguments, None, bounds)
            .await
    }

    /// Whether a commit is here.
    pub async fn has(&self, id: &ObjectId) -> Result<bool, MirrorError> {
        let name = format!("{}^{{commit}}", id.as_str());
        Ok(self.kind(&name).await?.as_deref() == Some("commit"))
    }

    /// What kind of object a name stands for, if it is here. Trouble is an error, and not "nothing".
    async fn kind(&self, name: &str) -> Result<Option<String>, MirrorError> {
        if !self.dir.join(MADE).exists() {
            return Ok(None);
        }
        let input = Bytes::from(format!("{name}\n"));
        let arguments = ["cat-file", "--batch-check=%(objecttype)"];
        let run = self
            .git
            .run(&self.dir, &self.access, &arguments, Some(input), LOCAL);
        let said = run.await?;
        let text = String::from_utf8_lossy(&said);
        let text = text.trim();
        // A name that leads nowhere is repeated, with the word behind it.
        let is_kind = ["commit", "tree", "blob", "tag"].contains(&text);
        Ok(is_kind.then(|| text.to_owned()))
    }

    /// When a commit that is here was committed.
    pub async fn times(&self, id: &ObjectId) -> Result<Times, MirrorError> {
        let body = self
            .local(&["cat-file", "commit", id.as_str()], COMMIT)
            .await?;
        let text = String::from_utf8_lossy(&body);
        let header = text.split("\n\n").next().unwrap_or_default();
        let committed = header
            .lines()
            .find_map(|line| line.strip_prefix("committer "))
            .and_then(|line| line.rsplit_once(' '))
            .and_then(|(rest, _zone)| rest.rsplit_once(' '))
            .and_then(|(_, seconds)| seconds.parse().ok());
        committed
            .map(|committed| Times { committed })
            .ok_or_else(|| MirrorError::Commit(id.clone()))
    }

    /// A file of a commit that is here; `None` if the commit has none there. A symbolic link gives its target, as in `go`.
    pub async fn file(&self, id: &ObjectId, path: &str) -> Result<Option<Bytes>, MirrorError> {
        if path.is_empty() {
            return Ok(None);
        }
        // Which of git's failures would mean that there is none, nobody can tell; an empty list does.
        let arguments = [
            "ls-tree",
            "-l",
            "-z",
            "--full-tree",
            id.as_str(),
            "--",
            path,
        ];
        let listed = self.local(&arguments, LOCAL).await?;
        let entry = String::from_utf8_lossy(&listed);
        let mut fields = entry.split(['\t', ' ']).filter(|it| !it.is_empty());
        let (_mode, kind, blob) = (fields.next(), fields.next(), fields.next());
        let size = fields.next().and_then(|size| size.parse::<u64>().ok());
        let Some(blob) = blob
            .filter(|_| kind == Some("blob"))
            .and_then(ObjectId::parse)
        else {
            return Ok(None);
        };
        if size.is_some_and(|size| size > self.max_file) {
            return Err(GitError::TooMuch(self.max_file).into());
        }
        let bounds = Bounds {
            output: self.max_file,
            ..LOCAL
        };
        let arguments = ["cat-file", "blob", blob.as_str()];
        Ok(Some(self.local(&arguments, bounds).await?))
    }

    /// Whether `older` is an ancestor of `younger`, or the same; both with their history here.
    pub async fn is_ancestor(
        &self,
        older: &ObjectId,
        younger: &ObjectId,
    ) -> Result<bool, MirrorError> {
        let arguments = [
            "merge-base",
            "--is-ancestor",
            older.as_str(),
            younger.as_str(),
        ];
        match self.local(&arguments, HISTORY).await {
            Ok(_) => Ok(true),
            Err(GitError::Failed { code: Some(1), .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Holds on to a commit that was given out: it goes on to be found when nothing else leads to it.
    pub async fn hold(&self, id: &ObjectId) {
        let name = format!("{SERVED}{}", id.as_str());
        let arguments = ["update-ref", "--end-of-options", &name, id.as_str()];
        if let Err(error) = self.local(&arguments, LOCAL).await {
            tracing::warn!(%error, commit = id.as_str(), "a commit could not be held on to");
        }
    }

    /// Tags on a commit and its ancestors, merge parents included; its history is here.
    pub async fn tags_before(&self, id: &ObjectId) -> Result<Vec<String>, MirrorError> {
        let merged = format!("--merged={}", id.as_str());
        let arguments = ["for-each-ref", "--format=%(refname)", &merged, "refs/tags"];
        let list = self.local(&arguments, HISTORY).await?;
        let text = String::from_utf8_lossy(&list);
        let names = text
            .lines()
            .filter_map(|line| line.strip_prefix("refs/tags/"));
        Ok(names.map(str::to_owned).collect())
    }

    /// The commit that a hexadecimal prefix stands for, if it is one that heads or tags lead to, or that was given out
    /// when they did; all history is here.
    pub async fn in_history(&self, prefix: &str) -> Result<Option<ObjectId>, MirrorError> {
        let name = format!("{prefix}^{{commit}}");
        let arguments = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ];
        let id = match self.local(&arguments, LOCAL).await {
            Ok(id) => id,
            // Quietly: there is none, or more than one.
            Err(GitError::Failed { code: Some(1), .. }) => return Ok(None),
            Err(GitError::Failed { words, .. }) if words.contains("ambiguous") => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8_lossy(&id);
        let Some(id) = ObjectId::parse(text.trim()) else {
            return Ok(None);
        };
        let contains = format!("--contains={}", id.as_str());
        let arguments = [
            "for-each-ref",
            "--count=1",
            "--format=x",
            &contains,
            "refs/heads",
            "refs/tags",
            SERVED,
        ];
        let reached = self.local(&arguments, HISTORY).await?;
        Ok((!reached.is_empty()).then_some(id))
    }

    /// All files in a folder of a commit that is here, with their sizes, as `git ls-tree -r -l -z` prints them.
    pub async fn list(
        &self,
        id: &ObjectId,
        folder: &str,
        bounds: Bounds,
    ) -> Result<Output, MirrorError> {
        let mut arguments = vec!["ls-tree", "-r", "-l", "-z", "--full-tree", id.as_str()];
        if !folder.is_empty() {
            arguments.extend(["--", folder]);
        }
        Ok(self
            .git
            .stream(&self.dir, &self.access, &arguments, bounds)
            .await?)
    }

    /// The tree of a commit that is here, or these paths of it, as a tar archive.
    pub async fn archive(
        &self,
        id: &ObjectId,
        paths: &[&OsStr],
        bounds: Bounds,
    ) -> Result<Output, MirrorError> {
        let arguments = [
            "-c",
            "core.autocrlf=input",
            "-c",
            "core.eol=lf",
            "archive",
            "--format=tar",
            "--prefix=prefix/",
            "--end-of-options",
            id.as_str(),
        ];
        let mut arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        arguments.extend_from_slice(paths);
        Ok(self
            .git
            .stream(&self.dir, &self.access, &arguments, bounds)
            .await?)
    }
}

/// Whether a server knows nothing of parts of a history (plain files behind http, old servers).
fn is_all_or_nothing(words: &str) -> bool {
    ["dumb http", "shallow", "depth"]
        .iter()
        .any(|known| words.contains(known))
}

impl MirrorError {
    /// Whether git complains about what is on our disk. What the other side says begins with `remote:`.
    pub fn is_damage(&self) -> bool {
        let MirrorError::Git(GitError::Failed { words, .. }) = self else {
            return false;
        };
        let mut ours = words
            .split("; ")
            .filter(|line| !line.starts_with("remote:"));
        let known = [
            "not a git repository",
            "is corrupt",
            "corrupt loose object",
            "unable to read tree",
            "could not be mapped",
            "bad object ",
            "does not point to a valid object",
            "does not match index",
            "is far too short to be a packfile",
            "cannot be accessed",
            "did not send all necessary objects",
            "inflate: data stream error",
            "bad config",
            "unable to read sha1 file",
            "mismatched algorithms",
        ];
        ours.any(|line| known.iter().any(|it| line.contains(it)))
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
fn each_file(dir: &Path, tell: &mut dyn FnMut(&Path, u64)) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => each_file(&entry.path(), tell),
            Ok(meta) => tell(&entry.path(), meta.len()),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
