//! Signed notes (checklist 76).

use super::*;

#[test]
fn c76_bad_notes_with_a_look_up_are_refused_and_forgotten() {
    let world = world();
    let larder = world.larder().no_breaker().start();
    let id = world.log.id(&world.first);
    let record = world.log.record(id);
    let path = lookup_path(&world.first);
    for (what, note) in world.log.bad_notes(SIZE) {
        let body = [format!("{id}\n{record}\n").as_bytes(), &note].concat();
        world.log.forge(&path, body);
        for path in [
            world.lookup(&world.first),
            world.first.url("mod"),
            world.first.url("zip"),
        ] {
            let answer = larder.get(&path);
            assert_eq!(answer.status, 502, "{what}: {path}: {}", answer.describe());
            answer.refuses(&[502]);
        }
        nothing_kept(&larder, &world.first);
    }
    assert_ne!(alarm(&larder, &world.log).as_deref(), Some("fork"));
    world.log.heal();
    assert_eq!(
        larder.get(&world.lookup(&world.first)).ok(),
        world.log.answer(&world.first)
    );
    vouched_for(&larder, &world.first);
}

#[test]
fn c76_bad_notes_are_no_latest_head() {
    let kinds = world().log.bad_notes(SIZE);
    for (what, note) in kinds {
        let world = world();
        world.log.forge("/latest", note);
        let larder = world.larder().no_breaker().start();
        let path = world.log.url("/latest");
        let answer = larder.get(&path);
        assert_eq!(answer.status, 502, "{what}: {}", answer.describe());
        world.log.heal();
        let answer = larder.get(&path);
        assert_eq!(answer.ok(), world.log.latest().as_bytes(), "{what}");
    }
}

#[test]
fn c76_a_bad_latest_does_not_replace_the_head_that_is_kept() {
    let world = world();
    let mut larder = world.larder().no_breaker().start();
    vouched_for(&larder, &world.first);
    let head = world.log.head(SIZE);
    for (what, note) in world.log.bad_notes(SIZE).into_iter().take(6) {
        world.log.forge("/latest", note);
        larder.stop();
        larder.restart();
        let answer = larder.get(&world.log.url("/latest"));
        assert!(
            answer.status == 502 || answer.ok() == head.as_bytes(),
            "{what}: {}",
            answer.describe()
        );
        vouched_for(&larder, &world.first);
        assert_eq!(state_of(&larder, &world.log.name())["size"], SIZE);
    }
    world.log.heal();
    vouched_for(&larder, &world.last);
}

#[test]
fn c76_further_signatures_by_strangers_are_ignored() {
    let world = world();
    let id = world.log.id(&world.first);
    let mut body = world.log.body(id, SIZE);
    // A stranger's signature, and one by a stranger of the same name.
    body.push_str("\u{2014} other.example/n AAAAAAEC\n");
    let name = world.log.name();
    body.push_str(&format!("\u{2014} {name} AAAAAAEC\n"));
    world.log.forge(&lookup_path(&world.first), body.clone());
    let larder = world.larder().start();
    let answer = larder.get(&world.lookup(&world.first));
    assert_eq!(answer.ok(), body.as_bytes());
    vouched_for(&larder, &world.first);
}

#[test]
fn c76_a_hundred_signatures_are_not_too_many() {
    let world = world();
    let mut note = world.log.head(SIZE);
    for n in 0..99 {
        note.push_str(&format!("\u{2014} other.example/n{n} AAAAAAEC\n"));
    }
    world.log.forge("/latest", note.clone());
    let larder = world.larder().start();
    let answer = larder.get(&world.log.url("/latest"));
    assert_eq!(answer.ok(), note.as_bytes());
}

#[test]
fn another_key_than_the_database_s_own_verifies_nothing() {
    let world = world();
    let stranger = Log::named(&world.log.name(), 99);
    let larder = larder()
        .of(&world.up)
        .sumdb(&stranger.verifier())
        .no_breaker()
        .start();
    refused(&larder, &world.first);
    larder.get(&world.lookup(&world.first)).refuses(&[502]);
    larder.get(&world.log.url("/latest")).refuses(&[502]);
}
