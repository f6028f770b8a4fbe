//! Who may have which modules: by default, by rules, and by the word of OpenID providers.

use super::tls;
use crate::support::issuer::Issuer;
use crate::support::server::Builder;
use crate::support::*;
use rustls::ClientConfig;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/support/tls")
        .join(name)
}

fn public() -> Module {
    Module::new("example.com/m", "v1.0.0")
}

fn private(path: &str) -> Module {
    Module::new(&format!("git.example.com/{path}"), "v1.0.0")
}

/// A Larder for whoever reaches this machine, whose private modules come from a proxy of their own.
fn network(up: &FakeUpstream) -> Builder {
    larder().of(up).listen("0.0.0.0:0")
}

fn route(up: &FakeUpstream) -> String {
    format!(
        "[[routes]]\nmatch = \"git.example.com\"\nvia = \"{}\"\nprivate = true\n",
        up.url()
    )
}

fn upstream() -> FakeUpstream {
    FakeUpstream::serving(&[
        public(),
        private("team/a"),
        private("team/secret"),
        private("other"),
    ])
}

#[track_caller]
fn new_token(larder: &Larder, arguments: &[&str]) -> String {
    let arguments = [&["token", "new"], arguments].concat();
    let made = larder.run(&arguments).expect(0);
    made.stdout
        .split_whitespace()
        .last()
        .expect("a token")
        .to_owned()
}

fn ask(larder: &Larder, path: &str, token: &str) -> Response {
    larder.get_with(path, "Authorization", &format!("Bearer {token}"))
}

/// Whether this token opens a module: the first time, and as a hit.
#[track_caller]
fn opens(larder: &Larder, module: &Module, token: &str) -> bool {
    let first = ask(larder, &module.url("mod"), token);
    if first.status == 200 {
        // As soon as it is kept.
        until("a hit", || {
            let again = ask(larder, &module.url("mod"), token);
            assert_eq!(again.status, 200, "{}", again.describe());
            again.is_hit().then_some(())
        });
        return true;
    }
    first.refuses(&[401]);
    ask(larder, &module.url("mod"), token).refuses(&[401]);
    false
}

#[test]
fn where_it_is_closed_strangers_learn_nothing() {
    let up = upstream();
    let larder = network(&up)
        .config(&route(&up))
        .set("access.default", "closed")
        .start();
    let token = new_token(&larder, &["ci"]);
    assert!(opens(&larder, &public(), &token));
    assert!(opens(&larder, &private("team/a"), &token));
    let before = up.requests().len();
    // What is kept, what exists, what does not, what is private.
    let names = [
        "example.com/m",
        "example.com/absent",
        "git.example.com/team/a",
        "git.example.com/absent",
    ];
    for way in [
        "@v/list",
        "@latest",
        "@v/v1.0.0.info",
        "@v/v1.0.0.mod",
        "@v/v1.0.0.zip",
        "@v/main.info",
    ] {
        let said = names.map(|name| {
            let answer = larder.get(&format!("/{name}/{way}"));
            let mut headers = answer.headers.clone();
            headers.retain(|(name, _)| {
                !matches!(name.as_str(), "date" | "x-request-id" | "content-length")
            });
            (answer.refuses(&[401]).replace(name, "NAME"), headers)
        });
        assert!(said.iter().all(|one| *one == said[0]), "{way}: {said:#?}");
    }
    ask(&larder, &public().url("mod"), "nonsense").refuses(&[401]);
    assert_eq!(up.requests().len(), before);
    larder.get("/healthz").ok();
    // Caches in between would give it to everyone.
    let kept = ask(&larder, &public().url("zip"), &token);
    let cached = kept.header("cache-control").unwrap_or_default();
    assert!(cached.starts_with("private"), "{}", kept.describe());
}

#[test]
fn where_it_is_closed_so_is_the_checksum_database() {
    let larder = larder()
        .upstream("off")
        .sumdb_unsaid()
        .listen("0.0.0.0:0")
        .set("access.default", "closed")
        .start();
    let token = new_token(&larder, &["ci"]);
    for path in [
        "supported",
        "latest",
        "tile/8/0/000",
        "lookup/example.com/m@v1.0.0",
    ] {
        let path = format!("/sumdb/sum.golang.org/{path}");
        larder.get(&path).refuses(&[401]);
        ask(&larder, &path, "nonsense").refuses(&[401]);
        assert_ne!(ask(&larder, &path, &token).status, 401);
    }
}

