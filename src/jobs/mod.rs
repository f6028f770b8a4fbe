//! Work in the background. Each job is a struct with `run`, which ends when the server stops.

mod rebuild;
mod refresh;
mod room;
mod settle;
mod tally;

pub use rebuild::Rebuild;
pub use refresh::Refresh;
pub use room::Room;
pub use settle::Settle;
pub use tally::Tally;
