//! Passwords and tokens: sent where they belong, and nowhere else (protocol.md 6.6).

use super::settings::Route;
use super::*;
use crate::support::githost::Seen;

const LIB: &str = "corp.example.com/lib";
const SECRET: &str = "s3cret-of-mine";
const OTHER: &str = "0ther-secret";

/// The usual repository, for `me` only.
fn protected() -> Scene {
    let repo = Repo::module(LIB);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    let scene = Scene::with(repo, "lib");
    scene.host.protect("git.example.com/lib", "me", SECRET);
    scene
}

/// Every way to a module.
const WAYS: [&str; 5] = [
    "@v/list",
    "@latest",
    "@v/v1.0.0.info",
    "@v/v1.0.0.mod",
    "@v/v1.0.0.zip",
];

#[track_caller]
fn served(larder: &Larder) {
    for way in WAYS {
        larder.get(&format!("/{LIB}/{way}")).ok();
    }
}

/// Nothing that Larder says, keeps in sight or shows of its processes has the secret in it.
#[track_caller]
fn unsaid(larder: &Larder, secret: &str) {
    assert!(
        !larder.stderr().contains(secret),
        "the log: {}",
        larder.stderr()
    );
    assert!(!larder.stdout().contains(secret), "{}", larder.stdout());
    assert!(!larder.metrics().contains(secret), "{}", larder.metrics());
    for page in ["/", "/readyz", "/healthz"] {
        assert!(!larder.get(page).text().contains(secret), "{page}");
    }
    let info = larder.get(&query_path(LIB, "v1.0.0")).text();
    assert!(!info.contains(secret), "{info}");
    for file in larder.files("") {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found, "{}", file.display());
    }
}

/// Command lines of Larder and of all processes below it.
fn command_lines(larder: &Larder) -> String {
    let mut open = vec![larder.pid()];
    let mut lines = String::new();
    while let Some(pid) = open.pop() {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        lines.push_str(&String::from_utf8_lossy(&line).replace('\0', " "));
        lines.push('\n');
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let children = std::fs::read_to_string(task.path().join("children"));
            let children = children.unwrap_or_default();
            open.extend(
                children
                    .split_whitespace()
                    .filter_map(|c| c.parse::<u32>().ok()),
            );
        }
    }
    lines
}

#[test]
fn go_takes_the_password_from_netrc() {
    let scene = protected();
    let netrc = scene.folder.path().join(".netrc");
    std::fs::write(
        &netrc,
        settings::netrc_text(&[("git.example.com", "me", SECRET)]),
    )
    .unwrap();
    let home = scene.folder.path().to_str().unwrap();
    let verdict = scene.oracle().env("HOME", home).ask(LIB, "v1.0.0");
    assert!(verdict.h1.is_some(), "{verdict:?}");
    scene
        .host
        .assert_secret_only_at(SECRET, "git.example.com/lib*");
}

#[test]
fn c128_go_does_not_wait_for_a_password() {
    let verdict = protected().oracle().ask(LIB, "v1.0.0");
    assert!(
        verdict.error.contains("could not read Username"),
        "{verdict:?}"
    );
}

#[test]
fn netrc_opens_the_repository() {
    let scene = protected();
    let logins = [
        ("other.example.com", "them", OTHER),
        ("git.example.com", "me", SECRET),
    ];
    let larder = settings::netrc(scene.larder(), &logins).start();
    served(&larder);
    scene
        .host
        .assert_secret_only_at(SECRET, "git.example.com/lib*");
    scene
        .host
        .assert_secret_only_at(OTHER, "other.example.com*");
    unsaid(&larder, SECRET);
    scene.up.assert_untouched();
}

#[test]
fn a_page_behind_a_password_is_asked_with_it() {
    let scene = protected();
    scene.host.protect("corp.example.com/", "me", OTHER);
    let logins = [
        ("corp.example.com", "me", OTHER),
        ("git.example.com", "me", SECRET),
    ];
    let larder = settings::netrc(scene.larder(), &logins).start();
    served(&larder);
    scene
        .host
        .assert_secret_only_at(OTHER, "corp.example.com/*");
    scene
        .host
        .assert_secret_only_at(SECRET, "git.example.com/*");
}

