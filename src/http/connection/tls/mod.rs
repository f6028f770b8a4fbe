//! TLS: what a server shows and asks for, the handshake, and the stream that comes of it.

mod certificate;
mod config;
mod listener;
mod transport;

pub use config::{ClientCertificates, TlsConfig, TlsError, TlsFiles};
pub use listener::{CurrentTls, TlsListener};
