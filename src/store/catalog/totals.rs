//! How much is kept, as one small value that changes in the same step as what it counts: no start has to look through all
//! facts, and a crash cannot come between.

use serde::{Deserialize, Serialize};

use super::super::model::Fact;

/// What is kept, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that a database is still to be asked about.
    pub pending: u64,
}

impl Totals {
    fn of(fact: &Fact) -> Self {
        match fact {
            Fact::File(_, record) => Totals {
                files: 1,
                bytes: record.size,
                pending: 0,
            },
            Fact::Pending(..) => Totals {
                pending: 1,
                ..Totals::default()
            },
            _ => Totals::default(),
        }
    }

    /// With a fact that has come.
    pub fn add(&mut self, fact: &Fact) {
        let more = Totals::of(fact);
        self.files = self.files.saturating_add(more.files);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.pending = self.pending.saturating_add(more.pending);
    }

    /// Without a fact that has gone.
    pub fn subtract(&mut self, fact: &Fact) {
        let less = Totals::of(fact);
        self.files = self.files.saturating_sub(less.files);
        self.bytes = self.bytes.saturating_sub(less.bytes);
        self.pending = self.pending.saturating_sub(less.pending);
    }
}
