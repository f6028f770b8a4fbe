//! What the `go` command and the programs that GOAUTH names say to each other (`go help goauth`; cmd/go/internal/auth).
//!
//! Before its first https fetch `go` runs the program as it stands in GOAUTH. After any 4xx it runs it again, with the URL
//! as one more argument and status line and headers on standard input, and asks once more with what it is told. A 404 is
//! such a 4xx, and for `go get` a usual one.

use std::str::FromStr;

use url::{Host, Url};

use crate::config::Secret;

/// Where Larder is, as clients have it in GOPROXY.
#[derive(Clone, Debug)]
pub struct ProxyAddress {
    /// As it was written: `go` looks credentials up by the text of its URLs, port and case included.
    text: String,
    url: Url,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyAddressError {
    #[error("it is no URL such as https://larder.example.com")]
    NotUrl,
    #[error("it has to begin with https://")]
    Scheme,
    #[error("leave out user and password: they are what this command gives to the go command")]
    UserInfo,
    #[error("leave out what follows ? or #")]
    Query,
}

impl FromStr for ProxyAddress {
    type Err = ProxyAddressError;

    fn from_str(text: &str) -> Result<Self, ProxyAddressError> {
        // The parser would pass over blanks and line feeds, and the latter mean something in the answer.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ProxyAddressError::NotUrl);
        }
        let url = Url::parse(text).map_err(|_| ProxyAddressError::NotUrl)?;
        if !(text.starts_with("https://") || text.starts_with("http://")) {
            return Err(ProxyAddressError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
            return Err(ProxyAddressError::UserInfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ProxyAddressError::Query);
        }
        let text = text.trim_end_matches('/').to_owned();
        Ok(ProxyAddress { text, url })
    }
}

impl ProxyAddress {
    /// As it was written, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a token on its way there can be read by nobody: over https, or inside this machine.
    pub fn is_confidential(&self) -> bool {
        self.url.scheme() == "https" || is_loopback(&self.url)
    }

    /// Whether a URL is below this one: the same scheme, host and port, and a path that begins with all parts of ours.
    pub fn covers(&self, asked: &str) -> bool {
        let Ok(asked) = Url::parse(asked) else {
            return false;
        };
        let own = self.url.path().trim_end_matches('/');
        let rest = asked.path().strip_prefix(own);
        asked.scheme() == self.url.scheme()
            && asked.host() == self.url.host()
            && asked.port_or_known_default() == self.url.port_or_known_default()
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The answer: URL, blank line, header, blank line.
    pub fn credentials(&self, token: &Secret) -> String {
        format!(
            "{}\n\nAuthorization: Bearer {}\n\n",
            self.text,
            token.expose()
        )
    }
}

/// Whether a URL leads to this machine, by its name alone.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether an answer that was refused, as `go` passes it on, is one that another token could help against. What does not
/// exist does not begin to by that, and for each such answer `go` asks us. Nothing there to read is a call by hand.
pub fn wants_token(response: &[u8]) -> bool {
    let line = response.split(|byte| *byte == b'\n').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    match line.split_whitespace().nth(1) {
        Some(status) => matches!(status, "401" | "403"),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> ProxyAddress {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_urls_and_nothing_more() {
        use ProxyAddressError::*;
        for (text, error) in [
            ("larder.example.com", NotUrl),
            ("", NotUrl),
            ("https://", NotUrl),
            (
                "https://larder.example.com\nhttps://other.example.com",
                NotUrl,
            ),
            ("https://larder.example.com ", NotUrl),
            ("https://lärder.example.com", NotUrl),
            ("HTTPS://larder.example.com", Scheme),
            ("file:///tmp", Scheme),
            ("https://ci:x@larder.example.com", UserInfo),
            ("https://@larder.example.com", UserInfo),
            ("https://larder.example.com/?a", Query),
            ("https://larder.example.com/#a", Query),
        ] {
            let parsed = text.parse::<ProxyAddress>();
            assert_eq!(parsed.err(), Some(error), "{text}");
        }
    }

    #[test]
    fn the_answer_has_the_url_as_go_looks_it_up() {
        for (given, printed) in [
            ("https://larder.example.com", "https://larder.example.com"),
            ("https://larder.example.com/", "https://larder.example.com"),
            (
                "https://Larder.example.com:443/go/",
                "https://Larder.example.com:443/go",
            ),
        ] {
            assert_eq!(
                at(given).credentials(&Secret::new("lrd_x")),
                format!("{printed}\n\nAuthorization: Bearer lrd_x\n\n")
            );
        }
    }

    #[test]
    fn only_what_lies_below_is_covered() {
        let root = at("https://larder.example.com");
        let team = at("https://larder.example.com:443/team-a/");
        for asked in [
            "https://larder.example.com/team-a",
            "https://larder.example.com/team-a/x/@v/list",
            "https://LARDER.example.com:443/team-a/x?go-get=1",
        ] {
            assert!(root.covers(asked) && team.covers(asked), "{asked}");
        }
        assert!(root.covers("https://larder.example.com"));
        for asked in [
            "https://larder.example.com/team-ab/x",
            "https://larder.example.com/",
            "https://larder.example.com/team-a/../team-b/x",
            "https://larder.example.com/team-a/%2e%2e/x",
        ] {
            assert!(root.covers(asked) && !team.covers(asked), "{asked}");
        }
        for asked in [
            "http://larder.example.com/team-a/x",
            "https://larder.example.com:8443/team-a/x",
            "https://larder.example.com.evil.example/team-a/x",
            "https://evil.example/team-a/https://larder.example.com/team-a",
            "https://larder.example.com@evil.example/team-a/x",
            "larder.example.com/team-a",
            "",
        ] {
            assert!(!root.covers(asked) && !team.covers(asked), "{asked}");
        }
    }

    #[test]
    fn tokens_travel_encrypted_or_not_at_all() {
        for (text, confidential) in [
            ("https://larder.example.com", true),
            ("http://127.0.0.1:3080", true),
            ("http://[::1]:3080/go", true),
            ("http://localhost:3080", true),
            ("http://larder.example.com", false),
            ("http://10.0.0.1", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(at(text).is_confidential(), confidential, "{text}");
        }
    }

    #[test]
    fn another_token_helps_against_few_answers() {
        let told = |status: &str| format!("HTTP/1.1 {status}\nContent-Length: 3\n\n");
        for (response, wants) in [
            (told("401 Unauthorized"), true),
            (told("403 Forbidden"), true),
            (told("404 Not Found"), false),
            (told("410 Gone"), false),
            (told("429 Too Many Requests"), false),
            ("HTTP/2.0 401 \r\n\r\n".to_owned(), true),
            (String::new(), true),
            ("\n".to_owned(), true),
        ] {
            assert_eq!(wants_token(response.as_bytes()), wants, "{response}");
        }
    }
}
