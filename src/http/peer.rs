//! The client's end of a connection.

use std::net::IpAddr;
use std::sync::Arc;

use super::connection::FileBodies;
use crate::policy::Reach;

/// What a request's handler knows of its connection.
#[derive(Clone, Default)]
pub struct Peer {
    /// How files are sent over it.
    pub files: FileBodies,
    /// Where it comes from; none over a unix socket.
    pub address: Option<IpAddr>,
    /// Who can come to where it came to.
    pub reach: Reach,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// Whom the certificate names that it has shown, if it has.
    pub certificate: Option<Arc<str>>,
}
