//! Where a request comes from, as far as it shows: from a program on this machine, or through somebody who passes on what
//! others ask, such as a web server in front, a tunnel, or a web page whose name was made to stand for this machine. All
//! of them connect from a loopback address; only what they send tells them apart. In doubt it comes from elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use http::{Request, Uri, Version, request::Parts};

/// Parts of header names that web servers, load balancers, tunnels and content delivery networks add to what they pass on:
/// who asked them, for which host, by which scheme. Programs that ask for themselves send none of them.
const FRONT: &[&str] = &[
    "forwarded",
    "forwarding",
    "client-ip",
    "clientip",
    "client_ip",
    "real-ip",
    "realip",
    "connecting-ip",
    "peer-ip",
    "user-ip",
    "remote-addr",
    "remote-ip",
    "remote-host",
    "remote-user",
    "sourced-ip",
    "source-ip",
    "original-",
    "rewrite-url",
    "envoy",
    "proxy",
    "proxied",
    "varnish",
    "haproxy",
    "ssl-",
    "https",
    "cdn",
    "gateway",
    "ingress",
    "tunnel",
];
/// The same by how the names begin.
const FRONT_BEGIN: &[&str] = &[
    "cf-",
    "fastly-",
    "akamai-",
    "x-akamai-",
    "tailscale-",
    "fly-",
    "x-amz",
    "x-arr-",
    "x-azure-",
    "x-appengine-",
    "x-google-",
    "x-cloud-trace",
    "x-vercel-",
    "x-nf-",
    "x-sucuri-",
    "x-ms-",
    "x-tls-",
    "x-auth-request-",
    "client-cert",
    "x-client-cert",
    "x-cluster-",
    "x-nginx-",
    "x-traefik-",
    "x-caddy-",
];
/// The same, whole.
const FRONT_NAMES: &[&str] = &[
    "via",
    "x-via",
    "x-host",
    "x-http-host",
    "x-http-host-override",
    "x-scheme",
    "x-url-scheme",
    "x-server-name",
    "x-sni",
    "x-port",
    "x-coming-from",
];

/// What a request says of itself, its body aside.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// Its target.
    pub uri: &'a Uri,
    pub version: Version,
    pub headers: &'a HeaderMap,
}

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(parts: &'a Parts) -> Self {
        RequestHead {
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
        }
    }
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        RequestHead {
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
        }
    }
}

impl RequestHead<'_> {
    /// Whether a program on this machine has made it for itself, and was told an address of this machine.
    pub fn is_from_this_machine(&self, remote: Option<IpAddr>) -> bool {
        // No client of modules speaks HTTP/1.0 any more; nginx does unless it is told otherwise, with the address that it
        // passes requests on to as Host.
        self.version >= Version::HTTP_11
            && remote.is_some_and(|ip| ip.to_canonical().is_loopback())
            && self.names_this_machine()
            && !self.headers.keys().any(shows_a_front)
            && !self.is_of_another_site()
    }

    /// Every host that it names is this machine; the one in an absolute target counts as well.
    fn names_this_machine(&self) -> bool {
        let target = self.uri.authority().map(|it| it.as_str().as_bytes());
        let mut hosts = self.headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        names_this_machine(host.as_bytes()) && target.is_none_or(names_this_machine)
    }

    /// A browser has made it for a page of another site.
    fn is_of_another_site(&self) -> bool {
        let site = self.headers.get("sec-fetch-site");
        let origin = self.headers.get_all(ORIGIN).iter();
        site.is_some_and(|site| site.as_bytes() == b"cross-site")
            || origin.map(|value| value.as_bytes()).any(|origin| {
                let host = origin
                    .strip_prefix(b"http://")
                    .or_else(|| origin.strip_prefix(b"https://"));
                !host.is_some_and(names_this_machine)
            })
    }

    /// Why it is no request that can be answered, by RFC 9112 section 3.2: a server in front and we could understand
    /// different hosts.
    pub fn bad_host(&self) -> Option<&'static str> {
        let mut hosts = self.headers.get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            (None, _) if self.version == Version::HTTP_11 => Some("it has no Host header"),
            (None, _) => None,
            (Some(_), Some(_)) => Some("it has more than one Host header"),
            (Some(host), None) if is_host(host.as_bytes()) => None,
            (Some(_), None) => Some("its Host header is not a host"),
        }
    }

    /// How many bytes its head has at the least.
    pub fn size(&self) -> usize {
        let target = self.uri.path_and_query().map_or(0, |it| it.as_str().len());
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + 4);
        target + headers.sum::<usize>()
    }
}

