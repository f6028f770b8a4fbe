//! From a commit to its version (`convert`, `validatePseudoVersion`).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::list::is_retracted;
use super::{CommitInfo, Dated, INCOMPATIBLE, Module, NoVersion, RepoError, Stat, plain};
use crate::gomod::modfile::Retract;
use crate::gomod::pseudo::PseudoError;
use crate::gomod::version::{canonical_version, is_pseudo_version};
use crate::gomod::{Version, path, pseudo, semver};

impl Module<'_> {
    /// The version of what was asked for, "" if it is nothing but the newest commit.
    pub(super) async fn convert(&self, stat: Stat, asked: &str) -> Result<Dated, NoVersion> {
        let mut conversion = Conversion {
            module: self,
            commit: &stat.commit,
            asked,
            files: BTreeMap::new(),
            retractions: None,
        };
        let version = if is_pseudo_version(asked) {
            // What is quick comes first: what it is based on may be far back in the history.
            let version = conversion.canonical(asked).await?;
            conversion.validate().await?;
            version
        } else {
            conversion.version(stat.tag.as_deref()).await?
        };
        Ok(Dated {
            reference: stat.reference.filter(|_| !version.is_pseudo()),
            version,
            subdir: self.layout.dir().to_owned(),
            commit: stat.commit,
        })
    }

    /// The version that a tag names, and whether it is exactly that (`tagToVersion`). What looks
    /// like a pseudo-version is none, below a prefix as well; there Go takes it for one, whose
    /// files it then looks for in another commit.
    fn of_tag(&self, tag: &str) -> Option<(String, bool)> {
        let name = self.layout.of_tag(tag)?;
        if is_pseudo_version(name) {
            return None;
        }
        let v = semver::canonical(name)?;
        // Not v1, nor v1.2.
        let is_canonical = v == name;
        name.starts_with(&v).then_some((v, is_canonical))
    }
}

struct Conversion<'m> {
    module: &'m Module<'m>,
    commit: &'m CommitInfo,
    asked: &'m str,
    /// Those read so far.
    files: BTreeMap<String, Option<Bytes>>,
    retractions: Option<Vec<Retract>>,
}

