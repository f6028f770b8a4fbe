//! What no database vouches for is held to what was seen first (design 9).

use super::*;
use crate::support::server::Builder;
use std::fs;

fn ours() -> Module {
    Module::new("example.com/Ours/a", "v1.0.0")
}

/// The same version with another content.
fn changed(module: &Module, name: &str) -> Module {
    module
        .clone()
        .gomod_more(&format!("\n// {name}\n"))
        .file("changed.go", format!("package {name}\n"))
}

/// The ways in which a module comes to be held to it.
fn ways(world: &World) -> [(&'static str, Builder); 3] {
    [
        (
            "excluded",
            world.larder().set("sumdb.exclude", "example.com/Ours"),
        ),
        ("no database", larder().of(&world.up)),
        (
            "unknown",
            world.larder().set("sumdb.on_unknown", "first-seen"),
        ),
    ]
}

#[track_caller]
fn held(larder: &Larder, module: &Module) {
    for (kind, bytes) in [("mod", module.mod_bytes()), ("zip", module.zip_bytes())] {
        let answer = larder.get_hit(&module.url(kind));
        assert_eq!(answer.ok(), bytes);
        assert_eq!(verified(&answer), "first-seen", "{}", answer.describe());
    }
}

/// Both files are lost while the server is stopped.
#[track_caller]
fn lose_files(larder: &mut Larder, module: &Module) {
    larder.stop();
    for kind in ["mod", "zip"] {
        fs::remove_file(larder.blob(&module.url(kind))).unwrap();
    }
    larder.run(&["index", "verify", "--repair"]);
    larder.restart();
}

/// It holds against what upstream has now; returns what was said.
#[track_caller]
fn refused_as_changed(larder: &Larder, module: &Module, kind: &str) -> String {
    let text = larder.get(&module.url(kind)).refuses(&[502]);
    assert!(text.contains("larder first-seen accept"), "{text}");
    assert!(text.contains("example.com/Ours/a@v1.0.0"), "{text}");
    larder.get_kept(&module.url(kind)).refuses(&[404]);
    text
}

#[test]
fn the_first_content_is_what_holds() {
    for which in 0..3 {
        let world = world();
        let module = ours();
        world.up.add(&module);
        let (what, builder) = ways(&world).into_iter().nth(which).unwrap();
        let mut larder = builder.start();
        held(&larder, &module);
        let evil = changed(&module, "evil");
        world.up.add(&evil);
        lose_files(&mut larder, &module);
        for kind in ["mod", "zip"] {
            let text = refused_as_changed(&larder, &module, kind);
            let hashes = match kind {
                "mod" => [module.mod_h1(), evil.mod_h1()],
                _ => [module.h1(), evil.h1()],
            };
            for hash in &hashes {
                assert!(text.contains(hash.as_str()), "{what}: {text}");
            }
            let asked = world.up.count(&module.url(kind));
            refused_as_changed(&larder, &module, kind);
            assert_eq!(world.up.count(&module.url(kind)), asked + 1);
        }
        // The old content is as good as ever.
        world.up.add(&module);
        for kind in ["mod", "zip"] {
            assert_eq!(
                verified(&larder.get(&module.url(kind))),
                "first-seen",
                "{what}"
            );
        }
        held(&larder, &module);
    }
}

#[test]
fn a_removed_file_is_enough_while_the_index_still_knows_it() {
    let world = world();
    let module = ours();
    world.up.add(&module);
    let mut larder = larder().of(&world.up).start();
    held(&larder, &module);
    world.up.add(&changed(&module, "evil"));
    larder.stop();
    fs::remove_file(larder.blob(&module.url("zip"))).unwrap();
    larder.restart();
    // That the file is gone may be noticed by the first who asks for it.
    let text = until("it to hold", || {
        let answer = larder.get(&module.url("zip"));
        assert_ne!(answer.status, 200, "{}", answer.describe());
        (answer.status == 502).then(|| answer.text())
    });
    assert!(text.contains("larder first-seen accept"), "{text}");
}

#[test]
fn first_seen_checksums_outlast_the_loss_of_everything_else() {
    let world = world();
    let module = ours();
    world.up.add(&module);
    let mut larder = larder().of(&world.up).start();
    held(&larder, &module);
    larder.stop();
    fs::remove_dir_all(larder.data_dir().join("modules/example.com")).unwrap();
    larder.run(&["index", "verify", "--repair"]);
    world.up.add(&changed(&module, "evil"));
    larder.restart();
    refused_as_changed(&larder, &module, "zip");
}

#[test]
fn a_large_zip_against_it_never_arrives_whole() {
    let world = world();
    let module = ours().file("data", zip::noise(3 << 20, 4));
    world.up.add(&module);
    let mut larder = larder().of(&world.up).no_breaker().start();
    held(&larder, &module);
    let evil = module.clone().file("data", zip::noise(3 << 20, 5));
    world.up.add(&evil);
    lose_files(&mut larder, &module);
    let answer = Request::get(&module.url("zip")).try_send(larder.addr());
    if let Ok(answer) = answer {
        assert!(!answer.is_ok(), "{}", answer.status);
        assert!(answer.body.len() <= evil.zip_bytes().len() - (64 << 10));
    }
    larder.get_kept(&module.url("zip")).refuses(&[404]);
}

#[track_caller]
fn first_seen(larder: &Larder, arguments: &[&str]) -> String {
    let finished = larder.run(&[&["first-seen"], arguments].concat()).expect(0);
    finished.stdout
}

const NAME: &str = "example.com/Ours/a@v1.0.0";

#[test]
fn first_seen_checksums_are_listed_whether_the_server_runs_or_not() {
    let world = world();
    let module = ours();
    world.up.add(&module);
    let builder = world.larder().set("sumdb.exclude", "example.com/Ours");
    let mut larder = builder.start();
    assert!(!first_seen(&larder, &["list"]).contains(NAME));
    held(&larder, &module);
    vouched_for(&larder, &world.first);
    let listed = |larder: &Larder| {
        let text = first_seen(larder, &["list"]);
        assert!(text.contains("example.com/Ours/a"), "{text}");
        assert!(text.contains("v1.0.0"), "{text}");
        assert!(text.contains(&module.h1()), "{text}");
        assert!(!text.contains("example.com/First"), "has a record: {text}");
    };
    listed(&larder);
    larder.stop();
    listed(&larder);
}

/// A first-seen checksum that upstream does not meet any more.
fn mismatch() -> (World, Module, Module, Larder) {
    let world = world();
    let module = ours();
    world.up.add(&module);
    let mut larder = larder().of(&world.up).start();
    held(&larder, &module);
    let other = changed(&module, "other");
    world.up.add(&other);
    lose_files(&mut larder, &module);
    refused_as_changed(&larder, &module, "zip");
    refused_as_changed(&larder, &module, "mod");
    (world, module, other, larder)
}

#[test]
fn accepting_lets_the_next_content_take_its_place() {
    for running in [true, false] {
        let (world, module, other, mut larder) = mismatch();
        if running {
            first_seen(&larder, &["accept", NAME]);
        } else {
            larder.stop();
            first_seen(&larder, &["accept", NAME]);
            larder.restart();
        }
        held(&larder, &other);
        assert!(first_seen(&larder, &["list"]).contains(&other.h1()));
        // Once: a third content is as unwelcome as the second was.
        world.up.add(&changed(&module, "third"));
        lose_files(&mut larder, &module);
        refused_as_changed(&larder, &module, "zip");
        refused_as_changed(&larder, &module, "mod");
    }
}

#[test]
fn accepting_twice_or_for_nothing_harms_nobody() {
    let (_world, _module, other, larder) = mismatch();
    first_seen(&larder, &["accept", NAME]);
    first_seen(&larder, &["accept", NAME]);
    held(&larder, &other);
}

#[test]
fn removing_forgets_it() {
    for running in [true, false] {
        let (_world, module, other, mut larder) = mismatch();
        if running {
            first_seen(&larder, &["remove", NAME]);
        } else {
            larder.stop();
            first_seen(&larder, &["remove", NAME]);
            larder.restart();
        }
        assert!(!first_seen(&larder, &["list"]).contains(&module.h1()));
        held(&larder, &other);
        assert!(first_seen(&larder, &["list"]).contains(&other.h1()));
    }
}

#[test]
fn commands_for_them_say_what_is_wrong_with_them() {
    let world = world();
    let mut larder = larder().of(&world.up).start();
    for running in [true, false] {
        if !running {
            larder.stop();
        }
        for arguments in [
            &["first-seen"][..],
            &["first-seen", "accept"],
            &["first-seen", "remove"],
            &["first-seen", "no-such-verb"],
        ] {
            let finished = larder.run(arguments);
            assert_eq!(finished.code, Some(2), "{arguments:?}: {finished:?}");
        }
        for name in ["example.com/none@v1.0.0", "example.com/none", "@", "x@v1"] {
            let finished = larder.run(&["first-seen", "remove", name]);
            assert_ne!(finished.code, Some(0), "{name}: {finished:?}");
            assert!(finished.stderr.contains(name), "{finished:?}");
        }
    }
}

#[test]
fn what_the_database_vouches_for_is_not_held_to_it() {
    let world = world();
    let larder = world.larder().start();
    vouched_for(&larder, &world.first);
    assert!(!first_seen(&larder, &["list"]).contains("example.com/First"));
}

#[test]
fn c88_toolchains_are_held_to_it_only_where_there_is_no_database() {
    let version = "v0.0.1-go1.999testmod.linux-amd64";
    let prefix = format!("golang.org/toolchain@{version}/");
    let zip = Zip::new().file(format!("{prefix}bin/go"), "#!/bin/sh\n");
    let toolchain = Module::new("golang.org/toolchain", version)
        .gomod("module golang.org/toolchain\n")
        .zip(zip.build());
    let world = world();
    world.up.add(&toolchain);
    let without = larder().of(&world.up).start();
    assert_eq!(verified(&without.get(&toolchain.url("zip"))), "first-seen");
    // Unknown to the database, and not to be waved through by a pattern.
    let with = world.larder().set("sumdb.exclude", "golang.org/*").start();
    with.get(&toolchain.url("zip")).refuses(&[502]);
    assert_eq!(world.lookups(&toolchain), 1);
}

#[test]
fn it_holds_while_the_database_cannot_be_asked() {
    let world = world();
    let module = ours();
    world.up.add(&module);
    let mut larder = world
        .larder()
        .set("sumdb.on_unknown", "first-seen")
        .no_breaker()
        .start();
    larder.get(&module.url("mod")).ok();
    larder.get(&module.url("zip")).ok();
    lose_files(&mut larder, &module);
    let other = changed(&module, "other");
    world.up.add(&other);
    world.up.rule("/sumdb/*", Fault::status(500));
    for kind in ["mod", "zip"] {
        refused_as_changed(&larder, &other, kind);
    }
    world.up.add(&module);
    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
}
