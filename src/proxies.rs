//! The proxies of the environment, `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, by Go's rules
//! (golang.org/x/net/http/httpproxy). Read once, and asked by both HTTP clients and for git, so that all of them take
//! the same way as the `go` command does on the same machine.

use std::net::IpAddr;

use url::{Host, Url};

/// Which requests go through which proxy.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exempt: Vec<Exempt>,
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exempt {
    All,
    /// An address and, if it is written, the port.
    Address(IpAddr, Option<String>),
    /// Addresses that begin with so many bits.
    Network(IpAddr, u8),
    /// Names that end so, dot included.
    Below {
        end: String,
        /// Whether the name without that dot is meant as well.
        itself: bool,
        port: Option<String>,
    },
}

impl Proxies {
    /// Reads the variables; `environment` gives those that are set.
    pub fn from_environment(environment: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let either = |upper: &str| set(upper).or_else(|| set(&upper.to_lowercase()));
        let all = either("ALL_PROXY");
        let proxy = |name: &str| parse_proxy(&either(name).or_else(|| all.clone())?);
        // In a CGI environment a client sets HTTP_PROXY with its header "Proxy".
        let is_cgi = set("REQUEST_METHOD").is_some();
        Proxies {
            http: proxy("HTTP_PROXY").filter(|_| !is_cgi),
            https: proxy("HTTPS_PROXY"),
            exempt: exempt(&either("NO_PROXY").unwrap_or_default()),
        }
    }

    /// The proxy for requests to `url`; none means straight.
    pub fn of_url(&self, url: &Url) -> Option<&Url> {
        self.of(url.scheme(), url.host_str()?, url.port_or_known_default()?)
    }

    /// The proxy for requests to a host, IPv6 addresses with brackets or without.
    pub fn of(&self, scheme: &str, host: &str, port: u16) -> Option<&Url> {
        let proxy = match scheme {
            "http" => self.http.as_ref()?,
            "https" => self.https.as_ref()?,
            _ => return None,
        };
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        if host == "localhost" || address.is_some_and(|ip| ip.is_loopback()) {
            return None;
        }
        let port = port.to_string();
        let is_exempt = self
            .exempt
            .iter()
            .any(|entry| entry.matches(&host, address, &port));
        (!is_exempt).then_some(proxy)
    }

    /// The hosts of the proxies themselves.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        [&self.http, &self.https]
            .into_iter()
            .filter_map(|proxy| proxy.as_ref()?.host_str())
    }
}

impl Exempt {
    fn matches(&self, host: &str, address: Option<IpAddr>, port: &str) -> bool {
        let port_fits = |wanted: &Option<String>| wanted.as_ref().is_none_or(|it| it == port);
        match self {
            Exempt::All => true,
            Exempt::Address(ip, wanted) => address == Some(*ip) && port_fits(wanted),
            Exempt::Network(start, bits) => address.is_some_and(|ip| begins(ip, *start, *bits)),
            Exempt::Below {
                end,
                itself,
                port: wanted,
            } => {
                let name_fits = host.ends_with(end.as_str()) || (*itself && *host == end[1..]);
                address.is_none() && name_fits && port_fits(wanted)
            }
        }
    }

    fn parse(entry: &str) -> Option<Self> {
        if let Some((start, bits)) = network(entry) {
            return Some(Exempt::Network(start, bits));
        }
        let (host, port) = split_port(entry).unwrap_or((entry, ""));
        let port = (!port.is_empty()).then(|| port.to_owned());
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Exempt::Address(ip.to_canonical(), port));
        }
        let name = match host.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') => rest,
            _ => host,
        };
        if name.is_empty() {
            return None;
        }
        let (itself, name) = match name.strip_prefix('.') {
            Some(rest) => (false, rest),
            None => (true, name),
        };
        // Names in other scripts are compared in the form in which they are asked for.
        let name = match Host::parse(name) {
            Ok(Host::Domain(ascii)) if !name.is_ascii() => ascii,
            _ => name.to_owned(),
        };
        Some(Exempt::Below {
            end: format!(".{name}"),
            itself,
            port,
        })
    }
}

fn exempt(list: &str) -> Vec<Exempt> {
    let list = list.to_lowercase();
    let entries = || list.split(',').map(str::trim).filter(|it| !it.is_empty());
    if entries().any(|entry| entry == "*") {
        return vec![Exempt::All];
    }
    entries().filter_map(Exempt::parse).collect()
}

/// `address/bits`.
fn network(entry: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = entry.split_once('/')?;
    let (ip, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
    let most = if ip.is_ipv4() { 32 } else { 128 };
    if bits > most {
        return None;
    }
    match (ip, ip.to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(inner)) if bits >= 96 => Some((inner.into(), bits - 96)),
        _ => Some((ip, bits)),
    }
}

fn begins(ip: IpAddr, start: IpAddr, bits: u8) -> bool {
    let shifted = |ip: IpAddr, width: u32| {
        let number = match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        number.checked_shr(width - u32::from(bits)).unwrap_or(0)
    };
    match (ip, start) {
        (IpAddr::V4(_), IpAddr::V4(_)) => shifted(ip, 32) == shifted(start, 32),
        (IpAddr::V6(_), IpAddr::V6(_)) => shifted(ip, 128) == shifted(start, 128),
        _ => false,
    }
}

/// `host:port` and `[address]:port`; nothing for what has no port, as an IPv6 address has none.
fn split_port(entry: &str) -> Option<(&str, &str)> {
    let (host, port) = entry.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        return Some((inner.strip_suffix(']')?, port));
    }
    (!host.contains(':')).then_some((host, port))
}

