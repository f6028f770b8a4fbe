//! Names of files and directories.

use std::fs::File;
use std::os::unix::net::SocketAddr;
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

/// The path of a unix socket, which systems allow few bytes.
#[derive(Debug)]
pub(in crate::config) struct SocketPath;

pub(in crate::config) fn socket_path() -> SocketPath {
    SocketPath
}

impl Codec for SocketPath {
    type Value = PathBuf;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<PathBuf, String> {
        let path = path().read(raw, context)?;
        match SocketAddr::from_pathname(&path) {
            Ok(_) => Ok(path),
            Err(_) => Err(format!(
                "{} is too long for a unix socket, which has about 100 bytes for its path",
                path.display()
            )),
        }
    }

    fn write(&self, value: &PathBuf) -> String {
        path().write(value)
    }
}

/// Permissions of a file.
#[derive(Debug)]
pub(in crate::config) struct FileMode;

/// Permissions in octal digits, as a text: a number would be read as a decimal one.
pub(in crate::config) fn file_mode() -> FileMode {
    FileMode
}

impl Codec for FileMode {
    type Value = u32;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<u32, String> {
        const WHAT: &str = "permissions in octal; write them as \"0660\"";
        let text = raw.as_text(WHAT)?.trim();
        let is_octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| is_octal && *mode <= 0o777)
            .ok_or_else(|| format!("{} are no {WHAT}", raw.quoted()))
    }

    fn write(&self, value: &u32) -> String {
        quote(&format!("{value:04o}"))
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
    fn permissions() {
        for (text, mode) in [("0660", 0o660), ("600", 0o600), ("0777", 0o777)] {
            let read = from_word(&file_mode(), text);
            assert_eq!(read, Ok(mode));
            assert_eq!(there_and_back(&file_mode(), &mode), mode);
        }
        for wrong in ["", "0999", "1777", "+660", "rw-rw----"] {
            let read = from_word(&file_mode(), wrong);
            assert!(read.is_err_and(|why| why.contains("\"0660\"")), "{wrong}");
        }
        assert!(from_toml(&file_mode(), "660").is_err());
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