#[test]
fn a_token_can_be_for_some_modules() {
    let up = upstream();
    let larder = network(&up).config(&route(&up)).start();
    let team = new_token(
        &larder,
        &[
            "team",
            "--read",
            "git.example.com/team",
            "--note",
            "of the team",
        ],
    );
    let all = new_token(&larder, &["all"]);
    for (module, team_has) in [
        (private("team/a"), true),
        (private("other"), false),
        (public(), true),
    ] {
        assert!(opens(&larder, &module, &all));
        assert_eq!(opens(&larder, &module, &team), team_has, "{}", module.path);
    }
    let refused = ask(&larder, &private("other").url("mod"), &team).refuses(&[401]);
    assert!(refused.contains("is not for token:team here"), "{refused}");
    for wrong in ["", "https://git.example.com", "git.example.com/["] {
        larder
            .run(&["token", "new", "x", "--read", wrong])
            .expect(2);
    }
    // Who has it may rotate it, and has the same.
    let rotated = larder.run(&["token", "rotate", "team"]).expect(0).stdout;
    let rotated = rotated.split_whitespace().last().unwrap();
    assert!(opens(&larder, &private("team/a"), rotated));
    assert!(!opens(&larder, &private("other"), rotated));
    let list = larder.run(&["token", "list", "--json"]).expect(0).stdout;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let team = &list["tokens"][1];
    assert_eq!(
        (&team["name"], &team["read"], &team["note"]),
        (
            &json!("team"),
            &json!("git.example.com/team"),
            &json!("of the team")
        )
    );
    assert!(
        team["last_used"]
            .as_str()
            .is_some_and(|day| day.ends_with("T00:00:00Z")),
        "{team}"
    );
}

#[test]
fn rules_name_callers_and_modules() {
    let up = upstream();
    let rules = "[[access.rules]]\nwho = [\"token:ci-*\"]\nread = [\"git.example.com/team\"]\nnot = [\"git.example.com/team/secret\", \"example.com\"]\n\
                 [[access.rules]]\nwho = [\"address:192.0.2.0/24\"]\nread = [\"git.example.com/other\"]\n";
    let larder = network(&up)
        .config(&format!("{}{rules}", route(&up)))
        .start();
    let ci = new_token(&larder, &["ci-1"]);
    let people = new_token(&larder, &["people"]);
    for (module, ci_has) in [
        (private("team/a"), true),
        (private("team/secret"), false),
        (private("other"), false),
        (public(), false),
    ] {
        assert!(opens(&larder, &module, &people));
        assert_eq!(opens(&larder, &module, &ci), ci_has, "{}", module.path);
    }
    larder.get(&public().url("mod")).ok();
    let from = |address: &str, module: &Module| {
        larder
            .get_with(&module.url("mod"), "X-Forwarded-For", address)
            .status
    };
    assert_eq!(from("192.0.2.7", &private("other")), 200);
    assert_eq!(from("192.0.2.7", &private("team/a")), 401);
    assert_eq!(from("198.51.100.7", &private("other")), 401);
}

#[test]
fn rules_change_with_a_reload() {
    let up = upstream();
    let builder = network(&up);
    let file = builder.home().join("larder.toml");
    let larder = builder.config(&route(&up)).start();
    let token = new_token(&larder, &["ci"]);
    let write = |rules: &str| {
        std::fs::write(&file, format!("{}{rules}", route(&up))).unwrap();
        larder.run(&["reload", "--json", "--config", file.to_str().unwrap()])
    };
    assert!(opens(&larder, &private("team/a"), &token));
    let taken =
        write("[[access.rules]]\nwho = [\"token:ci\"]\nread = [\"git.example.com/other\"]\n")
            .expect(0);
    assert!(taken.stdout.contains("access.rules"), "{taken:?}");
    assert!(!opens(&larder, &private("team/a"), &token));
    assert!(opens(&larder, &private("other"), &token));
    // A rule that cannot be read changes nothing.
    for (wrong, said) in [
        ("who = [\"ci\"]\nread = [\"*\"]", "names no caller"),
        ("who = [\"token:ci\"]", "read"),
        ("read = [\"*\"]", "who"),
        ("who = []\nread = [\"*\"]", "names nobody"),
    ] {
        let refused = write(&format!("[[access.rules]]\n{wrong}\n"));
        assert_ne!(refused.code, Some(0), "{wrong}");
        assert!(refused.stderr.contains(said), "{refused:?}");
        assert!(opens(&larder, &private("other"), &token));
    }
    write("").expect(0);
    assert!(opens(&larder, &private("team/a"), &token));
}

