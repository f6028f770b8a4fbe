//! How rules name callers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

use super::caller::{Caller, Identity, Proof};

/// Callers, as a rule names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerPattern {
    /// Everyone.
    Anyone,
    /// Everyone who comes from there.
    Address(IpNet),
    /// Everyone who belongs to it.
    Group(Wildcard),
    /// Everyone whose identity reads so.
    Identity(Wildcard),
}

/// Why a text names no callers; the end of a sentence that begins with it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadCallerPattern {
    #[error(
        "names no caller; write \"anyone\", or \"token:NAME\", \"oidc:PROVIDER:NAME\", \"cert:NAME\", \"group:NAME\" (a * in a name stands for anything), or \"address:NETWORK\""
    )]
    Kind,
    #[error("is no network; write \"address:10.0.0.0/8\", or an address alone")]
    Network,
    #[error("names nobody: there is no name after the colon")]
    Empty,
    #[error("needs the provider's name as well; write \"oidc:PROVIDER:NAME\"")]
    Provider,
}

impl FromStr for CallerPattern {
    type Err = BadCallerPattern;

    fn from_str(text: &str) -> Result<Self, BadCallerPattern> {
        if text == "anyone" {
            return Ok(CallerPattern::Anyone);
        }
        let (kind, name) = text.split_once(':').ok_or(BadCallerPattern::Kind)?;
        if !matches!(kind, "token" | "oidc" | "cert" | "group" | "address") {
            return Err(BadCallerPattern::Kind);
        }
        if name.is_empty() {
            return Err(BadCallerPattern::Empty);
        }
        match kind {
            "address" => {
                let network = name.parse::<IpNet>();
                let network = network.or_else(|_| name.parse::<IpAddr>().map(IpNet::from));
                let network = network.map_err(|_| BadCallerPattern::Network)?;
                Ok(CallerPattern::Address(network))
            }
            "group" => Ok(CallerPattern::Group(Wildcard::new(name))),
            "oidc" if name.split_once(':').is_none_or(|(_, id)| id.is_empty()) => {
                Err(BadCallerPattern::Provider)
            }
            _ => Ok(CallerPattern::Identity(Wildcard::new(text))),
        }
    }
}

impl fmt::Display for CallerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallerPattern::Anyone => f.write_str("anyone"),
            CallerPattern::Address(network) => write!(f, "address:{network}"),
            CallerPattern::Group(name) => write!(f, "group:{name}"),
            CallerPattern::Identity(text) => text.fmt(f),
        }
    }
}

impl CallerPattern {
    /// Whether it names this caller.
    pub fn names(&self, caller: &Caller) -> bool {
        match self {
            CallerPattern::Address(network) => caller
                .address
                .is_some_and(|address| network.contains(&address.to_canonical())),
            _ => self.may_name(caller.identity()),
        }
    }

    /// Whether it can name this one, or a stranger, wherever they come from.
    pub fn may_name(&self, identity: Option<&Identity>) -> bool {
        match self {
            CallerPattern::Anyone | CallerPattern::Address(_) => true,
            CallerPattern::Group(name) => {
                identity.is_some_and(|it| it.groups.iter().any(|group| name.matches(&[group])))
            }
            CallerPattern::Identity(text) => identity.is_some_and(|it| match &it.proof {
                Proof::Token(name) => text.matches(&["token:", name]),
                Proof::Oidc { provider, id } => text.matches(&["oidc:", provider, ":", id]),
                Proof::Certificate(name) => text.matches(&["cert:", name]),
            }),
        }
    }

    /// The OpenID provider whose callers it names, if it names one without a wildcard.
    pub fn provider(&self) -> Option<&str> {
        let CallerPattern::Identity(text) = self else {
            return None;
        };
        let (provider, _) = text.0.strip_prefix("oidc:")?.split_once(':')?;
        (!provider.contains('*')).then_some(provider)
    }
}

/// A text in which each `*` stands for any run of characters, also for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard(String);

impl Wildcard {
    pub fn new(text: &str) -> Self {
        Wildcard(text.to_owned())
    }

    /// Whether these pieces, one after the other, read so. They are not joined: hits come here.
    pub fn matches(&self, pieces: &[&str]) -> bool {
        let mut bytes = pieces.iter().flat_map(|piece| piece.bytes());
        let Some((head, rest)) = self.0.split_once('*') else {
            return bytes.eq(self.0.bytes());
        };
        if !head.bytes().all(|expected| bytes.next() == Some(expected)) {
            return false;
        }
        if rest.is_empty() {
            return true;
        }
        let left: Vec<u8> = bytes.collect();
        matches_rest(rest, &left)
    }
}

