//! Where in its repository a module lies, and which tags are its versions (protocol.md 6.2,
//! checklist 96, 103 and 110; cmd/go/internal/modfetch `newCodeRepo` and `findDir`).

use super::root::Root;
use crate::gomod::{ModulePath, Version, modfile, path, version};

/// Why a commit does not have the module. All of these mean that there is no such version.
#[allow(missing_docs, reason = "the messages say what is meant")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("the repository of {root} cannot contain the module {module}")]
    OutsideRoot { root: String, module: String },
    #[error("{first} and {second} both declare a module of {major}")]
    Both {
        first: String,
        second: String,
        major: String,
    },
    #[error("{file} is missing its module path")]
    NoModulePath { file: String },
    #[error("{file} has the malformed module path {found:?}")]
    MalformedPath { file: String, found: String },
    #[error("{file} declares the module {found:?}, which is not one of {wanted}")]
    WrongMajor {
        file: String,
        found: String,
        wanted: String,
    },
    #[error("there is no {file}")]
    Missing { file: String },
    #[error("there is neither {first} nor {second}")]
    MissingBoth { first: String, second: String },
}

/// A module in its repository. Paths of files and folders are those of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    path_major: String,
    dir: String,
    /// The folder of the major version, where the module may lie as well.
    major_dir: Option<String>,
    tag_prefix: String,
}

/// Where a module lies at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its folder; "" for the repository's root.
    pub dir: &'a str,
    /// Its go.mod; `None` where there is none and none is needed.
    pub go_mod: Option<&'a [u8]>,
}

impl Layout {
    /// Where to look for a module that comes from this root.
    pub fn new(module: &ModulePath, root: &Root) -> Result<Self, LayoutError> {
        let outside = || LayoutError::OutsideRoot {
            root: root.prefix.clone(),
            module: module.to_string(),
        };
        let is_root = root.prefix == module.as_str();
        let inner = if is_root {
            ""
        } else {
            below(module.prefix(), &root.prefix).ok_or_else(outside)?
        };
        let dir = join(inner, &root.subdir);
        let path_major = module.path_major().to_owned();
        let major_dir = path_major
            .strip_prefix('/')
            .filter(|_| !is_root)
            .map(|major| join(&dir, major));
        let tag_prefix = match dir.as_str() {
            "" => String::new(),
            dir => format!("{dir}/"),
        };
        Ok(Self {
            path_major,
            dir,
            major_dir,
            tag_prefix,
        })
    }

    /// The folder that the module's path names, its major suffix left out.
    pub fn dir(&self) -> &str {
        &self.dir
    }

    /// The major suffix of the module's path, which restricts its versions.
    pub fn path_major(&self) -> &str {
        &self.path_major
    }

    /// What the tags of its versions begin with; "" or ending in a slash.
    pub fn tag_prefix(&self) -> &str {
        &self.tag_prefix
    }

    /// The tag of a version. Pseudo-versions have none.
    pub fn tag(&self, version: &Version) -> Option<String> {
        let v = version.as_str();
        let plain = v.strip_suffix("+incompatible").unwrap_or(v);
        (!version::is_pseudo_version(v)).then(|| format!("{}{plain}", self.tag_prefix))
    }

