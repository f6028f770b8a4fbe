//! Which hosts may be asked: none inside this network but those that the operator has named (protocol.md 6.6).
//!
//! Pages and module paths come from strangers and name hosts. Behind a proxy, names are resolved there, so that only the
//! names themselves can be judged here; else the addresses that they stand for count, and what is connected to is what
//! was looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::sync::Semaphore;
use url::Host;

use super::git::Line;
use crate::proxies::Proxies;

/// How long a name may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(10);

/// Names that are being resolved at once.
pub const LOOK_UPS: usize = 32;

/// Why a host is not asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Barred {
    /// It is one of this network, and the operator has not named it.
    #[error(
        "{0} is inside this network, where larder asks only hosts that its operator has named (direct.allow_hosts)"
    )]
    Inside(String),
    /// There is no such host.
    #[error("there is no host {0}")]
    NoHost(String),
    /// Whoever knows its address does not answer.
    #[error("the address of {host} cannot be found: {text}")]
    Unresolved { host: String, text: String },
}

/// A host that may be inside.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trusted {
    Name(String),
    /// Any name that ends so, dot included.
    Below(String),
    Address(IpAddr),
}

/// Knows which hosts may be asked, and by which way.
pub struct Guard {
    trusted: Vec<Trusted>,
    proxies: Arc<Proxies>,
    /// For questions about addresses.
    lookups: Arc<Semaphore>,
}

impl Guard {
    /// `allowed` are hosts that may be inside: `host`, `*.host` or an address.
    pub fn new<'a>(allowed: impl IntoIterator<Item = &'a str>, proxies: Arc<Proxies>) -> Self {
        Guard {
            lookups: Arc::new(Semaphore::new(LOOK_UPS)),
            trusted: allowed.into_iter().filter_map(Trusted::parse).collect(),
            proxies,
        }
    }

    /// Judges a host by what is written alone.
    pub fn judge(&self, host: &str) -> Result<(), Barred> {
        let inside = match parsed(host) {
            Some(Host::Ipv4(ip)) => is_inside(ip.into()),
            Some(Host::Ipv6(ip)) => is_inside(ip.into()),
            Some(Host::Domain(name)) => is_inside_name(&name),
            None => true,
        };
        if inside && !self.trusts(host) {
            return Err(Barred::Inside(host.to_owned()));
        }
        Ok(())
    }

    /// The way to a host, if it may be asked.
    pub async fn line(&self, scheme: &str, host: &str, port: u16) -> Result<Line, Barred> {
        self.judge(host)?;
        if let Some(proxy) = self.proxies.of(scheme, host, port) {
            return Ok(Line::Proxied(proxy.clone()));
        }
        if self.trusts(host) || !matches!(parsed(host), Some(Host::Domain(_))) {
            return Ok(Line::Straight(Vec::new()));
        }
        let addresses = self.addresses(host, port).await?;
        let text = |address: &SocketAddr| match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let list: Vec<_> = addresses.iter().map(text).collect();
        Ok(Line::Straight(vec![format!(
            "{host}:{port}:{}",
            list.join(",")
        )]))
    }

    /// Where to connect to without a proxy.
    pub async fn straight(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Barred> {
        match parsed(host) {
            Some(Host::Ipv4(ip)) => Ok(vec![(ip, port).into()]),
            Some(Host::Ipv6(ip)) => Ok(vec![(ip, port).into()]),
            _ => self.addresses(host, port).await,
        }
    }

    /// The addresses of a name; only those outside, unless the name is trusted.
    async fn addresses(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, Barred> {
        let unresolved = |text: String| Barred::Unresolved {
            host: name.to_owned(),
            text,
        };
        let all: Vec<_> = match tokio::time::timeout(RESOLVE, self.look_up(name, port)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) if is_no_host(&error) => return Err(Barred::NoHost(name.to_owned())),
            Ok(Err(error)) => return Err(unresolved(error.to_string())),
            Err(_) => return Err(unresolved("no answer in time".into())),
        };
        if self.trusts(name) {
            return Ok(all);
        }
        let outside: Vec<_> = all
            .into_iter()
            .filter(|address| !is_inside(address.ip()))
            .collect();
        match outside.is_empty() {
            true => Err(Barred::Inside(name.to_owned())),
            false => Ok(outside),
        }
    }

    /// Asks the system, in a slot: each question takes a thread for as long as the system likes, whether we still wait or
    /// not, and these are needed for other work.
    async fn look_up(&self, name: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let slot = Arc::clone(&self.lookups).acquire_owned().await;
        let name = name.to_owned();
        let looking = tokio::spawn(async move {
            let _slot = slot;
            let found = tokio::net::lookup_host((name.as_str(), port)).await?;
            Ok(found.collect())
        });
        looking.await.map_err(std::io::Error::other)?
    }

    /// Whether the operator has named the host.
    fn trusts(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = match parsed(&host) {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => None,
        };
        self.trusted.iter().any(|trusted| match trusted {
            Trusted::Name(name) => *name == host,
            Trusted::Below(end) => host.ends_with(end.as_str()),
            Trusted::Address(ip) => address == Some(*ip),
        })
    }
}

