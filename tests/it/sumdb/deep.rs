//! A log of more than 65,536 records, so that there are tiles on three levels.

use super::*;

const DEEP: usize = 66_000;

#[test]
fn a_log_of_three_levels() {
    let world = world();
    world.log.fill(40_000, "deep");
    let middle = world.publish("middle");
    world.log.fill(DEEP, "deep");
    let newest = world.publish("newest");
    world.log.sign_with(&world.second, 30_001);
    world.log.sign_with(&middle, 65_536);
    let larder = world.larder().no_breaker().start();
    for module in [&world.second, &newest, &world.first, &middle, &world.last] {
        vouched_for(&larder, module);
    }
    assert!(world.up.count("*/tile/8/2/000.p/1") <= 1);
    world.assert_tiles_once();
    for rest in ["/tile/8/1/000", "/tile/8/0/156", "/tile/8/2/000.p/1"] {
        assert_eq!(larder.get(&world.log.url(rest)).status, 200, "{rest}");
    }
    assert_eq!(alarm(&larder, &world.log), None);
}

#[test]
fn c77_forgeries_in_the_middle_of_three_levels() {
    let world = world();
    world.log.fill(40_000, "deep");
    let middle = world.publish("middle");
    world.log.fill(DEEP, "deep");
    // The record's tile and its parent, which are not of the root set, and their root.
    for (level, index, slot) in [(0, 156, 64), (0, 156, 0), (1, 0, 156), (1, 0, 3), (2, 0, 0)] {
        let larder = world.larder().no_breaker().start();
        world.log.flip(level, index, slot);
        let answer = larder.get(&middle.url("mod"));
        assert_eq!(answer.status, 502, "{level}/{index}: {}", answer.describe());
        let answer = larder.get(&world.lookup(&middle));
        assert_eq!(answer.status, 502, "{level}/{index}: {}", answer.describe());
        nothing_kept(&larder, &middle);
        world.log.heal();
        vouched_for(&larder, &middle);
    }
}
