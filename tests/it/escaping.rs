//! Names on the wire, in the cache and on disk (checklist 26 to 34).

use crate::support::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::HashSet;

#[test]
fn c26_encoded_and_literal_bang_are_one_resource() {
    let module = Module::new("github.com/BurntSushi/toml", "v1.0.0-RC.1");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    let encoded = larder.get("/github.com/%21burnt%21sushi/toml/@v/list");
    assert_eq!(encoded.ok(), b"v1.0.0-RC.1\n");
    let literal = larder.get("/github.com/!burnt!sushi/toml/@v/list");
    assert_eq!(literal.ok(), encoded.body);
    let zip = larder.get("/github.com/%21burnt%21sushi/toml/@v/v1.0.0-%21r%21c.1.zip");
    assert_eq!(zip.ok(), module.zip_bytes());
    // Any byte may be encoded.
    let odd = larder.get("/%67ithub.com/!burnt!sushi/%74oml/@v/v1.0.0-!r!c%2e1.zip");
    assert_eq!(odd.ok(), module.zip_bytes());
    let letters = larder.get("/github.com/!burnt!sushi/toml/@v/%6cist");
    assert!([200, 404].contains(&letters.status));
    assert_eq!(up.count("/github.com/!burnt!sushi/toml/@v/list"), 1);
    assert_eq!(up.count("*.zip"), 1);
}

#[test]
fn c27_unescaped_upper_case_is_refused() {
    let up = FakeUpstream::serving(&[Module::new("github.com/BurntSushi/toml", "v1.0.0-RC1")]);
    let larder = larder().of(&up).start();
    for path in [
        "/github.com/BurntSushi/toml/@v/list",
        "/github.com/BurntSushi/toml/@latest",
        "/github.com/%42urnt%53ushi/toml/@v/list",
        "/github.com/!burnt!sushi/toml/@v/v1.0.0-RC1.info",
        "/github.com/!burnt!sushi/toml/@v/v1.0.0-!r!C1.mod",
        "/github.com/!burnt!sushi/toml/@v/HEAD.info",
    ] {
        larder.get(path).refuses(&[400, 404]);
    }
    up.assert_untouched();
}

#[test]
fn c28_bad_bangs_are_refused() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    for name in ["a!!b", "a!", "!A", "!1", "a!-b", "a!_b", "!", "!!", "!%21a"] {
        for path in [
            format!("/example.com/{name}/@v/list"),
            format!("/example.com/{name}/@v/v1.0.0.info"),
            format!("/example.com/m/@v/{name}.info"),
        ] {
            let answer = larder.get(&path);
            assert!(
                [400, 404].contains(&answer.status),
                "{path}: {}",
                answer.status
            );
        }
    }
    up.assert_untouched();
}

#[test]
fn c29_plus_is_a_plus() {
    let module = Module::new("example.com/m", "v2.0.0+incompatible").no_gomod();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    for kind in ["info", "mod", "zip"] {
        let literal = larder.get(&format!("/example.com/m/@v/v2.0.0+incompatible.{kind}"));
        let encoded = larder.get(&format!("/example.com/m/@v/v2.0.0%2Bincompatible.{kind}"));
        let lower = larder.get(&format!("/example.com/m/@v/v2.0.0%2bincompatible.{kind}"));
        assert_eq!(literal.ok(), encoded.ok());
        assert_eq!(literal.ok(), lower.ok());
    }
    assert_eq!(up.total(), 3);
    larder
        .get("/example.com/m/@v/v2.0.0%20incompatible.zip")
        .refuses(&[400, 404]);
}

#[test]
fn c30_tricks_in_the_path_reach_nothing() {
    let up = FakeUpstream::start();
    let builder = larder().of(&up);
    builder.write("secret.zip", "not yours");
    let larder = builder.start();
    std::fs::write(larder.data_dir().join("secret.info"), "not yours").unwrap();
    let before = larder.files("modules").len();
    for path in [
        "/example.com/../secret/@v/list",
        "/example.com/m/@v/../../../secret.zip",
        "/example.com/%2e%2e/m/@v/list",
        "/example.com/m/@v/%2e%2e%2f%2e%2e%2fsecret.info",
        "/%2e%2e/%2e%2e/@v/v1.0.0.info",
        "/example.com/m%2f..%2f../@v/v1.0.0.zip",
        "/example.com%2fm/@v/a%2fb.info",
        "/example.com//m/@v/list",
        "//example.com/m/@v/list",
        "/example.com/m//@v/list",
        "/example.com/m/@v//v1.0.0.info",
        "/example.com/m%00/@v/list",
        "/example.com/m/@v/v1.0.0%00.info",
        "/example.com/m\\n/@v/list",
        "/example.com/m%5cn/@v/list",
        "/example.com/m%ff/@v/list",
        "/example.com/m/@v/%c3%28.info",
        "/example.com/m/@v/v1.0.0%0d%0aX-Evil:1.info",
        "/example.com/m%/@v/list",
        "/example.com/m%4/@v/list",
        "/example.com/m%zz/@v/list",
        "/./example.com/m/@v/list",
        "/example.com/./m/@v/list",
    ] {
        let answer = Request::get(path).try_send(larder.addr());
        let Ok(answer) = answer else { continue };
        let shown = format!("{path}: {}", answer.describe());
        assert!([400, 404].contains(&answer.status), "{shown}");
        assert!(!answer.text().contains("not yours"), "{shown}");
        assert_eq!(answer.header("x-evil"), None, "{shown}");
    }
    up.assert_untouched();
    assert_eq!(larder.files("modules").len(), before);
}

