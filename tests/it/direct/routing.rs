//! Which modules come from where, and who may have them (issue 5, point 1).

use super::settings::Route;
use super::*;
use base64::{Engine, engine::general_purpose::STANDARD};

const LIB: &str = "corp.example.com/lib";
const PUBLIC: &str = "code.example.org/lib";

fn release(path: &str) -> Repo {
    let repo = Repo::module(path);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    repo
}

/// A private module, and a public one that the upstream does not have.
fn both() -> Scene {
    let mut scene = Scene::with(release(LIB), "lib");
    let repo = release(PUBLIC);
    scene.host.publish(PUBLIC, "git.example.com/public", &repo);
    scene.repos.push(repo);
    scene
}

const WAYS: [&str; 5] = [
    "@v/list",
    "@latest",
    "@v/v1.0.0.info",
    "@v/v1.0.0.mod",
    "@v/v1.0.0.zip",
];

#[test]
fn private_modules_are_asked_of_git_alone() {
    let scene = both();
    let larder = scene.larder().start();
    for way in WAYS {
        larder.get(&format!("/{LIB}/{way}")).ok();
    }
    // Those that do not exist, too.
    for path in [
        "corp.example.com/none",
        "git.example.com/none",
        "github.com/corp/none",
    ] {
        for way in WAYS {
            larder.get(&format!("/{path}/{way}")).refuses(&[404]);
        }
    }
    scene.up.assert_untouched();
}

#[test]
fn private_modules_do_not_fall_back_to_upstreams() {
    let scene = both();
    let module = Module::new(LIB, "v1.0.0");
    scene.up.add(&module);
    scene.host.rule("*", Fault::status(500));
    let larder = scene.larder().no_breaker().start();
    for way in WAYS {
        larder.get(&format!("/{LIB}/{way}")).refuses(TROUBLE);
    }
    scene.up.assert_untouched();
}

#[test]
fn public_modules_are_not_fetched_from_git_unless_the_chain_says_so() {
    let scene = both();
    let larder = scene.larder().start();
    for way in WAYS {
        larder.get(&format!("/{PUBLIC}/{way}")).refuses(&[404]);
    }
    scene.host.assert_untouched();
    scene.control(&larder);
}

#[test]
fn direct_in_the_chain_follows_404_and_410() {
    for status in [404, 410] {
        let scene = both();
        scene.up.rule("*", Fault::status(status));
        let larder = settings::public(&scene.host, &scene.up).start();
        let verdict = scene.oracle().ask(PUBLIC, "v1.0.0");
        let info = larder.get(&query_path(PUBLIC, "v1.0.0"));
        assert_eq!(version_of(&info), "v1.0.0");
        let zip = larder.get(&file_path(PUBLIC, "v1.0.0", "zip"));
        assert_eq!(Some(zip_h1(zip.ok())), verdict.h1);
        assert_eq!(
            lines(&larder.get(&format!("/{PUBLIC}/@v/list"))),
            ["v1.0.0"]
        );
        assert!(scene.up.total() >= 3, "{:?}", scene.up.paths());
    }
}

#[test]
fn direct_in_the_chain_does_not_follow_trouble() {
    for fault in [Fault::status(403), Fault::status(500), Fault::close()] {
        let scene = both();
        scene.up.rule("*", fault);
        let larder = settings::public(&scene.host, &scene.up)
            .no_breaker()
            .start();
        for way in WAYS {
            larder
                .get(&format!("/{PUBLIC}/{way}"))
                .refuses(&[403, 502, 503, 504]);
        }
        scene.host.assert_untouched();
        scene.control(&larder);
    }
}

#[test]
fn direct_in_the_chain_is_left_alone_while_the_upstream_has_it() {
    let scene = both();
    let module = Module::new(PUBLIC, "v1.0.0");
    scene.up.add(&module);
    let larder = settings::public(&scene.host, &scene.up).start();
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    for way in WAYS {
        larder.get(&format!("/{PUBLIC}/{way}")).ok();
    }
    scene.host.assert_untouched();
    scene.control(&larder);
}

#[test]
fn the_first_route_that_matches_counts() {
    let scene = both();
    let route = |pattern, via| Route {
        pattern,
        via,
        ..Route::default()
    };
    let routes = [
        route("corp.example.com/lib/secret", "refuse"),
        route("corp.example.com", "direct"),
        route("corp.example.com/lib", "refuse"),
    ];
    let larder = settings::routes(scene.larder(), &routes).start();
    larder.get(&query_path(LIB, "v1.0.0")).ok();
    for way in WAYS {
        let reason = larder
            .get(&format!("/{LIB}/secret/{way}"))
            .refuses(&[403, 404]);
        assert!(reason.contains("corp.example.com/lib/secret"), "{reason}");
    }
    assert_eq!(scene.host.count("corp.example.com/lib/secret*"), 0);
    scene.up.assert_untouched();
}

