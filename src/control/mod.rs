//! What an operator does to a data directory by command: the same work whether a server holds the directory, and is
//! asked through a socket in it, or not.

mod first_seen;
mod grouped;
mod socket;
mod sumdb;
mod tokens;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::clock::SharedClock;
use crate::engine::{Engine, EngineError, TokenName, Tokens};

pub use grouped::Grouped;
pub use socket::{Service, ask, is_served, listen};

/// Lines and progress that a slow reader may be behind.
pub const BEHIND: usize = 256;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Print the first-seen checksums.
    FirstSeenList,
    /// Take whatever comes next for a version, and hold it to that.
    FirstSeenAccept(String),
    /// Forget a version's first-seen checksums.
    FirstSeenRemove(String),
    /// Make a token for private modules.
    TokenNew(TokenName),
    /// Print which tokens there are.
    TokenList,
    /// End a token.
    TokenRevoke(TokenName),
    /// Print the state of the checksum databases.
    SumdbStatus,
    /// Verify everything that is kept.
    SumdbVerify {
        /// Take back what is wrong.
        repair: bool,
    },
    /// End the alarms of a checksum database.
    SumdbAcknowledge {
        name: String,
        /// Forget everything that is kept of it.
        begin_anew: bool,
    },
}

impl Control {
    /// Whether it leaves everything as it is.
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Control::FirstSeenList
                | Control::TokenList
                | Control::SumdbStatus
                | Control::SumdbVerify { repair: false }
        )
    }
}

/// What a command says while it works, and at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A line for standard output.
    Line(String),
    /// A line for standard error.
    Trouble(String),
    /// How far it is.
    Progress {
        /// Files looked at.
        done: u64,
        /// Files in all.
        of: u64,
        /// What is being looked at.
        current: String,
    },
    /// The end: whether all is well.
    End(bool),
}

/// What commands work on.
#[derive(Clone)]
pub struct Controls {
    pub engine: Arc<Engine>,
    /// Who may have private modules.
    pub tokens: Arc<Tokens>,
    pub clock: SharedClock,
}

/// Where a command's words go. Whoever reads may have gone; the work goes on.
pub(crate) struct Out(mpsc::Sender<Event>);

impl Out {
    async fn line(&self, text: impl Into<String>) {
        let _ = self.0.send(Event::Line(text.into())).await;
    }

    async fn trouble(&self, text: impl Into<String>) {
        let _ = self.0.send(Event::Trouble(text.into())).await;
    }

    async fn progress(&self, done: u64, of: u64, current: String) {
        // Whoever is behind can do without.
        let _ = self.0.try_send(Event::Progress { done, of, current });
    }
}

impl Controls {
    /// Carries a command out; the last event is [`Event::End`].
    pub async fn run(&self, control: &Control, events: mpsc::Sender<Event>) {
        let out = Out(events);
        let well = match control {
            Control::FirstSeenList => self.first_seen_list(&out).await,
            Control::FirstSeenAccept(version) => self.first_seen_accept(version, &out).await,
            Control::FirstSeenRemove(version) => self.first_seen_remove(version, &out).await,
            Control::TokenNew(name) => self.token_new(name, &out).await,
            Control::TokenList => self.token_list(&out).await,
            Control::TokenRevoke(name) => self.token_revoke(name, &out).await,
            Control::SumdbStatus => self.sumdb_status(&out).await,
            Control::SumdbVerify { repair } => self.sumdb_verify(*repair, &out).await,
            Control::SumdbAcknowledge { name, begin_anew } => {
                self.sumdb_acknowledge(name, *begin_anew, &out).await
            }
        };
        let well = match well {
            Ok(well) => well,
            Err(error) => {
                out.trouble(error.to_string()).await;
                false
            }
        };
        let _ = out.0.send(Event::End(well)).await;
    }
}

type Done = Result<bool, EngineError>;
