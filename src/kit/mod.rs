//! Small parts that several rooms use and that know nothing of what they are used for.

mod client;
mod context;
mod pace;
mod priority;
pub mod reload;
pub mod tasks;
mod trace;
mod turns;

pub use client::{ClientId, WaitingClients, machine};
pub use context::FetchContext;
pub use pace::{Pace, Paces};
pub use priority::Priority;
pub use trace::TraceId;
pub use turns::{Turn, TurnOutcome, TurnReply, Turns};
