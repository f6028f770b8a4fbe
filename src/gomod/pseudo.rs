//! Pseudo-versions: the name of a commit that has no tag (protocol.md 2.4 and 6.4 A, checklist 97
//! and 98; x/mod/module `PseudoVersion` and `PseudoVersionBase`,
//! cmd/go/internal/modfetch `validatePseudoVersion`).

use super::time::CommitTime;
use super::{semver, version};

/// Why a pseudo-version is none, or not that of a commit.
#[allow(missing_docs, reason = "the messages say what is meant")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PseudoError {
    #[error("it is not a pseudo-version")]
    NotPseudo,
    #[error("the version lacks a base, but has build metadata {0:?}")]
    BuildWithoutBase(String),
    #[error("the version before {0} would have a negative patch number")]
    NegativePatch(String),
    #[error("the time {0:?} in the pseudo-version is malformed")]
    BadTime(String),
    #[error("the revision is longer than canonical (expected {0})")]
    RevTooLong(String),
    #[error("the revision is shorter than canonical (expected {0})")]
    RevTooShort(String),
    #[error("the revision does not match the short name of the commit (expected {0})")]
    RevDiffers(String),
    #[error("the time does not match that of the commit (expected {0})")]
    TimeDiffers(String),
    #[error("the major version without preceding tag must be v0, not v1")]
    V1WithoutTag,
    #[error(
        "the tag {0} on this commit is canonical already, so no pseudo-version may stand on it"
    )]
    CanonicalTag(String),
    #[error("the preceding tag ({0}) was not found")]
    NoBaseTag(String),
    #[error("the commit does not descend from the preceding tag ({0})")]
    NotDescendant(String),
}

/// The pseudo-version of a commit: `major` is that of the path ("" is v0), `older` the tag that it
/// is based on, "" without one.
pub fn pseudo_version(major: &str, older: &str, time: CommitTime, rev: &str) -> String {
    let segment = format!("{}-{rev}", time.digits());
    let build = semver::build(older);
    let Some(older) = semver::canonical(older) else {
        let major = if major.is_empty() { "v0" } else { major };
        return format!("{major}.0.0-{segment}");
    };
    if !semver::prerelease(&older).is_empty() {
        return format!("{older}.0.{segment}{build}");
    }
    // A canonical version has two dots.
    let (head, patch) = older.rsplit_once('.').unwrap_or((&older, "0"));
    format!("{head}.{}-0.{segment}{build}", increment(patch))
}

/// The tag on which a pseudo-version is based, if there is one.
pub fn base(v: &str) -> Result<Option<String>, PseudoError> {
    let (base, ..) = version::pseudo_parts(v).ok_or(PseudoError::NotPseudo)?;
    let build = semver::build(v);
    let Some((core, pre)) = base.split_once('-').filter(|(_, pre)| !pre.is_empty()) else {
        // vX.0.0-TIME-REV
        return match build {
            "" => Ok(None),
            build => Err(PseudoError::BuildWithoutBase(build.to_owned())),
        };
    };
    if pre == "0" {
        // vX.Y.(Z+1)-0.TIME-REV
        let (head, patch) = core.rsplit_once('.').ok_or(PseudoError::NotPseudo)?;
        let patch = decrement(patch).ok_or_else(|| PseudoError::NegativePatch(core.to_owned()))?;
        return Ok(Some(format!("{head}.{patch}{build}")));
    }
    // vX.Y.Z-pre.0.TIME-REV
    let pre = pre.strip_suffix(".0").ok_or(PseudoError::NotPseudo)?;
    Ok(Some(format!("{core}-{pre}{build}")))
}

/// A commit, as far as its pseudo-versions go.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// The first twelve digits of its hash.
    pub short: &'a str,
    /// When it was committed.
    pub time: CommitTime,
    /// All of its tags, by their whole names.
    pub tags: &'a [&'a str],
}

