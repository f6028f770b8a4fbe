use super::*;
use proptest::prelude::*;

/// (path, valid as module path, import path, file path); from x/mod's module_test.go.
const PATHS: &[(&str, bool, bool, bool)] = &[
    ("x.y/z", true, true, true),
    ("x.y", true, true, true),
    ("", false, false, false),
    ("x.y/\u{FFFD}z", false, false, false),
    ("/x.y/z", false, false, false),
    ("x./z", false, false, false),
    (".x/z", false, true, true),
    ("-x/z", false, false, true),
    ("x..y/z", true, true, true),
    ("x.y/z/../../w", false, false, false),
    ("x.y//z", false, false, false),
    ("x.y/z//w", false, false, false),
    ("x.y/z/", false, false, false),
    ("x.y/z/v0", false, true, true),
    ("x.y/z/v1", false, true, true),
    ("x.y/z/v2", true, true, true),
    ("x.y/z/v2.0", false, true, true),
    ("x.y/z/v02", false, true, true),
    ("X.y/z", false, true, true),
    ("!x.y/z", false, false, true),
    ("_x.y/z", false, true, true),
    ("x.y!/z", false, false, true),
    ("x.y\"/z", false, false, false),
    ("x.y#/z", false, false, true),
    ("x.y$/z", false, false, true),
    ("x.y%/z", false, false, true),
    ("x.y&/z", false, false, true),
    ("x.y'/z", false, false, false),
    ("x.y(/z", false, false, true),
    ("x.y)/z", false, false, true),
    ("x.y*/z", false, false, false),
    ("x.y+/z", false, true, true),
    ("x.y,/z", false, false, true),
    ("x.y-/z", true, true, true),
    ("x.y./zt", false, false, false),
    ("x.y:/z", false, false, false),
    ("x.y;/z", false, false, false),
    ("x.y</z", false, false, false),
    ("x.y=/z", false, false, true),
    ("x.y>/z", false, false, false),
    ("x.y?/z", false, false, false),
    ("x.y@/z", false, false, true),
    ("x.y[/z", false, false, true),
    ("x.y\\/z", false, false, false),
    ("x.y]/z", false, false, true),
    ("x.y^/z", false, false, true),
    ("x.y_/z", false, true, true),
    ("x.y`/z", false, false, false),
    ("x.y{/z", false, false, true),
    ("x.y}/z", false, false, true),
    ("x.y~/z", false, true, true),
    ("x.y/z!", false, false, true),
    ("x.y/z\"", false, false, false),
    ("x.y/z#", false, false, true),
    ("x.y/z*", false, false, false),
    ("x.y/z++", false, true, true),
    ("x.y/z--", true, true, true),
    ("x.y/zt.", false, false, false),
    ("x.y/z:", false, false, false),
    ("x.y/z|", false, false, false),
    ("x.y/z~", true, true, true),
    ("x.y/x.foo", true, true, true),
    ("x.y/aux.foo", false, false, false),
    ("x.y/prn", false, false, false),
    ("x.y/prn2", true, true, true),
    ("x.y/com", true, true, true),
    ("x.y/com1", false, false, false),
    ("x.y/com0", true, true, true),
    ("x.y/com1.txt", false, false, false),
    ("x.y/calm1", true, true, true),
    ("x.y/LpT9", false, false, false),
    ("x.y/z~", true, true, true),
    ("x.y/z~0", false, false, true),
    ("x.y/z~09", false, false, true),
    ("x.y/z09", true, true, true),
    ("x.y/z09~", true, true, true),
    ("x.y/z09~09z", true, true, true),
    ("x.y/z09~09z~09", false, false, true),
    ("github.com/!123/logrus", false, false, true),
    ("github.com/user/unicode/испытание", false, false, true),
    ("../x", false, false, false),
    ("./y", false, false, false),
    ("x:y", false, false, false),
    ("\\temp\\foo", false, false, false),
    (".gitignore", false, true, true),
    (".github/ISSUE_TEMPLATE", false, true, true),
    ("x☺y", false, false, false),
    ("a~1", false, false, true),
    ("a..b", true, true, true),
    ("e\u{301}", false, false, false),
    ("a b", false, false, true),
    ("example.com", true, true, true),
    ("...", false, false, false),
    ("example.com/a\0b", false, false, false),
    ("example.com/a\nb", false, false, false),
];

#[test]
fn c33_check_path_table() {
    for &(path, module, import, file) in PATHS {
        assert_eq!(check_module_path(path).is_ok(), module, "module {path:?}");
        assert_eq!(check_import_path(path).is_ok(), import, "import {path:?}");
        assert_eq!(check_file_path(path).is_ok(), file, "file {path:?}");
    }
}

