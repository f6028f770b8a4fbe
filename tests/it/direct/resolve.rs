//! From a module path to a repository (protocol.md 6.1).

use super::*;

const LIB: &str = "corp.example.com/lib";
const URL: &str = "https://git.example.com/lib";

differential!(
    c105_the_root_has_to_agree,
    c106_a_page_not_found_may_tell,
    c107_a_module_proxy_for_one_prefix,
    c109_a_path_that_names_its_system,
    c119_a_missing_repository,
    static_hosts_need_no_page,
    folders_named_by_the_host,
    pages_that_are_hard_to_read,
    pages_that_do_not_help,
    a_page_elsewhere,
    a_host_alone,
    hosts_and_paths_with_capitals,
);

/// `v1.0.0` of a module of this path, at the usual place.
fn release(path: &str) -> Repo {
    let repo = Repo::module(path);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    repo
}

/// `LIB`'s repository without a page.
fn unnamed() -> Scene {
    let mut scene = Scene::new();
    let repo = release(LIB);
    scene.host.serve("git.example.com/lib", &repo);
    scene.repos.push(repo);
    scene
}

fn c105_the_root_has_to_agree() -> Scene {
    let repo = Repo::new();
    let paths = [
        "corp.example.com/mono/a",
        "corp.example.com/mono/b",
        "corp.example.com/mono/c",
    ];
    let commit = paths.iter().fold(Commit::new(), |commit, path| {
        let folder = path.rsplit('/').next().unwrap();
        let file = format!("{folder}/m.go");
        commit
            .gomod_in(&format!("{folder}/"), path)
            .file(&file, "package m\n")
    });
    let hash = repo.commit(commit);
    for folder in ["a", "b", "c"] {
        repo.tag(&format!("{folder}/v1.0.0"), &hash);
    }
    let scene = Scene::with(repo, "mono");
    // Below the root: nothing of its own, another repository, another prefix that does not exist.
    scene.host.go_import(
        paths[1],
        "corp.example.com/mono git https://evil.example.com/mono",
    );
    scene.host.go_import(
        paths[2],
        "corp.example.com git https://git.example.com/mono",
    );
    scene
        .has(paths[0], "v1.0.0")
        .not(paths[1], "v1.0.0", "")
        .not(paths[2], "v1.0.0", "")
        .no_list(paths[1])
}

fn c106_a_page_not_found_may_tell() -> Scene {
    let scene = unnamed();
    let page = go_import_page(&[&format!("{LIB} git {URL}")]);
    scene.host.page(LIB, 404, &page);
    scene.has(LIB, "v1.0.0")
}

fn c107_a_module_proxy_for_one_prefix() -> Scene {
    let scene = unnamed();
    let at_proxy = Module::new(LIB, "v1.9.0");
    scene
        .host
        .proxy_module("other.example.com/proxy", &at_proxy);
    let below = Module::new("corp.example.com/lib/sub", "v0.3.0");
    scene.host.proxy_module("other.example.com/proxy", &below);
    let page = go_import_page(&[
        &format!("{LIB} git {URL}"),
        &format!("{LIB} mod https://other.example.com/proxy"),
    ]);
    scene.host.page(LIB, 200, &page);
    scene
        .has(LIB, "v1.9.0")
        .is(LIB, "latest", "v1.9.0")
        .not(LIB, "v1.0.0", "404")
        .has("corp.example.com/lib/sub", "v0.3.0")
        .list(LIB, &["v1.9.0"])
}

#[track_caller]
fn named(path: &str, at: &str, versions: &[&str]) -> Scene {
    let repo = Repo::new();
    let hash = repo.commit(
        Commit::new()
            .gomod(path)
            .gomod_in("sub/", &format!("{path}/sub"))
            .file("m.go", "package m\n")
            .file("sub/s.go", "package s\n"),
    );
    for version in versions {
        repo.tag(version, &hash);
    }
    let mut scene = Scene::new();
    scene.host.serve(at, &repo);
    scene.repos.push(repo);
    scene
}

fn c109_a_path_that_names_its_system() -> Scene {
    let path = "git.example.com/team/repo.git";
    named(path, "git.example.com/team/repo", &["v1.0.0", "sub/v1.1.0"])
        .with_origin()
        .has(path, "v1.0.0")
        .has("git.example.com/team/repo.git/sub", "v1.1.0")
        .not("git.example.com/team/repo.git/other", "v1.0.0", "")
        .list("git.example.com/team/repo.git/sub", &["v1.1.0"])
}

