//! The client's end of a connection.

use std::net::IpAddr;
use std::sync::Arc;

use super::mapped::Regions;

/// What a request's handler knows of its connection.
#[derive(Clone, Default)]
pub struct Peer {
    /// The mapped files of its answers.
    pub regions: Arc<Regions>,
    /// Where it comes from.
    pub address: Option<IpAddr>,
}
