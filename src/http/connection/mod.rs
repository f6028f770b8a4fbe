//! Connections: accepting them, their time-outs, HTTP below the requests, and how bodies reach the socket. This folder
//! knows of the rest of `http` only what [`Handler`] says.

mod accept;
mod bind;
mod descriptors;
mod fast;
mod files;
mod first;
mod handler;
mod heads;
mod holder;
mod http2;
mod io;
mod keep_alive;
mod listener;
mod mapped;
mod outgoing;
mod remote;
mod serve;
mod slots;
mod stream;
mod streams;
#[cfg(test)]
mod testing;
mod tls;
mod unix_socket;

pub use bind::{BindError, BoundListener, bind, bind_unix};
pub use descriptors::{open_descriptors, raise_descriptor_limit};
pub use fast::{PlainRequest, WriteBuffer};
pub use files::FileBodies;
pub use handler::{ConnectionInfo, Handler};
pub use holder::port_holder;
pub use listener::{BEYOND, Connections, Listener, serve};
pub use remote::RemoteAddress;
pub use serve::{ConnectionSettings, HEAD};
pub use tls::{ClientCertificates, CurrentTls, TlsConfig, TlsError, TlsFiles, TlsListener};
pub use unix_socket::UnixSocketListener;
