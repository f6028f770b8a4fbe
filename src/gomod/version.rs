//! Module versions: what may stand between `@v/` and the extension (protocol.md 2.3 to 2.5).

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use super::semver;
use super::{ModulePath, escape, path};

/// Longest version string in its escaped form: with the longest extension it is kept under
/// (`.ziphash`) it fills one file name of 255 bytes.
pub const MAX_VERSION: usize = path::MAX_ELEMENT - ".ziphash".len();

/// Why a version string is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// x/mod/semver `IsValid`.
    #[error("the version is not a semantic version such as v1.2.3")]
    NotSemver,
    /// x/mod/module `CanonicalVersion`.
    #[error("the version is not in canonical form, which would be {0}")]
    NotCanonical(String),
    /// x/mod/module `EscapeVersion`.
    #[error("disallowed version string: it must be a plain file name of ASCII characters")]
    Disallowed,
    /// x/mod/module `unescapeString`.
    #[error("an upper-case letter must be escaped as \"!\" and its lower-case form")]
    BadEscape,
    /// design.md 9.
    #[error("the version is too long (over {MAX_VERSION} bytes)")]
    TooLong,
}

/// x/mod/module `EscapeVersion` without the escaping, and the bound on length.
pub(super) fn check_version_element(version: &str) -> Result<(), VersionError> {
    // The length first: the other texts would repeat what is far too long.
    if escape::banged_len(version) > MAX_VERSION {
        return Err(VersionError::TooLong);
    }
    if !path::is_version_element(version) {
        return Err(VersionError::Disallowed);
    }
    Ok(())
}

/// x/mod/module `CanonicalVersion`: full form, build metadata dropped except `+incompatible`.
pub fn canonical_version(v: &str) -> Option<String> {
    let mut canonical = semver::canonical(v)?;
    if semver::build(v) == INCOMPATIBLE {
        canonical.push_str(INCOMPATIBLE);
    }
    Some(canonical)
}

const INCOMPATIBLE: &str = "+incompatible";

/// A canonical module version: full semver whose only build metadata may be `+incompatible`.
/// Ordered by semver precedence, ties (with and without `+incompatible`) by plain text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(Arc<str>);

impl Version {
    /// Accepts a version that is its own canonical form (x/mod/module `CanonicalVersion`).
    pub fn parse(s: &str) -> Result<Self, VersionError> {
        if s.len() > MAX_VERSION {
            return Err(VersionError::TooLong);
        }
        let canonical = canonical_version(s).ok_or(VersionError::NotSemver)?;
        if canonical != s {
            return Err(VersionError::NotCanonical(canonical));
        }
        check_version_element(s)?;
        Ok(Self(s.into()))
    }

    /// The canonical form of any semantic version: `v1` gives `v1.0.0`, `v1.2.3+meta` `v1.2.3`.
    pub fn canonicalize(s: &str) -> Result<Self, VersionError> {
        Self::parse(&canonical_version(s).ok_or(VersionError::NotSemver)?)
    }

    /// The version in plain text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version with every `X` as `!x`.
    pub fn escaped(&self) -> Cow<'_, str> {
        escape::bang(&self.0)
    }

    /// Whether the version names a commit rather than a tag (protocol.md 2.4).
    pub fn is_pseudo(&self) -> bool {
        is_pseudo_version(&self.0)
    }

    /// Whether there is a pre-release part, as in `v1.2.3-rc.1` and all pseudo-versions.
    pub fn is_prerelease(&self) -> bool {
        !semver::prerelease(&self.0).is_empty()
    }

    /// Whether this is a v2 or later without go.mod (`v2.0.0+incompatible`).
    pub fn is_incompatible(&self) -> bool {
        self.0.ends_with(INCOMPATIBLE)
    }

    /// `v2` of `v2.1.0`.
    pub fn major(&self) -> &str {
        semver::major(&self.0)
    }

    /// Whether the version can exist for this path: x/mod/module `Check`, and `+incompatible` only
    /// where Go can give it, on a path without suffix and from v2 on (protocol.md 6.4).
    pub fn fits(&self, path: &ModulePath) -> bool {
        let path_major = path.path_major();
        let may_be = path_major.is_empty() && !matches!(self.major(), "v0" | "v1");
        path::match_path_major(&self.0, path_major) && (may_be || !self.is_incompatible())
    }

    /// The commit time of a pseudo-version, as its 14 digits.
    pub fn pseudo_time(&self) -> Option<&str> {
        pseudo_parts(&self.0).map(|(_, time, _)| time)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        semver::compare_total(&self.0, &other.0)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Version {
    type Err = VersionError;
    fn from_str(s: &str) -> Result<Self, VersionError> {
        Self::parse(s)
    }
}

/// A legal version string that is no canonical version: a branch, a tag, a commit, a shorthand
/// (`v1`, `v1.2`), or a version with build metadata (`v1.2.3+meta`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevName(Arc<str>);

impl RevName {
    /// The name in plain text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with every `X` as `!x`.
    pub fn escaped(&self) -> Cow<'_, str> {
        escape::bang(&self.0)
    }

    /// For exactly `v1` or `v1.2`: the shorthand, which asks for the highest version of that
    /// series (checklist 35). See [`prefix_matches`].
    pub fn prefix(&self) -> Option<&str> {
        semver::is_shorthand(&self.0).then_some(&*self.0)
    }
}

