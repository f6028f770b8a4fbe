//! What each endpoint answers (checklist 1 to 18, 35).

use crate::support::*;

fn lines(response: &Response) -> Vec<String> {
    let text = String::from_utf8(response.ok().to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn c01_list_is_one_tag_per_line() {
    let up = FakeUpstream::serving(&[
        Module::new("example.com/m", "v1.0.0"),
        Module::new("example.com/m", "v1.1.0"),
        Module::new("example.com/m", "v1.2.0-rc.1"),
    ]);
    let larder = larder().of(&up).start();
    let list = larder.get("/example.com/m/@v/list");
    let mut versions = lines(&list);
    versions.sort();
    assert_eq!(versions, ["v1.0.0", "v1.1.0", "v1.2.0-rc.1"]);
    assert!(list.body.ends_with(b"\n"), "a final newline");
}

#[test]
fn c02_list_has_no_pseudo_versions_and_no_other_majors() {
    let up = FakeUpstream::start();
    up.put_list(
        "example.com/m",
        "  v1.0.0\r\n\r\nv1.0.1-0.20240301045959-abcdef123456\nv1.1.0 2024-03-01T04:59:59Z\n\
         v2.0.0\nv3.0.0+incompatible\nnonsense\nv0.0.0-20240301045959-abcdef123456\nv1.2\n",
    );
    let larder = larder().of(&up).start();
    let mut versions = lines(&larder.get("/example.com/m/@v/list"));
    versions.sort();
    assert_eq!(versions, ["v1.0.0", "v1.1.0", "v3.0.0+incompatible"]);
}

#[test]
fn c02_list_of_a_major_has_that_major_only() {
    let up = FakeUpstream::start();
    up.put_list("example.com/m/v2", "v1.9.0\nv2.0.0\nv2.1.0\nv3.0.0\n");
    up.put_list("gopkg.in/yaml.v3", "v2.4.0\nv3.0.1\nv3.1.0+incompatible\n");
    let larder = larder().of(&up).start();
    let mut versions = lines(&larder.get("/example.com/m/v2/@v/list"));
    versions.sort();
    assert_eq!(versions, ["v2.0.0", "v2.1.0"]);
    let versions = lines(&larder.get("/gopkg.in/yaml.v3/@v/list"));
    assert!(versions.contains(&"v3.0.1".to_owned()), "{versions:?}");
    assert!(!versions.contains(&"v2.4.0".to_owned()), "{versions:?}");
}

#[test]
fn c03_list_without_tags_is_empty_200() {
    let up = FakeUpstream::start();
    up.put_list("example.com/m", "");
    up.put_list(
        "example.com/commits",
        "v0.0.0-20240301045959-abcdef123456\n",
    );
    let larder = larder().of(&up).start();
    assert_eq!(larder.get("/example.com/m/@v/list").ok(), b"");
    assert_eq!(larder.get("/example.com/commits/@v/list").ok(), b"");
    // And again from what is kept.
    assert_eq!(larder.get("/example.com/m/@v/list").ok(), b"");
}

#[test]
fn c04_list_of_an_unknown_module_is_404() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    larder.get("/example.com/m/@v/list").refuses(&[404, 410]);
    larder.get("/example.com/m/@v/list").refuses(&[404, 410]);
}

#[test]
fn c05_list_keeps_retracted_and_incompatible_versions() {
    let retracting = Module::new("example.com/m", "v1.1.0").gomod_more("\nretract v1.0.0\n");
    let up = FakeUpstream::serving(&[
        Module::new("example.com/m", "v1.0.0"),
        retracting,
        Module::new("example.com/m", "v2.0.0+incompatible").no_gomod(),
    ]);
    let larder = larder().of(&up).start();
    let mut versions = lines(&larder.get("/example.com/m/@v/list"));
    versions.sort();
    assert_eq!(versions, ["v1.0.0", "v1.1.0", "v2.0.0+incompatible"]);
}

#[test]
fn c06_info_is_passed_on_byte_for_byte() {
    // Odd spacing, a zone other than UTC, members nobody knows, no final newline, no time.
    let odd = "{ \"Version\" : \"v1.0.0\",\n\t\"Time\":\"2024-03-01T06:59:59+02:00\" , \"Origin\":{\"VCS\":\"git\",\
               \"URL\":\"https://example.com/m\",\"Hash\":\"8afe2b2e\",\"Ref\":\"refs/tags/v1.0.0\"},\"X\":[1, 2]}  \n";
    let timeless = "{\"Version\":\"v1.1.0\"}";
    let up = FakeUpstream::serving(&[
        Module::new("example.com/m", "v1.0.0").info(odd),
        Module::new("example.com/m", "v1.1.0").info(timeless),
    ]);
    let larder = larder().of(&up).start();
    for _ in 0..2 {
        let info = larder.get("/example.com/m/@v/v1.0.0.info");
        assert_eq!(info.ok(), odd.as_bytes());
        let info = larder.get("/example.com/m/@v/v1.1.0.info");
        assert_eq!(info.ok(), timeless.as_bytes());
    }
    assert_eq!(up.count("*.info"), 2);
}

#[test]
fn c07_info_of_a_version_that_does_not_fit_may_name_the_one_that_does() {
    let module = Module::new("example.com/m", "v2.0.0+incompatible").no_gomod();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.query(&module, "v2.0.0");
    let larder = larder().of(&up).start();
    let info = larder.get("/example.com/m/@v/v2.0.0.info");
    assert_eq!(info.ok(), module.info_bytes());
}

#[test]
fn c10_info_of_a_branch_names_a_canonical_version() {
    let module = Module::new("example.com/m", "v1.0.1-0.20240301045959-abcdef123456");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.query(&module, "master");
    let larder = larder().of(&up).start();
    let info = larder.get("/example.com/m/@v/master.info");
    assert_eq!(info.ok(), module.info_bytes());
    larder.get_hit("/example.com/m/@v/master.info");
    assert_eq!(up.count("*/master.info"), 1);
}

#[test]
fn c11_short_and_full_hash_lead_to_the_same_version() {
    let module = Module::new("example.com/m", "v1.0.1-0.20240301045959-abcdef123456");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let full = "abcdef123456789012345678901234567890abcd";
    up.query(&module, "abcdef123456");
    up.query(&module, full);
    let larder = larder().of(&up).start();
    let short = larder.get("/example.com/m/@v/abcdef123456.info");
    let long = larder.get(&format!("/example.com/m/@v/{full}.info"));
    assert_eq!(short.ok(), module.info_bytes());
    assert_eq!(short.ok(), long.ok());
}

#[test]
fn c12_mod_is_the_original_bytes() {
    let text = "// A comment first.\r\nmodule \"example.com/m\" // and one here\r\n\r\ngo 1.999\r\n\r\nfuture directive";
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0").gomod(text)]);
    let larder = larder().of(&up).start();
    for _ in 0..2 {
        let gomod = larder.get("/example.com/m/@v/v1.0.0.mod");
        assert_eq!(gomod.ok(), text.as_bytes());
    }
    assert_eq!(up.count("*"), 1);
}

#[test]
fn c13_mod_of_a_tree_without_one_is_synthetic() {
    let module = Module::new("example.com/m", "v1.0.0").no_gomod();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    assert_eq!(
        larder.get(&module.url("mod")).ok(),
        b"module example.com/m\n"
    );
    // The zip has no go.mod either, and that is legal.
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
}

#[test]
fn c12_a_fork_keeps_the_path_of_its_original() {
    let fork = Module::new("example.com/fork", "v1.0.0").gomod("module example.com/original\n");
    let up = FakeUpstream::serving(std::slice::from_ref(&fork));
    let larder = larder().of(&up).start();
    assert_eq!(larder.get(&fork.url("mod")).ok(), fork.mod_bytes());
    assert_eq!(larder.get(&fork.url("zip")).ok(), fork.zip_bytes());
}

#[test]
fn c14_zip_entries_start_with_the_unescaped_prefix() {
    let module = Module::new("github.com/BurntSushi/Toml", "v1.0.0-RC1");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    let zip = larder.get(&module.url("zip"));
    assert_eq!(zip.ok(), module.zip_bytes());
    for (name, _) in modules::read_zip(&zip.body) {
        assert!(name.starts_with("github.com/BurntSushi/Toml@v1.0.0-RC1/"));
    }
}

#[test]
fn c15_kept_files_outlive_restarts_and_moved_tags() {
    let first = Module::new("example.com/m", "v1.0.0");
    let moved = Module::new("example.com/m", "v1.0.0")
        .gomod_more("// moved\n")
        .file("moved.go", "package m\n");
    let up = FakeUpstream::serving(std::slice::from_ref(&first));
    let mut larder = larder().of(&up).start();
    for kind in ["info", "mod", "zip"] {
        larder.get(&first.url(kind)).ok();
    }
    up.add(&moved);
    let other = FakeUpstream::serving(&[moved]);
    for round in 0..3 {
        assert_eq!(larder.get(&first.url("mod")).ok(), first.mod_bytes());
        assert_eq!(larder.get(&first.url("zip")).ok(), first.zip_bytes());
        assert_eq!(larder.get(&first.url("info")).ok(), first.info_bytes());
        assert_eq!(larder.stop(), 0);
        larder.restart_with(|b| if round == 1 { b.of(&other) } else { b });
    }
    assert_eq!(up.total(), 3);
    other.assert_untouched();
}

#[test]
fn c18_files_of_impossible_versions_are_404_without_asking() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    for (path, version) in [
        ("example.com/m", "master"),
        ("example.com/m", "v1.2"),
        ("example.com/m", "v1.0.0+meta"),
        ("example.com/m", "v2.0.0"),
        ("example.com/m/v2", "v1.0.0"),
        ("example.com/m/v2", "v3.0.0"),
        ("gopkg.in/yaml.v3", "v2.0.0"),
        ("example.com/m", "1.0.0"),
        ("example.com/m", "v01.0.0"),
    ] {
        for kind in ["mod", "zip"] {
            let path = format!("/{path}/@v/{version}.{kind}");
            let answer = larder.get(&path);
            assert_eq!(answer.status, 404, "{path}: {}", answer.describe());
            answer.refuses(&[404]);
        }
    }
    up.assert_untouched();
}

