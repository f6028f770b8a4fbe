mod fake;

use std::collections::BTreeSet;

use super::*;
use fake::{Fake, hash, run, said, text, time};

const R: &str = "example.com/r";

fn short(name: &str) -> String {
    hash(name)[..12].to_owned()
}

/// `PREFIX` and then the time of the nth commit and its digits.
fn pseudo(prefix: &str, n: usize, name: &str) -> String {
    format!("{prefix}{}-{}", time(n), short(name))
}

#[test]
fn c95_bases_through_merges_and_other_branches() {
    let fake = Fake::new(
        "a1 | go.mod=module example.com/r | tags v0.1.0
         b2 < a1 | tags v0.2.1-pre
         c3 < a1 | tags v0.2.0
         d4 < b2 c3 | heads main
         e5 < c3 | heads other",
    );
    let of = |query: &str| fake.info(R, query);
    assert_eq!(of("main"), pseudo("v0.2.1-pre.0.", 3, "d4") + " d4");
    assert_eq!(of("other"), pseudo("v0.2.1-0.", 4, "e5") + " e5");
    assert_eq!(of("HEAD"), of("main"));
    assert_eq!(of("latest"), fake.latest(R));
    assert_eq!(of(&short("d4")), of("main"));
    assert_eq!(of("v0.2.0"), "v0.2.0 c3 refs/tags/v0.2.0");
    assert_eq!(of(&short("c3")), "v0.2.0 c3 refs/tags/v0.2.0");
    assert_eq!(of("v0.3.0"), "! invalid version: unknown revision v0.3.0");
    assert_eq!(fake.list(R), "v0.1.0 v0.2.0 v0.2.1-pre");
}

#[test]
fn c96_prefixed_modules_have_prefixed_tags_alone() {
    let fake = Fake::new(
        "a1 | go.mod=module example.com/r | sub/go.mod=module example.com/r/sub | tags v0.9.0 sub/v0.1.0 sub2/v0.8.0
         b2 < a1 | heads main
         c3 < b2 | heads next | tags v1.0.0 sub/v1
         d4 < c3 | heads last | -sub/go.mod",
    );
    let sub = "example.com/r/sub";
    let main = pseudo("v0.1.1-0.", 1, "b2") + " b2";
    assert_eq!(fake.info(sub, "main"), main);
    assert_eq!(fake.info(R, "main"), pseudo("v0.9.1-0.", 1, "b2") + " b2");
    assert_eq!(fake.info(sub, "next"), pseudo("v0.1.1-0.", 2, "c3") + " c3");
    assert_eq!(fake.info(sub, "v0.1.0"), "v0.1.0 a1 refs/tags/sub/v0.1.0");
    assert_eq!(
        fake.info(sub, "v1.0.0"),
        "! invalid version: unknown revision sub/v1.0.0"
    );
    assert_eq!(fake.list(sub), "v0.1.0");
    assert_eq!(
        fake.info(sub, "last"),
        format!(
            "! invalid version: there is no sub/go.mod at revision {}",
            short("d4")
        )
    );
    let located = run(async {
        let version = Version::parse("v0.1.0").unwrap();
        fake.module(sub).await.locate(&version).await.unwrap()
    });
    assert_eq!((&*located.dir, &*located.dated.subdir), ("sub", "sub"));
    // A root that says where it is.
    let dated = run(async {
        let module = fake
            .module_at("example.com/x", "example.com/x", "sub")
            .await;
        module.info("v0.1.0").await.unwrap()
    });
    assert_eq!(
        (said(dated.clone()), &*dated.subdir),
        ("v0.1.0 a1 refs/tags/sub/v0.1.0".to_owned(), "sub")
    );
}

