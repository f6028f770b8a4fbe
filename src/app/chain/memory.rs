//! What the data directory remembers of the chain.

use serde::{Deserialize, Serialize};

use crate::store::SideFile;
use crate::upstream::SettingOrigin;

/// No honest file is larger. Bytes.
const LARGEST: u64 = 64 << 10;

/// What is kept in the data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What was found where the operator said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Remembered>,
    /// What the operator said at the last start, and how, if they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub chain: String,
    pub from: SettingOrigin,
    /// Whether a server has fetched by it, rather than by what its operator said.
    #[serde(default)]
    pub used: bool,
    /// When it was found. Milliseconds since 1970; 0 before it is written.
    #[serde(default)]
    pub at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub chain: String,
    pub by: String,
}

impl Memory {
    /// What is remembered; nothing where nothing is.
    pub fn read(file: &SideFile) -> Result<Self, String> {
        let text = file.read(LARGEST).map_err(|error| error.to_string())?;
        text.map_or_else(
            || Ok(Self::default()),
            |text| serde_json::from_str(&text).map_err(|error| error.to_string()),
        )
    }

    /// Keeps it. Readable for nobody else: a chain may carry a password. A disk that is full or read-only is no reason to
    /// stop: then the next start looks again.
    pub fn write(&self, file: &SideFile) {
        if Self::read(file).is_ok_and(|known| known == *self) {
            return;
        }
        let text = serde_json::to_vec_pretty(self).map(|mut text| {
            text.push(b'\n');
            text
        });
        let written = text
            .map_err(Into::into)
            .and_then(|text| file.replace(&text));
        if let Err(error) = written {
            tracing::warn!(%error, %file, "the upstream chain cannot be remembered for the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = SideFile::new(dir.path(), "upstream.json");
        let path = dir.path().join("upstream.json");
        assert_eq!(Memory::read(&file), Ok(Memory::default()));
        // There is no place for temporary files yet: a warning, no more.
        let memory = Memory {
            found: None,
            told: Some(Told {
                chain: "https://me:hunter2@a.example.com".to_owned(),
                by: "--upstream".to_owned(),
            }),
        };
        memory.write(&file);
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        memory.write(&file);
        assert_eq!(Memory::read(&file), Ok(memory.clone()));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "not ours").unwrap();
        assert!(Memory::read(&file).is_err());
    }
}
