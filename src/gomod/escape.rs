//! Case-escaping of module paths and versions, so that names which differ only in case stay apart
//! on file systems and in URLs that ignore case (protocol.md 2.5, x/mod/module `EscapePath`).

use std::borrow::Cow;

use super::path::{PathError, check_module_path};
use super::version::{VersionError, check_version_element};

/// Escapes a valid module path: `X` becomes `!x` (x/mod/module `EscapePath`).
pub fn escape_path(path: &str) -> Result<Cow<'_, str>, PathError> {
    check_module_path(path)?;
    Ok(bang(path))
}

/// Undoes [`escape_path`] and checks what comes out (x/mod/module `UnescapePath`).
pub fn unescape_path(escaped: &str) -> Result<String, PathError> {
    let path = unbang(escaped).ok_or(PathError::BadEscape)?;
    check_module_path(&path)?;
    Ok(path)
}

/// Escapes a version string, which need not be semver but must be one valid ASCII file name
/// without `!` (x/mod/module `EscapeVersion`).
pub fn escape_version(version: &str) -> Result<Cow<'_, str>, VersionError> {
    check_version_element(version)?;
    Ok(bang(version))
}

/// Undoes [`escape_version`] and checks what comes out (x/mod/module `UnescapeVersion`).
pub fn unescape_version(escaped: &str) -> Result<String, VersionError> {
    let version = unbang(escaped).ok_or(VersionError::BadEscape)?;
    check_version_element(&version)?;
    Ok(version)
}

/// The escaping itself, for text that is known to be ASCII without `!`.
pub(super) fn bang(s: &str) -> Cow<'_, str> {
    if !s.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        if c.is_ascii_uppercase() {
            out.push('!');
        }
        out.push(c.to_ascii_lowercase());
    }
    Cow::Owned(out)
}

/// How long [`bang`] makes a string.
pub(super) fn banged_len(s: &str) -> usize {
    s.len() + s.bytes().filter(u8::is_ascii_uppercase).count()
}

/// The inverse of [`bang`]; `None` for upper case, a `!` without a letter behind it, non-ASCII.
fn unbang(escaped: &str) -> Option<String> {
    let mut out = String::with_capacity(escaped.len());
    let mut bytes = escaped.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'!' => match bytes.next() {
                Some(next @ b'a'..=b'z') => out.push(char::from(next.to_ascii_uppercase())),
                _ => return None,
            },
            b'A'..=b'Z' | 0x80.. => return None,
            _ => out.push(char::from(b)),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn c26_paths_escape_as_go_does() {
        let cases = [
            ("ascii.com/abcdefghijklmnopqrstuvwxyz.-/~_0123456789", None),
            (
                "github.com/GoogleCloudPlatform/omega",
                Some("github.com/!google!cloud!platform/omega"),
            ),
            (
                "github.com/BurntSushi/toml",
                Some("github.com/!burnt!sushi/toml"),
            ),
            ("rsc.io/QUOTE", Some("rsc.io/!q!u!o!t!e")),
        ];
        for (path, escaped) in cases {
            let escaped = escaped.unwrap_or(path);
            assert_eq!(escape_path(path).as_deref(), Ok(escaped));
            assert_eq!(unescape_path(escaped).as_deref(), Ok(path));
        }
    }

    #[test]
    fn c28_bad_escapes_are_refused() {
        for bad in [
            "github.com/GoogleCloudPlatform/omega",
            "github.com/!google!cloud!platform!/omega",
            "github.com/!0google!cloud!platform/omega",
            "github.com/!_google!cloud!platform/omega",
            "github.com/!!google!cloud!platform/omega",
            "github.com/a!",
            "github.com/!A",
            "github.com/!1",
            "github.com/!é",
            "github.com/é",
            "",
        ] {
            assert!(unescape_path(bad).is_err(), "{bad}");
        }
        for bad in ["!A", "A", "a!", "a!!b", "", "é", "a/b", "nul", "v1.", "a:b"] {
            assert!(unescape_version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn version_vectors() {
        assert_eq!(escape_version("HEAD").as_deref(), Ok("!h!e!a!d"));
        assert_eq!(unescape_version("!h!e!a!d").as_deref(), Ok("HEAD"));
        for same in [
            "v1.2.3-alpha",
            "v3",
            "a@b",
            "a%2fb",
            "x~1",
            "a b",
            "v2.0.0+incompatible",
        ] {
            assert_eq!(escape_version(same).as_deref(), Ok(same));
            assert_eq!(unescape_version(same).as_deref(), Ok(same));
        }
        assert_eq!(
            escape_version("v1.2.3-!alpha"),
            Err(VersionError::Disallowed)
        );
        assert_eq!(
            unescape_version("v1.2.3-!alpha").as_deref(),
            Ok("v1.2.3-Alpha")
        );
    }

    proptest! {
        #[test]
        fn path_roundtrip(path in "[a-z]{1,6}\\.[a-z]{2,3}(/[A-Za-z0-9_~-]{1,8}){0,4}") {
            if let Ok(escaped) = escape_path(&path) {
                prop_assert!(!escaped.bytes().any(|b| b.is_ascii_uppercase()));
                prop_assert_eq!(escaped.len(), banged_len(&path));
                prop_assert_eq!(unescape_path(&escaped), Ok(path));
            }
        }

        #[test]
        fn version_roundtrip(version in "[ -~]{1,20}") {
            if let Ok(escaped) = escape_version(&version) {
                prop_assert_eq!(unescape_version(&escaped), Ok(version));
            }
        }

        #[test]
        fn unescaping_is_injective(a in "[a-z!]{1,8}", b in "[a-z!]{1,8}") {
            if let (Some(x), Some(y)) = (unbang(&a), unbang(&b)) {
                prop_assert_eq!(a == b, x == y);
                prop_assert_eq!(bang(&x), a);
            }
        }

        #[test]
        fn arbitrary_text_never_panics(s in "\\PC{0,30}") {
            let _ = unescape_path(&s);
            let _ = unescape_version(&s);
            let _ = escape_path(&s);
            let _ = escape_version(&s);
        }
    }
}