#[test]
fn c97_each_fault_of_a_pseudo_version() {
    let fake = Fake::new(
        "a1 | go.mod=module example.com/r | tags v0.1.0
         b2 < a1 | heads main
         c3 < a1 | tags v0.5.0",
    );
    let (t, rev) = (time(1), short("b2"));
    let good = format!("v0.1.1-0.{t}-{rev}");
    assert_eq!(fake.info(R, &good), format!("{good} b2"));
    assert_eq!(fake.go_mod(R, &good), "module example.com/r");
    let none = format!("v0.0.0-{t}-{rev}");
    assert_eq!(fake.info(R, &none), format!("{none} b2"));
    let cases = [
        (format!("v0.1.1-0.{t}-{rev}0"), "longer than canonical"),
        (
            format!("v0.1.1-0.{t}-{}", &rev[..8]),
            "shorter than canonical",
        ),
        (
            format!("v0.1.1-0.{t}-main"),
            "does not match the short name",
        ),
        (
            format!("v0.1.1-0.{}-{rev}", time(0)),
            "the time does not match",
        ),
        (
            format!("v0.3.1-0.{t}-{rev}"),
            "preceding tag (v0.3.0) was not found",
        ),
        (
            format!("v0.5.1-0.{t}-{rev}"),
            "does not descend from the preceding tag (v0.5.0)",
        ),
        (format!("v1.0.0-{t}-{rev}"), "must be v0, not v1"),
        (format!("v0.1.0-0.{t}-{rev}"), "negative patch"),
        (
            pseudo("v0.1.1-0.", 0, "a1"),
            "the tag v0.1.0 on this commit",
        ),
        (
            format!("v0.1.1-0.{t}-{rev}+incompatible"),
            "+incompatible suffix not allowed: major version v0 is compatible",
        ),
        (
            format!("v2.0.0-{t}-{rev}"),
            "module path must match major version (\"example.com/r/v2\")",
        ),
        (
            format!("v2.0.0-{t}-{rev}+incompatible"),
            "module contains a go.mod file",
        ),
        (format!("v0.0.0-{t}-{rev}+meta"), "not in canonical form"),
        (format!("v0.0.0-{t}-{}", short("f6")), "unknown revision"),
    ];
    let mut texts = BTreeSet::new();
    for (version, reason) in cases {
        let said = fake.info(R, &version);
        assert!(
            said.starts_with('!') && said.contains(reason),
            "{version}: {said}"
        );
        if let Ok(version) = Version::parse(&version) {
            assert_eq!(fake.go_mod(R, version.as_str()), said);
        }
        texts.insert(said);
    }
    // Both of v2 have the same one.
    assert_eq!(texts.len(), 14 - 1, "{texts:#?}");
}

#[test]
fn c98_older_bases_stay_good() {
    let fake = Fake::new(
        "a1 | go.mod=module example.com/r | tags v0.1.0
         b2 < a1 | tags v0.2.0+meta v0.3.0-rc.1
         c3 < b2 | heads main",
    );
    assert_eq!(
        fake.info(R, "main"),
        pseudo("v0.3.0-rc.1.0.", 2, "c3") + " c3"
    );
    for prefix in ["v0.0.0-", "v0.1.1-0.", "v0.2.1-0.", "v0.3.0-rc.1.0."] {
        let version = pseudo(prefix, 2, "c3");
        assert_eq!(fake.info(R, &version), format!("{version} c3"));
    }
}

#[test]
fn c99_branches_make_no_versions() {
    let fake = Fake::new(
        "a1 | go.mod=module example.com/r | heads main
         b2 < a1 | heads v1.0.0 v1.2 v0.0.0-20240301045959-abcdef123456
         c3 < a1 | heads v1.5.0 | tags v1.4.0
         abcdef123456 < a1 | tags v0.3.0
         d4 < abcdef123456 | heads abcdef123456",
    );
    let of = |query: &str| fake.info(R, query);
    let pseudo_b2 = pseudo("v0.0.0-", 1, "b2");
    assert_eq!(
        of("v1.0.0"),
        format!("! invalid version: resolves to version {pseudo_b2} (v1.0.0 is not a tag)")
    );
    assert_eq!(
        of("v1.5.0"),
        "! invalid version: resolves to version v1.4.0 (v1.5.0 is not a tag)"
    );
    assert!(fake.go_mod(R, "v1.0.0").contains("is not a tag"));
    assert_eq!(of("v1.2"), format!("{pseudo_b2} b2"));
    assert_eq!(fake.list(R), "v0.3.0 v1.4.0");
    // A pseudo-version goes on to mean the commit that it names.
    let v = pseudo("v0.0.0-", 3, "abcdef123456");
    assert_eq!(of(&v), format!("{v} abcdef123456"));
    assert_eq!(of("abcdef123456"), pseudo("v0.3.1-0.", 4, "d4") + " d4");
}

