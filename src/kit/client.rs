//! Whose requests belong together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// One client, as far as can be told: for counting and taking together, never for deciding what somebody may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(u64);

impl ClientId {
    /// Of this address's machine, or of whoever comes over a unix socket; if that is a front server which tells its
    /// clients apart by something else, with that.
    pub fn new(address: Option<IpAddr>, name: Option<&str>) -> Self {
        let mut hasher = DefaultHasher::new();
        (address.map(machine), name).hash(&mut hasher);
        ClientId(hasher.finish())
    }

    /// Of whoever has shown to be of this name, wherever they come from.
    pub fn named(name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        ("named", name).hash(&mut hasher);
        ClientId(hasher.finish())
    }

    /// One of several, for tests.
    #[cfg(test)]
    pub fn number(number: u64) -> Self {
        ClientId(number)
    }
}

/// Clients that are remembered as waiting for one piece of work.
const WAITING: usize = 8;

/// Who waits for a piece of work; nobody if it is done in the background. Clones are of the same piece of work.
#[derive(Clone, Debug, Default)]
pub struct WaitingClients(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they came.
    clients: Mutex<Vec<ClientId>>,
    joined: Notify,
}

impl WaitingClients {
    /// One more client waits for it.
    pub fn join(&self, client: ClientId) {
        let mut clients = self.0.clients.lock();
        if clients.len() < WAITING && !clients.contains(&client) {
            clients.push(client);
            drop(clients);
            self.0.joined.notify_one();
        }
    }

    /// Calls `on` with those who wait.
    pub fn with<T>(&self, on: impl FnOnce(&[ClientId]) -> T) -> T {
        on(&self.0.clients.lock())
    }

    /// Ends when another one waits for it; for the one that does the work.
    pub async fn joined(&self) {
        self.0.joined.notified().await;
    }
}

impl From<Option<ClientId>> for WaitingClients {
    fn from(client: Option<ClientId>) -> Self {
        WaitingClients(Arc::new(Waiting {
            clients: Mutex::new(client.into_iter().collect()),
            joined: Notify::new(),
        }))
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
        ClientId::new(address.parse().ok(), None)
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
