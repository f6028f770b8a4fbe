//! What lies on disk, and what becomes of it when somebody meddles (checklist 15, 51, 64).

use crate::support::*;
use std::fs;

fn filled() -> (FakeUpstream, Module, Larder) {
    let module = Module::new("example.com/Upper", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    for kind in ["info", "mod", "zip"] {
        larder.get(&module.url(kind)).ok();
    }
    larder.get(&module.list_url()).ok();
    (up, module, larder)
}

/// The module is served from what is kept, by a server that has nobody to ask.
#[track_caller]
fn served_alone(larder: &mut Larder, module: &Module) {
    let dead = DeadPort::new();
    larder.restart_with(|b| b.upstream(&dead.url()));
    assert_eq!(larder.get(&module.url("info")).ok(), module.info_bytes());
    assert_eq!(larder.get(&module.url("mod")).ok(), module.mod_bytes());
    let zip = larder.get(&module.url("zip"));
    assert_eq!(zip.ok(), module.zip_bytes());
    let tag = format!("\"{}\"", module.h1());
    assert_eq!(zip.header("etag"), Some(tag.as_str()));
}

#[test]
fn the_layout_is_that_of_the_download_cache() {
    let (_up, module, larder) = filled();
    let place = larder.data_dir().join("modules/example.com/!upper/@v");
    until("all files in place", || {
        let zip = fs::read(place.join("v1.0.0.zip")).ok()?;
        assert_eq!(zip, module.zip_bytes());
        let gomod = fs::read(place.join("v1.0.0.mod")).ok()?;
        assert_eq!(gomod, module.mod_bytes());
        let info = fs::read(place.join("v1.0.0.info")).ok()?;
        assert_eq!(info, module.info_bytes());
        fs::read(place.join("v1.0.0.ziphash")).ok()
    });
    assert!(larder.data_dir().join("index").is_dir());
}

#[test]
fn a_restart_keeps_everything() {
    let (up, module, mut larder) = filled();
    assert_eq!(larder.stop(), 0);
    served_alone(&mut larder, &module);
    assert_eq!(larder.get(&module.list_url()).ok(), b"v1.0.0\n");
    assert_eq!(up.total(), 4);
}

/// What is kept, as the metrics have it once they have it.
#[track_caller]
fn totals(larder: &Larder, files: u64) -> Vec<String> {
    until("the totals", || {
        let metrics = larder.metrics();
        let known = format!("larder_store_files {files}\n");
        metrics.contains(&known).then(|| {
            let of_store = |line: &&str| line.starts_with("larder_store_");
            metrics
                .lines()
                .filter(of_store)
                .map(str::to_owned)
                .collect()
        })
    })
}

#[test]
fn the_totals_are_the_same_after_any_end() {
    let (up, module, mut larder) = filled();
    let before = totals(&larder, 3);
    assert_eq!(larder.stop(), 0);
    larder.restart();
    assert_eq!(totals(&larder, 3), before);
    larder.kill9();
    larder.restart();
    assert_eq!(totals(&larder, 3), before);
    // What is fetched a second time counts once.
    larder.stop();
    fs::remove_file(larder.blob(&module.url("zip"))).unwrap();
    larder.restart();
    larder.get(&module.url("zip")).ok();
    until("the zip to be kept again", || {
        larder.blob(&module.url("zip")).exists().then_some(())
    });
    assert_eq!(totals(&larder, 3), before);
    up.add(&Module::new("example.com/Upper", "v1.1.0"));
    larder.get("/example.com/!upper/@v/v1.1.0.info").ok();
    let more = totals(&larder, 4);
    larder.stop();
    fs::remove_dir_all(larder.data_dir().join("index")).unwrap();
    larder.restart();
    assert_eq!(totals(&larder, 4), more);
    larder.stop();
    let dump = larder.run(&["index", "dump", "--prefix", "totals"]);
    assert!(dump.stdout.contains("\"files\":4"), "{dump:?}");
    larder.run(&["index", "verify"]).expect(0);
    larder.restart();
    assert_eq!(totals(&larder, 4), more);
}

#[test]
fn a_zip_received_whole_survives_kill_9_a_second_later() {
    let (_up, module, mut larder) = filled();
    larder.wait_kept(&[module.url("zip")]);
    larder.kill9();
    served_alone(&mut larder, &module);
}

#[test]
fn a_file_without_a_record_is_not_there() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let mut larder = larder().of(&up).start();
    larder.stop();
    let planted = Module::new("example.com/m", "v1.0.0").file("evil.go", "package m\n");
    for (kind, bytes) in [("zip", planted.zip_bytes()), ("mod", "module x\n".into())] {
        let file = larder.blob(&module.url(kind));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    larder.restart();
    larder.get_kept(&module.url("zip")).refuses(&[404]);
    larder.get_kept(&module.url("mod")).refuses(&[404]);
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    assert_eq!(larder.get(&module.url("mod")).ok(), module.mod_bytes());
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    assert_eq!(up.total(), 2);
}

#[test]
fn a_kept_file_that_lost_its_end_is_never_a_complete_answer() {
    for keep in [0, 100] {
        let (_up, module, mut larder) = filled();
        larder.stop();
        let file = larder.blob(&module.url("zip"));
        fs::OpenOptions::new()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(keep)
            .unwrap();
        larder.restart();
        for _ in 0..2 {
            let answer = larder.get(&module.url("zip"));
            if answer.is_ok() {
                assert_eq!(answer.body, module.zip_bytes());
            } else {
                assert_ne!(answer.status, 404, "{}", answer.describe());
            }
        }
    }
}

#[test]
fn a_kept_file_that_vanished_is_fetched_again() {
    let (up, module, mut larder) = filled();
    larder.stop();
    fs::remove_file(larder.blob(&module.url("zip"))).unwrap();
    fs::remove_file(larder.blob(&module.url("mod"))).unwrap();
    larder.restart();
    until("the zip again", || {
        let answer = larder.get(&module.url("zip"));
        assert_ne!(answer.status, 404);
        answer
            .is_ok()
            .then(|| assert_eq!(answer.body, module.zip_bytes()))
    });
    until("the go.mod again", || {
        let answer = larder.get(&module.url("mod"));
        assert_ne!(answer.status, 404);
        answer.is_ok().then_some(())
    });
    assert!(up.count("*.zip") == 2);
}

#[test]
fn temporary_files_of_larder_s_own_are_removed_at_the_start() {
    let (_up, module, mut larder) = filled();
    larder.kill9();
    let tmp = larder.data_dir().join("tmp");
    for name in ["larder-17-0.tmp", "17-3", "left.tmp", "thesis.txt"] {
        fs::write(tmp.join(name), "half a zip").unwrap();
    }
    let elsewhere = larder.data_dir().join("../elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("larder-1-1.tmp"), "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, tmp.join("larder-17-1.tmp")).unwrap();
    larder.restart();
    let mut left: Vec<_> = fs::read_dir(tmp).unwrap().flatten().collect();
    left.retain(|entry| entry.file_name() != "certificates.pem");
    left.sort_by_key(fs::DirEntry::file_name);
    let left: Vec<_> = left.iter().map(fs::DirEntry::file_name).collect();
    assert_eq!(left, ["larder-17-1.tmp", "left.tmp", "thesis.txt"]);
    assert!(elsewhere.join("larder-1-1.tmp").exists());
    larder.get(&module.url("zip")).ok();
}

#[test]
fn index_rebuild_finds_everything_by_the_files_alone() {
    let (_up, module, mut larder) = filled();
    larder.stop();
    fs::remove_dir_all(larder.data_dir().join("index")).unwrap();
    larder.run(&["index", "rebuild"]).expect(0);
    served_alone(&mut larder, &module);
}

#[test]
fn index_rebuild_imports_a_go_module_cache() {
    let module = Module::new("example.com/Upper", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let go = Go::new(&up.url());
    go.module(&["example.com/Upper v1.0.0"]);
    go.ok(&["mod", "download"]);
    let mut larder = larder().of(&up).start();
    larder.stop();
    let from = go.module_cache().join("cache/download/example.com");
    let to = larder.data_dir().join("modules/");
    fs::create_dir_all(&to).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-R")
        .arg(from)
        .arg(to)
        .status();
    assert!(copied.unwrap().success());
    larder.run(&["index", "rebuild"]).expect(0);
    served_alone(&mut larder, &module);
}

#[test]
fn index_rebuild_takes_no_bad_file() {
    let (up, module, mut larder) = filled();
    larder.stop();
    let bad = Module::new("example.com/Upper", "v1.1.0");
    fs::write(larder.blob(&bad.url("zip")), "PK no zip").unwrap();
    fs::write(larder.blob(&bad.url("info")), "{\"Version\":\"v9.9.9\"}").unwrap();
    fs::write(larder.blob(&bad.url("mod")), "<html></html>").unwrap();
    let finished = larder.run(&["index", "rebuild"]);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains("v1.1.0"), "names what it left out: {said}");
    larder.restart();
    for kind in ["zip", "info", "mod"] {
        larder.get_kept(&bad.url(kind)).refuses(&[404]);
        larder.get_kept(&module.url(kind)).ok();
    }
    up.add(&bad);
    assert_eq!(larder.get(&bad.url("zip")).ok(), bad.zip_bytes());
}

#[test]
fn index_verify_finds_a_flipped_bit() {
    let (_up, module, mut larder) = filled();
    larder.stop();
    larder.run(&["index", "verify"]).expect(0);
    let file = larder.blob(&module.url("zip"));
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let finished = larder.run(&["index", "verify"]);
    assert_ne!(finished.code, Some(0), "{finished:?}");
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(
        said.contains("example.com/") && said.contains("v1.0.0"),
        "{said}"
    );
}

#[test]
fn a_damaged_index_stops_nobody() {
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 4] = [
        ("cut in half", |db| {
            let file = fs::OpenOptions::new().write(true).open(db).unwrap();
            let len = file.metadata().unwrap().len();
            file.set_len(len / 2).unwrap();
        }),
        ("emptied", |db| fs::write(db, b"").unwrap()),
        ("overwritten", |db| {
            fs::write(db, zip::noise(300_000, 2)).unwrap()
        }),
        ("cut short by a little", |db| {
            let file = fs::OpenOptions::new().write(true).open(db).unwrap();
            let len = file.metadata().unwrap().len();
            file.set_len(len - 777).unwrap();
        }),
    ];
    for (name, damage) in damages {
        let (_up, module, mut larder) = filled();
        larder.stop();
        let index = larder.files("index");
        let largest = index.iter().max_by_key(|f| fs::metadata(f).unwrap().len());
        damage(largest.expect("an index file"));
        larder.restart();
        for kind in ["info", "mod", "zip"] {
            let answer = larder.get(&module.url(kind));
            assert_eq!(answer.status, 200, "{name}: {}", answer.describe());
        }
        assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
        larder.stop();
        // Whatever it lost, a rebuild brings it back.
        larder.run(&["index", "rebuild"]).expect(0);
        served_alone(&mut larder, &module);
    }
}

