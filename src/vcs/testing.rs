//! Repositories made by scripts, for tests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::git::{Git, GitAccess, GitError, Output};
use super::mirror::{Mirror, MirrorError, MirrorKey, RefsLimit, Remote};
use super::refs::{ObjectId, RefTable};
use super::tenant::Tenant;
use super::workspace::Workspace;

/// A repository made by a script, and a mirror of it.
pub(super) struct Scene {
    pub(super) dir: tempfile::TempDir,
    pub(super) mirror: Arc<Mirror>,
    pub(super) url: String,
    pub(super) access: GitAccess,
    pub(super) space: Workspace,
}

/// Runs a script, without the configuration of whoever runs the tests, and gives what it prints.
pub(super) fn shell(dir: &Path, script: &str) -> String {
    let mut command = std::process::Command::new("sh");
    command
        .args(["-e", "-c", script])
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "n")
            .env(format!("GIT_{who}_EMAIL"), "n@example.com")
            .env(format!("GIT_{who}_DATE"), "1700000000 +0100");
    }
    let output = command.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {shown}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A scene whose repository `r` a script has filled.
pub(super) fn scene(script: &str) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    shell(
        dir.path(),
        &format!("git init -q -b main r; cd r; {script}"),
    );
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let environment = |name: &str| (name == "PATH").then(|| std::env::var_os("PATH")).flatten();
    let git = Git::new("git".into(), home, 4, Default::default(), environment);
    let url = format!("file://{}", dir.path().join("r").display());
    let access = GitAccess {
        folders: true,
        ..GitAccess::default()
    };
    let mirror = Mirror::new(git, &dir.path().join("mirrors"), &key(&url), 1 << 20);
    Scene {
        dir,
        mirror,
        url,
        access,
        space: space(u64::MAX),
    }
}

/// The key of a stranger's mirror.
pub(super) fn key(url: &str) -> MirrorKey {
    MirrorKey {
        url: url.to_owned(),
        identity: String::new(),
        tenant: Tenant::Strangers,
    }
}

/// A disk with so much room, at a path that is not there.
pub(super) fn space(left: u64) -> Workspace {
    Workspace::new("/nonexistent".into(), Arc::new(move || left))
}

impl Scene {
    pub(super) fn remote(&self) -> Remote<'_> {
        Remote {
            url: &self.url,
            access: &self.access,
            time: Duration::from_secs(60),
            size: 1 << 30,
            memory: None,
            space: &self.space,
        }
    }

    pub(super) async fn refs(&self) -> Result<RefTable, MirrorError> {
        self.mirror
            .refs(self.remote(), RefsLimit::of(Tenant::Strangers))
            .await
    }

    pub(super) async fn ensure(&self, id: &ObjectId, reference: &str) {
        let lock = self.mirror.lock().await.unwrap();
        let ensured = self.mirror.ensure(&lock, self.remote(), id, reference);
        ensured.await.unwrap();
    }

    pub(super) async fn complete(&self, any: &ObjectId) {
        let lock = self.mirror.lock().await.unwrap();
        let completed = self.mirror.complete(&lock, self.remote(), any);
        completed.await.unwrap();
    }

    pub(super) fn id(&self, rev: &str) -> ObjectId {
        let script = format!("git -C r rev-parse '{rev}^{{commit}}'");
        ObjectId::parse(&shell(self.dir.path(), &script)).unwrap()
    }
}

/// Reads a run's output to its end.
pub(super) async fn all(mut output: Output) -> Result<Bytes, GitError> {
    let mut whole = BytesMut::new();
    while output.next(&mut whole).await? {}
    output.end().await?;
    Ok(whole.freeze())
}
