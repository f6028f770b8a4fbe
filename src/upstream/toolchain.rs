//! What the Go toolchain of this machine is set to, read from its own files; no toolchain is needed for that.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

/// How long the `go` command may take to say what it is set to.
const ASK_GO: Duration = Duration::from_secs(1);

/// Where a setting stands. `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingOrigin {
    /// In a variable of the environment.
    Environment,
    /// In the file that `go env -w` writes.
    UserFile(PathBuf),
    /// In `$GOROOT/go.env`.
    RootFile(PathBuf),
    /// The `go` command says so.
    GoCommand,
}

impl SettingOrigin {
    /// Whether somebody has set it, rather than that it came with the toolchain.
    pub fn is_set(&self) -> bool {
        matches!(
            self,
            SettingOrigin::Environment | SettingOrigin::UserFile(_)
        )
    }
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingOrigin::Environment => f.write_str("GOPROXY in the environment"),
            SettingOrigin::UserFile(file) => write!(f, "GOPROXY in {}", file.display()),
            SettingOrigin::RootFile(file) => write!(f, "the default in {}", file.display()),
            SettingOrigin::GoCommand => f.write_str("what `go env GOPROXY` says"),
        }
    }
}

/// Where a machine's Go settings are looked for.
#[derive(Clone, Debug, Default)]
pub struct Toolchain {
    env: BTreeMap<String, String>,
}

impl Toolchain {
    /// `env` is the process's environment.
    pub fn new(env: BTreeMap<String, String>) -> Self {
        Toolchain { env }
    }

    /// A variable of the environment that is not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// A setting as `go env NAME` would say it: the environment, then the user's file, then the toolchain's.
    pub fn setting(&self, name: &str) -> Option<String> {
        let first = self.settings(name).into_iter().next();
        first.map(|(value, _)| value)
    }

    /// All that is said of a setting, the first being the one that counts.
    pub fn settings(&self, name: &str) -> Vec<(String, SettingOrigin)> {
        let from_env = self.var(name).map(str::to_owned);
        let from_env = from_env.map(|value| (value, SettingOrigin::Environment));
        let user = self.user_setting(name);
        let user = user.map(|(value, file)| (value, SettingOrigin::UserFile(file)));
        let root = self.root_setting(name);
        let root = root.map(|(value, file)| (value, SettingOrigin::RootFile(file)));
        [from_env, user, root].into_iter().flatten().collect()
    }

    /// What `go env -w` wrote, and where.
    fn user_setting(&self, name: &str) -> Option<(String, PathBuf)> {
        let file = match self.var("GOENV") {
            Some("off") => return None,
            Some(file) => PathBuf::from(file),
            None => self.config_dir()?.join("go/env"),
        };
        let value = go_env_value(&std::fs::read_to_string(&file).ok()?, name)?;
        Some((value, file))
    }

    /// What the toolchain itself comes with: `$GOROOT/go.env`.
    fn root_setting(&self, name: &str) -> Option<(String, PathBuf)> {
        let file = self.go_root()?.join("go.env");
        let value = go_env_value(&std::fs::read_to_string(&file).ok()?, name)?;
        Some((value, file))
    }

    /// Whether there is a `go` command to ask.
    pub fn go_command(&self) -> Option<PathBuf> {
        let path = self.var("PATH")?;
        std::env::split_paths(path)
            .map(|dir| dir.join("go"))
            .find(|go| go.is_file())
    }

    /// What the `go` command says of a setting, where its files are not in a usual place. It has a second to do so.
    pub async fn ask_go(&self, name: &str) -> Option<String> {
        let mut command = tokio::process::Command::new(self.go_command()?);
        command
            .args(["env", name])
            .env("GOTOOLCHAIN", "local")
            .kill_on_drop(true);
        let output = timeout(ASK_GO, command.output()).await.ok()?.ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn go_root(&self) -> Option<PathBuf> {
        let named = self.var("GOROOT").map(PathBuf::from);
        let beside_command = || {
            let go = self.go_command()?.canonicalize().ok()?;
            Some(go.parent()?.parent()?.to_owned())
        };
        let has_settings = |root: &PathBuf| root.join("go.env").is_file();
        named
            .filter(has_settings)
            .or_else(|| beside_command().filter(has_settings))
    }

    /// `os.UserConfigDir` of Go.
    fn config_dir(&self) -> Option<PathBuf> {
        let home = self.var("HOME").map(Path::new);
        if cfg!(target_os = "macos") {
            return Some(home?.join("Library/Application Support"));
        }
        match self.var("XDG_CONFIG_HOME") {
            Some(dir) => Some(PathBuf::from(dir)),
            None => Some(home?.join(".config")),
        }
    }
}

/// A value in a `go env` file: `NAME=value` lines, `#` comments; the last one counts, an empty one is none.
pub fn go_env_value(text: &str, name: &str) -> Option<String> {
    let mut values = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
    values
        .next_back()
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_then_user_then_toolchain() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(dir.path().join("config/go")).unwrap();
        std::fs::write(
            root.join("go.env"),
            "# x\nGOPROXY=https://root.example.com,direct\nGOTOOLCHAIN=auto\n",
        )
        .unwrap();
        let user = dir.path().join("config/go/env");
        std::fs::write(&user, "GOPROXY=https://user.example.com\n").unwrap();
        let mut env = BTreeMap::from([
            ("GOROOT".to_owned(), root.display().to_string()),
            (
                "XDG_CONFIG_HOME".to_owned(),
                dir.path().join("config").display().to_string(),
            ),
        ]);
        let toolchain = Toolchain::new(env.clone());
        assert_eq!(
            toolchain.setting("GOPROXY").unwrap(),
            "https://user.example.com"
        );
        assert_eq!(
            toolchain.settings("GOPROXY"),
            [
                (
                    "https://user.example.com".to_owned(),
                    SettingOrigin::UserFile(user.clone())
                ),
                (
                    "https://root.example.com,direct".to_owned(),
                    SettingOrigin::RootFile(root.join("go.env"))
                ),
            ]
        );
        assert_eq!(toolchain.setting("GOTOOLCHAIN").unwrap(), "auto");
        env.insert("GOENV".into(), "off".into());
        assert_eq!(
            Toolchain::new(env.clone()).setting("GOPROXY").unwrap(),
            "https://root.example.com,direct"
        );
        env.insert("GOPROXY".into(), "off".into());
        assert_eq!(Toolchain::new(env).setting("GOPROXY").unwrap(), "off");
    }
}
