//! The access log: a line per request, in the form of every other log line. Writing one allocates
//! nothing, and nothing a client sent can forge a line.

use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::logs::Format;
use super::logs::encode::{self, Bytes, Escape};

/// What `target` says in these lines.
pub const TARGET: &str = "larder::access";

/// The most bytes of a path. Module paths and versions have at most 1,000 or so; escapes and base
/// paths come on top.
const LONGEST_PATH: usize = 2 << 10;
/// The most bytes of everything else that a client sends.
const LONGEST: usize = 256;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// A probe that went well: said at the level "debug" only, since it comes every few seconds.
    Probe,
    /// Anything else.
    Request,
}

impl Weight {
    fn level(self) -> &'static str {
        match self {
            Weight::Probe => "DEBUG",
            Weight::Request => "INFO",
        }
    }
}

/// Whether probes have lines: whether the level "debug" is asked for, of everything or of these lines.
pub fn shows_probes() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::DEBUG)
}

/// A request that has been answered.
#[derive(Debug, Clone, Copy)]
pub struct AccessLine<'a> {
    /// `GET`.
    pub method: &'a str,
    /// The path as it was sent, escapes and all.
    pub path: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub bytes: u64,
    /// From the request's head to the last byte of the answer.
    pub duration: Duration,
    /// What the cache did: `hit`, `miss`, `stale`, …; empty if it was not asked.
    pub cache: &'a str,
    /// The upstream that was asked for this request, if one was.
    pub upstream: Option<&'a str>,
    /// `X-Request-Id`.
    pub request_id: &'a str,
    /// The client's address; none over a unix socket.
    pub remote: Option<SocketAddr>,
    /// `User-Agent`, as it was sent; empty if it was not.
    pub user_agent: &'a [u8],
    /// What kind of request it was: `list`, `zip`, …
    pub endpoint: &'a str,
    /// How much it matters.
    pub weight: Weight,
}

/// Appends the line, with its end, to `out`. `millis` is the time of day since 1970.
pub fn write(line: &AccessLine<'_>, format: Format, millis: u64, out: &mut Vec<u8>) {
    let mut out = Bytes(out);
    // Writing into memory cannot fail.
    let _ = match format {
        Format::Text => text(line, millis, &mut out),
        Format::Json => json(line, millis, &mut out),
    };
}

fn text(line: &AccessLine<'_>, millis: u64, out: &mut Bytes<'_>) -> fmt::Result {
    encode::timestamp(out, millis)?;
    write!(out, " {:>5} {TARGET}: ", line.weight.level())?;
    encode::text(out, line.method, Escape::Controls, LONGEST)?;
    out.write_char(' ')?;
    encode::text(out, line.path, Escape::Controls, LONGEST_PATH)?;
    out.write_char(' ')?;
    encode::number(out, line.status.into())?;
    out.write_char(' ')?;
    encode::number(out, line.bytes)?;
    out.write_str("B ")?;
    encode::millis(out, line.duration)?;
    out.write_str("ms")?;
    for (name, value) in [
        (" endpoint=", line.endpoint.as_bytes()),
        (" cache=", line.cache.as_bytes()),
        (" upstream=", line.upstream.unwrap_or_default().as_bytes()),
    ] {
        if !value.is_empty() {
            out.write_str(name)?;
            encode::value(out, value, LONGEST)?;
        }
    }
    out.write_str(" remote=")?;
    address(out, line.remote)?;
    for (name, value) in [
        (" user_agent=", line.user_agent),
        (" request_id=", line.request_id.as_bytes()),
    ] {
        if !value.is_empty() {
            out.write_str(name)?;
            encode::value(out, value, LONGEST)?;
        }
    }
    out.write_char('\n')
}

fn json(line: &AccessLine<'_>, millis: u64, out: &mut Bytes<'_>) -> fmt::Result {
    out.write_str("{\"ts\":\"")?;
    encode::timestamp(out, millis)?;
    out.write_str("\",\"level\":\"")?;
    out.write_str(line.weight.level())?;
    out.write_str("\",\"target\":\"larder::access\",\"msg\":\"request\",\"method\":\"")?;
    encode::text(out, line.method, Escape::Json, LONGEST)?;
    out.write_str("\",\"path\":\"")?;
    encode::text(out, line.path, Escape::Json, LONGEST_PATH)?;
    out.write_str("\",\"status\":")?;
    encode::number(out, line.status.into())?;
    out.write_str(",\"bytes\":")?;
    encode::number(out, line.bytes)?;
    out.write_str(",\"duration_ms\":")?;
    encode::millis(out, line.duration)?;
    out.write_str(",\"endpoint\":\"")?;
    encode::text(out, line.endpoint, Escape::Json, LONGEST)?;
    out.write_str("\",\"cache\":\"")?;
    encode::text(out, line.cache, Escape::Json, LONGEST)?;
    match line.upstream {
        Some(upstream) => {
            out.write_str("\",\"upstream\":\"")?;
            encode::text(out, upstream, Escape::Json, LONGEST)?;
            out.write_str("\",\"remote\":\"")?;
        }
        None => out.write_str("\",\"upstream\":null,\"remote\":\"")?,
    }
    address(out, line.remote)?;
    out.write_str("\",\"user_agent\":\"")?;
    encode::bytes(out, line.user_agent, Escape::Json, LONGEST)?;
    out.write_str("\",\"request_id\":\"")?;
    encode::text(out, line.request_id, Escape::Json, LONGEST)?;
    out.write_str("\"}\n")
}

