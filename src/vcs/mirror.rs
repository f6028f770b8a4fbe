//! A bare mirror of one repository: kept, updated in part, and read by one caller at a time where that matters
//! (protocol.md 6.3 and 6.6).
//!
//! A version needs the tree of one commit, so that is what is fetched first. The history is fetched only for questions that
//! need it (ancestors, commits that no reference names), once, and from then on by increments.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::git::{Access, Bounds, Git, GitError, Output};
use super::refs::{ObjectId, RefLimits, RefTable, RefsError};

/// A list of references.
const REFS: Bounds = Bounds {
    // Clients that wait for nothing else are answered within 45 s.
    time: Duration::from_secs(40),
    output: 64 << 20,
};
/// Packs that a mirror has before they are made one.
const PACKS: usize = 80;
/// How long that may take.
const TIDY: Duration = Duration::from_secs(600);
/// How often the size of what is being fetched is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Something local and small.
const LOCAL: Bounds = Bounds {
    time: Duration::from_secs(30),
    output: 64 << 10,
};
/// A commit object: its message may be long.
const COMMIT: Bounds = Bounds {
    time: Duration::from_secs(30),
    output: 4 << 20,
};
/// The name under which what is fetched for one version is held on to.
const HELD: &str = "refs/larder/held/";
/// And that of commits that were given out.
const SERVED: &str = "refs/larder/served/";
/// All that counts.
const ALL: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
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
#[derive(Clone, Copy, Debug)]
pub struct Remote<'a> {
    /// The address, without who we are.
    pub url: &'a str,
    /// How it may be reached.
    pub access: &'a Access,
    /// How long one fetch may take.
    pub time: Duration,
    /// How large the mirror may become. Bytes.
    pub size: u64,
}

/// A mirror.
pub struct Mirror {
    git: Git,
    dir: PathBuf,
    /// The largest file that is read. Bytes.
    max_file: u64,
    /// One fetch at a time.
    fetching: Semaphore,
}

/// What is known of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it was committed, in seconds since 1970.
    pub committed: i64,
}

impl Mirror {
    /// The mirror of `url` below `root`; nothing is made or asked yet.
    pub fn new(git: Git, root: &Path, url: &str, max_file: u64) -> Arc<Self> {
        let name = Sha256::digest(format!("git3:{url}"));
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        Arc::new(Mirror {
            git,
            dir: root.join(name),
            max_file,
            fetching: Semaphore::new(1),
        })
    }

