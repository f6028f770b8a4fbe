//! The relay's tiles (checklist 70 to 73).

use super::*;
use crate::support::sumdb::{Partials, tile_path};
use crate::support::until;
use std::path::PathBuf;

/// Every tile of the log at its present size.
fn tiles() -> [(usize, usize, usize); 4] {
    [(0, 0, 256), (0, 1, 256), (0, 2, SIZE - 512), (1, 0, 2)]
}

#[test]
fn c73_tiles_are_passed_on_byte_for_byte_and_kept() {
    let world = world();
    let mut larder = world.larder().start();
    let check = |larder: &Larder| {
        for (level, index, width) in tiles() {
            let path = world.log.url(&tile_path(&level.to_string(), index, width));
            let answer = larder.get(&path);
            assert_eq!(answer.ok(), world.log.tile(level, index, width), "{path}");
            assert_eq!(answer.body.len(), 32 * width);
            assert_eq!(
                answer.header("content-type"),
                Some("application/octet-stream")
            );
            assert_eq!(world.up.count(&path), 1, "{path}");
        }
    };
    check(&larder);
    check(&larder);
    larder.stop();
    larder.restart();
    check(&larder);
    world.assert_tiles_once();
}

#[test]
fn with_too_little_room_tiles_are_passed_on_and_not_kept() {
    let world = world();
    let larder = world.larder().set("store.reserve", "9000000TB").start();
    let ask = |kind: &str| {
        let path = world.log.url(&tile_path(kind, 0, 256));
        let answer = larder.get(&path);
        answer.ok();
        let status = answer.header("cache-status").unwrap();
        assert!(!status.contains("stored"), "{path}: {status}");
        world.up.count(&path)
    };
    ask("data");
    ask("0");
    // Whoever asks in the same moment shares the fetch of the one before.
    until("it is asked for again", || (ask("data") == 2).then_some(()));
    ask("0");
    assert_eq!(larder.files("sumdb"), [] as [PathBuf; 0]);
}

#[test]
fn data_tiles_are_passed_on_byte_for_byte_and_kept() {
    let world = world();
    let mut larder = world.larder().start();
    let check = |larder: &Larder| {
        for (index, width) in [(0, 256), (1, 256), (2, 1), (2, SIZE - 512)] {
            let path = world.log.url(&tile_path("data", index, width));
            let answer = larder.get(&path);
            assert_eq!(answer.ok(), world.log.data_tile(index, width), "{path}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/octet-stream")
            );
            assert_eq!(world.up.count(&path), 1, "{path}");
        }
    };
    check(&larder);
    larder.stop();
    larder.restart();
    check(&larder);
    larder
        .get(&world.log.url("/tile/8/data/003"))
        .refuses(&[404]);
}

#[test]
fn forged_data_tiles_are_refused() {
    let world = world();
    let larder = world.larder().no_breaker().start();
    let path = tile_path("data", 1, 256);
    let truth = world.log.data_tile(1, 256);
    let mut flipped = truth.clone();
    flipped[100] ^= 1;
    let shorter = truth[..truth.len() - 1].to_vec();
    let longer = [&truth[..], b"one more\n\n"].concat();
    for forged in [
        flipped,
        shorter,
        longer,
        Vec::new(),
        world.log.data_tile(0, 256),
    ] {
        world.log.forge(&path, forged);
        larder.get(&world.log.url(&path)).refuses(&[502]);
        world.log.heal();
    }
    assert_eq!(larder.get(&world.log.url(&path)).ok(), truth);
}

#[test]
fn c70_a_missing_partial_tile_is_not_found() {
    let world = world();
    world.log.partials(Partials::UntilFull);
    let larder = world.larder().start();
    for rest in ["/tile/8/0/000.p/20", "/tile/8/0/001.p/255"] {
        let path = world.log.url(rest);
        larder.get(&path).refuses(&[404]);
        assert!(world.up.count(&path) <= 1, "{:?}", world.up.paths());
    }
    assert_eq!(alarm(&larder, &world.log), None);
    // The client then takes the full one.
    let full = larder.get(&world.log.url("/tile/8/0/000"));
    assert_eq!(full.ok(), world.log.tile(0, 0, 256));
}

#[test]
fn a_partial_tile_is_answered_from_the_full_one_that_is_kept() {
    let world = world();
    let larder = world.larder().start();
    let full = world.log.url("/tile/8/0/001");
    larder.get(&full).ok();
    world.log.partials(Partials::Gone);
    world.up.forget();
    for width in [1, 7, 128, 255] {
        let answer = larder.get(&format!("{full}.p/{width}"));
        assert_eq!(answer.ok(), world.log.tile(0, 1, width));
        assert_eq!(
            answer.header("content-type"),
            Some("application/octet-stream")
        );
    }
    world.up.assert_untouched();
}

