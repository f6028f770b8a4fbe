//! Heads of many sizes, growth, and what is left after a sudden end.

use super::*;
use crate::support::sumdb::Partials;

/// Modules all over the log, each look-up signed by a head of its own.
pub(super) fn many_heads(world: &World) -> Vec<Module> {
    let modules: Vec<Module> = (0..12).map(|n| world.publish(&format!("m{n}x"))).collect();
    world.log.fill(1200, "between");
    let all: Vec<Module> = [&world.first, &world.second, &world.last]
        .into_iter()
        .chain(&modules)
        .cloned()
        .collect();
    for (n, module) in all.iter().enumerate() {
        // From just large enough to today's, and none of them in order.
        let id = world.log.id(module);
        let size = id + 1 + (n * 7919) % (world.log.size() - id);
        world.log.sign_with(module, size);
    }
    all
}

/// The size of the largest head that came with a look-up of these.
fn largest(world: &World, modules: &[Module]) -> usize {
    let size = |module: &Module| {
        let body = world.log.answer(module);
        let text = String::from_utf8(body.to_vec()).unwrap();
        let tree = text.split("go.sum database tree\n").nth(1).unwrap();
        tree.lines().next().unwrap().parse().unwrap()
    };
    modules.iter().map(size).max().unwrap()
}

/// How large the tree is that Larder knows.
#[track_caller]
fn size(larder: &Larder, world: &World) -> usize {
    let size = state_of(larder, &world.log.name())["size"].as_u64();
    size.expect("a verified head") as usize
}

#[test]
fn every_look_up_may_come_with_another_head() {
    for seed in 0..3 {
        let world = world();
        let mut modules = many_heads(&world);
        fastrand::Rng::with_seed(seed).shuffle(&mut modules);
        let larder = world.larder().start();
        for module in &modules {
            vouched_for(&larder, module);
            let answer = larder.get(&world.lookup(module));
            assert_eq!(answer.ok(), world.log.answer(module), "byte for byte");
        }
        assert_eq!(alarm(&larder, &world.log), None);
        assert!(size(&larder, &world) >= largest(&world, &modules));
        world.assert_tiles_once();
    }
}

#[test]
fn look_ups_bring_heads_of_their_own_where_latest_cannot_be_had() {
    for fault in [Fault::status(500), Fault::status(404), Fault::html()] {
        let world = world();
        world.up.rule("*/latest", fault);
        let larder = world.larder().no_breaker().start();
        vouched_for(&larder, &world.last);
        vouched_for(&larder, &world.first);
        assert_eq!(size(&larder, &world), SIZE);
        let head = larder.get(&world.log.url("/latest"));
        assert!(
            head.status == 502 || head.ok() == world.log.head(SIZE).as_bytes(),
            "{}",
            head.describe()
        );
    }
}

#[test]
fn many_heads_at_a_time() {
    let world = world();
    let modules = many_heads(&world);
    let larder = world.larder().start();
    std::thread::scope(|scope| {
        for module in &modules {
            scope.spawn(|| vouched_for(&larder, module));
            scope.spawn(|| {
                larder.get(&world.lookup(module)).ok();
            });
        }
    });
    assert_eq!(alarm(&larder, &world.log), None);
    for module in &modules {
        assert_eq!(world.lookups(module), 1, "{}", module.path);
    }
    assert!(size(&larder, &world) >= largest(&world, &modules));
}

#[test]
fn partial_tiles_of_older_sizes_may_be_gone() {
    for partials in [Partials::UntilFull, Partials::Gone] {
        let world = world();
        // With a multiple of 256 records every tile of level 0 is full.
        world.log.fill(768, "m");
        world.log.sign_with(&world.first, 20);
        world.log.sign_with(&world.second, 500);
        world.log.sign_with(&world.last, 700);
        world.log.partials(partials);
        if partials == Partials::Gone {
            // But that of level 1 never is in a log of this size.
            let hashes = world.log.tile(1, 0, 3);
            for width in 1..=3 {
                let path = sumdb::tile_path("1", 0, width);
                world.log.forge(&path, hashes[..32 * width].to_vec());
            }
        }
        let larder = world.larder().start();
        for module in [&world.first, &world.second, &world.last] {
            vouched_for(&larder, module);
        }
        assert_eq!(alarm(&larder, &world.log), None);
        assert!(world.up.count("*/tile/8/0/000") <= 1);
    }
}