#[test]
fn c64_the_modules_folder_is_a_file_proxy() {
    let a = Module::new("example.com/Upper", "v1.0.0").requires("example.com/b", "v1.2.3");
    let b = Module::new("example.com/b", "v1.2.3");
    let up = FakeUpstream::serving(&[a, b]);
    let mut larder = larder().of(&up).start();
    let requirement = "example.com/Upper v1.0.0";
    let go = Go::new(&larder.url());
    go.module(&[requirement]);
    go.ok(&["mod", "download", "all"]);
    assert_eq!(larder.stop(), 0);
    let folder = larder.data_dir().join("modules");
    let go = Go::new(&format!("file://{}", folder.display()));
    go.module(&[requirement]);
    go.ok(&["mod", "download", "all"]);
    assert!(go.module_cache().join("example.com/b@v1.2.3/m.go").exists());
}

#[test]
fn with_too_little_room_misses_pass_through_and_hits_go_on() {
    let (up, module, mut larder) = filled();
    larder.stop();
    let other = Module::new("example.com/other", "v1.0.0").file("data", zip::noise(500_000, 6));
    up.add(&other);
    larder.restart_with(|b| b.set("store.reserve", "9000000000MB"));
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    for n in 1..3 {
        for kind in ["info", "mod", "zip"] {
            larder.get(&other.url(kind)).ok();
        }
        let zip = larder.get(&other.url("zip"));
        assert_eq!(zip.ok(), other.zip_bytes());
        assert!(!zip.is_hit(), "nothing is kept: {}", zip.describe());
        for path in [
            other.url("info"),
            other.url("mod"),
            other.url("zip"),
            other.list_url(),
        ] {
            let answer = larder.get_with(&path, "Cache-Control", "no-cache");
            let status = answer.header("cache-status").unwrap();
            assert!(!status.contains("stored"), "{path}: {status}");
        }
        assert_eq!(up.count(&other.url("zip")), 3 * n);
    }
    assert!(!larder.blob(&other.url("zip")).exists());
    larder
        .wait_stderr("the file system is smaller than store.reserve, so nothing will ever be kept");
    let ready = larder.get("/readyz");
    ready.expect(200);
    for part in [
        "\"state\": \"low\"",
        "\"keeping\": false",
        "\"reserve_bytes\": 9000000000",
    ] {
        assert!(ready.text().contains(part), "{}", ready.text());
    }
    // With room again, keeping resumes.
    larder.stop();
    larder.restart_with(|b| b.set("store.reserve", "1MB"));
    larder.get_hit(&other.url("zip"));
}

