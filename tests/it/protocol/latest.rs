//! `@latest`, upstream's own and the one derived from its list (checklist 16, 17).

use crate::support::*;

fn version(response: &Response) -> String {
    let info: serde_json::Value = serde_json::from_slice(response.ok()).unwrap();
    info["Version"].as_str().unwrap().to_owned()
}

#[test]
fn c16_latest_of_the_upstream_is_passed_on() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    let latest = larder.get(&module.latest_url());
    assert_eq!(latest.ok(), module.info_bytes());
    larder.get_hit(&module.latest_url());
    assert_eq!(up.total(), 1);
}

#[test]
fn c16_latest_is_derived_where_upstream_has_none() {
    let best = Module::new("example.com/m", "v1.10.0").info("{ \"Version\": \"v1.10.0\" }");
    let up = FakeUpstream::serving(&[
        Module::new("example.com/m", "v1.9.0"),
        best.clone(),
        Module::new("example.com/m", "v1.11.0-rc.1"),
        Module::new("example.com/m", "v1.2.0"),
    ])
    .without_latest();
    let larder = larder().of(&up).start();
    assert_eq!(larder.get(&best.latest_url()).ok(), best.info_bytes());
}

#[test]
fn c16_derived_latest_skips_retracted_versions() {
    let newest = Module::new("example.com/m", "v1.3.0")
        .gomod_more("\nretract (\n\tv1.3.0 // by mistake\n\t[v1.1.0, v1.2.5]\n)\n");
    let up = FakeUpstream::serving(&[
        Module::new("example.com/m", "v1.0.0"),
        Module::new("example.com/m", "v1.1.0"),
        Module::new("example.com/m", "v1.2.0"),
        newest.clone(),
    ])
    .without_latest();
    let larder = larder().of(&up).start();
    assert_eq!(version(&larder.get(&newest.latest_url())), "v1.0.0");
}

#[test]
fn c16_derived_latest_takes_a_pre_release_where_there_is_no_release() {
    let up = FakeUpstream::serving(&[
        Module::new("example.com/m", "v0.1.0-alpha"),
        Module::new("example.com/m", "v0.1.0-beta.2"),
        Module::new("example.com/m", "v0.1.0-beta.11"),
    ])
    .without_latest();
    let larder = larder().of(&up).start();
    let latest = larder.get("/example.com/m/@latest");
    assert_eq!(version(&latest), "v0.1.0-beta.11");
}

#[test]
fn c16_derived_latest_takes_the_newest_pseudo_version_where_there_is_no_tag() {
    let newest = "v0.0.0-20240301045959-bbbbbbbbbbbb";
    let up = FakeUpstream::serving(&[
        Module::new("example.com/m", "v0.0.0-20230301045959-aaaaaaaaaaaa"),
        Module::new("example.com/m", newest),
        Module::new("example.com/m", "v0.0.0-20220301045959-cccccccccccc"),
    ])
    .without_latest();
    up.put_list(
        "example.com/m",
        &format!(
            "v0.0.0-20230301045959-aaaaaaaaaaaa\n{newest}\nv0.0.0-20220301045959-cccccccccccc\n"
        ),
    );
    let larder = larder().of(&up).start();
    assert_eq!(version(&larder.get("/example.com/m/@latest")), newest);
}

#[test]
fn c16_derived_latest_takes_a_pseudo_version_where_all_tags_are_retracted() {
    let pseudo = "v1.0.1-0.20240301045959-bbbbbbbbbbbb";
    let up = FakeUpstream::serving(&[
        Module::new("example.com/m", "v1.0.0").gomod_more("\nretract v1.0.0\n"),
        Module::new("example.com/m", pseudo),
    ])
    .without_latest();
    up.put_list("example.com/m", &format!("v1.0.0\n{pseudo}\n"));
    let larder = larder().of(&up).start();
    assert_eq!(version(&larder.get("/example.com/m/@latest")), pseudo);
}

#[test]
fn c16_derived_latest_asks_for_no_zip() {
    let up = FakeUpstream::serving(&[
        Module::new("example.com/m", "v1.0.0"),
        Module::new("example.com/m", "v1.1.0"),
    ])
    .without_latest();
    let larder = larder().of(&up).start();
    larder.get("/example.com/m/@latest").ok();
    assert_eq!(up.count("*.zip"), 0);
}

#[test]
fn c17_latest_of_nothing_is_404() {
    let up = FakeUpstream::start();
    up.put_list("example.com/untagged", "");
    let larder = larder().of(&up).start();
    larder.get("/example.com/m/@latest").refuses(&[404, 410]);
    larder
        .get("/example.com/untagged/@latest")
        .refuses(&[404, 410]);
}

#[test]
fn c37_a_forbidden_latest_is_not_derived_behind_the_back_of_upstream() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    up.rule(
        "*/@latest",
        Fault::status(403).body("blocked by the mirror\n"),
    );
    let larder = larder().of(&up).start();
    let text = larder.get("/example.com/m/@latest").refuses(&[403]);
    assert!(text.contains("blocked by the mirror"), "{text}");
}
