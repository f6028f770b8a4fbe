//! A bare mirror of one repository: kept, updated in part, and read by one caller at a time where that matters
//! (protocol.md 6.3 and 6.6).
//!
//! A version needs the tree of one commit, so that is what is fetched first. The history is fetched only for questions that
//! need it (ancestors, commits that no reference names), once, and from then on by increments.

mod fetch;
mod read;
#[cfg(test)]
mod tests;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

pub use upkeep::{remove, size};

use super::git::{Bounds, Git, GitAccess, GitError};
use super::refs::{ObjectId, RefLimits, RefsError};
use super::tenant::Tenant;
use super::workspace::Workspace;

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
/// With this begin the names under which commits that were given out are held on to.
const SERVED: &str = "refs/larder/served/";
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
    pub access: &'a GitAccess,
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
pub struct RefsLimit {
    /// Of what is read.
    pub limits: RefLimits,
    /// Of what git prints. Bytes.
    pub output: u64,
    /// Of what git may hold in memory. Bytes.
    pub memory: Option<u64>,
}

impl RefsLimit {
    /// Of a repository of whichever size.
    const OWN: RefsLimit = RefsLimit {
        limits: RefLimits {
            refs: 500_000,
            name: 1024,
        },
        output: 64 << 20,
        memory: None,
    };
    /// Of one that anybody may name.
    const STRANGERS: RefsLimit = RefsLimit {
        limits: RefLimits {
            refs: 60_000,
            name: 256,
        },
        output: 6 << 20,
        memory: Some(256 << 20),
    };

    /// Of what whose modules name.
    pub fn of(tenant: Tenant) -> Self {
        match tenant {
            Tenant::Strangers => Self::STRANGERS,
            Tenant::Own => Self::OWN,
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
    pub tenant: Tenant,
}

/// A mirror.
pub struct Mirror {
    git: Git,
    dir: PathBuf,
    /// For what is asked of it here.
    access: GitAccess,
    /// When it was last tidied in vain.
    untidy: Mutex<Option<Instant>>,
    tidying: AtomicBool,
    /// The largest file that is read. Bytes.
    max_file: u64,
    /// One fetch at a time.
    fetching: Semaphore,
}

/// As long as this lives nobody else changes the mirror.
pub struct MirrorLock<'a> {
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
        let prefix = match key.tenant {
            Tenant::Strangers => "",
            Tenant::Own => OWN,
        };
        Arc::new(Mirror {
            git,
            dir: root.join(format!("{prefix}{name}")),
            access: GitAccess {
                tenant: key.tenant,
                ..GitAccess::default()
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
    pub fn tenant(&self) -> Tenant {
        self.access.tenant
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until nobody else changes it. Places elsewhere are to be taken after this.
    pub async fn lock(&self) -> Option<MirrorLock<'_>> {
        self.fetching
            .acquire()
            .await
            .ok()
            .map(|permit| MirrorLock { _permit: permit })
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