fn static_hosts_need_no_page() -> Scene {
    let path = "github.com/corp/lib";
    named(path, "github.com/corp/lib", &["v1.0.0", "sub/v1.1.0"])
        .with_origin()
        .has(path, "v1.0.0")
        .has("github.com/corp/lib/sub", "v1.1.0")
        .not("github.com/corp/other", "v1.0.0", "")
        .no_list("github.com/corp/other")
}

fn c119_a_missing_repository() -> Scene {
    let scene = Scene::new();
    scene.host.go_import(LIB, &format!("{LIB} git {URL}"));
    scene
        .not(LIB, "v1.0.0", "not found")
        .not(LIB, "latest", "not found")
        .not(LIB, "main", "not found")
        .no_list(LIB)
}

fn folders_named_by_the_host() -> Scene {
    let two = "corp.example.com/lib/v2";
    let repo = Repo::new();
    let hash = repo.commit(
        Commit::new()
            .file("LICENSE", "root\n")
            .gomod_in("go/lib/", LIB)
            .file("go/lib/m.go", "package lib\n")
            // What the path has more than the prefix comes before the folder, not after it.
            .gomod_in("sub/go/lib/", "corp.example.com/lib/sub")
            .file("sub/go/lib/s.go", "package sub\n")
            .gomod_in("go/lib/v2/", two)
            .file("go/lib/v2/t.go", "package lib\n"),
    );
    for tag in [
        "go/lib/v1.0.0",
        "sub/go/lib/v1.1.0",
        "go/lib/v2.0.0",
        "v1.9.0",
    ] {
        repo.tag(tag, &hash);
    }
    let scene = Scene::with(repo, "lib");
    scene
        .host
        .go_import(LIB, &format!("{LIB} git {URL} go/lib"));
    scene
        .with_origin()
        .has(LIB, "v1.0.0")
        .has("corp.example.com/lib/sub", "v1.1.0")
        .has(two, "v2.0.0")
        .not(LIB, "v1.9.0", "unknown revision")
        .list(LIB, &["v1.0.0"])
        .list(two, &["v2.0.0"])
}

fn pages_that_are_hard_to_read() -> Scene {
    let mut scene = unnamed();
    let content = format!("{LIB} git {URL}");
    let tag = format!("<meta name=\"go-import\" content=\"{content}\">");
    let pages = [
        ("plain", tag.clone()),
        (
            "single",
            format!("<meta name='go-import' content='{content}'/>"),
        ),
        (
            "upper",
            format!("<HTML><HEAD><META NAME=\"go-import\" CONTENT=\"{content}\">"),
        ),
        (
            "swapped",
            format!("<meta content=\"{content}\" name=\"go-import\">"),
        ),
        (
            "spaces",
            format!(
                "<meta name=\"go-import\" content=\"  {} \">",
                content.replace(' ', "\n\t ")
            ),
        ),
        (
            "unclosed",
            format!("<html><head><link rel=x><meta charset=utf-8><p>{tag}"),
        ),
        ("entity", tag.replace("//", "&#47;/")),
        (
            "source",
            format!("<meta name=\"go-source\" content=\"{LIB} _ x y\">{tag}"),
        ),
        (
            "comment",
            format!("<!-- <meta name=\"go-import\" content=\"x git y\"> -->{tag}"),
        ),
        (
            "ascii",
            format!("<?xml version=\"1.0\" encoding=\"ascii\"?>{tag}"),
        ),
        (
            "others",
            format!(
                "<meta name=\"go-import\" content=\"corp.example.com/library git https://x.example.com\">{tag}"
            ),
        ),
        (
            "odd",
            format!("<meta name=\"go-import\" content=\"a b\">{tag}"),
        ),
        (
            "unquoted",
            format!("<meta name=go-import content=\"{content}\">"),
        ),
    ];
    for (name, page) in &pages {
        let path = format!("corp.example.com/{name}");
        scene.host.page(&path, 200, page.replace(LIB, &path));
        scene = scene.has(&path, "v1.0.0");
    }
    scene
}

