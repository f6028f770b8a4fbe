use super::*;
use proptest::prelude::*;

fn path(s: &str) -> ModulePath {
    ModulePath::parse(s).unwrap()
}

fn version(s: &str) -> Version {
    Version::parse(s).unwrap()
}

#[test]
fn canonical_forms() {
    for v in [
        "v0.0.0",
        "v1.2.3-pre.1",
        "v2.0.0+incompatible",
        "v0.0.1-go1.25.3.linux-amd64",
    ] {
        assert_eq!(Version::parse(v).as_ref().map(Version::as_str), Ok(v));
    }
    assert_eq!(
        Version::parse("v1.2"),
        Err(VersionError::NotCanonical("v1.2.0".into()))
    );
    assert_eq!(
        Version::parse("v1.2.3+meta"),
        Err(VersionError::NotCanonical("v1.2.3".into()))
    );
    assert_eq!(Version::parse("master"), Err(VersionError::NotSemver));
    assert_eq!(
        Version::canonicalize("v1.2+x"),
        Err(VersionError::NotSemver)
    );
    assert_eq!(Version::canonicalize("v1"), Ok(version("v1.0.0")));
    let long = format!("v1.0.0-{}", "a".repeat(300));
    assert_eq!(Version::parse(&long), Err(VersionError::TooLong));
}

#[test]
fn c34_version_strings() {
    for bad in [
        "nul", "CON.x", "v1.", "a:b", "a/b", "", "..", "a*b", "a?b", "é", "a\\b",
    ] {
        assert_eq!(Rev::parse(bad), Err(VersionError::Disallowed), "{bad}");
    }
    for name in [
        "HEAD",
        "a@b",
        "a%2fb",
        "x~1",
        "a b",
        "v1",
        "v1.2",
        "v1.2.3+meta",
    ] {
        assert!(matches!(Rev::parse(name), Ok(Rev::Name(_))), "{name}");
    }
    assert_eq!(Rev::parse("a!b"), Err(VersionError::Disallowed));
    assert_eq!(Rev::unescape("A"), Err(VersionError::BadEscape));
    assert_eq!(Rev::unescape("com1"), Err(VersionError::Disallowed));
    assert_eq!(
        Rev::unescape(&"a".repeat(MAX_VERSION + 1)),
        Err(VersionError::TooLong)
    );
    let rev = Rev::unescape("v1.0.0-!r!c1").unwrap();
    assert_eq!(rev, Rev::Version(version("v1.0.0-RC1")));
    assert_eq!(rev.escaped(), "v1.0.0-!r!c1");
    assert_eq!(rev.to_string(), "v1.0.0-RC1");
}

#[test]
fn c35_shorthands() {
    let prefix = |s| match Rev::parse(s) {
        Ok(Rev::Name(n)) => n.prefix().map(str::to_owned),
        _ => None,
    };
    assert_eq!(prefix("v1").as_deref(), Some("v1"));
    assert_eq!(prefix("v1.2").as_deref(), Some("v1.2"));
    for other in ["v1.2.3", "v1.2.3+meta", "v1-pre", "1", "master", "v01"] {
        assert_eq!(prefix(other), None, "{other}");
    }
    assert!(prefix_matches("v1", &version("v1.9.0")));
    assert!(!prefix_matches("v1", &version("v10.0.0")));
    assert!(prefix_matches("v1.2", &version("v1.2.0-pre")));
    assert!(!prefix_matches("v1.2", &version("v1.20.0")));
}

#[test]
fn c18_versions_that_fit_a_path() {
    let cases = [
        ("v1.0.0", "example.com/m", true),
        ("v2.0.0", "example.com/m", false),
        ("v2.0.0+incompatible", "example.com/m", true),
        ("v1.0.0+incompatible", "example.com/m", false),
        ("v0.0.0+incompatible", "example.com/m", false),
        ("v2.0.0", "example.com/m/v2", true),
        ("v2.0.0+incompatible", "example.com/m/v2", false),
        ("v3.0.0", "example.com/m/v2", false),
        ("v2.0.0", "gopkg.in/yaml.v2", true),
        ("v2.0.0+incompatible", "gopkg.in/yaml.v2", false),
        (
            "v0.0.0-20161208181325-20d25e280405",
            "gopkg.in/check.v1",
            true,
        ),
    ];
    for (v, p, fits) in cases {
        assert_eq!(version(v).fits(&path(p)), fits, "{p}@{v}");
    }
}