#[test]
fn c100_commits_of_strangers() {
    let fake = Fake::new(
        "a1 | go.mod=module example.com/r | tags v0.1.0
         b2 < a1 | heads main
         c3 < b2",
    );
    for query in [
        short("c3"),
        hash("c3"),
        pseudo("v0.1.1-0.", 2, "c3"),
        "c30000".to_owned(),
    ] {
        let said = fake.info(R, &query);
        assert!(
            said.starts_with("! invalid version: unknown revision c3"),
            "{said}"
        );
    }
    assert!(fake.info(R, &short("a1")).starts_with("v0.1.0 a1"));
    let many = Fake::new(
        "abcdef01 | go.mod=module example.com/r
         abcdef02 < abcdef01
         b2 < abcdef02 | heads main",
    );
    assert_eq!(
        many.info(R, "abcdef0"),
        "! invalid version: ambiguous revision abcdef0"
    );
    assert_eq!(
        many.info(R, "abcdef01"),
        pseudo("v0.0.0-", 0, "abcdef01") + " abcdef01"
    );
}

#[test]
fn c102_incompatible_versions() {
    let fake = Fake::new(
        "a1 | tags v0.1.0
         b2 < a1 | tags v2.0.0
         c3 < b2 | tags v2.1.0 v10.0.0
         d4 < c3 | tags v3.0.0
         e5 < d4 | tags v3.1.0 | go.mod=module example.com/r/v3
         f6 < d4 | tags v4.0.0-rc.1 | v4/go.mod=module example.com/r/v4 | heads main",
    );
    assert_eq!(
        fake.list(R),
        "v0.1.0 v2.0.0+incompatible v2.1.0+incompatible v4.0.0-rc.1+incompatible v10.0.0+incompatible"
    );
    let of = |query: &str| fake.info(R, query);
    assert_eq!(of("v2.0.0"), "v2.0.0+incompatible b2 refs/tags/v2.0.0");
    assert_eq!(of("v2.0.0+incompatible"), of("v2.0.0"));
    // In the middle of a major version with a go.mod, but without one itself.
    assert_eq!(of("v3.0.0"), "v3.0.0+incompatible d4 refs/tags/v3.0.0");
    assert!(of("v3.1.0").ends_with("not one of v0 or v1 at revision v3.1.0"));
    // v4/go.mod: only if asked explicitly.
    assert_eq!(
        of("v4.0.0-rc.1"),
        "! invalid version: module contains a go.mod file, so module path must match major version (\"example.com/r/v4\")"
    );
    assert_eq!(
        of("v4.0.0-rc.1+incompatible"),
        "v4.0.0-rc.1+incompatible f6 refs/tags/v4.0.0-rc.1"
    );
    assert_eq!(
        of("v0.1.0+incompatible"),
        "! invalid version: +incompatible suffix not allowed: major version v0 is compatible"
    );
    let main = pseudo("v10.0.1-0.", 5, "f6") + "+incompatible f6";
    assert_eq!(of("main"), main);
    assert_eq!(of(main.split(' ').next().unwrap()), main);
    assert_eq!(
        fake.go_mod(R, "v2.0.0+incompatible"),
        "module example.com/r\n"
    );
    assert!(fake.go_mod(R, "v2.0.0").contains("is not a tag"));
    // The highest compatible version has a go.mod.
    let modern = Fake::new(
        "a1 | tags v2.0.0
         b2 < a1 | go.mod=module example.com/r | tags v1.0.0
         c3 < b2 | heads main",
    );
    assert_eq!(modern.list(R), "v1.0.0");
    assert_eq!(
        modern.info(R, "v2.0.0"),
        "v2.0.0+incompatible a1 refs/tags/v2.0.0"
    );
    assert_eq!(modern.latest(R), pseudo("v1.0.1-0.", 2, "c3") + " c3");
    // Only in a repository's root, and without suffix.
    let sub = Fake::new("a1 | sub/go.mod=module x.com/sub | tags sub/v2.0.0 v2.0.0");
    assert_eq!(sub.list("example.com/r/sub"), "");
    assert_eq!(sub.list("example.com/r/v3"), "");
}