#[test]
fn a_route_brings_its_own_credential() {
    for token in [false, true] {
        let scene = protected();
        let route = Route {
            pattern: "corp.example.com",
            via: "direct",
            host: "git.example.com",
            username: if token { "" } else { "me" },
            password_env: if token { "" } else { "LIB_PASSWORD" },
            token_env: if token { "LIB_TOKEN" } else { "" },
            ..Route::default()
        };
        if token {
            scene
                .host
                .protect("git.example.com/lib", "x-access-token", SECRET);
        }
        let name = if token { "LIB_TOKEN" } else { "LIB_PASSWORD" };
        let builder = settings::routes(scene.larder().env(name, SECRET), &[route]);
        let larder = builder.start();
        served(&larder);
        scene
            .host
            .assert_secret_only_at(SECRET, "git.example.com/lib*");
        unsaid(&larder, SECRET);
    }
}

#[test]
fn a_github_app_has_tokens_made() {
    let scene = protected();
    scene
        .host
        .protect("git.example.com/lib", "x-access-token", SECRET);
    let answer = format!("{{\"token\":{SECRET:?},\"expires_at\":\"2099-01-01T00:00:00Z\"}}");
    let api = "api.example.com/app/installations/42/access_tokens";
    scene.host.put(api, 201, &[], answer.as_bytes());
    let key = include_str!("../../../src/vcs/testdata/github/test-key-pkcs1.pem");
    let key = &key[key.find("-----BEGIN").unwrap()..];
    let file = scene.folder.path().join("app.pem");
    std::fs::write(&file, key).unwrap();
    let route = format!(
        "[[routes]]\nmatch = \"corp.example.com\"\nvia = \"direct\"\ngithub_app_id = \"7\"\n\
         github_installation_id = \"42\"\ngithub_key_file = {file:?}\nhost = \"git.example.com\"\ngithub_api = \"https://api.example.com\"\n"
    );
    let larder = scene.larder().config(&route).start();
    served(&larder);
    assert_eq!(scene.host.count(api), 1, "a token serves until it expires");
    scene
        .host
        .assert_secret_only_at(SECRET, "git.example.com/lib*");
    unsaid(&larder, SECRET);
    // It was withdrawn before its time: another one is asked for.
    scene
        .host
        .protect("git.example.com/lib", "x-access-token", OTHER);
    let answer = answer.replace(SECRET, OTHER);
    scene.host.put(api, 201, &[], answer.as_bytes());
    let repo = &scene.repos[0];
    repo.tag("v1.1.0", &repo.git(&["rev-parse", "main"]));
    larder.get(&query_path(LIB, "v1.1.0")).ok();
    assert_eq!(scene.host.count(api), 2);
    // The app is not installed there any more.
    let gone = br#"{"message":"Not Found"}"#;
    scene.host.put(api, 404, &[], gone);
    let larder = scene.larder().config(&route).start();
    let reason = larder.get(&file_path(LIB, "v1.0.0", "zip")).refuses(&[502]);
    assert!(reason.contains("GitHub App"), "{reason}");
}

#[test]
fn c127_a_route_s_login_is_not_for_whomever_a_page_names() {
    let scene = protected();
    let route = Route {
        pattern: "corp.example.com",
        via: "direct",
        username: "me",
        password_env: "LIB_PASSWORD",
        ..Route::default()
    };
    let builder = settings::routes(scene.larder().env("LIB_PASSWORD", SECRET), &[route]);
    let larder = builder.start();
    for way in WAYS {
        let reason = larder.get(&format!("/{LIB}/{way}")).refuses(&[404]);
        // And it is said what would make it so.
        assert!(reason.contains("host = \"git.example.com\""), "{reason}");
    }
    scene
        .host
        .assert_secret_only_at(SECRET, "corp.example.com/*");
    // On the host that the paths themselves begin with, it is.
    let path = "git.example.com/team/repo.git";
    let repo = Repo::module(path);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    scene.host.serve("git.example.com/team/repo", &repo);
    scene
        .host
        .protect("git.example.com/team/repo", "me", SECRET);
    let route = Route {
        pattern: "git.example.com",
        ..route
    };
    let builder = settings::routes(scene.larder().env("LIB_PASSWORD", SECRET), &[route]);
    let larder = builder.start();
    larder.get(&file_path(path, "v1.0.0", "zip")).ok();
    // Renamed there, it is still that host.
    scene.host.serve("git.example.com/team/renamed", &repo);
    scene
        .host
        .protect("git.example.com/team/renamed", "me", SECRET);
    let to = "https://git.example.com/team/renamed/info/refs?service=git-upload-pack";
    scene
        .host
        .rule("git.example.com/team/repo/info/refs*", Fault::redirect(to));
    let builder = settings::routes(scene.larder().env("LIB_PASSWORD", SECRET), &[route]);
    let larder = builder.start();
    larder.get(&file_path(path, "v1.0.0", "zip")).ok();
}

