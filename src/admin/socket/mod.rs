//! The socket in the data directory through which commands reach a running server. Who may write to it may do what an
//! operator may: it is its owner's alone.
//!
//! Both ends send frames: a JSON value and a line feed. Each begins with a greeting that names its version; after it, the
//! client sends one request and then nothing more, and the server the events of the operation, of which the last is
//! `done` or `failed`. `docs/admin.md` has examples.

mod client;
mod frames;
mod place;
mod served;
mod server;

pub use client::{ask, is_served};
pub use server::{SocketServer, listen};
