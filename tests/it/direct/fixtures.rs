//! That the ground is firm: the repositories and the git host are what the real `go` and `git` take them for.

use super::*;
use crate::support::fault::At;
use crate::support::githost::Seen;

const LIB: &str = "corp.example.com/lib";

fn host_with(repo: &Repo) -> GitHost {
    let host = GitHost::start();
    host.publish(LIB, "git.example.com/lib", repo);
    host
}

#[test]
fn a_commit_is_the_same_everywhere() {
    let make = || {
        let repo = Repo::new();
        repo.commit(Commit::new().gomod(LIB).executable("run.sh", "#!/bin/sh\n"))
    };
    assert_eq!(make(), make());
    assert_eq!(make(), "36e95165a66e0846c619e57e853c9983ae225f2a");
}

#[test]
fn a_repository_holds_what_it_was_given() {
    let repo = Repo::new();
    let first = repo.commit(
        Commit::new()
            .gomod(LIB)
            .executable("run.sh", "#!/bin/sh\n")
            .link("link", "go.mod")
            .submodule("vendored", &"1".repeat(40))
            .file("odd \"name\"\\", "odd"),
    );
    let side = repo.commit(
        Commit::on("side")
            .after(&first)
            .file("side.go", "package m\n"),
    );
    let merge = repo.commit(Commit::new().merging(&side).without("run.sh"));
    let lost = repo.unreachable(Commit::on("lost").after(&first).file("x", "x"));
    let tag = repo.annotated_tag("v1.0.0", &first);
    repo.tag("light", &merge);
    let tree = repo.git(&["ls-tree", "-r", &first]);
    for mode in ["100644", "100755", "120000", "160000"] {
        assert!(tree.contains(mode), "{tree}");
    }
    assert!(tree.contains(r#""odd \"name\"\\""#), "{tree}");
    let parents = repo.git(&["rev-parse", &format!("{merge}^1"), &format!("{merge}^2")]);
    assert_eq!(parents, format!("{first}\n{side}"));
    assert_ne!(tag, first);
    assert_eq!(repo.git(&["cat-file", "-t", &lost]), "commit");
    let refs = repo.git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(
        refs,
        "refs/heads/main\nrefs/heads/side\nrefs/tags/light\nrefs/tags/v1.0.0"
    );
    assert_eq!(repo.git(&["rev-list", "--all", "--count"]), "3");
    repo.git(&["fsck", "--strict"]);
}

#[test]
fn a_sha256_repository_has_long_hashes() {
    let repo = Repo::sha256();
    let hash = repo.commit(Commit::new().gomod(LIB));
    assert_eq!(hash.len(), 64);
    let host = host_with(&repo);
    let verdict = Oracle::of(&host).ask(LIB, "main");
    assert_eq!(verdict.version, repo.pseudo("v0.0.0-", &hash));
}

#[test]
fn five_thousand_tags_are_made_and_listed() {
    let repo = Repo::module(LIB);
    let hash = repo.git(&["rev-parse", "main"]);
    repo.tags((0..5_000).map(|n| format!("v1.{n}.0")), &hash);
    let host = host_with(&repo);
    let versions = Oracle::of(&host).versions(LIB).unwrap();
    assert_eq!(versions.len(), 5_000);
}

#[test]
fn go_sees_everything_of_a_version() {
    let repo = Repo::module(LIB);
    let hash = repo.git(&["rev-parse", "main"]);
    repo.tag("v1.0.0", &hash);
    let host = host_with(&repo);
    let oracle = Oracle::of(&host);
    let verdict = oracle.ask(LIB, "v1.0.0");
    assert_eq!(verdict.version, "v1.0.0");
    assert_eq!(verdict.time, "2024-03-01T05:00:00Z");
    assert_eq!(verdict.gomod, gomod(LIB).as_bytes());
    assert!(verdict.h1.is_some(), "{verdict:?}");
    assert_eq!(verdict.info["Origin"]["URL"], "https://git.example.com/lib");
    assert_eq!(verdict.info["Origin"]["Hash"], hash.as_str());
    assert_eq!(oracle.versions(LIB).unwrap(), ["v1.0.0"]);
    let seen = host.requests();
    assert!(seen.iter().all(|s| s.tls), "{seen:#?}");
    assert_eq!(host.count("corp.example.com/lib?go-get=1"), 2);
    assert!(host.count("git.example.com/lib/git-upload-pack") > 0);
    let tunnels = host.tunnels();
    assert!(tunnels.contains(&"corp.example.com:443".to_owned()));
    assert!(tunnels.contains(&"git.example.com:443".to_owned()));
}

#[test]
fn go_is_told_of_what_is_missing() {
    let repo = Repo::module(LIB);
    let host = host_with(&repo);
    let verdict = Oracle::of(&host).ask(LIB, "v9.0.0");
    assert_eq!(verdict.version, "");
    assert!(verdict.error.contains("unknown revision"), "{verdict:?}");
    let oracle = Oracle::of(&host);
    let verdict = oracle.ask("corp.example.com/other", "v1.0.0");
    assert!(verdict.error.contains("404"), "{verdict:?}");
    assert!(oracle.versions("corp.example.com/other").is_err());
}

#[test]
fn a_moved_tag_is_another_commit() {
    let repo = Repo::module(LIB);
    let first = repo.git(&["rev-parse", "main"]);
    let second = repo.commit(Commit::new().file("n.go", "package m\n"));
    repo.tag("v1.0.0", &first);
    let host = host_with(&repo);
    let before = Oracle::of(&host).ask(LIB, "v1.0.0");
    repo.tag("v1.0.0", &second);
    let after = Oracle::of(&host).ask(LIB, "v1.0.0");
    assert_ne!(before.h1, after.h1);
}

#[test]
fn a_protected_repository_wants_its_password() {
    let repo = Repo::module(LIB);
    let host = host_with(&repo);
    host.protect("git.example.com/lib", "me", "secret-1");
    let refused = Oracle::of(&host).ask(LIB, "main");
    assert_eq!(refused.version, "", "{refused:?}");
    let folder = tempfile::tempdir().unwrap();
    let netrc = settings::netrc_text(&[("git.example.com", "me", "secret-1")]);
    std::fs::write(folder.path().join(".netrc"), netrc).unwrap();
    let home = folder.path().to_str().unwrap();
    let verdict = Oracle::of(&host).env("HOME", home).ask(LIB, "main");
    assert!(verdict.h1.is_some(), "{verdict:?}");
    let told = |s: &Seen| s.credentials().as_deref() == Some("me:secret-1");
    assert!(host.requests().iter().any(told));
    host.assert_secret_only_at("secret-1", "git.example.com/lib*");
}

#[test]
fn rules_of_the_host_hold() {
    let repo = Repo::module(LIB);
    for fault in [
        Fault::status(500),
        Fault::status(403),
        Fault::close(),
        Fault::at(30, At::Cut),
    ] {
        println!("{fault:?}");
        let host = host_with(&repo);
        host.rule("git.example.com/lib/*", fault);
        let verdict = Oracle::of(&host).ask(LIB, "main");
        assert_eq!(verdict.version, "", "{verdict:?}");
        host.clear_rules();
        let verdict = Oracle::of(&host).ask(LIB, "main");
        assert!(verdict.h1.is_some(), "{verdict:?}");
    }
}

#[test]
fn a_stopped_host_refuses_and_a_restarted_one_serves() {
    let repo = Repo::module(LIB);
    let mut host = host_with(&repo);
    host.stop();
    let verdict = Oracle::of(&host).ask(LIB, "main");
    assert!(verdict.error.contains("refused"), "{verdict:?}");
    host.restart();
    assert!(Oracle::of(&host).ask(LIB, "main").h1.is_some());
}

#[test]
fn an_unreachable_host_is_an_error_of_the_proxy() {
    let host = GitHost::start();
    host.unreachable("down.example.com");
    let verdict = Oracle::of(&host).ask("down.example.com/lib", "v1.0.0");
    assert!(verdict.error.contains("Bad Gateway"), "{verdict:?}");
    assert_eq!(host.tunnels()[0], "down.example.com:443");
    assert_eq!(host.total(), 0);
}

#[test]
fn strays_and_plain_requests_are_noticed() {
    let repo = Repo::module(LIB);
    let host = host_with(&repo);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("git://127.0.0.1:{}/lib", host.port());
    let mut command = git(folder.path());
    let output = command.args(["ls-remote", &url]).output().unwrap();
    assert!(!output.status.success());
    let strays = host.strays();
    assert!(strays[0].starts_with(b"0"), "{strays:?}");
    // Plain HTTP through the proxy.
    let mut command = git(folder.path());
    for (name, value) in host.network() {
        command.env(name, value);
    }
    let output = command
        .args(["ls-remote", "http://git.example.com/lib"])
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(host.requests().iter().all(|s| !s.tls));
}

#[test]
fn large_requests_and_answers_pass() {
    // Enough references that `git` sends its wishes in chunks, or compressed.
    let repo = Repo::module(LIB);
    repo.history("main", 300, 2_000);
    let all = repo.git(&["rev-list", "main"]);
    for (n, hash) in all.lines().enumerate() {
        repo.tag(&format!("t{n}"), hash);
    }
    let host = host_with(&repo);
    let verdict = Oracle::of(&host).ask(LIB, "main");
    assert!(verdict.h1.is_some(), "{verdict:?}");
    let zip = host.requests();
    assert!(zip.iter().all(|s| s.status == 200), "{:?}", host.names());
}
