//! Semantic versions as Go writes them (protocol.md 2.3, x/mod/semver): a leading `v`, the
//! shorthands `v1` and `v1.2`, numbers of any length (never parsed into integers).

use std::cmp::Ordering;

/// The pieces of a valid semantic version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parsed<'a> {
    major: &'a str,
    minor: &'a str,
    patch: &'a str,
    /// What is missing to the full form: ".0.0", ".0" or nothing.
    short: &'static str,
    /// With its leading `-`, or empty.
    prerelease: &'a str,
    /// With its leading `+`, or empty.
    build: &'a str,
}

/// Whether `v` is a valid semantic version (x/mod/semver `IsValid`).
pub fn is_valid(v: &str) -> bool {
    parse(v).is_some()
}

/// The full form without build metadata (x/mod/semver `Canonical`): `v1` becomes `v1.0.0`.
pub fn canonical(v: &str) -> Option<String> {
    let p = parse(v)?;
    let mut out = v.strip_suffix(p.build).unwrap_or(v).to_owned();
    out.push_str(p.short);
    Some(out)
}

/// `v2` of `v2.1.0`, empty if `v` is invalid (x/mod/semver `Major`).
pub fn major(v: &str) -> &str {
    // parse() has seen "v" and the digits of the major version at the front.
    parse(v).map_or("", |p| v.get(..1 + p.major.len()).unwrap_or(""))
}

/// `-pre` of `v1.2.3-pre+meta`, empty without one (x/mod/semver `Prerelease`).
pub fn prerelease(v: &str) -> &str {
    parse(v).map_or("", |p| p.prerelease)
}

/// `+meta` of `v1.2.3-pre+meta`, empty without one (x/mod/semver `Build`).
pub fn build(v: &str) -> &str {
    parse(v).map_or("", |p| p.build)
}

/// Precedence of two versions (x/mod/semver `Compare`): build metadata is ignored, an invalid
/// version is less than a valid one and equal to another invalid one.
pub fn compare(v: &str, w: &str) -> Ordering {
    let (Some(v), Some(w)) = (parse(v), parse(w)) else {
        return is_valid(v).cmp(&is_valid(w));
    };
    compare_number(v.major, w.major)
        .then_with(|| compare_number(v.minor, w.minor))
        .then_with(|| compare_number(v.patch, w.patch))
        .then_with(|| compare_prerelease(v.prerelease, w.prerelease))
}

/// The order in which lists are sorted: precedence, then plain text (x/mod/semver `Sort`).
pub fn compare_total(v: &str, w: &str) -> Ordering {
    compare(v, w).then_with(|| v.cmp(w))
}

/// Whether `v` is exactly the shorthand `v1` or `v1.2`.
pub fn is_shorthand(v: &str) -> bool {
    parse(v).is_some_and(|p| !p.short.is_empty())
}

/// Decimal numbers without leading zeros, of any length.
fn compare_number(x: &str, y: &str) -> Ordering {
    x.len().cmp(&y.len()).then_with(|| x.cmp(y))
}

fn compare_prerelease(x: &str, y: &str) -> Ordering {
    match (x.strip_prefix('-'), y.strip_prefix('-')) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(x), Some(y)) => {
            let (mut x, mut y) = (x.split('.'), y.split('.'));
            loop {
                match (x.next(), y.next()) {
                    (None, None) => return Ordering::Equal,
                    (None, Some(_)) => return Ordering::Less,
                    (Some(_), None) => return Ordering::Greater,
                    (Some(a), Some(b)) => match compare_identifier(a, b) {
                        Ordering::Equal => {}
                        unequal => return unequal,
                    },
                }
            }
        }
    }
}

