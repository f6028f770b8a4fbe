//! A text that must not be seen.

use std::fmt;

/// A password or token. `Debug` and `Display` print `***`; only [`Secret::expose`] gives the text,
/// so every place that uses it can be found by that name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What is shown in its place.
    pub(super) const MASK: &str = "***";

    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be sent where it belongs and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

/// Replaces the user information of every URL in a text by `***`: `https://me:pw@host` becomes
/// `https://***@host`. Chains of upstreams may carry credentials, and they are shown in messages.
pub(super) fn mask_user_info(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end = after
            .find(|c: char| matches!(c, '/' | ',' | '|' | '?' | '#' | '"') || c.is_whitespace())
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rfind('@') {
            Some(sign) => {
                masked.push_str(Secret::MASK);
                masked.push_str(&authority[sign..]);
            }
            None => masked.push_str(authority),
        }
        rest = tail;
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "*** *** Some(***)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn user_information_is_masked_in_every_url() {
        for (text, masked) in [
            ("", ""),
            ("https://a.example,direct", "https://a.example,direct"),
            ("https://me:pw@a.example/x", "https://***@a.example/x"),
            ("https://token@a.example", "https://***@a.example"),
            (
                "https://a:b@x.example|https://c:d@y.example,direct",
                "https://***@x.example|https://***@y.example,direct",
            ),
            ("https://a:p@ss@x.example", "https://***@x.example"),
            ("https://a.example/me@there", "https://a.example/me@there"),
            ("see git@host:path", "see git@host:path"),
        ] {
            assert_eq!(mask_user_info(text), masked);
        }
    }
}
