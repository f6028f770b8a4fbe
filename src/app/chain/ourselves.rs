//! Which addresses lead to this very server.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::timeout;
use url::{Host, Url};

use crate::config::Config;
use crate::upstream::ChainSpec;

/// How long names of upstreams may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(1);

/// What leads to this server.
#[derive(Clone)]
pub struct Ourselves {
    /// Where we listen.
    local: Vec<SocketAddr>,
    public_url: Option<Url>,
    base_path: String,
    /// Names that were found to be ours.
    names: BTreeSet<String>,
}

impl Ourselves {
    /// `local` is where we serve modules.
    pub fn new(config: &Config, local: Vec<SocketAddr>) -> Self {
        let public_url = config.server.public_url.as_deref();
        Ourselves {
            local,
            public_url: public_url.and_then(|text| Url::parse(text).ok()),
            base_path: config.server.base_path.clone(),
            names: BTreeSet::new(),
        }
    }

    /// Whether a URL leads here, as far as can be told without asking anybody.
    pub fn are(&self, url: &Url) -> bool {
        if self.is_public_url(url) {
            return true;
        }
        let port = url.port_or_known_default();
        let mut local = self.local.iter().filter(|it| Some(it.port()) == port);
        match url.host() {
            Some(Host::Ipv4(ip)) => local.any(|local| listens_on(*local, ip.into())),
            Some(Host::Ipv6(ip)) => local.any(|local| listens_on(*local, ip.into())),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                let here = rustix::system::uname();
                let own = here.nodename().to_str();
                let is_own = own.is_ok_and(|own| own.eq_ignore_ascii_case(name));
                let is_localhost = name == "localhost" || name.ends_with(".localhost");
                local.any(|local| {
                    let wide = local.ip().is_unspecified();
                    (is_localhost && (wide || local.ip().is_loopback()))
                        || (is_own && wide)
                        || self.names.contains(name)
                })
            }
            None => false,
        }
    }

    /// What clients are told, which may be one path of a host that serves more.
    fn is_public_url(&self, url: &Url) -> bool {
        let Some(public) = &self.public_url else {
            return false;
        };
        let same_host = public.host() == url.host()
            && public.port_or_known_default() == url.port_or_known_default();
        let bare = |path: &str| path.trim_matches('/').to_owned();
        let (own, base, path) = (bare(public.path()), bare(&self.base_path), bare(url.path()));
        let below = |prefix: &str| {
            prefix.is_empty() || path == prefix || path.starts_with(&format!("{prefix}/"))
        };
        let both = bare(&format!("{own}/{base}"));
        same_host && (below(&both) || (!own.is_empty() && below(&own)))
    }

    /// Looks up the names in these chains that might be ours.
    pub(super) async fn resolve(&mut self, chains: impl Iterator<Item = ChainSpec>) {
        let mut names = BTreeSet::new();
        for chain in chains {
            for url in chain.proxies() {
                let port = url.port_or_known_default();
                let is_port = self.local.iter().any(|it| Some(it.port()) == port);
                if let (true, Some(port), Some(Host::Domain(name))) = (is_port, port, url.host()) {
                    names.insert((name.trim_end_matches('.').to_owned(), port));
                }
            }
        }
        for (name, port) in names {
            let found = tokio::net::lookup_host((name.as_str(), port));
            let mut local = self.local.iter().filter(|it| it.port() == port);
            let is_ours = match timeout(RESOLVE, found).await {
                Ok(Ok(addresses)) => {
                    let addresses: Vec<_> = addresses.collect();
                    local.any(|local| addresses.iter().any(|it| listens_on(*local, it.ip())))
                }
                _ => false,
            };
            if is_ours {
                self.names.insert(name);
            }
        }
    }
}

/// Whether whoever listens at `local` is reached by this address.
fn listens_on(local: SocketAddr, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let local = local.ip().to_canonical();
    // Only an address of this machine can be bound to.
    let is_here = || UdpSocket::bind((ip, 0)).is_ok();
    ip == local
        // "This host" is reached by the loopback address.
        || (ip.is_unspecified() && local.is_loopback())
        || (local.is_unspecified() && (ip.is_loopback() || ip.is_unspecified() || is_here()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_here() {
        let url = |text: &str| Url::parse(text).unwrap();
        let of = |listen: &str, public: Option<&str>, base: &str| Ourselves {
            local: vec!["127.0.0.9:9".parse().unwrap(), listen.parse().unwrap()],
            public_url: public.map(url),
            base_path: base.to_owned(),
            names: BTreeSet::new(),
        };
        let laptop = of("127.0.0.1:3080", None, "");
        for ours in [
            "http://127.0.0.1:3080",
            "http://localhost:3080/",
            "http://LOCALHOST.:3080/x",
            "http://0.0.0.0:3080",
            "http://[::ffff:127.0.0.1]:3080",
        ] {
            assert!(laptop.are(&url(ours)), "{ours}");
        }
        for other in [
            "http://127.0.0.1:3081",
            "http://127.0.0.2:3080",
            "https://proxy.example.com:3080",
            "http://localhost",
        ] {
            assert!(!laptop.are(&url(other)), "{other}");
        }
        let wide = of("[::]:3080", Some("https://tools.example.com/go"), "");
        for ours in [
            "http://127.0.0.1:3080",
            "http://[::1]:3080",
            "https://tools.example.com/go",
            "https://tools.example.com:443/go/x",
        ] {
            assert!(wide.are(&url(ours)), "{ours}");
        }
        for other in [
            "https://tools.example.com/artifacts/go",
            "https://tools.example.com/gopher",
            "http://192.0.2.1:3080",
        ] {
            assert!(!wide.are(&url(other)), "{other}");
        }
        let below = of("127.0.0.1:3080", Some("https://tools.example.com"), "/go");
        assert!(below.are(&url("https://tools.example.com/go/")));
        assert!(!below.are(&url("https://tools.example.com/other")));
        let whole = of("127.0.0.1:3080", Some("https://larder.example.com"), "");
        assert!(whole.are(&url("https://larder.example.com")));
    }
}
