//! Which version a revision of a repository is, and which versions a module has there (protocol.md
//! 6.3 and 6.4, checklist 95 to 104, 110, 116, 119 and 120; cmd/go/internal/modfetch `codeRepo`).
//!
//! The rules alone: what a repository has is asked through [`Commits`].

mod convert;
mod list;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::layout::{Found, Layout, LayoutError};
use super::refs::{ObjectId, RefTable, Resolved};
use crate::gomod::pseudo::PseudoError;
use crate::gomod::version::is_pseudo_version;
use crate::gomod::{CommitTime, ModulePath, Version, VersionError, modfile, semver};

/// The largest go.mod, or LICENSE, that is read. Go has bounds of 16 MiB, which it does not hold git to: only the zip of
/// such a version is refused. Bytes.
pub const MAX_GO_MOD: u64 = 32 << 20;

const INCOMPATIBLE: &str = "+incompatible";

/// A commit that can be a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its whole hash.
    pub id: ObjectId,
    /// When it was committed, which is not when it was written.
    pub time: CommitTime,
}

/// What digits of a hash mean in the whole history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InHistory {
    /// This commit alone.
    Commit(CommitInfo),
    /// More than one of its commits.
    Ambiguous,
    /// None of them.
    Nothing,
}

/// A repository with its history. "Its commits" are those that a head or a tag leads to: others are
/// not there, whoever asks and however (checklist 100), since hosts give out the commits of
/// strangers' proposals by hash as well.
#[async_trait]
pub trait Commits: Send + Sync {
    /// Its heads and tags. What the other functions say must be about these.
    async fn refs(&self) -> Result<Arc<RefTable>, RepoError>;

    /// One of its commits. `None` for other commits and for what is no commit: a tag may stand for
    /// a file.
    async fn commit(&self, id: &ObjectId) -> Result<Option<CommitInfo>, RepoError>;

    /// Which of its commits has a hash that begins with these digits, seven or more of them. As in
    /// git, the hash of a tag object means the commit that it tags.
    async fn find_in_history(&self, digits: &str) -> Result<InHistory, RepoError>;

    /// A file as it is stored at a commit; of a symbolic link its text. `None` if there is no such
    /// file. More bytes than `max` are an error.
    async fn file(
        &self,
        commit: &ObjectId,
        path: &str,
        max: u64,
    ) -> Result<Option<Bytes>, RepoError>;

    /// Whether one commit is another or an ancestor of it, by any parent.
    async fn is_ancestor(&self, older: &ObjectId, commit: &ObjectId) -> Result<bool, RepoError>;

    /// The tags that begin so, whole names, of a commit and of all of its ancestors, by any parent.
    async fn tags_before(&self, commit: &ObjectId, prefix: &str) -> Result<Vec<String>, RepoError>;
}

/// Why a repository could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepoError {
    /// It is not there, or only for those who have logged in.
    #[error("{0}")]
    Missing(String),
    /// The credentials that are configured for it were refused.
    #[error("{0}")]
    Refused(String),
    /// Its host did not answer as it should.
    #[error("{0}")]
    Unreachable(String),
    /// Its host did not answer in time.
    #[error("{0}")]
    Timeout(String),
    /// What a reference stood for a moment ago is gone; asked anew there may be an answer.
    #[error("{0}")]
    Moved(String),
    /// Something in it is larger than allowed.
    #[error("{0}")]
    TooLarge(String),
    /// There is no room here for it, for now.
    #[error("{0}")]
    NoRoom(String),
    /// It, or the program that reads it, failed.
    #[error("{0}")]
    Broken(String),
}

