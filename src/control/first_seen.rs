//! `larder first-seen list|accept|remove`

use super::{Controls, Done, Out};
use crate::engine::EngineError;
use crate::gomod::{ModulePath, Version};
use crate::protocol::{FileKey, Kind};
use crate::store::{FirstSeenRecord, Verified};

/// The files that have first-seen checksums.
const HELD: [Kind; 2] = [Kind::Mod, Kind::Zip];

impl Controls {
    pub(super) async fn first_seen_list(&self, out: &Out) -> Done {
        let mut count = 0_u64;
        let mut pages = self.engine.store().all_first_seen();
        while let Some(page) = pages.next().await? {
            for (key, first) in &page {
                count += 1;
                let mut notes = String::new();
                if first.unknown {
                    notes.push_str("  (not known to the checksum database)");
                }
                if first.accept {
                    notes.push_str("  (a change is accepted)");
                }
                let line = format!(
                    "{} {}  first seen {} from {}{notes}",
                    named(key),
                    first.h1,
                    first.seen.rfc3339(),
                    first.from
                );
                out.line(line).await;
            }
        }
        if count == 0 {
            out.line("nothing is held to a first-seen checksum").await;
        }
        Ok(true)
    }

    pub(super) async fn first_seen_accept(&self, version: &str, out: &Out) -> Done {
        let store = self.engine.store();
        let mut accepted = false;
        for key in keys(version)? {
            let record = store.record(&key).await?;
            if record.is_some_and(|record| record.verified == Verified::Sumdb) {
                out.trouble(format!(
                    "{version} is what its checksum database has recorded; there is nothing to accept"
                ))
                .await;
                return Ok(false);
            }
            let known = match store.first_seen(&key).await? {
                Some(first) => Some(first),
                None => self.seen(&key).await?,
            };
            let Some(first) = known else { continue };
            store
                .put_first_seen(
                    &key,
                    &FirstSeenRecord {
                        accept: true,
                        ..first
                    },
                )
                .await?;
            self.engine.revoke(&key).await?;
            accepted = true;
        }
        if !accepted {
            out.trouble(format!(
                "{version} is not held to a first-seen checksum here"
            ))
            .await;
            return Ok(false);
        }
        // What it says of the version's commit may have changed as well.
        for mut key in keys(version)?.into_iter().take(1) {
            key.kind = Kind::Info;
            self.engine.revoke(&key).await?;
        }
        out.line(format!(
            "{version}: what is fetched next is accepted, and held to from then on; what was kept of it is dropped"
        ))
        .await;
        Ok(true)
    }

    /// What a kept file would be held to, although no first-seen checksum is recorded.
    async fn seen(&self, key: &FileKey) -> Result<Option<FirstSeenRecord>, EngineError> {
        let record = self.engine.store().record(key).await?;
        Ok(record.and_then(|record| {
            Some(FirstSeenRecord {
                h1: record.h1?,
                from: record.from,
                seen: record.seen,
                unknown: false,
                accept: false,
            })
        }))
    }

    pub(super) async fn first_seen_remove(&self, version: &str, out: &Out) -> Done {
        let store = self.engine.store();
        let mut removed = 0;
        for key in keys(version)? {
            if store.first_seen(&key).await?.is_some() {
                store.remove_first_seen(&key).await?;
                if store.file(&key).await?.is_none() {
                    // Else the record of a file that is gone would go on saying what it was.
                    self.engine.revoke(&key).await?;
                }
                removed += 1;
            }
        }
        if removed == 0 {
            out.trouble(format!(
                "{version} is not held to a first-seen checksum here"
            ))
            .await;
            return Ok(false);
        }
        out.line(format!("{version}: its first-seen checksums are forgotten"))
            .await;
        Ok(true)
    }
}

/// As in go.sum.
fn named(key: &FileKey) -> String {
    let suffix = if key.kind == Kind::Mod { "/go.mod" } else { "" };
    format!("{} {}{suffix}", key.module, key.version)
}

/// The files of `PATH@VERSION`.
fn keys(text: &str) -> Result<Vec<FileKey>, EngineError> {
    let bad = |why: String| EngineError::absent(format!("{text:?} is not PATH@VERSION: {why}"));
    let (module, version) = text
        .split_once('@')
        .ok_or_else(|| bad("it has no @".into()))?;
    let module = ModulePath::parse(module).map_err(|error| bad(error.to_string()))?;
    let version = Version::parse(version).map_err(|error| bad(error.to_string()))?;
    let key = |kind| FileKey {
        module: module.clone(),
        version: version.clone(),
        kind,
    };
    Ok(HELD.into_iter().map(key).collect())
}