/// Pages with tags, none of which names a repository for the path.
fn pages_that_do_not_help() -> Scene {
    let content = format!("{LIB} git {URL}");
    let tag = format!("<meta name=\"go-import\" content=\"{content}\">");
    without_version([
        ("twice", format!("{tag}{tag}")),
        (
            "two",
            format!("{tag}{}", tag.replace(URL, "https://git.example.com/other")),
        ),
        ("part", tag.replace("lib git", "li git")),
        ("longer", tag.replace("lib git", "lib/more git")),
        ("svn", tag.replace(" git ", " svn ")),
        ("unknown", tag.replace(" git ", " cvs ")),
        (
            "proxies",
            format!("{tag}{}", tag.replace(" git ", " mod "))
                .replace(URL, "http://git.example.com/lib"),
        ),
    ])
}

/// Pages without any tag that can be read.
fn pages_that_say_nothing() -> Scene {
    let content = format!("{LIB} git {URL}");
    let tag = format!("<meta name=\"go-import\" content=\"{content}\">");
    without_version([
        ("empty", String::new()),
        ("body", format!("<html><head></head><body>{tag}</body>")),
        ("late", format!("<html><head></head>{tag}")),
        (
            "three",
            format!("<meta name=\"go-import\" content=\"{LIB} git\">"),
        ),
        ("five", tag.replace("\">", " sub more\">")),
        (
            "script",
            format!("<script>if (1 < 2) {{ x(); }}</script>{tag}"),
        ),
        (
            "us",
            format!("<?xml version=\"1.0\" encoding=\"us-ascii\"?>{tag}"),
        ),
        (
            "charset",
            format!("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>{tag}"),
        ),
        ("named", tag.replace("go-import", "go-imports")),
    ])
}

