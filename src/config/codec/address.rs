//! Addresses: where we listen, and what clients are told.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use super::{Checked, Codec, Context, Raw, quote, text};

const WHAT: &str = r#"an address with a port; write it as "127.0.0.1:3080", "[::1]:3080", or ":3080" for all addresses"#;

/// An address to listen on.
#[derive(Debug)]
pub(in crate::config) struct Listen;

/// `address:port`, `name:port` if the name resolves, or `:port` for every address of the machine.
/// Port 0 lets the system choose.
pub(in crate::config) fn listen() -> Listen {
    Listen
}

impl Codec for Listen {
    type Value = SocketAddr;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<SocketAddr, String> {
        let text = raw.as_text(WHAT)?.trim();
        if let Ok(address) = text.parse() {
            return Ok(address);
        }
        let wrong = || format!("{} is not {WHAT}", raw.quoted());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let port: u16 = port
            .parse()
            .map_err(|_| format!("{}: ports end at 65535", raw.quoted()))?;
        match host {
            // As in Go, every address of either family: the IPv6 wildcard takes IPv4 too.
            "" | "*" => Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
            host if host.contains([':', '/', '[', ']', '@', ' ']) => Err(wrong()),
            host => resolve(host, port).map_err(|error| {
                format!(
                    "{}: the name {host:?} does not resolve ({error})",
                    raw.quoted()
                )
            }),
        }
    }

    fn write(&self, value: &SocketAddr) -> String {
        quote(&value.to_string())
    }
}

/// The first address of a name, an IPv4 one if there is any: what `localhost` means to most clients.
fn resolve(host: &str, port: u16) -> std::io::Result<SocketAddr> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let address = addresses.iter().find(|a| a.is_ipv4()).or(addresses.first());
    address
        .copied()
        .ok_or_else(|| std::io::Error::other("no address"))
}

/// The path under which everything is served: empty, or `/go` (no slash at the end).
pub(in crate::config) fn base_path() -> Checked {
    text(|text| {
        let path = text.strip_suffix('/').unwrap_or(text);
        if path.is_empty() {
            return Ok(String::new());
        }
        let Some(elements) = path.strip_prefix('/') else {
            return Err(format!("does not begin with a slash; write \"/{path}\""));
        };
        let clean = |element: &str| {
            !matches!(element, "" | "." | "..")
                && element
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        };
        if elements.split('/').all(clean) {
            Ok(path.to_owned())
        } else {
            Err(
                "is not a clean path; write it as \"/go\" or \"/tools/go\", \
                 of letters, digits and -._~"
                    .into(),
            )
        }
    })
}

/// The address that clients are shown: `https://larder.example.com` (no slash at the end).
pub(in crate::config) fn public_url() -> Checked {
    text(|text| {
        const WANTED: &str =
            "is not an address for clients; write it as \"https://larder.example.com\"";
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or(WANTED)?;
        if has_user(rest) {
            return Err("carries user information, which every visitor would see".into());
        }
        after_scheme(rest).ok_or(WANTED)?;
        Ok(text.trim_end_matches('/').to_owned())
    })
}

/// The address of an API that is shown credentials: `https://api.github.com` (no slash at the end).
pub(in crate::config) fn api_url() -> Checked {
    text(|text| {
        const WANTED: &str =
            "is not an https address; write it as \"https://github.example.com/api/v3\"";
        let rest = text.strip_prefix("https://").ok_or(WANTED)?;
        if has_user(rest) {
            return Err("carries user information; leave it out".into());
        }
        after_scheme(rest).ok_or(WANTED)?;
        Ok(text.trim_end_matches('/').to_owned())
    })
}

/// The identifier of an OpenID provider, letter by letter: `https://token.actions.githubusercontent.com`. Plain http only
/// on this very machine.
pub(in crate::config) fn issuer() -> Checked {
    text(|text| {
        const WANTED: &str = "is no provider's identifier; write it as its tokens do, such as \"https://gitlab.example.com\"";
        let rest = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => rest,
            (None, Some(rest)) => {
                let authority = rest.split('/').next().unwrap_or_default();
                let host = authority
                    .rsplit_once(':')
                    .map_or(authority, |(host, _)| host);
                if !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
                    return Err("is asked for keys over plain http, which anybody on the way can forge; write https".into());
                }
                rest
            }
            (None, None) => return Err(WANTED.into()),
        };
        if has_user(rest) {
            return Err("carries user information; leave it out".into());
        }
        after_scheme(rest).ok_or(WANTED)?;
        Ok(text.to_owned())
    })
}

/// Whether there is user information in what follows a scheme.
fn has_user(rest: &str) -> bool {
    rest.split('/').next().unwrap_or_default().contains('@')
}

/// Checks what follows the scheme: a host and maybe a path, without a query.
fn after_scheme(rest: &str) -> Option<()> {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    host_port(authority).ok()?;
    let fine = |b: u8| b.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&b);
    path.bytes().all(fine).then_some(())
}

