//! What a mirror asks of the other side.

use std::path::Path;
use std::time::Duration;

use super::upkeep::size;
use super::{COMPLETE, HISTORY, LOCAL, Mirror, MirrorError, MirrorLock, RefsLimit, Remote};
use crate::vcs::git::{Bounds, GitError};
use crate::vcs::refs::{ObjectId, RefTable};

/// Of a list of references: clients that wait for nothing else are answered within 45 s.
const REFS: Duration = Duration::from_secs(40);
/// A mirror that has nothing yet is smaller than this. Bytes.
const EMPTY: u64 = 64 << 10;
/// How often the disk is looked at while something is fetched, and each how many times the size of the mirror.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 4;
/// The name under which what is fetched for one version is held on to.
const HELD: &str = "refs/larder/held/";
/// All that counts.
const ALL: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

impl Mirror {
    /// Asks for the references.
    pub async fn refs(
        &self,
        remote: Remote<'_>,
        limit: RefsLimit,
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
            output: limit.output,
            memory: limit.memory,
        };
        let list = self
            .git
            .run(nowhere, remote.access, &arguments, None, bounds)
            .await?;
        Ok(RefTable::parse(&list, limit.limits)?)
    }

    /// Makes sure that a commit's tree is here; `reference` names it at the remote (`refs/tags/…`, `refs/heads/…`).
    pub async fn ensure(
        &self,
        _lock: &MirrorLock<'_>,
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
        _lock: &MirrorLock<'_>,
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
}

/// Whether a server knows nothing of parts of a history (plain files behind http, old servers).
fn is_all_or_nothing(words: &str) -> bool {
    ["dumb http", "shallow", "depth"]
        .iter()
        .any(|known| words.contains(known))
}
