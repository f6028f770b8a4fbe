//! Networks: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Codec, Context, Raw, quote};

#[derive(Debug)]
pub(in crate::config) struct Network;

/// A network, or one address.
pub(in crate::config) fn network() -> Network {
    Network
}

impl Codec for Network {
    type Value = IpNet;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<IpNet, String> {
        let (Raw::Word(text) | Raw::Text(text)) = raw else {
            return Err(format!("{} is not a network", raw.quoted()));
        };
        let text = text.trim();
        let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let network: Option<IpNet> = text.parse().ok().or_else(one);
        match network {
            Some(network) if network.trunc() == network => Ok(network),
            Some(network) => Err(format!(
                "{} has bits behind its prefix; write \"{}\"",
                raw.quoted(),
                network.trunc()
            )),
            None => Err(format!(
                "{} is not a network; write an address, or a network such as \"10.0.0.0/8\"",
                raw.quoted()
            )),
        }
    }

    fn write(&self, value: &IpNet) -> String {
        quote(&value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn networks_and_addresses() {
        let codec = network();
        for (text, read) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("::1", "::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            let network = from_word(&codec, text).unwrap();
            assert_eq!(network.to_string(), read);
            assert_eq!(there_and_back(&codec, &network), network);
        }
        let error = from_word(&codec, "10.1.0.0/8").unwrap_err();
        assert!(error.ends_with("write \"10.0.0.0/8\""), "{error}");
        for bad in ["", "x", "10.0.0.0/33", "10.0.0", "proxy.example.com", "/8"] {
            assert!(from_word(&codec, bad).is_err(), "{bad}");
        }
    }
}