/// Whether a version belongs to the series that a shorthand (`v1`, `v1.2`) names.
pub fn prefix_matches(shorthand: &str, version: &Version) -> bool {
    version
        .as_str()
        .strip_prefix(shorthand)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// What may be asked for as `V.info`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Rev {
    /// A canonical version, whose answer never changes.
    Version(Version),
    /// Anything else, to be resolved.
    Name(RevName),
}

impl Rev {
    /// Reads a version string as it stands in a URL (x/mod/module `UnescapeVersion`).
    pub fn unescape(escaped: &str) -> Result<Self, VersionError> {
        Self::parse(&escape::unbang(escaped).ok_or(VersionError::BadEscape)?)
    }

    /// Reads a version string as a user writes it.
    pub fn parse(s: &str) -> Result<Self, VersionError> {
        check_version_element(s)?;
        Ok(Self::checked(s.to_owned()))
    }

    fn checked(s: String) -> Self {
        match Version::parse(&s) {
            Ok(version) => Self::Version(version),
            Err(_) => Self::Name(RevName(s.into())),
        }
    }

    /// The string in plain text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Version(v) => v.as_str(),
            Self::Name(n) => n.as_str(),
        }
    }

    /// The string with every `X` as `!x`.
    pub fn escaped(&self) -> Cow<'_, str> {
        escape::bang(self.as_str())
    }
}

macro_rules! prints_as_str {
    ($($t:ty),*) => {$(
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}
macro_rules! is_a_str {
    ($($t:ty),*) => {$(
        impl fmt::Debug for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl AsRef<str> for $t {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    )*};
}
prints_as_str!(Version, RevName, Rev);
is_a_str!(Version, RevName);

// Not for `Version`: its order differs from that of its text.
/// A canonical version as a query: for module paths that it does not fit.
impl From<Version> for RevName {
    fn from(version: Version) -> Self {
        RevName(version.0)
    }
}

impl Borrow<str> for RevName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Whether `v` is a pseudo-version (x/mod/module `IsPseudoVersion`, protocol.md 2.4):
/// `^v[0-9]+\.(0\.0-|\d+\.\d+-([^+]*\.)?0\.)\d{14}-[A-Za-z0-9]+(\+…)?$`.
pub fn is_pseudo_version(v: &str) -> bool {
    pseudo_parts(v).is_some()
}

/// (all before the time with its separator cut, 14 digits, revision) of a pseudo-version.
pub(crate) fn pseudo_parts(v: &str) -> Option<(&str, &str, &str)> {
    if !semver::is_valid(v) {
        return None;
    }
    let plain = v.strip_suffix(semver::build(v))?;
    let (rest, rev) = plain.rsplit_once('-')?;
    if rev.is_empty() || !rev.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let (head, time) = rest.split_at_checked(rest.len().checked_sub(14)?)?;
    if !time.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Either "vX.0.0-", or "vX.Y.Z-" and identifiers of which the last is a 0.
    let (core, identifiers) = head.split_once('-')?;
    let zero = match identifiers.strip_suffix("0.") {
        None => identifiers.is_empty() && core.ends_with(".0.0"),
        Some(before) => before.is_empty() || before.ends_with('.'),
    };
    zero.then(|| (&head[..head.len() - 1], time, rev))
}

/// Releases before pre-releases, the highest first (cmd/go/internal/modload, the query `latest`).
pub fn by_preference(mut versions: Vec<Version>) -> Vec<Version> {
    versions.sort_by(|a, b| {
        a.is_prerelease()
            .cmp(&b.is_prerelease())
            .then_with(|| b.cmp(a))
    });
    versions
}

#[cfg(test)]
mod tests;