#[test]
fn c127_public_modules_bring_nobody_s_credentials() {
    // A stranger's page names a repository of ours, inside and with a password; it is asked as nobody, if at all.
    let mut scene = protected();
    scene.up.rule("*", Fault::status(404));
    let path = "code.example.org/lib";
    let content = format!("{path} git https://git.example.com/lib");
    scene.host.go_import(path, &content);
    let logins = [
        ("git.example.com", "me", SECRET),
        ("other.example.com", "me", SECRET),
    ];
    let builder = settings::public(&scene.host, &scene.up)
        .arg("--private")
        .arg("git.example.com");
    let larder = settings::netrc(builder, &logins).start();
    for way in WAYS {
        let reason = larder.get(&format!("/{path}/{way}")).refuses(&[404]);
        assert!(reason.contains("--private"), "{reason}");
    }
    scene.host.assert_secret_only_at(SECRET, "nowhere/*");
    assert_eq!(scene.host.count("git.example.com/lib*"), 0, "it is private");
    // Nor where a public repository needs none, be the password right or wrong.
    let open = "code.example.org/open";
    let repo = Repo::module(open);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    scene.host.publish(open, "other.example.com/open", &repo);
    scene.repos.push(repo);
    larder.get(&file_path(open, "v1.0.0", "zip")).ok();
    scene.host.assert_secret_only_at(SECRET, "nowhere/*");
}

#[test]
fn c119_without_a_credential_it_is_404_that_says_what_to_do() {
    let scene = protected();
    let larder = scene.larder().start();
    for way in WAYS {
        let reason = larder.get(&format!("/{LIB}/{way}")).refuses(&[404]);
        assert!(reason.contains("git.example.com"), "{reason}");
        assert!(
            reason.contains("netrc") || reason.contains("route"),
            "{reason}"
        );
        assert!(!reason.contains("unknown revision"), "{reason}");
    }
    scene.control(&larder);
}

#[test]
fn c119_a_credential_that_is_refused_is_502() {
    let scene = protected();
    let logins = [("git.example.com", "me", OTHER)];
    let larder = settings::netrc(scene.larder().no_breaker(), &logins).start();
    for way in WAYS {
        let reason = larder.get(&format!("/{LIB}/{way}")).refuses(&[502]);
        assert!(reason.contains("git.example.com"), "{reason}");
        assert!(!reason.contains("unknown revision"), "{reason}");
        assert!(!reason.contains(OTHER), "{reason}");
    }
    unsaid(&larder, OTHER);
    // The host comes to know it: nothing of the refusal is kept for long.
    scene.host.protect("git.example.com/lib", "me", OTHER);
    let path = query_path(LIB, "v1.0.0");
    until("the release", || larder.get(&path).is_ok().then_some(()));
}

#[test]
fn c119_a_forbidden_repository_is_not_an_unknown_one() {
    let scene = protected();
    scene.host.rule("git.example.com/lib*", Fault::status(403));
    let logins = [("git.example.com", "me", SECRET)];
    let larder = settings::netrc(scene.larder().no_breaker(), &logins).start();
    for way in WAYS {
        let reason = larder.get(&format!("/{LIB}/{way}")).refuses(&[403, 502]);
        assert!(reason.contains("git.example.com"), "{reason}");
    }
}

