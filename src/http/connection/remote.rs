//! The other end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAddress {
    Ip(SocketAddr),
    /// A unix socket: a program on this machine, be it that it asks for itself or for others.
    Unix,
}

impl RemoteAddress {
    /// The address, if it has one.
    pub fn socket(self) -> Option<SocketAddr> {
        match self {
            RemoteAddress::Ip(address) => Some(address),
            RemoteAddress::Unix => None,
        }
    }

    /// The same without its port.
    pub fn ip(self) -> Option<IpAddr> {
        self.socket().map(|address| address.ip())
    }

    /// By which connections are counted together: programs on this machine are one, whichever way they come.
    pub fn counted_as(self) -> IpAddr {
        self.ip().unwrap_or(Ipv4Addr::LOCALHOST.into())
    }
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteAddress::Ip(address) => address.fmt(f),
            RemoteAddress::Unix => f.write_str("unix:"),
        }
    }
}