#[test]
fn the_log_grows_while_we_look() {
    let world = world();
    let larder = world.larder().start();
    vouched_for(&larder, &world.first);
    for n in 0..10 {
        let module = world.publish(&format!("m{n}x"));
        world.log.fill(world.log.size() + 97, "later");
        vouched_for(&larder, &module);
        assert_eq!(size(&larder, &world), world.log.size());
    }
    assert_eq!(alarm(&larder, &world.log), None);
    world.assert_tiles_once();
}

#[test]
fn the_first_records_of_a_log() {
    // Trees of one, two, three records, and the sizes around a full tile.
    let log = Log::new();
    let up = FakeUpstream::start();
    log.install(&up);
    let larder = larder().of(&up).sumdb(&log.verifier()).start();
    for size in [1, 2, 3, 4, 5, 255, 256, 257, 258, 511, 512, 513] {
        log.fill(size - 1, "m");
        let module = Module::new(&format!("example.com/m{size}x"), "v1.0.0");
        log.add(&module);
        up.add(&module);
        vouched_for(&larder, &module);
        assert_eq!(state_of(&larder, &log.name())["size"], size);
    }
    assert_eq!(alarm(&larder, &log), None);
}

#[test]
fn an_empty_log_is_one_too() {
    let log = Log::new();
    let up = FakeUpstream::start();
    log.install(&up);
    let larder = larder().of(&up).sumdb(&log.verifier()).start();
    let latest = larder.get(&log.url("/latest"));
    assert_eq!(latest.ok(), log.head(0).as_bytes());
    let module = Module::new("example.com/m", "v1.0.0");
    log.add(&module);
    up.add(&module);
    vouched_for(&larder, &module);
}

#[test]
fn kill_9_costs_neither_head_nor_tiles_nor_records() {
    let mut world = world();
    let modules = many_heads(&world);
    let mut larder = world.larder().no_breaker().start();
    for module in &modules {
        vouched_for(&larder, module);
    }
    let head = larder.get(&world.log.url("/latest"));
    let mut paths = vec![world.log.url("/latest")];
    paths.extend((0..2).map(|index| world.log.url(&format!("/tile/8/0/00{index}"))));
    for module in &modules {
        paths.extend([module.url("mod"), module.url("zip"), world.lookup(module)]);
    }
    larder.wait_kept(&paths);
    larder.kill9();
    world.up.stop();
    larder.restart();
    larder.get(&world.log.url("/supported")).expect(200);
    assert_eq!(larder.get(&world.log.url("/latest")).ok(), head.ok());
    for module in &modules {
        let answer = larder.get(&world.lookup(module));
        assert_eq!(answer.ok(), world.log.answer(module));
        vouched_for(&larder, module);
    }
    for index in 0..2 {
        let tile = larder.get(&world.log.url(&format!("/tile/8/0/00{index}")));
        assert_eq!(tile.ok(), world.log.tile(0, index, 256));
    }
}

#[test]
fn kill_9_in_the_middle_of_verifying() {
    let world = world();
    let mut larder = world.larder().start();
    let mut all = Vec::new();
    for round in 1..=8 {
        let name = |n: usize| format!("r{round}m{n}x");
        let modules: Vec<Module> = (0..6).map(|n| world.publish(&name(n))).collect();
        world.log.fill(world.log.size() + 100, "between");
        world.up.forget();
        std::thread::scope(|scope| {
            let addr = larder.addr();
            for module in &modules {
                scope.spawn(move || {
                    let _ = Request::get(&module.url("mod")).try_send(addr);
                });
            }
            // Files and look-ups are twelve requests at least.
            world.up.wait("some requests", |seen| seen.len() >= round);
            larder.kill9();
        });
        larder.restart();
        all.extend(modules);
        for module in &all {
            vouched_for(&larder, module);
            let answer = larder.get(&world.lookup(module));
            let text = answer.expect(200).text();
            let record = world.log.record(world.log.id(module));
            assert!(text.contains(&record), "{text}");
        }
        assert_eq!(alarm(&larder, &world.log), None);
    }
}
