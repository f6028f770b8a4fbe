//! Names of temporary files. Only what Larder itself has made is ever removed, so these names are ones that nobody else
//! gives; and how a finished file gets its name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::room::is_no_room;

/// The folder for temporary files below one that is on a file system of its own. No module path or database name begins
/// with a dot.
pub const APART: &str = ".larder-tmp";

const BEGIN: &str = "larder-";
const END: &str = ".tmp";

/// Of this process; files of others are left alone while they may be in use.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A name that no other temporary file has.
pub fn fresh_name() -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{BEGIN}{}-{number}{END}", std::process::id())
}

/// Whether it is a name that [`fresh_name`] gives.
pub fn is_ours(name: &str) -> bool {
    let middle = name.strip_prefix(BEGIN).and_then(|it| it.strip_suffix(END));
    middle.is_some_and(is_process_and_number)
}

/// Whether it is a name that earlier versions gave: two numbers.
pub fn is_ours_of_old(name: &str) -> bool {
    is_process_and_number(name)
}

fn is_process_and_number(name: &str) -> bool {
    let number = |text: &str| {
        (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    name.split_once('-')
        .is_some_and(|(process, of_it)| number(process) && number(of_it))
}

/// Removes what an earlier end left in a folder; gives how many files. Links are neither followed nor removed, and what
/// cannot be removed stays. A folder that is a link may be anybody's: only names that nobody else gives go there.
pub fn remove_left(folder: &Path) -> u64 {
    let is_link = folder
        .symlink_metadata()
        .is_ok_and(|meta| meta.is_symlink());
    let mut removed = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let known = is_ours(name) || (!is_link && is_ours_of_old(name));
        let is_file = || entry.file_type().is_ok_and(|kind| kind.is_file());
        if known && is_file() && fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    removed
}

/// Gives a finished, synced file its name. Where that is on another file system after all (a mount or a link below the
/// folder), the file is copied beside it first.
pub fn place(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let beside = to.with_file_name(fresh_name());
            let copied = copy_synced(from, &beside).and_then(|()| fs::rename(&beside, to));
            if copied.is_err() {
                // Best effort; the error says more.
                let _ = fs::remove_file(&beside);
                return copied;
            }
            // It has been kept; what is left is removed at the next start.
            let _ = fs::remove_file(from);
            Ok(())
        }
        renamed => renamed,
    }
}

fn copy_synced(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut copy = File::options().write(true).create_new(true).open(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()
}

/// Whether a file of some bytes that is made in `tmp` can be renamed into `folder`: tried, since only that tells. Both
/// exist.
pub fn try_rename(tmp: &Path, folder: &Path, bytes: usize) -> io::Result<()> {
    let name = fresh_name();
    let (from, to) = (tmp.join(&name), folder.join(&name));
    let mut file = File::options().write(true).create_new(true).open(&from)?;
    let written = file.write_all(&vec![b'.'; bytes]);
    let renamed = written.and_then(|()| fs::rename(&from, &to));
    let made = if renamed.is_ok() { &to } else { &from };
    let removed = fs::remove_file(made);
    renamed.and(removed)
}

/// Where files that will be renamed into `folder` are to be made: in `tmp`, or, if that is on another file system, in a
/// folder of its own below.
pub fn folder_for(tmp: &Path, folder: &Path) -> io::Result<PathBuf> {
    let apart = match try_rename(tmp, folder, 0) {
        Ok(()) => false,
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => true,
        // A full disk cannot be tried; the devices' numbers tell most of it.
        Err(_) => match (device(tmp), device(folder)) {
            (Some(tmp), Some(folder)) => tmp != folder,
            _ => false,
        },
    };
    if !apart {
        return Ok(tmp.to_owned());
    }
    let apart = folder.join(APART);
    match fs::create_dir(&apart) {
        // On a full disk it is made later.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !is_no_room(error.kind()) => {
            Err(error)
        }
        _ => Ok(apart),
    }
}

fn device(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().map(|meta| meta.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_larder_gives_are_its_own() {
        assert!(is_ours(&fresh_name()));
        for old in ["17-0", "4194304-18446744073709551615"] {
            assert!(is_ours_of_old(old) && !is_ours(old), "{old}");
        }
        for other in [
            "thesis.txt",
            "larder-1-2",
            "larder-1-2.tmp.bak",
            "larder-1-.tmp",
            "larder-a-1.tmp",
            "Larder-1-2.tmp",
            "1-2-3",
            "2024-12-24",
            "-1",
            "1-",
            "+1-2",
            "1-2.txt",
            "123456789012345678901-1",
            "",
        ] {
            assert!(!is_ours(other) && !is_ours_of_old(other), "{other}");
        }
    }

    #[test]
    fn what_others_left_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (tmp, elsewhere) = (dir.path().join("tmp"), dir.path().join("elsewhere"));
        fs::create_dir_all(tmp.join("7-7")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(tmp.join("7-7/larder-1-1.tmp"), "").unwrap();
        for name in ["thesis.txt", "17-3", "larder-17-3.tmp"] {
            fs::write(tmp.join(name), "").unwrap();
            fs::write(elsewhere.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(elsewhere.join("thesis.txt"), tmp.join("18-1")).unwrap();
        assert_eq!(remove_left(&tmp), 2);
        let left = |folder: &Path| {
            let names = fs::read_dir(folder).unwrap().flatten();
            let mut names: Vec<_> = names.map(|it| it.file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(left(&tmp), ["18-1", "7-7", "thesis.txt"]);
        assert!(tmp.join("7-7/larder-1-1.tmp").exists());
        assert!(elsewhere.join("thesis.txt").exists());
        // Through a link, only what cannot be anybody else's.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        assert_eq!(remove_left(&link), 1);
        assert_eq!(left(&elsewhere), ["17-3", "thesis.txt"]);
    }

    #[test]
    fn one_file_system_needs_no_folder_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (tmp, modules) = (dir.path().join("tmp"), dir.path().join("modules"));
        fs::create_dir(&tmp).unwrap();
        fs::create_dir(&modules).unwrap();
        assert_eq!(folder_for(&tmp, &modules).unwrap(), tmp);
        for folder in [&tmp, &modules] {
            assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        }
    }
}
