//! What the real `go` makes of a repository when it asks it directly: the judge over direct mode.

use super::modules::zip_h1;
use super::{GitHost, Go};
use serde_json::Value;
use std::path::Path;

/// A `go` with `GOPROXY=direct` and a module cache of its own.
pub struct Oracle {
    go: Go,
}

/// What came of one query.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Empty if the query led nowhere.
    pub version: String,
    pub time: String,
    /// The whole `.info` as `go` keeps it.
    pub info: Value,
    pub gomod: Vec<u8>,
    /// None if there is no zip.
    pub h1: Option<String>,
    /// Why something is missing.
    pub error: String,
}

impl Oracle {
    pub fn of(host: &GitHost) -> Oracle {
        let mut go = Go::new("direct");
        for (name, value) in host.network() {
            go = go.env(name, &value);
        }
        // A git that was linked with GnuTLS does not know SSL_CERT_FILE.
        let authority = super::hosts_authority();
        let go = go
            .env("GIT_SSL_CAINFO", authority.to_str().unwrap())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0");
        Oracle { go }
    }

    pub fn env(mut self, name: &str, value: &str) -> Oracle {
        self.go = self.go.env(name, value);
        self
    }

    pub fn go(&self) -> &Go {
        &self.go
    }

    /// Everything about `module@query`.
    #[track_caller]
    pub fn ask(&self, module: &str, query: &str) -> Verdict {
        let name = format!("{module}@{query}");
        let output = self.go.run(&["mod", "download", "-json", &name]);
        let answer: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|e| panic!("{name}: {e}: {output:#?}"));
        let text = |member: &str| answer[member].as_str().unwrap_or("");
        let read = |member: &str| std::fs::read(text(member)).unwrap_or_default();
        let info: Value = serde_json::from_slice(&read("Info")).unwrap_or_default();
        let zip = Path::new(text("Zip"));
        Verdict {
            version: info["Version"].as_str().unwrap_or("").to_owned(),
            time: info["Time"].as_str().unwrap_or("").to_owned(),
            gomod: read("GoMod"),
            h1: zip.is_file().then(|| {
                let bytes = std::fs::read(zip).unwrap();
                let h1 = zip_h1(&bytes);
                assert_eq!(h1, text("Sum"), "our own sum of {name}");
                h1
            }),
            error: text("Error").to_owned(),
            info,
        }
    }

    /// All versions, the retracted ones too; or why there are none.
    #[track_caller]
    pub fn versions(&self, module: &str) -> Result<Vec<String>, String> {
        let arguments = ["list", "-m", "-versions", "-retracted", "-json", module];
        let output = self.go.run(&arguments);
        if !output.ok {
            return Err(output.stderr);
        }
        let answer: Value = serde_json::from_str(&output.stdout).unwrap();
        let versions = answer["Versions"].as_array();
        let versions = versions.into_iter().flatten();
        Ok(versions.map(|v| v.as_str().unwrap().to_owned()).collect())
    }
}
