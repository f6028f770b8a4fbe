//! What was fetched from git once is there when git is not, and what is new is seen when it is.

use super::*;

const LIB: &str = "corp.example.com/lib";

fn released() -> Scene {
    let repo = Repo::module(LIB);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    Scene::with(repo, "lib")
}

fn list(larder: &Larder) -> Vec<String> {
    lines(&larder.get(&format!("/{LIB}/@v/list")))
}

#[test]
fn what_is_kept_is_served_without_the_host() {
    let mut scene = released();
    let mut larder = scene.larder().no_breaker().start();
    let paths = ["info", "mod", "zip"].map(|kind| file_path(LIB, "v1.0.0", kind));
    let before = paths
        .clone()
        .map(|path| larder.get_hit(&path).ok().to_vec());
    assert_eq!(list(&larder), ["v1.0.0"]);
    let latest = larder.get(&query_path(LIB, "latest")).ok().to_vec();
    scene.host.stop();
    larder.stop();
    larder.restart();
    let after = paths.map(|path| larder.get(&path).ok().to_vec());
    assert_eq!(before, after);
    assert_eq!(list(&larder), ["v1.0.0"]);
    assert_eq!(larder.get(&query_path(LIB, "latest")).ok(), latest);
}

#[test]
fn what_is_not_kept_is_trouble_without_the_host() {
    let mut scene = released();
    let larder = scene.larder().no_breaker().start();
    larder.get(&file_path(LIB, "v1.0.0", "info")).ok();
    scene.host.stop();
    larder.get(&query_path(LIB, "v1.1.0")).refuses(TROUBLE);
    larder
        .get(&query_path("corp.example.com/other", "v1.0.0"))
        .refuses(TROUBLE);
    scene.host.restart();
    until("an answer", || {
        (larder.get(&query_path(LIB, "v1.1.0")).status == 404).then_some(())
    });
}

#[test]
fn what_was_not_there_is_not_there_without_the_host() {
    let mut scene = released();
    let negative_ttl = |builder: Builder| builder.set("freshness.negative_ttl", "1ms");
    let mut larder = negative_ttl(scene.larder().no_breaker()).start();
    // What `go install corp.example.com/lib/cmd/x@v1.0.0` asks for beside the module itself.
    let longer = |end: &str| format!("/{LIB}/cmd/x/{end}");
    let paths = ["@v/list", "@latest", "@v/v1.0.0.info", "@v/main.info"].map(longer);
    let version = query_path(LIB, "v1.9.0");
    let all = || paths.iter().chain([&version]);
    larder.get(&file_path(LIB, "v1.0.0", "info")).ok();
    // A list may also be empty: then that is what is kept.
    let known: Vec<_> = all().map(|path| (path, larder.get(path).status)).collect();
    assert!(
        known.iter().all(|(_, status)| [200, 404].contains(status)),
        "{known:?}"
    );
    larder.get(&version).refuses(&[404]);
    scene.host.stop();
    let same = |larder: &Larder| {
        for (path, status) in &known {
            let answer = larder.get(path);
            assert_eq!(answer.status, *status, "{}", answer.describe());
        }
    };
    same(&larder);
    larder.stop();
    larder.restart();
    same(&larder);
    assert!(larder.get(&version).is_stale());
}

#[test]
fn every_part_is_made_of_one_fetch() {
    // `.info` was asked for; `.mod` and zip come from what is there then.
    let mut scene = released();
    let larder = scene.larder().no_breaker().start();
    larder.get(&file_path(LIB, "v1.0.0", "info")).ok();
    larder.get(&file_path(LIB, "v1.0.0", "mod")).ok();
    larder.get(&file_path(LIB, "v1.0.0", "zip")).ok();
    let fetches = scene.host.count("git.example.com/lib/git-upload-pack");
    larder.get(&file_path(LIB, "v1.0.0", "zip")).ok();
    larder.get(&file_path(LIB, "v1.0.0", "info")).ok();
    assert_eq!(
        scene.host.count("git.example.com/lib/git-upload-pack"),
        fetches
    );
    scene.host.stop();
}

#[test]
fn a_new_version_is_seen_at_once_when_it_is_asked_for() {
    let scene = released();
    let larder = settings::refs_ttl(scene.larder(), "1h").start();
    assert_eq!(list(&larder), ["v1.0.0"]);
    let repo = &scene.repos[0];
    let hash = repo.commit(Commit::new().file("n.go", "package lib\n"));
    repo.tag("v1.1.0", &hash);
    // Unknown until now, so that what is believed of references is looked at again.
    let info = larder.get(&query_path(LIB, "v1.1.0"));
    assert_eq!(version_of(&info), "v1.1.0");
    assert_eq!(version_of(&larder.get(&query_path(LIB, &hash))), "v1.1.0");
    assert_eq!(list(&larder), ["v1.0.0", "v1.1.0"]);
}