/// Whether a pseudo-version can be that of a commit, for a module with this major suffix and this
/// prefix of its tags. Gives the tag it is based on, of which more must be asked: one that
/// [`is_base`] must be there, and be an ancestor. So nobody can invent high versions, or any number
/// of names, for a commit.
pub fn check(
    v: &str,
    path_major: &str,
    tag_prefix: &str,
    commit: &Commit<'_>,
) -> Result<Option<String>, PseudoError> {
    let (_, time, rev) = version::pseudo_parts(v).ok_or(PseudoError::NotPseudo)?;
    let short = commit.short;
    if rev != short {
        let expected = short.to_owned();
        return Err(if rev.starts_with(short) {
            PseudoError::RevTooLong(expected)
        } else if short.starts_with(rev) {
            PseudoError::RevTooShort(expected)
        } else {
            PseudoError::RevDiffers(expected)
        });
    }
    let stated =
        CommitTime::from_digits(time).ok_or_else(|| PseudoError::BadTime(time.to_owned()))?;
    if stated != commit.time {
        return Err(PseudoError::TimeDiffers(commit.time.digits()));
    }
    let Some(base) = base(v.strip_suffix("+incompatible").unwrap_or(v))? else {
        if path_major.is_empty() && semver::major(v) == "v1" {
            return Err(PseudoError::V1WithoutTag);
        }
        return Ok(None);
    };
    // As in Go, a tag without the module's prefix counts as well.
    let is_literally = |tag: &&&str| tag.strip_prefix(tag_prefix).unwrap_or(tag) == base;
    match commit.tags.iter().find(is_literally) {
        Some(tag) => Err(PseudoError::CanonicalTag((*tag).to_owned())),
        None => Ok(Some(base)),
    }
}

/// Whether a tag, its prefix cut off, can be the base of that name: Go looks among tags that begin
/// with it, and metadata does not matter.
pub fn is_base(tag: &str, base: &str) -> bool {
    tag.starts_with(base) && semver::compare(tag, base).is_eq()
}

/// A decimal number plus 1, of any length.
fn increment(decimal: &str) -> String {
    let nines = decimal.len() - decimal.trim_end_matches('9').len();
    let head = &decimal[..decimal.len() - nines];
    let zeros = "0".repeat(nines);
    match head.as_bytes().last() {
        Some(&last) => format!("{}{}{zeros}", &head[..head.len() - 1], char::from(last + 1)),
        None => format!("1{zeros}"),
    }
}

