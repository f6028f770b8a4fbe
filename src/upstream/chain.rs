//! The syntax of GOPROXY, read as the `go` command reads it.

use std::fmt;

use thiserror::Error;
use url::Url;

/// When the source after this one is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// `,`: only when this one says 404 or 410.
    NotFoundOnly,
    /// `|`: at any error.
    AnyError,
}

/// Where a module may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// Another GOPROXY.
    Proxy(Url),
    /// Straight from version control.
    Direct,
    /// Nowhere: ends the chain.
    Off,
}

/// A chain of sources, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec(Vec<(SourceSpec, OnFailure)>);

/// What is wrong with a chain.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ChainError {
    /// Nothing but separators.
    #[error(
        "the chain names no source; write it as in GOPROXY: \"https://proxy.example.com,direct\""
    )]
    Empty,
    /// Not a URL.
    #[error("{entry:?} is neither a URL nor one of direct, off{}", did_you_mean(.meant))]
    Entry {
        /// As it was written.
        entry: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// Another separator than those two.
    #[error(
        "{entry:?} has a separator in it that is none; entries are separated by \",\" (the next one is asked at 404 and 410) or \"|\" (at any error){}",
        did_you_mean(.meant)
    )]
    Separator {
        /// As it was written.
        entry: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// Not http, https or file.
    #[error("{0:?}: only https, http and file URLs can be asked")]
    Scheme(String),
    /// A password in the clear.
    #[error("{0:?}: user name and password are used over https only")]
    Credentials(String),
}

/// The end of a sentence about a mistake.
fn did_you_mean(meant: &Option<String>) -> String {
    let meant = meant.as_ref();
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant:?}?"))
}

impl ChainSpec {
    /// Reads a chain (`cmd/go/internal/modfetch/proxy.go`, `proxyList`). Entries behind `off` and `direct` are ignored,
    /// as `go` does.
    pub fn parse(text: &str) -> Result<Self, ChainError> {
        Ok(Self::read(text)?.0)
    }

    /// What is odd about the text of a chain and no error, a sentence each: the `go` command takes it without a word.
    pub fn oddities(text: &str) -> Vec<String> {
        let Ok((chain, rest)) = Self::read(text) else {
            return Vec::new();
        };
        let again = chain.repeated().into_iter().map(|name| {
            format!(
                "{name} stands in the chain more than once; asking it again gives the same answer"
            )
        });
        let mut odd: Vec<_> = again.collect();
        let rest = rest.split([',', '|']).map(str::trim);
        let rest: Vec<_> = rest.filter(|it| !it.is_empty()).map(masked).collect();
        if !rest.is_empty() {
            let end = match chain.0.last() {
                Some((SourceSpec::Off, _)) => "off",
                _ => "direct",
            };
            odd.push(format!(
                "{end:?} ends the chain, so that nothing behind it is ever asked ({}); leave out what follows, or put {end:?} last",
                rest.join(", ")
            ));
        }
        odd
    }

    /// A chain, and the text behind its end.
    fn read(text: &str) -> Result<(Self, &str), ChainError> {
        let mut sources = Vec::new();
        let mut rest = text;
        for piece in text.split_inclusive([',', '|']) {
            rest = rest.strip_prefix(piece).unwrap_or_default();
            let (entry, on_failure) = match piece.strip_suffix('|') {
                Some(entry) => (entry, OnFailure::AnyError),
                None => (
                    piece.strip_suffix(',').unwrap_or(piece),
                    OnFailure::NotFoundOnly,
                ),
            };
            match entry.trim() {
                "" => {}
                "off" => {
                    sources.push((SourceSpec::Off, on_failure));
                    return Ok((ChainSpec(sources), rest));
                }
                "direct" => {
                    sources.push((SourceSpec::Direct, on_failure));
                    return Ok((ChainSpec(sources), rest));
                }
                url => sources.push((SourceSpec::Proxy(proxy_url(url)?), on_failure)),
            }
        }
        if sources.is_empty() {
            Err(ChainError::Empty)
        } else {
            Ok((ChainSpec(sources), ""))
        }
    }

    /// The upstreams that stand in the chain more than once.
    pub fn repeated(&self) -> Vec<String> {
        let same = |one: &Url, other: &Url| {
            let bare = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
            bare(one) == bare(other)
        };
        let mut seen: Vec<&Url> = Vec::new();
        let mut repeated = Vec::new();
        for url in self.proxies() {
            if seen.iter().any(|known| same(known, url)) {
                repeated.push(label(url));
            }
            seen.push(url);
        }
        repeated
    }

    /// Only straight from version control.
    pub fn direct() -> Self {
        ChainSpec(vec![(SourceSpec::Direct, OnFailure::NotFoundOnly)])
    }

    /// From nowhere.
    pub fn off() -> Self {
        ChainSpec(vec![(SourceSpec::Off, OnFailure::NotFoundOnly)])
    }

    /// The sources in order, each with what lets the next one be asked.
    pub fn sources(&self) -> &[(SourceSpec, OnFailure)] {
        &self.0
    }