/// Whether a header of this name comes from somebody who passes requests on.
fn shows_a_front(name: &HeaderName) -> bool {
    let name = name.as_str();
    // What browsers send when they would like https.
    if name == "upgrade-insecure-requests" {
        return false;
    }
    FRONT_NAMES.contains(&name)
        || FRONT_BEGIN.iter().any(|begin| name.starts_with(begin))
        || FRONT.iter().any(|part| name.contains(part))
}

/// Whether a `Host` value, with a port or not, is a name of this machine that no name server is asked about, or one of its
/// loopback addresses in the usual form.
pub fn names_this_machine(host: &[u8]) -> bool {
    let Some(host) = std::str::from_utf8(host).ok().and_then(without_port) else {
        return false;
    };
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').map(str::parse::<Ipv6Addr>);
        return matches!(address, Some(Ok(ip)) if ip.to_canonical().is_loopback());
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return ip.is_loopback();
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let mut labels = name.rsplit('.');
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(plain)
    };
    labels
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
        && labels.all(label)
}

/// The host before a port, if there is one and it is a number.
fn without_port(host: &str) -> Option<&str> {
    let end = host.rfind(']').map_or(0, |at| at + 1);
    match host[end..].find(':') {
        None => Some(host),
        Some(at) => {
            let (host, port) = (&host[..end + at], &host[end + at + 1..]);
            let fine = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
            fine.then_some(host)
        }
    }
}

