//! Fetches what a client will ask for next before it does: the go.mod files that lie ahead in the graph it walks, their
//! look-ups in the checksum database with them, then `.info` files and zips. See ARCHITECTURE.md section 11.
//!
//! Only what was missing and has come starts a prefetch: nothing is asked about what may not exist. Prefetches are few,
//! yield to whatever is waited for, and grow fewer where they turn out to be wasted.

mod budget;
mod fetch;
mod predictor;
mod scheduler;

pub(super) use fetch::{Fetch, Lookup};
pub use scheduler::PrefetchSettings;
pub(super) use scheduler::Scheduler;
