use super::*;
use proptest::prelude::*;

#[test]
fn c43_module_line() {
    let cases: &[(&str, Option<&str>)] = &[
        (
            "module \"github.com/rsc/vgotest\"",
            Some("github.com/rsc/vgotest"),
        ),
        (
            "module github.com/rsc/vgotest",
            Some("github.com/rsc/vgotest"),
        ),
        (
            "module  \"github.com/rsc/vgotest\"",
            Some("github.com/rsc/vgotest"),
        ),
        (
            "module \"github.com/rsc/vgotest\" // comment",
            Some("github.com/rsc/vgotest"),
        ),
        (
            "module github.com/rsc/vgotest // comment",
            Some("github.com/rsc/vgotest"),
        ),
        ("module  \"gith\" + \"ub.com/rsc/vgotest\"", None),
        (
            "module \"gith\\\"ub.com/rsc/vgotest\"",
            Some("gith\"ub.com/rsc/vgotest"),
        ),
        (
            "module `github.com/rsc/vgotest`",
            Some("github.com/rsc/vgotest"),
        ),
        ("module \"github.com/rsc/vgo\ntest\"", None),
        (
            "module \"github.com/rsc/vgo\\ntest\"",
            Some("github.com/rsc/vgo\ntest"),
        ),
        (
            "module github.com/rsc/vgotest\n\nrequire x v1",
            Some("github.com/rsc/vgotest"),
        ),
        ("// c\nrequire x v1\r\n\tmodule\tx.y/z\r\n", Some("x.y/z")),
        ("module (\n\tx.y/z // c\n)\n", Some("x.y/z")),
        ("module (\n\t\"x.y/z\"\n)\n", Some("x.y/z")),
        ("module(\n\tx.y/z\n)\n", Some("x.y/z")),
        ("module ()\n", None),
        ("module\n", None),
        ("modules x.y/z\n", None),
        ("module \"\"\n", None),
        ("golang.org/toolchain\n", None),
        ("<!DOCTYPE html>\n<p>module</p>\n", None),
        ("", None),
    ];
    for &(body, path) in cases {
        assert_eq!(module_path(body.as_bytes()).as_deref(), path, "{body:?}");
    }
    assert_eq!(
        module_path(b"\xff\xfe\nmodule x.y/z\n").as_deref(),
        Some("x.y/z")
    );
}

#[test]
fn c16_retractions() {
    let body = "module x.y/z\n\
        retract v1.0.0 // Deprecated: no\n\
        retract [v1.1.0, v1.2.5]\n\
        retract (\n\
        \t// whole line\n\
        \tv1.3.0\n\
        \t[v1.4.0,v1.5] // because\n\
        \t[v1.6.0]\n\
        \tmaster\n\
        \t\"v1.7.0\"\n\
        )\n\
        retract v2.0.0+incompatible\n";
    let found: Vec<_> = retractions(body.as_bytes())
        .iter()
        .map(|r| format!("{}..{}", r.low, r.high))
        .collect();
    assert_eq!(
        found,
        [
            "v1.0.0..v1.0.0",
            "v1.1.0..v1.2.5",
            "v1.3.0..v1.3.0",
            "v1.4.0..v1.5",
            "master..master",
            "v1.7.0..v1.7.0",
            "v2.0.0+incompatible..v2.0.0+incompatible",
        ]
    );
    let covered = |v: &str| {
        let v = Version::parse(v).unwrap();
        retractions(body.as_bytes()).iter().any(|r| r.covers(&v))
    };
    assert!(covered("v1.5.0") && !covered("v1.5.1"));
    assert!(covered("v1.0.0") && covered("v1.1.0") && covered("v1.2.5-rc.1"));
    assert!(!covered("v1.0.1") && !covered("v1.1.0-rc.1") && !covered("v1.2.6"));
}

