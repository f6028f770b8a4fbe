//! The syntax of GOPROXY, read as the `go` command reads it.

use std::fmt;

use thiserror::Error;
use url::Url;

/// When the source after this one is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fall {
    /// `,`: only when this one says 404 or 410.
    NotFound,
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
pub struct ChainSpec(Vec<(SourceSpec, Fall)>);

/// What is wrong with a chain.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ChainError {
    /// Nothing but separators.
    #[error(
        "the chain names no source; write it as in GOPROXY: \"https://proxy.example.com,direct\""
    )]
    Empty,
    /// Not a URL.
    #[error("{0:?} is neither a URL nor one of direct, off")]
    Entry(String),
    /// Not http, https or file.
    #[error("{0:?}: only https, http and file URLs can be asked")]
    Scheme(String),
    /// A password in the clear.
    #[error("{0:?}: user name and password are used over https only")]
    Credentials(String),
}

impl ChainSpec {
    /// Reads a chain (`cmd/go/internal/modfetch/proxy.go`, `proxyList`).
    pub fn parse(text: &str) -> Result<Self, ChainError> {
        let mut sources = Vec::new();
        for piece in text.split_inclusive([',', '|']) {
            let (entry, fall) = match piece.strip_suffix('|') {
                Some(entry) => (entry, Fall::AnyError),
                None => (piece.strip_suffix(',').unwrap_or(piece), Fall::NotFound),
            };
            match entry.trim() {
                "" => {}
                // Entries after these two are ignored, as `go` does.
                "off" => {
                    sources.push((SourceSpec::Off, fall));
                    break;
                }
                "direct" => {
                    sources.push((SourceSpec::Direct, fall));
                    break;
                }
                url => sources.push((SourceSpec::Proxy(proxy_url(url)?), fall)),
            }
        }
        if sources.is_empty() {
            Err(ChainError::Empty)
        } else {
            Ok(ChainSpec(sources))
        }
    }

    /// Only straight from version control.
    pub fn direct() -> Self {
        ChainSpec(vec![(SourceSpec::Direct, Fall::NotFound)])
    }

    /// The sources in order, each with what lets the next one be asked.
    pub fn sources(&self) -> &[(SourceSpec, Fall)] {
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
    let wants_scheme =
        text.contains(['.', ':', '/']) && !text.contains(":/") && !text.starts_with('/');
    let full = if wants_scheme {
        format!("https://{text}")
    } else {
        text.to_owned()
    };
    let mut url = Url::parse(&full).map_err(|_| ChainError::Entry(text.to_owned()))?;
    match url.scheme() {
        "https" | "file" => {}
        "http" if url.username().is_empty() && url.password().is_none() => {}
        "http" => {
            let host = url.host_str().unwrap_or_default().to_owned();
            return Err(ChainError::Credentials(format!("http://…@{host}")));
        }
        _ => return Err(ChainError::Scheme(text.to_owned())),
    }
    if url.scheme() != "file" && url.host_str().is_none_or(str::is_empty) {
        return Err(ChainError::Entry(text.to_owned()));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
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
        for (source, fall) in &self.0 {
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
            separator = match fall {
                Fall::NotFound => ",",
                Fall::AnyError => "|",
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
        ] {
            assert!(ChainSpec::parse(bad).is_err(), "{bad}");
        }
        assert!(!shown("http://user:pw@a.example.com").contains("pw"));
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