#[test]
fn c127_redirects_do_not_take_credentials_along() {
    let scene = protected();
    scene.host.protect("corp.example.com/", "me", OTHER);
    for path in ["git.example.com/lib/info/refs*", "git.example.com/lib"] {
        let away =
            Fault::redirect("https://evil.example.com/lib/info/refs?service=git-upload-pack");
        scene.host.rule(path, away);
    }
    let page = Fault::redirect("https://evil.example.com/page?go-get=1");
    scene.host.rule_n("corp.example.com/lib?go-get=1", 1, page);
    let logins = [
        ("corp.example.com", "me", OTHER),
        ("git.example.com", "me", SECRET),
    ];
    let larder = settings::netrc(scene.larder().no_breaker(), &logins).start();
    for _ in 0..2 {
        for way in WAYS {
            let answer = larder.get(&format!("/{LIB}/{way}"));
            assert_ne!(answer.status, 200, "{}", answer.describe());
        }
    }
    let evil = |seen: &&Seen| seen.host == "evil.example.com";
    for seen in scene.host.requests().iter().filter(evil) {
        assert_eq!(seen.header("authorization"), None, "{seen:#?}");
    }
    scene
        .host
        .assert_secret_only_at(OTHER, "corp.example.com/*");
    scene
        .host
        .assert_secret_only_at(SECRET, "git.example.com/*");
    scene.control(&larder);
}

#[test]
fn c127_a_page_cannot_send_credentials_elsewhere() {
    let scene = protected();
    let repo = &scene.repos[0];
    scene.host.serve("evil.example.com/lib", repo);
    scene.host.protect("evil.example.com/lib", "me", SECRET);
    // Its own host, in the guise of the other's.
    for url in [
        "https://evil.example.com/lib",
        "https://git.example.com@evil.example.com/lib",
        "https://evil.example.com/git.example.com/lib",
        "https://evil.example.com/lib#git.example.com",
        "https://git.example.com.evil.example.com/lib",
    ] {
        scene.host.go_import(LIB, &format!("{LIB} git {url}"));
        let logins = [("git.example.com", "me", SECRET)];
        let larder = settings::netrc(scene.larder().no_breaker(), &logins).start();
        for way in WAYS {
            let answer = larder.get(&format!("/{LIB}/{way}"));
            assert_ne!(answer.status, 200, "{url}: {}", answer.describe());
        }
        scene
            .host
            .assert_secret_only_at(SECRET, "git.example.com/*");
        unsaid(&larder, SECRET);
        scene.control(&larder);
    }
}

#[test]
fn c127_a_route_is_for_its_paths_on_its_host() {
    // Two teams on one host, each with a token of its own.
    let mut scene = Scene::new();
    for team in ["red", "blue"] {
        let path = format!("corp.example.com/{team}/lib");
        let repo = Repo::module(&path);
        repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
        let at = format!("git.example.com/{team}/lib");
        scene.host.publish(&path, &at, &repo);
        scene.host.protect(&at, team, &format!("token-of-{team}"));
        scene.repos.push(repo);
    }
    let route = |pattern, username, password_env| Route {
        pattern,
        via: "direct",
        host: "git.example.com",
        username,
        password_env,
        ..Route::default()
    };
    let routes = [
        route("corp.example.com/red", "red", "RED"),
        route("corp.example.com/blue", "blue", "BLUE"),
    ];
    let builder = scene
        .larder()
        .env("RED", "token-of-red")
        .env("BLUE", "token-of-blue");
    let larder = settings::routes(builder, &routes).start();
    for team in ["red", "blue"] {
        let path = format!("corp.example.com/{team}/lib");
        larder.get(&file_path(&path, "v1.0.0", "zip")).ok();
        let own = format!("git.example.com/{team}/lib*");
        scene
            .host
            .assert_secret_only_at(&format!("token-of-{team}"), &own);
    }
    // The red team's route for the blue team's repository.
    let content = "corp.example.com/red/lib git https://git.example.com/blue/lib";
    scene.host.go_import("corp.example.com/red/lib", content);
    let builder = scene
        .larder()
        .no_breaker()
        .env("RED", "token-of-red")
        .env("BLUE", "token-of-blue");
    let larder = settings::routes(builder, &routes).start();
    larder
        .get(&file_path("corp.example.com/red/lib", "v1.0.0", "zip"))
        .refuses(&[404, 502]);
    scene
        .host
        .assert_secret_only_at("token-of-blue", "git.example.com/blue/lib*");
}