    /// What a tag says about the module: itself without the prefix, or nothing.
    pub fn of_tag<'a>(&self, tag: &'a str) -> Option<&'a str> {
        tag.strip_prefix(&self.tag_prefix)
    }

    /// The go.mod files to read at a commit, in the order in which [`find`](Self::find) takes them.
    pub fn go_mods(&self) -> (String, Option<String>) {
        let second = self.major_dir.as_deref().map(|dir| join(dir, "go.mod"));
        (join(&self.dir, "go.mod"), second)
    }

    /// Whether a module without a go.mod could be here: at the root of its repository, without
    /// suffix or with one of gopkg.in.
    fn may_be_legacy(&self) -> bool {
        self.dir.is_empty() && !self.path_major.starts_with('/')
    }

    /// Finds the module at a commit, given its [`go_mods`](Self::go_mods), absent ones as `None`.
    /// Of the path that a go.mod declares only the major version matters: forks are served under
    /// other names.
    pub fn find<'a>(
        &'a self,
        first: Option<&'a [u8]>,
        second: Option<&'a [u8]>,
    ) -> Result<Found<'a>, LayoutError> {
        let (first_file, second_file) = self.go_mods();
        let found = |dir, go_mod| {
            Ok(Found {
                dir,
                go_mod: Some(go_mod),
            })
        };
        let first = first.map(|body| (body, self.judge(&first_file, body)));
        if let (Some(dir), Some(file), Some(body)) = (&self.major_dir, &second_file, second) {
            return match (&first, self.judge(file, body)) {
                (Some((_, Ok(()))), Ok(())) => Err(LayoutError::Both {
                    first: first_file,
                    second: file.clone(),
                    major: self.wanted(),
                }),
                (_, Ok(())) => found(dir, body),
                (_, Err(error)) => Err(error),
            };
        }
        match (first, second_file) {
            (Some((body, Ok(()))), _) => found(&self.dir, body),
            (Some((_, Err(error))), _) => Err(error),
            (None, _) if self.may_be_legacy() => Ok(Found {
                dir: "",
                go_mod: None,
            }),
            (None, None) => Err(LayoutError::Missing { file: first_file }),
            (None, Some(second)) => Err(LayoutError::MissingBoth {
                first: first_file,
                second,
            }),
        }
    }

    fn wanted(&self) -> String {
        match path::path_major_prefix(&self.path_major) {
            "" => "v0 or v1".to_owned(),
            major => major.to_owned(),
        }
    }

    /// Whether a go.mod can be that of this module, by the major version of the path in it
    /// (`isMajor`).
    fn judge(&self, file: &str, body: &[u8]) -> Result<(), LayoutError> {
        let file = || file.to_owned();
        let Some(declared) = modfile::module_line(body).filter(|path| !path.is_empty()) else {
            return Err(LayoutError::NoModulePath { file: file() });
        };
        // golang.org/issue/34254: such paths once passed, and still do.
        if self.path_major.is_empty() && declared.starts_with("gopkg.in/") {
            return Ok(());
        }
        let shown = |path: String| path.chars().take(200).collect();
        let Some((_, major)) = path::split_path_version(&declared) else {
            return Err(LayoutError::MalformedPath {
                file: file(),
                found: shown(declared),
            });
        };
        let fits = match self.path_major.get(1..) {
            None => matches!(path::path_major_prefix(major), "" | "v0" | "v1"),
            // A slash or a dot in front makes no difference.
            Some(wanted) => major.get(1..) == Some(wanted),
        };
        if fits {
            return Ok(());
        }
        Err(LayoutError::WrongMajor {
            file: file(),
            found: shown(declared),
            wanted: self.wanted(),
        })
    }
}

/// What follows a prefix of whole elements, without slashes around it.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    let whole = rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/');
    whole.then(|| rest.trim_matches('/'))
}