impl Trusted {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('.').to_ascii_lowercase();
        if let Some(name) = text.strip_prefix("*.") {
            // A whole top-level domain is nobody's network.
            return (name.contains('.') && !name.contains('*'))
                .then(|| Trusted::Below(format!(".{name}")));
        }
        if text.is_empty() || text.contains('*') {
            return None;
        }
        Some(match parsed(&text)? {
            Host::Ipv4(ip) => Trusted::Address(ip.into()),
            Host::Ipv6(ip) => Trusted::Address(ip.into()),
            Host::Domain(name) => Trusted::Name(name),
        })
    }
}

/// The host that a pattern of module paths names, for [`Guard::new`]: a path that begins with a host of the operator's own
/// says that this host is known to them.
pub fn named_host(pattern: &str) -> Option<&str> {
    let first = pattern.split('/').next()?;
    let name = first.strip_prefix("*.").unwrap_or(first);
    let plain = !name.is_empty() && !name.contains(['*', '?', '[', '\\']);
    (plain && name.contains('.')).then_some(first)
}

/// A host as browsers read it: `127.1` and `0x7f000001` are addresses.
fn parsed(host: &str) -> Option<Host<String>> {
    let host = host.trim_end_matches('.');
    match host.contains(':') {
        true => Host::parse(&format!("[{}]", host.trim_matches(['[', ']']))).ok(),
        false => Host::parse(host).ok(),
    }
}

/// Names that never stand for anything outside.
fn is_inside_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let ends = ["localhost", "local", "internal", "localdomain", "home.arpa"];
    !name.contains('.')
        || ends
            .iter()
            .any(|end| name == *end || name.ends_with(&format!(".{end}")))
}

/// Whether an address is of this machine or network, or of no machine at all (IANA special-purpose registries).
pub fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_inside_v4(ip),
        IpAddr::V6(ip) => is_inside_v6(ip),
    }
}

/// Where Azure serves its machines what is meant for them alone.
const AZURE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn is_inside_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        // A public form, but every machine of that cloud has its own provider behind it.
        || ip == AZURE
}

fn is_inside_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let [a, b, ..] = segments;
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_inside_v4(Ipv4Addr::new(a, b, c, d))
    };
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_inside_v4(v4);
    }
    match (a, b) {
        // Unspecified, loopback, and the old way to embed IPv4.
        (0, 0) if segments[..6] == [0; 6] => true,
        // An old way to embed IPv4 in translators.
        (0, 0) if segments[4..6] == [0xffff, 0] => embedded(segments[6], segments[7]),
        // NAT64 and 6to4 lead to the address embedded; with a prefix of one's own, somewhere inside.
        (0x64, 0xff9b) if segments[2] == 1 => true,
        (0x64, 0xff9b) => embedded(segments[6], segments[7]),
        (0x2002, _) => embedded(b, segments[2]),
        // Teredo.
        (0x2001, 0) => true,
        _ => {
            ip.is_multicast()
                || (a & 0xfe00) == 0xfc00
                || (a & 0xffc0) == 0xfe80
                || (a & 0xffc0) == 0xfec0
        }
    }
}