#[test]
fn a_new_version_is_seen_after_a_while() {
    let scene = released();
    let builder = settings::refs_ttl(scene.larder().set("freshness.ttl", "100ms"), "100ms");
    let larder = builder.start();
    assert_eq!(list(&larder), ["v1.0.0"]);
    let repo = &scene.repos[0];
    let hash = repo.commit(Commit::new().file("n.go", "package lib\n"));
    repo.tag("v1.1.0", &hash);
    until("the new version", || {
        (list(&larder) == ["v1.0.0", "v1.1.0"]).then_some(())
    });
    until("the new head", || {
        (version_of(&larder.get(&query_path(LIB, "latest"))) == "v1.1.0").then_some(())
    });
}

#[test]
fn a_branch_that_was_forced_elsewhere_is_followed() {
    let scene = released();
    let builder = settings::refs_ttl(scene.larder().set("freshness.ttl", "100ms"), "100ms");
    let larder = builder.start();
    let repo = &scene.repos[0];
    let first = repo.commit(Commit::new().file("n.go", "package lib\n"));
    let version = repo.pseudo("v1.0.1-0.", &first);
    until("the first head", || {
        (version_of(&larder.get(&query_path(LIB, "main"))) == version).then_some(())
    });
    let base = repo.git(&["rev-parse", "v1.0.0"]);
    let second = repo.commit(Commit::new().after(&base).file("o.go", "package lib\n"));
    let version = repo.pseudo("v1.0.1-0.", &second);
    until("the second head", || {
        (version_of(&larder.get(&query_path(LIB, "main"))) == version).then_some(())
    });
    // What was served of the lost commit stays.
    let lost = repo.pseudo("v1.0.1-0.", &first);
    larder.get(&file_path(LIB, &lost, "info")).ok();
}

#[test]
fn c15_a_moved_tag_changes_nothing_that_was_served() {
    let scene = released();
    let mut larder = scene.larder().start();
    let path = file_path(LIB, "v1.0.0", "zip");
    let zip = larder.get_hit(&path).ok().to_vec();
    let info = larder.get(&query_path(LIB, "v1.0.0")).ok().to_vec();
    let repo = &scene.repos[0];
    let moved = repo.commit(Commit::new().file("n.go", "package lib\n"));
    repo.tag("v1.0.0", &moved);
    larder.stop();
    larder.restart();
    assert_eq!(larder.get(&path).ok(), zip);
    assert_eq!(larder.get(&query_path(LIB, "v1.0.0")).ok(), info);
    // Not even where the kept files were lost: the checksum seen first stands.
    larder.stop();
    std::fs::remove_dir_all(larder.data_dir().join("modules")).unwrap();
    larder.restart();
    larder.get(&path).refuses(&[502]);
}

#[test]
fn c24_a_client_that_wants_no_fetch_gets_none() {
    let scene = released();
    let larder = scene.larder().start();
    for what in ["@v/list", "@latest", "@v/v1.0.0.info", "@v/v1.0.0.zip"] {
        larder.get_kept(&format!("/{LIB}/{what}")).refuses(&[404]);
    }
    scene.host.assert_untouched();
    let path = file_path(LIB, "v1.0.0", "zip");
    larder.get_hit(&path);
    larder.get_kept(&path).ok();
}

#[test]
fn a_killed_fetch_leaves_nothing_that_hurts() {
    let scene = released();
    scene.repos[0].history("main", 30, 30_000);
    let gate = Gate::new();
    let fault = Fault::gate_at(20_000, &gate);
    scene
        .host
        .rule_n("git.example.com/lib/git-upload-pack", 3, fault);
    let mut larder = scene.larder().start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    let request = Request::get(&query_path(LIB, "main"));
    conn.write(&request.bytes(larder.addr())).unwrap();
    gate.wait_arrived(1);
    larder.kill9();
    gate.open();
    scene.host.clear_rules();
    larder.restart();
    let verdict = scene.oracle().ask(LIB, "main");
    assert_eq!(
        version_of(&larder.get(&query_path(LIB, "main"))),
        verdict.version
    );
    let zip = larder.get(&file_path(LIB, &verdict.version, "zip"));
    assert_eq!(Some(zip_h1(zip.ok())), verdict.h1);
}

/// What a host may answer when it has no time for questions.
const INTERLUDES: &[&str] = &[
    "<!DOCTYPE html><html><head><title>Sign in</title></head></html>",
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n</html>\n",
    "{\"error\":\"maintenance\"}",
    "",
];

