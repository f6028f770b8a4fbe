//! What of a tree is unpacked, judged by names and sizes before anything is: a small pack can stand for a large tree.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;

use bytes::BytesMut;
use tokio::sync::OwnedSemaphorePermit;

use super::error::PackError;
use super::source::ModuleTree;
use crate::gomod::zip::{Candidate, FileKind, ZipLimits, select_files, wants_root_license};
use crate::vcs::git::Bounds;
use crate::vcs::tenant::Tenant;
use crate::vcs::workspace::Workspace;

/// Paths that git is given, at the most, and their bytes; with more it unpacks the whole folder.
const MAX_PATHS: usize = 500;
const MAX_PATHS_BYTES: usize = 64 << 10;
/// A list of names from which on few are read at a time. Bytes.
const LARGE: usize = 4 << 20;
/// What a line of git's list has beside the name, at the most. Bytes.
const LINE: u64 = 128;

/// How many files a tree may have, and how long their names may be together. Bytes.
struct Limits {
    entries: usize,
    names: usize,
}

impl Limits {
    fn of(tenant: Tenant) -> Self {
        match tenant {
            Tenant::Strangers => Limits {
                entries: 500_000,
                names: 48 << 20,
            },
            Tenant::Own => Limits {
                entries: 1_000_000,
                names: 128 << 20,
            },
        }
    }
}

/// The files in a folder of a commit.
pub(super) struct Listed {
    names: Vec<u8>,
    files: Vec<File>,
    /// The folder, with a slash at its end unless it is empty.
    dir: Vec<u8>,
    /// Few long lists are held at a time.
    permit: Option<OwnedSemaphorePermit>,
}

struct File {
    name: Range<usize>,
    kind: FileKind,
    size: u64,
}

/// What is to be unpacked.
pub(super) struct Plan {
    /// These paths; none means the whole folder.
    pub(super) paths: Vec<OsString>,
    /// The archive of these is about so large. Bytes.
    pub(super) bytes: u64,
    /// And that of the whole folder.
    pub(super) all_bytes: u64,
    /// Whether the LICENSE of the root is wanted.
    pub(super) wants_license: bool,
    /// As long as it is under way.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

impl Listed {
    /// Asks git.
    pub(super) async fn read(
        source: ModuleTree<'_>,
        space: &Workspace,
        bounds: Bounds,
    ) -> Result<Self, PackError> {
        let tenant = source.mirror.tenant();
        let limits = Limits::of(tenant);
        let bounds = Bounds {
            output: limits.names as u64 + limits.entries as u64 * LINE,
            ..bounds
        };
        let list = source.mirror.list(source.commit, source.dir, bounds);
        let mut output = list.await?;
        let mut listed = Listed {
            names: Vec::new(),
            files: Vec::new(),
            dir: match source.dir {
                "" => Vec::new(),
                dir => format!("{dir}/").into_bytes(),
            },
            permit: None,
        };
        let mut buffer = BytesMut::new();
        while output.next(&mut buffer).await? {
            while let Some(end) = buffer.iter().position(|byte| *byte == 0) {
                let line = buffer.split_to(end + 1);
                listed.push(&line[..end])?;
            }
            if listed.files.len() > limits.entries || listed.names.len() > limits.names {
                return Err(PackError::TooMany);
            }
            if listed.permit.is_none() && listed.names.len() > LARGE {
                listed.permit = space.large(tenant).await;
            }
        }
        output.end().await?;
        Ok(listed)
    }

    /// `<mode> <type> <hash> <size>\t<path>`, the size with spaces before it.
    fn push(&mut self, line: &[u8]) -> Result<(), PackError> {
        let tab = line.iter().position(|byte| *byte == b'\t');
        let (head, path) = line.split_at(tab.ok_or(PackError::List)?);
        let head = std::str::from_utf8(head).map_err(|_| PackError::List)?;
        let mut fields = head.split_ascii_whitespace();
        let (mode, kind, _hash, size) =
            (fields.next(), fields.next(), fields.next(), fields.next());
        if kind != Some("blob") {
            // A submodule.
            return Ok(());
        }
        let size = size.and_then(|size| size.parse().ok());
        let Some(name) = path[1..].strip_prefix(self.dir.as_slice()) else {
            return Ok(());
        };
        let start = self.names.len();
        self.names.extend_from_slice(name);
        self.files.push(File {
            name: start..self.names.len(),
            kind: match mode {
                Some("120000") => FileKind::Symlink,
                _ => FileKind::Regular,
            },
            size: size.ok_or(PackError::List)?,
        });
        Ok(())
    }

    fn name(&self, file: &File) -> &[u8] {
        &self.names[file.name.clone()]
    }

    /// Whether there is a go.mod that is worth reading: a larger one is refused by its size.
    pub(super) fn has_go_mod(&self) -> bool {
        self.files.iter().any(|file| {
            file.kind == FileKind::Regular
                && file.size <= ZipLimits::GO.go_mod
                && self.name(file) == b"go.mod"
        })
    }

    /// Judges it by the rules of module zips.
    pub(super) fn plan(self, go_mod: Option<&[u8]>) -> Result<Plan, PackError> {
        let candidate = |file: &File| Candidate {
            path: self.name(file),
            kind: file.kind,
            size: file.size,
        };
        let candidates: Vec<_> = self.files.iter().map(candidate).collect();
        let chosen = select_files(&candidates, go_mod)?;
        let dir = std::str::from_utf8(&self.dir).unwrap_or_default();
        let wants_license = wants_root_license(dir.trim_end_matches('/'), &candidates);
        drop(candidates);
        // Links are small, and in no zip.
        let links = self.files.iter().map(|file| file.kind == FileKind::Symlink);
        let mut wanted: Vec<bool> = links.collect();
        for at in &chosen {
            if let Some(wanted) = wanted.get_mut(*at) {
                *wanted = true;
            }
        }
        let paths = match chosen.is_empty() {
            true => None,
            false => self.cover(&wanted),
        };
        let sum = |only: bool| {
            let files = self.files.iter().zip(&wanted);
            let files = files.filter(|(_, wanted)| !only || **wanted);
            files.map(|(file, _)| file.unpacked()).sum::<u64>()
        };
        Ok(Plan {
            bytes: sum(paths.is_some()),
            all_bytes: sum(false),
            paths: paths.unwrap_or_default(),
            wants_license,
            _permit: self.permit,
        })
    }