/// Whether a name does not exist, rather than that nobody could be asked. The standard library gives the text of
/// `gai_strerror` only.
fn is_no_host(error: &std::io::Error) -> bool {
    let text = error.to_string();
    [
        "Name or service not known",
        "No address associated",
        "nodename nor servname",
        "Name does not resolve",
    ]
    .iter()
    .any(|known| text.contains(known))
}

/// Resolves names for an HTTP client: what is connected to has been judged.
pub struct GuardedResolver(pub Arc<Guard>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str();
            // They may of course be inside.
            if guard.proxies.hosts().any(|proxy| proxy == name) {
                let found = tokio::net::lookup_host((name, 0)).await?;
                return Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs);
            }
            let found = guard.addresses(name, 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str], variables: &[(&str, &str)]) -> Guard {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let proxies = Proxies::from_environment(move |name| {
            let of_name = variables.iter().find(|(known, _)| known == name);
            of_name.map(|(_, value)| value.clone())
        });
        Guard::new(allowed.iter().copied(), Arc::new(proxies))
    }

    #[test]
    fn c125_what_is_inside() {
        for inside in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "168.63.129.16",
            "::ffff:168.63.129.16",
            "64:ff9b::a83f:8110",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fd00::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:1::",
            "::ffff:0:127.0.0.1",
            "64:ff9b:1::1",
        ] {
            assert!(is_inside(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1",
            "2001:db8::1",
            "64:ff9b::101:101",
            "2002:101:101::",
            "::ffff:1.1.1.1",
        ] {
            assert!(!is_inside(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn c125_names_and_odd_spellings() {
        let none = guard(&[], &[]);
        for barred in [
            "localhost",
            "localhost.",
            "LOCALHOST",
            "x.localhost",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "[::1]",
            "::1",
            "metadata",
            "metadata.google.internal",
            "printer.local",
            "router.home.arpa",
            "",
            "a b",
        ] {
            assert!(none.judge(barred).is_err(), "{barred}");
        }
        for fine in ["git.example.com", "1.1.1.1", "localhost.example.com"] {
            assert_eq!(none.judge(fine), Ok(()), "{fine}");
        }
        let some = guard(
            &["127.0.0.1", "git.internal", "*.corp.internal", "*.com", "*"],
            &[],
        );
        for fine in ["127.0.0.1", "127.1", "Git.Internal", "a.b.corp.internal"] {
            assert_eq!(some.judge(fine), Ok(()), "{fine}");
        }
        for barred in ["127.0.0.2", "other.internal", "corp.internal", "x"] {
            assert!(some.judge(barred).is_err(), "{barred}");
        }
        assert!(!some.trusts("example.com"), "not a whole top-level domain");
    }

    #[test]
    fn patterns_name_hosts() {
        for (pattern, host) in [
            ("git.corp.example/*", Some("git.corp.example")),
            ("*.corp.example", Some("*.corp.example")),
            ("github.com/corp", Some("github.com")),
            ("*", None),
            ("*/x", None),
            ("git-*.corp.example", None),
            ("", None),
        ] {
            assert_eq!(named_host(pattern), host, "{pattern}");
        }
    }

    #[tokio::test]
    async fn the_way_out() {
        let behind = guard(
            &[],
            &[
                ("HTTPS_PROXY", "http://proxy.corp:3128"),
                ("NO_PROXY", "in.example.com,127.0.0.1"),
            ],
        );
        let line = behind.line("https", "git.example.com", 443).await;
        let proxy = url::Url::parse("http://proxy.corp:3128").unwrap();
        assert_eq!(line, Ok(Line::Proxied(proxy)));
        let line = behind.line("https", "127.0.0.1", 443).await;
        assert!(matches!(line, Err(Barred::Inside(_))), "{line:?}");
        let straight = guard(&["127.0.0.1"], &[]);
        let line = straight.line("https", "127.0.0.1", 443).await;
        assert_eq!(line, Ok(Line::Straight(Vec::new())));
        let line = straight.line("https", "1.1.1.1", 443).await;
        assert_eq!(line, Ok(Line::Straight(Vec::new())));
    }
}