    /// Whether the history of all heads and tags was fetched once.
    pub fn is_complete(&self) -> bool {
        self.dir.join(COMPLETE).exists()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Asks for the references.
    pub async fn refs(
        &self,
        remote: Remote<'_>,
        limits: RefLimits,
    ) -> Result<RefTable, MirrorError> {
        let arguments = ["ls-remote", "--quiet", "--end-of-options", remote.url];
        // Outside any repository: nothing there can have a say.
        let nowhere = Path::new("/nonexistent");
        let bounds = Bounds {
            time: remote.time.min(REFS.time),
            ..REFS
        };
        let list = self
            .git
            .run(nowhere, remote.access, &arguments, None, bounds)
            .await?;
        Ok(RefTable::parse(&list, limits)?)
    }

    /// Makes sure that a commit's tree is here; `reference` names it at the remote (`refs/tags/…`, `refs/heads/…`).
    pub async fn ensure(
        &self,
        remote: Remote<'_>,
        id: &ObjectId,
        reference: &str,
    ) -> Result<(), MirrorError> {
        if self.has(id).await {
            return Ok(());
        }
        let _one = self.turn().await;
        if self.has(id).await {
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
        if self.here(id).await {
            Ok(())
        } else {
            Err(MirrorError::Moved(id.clone()))
        }
    }

    /// Makes sure that all heads and tags are here with their history, as of now.
    pub async fn complete(&self, remote: Remote<'_>, any: &ObjectId) -> Result<(), MirrorError> {
        let _one = self.turn().await;
        self.init(any).await?;
        self.fetch(remote, &["--prune"], &ALL).await?;
        if self.dir.join("shallow").exists() {
            // By itself: together with new references some servers send too little (protocol.md 6.6).
            self.fetch(remote, &["--unshallow"], &ALL).await?;
        }
        let mark = self.dir.join(COMPLETE);
        std::fs::write(mark, "").map_err(|error| MirrorError::Folder(error.to_string()))
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.fetching.acquire().await.ok()
    }

    async fn fetch(
        &self,
        remote: Remote<'_>,
        options: &[&str],
        what: &[&str],
    ) -> Result<(), MirrorError> {
        self.sweep().await;
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
            ..LOCAL
        };
        let fetched = tokio::select! {
            fetched = self.git.run(&self.dir, remote.access, &arguments, None, bounds) => fetched.map_err(MirrorError::from),
            () = self.outgrown(remote.size) => Err(MirrorError::TooLarge(remote.size)),
        };
        let Err(error) = fetched else {
            return Ok(());
        };
        self.sweep().await;
        Err(self.healed(error).await)
    }

    /// A damaged mirror is removed: it can be fetched again, and would fail for ever as it is.
    pub async fn healed(&self, error: MirrorError) -> MirrorError {
        let words = match &error {
            MirrorError::Git(GitError::Failed { words, .. }) if is_damage(words) => words.clone(),
            _ => return error,
        };
        tracing::warn!(dir = %self.dir.display(), words, "a damaged mirror is removed");
        let dir = self.dir.clone();
        match tokio::task::spawn_blocking(move || std::fs::remove_dir_all(dir)).await {
            Ok(Ok(())) => MirrorError::Damaged(words),
            _ => error,
        }
    }

    /// Ends when the mirror is larger than it may be.
    async fn outgrown(&self, most: u64) {
        loop {
            tokio::time::sleep(LOOK).await;
            if size(&self.dir).await > most {
                return;
            }
        }
    }

    /// Removes what a fetch that was ended has left behind; only one's own turn may do that.
    async fn sweep(&self) {
        let dir = self.dir.clone();
        // Whatever cannot be removed makes git say so.
        let _ = tokio::task::spawn_blocking(move || sweep(&dir)).await;
    }

    /// Makes one pack of many, if there are many.
    pub async fn tidy(&self) {
        let packs = self.dir.join("objects/pack");
        let count = std::fs::read_dir(packs).map_or(0, |entries| {
            let pack = |path: &Path| path.extension().is_some_and(|kind| kind == "pack");
            entries.flatten().filter(|it| pack(&it.path())).count()
        });
        if count <= PACKS {
            return;
        }
        let _one = self.turn().await;
        let bounds = Bounds {
            time: TIDY,
            ..LOCAL
        };
        if let Err(error) = self.local(&["repack", "-a", "-d", "-q"], bounds).await {
            tracing::warn!(%error, dir = %self.dir.display(), "a mirror could not be tidied");
        }
    }

    /// Makes the folder, if it is not there.
    async fn init(&self, any: &ObjectId) -> Result<(), MirrorError> {
        if self.dir.join("info/attributes").exists() {
            return Ok(());
        }
        let failed = |error: std::io::Error| MirrorError::Folder(error.to_string());
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        let format = if any.as_str().len() == 64 {
            "sha256"
        } else {
            "sha1"
        };
        let format = format!("--object-format={format}");
        // Without templates: they could bring hooks.
        let arguments = ["init", "--quiet", "--bare", "--template=", &format];
        self.git
            .run(&self.dir, &Access::default(), &arguments, None, LOCAL)
            .await?;
        // Last, and what says that all is made: no archive may leave out or expand what `go` does not.
        let info = self.dir.join("info");
        std::fs::create_dir_all(&info).map_err(failed)?;
        std::fs::write(
            info.join("attributes"),
            "\n* -export-subst -export-ignore\n",
        )
        .map_err(failed)
    }

    async fn local<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: &[A],
        bounds: Bounds,
    ) -> Result<Bytes, GitError> {
        self.git
            .run(&self.dir, &Access::default(), arguments, None, bounds)
            .await
    }

