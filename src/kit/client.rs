//! Whose requests belong together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};

/// One client, as far as can be told: for counting and taking together, never for deciding what somebody may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(u64);

impl ClientId {
    /// Of this address's machine; if that is a front server which tells its clients apart by something else, with that.
    pub fn new(address: IpAddr, name: Option<&str>) -> Self {
        let mut hasher = DefaultHasher::new();
        (machine(address), name).hash(&mut hasher);
        ClientId(hasher.finish())
    }

    /// One of several, for tests.
    #[cfg(test)]
    pub fn number(number: u64) -> Self {
        ClientId(number)
    }
}

/// The address that stands for a machine: it has a whole /64 of IPv6, and may take any address of it.
pub fn machine(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let network = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(network).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> ClientId {
        ClientId::new(address.parse().unwrap(), None)
    }

    #[test]
    fn addresses_of_one_machine_are_one_client() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:2"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_ne!(client("::1"), client("::2"));
    }
}