    /// The upstreams in the chain.
    pub fn proxies(&self) -> impl Iterator<Item = &Url> {
        self.0.iter().filter_map(|(source, _)| match source {
            SourceSpec::Proxy(url) => Some(url),
            SourceSpec::Direct | SourceSpec::Off => None,
        })
    }

    /// The chain without the upstreams that `unwanted` names; `None` if none of its upstreams is left.
    pub fn without(&self, unwanted: impl Fn(&Url) -> bool) -> Option<Self> {
        let had_proxies = self.proxies().next().is_some();
        let left: Vec<_> = self
            .0
            .iter()
            .filter(|(source, _)| !matches!(source, SourceSpec::Proxy(url) if unwanted(url)))
            .cloned()
            .collect();
        let chain = ChainSpec(left);
        let has_proxies = chain.proxies().next().is_some();
        (has_proxies || (!had_proxies && !chain.0.is_empty())).then_some(chain)
    }
}

fn proxy_url(text: &str) -> Result<Url, ChainError> {
    let wrong = || ChainError::Entry {
        entry: masked(text),
        meant: meant_entry(text),
    };
    if let Some(error) = separators(text) {
        return Err(error);
    }
    let wants_scheme =
        text.contains(['.', ':', '/']) && !text.contains(":/") && !text.starts_with('/');
    let full = if wants_scheme {
        format!("https://{text}")
    } else {
        text.to_owned()
    };
    let mut url = Url::parse(&full).map_err(|_| wrong())?;
    match url.scheme() {
        "https" | "file" => {}
        "http" if url.username().is_empty() && url.password().is_none() => {}
        "http" => {
            let host = url.host_str().unwrap_or_default().to_owned();
            return Err(ChainError::Credentials(format!("http://…@{host}")));
        }
        _ => return Err(ChainError::Scheme(masked(text))),
    }
    // Leniently read, some of what people write by mistake is a URL as well: `https:/host`, `https://https://host`.
    let after_scheme = full.split_once(':').map_or("", |(_, rest)| rest);
    let is_plain = after_scheme.starts_with("//") && !after_scheme[2..].contains("://");
    let has_host = match url.scheme() {
        "file" => url.host_str().is_none() && after_scheme.starts_with("///"),
        _ => url.host_str().is_some_and(is_host),
    };
    if !is_plain || !has_host {
        return Err(wrong());
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// A name that can stand for a machine, or an address.
fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return true;
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    host.strip_suffix('.')
        .unwrap_or(host)
        .split('.')
        .all(is_label)
}

/// Tells an entry that is several, separated by what is no separator. A semicolon may stand in a path.
fn separators(text: &str) -> Option<ChainError> {
    let pieces = text.split(|c: char| c.is_whitespace() || c == ';');
    let pieces: Vec<_> = pieces.filter(|it| !it.is_empty()).collect();
    let is_entry = |it: &&str| matches!(*it, "direct" | "off") || it.contains("://");
    let in_host = {
        let host = text.split_once("://").map_or(text, |(_, rest)| rest);
        host.split('/').next().unwrap_or_default().contains(';')
    };
    let is_wrong = text.contains(char::is_whitespace)
        || in_host
        || (pieces.len() > 1 && pieces.iter().skip(1).any(is_entry));
    let joined = || {
        let joined = pieces.join(",");
        ChainSpec::parse(&joined).ok().map(|_| masked_each(&joined))
    };
    is_wrong.then(|| ChainError::Separator {
        entry: masked_each(text),
        meant: joined(),
    })
}

/// What a wrong entry was probably meant to be.
fn meant_entry(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    for word in ["direct", "off"] {
        let is_near = lower == word
            || (word == "direct" && (4..=8).contains(&lower.len()) && lower.starts_with("dir"));
        if is_near {
            return Some(word.to_owned());
        }
    }
    if text.starts_with('/') {
        return Some(format!("file://{text}"));
    }
    let (scheme, _) = text.split_once(':')?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https" | "file") {
        return None;
    }
    let last = text.rsplit_once("://").map_or_else(
        || text.split_once(':').map_or("", |(_, it)| it),
        |(_, it)| it,
    );
    let last = last.trim_start_matches('/');
    let meant = match scheme.as_str() {
        "file" => format!("file:///{last}"),
        scheme => format!("{scheme}://{last}"),
    };
    (meant != text && proxy_url(&meant).is_ok()).then(|| masked(&meant))
}

/// An entry without its credentials.
fn masked(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// The same for what is several entries.
fn masked_each(text: &str) -> String {
    let separators = |c: char| c.is_whitespace() || matches!(c, ',' | '|' | ';');
    let pieces = text.split_inclusive(separators);
    pieces.map(masked).collect()
}

/// Host, port and path of an upstream, for people: never its credentials.
pub fn label(url: &Url) -> String {
    let path = url.path().trim_end_matches('/');
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}{path}"),
        (Some(host), None) => format!("{host}{path}"),
        (None, _) => format!("file://{path}"),
    }
}

