//! `@latest` where no upstream has it, and `v1`, `v1.2`: derived from the list as the client does (protocol.md 1.3):
//! highest release that is not retracted, else pre-release, else the newest pseudo-version of the unfiltered list.

use std::sync::Arc;

use bytes::Bytes;

use super::Engine;
use super::answer::{CacheStatus, Content};
use super::context::RequestContext;
use super::error::{Cause, Class, EngineError};
use crate::gomod::modfile::{self, Retract};
use crate::gomod::{ModulePath, Version, list, version};
use crate::protocol::{FileKey, Kind, Meta, MetaKey};
use crate::store::MetaRecord;

/// How many of the highest versions are looked at when one after the other turns out not to exist after all.
const TRIES: usize = 3;
/// The same when only kept versions count.
const KEPT_TRIES: usize = 200;

/// One derivation: whose, and what it may ask.
#[derive(Clone, Copy)]
pub(super) struct Derivation<'a> {
    /// Answers what it asks.
    pub engine: &'a Arc<Engine>,
    /// Whose `@latest`.
    pub module: &'a ModulePath,
    /// On whose behalf.
    pub context: &'a RequestContext,
    /// Nobody is asked: it is made from what is kept, as far as that goes.
    pub kept_only: bool,
}

impl Derivation<'_> {
    /// Derives what a module's `@latest` (or the highest of a `series` such as `v1`) is.
    pub async fn run(
        &self,
        key: &MetaKey,
        series: Option<&str>,
    ) -> Result<MetaRecord, EngineError> {
        let list_key = MetaKey {
            module: self.module.clone(),
            meta: Meta::List,
        };
        let kept = match self.kept_only {
            true => {
                let kept = self.engine.kept_meta(&list_key, self.context).await?;
                kept.ok_or(Cause::NoListKept)?
            }
            false => self.engine.record(&list_key, self.context).await?,
        };
        let _large = match &kept.file {
            Some(_) => self.engine.large_lists.acquire().await.ok(),
            None => None,
        };
        let versions: Vec<Version> = {
            let text = self.engine.list_text(&kept).await?;
            let each = text.lines().filter_map(|line| Version::parse(line).ok());
            each.collect()
        };
        let list = kept.record;
        let retracted = self.retractions(&versions).await?;
        let compatible_only = self.ignores_incompatible(&versions).await?;
        let allowed = versions.iter().filter(|version| {
            !(compatible_only && version.is_incompatible())
                && series.is_none_or(|series| version::prefix_matches(series, version))
                && !retracted.iter().any(|range| range.covers(version))
        });
        let mut candidates = version::by_preference(allowed.cloned().collect());
        if series.is_none() {
            candidates.extend(newest_unlisted(&list.unlisted));
        }
        let tries = if self.kept_only { KEPT_TRIES } else { TRIES };
        let mut last = EngineError::from(Cause::NoVersionFits(key.describe()));
        for version in candidates.into_iter().take(tries) {
            match self.small(&version, Kind::Info).await {
                Ok(Some(body)) => {
                    let body = String::from_utf8(body.to_vec())
                        .map_err(|_| EngineError::ours("an .info that is not text"))?;
                    return Ok(MetaRecord {
                        body,
                        // No newer than what it is derived from.
                        fetched: list.fetched,
                        from: list.from.clone(),
                        ..MetaRecord::default()
                    });
                }
                Ok(None) => {}
                Err(error) if error.is_absent() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// From the go.mod of the highest release, else of the highest version (`modload.CheckRetractions`).
    async fn retractions(&self, versions: &[Version]) -> Result<Vec<Retract>, EngineError> {
        let compatible = || versions.iter().filter(|version| !version.is_incompatible());
        let highest = compatible()
            .filter(|version| !version.is_prerelease())
            .max()
            .or_else(|| compatible().max());
        let Some(highest) = highest else {
            return Ok(Vec::new());
        };
        let body = self.go_mod(highest).await?;
        Ok(body.map_or_else(Vec::new, |body| modfile::retractions(&body)))
    }

    /// `+incompatible` versions count only if the highest compatible one has no go.mod of its own; an upstream then
    /// gives the one that it made up.
    async fn ignores_incompatible(&self, versions: &[Version]) -> Result<bool, EngineError> {
        if !versions.iter().any(Version::is_incompatible) {
            return Ok(false);
        }
        let compatible = versions.iter().filter(|version| !version.is_incompatible());
        let Some(highest) = compatible.max() else {
            return Ok(false);
        };
        let body = self.go_mod(highest).await?;
        Ok(body.is_some_and(|body| body != modfile::synthesized(self.module).as_bytes()))
    }

    /// A version's go.mod; `None` if it cannot be had for a reason that stays.
    async fn go_mod(&self, version: &Version) -> Result<Option<Bytes>, EngineError> {
        match self.small(version, Kind::Mod).await {
            Err(error)
                if matches!(
                    error.class(),
                    Class::Absent { .. } | Class::Refused | Class::VerificationFailed
                ) =>
            {
                Ok(None)
            }
            other => other,
        }
    }

    /// An `.info` or `.mod`; `None` if it is gone again.
    async fn small(&self, version: &Version, kind: Kind) -> Result<Option<Bytes>, EngineError> {
        let key = FileKey {
            module: self.module.clone(),
            version: version.clone(),
            kind,
        };
        let context = self.context.derived();
        let answer = match self.kept_only {
            true => {
                let kept = self.engine.lookup(&key, &context).await?;
                kept.map(|file| file.answer(CacheStatus::Hit, None))
            }
            false => Some(self.engine.file(&key, &context).await?),
        };
        Ok(match answer.map(|answer| answer.content) {
            None => None,
            Some(Content::Bytes(body)) => Some(body),
            Some(Content::File(file)) => Some(self.engine.store.read_whole(&file).await?),
            // Only zips grow.
            Some(Content::Growing(_)) => None,
        })
    }
}

/// The newest line of those with a time of their own (protocol.md 1.1).
fn newest_unlisted(unlisted: &str) -> Option<Version> {
    let timed = unlisted.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let version = Version::parse(fields.next()?).ok()?;
        Some((list::time_of(&version, fields.next())?, version))
    });
    timed
        .max_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(_, version)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_by_time_not_by_version() {
        let unlisted = "v0.2.0-0.20200101000000-abcdefabcdef\nv0.0.0-20210101000000-abcdefabcdef\nv1.0.0 2019-01-01T00:00:00Z\n";
        assert_eq!(
            newest_unlisted(unlisted).unwrap().as_str(),
            "v0.0.0-20210101000000-abcdefabcdef"
        );
        assert_eq!(newest_unlisted(""), None);
    }
}
