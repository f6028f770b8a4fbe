//! Names of files and directories.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::Environment;
use super::{Codec, Context, Raw, quote};

/// A path, made absolute.
#[derive(Debug)]
pub(in crate::config) struct Name {
    readable: bool,
}

/// A path. `~/` is the home directory; a relative path starts from the directory of the file it is
/// written in, and in the environment and on the command line from the working directory.
pub(in crate::config) fn path() -> Name {
    Name { readable: false }
}

impl Name {
    /// Asks for a file that exists and can be read now.
    pub(in crate::config) fn readable(self) -> Self {
        Self { readable: true }
    }
}

impl Codec for Name {
    type Value = PathBuf;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<PathBuf, String> {
        let text = raw.as_text("a path in quotes")?;
        if text.is_empty() || text.contains('\0') {
            return Err(format!("{} is not a path", raw.quoted()));
        }
        let path = match text.strip_prefix("~/") {
            Some(rest) => home(context.env)
                .ok_or_else(|| format!("{} begins with ~, but HOME is not set", raw.quoted()))?
                .join(rest),
            None => context
                .base
                .map_or_else(|| PathBuf::from(text), |base| base.join(text)),
        };
        // Fails only without a working directory; then the path stays as it is.
        let path = std::path::absolute(&path).unwrap_or(path);
        if self.readable {
            readable(&path)?;
        }
        Ok(path)
    }

    fn write(&self, value: &PathBuf) -> String {
        quote(&value.to_string_lossy())
    }
}

/// Checks that a file can be opened and is no directory.
pub(in crate::config) fn readable(path: &Path) -> Result<(), String> {
    let is_directory = File::open(path)
        .and_then(|file| file.metadata())
        .map(|meta| meta.is_dir());
    match is_directory {
        Ok(false) => Ok(()),
        Ok(true) => Err(format!(
            "{} is a directory; a file is expected",
            path.display()
        )),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// The user's home directory.
pub(in crate::config) fn home(env: &Environment) -> Option<&Path> {
    env.get("HOME")
        .map(Path::new)
        .filter(|home| home.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn relative_paths_start_from_the_file() {
        let env = Environment::from([("HOME".into(), "/home/me".into())]);
        let context = Context {
            env: &env,
            base: Some(Path::new("/etc/larder")),
        };
        for (text, expected) in [
            ("/srv/x", "/srv/x"),
            ("ca.pem", "/etc/larder/ca.pem"),
            ("~/ca.pem", "/home/me/ca.pem"),
            ("~other/ca.pem", "/etc/larder/~other/ca.pem"),
        ] {
            assert_eq!(
                path().read(&Raw::Text(text.into()), context),
                Ok(PathBuf::from(expected))
            );
        }
        assert!(from_word(&path(), "x").is_ok_and(|path| path.is_absolute()));
        assert!(from_word(&path(), "~/x").is_err_and(|e| e.contains("HOME is not set")));
        assert!(from_toml(&path(), "\"\"").is_err());
        assert!(from_toml(&path(), "true").is_err());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("there.pem");
        std::fs::write(&file, "x").expect("a file");
        let read = |path: &Path| path_of(path).map(|_| ());
        fn path_of(path: &Path) -> Result<PathBuf, String> {
            from_word(&super::path().readable(), &path.to_string_lossy())
        }
        assert_eq!(read(&file), Ok(()));
        assert!(read(directory.path()).is_err_and(|e| e.contains("is a directory")));
        assert!(read(&directory.path().join("gone")).is_err_and(|e| e.starts_with("cannot read")));
    }
}
