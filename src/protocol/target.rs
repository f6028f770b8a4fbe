//! A request path, read once: after this a module path or version cannot be invalid.

use std::fmt;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::gomod::{ModulePath, Rev, RevName, Version};

/// The immutable files of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `V.info`
    Info,
    /// `V.mod`
    Mod,
    /// `V.zip`
    Zip,
}

impl Kind {
    /// All kinds, in the order a client asks for them.
    pub const ALL: [Kind; 3] = [Kind::Info, Kind::Mod, Kind::Zip];

    /// The file's ending, without the dot.
    pub fn ext(self) -> &'static str {
        match self {
            Kind::Info => "info",
            Kind::Mod => "mod",
            Kind::Zip => "zip",
        }
    }

    /// The kind written with this ending.
    pub fn from_ext(ext: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.ext() == ext)
    }
}

/// One immutable file: what it is never changes, so what is kept of it has no age.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    pub module: ModulePath,
    /// A canonical version that can exist for this module path.
    pub version: Version,
    /// Which of its files.
    pub kind: Kind,
}

impl FileKey {
    /// What it is, for people.
    pub fn describe(&self) -> String {
        let FileKey {
            module,
            version,
            kind,
        } = self;
        match kind {
            Kind::Info => format!("{module}@{version}"),
            Kind::Mod => format!("{module}@{version}/go.mod"),
            Kind::Zip => format!("{module}@{version} (zip)"),
        }
    }

    /// The same version's file of another kind.
    pub fn sibling(&self, kind: Kind) -> FileKey {
        FileKey {
            kind,
            ..self.clone()
        }
    }

    /// Reads back what `Display` writes.
    pub fn from_path(path: &str) -> Option<Self> {
        let (module, file) = path.rsplit_once("/@v/")?;
        let (version, ext) = file.rsplit_once('.')?;
        let kind = Kind::from_ext(ext)?;
        let module = ModulePath::unescape(module).ok()?;
        let Rev::Version(version) = Rev::unescape(version).ok()? else {
            return None;
        };
        version.fits(&module).then_some(FileKey {
            module,
            version,
            kind,
        })
    }
}

/// What may be different when it is asked for again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Meta {
    /// `@v/list`
    List,
    /// `@latest`
    Latest,
    /// `@v/NAME.info` for a branch, tag, commit or version prefix.
    Query(RevName),
}

/// A module's changing answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetaKey {
    pub module: ModulePath,
    /// Which answer.
    pub meta: Meta,
}

impl MetaKey {
    /// What it is, for people.
    pub fn describe(&self) -> String {
        let module = &self.module;
        match &self.meta {
            Meta::List => format!("{module} (version list)"),
            Meta::Latest => format!("{module}@latest"),
            Meta::Query(name) => format!("{module}@{name}"),
        }
    }

    /// Reads back what `Display` writes.
    pub fn from_path(path: &str) -> Option<Self> {
        let (module, meta) = match path.strip_suffix("/@latest") {
            Some(module) => (module, Meta::Latest),
            None => {
                let (module, file) = path.rsplit_once("/@v/")?;
                let meta = match file.strip_suffix(".info") {
                    None if file == "list" => Meta::List,
                    None => return None,
                    Some(name) => match Rev::unescape(name).ok()? {
                        Rev::Name(name) => Meta::Query(name),
                        Rev::Version(_) => return None,
                    },
                };
                (module, meta)
            }
        };
        let module = ModulePath::unescape(module).ok()?;
        Some(MetaKey { module, meta })
    }
}

/// Everything that can be asked of a module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Immutable.
    File(FileKey),
    /// With an age.
    Meta(MetaKey),
}

impl Key {
    /// The module asked about.
    pub fn module(&self) -> &ModulePath {
        match self {
            Key::File(file) => &file.module,
            Key::Meta(meta) => &meta.module,
        }
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        match self {
            Key::File(file) => file.describe(),
            Key::Meta(meta) => meta.describe(),
        }
    }
}

impl From<FileKey> for Key {
    fn from(file: FileKey) -> Self {
        Key::File(file)
    }
}

