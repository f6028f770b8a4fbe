//! First-seen checksums.

use serde::{Deserialize, Serialize};

use super::error::AdminError;
use super::module_version::ModuleVersion;
use super::operation::{EventSink, Listed, Never, Operation};
use super::service::AdminService;
use super::time::Time;
use crate::protocol::Kind;

/// All first-seen checksums.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirstSeenList {}

/// A file that is held to the checksum that was seen first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFile {
    pub module: String,
    pub version: String,
    /// `mod` or `zip`.
    pub file: String,
    /// What it must be.
    pub h1: String,
    /// Which origin it came from.
    pub from: String,
    /// When it was first seen.
    pub first_seen: Time,
    /// It is held to it because its checksum database does not know it.
    pub unknown_to_database: bool,
    /// Whatever comes next takes its place.
    pub change_accepted: bool,
}

impl Operation for FirstSeenList {
    const NAME: &'static str = "first-seen/list";
    type On = AdminService;
    type Item = HeldFile;
    type Output = Listed;

    async fn run(self, on: &AdminService, out: &EventSink<Self>) -> Result<Listed, AdminError> {
        let mut count = 0;
        let mut pages = on.engine.all_first_seen();
        while let Some(page) = pages.next().await? {
            for (key, first) in page {
                count += 1;
                out.item(HeldFile {
                    module: key.module.to_string(),
                    version: key.version.to_string(),
                    file: key.kind.ext().to_owned(),
                    h1: first.h1.to_string(),
                    from: first.from,
                    first_seen: first.seen.into(),
                    unknown_to_database: first.unknown,
                    change_accepted: first.accept,
                })
                .await;
            }
        }
        Ok(Listed { count })
    }
}

/// A version whose first-seen checksums have changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedVersion {
    pub module: String,
    pub version: String,
    /// Those of `mod` and `zip` that it was done for.
    pub files: Vec<String>,
}

impl ChangedVersion {
    fn of(version: &ModuleVersion, files: Vec<Kind>) -> Self {
        ChangedVersion {
            module: version.module.to_string(),
            version: version.version.to_string(),
            files: files.iter().map(|kind| kind.ext().to_owned()).collect(),
        }
    }
}

/// Take whatever comes next for a version, and hold it to that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirstSeenAccept {
    pub version: ModuleVersion,
}

impl Operation for FirstSeenAccept {
    const NAME: &'static str = "first-seen/accept";
    type On = AdminService;
    type Item = Never;
    type Output = ChangedVersion;

    fn only_reads(&self) -> bool {
        false
    }

    async fn run(
        self,
        on: &AdminService,
        _: &EventSink<Self>,
    ) -> Result<ChangedVersion, AdminError> {
        let ModuleVersion { module, version } = &self.version;
        let files = on.engine.accept_change(module, version).await?;
        Ok(ChangedVersion::of(&self.version, files))
    }
}

/// Forget a version's first-seen checksums.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirstSeenRemove {
    pub version: ModuleVersion,
}

impl Operation for FirstSeenRemove {
    const NAME: &'static str = "first-seen/remove";
    type On = AdminService;
    type Item = Never;
    type Output = ChangedVersion;

    fn only_reads(&self) -> bool {
        false
    }

    async fn run(
        self,
        on: &AdminService,
        _: &EventSink<Self>,
    ) -> Result<ChangedVersion, AdminError> {
        let ModuleVersion { module, version } = &self.version;
        let files = on.engine.forget_first_seen(module, version).await?;
        Ok(ChangedVersion::of(&self.version, files))
    }
}
