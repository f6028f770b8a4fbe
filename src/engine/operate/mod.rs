//! What operators see of what is kept, and do to it. Nothing here answers a client.

mod databases;
mod error;
mod first_seen;
mod inventory;
mod verify;

pub use databases::DatabaseStatus;
pub use error::OperateError;
pub use first_seen::{FirstSeen, FirstSeenPages};
pub use inventory::{Checked, Checks, Facts, Inventory, KeptFiles, KnownFact, Rebuilt};
pub use verify::Finding;
