//! The address that clients are told to set: right for whoever reads it, however they come.

use http::HeaderMap;
use http::header::{FORWARDED, HOST};

/// Where clients find modules: the address that the operator gives, with the base path, which it may have already.
pub fn for_clients(public_url: &str, base_path: &str) -> String {
    let url = public_url.trim_end_matches('/');
    match url.ends_with(base_path) {
        true => url.to_owned(),
        false => format!("{url}{base_path}"),
    }
}

/// The address that the sender of these headers has used, perhaps by way of a server in front, over TLS or not. It is only
/// shown: nothing is decided by it.
pub fn seen_by(headers: &HeaderMap, tls: bool, base_path: &str) -> String {
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.split(',').next()?.trim().to_owned())
    };
    let scheme = forwarded(headers, "proto").or_else(|| first("x-forwarded-proto"));
    let scheme = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        // Whoever is in front speaks so to us, and says if clients speak otherwise to it.
        None if tls => "https",
        _ => "http",
    };
    let hosts = [
        forwarded(headers, "host"),
        first("x-forwarded-host"),
        first(HOST.as_str()),
    ];
    let mut hosts = hosts.into_iter().flatten();
    let host = hosts.find(|host| is_plausible_host(host));
    let host = host.unwrap_or_else(|| "127.0.0.1:3080".to_owned());
    // What a server in front has taken off the path.
    let prefix = first("x-forwarded-prefix").filter(|prefix| is_plausible_prefix(prefix));
    let prefix = prefix.unwrap_or_default();
    format!(
        "{scheme}://{host}{}{base_path}",
        prefix.trim_end_matches('/')
    )
}

/// A parameter of the first element of `Forwarded` (RFC 7239): who spoke to the client.
fn forwarded(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(FORWARDED)?.to_str().ok()?;
    let first = value.split(',').next()?;
    first.split(';').find_map(|pair| {
        let (known, value) = pair.split_once('=')?;
        let value = value.trim().trim_matches('"');
        known
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.to_owned())
    })
}

fn is_plausible_host(host: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    !host.is_empty() && host.len() <= 300 && host.bytes().all(fine)
}

fn is_plausible_prefix(prefix: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~/".contains(&byte);
    prefix.starts_with('/')
        && !prefix.contains("//")
        && prefix.len() <= 300
        && prefix.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_address_has_the_base_path_once() {
        for (url, base, expected) in [
            ("https://l.example.com", "", "https://l.example.com"),
            ("https://l.example.com/", "", "https://l.example.com"),
            ("https://l.example.com", "/go", "https://l.example.com/go"),
            (
                "https://l.example.com/go",
                "/go",
                "https://l.example.com/go",
            ),
            (
                "https://l.example.com/x/go",
                "/go",
                "https://l.example.com/x/go",
            ),
            (
                "https://l.example.com/cargo",
                "/go",
                "https://l.example.com/cargo/go",
            ),
            ("https://l.example.com/go", "", "https://l.example.com/go"),
        ] {
            assert_eq!(for_clients(url, base), expected);
        }
    }

    #[test]
    fn the_address_that_was_used() {
        for (headers, expected) in [
            (
                &[("host", "localhost:3080")][..],
                "http://localhost:3080/go",
            ),
            (&[("host", "<b>")], "http://127.0.0.1:3080/go"),
            (&[], "http://127.0.0.1:3080/go"),
            (
                &[
                    ("host", "127.0.0.1:3080"),
                    ("x-forwarded-proto", "HTTPS"),
                    ("x-forwarded-host", "l.example.com"),
                ],
                "https://l.example.com/go",
            ),
            (
                &[
                    ("host", "l.example.com"),
                    ("x-forwarded-proto", "https, http"),
                ],
                "https://l.example.com/go",
            ),
            (
                &[
                    ("host", "x"),
                    ("x-forwarded-host", "l.example.com:8443, inner"),
                    ("x-forwarded-proto", "javascript"),
                ],
                "http://l.example.com:8443/go",
            ),
            (
                &[("host", "x"), ("x-forwarded-host", "\"><script>")],
                "http://x/go",
            ),
            (
                &[
                    ("host", "x"),
                    (
                        "forwarded",
                        "for=192.0.2.1; Proto=https;host=\"l.example.com:8443\", for=10.0.0.1;host=y",
                    ),
                ],
                "https://l.example.com:8443/go",
            ),
            (
                &[("host", "l.example.com"), ("x-forwarded-prefix", "/tools/")],
                "http://l.example.com/tools/go",
            ),
            (
                &[("host", "l.example.com"), ("x-forwarded-prefix", "//evil")],
                "http://l.example.com/go",
            ),
        ] {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            };
            let headers: HeaderMap = headers.iter().map(pair).collect();
            assert_eq!(seen_by(&headers, false, "/go"), expected, "{headers:?}");
            // A server in front knows better.
            let said = ["x-forwarded-proto", "forwarded"].map(|name| headers.contains_key(name));
            let over_tls = match said.contains(&true) {
                true => expected.to_owned(),
                false => expected.replace("http://", "https://"),
            };
            assert_eq!(seen_by(&headers, true, "/go"), over_tls, "{headers:?}");
        }
    }
}
