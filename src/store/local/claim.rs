//! Whose a directory is. Larder makes its home in a directory that is empty, or that it has made; anything else stays
//! untouched.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::name::is_of_versions;

/// File in the data directory that names the version of the files' layout, and says that the directory is Larder's.
pub const MARK: &str = "layout";
/// The same while it is written.
pub const MARK_NEW: &str = "layout.new";

/// With this begins the file `layout` in the folder of the index.
pub const INDEX_TEXT: &str = "larder index ";

/// What Larder makes in its data directory.
const OURS: &[&str] = &[
    MARK,
    MARK_NEW,
    "lock",
    "modules",
    "tmp",
    "index",
    "sumdb",
    "git",
    "control",
    "control.new",
    "spare",
    "tokens",
    "tokens.new",
    "upstream.json",
];
/// What a fresh volume or folder may have, and whoever runs Larder may put there for git: it is nobody's data.
const FRESH: &[&str] = &[
    "lost+found",
    ".snapshot",
    ".snapshots",
    ".zfs",
    ".DS_Store",
    ".fseventsd",
    ".Spotlight-V100",
    ".Trashes",
    ".TemporaryItems",
    "System Volume Information",
    "aquota.user",
    "aquota.group",
    ".gitkeep",
    ".gitignore",
    ".keep",
    ".netrc",
    ".ssh",
    ".gitconfig",
];
/// Folders looked into for a sign that files are a module cache.
const LOOKED_INTO: usize = 20_000;
/// Names given in an error.
const NAMED: usize = 5;

/// What a directory is.
#[derive(Debug, PartialEq, Eq)]
pub enum DirClaim {
    /// Marked as Larder's, with this version.
    Marked(u64),
    /// Empty, or what a first start that was killed left, or a module cache to be taken over.
    Free,
    /// Somebody else's, since it has these.
    Foreign(String),
}

/// Looks at a directory that exists. Changes nothing.
pub fn look(data: &Path) -> io::Result<DirClaim> {
    match mark(data)? {
        Mark::Version(version) => return Ok(DirClaim::Marked(version)),
        Mark::Other => {
            return Ok(DirClaim::Foreign(format!(
                "a file {MARK:?} that larder does not write"
            )));
        }
        Mark::None => {}
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(data)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !is_fresh(&name) && name != MARK_NEW {
            names.push(name);
        }
    }
    names.sort();
    let known = |name: &String| OURS.contains(&name.as_str()) || name.starts_with("index.damaged-");
    let (ours, foreign): (Vec<_>, Vec<_>) = names.into_iter().partition(known);
    if !foreign.is_empty() {
        return Ok(DirClaim::Foreign(some_of(&foreign)));
    }
    // An empty mark, too, is what an end in the middle left.
    let ours: Vec<_> = ours.iter().filter(|name| *name != MARK).collect();
    if ours.is_empty() {
        return Ok(DirClaim::Free);
    }
    let modules = data.join("modules");
    let held = match modules.exists() {
        true => holds(&modules),
        false => Holds::Nothing,
    };
    if held == Holds::Other {
        return Ok(DirClaim::Foreign(
            "a folder \"modules\" that is not in the layout of the go command's cache/download"
                .into(),
        ));
    }
    // A module cache, perhaps from a backup with what may be beside it; or an empty folder for one.
    let beside: &[&str] = match held {
        Holds::Modules => &["modules", "sumdb", "git", "tokens", "upstream.json"],
        _ => &["modules"],
    };
    let imported = ours.iter().all(|name| beside.contains(&name.as_str()));
    if imported || was_begun(data) {
        return Ok(DirClaim::Free);
    }
    let ours: Vec<_> = ours.into_iter().cloned().collect();
    Ok(DirClaim::Foreign(some_of(&ours)))
}

enum Mark {
    Version(u64),
    None,
    Other,
}