#[test]
fn tiles_that_do_not_exist_yet_are_not_found() {
    let world = world();
    let larder = world.larder().start();
    for rest in [
        "/tile/8/0/003",
        "/tile/8/0/002.p/189",
        "/tile/8/0/x001/000",
        "/tile/8/1/000",
        "/tile/8/2/000.p/1",
        "/tile/8/63/000",
    ] {
        larder.get(&world.log.url(rest)).refuses(&[404]);
    }
    // And they are there as soon as the log has grown.
    world.log.fill(1024, "later");
    let later = until("the new tile", || {
        let answer = larder.get(&world.log.url("/tile/8/0/002"));
        answer.is_ok().then_some(answer)
    });
    assert_eq!(later.ok(), world.log.tile(0, 2, 256));
}

#[test]
fn c71_paths_of_tiles_with_a_bad_syntax_go_nowhere() {
    let world = world();
    let larder = world.larder().start();
    larder.get(&world.log.url("/supported")).expect(200);
    world.up.forget();
    for rest in [
        "8/0/0",
        "8/0/00",
        "8/0/0000",
        "8/0/x000/000",
        "8/0/001/234",
        "8/0/x1/234",
        "8/0/x001/x234",
        "8/0/x001",
        "8/0/000.p/0",
        "8/0/000.p/256",
        "8/0/000.p/257",
        "8/0/000.p/05",
        "8/0/000.p/",
        "8/0/000.p",
        "8/0/000.p/+5",
        "8/0/000.p/5/6",
        "8/0/000.q/5",
        "8/0/000/",
        "08/0/000",
        "8/00/000",
        "8/01/000",
        "8/64/000",
        "8/-1/000",
        "8/+1/000",
        "0/0/000",
        "31/0/000",
        "8/0/",
        "8/0",
        "8",
        "8/0/-01",
        "8/0/abc",
        "8/0/%30%30%30x",
        "8/data/0",
        "8/data/000.p/0",
        "8/data/000.p/256",
        "8/Data/000",
        "8/0/x999999/x999/x999/x999/x999/x999/x999/999",
    ] {
        let answer = larder.get(&world.log.url(&format!("/tile/{rest}")));
        assert!(
            [400, 404].contains(&answer.status),
            "{rest}: {}",
            answer.describe()
        );
    }
    world.up.assert_untouched();
}

#[test]
fn c72_a_tile_is_as_long_as_it_says() {
    for (level, index, width) in tiles() {
        // Anew for each: with one of them come those that the head's hash is made of.
        let world = world();
        let larder = world.larder().no_breaker().start();
        let path = tile_path(&level.to_string(), index, width);
        let truth = world.log.tile(level, index, width);
        let longer = [&truth[..], &[0; 32]].concat();
        let odd = [&truth[..], &[0]].concat();
        for forged in [
            truth[..truth.len() - 1].to_vec(),
            truth[..truth.len() - 32].to_vec(),
            longer,
            odd,
            Vec::new(),
        ] {
            world.log.forge(&path, forged);
            larder.get(&world.log.url(&path)).refuses(&[502]);
            world.log.heal();
        }
        assert_eq!(larder.get(&world.log.url(&path)).ok(), truth, "{path}");
    }
}

#[test]
fn c72_a_truncated_tile_does_not_vouch_for_anything() {
    let world = world();
    let larder = world.larder().no_breaker().start();
    let path = "/tile/8/0/000";
    world
        .log
        .forge(path, world.log.tile(0, 0, 256)[..8191].to_vec());
    refused(&larder, &world.first);
    larder.get(&world.lookup(&world.first)).refuses(&[502]);
    world.log.heal();
    vouched_for(&larder, &world.first);
}

#[test]
fn c77_forged_tiles_are_not_passed_on() {
    for (level, index, width) in tiles() {
        let world = world();
        let larder = world.larder().no_breaker().start();
        let path = tile_path(&level.to_string(), index, width);
        for slot in [0, width / 2, width - 1] {
            world.log.flip(level, index, slot);
            larder.get(&world.log.url(&path)).refuses(&[502]);
            world.log.heal();
        }
        let answer = larder.get(&world.log.url(&path));
        assert_eq!(answer.ok(), world.log.tile(level, index, width), "{path}");
    }
}