fn join(dir: &str, name: &str) -> String {
    match (dir, name) {
        ("", name) => name.to_owned(),
        (dir, "") => dir.to_owned(),
        (dir, name) => format!("{dir}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vcs::{Allowed, RepoUrl, Vcs};
    use proptest::prelude::*;

    fn layout(module: &str, prefix: &str, subdir: &str) -> Result<Layout, LayoutError> {
        let root = Root {
            prefix: prefix.to_owned(),
            vcs: Vcs::Git,
            url: RepoUrl::parse("https://x.com/r", Allowed::default()).unwrap(),
            subdir: subdir.to_owned(),
        };
        Layout::new(&ModulePath::parse(module).unwrap(), &root)
    }

    /// What the `go` command's own code (1.26) says of modules, roots and pairs of go.mod files.
    const VECTORS: &str = include_str!("testdata/layout.txt");

    #[test]
    fn c103_c110_as_go_says() {
        let mut cases = 0;
        for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<_> = line.split('\t').collect();
            let [module, prefix, subdir, first, second, expected] = fields[..] else {
                panic!("{line}");
            };
            let file = |body: &'static str| (body != "-").then_some(body.as_bytes());
            let said = match layout(module, prefix, subdir) {
                Err(_) => "outside".to_owned(),
                Ok(layout) => match layout.find(file(first), file(second)) {
                    Ok(found) => {
                        let at = layout.tag_prefix();
                        let (has, dir) = (found.go_mod.is_some(), found.dir);
                        format!("ok tags={at:?} dir={dir:?} has={has}")
                    }
                    Err(LayoutError::OutsideRoot { .. }) => panic!("{line}"),
                    Err(LayoutError::Both { .. }) => "both".to_owned(),
                    Err(LayoutError::NoModulePath { file }) => format!("nopath {file}"),
                    Err(LayoutError::MalformedPath { file, .. }) => format!("wrong {file}"),
                    Err(LayoutError::WrongMajor { file, .. }) => format!("wrong {file}"),
                    Err(LayoutError::Missing { .. }) => "missing".to_owned(),
                    Err(LayoutError::MissingBoth { .. }) => "missing both".to_owned(),
                },
            };
            assert_eq!(said, expected, "{line}");
            cases += 1;
        }
        assert!(cases > 500, "{cases}");
    }

    #[test]
    fn c96_tags() {
        let version = |v: &str| Version::parse(v).unwrap();
        let inner = layout("example.com/r/a/b/v2", "example.com/r", "").unwrap();
        assert_eq!(inner.tag(&version("v2.1.0")).as_deref(), Some("a/b/v2.1.0"));
        assert_eq!(inner.of_tag("a/b/v2.1.0"), Some("v2.1.0"));
        assert_eq!(inner.of_tag("v2.1.0"), None);
        assert_eq!(inner.of_tag("a/bv2.1.0"), None);
        assert_eq!(
            inner.go_mods(),
            ("a/b/go.mod".into(), Some("a/b/v2/go.mod".into()))
        );
        let root = layout("example.com/r", "example.com/r", "").unwrap();
        assert_eq!(
            root.tag(&version("v2.0.0+incompatible")).as_deref(),
            Some("v2.0.0")
        );
        assert_eq!(
            root.tag(&version("v0.0.0-20240301045959-abcdef123456")),
            None
        );
        assert_eq!(root.of_tag("v1"), Some("v1"));
        let whole = layout("example.com/r/v2", "example.com/r/v2", "src").unwrap();
        assert_eq!((whole.dir(), whole.path_major()), ("src", "/v2"));
        assert_eq!(whole.go_mods(), ("src/go.mod".into(), None));
    }

    #[test]
    fn errors_say_where_to_look() {
        let layout = layout("example.com/r/a/v2", "example.com/r", "").unwrap();
        let error = |first, second| layout.find(first, second).unwrap_err().to_string();
        assert_eq!(
            error(None, None),
            "there is neither a/go.mod nor a/v2/go.mod"
        );
        assert_eq!(
            error(Some(b"module x.com/y"), None),
            "a/go.mod declares the module \"x.com/y\", which is not one of v2"
        );
        let v2: &[u8] = b"module x.com/y/v2";
        assert_eq!(
            error(Some(v2), Some(v2)),
            "a/go.mod and a/v2/go.mod both declare a module of v2"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_go_mods_never_panic(first in "\\PC{0,30}", second in proptest::option::of("module [a-z./v0-9]{0,12}")) {
            for (module, prefix) in [("x.com/r/v2", "x.com/r"), ("x.com/r", "x.com/r"), ("gopkg.in/r.v1", "gopkg.in/r.v1")] {
                let layout = layout(module, prefix, "").unwrap();
                let second = second.as_ref().map(|body| body.as_bytes());
                let _ = layout.find(Some(first.as_bytes()), second);
            }
        }
    }
}
