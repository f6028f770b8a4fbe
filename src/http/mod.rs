//! The face: connections, routes, and how answers and errors look on the wire.

mod access;
mod address;
mod body;
mod caller;
mod conditional;
mod connection;
mod context;
mod error;
mod error_json;
mod face;
mod headers;
mod heads;
mod io;
mod keep_alive;
mod listener;
mod mapped;
mod modules;
mod observe;
mod page;
mod peer;
mod response_meta;
mod responses;
mod router;
mod shortcut;
mod status;
mod sumdb;
mod via;
mod write_buffer;

pub use access::{access, is_for_this_machine};
pub use address::for_clients;
pub use connection::{BindError, bind, port_holder, raise_descriptor_limit};
pub use face::Face;
pub use listener::{ConnectionSettings, Connections, serve};
pub use observe::Observer;
pub use responses::ResponseCache;
pub use router::Site;
