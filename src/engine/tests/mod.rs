//! The engine in process: no network, and interleavings that are chosen.

mod held;
mod scripted;
mod validity;
