//! `larder auth` as the program that GOAUTH names on clients.

use crate::support::server::{Builder, Finished};
use crate::support::*;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const URL: &str = "https://larder.example.com";

fn pair(ending: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/support/tls")
        .join(format!("server.{ending}"))
}

fn program(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What GitHub gives a job for its identity.
fn issue(endpoint: &FakeUpstream, token: &str) {
    let answer = format!("{{\"count\": 1, \"value\": \"{token}\"}}");
    endpoint.put("/id", "application/json", answer);
}

fn job(builder: Builder, endpoint: &FakeUpstream) -> Builder {
    let url = format!("{}/id?api-version=2.0", endpoint.url());
    builder
        .env("ACTIONS_ID_TOKEN_REQUEST_URL", url)
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")
}

#[track_caller]
fn gives(finished: Finished, url: &str, token: &str) {
    let finished = finished.expect(0);
    let answer = format!("{url}\n\nAuthorization: Bearer {token}\n\n");
    assert_eq!(finished.stdout, answer, "{finished:?}");
    assert_eq!(finished.stderr, "");
}

#[test]
fn go_is_given_another_token_when_one_has_ended() {
    let modules = [
        Module::new("git.example.com/a", "v1.0.0"),
        Module::new("git.example.com/b", "v1.0.0"),
    ];
    let up = FakeUpstream::serving(&modules);
    let route = format!(
        "[[routes]]\nmatch = \"git.example.com\"\nvia = \"{}\"\nprivate = true\n",
        up.url()
    );
    let larder = larder()
        .upstream("off")
        .config(&route)
        .env("LARDER_TLS__CERT_FILE", pair("pem"))
        .env("LARDER_TLS__KEY_FILE", pair("key"))
        .set("server.public_url", URL)
        .start();
    let token = |name: &str| {
        let made = larder.run(&["token", "new", name]).expect(0).stdout;
        made.split_whitespace().last().unwrap().to_owned()
    };
    let (first, second) = (token("first"), token("second"));
    let endpoint = FakeUpstream::start();
    issue(&endpoint, &first);
    let url = format!("https://{}", larder.addr());
    let go = Go::new(&url);
    // Between `go` and ours: keeps what is said.
    let between = go.work().join("auth");
    let folder = go.work();
    program(
        &between,
        &format!(
            "echo \"$*\" >>{0}/arguments\ntee -a {0}/responses | {1} auth \"$@\"",
            folder.display(),
            env!("CARGO_BIN_EXE_larder")
        ),
    );
    let go = go
        .env("SSL_CERT_FILE", tls_authority().to_str().unwrap())
        .env("GONOSUMDB", "git.example.com/*")
        .env("GOAUTH", &format!("{} {url}", between.display()))
        .env(
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            &format!("{}/id?api-version=2.0", endpoint.url()),
        )
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job");

    // A module that is not there is a 404, about which no token is asked for.
    go.module(&[]);
    let said = go.fails(&["mod", "download", "git.example.com/none@v1.0.0"]);
    assert!(said.contains("404"), "{said}");
    assert!(go.read("responses").contains(" 404 Not Found\n"));
    assert_eq!(endpoint.total(), 1);

    // The token ends between two requests of one `go`.
    let gate = up.gated("/git.example.com/b/@v/v1.0.0.mod");
    std::thread::scope(|scope| {
        let download = scope.spawn(|| {
            go.module(&["git.example.com/a v1.0.0", "git.example.com/b v1.0.0"]);
            go.ok(&["mod", "download", "all"])
        });
        gate.wait_arrived(1);
        issue(&endpoint, &second);
        larder.run(&["token", "revoke", "first"]).expect(0);
        gate.open();
        download.join().unwrap();
    });
    go.ok(&["mod", "verify"]);
    let arguments = go.read("arguments");
    let asked = arguments.lines().filter(|line| *line == url).count();
    assert_eq!(asked, 2, "once for each go that fetches: {arguments}");
    assert!(
        arguments.contains(&format!("{url} {url}/git.example.com/b/@v/v1.0.0")),
        "{arguments}"
    );
    let responses = go.read("responses");
    assert!(responses.contains(" 401 Unauthorized\n"), "{responses}");
    assert!(responses.to_lowercase().contains("www-authenticate: "));
    for request in endpoint.requests() {
        let audience = format!("https%3A%2F%2F127.0.0.1%3A{}", larder.addr().port());
        let target = format!("/id?api-version=2.0&audience={audience}");
        assert_eq!(request.target, target);
        assert_eq!(request.header("authorization"), Some("Bearer of-the-job"));
    }
    for token in [&first, &second] {
        assert!(!larder.stderr().contains(&token[4..]));
    }

    // A command that fails is told by `go -x`, with what it says.
    let go = go
        .env(
            "GOAUTH",
            &format!("{} auth {url}", env!("CARGO_BIN_EXE_larder")),
        )
        .env("ACTIONS_ID_TOKEN_REQUEST_URL", "");
    go.forget_modules();
    let said = go.fails(&["mod", "download", "-x", "all"]);
    assert!(said.contains("401 Unauthorized"), "{said}");
    assert!(said.contains("LARDER_TOKEN"), "{said}");
}

#[test]
fn a_token_is_given_for_one_address_only() {
    let larder = larder().env("LARDER_TOKEN", "lrd_x");
    gives(larder.run(&["auth", URL]), URL, "lrd_x");
    let below = format!("{URL}/git.example.com/m/@v/list");
    gives(larder.run(&["auth", URL, &below]), URL, "lrd_x");
    let team = format!("{URL}:8443/team");
    gives(larder.run(&["auth", &format!("{team}/")]), &team, "lrd_x");
    for refused in [
        "https://other.example.com/x",
        "http://larder.example.com/x",
        "https://larder.example.com:8443/other",
        "nonsense",
    ] {
        let finished = larder.run(&["auth", &team, refused]).expect(0);
        assert_eq!((finished.stdout, finished.stderr), Default::default());
    }
    let plain = "http://larder.example.com";
    let finished = larder.run(&["auth", plain]).expect(2);
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains("--insecure"), "{finished:?}");
    let insecure = larder.run(&["auth", "--insecure", plain]);
    gives(insecure, plain, "lrd_x");
    let here = "http://127.0.0.1:3080";
    gives(larder.run(&["auth", here]), here, "lrd_x");
    for wrong in ["larder.example.com", "https://a:b@larder.example.com", ""] {
        let finished = larder.run(&["auth", wrong]).expect(2);
        assert!(finished.stdout.is_empty() && !finished.stderr.is_empty());
    }
}

