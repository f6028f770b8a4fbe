//! The index of what is kept.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::error::AdminError;
use super::operation::{EventSink, Listed, Operation, OperationProgress};
use crate::engine::Inventory;

/// Everything known, or what of it has names that begin so.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IndexDump {
    pub prefix: String,
}

/// Something known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DumpedFact {
    /// Its name.
    pub key: String,
    /// What it says; none if it is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Box<RawValue>>,
    /// It cannot be read, and so counts as unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub damaged: bool,
}

impl Operation for IndexDump {
    const NAME: &'static str = "index/dump";
    type On = Inventory;
    type Item = DumpedFact;
    type Output = Listed;

    async fn run(self, on: &Inventory, out: &EventSink<Self>) -> Result<Listed, AdminError> {
        const TOTALS: &str = "totals";
        let mut count = 0;
        let mut facts = on.facts(&self.prefix);
        while let Some(page) = facts.next().await? {
            for fact in page {
                count += 1;
                out.item(DumpedFact {
                    damaged: fact.value.is_none(),
                    key: fact.key,
                    value: fact.value,
                })
                .await;
            }
        }
        if TOTALS.starts_with(&self.prefix) {
            count += 1;
            out.item(DumpedFact {
                key: TOTALS.to_owned(),
                value: to_raw_value(&on.totals()).ok(),
                damaged: false,
            })
            .await;
        }
        Ok(Listed { count })
    }
}

/// Read every kept file and compare it with what was recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IndexVerify {
    /// Remove what is not in order.
    pub repair: bool,
}

/// A file that is not what was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlawedFile {
    /// Its name below `modules/`.
    pub file: String,
    /// Why, for people.
    pub reason: String,
    /// It was removed.
    pub removed: bool,
}

/// What came of comparing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedIndex {
    /// Files that were recorded at the beginning.
    pub files: u64,
    pub in_order: u64,
    pub not_in_order: u64,
    /// All that is not in order was removed.
    pub repaired: bool,
}

impl Operation for IndexVerify {
    const NAME: &'static str = "index/verify";
    type On = Inventory;
    type Item = FlawedFile;
    type Output = VerifiedIndex;

    fn only_reads(&self) -> bool {
        !self.repair
    }

    fn is_well(found: &VerifiedIndex) -> bool {
        found.not_in_order == 0 || found.repaired
    }

    async fn run(self, on: &Inventory, out: &EventSink<Self>) -> Result<VerifiedIndex, AdminError> {
        let totals = on.totals();
        let mut done = VerifiedIndex {
            files: totals.files,
            repaired: self.repair,
            ..VerifiedIndex::default()
        };
        let (mut files, mut bytes) = (0, 0);
        let mut checks = on.checks(self.repair);
        loop {
            // Between two files nothing is half done.
            out.goes_on()?;
            let Some(checked) = checks.next().await? else {
                break;
            };
            if checked.is_file {
                files += 1;
                bytes += checked.bytes;
                out.progress(OperationProgress {
                    files,
                    files_in_all: Some(totals.files),
                    bytes: Some(bytes),
                    bytes_in_all: Some(totals.bytes),
                    current: checked.name.clone(),
                });
            }
            let Some(reason) = checked.flaw else {
                done.in_order += 1;
                continue;
            };
            done.not_in_order += 1;
            done.repaired &= checked.removed;
            out.item(FlawedFile {
                file: checked.name,
                reason,
                removed: checked.removed,
            })
            .await;
        }
        Ok(done)
    }
}

/// Make the index anew from the files. No server may have the data directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IndexRebuild {}

/// A file that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutFile {
    /// Its name below `modules/`.
    pub file: String,
    /// Why, for people.
    pub reason: String,
}

/// What came of making it anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuiltIndex {
    /// Files that are known now.
    pub recorded: u64,
    /// Files that are not in order.
    pub left_out: u64,
    /// Files that are in no layout of ours, and so were left alone.
    pub unknown: u64,
    /// Some of them.
    pub unknown_such_as: Vec<String>,
    /// Records whose file is gone.
    pub dropped: u64,
    /// Lists of versions that were taken over.
    pub lists: u64,
}

impl Operation for IndexRebuild {
    const NAME: &'static str = "index/rebuild";
    type On = Inventory;
    type Item = LeftOutFile;
    type Output = RebuiltIndex;

    fn only_reads(&self) -> bool {
        false
    }

    /// Nothing at all is not what anybody wanted.
    fn is_well(done: &RebuiltIndex) -> bool {
        done.recorded > 0 || done.unknown == 0
    }

    async fn run(self, on: &Inventory, out: &EventSink<Self>) -> Result<RebuiltIndex, AdminError> {
        let rebuilt = on
            .rebuild(|seen| {
                out.progress(OperationProgress {
                    files: seen.files,
                    bytes: Some(seen.bytes),
                    current: seen.current.clone(),
                    ..OperationProgress::default()
                });
            })
            .await?;
        let left_out = rebuilt.bad.len() as u64;
        for (file, reason) in rebuilt.bad {
            out.item(LeftOutFile { file, reason }).await;
        }
        Ok(RebuiltIndex {
            recorded: rebuilt.good,
            left_out,
            unknown: rebuilt.unknown,
            unknown_such_as: rebuilt.unknown_such_as,
            dropped: rebuilt.gone,
            lists: rebuilt.lists,
        })
    }
}