#[test]
fn c18_what_is_no_endpoint_is_404() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    for path in [
        "/example.com/m",
        "/example.com/m/@v/",
        "/example.com/m/@v/v1.0.0",
        "/example.com/m/@v/v1.0.0.tar",
        "/example.com/m/@v/.zip",
        "/example.com/m/@v/v1.0.0.ziphash",
        "/example.com/m/@v/v1.0.0.lock",
        "/@v/list",
        "/@latest",
        "/example.com/m/@v/list/more",
        "/example.com/m/@latest/more",
        "/favicon.png",
    ] {
        let answer = larder.get(path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.describe());
    }
    up.assert_untouched();
}

#[test]
fn c35_short_versions_are_queries_not_tags() {
    let up = FakeUpstream::serving(&[
        Module::new("example.com/m", "v1.2.0"),
        Module::new("example.com/m", "v1.2.10"),
        Module::new("example.com/m", "v1.10.0"),
        Module::new("example.com/m", "v1.11.0-rc.1"),
        Module::new("example.com/m", "v0.9.0-beta"),
    ]);
    let larder = larder().of(&up).start();
    for (query, version) in [
        ("v1", "v1.10.0"),
        ("v1.2", "v1.2.10"),
        ("v1.11", "v1.11.0-rc.1"),
        ("v0", "v0.9.0-beta"),
    ] {
        let answer = larder.get(&format!("/example.com/m/@v/{query}.info"));
        let info: serde_json::Value = serde_json::from_slice(answer.ok()).unwrap();
        assert_eq!(info["Version"], version, "{query}");
        assert_eq!(up.count(&format!("*/@v/{query}.info")), 0, "{query}");
    }
    larder.get("/example.com/m/@v/v7.info").refuses(&[404]);
}

#[test]
fn c35_latest_as_a_query_is_the_latest() {
    let module = Module::new("example.com/m", "v1.2.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    let answer = larder.get("/example.com/m/@v/latest.info");
    assert_eq!(answer.ok(), module.info_bytes());
    assert_eq!(up.count("*/@v/latest.info"), 0);
}

#[test]
fn c40_a_package_inside_a_module_is_404() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let larder = larder().of(&up).start();
    larder.get("/example.com/m/@v/list").ok();
    for path in ["@v/list", "@latest", "@v/v1.0.0.info", "@v/v1.0.0.mod"] {
        let answer = larder.get(&format!("/example.com/m/pkg/{path}"));
        answer.refuses(&[404]);
    }
}