#[test]
fn tokens_come_from_files_variables_and_services() {
    let larder = larder();
    let finished = larder.run(&["auth", URL]).expect(1);
    let file = "config/larder/token";
    assert!(finished.stderr.contains(file), "{finished:?}");
    let mine = larder.write(file, "lrd_mine\n");
    gives(larder.run(&["auth", URL]), URL, "lrd_mine");
    let other = larder.write("other", "lrd_other");
    let other = other.to_str().unwrap();
    let named = larder.run(&["auth", "--token-file", other, URL]);
    gives(named, URL, "lrd_other");
    let finished = larder.run(&["auth", URL, "--token-env", "MINE"]).expect(1);
    assert!(finished.stderr.contains("MINE is not set"), "{finished:?}");
    let variable = larder.clone().env("MINE", "lrd_env");
    gives(
        variable.run(&["auth", "--token-env", "MINE", URL]),
        URL,
        "lrd_env",
    );
    // Two lines would be two headers.
    larder.write(file, "lrd_mine\nX-Other: 1\n");
    let finished = larder.run(&["auth", URL]).expect(1);
    assert_eq!(finished.stdout, "");
    assert!(!finished.stderr.contains("lrd_mine"), "{finished:?}");
    std::fs::remove_file(mine).unwrap();

    // Buildkite's own program, which is not in every container.
    let agent = larder.clone().env("BUILDKITE", "true");
    let finished = agent.run(&["auth", URL]).expect(1);
    assert!(finished.stderr.contains("buildkite-agent"), "{finished:?}");
    let folder = larder.home().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let agent = agent.env("PATH", path);
    let script = folder.join("buildkite-agent");
    program(&script, "echo \"$*\" | tr ' ' _");
    let printed = format!("oidc_request-token_--audience_{URL}");
    gives(agent.run(&["auth", URL]), URL, &printed);
    program(&script, "echo one >&2; echo 'no such audience' >&2; exit 1");
    let finished = agent.run(&["auth", URL]).expect(1);
    assert!(finished.stderr.contains("no such audience"), "{finished:?}");
}

#[test]
fn githubs_service_may_falter_and_says_what_is_wrong() {
    let endpoint = FakeUpstream::start();
    issue(&endpoint, "jwt");
    let larder = job(larder(), &endpoint);
    endpoint.rule_n("/id", 1, Fault::status(503));
    let named = larder.run(&["auth", "--audience", "larder", URL]);
    gives(named, URL, "jwt");
    let last = endpoint.last("/id");
    assert_eq!(last.target, "/id?api-version=2.0&audience=larder");
    endpoint.put("/id", "application/json", "{}");
    let finished = larder.run(&["auth", URL]).expect(1);
    assert!(finished.stderr.contains("its answer"), "{finished:?}");
    endpoint.forget();
    for fault in [Fault::status(403), Fault::redirect("http://127.0.0.1:1/")] {
        endpoint.clear_rules();
        endpoint.rule("/id", fault);
        let finished = larder.run(&["auth", URL]).expect(1);
        assert_eq!(finished.stdout, "");
        assert!(finished.stderr.contains("id-token: write"), "{finished:?}");
        assert!(!finished.stderr.contains("of-the-job"), "{finished:?}");
    }
    assert_eq!(endpoint.total(), 2, "asked once each");
    let plain = "http://github.example.com/id";
    let elsewhere = larder.env("ACTIONS_ID_TOKEN_REQUEST_URL", plain);
    let finished = elsewhere.run(&["auth", URL]).expect(1);
    assert!(finished.stderr.contains("is not https"), "{finished:?}");
}
