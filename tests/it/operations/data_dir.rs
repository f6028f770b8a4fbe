//! Whose the data directory is, and who can read it.

use crate::support::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn module() -> Module {
    Module::new("example.com/m", "v1.0.0")
}

/// All that is below a folder, files with their content.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                open.push(path.clone());
                all.insert(path, Vec::new());
            } else {
                let content = fs::read(&path).unwrap_or_default();
                all.insert(path, content);
            }
        }
    }
    all
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_directory_of_somebody_else_is_refused_untouched() {
    for (files, named) in [
        (&["data/tmp/thesis.txt"][..], "tmp"),
        (&["data/thesis.txt"], "thesis.txt"),
        (&["data/tmp/thesis.txt", "data/lock"], "tmp"),
        (&["data/.bashrc", "data/work/x.go"], "work"),
        (&["data/modules/mod_ssl.so"], "modules"),
        (&["data/modules/github.com/x/v1.0.0/source.zip"], "modules"),
        (&["data/index/segments.gen", "data/lock"], "index"),
        (&["data/git/HEAD"], "git"),
        (&["data/sumdb/x"], "sumdb"),
        (&["data/spare"], "spare"),
    ] {
        let builder = larder().upstream("off");
        for file in files {
            builder.write(file, "precious");
        }
        let before = everything(builder.home());
        let data = builder.data_dir();
        let data = data.to_str().unwrap();
        let refused = builder.serve_to_end().expect(4);
        for part in [data, "not a data directory of larder", named, "--data-dir"] {
            assert!(
                refused.stderr.contains(part),
                "{files:?}: {}",
                refused.stderr
            );
        }
        assert_eq!(everything(builder.home()), before, "{files:?}");
        for command in [
            &["index", "rebuild"][..],
            &["token", "new", "ci"],
            &["first-seen", "list"],
        ] {
            let arguments = [command, &["--data-dir", data]].concat();
            builder.run(&arguments).expect(4);
            assert_eq!(everything(builder.home()), before, "{command:?}");
        }
        let doctor = builder.run(&["doctor", "--data-dir", data]);
        assert!(doctor.stdout.contains("not a data directory"), "{doctor:?}");
        assert_eq!(everything(builder.home()), before);
    }
}

#[test]
fn a_home_directory_is_refused() {
    let builder = larder().upstream("off").without_data_dir();
    builder.write(".profile", "");
    let refused = builder.arg("--data-dir").arg(".").serve_to_end().expect(4);
    assert!(refused.stderr.contains(".profile"), "{}", refused.stderr);
}

#[test]
fn a_fresh_volume_and_a_module_cache_are_taken() {
    let module = module();
    for files in [
        &["data/lost+found/x"][..],
        &["data/.snapshot/hourly/x", "data/.netrc"],
        &["data/modules/example.com/m/@v/list"],
        &[
            "data/modules/cache/download/example.com/m/@v/v1.0.0.mod",
            "data/lost+found/x",
        ],
    ] {
        let up = FakeUpstream::serving(std::slice::from_ref(&module));
        let builder = larder().of(&up);
        for file in files {
            builder.write(file, "");
        }
        let larder = builder.start();
        larder.get_hit(&module.url("zip"));
        for file in files {
            assert!(larder.home().join(file).exists(), "{file}");
        }
    }
}

#[test]
fn a_first_start_that_was_killed_strands_nobody() {
    let module = module();
    for files in [
        &[("layout.new", "")][..],
        &[("layout", "1\n")],
        &[("layout", "1\n"), ("lock", "")],
        // As earlier versions went about it.
        &[("lock", "17\n")],
        &[("lock", "17\n"), ("tmp/17-0", ""), ("modules/.x", "")],
        &[("lock", "17\n"), ("layout", "")],
    ] {
        let up = FakeUpstream::serving(std::slice::from_ref(&module));
        let builder = larder().of(&up);
        for (file, content) in files {
            builder.write(&format!("data/{file}"), content);
        }
        let _ = fs::remove_file(builder.data_dir().join("modules/.x"));
        let larder = builder.start();
        larder.get_hit(&module.url("zip"));
        let mark = fs::read_to_string(larder.data_dir().join("layout")).unwrap();
        assert_eq!(mark, "1\n", "{files:?}");
    }
}

#[test]
fn a_layout_that_is_no_number_is_not_a_later_version() {
    for (layout, later) in [
        ("garbage", false),
        ("", true),
        ("1.0", false),
        ("-1", false),
        ("0", false),
        ("99", true),
        ("4294967296", true),
    ] {
        let builder = larder().upstream("off");
        builder.write("data/layout", layout);
        builder.write("data/notes.txt", "");
        let before = everything(builder.home());
        let refused = builder.serve_to_end().expect(4);
        let says_later = refused.stderr.contains("later version");
        // An empty one says nothing, and the rest is somebody's.
        assert_eq!(
            says_later,
            later && !layout.is_empty(),
            "{layout:?}: {}",
            refused.stderr
        );
        assert_eq!(refused.stderr.contains("not a data directory"), !says_later);
        assert_eq!(everything(builder.home()), before);
    }
}

#[test]
fn a_file_where_a_directory_should_be_gets_the_right_advice() {
    for (file, data) in [
        ("data", "data"),
        ("data", "data/below/it"),
        ("data/modules", "data"),
    ] {
        let builder = larder().upstream("off").without_data_dir();
        builder.write(file, "");
        if file == "data/modules" {
            builder.write("data/layout", "1\n");
        }
        let path = builder.home().join(data);
        let path = path.to_str().unwrap().to_owned();
        let named = builder.home().join(file);
        let refused = builder
            .arg("--data-dir")
            .arg(&path)
            .serve_to_end()
            .expect(4);
        for part in [
            &path,
            named.to_str().unwrap(),
            "is not a directory",
            "Name a directory",
        ] {
            assert!(refused.stderr.contains(part), "{file}: {}", refused.stderr);
        }
        assert!(!refused.stderr.contains("writable"), "{}", refused.stderr);
    }
}

#[test]
fn what_is_made_is_for_its_owner_alone() {
    let module = module();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder()
        .of(&up)
        .shell("umask 000")
        .set("modules.private", "git.example.com/*")
        .start();
    larder.get_hit(&module.url("zip"));
    assert_eq!(mode(&larder.data_dir()), 0o700);
    let socket = larder.data_dir().join("control");
    until("the socket", || socket.exists().then_some(()));
    assert_eq!(mode(&socket), 0o600);
    assert!(!larder.stderr().contains("other users"));
}

#[test]
fn a_directory_that_others_can_read_is_warned_of_where_private_modules_are() {
    for (bits, private, warned) in [
        (0o755, "git.example.com/*", true),
        (0o755, "", false),
        (0o750, "git.example.com/*", false),
    ] {
        let builder = larder().upstream("off").set("modules.private", private);
        // Nobody gets past a closed folder above it.
        fs::set_permissions(builder.home(), PermissionsExt::from_mode(0o755)).unwrap();
        fs::create_dir(builder.data_dir()).unwrap();
        fs::set_permissions(builder.data_dir(), PermissionsExt::from_mode(bits)).unwrap();
        let larder = builder.start();
        larder.get("/healthz").ok();
        let log = larder.stderr();
        assert_eq!(
            log.contains("other users of this machine"),
            warned,
            "{bits:o}: {log}"
        );
        assert_eq!(mode(&larder.data_dir()), bits, "it is left as it is");
    }
}