impl From<MetaKey> for Key {
    fn from(meta: MetaKey) -> Self {
        Key::Meta(meta)
    }
}

/// The bang-escaped path below a GOPROXY base URL; also the name in the index and, for files, on disk.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::File(file) => file.fmt(f),
            Key::Meta(meta) => meta.fmt(f),
        }
    }
}

impl fmt::Display for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/@v/{}.{}",
            self.module.escaped(),
            self.version.escaped(),
            self.kind.ext()
        )
    }
}

impl fmt::Display for MetaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = self.module.escaped();
        match &self.meta {
            Meta::List => write!(f, "{module}/@v/list"),
            Meta::Latest => write!(f, "{module}/@latest"),
            Meta::Query(name) => write!(f, "{module}/@v/{}.info", name.escaped()),
        }
    }
}

/// What a request path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Something of a module.
    Module(Key),
    /// Something of a checksum database: the path after `sumdb/`, percent-decoded.
    SumDb(String),
}

/// Why a path asks for nothing that can exist. Answered 404 without asking anybody.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadTarget {
    /// Not of the protocol's form at all.
    #[error(
        "this path is not part of the GOPROXY protocol (see https://go.dev/ref/mod#goproxy-protocol)"
    )]
    NotProtocol,
    /// Percent-encoding that hides a slash or is not UTF-8.
    #[error("the path's percent-encoding is not valid here: {0}")]
    Encoding(&'static str),
    /// The module path breaks the rules.
    #[error("malformed module path: {0}")]
    Module(String),
    /// The version breaks the rules.
    #[error("malformed version: {0}")]
    Version(String),
    /// A version that cannot exist for this module path.
    #[error(
        "version {version} cannot be one of module {module}: its major version does not fit the module path"
    )]
    Unfit { module: String, version: String },
    /// `.mod` and `.zip` exist for canonical versions only.
    #[error("{0:?} is not a canonical version; .mod and .zip exist for canonical versions only")]
    NotCanonical(String),
}

/// Reads the path of a request below the base URL: `path` is raw (still percent-encoded) and starts with `/`.
///
/// Rules: protocol.md 1.1 and 2.5. It is decoded exactly once, `+` stays `+`, and an encoded slash is refused.
pub fn parse(path: &str) -> Result<Target, BadTarget> {
    let raw = path.strip_prefix('/').ok_or(BadTarget::NotProtocol)?;
    let path = decode_once(raw)?;
    if let Some(rest) = path.strip_prefix("sumdb/") {
        return Ok(Target::SumDb(rest.to_owned()));
    }
    if let Some(module) = path.strip_suffix("/@latest") {
        return Ok(Target::Module(
            MetaKey {
                module: module_path(module)?,
                meta: Meta::Latest,
            }
            .into(),
        ));
    }
    let (module, file) = path.rsplit_once("/@v/").ok_or(BadTarget::NotProtocol)?;
    if file == "list" {
        return Ok(Target::Module(
            MetaKey {
                module: module_path(module)?,
                meta: Meta::List,
            }
            .into(),
        ));
    }
    let (version, ext) = file.rsplit_once('.').ok_or(BadTarget::NotProtocol)?;
    let kind = Kind::from_ext(ext).ok_or(BadTarget::NotProtocol)?;
    let module = module_path(module)?;
    let rev = Rev::unescape(version).map_err(|error| BadTarget::Version(error.to_string()))?;
    Ok(Target::Module(key(module, rev, kind)?))
}

/// A canonical version that fits its module is a file; for `.info` everything else is a query, which upstream may
/// well resolve (`v2.0.0` of a module without go.mod is `v2.0.0+incompatible`, protocol.md 1.2).
fn key(module: ModulePath, rev: Rev, kind: Kind) -> Result<Key, BadTarget> {
    match (rev, kind) {
        (Rev::Version(version), _) if version.fits(&module) => Ok(FileKey {
            module,
            version,
            kind,
        }
        .into()),
        (Rev::Version(version), Kind::Info) => Ok(MetaKey {
            module,
            meta: Meta::Query(RevName::from(version)),
        }
        .into()),
        (Rev::Name(name), Kind::Info) => Ok(MetaKey {
            module,
            meta: Meta::Query(name),
        }
        .into()),
        (Rev::Version(version), _) => Err(BadTarget::Unfit {
            module: module.as_str().to_owned(),
            version: version.as_str().to_owned(),
        }),
        (Rev::Name(name), _) => Err(BadTarget::NotCanonical(name.as_str().to_owned())),
    }
}