#[test]
fn c103_later_major_versions() {
    let fake = Fake::new(
        "a1 | go.mod=module example.com/r | tags v1.0.0
         b2 < a1 | go.mod=module example.com/r/v2 | tags v2.0.0
         c3 < a1 | v3/go.mod=module example.com/r/v3 | tags v3.0.0
         d4 < c3 | heads main
         e5 < b2 | heads next",
    );
    assert_eq!(fake.list("example.com/r/v2"), "v2.0.0");
    assert_eq!(
        fake.info("example.com/r/v2", "v2.0.0"),
        "v2.0.0 b2 refs/tags/v2.0.0"
    );
    assert_eq!(
        fake.info("example.com/r/v2", "next"),
        pseudo("v2.0.1-0.", 4, "e5") + " e5"
    );
    assert_eq!(
        fake.info("example.com/r/v3", "main"),
        pseudo("v3.0.1-0.", 3, "d4") + " d4"
    );
    assert_eq!(
        fake.go_mod("example.com/r/v3", "v3.0.0"),
        "module example.com/r/v3"
    );
    let v3 = run(async {
        let version = Version::parse("v3.0.0").unwrap();
        fake.module("example.com/r/v3")
            .await
            .locate(&version)
            .await
            .unwrap()
    });
    assert_eq!((&*v3.dir, &*v3.dated.subdir), ("v3", ""));
    // c3 has both.
    assert_eq!(fake.info(R, "main"), pseudo("v1.0.1-0.", 3, "d4") + " d4");
    assert!(fake.info(R, "v2.0.0").contains("go.mod declares"));
    assert!(fake.info("example.com/r/v2", "v3.0.0").starts_with('!'));
    assert!(fake.info("example.com/r/v2", "v1.0.0").starts_with('!'));
    // A root that ends in the major version.
    let list = run(async {
        let module = fake
            .module_at("example.com/r/v2", "example.com/r/v2", "")
            .await;
        let list = module.versions().await.unwrap();
        (list, said(module.info("next").await.unwrap()))
    });
    assert_eq!(
        list,
        (
            vec![Version::parse("v2.0.0").unwrap()],
            pseudo("v2.0.1-0.", 4, "e5") + " e5"
        )
    );
    let untagged = Fake::new("a1 | go.mod=module example.com/r/v2 | heads main | tags v1.0.0");
    let v2 = pseudo("v2.0.0-", 0, "a1");
    assert_eq!(untagged.latest("example.com/r/v2"), format!("{v2} a1"));
    assert_eq!(untagged.info("example.com/r/v2", &v2), format!("{v2} a1"));
    assert_eq!(
        untagged.info("example.com/r/v2", "v1.0.0"),
        "! invalid version: module path includes a major version suffix, so major version must match"
    );
}

#[test]
fn c104_gopkg_in() {
    let fake = Fake::new(
        "a1 | tags v1.0.0 v2.0.0 v1 v1.0
         b2 < a1 | heads main",
    );
    let at = |path: &'static str, query: &'static str| {
        run(async {
            let module = fake.module_at(path, path, "").await;
            let list = module.versions().await.unwrap();
            let list: Vec<_> = list.iter().map(|v| v.to_string()).collect();
            (
                list.join(" "),
                module.info(query).await.map_or_else(text, said),
            )
        })
    };
    assert_eq!(
        at("gopkg.in/r.v1", "main"),
        ("v1.0.0".into(), pseudo("v1.0.1-0.", 1, "b2") + " b2")
    );
    assert_eq!(
        at("gopkg.in/r.v2", "v2.0.0"),
        ("v2.0.0".into(), "v2.0.0 a1 refs/tags/v2.0.0".into())
    );
    assert_eq!(
        at("gopkg.in/r.v3", "main"),
        (String::new(), pseudo("v3.0.0-", 1, "b2") + " b2")
    );
    assert_eq!(at("gopkg.in/r.v2-unstable", "main").0, "");
}

