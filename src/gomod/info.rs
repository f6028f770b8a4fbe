//! `.info` bodies: the JSON object that names a version (protocol.md 1.2).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Version, VersionError, fold};

/// What an `.info` says, as far as it concerns a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The version that the answer is about.
    pub version: Version,
    /// The commit time as it was written, if it was.
    pub time: Option<String>,
}

/// Why an `.info` is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// Not JSON, or JSON of another kind.
    #[error("not a JSON object: {0}")]
    NotJson(String),
    /// protocol.md 1.2: `Version` is required.
    #[error("the JSON object has no Version")]
    NoVersion,
    /// A number, an array and so on.
    #[error("its Version is not a string")]
    VersionNotText,
    /// Not the canonical form of a version.
    #[error("its Version cannot be used: {0}")]
    BadVersion(VersionError),
    /// A hard error for go as well.
    #[error("its Time is not an RFC 3339 time")]
    BadTime,
}

/// Reads an `.info` as the go command does: names of members in any case, the last one of equal
/// members counts, unknown ones are ignored, `null` is like an absent member.
pub fn parse_info(body: &[u8]) -> Result<Info, InfoError> {
    read_info(&Members::read(body)?)
}

fn read_info(members: &Members<'_>) -> Result<Info, InfoError> {
    let (mut version, mut time) = (None, None);
    for (name, value) in &members.0 {
        let text = value.get();
        if text == "null" {
            continue;
        }
        if is(name, "Version") {
            let text: String = serde_json::from_str(text).map_err(|_| InfoError::VersionNotText)?;
            version = Some(text);
        } else if is(name, "Time") {
            // Go looks at what stands between the quotes without undoing escapes.
            let inner = text
                .strip_prefix('"')
                .and_then(|t| t.strip_suffix('"'))
                .filter(|t| is_go_time(t.as_bytes()))
                .ok_or(InfoError::BadTime)?;
            time = Some(inner.to_owned());
        }
    }
    let version = version
        .filter(|v| !v.is_empty())
        .ok_or(InfoError::NoVersion)?;
    let version = Version::parse(&version).map_err(InfoError::BadVersion)?;
    Ok(Info { version, time })
}

/// The `.info` of the version that a query resolved to, made from the answer to the query: what
/// made it an answer to that query is dropped from `Origin`, as go drops it from what it keeps
/// under the version (cmd/go/internal/modfetch `writeDiskStat`): `TagSum`, `TagPrefix`, `RepoSum`,
/// and `Ref` unless it is the version's own tag. The rest stays as it was written. `None` if
/// [`parse_info`] refuses the body.
pub fn stand_in(body: &[u8]) -> Option<Vec<u8>> {
    let members = Members::read(body).ok()?;
    let info = read_info(&members).ok()?;
    let mut changed = false;
    let mut kept = Vec::with_capacity(members.0.len());
    for (name, value) in &members.0 {
        let mut text = value.get().to_owned();
        if is(name, "Origin")
            && let Ok(origin) = Members::read(text.as_bytes())
        {
            let all = origin.0.len();
            let left: Vec<_> = origin
                .0
                .into_iter()
                .filter(|(name, value)| !belongs_to_query(name, value, &info.version))
                .map(|(name, value)| (name, value.get().to_owned()))
                .collect();
            if left.len() < all {
                changed = true;
                text = write_object(&left)?;
            }
        }
        kept.push((name.clone(), text));
    }
    if !changed {
        return Some(body.to_vec());
    }
    write_object(&kept).map(String::into_bytes)
}

fn belongs_to_query(name: &str, value: &RawValue, version: &Version) -> bool {
    if is(name, "Ref") {
        let own_tag = serde_json::from_str(value.get()).is_ok_and(|r: String| {
            r.strip_prefix("refs/tags/")
                .is_some_and(|tag| is_tag_of(tag, version))
        });
        return !own_tag;
    }
    ["TagSum", "TagPrefix", "RepoSum"]
        .iter()
        .any(|n| is(name, n))
}

/// Whether a tag, perhaps behind the module's directory, is what a version is made from.
fn is_tag_of(tag: &str, version: &Version) -> bool {
    let name = tag.rsplit('/').next().unwrap_or(tag);
    let version = version.as_str();
    !version.is_empty() && name == version.strip_suffix("+incompatible").unwrap_or(version)
}

fn write_object(members: &[(String, String)]) -> Option<String> {
    let mut out = String::from("{");
    for (i, (name, text)) in members.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&serde_json::to_string(name).ok()?);
        out.push(':');
        out.push_str(text);
    }
    out.push('}');
    Some(out)
}

