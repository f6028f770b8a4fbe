//! Disks that are full, small, read-only, or several: hits go on, keeping resumes by itself, and nothing is said to be
//! kept that is not.

use crate::support::*;
use std::fs;

fn module(name: &str) -> Module {
    Module::new(&format!("example.com/{name}"), "v1.0.0").file("data", zip::noise(100_000, 6))
}

/// Everything of the module is kept.
fn fill(larder: &Larder, module: &Module) {
    for path in [
        module.url("info"),
        module.url("mod"),
        module.url("zip"),
        module.list_url(),
    ] {
        larder.get_hit(&path);
    }
}

#[track_caller]
fn served(larder: &Larder, module: &Module) {
    for kind in ["info", "mod", "zip"] {
        let answer = larder.get(&module.url(kind));
        assert!(answer.is_hit(), "{}", answer.describe());
    }
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    assert_eq!(larder.get_kept(&module.list_url()).ok(), b"v1.0.0\n");
}

#[track_caller]
fn claims(larder: &Larder, path: &str) -> bool {
    let answer = larder.get(path);
    answer.ok();
    answer.header("cache-status").unwrap().contains("stored")
}

#[test]
fn a_restart_on_a_full_disk_serves_what_is_kept_and_keeps_again_once_there_is_room() {
    for spare in [true, false] {
        let (kept, other) = (module("kept"), module("other"));
        let up = FakeUpstream::serving(&[kept.clone(), other.clone()]);
        let builder = larder().of(&up).set("store.reserve", "1MB");
        let Some(disk) = SmallDisk::mount(&builder, "data", 24) else {
            return;
        };
        let mut larder = builder.start();
        let spare_file = larder.data_dir().join("spare");
        until("spare room", || spare_file.exists().then_some(()));
        fill(&larder, &kept);
        larder.run(&["token", "new", "ci"]).expect(0);
        assert_eq!(larder.stop(), 0);
        if !spare {
            fs::remove_file(&spare_file).unwrap();
        }
        disk.fill(0);
        larder.restart();
        served(&larder, &kept);
        assert!(!claims(&larder, &other.url("zip")));
        assert!(!claims(&larder, &other.list_url()));
        let ready = larder.get("/readyz").expect(200).text();
        assert!(ready.contains("\"keeping\": false"), "{ready}");
        assert_eq!(ready.contains("in memory"), !spare, "{ready}");
        let tokens = larder.run(&["token", "list"]).expect(0);
        assert!(tokens.stdout.contains("ci"), "{tokens:?}");
        if !spare {
            // It would be forgotten.
            let refused = larder.run(&["token", "new", "other"]).expect(1);
            assert!(refused.stderr.contains("the disk is full"), "{refused:?}");
            assert!(!larder.run(&["token", "list"]).stdout.contains("other"));
        }
        // Once more, and by a kill.
        larder.kill9();
        larder.restart();
        served(&larder, &kept);

        disk.empty();
        larder.get_hit(&other.url("zip"));
        larder.wait_stderr("there is room on the disk again");
        until("spare room", || spare_file.exists().then_some(()));
        fill(&larder, &other);
        larder.run(&["token", "new", "later"]).expect(0);
        larder.stop();
        let dead = DeadPort::new();
        larder.restart_with(|b| b.upstream(&dead.url()));
        served(&larder, &kept);
        served(&larder, &other);
        let tokens = larder.run(&["token", "list"]).stdout;
        assert!(
            tokens.contains("ci") && tokens.contains("later"),
            "{tokens}"
        );
    }
}

#[test]
fn a_first_start_on_a_full_disk_serves_what_it_fetches_and_keeps_later() {
    let module = module("m");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let builder = larder().of(&up);
    let Some(disk) = SmallDisk::mount(&builder, "data", 16) else {
        return;
    };
    disk.fill(0);
    fs::rename(
        builder.data_dir().join("filler"),
        builder.data_dir().join("lost+found"),
    )
    .unwrap();
    let mut larder = builder.start();
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    larder.stop();
    // As it was left, it is known as Larder's own.
    larder.restart();
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
    larder.stop();
    fs::remove_file(larder.data_dir().join("lost+found")).unwrap();
    larder.restart();
    larder.get_hit(&module.url("zip"));
}

#[test]
fn a_disk_that_fills_while_it_runs_ends_no_hits_and_is_told_once() {
    let modules: Vec<_> = (0..20).map(|n| module(&format!("m{n}"))).collect();
    let up = FakeUpstream::serving(&modules);
    // Without a reserve, only writing finds out.
    let builder = larder().of(&up).set("store.reserve", "0");
    let Some(disk) = SmallDisk::mount(&builder, "data", 24) else {
        return;
    };
    let larder = builder.start();
    fill(&larder, &modules[0]);
    disk.fill(0);
    for module in &modules[1..] {
        for path in [
            module.url("info"),
            module.url("mod"),
            module.url("zip"),
            module.list_url(),
        ] {
            larder.get(&path).ok();
        }
    }
    served(&larder, &modules[0]);
    let last = &modules[19];
    for path in [last.url("info"), last.url("zip"), last.list_url()] {
        let answer = larder.get_with(&path, "Cache-Control", "no-cache");
        answer.ok();
        let status = answer.header("cache-status").unwrap();
        assert!(!status.contains("stored"), "{path}: {status}");
    }
    let ready = larder.get("/readyz").expect(200).text();
    assert!(ready.contains("\"keeping\": false"), "{ready}");
    let log = larder.stderr();
    assert!(log.matches("could not be kept").count() < 5, "{log}");
    disk.empty();
    larder.get_hit(&last.url("zip"));
    fill(&larder, last);
}

