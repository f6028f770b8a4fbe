//! The real `go` behind Larder, with private modules from a host that wants a password and public ones from
//! the upstream (issue 5, checklist 127 and 133 to 135).

use super::*;

const SECRET: &str = "s3cret-of-mine";
const LIB: &str = "corp.example.com/team/lib";
const DEEP: &str = "corp.example.com/team/lib/deep/v2";
const PUBLIC: &str = "rsc.io/quote";

const PROGRAM: &str = "package main\n\nimport (\n\tdeep \"corp.example.com/team/lib/deep/v2\"\n\t\
    lib \"corp.example.com/team/lib\"\n)\n\nfunc main() { println(lib.Name, deep.Name) }\n";

/// A private module that needs a public one, and another one in a folder of the same repository.
fn world() -> Scene {
    let mut scene = Scene::new();
    let public =
        Module::new(PUBLIC, "v1.5.2").file("m.go", "package quote\n\nconst Name = \"quote\"\n");
    scene.up.add(&public);
    let repo = Repo::new();
    let gomod = format!("module {LIB}\n\ngo 1.20\n\nrequire {PUBLIC} v1.5.2\n");
    let first = repo.commit(
        Commit::new()
            .file("go.mod", gomod)
            .file(
                "lib.go",
                format!("package lib\n\nimport \"{PUBLIC}\"\n\nconst Name = quote.Name\n"),
            )
            .gomod_in("deep/v2/", DEEP)
            .file("deep/v2/deep.go", "package deep\n\nconst Name = \"deep\"\n")
            .file("LICENSE", "ours\n"),
    );
    repo.tag("v1.2.0", &first);
    repo.tag("deep/v2.0.1", &first);
    scene.host.publish(LIB, "git.example.com/team/lib", &repo);
    scene.host.protect("git.example.com/team/", "me", SECRET);
    scene.repos.push(repo);
    scene
}

fn larder_for(scene: &Scene) -> Builder {
    settings::netrc(scene.larder(), &[("git.example.com", "me", SECRET)])
}

#[track_caller]
fn builds(go: &Go) -> String {
    go.module(&[]);
    go.write("main.go", PROGRAM);
    go.ok(&["mod", "tidy"]);
    go.ok(&["build", "-o", "program", "."]);
    go.ok(&["mod", "verify"]);
    go.read("go.sum")
}

/// A client of Larder; whatever goes anywhere else meets the trap.
fn client(larder: &Larder) -> (Go, FakeUpstream) {
    let trap = FakeUpstream::start();
    let go = Go::new(&larder.url())
        .env("HTTPS_PROXY", &trap.url())
        .env("HTTP_PROXY", &trap.url());
    (go, trap)
}

/// What `go` makes of the same program when it goes to git itself, and to the upstream for the rest.
fn directly(scene: &Scene) -> String {
    let home = scene.folder.path();
    std::fs::write(
        home.join(".netrc"),
        settings::netrc_text(&[("git.example.com", "me", SECRET)]),
    )
    .unwrap();
    let oracle = scene
        .oracle()
        .env("HOME", home.to_str().unwrap())
        .env("GOPROXY", &scene.up.url())
        .env("GONOPROXY", "corp.example.com");
    builds(oracle.go())
}

#[track_caller]
fn nothing_private_on_the_public_side(scene: &Scene) {
    for seen in scene.up.requests() {
        let shown = format!("{seen:?}").to_lowercase();
        for word in [
            "corp",
            "team",
            "deep",
            SECRET,
            "authorization",
            "git.example.com",
        ] {
            assert!(!shown.contains(word), "{word}: {shown}");
        }
    }
    scene
        .host
        .assert_secret_only_at(SECRET, "git.example.com/team/*");
}

#[test]
fn go_itself_builds_the_program() {
    let scene = world();
    let sums = directly(&scene);
    assert!(sums.contains(&format!("{DEEP} v2.0.1 h1:")), "{sums}");
    nothing_private_on_the_public_side(&scene);
}

#[test]
fn c127_a_program_with_private_and_public_modules_is_built() {
    let mut scene = world();
    let expected = directly(&scene);
    scene.host.forget();
    scene.up.forget();
    let mut larder = larder_for(&scene).no_breaker().start();
    let (go, trap) = client(&larder);
    assert_eq!(builds(&go), expected);
    trap.assert_untouched();
    nothing_private_on_the_public_side(&scene);
    assert!(scene.up.count(&format!("/{PUBLIC}/*")) > 0);
    assert!(!larder.stderr().contains(SECRET), "{}", larder.stderr());
    // Another machine, another day, and no git host.
    let gomod = go.read("go.mod");
    scene.host.stop();
    scene.up.stop();
    larder.stop();
    larder.restart();
    let (go, trap) = client(&larder);
    go.write("main.go", PROGRAM)
        .write("go.mod", &gomod)
        .write("go.sum", &expected);
    go.ok(&["build", "-o", "program", "."]);
    go.ok(&["mod", "verify"]);
    trap.assert_untouched();
}