/// Whether this can be the value of `Host` (RFC 3986 section 3.2.2). An empty one can.
pub fn is_host(host: &[u8]) -> bool {
    let (host, port) = match host.first() {
        Some(b'[') => match host.iter().position(|byte| *byte == b']') {
            Some(end) => host.split_at(end + 1),
            None => return false,
        },
        _ => host.split_at(host.iter().position(|b| *b == b':').unwrap_or(host.len())),
    };
    let of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
    let of_an_address = |byte: &u8| of_a_name(byte) || *byte == b':';
    let host_is = match host {
        [b'[', address @ .., b']'] => !address.is_empty() && address.iter().all(of_an_address),
        name => name.iter().all(of_a_name),
    };
    let port_is = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    host_is && port_is
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for host in [
            "localhost",
            "localhost:3080",
            "localhost:",
            "LocalHost:1",
            "localhost.",
            "localhost.:80",
            "larder.localhost",
            "a.b-c.localhost:3080",
            "127.0.0.1",
            "127.0.0.1:65535",
            "127.255.3.4",
            "[::1]",
            "[::1]:3080",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(names_this_machine(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":3080",
            ".",
            "localhost..",
            ".localhost",
            "a..localhost",
            "localhost.example.com",
            "notlocalhost",
            "localhost.localdomain",
            "larder.example.com",
            "127.0.0.1.example.com",
            "127.0.0.1.nip.io:3080",
            "127.0.0.1.",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0x7f000001",
            "0177.0.0.1",
            "127.0.0.01",
            "128.0.0.1",
            "0.0.0.0",
            "10.0.0.1",
            "::1",
            "[::1",
            "::1]",
            "[::]",
            "[::1%lo]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
            "[127.0.0.1]",
            "localhost:x",
            "localhost:123456",
            "localhost:1:2",
            "[::1]x",
            "[::1]:x",
            "me@localhost",
            "localhost, evil.example.com",
            "evil.example.com localhost",
            "local%68ost",
            "locaLhost\u{e9}",
            "a/b.localhost",
        ] {
            assert!(!names_this_machine(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn values_of_host() {
        for host in [
            "",
            "x",
            "x:1",
            "x:",
            "my_host.corp:80",
            "[::1]",
            "[::1%25lo]:1",
            "1.2.3.4",
            "*",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "<b>", "a b", "a/b", "a@b", "a:b", "x:1:2", "[::1", "[]", "[a b]", "[::1]1", "\u{e9}",
            "a\\b", "\"x\"", "a?b", "a#b",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    fn request(target: &str, version: Version, headers: &[(&str, &str)]) -> Request<()> {
        let request = Request::get(target).version(version);
        let add =
            |request: http::request::Builder, pair: &(&str, &str)| request.header(pair.0, pair.1);
        headers.iter().fold(request, add).body(()).unwrap()
    }

    fn is_local(target: &str, version: Version, headers: &[(&str, &str)]) -> bool {
        let remote = Some(IpAddr::from([127, 0, 0, 1]));
        RequestHead::from(&request(target, version, headers)).is_from_this_machine(remote)
    }

    const HERE: (&str, &str) = ("host", "localhost:3080");

    #[test]
    fn what_programs_on_this_machine_send() {
        for headers in [
            &[HERE][..],
            &[
                HERE,
                ("user-agent", "Go-http-client/1.1"),
                ("accept-encoding", "gzip"),
            ],
            &[
                HERE,
                ("x-request-id", "1"),
                ("x-nothing", ""),
                ("authorization", "Basic OmE="),
            ],
            &[
                HERE,
                ("sec-fetch-site", "none"),
                ("upgrade-insecure-requests", "1"),
                ("cookie", "a=b"),
            ],
            &[
                HERE,
                ("origin", "http://127.0.0.1:8080"),
                ("sec-fetch-site", "same-site"),
            ],
            &[
                HERE,
                ("disable-module-fetch", "true"),
                ("cache-control", "no-cache"),
                ("range", "bytes=0-"),
            ],
            &[HERE, ("connection", "close"), ("traceparent", "00-1-2-01")],
        ] {
            assert!(is_local("/a", Version::HTTP_11, headers), "{headers:?}");
        }
        assert!(is_local(
            "http://127.0.0.1:3080/a",
            Version::HTTP_11,
            &[HERE]
        ));
    }

    #[test]
    fn what_those_send_who_pass_requests_on() {
        for name in [
            "forwarded",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-port",
            "x-forwarded-server",
            "x-forwarded-anything-else",
            "x-forwarded",
            "x-real-ip",
            "x-client-ip",
            "client-ip",
            "true-client-ip",
            "fastly-client-ip",
            "x-cluster-client-ip",
            "cf-connecting-ip",
            "cf-ray",
            "cdn-loop",
            "x-original-forwarded-for",
            "x-original-host",
            "x-original-url",
            "x-envoy-external-address",
            "x-envoy-expected-rq-timeout-ms",
            "x-proxyuser-ip",
            "wl-proxy-client-ip",
            "x-nginx-proxy",
            "x-remote-addr",
            "x-scheme",
            "x-amzn-trace-id",
            "x-cloud-trace-context",
            "x-arr-ssl",
            "front-end-https",
            "x-varnish",
            "tailscale-user-login",
            "x-http-host-override",
        ] {
            assert!(
                !is_local("/a", Version::HTTP_11, &[HERE, (name, "")]),
                "{name}"
            );
        }
        for headers in [
            &[][..],
            &[("host", "")],
            &[("host", "rebind.example.com:3080")],
            &[HERE, HERE],
            &[HERE, ("host", "larder.example.com")],
            &[HERE, ("origin", "https://evil.example.com")],
            &[HERE, ("origin", "null")],
            &[HERE, ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!is_local("/a", Version::HTTP_11, headers), "{headers:?}");
        }
        for target in ["http://larder.example.com/a", "http://me@localhost/a"] {
            assert!(!is_local(target, Version::HTTP_11, &[HERE]), "{target}");
        }
        assert!(!is_local("/a", Version::HTTP_10, &[HERE]));
        let here = request("/a", Version::HTTP_11, &[HERE]);
        for remote in [None, Some(IpAddr::from([192, 0, 2, 1]))] {
            assert!(!RequestHead::from(&here).is_from_this_machine(remote));
        }
    }

    #[test]
    fn requests_have_one_host() {
        let bad = |version, headers| RequestHead::from(&request("/a", version, headers)).bad_host();
        assert_eq!(bad(Version::HTTP_11, &[HERE]), None);
        assert_eq!(bad(Version::HTTP_11, &[("host", "")]), None);
        assert_eq!(bad(Version::HTTP_10, &[]), None);
        for (version, headers) in [
            (Version::HTTP_11, &[][..]),
            (Version::HTTP_11, &[HERE, HERE]),
            (Version::HTTP_10, &[HERE, HERE]),
            (Version::HTTP_11, &[("host", "a b")]),
        ] {
            assert!(bad(version, headers).is_some(), "{headers:?}");
        }
    }
}
