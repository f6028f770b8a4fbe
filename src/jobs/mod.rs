//! Work in the background. Each job is a struct with `run`, which ends when the server stops.

mod rebuild;
mod refresh;
mod reverify;
mod room;

pub use rebuild::Rebuild;
pub use refresh::Refresh;
pub use reverify::Reverify;
pub use room::Room;