#[test]
fn a_wide_route_leads_nothing_private_to_the_public() {
    let scene = both();
    let route = Route {
        pattern: "*.com, *.org",
        via: "upstream",
        ..Route::default()
    };
    let larder = settings::routes(scene.larder(), &[route]).start();
    for way in WAYS {
        larder.get(&format!("/{LIB}/{way}")).ok();
        larder.get(&format!("/{PUBLIC}/{way}")).refuses(&[404]);
    }
    assert_eq!(scene.up.count("/corp.example.com/*"), 0);
    assert!(scene.up.count("/code.example.org/*") > 0);
}

/// Nothing is private yet.
fn larder_of(scene: &Scene) -> Builder {
    settings::on_network(larder().of(&scene.up), &scene.host)
}

#[test]
fn patterns_may_have_spaces_beside_commas() {
    let scene = both();
    let spaced = larder_of(&scene)
        .arg("--private")
        .arg("other.example.com, corp.example.com ");
    let larder = settings::allow_hosts(spaced, "git.example.com").start();
    larder.get(&query_path(LIB, "v1.0.0")).ok();
    scene.up.assert_untouched();
}

#[test]
fn plain_http_is_for_modules_that_are_said_to_be_insecure() {
    let scene = both();
    let plain = FakeUpstream::start();
    plain.rule("*", Fault::status(503));
    // A repository behind plain http: that it is asked at all is what counts here.
    let url = format!("http://git.example.com:{}/lib", plain.port());
    scene.host.go_import(LIB, &format!("{LIB} git {url}"));
    let refused = scene.larder().start();
    refused.get(&query_path(LIB, "v1.0.0")).refuses(&[404]);
    let builder = scene.larder().no_breaker();
    let builder = builder.env("HTTP_PROXY", plain.url());
    let larder = builder.set("direct.insecure", "corp.example.com").start();
    let reason = larder.get(&query_path(LIB, "v1.0.0")).refuses(TROUBLE);
    assert!(reason.contains("503"), "{reason}");
    assert!(plain.total() > 0);
}

#[test]
fn a_route_may_name_an_upstream_of_its_own() {
    let scene = both();
    let module = Module::new("corp.example.com/mirrored", "v1.0.0");
    let mirror = FakeUpstream::serving(std::slice::from_ref(&module));
    let url = mirror.url();
    let route = Route {
        pattern: "corp.example.com/mirrored",
        via: &url,
        ..Route::default()
    };
    let larder = settings::routes(scene.larder(), &[route]).start();
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    larder.get(&query_path(LIB, "v1.0.0")).ok();
    assert_eq!(mirror.count("*/lib/*"), 0);
    scene.up.assert_untouched();
}

#[test]
fn private_modules_are_not_for_everyone_on_the_network() {
    let scene = both();
    let public = Module::new("example.com/m", "v1.0.0");
    scene.up.add(&public);
    let closed = scene.larder().listen("0.0.0.0:0").start();
    for way in WAYS {
        let reason = closed.get(&format!("/{LIB}/{way}")).refuses(&[401]);
        assert!(
            reason.contains("private.open") || reason.contains("[private]"),
            "{reason}"
        );
        assert!(reason.contains("token"), "{reason}");
    }
    closed.get(&public.url("zip")).ok();
    scene.host.assert_untouched();
    let open = settings::open(scene.larder().listen("0.0.0.0:0")).start();
    for way in WAYS {
        open.get(&format!("/{LIB}/{way}")).ok();
    }
}

#[test]
fn a_token_opens_the_private_side() {
    let scene = both();
    let larder = scene.larder().listen("0.0.0.0:0").start();
    let made = larder.run(&["token", "new", "ci"]).expect(0);
    let token = made
        .stdout
        .split_whitespace()
        .last()
        .expect("a token")
        .to_owned();
    let path = format!("/{LIB}/@v/v1.0.0.zip");
    larder.get(&path).refuses(&[401]);
    let bearer = format!("Bearer {token}");
    larder.get_with(&path, "Authorization", &bearer).ok();
    let wrong = format!("Bearer {token}x");
    larder
        .get_with(&path, "Authorization", &wrong)
        .refuses(&[401]);
    // The way `go` sends what netrc has; over https only, so that here nobody but us can.
    let basic = STANDARD.encode(format!("anyone:{token}"));
    larder
        .get_with(&path, "Authorization", &format!("Basic {basic}"))
        .ok();
    // What one client may have is nothing for the others.
    larder.get(&path).refuses(&[401]);
    assert!(!larder.stderr().contains(&token), "{}", larder.stderr());
    for file in larder.files("") {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let found = bytes.windows(token.len()).any(|w| w == token.as_bytes());
        assert!(!found, "{} has the token", file.display());
    }
}

#[test]
fn doctor_explains_one_module() {
    let scene = both();
    scene
        .host
        .protect("git.example.com/lib", "me", "s3cret-of-mine");
    let builder = settings::netrc(
        scene.larder(),
        &[("git.example.com", "me", "s3cret-of-mine")],
    );
    let larder = builder.start();
    let said = larder
        .run(&["doctor", LIB, "--private", "corp.example.com"])
        .expect(0);
    let text = said.stdout + &said.stderr;
    for part in [
        "https://git.example.com/lib",
        "corp.example.com",
        "v1.0.0",
        "me",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("s3cret-of-mine"), "{text}");
}
