//! The chain that is used, and why.

use super::memory::{Memory, Told};
use crate::clock::Timestamp;
use crate::config::Upstream;
use crate::store::SideFile;
use crate::upstream::ChainSpec;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteLevel {
    /// It is as it should be.
    Fine,
    /// Somebody should know.
    Warning,
    /// The toolchain says something else than what is used, or than what was used so far.
    Fault,
}

/// What there is to say about the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub level: NoteLevel,
    /// A sentence or two.
    pub text: String,
}

/// The chain that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub chain: ChainSpec,
    /// Where it is from, for people.
    pub from: String,
    /// What there is to say about that.
    pub note: Option<Note>,
    /// Whether it is what the Go toolchain is set to.
    pub(super) as_toolchain: bool,
    /// What is to be remembered from now on.
    pub(super) memory: Memory,
}

impl Chosen {
    /// The operator has said so.
    pub fn by_operator(chain: ChainSpec, upstream: &Upstream) -> Self {
        let by = upstream.chain_source.to_string();
        Chosen {
            from: by.clone(),
            note: None,
            as_toolchain: false,
            memory: Memory {
                found: None,
                told: upstream.chain.as_ref().map(|chain| Told {
                    chain: chain.text.clone(),
                    by,
                }),
            },
            chain,
        }
    }

    /// Says in the log what is used, and why.
    pub fn log(&self) {
        let (chain, from) = (&self.chain, &self.from);
        if self.as_toolchain {
            tracing::info!(%chain, from, "upstream chain, as the Go toolchain is set");
        } else {
            tracing::info!(%chain, from, "upstream chain");
        }
        match &self.note {
            Some(note) if note.level == NoteLevel::Fine => tracing::info!("{}", note.text),
            Some(note) => tracing::warn!("{}", note.text),
            None => {}
        }
    }

    /// Keeps it in the data directory.
    pub fn remember(&self, file: &SideFile, at: Timestamp) {
        let mut memory = self.memory.clone();
        if let Some(found) = memory.found.as_mut().filter(|found| found.at == 0) {
            found.at = at.0;
        }
        memory.write(file);
    }
}
