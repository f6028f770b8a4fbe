//! Git repositories made on the spot by the `git` command, the same to the last hash wherever tests run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The committer's time of the first commit, 2024-03-01T05:00:00Z; each one after it is a little later.
const EPOCH: u64 = 1_709_269_200;

/// A bare repository in a folder of its own. Its HEAD is `main`.
pub struct Repo {
    folder: TempDir,
    made: Cell<u64>,
    heads: RefCell<HashMap<String, String>>,
}

/// What a commit changes, and where it goes.
#[derive(Clone)]
pub struct Commit {
    branch: String,
    changes: Vec<u8>,
    root: bool,
    after: Option<String>,
    merged: Vec<String>,
    time: Option<u64>,
}

impl Commit {
    /// The next commit of a branch, which is made if it is new.
    pub fn on(branch: &str) -> Commit {
        Commit {
            branch: branch.to_owned(),
            changes: Vec::new(),
            root: false,
            after: None,
            merged: Vec::new(),
            time: None,
        }
    }

    /// The same on `main`.
    pub fn new() -> Commit {
        Commit::on("main")
    }

    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Commit {
        self.entry("100644", name, content.as_ref())
    }

    pub fn executable(self, name: &str, content: impl AsRef<[u8]>) -> Commit {
        self.entry("100755", name, content.as_ref())
    }

    pub fn link(self, name: &str, target: &str) -> Commit {
        self.entry("120000", name, target.as_bytes())
    }

    /// A file whose content is a blob that is there already.
    pub fn known(mut self, name: &str, blob: &str) -> Commit {
        let line = format!("M 100644 {blob} {}\n", quoted(name));
        self.changes.extend_from_slice(line.as_bytes());
        self
    }

    /// A submodule's entry: the hash of a commit elsewhere.
    pub fn submodule(mut self, name: &str, hash: &str) -> Commit {
        let line = format!("M 160000 {hash} {}\n", quoted(name));
        self.changes.extend_from_slice(line.as_bytes());
        self
    }

    /// A go.mod with the module's path and a language version that nothing special happens at.
    pub fn gomod(self, path: &str) -> Commit {
        self.gomod_in("", path)
    }

    /// The same in a folder, which is empty or ends in a slash.
    pub fn gomod_in(self, folder: &str, path: &str) -> Commit {
        self.file(&format!("{folder}go.mod"), gomod(path))
    }

    pub fn without(mut self, name: &str) -> Commit {
        let line = format!("D {}\n", quoted(name));
        self.changes.extend_from_slice(line.as_bytes());
        self
    }

    /// Without parent, and so without the files that the branch had.
    pub fn root(mut self) -> Commit {
        self.root = true;
        self
    }

    /// With this parent in place of the branch's head.
    pub fn after(mut self, hash: &str) -> Commit {
        self.after = Some(hash.to_owned());
        self
    }

    /// With one parent more.
    pub fn merging(mut self, hash: &str) -> Commit {
        self.merged.push(hash.to_owned());
        self
    }

    /// The committer's time, in seconds.
    pub fn at(mut self, time: u64) -> Commit {
        self.time = Some(time);
        self
    }

    fn entry(mut self, mode: &str, name: &str, content: &[u8]) -> Commit {
        let head = format!("M {mode} inline {}\n", quoted(name));
        self.changes.extend_from_slice(head.as_bytes());
        data(&mut self.changes, content);
        self
    }
}

/// The text of a go.mod.
pub fn gomod(path: &str) -> String {
    format!("module {path}\n\ngo 1.20\n")
}

/// The first twelve digits, which stand for a commit in versions.
pub fn short(hash: &str) -> &str {
    &hash[..12]
}

/// The `git` command without any setting of the machine's.
pub fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("GIT_DIR", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir(folder);
    command
}

impl Repo {
    pub fn new() -> Repo {
        Repo::with_format("sha1")
    }