#[test]
fn c110_forks() {
    let fake = Fake::new("a1 | go.mod=module other.org/x/v2 | tags v2.0.0 v1.0.0");
    assert_eq!(
        fake.info("example.com/r/v2", "v2.0.0"),
        "v2.0.0 a1 refs/tags/v2.0.0"
    );
    assert_eq!(
        fake.go_mod("example.com/r/v2", "v2.0.0"),
        "module other.org/x/v2"
    );
    assert!(
        fake.info(R, "v1.0.0")
            .contains("not one of v0 or v1 at revision v1.0.0")
    );
}

#[test]
fn c119_nothing_there() {
    let fake = Fake::new("");
    assert_eq!(fake.latest(R), "! no commits");
    assert_eq!(fake.info(R, "latest"), "! no commits");
    assert_eq!(fake.list(R), "");
    for query in ["main", "HEAD", "v1.0.0", "", "-x", "abcdef123456"] {
        assert_eq!(
            fake.info(R, query),
            format!("! invalid version: unknown revision {query}")
        );
    }
}

#[test]
fn c120_retracted_versions() {
    let fake = Fake::new(
        "a1 | go.mod=module example.com/r | tags v0.1.0
         b2 < a1 | tags v0.2.0 v0.3.0-beta
         c3 < b2 | heads early
         d4 < c3 | go.mod=module example.com/r;retract (;v0.2.0;[v0.3.0-a, v0.3.0-z];v1.0.0;) | tags v1.0.0 v1.1.0-pre
         e5 < d4 | go.mod=module example.com/r;retract v1.1.0-pre | heads main",
    );
    let of = |query: &str| fake.info(R, query);
    // Named itself it is what it is.
    assert_eq!(of("v0.2.0"), "v0.2.0 b2 refs/tags/v0.2.0");
    let b2 = pseudo("v0.1.1-0.", 1, "b2");
    assert_eq!(of(&short("b2")), format!("{b2} b2"));
    assert_eq!(of(&b2), format!("{b2} b2"));
    let old = pseudo("v0.2.1-0.", 2, "c3");
    assert_eq!(of("early"), pseudo("v0.1.1-0.", 2, "c3") + " c3");
    assert_eq!(of(&old), format!("{old} c3"));
    // The highest release counts, not what follows it.
    assert_eq!(of("main"), pseudo("v1.1.0-pre.0.", 4, "e5") + " e5");
    assert!(of(&hash("d4")).starts_with("v1.1.0-pre d4"));
    assert_eq!(fake.list(R), "v0.1.0 v0.2.0 v0.3.0-beta v1.0.0 v1.1.0-pre");
    // A go.mod that Go cannot read retracts nothing.
    let odd = Fake::new(
        "a1 | go.mod=module example.com/r;retract v0.1.0;go nonsense | tags v0.1.0
         b2 < a1 | heads main",
    );
    assert_eq!(odd.info(R, "main"), pseudo("v0.1.1-0.", 1, "b2") + " b2");
    let broken = Fake::new(
        "a1 | go.mod=BROKEN | tags v0.1.0
         b2 < a1 | heads main | go.mod=module example.com/r",
    );
    assert_eq!(broken.info(R, "main"), "! no blob");
    assert_eq!(broken.info(R, "v0.1.0"), "! no blob");
}