/// What `modules/` alone restores.
#[test]
fn a_backup_of_the_files_restores_lists_and_latest() {
    let up = FakeUpstream::start();
    let [old, new, pre] = ["v1.0.0", "v1.1.0", "v1.2.0-rc.1"]
        .map(|version| Module::new("example.com/Upper", version));
    for module in [&old, &new, &pre] {
        up.add(module);
    }
    let mut larder = larder().of(&up).start();
    for module in [&old, &new] {
        for kind in ["info", "mod", "zip"] {
            larder.get(&module.url(kind)).ok();
        }
    }
    let list = larder.get(&old.list_url()).text();
    let place = larder.data_dir();
    until("the list beside the files", || {
        let path = place.join("modules/example.com/!upper/@v/list");
        (fs::read(path).ok()? == list.as_bytes()).then_some(())
    });
    let nobody = DeadPort::new();
    for chain in ["off".to_owned(), nobody.url()] {
        larder.stop();
        for name in ["index", "sumdb", "tmp"] {
            let _ = fs::remove_dir_all(place.join(name));
        }
        larder.restart_with(|b| b.upstream(&chain));
        larder.wait_stderr("lists=1");
        let answer = larder.get(&old.list_url());
        assert_eq!(answer.ok(), list.as_bytes(), "{chain}");
        let status = answer.header("cache-status").unwrap_or("");
        assert!(status.contains("stale"), "{chain}: {status}");
        let latest = larder.get("/example.com/!upper/@latest");
        let text = latest.text();
        assert!(
            text.contains("\"v1.1.0\""),
            "{chain}: {}",
            latest.describe()
        );
        assert!(
            latest
                .header("cache-status")
                .unwrap_or("")
                .contains("stale")
        );
        larder
            .get("/example.com/none/@latest")
            .refuses(&[404, 502, 503]);
    }
    // Whoever can be asked is.
    larder.stop();
    let last = Module::new("example.com/Upper", "v1.3.0");
    up.add(&last);
    fs::remove_dir_all(place.join("index")).unwrap();
    larder.restart_with(|b| b.upstream(&up.url()));
    larder.wait_stderr("lists=1");
    assert!(larder.get(&old.list_url()).text().contains("v1.3.0"));
    assert!(
        larder
            .get("/example.com/!upper/@latest")
            .text()
            .contains("v1.3.0")
    );
}

