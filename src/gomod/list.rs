//! Lists of versions, as the client reads them.

use std::collections::HashSet;

use super::{ModulePath, Rev, Version, semver, version};

/// A list in its two parts. A line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionList {
    /// What is served: versions that are no pseudo-versions.
    pub body: String,
    /// The newest of pseudo-versions and versions with a time of their own, with that time, which `@latest` is derived
    /// from where there is nothing else. One line, or none.
    pub unlisted: String,
}

/// Filters a list by the client's own rule (protocol.md 1.1): versions of this module, no pseudo-versions, one on each
/// line. A body with something in it but not one valid version is no list at all (7.3). The error is a text for people.
pub fn read(module: &ModulePath, body: &[u8]) -> Result<VersionList, String> {
    let text = std::str::from_utf8(body).map_err(|_| "a list that is not UTF-8".to_owned())?;
    let mut list = VersionList::default();
    let mut any_line = false;
    let mut any_version = false;
    let mut seen = HashSet::new();
    let mut newest = None;
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some(word) = fields.next() else { continue };
        any_line = true;
        any_version |= semver::is_valid(word);
        let Ok(Rev::Version(version)) = Rev::parse(word) else {
            continue;
        };
        if !version.fits(module) || !seen.insert(word) {
            continue;
        }
        let time = fields.next();
        let pseudo = version::is_pseudo_version(word);
        let when = match pseudo || time.is_some() {
            true => time_of(&version, time),
            false => None,
        };
        if when.is_some() && when >= newest {
            newest = when;
            list.unlisted = [word, time.unwrap_or_default()].join(" ");
        }
        if !pseudo {
            list.body.push_str(word);
            list.body.push('\n');
        }
    }
    if any_line && !any_version {
        return Err("a list without a single version".to_owned());
    }
    Ok(list)
}

/// When a version of a list is from, by the time beside it or its own: as text that compares as the times do.
pub fn time_of(version: &Version, time: Option<&str>) -> Option<String> {
    // 2020-01-02T03:04:05Z and 20200102030405 compare alike by their digits.
    match time {
        Some(time) => Some(time.chars().filter(char::is_ascii_digit).take(14).collect()),
        None => version.pseudo_time().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(body: &str) -> Result<VersionList, String> {
        read(
            &ModulePath::parse("example.com/m").unwrap(),
            body.as_bytes(),
        )
    }

    #[test]
    fn c01_c02_c05_lists_are_filtered_as_the_client_does() {
        let list = filtered(
            "v1.0.0\r\n  v1.1.0 2020-01-02T03:04:05Z\n\nv2.0.0\nv3.0.0+incompatible\nv0.0.0-20200101000000-abcdefabcdef\nv1\nrubbish\nv1.0.0\n",
        )
        .unwrap();
        assert_eq!(list.body, "v1.0.0\nv1.1.0\nv3.0.0+incompatible\n");
        assert_eq!(list.unlisted, "v1.1.0 2020-01-02T03:04:05Z");
    }

    #[test]
    fn an_empty_list_is_a_list_and_garbage_is_not() {
        assert_eq!(filtered("").unwrap().body, "");
        assert_eq!(filtered("\n\n").unwrap().body, "");
        assert_eq!(
            filtered("v0.0.0-20200101000000-abcdefabcdef\n")
                .unwrap()
                .body,
            ""
        );
        assert!(filtered("<html>").is_err());
        assert!(filtered("invalid\n").is_err());
        assert!(filtered("{\"versions\": []}").is_err());
    }
}