/// An address; an IPv4 client of an IPv6 socket by its IPv4 address.
fn address(out: &mut Bytes<'_>, address: Option<SocketAddr>) -> fmt::Result {
    let Some(address) = address else {
        return out.write_str("unix:");
    };
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            for (number, octet) in ip.octets().into_iter().enumerate() {
                if number > 0 {
                    out.write_char('.')?;
                }
                encode::number(out, octet.into())?;
            }
        }
        IpAddr::V6(ip) => write!(out, "[{ip}]")?,
    }
    out.write_char(':')?;
    encode::number(out, address.port().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> AccessLine<'static> {
        AccessLine {
            method: "GET",
            path: "/github.com/!burnt!sushi/toml/@v/v1.2.3.zip",
            status: 200,
            bytes: 123_456,
            duration: Duration::from_micros(1_234),
            cache: "hit",
            upstream: None,
            request_id: "0f3a",
            remote: "10.0.0.7:5312".parse().ok(),
            user_agent: b"Go-http-client/1.1",
            endpoint: "zip",
            weight: Weight::Request,
        }
    }

    fn written(line: &AccessLine<'_>, format: Format) -> String {
        let mut out = Vec::new();
        write(line, format, 1_795_277_045_123, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_line_for_people() {
        assert_eq!(
            written(&example(), Format::Text),
            "2026-11-21T16:04:05.123Z  INFO larder::access: GET /github.com/!burnt!sushi/toml/@v/v1.2.3.zip \
             200 123456B 1.234ms endpoint=zip cache=hit remote=10.0.0.7:5312 user_agent=Go-http-client/1.1 request_id=0f3a\n"
        );
    }

    #[test]
    fn a_line_for_machines() {
        let line = AccessLine {
            upstream: Some("proxy.example.com"),
            ..example()
        };
        assert_eq!(
            written(&line, Format::Json),
            "{\"ts\":\"2026-11-21T16:04:05.123Z\",\"level\":\"INFO\",\"target\":\"larder::access\",\
             \"msg\":\"request\",\"method\":\"GET\",\"path\":\"/github.com/!burnt!sushi/toml/@v/v1.2.3.zip\",\
             \"status\":200,\"bytes\":123456,\"duration_ms\":1.234,\"endpoint\":\"zip\",\"cache\":\"hit\",\
             \"upstream\":\"proxy.example.com\",\"remote\":\"10.0.0.7:5312\",\
             \"user_agent\":\"Go-http-client/1.1\",\"request_id\":\"0f3a\"}\n"
        );
    }

    #[test]
    fn both_forms_have_the_same_names() {
        let line = AccessLine {
            upstream: Some("proxy.example.com"),
            weight: Weight::Probe,
            ..example()
        };
        let json: serde_json::Value =
            serde_json::from_str(&written(&line, Format::Json)).expect("JSON");
        let text = written(&line, Format::Text);
        assert!(text.contains(" DEBUG larder::access: "), "{text}");
        assert_eq!(json["level"], "DEBUG");
        let words = text
            .split_whitespace()
            .filter_map(|word| word.split_once('='));
        let mut names = 0;
        for (name, value) in words {
            assert_eq!(json[name].as_str(), Some(value), "{name}");
            names += 1;
        }
        assert_eq!(names, 6, "{text}");
    }

    #[test]
    fn addresses() {
        for (remote, expected) in [
            ("[::1]:80", "[::1]:80"),
            ("[::ffff:10.0.0.7]:80", "10.0.0.7:80"),
            ("255.255.255.255:65535", "255.255.255.255:65535"),
            ("none", "unix:"),
        ] {
            let line = AccessLine {
                remote: remote.parse().ok(),
                ..example()
            };
            assert!(written(&line, Format::Text).contains(&format!(" remote={expected} ")));
        }
    }

    #[test]
    fn a_line_has_a_bound() {
        let long = "\u{1}".repeat(100_000);
        let line = AccessLine {
            method: &long,
            path: &long,
            cache: &long,
            upstream: Some(&long),
            request_id: &long,
            user_agent: long.as_bytes(),
            endpoint: &long,
            ..example()
        };
        for format in [Format::Text, Format::Json] {
            assert!(written(&line, format).len() < 24 << 10);
        }
    }

    proptest! {
        #[test]
        fn nothing_a_client_sends_can_forge_a_line(
            path in any::<String>(), agent in any::<Vec<u8>>(), id in any::<String>(), method in any::<String>(),
        ) {
            let line = AccessLine { path: &path, user_agent: &agent, request_id: &id, method: &method, ..example() };
            let text = written(&line, Format::Text);
            prop_assert!(!text.trim_end_matches('\n').chars().any(char::is_control));
            let json = written(&line, Format::Json);
            prop_assert!(!json.trim_end_matches('\n').chars().any(char::is_control));
            let parsed: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            prop_assert_eq!(parsed["path"].as_str(), Some(path.as_str()));
            prop_assert_eq!(parsed["status"].as_u64(), Some(200));
        }
    }
}
