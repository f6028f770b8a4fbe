//! What a mirror is asked, without the other side.

use std::ffi::OsStr;
use std::time::Duration;

use bytes::Bytes;

use super::{HISTORY, LOCAL, MADE, Mirror, MirrorError, SERVED, Times};
use crate::vcs::git::{Bounds, GitError, Output};
use crate::vcs::refs::ObjectId;

/// A commit object: its message may be long.
pub(super) const COMMIT: Bounds = Bounds {
    time: Duration::from_secs(30),
    output: 4 << 20,
    memory: None,
};

impl Mirror {
    /// Whether a commit is here.
    pub async fn has(&self, id: &ObjectId) -> Result<bool, MirrorError> {
        let name = format!("{}^{{commit}}", id.as_str());
        Ok(self.kind(&name).await?.as_deref() == Some("commit"))
    }

    /// What kind of object a name stands for, if it is here. Trouble is an error, and not "nothing".
    pub(super) async fn kind(&self, name: &str) -> Result<Option<String>, MirrorError> {
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