fn compare_identifier(a: &str, b: &str) -> Ordering {
    match (is_digits(a), is_digits(b)) {
        (true, true) => compare_number(a, b),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}

fn is_digits(s: &str) -> bool {
    s.bytes().all(|b| b.is_ascii_digit())
}

fn parse(v: &str) -> Option<Parsed<'_>> {
    let (major, rest) = number(v.strip_prefix('v')?)?;
    let mut p = Parsed {
        major,
        minor: "0",
        patch: "0",
        short: "",
        prerelease: "",
        build: "",
    };
    if rest.is_empty() {
        p.short = ".0.0";
        return Some(p);
    }
    let (minor, rest) = number(rest.strip_prefix('.')?)?;
    p.minor = minor;
    if rest.is_empty() {
        p.short = ".0";
        return Some(p);
    }
    let (patch, rest) = number(rest.strip_prefix('.')?)?;
    p.patch = patch;

    let (rest, build) = rest.split_at(rest.find('+').unwrap_or(rest.len()));
    if !build.is_empty() && !build[1..].split('.').all(is_identifier) {
        return None;
    }
    p.build = build;
    if !rest.is_empty() {
        let identifiers = rest.strip_prefix('-')?;
        if !identifiers
            .split('.')
            .all(|i| is_identifier(i) && !is_bad_number(i))
        {
            return None;
        }
        p.prerelease = rest;
    }
    Some(p)
}

/// A decimal number without leading zeros at the front of `v`, and what follows it.
fn number(v: &str) -> Option<(&str, &str)> {
    let end = v
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(v.len());
    let (digits, rest) = v.split_at(end);
    (!digits.is_empty() && !is_bad_number(digits)).then_some((digits, rest))
}