impl fmt::Display for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What follows a `*`: each part but the last where it is found first, the last at the end.
fn matches_rest(pattern: &str, mut text: &[u8]) -> bool {
    let mut parts = pattern.split('*').peekable();
    while let Some(part) = parts.next() {
        let part = part.as_bytes();
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        if part.is_empty() {
            continue;
        }
        match text.windows(part.len()).position(|at| at == part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::caller::Standing;
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn known(proof: Proof, groups: &[&str]) -> Caller {
        Caller {
            address: Some([10, 1, 2, 3].into()),
            standing: Standing::Known(Arc::new(
                Identity::by(proof)
                    .in_groups(groups.iter().map(|&group| group.to_owned()).collect()),
            )),
        }
    }

    #[test]
    fn rules_name_callers() {
        let token = known(Proof::Token("ci-7".into()), &[]);
        let provider: Arc<str> = "github".into();
        let id = "acme/app".into();
        let oidc = known(Proof::Oidc { provider, id }, &["dev"]);
        let cert = known(Proof::Certificate("spiffe://acme/build".into()), &[]);
        let stranger = Caller {
            address: Some("::ffff:10.1.2.3".parse().unwrap()),
            standing: Standing::Stranger { showed: None },
        };
        for (pattern, callers) in [
            ("anyone", [true, true, true, true]),
            ("address:10.0.0.0/8", [true, true, true, true]),
            ("address:10.1.2.3", [true, true, true, true]),
            ("address:10.1.2.4", [false, false, false, false]),
            ("token:ci-7", [true, false, false, false]),
            ("token:ci-*", [true, false, false, false]),
            ("token:*7", [true, false, false, false]),
            ("token:ci", [false, false, false, false]),
            ("token:*", [true, false, false, false]),
            ("oidc:github:acme/*", [false, true, false, false]),
            ("oidc:*:acme/app", [false, true, false, false]),
            ("oidc:gitlab:*", [false, false, false, false]),
            ("cert:spiffe://acme/*", [false, false, true, false]),
            ("group:dev", [false, true, false, false]),
            ("group:d*v", [false, true, false, false]),
            ("group:de", [false, false, false, false]),
        ] {
            let parsed: CallerPattern = pattern.parse().unwrap();
            for (caller, named) in [&token, &oidc, &cert, &stranger].into_iter().zip(callers) {
                assert_eq!(parsed.names(caller), named, "{pattern} {caller:?}");
            }
        }
        // Nobody in the background has an address.
        let anyone: CallerPattern = "address:0.0.0.0/0".parse().unwrap();
        assert!(!anyone.names(&Caller::default()));
    }

    #[test]
    fn what_names_no_caller_is_told() {
        use BadCallerPattern as Bad;
        for (text, bad) in [
            ("", Bad::Kind),
            ("ci", Bad::Kind),
            ("*", Bad::Kind),
            ("user:ci", Bad::Kind),
            ("Token:ci", Bad::Kind),
            ("token:", Bad::Empty),
            ("address:example.com", Bad::Network),
            ("address:10.0.0.0/33", Bad::Network),
            ("oidc:github", Bad::Provider),
            ("oidc:github:", Bad::Provider),
        ] {
            assert_eq!(text.parse::<CallerPattern>(), Err(bad), "{text}");
        }
        let written = ["anyone", "address:10.0.0.0/8", "group:x", "oidc:a:b*"];
        for text in written {
            assert_eq!(text.parse::<CallerPattern>().unwrap().to_string(), text);
        }
        let provider = |text: &str| {
            let pattern: CallerPattern = text.parse().unwrap();
            pattern.provider().map(str::to_owned)
        };
        assert_eq!(provider("oidc:github:*").as_deref(), Some("github"));
        assert_eq!(provider("oidc:*:x"), None);
        assert_eq!(provider("token:x"), None);
    }

    /// By every way to place what the stars stand for.
    fn plainly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                plainly(rest, text) || text.split_first().is_some_and(|(_, t)| plainly(pattern, t))
            }
            (Some((p, rest)), Some((t, text))) => p == t && plainly(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn stars_stand_for_anything(pattern in "[ab*]{0,6}", text in "[ab]{0,8}", cut in 0..9usize) {
            let expected = plainly(pattern.as_bytes(), text.as_bytes());
            let (one, two) = text.split_at(cut.min(text.len()));
            prop_assert_eq!(Wildcard::new(&pattern).matches(&[one, two]), expected);
        }
    }
}
