//! First-seen checksums: which there are, and how an operator lets one go.

use super::OperateError;
use crate::engine::{Engine, EngineError};
use crate::gomod::{ModulePath, Version};
use crate::protocol::{FileKey, Kind};
use crate::store::{FactPages, FirstSeenRecord, Verified};

/// The files that have first-seen checksums.
const HELD: [Kind; 2] = [Kind::Mod, Kind::Zip];

/// A file and the checksum that it is held to.
pub type FirstSeen = (FileKey, FirstSeenRecord);

/// The first-seen checksums, page by page.
pub struct FirstSeenPages(FactPages<FirstSeen>);

impl FirstSeenPages {
    /// The next page; none after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<FirstSeen>>, OperateError> {
        Ok(self.0.next().await?)
    }
}

impl Engine {
    /// All first-seen checksums.
    pub fn all_first_seen(&self) -> FirstSeenPages {
        FirstSeenPages(self.store.all_first_seen())
    }

    /// Takes whatever comes next for a version, and holds it to that: what is kept of it goes. Gives the files that it
    /// holds for.
    pub async fn accept_change(
        &self,
        module: &ModulePath,
        version: &Version,
    ) -> Result<Vec<Kind>, OperateError> {
        let mut accepted = Vec::new();
        for key in keys(module, version) {
            let record = self.store.record(&key).await?;
            if record.is_some_and(|record| record.verified == Verified::Sumdb) {
                return Err(OperateError::Recorded(module.clone(), version.clone()));
            }
            let known = match self.store.first_seen(&key).await? {
                Some(first) => Some(first),
                None => self.seen(&key).await?,
            };
            let Some(first) = known else { continue };
            let accepting = FirstSeenRecord {
                accept: true,
                ..first
            };
            self.store.put_first_seen(&key, &accepting).await?;
            self.revoke(&key).await?;
            accepted.push(key.kind);
        }
        if accepted.is_empty() {
            return Err(OperateError::NotHeld(module.clone(), version.clone()));
        }
        // What it says of the version's commit may have changed as well.
        let info = FileKey {
            module: module.clone(),
            version: version.clone(),
            kind: Kind::Info,
        };
        self.revoke(&info).await?;
        Ok(accepted)
    }

    /// What a kept file would be held to, although no first-seen checksum is recorded.
    async fn seen(&self, key: &FileKey) -> Result<Option<FirstSeenRecord>, EngineError> {
        let record = self.store.record(key).await?;
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

    /// Forgets the first-seen checksums of a version. Gives the files that had one.
    pub async fn forget_first_seen(
        &self,
        module: &ModulePath,
        version: &Version,
    ) -> Result<Vec<Kind>, OperateError> {
        let mut forgotten = Vec::new();
        for key in keys(module, version) {
            if self.store.first_seen(&key).await?.is_none() {
                continue;
            }
            self.store.remove_first_seen(&key).await?;
            if self.store.file(&key).await?.is_none() {
                // Else the record of a file that is gone would go on saying what it was.
                self.revoke(&key).await?;
            }
            forgotten.push(key.kind);
        }
        match forgotten.is_empty() {
            true => Err(OperateError::NotHeld(module.clone(), version.clone())),
            false => Ok(forgotten),
        }
    }
}

/// The files of a version.
fn keys(module: &ModulePath, version: &Version) -> impl Iterator<Item = FileKey> {
    HELD.into_iter().map(|kind| FileKey {
        module: module.clone(),
        version: version.clone(),
        kind,
    })
}