/// Checks `host` or `host:port` (an IPv6 address in brackets) and gives it in lower case.
pub(in crate::config) fn host_port(text: &str) -> Result<String, String> {
    const WANTED: &str =
        "is not a host; write it as \"git.example.com\" or \"git.example.com:8443\"";
    if text.contains('*') {
        return Err(
            "is a pattern, and this is for one host; write it as \"git.example.com\"".into(),
        );
    }
    if text.contains("://") || text.contains('/') {
        return Err("is more than a host; write only \"git.example.com\" or \
                    \"git.example.com:8443\", without scheme and path"
            .into());
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            address.parse::<Ipv6Addr>().map_err(|_| WANTED)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(port),
                None if rest.is_empty() => None,
                None => return Err(WANTED.into()),
            };
            ("", port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_name = |host: &str| {
        !host.is_empty()
            && host.len() <= 253
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    if !text.starts_with('[') {
        if !is_name(host) {
            return Err(WANTED.into());
        }
        if host.ends_with('.') && !host.ends_with("..") {
            return Err("ends with a dot, as no host does that is asked; leave it out".into());
        }
        if host.split('.').any(str::is_empty) {
            return Err(WANTED.into());
        }
    }
    if let Some(port) = port {
        let number = port
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| port.parse::<u16>());
        if !matches!(number, Some(Ok(1..))) {
            return Err(WANTED.into());
        }
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn listening_addresses() {
        for (word, expected) in [
            ("127.0.0.1:3080", "127.0.0.1:3080"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:3080", "[::1]:3080"),
            (":3080", "[::]:3080"),
            ("*:3080", "[::]:3080"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("localhost:3080", "127.0.0.1:3080"),
        ] {
            assert_eq!(
                from_word(&listen(), word),
                Ok(expected.parse().expect(expected)),
                "{word}"
            );
        }
        for word in [
            "",
            "3080",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:http",
            "::1:3080",
            "http://x:80",
        ] {
            let error = from_word(&listen(), word).expect_err(word);
            assert!(
                error.contains("write it as \"127.0.0.1:3080\""),
                "{word}: {error}"
            );
        }
        let error = from_word(&listen(), "127.0.0.1:65536").expect_err("a port");
        assert_eq!(error, "\"127.0.0.1:65536\": ports end at 65535");
        let error = from_word(&listen(), "nowhere.invalid:80").expect_err("a name");
        assert!(
            error.contains("\"nowhere.invalid\" does not resolve"),
            "{error}"
        );
        assert!(from_toml(&listen(), "3080").is_err());
    }

    #[test]
    fn base_paths() {
        for (word, expected) in [
            ("", ""),
            ("/", ""),
            ("/go", "/go"),
            ("/go/", "/go"),
            ("/a/b.c", "/a/b.c"),
        ] {
            assert_eq!(from_word(&base_path(), word), Ok(expected.into()));
        }
        assert_eq!(
            from_word(&base_path(), "go/"),
            Err("\"go/\" does not begin with a slash; write \"/go\"".into())
        );
        for word in [
            "//", "/a//b", "/a/../b", "/a/.", "/a b", "/a?b", "/a%2fb", "/a/@v", "/a//",
        ] {
            assert!(
                from_word(&base_path(), word).is_err_and(|e| e.contains("not a clean path")),
                "{word}"
            );
        }
    }

    #[test]
    fn public_urls() {
        for (word, expected) in [
            ("https://larder.example.com", "https://larder.example.com"),
            ("https://larder.example.com/", "https://larder.example.com"),
            ("http://10.0.0.1:3080/go/", "http://10.0.0.1:3080/go"),
            ("http://[::1]:3080", "http://[::1]:3080"),
        ] {
            assert_eq!(from_word(&public_url(), word), Ok(expected.into()));
        }
        for word in [
            "larder.example.com",
            "ftp://x",
            "https://",
            "https://x/?q",
            "https://a b",
            "https://x/#f",
        ] {
            assert!(from_word(&public_url(), word).is_err(), "{word}");
        }
        let error = from_word(&public_url(), "https://me:pw@x").expect_err("user information");
        assert!(
            error.contains("user information") && !error.contains("pw"),
            "{error}"
        );
    }

    #[test]
    fn addresses_of_apis() {
        for (word, expected) in [
            ("https://api.github.com", "https://api.github.com"),
            (
                "https://git.example.com/api/v3/",
                "https://git.example.com/api/v3",
            ),
        ] {
            assert_eq!(from_word(&api_url(), word), Ok(expected.into()));
        }
        for word in [
            "http://api.github.com",
            "api.github.com",
            "https://",
            "https://x?q",
        ] {
            let error = from_word(&api_url(), word).expect_err(word);
            assert!(error.contains("is not an https address"), "{error}");
        }
        let error = from_word(&api_url(), "https://me:pw@x").expect_err("user information");
        assert!(
            error.contains("user information") && !error.contains("pw"),
            "{error}"
        );
    }

    #[test]
    fn hosts() {
        for (text, expected) in [
            ("git.example.com", "git.example.com"),
            ("Git.Example.com:8443", "git.example.com:8443"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(host_port(text), Ok(expected.into()));
        }
        for text in [
            "",
            ":80",
            "a b",
            "a@b",
            "a:0",
            "a:x",
            "a:+1",
            "[::1",
            "[::1]x",
            "https://a",
            "a/b",
            ".example.com",
            "a..b",
            "a.",
            "a.:443",
            "*.example.com",
        ] {
            assert!(host_port(text).is_err(), "{text}");
        }
    }
}
