//! Which files of a module's folder go into its zip (protocol.md 5 "Creation", checklist 113 to
//! 115; x/mod/zip `checkFiles`).
//!
//! Folders of version control (`.git` and the like) are not left out here: trees of commits never
//! have them.

use std::collections::HashSet;
use std::io;

use super::super::modfile;
use super::error::EntryName;
use super::names::Names;
use super::{ZipError, ZipLimits};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A plain file, executable or not.
    Regular,
    /// A symbolic link.
    Symlink,
    /// Anything else but a directory; those are no files here.
    Other,
}

/// A file that may go into the zip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its path in the module's folder, with slashes.
    pub path: &'a [u8],
    pub kind: FileKind,
    /// Its size, for regular files.
    pub size: u64,
}

/// Why no zip can be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// x/mod/zip `errPathNotClean`.
    #[error("{name}: the file path is not clean")]
    NotClean {
        /// The path.
        name: EntryName,
    },
    /// x/mod/zip `errPathNotRelative`.
    #[error("{name}: the file path is not relative")]
    NotRelative {
        /// The path.
        name: EntryName,
    },
    /// A rule that holds for every module zip.
    #[error(transparent)]
    Rule(#[from] ZipError),
    /// The source of a file is at fault.
    #[error("{name} does not have the declared size of {declared} bytes")]
    WrongSize {
        /// The path.
        name: EntryName,
        /// What was said.
        declared: u64,
    },
    /// Reading a file or writing the zip failed; says nothing about the module.
    #[error("the module zip could not be written: {0}")]
    Io(#[from] io::Error),
}

/// Which candidates go into the zip, by their places in `files`, in their order. `go_mod` is the
/// content of the go.mod among them, whose `go` line decides about vendored packages.
pub fn select_files(
    files: &[Candidate<'_>],
    go_mod: Option<&[u8]>,
) -> Result<Vec<usize>, CreateError> {
    let modules: HashSet<&[u8]> = files
        .iter()
        .filter(|file| file.kind == FileKind::Regular)
        .filter_map(|file| {
            let (dir, base) = split(file.path);
            base.eq_ignore_ascii_case(b"go.mod").then_some(dir)
        })
        .collect();
    let is_go_mod = |file: &Candidate<'_>| file.path == b"go.mod" && file.kind == FileKind::Regular;
    let exact = go_mod
        .filter(|_| files.iter().any(is_go_mod))
        .is_some_and(is_since_1_24);

    let mut names = Names::new(String::new(), files.len(), &ZipLimits::GO);
    let mut chosen = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let path = file.path;
        let shown = || EntryName::new(path);
        if !is_clean(path) {
            return Err(CreateError::NotClean { name: shown() });
        }
        if path.starts_with(b"/") {
            return Err(CreateError::NotRelative { name: shown() });
        }
        let omitted = is_vendored(path, exact)
            || is_in_other_module(path, &modules)
            // What `hg archive` adds; go drops it whatever the repository is.
            || path == b".hg_archival.txt";
        if omitted {
            continue;
        }
        if names.admit(path, file.kind == FileKind::Regular, file.size)? {
            chosen.push(at);
        }
    }
    Ok(chosen)
}

/// Whether the zip gets a copy of the `LICENSE` in the repository's root: if the module lies in a
/// folder below it and has nothing of that name, links included. It is one more candidate then,
/// the last, and the content is that of the blob even where that is a link
/// (cmd/go/internal/modfetch `Zip`).
pub fn wants_root_license(dir: &str, files: &[Candidate<'_>]) -> bool {
    !dir.is_empty() && !files.iter().any(|file| file.path == b"LICENSE")
}

/// The folder of a path with its slash, and the last element.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let dir = path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    path.split_at(dir)
}

/// Whether Go's `path.Clean` would leave the path as it is, as far as that matters: of absolute
/// paths nothing else is asked.
fn is_clean(path: &[u8]) -> bool {
    if path == b"." || path.starts_with(b"/") {
        return true;
    }
    let mut only_up = true;
    path.split(|&b| b == b'/').all(|element| match element {
        b"" | b"." => false,
        b".." => only_up,
        _ => {
            only_up = false;
            true
        }
    })
}

/// Whether a folder above the file, the root left aside, has a go.mod.
fn is_in_other_module(path: &[u8], modules: &HashSet<&[u8]>) -> bool {
    let (mut dir, _) = split(path);
    while let Some((_, inner)) = dir.split_last() {
        if modules.contains(dir) {
            return true;
        }
        (dir, _) = split(inner);
    }
    false
}

/// x/mod/zip `isVendoredPackage`: whether the file is in a package whose path has `vendor` in it
/// but not at its end. Before Go 1.24 the place of `vendor` was counted wrongly, and hashes of old
/// modules depend on that.
fn is_vendored(path: &[u8], since_1_24: bool) -> bool {
    const VENDOR: &[u8] = b"/vendor/";
    if since_1_24 && path == b"vendor/modules.txt" {
        return true;
    }
    let rest = if let Some(rest) = path.strip_prefix(&VENDOR[1..]) {
        Some(rest)
    } else {
        let at = path.windows(VENDOR.len()).position(|part| part == VENDOR);
        at.and_then(|at| path.get(VENDOR.len() + if since_1_24 { at } else { 0 }..))
    };
    rest.is_some_and(|rest| rest.contains(&b'/'))
}

/// Whether the go.mod says `go 1.24` or later, as a language version. One that cannot be read
/// counts as old.
fn is_since_1_24(go_mod: &[u8]) -> bool {
    let Some(version) = modfile::go_version_if_sound(go_mod) else {
        return false;
    };
    let Some((major, minor)) = language_version(&version) else {
        return false;
    };
    let at_least = |n: &str, than: &str| (n.len(), n) >= (than.len(), than);
    if major == "1" {
        at_least(minor, "24")
    } else {
        at_least(major, "1")
    }
}

/// Major and minor number of a Go version (internal/gover `Parse`).
fn language_version(version: &str) -> Option<(&str, &str)> {
    let number = |s: &str| {
        let len = s
            .bytes()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(s.len());
        (len == 1 || (len > 1 && !s.starts_with('0'))).then_some(len)
    };
    let (version, _) = version.split_once('-').unwrap_or((version, ""));
    let (major, rest) = version.split_at(number(version)?);
    let rest = rest.strip_prefix('.')?;
    let (minor, rest) = rest.split_at(number(rest)?);
    let valid = match rest.strip_prefix('.') {
        Some(patch) => number(patch) == Some(patch.len()),
        None => {
            let pre = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
            rest.is_empty()
                || (pre.len() < rest.len() && (pre.is_empty() || number(pre) == Some(pre.len())))
        }
    };
    valid.then_some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn c113_vendored_in_both_ways() {
        let cases = [
            ("vendor/modules.txt", false, true),
            ("vendor/a.go", false, false),
            ("vendor/x/y/y.go", true, true),
            ("vendor/vendor/x.go", true, true),
            ("pkg/vendor/v.go", true, false),
            ("pkg/vendor/z/z.go", true, true),
            ("p/vendor/v.go", true, false),
            ("pkg/sub/vendor/v.go", true, false),
            ("pkg/vendor/modules.txt", true, false),
            ("vendors/x/y.go", false, false),
            ("pkg/vendored/x.go", false, false),
            ("vendor", false, false),
            ("a/vendor/b/vendor/c.go", true, true),
        ];
        for (path, before, since) in cases {
            assert_eq!(is_vendored(path.as_bytes(), false), before, "{path}");
            assert_eq!(is_vendored(path.as_bytes(), true), since, "{path}");
        }
    }

    #[test]
    fn c113_which_go_versions_are_new() {
        for (go, new) in [
            ("1.24", true),
            ("1.24.0", true),
            ("1.24rc1", true),
            ("1.24.3-custom", true),
            ("1.100", true),
            ("2.0", true),
            ("1.23", false),
            ("1.23.9", false),
            ("1.9", false),
            ("1.24.1rc1", false),
            ("1", false),
        ] {
            let body = format!("module x.y/z\n\ngo {go}\n");
            assert_eq!(is_since_1_24(body.as_bytes()), new, "{go}");
        }
        assert!(!is_since_1_24(b"module x.y/z\n"));
    }

    #[test]
    fn c114_the_license_of_the_root() {
        let file = |path: &'static str, kind| Candidate {
            path: path.as_bytes(),
            kind,
            size: 1,
        };
        let other = file("a.go", FileKind::Regular);
        let link = file("LICENSE", FileKind::Symlink);
        let small = file("license", FileKind::Regular);
        assert!(wants_root_license("sub", &[other]));
        assert!(wants_root_license("sub", &[other, small]));
        assert!(!wants_root_license("sub", &[other, link]));
        assert!(!wants_root_license("", &[other]));
    }

    #[test]
    fn clean_paths() {
        for clean in ["a", "a/b", ".", "..", "../..", "../a", ".a/b..", "/a"] {
            assert!(is_clean(clean.as_bytes()), "{clean}");
        }
        for bad in ["", "a/", "a//b", "./a", "a/.", "a/..", "a/../b", "../a/.."] {
            assert!(!is_clean(bad.as_bytes()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_paths_never_panic(
            paths in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..8),
        ) {
            let files: Vec<_> = paths
                .iter()
                .map(|path| Candidate { path, kind: FileKind::Regular, size: 1 })
                .collect();
            let _ = select_files(&files, Some(b"go 1.24\n"));
        }
    }
}
