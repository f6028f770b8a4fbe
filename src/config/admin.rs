//! `[admin]`: an address of its own for what is not meant for clients.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::codec::{listen, optional};
use super::section::section;

section! {
    /// An address of its own for what is not meant for clients.
    pub struct Admin = "admin" {
        /// When set, /metrics, /readyz, /version and everything administrative are served here and no
        /// longer on server.listen; /healthz is on both. Upstreams of private routes are named on any
        /// but a loopback address; there, as on server.listen, to those who may have private modules,
        /// and have a number ("private-1") for others.
        listen: Option<SocketAddr> = "" => optional(listen());
    }
}

/// Whether two sockets cannot listen on these addresses at the same time.
pub(super) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    // The IPv6 wildcard takes the IPv4 addresses too.
    let covers = |all: IpAddr, one: IpAddr| {
        all == one
            || all == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            || (all == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && one.is_ipv4())
    };
    a.port() != 0 && a.port() == b.port() && (covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_collide() {
        for (a, b, expected) in [
            ("127.0.0.1:3080", "127.0.0.1:3080", true),
            ("127.0.0.1:3080", "127.0.0.1:3081", false),
            ("127.0.0.1:3080", "127.0.0.2:3080", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::1]:80", "127.0.0.1:80", false),
        ] {
            let (a, b) = (a.parse().expect(a), b.parse().expect(b));
            assert_eq!(collide(a, b), expected, "{a} {b}");
            assert_eq!(collide(b, a), expected, "{b} {a}");
        }
    }
}