    /// One whose hashes have 64 digits.
    pub fn sha256() -> Repo {
        Repo::with_format("sha256")
    }

    /// One commit on `main` with a go.mod of this path and one package.
    pub fn module(path: &str) -> Repo {
        let repo = Repo::new();
        repo.commit(Commit::new().gomod(path).file("m.go", "package m\n"));
        repo
    }

    fn with_format(format: &str) -> Repo {
        let repo = Repo {
            folder: tempfile::tempdir().expect("a temporary folder"),
            made: Cell::new(0),
            heads: RefCell::default(),
        };
        let format = format!("--object-format={format}");
        repo.git(&["init", "-q", "--bare", "-b", "main", "--template=", &format]);
        // As the large hosts have it.
        repo.git(&["config", "uploadpack.allowFilter", "true"]);
        repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        repo
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Runs a git command in it; what it printed, without the last newline.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, b"")
    }

    #[track_caller]
    fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = git(self.folder.path());
        command.args(arguments);
        let when = format!("{} +0000", EPOCH + 1_000_000);
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), "Larder's tests")
                .env(format!("GIT_{who}_EMAIL"), "tests@example.com")
                .env(format!("GIT_{who}_DATE"), &when);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("these tests need the git command in PATH: {e}"));
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim_end_matches('\n').to_owned()
    }

    /// Makes the commit; its hash.
    #[track_caller]
    pub fn commit(&self, commit: Commit) -> String {
        let number = self.made.get();
        self.made.set(number + 1);
        let time = commit.time.unwrap_or(EPOCH + number * 3_661);
        let head = self.heads.borrow().get(&commit.branch).cloned();
        let parent = commit.after.or(head).filter(|_| !commit.root);
        let mut stream = Vec::new();
        // What was written, and when, is not what counts: the author is a day before, in another zone.
        let _ = write!(
            stream,
            "commit refs/heads/{}\nmark :1\nauthor A <a@example.com> {} +0200\n\
             committer C <c@example.com> {time} -0530\n",
            commit.branch,
            time.saturating_sub(86_400),
        );
        data(&mut stream, format!("Commit {number}").as_bytes());
        if let Some(parent) = parent {
            let _ = writeln!(stream, "from {parent}");
        }
        for other in &commit.merged {
            let _ = writeln!(stream, "merge {other}");
        }
        stream.extend_from_slice(&commit.changes);
        stream.extend_from_slice(b"\nget-mark :1\n");
        let arguments = ["fast-import", "--quiet", "--force", "--cat-blob-fd=1"];
        let hash = self.git_with(&arguments, &stream);
        self.heads.borrow_mut().insert(commit.branch, hash.clone());
        hash
    }

    /// A commit that no reference leads to.
    #[track_caller]
    pub fn unreachable(&self, commit: Commit) -> String {
        let branch = commit.branch.clone();
        let before = self.heads.borrow().get(&branch).cloned();
        let hash = self.commit(commit);
        self.forget_ref(&format!("refs/heads/{branch}"));
        self.heads.borrow_mut().remove(&branch);
        if let Some(before) = before {
            self.set_ref(&format!("refs/heads/{branch}"), &before);
            self.heads.borrow_mut().insert(branch, before);
        }
        hash
    }

    /// So many commits on a branch, each with a file of so much noise, in one go; the last one's hash.
    #[track_caller]
    pub fn history(&self, branch: &str, commits: u64, noise: usize) -> String {
        let mut stream = Vec::new();
        let head = self.heads.borrow().get(branch).cloned();
        for n in 0..commits {
            let time = EPOCH + (self.made.get() + n) * 3_661;
            let _ = write!(
                stream,
                "commit refs/heads/{branch}\nmark :{}\ncommitter C <c@example.com> {time} +0000\n",
                n + 1
            );
            data(&mut stream, format!("Commit {n} of many").as_bytes());
            if let Some(head) = head.as_ref().filter(|_| n == 0) {
                let _ = writeln!(stream, "from {head}");
            }
            let _ = writeln!(stream, "M 100644 inline noise/{}.bin", n % 100);
            data(&mut stream, &super::zip::noise(noise, n));
        }
        let _ = writeln!(stream, "\nget-mark :{commits}");
        self.made.set(self.made.get() + commits);
        let arguments = ["fast-import", "--quiet", "--force", "--cat-blob-fd=1"];
        let hash = self.git_with(&arguments, &stream);
        self.heads
            .borrow_mut()
            .insert(branch.to_owned(), hash.clone());
        hash
    }

    /// A light tag, moved there if there is one of that name.
    #[track_caller]
    pub fn tag(&self, name: &str, hash: &str) {
        self.set_ref(&format!("refs/tags/{name}"), hash);
    }

    /// An annotated tag, years younger than what it points at; the tag object's hash.
    #[track_caller]
    pub fn annotated_tag(&self, name: &str, hash: &str) -> String {
        self.git(&["tag", "-f", "-a", "-m", "A tag", "--", name, hash]);
        self.git(&["rev-parse", &format!("refs/tags/{name}")])
    }

    /// Many light tags of a commit at once, all new. They are written as `git pack-refs` writes them: by itself git makes
    /// a file and a lock for each, which takes a minute for 60,000.
    #[track_caller]
    pub fn tags(&self, names: impl IntoIterator<Item = String>, hash: &str) {
        self.git(&["pack-refs", "--all"]);
        let file = self.folder.path().join("packed-refs");
        let packed = std::fs::read_to_string(&file).unwrap();
        let (header, packed) = packed.split_once('\n').unwrap();
        // Each by its name, with the line after it that says what an annotated tag points at.
        let mut entries = BTreeMap::new();
        let mut last = "";
        for line in packed.lines() {
            last = line.split_once(' ').map_or(last, |(_, name)| name);
            let entry: &mut String = entries.entry(last.to_owned()).or_default();
            entry.push_str(line);
            entry.push('\n');
        }
        for name in names {
            let name = format!("refs/tags/{name}");
            let line = format!("{hash} {name}\n");
            assert_eq!(entries.insert(name, line), None);
        }
        let entries: String = entries.into_values().collect();
        std::fs::write(file, format!("{header}\n{entries}")).unwrap();
    }

    #[track_caller]
    pub fn set_ref(&self, name: &str, hash: &str) {
        self.git(&["update-ref", name, hash]);
    }

    #[track_caller]
    pub fn forget_ref(&self, name: &str) {
        self.git(&["update-ref", "-d", name]);
    }

    /// Where HEAD points.
    #[track_caller]
    pub fn set_head(&self, branch: &str) {
        self.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]);
    }

    /// A blob by itself.
    #[track_caller]
    pub fn blob(&self, content: &[u8]) -> String {
        self.git_with(&["hash-object", "-w", "--stdin"], content)
    }

    /// The committer's time as versions spell it.
    #[track_caller]
    pub fn stamp(&self, hash: &str) -> String {
        let date = "--date=format-local:%Y%m%d%H%M%S";
        self.git(&["show", "-s", "--format=%cd", date, hash])
    }

    /// The pseudo-version of a commit, by what comes before the time: `v0.0.0-`, `v1.2.4-0.`
    #[track_caller]
    pub fn pseudo(&self, base: &str, hash: &str) -> String {
        format!("{base}{}-{}", self.stamp(hash), short(hash))
    }
}

/// A name in the way of `git fast-import`.
fn quoted(name: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", name.replace('\n', "\\n"))
}

/// Contents in the way of `git fast-import`.
fn data(stream: &mut Vec<u8>, content: &[u8]) {
    let _ = writeln!(stream, "data {}", content.len());
    stream.extend_from_slice(content);
    stream.push(b'\n');
}