impl Conversion<'_> {
    async fn file(&mut self, path: &str) -> Result<Option<Bytes>, RepoError> {
        if let Some(known) = self.files.get(path) {
            return Ok(known.clone());
        }
        let found = self.module.file(&self.commit.id, path).await?;
        self.files.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    /// Whether a version beyond v1 may be one of a module without go.mod (`canUseIncompatible`).
    async fn may_be_incompatible(&mut self, v: &str) -> Result<bool, RepoError> {
        let layout = &self.module.layout;
        if !layout.dir().is_empty() || !layout.path_major().is_empty() {
            return Ok(false);
        }
        if self.file("go.mod").await?.is_some() {
            return Ok(false);
        }
        // go.dev/issue/51324: it was not always so, hence nothing is said if asked explicitly.
        if self.asked.ends_with(INCOMPATIBLE) {
            return Ok(true);
        }
        let other = format!("{}/go.mod", semver::major(v));
        Ok(self.file(&other).await?.is_none())
    }

    async fn fits(&mut self, v: &str) -> Result<bool, RepoError> {
        let major = self.module.layout.path_major();
        Ok(path::match_path_major(v, major) || self.may_be_incompatible(v).await?)
    }

    async fn is_retracted(&mut self, v: &str) -> Result<bool, RepoError> {
        let retractions = match self.retractions.take() {
            Some(known) => known,
            None => self.module.retractions().await?,
        };
        Ok(is_retracted(self.retractions.insert(retractions), v))
    }

    /// The version that the commit has by this name, if the module can have it
    /// (`checkCanonical`).
    async fn canonical(&mut self, v: &str) -> Result<Version, NoVersion> {
        let layout = &self.module.layout;
        let (first, second) = layout.go_mods();
        let first = self.file(&first).await?;
        let second = match second {
            Some(path) => self.file(&path).await?,
            None => None,
        };
        layout
            .find(first.as_deref(), second.as_deref())
            .map_err(|error| NoVersion::Layout {
                error,
                rev: self.module.revision(v),
            })?;

        let asked = self.asked;
        let v = if v == plain(asked) { asked } else { v };
        let base = plain(v);
        let mut found = v.to_owned();
        let mut fault = None;
        if !path::match_path_major(base, layout.path_major()) {
            if self.may_be_incompatible(base).await? {
                found = format!("{base}{INCOMPATIBLE}");
            } else if layout.path_major().is_empty() {
                let wanted = format!("{}/{}", self.module.path, semver::major(v));
                fault = Some(NoVersion::NeedsSuffix { wanted });
            } else {
                fault = Some(NoVersion::OtherMajor);
            }
        } else if v.ends_with(INCOMPATIBLE) {
            let major = semver::major(v).to_owned();
            fault = Some(NoVersion::NotIncompatible { major });
        }
        // A canonical version can be nothing else: a branch of this name does not make it.
        if canonical_version(asked).as_deref() == Some(asked) && plain(asked) != base {
            fault = Some(NoVersion::NotATag {
                found: found.clone(),
                asked: plain(asked).to_owned(),
            });
        }
        match fault {
            Some(fault) => Err(fault),
            None => Ok(Version::parse(&found)?),
        }
    }

    /// Whether the pseudo-version asked for is one of the commit.
    async fn validate(&self) -> Result<(), NoVersion> {
        let (module, commit) = (self.module, self.commit);
        let prefix = module.layout.tag_prefix();
        let tags: Vec<_> = module.refs.tags_of(&commit.id).collect();
        let commit_of = pseudo::Commit {
            short: commit.id.short(),
            time: commit.time,
            tags: &tags,
        };
        let major = module.layout.path_major();
        let Some(base) = pseudo::check(self.asked, major, prefix, &commit_of)? else {
            return Ok(());
        };
        let mut last = None;
        for (tag, id) in module.refs.tags(&format!("{prefix}{base}")) {
            if !module
                .layout
                .of_tag(tag)
                .is_some_and(|v| pseudo::is_base(v, &base))
            {
                continue;
            }
            if module.repo.is_ancestor(id, &commit.id).await? {
                return Ok(());
            }
            last = Some(tag.to_owned());
        }
        Err(match last {
            Some(tag) => PseudoError::NotDescendant(tag),
            None => PseudoError::NoBaseTag(base),
        }
        .into())
    }

    /// The version of the commit, by its tags or by those before it.
    async fn version(&mut self, tag: Option<&str>) -> Result<Version, NoVersion> {
        let module = self.module;
        if let Some((v, true)) = tag.and_then(|tag| module.of_tag(tag)) {
            match self.canonical(&v).await {
                Err(error) if error.repo_error().is_none() => {}
                result => return result,
            }
        }
        let mut highest = String::new();
        let mut base = None;
        for tag in module.refs.tags_of(&self.commit.id) {
            let Some((v, is_canonical)) = module.of_tag(tag) else {
                continue;
            };
            if semver::compare(&v, self.asked).is_eq() {
                if is_canonical {
                    return self.canonical(&v).await;
                }
                // v1.0.0+a and v1.0.0+b may both be there, of different commits.
                base = Some(v);
            } else if is_canonical
                && semver::compare(&highest, &v).is_lt()
                && !self.is_retracted(&v).await?
                && self.fits(&v).await?
            {
                highest = v;
            }
        }
        if !highest.is_empty() {
            return self.canonical(&highest).await;
        }
        let base = match base {
            Some(base) => base,
            None => self.highest_before().await?.unwrap_or_default(),
        };
        let major = path::path_major_prefix(module.layout.path_major());
        let (time, short) = (self.commit.time, self.commit.id.short());
        self.canonical(&pseudo::pseudo_version(major, &base, time, short))
            .await
    }

    /// The highest version among the tags of the commit and its ancestors, as far as the module can
    /// have it and it is not withdrawn (`RecentTag`). Go itself, if it has fetched the
    /// commit alone, is content with a tag of that; here the history is always whole.
    async fn highest_before(&mut self) -> Result<Option<String>, RepoError> {
        let (module, prefix) = (self.module, self.module.layout.tag_prefix());
        // Most repositories without versions need no look at their history.
        if !module
            .refs
            .tags(prefix)
            .any(|(tag, _)| module.of_tag(tag).is_some())
        {
            return Ok(None);
        }
        let before = module.repo.tags_before(&self.commit.id, prefix).await?;
        let mut versions: Vec<_> = before
            .iter()
            .filter(|tag| module.refs.tag(tag).is_some())
            .filter_map(|tag| Some(module.of_tag(tag)?.0))
            .collect();
        versions.sort_by(|a, b| semver::compare_total(b, a));
        versions.dedup();
        for v in versions {
            if self.fits(&v).await? && !self.is_retracted(&v).await? {
                return Ok(Some(v));
            }
        }
        Ok(None)
    }
}
