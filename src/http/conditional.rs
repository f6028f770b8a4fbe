//! Conditional and partial requests (RFC 9110 sections 13 and 14).

use std::ops::Range;

use http::header::{HeaderMap, HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE};

/// Whether the client has this already: `If-None-Match` with weak comparison, or `*`.
pub fn not_modified(headers: &HeaderMap, etag: Option<&HeaderValue>) -> bool {
    let mut asked = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .peekable();
    if asked.peek().is_none() {
        return false;
    }
    let ours = etag.and_then(|etag| etag.to_str().ok());
    asked.any(|value| value.trim() == "*" || entity_tags(value).any(|tag| Some(tag) == ours))
}

/// The quoted parts of a list of entity tags; weak marks do not count. A tag may hold a comma.
fn entity_tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.find('"')?;
        let end = start + 1 + rest.get(start + 1..)?.find('"')?;
        let tag = rest.get(start..=end)?;
        rest = rest.get(end + 1..)?;
        Some(tag)
    })
}

/// What part of a body is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// These bytes: 206.
    Some(Range<u64>),
    /// None that exists: 416.
    Unsatisfiable,
}

/// Whether a request may want a part at all.
pub fn wants_part(headers: &HeaderMap) -> bool {
    headers.contains_key(RANGE)
}

/// Whether the answer depends on the validator.
pub fn is_conditional(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH)
}

/// Reads `Range` and `If-Range` for a body of `size` bytes. Several ranges, other units and syntax errors mean the
/// whole, as the RFC allows; so does an `If-Range` that does not name this very body.
pub fn part(headers: &HeaderMap, etag: Option<&HeaderValue>, size: u64) -> Part {
    let mut ranges = headers.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Part::Whole;
    };
    if let Some(guard) = headers.get(IF_RANGE)
        && Some(guard) != etag
    {
        return Part::Whole;
    }
    let Some(spec) = range
        .to_str()
        .ok()
        .and_then(|text| text.trim().strip_prefix("bytes="))
    else {
        return Part::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Part::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        let digits = text.trim();
        (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => {
            if first < size {
                Part::Some(first..last.saturating_add(1).min(size))
            } else {
                Part::Unsatisfiable
            }
        }
        (Some(first), None) if last.trim().is_empty() => {
            if first < size {
                Part::Some(first..size)
            } else {
                Part::Unsatisfiable
            }
        }
        (None, Some(suffix)) if first.trim().is_empty() => {
            if suffix == 0 || size == 0 {
                Part::Unsatisfiable
            } else {
                Part::Some(size.saturating_sub(suffix)..size)
            }
        }
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn c23_ranges() {
        let asked = |text: &'static str| part(&headers(&[(RANGE, text)]), None, 10);
        assert_eq!(asked("bytes=0-3"), Part::Some(0..4));
        assert_eq!(asked("bytes=8-99"), Part::Some(8..10));
        assert_eq!(asked("bytes=3-"), Part::Some(3..10));
        assert_eq!(asked("bytes=-4"), Part::Some(6..10));
        assert_eq!(asked("bytes=-99"), Part::Some(0..10));
        assert_eq!(asked("bytes=10-"), Part::Unsatisfiable);
        assert_eq!(asked("bytes=99999999999999999999-"), Part::Unsatisfiable);
        assert_eq!(asked("bytes=-0"), Part::Unsatisfiable);
        for whole in [
            "bytes=5-2",
            "bytes=0-1,3-4",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-x",
            "items=0-1",
            "bytes=+1-2",
        ] {
            assert_eq!(asked(whole), Part::Whole, "{whole}");
        }
    }

    #[test]
    fn if_range_must_name_this_body() {
        let etag = HeaderValue::from_static("\"h1:a=\"");
        let with = |guard: &'static str| {
            part(
                &headers(&[(RANGE, "bytes=0-0"), (IF_RANGE, guard)]),
                Some(&etag),
                10,
            )
        };
        assert_eq!(with("\"h1:a=\""), Part::Some(0..1));
        assert_eq!(with("W/\"h1:a=\""), Part::Whole);
        assert_eq!(with("\"h1:b=\""), Part::Whole);
        assert_eq!(with("Tue, 15 Nov 1994 12:45:26 GMT"), Part::Whole);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let etag = HeaderValue::from_static("\"h1:a,b=\"");
        let matches =
            |text: &'static str| not_modified(&headers(&[(IF_NONE_MATCH, text)]), Some(&etag));
        assert!(matches("\"h1:a,b=\""));
        assert!(matches("W/\"h1:a,b=\""));
        assert!(matches("\"x\", W/\"h1:a,b=\""));
        assert!(matches("*"));
        assert!(!matches("\"x\""));
        assert!(!matches("h1:a,b="));
        assert!(!not_modified(&HeaderMap::new(), Some(&etag)));
    }
}
