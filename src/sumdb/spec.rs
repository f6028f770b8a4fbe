//! Which database: the syntax of GOSUMDB (protocol.md 4.6).

use std::fmt;

use thiserror::Error;
use url::Url;

use super::key::{KeyError, VerifierKey};

/// Databases whose keys everybody knows; these are constants of the ecosystem (`cmd/go`'s `knownGOSUMDB`).
const KNOWN: &[(&str, &str)] = &[(
    "sum.golang.org",
    "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
)];
/// A name that stands for another database and a place to reach it.
const ALIAS: (&str, &str) = (
    "sum.golang.google.cn",
    "sum.golang.org https://sum.golang.google.cn",
);

/// A checksum database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSpec {
    /// What verifies it.
    pub key: VerifierKey,
    /// The only place to ask, if one is given.
    pub url: Option<Url>,
}

/// What is wrong with a database's description.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpecError {
    /// Nothing there.
    #[error("it names no database")]
    Empty,
    /// More than key and URL.
    #[error("it has more than a name or key and a URL")]
    TooMany,
    /// A name without a key.
    #[error("the key of {0:?} is not known; write it as name+hash+key")]
    UnknownName(String),
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The name must be a host, with a path perhaps, because the database is reached there.
    #[error("{0:?} cannot be the name of a database: it is not a host and path")]
    Name(String),
    #[error("{0:?} is not an http or https URL")]
    Url(String),
}

impl DatabaseSpec {
    /// Reads `name`, `name+hash+key`, or either with a URL after it.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let text = if text.trim() == ALIAS.0 {
            ALIAS.1
        } else {
            text
        };
        let mut words = text.split_whitespace();
        let key = words.next().ok_or(SpecError::Empty)?;
        let url = words.next().map(url).transpose()?;
        if words.next().is_some() {
            return Err(SpecError::TooMany);
        }
        let key = match KNOWN.iter().find(|(name, _)| *name == key) {
            Some((_, key)) => key,
            None if !key.contains('+') => return Err(SpecError::UnknownName(key.to_owned())),
            None => key,
        };
        let key = VerifierKey::parse(key)?;
        if own_url(key.name()).is_none() {
            return Err(SpecError::Name(key.name().to_owned()));
        }
        Ok(DatabaseSpec { key, url })
    }

    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// Where the database itself is.
    pub fn own_url(&self) -> Option<Url> {
        own_url(self.name())
    }
}

/// `https://name`, if that is nothing but a host and a path.
fn own_url(name: &str) -> Option<Url> {
    let plain = !name.ends_with('/')
        && !name.contains("//")
        && !name.split('/').any(|part| matches!(part, "." | ".."))
        && !name.contains(|c: char| c.is_control() || matches!(c, '@' | '?' | '#' | '\\' | '%'));
    let url = Url::parse(&format!("https://{name}")).ok()?;
    let host = url.host_str().is_some_and(|host| !host.is_empty());
    (plain && host && !name.starts_with('/')).then_some(url)
}

fn url(text: &str) -> Result<Url, SpecError> {
    // The text may hold a password.
    let bad = || SpecError::Url(text.rsplit('@').next().unwrap_or_default().to_owned());
    let url = Url::parse(text).map_err(|_| bad())?;
    let fits = matches!(url.scheme(), "http" | "https")
        && url.query().is_none()
        && url.fragment().is_none();
    if fits { Ok(url) } else { Err(bad()) }
}

/// As GOSUMDB would say it, the key written out only where it is not known; credentials masked.
impl fmt::Display for DatabaseSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.to_string();
        match KNOWN.iter().find(|(_, known)| *known == key) {
            Some((name, _)) => f.write_str(name)?,
            None => f.write_str(&key)?,
        }
        let Some(url) = &self.url else { return Ok(()) };
        let mut shown = url.clone();
        if !url.username().is_empty() || url.password().is_some() {
            // Neither fails for http and https.
            let _ = shown.set_username("***");
            let _ = shown.set_password(None);
        }
        write!(f, " {shown}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str =
        "localhost.localdev/sumdb+00000c67+AcTrnkbUA+TU4heY3hkjiSES/DSQniBqIeQ/YppAUtK6";

    #[test]
    fn as_gosumdb_is_written() {
        let spec = DatabaseSpec::parse("sum.golang.org").unwrap();
        assert_eq!((spec.name(), &spec.url), ("sum.golang.org", &None));
        assert_eq!(spec.own_url().unwrap().as_str(), "https://sum.golang.org/");
        let alias = DatabaseSpec::parse("sum.golang.google.cn").unwrap();
        assert_eq!(
            alias.to_string(),
            "sum.golang.org https://sum.golang.google.cn/"
        );
        let test = DatabaseSpec::parse(&format!(" {TEST}  http://127.0.0.1:8080/db ")).unwrap();
        assert_eq!(test.name(), "localhost.localdev/sumdb");
        assert_eq!(test.url.unwrap().as_str(), "http://127.0.0.1:8080/db");
        assert_eq!(DatabaseSpec::parse(TEST).unwrap().to_string(), TEST);
    }

    #[test]
    fn c75_only_names_that_can_be_reached() {
        let bad = |text: &str| DatabaseSpec::parse(text).unwrap_err();
        assert_eq!(bad(""), SpecError::Empty);
        assert_eq!(
            bad("sum.example.com"),
            SpecError::UnknownName("sum.example.com".into())
        );
        assert_eq!(bad(&format!("{TEST} http://a b")), SpecError::TooMany);
        assert!(matches!(bad(&format!("{TEST} ftp://a")), SpecError::Url(_)));
        assert!(
            !bad(&format!("{TEST} ftp://u:secret@a"))
                .to_string()
                .contains("secret")
        );
        for name in ["a/", "/a", "a//b", "a/../b", "u@a", "a?b", "a#b", "a%2fb"] {
            assert_eq!(own_url(name), None, "{name}");
        }
    }
}
