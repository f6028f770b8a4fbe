//! Repositories behind ssh. There is no ssh server here: a program of that name stands in for the client, and what
//! Larder tells it is looked at.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const LIB: &str = "corp.example.com/lib";
const KNOWN: &str = "git.example.com ssh-ed25519 AAAA";

/// The usual repository, at an address of ssh, and a folder with a program called ssh.
struct Behind {
    scene: Scene,
    folder: tempfile::TempDir,
}

impl Behind {
    fn new() -> Behind {
        let repo = Repo::module(LIB);
        repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
        let next = repo.commit(Commit::new().file("n.go", "package lib\n"));
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$*\" >> {0}/said\nif [ -s {0}/refuses ]; then cat {0}/refuses >&2; exit 255; fi\n\
             exec git upload-pack {1}\n",
            at.display(),
            repo.folder().display()
        );
        std::fs::write(at.join("ssh"), script).unwrap();
        std::fs::set_permissions(at.join("ssh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        repo.set_ref("refs/heads/next", &next);
        let scene = Scene::with(repo, "lib");
        Behind { scene, folder }
    }

    /// From now on the module's page says ssh.
    fn over_ssh(&self) -> &Self {
        let url = format!("{LIB} git ssh://git@git.example.com/team/lib");
        self.scene.host.go_import(LIB, &url);
        self
    }

    fn refuses(&self, words: &str) {
        std::fs::write(self.folder.path().join("refuses"), words).unwrap();
    }

    /// All command lines of ssh so far.
    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    fn with_ssh(&self, builder: Builder) -> Builder {
        let path = std::env::var("PATH").unwrap();
        builder.env("PATH", format!("{}:{path}", self.folder.path().display()))
    }

    fn larder(&self) -> Builder {
        self.with_ssh(self.scene.larder().no_breaker())
    }

    /// With a key of the route's own.
    fn by_route(&self) -> (Builder, PathBuf) {
        let builder = self.larder();
        let key = builder.write("a key", "secret");
        let known = builder.write("known", KNOWN);
        let route = format!(
            "[[routes]]\nmatch = \"corp.example.com\"\nvia = \"direct\"\nssh_key = {key:?}\nssh_known_hosts = {known:?}\n"
        );
        (builder.config(&route), key)
    }
}

#[test]
fn private_modules_may_come_by_ssh() {
    let behind = Behind::new();
    let verdicts = ["v1.0.0", "next"].map(|query| behind.scene.oracle().ask(LIB, query));
    behind.scene.host.forget();
    let larder = behind.over_ssh().larder().start();
    for verdict in verdicts {
        let zip = larder.get(&file_path(LIB, &verdict.version, "zip"));
        assert_eq!(Some(zip_h1(zip.ok())), verdict.h1);
    }
    let list = larder.get(&format!("/{LIB}/@v/list"));
    assert_eq!(lines(&list), ["v1.0.0"]);
    let said = behind.said();
    assert!(said.contains("git@git.example.com"), "{said}");
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "PermitLocalCommand=no",
    ] {
        assert!(said.contains(option), "{said}");
    }
    assert_eq!(behind.scene.host.count("git.example.com/*"), 0);
}

#[test]
fn a_route_brings_its_key_and_the_host_s() {
    let behind = Behind::new();
    let (builder, key) = behind.over_ssh().by_route();
    let larder = builder.start();
    larder.get(&file_path(LIB, "v1.0.0", "zip")).ok();
    let said = behind.said();
    assert!(said.contains(&format!("-i {}", key.display())), "{said}");
    assert!(said.contains("IdentitiesOnly=yes"), "{said}");
    assert!(said.contains("UserKnownHostsFile="), "{said}");
    assert!(said.contains("GlobalKnownHostsFile=/dev/null"), "{said}");
}

#[test]
fn c119_what_ssh_refuses_is_said_plainly() {
    for (words, own_key, statuses, part) in [
        (
            "git@git.example.com: Permission denied (publickey).",
            true,
            &[502][..],
            "ssh_key",
        ),
        (
            "git@git.example.com: Permission denied (publickey).",
            false,
            &[404],
            "ssh_key",
        ),
        ("Host key verification failed.", true, &[502], "known_hosts"),
        ("ERROR: Repository not found.", true, &[404], "not found"),
        (
            "ssh: connect to host git.example.com port 22: Connection refused",
            true,
            &[502],
            "Connection refused",
        ),
    ] {
        let behind = Behind::new();
        behind.over_ssh().refuses(words);
        let builder = match own_key {
            true => behind.by_route().0,
            false => behind.larder(),
        };
        let larder = builder.start();
        for way in ["@v/list", "@v/v1.0.0.info", "@v/v1.0.0.zip"] {
            let reason = larder.get(&format!("/{LIB}/{way}")).refuses(statuses);
            assert!(reason.contains("git.example.com"), "{reason}");
            assert!(reason.contains(part), "{part}: {reason}");
            assert!(!reason.contains("unknown revision"), "{reason}");
        }
        behind.refuses("");
        if statuses != [404] {
            larder.get(&query_path(LIB, "v1.0.0")).ok();
        }
    }
}

#[test]
fn c123_public_modules_do_not_come_by_ssh() {
    let behind = Behind::new();
    behind.over_ssh();
    let builder = settings::public(&behind.scene.host, &behind.scene.up);
    let larder = behind.with_ssh(builder).start();
    let reason = larder.get(&query_path(LIB, "v1.0.0")).refuses(&[404]);
    assert!(reason.contains("ssh"), "{reason}");
    assert_eq!(behind.said(), "");
    // A route may allow it without a key.
    let route =
        "[[routes]]\nmatch = \"corp.example.com\"\nvia = \"direct\"\nssh = true\nprivate = false\n";
    let builder = settings::public(&behind.scene.host, &behind.scene.up).config(route);
    let larder = behind.with_ssh(builder).start();
    larder.get(&query_path(LIB, "v1.0.0")).ok();
}
