//! Names of what is kept as files. Each lies in a namespace, a folder of the data directory: another kind of thing to keep
//! is another namespace with a variant of [`BlobName`], and nothing below has to know it.

use std::fmt;
use std::sync::Arc;

use crate::gomod::{ModulePath, Version};
use crate::protocol::{FileKey, Kind};

/// A folder of the data directory, in which names of one kind are. `git/` belongs to `vcs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// The layout of the Go command's download cache (protocol.md 1.5), so that the folder serves as `GOPROXY=file://…`.
    Modules,
    /// Tiles of checksum databases, a folder for each database.
    Sumdb,
}

impl Namespace {
    /// The folder's name.
    pub fn folder(self) -> &'static str {
        match self {
            Namespace::Modules => "modules",
            Namespace::Sumdb => "sumdb",
        }
    }
}

/// The name of something kept as a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BlobName {
    /// `modules/MODULE/@v/VERSION.info`, `.mod`, `.zip`
    File(FileKey),
    /// `modules/MODULE/@v/VERSION.ziphash`: the h1 of the zip, 47 bytes without newline.
    ZipHash(ModulePath, Version),
    /// `modules/MODULE/@v/list`
    List(ModulePath),
    /// `modules/MODULE/@v/list.next`: the list that is being recorded, before it takes the place of the one before.
    NextList(ModulePath),
    /// `sumdb/DATABASE/tile/…`
    Tile(TileName),
}

/// The name of a checksum database's tile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TileName {
    /// The database's folder, `/` and the path below it.
    path: Arc<str>,
}

/// Where the tiles of records are, below a database's folder.
pub const RECORD_TILES: &str = "tile/8/data";

impl TileName {
    /// `folder` is the database's name as one element of a path. `None` if either would lead elsewhere.
    pub fn new(folder: &str, path: &str) -> Option<Self> {
        let is_element = |text: &str| !text.is_empty() && !text.starts_with('.');
        let is_safe = |text: &str| !text.contains(['\0', '\\']) && text.len() <= 1000;
        let fits = is_element(folder)
            && !folder.contains('/')
            && path.split('/').all(is_element)
            && is_safe(folder)
            && is_safe(path);
        fits.then(|| TileName {
            path: format!("{folder}/{path}").into(),
        })
    }

    /// Whether it has records: no `go` command asks for these.
    pub fn has_records(&self) -> bool {
        let below = self.path.split_once('/').map(|(_, below)| below);
        below
            .and_then(|below| below.strip_prefix(RECORD_TILES))
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

impl BlobName {
    /// Where it lies.
    pub fn namespace(&self) -> Namespace {
        match self {
            BlobName::File(_)
            | BlobName::ZipHash(..)
            | BlobName::List(_)
            | BlobName::NextList(_) => Namespace::Modules,
            BlobName::Tile(_) => Namespace::Sumdb,
        }
    }

    /// The hash of a zip.
    pub fn zip_hash(zip: &FileKey) -> Self {
        BlobName::ZipHash(zip.module.clone(), zip.version.clone())
    }

    /// Reads a path below the folder of a namespace back.
    pub fn parse(namespace: Namespace, path: &str) -> Option<Self> {
        match namespace {
            Namespace::Sumdb => {
                let (folder, below) = path.split_once('/')?;
                Some(BlobName::Tile(TileName::new(folder, below)?))
            }
            Namespace::Modules => {
                if let Some(module) = path.strip_suffix("/@v/list") {
                    return Some(BlobName::List(ModulePath::unescape(module).ok()?));
                }
                if let Some(module) = path.strip_suffix("/@v/list.next") {
                    return Some(BlobName::NextList(ModulePath::unescape(module).ok()?));
                }
                match path.strip_suffix("hash") {
                    Some(zip) => {
                        let zip = FileKey::from_path(zip)?;
                        (zip.kind == Kind::Zip).then(|| BlobName::zip_hash(&zip))
                    }
                    None => FileKey::from_path(path).map(BlobName::File),
                }
            }
        }
    }
}

impl From<&FileKey> for BlobName {
    fn from(key: &FileKey) -> Self {
        BlobName::File(key.clone())
    }
}

/// The path below the folder of its namespace.
impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlobName::File(key) => key.fmt(f),
            BlobName::ZipHash(module, version) => {
                let (module, version) = (module.escaped(), version.escaped());
                write!(f, "{module}/@v/{version}.ziphash")
            }
            BlobName::List(module) => write!(f, "{}/@v/list", module.escaped()),
            BlobName::NextList(module) => write!(f, "{}/@v/list.next", module.escaped()),
            BlobName::Tile(tile) => f.write_str(&tile.path),
        }
    }
}

/// Whether a file in a module's folder of versions has a name that the `go` command gives there.
pub fn is_of_versions(name: &str) -> bool {
    let ends = |end: &&str| name.len() > end.len() && name.ends_with(end);
    name == "list" || [".info", ".mod", ".zip", ".ziphash"].iter().any(ends)
}

