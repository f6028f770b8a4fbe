//! Who may have private modules, and the tokens that open them.

use crate::support::server::{Builder, Finished};
use crate::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const PRIVATE: &str = "/corp.example.com/team/lib";

/// Everything that can be asked about a module.
const WAYS: &[&str] = &[
    "@v/list",
    "@latest",
    "@v/v1.0.0.info",
    "@v/v1.0.0.mod",
    "@v/v1.0.0.zip",
    "@v/main.info",
    "@v/latest.info",
];

fn public() -> Module {
    Module::new("example.com/m", "v1.0.0")
}

/// A Larder for whoever reaches this machine.
fn network(up: &FakeUpstream) -> Builder {
    let builder = larder().of(up).listen("0.0.0.0:0");
    // Nobody outside is to be asked.
    let nowhere = builder.env("HTTPS_PROXY", "http://127.0.0.1:1");
    nowhere.arg("--private").arg("corp.example.com")
}

fn started() -> (FakeUpstream, Larder) {
    let up = FakeUpstream::serving(&[public()]);
    let larder = network(&up).start();
    (up, larder)
}

#[track_caller]
fn new_token(larder: &Larder, name: &str) -> String {
    let made = larder.run(&["token", "new", name]).expect(0);
    let token = made.stdout.split_whitespace().last().expect("a token");
    let (prefix, rest) = token.split_at(4);
    assert_eq!(prefix, "lrd_", "{made:?}");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    assert!(rest.len() == 43 && rest.chars().all(plain), "{made:?}");
    assert!(!made.stderr.contains(rest), "{made:?}");
    token.to_owned()
}

#[track_caller]
fn list(larder: &Larder) -> String {
    larder.run(&["token", "list"]).expect(0).stdout
}

fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

/// The ways in which a client may send a token.
fn ways_to_send(token: &str) -> [String; 5] {
    [
        format!("Bearer {token}"),
        format!("bearer {token}"),
        basic(&format!("anyone:{token}")),
        basic(&format!(":{token}")),
        basic(&format!("{token}:")),
    ]
}

#[track_caller]
fn unauthorized(answer: &Response) -> String {
    let shown = answer.describe();
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Basic realm=\"larder\""), "{shown}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{shown}");
    assert_eq!(answer.header("etag"), None, "{shown}");
    let text = answer.refuses(&[401]);
    assert!(text.starts_with("unauthorized: "), "{shown}");
    for part in ["larder token new", ".netrc", "GOPROXY=", "[private] open"] {
        assert!(text.contains(part), "{part}: {shown}");
    }
    text
}

#[track_caller]
fn admitted(larder: &Larder, authorization: &str) {
    for way in WAYS {
        let path = format!("{PRIVATE}/{way}");
        let answer = larder.get_with(&path, "Authorization", authorization);
        assert_ne!(answer.status, 401, "{way}: {}", answer.describe());
        let cached = answer.header("cache-control").unwrap_or_default();
        assert!(!cached.contains("public"), "{}", answer.describe());
    }
}

#[track_caller]
fn unknown(larder: &Larder, authorization: &str) {
    let path = format!("{PRIVATE}/@v/list");
    let text = unauthorized(&larder.get_with(&path, "Authorization", authorization));
    assert!(
        text.contains("the token that was sent is not known"),
        "{text}"
    );
}

#[test]
fn private_modules_want_a_token_whichever_way_they_are_asked_for() {
    let (up, larder) = started();
    for prefix in ["", "/cached-only"] {
        for way in WAYS {
            let path = format!("{prefix}{PRIVATE}/{way}");
            let text = unauthorized(&larder.get(&path));
            assert!(text.contains("corp.example.com/team/lib"), "{text}");
            let head = larder.head(&path);
            assert_eq!((head.status, head.body.len()), (401, 0), "{path}");
            for (name, value) in [
                ("If-None-Match", "*"),
                ("Range", "bytes=0-1"),
                ("Disable-Module-Fetch", "true"),
                ("Cache-Control", "no-cache"),
                ("Via", "1.1 somebody"),
                ("X-Forwarded-For", "127.0.0.1"),
                ("Authorization", "Negotiate abc"),
            ] {
                unauthorized(&larder.get_with(&path, name, value));
            }
        }
    }
    // Other spellings of the same.
    for path in [
        "/corp.example.com/%74eam/lib/@v/list",
        "/c%6Frp.example.com/team/lib/@v/v1.0.0.zip",
        "/corp.example.com/team/lib/%40v/list",
        "/corp.example.com/!team/lib/@latest",
        "/corp.example.com/@v/list",
    ] {
        unauthorized(&larder.get(path));
    }
    up.assert_untouched();
}

