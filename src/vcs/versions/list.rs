//! The versions that a module has, and those its author has withdrawn.

use super::{INCOMPATIBLE, Module, NoVersion, RepoError};
use crate::gomod::modfile::{self, Retract};
use crate::gomod::{Version, path, semver};

impl Module<'_> {
    /// The versions that tags make, in ascending order, those with `+incompatible` last
    /// (`Versions`).
    pub async fn versions(&self) -> Result<Vec<Version>, NoVersion> {
        let (mut list, beyond) = self.tagged();
        if beyond.is_empty() {
            return Ok(list);
        }
        // Who has a go.mod in the latest version means everybody to be on it, or on a later one
        // with a go.mod.
        if let Some(highest) = list.last()
            && self.has_root_go_mod(highest).await?
        {
            return Ok(list);
        }
        for series in beyond.chunk_by(|a, b| a.major() == b.major()) {
            let Some(highest) = series.last() else {
                continue;
            };
            if self.has_root_go_mod(highest).await? {
                continue;
            }
            let named = series.iter().map(|v| format!("{v}{INCOMPATIBLE}"));
            // What is too long to be a version with the suffix is none.
            list.extend(named.filter_map(|v| Version::parse(&v).ok()));
        }
        Ok(list)
    }

    /// The versions of tags: those that the path admits, and those beyond it that may be versions
    /// with `+incompatible`. Both in ascending order.
    fn tagged(&self) -> (Vec<Version>, Vec<Version>) {
        let major = self.layout.path_major();
        // gopkg.in/x.v2-unstable does not have the tags of gopkg.in/x.v2, so it has none.
        if self.path.as_str().starts_with("gopkg.in/") && major.ends_with("-unstable") {
            return Default::default();
        }
        let tags = self.refs.tags(self.layout.tag_prefix());
        let (mut list, mut beyond): (Vec<_>, Vec<_>) = tags
            .filter_map(|(tag, _)| Version::parse(self.layout.of_tag(tag)?).ok())
            // A tag v2.0.0+incompatible is not what the version of this name means.
            .filter(|v| !v.is_pseudo() && !v.is_incompatible())
            .partition(|v| path::match_path_major(v.as_str(), major));
        if !(self.layout.dir().is_empty() && major.is_empty()) {
            beyond.clear();
        }
        list.sort();
        beyond.sort();
        (list, beyond)
    }

    /// Whether there is a go.mod at the root of the repository in this version.
    async fn has_root_go_mod(&self, version: &Version) -> Result<bool, NoVersion> {
        let commit = self.stat(version.as_str()).await?.commit;
        Ok(self.file(&commit.id, "go.mod").await?.is_some())
    }

    /// What the author has withdrawn, by the go.mod of the highest release (`retractedVersions`).
    /// Where none can be read, nothing.
    pub async fn retractions(&self) -> Result<Vec<Retract>, RepoError> {
        match self.own_retractions().await {
            Ok(found) => Ok(found),
            Err(NoVersion::Repo(error)) => Err(error),
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn own_retractions(&self) -> Result<Vec<Retract>, NoVersion> {
        let list = self.versions().await?;
        // Those with the suffix have no go.mod.
        let mut list = list.iter().rev().filter(|v| !v.is_incompatible());
        let Some(highest) = list.clone().find(|v| !v.is_prerelease()).or(list.next()) else {
            return Ok(Vec::new());
        };
        let commit = self.stat(highest.as_str()).await?.commit;
        let (_, go_mod) = self.find(&commit.id).await?;
        let body = go_mod.filter(|body| modfile::is_sound(body));
        Ok(body.map_or_else(Vec::new, |body| modfile::retractions(&body)))
    }
}

pub(super) fn is_retracted(retractions: &[Retract], v: &str) -> bool {
    retractions
        .iter()
        .any(|r| semver::compare(&r.low, v).is_le() && semver::compare(v, &r.high).is_le())
}