#[test]
fn a_page_in_place_of_references_changes_nothing() {
    for status in [200, 203] {
        for body in INTERLUDES {
            println!("{status} {body}");
            let scene = released();
            let builder = scene.larder().no_breaker().set("freshness.ttl", "0s");
            let larder = settings::refs_ttl(builder, "0s").start();
            assert_eq!(list(&larder), ["v1.0.0"]);
            let latest = larder.get(&query_path(LIB, "latest")).ok().to_vec();
            let fault = Fault::status(status).body(*body);
            scene.host.rule("git.example.com/*/info/refs*", fault);
            // All that is kept stays as it was.
            assert_eq!(list(&larder), ["v1.0.0"]);
            assert_eq!(larder.get(&query_path(LIB, "latest")).ok(), latest);
            let reason = larder.get(&query_path(LIB, "v1.1.0")).refuses(&[502]);
            assert!(!reason.contains("unknown revision"), "{reason}");
            // Nor does it say that what was never asked for is empty.
            scene.host.go_import(
                "corp.example.com/new",
                "corp.example.com/new git https://git.example.com/new",
            );
            larder.get("/corp.example.com/new/@v/list").refuses(&[502]);
            scene.control(&larder);
            assert_eq!(list(&larder), ["v1.0.0"]);
        }
    }
}

#[test]
fn an_empty_repository_is_one() {
    let scene = Scene::with(Repo::new(), "lib");
    let larder = scene.larder().start();
    let answer = larder.get(&format!("/{LIB}/@v/list"));
    assert_eq!(answer.ok(), b"");
    larder.get(&query_path(LIB, "v1.0.0")).refuses(&[404]);
}

#[test]
fn a_host_of_plain_files_is_one() {
    let repo = Repo::module(LIB);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    repo.git(&["update-server-info"]);
    let scene = Scene::new();
    scene
        .host
        .go_import(LIB, &format!("{LIB} git https://git.example.com/lib"));
    let folder = repo.folder();
    let mut open = vec![folder.clone()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(&folder).unwrap().display();
            let at = format!("git.example.com/lib/{name}");
            let body = std::fs::read(&path).unwrap();
            scene
                .host
                .put(&at, 200, &[("Content-Type", "text/plain")], &body);
        }
    }
    let larder = scene.larder().start();
    assert_eq!(list(&larder), ["v1.0.0"]);
    larder.get(&file_path(LIB, "v1.0.0", "zip")).ok();
}

/// The module's page is one of a sign-in from now on; the old one is still there under another name.
fn signs_in(scene: &Scene) {
    let page = "<html><head><title>Sign in</title></head><body>Who are you?</body></html>";
    scene.host.page("sso.example.com/login", 200, page);
    scene.host.page("corp.example.com", 200, page);
    scene
        .host
        .redirect(LIB, "https://sso.example.com/login?back=lib");
}

#[test]
fn a_sign_in_in_place_of_the_page_changes_nothing() {
    let scene = released();
    let builder = scene.larder().no_breaker().set("freshness.ttl", "0s");
    let mut larder = builder.start();
    assert_eq!(list(&larder), ["v1.0.0"]);
    let latest = larder.get(&query_path(LIB, "latest")).ok().to_vec();
    larder.stop();
    signs_in(&scene);
    larder.restart();
    assert_eq!(list(&larder), ["v1.0.0"]);
    assert_eq!(larder.get(&query_path(LIB, "latest")).ok(), latest);
    for path in [
        query_path(LIB, "v1.1.0"),
        query_path(LIB, "main"),
        file_path(LIB, "v1.1.0", "zip"),
        "/corp.example.com/never/@v/list".to_owned(),
    ] {
        let reason = larder.get(&path).refuses(&[502]);
        assert!(reason.contains("go-import"), "{reason}");
    }
    // A page that wants a login is no proof either.
    scene.host.page(LIB, 401, "who are you?");
    assert_eq!(list(&larder), ["v1.0.0"]);
    larder.get(&query_path(LIB, "v1.1.0")).refuses(&[502]);
}

#[test]
fn a_public_module_that_was_had_from_its_repository_does_not_vanish() {
    let path = "code.example.org/lib";
    let repo = Repo::module(path);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    let scene = Scene::new();
    scene.up.rule("*", Fault::status(404));
    scene.host.publish(path, "git.example.com/lib", &repo);
    let builder = settings::public(&scene.host, &scene.up).no_breaker();
    let mut larder = builder.set("freshness.ttl", "0s").start();
    let all = format!("/{path}/@v/list");
    assert_eq!(lines(&larder.get(&all)), ["v1.0.0"]);
    larder.stop();
    scene.host.page(path, 200, "<html><head></head></html>");
    scene
        .host
        .page("code.example.org/new", 200, "<html></html>");
    larder.restart();
    assert_eq!(lines(&larder.get(&all)), ["v1.0.0"]);
    larder.get(&query_path(path, "v1.1.0")).refuses(&[502]);
    larder.get("/code.example.org/new/@v/list").refuses(&[404]);
}