/// A whole URL, or `host:port`, which means http.
fn parse_proxy(text: &str) -> Option<Url> {
    let whole = Url::parse(text).ok().filter(Url::has_host);
    let mut url = whole.or_else(|| Url::parse(&format!("http://{text}")).ok())?;
    if url.scheme() == "socks5" {
        // As for Go, whose SOCKS proxies resolve the names; curl and others have a scheme of its own for that. This may
        // fail only for schemes that browsers know.
        url = Url::parse(&url.as_str().replacen("socks5://", "socks5h://", 1)).ok()?;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URLS: [&str; 16] = [
        "http://up.corp.test/",
        "http://up.corp.test:8081/",
        "https://up.corp.test/",
        "http://corp.test/",
        "http://10.1.2.3/",
        "http://10.1.2.3:8081/",
        "http://[fd00::1]/",
        "http://[fd00::1]:8081/",
        "http://127.0.0.1:3000/",
        "http://127.5.5.5/",
        "http://localhost:80/",
        "https://localhost/",
        "http://[::1]:8081/",
        "http://[::ffff:127.0.0.1]/",
        "http://a.localhost/",
        "http://[::ffff:10.1.2.3]/",
    ];

    /// `NO_PROXY`, and what Go's own code says of each URL: `h` and `s` through the proxy for http or https, `-` straight.
    const GO_SAYS: [(&str, &str); 26] = [
        ("", "hhshhhhh------hh"),
        ("*", "----------------"),
        ("up.corp.test", "---hhhhh------hh"),
        ("up.corp.test:8081", "h-shhhhh------hh"),
        (".corp.test", "---hhhhh------hh"),
        ("*.corp.test", "---hhhhh------hh"),
        ("*.corp.test:8081", "h-shhhhh------hh"),
        ("corp.test", "----hhhh------hh"),
        ("corp.test:443", "hh-hhhhh------hh"),
        ("10.1.2.3", "hhsh--hh------h-"),
        ("10.1.2.3:8081", "hhshh-hh------hh"),
        ("10.0.0.0/8", "hhsh--hh------h-"),
        ("fd00::1", "hhshhh--------hh"),
        ("[fd00::1]:8081", "hhshhhh-------hh"),
        ("[fd00::1]", "hhshhhhh------hh"),
        ("fd00::/8", "hhshhh--------hh"),
        (" UP.CORP.TEST , other.test", "---hhhhh------hh"),
        ("other.test,*", "----------------"),
        ("orp.test", "hhshhhhh------hh"),
        (":8081", "hhshhhhh------hh"),
        ("up.corp.test:", "---hhhhh------hh"),
        ("*.up.corp.test", "hhshhhhh------hh"),
        ("::ffff:10.1.2.3", "hhsh--hh------h-"),
        ("10.1.2.3/33", "hhshhhhh------hh"),
        ("*corp.test", "hhshhhhh------hh"),
        (",", "hhshhhhh------hh"),
    ];

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from_environment(|name| {
            let of_name = variables.iter().find(|(known, _)| *known == name);
            of_name.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn no_proxy_means_what_it_means_to_go() {
        for (no_proxy, expected) in GO_SAYS {
            let proxies = proxies(&[
                ("HTTP_PROXY", "http://plain.test:1"),
                ("HTTPS_PROXY", "tls.test:2"),
                ("NO_PROXY", no_proxy),
            ]);
            let one = |url: &&str| match proxies.of_url(&Url::parse(url).unwrap()) {
                None => '-',
                Some(proxy) if proxy.host_str() == Some("plain.test") => 'h',
                Some(_) => 's',
            };
            let said: String = URLS.iter().map(one).collect();
            assert_eq!(said, expected, "{no_proxy:?}");
        }
    }

    #[test]
    fn each_variable_in_both_forms() {
        let url = Url::parse("http://up.test").unwrap();
        let tls = Url::parse("https://up.test").unwrap();
        let text = |proxies: &Proxies, url| proxies.of_url(url).map(|it| it.to_string());
        for (variables, plain, secure) in [
            (&[][..], None, None),
            (
                &[("HTTP_PROXY", "a.test:1")],
                Some("http://a.test:1/"),
                None,
            ),
            (&[("http_proxy", "a.test")], Some("http://a.test/"), None),
            (
                &[("HTTPS_PROXY", ""), ("https_proxy", "10.0.0.1:3128")],
                None,
                Some("http://10.0.0.1:3128/"),
            ),
            (
                &[
                    ("all_proxy", "socks5://s.test"),
                    ("HTTP_PROXY", "https://me:pw@a.test:1"),
                ],
                Some("https://me:pw@a.test:1/"),
                Some("socks5h://s.test"),
            ),
            (
                &[("HTTP_PROXY", "a.test"), ("REQUEST_METHOD", "GET")],
                None,
                None,
            ),
            (
                &[("HTTP_PROXY", "[::1]:3128"), ("no_proxy", "other.test")],
                Some("http://[::1]:3128/"),
                None,
            ),
            (
                &[("HTTP_PROXY", "a.test"), ("no_proxy", "up.test")],
                None,
                None,
            ),
        ] {
            let proxies = proxies(variables);
            assert_eq!(text(&proxies, &url).as_deref(), plain, "{variables:?}");
            assert_eq!(text(&proxies, &tls).as_deref(), secure, "{variables:?}");
        }
    }

    #[test]
    fn names_in_other_scripts() {
        let proxies = proxies(&[("HTTP_PROXY", "a.test"), ("NO_PROXY", "*.bücher.test")]);
        let url = Url::parse("http://x.bücher.test").unwrap();
        assert_eq!(proxies.of_url(&url), None);
        assert_eq!(proxies.of("ssh", "x.test", 22), None);
        assert!(proxies.of("http", "x.test", 80).is_some());
    }
}