#[test]
fn pseudo_versions() {
    let pseudo = [
        "v0.0.0-20240301045959-abcdef123456",
        "v2.0.0-20240301045959-abcdef123456",
        "v1.2.10-0.20240301045959-abcdef123456",
        "v1.2.3-rc.1.0.20240301045959-abcdef123456",
        "v1.2.3-rc-x.0.20240301045959-abcdef123456",
        "v2.0.1-0.20240301045959-abcdef123456+incompatible",
        // Recognised, though no commit can have them.
        "v0.0.0-0.20240301045959-abcdef123456",
        "v2.0.0-20240301045959-abcdef123456+incompatible",
        "v10.0.0-20240301045959-A",
    ];
    for v in pseudo {
        assert!(is_pseudo_version(v), "{v}");
        assert_eq!(version(v).pseudo_time(), Some("20240301045959"), "{v}");
    }
    for v in [
        "v1.2.0-20240301045959-abcdef123456",
        "v0.0.0-2024030104595-abcdef123456",
        "v0.0.0-202403010459590-abcdef123456",
        "v0.0.0-20240301045959",
        "v0.0.0-20240301045959-abc.def",
        "v1.0.0-x0.20240301045959-abcdef123456",
        "v1.0.0-20240301045959-abcdef-123456",
        "v1.0.0-pre.20240301045959-abcdef123456",
        "v0.1.0-20240301045959-abcdef123456",
        "v1.0.0",
        "v0.0.1-go1.25.3.linux-amd64",
        "master",
    ] {
        assert!(!is_pseudo_version(v), "{v}");
    }
}

#[test]
fn order_puts_incompatible_behind_its_twin() {
    let mut list: Vec<_> = ["v2.0.0+incompatible", "v2.0.0", "v2.0.0-rc.1", "v10.0.0"]
        .map(version)
        .into();
    list.sort();
    let list: Vec<_> = list.iter().map(Version::as_str).collect();
    assert_eq!(
        list,
        ["v2.0.0-rc.1", "v2.0.0", "v2.0.0+incompatible", "v10.0.0"]
    );
}

#[test]
fn c28_bad_escapes_are_refused() {
    for bad in ["!A", "A", "a!", "a!!b", "", "é", "a/b", "nul", "v1.", "a:b"] {
        assert!(Rev::unescape(bad).is_err(), "{bad}");
    }
}

#[test]
fn escaped_revisions() {
    let escaped = |text: &str| Rev::parse(text).map(|rev| rev.escaped().into_owned());
    let plain = |text: &str| Rev::unescape(text).map(|rev| rev.as_str().to_owned());
    assert_eq!(escaped("HEAD").as_deref(), Ok("!h!e!a!d"));
    assert_eq!(plain("!h!e!a!d").as_deref(), Ok("HEAD"));
    for same in [
        "v1.2.3-alpha",
        "v3",
        "a@b",
        "a%2fb",
        "x~1",
        "a b",
        "v2.0.0+incompatible",
    ] {
        assert_eq!(escaped(same).as_deref(), Ok(same));
        assert_eq!(plain(same).as_deref(), Ok(same));
    }
    assert_eq!(escaped("v1.2.3-!alpha"), Err(VersionError::Disallowed));
    assert_eq!(plain("v1.2.3-!alpha").as_deref(), Ok("v1.2.3-Alpha"));
}

proptest! {
    #[test]
    fn canonical_versions_are_legal_strings(
        v in "v[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}(-[0-9A-Za-z.-]{1,12})?(\\+incompatible)?",
    ) {
        if let Ok(v) = Version::parse(&v) {
            prop_assert_eq!(Rev::unescape(&v.escaped()), Ok(Rev::Version(v)));
        }
    }

    #[test]
    fn escaped_revisions_come_back(text in "[ -~]{1,20}") {
        if let Ok(rev) = Rev::parse(&text) {
            prop_assert_eq!(Rev::unescape(&rev.escaped()), Ok(rev));
        }
    }

    #[test]
    fn arbitrary_text_never_panics(s in "\\PC{0,40}") {
        let _ = Version::parse(&s);
        let _ = Rev::parse(&s);
        let _ = Rev::unescape(&s);
        let _ = is_pseudo_version(&s);
    }
}

#[test]
fn c16_releases_first_then_pre_releases() {
    let versions = ["v1.0.0", "v2.0.0+incompatible", "v1.9.0-rc.1", "v1.1.0"];
    let versions = by_preference(
        versions
            .iter()
            .map(|v| Version::parse(v).unwrap())
            .collect(),
    );
    let shown: Vec<_> = versions.iter().map(Version::as_str).collect();
    assert_eq!(
        shown,
        ["v2.0.0+incompatible", "v1.1.0", "v1.0.0", "v1.9.0-rc.1"]
    );
}