/// A decimal number minus 1, of any length; `None` for 0.
fn decrement(decimal: &str) -> Option<String> {
    let head = decimal.trim_end_matches('0');
    let nines = "9".repeat(decimal.len() - head.len());
    let last = *head.as_bytes().last()?;
    let front = &head[..head.len() - 1];
    if front.is_empty() && last == b'1' && !nines.is_empty() {
        return Some(nines);
    }
    Some(format!("{front}{}{nines}", char::from(last - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What x/mod/module v0.42.0 says.
    const VECTORS: &str = include_str!("testdata/pseudo.txt");

    fn time(digits: &str) -> CommitTime {
        CommitTime::from_digits(digits).unwrap()
    }

    #[test]
    fn c97_as_x_mod_says() {
        let mut cases = 0;
        for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
            cases += 1;
            let fields: Vec<_> = line.split('\t').collect();
            match fields[..] {
                ["make", major, older, unix, rev, expected] => {
                    let time = CommitTime::from_unix(unix.parse().unwrap()).unwrap();
                    assert_eq!(pseudo_version(major, older, time, rev), expected, "{line}");
                }
                ["read", v, expected_base, expected_time] => {
                    let said = match base(v) {
                        Ok(None) => String::new(),
                        Ok(Some(base)) => base,
                        Err(PseudoError::NotPseudo) => "!none".to_owned(),
                        Err(PseudoError::BuildWithoutBase(_)) => "!build".to_owned(),
                        Err(PseudoError::NegativePatch(_)) => "!negative".to_owned(),
                        Err(other) => panic!("{other}"),
                    };
                    assert_eq!(said, expected_base, "{line}");
                    let time = version::pseudo_parts(v)
                        .and_then(|(_, time, _)| CommitTime::from_digits(time))
                        .map_or("!".to_owned(), |time| time.unix().to_string());
                    assert_eq!(time, expected_time, "{line}");
                }
                _ => panic!("{line}"),
            }
        }
        assert!(cases > 300, "{cases}");
    }

    const SHORT: &str = "abcdef123456";
    const TIME: &str = "20240301045959";

    fn check_with(v: &str, path_major: &str, tags: &[&str]) -> Result<Option<String>, PseudoError> {
        let commit = Commit {
            short: SHORT,
            time: time(TIME),
            tags,
        };
        check(v, path_major, "sub/", &commit)
    }

    #[test]
    fn c97_every_fault_has_its_reason() {
        let check = |v: &str| check_with(v, "", &[]).map_err(|e| e.to_string());
        let is = |v: &str, reason: &str| {
            let error = check(v).unwrap_err();
            assert!(error.contains(reason), "{v}: {error}");
        };
        is("v0.0.0-20240301045959-abcdef1234567", "longer");
        is("v0.0.0-20240301045959-abcdef12345", "shorter");
        is(
            "v0.0.0-20240301045959-abcdef123457",
            "does not match the short",
        );
        is(
            "v0.0.0-20240301045958-abcdef123456",
            "expected 20240301045959",
        );
        is("v0.0.0-20240230045959-abcdef123456", "malformed");
        is("v1.0.0-20240301045959-abcdef123456", "must be v0");
        is("v0.0.0-0.20240301045959-abcdef123456", "negative");
        is("v1.0.0", "not a pseudo");
        is("v0.0.0-20240301045959-abcdef123456+meta", "lacks a base");
        // Only what the suffix does to the version is looked at elsewhere.
        assert_eq!(
            check("v2.0.0-20240301045959-abcdef123456+incompatible"),
            Ok(None)
        );
        assert_eq!(check("v0.0.0-20240301045959-abcdef123456"), Ok(None));
    }

    #[test]
    fn c98_bases() {
        let v = "v1.2.10-0.20240301045959-abcdef123456";
        assert_eq!(check_with(v, "", &[]), Ok(Some("v1.2.9".into())));
        let incompatible = "v4.0.1-0.20240301045959-abcdef123456+incompatible";
        assert_eq!(check_with(incompatible, "", &[]), Ok(Some("v4.0.0".into())));
        assert_eq!(
            check_with("v1.0.0-20240301045959-abcdef123456", ".v1", &[]),
            Ok(None)
        );
        for tag in ["sub/v1.2.9", "v1.2.9"] {
            assert_eq!(
                check_with(v, "", &["sub/v0.1.0", tag]),
                Err(PseudoError::CanonicalTag(tag.into()))
            );
        }
        assert!(check_with(v, "", &["sub/v1.2.9+meta", "other/v1.2.9", "sub/v1.2.10"]).is_ok());
        assert!(is_base("v1.2.9", "v1.2.9") && is_base("v1.2.9+meta", "v1.2.9"));
        assert!(!is_base("v1.2.9-rc", "v1.2.9") && !is_base("v1.2.99", "v1.2.9"));
    }

    proptest! {
        #[test]
        fn what_is_made_is_read(
            older in "v(0|[1-9][0-9]{0,2})\\.(0|[1-9][0-9]?)\\.(0|[1-9][0-9]{0,25}|9{1,5})(-[a-z0]{1,3}(\\.[a-z0]{1,3}){0,2})?([+]incompatible)?",
            unix in 0_i64..200_000_000_000,
            rev in "[0-9a-f]{12}",
        ) {
            prop_assume!(semver::is_valid(&older));
            let time = CommitTime::from_unix(unix).unwrap();
            let v = pseudo_version("", &older, time, &rev);
            prop_assert_eq!(base(&v), Ok(Some(older.clone())));
            prop_assert!(semver::compare(&older, &v).is_lt());
            let parsed = super::super::Version::parse(&v).unwrap();
            prop_assert!(parsed.is_pseudo());
            prop_assert_eq!(v.strip_suffix("+incompatible").unwrap_or(&v).rsplit('-').next(), Some(rev.as_str()));
            let commit = Commit { short: &rev, time, tags: &[] };
            let plain = older.strip_suffix("+incompatible").unwrap_or(&older).to_owned();
            prop_assert_eq!(check(&v, "", "", &commit), Ok(Some(plain)));
        }

        #[test]
        fn counting(n in 0_u64..1_000_000_000_000) {
            prop_assert_eq!(increment(&n.to_string()), (n + 1).to_string());
            prop_assert_eq!(decrement(&n.to_string()), n.checked_sub(1).map(|n| n.to_string()));
        }

        #[test]
        fn arbitrary_text_never_panics(v in "[v0-9.+a-z-]{0,40}") {
            let _ = base(&v);
            let _ = pseudo_version(&v, &v, CommitTime::from_unix(0).unwrap(), &v);
        }
    }
}