fn mark(data: &Path) -> io::Result<Mark> {
    let path = data.join(MARK);
    match path.metadata() {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Ok(Mark::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Mark::None),
        Err(error) => return Err(error),
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(64).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    if text.is_empty() {
        return Ok(Mark::None);
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let version = text
        .parse()
        .ok()
        .filter(|version| is_number && *version > 0);
    Ok(version.map_or(Mark::Other, Mark::Version))
}

fn is_fresh(name: &str) -> bool {
    FRESH.contains(&name) || name.starts_with(".Trash-") || name.starts_with(".nfs")
}

fn some_of(names: &[String]) -> String {
    let named: Vec<_> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = names.len().saturating_sub(NAMED);
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Whether Larder has begun to live here: its lock, or an index, and nothing in the folders that is not its own.
fn was_begun(data: &Path) -> bool {
    let lock = data.join("lock");
    let is_lock = lock.symlink_metadata().is_ok_and(|meta| meta.is_file())
        && fs::read(&lock).is_ok_and(|bytes| {
            bytes.len() <= 20
                && bytes
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || *byte == b'\n')
        });
    let layout = fs::read_to_string(data.join("index/layout"));
    let is_index = layout.is_ok_and(|text| text.starts_with(INDEX_TEXT));
    let own =
        |name: &str| super::temporary::is_ours(name) || super::temporary::is_ours_of_old(name);
    let tmp_is_own = fs::read_dir(data.join("tmp"))
        .into_iter()
        .flatten()
        .flatten()
        .all(|entry| {
            let name = entry.file_name();
            name.to_str()
                .is_some_and(|name| own(name) || name == "certificates.pem")
        });
    (is_lock && tmp_is_own) || is_index
}

#[derive(PartialEq, Eq)]
enum Holds {
    Nothing,
    /// Files as the `go` command keeps them.
    Modules,
    Other,
}

/// What a folder for modules holds, as far as a look tells.
fn holds(modules: &Path) -> Holds {
    if !modules.is_dir() {
        return Holds::Other;
    }
    let mut folders = vec![(modules.to_owned(), false)];
    let (mut looked, mut any_file) = (0, false);
    while let Some((folder, of_versions)) = folders.pop() {
        looked += 1;
        if looked > LOOKED_INTO {
            return Holds::Other;
        }
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = entry.path();
            if path.is_dir() {
                // Not into the unpacked modules of a whole module cache.
                if name == "@v" || !name.contains('@') && !is_fresh(name) {
                    folders.push((path, name == "@v"));
                }
            } else if of_versions && is_of_versions(name) {
                return Holds::Modules;
            } else if !is_fresh(name) {
                any_file = true;
            }
        }
    }
    match any_file {
        true => Holds::Other,
        false => Holds::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn with(entries: &[(&str, &str)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in entries {
            let path = dir.path().join(name);
            match name.ends_with('/') {
                true => fs::create_dir_all(path).unwrap(),
                false => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, content).unwrap();
                }
            }
        }
        dir
    }

    #[test]
    fn what_is_empty_or_of_an_unfinished_first_start_is_free() {
        for entries in [
            &[][..],
            &[("lost+found/", "")],
            &[
                (".snapshot/", ""),
                (".nfs0001", ""),
                (".netrc", "machine x"),
            ],
            &[("modules/", "")],
            &[(
                "modules/example.com/m/@v/v1.0.0.mod",
                "module example.com/m\n",
            )],
            &[("modules/example.com/m/@v/list", ""), ("lost+found/", "")],
            &[
                ("modules/cache/download/a.b/c/@v/v1.0.0.info", ""),
                ("modules/a.b/c@v1.0.0/x.go", ""),
            ],
            &[("lock", "17\n")],
            &[("lock", ""), ("modules/", ""), ("tmp/", "")],
            &[
                ("lock", "17\n"),
                ("modules/", ""),
                ("tmp/17-0", ""),
                ("index/", ""),
            ],
            // Written on a full disk, or killed in the middle.
            &[
                ("lock", "17\n"),
                ("layout", ""),
                ("modules/", ""),
                ("tmp/", ""),
            ],
            &[("layout.new", "")],
            &[("layout", "\n")],
            // A backup without the mark.
            &[("index/layout", "larder index 1\n"), ("modules/", "")],
            &[
                ("modules/example.com/m/@v/list", ""),
                ("sumdb/sum.test/tile/8/0/000", ""),
                ("git/", ""),
            ],
        ] {
            let dir = with(entries);
            assert_eq!(look(dir.path()).unwrap(), DirClaim::Free, "{entries:?}");
        }
    }

    #[test]
    fn what_is_anybody_s_is_foreign() {
        for (entries, named) in [
            (&[("thesis.txt", "")][..], "thesis.txt"),
            (&[("tmp/thesis.txt", "")], "tmp"),
            (&[("tmp/", "")], "tmp"),
            (&[("lock", "17\n"), ("tmp/thesis.txt", "")], "lock, tmp"),
            (&[("lock", "held by nobody\n"), ("tmp/", "")], "lock"),
            (&[("index/", ""), ("modules/", "")], "index"),
            (&[("modules/alias.so", "")], "modules"),
            (&[("modules/", ""), ("git/HEAD", "")], "git"),
            (&[("modules", "")], "modules"),
            (
                &[("modules/github.com/x/v1.0.0/v1.0.0.info", "")],
                "modules",
            ),
            (&[("layout", "garbage\n")], "layout"),
            (&[("layout", "0")], "layout"),
            (&[("layout", "-1")], "layout"),
            (&[("layout", "1.0\n")], "layout"),
            (&[("layout/", "")], "layout"),
            (&[("layout", "99999999999999999999999999")], "layout"),
            (&[(".bashrc", ""), ("modules/", "")], ".bashrc"),
            (
                &[
                    ("a", ""),
                    ("b", ""),
                    ("c", ""),
                    ("d", ""),
                    ("e", ""),
                    ("f", ""),
                ],
                "and 1 more",
            ),
        ] {
            let dir = with(entries);
            match look(dir.path()).unwrap() {
                DirClaim::Foreign(found) => assert!(found.contains(named), "{entries:?}: {found}"),
                other => panic!("{entries:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_mark_is_a_number() {
        for (mark, version) in [
            ("1\n", 1),
            ("1", 1),
            (" 99 \n", 99),
            ("4294967296", 1 << 32),
        ] {
            // Whatever else is there: people put things beside.
            let dir = with(&[("layout", mark), ("notes.txt", "")]);
            assert_eq!(look(dir.path()).unwrap(), DirClaim::Marked(version));
        }
    }
}
