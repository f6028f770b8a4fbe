//! The checksum databases, and what is kept compared with them.

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::error::AdminError;
use super::operation::{EventSink, Never, Operation, OperationProgress};
use super::service::AdminService;
use super::time::Time;
use crate::engine::{DatabaseStatus, Finding};
use crate::protocol::FileKey;

/// Files that are verified at the same time.
const AT_ONCE: usize = 8;

/// The state of the checksum databases.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SumdbStatus {}

/// The state of the checksum databases, in the order in which they are configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStates {
    pub databases: Vec<DatabaseState>,
}

/// The state of a checksum database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseState {
    pub name: String,
    /// Records in the latest verified tree.
    pub records: Option<u64>,
    /// When a verified answer last came from it; none since the start.
    pub last_contact: Option<Time>,
    /// The latest verified tree head, as signed.
    pub head: Option<String>,
    pub alarms: Vec<AlarmState>,
}

/// Something that an operator must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmState {
    /// `fork` or `inconsistent`.
    pub kind: String,
    pub since: Time,
    /// In words, with what proves it.
    pub text: String,
    /// An operator knows.
    pub acknowledged: bool,
}

impl From<DatabaseStatus> for DatabaseState {
    fn from(status: DatabaseStatus) -> Self {
        let alarms = status.alarms.into_iter().map(|alarm| AlarmState {
            kind: alarm.kind.as_str().to_owned(),
            since: alarm.since.into(),
            text: alarm.text,
            acknowledged: alarm.acknowledged,
        });
        DatabaseState {
            name: status.name,
            records: status.size,
            last_contact: status.heard.map(Time::from),
            head: status
                .note
                .map(|note| String::from_utf8_lossy(&note).into_owned()),
            alarms: alarms.collect(),
        }
    }
}

impl Operation for SumdbStatus {
    const NAME: &'static str = "sumdb/status";
    type On = AdminService;
    type Item = Never;
    type Output = DatabaseStates;

    async fn run(
        self,
        on: &AdminService,
        _: &EventSink<Self>,
    ) -> Result<DatabaseStates, AdminError> {
        let databases = on.engine.databases().into_iter();
        Ok(DatabaseStates {
            databases: databases.map(DatabaseState::from).collect(),
        })
    }
}

/// Verify everything that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SumdbVerify {
    /// Take back what is wrong.
    pub repair: bool,
}

/// What is the matter with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileVerdict {
    /// It is not what it should be.
    Wrong,
    /// A database cannot be trusted as it is.
    Untrusted,
    /// The databases do not know it.
    Unknown,
    /// Nobody could be asked.
    Unavailable,
}

/// A file that nobody vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtfulFile {
    /// Its name below `modules/`.
    pub file: String,
    pub module: String,
    pub version: String,
    pub verdict: FileVerdict,
    /// Why, for people.
    pub reason: String,
    /// It was taken back.
    pub removed: bool,
}

/// What came of verifying.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedFiles {
    /// Files looked at.
    pub files: u64,
    /// Of these, what a database vouches for.
    pub verified: u64,
    /// What is as first seen, and no database covers.
    pub first_seen: u64,
    pub wrong: u64,
    pub untrusted: u64,
    pub unknown: u64,
    pub unavailable: u64,
    /// The databases that were asked.
    pub databases: Vec<String>,
    /// What is wrong was taken back.
    pub repaired: bool,
}

impl Operation for SumdbVerify {
    const NAME: &'static str = "sumdb/verify";
    type On = AdminService;
    type Item = DoubtfulFile;
    type Output = VerifiedFiles;

    fn only_reads(&self) -> bool {
        !self.repair
    }

    fn is_well(found: &VerifiedFiles) -> bool {
        found.unknown == 0
            && found.unavailable == 0
            && found.untrusted == 0
            && (found.wrong == 0 || found.repaired)
    }

    async fn run(
        self,
        on: &AdminService,
        out: &EventSink<Self>,
    ) -> Result<VerifiedFiles, AdminError> {
        let engine = &on.engine;
        let in_all = on.inventory.totals().files;
        let names = engine.databases().into_iter().map(|it| it.name);
        let mut done = VerifiedFiles {
            databases: names.collect(),
            repaired: self.repair,
            ..VerifiedFiles::default()
        };
        let mut pages = on.inventory.files();
        while let Some(files) = pages.next().await? {
            let checks = stream::iter(files).map(|(key, record)| async move {
                let found = engine.verify_kept(&key, record).await;
                (key, found)
            });
            let mut checks = checks.buffer_unordered(AT_ONCE);
            // A check may be left at any point; what is wrong is removed outside of it.
            while let Some((key, found)) = out.unless_over(checks.next()).await? {
                done.files += 1;
                out.progress(OperationProgress {
                    files: done.files,
                    files_in_all: Some(in_all),
                    current: key.to_string(),
                    ..OperationProgress::default()
                });
                let Some((verdict, reason)) = done.count(found?) else {
                    continue;
                };
                let removed = verdict == FileVerdict::Wrong && self.repair;
                if removed {
                    engine.revoke(&key).await?;
                }
                out.item(doubtful(&key, verdict, reason, removed)).await;
            }
        }
        Ok(done)
    }
}

impl VerifiedFiles {
    /// Counts what was found of a file; gives what is to be told of it.
    fn count(&mut self, found: Finding) -> Option<(FileVerdict, String)> {
        let (count, told) = match found {
            Finding::InOrder => return None,
            Finding::Verified => (&mut self.verified, None),
            Finding::FirstSeen => (&mut self.first_seen, None),
            Finding::Wrong(why) => (&mut self.wrong, Some((FileVerdict::Wrong, why))),
            Finding::Untrusted(why) => (&mut self.untrusted, Some((FileVerdict::Untrusted, why))),
            Finding::Unknown(why) => (&mut self.unknown, Some((FileVerdict::Unknown, why))),
            Finding::Unavailable(why) => {
                (&mut self.unavailable, Some((FileVerdict::Unavailable, why)))
            }
        };
        *count += 1;
        told
    }
}

fn doubtful(key: &FileKey, verdict: FileVerdict, reason: String, removed: bool) -> DoubtfulFile {
    DoubtfulFile {
        file: key.to_string(),
        module: key.module.to_string(),
        version: key.version.to_string(),
        verdict,
        reason,
        removed,
    }
}

/// End the alarms of a checksum database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SumdbAcknowledge {
    pub name: String,
    /// Forget everything that is kept of it.
    pub begin_anew: bool,
}

/// A database whose alarms have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcknowledgedDatabase {
    pub name: String,
    /// How many alarms there were.
    pub alarms: u64,
    /// Its history is forgotten.
    pub begun_anew: bool,
}

impl Operation for SumdbAcknowledge {
    const NAME: &'static str = "sumdb/acknowledge";
    type On = AdminService;
    type Item = Never;
    type Output = AcknowledgedDatabase;

    fn only_reads(&self) -> bool {
        false
    }

    async fn run(
        self,
        on: &AdminService,
        _: &EventSink<Self>,
    ) -> Result<AcknowledgedDatabase, AdminError> {
        let alarms = on.engine.acknowledge(&self.name, self.begin_anew).await?;
        Ok(AcknowledgedDatabase {
            name: self.name,
            alarms: alarms as u64,
            begun_anew: self.begin_anew,
        })
    }
}
