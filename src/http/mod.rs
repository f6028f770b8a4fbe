//! The face: connections, routes, and how answers and errors look on the wire.

mod access;
mod address;
mod advice;
mod app_state;
mod audited;
mod body;
mod caller;
mod conditional;
mod connection;
mod context;
mod error;
mod error_json;
mod headers;
mod modules;
mod observe;
mod paced;
mod page;
mod peer;
mod reload;
mod response_meta;
mod responses;
mod router;
mod service;
mod status;
mod sumdb;
mod via;

pub use access::{is_for_this_machine, reach};
pub use address::for_clients;
pub use advice::lines as error_lines;
pub use app_state::AppState;
pub use connection::{
    BEYOND, BindError, BoundListener, ClientCertificates, ConnectionSettings, Connections,
    CurrentTls, Listener, TlsConfig, TlsError, TlsFiles, TlsListener, UnixSocketListener, bind,
    bind_unix, port_holder, raise_descriptor_limit, serve,
};
pub use observe::Observer;
pub use responses::ResponseCache;
pub use router::AddressRouter;
pub use service::Service;
