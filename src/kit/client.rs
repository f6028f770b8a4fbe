//! Whose requests belong together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

/// One client, as far as can be told: for counting and taking together, never for deciding what somebody may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(u64);

impl ClientId {
    /// Of this address; if that is a front server's which tells its clients apart by something else, with that.
    pub fn new(address: IpAddr, name: Option<&str>) -> Self {
        let mut hasher = DefaultHasher::new();
        (address, name).hash(&mut hasher);
        ClientId(hasher.finish())
    }

    /// One of several, for tests.
    #[cfg(test)]
    pub fn number(number: u64) -> Self {
        ClientId(number)
    }
}
