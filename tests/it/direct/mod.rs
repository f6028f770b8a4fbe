//! Direct mode: modules straight from git (checklist 95 to 130).
//!
//! Most of it is told as scenes: a few repositories made for the purpose, and what is expected of queries about
//! them. [`differential!`] makes two tests of a scene: in `go` the real `go` with `GOPROXY=direct` is asked
//! whether the expectations are right, in `larder` the same questions go to Larder, whose answers have to be
//! those that `go` has just given: `.info`, `.mod`, the zip's hash and the list, or none in both.

/// Two tests of each scene, `scene::go` and `scene::larder`.
macro_rules! differential {
    ($($scene:ident),* $(,)?) => {$(
        mod $scene {
            #[test]
            fn go() {
                super::$scene().judge();
            }

            #[test]
            fn larder() {
                super::$scene().compare();
            }
        }
    )*};
}

mod bounds;
mod credentials;
mod fixtures;
mod go_client;
mod network;
mod offline;
mod resolve;
mod routing;
mod safety;
mod scale;
mod separation;
mod settings;
mod ssh;
mod versions;
mod zips;

use crate::support::git::{git, gomod, short};
use crate::support::githost::go_import_page;
use crate::support::modules::{escape, zip_h1};
use crate::support::server::Builder;
use crate::support::*;
use serde_json::Value;

/// The statuses that tell clients of trouble rather than of absence.
const TROUBLE: &[u16] = &[500, 502, 503, 504];

