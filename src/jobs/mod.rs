//! Work in the background. Each job is a struct with `run`, which ends when the server stops.

mod rebuild;
mod refresh;
mod settle;
mod tally;

pub use rebuild::Rebuild;
pub use refresh::Refresh;
pub use settle::Settle;
pub use tally::Tally;