#[test]
fn c33_major_suffix_table() {
    let cases = [
        ("x.y/z", Some("")),
        ("x.y/z/v2", Some("/v2")),
        ("x.y/z/v3", Some("/v3")),
        ("x.y/v", Some("")),
        ("x.y/z/v", Some("")),
        ("example.com/v2", Some("/v2")),
        ("example.com/m/v10", Some("/v10")),
        ("example.com/m/v1", None),
        ("example.com/m/v0", None),
        ("example.com/m/v02", None),
        ("example.com/m/v2.0", None),
        ("example.com/mv2", Some("")),
        ("gopkg.in/yaml.v2", Some(".v2")),
        ("gopkg.in/x/y.v3-unstable", Some(".v3-unstable")),
        ("gopkg.in/yaml.v0", Some(".v0")),
        ("gopkg.in/yaml.v1", Some(".v1")),
        ("gopkg.in/yaml.v02", None),
        ("gopkg.in/yaml.v0-unstable", None),
        ("gopkg.in/yaml", None),
        ("gopkg.in/yaml.v2/sub", None),
        ("gopkg.in/yaml.v", None),
        ("gopkg.in/yaml/v2", None),
    ];
    for (path, major) in cases {
        assert_eq!(split_path_version(path).map(|s| s.1), major, "{path}");
        match (ModulePath::parse(path), major) {
            (Ok(p), Some(major)) => {
                assert_eq!(p.path_major(), major, "{path}");
                assert_eq!(format!("{}{}", p.prefix(), major), path);
            }
            (Err(PathError::BadMajor), None) => {}
            other => panic!("{path}: {other:?}"),
        }
    }
    assert_eq!(split_path_version("/v2"), Some(("", "/v2")));
}

#[test]
fn c18_match_path_major_table() {
    let cases = [
        ("v0.1.0", "", true),
        ("v1.2.3", "", true),
        ("v2.0.0", "", false),
        ("v2.0.0+incompatible", "", true),
        ("v1.0.0+incompatible", "", true),
        ("v2.0.0", "/v2", true),
        ("v2.0.0+incompatible", "/v2", true),
        ("v3.0.0", "/v2", false),
        ("v1.0.0", "/v2", false),
        ("v2.1.0", ".v2", true),
        ("v3.1.0", ".v3-unstable", true),
        ("v3.1.0", ".v2", false),
        ("v0.0.0-20160101000000-0123456789ab", ".v1", true),
        ("v0.0.0-20160101000000-0123456789ab", ".v2", false),
        ("v0.0.0", ".v1", false),
        ("bad", "", false),
    ];
    for (version, major, ok) in cases {
        assert_eq!(match_path_major(version, major), ok, "{version} {major}");
    }
}

#[test]
fn lengths_are_bounded() {
    let element = |n| format!("example.com/{}", "a".repeat(n));
    assert!(ModulePath::parse(&element(255)).is_ok());
    assert_eq!(ModulePath::parse(&element(256)), Err(PathError::TooLong));
    // Upper case doubles in its escaped form, which is what a file system sees.
    let upper = format!("example.com/{}", "A".repeat(128));
    assert_eq!(ModulePath::parse(&upper), Err(PathError::TooLong));
    let deep = |n| format!("example.com{}", "/a".repeat(n));
    assert!(ModulePath::parse(&deep(494)).is_ok());
    assert_eq!(ModulePath::parse(&deep(495)), Err(PathError::TooLong));
}

#[test]
fn a_path_prints_as_itself() {
    let path = ModulePath::parse("github.com/BurntSushi/toml").unwrap();
    assert_eq!(
        format!("{path} {path:?}"),
        format!("{0} {0}", path.as_str())
    );
    assert_eq!(path.escaped(), "github.com/!burnt!sushi/toml");
    assert_eq!(ModulePath::unescape(&path.escaped()), Ok(path));
    assert!(
        ModulePath::parse("golang.org/toolchain")
            .unwrap()
            .is_toolchain()
    );
    assert!(
        !ModulePath::parse("golang.org/toolchain/v2")
            .unwrap()
            .is_toolchain()
    );
}

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
        let path = ModulePath::parse(path).unwrap();
        assert_eq!(path.escaped(), escaped);
        assert_eq!(ModulePath::unescape(escaped), Ok(path));
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
        assert!(ModulePath::unescape(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(s in "\\PC{0,40}") {
        let _ = check_module_path(&s);
        let _ = check_import_path(&s);
        let _ = ModulePath::unescape(&s);
        let _ = check_file_path(&s);
        let _ = split_path_version(&s);
        let _ = match_path_major(&s, &s);
    }

    #[test]
    fn the_kinds_are_nested(s in "[a-z.~/A-Z0-9_+ -]{1,20}") {
        if check_module_path(&s).is_ok() {
            prop_assert!(check_import_path(&s).is_ok());
        }
        if check_import_path(&s).is_ok() {
            prop_assert!(check_file_path(&s).is_ok());
        }
    }

    #[test]
    fn escaped_paths_come_back(path in "[a-z]{1,6}\\.[a-z]{2,3}(/[A-Za-z0-9_~-]{1,8}){0,4}") {
        if let Ok(path) = ModulePath::parse(&path) {
            let escaped = path.escaped().into_owned();
            prop_assert!(!escaped.bytes().any(|b| b.is_ascii_uppercase()));
            prop_assert_eq!(escaped.len(), escape::banged_len(path.as_str()));
            prop_assert_eq!(ModulePath::unescape(&escaped), Ok(path));
        }
    }
}