/// Modules with such pages, none of which can be found.
fn without_version(pages: impl IntoIterator<Item = (&'static str, String)>) -> Scene {
    let mut scene = unnamed();
    for (name, page) in pages {
        let path = format!("corp.example.com/{name}");
        scene.host.page(&path, 200, page.replace(LIB, &path));
        scene = scene.not(&path, "v1.0.0", "");
    }
    scene
}

#[test]
fn pages_that_say_nothing_are_not_found_by_go() {
    pages_that_say_nothing().judge();
}

#[test]
fn pages_that_say_nothing_prove_nothing_of_private_modules() {
    let scene = pages_that_say_nothing();
    let larder = scene.larder().no_breaker().start();
    for case in &scene.cases {
        let reason = larder.get(&case.path()).refuses(&[502]);
        assert!(reason.contains("go-import"), "{reason}");
    }
    scene.control(&larder);
    // Of public ones that nobody knows they mean what they mean to go.
    let public = settings::public(&scene.host, &scene.up);
    scene.up.rule("*", Fault::status(404));
    let larder = public.no_breaker().start();
    for case in &scene.cases {
        larder.get(&case.path()).refuses(&[404]);
    }
}

fn a_page_elsewhere() -> Scene {
    let scene = unnamed();
    scene
        .host
        .redirect(LIB, "https://other.example.com/pages/lib?go-get=1");
    let content = format!("{LIB} git {URL}");
    scene
        .host
        .go_import("other.example.com/pages/lib", &content);
    scene.has(LIB, "v1.0.0")
}

fn a_host_alone() -> Scene {
    let path = "team.corp.example.com";
    let repo = release(path);
    let mut scene = Scene::new();
    scene.host.publish(path, "git.example.com/team", &repo);
    scene.repos.push(repo);
    scene.has(path, "v1.0.0").list(path, &["v1.0.0"])
}

fn hosts_and_paths_with_capitals() -> Scene {
    let path = "corp.example.com/Team/BigLib";
    let repo = release(path);
    let hash = repo.git(&["rev-parse", "main"]);
    repo.set_ref("refs/heads/Feature", &hash);
    let mut scene = Scene::new();
    scene
        .host
        .publish(path, "git.example.com/Team/BigLib", &repo);
    scene.repos.push(repo);
    scene
        .has(path, "v1.0.0")
        .is(path, "Feature", "v1.0.0")
        .not("corp.example.com/team/biglib", "v1.0.0", "")
        .list(path, &["v1.0.0"])
}

fn impossible() -> Scene {
    Scene::new()
        .not("github.com/corp", "v1.0.0", "")
        .not("github.com/corp/lib.git", "v1.0.0", "")
        .not("github.com/corp/lib.git/sub", "v1.0.0", "")
        .not("bitbucket.org/corp", "v1.0.0", "")
}

#[test]
fn c108_go_asks_nobody_about_impossible_paths() {
    let scene = impossible();
    scene.judge();
    scene.host.assert_untouched();
}

#[test]
fn c108_impossible_paths_are_refused_without_asking() {
    let scene = impossible();
    let larder = scene.larder().start();
    for case in &scene.cases {
        larder.get(&case.path()).refuses(&[404]);
        larder
            .get(&format!("/{}/@v/list", case.module))
            .refuses(&[404]);
    }
    scene.host.assert_untouched();
    scene.up.assert_untouched();
    scene.control(&larder);
}

#[test]
fn c119_an_unreachable_host_is_trouble() {
    let scene = Scene::new();
    scene.host.unreachable("down.example.com");
    scene
        .host
        .go_import(LIB, &format!("{LIB} git https://down.example.com/lib"));
    let larder = scene.larder().start();
    for path in ["/down.example.com/lib", "/corp.example.com/lib"] {
        for what in [
            "@v/list",
            "@latest",
            "@v/v1.0.0.info",
            "@v/v1.0.0.mod",
            "@v/v1.0.0.zip",
        ] {
            let reason = larder.get(&format!("{path}/{what}")).refuses(TROUBLE);
            assert!(reason.contains("down.example.com"), "{reason}");
        }
    }
}

#[test]
fn c119_a_host_in_trouble_is_no_404() {
    for fault in [
        Fault::status(500),
        Fault::status(503),
        Fault::status(429),
        Fault::close(),
    ] {
        for pattern in ["corp.example.com/lib?go-get=1", "git.example.com/lib*"] {
            println!("{pattern}: {fault:?}");
            let scene = Scene::with(release(LIB), "lib");
            scene.host.rule(pattern, fault.clone());
            let larder = scene.larder().no_breaker().start();
            for what in ["@v/list", "@latest", "@v/v1.0.0.info", "@v/v1.0.0.zip"] {
                larder.get(&format!("/{LIB}/{what}")).refuses(TROUBLE);
            }
            // And is forgotten when it is over.
            scene.host.clear_rules();
            until("the release", || {
                larder.get(&query_path(LIB, "v1.0.0")).is_ok().then_some(())
            });
        }
    }
}

#[test]
fn c105_the_reason_says_what_disagrees() {
    let scene = c105_the_root_has_to_agree();
    let larder = scene.larder().start();
    let reason = larder
        .get("/corp.example.com/mono/b/@v/list")
        .refuses(&[404]);
    assert!(reason.contains("corp.example.com/mono"), "{reason}");
    assert_eq!(scene.host.count("evil.example.com/*"), 0);
    scene.control(&larder);
}

#[test]
fn c130_other_systems_are_named_and_not_run() {
    for system in ["svn", "hg", "bzr", "fossil", "cvs"] {
        let scene = unnamed();
        scene.host.go_import(LIB, &format!("{LIB} {system} {URL}"));
        let larder = scene.larder().start();
        for what in ["@v/list", "@latest", "@v/v1.0.0.info"] {
            let reason = larder.get(&format!("/{LIB}/{what}")).refuses(&[404, 403]);
            assert!(reason.contains(system), "{reason}");
        }
        assert_eq!(scene.host.count("git.example.com/*"), 0);
        let named = format!("/git.example.com/x.{system}/@v/list");
        larder.get(&named).refuses(&[404, 403]);
        assert_eq!(scene.host.count("git.example.com/x/*"), 0);
        scene.control(&larder);
    }
}

#[test]
fn a_page_is_asked_for_once() {
    let scene = Scene::with(release(LIB), "lib");
    let larder = scene.larder().start();
    for what in [
        "@v/list",
        "@v/v1.0.0.info",
        "@v/v1.0.0.mod",
        "@v/v1.0.0.zip",
        "@latest",
    ] {
        larder.get(&format!("/{LIB}/{what}")).ok();
    }
    assert_eq!(scene.host.count("corp.example.com/lib?go-get=1"), 1);
}
