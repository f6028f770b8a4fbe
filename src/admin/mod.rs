//! What an operator does: typed operations, values in and values out. The same work is done whether a server holds the
//! data directory, and is asked through a socket in it, or not.
//!
//! A new operation is a type with an [`Operation::run`], and a line in `socket/served.rs`; `cli` says how its values look
//! as text.

mod error;
mod first_seen;
mod index;
mod module_version;
mod operation;
mod reload;
mod service;
mod socket;
mod sumdb;
mod time;
mod token;

pub use error::{AdminError, ErrorKind};
pub use first_seen::{ChangedVersion, FirstSeenAccept, FirstSeenList, FirstSeenRemove, HeldFile};
pub use index::{
    DumpedFact, FlawedFile, IndexDump, IndexRebuild, IndexVerify, LeftOutFile, RebuiltIndex,
    VerifiedIndex,
};
pub use module_version::ModuleVersion;
pub use operation::{
    BEHIND, Event, EventOf, Listed, Never, Operation, OperationProgress, Performer, perform,
};
pub use reload::{ConfigReload, ServedConfig};
pub use service::AdminService;
pub use socket::{SocketServer, ask, is_served, listen};
pub use sumdb::{
    AcknowledgedDatabase, DatabaseState, DatabaseStates, DoubtfulFile, FileVerdict,
    SumdbAcknowledge, SumdbStatus, SumdbVerify, VerifiedFiles,
};
pub use token::{
    MadeToken, RevokedToken, TokenList, TokenNew, TokenRevoke, TokenRotate, TokenTable,
};
