//! Who asks, and who may have private modules: programs on this machine where the port reaches no further, everyone where
//! the operator says so, and elsewhere those who have a token.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::decision::Decision;

/// Who may have private modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone who reaches the port.
    Open,
    /// Programs on this machine, as far as a request shows that one of them has made it; else those who have a token.
    ThisMachine,
    /// Those who have a token.
    Tokens,
}

impl Access {
    /// For the address of administration. Who listens with it on other than a loopback address has chosen who reaches it.
    pub fn for_admin(self, listens: SocketAddr) -> Self {
        match self {
            Access::Open => Access::Open,
            Access::ThisMachine | Access::Tokens => match listens.ip().to_canonical().is_loopback()
            {
                true => Access::ThisMachine,
                false => Access::Open,
            },
        }
    }

    /// Whether answers about a module of which the rules say this are for some only.
    pub fn guards(self, decision: &Decision) -> bool {
        self != Access::Open && decision.is_private()
    }

    /// Whether an answer may be given, which is for some only if it is `guarded`. Every answer passes here, also those
    /// that are cached.
    pub fn admits(self, guarded: bool, caller: impl FnOnce() -> Caller) -> bool {
        !guarded || self == Access::Open || caller().sees_private()
    }
}

/// Front servers whose word is taken for where a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Those in these networks.
    pub fn new(networks: &[IpNet]) -> Self {
        TrustedProxies(networks.into())
    }

    /// Whether this is the address of one.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Where a request comes from that `remote` has sent. `forwarded` are the addresses that `X-Forwarded-For` names, the
    /// nearest one last: each is what the one after it has seen, so that the first from the end that is no front server of
    /// ours is as far as anything is known. Something that is no address ends what is known, and is given as well.
    pub fn client<'a>(
        &self,
        remote: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> (IpAddr, Option<&'a str>) {
        let mut known = remote.to_canonical();
        for hop in forwarded.rev() {
            if !self.has(known) {
                break;
            }
            match address(hop) {
                Some(address) => known = address,
                None => return (known, Some(hop.trim())),
            }
        }
        (known, None)
    }
}

/// An address as front servers write it, with a port or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|it| it.ip());
    address.or_else(with_port).map(|it| it.to_canonical())
}

/// Who has made a request, as far as can be told. The default is nobody: what is done in the background.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Where the request comes from; behind a trusted front server what that says.
    pub address: Option<IpAddr>,
    /// What the caller has shown.
    pub standing: Standing,
}

/// What a caller has shown, as far as that matters for private modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// One who needs no token.
    Trusted,
    /// One who has shown the token of this name.
    Token(Arc<str>),
    /// Anybody else.
    Stranger {
        /// They have shown something that is no token of ours.
        showed: bool,
    },
}

impl Default for Standing {
    fn default() -> Self {
        Standing::Stranger { showed: false }
    }
}

impl Caller {
    /// Whether private modules, and whatever names them or where they come from, may be told to them.
    pub fn sees_private(&self) -> bool {
        !matches!(self.standing, Standing::Stranger { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_word_of_trusted_front_servers_counts() {
        let networks: Vec<IpNet> = ["127.0.0.0/8", "::1/128", "10.9.0.0/16"]
            .iter()
            .map(|network| network.parse().unwrap())
            .collect();
        let proxies = TrustedProxies::new(&networks);
        let client = |remote: &str, header: &'static str| {
            let hops = header.split(',').filter(|hop| !hop.is_empty());
            proxies.client(ip(remote), hops)
        };
        for (remote, header, from) in [
            ("127.0.0.1", "", "127.0.0.1"),
            ("::ffff:127.0.0.1", "192.0.2.1", "192.0.2.1"),
            ("::1", "192.0.2.1", "192.0.2.1"),
            ("192.0.2.9", "192.0.2.1", "192.0.2.9"),
            ("127.0.0.1", "192.0.2.1, 192.0.2.2", "192.0.2.2"),
            ("127.0.0.1", "192.0.2.1, 10.9.1.1", "192.0.2.1"),
            ("127.0.0.1", "192.0.2.1:4711, [2001:db8::1]", "2001:db8::1"),
            ("127.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
            ("127.0.0.1", "[2001:db8::1]:80", "2001:db8::1"),
            ("127.0.0.1", "10.9.1.2, 10.9.1.1", "10.9.1.2"),
        ] {
            assert_eq!(
                client(remote, header),
                (ip(from), None),
                "{remote} {header}"
            );
        }
        for (header, from, name) in [
            ("192.0.2.1, unknown", "127.0.0.1", "unknown"),
            ("_x, 10.9.1.1", "10.9.1.1", "_x"),
        ] {
            assert_eq!(
                client("127.0.0.1", header),
                (ip(from), Some(name)),
                "{header}"
            );
        }
        let nobody = TrustedProxies::default();
        let client = nobody.client(ip("127.0.0.1"), ["192.0.2.1"].into_iter());
        assert_eq!(client, (ip("127.0.0.1"), None));
    }

    #[test]
    fn administration_is_for_whoever_reaches_it() {
        for access in [Access::ThisMachine, Access::Tokens] {
            let admin = |listens: &str| access.for_admin(listens.parse().unwrap());
            assert_eq!(admin("[::1]:1"), Access::ThisMachine);
            assert_eq!(admin("10.0.0.1:1"), Access::Open);
        }
    }
}