#[test]
fn c31_nothing_is_decoded_twice() {
    let up = FakeUpstream::serving(&[Module::new("example.com/M", "v1.0.0")]);
    let larder = larder().of(&up).start();
    for path in [
        "/example.com/%2521m/@v/list",
        "/example.com/%25216d/@v/list",
        "/example.com/m/@v/v1.0.0%252Bx.info",
    ] {
        // A decoded `%21` is a legal version string at most, never a bang.
        larder.get(path).refuses(&[400, 404]);
    }
    assert_eq!(up.count("/example.com/!m*"), 0);
}

#[test]
fn c32_names_that_differ_in_case_share_nothing() {
    let upper = Module::new("example.com/M", "v1.0.0-RC");
    let lower = Module::new("example.com/m", "v1.0.0-rc");
    let up = FakeUpstream::serving(&[upper.clone(), lower.clone()]);
    let larder = larder().of(&up).start();
    for _ in 0..2 {
        for module in [&upper, &lower] {
            assert_eq!(larder.get(&module.url("info")).ok(), module.info_bytes());
            assert_eq!(larder.get(&module.url("mod")).ok(), module.mod_bytes());
            assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
            let list = format!("{}\n", module.version);
            assert_eq!(larder.get(&module.list_url()).ok(), list.as_bytes());
        }
    }
    // Nor would they on a disk that ignores case.
    until("both zips kept", || {
        let files = larder.files("modules");
        let names: HashSet<String> = files
            .iter()
            .map(|f| f.to_str().unwrap().to_lowercase())
            .collect();
        assert_eq!(names.len(), files.len(), "{files:?}");
        let zips = names.iter().filter(|n| n.ends_with(".zip")).count();
        (zips == 2).then_some(())
    });
    assert!(larder.blob("/example.com/!m/@v/v1.0.0-!r!c.zip").exists());
}

#[test]
fn c33_impossible_module_paths_are_404_without_asking() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    let long = "l".repeat(256);
    let deep = format!("example.com{}", "/element".repeat(150));
    for path in [
        "-example.com/m",
        "example.com/-x/../y",
        "example.com/m.",
        "example.com/m/...",
        "example.com/.hidden",
        "example.com/con",
        "example.com/aux.go",
        "example.com/com1",
        "example.com/lpt9.x",
        "example.com/short~1",
        "example.com/a+b",
        "example.com/a%20b",
        "example.com/a:b",
        "example.com/m%C3%A9",
        "example/m",
        "localhost/m",
        "!example.com/m",
        "ex_ample.com/m",
        "example.com/m/v1",
        "example.com/m/v0",
        "example.com/m/v02",
        "example.com/m/v2.0",
        "gopkg.in/yaml",
        "gopkg.in/yaml.v2/sub",
        "gopkg.in/yaml.v02",
        "github.com",
        &format!("example.com/{long}"),
        &deep,
    ] {
        if path == "github.com" {
            continue; // A host alone is a module path like any other.
        }
        for end in ["@v/list", "@latest", "@v/v1.0.0.info", "@v/v1.0.0.zip"] {
            let target = format!("/{path}/{end}");
            let answer = larder.get(&target);
            assert_eq!(answer.status, 404, "{target}: {}", answer.describe());
            answer.refuses(&[404]);
        }
    }
    up.assert_untouched();
}

#[test]
fn c33_unusual_module_paths_are_asked_for() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    let long = "l".repeat(255);
    for path in [
        "example.com/v2",
        "example.com/m/v2",
        "gopkg.in/yaml.v2",
        "gopkg.in/x/y.v3-unstable",
        "gopkg.in/old.v0",
        "example.com/a..b",
        "example.com/a~b/_c-d.e",
        "example.com",
        "127.0.0.1/m",
        "golang.org/toolchain",
        "example.com/connect",
        "example.com/vault/v10",
        &format!("example.com/{long}"),
    ] {
        larder.get(&format!("/{path}/@v/list")).refuses(&[404]);
        assert_eq!(up.count(&format!("/{path}/@v/list")), 1, "{path}");
    }
}