#[test]
fn c127_processes_do_not_show_credentials() {
    let scene = protected();
    let gate = Gate::new();
    scene
        .host
        .rule_n("git.example.com/lib/git-upload-pack", 1, Fault::gate(&gate));
    let larder = settings::netrc(scene.larder(), &[("git.example.com", "me", SECRET)]).start();
    let asking = std::thread::scope(|scope| {
        let asking = scope.spawn(|| larder.get(&file_path(LIB, "v1.0.0", "zip")));
        gate.wait_arrived(1);
        let lines = command_lines(&larder);
        gate.open();
        assert!(lines.contains("git"), "{lines}");
        assert!(!lines.contains(SECRET), "{lines}");
        asking.join().unwrap()
    });
    asking.ok();
}

#[test]
fn c127_submodules_are_never_asked_for() {
    let repo = Repo::module(LIB);
    let modules = "[submodule \"x\"]\n\tpath = x\n\turl = https://evil.example.com/x\n";
    let hash = repo.commit(
        Commit::new()
            .file(".gitmodules", modules)
            .submodule("x", &"2".repeat(40)),
    );
    repo.tag("v1.0.0", &hash);
    let scene = Scene::with(repo, "lib");
    scene.host.protect("git.example.com/lib", "me", SECRET);
    let larder = settings::netrc(scene.larder(), &[("git.example.com", "me", SECRET)]).start();
    served(&larder);
    assert_eq!(scene.host.count("evil.example.com*"), 0);
    assert!(
        !scene
            .host
            .tunnels()
            .contains(&"evil.example.com:443".to_owned())
    );
}

#[test]
fn c127_an_address_with_a_password_is_not_repeated() {
    let scene = protected();
    let content = format!("{LIB} git https://me:{SECRET}@git.example.com/lib");
    scene.host.go_import(LIB, &content);
    let larder = scene.larder().start();
    for way in WAYS {
        // Whether it is honoured is the product's choice.
        let answer = larder.get(&format!("/{LIB}/{way}"));
        assert!(!answer.text().contains(SECRET), "{}", answer.describe());
    }
    assert!(!larder.stderr().contains(SECRET), "{}", larder.stderr());
    scene.control(&larder);
}

#[test]
fn a_user_in_an_address_is_no_secret_and_chooses_the_login() {
    // As Azure DevOps and Bitbucket Server give addresses; a password is something else.
    let scene = protected();
    let content = format!("{LIB} git https://me@git.example.com/lib");
    scene.host.go_import(LIB, &content);
    let logins = [
        ("git.example.com", "them", OTHER),
        ("git.example.com", "me", SECRET),
    ];
    let larder = settings::netrc(scene.larder(), &logins).start();
    served(&larder);
    scene
        .host
        .assert_secret_only_at(SECRET, "git.example.com/lib*");
    scene.host.assert_secret_only_at(OTHER, "nowhere/*");
    let info = larder.get(&query_path(LIB, "v1.0.0")).text();
    assert!(info.contains("\"https://git.example.com/lib\""), "{info}");
    unsaid(&larder, SECRET);
}

#[test]
fn a_password_in_netrc_may_begin_with_a_hash() {
    let scene = protected();
    scene.host.protect("git.example.com/lib", "me", "#s3cret");
    let larder = settings::netrc(scene.larder(), &[("git.example.com", "me", "#s3cret")]).start();
    served(&larder);
}

#[test]
fn c128_a_demand_for_a_password_fails_at_once() {
    let scene = protected();
    let larder = scene.larder().start();
    let answer = larder.get(&file_path(LIB, "v1.0.0", "zip"));
    answer.refuses(&[404]);
    assert!(
        answer.elapsed < std::time::Duration::from_secs(5),
        "{:?}",
        answer.elapsed
    );
    scene.control(&larder);
}
