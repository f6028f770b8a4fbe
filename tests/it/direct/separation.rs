//! What strangers name, and what is private: one has nothing of the other, and takes nothing from it.

use super::*;
use std::time::Duration;

const SECRET: &str = "git.example.com/team/secret";

/// A private repository that anybody inside may read, and a public chain with `direct`.
fn inside() -> (Scene, Builder) {
    let path = format!("{SECRET}.git");
    let repo = Repo::module(&path);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    let mut scene = Scene::new();
    scene.up.rule("*", Fault::status(404));
    scene.host.serve(SECRET, &repo);
    scene.repos.push(repo);
    let builder = settings::public(&scene.host, &scene.up)
        .arg("--private")
        .arg("git.example.com/team")
        .no_breaker();
    (scene, builder)
}

#[test]
fn a_repository_of_private_modules_is_not_for_public_ones() {
    let (scene, builder) = inside();
    scene
        .host
        .serve("git.example.com/Team/Secret", &scene.repos[0]);
    scene
        .host
        .serve("git.example.com/scm/team/secret", &scene.repos[0]);
    let larder = builder.start();
    for (n, url) in [
        "git https://git.example.com/team/secret",
        "git https://git.example.com/team/secret.git",
        "git https://git.example.com/team/secret/",
        "git HTTPS://GIT.Example.com/Team/Secret",
        "git https://git.example.com:443/team/secret",
        "git https://git.example.com./team/secret",
        "git https://me@git.example.com/team/secret",
        "git https://git.example.com//team/secret",
        "git https://git.example.com/te%61m/secret",
        "git https://git.example.com/x/../team/secret",
        "git https://git.example.com/scm/team/secret",
        "git ssh://git@git.example.com/team/secret",
        "mod https://git.example.com/team/secret",
        "mod https://git.example.com/team",
    ]
    .iter()
    .enumerate()
    {
        println!("{url}");
        let path = format!("code.example.org/m{n}");
        scene.host.go_import(&path, &format!("{path} {url}"));
        for way in ["@v/list", "@latest", "@v/v1.0.0.info", "@v/v1.0.0.zip"] {
            larder.get(&format!("/{path}/{way}")).refuses(&[404]);
        }
    }
    // Nor by a redirect of a page, of a repository, or of a proxy.
    let path = "code.example.org/redirected";
    scene
        .host
        .redirect(path, "https://git.example.com/team/secret?go-get=1");
    larder
        .get(&file_path(path, "v1.0.0", "zip"))
        .refuses(&[404, 502]);
    let path = "code.example.org/moved";
    scene
        .host
        .go_import(path, &format!("{path} git https://other.example.com/moved"));
    let to = "https://git.example.com/team/secret/info/refs?service=git-upload-pack";
    scene
        .host
        .rule("other.example.com/moved/*", Fault::redirect(to));
    larder
        .get(&file_path(path, "v1.0.0", "zip"))
        .refuses(&[404, 502]);
    let path = "code.example.org/proxied";
    scene
        .host
        .go_import(path, &format!("{path} mod https://other.example.com/proxy"));
    let to = "https://git.example.com/team/secret/@v/list";
    scene
        .host
        .rule("other.example.com/proxy/*", Fault::redirect(to));
    larder.get(&format!("/{path}/@v/list")).refuses(&[404, 502]);
    // By another spelling of its own path.
    let other = "/git.example.com/!team/!secret.git/@v/list";
    larder.get(other).refuses(&[404, 502]);
    let asked = scene.host.names();
    let led = |name: &&String| name.to_lowercase().contains("secret") && name.contains("-> 200");
    assert_eq!(asked.iter().find(led), None);
    // For those that it is for, it is there; and so is what else is on that host.
    let own = format!("{SECRET}.git");
    larder.get(&file_path(&own, "v1.0.0", "zip")).ok();
    let path = "code.example.org/open";
    let repo = Repo::module(path);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    scene.host.publish(path, "git.example.com/open", &repo);
    larder.get(&file_path(path, "v1.0.0", "zip")).ok();
}

#[test]
fn hosts_inside_are_allowed_to_private_modules_and_routes_only() {
    let path = "code.example.org/lib";
    let repo = Repo::module(path);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    let scene = Scene::new();
    scene.up.rule("*", Fault::status(404));
    scene.host.serve("127.0.0.1/lib", &repo);
    let url = format!("https://127.0.0.1:{}/lib", scene.host.port());
    scene.host.go_import(path, &format!("{path} git {url}"));
    let proxied = "code.example.org/proxied";
    scene
        .host
        .go_import(proxied, &format!("{proxied} mod {url}"));
    let builder = || settings::allow_hosts(settings::public(&scene.host, &scene.up), "127.0.0.1");
    let larder = builder().start();
    for path in [path, proxied] {
        let reason = larder
            .get(&file_path(path, "v1.0.0", "zip"))
            .refuses(&[404]);
        assert!(reason.contains("inside"), "{reason}");
    }
    assert_eq!(scene.host.count("127.0.0.1*"), 0);
    let larder = builder().arg("--private").arg(path).start();
    larder.get(&file_path(path, "v1.0.0", "zip")).ok();
    let route = format!("[[routes]]\nmatch = \"{path}\"\nvia = \"direct\"\nprivate = false\n");
    let larder = builder().config(&route).start();
    larder.get(&file_path(path, "v1.0.0", "zip")).ok();
}

