//! Names of files on disk.

use std::path::{Path, PathBuf};

use crate::gomod::ModulePath;
use crate::protocol::FileKey;

/// A file's place below the modules folder: the layout of the Go command's download cache (protocol.md 1.5).
pub fn file_path(root: &Path, key: &FileKey) -> PathBuf {
    let mut path = version_dir(root, &key.module);
    path.push(format!("{}.{}", key.version.escaped(), key.kind.ext()));
    path
}

/// The place of a zip's h1, 47 bytes without newline.
pub fn ziphash_path(root: &Path, key: &FileKey) -> PathBuf {
    let mut path = version_dir(root, &key.module);
    path.push(format!("{}.ziphash", key.version.escaped()));
    path
}

/// The folder of a module's versions.
pub fn version_dir(root: &Path, module: &ModulePath) -> PathBuf {
    let mut path = root.join(&*module.escaped());
    path.push("@v");
    path
}

/// Whether it is the name of a file in a module's folder of versions, in a module cache.
pub fn is_of_versions(name: &str) -> bool {
    let ends = |end: &&str| name.len() > end.len() && name.ends_with(end);
    name == "list" || [".info", ".mod", ".zip", ".ziphash"].iter().any(ends)
}

/// Reads a path below the modules folder back; `None` if it is not a file of a version.
pub fn parse_file(relative: &Path) -> Option<FileKey> {
    FileKey::from_path(relative.to_str()?)
}

/// What a file below the modules folder is, other than a file of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beside {
    /// A module's list of versions.
    List(ModulePath),
    /// Something else that the layout has, and that needs no record.
    Known,
    /// Nothing that the layout has.
    Unknown,
}

/// Says what a file is that [`parse_file`] does not know.
pub fn parse_beside(relative: &Path) -> Beside {
    // The go command keeps what it knows of checksum databases in the same folder; and we may keep temporary files here.
    let first = relative.components().next().map(|first| first.as_os_str());
    let first = first.and_then(|first| first.to_str()).unwrap_or("");
    if first == "sumdb" || first.starts_with('.') {
        return Beside::Known;
    }
    let Some((module, file)) = relative.to_str().and_then(|text| text.rsplit_once("/@v/")) else {
        return Beside::Unknown;
    };
    let Ok(module) = ModulePath::unescape(module) else {
        return Beside::Unknown;
    };
    match file {
        "list" => Beside::List(module),
        "list.lock" => Beside::Known,
        // The last two are what the go command keeps of branches and such.
        _ => match file.rsplit_once('.') {
            Some((_, "ziphash" | "lock" | "partial" | "info" | "mod")) => Beside::Known,
            _ => Beside::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c32_paths_are_escaped_and_read_back() {
        let path = Path::new("github.com/!burnt!sushi/toml/@v/v1.0.0-!r!c1.zip");
        let key = parse_file(path).unwrap();
        assert_eq!(key.module.as_str(), "github.com/BurntSushi/toml");
        assert_eq!(file_path(Path::new(""), &key), path);
        assert!(parse_file(Path::new("github.com/BurntSushi/toml/@v/v1.0.0.zip")).is_none());
        assert!(parse_file(Path::new("example.com/m/@v/master.info")).is_none());
        assert!(parse_file(Path::new("example.com/m/@v/list")).is_none());
    }

    #[test]
    fn what_lies_beside_the_files_of_versions() {
        let module = ModulePath::parse("example.com/Upper").unwrap();
        for (path, beside) in [
            ("example.com/!upper/@v/list", Beside::List(module)),
            ("example.com/m/@v/list.lock", Beside::Known),
            ("example.com/m/@v/v1.0.0.ziphash", Beside::Known),
            ("example.com/m/@v/v1.0.0.lock", Beside::Known),
            ("example.com/m/@v/master.info", Beside::Known),
            ("sumdb/sum.golang.org/lookup/a", Beside::Known),
            ("example.com/m/v1.0.0/source.zip", Beside::Unknown),
            ("example.com/m/v1.0.0/v1.0.0.info", Beside::Unknown),
            ("example.com/Upper/@v/list", Beside::Unknown),
            ("list", Beside::Unknown),
        ] {
            assert_eq!(parse_beside(Path::new(path)), beside, "{path}");
        }
    }
}