    /// Whether a commit is here.
    pub async fn has(&self, id: &ObjectId) -> bool {
        let name = format!("{}^{{commit}}", id.as_str());
        self.dir.exists() && self.local(&["cat-file", "-e", &name], LOCAL).await.is_ok()
    }

    /// Whether an object is here, whatever it is.
    async fn here(&self, id: &ObjectId) -> bool {
        let arguments = ["cat-file", "-e", id.as_str()];
        self.local(&arguments, LOCAL).await.is_ok()
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
        let name = format!("{}:{path}", id.as_str());
        let kind = match self.local(&["cat-file", "-t", &name], LOCAL).await {
            Ok(kind) => kind,
            Err(GitError::Failed { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if kind.trim_ascii() != b"blob" {
            return Ok(None);
        }
        let bounds = Bounds {
            output: self.max_file,
            ..LOCAL
        };
        Ok(Some(
            self.local(&["cat-file", "blob", &name], bounds).await?,
        ))
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
        match self.local(&arguments, LOCAL).await {
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
        let bounds = Bounds {
            output: REFS.output,
            ..REFS
        };
        let list = self.local(&arguments, bounds).await?;
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
            Err(GitError::Failed { .. }) => return Ok(None),
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
        let reached = self.local(&arguments, LOCAL).await?;
        Ok((!reached.is_empty()).then_some(id))
    }

    /// The tree of a commit that is here, or a folder of it, as a tar archive.
    pub async fn archive(
        &self,
        id: &ObjectId,
        folder: &str,
        bounds: Bounds,
    ) -> Result<Output, MirrorError> {
        let mut arguments = vec![
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
        if !folder.is_empty() {
            arguments.push(folder);
        }
        Ok(self
            .git
            .stream(&self.dir, &Access::default(), &arguments, bounds)
            .await?)
    }
}

/// Whether a server knows nothing of parts of a history (plain files behind http, old servers).
fn is_all_or_nothing(words: &str) -> bool {
    ["dumb http", "shallow", "depth"]
        .iter()
        .any(|known| words.contains(known))
}

/// Whether git complains about what is on our disk.
fn is_damage(words: &str) -> bool {
    [
        "not a git repository",
        "is corrupt",
        "corrupt loose object",
        "unable to read tree",
        "could not be mapped",
        "bad object refs/",
        "does not point to a valid object",
        "packfile ./objects",
        "inflate: data stream error",
        "bad config",
    ]
    .iter()
    .any(|known| words.contains(known))
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
    each_file(dir, &mut |path, _| {
        let name = path.file_name().map(OsStr::to_string_lossy);
        if name.is_some_and(|name| name.ends_with(".lock") || name.starts_with("tmp_")) {
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
mod tests {
    use super::super::testing::{all, scene, shell};
    use super::*;

    const TWO: &str = "echo module a > go.mod; git add .; git commit -qm one; git tag v1.0.0; \
        echo two > f; ln -s f link; git add .; git commit -qm two; git tag -a -m t v1.1.0";

    #[tokio::test]
    async fn one_version_is_fetched_without_its_history() {
        let scene = scene(TWO);
        let refs = scene.refs().await.unwrap();
        let id = refs.tag("v1.1.0").unwrap().clone();
        assert_eq!(id, scene.id("v1.1.0"), "annotated tags are peeled");
        assert_eq!(refs.head(), Some(&id));
        scene.ensure(&id, "refs/tags/v1.1.0").await;
        assert!(scene.mirror.has(&id).await);
        assert!(!scene.mirror.has(&scene.id("v1.0.0")).await);
        assert_eq!(
            scene.mirror.times(&id).await.unwrap().committed,
            1_700_000_000
        );
        let file = async |path: &str| scene.mirror.file(&id, path).await.unwrap();
        assert_eq!(file("f").await.unwrap(), "two\n");
        assert_eq!(file("link").await.unwrap(), "f", "the link's own text");
        assert_eq!(file("none").await, None);
        assert_eq!(file("").await, None, "a folder is no file");
        let archive = scene
            .mirror
            .archive(
                &id,
                "",
                Bounds {
                    output: 1 << 20,
                    ..COMMIT
                },
            )
            .await
            .unwrap();
        let tar = all(archive).await.unwrap();
        assert!(tar.windows(9).any(|name| name == b"prefix/f\0"));
    }

    #[tokio::test]
    async fn the_history_comes_when_it_is_asked_for_and_grows() {
        let scene = scene(&format!(
            "{TWO}; git checkout -qb side v1.0.0; echo s > s; git add .; git commit -qm s; git checkout -q main"
        ));
        let (one, two, side) = (scene.id("v1.0.0"), scene.id("v1.1.0"), scene.id("side"));
        scene.ensure(&two, "refs/tags/v1.1.0").await;
        scene.complete(&two).await;
        assert!(scene.mirror.is_ancestor(&one, &two).await.unwrap());
        assert!(scene.mirror.is_ancestor(&two, &two).await.unwrap());
        assert!(!scene.mirror.is_ancestor(&side, &two).await.unwrap());
        assert_eq!(
            scene.mirror.tags_before(&two).await.unwrap(),
            ["v1.0.0", "v1.1.0"]
        );
        assert_eq!(scene.mirror.tags_before(&side).await.unwrap(), ["v1.0.0"]);
        // A merge of the branch, tagged on the branch.
        shell(
            scene.dir.path(),
            "cd r; git tag v1.0.1 side; git merge -qm m side",
        );
        scene.complete(&two).await;
        let merged = scene.id("main");
        assert_eq!(
            scene.mirror.tags_before(&merged).await.unwrap(),
            ["v1.0.0", "v1.0.1", "v1.1.0"]
        );
    }

    #[tokio::test]
    async fn c100_only_what_heads_and_tags_lead_to_is_found() {
        let scene = scene(&format!(
            "{TWO}; echo x > x; git add .; git commit -qm lost; git tag lost; git reset -q --hard v1.1.0"
        ));
        let (one, lost) = (scene.id("v1.0.0"), scene.id("lost"));
        scene.complete(&one).await;
        let find = async |id: &ObjectId| scene.mirror.in_history(id.short()).await.unwrap();
        assert_eq!(find(&one).await.as_ref(), Some(&one));
        assert_eq!(find(&lost).await.as_ref(), Some(&lost));
        shell(scene.dir.path(), "git -C r tag -d lost");
        scene.complete(&one).await;
        assert_eq!(
            find(&lost).await,
            None,
            "it is still here, but nothing leads to it"
        );
        assert_eq!(scene.mirror.in_history("0123456789ab").await.unwrap(), None);
        scene.mirror.hold(&lost).await;
        assert_eq!(
            find(&lost).await.as_ref(),
            Some(&lost),
            "what was given out stays"
        );
    }

    #[tokio::test]
    async fn c112_attributes_neither_hide_nor_expand() {
        let scene = scene(
            "printf 'secret export-ignore\\nv export-subst\\n' > .gitattributes; echo s > secret; \
            echo '$Format:%H$' > v; git add .; git commit -qm one; git tag v1.0.0",
        );
        let id = scene.id("v1.0.0");
        scene.ensure(&id, "refs/tags/v1.0.0").await;
        let archive = scene
            .mirror
            .archive(
                &id,
                "",
                Bounds {
                    output: 1 << 20,
                    ..COMMIT
                },
            )
            .await
            .unwrap();
        let tar = all(archive).await.unwrap();
        let has = |text: &[u8]| tar.windows(text.len()).any(|piece| piece == text);
        assert!(has(b"prefix/secret\0"));
        assert!(has(b"$Format:%H$"));
    }

    #[tokio::test]
    async fn c119_an_empty_repository_has_no_references() {
        let scene = scene("true");
        assert!(scene.refs().await.unwrap().is_empty());
        let gone = Remote {
            url: "file:///no/such",
            ..scene.remote()
        };
        let limits = RefLimits::default();
        assert!(matches!(
            scene.mirror.refs(gone, limits).await,
            Err(MirrorError::Git(GitError::Failed { .. }))
        ));
    }

    #[tokio::test]
    async fn after_the_history_nothing_is_cut_off_again() {
        let scene = scene(TWO);
        let one = scene.id("v1.0.0");
        scene.complete(&one).await;
        shell(
            scene.dir.path(),
            "cd r; git commit -q --allow-empty -m a; git commit -q --allow-empty -m b; git tag v1.2.0",
        );
        let three = scene.id("v1.2.0");
        scene.ensure(&three, "refs/tags/v1.2.0").await;
        assert!(scene.mirror.is_ancestor(&one, &three).await.unwrap());
    }

    #[tokio::test]
    async fn c129_what_is_too_large_is_given_up_and_leaves_nothing() {
        let scene = scene(&format!(
            "{TWO}; head -c 3000000 /dev/urandom > big; git add .; git commit -qm big"
        ));
        let small = Remote {
            size: 1 << 20,
            ..scene.remote()
        };
        let mirrors = scene.dir.path().join("small");
        let mirror = Mirror::new(scene.mirror.git.clone(), &mirrors, &scene.url, 1 << 20);
        let id = scene.id("main");
        // A fetch may be over before it is looked at.
        if let Err(error) = mirror.ensure(small, &id, "refs/heads/main").await {
            assert!(matches!(error, MirrorError::TooLarge(_)), "{error}");
            assert!(size(mirror.dir()).await < 1 << 20);
        }
    }

    #[tokio::test]
    async fn a_damaged_mirror_is_made_anew() {
        let scene = scene(TWO);
        let (one, two) = (scene.id("v1.0.0"), scene.id("v1.1.0"));
        scene.ensure(&one, "refs/tags/v1.0.0").await;
        std::fs::remove_file(scene.mirror.dir().join("HEAD")).unwrap();
        let damaged = scene
            .mirror
            .ensure(scene.remote(), &two, "refs/tags/v1.1.0");
        let damaged = damaged.await.unwrap_err();
        assert!(matches!(damaged, MirrorError::Damaged(_)), "{damaged}");
        scene.ensure(&two, "refs/tags/v1.1.0").await;
        assert!(scene.mirror.has(&two).await);
    }

    #[tokio::test]
    async fn many_packs_become_one_and_stale_locks_are_no_obstacle() {
        let scene = scene(TWO);
        let (one, two) = (scene.id("v1.0.0"), scene.id("v1.1.0"));
        scene.ensure(&one, "refs/tags/v1.0.0").await;
        std::fs::write(scene.mirror.dir().join("shallow.lock"), "").unwrap();
        scene.ensure(&two, "refs/tags/v1.1.0").await;
        let packs = scene.mirror.dir().join("objects/pack");
        let count = || {
            let names = std::fs::read_dir(&packs).unwrap().flatten();
            let pack = |name: &OsStr| name.to_string_lossy().ends_with(".pack");
            names.filter(|it| pack(&it.file_name())).count()
        };
        assert_eq!(count(), 2);
        scene.mirror.tidy().await;
        assert_eq!(count(), 2, "two are not many");
        for n in 0..PACKS {
            std::fs::write(packs.join(format!("pack-{n}.pack")), "").unwrap();
        }
        scene.mirror.tidy().await;
        assert!(scene.mirror.has(&one).await && scene.mirror.has(&two).await);
    }

    #[tokio::test]
    async fn c122_c123_what_looks_like_an_option_or_another_protocol_is_neither() {
        let scene = scene(TWO);
        let marker = scene.dir.path().join("marker");
        for url in [
            format!("--upload-pack=touch {}", marker.display()),
            format!("ext::sh -c touch% {}", marker.display()),
        ] {
            let access = Access::default();
            let bad = Remote {
                url: &url,
                access: &access,
                ..scene.remote()
            };
            let limits = RefLimits::default();
            let refs = scene.mirror.refs(bad, limits).await;
            assert!(refs.is_err(), "{url}");
            let id = scene.id("main");
            let ensured = scene.mirror.ensure(bad, &id, "refs/heads/main").await;
            assert!(ensured.is_err(), "{url}");
            assert!(!marker.exists(), "{url}");
        }
        let access = Access::default();
        let local = Remote {
            access: &access,
            ..scene.remote()
        };
        let refs = scene.mirror.refs(local, RefLimits::default());
        assert!(refs.await.is_err(), "folders are for tests only");
    }
}