#[test]
fn what_a_login_shows_is_for_that_login() {
    let private = "corp.example.com/lib";
    let public = "code.example.org/lib";
    let make = || {
        let repo = Repo::module(private);
        repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
        repo
    };
    let (everybody, members) = (make(), make());
    let hidden = members.commit(
        Commit::on("hidden")
            .root()
            .gomod(private)
            .file("s.go", "package s\n"),
    );
    let scene = Scene::new();
    scene.up.rule("*", Fault::status(404));
    let at = "git.example.com/lib";
    scene.host.publish(private, at, &everybody);
    scene.host.serve_to("me", "s3cret", at, &members);
    scene
        .host
        .go_import(public, &format!("{public} git https://{at}"));
    let builder = settings::public(&scene.host, &scene.up)
        .arg("--private")
        .arg("corp.example.com");
    let builder = settings::refs_ttl(builder, "0s").set("freshness.ttl", "0s");
    let larder = settings::netrc(builder, &[("git.example.com", "me", "s3cret")]).start();
    larder.get(&query_path(public, "main")).ok();
    let version = version_of(&larder.get(&query_path(private, "hidden")));
    larder.get(&file_path(private, &version, "zip")).ok();
    larder.get(&query_path(private, &hidden)).ok();
    for query in [
        hidden.as_str(),
        short(&hidden),
        &hidden[..7],
        "hidden",
        &version,
    ] {
        larder.get(&query_path(public, query)).refuses(&[404]);
    }
    larder
        .get(&file_path(public, &version, "zip"))
        .refuses(&[404]);
    // Nor does the public side take away what the private one has.
    larder
        .get(&query_path(public, short(&hidden)))
        .refuses(&[404]);
    larder.get(&query_path(private, short(&hidden))).ok();
    larder.get(&query_path(private, "hidden")).ok();
}

#[test]
fn hanging_hosts_of_strangers_delay_no_private_module() {
    let (scene, builder) = inside();
    let gate = Gate::new();
    for n in 0..6 {
        let path = format!("code.example.org/h{n}");
        let at = format!("https://h{n}.example.org/lib");
        scene.host.go_import(&path, &format!("{path} git {at}"));
        scene
            .host
            .rule(&format!("h{n}.example.org/*"), Fault::gate(&gate));
    }
    let larder = builder
        .set("direct.processes", "2")
        .set("direct.per_host", "2")
        .start();
    std::thread::scope(|scope| {
        let hanging: Vec<_> = (0..12)
            .map(|n| {
                let path = format!("/code.example.org/h{}/@v/v1.{n}.0.zip", n % 6);
                let larder = &larder;
                scope.spawn(move || larder.get(&path).status)
            })
            .collect();
        gate.wait_arrived(2);
        let own = format!("{SECRET}.git");
        let zip = larder.get(&file_path(&own, "v1.0.0", "zip"));
        zip.ok();
        assert!(zip.elapsed < Duration::from_secs(15), "{:?}", zip.elapsed);
        gate.open();
        for hanging in hanging {
            assert_ne!(hanging.join().unwrap(), 200);
        }
    });
}

#[test]
fn a_stranger_s_list_of_references_is_small() {
    let path = "code.example.org/many";
    let repo = Repo::module(path);
    let head = repo.git(&["rev-parse", "main"]);
    repo.tags((0..61_000).map(|n| format!("t{n}")), &head);
    repo.tag("v1.0.0", &head);
    let scene = Scene::new();
    scene.up.rule("*", Fault::status(404));
    scene.host.publish(path, "git.example.com/many", &repo);
    let public = || settings::public(&scene.host, &scene.up).no_breaker();
    let larder = public().start();
    let ask = || {
        let reason = larder.get(&query_path(path, "v1.0.0")).refuses(&[502]);
        assert!(reason.contains("references"), "{reason}");
    };
    ask();
    // It is not asked for again at once.
    let asked = scene.host.count("git.example.com/many/*");
    ask();
    larder.get(&query_path(path, "t7")).refuses(&[502]);
    assert_eq!(scene.host.count("git.example.com/many/*"), asked);
    let larder = public().arg("--private").arg("code.example.org").start();
    larder.get(&query_path(path, "v1.0.0")).ok();
}