fn is_identifier(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_bad_number(s: &str) -> bool {
    s.len() > 1 && s.starts_with('0') && is_digits(s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table of x/mod's semver_test.go: version and its canonical form, in ascending order.
    const TABLE: &[(&str, &str)] = &[
        ("bad", ""),
        ("v1-alpha.beta.gamma", ""),
        ("v1-pre", ""),
        ("v1+meta", ""),
        ("v1-pre+meta", ""),
        ("v1.2-pre", ""),
        ("v1.2+meta", ""),
        ("v1.2-pre+meta", ""),
        ("v1.0.0-alpha", "v1.0.0-alpha"),
        ("v1.0.0-alpha.1", "v1.0.0-alpha.1"),
        ("v1.0.0-alpha.beta", "v1.0.0-alpha.beta"),
        ("v1.0.0-beta", "v1.0.0-beta"),
        ("v1.0.0-beta.2", "v1.0.0-beta.2"),
        ("v1.0.0-beta.11", "v1.0.0-beta.11"),
        ("v1.0.0-rc.1", "v1.0.0-rc.1"),
        ("v1", "v1.0.0"),
        ("v1.0", "v1.0.0"),
        ("v1.0.0", "v1.0.0"),
        ("v1.2", "v1.2.0"),
        ("v1.2.0", "v1.2.0"),
        ("v1.2.3-456", "v1.2.3-456"),
        ("v1.2.3-456.789", "v1.2.3-456.789"),
        ("v1.2.3-456-789", "v1.2.3-456-789"),
        ("v1.2.3-456a", "v1.2.3-456a"),
        ("v1.2.3-pre", "v1.2.3-pre"),
        ("v1.2.3-pre+meta", "v1.2.3-pre"),
        ("v1.2.3-pre.1", "v1.2.3-pre.1"),
        ("v1.2.3-zzz", "v1.2.3-zzz"),
        ("v1.2.3", "v1.2.3"),
        ("v1.2.3+meta", "v1.2.3"),
        ("v1.2.3+meta-pre", "v1.2.3"),
        ("v1.2.3+meta-pre.sha.256a", "v1.2.3"),
    ];

    #[test]
    fn go_table() {
        for (i, &(v, canon)) in TABLE.iter().enumerate() {
            assert_eq!(canonical(v).unwrap_or_default(), canon, "{v}");
            assert_eq!(is_valid(v), !canon.is_empty(), "{v}");
            for (j, &(w, other)) in TABLE.iter().enumerate() {
                let expected = if canon == other {
                    Ordering::Equal
                } else {
                    i.cmp(&j)
                };
                assert_eq!(compare(v, w), expected, "{v} {w}");
            }
        }
    }

    #[test]
    fn pieces() {
        assert_eq!(major("v2.1.0"), "v2");
        assert_eq!(major("2.1.0"), "");
        assert_eq!(prerelease("v2.1.0-pre+meta"), "-pre");
        assert_eq!(build("v2.1.0-pre+meta"), "+meta");
        assert_eq!(build("v2.1.0+a-b"), "+a-b");
        assert_eq!(prerelease("v2.1.0+a-b"), "");
        assert!(is_shorthand("v1") && is_shorthand("v1.2"));
        assert!(!is_shorthand("v1.2.3") && !is_shorthand("v1-pre") && !is_shorthand("x"));
    }

    #[test]
    fn sorted_sample_of_the_protocol() {
        let sample = [
            "v1.0.0-1",
            "v1.0.0--a-b",
            "v1.0.0-alpha",
            "v1.0.0-alpha.1",
            "v1.0.0-alpha.beta",
            "v1.0.0-beta",
            "v1.0.0-beta.2",
            "v1.0.0-beta.11",
            "v1.0.0-rc.1",
            "v1.0.0",
            "v1.0.0+a",
            "v1.0.1-0.20240301045959-abcdef123456",
            "v2.0.0+incompatible",
            "v10.0.0+incompatible",
        ];
        let mut sorted = sample;
        sorted.reverse();
        sorted.sort_by(|a, b| compare_total(a, b));
        assert_eq!(sorted, sample);
        assert_eq!(compare("v1.0.0", "v1.0.0+a"), Ordering::Equal);
    }

    #[test]
    fn invalid_forms() {
        for bad in [
            "",
            "v",
            "1.2.3",
            "v01",
            "v1.",
            "v1..2",
            "v1.02",
            "v1.2.03",
            "v1.2.3-",
            "v1.2.3+",
            "v1.2.3-a..b",
            "v1.2.3-01",
            "v1.2.3-a.00",
            "v1.2.3+a..b",
            "v1.2.3-é",
            "v1.2.3 ",
            "v1.2.3+a+b",
            "v1.2.3.4",
            "V1.2.3",
            "v1.2.3+a_b",
            "v-1.0.0",
            "v1.2.3-a_b",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
        for good in [
            "v0.0.0",
            "v1.2.3-0",
            "v1.2.3-0a",
            "v1.2.3+00",
            "v1.2.3---",
            "v1.2.3-a.0.1",
        ] {
            assert!(is_valid(good), "{good}");
        }
    }

    #[test]
    fn numbers_of_any_length() {
        let big = format!("v1.{}.0", "9".repeat(60));
        let bigger = format!("v1.1{}.0", "0".repeat(60));
        assert_eq!(compare(&big, &bigger), Ordering::Less);
    }

    fn versions() -> impl Strategy<Value = String> {
        "v[0-9]{1,3}(\\.[0-9]{1,2}(\\.[0-9]{1,2}(-[0-9a-b.-]{1,5})?(\\+[a-b.]{1,3})?)?)?"
    }

    proptest! {
        #[test]
        fn order_is_total(a in versions(), b in versions(), c in versions()) {
            prop_assert_eq!(compare_total(&a, &b), compare_total(&b, &a).reverse());
            prop_assert_eq!(compare_total(&a, &b) == Ordering::Equal, a == b);
            if compare_total(&a, &b).is_le() && compare_total(&b, &c).is_le() {
                prop_assert!(compare_total(&a, &c).is_le());
            }
        }

        #[test]
        fn order_is_numeric(a in any::<(u32, u32, u32)>(), b in any::<(u32, u32, u32)>()) {
            let text = |v: (u32, u32, u32)| format!("v{}.{}.{}", v.0, v.1, v.2);
            prop_assert_eq!(compare(&text(a), &text(b)), a.cmp(&b));
        }

        #[test]
        fn canonical_is_a_fixed_point(v in versions()) {
            if let Some(c) = canonical(&v) {
                prop_assert_eq!(compare(&v, &c), Ordering::Equal);
                prop_assert_eq!(canonical(&c), Some(c));
            }
        }
    }
}
