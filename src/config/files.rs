//! Files that a configuration names, read when they are needed, and again when they may have been renewed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::secret::Secret;

/// Secrets are short; a file beyond this was named by mistake. Bytes.
const LONGEST: u64 = 64 << 10;

/// A file that holds a secret.
#[derive(Clone, Debug)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The secret, a line, as it is now: others may renew it while the server runs.
    pub fn read(&self) -> Result<Secret, String> {
        let secret = in_file(&self.0)?;
        one_line(&secret).map_err(|reason| format!("{}: the secret {reason}", self.0.display()))?;
        Ok(Secret::new(secret))
    }
}

/// A file with certificates or a key.
pub fn read_certificates(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// A file with the keys of an OpenID provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksFile(PathBuf);

impl JwksFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// What it has, if that is no more than so many bytes.
    pub fn read(&self, largest: u64) -> Result<Vec<u8>, String> {
        let path = self.0.display();
        let mut content = Vec::new();
        File::open(&self.0)
            .and_then(|file| file.take(largest + 1).read_to_end(&mut content))
            .map_err(|error| format!("{path} cannot be read: {error}"))?;
        match content.len() as u64 > largest {
            true => Err(format!("{path} is larger than {largest} bytes")),
            false => Ok(content),
        }
    }
}

/// A netrc file.
#[derive(Clone, Debug)]
pub struct NetrcFile(PathBuf);

impl NetrcFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its text; `None` if it is not there.
    pub fn read(&self) -> io::Result<Option<String>> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for NetrcFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())
    }
}

/// The content of a file without the line end that editors leave.
pub(super) fn in_file(path: &Path) -> Result<String, String> {
    let mut content = String::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut content))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if content.len() as u64 > LONGEST {
        return Err(format!("{} is too large to hold a secret", path.display()));
    }
    let secret = content.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    Ok(secret.into())
}

/// A secret that goes into a header line.
pub(super) fn one_line(secret: &str) -> Result<(), &'static str> {
    if secret.chars().any(char::is_control) {
        return Err("contains control characters or several lines");
    }
    Ok(())
}