#[test]
fn an_openid_provider_says_who_somebody_is() {
    let (up, issuer) = (upstream(), Issuer::start());
    let rules = "[[access.rules]]\nwho = [\"oidc:ci:acme/app\"]\nread = [\"git.example.com/team\"]\n\
                 [[access.rules]]\nwho = [\"group:acme\"]\nread = [\"git.example.com/other\"]\n";
    let larder = network(&up)
        .config(&format!("{}{rules}{}", route(&up), issuer.table()))
        .start();
    // Nobody is asked before somebody comes.
    assert_eq!(issuer.site.requests().len(), 0);
    let good = issuer.token("acme/app", &json!({}));
    let colleague = issuer.token("acme/else", &json!({}));
    for (module, app_has, colleague_has) in [
        (private("team/a"), true, false),
        (private("other"), true, true),
        (public(), true, true),
    ] {
        assert_eq!(opens(&larder, &module, &good), app_has);
        assert_eq!(opens(&larder, &module, &colleague), colleague_has);
    }
    // As a password, as netrc and GOPROXY have it.
    let path = private("team/a").url("zip");
    let basic = {
        use base64::Engine as _;
        let login = format!("x:{good}");
        format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(login)
        )
    };
    larder.get_with(&path, "Authorization", &basic).ok();
    assert_eq!(issuer.site.count("/keys"), 1);
    for (others, why) in [
        (json!({"owner": "evil"}), "owner"),
        (
            json!({"aud": "https://else.example.com"}),
            "meant for another server",
        ),
        (json!({"exp": 1}), "has expired"),
        (json!({"iss": "https://else.example.com"}), "does not know"),
    ] {
        let token = issuer.token("acme/app", &others);
        let said = ask(&larder, &path, &token).refuses(&[401]);
        assert!(said.contains(why), "{said}");
        assert!(!said.contains(&token));
    }
    let other = Issuer::start();
    let forged = other.token("acme/app", &json!({"iss": issuer.url()}));
    let said = ask(&larder, &path, &forged).refuses(&[401]);
    assert!(said.contains("is not signed by"), "{said}");
    assert_eq!(issuer.site.count("/keys"), 1);
}

#[test]
fn a_provider_that_is_away_is_no_refusal() {
    let (up, issuer) = (upstream(), Issuer::start());
    let rules = "[[access.rules]]\nwho = [\"oidc:ci:*\"]\nread = [\"git.example.com\"]\n";
    let mut larder = network(&up)
        .config(&format!("{}{rules}{}", route(&up), issuer.table()))
        .start();
    issuer.site.rule("*", Fault::status(503));
    let token = issuer.token("acme/app", &json!({}));
    let path = private("team/a").url("mod");
    let said = ask(&larder, &path, &token).refuses(&[503]);
    assert!(
        said.contains(&issuer.url()) && said.contains("503"),
        "{said}"
    );
    // Larder's own tokens and public modules go on.
    assert!(opens(&larder, &public(), "nonsense"));
    issuer.site.clear_rules();
    larder.stop();
    larder.restart();
    ask(&larder, &path, &token).ok();
    // Its keys are kept.
    issuer.site.rule("*", Fault::status(503));
    larder.stop();
    larder.restart();
    ask(&larder, &path, &issuer.token("acme/other", &json!({}))).ok();
}

#[test]
fn doubtful_access_is_told_beforehand() {
    let table = "[[access.oidc]]\nname = \"ci\"\nissuer = \"https://issuer.example.com\"\n";
    for (text, code, said) in [
        (table.to_owned(), 2, "audience: is missing"),
        (format!("{table}audience = []\n"), 2, "audience: is empty"),
        (
            format!("{table}audience = [\"x\"]\nalgorithms = [\"HS256\"]\n"),
            2,
            "\"HS256\" is not known",
        ),
        (
            format!("{table}audience = [\"x\"]\nclaims = \"a\"\n"),
            2,
            "is no table",
        ),
        (
            table.replace("https", "http") + "audience = [\"x\"]\n",
            2,
            "plain http",
        ),
        (
            format!("{table}audience = [\"x\"]\n"),
            0,
            "no rule names callers of \"ci\"",
        ),
        (
            format!("{table}audience = [\"x\"]\n"),
            0,
            "nothing is said of the claims",
        ),
        (
            "[[access.rules]]\nwho = [\"oidc:nobody:*\"]\nread = [\"*\"]\n".to_owned(),
            0,
            "no [[access.oidc]] has the name",
        ),
        (
            "[access]\ndefault = \"closed\"\n[private]\nopen = true\n".to_owned(),
            2,
            "keep one of them",
        ),
    ] {
        let builder = larder();
        let file = builder.write("access.toml", &text);
        let checked = builder.run(&["config", "check", "--config", file.to_str().unwrap()]);
        let checked = checked.expect(code);
        let all = format!("{}{}", checked.stdout, checked.stderr);
        assert!(all.contains(said), "{text}: {all}");
    }
}