#[test]
fn odd_tags_are_names_of_their_commits() {
    let fake = Fake::new(
        "a1 | go.mod=module example.com/r | tags v1.0.0+build5
         b2 < a1 | tags v01.0.1 1.0.5 v1.0.2.3 V1.0.3 v1 v1.0
         c3 < b2 | heads main",
    );
    let of = |query: &str| fake.info(R, query);
    assert_eq!(fake.list(R), "");
    assert_eq!(of("v1.0.0"), "! invalid version: unknown revision v1.0.0");
    let a1 = pseudo("v1.0.1-0.", 0, "a1");
    assert_eq!(of("v1.0.0+build5"), format!("{a1} a1"));
    assert_eq!(of(&a1), format!("{a1} a1"));
    for tag in ["v01.0.1", "1.0.5", "v1.0.2.3", "V1.0.3", "v1", "v1.0"] {
        assert_eq!(of(tag), pseudo("v1.0.1-0.", 1, "b2") + " b2", "{tag}");
    }
    assert_eq!(of("main"), pseudo("v1.0.1-0.", 2, "c3") + " c3");
}

#[test]
fn tags_that_are_no_versions() {
    let fake = Fake::new(
        "a1 | tags v2.0.0+incompatible v3.0.0-20240301045959-abcdef123456 v4.0.0+incompatible
         b2 < a1 | heads main",
    );
    let of = |query: &str| fake.info(R, query);
    assert_eq!(fake.list(R), "");
    assert_eq!(
        of("v2.0.0+incompatible"),
        "! invalid version: unknown revision v2.0.0"
    );
    assert_eq!(
        of("v3.0.0-20240301045959-abcdef123456"),
        "! invalid version: unknown revision abcdef123456"
    );
    let main = pseudo("v4.0.1-0.", 1, "b2") + "+incompatible";
    assert_eq!(of("main"), format!("{main} b2"));
    assert_eq!(of(&main), format!("{main} b2"));
    let sub = Fake::new(
        "a1 | sub/go.mod=module x.com/sub | tags sub/v0.0.0-20240301045959-abcdef123456 | heads main",
    );
    assert_eq!(
        sub.latest("example.com/r/sub"),
        pseudo("v0.0.0-", 0, "a1") + " a1"
    );
}

#[test]
fn several_tags_of_one_commit() {
    let fake = Fake::new(
        "a1 | go.mod=module example.com/r | tags v0.1.0 v0.1.0+meta v0.2.0-rc.1 v2.0.0 x | heads main",
    );
    assert_eq!(fake.info(R, "main"), "v0.2.0-rc.1 a1");
    assert_eq!(fake.info(R, "v0.1.0"), "v0.1.0 a1 refs/tags/v0.1.0");
    assert_eq!(
        fake.info(R, "v0.1.0+meta"),
        "v0.1.0 a1 refs/tags/v0.1.0+meta"
    );
    assert_eq!(fake.info(R, "x"), "v0.2.0-rc.1 a1 refs/tags/x");
    assert!(
        fake.info(R, "v2.0.0")
            .contains("so module path must match major version (\"example.com/r/v2\")")
    );
}

/// What the `go` command's own code (1.26) says of repositories made at random; in lines as
/// [`Fake::new`] reads them, and the questions after each.
const VECTORS: &str = include_str!("../../testdata/versions.txt");

#[test]
fn c121_as_go_says() {
    let (mut cases, mut description, mut fake) = (0, String::new(), Fake::default());
    let mut wrong = Vec::new();
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split('\t').collect();
        let (said, expected) = match fields[..] {
            ["repo", _] => {
                description.clear();
                continue;
            }
            ["commit", commit] => {
                description += &format!("{commit}\n");
                fake = Fake::new(&description);
                continue;
            }
            ["list", path, expected] => (fake.list(path), expected),
            ["latest", path, expected] => (fake.latest(path), expected),
            ["info", path, query, expected] => (fake.info(path, query), expected),
            _ => panic!("{line}"),
        };
        cases += 1;
        // Go does not say which tag it was.
        let plain = said.split(" refs/tags/").next().unwrap();
        if plain != expected && !(expected == "!" && said.starts_with("! ")) {
            wrong.push(format!("{description}{line}\nnot {said}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.concat());
    assert!(cases > 1000, "{cases}");
}
