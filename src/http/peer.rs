//! The client's end of a connection.

use super::connection::FileBodies;
use std::net::IpAddr;

/// What a request's handler knows of its connection.
#[derive(Clone, Default)]
pub struct Peer {
    /// How files are sent over it.
    pub files: FileBodies,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}
