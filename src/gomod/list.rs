//! Lists of versions, as the client reads them.

use std::collections::HashSet;

use super::{ModulePath, Rev, semver, version};

/// What is served of a list, by the client's own rule (protocol.md 1.1): versions of this module, no pseudo-versions, one on
/// each line. A body with something in it but not one valid version is no list at all (7.3). The error is a text for
/// people.
pub fn served(module: &ModulePath, body: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(body).map_err(|_| "a list that is not UTF-8".to_owned())?;
    let words = || {
        text.lines()
            .filter_map(|line| line.split_whitespace().next())
    };
    if words().next().is_some() && !words().any(semver::is_valid) {
        return Err("a list without a single version".to_owned());
    }
    let mut list = String::new();
    let mut seen = HashSet::new();
    for word in words() {
        let Ok(Rev::Version(version)) = Rev::parse(word) else {
            continue;
        };
        if version.fits(module) && !version::is_pseudo_version(word) && seen.insert(word) {
            list.push_str(word);
            list.push('\n');
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_filtered_as_the_client_does() {
        let module = ModulePath::parse("example.com/m").unwrap();
        let served = |body: &str| served(&module, body.as_bytes());
        let body = "v1.0.0\r\n  v1.1.0 2020-01-02T03:04:05Z\n\nv2.0.0\nv3.0.0+incompatible\nv0.0.0-20200101000000-abcdefabcdef\nv1\nrubbish\nv1.0.0\n";
        assert_eq!(
            served(body).unwrap(),
            "v1.0.0\nv1.1.0\nv3.0.0+incompatible\n"
        );
        for empty in ["", "\n\n", "v0.0.0-20200101000000-abcdefabcdef\n"] {
            assert_eq!(served(empty).unwrap(), "");
        }
        for bad in ["<html>", "invalid\n", "{\"versions\": []}"] {
            assert!(served(bad).is_err(), "{bad}");
        }
    }
}
