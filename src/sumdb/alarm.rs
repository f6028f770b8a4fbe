//! Alarms: what an operator must know of, also after a restart.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmKind {
    /// The database has signed two histories that contradict each other. New modules are refused until an operator
    /// has acknowledged it.
    Fork,
    /// A tile that came does not belong to the tree. What depends on it was refused; what does not verify in full is
    /// refused, too, until an operator has acknowledged it.
    Inconsistent,
}

impl AlarmKind {
    /// Both.
    pub const ALL: [AlarmKind; 2] = [AlarmKind::Fork, AlarmKind::Inconsistent];

    /// As in labels and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            AlarmKind::Fork => "fork",
            AlarmKind::Inconsistent => "inconsistent",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What was noticed.
    pub kind: AlarmKind,
    /// When it was noticed first.
    pub since: Timestamp,
    /// In words, with what proves it.
    pub text: String,
    /// An operator knows.
    pub acknowledged: bool,
}
