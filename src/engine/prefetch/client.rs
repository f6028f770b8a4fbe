//! Whose requests belong together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

/// Who asks, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(u64);

impl Client {
    /// Of this address, and if that is a front server's, behind it.
    pub fn new(address: IpAddr, forwarded: Option<&[u8]>) -> Self {
        let mut hasher = DefaultHasher::new();
        (address, forwarded).hash(&mut hasher);
        Client(hasher.finish())
    }

    /// One of several, for tests.
    #[cfg(test)]
    pub(super) fn number(number: u64) -> Self {
        Client(number)
    }
}