/// As GOPROXY would say it, credentials masked.
impl fmt::Display for ChainSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (source, on_failure) in &self.0 {
            f.write_str(separator)?;
            match source {
                SourceSpec::Direct => f.write_str("direct")?,
                SourceSpec::Off => f.write_str("off")?,
                SourceSpec::Proxy(url) => {
                    let user = if url.username().is_empty() && url.password().is_none() {
                        ""
                    } else {
                        "***@"
                    };
                    let slashes = if url.scheme() == "file" { "" } else { "://" };
                    let scheme = if url.scheme() == "file" {
                        ""
                    } else {
                        url.scheme()
                    };
                    write!(f, "{scheme}{slashes}{user}{}", label(url))?;
                }
            }
            separator = match on_failure {
                OnFailure::NotFoundOnly => ",",
                OnFailure::AnyError => "|",
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        ChainSpec::parse(text)
            .map_or_else(|error| format!("error: {error}"), |chain| chain.to_string())
    }

    #[test]
    fn c39_read_as_go_reads_it() {
        assert_eq!(
            shown("https://a.example.com,direct"),
            "https://a.example.com,direct"
        );
        assert_eq!(
            shown(" https://a.example.com | b.example.com/x/ ,off,https://c"),
            "https://a.example.com|https://b.example.com/x,off"
        );
        assert_eq!(shown("direct,https://never.example.com"), "direct");
        assert_eq!(shown(",,https://a.example.com,,"), "https://a.example.com");
        assert_eq!(shown("file:///srv/modules"), "file:///srv/modules");
        assert_eq!(
            shown("https://user:secret@a.example.com"),
            "https://***@a.example.com"
        );
        for bad in [
            "",
            ",",
            "|",
            "nonsense",
            "ftp://a.example.com",
            "http://user:pw@a.example.com",
            "https://",
            "https:a.example.com",
            "https:/a.example.com",
            "https://a..example.com",
            "https://.example.com",
            "https://a.example.com:port",
            "file://host/modules",
            "file:modules",
            "/srv/modules",
            "Direct",
        ] {
            assert!(ChainSpec::parse(bad).is_err(), "{bad}");
        }
        assert!(!shown("http://user:pw@a.example.com").contains("pw"));
    }

    #[test]
    fn entries_for_nothing_are_told_of() {
        assert!(ChainSpec::oddities("https://a.example.com,,direct,").is_empty());
        for (text, end, rest) in [
            (
                "direct,https://a.example.com",
                "direct",
                "https://a.example.com",
            ),
            ("off,direct", "off", "direct"),
            ("https://a.example.com|direct|off", "direct", "off"),
            ("off,https://u:pw@a.example.com", "off", "***@a.example.com"),
        ] {
            let said = ChainSpec::oddities(text).join("; ");
            assert!(said.contains(&format!("{end:?} ends the chain")), "{said}");
            assert!(said.contains(rest) && !said.contains("pw"), "{said}");
        }
    }

    #[test]
    fn what_was_meant_is_told() {
        for (text, meant) in [
            (
                "https://a.example.com;direct",
                "https://a.example.com,direct",
            ),
            (
                "https://a.example.com/;direct",
                "https://a.example.com/,direct",
            ),
            (
                "https://a.example.com direct",
                "https://a.example.com,direct",
            ),
            (
                "https://a.example.com/x https://b.example.com",
                "https://a.example.com/x,https://b.example.com",
            ),
            (
                "https://u:pw@a.example.com;off",
                "https://***@a.example.com,off",
            ),
            ("dirct", "direct"),
            ("OFF", "off"),
            ("/srv/modules", "file:///srv/modules"),
            ("https:/a.example.com", "https://a.example.com"),
            ("https://https://a.example.com/x", "https://a.example.com/x"),
            ("file:srv/modules", "file:///srv/modules"),
        ] {
            let said = shown(text);
            assert!(
                said.contains(&format!("did you mean {meant:?}?")),
                "{text}: {said}"
            );
            assert!(!said.contains("pw"), "{said}");
        }
        // A semicolon in a path is one.
        assert_eq!(
            shown("https://a.example.com/x;y=1"),
            "https://a.example.com/x;y=1"
        );
    }

    #[test]
    fn upstreams_that_stand_there_twice() {
        let chain = ChainSpec::parse(
            "https://a.example.com|https://b.example.com,https://A.example.com/,direct",
        );
        assert_eq!(chain.unwrap().repeated(), ["a.example.com"]);
    }

    #[test]
    fn without_drops_an_upstream_or_the_chain() {
        let chain = ChainSpec::parse("http://127.0.0.1:3080,https://b.example.com,direct").unwrap();
        let local = |url: &Url| url.port() == Some(3080);
        assert_eq!(
            chain.without(local).unwrap().to_string(),
            "https://b.example.com,direct"
        );
        assert_eq!(
            ChainSpec::parse("http://127.0.0.1:3080,direct")
                .unwrap()
                .without(local),
            None
        );
        assert_eq!(
            ChainSpec::parse("direct").unwrap().without(local).unwrap(),
            ChainSpec::direct()
        );
    }
}