#[test]
fn c34_impossible_versions_are_404_without_asking() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    let long = format!("v1.0.0-{}", "l".repeat(250));
    for version in [
        "con",
        "nul.x",
        "aux",
        "trailing.",
        "a:b",
        "a*b",
        "a%3Fb",
        "a%22b",
        "a%7Cb",
        "%C3%A9",
        "..",
        "%2e",
        "a%5Cb",
        "feature%2Fx",
        &long,
    ] {
        for kind in ["info", "mod", "zip"] {
            let target = format!("/example.com/m/@v/{version}.{kind}");
            let answer = larder.get(&target);
            assert_eq!(answer.status, 404, "{target}: {}", answer.describe());
        }
    }
    up.assert_untouched();
}

#[test]
fn c34_unusual_versions_are_asked_for() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    for version in [
        "a@b",
        "x~1",
        "a b",
        "a%b",
        "HEAD",
        "-",
        "release-1.0",
        "v1.0.0+meta",
        "v1.0.0-0.20240301045959-abcdef123456",
    ] {
        let escaped = modules::escape(version);
        let wire = escaped.replace('%', "%25").replace(' ', "%20");
        let target = format!("/example.com/m/@v/{wire}.info");
        larder.get(&target).refuses(&[404]);
        let path = format!("/example.com/m/@v/{escaped}.info");
        assert!(up.count(&path) >= 1, "{version}: {:?}", up.paths());
    }
}

/// What may reach an upstream: escaped paths of possible modules and nothing else.
fn is_clean(path: &str) -> bool {
    let Some((module, end)) = path.strip_prefix('/').and_then(|p| p.split_once("/@")) else {
        return false;
    };
    let possible = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._~!".contains(c);
    let element = |e: &str| {
        !e.is_empty() && e.chars().all(possible) && !e.starts_with('.') && !e.ends_with(['.', '!'])
    };
    let file = end.strip_prefix("v/").unwrap_or(end);
    module.split('/').all(element)
        && module.split('/').next().is_some_and(|h| h.contains('.'))
        && !file.contains('/')
        && file.is_ascii()
        && !file
            .chars()
            .any(|c| c.is_ascii_uppercase() || c.is_control())
}

#[test]
fn c30_whatever_is_asked_only_clean_names_reach_the_upstream() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    let piece = prop_oneof![
        "[a-z]{1,5}",
        Just("example.com".to_owned()),
        Just("@v".to_owned()),
        Just("@latest".to_owned()),
        Just("v1.0.0.info".to_owned()),
        Just("list".to_owned()),
        Just("%2e%2e".to_owned()),
        Just("..".to_owned()),
        Just("%2f".to_owned()),
        Just("!".to_owned()),
        "![a-zA-Z0-9]",
        "%[0-9a-fA-F]{2}",
        "[ -~&&[^ #?]]{0,6}",
    ];
    let path = prop::collection::vec((piece, prop_oneof![Just("/"), Just("")]), 0..10);
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&path, |pieces| {
            let mut target = "/".to_owned();
            for (piece, end) in &pieces {
                target.push_str(piece);
                target.push_str(end);
            }
            let answer = Request::get(&target).try_send(larder.addr());
            let answer = answer.map_err(|e| TestCaseError::fail(format!("{target}: {e}")))?;
            prop_assert!(answer.status < 500, "{target}: {}", answer.describe());
            Ok(())
        })
        .unwrap();
    for request in up.requests() {
        assert!(is_clean(&request.path), "{}", request.target);
        assert!(!request.target.contains("%25"), "{}", request.target);
    }
}

#[test]
fn c26_every_possible_name_goes_through_unharmed() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).set("prefetch.enabled", "false").start();
    let name = (
        "[a-z]{1,6}\\.(com|org)",
        "(/[A-Za-z][A-Za-z0-9_-]{0,8}[A-Za-z]){0,3}",
        "v[01]\\.[0-9]\\.[0-9](-[A-Za-z]{1,5})?",
    );
    let config = Config {
        cases: 100,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&name, |(host, rest, version)| {
            let module = Module::new(&format!("{host}{rest}"), &version);
            let device =
                |e: &str| ["con", "prn", "aux", "nul"].contains(&e.to_lowercase().as_str());
            prop_assume!(!module.path.split('/').any(device));
            up.add(&module);
            let literal = larder.get(&module.url("mod"));
            prop_assert_eq!(&literal.body, &module.mod_bytes());
            let encoded = larder.get(&module.url("mod").replace('!', "%21"));
            prop_assert_eq!(&encoded.body, &module.mod_bytes());
            let last = up.last("*").path;
            prop_assert_eq!(last, module.url("mod"));
            Ok(())
        })
        .unwrap();
}
