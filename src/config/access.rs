//! `[access]`: who is who.

use ipnet::IpNet;

use super::codec::{list, network};
use super::section::section;

section! {
    /// Who is who.
    pub struct Access = "access" {
        /// Front servers (networks or addresses) whose X-Forwarded-For says where a request comes
        /// from: of the addresses in it the last one that is not in this list counts. By it requests
        /// are told apart, and nobody gets private modules for it.
        trusted_proxies: Vec<IpNet> = ["127.0.0.1/32", "::1/128"] => list(network(), &[',']);
    }
}
