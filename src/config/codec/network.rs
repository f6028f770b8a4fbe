//! Servers in front: `10.0.0.0/8`, `2001:db8::/32`, one address, or `unix:`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Codec, Context, Raw, quote};

/// What stands for all unix sockets, as web servers write it.
const UNIX: &str = "unix:";

/// Servers in front that are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontServer {
    /// Those that connect from this network.
    Network(IpNet),
    /// Those that come over a unix socket.
    Unix,
}

#[derive(Debug)]
pub(in crate::config) struct Front;

/// A network, one address, or "unix:".
pub(in crate::config) fn front_server() -> Front {
    Front
}

impl Codec for Front {
    type Value = FrontServer;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<FrontServer, String> {
        let (Raw::Word(text) | Raw::Text(text)) = raw else {
            return Err(format!("{} is not a network", raw.quoted()));
        };
        let text = text.trim();
        if text == UNIX {
            return Ok(FrontServer::Unix);
        }
        let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let network: Option<IpNet> = text.parse().ok().or_else(one);
        match network {
            Some(network) if network.trunc() == network => Ok(FrontServer::Network(network)),
            Some(network) => Err(format!(
                "{} has bits behind its prefix; write \"{}\"",
                raw.quoted(),
                network.trunc()
            )),
            None => Err(format!(
                "{} is not a network; write an address, a network such as \"10.0.0.0/8\", or \"{UNIX}\" for unix sockets",
                raw.quoted()
            )),
        }
    }

    fn write(&self, value: &FrontServer) -> String {
        match value {
            FrontServer::Network(network) => quote(&network.to_string()),
            FrontServer::Unix => quote(UNIX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn networks_and_addresses() {
        let codec = front_server();
        for (text, read) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("::1", "::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("unix:", "unix:"),
        ] {
            let network = from_word(&codec, text).unwrap();
            assert_eq!(codec.write(&network), quote(read));
            assert_eq!(there_and_back(&codec, &network), network);
        }
        let error = from_word(&codec, "10.1.0.0/8").unwrap_err();
        assert!(error.ends_with("write \"10.0.0.0/8\""), "{error}");
        for bad in [
            "",
            "x",
            "10.0.0.0/33",
            "10.0.0",
            "proxy.example.com",
            "/8",
            "unix",
        ] {
            assert!(from_word(&codec, bad).is_err(), "{bad}");
        }
    }
}
