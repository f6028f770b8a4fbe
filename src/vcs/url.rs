//! Addresses of repositories (protocol.md 6.1.5 and 6.6, checklist 122 and 123).
//!
//! Go takes nearly anything that `net/url` parses and leaves the rest to git. Here an address must
//! be written in one plain way, so that git, its transports and our own checks cannot read it
//! differently: a scheme of a short list, a host, a path of characters that RFC 3986 allows there.

use std::fmt;
use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;

/// Longest address of a repository. Ours.
const MAX_URL: usize = 2000;

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `https`.
    Https,
    /// `http`, which anybody on the way can change.
    Http,
    /// `ssh`.
    Ssh,
    /// `git+ssh`, an older name of the same.
    GitSsh,
}

impl Scheme {
    /// The scheme as it stands before `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::GitSsh => "git+ssh",
        }
    }

    /// Whether this goes through ssh.
    pub fn is_ssh(self) -> bool {
        matches!(self, Self::Ssh | Self::GitSsh)
    }

    fn parse(s: &str) -> Option<Self> {
        [Self::Https, Self::Http, Self::Ssh, Self::GitSsh]
            .into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(s))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which schemes may be used besides `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Allowed {
    /// `ssh` and `git+ssh`.
    pub ssh: bool,
    /// `http`, as Go's GOINSECURE.
    pub insecure: bool,
}

impl Allowed {
    /// Whether the scheme may be used.
    pub fn permits(self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::Https => true,
            Scheme::Http => self.insecure,
            Scheme::Ssh | Scheme::GitSsh => self.ssh,
        }
    }

    /// The schemes to try for a git repository whose address names none, in the order of
    /// cmd/go/internal/vcs `vcsGit`.
    pub fn schemes(self) -> impl Iterator<Item = Scheme> {
        [Scheme::Https, Scheme::Http, Scheme::GitSsh, Scheme::Ssh]
            .into_iter()
            .filter(move |scheme| self.permits(*scheme))
    }
}

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It could be taken for an option.
    #[error("the repository's address starts with a dash")]
    LeadingDash,
    /// Ours.
    #[error("the repository's address is too long (over {MAX_URL} bytes)")]
    TooLong,
    /// `host:path`, `ext::command`, a local path.
    #[error("the repository's address has no scheme such as https://")]
    NoScheme,
    /// `file`, `git` and what is unknown.
    #[error("the scheme {0:?} of the repository's address is not allowed")]
    SchemeRefused(String),
    /// [`Allowed`] does not have it.
    #[error("the repository's address has the scheme {0}, which is not switched on here")]
    SchemeOff(Scheme),
    /// Anything but what RFC 3986 allows where it stands.
    #[error("the repository's address has the character {0:?}, which is not allowed there")]
    BadChar(char),
    /// Half an escape, or one of a control character.
    #[error("the repository's address has a malformed percent escape")]
    BadEscape,
    /// A page must not say who we are: no password, and no user that could be read as something else.
    #[error("the repository's address has credentials in it")]
    Credentials,
    /// No host, or nothing that can be one.
    #[error("the repository's address has no valid host")]
    BadHost,
    /// Not a number between 1 and 65535.
    #[error("the repository's address has no valid port")]
    BadPort,
    /// git asks for files below the address, which a query or fragment would swallow.
    #[error("the repository's address has a query or a fragment")]
    QueryOrFragment,
}

/// The checked address of a repository. Its scheme is in lower case, the rest is as it was written, but for the user of
/// an http address: many hosts give addresses with one, which is no secret and is not sent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RepoUrl {
    text: String,
    scheme: Scheme,
    /// Where in `text` the host stands, brackets of an IPv6 address left out.
    host: (usize, usize),
    port: Option<u16>,
    /// Over http, the user that was named.
    user: Option<String>,
}

impl RepoUrl {
    /// Checks an address.
    pub fn parse(text: &str, allowed: Allowed) -> Result<Self, UrlError> {
        if text.starts_with('-') {
            return Err(UrlError::LeadingDash);
        }
        if text.len() > MAX_URL {
            return Err(UrlError::TooLong);
        }
        if let Some(c) = text.chars().find(|&c| !may_stand(c)) {
            return Err(UrlError::BadChar(c));
        }
        let (scheme, rest) = text.split_once(':').ok_or(UrlError::NoScheme)?;
        if !is_scheme(scheme) || rest.starts_with(':') {
            return Err(UrlError::NoScheme);
        }
        let known = Scheme::parse(scheme);
        let Some(rest) = rest.strip_prefix("//") else {
            // What stands before the colon may be a host, or a scheme without authority.
            return Err(match known {
                Some(_) => UrlError::BadHost,
                None if scheme == "file" => UrlError::SchemeRefused(scheme.to_owned()),
                None => UrlError::NoScheme,
            });
        };
        let scheme = known.ok_or_else(|| UrlError::SchemeRefused(scheme.to_owned()))?;
        if !allowed.permits(scheme) {
            return Err(UrlError::SchemeOff(scheme));
        }
        if rest.contains(['?', '#']) {
            return Err(UrlError::QueryOrFragment);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let fine = match scheme.is_ssh() {
            true => user.is_none_or(is_user),
            false => user.is_none_or(is_web_user),
        };
        if !fine {
            return Err(UrlError::Credentials);
        }
        let (host, port) = split_host(host)?;
        check_escapes(path)?;
        if path.contains(['[', ']']) {
            return Err(UrlError::BadChar('['));
        }

        let mut checked = format!("{scheme}://");
        if let Some(user) = user.filter(|_| scheme.is_ssh()) {
            checked.push_str(user);
            checked.push('@');
        }
        let bracket = usize::from(authority.contains('['));
        let start = checked.len() + bracket;
        checked.push_str(&rest[authority.len() - host_part(authority).len()..]);
        Ok(Self {
            text: checked,
            scheme,
            host: (start, start + host.len()),
            port,
            user: user
                .filter(|_| !scheme.is_ssh())
                .and_then(|user| Some(percent_decode_str(user).decode_utf8().ok()?.into_owned())),
        })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its host, without port or brackets.
    pub fn host(&self) -> &str {
        &self.text[self.host.0..self.host.1]
    }

    /// The user that an http address was written with; not a part of [`RepoUrl::as_str`].
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Its port, if it names one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What follows the user information of an authority.
fn host_part(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// RFC 3986: unreserved, sub-delims, gen-delims and `%`.
fn may_stand(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?#[]%".contains(c)
}

fn is_scheme(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphabetic())
        && s.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// A plain login name; git passes it to ssh, where a dash would begin an option.
fn is_user(s: &str) -> bool {
    !s.is_empty() && !s.starts_with('-') && s.bytes().all(is_name_byte)
}

/// A user as clone addresses of git hosts have it, without a password; an e-mail address has its `@` escaped.
fn is_web_user(s: &str) -> bool {
    let plain = |b: u8| is_name_byte(b) || b"~+%".contains(&b);
    !s.is_empty() && s.bytes().all(plain) && check_escapes(s).is_ok()
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._".contains(&b)
}

fn split_host(s: &str) -> Result<(&str, Option<u16>), UrlError> {
    let (host, port) = match s.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']').ok_or(UrlError::BadHost)?;
            host.parse::<Ipv6Addr>().map_err(|_| UrlError::BadHost)?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(UrlError::BadHost),
            }
        }
        None => {
            let (host, port) = match s.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (s, None),
            };
            let plain = !host.is_empty()
                && !host.starts_with(['-', '.'])
                && !host.contains("..")
                && host.bytes().all(is_name_byte);
            if !plain {
                return Err(UrlError::BadHost);
            }
            (host, port)
        }
    };
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => match port.parse() {
            Ok(0) | Err(_) => return Err(UrlError::BadPort),
            Ok(port) => Some(port),
        },
        Some(_) => return Err(UrlError::BadPort),
    };
    Ok((host, port))
}

fn check_escapes(path: &str) -> Result<(), UrlError> {
    let mut pieces = path.split('%');
    pieces.next();
    for piece in pieces {
        let byte = piece
            .get(..2)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or(UrlError::BadEscape)?;
        if byte.is_ascii_control() {
            return Err(UrlError::BadEscape);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Allowed = Allowed {
        ssh: true,
        insecure: true,
    };

    fn parse(s: &str) -> Result<RepoUrl, UrlError> {
        RepoUrl::parse(s, ALL)
    }

    #[test]
    fn c123_what_may_be_asked() {
        let cases = [
            ("https://example.com/r", "example.com", None),
            ("https://example.com", "example.com", None),
            ("https://example.com/", "example.com", None),
            ("HTTPS://Example.com/R.git", "Example.com", None),
            (
                "https://example.com:8443/a%20b/~u/r.git",
                "example.com",
                Some(8443),
            ),
            ("http://example.com/r", "example.com", None),
            ("ssh://git@example.com:22/r.git", "example.com", Some(22)),
            ("git+ssh://example.com/~u/r", "example.com", None),
            ("https://[2001:db8::1]:8443/r", "2001:db8::1", Some(8443)),
            ("ssh://git@[2001:db8::1]/r", "2001:db8::1", None),
            ("https://under_score.local/r", "under_score.local", None),
            (
                "https://go.googlesource.com/tools",
                "go.googlesource.com",
                None,
            ),
        ];
        for (text, host, port) in cases {
            let url = parse(text).unwrap();
            assert_eq!((url.host(), url.port()), (host, port), "{text}");
            let (scheme, rest) = text.split_once("://").unwrap();
            let lower = format!("{}://{rest}", scheme.to_lowercase());
            assert_eq!(url.as_str(), lower);
            assert_eq!(parse(&lower).unwrap(), url);
        }
    }

    #[test]
    fn c122_c123_what_is_refused() {
        let cases = [
            ("", UrlError::NoScheme),
            ("-uhttps://x.com/", UrlError::LeadingDash),
            ("--upload-pack=touch", UrlError::LeadingDash),
            ("example.com/r", UrlError::NoScheme),
            ("/local/path", UrlError::NoScheme),
            ("//example.com/r", UrlError::NoScheme),
            ("../r", UrlError::NoScheme),
            ("git@example.com:r.git", UrlError::NoScheme),
            ("example.com:r.git", UrlError::NoScheme),
            ("ext::sh", UrlError::NoScheme),
            ("ext::https://x.com/r", UrlError::NoScheme),
            ("fd::7", UrlError::NoScheme),
            ("https::https://x.com/r", UrlError::NoScheme),
            ("file:///etc", UrlError::SchemeRefused("file".into())),
            ("file:/etc", UrlError::SchemeRefused("file".into())),
            ("git://x.com/r", UrlError::SchemeRefused("git".into())),
            ("ftp://x.com/r", UrlError::SchemeRefused("ftp".into())),
            (
                "svn+ssh://x.com/r",
                UrlError::SchemeRefused("svn+ssh".into()),
            ),
            ("https:/x.com/r", UrlError::BadHost),
            ("https:x.com/r", UrlError::BadHost),
            ("https:///r", UrlError::BadHost),
            ("https://-x.com/r", UrlError::BadHost),
            ("ssh://-oProxyCommand=x/r", UrlError::BadHost),
            ("ssh://-x@x.com/r", UrlError::Credentials),
            ("ssh://u:p@x.com/r", UrlError::Credentials),
            ("https://u:@x.com/r", UrlError::Credentials),
            ("https://:p@x.com/r", UrlError::Credentials),
            ("https://@x.com/r", UrlError::Credentials),
            ("https://u@v@x.com/r", UrlError::Credentials),
            ("https://u%00@x.com/r", UrlError::Credentials),
            ("https://u%3@x.com/r", UrlError::Credentials),
            ("http://u:p@x.com/r", UrlError::Credentials),
            ("https://u:p@x.com/r", UrlError::Credentials),
            ("https://x.com:0/r", UrlError::BadPort),
            ("https://x.com:/r", UrlError::BadPort),
            ("https://x.com:65536/r", UrlError::BadPort),
            ("https://x.com:a/r", UrlError::BadPort),
            ("https://x.com:1:2/r", UrlError::BadPort),
            ("https://x..com/r", UrlError::BadHost),
            ("https://.x.com/r", UrlError::BadHost),
            ("https://x%2ecom/r", UrlError::BadHost),
            ("https://[x]/r", UrlError::BadHost),
            ("https://[::1/r", UrlError::BadHost),
            ("https://[::1]x/r", UrlError::BadHost),
            ("https://[fe80::1%25eth0]/r", UrlError::BadHost),
            ("https://x.com/r?a=b", UrlError::QueryOrFragment),
            ("https://x.com?r", UrlError::QueryOrFragment),
            ("https://x.com/r#a", UrlError::QueryOrFragment),
            ("https://x.com/a b", UrlError::BadChar(' ')),
            ("https://x.com/a\nb", UrlError::BadChar('\n')),
            ("https://x.com/a\0b", UrlError::BadChar('\0')),
            ("https://x.com/a\\b", UrlError::BadChar('\\')),
            ("https://x.com/{a}", UrlError::BadChar('{')),
            ("https://x.com/[a]", UrlError::BadChar('[')),
            ("https://x.com/é", UrlError::BadChar('é')),
            ("https://x.com/`a`", UrlError::BadChar('`')),
            ("https://x.com/%", UrlError::BadEscape),
            ("https://x.com/%4", UrlError::BadEscape),
            ("https://x.com/%zz", UrlError::BadEscape),
            ("https://x.com/%0a", UrlError::BadEscape),
            ("https://x.com/%00", UrlError::BadEscape),
            ("https://x.com/%7F", UrlError::BadEscape),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        let long = format!("https://x.com/{}", "a".repeat(MAX_URL));
        assert_eq!(parse(&long), Err(UrlError::TooLong));
    }

    #[test]
    fn a_user_without_a_password_is_left_out_and_known() {
        for (text, plain, user) in [
            (
                "https://org@dev.azure.com/org/proj/_git/repo",
                "https://dev.azure.com/org/proj/_git/repo",
                Some("org"),
            ),
            (
                "https://me%40corp.example@git.example.com:8443/scm/t/r.git",
                "https://git.example.com:8443/scm/t/r.git",
                Some("me@corp.example"),
            ),
            (
                "http://me@[2001:db8::1]/r",
                "http://[2001:db8::1]/r",
                Some("me"),
            ),
            ("https://x.com/r", "https://x.com/r", None),
            ("ssh://git@x.com/r", "ssh://git@x.com/r", None),
        ] {
            let url = parse(text).unwrap();
            assert_eq!((url.as_str(), url.user()), (plain, user), "{text}");
            let host = parse(plain).unwrap().host().to_owned();
            assert_eq!(url.host(), host, "{text}");
        }
    }

    #[test]
    fn c123_schemes_are_off_unless_switched_on() {
        let off = |s| RepoUrl::parse(s, Allowed::default());
        assert!(off("https://x.com/r").is_ok());
        for (text, scheme) in [
            ("http://x.com/r", Scheme::Http),
            ("ssh://x.com/r", Scheme::Ssh),
            ("git+ssh://x.com/r", Scheme::GitSsh),
        ] {
            assert_eq!(off(text), Err(UrlError::SchemeOff(scheme)));
        }
        let ssh = Allowed {
            ssh: true,
            insecure: false,
        };
        let order: Vec<_> = ssh.schemes().map(Scheme::as_str).collect();
        assert_eq!(order, ["https", "git+ssh", "ssh"]);
        let order: Vec<_> = ALL.schemes().map(Scheme::as_str).collect();
        assert_eq!(order, ["https", "http", "git+ssh", "ssh"]);
    }

    proptest! {
        #[test]
        fn what_passes_is_plain(s in "(https|ssh|http|git[+]ssh|file|ext:|)(://|:|)[-@a-z:./%0-9?#\\[\\] ]{0,20}") {
            if let Ok(url) = parse(&s) {
                let text = url.as_str();
                prop_assert!(text.is_ascii() && !text.starts_with('-') && text.contains("://"));
                prop_assert!(!url.host().is_empty() && !url.host().starts_with('-'));
                prop_assert_eq!(parse(text).map(|again| again.text), Ok(url.text.clone()));
                let known = ::url::Url::parse(text).map(|u| u.port_or_known_default());
                if url.scheme() == Scheme::Https {
                    prop_assert_eq!(known, Ok(Some(url.port().unwrap_or(443))));
                }
            }
        }

        #[test]
        fn arbitrary_text_never_panics(s in "\\PC{0,40}") {
            let _ = parse(&s);
        }
    }
}