#[test]
fn administrators_reload_from_afar() {
    let up = upstream();
    let rules = "[[access.rules]]\nwho = [\"token:ops\"]\nadmin = true\n";
    let larder = network(&up).config(rules).start();
    let ops = new_token(&larder, &["ops"]);
    let ci = new_token(&larder, &["ci"]);
    let post = |token: &str| {
        let authorization = format!("Bearer {token}");
        Request::new("POST", "/-/reload")
            .header("Authorization", &authorization)
            .send(larder.addr())
    };
    assert_eq!(post(&ops).status, 200);
    assert_eq!(post(&ci).status, 405);
    assert_eq!(post("nonsense").status, 405);
    // It is the one in force, and strangers learn nothing of it.
    assert_eq!(larder.get("/-/reload").status, larder.get("/-/else").status);
}

#[test]
fn a_certificate_says_who_somebody_is() {
    let up = upstream();
    let rules = "[[access.rules]]\nwho = [\"cert:spiffe://example.com/*\"]\nread = [\"git.example.com/team\"]\n";
    let larder = network(&up)
        .config(&format!("{}{rules}", route(&up)))
        .env("LARDER_TLS__CERT_FILE", file("server.pem"))
        .env("LARDER_TLS__KEY_FILE", file("server.key"))
        .env("LARDER_TLS__CLIENT_CA_FILES", file("client-authority.pem"))
        .set("tls.client_auth", "optional")
        .start();
    let known = Arc::new(tls::client(Some("client"), &[]));
    let stranger = Arc::new(tls::client(None, &[]));
    let answer = |config: &Arc<ClientConfig>, module: &Module| {
        let path = module.url("mod");
        let (answer, _) = tls::ask(larder.addr(), config, &path).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let has = |config: &Arc<ClientConfig>, module: &Module| {
        answer(config, module).starts_with("HTTP/1.1 200")
    };
    // Missed, and as a hit.
    until("a hit", || {
        let answer = answer(&known, &private("team/a"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.contains("larder; hit").then_some(())
    });
    assert!(!has(&known, &private("other")));
    assert!(has(&known, &public()));
    assert!(!has(&stranger, &private("team/a")));
    let refused = answer(&known, &private("other"));
    assert!(
        refused.contains("is not for cert:spiffe://example.com/build-7 here"),
        "{refused}"
    );
}

/// As docs/ci.md has it: the job's own token in the address.
#[test]
fn go_builds_with_the_token_of_a_job() {
    let (up, issuer) = (upstream(), Issuer::start());
    let rules = "[[access.rules]]\nwho = [\"oidc:ci:acme/*\"]\nread = [\"*\"]\n";
    let text = format!("{}{rules}{}", route(&up), issuer.table());
    let larder = network(&up)
        .config(&text)
        .set("access.default", "closed")
        .env("LARDER_TLS__CERT_FILE", file("server.pem"))
        .env("LARDER_TLS__KEY_FILE", file("server.key"))
        .start();
    let go = |token: &str| {
        let url = format!("https://x:{token}@127.0.0.1:{}", larder.addr().port());
        let go = Go::new(&url)
            .env("SSL_CERT_FILE", file("authority.pem").to_str().unwrap())
            .env("GONOSUMDB", "*");
        go.module(&["example.com/m v1.0.0", "git.example.com/team/a v1.0.0"]);
        go
    };
    go(&issuer.token("acme/app", &json!({}))).ok(&["mod", "download", "all"]);
    let refused =
        go(&issuer.token("evil/app", &json!({"owner": "evil"}))).fails(&["mod", "download", "all"]);
    assert!(
        refused.contains("401") && refused.contains("owner"),
        "{refused}"
    );
}
