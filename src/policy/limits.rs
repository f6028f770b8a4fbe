//! What one client may take, so that others get their share.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::caller::{Caller, Standing};
use super::caller_pattern::CallerPattern;

/// What one client may take. 0 means as much as it likes.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// Fetches at once.
    pub misses: usize,
    /// Requests that are misses; hits and remembered absences count a part of one.
    pub requests_per_second: u32,
    /// Bytes of bodies.
    pub bytes_per_second: u64,
    /// How long a request waits for its turn.
    pub queue: Duration,
    /// Who may take all they like.
    pub exempt: Arc<[Exempt]>,
}

/// Somebody who may take all they like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exempt(CallerPattern);

impl FromStr for Exempt {
    type Err = <CallerPattern as FromStr>::Err;

    /// As rules name callers; a network or an address alone will do as well.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_network = text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok();
        let pattern = match is_network {
            true => format!("address:{text}").parse(),
            false => text.parse(),
        };
        pattern.map(Exempt)
    }
}

impl fmt::Display for Exempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Default for ClientLimits {
    /// None.
    fn default() -> Self {
        ClientLimits {
            misses: 0,
            requests_per_second: 0,
            bytes_per_second: 0,
            queue: Duration::ZERO,
            exempt: Arc::default(),
        }
    }
}

impl ClientLimits {
    /// Fetches that go on at once.
    pub fn misses_at_once(&self) -> usize {
        match self.misses {
            0 => usize::MAX,
            limited => limited,
        }
    }

    /// Whether anything is counted of requests that are hits.
    pub fn count_hits(&self) -> bool {
        self.requests_per_second > 0 || self.bytes_per_second > 0
    }

    /// Whether this caller may take all they like.
    pub fn exempt(&self, caller: &Caller) -> bool {
        self.exempt.iter().any(|exempt| exempt.0.names(caller))
    }

    /// Whether whoever comes from there and has shown nothing may take all they like.
    pub fn exempt_address(&self, address: IpAddr) -> bool {
        !self.exempt.is_empty()
            && self.exempt(&Caller {
                address: Some(address),
                standing: Standing::default(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::super::caller::{Identity, Proof};
    use super::*;

    #[test]
    fn networks_and_names_are_exempt() {
        let exempt = ["10.9.0.0/16", "2001:db8::/32", "token:ci-*", "192.0.2.7"];
        let limits = ClientLimits {
            exempt: exempt.iter().map(|text| text.parse().unwrap()).collect(),
            ..ClientLimits::default()
        };
        let from = |address: &str, token: Option<&str>| Caller {
            address: Some(address.parse().unwrap()),
            standing: token.map_or_else(Standing::default, |name| {
                Standing::Known(Arc::new(Identity::by(Proof::Token(name.into()))))
            }),
        };
        for (address, token, exempt) in [
            ("10.9.1.2", None, true),
            ("::ffff:10.9.1.2", None, true),
            ("10.8.1.2", None, false),
            ("192.0.2.7", None, true),
            ("2001:db8:7::1", None, true),
            ("10.8.1.2", Some("ci-7"), true),
            ("10.8.1.2", Some("ci"), false),
        ] {
            let caller = from(address, token);
            assert_eq!(limits.exempt(&caller), exempt, "{caller:?}");
            let by_address = limits.exempt_address(address.parse().unwrap());
            assert_eq!(by_address, exempt && token.is_none(), "{caller:?}");
        }
        assert!(!limits.exempt(&Caller::default()));
        assert!("ci".parse::<Exempt>().is_err());
    }
}
