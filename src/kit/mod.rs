//! What serves every room.

mod client;
pub mod tasks;

pub use client::ClientId;