#[test]
fn c113_a_go_line_counts_in_a_sound_file_only() {
    let go = |rest: &str| {
        let body = format!("module x.y/z\ngo 1.24\n{rest}\n");
        go_version_if_sound(body.as_bytes())
    };
    for rest in [
        "",
        "unknown words",
        ")",
        "replace x",
        "retract nonsense",
        "require (\n\ta.com/b v1.0.0 // c\n\t\"a.com/b/v2\" v2.0.0\n)",
    ] {
        assert_eq!(go(rest).as_deref(), Some("1.24"), "{rest}");
    }
    for rest in [
        "go 1.24",
        "module x.y/z",
        "require",
        "require a.com/b v2.0.0",
        "require a.com/b/v1 v1.0.0",
        "require a.com/b master",
        "require (",
        "unknown (",
        "require (\n) x",
        "/* c */",
        "\"a",
    ] {
        assert_eq!(go(rest), None, "{rest}");
    }
}

#[test]
fn requirements_in_all_forms() {
    let body = "module x\ngo 1.21\n\
        require a.com/a v1.2.3\n\
        require (\n\ta.com/b v1.0.0 // indirect\n\t\"a.com/c\" v2.0.0+incompatible\n\
        \ta.com/d master\n\ta.com/e v1 extra\n\n\ta.com/f v0.0.0-20240301045959-abcdef123456\n)\n\
        require ( )\n\
        exclude a.com/x v1.0.0\n\
        replace a.com/y v1.0.0 => a.com/z v1.0.0\n\
        unknown (\n\trequire a.com/q v1.0.0\n)\n\
        two words (\n\ta.com/q v1.0.0\n)\n\
        require a.com/g v1\n";
    let found = requirements(body.as_bytes());
    let found: Vec<_> = found
        .iter()
        .map(|(p, v)| (p.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("a.com/a", "v1.2.3"),
            ("a.com/b", "v1.0.0"),
            ("a.com/c", "v2.0.0+incompatible"),
            ("a.com/f", "v0.0.0-20240301045959-abcdef123456"),
            ("a.com/g", "v1.0.0"),
        ]
    );
    assert!(requirements(b"/* c */ require a.com/a v1.0.0\nrequire `a` v1.0.0").is_empty());
}

#[test]
fn go_lines() {
    let go = |line: &str| go_version(format!("module x\n{line}\n").as_bytes());
    for v in [
        "1.21",
        "1.9",
        "1.21.3",
        "1.21rc1",
        "1.21.0rc2",
        "1.999",
        "2.0",
    ] {
        assert_eq!(go(&format!("go {v}")).as_deref(), Some(v));
    }
    for (v, lax) in [
        ("v1.21", None),
        ("v1.21.1", Some("1.21")),
        ("1.21-custom", Some("1.21")),
        ("1.21.", Some("1.21")),
        ("1.21.03", Some("1.21")),
        ("1.21rc", Some("1.21")),
        ("1", None),
        ("01.2", None),
        ("1.02", None),
        ("0.1", None),
        ("x", None),
    ] {
        assert_eq!(go(&format!("go {v}")).as_deref(), lax, "{v}");
    }
    assert_eq!(go("go 1.21 extra"), None);
    assert_eq!(go("go (\n1.21\n)"), None);
    assert_eq!(go("go 1.21 // c\ngo 1.22").as_deref(), Some("1.21"));
    assert_eq!(go(""), None);
}

#[test]
fn c13_synthesized() {
    let path = ModulePath::parse("github.com/BurntSushi/toml").unwrap();
    let body = synthesized(&path);
    assert_eq!(body, "module github.com/BurntSushi/toml\n");
    assert_eq!(module_path(body.as_bytes()).as_deref(), Some(path.as_str()));
}

proptest! {
    #[test]
    fn synthesized_reads_back(s in "[a-z]{1,4}\\.[a-z]{2}(/[A-Za-z0-9._~-]{1,6}){0,3}") {
        if let Ok(path) = ModulePath::parse(&s) {
            prop_assert_eq!(module_path(synthesized(&path).as_bytes()), Some(s));
        }
    }

    #[test]
    fn arbitrary_text_never_panics(
        body in "(module|require|retract|go|\\(|\\)|\\[|\\]|,|\"|`|\\\\|x|é|v1|//|/\\*| |\n){0,20}",
    ) {
        let body = body.as_bytes();
        let _ = (module_path(body), retractions(body), requirements(body), go_version(body));
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = (module_path(&body), retractions(&body), requirements(&body), go_version(&body));
    }
}