/// encoding/json matches names by simple folding.
fn is(name: &str, wanted: &str) -> bool {
    fold::equal(name, wanted)
}

/// The members of a JSON object in their order, doubles included, values unread.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    fn read(body: &'a [u8]) -> Result<Self, InfoError> {
        serde_json::from_slice(body).map_err(|e| InfoError::NotJson(e.to_string()))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        d.deserialize_map(All)
    }
}

/// Whether Go's `time.Time.UnmarshalJSON` accepts the text: RFC 3339, and the few things beyond it
/// that its parser lets pass (an hour of one digit, a comma before the fraction, `+24:60`).
fn is_go_time(s: &[u8]) -> bool {
    let mut s = Scan(s);
    let parsed = (|| {
        let year = s.digits(4)?;
        s.expect(b'-')?;
        let month = s.digits(2)?;
        s.expect(b'-')?;
        let day = s.digits(2)?;
        s.expect(b'T')?;
        let hour = s.digits(2).or_else(|| s.digits(1))?;
        s.expect(b':')?;
        let minute = s.digits(2)?;
        s.expect(b':')?;
        let second = s.digits(2)?;
        if let [b'.' | b',', b'0'..=b'9', ..] = s.0 {
            s.0 = &s.0[1..];
            while s.digits(1).is_some() {}
        }
        if s.expect(b'Z').is_none() {
            s.expect(b'+').or_else(|| s.expect(b'-'))?;
            let zone_hour = s.digits(2)?;
            s.expect(b':')?;
            let zone_minute = s.digits(2)?;
            if zone_hour > 24 || zone_minute > 60 {
                return None;
            }
        }
        let in_range = (1..=12).contains(&month)
            && (1..=days_in(month, year)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        in_range.then_some(())
    })();
    parsed.is_some() && s.0.is_empty()
}

fn days_in(month: u32, year: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn expect(&mut self, b: u8) -> Option<()> {
        let rest = self.0.strip_prefix(&[b])?;
        self.0 = rest;
        Some(())
    }

    /// Exactly `n` digits; takes nothing when there are fewer.
    fn digits(&mut self, n: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(n)?;
        let value = digits.iter().try_fold(0, |value, b| {
            b.is_ascii_digit().then(|| value * 10 + u32::from(b - b'0'))
        })?;
        self.0 = rest;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn info(body: &str) -> Result<(String, Option<String>), InfoError> {
        parse_info(body.as_bytes()).map(|i| (i.version.to_string(), i.time))
    }

    #[test]
    fn c06_reads_what_go_reads() {
        let time = Some("2018-02-19T23:12:07Z".to_owned());
        let cases = [
            (
                r#"{"Version":"v1.0.4","Time":"2018-02-19T23:12:07Z"}"#,
                time.clone(),
            ),
            (
                " {\r\n\t\"version\" : \"v1.0.4\" , \"TIME\":\"2018-02-19T23:12:07Z\" }\n",
                time.clone(),
            ),
            (
                r#"{"Version":"v1.0.4","Time":null,"Origin":{"VCS":"git"},"x":[1,{"y":2}]}"#,
                None,
            ),
            (r#"{"Version":"v9.9.9","version":"v1.0.4"}"#, None),
            (r#"{"Version":"v1.0.4","VERSION":null}"#, None),
            (r#"{"Ver\u0073ion":"v1.0\u002e4"}"#, None),
            ("{\"Ver\u{17F}ion\":\"v1.0.4\"}", None),
        ];
        for (body, time) in cases {
            assert_eq!(info(body), Ok(("v1.0.4".to_owned(), time)), "{body}");
        }
    }

    #[test]
    fn c43_refuses_garbage() {
        for body in [
            "",
            "null",
            "[]",
            "\"v1.0.0\"",
            "<!DOCTYPE html>",
            "{\"Version\":\"v1.0.0\"",
            "{\"Version\":\"v1.0.0\"}}",
            "\u{FEFF}{\"Version\":\"v1.0.0\"}",
            "{\"Version\":\"v1.0.0\",}",
            "{Version:\"v1.0.0\"}",
        ] {
            assert!(matches!(info(body), Err(InfoError::NotJson(_))), "{body}");
        }
        assert!(parse_info(b"{\"Version\":\"v1.0.0\",\"x\":\"\xff\"}").is_err());
        assert_eq!(info("{}"), Err(InfoError::NoVersion));
        assert_eq!(info(r#"{"Version":""}"#), Err(InfoError::NoVersion));
        assert_eq!(info(r#"{"Version":1}"#), Err(InfoError::VersionNotText));
        assert!(matches!(
            info(r#"{"Version":"v1"}"#),
            Err(InfoError::BadVersion(_))
        ));
        assert!(matches!(
            info(r#"{"Version":"master"}"#),
            Err(InfoError::BadVersion(_))
        ));
        assert_eq!(
            info(r#"{"Version":"v1.0.0","Time":1}"#),
            Err(InfoError::BadTime)
        );
    }

    #[test]
    fn c08_times_as_go_accepts_them() {
        for good in [
            "2018-02-19T23:12:07Z",
            "2018-02-19T23:12:07.123456789Z",
            "2018-02-19T23:12:07+01:00",
            "2018-02-19T23:12:07.5-08:00",
            "0001-01-01T00:00:00Z",
            "2020-02-29T00:00:00Z",
            "2018-02-19T3:12:07Z",
            "2018-02-19T23:12:07,5Z",
            "2018-02-19T23:12:07+24:60",
        ] {
            assert!(is_go_time(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "2018-02-19",
            "2018-02-19T23:12:07",
            "2018-02-19 23:12:07Z",
            "2018-02-19t23:12:07z",
            "2018-13-19T23:12:07Z",
            "2018-00-19T23:12:07Z",
            "2019-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2018-02-00T00:00:00Z",
            "2018-04-31T00:00:00Z",
            "2018-02-19T24:00:00Z",
            "2018-02-19T23:60:00Z",
            "2018-02-19T23:12:60Z",
            "2018-02-19T23:12:07.Z",
            "2018-02-19T23:12:07+0100",
            "2018-02-19T23:12:07+25:00",
            "2018-02-19T23:12:07+01:61",
            "2018-02-19T23:12:07Z ",
            "20180-02-19T23:12:07Z",
            "yesterday",
        ] {
            assert!(!is_go_time(bad.as_bytes()), "{bad}");
        }
    }

    fn stood_in(body: &str) -> Option<String> {
        stand_in(body.as_bytes()).map(|b| String::from_utf8(b).unwrap())
    }

    #[test]
    fn c09_stand_in_drops_what_concerns_the_query() {
        let body = concat!(
            r#"{"Version":"v0.0.0-20240301045959-abcdef123456","Time":"2024-03-01T04:59:59Z","#,
            r#""Origin":{"VCS":"git","URL":"https://h.com/m","Hash":"abc","TagPrefix":"s/","#,
            r#""TagSum":"t1:x","Ref":"refs/heads/main","RepoSum":"r1:y"}}"#
        );
        assert_eq!(
            stood_in(body).as_deref(),
            Some(concat!(
                r#"{"Version":"v0.0.0-20240301045959-abcdef123456","Time":"2024-03-01T04:59:59Z","#,
                r#""Origin":{"VCS":"git","URL":"https://h.com/m","Hash":"abc"}}"#
            ))
        );
        // The version's own tag is part of its origin, a branch that stands at it is not.
        let tagged = r#"{"Version":"v1.0.4","Origin":{"Ref":"refs/tags/submod/v1.0.4"}}"#;
        assert_eq!(stood_in(tagged).as_deref(), Some(tagged));
        let incompatible =
            r#"{"Version":"v2.0.0+incompatible","Origin":{"Ref":"refs/tags/v2.0.0"}}"#;
        assert_eq!(stood_in(incompatible).as_deref(), Some(incompatible));
        let branch = r#"{"Version":"v1.0.4","Origin":{"Ref":"refs/heads/v1.0.4"},"New":[ 1.0 ]}"#;
        assert_eq!(
            stood_in(branch).as_deref(),
            Some(r#"{"Version":"v1.0.4","Origin":{},"New":[ 1.0 ]}"#)
        );
        let plain = " {\"Version\" : \"v1.0.4\", \"Origin\": null}\n";
        assert_eq!(stood_in(plain).as_deref(), Some(plain));
        assert_eq!(stood_in("{}"), None);
    }

    proptest! {
        #[test]
        fn stand_in_is_idempotent_and_names_the_same(
            origin in proptest::collection::btree_map(
                "Ref|ref|TagSum|TagPrefix|RepoSum|VCS|Hash|x", "[a-z/\"\\\\é]{0,6}", 0..6),
        ) {
            let body = serde_json::json!({"Version": "v1.2.3", "Origin": origin}).to_string();
            let first = stand_in(body.as_bytes()).unwrap();
            prop_assert_eq!(stand_in(&first), Some(first.clone()));
            prop_assert_eq!(parse_info(&first), parse_info(body.as_bytes()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_info(&body);
            let _ = stand_in(&body);
            let _ = is_go_time(&body);
        }
    }
}