/// Offline for longer than an answer is fresh: with nobody to ask nobody says that it does not exist.
#[test]
fn a_chain_that_is_off_serves_kept_lists_of_any_age() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let mut larder = larder().of(&up).set("freshness.ttl", "1ms").start();
    let list = larder.get(&module.list_url()).text();
    let latest = larder.get("/example.com/m/@latest").text();
    larder.stop();
    larder.restart_with(|b| b.upstream("off"));
    for _ in 0..3 {
        assert_eq!(larder.get(&module.list_url()).ok(), list.as_bytes());
        assert_eq!(larder.get("/example.com/m/@latest").ok(), latest.as_bytes());
    }
    larder.get("/example.com/none/@v/list").refuses(&[404]);
}

#[test]
fn index_rebuild_names_what_it_does_not_know() {
    let (_up, module, mut larder) = filled();
    larder.stop();
    let modules = larder.data_dir().join("modules");
    let put = |name: &str, bytes: &[u8]| {
        let path = modules.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    // As another proxy keeps them, and as a whole module cache has them.
    put(
        "example.com/other/v1.0.0/go.mod",
        b"module example.com/other\n",
    );
    put("example.com/other/v1.0.0/source.zip", b"PK");
    put(
        "cache/download/example.com/third/@v/v1.0.0.info",
        b"{\"Version\":\"v1.0.0\"}",
    );
    // What belongs to the layout is no trouble.
    put("example.com/!upper/@v/v1.0.0.lock", b"");
    put("sumdb/sum.example.com/tile/8/0/000", b"");
    let said = larder.run(&["index", "rebuild"]).expect(0).stdout;
    assert!(said.contains("3 files recorded, 3 left out"), "{said}");
    assert!(said.contains("example.com/other/v1.0.0/"), "{said}");
    assert!(said.contains("cache/download"), "{said}");
    served_alone(&mut larder, &module);
    larder
        .get("/cache/download/example.com/third/@v/v1.0.0.info")
        .refuses(&[404, 502, 503, 504]);
    // Nothing but that is a failure.
    larder.stop();
    fs::remove_dir_all(modules.join("example.com/!upper")).unwrap();
    let said = larder.run(&["index", "rebuild"]).expect(1).stdout;
    assert!(said.contains("0 files recorded, 3 left out"), "{said}");
}

#[test]
fn a_file_that_is_gone_is_said_once() {
    let (_up, module, mut larder) = filled();
    let other = Module::new("example.com/Upper", "v1.0.0").url("zip");
    // An answer may come before its file is kept; a stop does not.
    larder.stop();
    fs::remove_file(larder.blob(&module.url("info"))).unwrap();
    larder.restart();
    for _ in 0..3 {
        larder.get(&module.url("info")).ok();
        larder.get(&other).ok();
    }
    larder.wait_stderr("it is gone from the disk");
    let told = larder.stderr().matches("it is gone from the disk").count();
    assert_eq!(told, 1, "{}", larder.stderr());
}
