//! A module and one version of it, as operators write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::gomod::{ModulePath, Version};

/// `example.com/module@v1.2.3`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModuleVersion {
    pub module: ModulePath,
    pub version: Version,
}

impl FromStr for ModuleVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = |why: String| format!("{why}; write it as example.com/module@v1.2.3");
        let (module, version) = text
            .split_once('@')
            .ok_or_else(|| form("it has no @".into()))?;
        Ok(ModuleVersion {
            module: ModulePath::parse(module).map_err(|error| form(error.to_string()))?,
            version: Version::parse(version).map_err(|error| form(error.to_string()))?,
        })
    }
}

impl TryFrom<String> for ModuleVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ModuleVersion> for String {
    fn from(version: ModuleVersion) -> String {
        version.to_string()
    }
}

impl fmt::Display for ModuleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.module, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_back() {
        let text = "\"example.com/M@v1.2.3\"";
        let version: ModuleVersion = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&version).unwrap(), text);
        for wrong in ["example.com/m", "example.com/m@1.2", "@v1.0.0"] {
            let error = wrong.parse::<ModuleVersion>().unwrap_err();
            assert!(
                error.ends_with("write it as example.com/module@v1.2.3"),
                "{error}"
            );
        }
    }
}