#[test]
fn c134_a_new_private_import_is_found_by_probing() {
    let scene = world();
    let larder = larder_for(&scene).start();
    let (go, trap) = client(&larder);
    let go = go.env("GOFLAGS", "-modcacherw -mod=mod");
    go.module(&[]);
    go.write("main.go", PROGRAM);
    go.ok(&["build", "-o", "program", "."]);
    let gomod = go.read("go.mod");
    assert!(gomod.contains(&format!("{DEEP} v2.0.1")), "{gomod}");
    assert!(gomod.contains(&format!("{LIB} v1.2.0")), "{gomod}");
    trap.assert_untouched();
    nothing_private_on_the_public_side(&scene);
}

#[test]
fn c135_a_second_machine_causes_no_traffic() {
    let scene = world();
    let larder = larder_for(&scene).start();
    let (go, _trap) = client(&larder);
    let sums = builds(&go);
    for module in [LIB, DEEP] {
        let version = if module == LIB { "v1.2.0" } else { "v2.0.1" };
        larder.get_hit(&file_path(module, version, "zip"));
    }
    let names = [format!("{LIB}@v1.2.0"), format!("{DEEP}@v2.0.1")];
    scene.host.forget();
    scene.up.forget();
    let (go, trap) = client(&larder);
    go.module(&[]);
    go.write("go.sum", &sums);
    go.ok(&["mod", "download", &names[0], &names[1]]);
    scene.host.assert_untouched();
    scene.up.assert_untouched();
    trap.assert_untouched();
}

#[test]
fn c133_go_goes_on_at_our_404_and_stops_at_our_trouble() {
    let scene = world();
    // Another proxy after us, which has what we do not.
    let theirs = Module::new("corp.example.com/team/theirs", "v1.0.0");
    let next = FakeUpstream::serving(std::slice::from_ref(&theirs));
    let name = "corp.example.com/team/theirs@v1.0.0";
    let larder = larder_for(&scene).no_breaker().start();
    let comma = format!("{},{}", larder.url(), next.url());
    let go = Go::new(&comma);
    go.module(&[]);
    // The page names the team's repository, which has no such folder.
    go.ok(&["mod", "download", name]);
    scene.host.rule("*", Fault::status(500));
    let larder = larder_for(&scene).no_breaker().start();
    let comma = Go::new(&format!("{},{}", larder.url(), next.url()));
    comma.module(&[]);
    comma.fails(&["mod", "download", name]);
    let bar = Go::new(&format!("{}|{}", larder.url(), next.url()));
    bar.module(&[]);
    bar.ok(&["mod", "download", name]);
}

#[test]
fn go_get_takes_commits_and_branches() {
    let scene = world();
    let repo = &scene.repos[0];
    let head = repo.commit(Commit::new().file("n.go", "package lib\n"));
    let pseudo = repo.pseudo("v1.2.1-0.", &head);
    let larder = larder_for(&scene).start();
    for query in ["main", &head, short(&head), "HEAD"] {
        let (go, trap) = client(&larder);
        go.module(&[]);
        go.ok(&["get", &format!("{LIB}@{query}")]);
        assert!(go.read("go.mod").contains(&pseudo), "{}", go.read("go.mod"));
        trap.assert_untouched();
    }
    let (go, _trap) = client(&larder);
    go.module(&[&format!("{LIB} {pseudo}")]);
    let listed = go.ok(&["list", "-m", "-u", "-versions", LIB]).stdout;
    assert!(listed.contains("v1.2.0"), "{listed}");
}

#[test]
fn go_is_told_plainly_what_is_wrong() {
    let scene = world();
    let larder = scene.larder().start();
    let (go, _trap) = client(&larder);
    go.module(&[]);
    let text = go.fails(&["mod", "download", &format!("{LIB}@v1.2.0")]);
    assert!(text.contains("git.example.com"), "{text}");
    assert!(!text.contains("unknown revision"), "{text}");
    let larder = larder_for(&scene).start();
    let (go, _trap) = client(&larder);
    go.module(&[]);
    let text = go.fails(&["mod", "download", &format!("{LIB}@v9.9.9")]);
    assert!(text.contains("unknown revision"), "{text}");
}
