//! What serves every room.

pub mod tasks;