#[test]
fn a_refusal_is_short_enough_to_be_printed_whole() {
    let (_up, larder) = started();
    let path = format!("/corp.example.com/{}", "a".repeat(160));
    let first = unauthorized(&larder.get(&format!("{path}/@v/list")));
    let path_and_way = format!("{path}/@v/list");
    let second = unauthorized(&larder.get_with(&path_and_way, "Authorization", "Bearer x"));
    for text in [first, second] {
        assert!(text.contains(&path[1..]), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}

#[test]
fn a_token_opens_them_however_it_is_sent() {
    let (_up, larder) = started();
    let token = new_token(&larder, "ci");
    for authorization in ways_to_send(&token) {
        admitted(&larder, &authorization);
    }
    let other_case = format!("lrd_{}", token[4..].to_ascii_uppercase());
    for wrong in [
        format!("{token}x"),
        token[..token.len() - 1].to_owned(),
        other_case,
        "lrd_".to_owned(),
        String::new(),
        "x".repeat(10_000),
    ] {
        for authorization in ways_to_send(&wrong) {
            unknown(&larder, &authorization);
        }
    }
    for authorization in ["Basic", "Basic !", "Bearer"] {
        unknown(&larder, authorization);
    }
    unknown(&larder, &basic(&format!("{token}:password")));
    unknown(&larder, &basic(&token));
}

#[test]
fn public_modules_need_no_token_and_mind_none() {
    let (_up, larder) = started();
    let url = public().url("zip");
    assert_eq!(larder.get(&url).ok(), public().zip_bytes());
    let headers = ["Bearer nonsense", "Basic !"];
    for authorization in headers {
        for path in [&url, &public().url("mod"), &public().list_url()] {
            larder.get_with(path, "Authorization", authorization).ok();
        }
    }
    assert!(larder.get_hit(&url).is_hit());
    let kept = larder.get_with(&url, "Authorization", headers[0]);
    assert!(kept.is_hit(), "{}", kept.describe());
    let cached = kept.header("cache-control").unwrap_or_default();
    assert!(cached.starts_with("public"), "{}", kept.describe());
}

#[test]
fn where_nobody_else_can_come_no_token_is_needed() {
    let up = FakeUpstream::start();
    let here = || network(&up).listen("127.0.0.1:0");
    let there = || network(&up);
    let elsewhere = "https://larder.example.com";
    for (builder, open) in [
        (here(), true),
        (here().set("server.public_url", "http://localhost:1"), true),
        (here().set("server.public_url", elsewhere), false),
        (
            here()
                .set("server.public_url", elsewhere)
                .set("private.open", "true"),
            true,
        ),
        (there(), false),
        (
            there().set("server.public_url", "http://localhost:1"),
            false,
        ),
        (there().set("private.open", "false"), false),
        (there().set("private.open", "true"), true),
    ] {
        let larder = builder.start();
        for way in WAYS {
            let answer = larder.get(&format!("{PRIVATE}/{way}"));
            if open {
                assert_ne!(answer.status, 401, "{}", answer.describe());
            } else {
                unauthorized(&answer);
            }
        }
    }
}

#[test]
fn tokens_are_made_listed_and_revoked_with_a_server_and_without() {
    let (_up, mut larder) = started();
    for running in [true, false] {
        if !running {
            larder.stop();
        }
        assert!(list(&larder).contains("no tokens"));
        let ci = new_token(&larder, "ci");
        let team = new_token(&larder, "Team.A_b-1");
        assert_ne!(ci, team);
        let listed = list(&larder);
        assert_eq!(listed.lines().count(), 2, "{listed}");
        for name in ["ci", "Team.A_b-1"] {
            assert!(listed.contains(&format!("{name}  made 20")), "{listed}");
        }
        assert!(!listed.contains("lrd_"), "{listed}");

        let again = larder.run(&["token", "new", "ci"]).expect(1);
        assert_eq!(again.stdout, "", "{again:?}");
        assert!(again.stderr.contains("larder token revoke ci"), "{again:?}");
        if !running {
            larder.restart();
        }
        admitted(&larder, &basic(&format!("x:{ci}")));
        admitted(&larder, &basic(&format!("x:{team}")));
        if !running {
            larder.stop();
        }

        larder.run(&["token", "revoke", "ci"]).expect(0);
        let gone = larder.run(&["token", "revoke", "ci"]).expect(1);
        assert!(gone.stderr.contains("no token named ci"), "{gone:?}");
        let next = new_token(&larder, "ci");
        assert_ne!(next, ci);
        // What has been made and revoked outlasts the end of the server.
        if running {
            unknown(&larder, &format!("Bearer {ci}"));
            admitted(&larder, &format!("Bearer {next}"));
            larder.kill9();
        }
        larder.restart();
        unknown(&larder, &format!("Bearer {ci}"));
        admitted(&larder, &format!("Bearer {next}"));
        admitted(&larder, &format!("Bearer {team}"));
        for name in ["ci", "Team.A_b-1"] {
            larder.run(&["token", "revoke", name]).expect(0);
        }
        unknown(&larder, &format!("Bearer {next}"));
    }
}

#[test]
fn commands_for_tokens_say_what_is_wrong_with_them() {
    let (_up, mut larder) = started();
    let token = new_token(&larder, "ci");
    let long = "a".repeat(65);
    for running in [true, false] {
        if !running {
            larder.stop();
        }
        for arguments in [
            &["token"][..],
            &["token", "new"],
            &["token", "revoke"],
            &["token", "no-such-verb"],
            &["token", "new", ""],
            &["token", "new", "a b"],
            &["token", "new", "a/b"],
            &["token", "new", "ü"],
            &["token", "new", &long],
            &["token", "revoke", "a/b"],
            // A slip that is easily made, and must not get into a log.
            &["token", "revoke", &token],
            &["token", "new", &token],
        ] {
            let finished = larder.run(arguments).expect(2);
            assert_eq!(finished.stdout, "", "{arguments:?}");
            assert!(finished.stderr.len() > 10, "{finished:?}");
        }
        assert_eq!(list(&larder).lines().count(), 1);
    }
    let nowhere = crate::support::larder().run(&["token", "list"]).expect(4);
    assert!(nowhere.stderr.contains("--data-dir"), "{nowhere:?}");
}

#[test]
fn a_token_is_kept_nowhere_and_logged_nowhere() {
    let up = FakeUpstream::serving(&[public()]);
    let mut larder = network(&up).set("log.level", "trace").start();
    let ci = new_token(&larder, "ci");
    larder.stop();
    let team = new_token(&larder, "team");
    let before = larder.stderr();
    larder.restart();
    let wrong = format!("{ci}x");
    for token in [&ci, &team, &wrong] {
        for authorization in ways_to_send(token) {
            larder.get_with(
                &format!("{PRIVATE}/@latest"),
                "Authorization",
                &authorization,
            );
            larder
                .get_with(&public().url("mod"), "Authorization", &authorization)
                .ok();
        }
    }
    assert!(
        up.requests()
            .iter()
            .all(|r| r.header("authorization").is_none())
    );
    larder.stop();
    let log = before + &larder.stderr();
    let dumped = larder.run(&["index", "dump"]).expect(0).stdout;
    for name in ["token/ci\t{", "token/team\t{"] {
        let line = dumped.lines().find(|line| line.starts_with(name));
        assert!(line.is_some_and(|line| line.contains("sha256")), "{dumped}");
    }
    assert!(!dumped.contains("damaged"), "{dumped}");
    for token in [&ci, &team] {
        let secret = &token[4..];
        assert!(!log.contains(secret), "{log}");
        assert!(!dumped.contains(secret), "{dumped}");
        for file in larder.files("") {
            let bytes = std::fs::read(&file).unwrap_or_default();
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{} has the token", file.display());
        }
    }
}

#[test]
fn tokens_outlast_an_index_that_is_made_anew_from_the_files() {
    let (_up, mut larder) = started();
    let token = new_token(&larder, "ci");
    larder.get_hit(&public().url("mod"));
    larder.stop();
    larder.run(&["index", "rebuild"]).expect(0);
    larder.run(&["index", "verify"]).expect(0);
    larder.restart();
    admitted(&larder, &format!("Bearer {token}"));
}

#[test]
fn pages_for_everyone_name_no_private_module() {
    let (_up, larder) = started();
    unauthorized(&larder.get(&format!("{PRIVATE}/@v/list")));
    for path in ["/", "/metrics", "/readyz", "/version"] {
        let text = larder.get(path).expect(200).text();
        assert!(!text.contains("corp.example.com"), "{path}: {text}");
    }
    let metrics = larder.metrics();
    assert!(
        metrics.contains("larder_requests_total{endpoint=\"list\",outcome=\"unauthorized\"} 1"),
        "{metrics}"
    );
}

#[test]
fn a_server_that_nobody_may_have_private_modules_of_says_so() {
    let up = FakeUpstream::start();
    let mut larder = network(&up).start();
    larder.wait_stderr("larder token new NAME");
    new_token(&larder, "ci");
    larder.stop();
    larder.restart();
    larder.get("/healthz").ok();
    assert!(!larder.stderr().contains("larder token new NAME"));
}

#[test]
fn go_prints_what_is_wanted() {
    let (_up, larder) = started();
    let go = Go::new(&format!("http://127.0.0.1:{}", larder.addr().port()));
    go.module(&[]);
    let said = go.fails(&["mod", "download", "corp.example.com/team/lib@v1.0.0"]);
    for part in [
        "401 Unauthorized",
        "unauthorized: corp.example.com/team/lib is private here",
        "larder token new NAME",
        "[private] open = true",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn tokens_outlive_a_damaged_index() {
    use std::os::unix::fs::PermissionsExt;
    let (_up, mut larder) = started();
    larder.get(&public().url("zip")).ok();
    let kept = new_token(&larder, "kept");
    let ended = new_token(&larder, "ended");
    larder.run(&["token", "revoke", "ended"]).expect(0);
    larder.stop();
    let copy = larder.data_dir().join("tokens");
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&copy).unwrap();
    assert!(!text.contains(&kept) && !text.contains("ended"), "{text}");
    for name in std::fs::read_dir(larder.data_dir().join("index")).unwrap() {
        let path = name.unwrap().path();
        if path.is_file() {
            std::fs::write(path, "damaged").unwrap();
        }
    }
    larder.restart();
    larder.wait_stderr("made anew");
    larder.wait_stderr("first-seen checksums");
    larder.wait_stderr("restored from their copy");
    assert_eq!(list(&larder).lines().count(), 1, "{}", list(&larder));
    let path = format!("{PRIVATE}/@v/list");
    let ask = |token: &str| larder.get_with(&path, "Authorization", &basic(&format!("x:{token}")));
    assert_ne!(ask(&kept).status, 401);
    assert_eq!(ask(&ended).status, 401);
}

#[test]
fn tokens_are_rotated_while_the_old_ones_go_on() {
    let (_up, larder) = started();
    let old = new_token(&larder, "ci");
    let last_word = |made: Finished| {
        let token = made.stdout.split_whitespace().last().expect("a token");
        token.to_owned()
    };
    let made = larder.run(&["token", "rotate", "ci", "--expires", "90d"]);
    let made = made.expect(0);
    assert!(made.stdout.contains(" until 20"), "{made:?}");
    let new = last_word(made);
    assert_ne!(old, new);
    for token in [&old, &new] {
        admitted(&larder, &format!("Bearer {token}"));
    }
    let listed = list(&larder);
    assert!(listed.contains("expires 20"), "{listed}");
    assert!(
        listed.contains("the one before goes on until 20"),
        "{listed}"
    );
    let json = larder.run(&["token", "list", "--json"]).expect(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["tokens"][0]["expired"], false);
    assert!(json["tokens"][0]["replaced_until"].is_string(), "{json}");
    // At once, if the old one is in the wrong hands.
    let third = larder.run(&["token", "rotate", "ci", "--overlap", "0s"]);
    let third = last_word(third.expect(0));
    for token in [&old, &new] {
        unknown(&larder, &format!("Bearer {token}"));
    }
    admitted(&larder, &format!("Bearer {third}"));
    assert!(!list(&larder).contains("goes on"));
    larder.run(&["token", "rotate", "nobody"]).expect(1);
    larder
        .run(&["token", "new", "short", "--expires", "5s"])
        .expect(2);
    larder.run(&["token", "revoke", "ci"]).expect(0);
    unknown(&larder, &format!("Bearer {third}"));
}