/// Whether a path below the modules folder that is no [`BlobName`] is all the same one that the layout has.
pub fn is_of_layout(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    // The go command keeps what it knows of checksum databases in the same folder; and there may be temporary files here.
    if first == "sumdb" || first.starts_with('.') {
        return true;
    }
    let Some((module, file)) = path.rsplit_once("/@v/") else {
        return false;
    };
    // The last two are what the go command keeps of branches and such.
    let ending = file.rsplit_once('.').map(|(_, ending)| ending);
    let is_known = matches!(
        ending,
        Some("ziphash" | "lock" | "partial" | "info" | "mod")
    );
    is_known && ModulePath::unescape(module).is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    fn modules(path: &str) -> Option<BlobName> {
        BlobName::parse(Namespace::Modules, path)
    }

    #[test]
    fn c32_paths_are_escaped_and_read_back() {
        let path = "github.com/!burnt!sushi/toml/@v/v1.0.0-!r!c1.zip";
        let Some(BlobName::File(key)) = modules(path) else {
            panic!("the path of a file");
        };
        assert_eq!(key.module.as_str(), "github.com/BurntSushi/toml");
        assert_eq!(BlobName::from(&key).to_string(), path);
        for other in [
            "github.com/BurntSushi/toml/@v/v1.0.0.zip",
            "example.com/m/@v/master.info",
            "example.com/m/@v/v2.0.0.info",
            "example.com/m/@v/v1.0.0.lock",
            "example.com/m/@v/../../v1.0.0.info",
            "../example.com/m/@v/v1.0.0.info",
            "/etc/m/@v/v1.0.0.info",
        ] {
            assert_eq!(modules(other), None, "{other}");
        }
    }

    #[test]
    fn what_lies_beside_the_files_of_versions() {
        let module = ModulePath::parse("example.com/Upper").unwrap();
        let list = modules("example.com/!upper/@v/list");
        assert_eq!(list, Some(BlobName::List(module)));
        for (path, known) in [
            ("example.com/m/@v/list.lock", true),
            ("example.com/m/@v/v1.0.0.ziphash", true),
            ("example.com/m/@v/v1.0.0.lock", true),
            ("example.com/m/@v/master.info", true),
            ("sumdb/sum.golang.org/lookup/a", true),
            (".larder-tmp/larder-1-1.tmp", true),
            ("example.com/m/v1.0.0/source.zip", false),
            ("example.com/m/v1.0.0/v1.0.0.info", false),
            ("example.com/Upper/@v/list", false),
            ("list", false),
        ] {
            assert_eq!(is_of_layout(path), known, "{path}");
        }
    }

    #[test]
    fn tiles_of_records_are_known() {
        let tile = |path| TileName::new("sum.test", path);
        for one in ["tile/8/data/000", "tile/8/data/x001/234"] {
            assert!(tile(one).unwrap().has_records(), "{one}");
        }
        for other in ["tile/8/0/000", "tile/8/database", "data/000", "x"] {
            assert!(!tile(other).unwrap().has_records(), "{other}");
        }
        assert_eq!(TileName::new("sum.test/x", "tile/8/0/000"), None);
        assert_eq!(TileName::new("..", "tile/8/0/000"), None);
        assert_eq!(tile("tile/../../../layout"), None);
    }

    /// A name, of text that is often one.
    fn any_path() -> impl Strategy<Value = String> {
        let module = prop_oneof![
            "[a-z]{1,3}\\.[a-z]{2}(/[a-zA-Z0-9._~-]{1,6}){0,3}",
            Just("example.com/Upper/v2".to_owned()),
            "[./a]{1,8}",
        ];
        let file = prop_oneof![
            "list(\\.next)?",
            "v[0-2]\\.[0-9]\\.[0-9](-[a-zA-Z]{1,4})?\\.(info|mod|zip|ziphash|lock)",
            "[./a-z]{1,8}",
        ];
        (module, file).prop_map(|(module, file)| {
            let escaped = ModulePath::parse(&module).map(|path| path.escaped().into_owned());
            format!("{}/@v/{file}", escaped.unwrap_or(module))
        })
    }

    fn stays_inside(name: &BlobName) -> bool {
        let text = name.to_string();
        let path = Path::new(&text);
        path.components()
            .all(|part| matches!(part, Component::Normal(_)))
            && path.components().count() == text.split('/').count()
    }

    proptest! {
        #[test]
        fn a_name_is_its_path_and_leads_nowhere_else(path in any_path()) {
            if let Some(name) = modules(&path) {
                prop_assert_eq!(name.to_string(), path);
                prop_assert_eq!(name.namespace(), Namespace::Modules);
                prop_assert!(stays_inside(&name));
            }
        }

        #[test]
        fn every_file_of_a_version_is_read_back(
            module in "[a-z]{1,5}\\.[a-z]{2}(/[a-zA-Z0-9_~-]{1,6}){0,3}",
            version in "v[01]\\.[0-9]{1,2}\\.[0-9](-[a-zA-Z]{1,4})?",
        ) {
            let (Ok(module), Ok(version)) = (ModulePath::parse(&module), Version::parse(&version)) else {
                return Ok(());
            };
            prop_assume!(version.fits(&module));
            let names = Kind::ALL.map(|kind| {
                BlobName::File(FileKey { module: module.clone(), version: version.clone(), kind })
            });
            let others = [
                BlobName::ZipHash(module.clone(), version),
                BlobName::NextList(module.clone()),
                BlobName::List(module),
            ];
            for name in names.into_iter().chain(others) {
                prop_assert_eq!(modules(&name.to_string()), Some(name));
            }
        }

        #[test]
        fn a_tile_lies_in_the_folder_of_its_database(
            folder in "[./a-z%]{0,6}", path in "[./a-z0-9]{0,12}",
        ) {
            if let Some(tile) = TileName::new(&folder, &path) {
                let name = BlobName::Tile(tile);
                prop_assert!(stays_inside(&name));
                let own = format!("{folder}/");
                prop_assert!(name.to_string().starts_with(&own));
                prop_assert_eq!(BlobName::parse(Namespace::Sumdb, &name.to_string()), Some(name));
            }
        }
    }
}