/// What is expected of a query.
enum Expect {
    /// This version, with everything.
    Is(String),
    /// This version, but no zip of it; `go` says why.
    NoZip(String, &'static str),
    /// Nothing; `go` says why.
    Not(&'static str),
}

struct Case {
    module: String,
    query: String,
    expect: Expect,
}

/// Repositories behind module paths, and what is expected of them.
struct Scene {
    host: GitHost,
    /// What the public side is asked.
    up: FakeUpstream,
    repos: Vec<Repo>,
    cases: Vec<Case>,
    lists: Vec<(String, Option<Vec<String>>)>,
    origin: bool,
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Scene {
    fn new() -> Scene {
        Scene {
            host: GitHost::start(),
            up: FakeUpstream::start(),
            repos: Vec::new(),
            cases: Vec::new(),
            lists: Vec::new(),
            origin: false,
            folder: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
    }

    /// The usual way: what begins with `corp.example.com/NAME` is in `https://git.example.com/NAME`.
    fn with(repo: Repo, name: &str) -> Scene {
        let mut scene = Scene::new();
        scene.add(repo, name);
        scene
    }

    fn add(&mut self, repo: Repo, name: &str) {
        let path = format!("corp.example.com/{name}");
        let at = format!("git.example.com/{name}");
        self.host.publish(&path, &at, &repo);
        self.repos.push(repo);
    }

    fn expect(mut self, module: &str, query: impl Into<String>, expect: Expect) -> Scene {
        self.cases.push(Case {
            module: module.to_owned(),
            query: query.into(),
            expect,
        });
        self
    }

    fn is(self, module: &str, query: impl Into<String>, version: impl Into<String>) -> Scene {
        self.expect(module, query, Expect::Is(version.into()))
    }

    /// A version that is found under its own name.
    fn has(self, module: &str, version: impl Into<String>) -> Scene {
        let version = version.into();
        self.is(module, version.clone(), version)
    }

    fn not(self, module: &str, query: impl Into<String>, why: &'static str) -> Scene {
        self.expect(module, query, Expect::Not(why))
    }

    fn no_zip(self, module: &str, version: impl Into<String>, why: &'static str) -> Scene {
        let version = version.into();
        self.expect(module, version.clone(), Expect::NoZip(version, why))
    }

    /// These are all its versions.
    fn list(mut self, module: &str, versions: &[&str]) -> Scene {
        let versions = versions.iter().map(|v| (*v).to_owned()).collect();
        self.lists.push((module.to_owned(), Some(versions)));
        self
    }

    /// There is no such module to list.
    fn no_list(mut self, module: &str) -> Scene {
        self.lists.push((module.to_owned(), None));
        self
    }

    /// `Origin` is compared, too.
    fn with_origin(mut self) -> Scene {
        self.origin = true;
        self
    }

    /// A variable for both sides.
    fn env(mut self, name: &str, value: &str) -> Scene {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The git configuration of whoever runs `go` or Larder.
    fn git_config(self, text: &str) -> Scene {
        let file = self.folder.path().join("gitconfig");
        std::fs::write(&file, text).unwrap();
        self.env("GIT_CONFIG_GLOBAL", file.to_str().unwrap())
    }

    fn oracle(&self) -> Oracle {
        let oracle = Oracle::of(&self.host);
        let variables = self.environment.iter();
        variables.fold(oracle, |oracle, (name, value)| oracle.env(name, value))
    }

    fn larder(&self) -> Builder {
        let builder = settings::private(&self.host, &self.up);
        let variables = self.environment.iter();
        variables.fold(builder, |builder, (name, value)| builder.env(name, value))
    }

    /// Asks `go`, and holds it against the expectations; all that is wrong is told at once.
    #[track_caller]
    fn verdicts(&self) -> Vec<(&Case, Verdict)> {
        let oracle = self.oracle();
        let mut wrong = Vec::new();
        let mut verdicts = Vec::new();
        for case in &self.cases {
            let verdict = oracle.ask(&case.module, &case.query);
            wrong.extend(case.complaint(&verdict));
            verdicts.push((case, verdict));
        }
        for (module, expected) in &self.lists {
            let versions = oracle.versions(module);
            if versions.clone().ok() != *expected {
                wrong.push(format!("{module}: not {expected:?}, but {versions:?}"));
            }
        }
        assert!(wrong.is_empty(), "go says otherwise:\n{}", wrong.join("\n"));
        verdicts
    }

    #[track_caller]
    fn judge(&self) {
        self.verdicts();
    }

    /// Asks Larder, and holds it against `go`.
    #[track_caller]
    fn compare(&self) {
        let verdicts = self.verdicts();
        let larder = self.larder().start();
        for (case, verdict) in verdicts {
            println!("{}@{}", case.module, case.query);
            agrees(&larder, case, &verdict, self.origin);
        }
        for (module, expected) in &self.lists {
            let answer = larder.get(&format!("/{}/@v/list", escape(module)));
            match expected {
                Some(versions) => assert_eq!(lines(&answer), *versions, "{module}"),
                None => drop(answer.refuses(&[404])),
            }
        }
        self.up.assert_untouched();
        self.control(&larder);
    }

    /// Direct mode does work here, so that what was refused was refused for a reason of its own. Ends all rules.
    #[track_caller]
    fn control(&self, larder: &Larder) {
        let path = "corp.example.com/control";
        let repo = Repo::module(path);
        repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
        self.host.publish(path, "git.example.com/control", &repo);
        self.host.clear_rules();
        self.up.clear_rules();
        let answer = larder.get(&file_path(path, "v1.0.0", "mod"));
        assert_eq!(answer.ok(), gomod(path).as_bytes());
    }
}

impl Case {
    /// What is wrong with the verdict, if anything.
    fn complaint(&self, verdict: &Verdict) -> Option<String> {
        let (version, zip, why) = match &self.expect {
            Expect::Is(version) => (version.as_str(), true, ""),
            Expect::NoZip(version, why) => (version.as_str(), false, *why),
            Expect::Not(why) => ("", false, *why),
        };
        let right = verdict.version == version
            && verdict.h1.is_some() == zip
            && verdict.error.contains(why);
        let Verdict { error, .. } = verdict;
        (!right).then(|| {
            let wanted = format!("{version:?}, zip: {zip}, {why:?}");
            let zip = verdict.h1.is_some();
            let got = format!("{:?}, zip: {zip}, {error:?}", verdict.version);
            format!("{}@{}: not {wanted}, but {got}", self.module, self.query)
        })
    }

    /// The path to ask a proxy for.
    fn path(&self) -> String {
        query_path(&self.module, &self.query)
    }
}

fn query_path(module: &str, query: &str) -> String {
    let module = escape(module);
    match query {
        "latest" => format!("/{module}/@latest"),
        query => format!("/{module}/@v/{}.info", escape(query)),
    }
}

fn file_path(module: &str, version: &str, kind: &str) -> String {
    format!("/{}/@v/{}.{kind}", escape(module), escape(version))
}

/// Larder's answers to the query are those of `go`.
#[track_caller]
fn agrees(larder: &Larder, case: &Case, verdict: &Verdict, origin: bool) {
    let answer = larder.get(&case.path());
    if verdict.version.is_empty() {
        answer.refuses(&[404]);
        return;
    }
    let info: Value = serde_json::from_slice(answer.ok()).expect("JSON");
    assert_eq!(info["Version"], verdict.info["Version"], "{info}");
    assert_eq!(info["Time"], verdict.info["Time"], "{info}");
    if origin {
        for member in [
            "VCS",
            "URL",
            "Subdir",
            "Hash",
            "Ref",
            "TagSum",
            "TagPrefix",
            "RepoSum",
        ] {
            let (ours, theirs) = (&info["Origin"][member], &verdict.info["Origin"][member]);
            // Whether Go names the version's own tag depends on what it was asked before.
            let own_tag = ours
                .as_str()
                .is_some_and(|tag| tag.ends_with(&verdict.version));
            if member == "Ref" && own_tag && theirs.is_null() {
                continue;
            }
            assert_eq!(ours, theirs, "{member} of {info}");
        }
    }
    let path = |kind| file_path(&case.module, &verdict.version, kind);
    let gomod = larder.get(&path("mod")).ok().to_vec();
    assert_eq!(
        String::from_utf8_lossy(&gomod),
        String::from_utf8_lossy(&verdict.gomod)
    );
    let zip = larder.get(&path("zip"));
    match &verdict.h1 {
        Some(h1) => assert_eq!(zip_h1(zip.ok()), *h1, "{}", path("zip")),
        None => drop(zip.refuses(&[404])),
    }
}

/// The lines of a whole 200.
#[track_caller]
fn lines(answer: &Response) -> Vec<String> {
    answer.ok();
    answer.text().lines().map(str::to_owned).collect()
}

/// The version that an `.info` or `@latest` tells of.
#[track_caller]
fn version_of(answer: &Response) -> String {
    let info: Value = serde_json::from_slice(answer.ok()).expect("JSON");
    info["Version"].as_str().expect("a version").to_owned()
}