#[test]
fn reaching_the_reserve_is_told_once_and_so_is_leaving_it() {
    let module = module("m");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let builder = larder().of(&up);
    let Some(disk) = SmallDisk::mount(&builder, "data", 32) else {
        return;
    };
    let larder = builder.start();
    // The default reserve would be more than this disk has.
    assert!(claims(&larder, &module.url("info")));
    larder.get_hit(&module.url("zip"));
    let low = "less than store.reserve is free";
    assert!(!larder.stderr().contains(low));
    disk.fill(2_000_000);
    larder.wait_stderr(low);
    assert!(larder.stderr().contains("reserve=3355443"));
    disk.empty();
    larder.wait_stderr("there is room on the disk again");
    assert_eq!(larder.stderr().matches(low).count(), 1);
}

#[test]
fn folders_on_other_file_systems_are_kept_in() {
    for folder in ["modules", "tmp", "sumdb", "index", "modules/example.com"] {
        let module = module("m");
        let up = FakeUpstream::serving(std::slice::from_ref(&module));
        let builder = larder().of(&up);
        // What is there at a second start.
        let first = builder.clone().start();
        fill(&first, &module);
        drop(first);
        let folder_path = format!("data/{folder}");
        if folder == "index" || folder.contains('/') {
            fs::remove_dir_all(builder.home().join(&folder_path)).unwrap();
        }
        let Some(disk) = SmallDisk::mount(&builder, &folder_path, 64) else {
            return;
        };
        let mut larder = builder.set("store.reserve", "4MB").start();
        let (other, log) = (
            Module::new("example.com/other", "v1.0.0"),
            "could not be kept",
        );
        up.add(&other);
        for module in [&module, &other] {
            for kind in ["info", "mod", "zip"] {
                larder.get_hit(&module.url(kind));
            }
        }
        assert!(
            !larder.stderr().contains(log),
            "{folder}: {}",
            larder.stderr()
        );
        assert!(larder.blob(&other.url("zip")).exists(), "{folder}");
        larder.stop();
        larder.restart();
        assert!(larder.get(&other.url("zip")).is_hit(), "{folder}");
        if folder.starts_with("modules") {
            let left = larder.files("modules");
            let left = left
                .iter()
                .filter(|path| path.to_string_lossy().contains("larder-"));
            assert_eq!(left.count(), 0);
        }
        if folder == "modules" {
            // Its room is what counts.
            disk.fill(1_000_000);
            until("no more to be kept", || {
                larder
                    .get("/readyz")
                    .text()
                    .contains("\"keeping\": false")
                    .then_some(())
            });
            disk.empty();
        }
    }
}

#[test]
fn a_link_to_another_file_system_is_kept_in() {
    let module = module("m");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let builder = larder().of(&up);
    let Some(_disk) = SmallDisk::mount(&builder, "elsewhere", 64) else {
        return;
    };
    fs::create_dir(builder.data_dir()).unwrap();
    let link = builder.data_dir().join("modules");
    std::os::unix::fs::symlink(builder.home().join("elsewhere"), link).unwrap();
    let larder = builder.start();
    fill(&larder, &module);
    assert!(
        larder
            .home()
            .join("elsewhere/example.com/m/@v/v1.0.0.zip")
            .exists()
    );
}

#[test]
fn a_disk_that_turns_read_only_ends_no_hits() {
    let (kept, other) = (module("kept"), module("other"));
    let up = FakeUpstream::serving(&[kept.clone(), other.clone()]);
    let builder = larder().of(&up);
    let Some(disk) = SmallDisk::mount(&builder, "data", 64) else {
        return;
    };
    let mut larder = builder.start();
    fill(&larder, &kept);
    larder.stop();
    disk.set_read_only(true);
    larder.restart();
    served(&larder, &kept);
    larder.get(&other.url("zip")).ok();
    assert!(!claims(&larder, &other.url("zip")));
    disk.set_read_only(false);
    larder.get_hit(&other.url("zip"));
}

#[test]
fn what_could_not_be_kept_is_not_said_to_be() {
    let (blocked, other) = (module("blocked"), module("other"));
    let up = FakeUpstream::serving(&[blocked.clone(), other.clone()]);
    let larder = larder().of(&up).start();
    let taken = larder.data_dir().join("modules/example.com");
    fs::create_dir(&taken).unwrap();
    // A file where a folder should be cannot be overcome by anyone, root included.
    fs::write(taken.join("blocked"), "").unwrap();
    for path in [blocked.url("info"), blocked.url("mod"), blocked.url("zip")] {
        until("no claim to have stored it", || {
            (!claims(&larder, &path)).then_some(())
        });
        assert!(!claims(&larder, &path));
    }
    larder.wait_stderr("could not be kept");
    // That is its own trouble, and nobody else's.
    assert!(claims(&larder, &other.url("info")));
    larder.get_hit(&other.url("zip"));
    fs::remove_file(taken.join("blocked")).unwrap();
    larder.get_hit(&blocked.url("zip"));
}