/// Why there is no such version. The texts are those of the `go` command where it has one.
#[allow(missing_docs, reason = "the messages say what is meant")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoVersion {
    /// The only one that says nothing about the version.
    #[error(transparent)]
    Repo(#[from] RepoError),
    #[error("no commits")]
    NoCommits,
    #[error("invalid version: unknown revision {rev}")]
    Unknown { rev: String },
    #[error("invalid version: ambiguous revision {rev}")]
    Ambiguous { rev: String },
    #[error("invalid version: {error} at revision {rev}")]
    Layout { error: LayoutError, rev: String },
    #[error(
        "invalid version: module path includes a major version suffix, so major version must match"
    )]
    OtherMajor,
    #[error(
        "invalid version: module contains a go.mod file, so module path must match major version (\"{wanted}\")"
    )]
    NeedsSuffix { wanted: String },
    #[error(
        "invalid version: +incompatible suffix not allowed: major version {major} is compatible"
    )]
    NotIncompatible { major: String },
    #[error("invalid version: resolves to version {found} ({asked} is not a tag)")]
    NotATag { found: String, asked: String },
    #[error("invalid pseudo-version: {0}")]
    Pseudo(#[from] PseudoError),
    #[error("invalid version: {0}")]
    Disallowed(#[from] VersionError),
}

impl NoVersion {
    /// Why the repository could not be asked, if that is the reason. All others mean that the
    /// version does not exist.
    pub fn repo_error(&self) -> Option<&RepoError> {
        match self {
            Self::Repo(error) => Some(error),
            _ => None,
        }
    }
}

/// What a revision is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    pub version: Version,
    pub commit: CommitInfo,
    /// `refs/tags/…`, if a tag has led to it and it is no pseudo-version.
    pub reference: Option<String>,
    /// The folder that the module's path names, "" for the root (`Origin.Subdir`). The files may
    /// be in a folder of the major version below it: that is [`Located::dir`].
    pub subdir: String,
}

/// Where a version's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    pub dated: Dated,
    /// The folder of its files; "" for the repository's root.
    pub dir: String,
    /// Its go.mod; `None` where there is none and none is needed.
    pub go_mod: Option<Bytes>,
}

/// What a revision leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub commit: CommitInfo,
    /// The tag that was looked up, by its whole name.
    pub tag: Option<String>,
    /// `refs/tags/…` of the tag, or of one of them if digits of a hash have led to them.
    pub reference: Option<String>,
}

/// A module in a repository, as the repository is at one time.
pub struct Module<'a> {
    repo: &'a dyn Commits,
    refs: Arc<RefTable>,
    layout: Layout,
    path: ModulePath,
}

impl<'a> Module<'a> {
    /// The module of that path, which lies so in the repository.
    pub async fn open(
        repo: &'a dyn Commits,
        layout: Layout,
        path: ModulePath,
    ) -> Result<Self, RepoError> {
        let refs = repo.refs().await?;
        Ok(Self {
            repo,
            refs,
            layout,
            path,
        })
    }

    /// The name under which the repository may have a version (`revToRev`).
    fn revision(&self, query: &str) -> String {
        if !semver::is_valid(query) {
            return query.to_owned();
        }
        match crate::gomod::version::pseudo_parts(query) {
            Some((_, _, rev)) => rev.to_owned(),
            None => format!("{}{}", self.layout.tag_prefix(), plain(query)),
        }
    }