fn module_path(escaped: &str) -> Result<ModulePath, BadTarget> {
    ModulePath::unescape(escaped).map_err(|error| BadTarget::Module(error.to_string()))
}

fn decode_once(raw: &str) -> Result<std::borrow::Cow<'_, str>, BadTarget> {
    let bytes = raw.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'%' {
            let hex = bytes
                .get(at + 1..at + 3)
                .ok_or(BadTarget::Encoding("a lone %"))?;
            if !hex.iter().all(u8::is_ascii_hexdigit) {
                return Err(BadTarget::Encoding("% without two hexadecimal digits"));
            }
            if hex.eq_ignore_ascii_case(b"2f") {
                return Err(BadTarget::Encoding("an encoded slash"));
            }
        }
    }
    percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| BadTarget::Encoding("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str) -> String {
        match parse(path) {
            Ok(Target::Module(key)) => key.to_string(),
            Ok(Target::SumDb(rest)) => format!("sumdb {rest}"),
            Err(error) => format!("error {error}"),
        }
    }

    #[test]
    fn c26_bang_and_percent_21_are_the_same() {
        let want = "github.com/!burnt!sushi/toml/@v/list";
        assert_eq!(shown("/github.com/%21burnt%21sushi/toml/@v/list"), want);
        assert_eq!(shown("/github.com/!burnt!sushi/toml/@v/list"), want);
    }

    #[test]
    fn c29_plus_is_a_plus() {
        let want = "example.com/m/@v/v2.0.0+incompatible.zip";
        assert_eq!(shown("/example.com/m/@v/v2.0.0+incompatible.zip"), want);
        assert_eq!(shown("/example.com/m/@v/v2.0.0%2Bincompatible.zip"), want);
    }

    #[test]
    fn c30_c31_hostile_paths_are_errors() {
        for path in [
            "/example.com/../m/@v/list",
            "/example.com/%2e%2e/m/@v/list",
            "/example.com%2fm/@v/list",
            "/example.com//m/@v/list",
            "/example.com/m%00/@v/list",
            "/example.com/m\\n/@v/list",
            "/example.com/%ff/@v/list",
            "/example.com/%2521a/@v/list",
            "/example.com/m%/@v/list",
            "/example.com/m/@v/v1.0.0.exe",
            "/example.com/m/@v/",
            "/",
            "",
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn c18_only_canonical_fitting_versions_have_files() {
        assert!(matches!(
            parse("/example.com/m/@v/master.zip"),
            Err(BadTarget::NotCanonical(_))
        ));
        assert!(matches!(
            parse("/example.com/m/@v/v1.mod"),
            Err(BadTarget::NotCanonical(_))
        ));
        assert!(matches!(
            parse("/example.com/m/@v/v2.0.0.mod"),
            Err(BadTarget::Unfit { .. })
        ));
        assert!(matches!(
            parse("/example.com/m/v2/@v/v1.0.0.zip"),
            Err(BadTarget::Unfit { .. })
        ));
    }

    #[test]
    fn c07_a_version_that_does_not_fit_is_a_query() {
        let Ok(Target::Module(Key::Meta(meta))) = parse("/example.com/m/@v/v2.0.0.info") else {
            panic!("not a query");
        };
        assert!(matches!(meta.meta, Meta::Query(_)));
        assert_eq!(meta.to_string(), "example.com/m/@v/v2.0.0.info");
    }

    #[test]
    fn sumdb_paths_are_kept_whole() {
        assert_eq!(
            shown("/sumdb/sum.golang.org/lookup/rsc.io/%21q@v1.0.0"),
            "sumdb sum.golang.org/lookup/rsc.io/!q@v1.0.0"
        );
    }
}
