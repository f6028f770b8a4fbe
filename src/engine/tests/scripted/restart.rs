//! The process ends while something is being published, and another one begins where it was.

use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::engine::tests::held::{At, HeldCatalog, Hold};
use crate::store::{AbsentSlot, FactKey};

const MOD: &str = "example.com/m/@v/v1.0.0.mod";
const ZIP: &str = "example.com/m/@v/v1.0.0.zip";

/// With a clock that goes on: publishing is done by threads.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn origin() -> Arc<FakeOrigin> {
    FakeOrigin::new("a")
        .says(".mod", [body("module example.com/m\n")])
        .says(".zip", [Step::Body(zip(1000))])
}

fn held(origin: &Arc<FakeOrigin>) -> (Arc<HeldCatalog>, World) {
    let mut setup = Setup::of(chain("a", &[origin]));
    let shared: SharedClock = setup.clock.clone();
    let catalog = Arc::new(HeldCatalog::new(&shared));
    setup.catalog = catalog.clone();
    (catalog, setup.build())
}

/// A client has been answered; the file is in its place, and its record is about to be written.
async fn about_to_be_recorded(catalog: &HeldCatalog, world: &World, path: &str) -> Hold {
    let Key::File(file) = key(path) else {
        panic!("only files are published");
    };
    let mut hold = catalog.hold(At::Change, FactKey::File(file));
    let answer = world.ask(path).await.unwrap();
    assert_eq!(landed(world, answer).await.unwrap().cache, STORED);
    hold.reached().await;
    assert!(world.dir.path().join("modules").join(path).exists());
    hold
}

#[test]
fn what_was_about_to_be_recorded_is_not_there_after_an_end_and_is_fetched_again() {
    for path in [MOD, ZIP] {
        let origin = origin();
        let first = runtime();
        let (catalog, world) = held(&origin);
        let hold = first.block_on(about_to_be_recorded(&catalog, &world, path));
        drop(first);
        drop(hold);
        runtime().block_on(async {
            let world = Setup::after(&world, chain("a", &[&origin])).build();
            assert!(world.ask_kept(path).await.unwrap_err().is_absent());
            let answer = world.ask(path).await.unwrap();
            assert_eq!(landed(&world, answer).await.unwrap().cache, STORED);
            world.quiet().await;
            assert_eq!(world.ask_kept(path).await.unwrap().cache, CacheStatus::Hit);
            assert_eq!(origin.asked(), 2);
        });
    }
}

#[test]
fn who_stops_in_an_orderly_way_waits_for_what_is_being_recorded() {
    for path in [MOD, ZIP] {
        let origin = origin();
        let first = runtime();
        let (catalog, world) = held(&origin);
        first.block_on(async {
            let hold = about_to_be_recorded(&catalog, &world, path).await;
            assert_eq!(world.engine.flights(), 1);
            hold.go_on();
            world.quiet().await;
            world.engine.store().close().await;
        });
        drop(first);
        runtime().block_on(async {
            let world = Setup::after(&world, chain("a", &[&origin])).build();
            assert_eq!(world.ask_kept(path).await.unwrap().cache, CacheStatus::Hit);
            assert_eq!(origin.asked(), 1);
        });
    }
}

#[test]
fn what_is_recorded_when_the_store_has_been_closed_is_not_kept_and_ends() {
    runtime().block_on(async {
        let (catalog, world) = held(&origin());
        let hold = about_to_be_recorded(&catalog, &world, MOD).await;
        world.engine.store().close().await;
        hold.go_on();
        world.quiet().await;
        assert_eq!(world.engine.metrics.unkept.get(), 1);
        assert!(world.ask_kept(MOD).await.unwrap_err().is_absent());
    });
}

#[test]
fn who_stops_in_an_orderly_way_waits_for_what_was_found_absent() {
    const PATH: &str = "example.com/m/@v/v1.0.0.mod";
    let origin = FakeOrigin::new("a");
    let first = runtime();
    let (catalog, world) = held(&origin);
    first.block_on(async {
        let slot = AbsentSlot::of(&key(PATH).to_string());
        let mut hold = catalog.hold(At::Change, FactKey::Absent(slot));
        assert!(world.ask(PATH).await.unwrap_err().is_absent());
        hold.reached().await;
        let engine = Arc::clone(&world.engine);
        let ended = tokio::spawn(async move { engine.flights_ended().await });
        world.stand().await;
        assert!(!ended.is_finished());
        hold.go_on();
        ended.await.unwrap();
        world.engine.store().close().await;
    });
    drop(first);
    runtime().block_on(async {
        let origin = FakeOrigin::new("a").says(".mod", [Step::Fails(Class::Upstream)]);
        let world = Setup::after(&world, chain("a", &[&origin])).build();
        assert!(world.ask(PATH).await.unwrap_err().is_absent());
        assert_eq!(origin.asked(), 1);
    });
}