    /// The commit of a version, a tag, a head, `HEAD` or a hash (protocol.md 6.3).
    pub async fn stat(&self, query: &str) -> Result<Stat, NoVersion> {
        let rev = &*self.revision(query);
        let unknown = || NoVersion::Unknown {
            rev: rev.to_owned(),
        };
        let ambiguous = || NoVersion::Ambiguous {
            rev: rev.to_owned(),
        };
        let resolved = self.refs.resolve(rev);
        // Whatever is called so later, a pseudo-version goes on to mean the commit that it names.
        // (Other hashes that are names as well depend in Go on what it has seen before.)
        if matches!(resolved, Resolved::Tag(_) | Resolved::Head(_))
            && is_pseudo_version(query)
            && self.refs.may_be_hash(rev)
            && let InHistory::Commit(commit) = self.repo.find_in_history(rev).await?
        {
            return Ok(Stat {
                commit,
                tag: None,
                reference: None,
            });
        }
        let (id, tag, reference) = match resolved {
            Resolved::Tag(id) => (id, Some(rev.to_owned()), Some(format!("refs/tags/{rev}"))),
            Resolved::Head(id) | Resolved::Default(id) => (id, None, None),
            Resolved::Hash { name, id } => {
                let tag = name.starts_with("refs/tags/").then_some(name);
                (id, None, tag)
            }
            Resolved::InHistory => {
                return match self.repo.find_in_history(rev).await? {
                    InHistory::Commit(commit) => Ok(Stat {
                        commit,
                        tag: None,
                        reference: None,
                    }),
                    InHistory::Ambiguous => Err(ambiguous()),
                    InHistory::Nothing => Err(unknown()),
                };
            }
            Resolved::Ambiguous => return Err(ambiguous()),
            Resolved::Unknown => return Err(unknown()),
        };
        let commit = self.repo.commit(id).await?.ok_or_else(unknown)?;
        Ok(Stat {
            commit,
            tag,
            reference,
        })
    }

    /// What a version, a tag, a head or a hash is, as `@v/….info` says it. "latest" is what
    /// `@latest` is (`Stat`).
    pub async fn info(&self, query: &str) -> Result<Dated, NoVersion> {
        if query == "latest" {
            return self.latest().await;
        }
        let stat = self.stat(query).await?;
        self.convert(stat, query).await
    }

    /// What the newest commit of the main branch is (`Latest`).
    pub async fn latest(&self) -> Result<Dated, NoVersion> {
        let id = self.refs.head().ok_or(NoVersion::NoCommits)?;
        let unknown = || NoVersion::Unknown {
            rev: id.to_string(),
        };
        let commit = self.repo.commit(id).await?.ok_or_else(unknown)?;
        let stat = Stat {
            commit,
            tag: None,
            reference: None,
        };
        self.convert(stat, "").await
    }

    /// Where the files of a version are, if it is one. Stricter than Go, which looks for a reason
    /// against pseudo-versions only: here no version has files without having an `.info`.
    pub async fn locate(&self, version: &Version) -> Result<Located, NoVersion> {
        let dated = self.info(version.as_str()).await?;
        if dated.version != *version {
            return Err(NoVersion::NotATag {
                found: dated.version.to_string(),
                asked: version.to_string(),
            });
        }
        let (dir, go_mod) = self.find(&dated.commit.id).await?;
        Ok(Located { dated, dir, go_mod })
    }

    /// The go.mod of a version: the file as it is, or the one that stands for none.
    pub async fn go_mod(&self, version: &Version) -> Result<Bytes, NoVersion> {
        let found = self.locate(version).await?.go_mod;
        Ok(found.unwrap_or_else(|| modfile::synthesized(&self.path).into()))
    }

    async fn file(&self, commit: &ObjectId, path: &str) -> Result<Option<Bytes>, RepoError> {
        self.repo.file(commit, path, MAX_GO_MOD).await
    }

    /// The module's folder at a commit, and its go.mod (`findDir`).
    async fn find(&self, commit: &ObjectId) -> Result<(String, Option<Bytes>), NoVersion> {
        let (first, second) = self.layout.go_mods();
        let first = self.file(commit, &first).await?;
        let second = match second {
            Some(path) => self.file(commit, &path).await?,
            None => None,
        };
        let found = self.layout.find(first.as_deref(), second.as_deref());
        let Found { dir, go_mod } = found.map_err(|error| NoVersion::Layout {
            error,
            rev: commit.short().to_owned(),
        })?;
        let both = first.iter().chain(&second);
        let go_mod = go_mod.and_then(|body| both.clone().find(|b| b.as_ptr() == body.as_ptr()));
        Ok((dir.to_owned(), go_mod.cloned()))
    }
}

/// A version without `+incompatible`.
fn plain(version: &str) -> &str {
    version.strip_suffix(INCOMPATIBLE).unwrap_or(version)
}
