//! Work in the background. Each is a [`Job`](crate::kit::tasks::Job), which ends when the server stops and is
//! started again if it dies.

mod audit;
mod rebuild;
mod refresh;
mod reverify;
mod room;
mod tidy;
mod token_use;

pub use audit::RepeatedRefusals;
pub use rebuild::Rebuild;
pub use refresh::Refresh;
pub use reverify::Reverify;
pub use room::RoomWatch;
pub use tidy::Tidy;
pub use token_use::TokenUse;