    /// The fewest paths that lead to all files that are wanted, and to no others; `None` for the whole folder.
    fn cover(&self, wanted: &[bool]) -> Option<Vec<OsString>> {
        // How many are wanted before each.
        let mut before = Vec::with_capacity(wanted.len() + 1);
        before.push(0);
        for wanted in wanted {
            before.push(before.last()? + usize::from(*wanted));
        }
        let wanted_in = |range: &Range<usize>| before[range.end] - before[range.start];
        if wanted_in(&(0..wanted.len())) == wanted.len() {
            return None;
        }
        let mut paths: Vec<OsString> = Vec::new();
        let mut bytes = 0;
        // Folders that have both, by the files in them and the length of their path. Git lists them as they lie.
        let mut open = vec![(0..wanted.len(), 0)];
        while let Some((range, depth)) = open.pop() {
            let mut at = range.start;
            while at < range.end {
                let name = self.name(self.files.get(at)?);
                let rest = name.get(depth..)?;
                let slash = rest.iter().position(|byte| *byte == b'/');
                let (length, end) = match slash {
                    None => (name.len(), at + 1),
                    Some(slash) => {
                        let folder = &name[..=depth + slash];
                        let mut end = at + 1;
                        while end < range.end
                            && self
                                .files
                                .get(end)
                                .is_some_and(|it| self.name(it).starts_with(folder))
                        {
                            end += 1;
                        }
                        (depth + slash, end)
                    }
                };
                let here = at..end;
                match wanted_in(&here) {
                    0 => {}
                    count if count == here.len() => {
                        let path = [self.dir.as_slice(), &name[..length]].concat();
                        bytes += path.len();
                        if path.starts_with(b"-")
                            || paths.len() == MAX_PATHS
                            || bytes > MAX_PATHS_BYTES
                        {
                            return None;
                        }
                        paths.push(OsString::from_vec(path));
                    }
                    _ => open.push((here, length + 1)),
                }
                at = end;
            }
        }
        Some(paths)
    }
}

impl File {
    /// About how much of an archive it is: its blocks, and its headers with its name twice. Bytes.
    fn unpacked(&self) -> u64 {
        self.size
            .next_multiple_of(512)
            .saturating_add(1024 + 2 * self.name.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(dir: &str, names: &[&str]) -> Listed {
        let mut listed = Listed {
            names: Vec::new(),
            files: Vec::new(),
            dir: dir.into(),
            permit: None,
        };
        for name in names {
            let hash = "a".repeat(40);
            let line = format!("100644 blob {hash}     100\t{dir}{name}");
            listed.push(line.as_bytes()).unwrap();
        }
        listed
    }

    fn paths(dir: &str, names: &[&str]) -> Vec<String> {
        let plan = listed(dir, names).plan(None).unwrap();
        let paths = plan.paths.into_iter();
        let mut paths: Vec<_> = paths.map(|path| path.into_string().unwrap()).collect();
        paths.sort();
        paths
    }

    #[test]
    fn only_what_belongs_to_the_module_is_unpacked() {
        // All of it.
        assert!(paths("", &["a/x", "go.mod", "m.go"]).is_empty());
        assert_eq!(
            paths(
                "",
                &["a/b/x", "a/other/go.mod", "a/other/x", "go.mod", "m.go"]
            ),
            ["a/b", "go.mod", "m.go"]
        );
        assert_eq!(
            paths("sub/", &["d/e/go.mod", "d/e/x", "d/f/x", "d/x", "go.mod"]),
            ["sub/d/f", "sub/d/x", "sub/go.mod"]
        );
        // Nothing of it could be taken for an option.
        assert!(paths("", &["-x", "a/go.mod", "a/x", "go.mod"]).is_empty());
        assert!(paths("", &[]).is_empty());
        let many: Vec<_> = (0..2 * MAX_PATHS).map(|n| format!("{n:06}.go")).collect();
        let mut names: Vec<_> = many.iter().map(String::as_str).collect();
        names.push("z/go.mod");
        assert!(paths("", &names).is_empty());
    }

    #[test]
    fn what_is_unpacked_is_about_so_large() {
        let plan = listed("", &["a/go.mod", "a/x", "go.mod"])
            .plan(None)
            .unwrap();
        assert_eq!(plan.paths, ["go.mod"]);
        assert!(plan.bytes >= 1536 && plan.bytes < 2048, "{}", plan.bytes);
        assert!(plan.all_bytes > 2 * plan.bytes);
        assert!(!plan.wants_license);
    }

    #[test]
    fn submodules_and_links_are_no_files() {
        let mut listed = listed("", &["go.mod"]);
        let hash = "a".repeat(40);
        listed
            .push(format!("160000 commit {hash}       -\tx").as_bytes())
            .unwrap();
        listed
            .push(format!("120000 blob {hash}       5\tz").as_bytes())
            .unwrap();
        assert!(listed.push(b"100644 blob").is_err());
        assert_eq!(listed.files.len(), 2);
        assert!(listed.plan(None).unwrap().paths.is_empty());
    }
}
