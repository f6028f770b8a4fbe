//! Where the database is asked: by way of the chain, at an address of its own, or at its name (4.6).

use super::*;

/// A second upstream with the same modules and a database.
fn second(world: &World) -> FakeUpstream {
    let up = FakeUpstream::serving(&[world.first.clone(), world.second.clone()]);
    world.log.install(&up);
    up
}

#[test]
fn the_first_upstream_that_supports_it_is_used_for_everything() {
    for status in [404, 410] {
        let world = world();
        let other = second(&world);
        world.up.rule("/sumdb/*/supported", Fault::status(status));
        let chain = format!("{},{}", world.up.url(), other.url());
        let larder = larder()
            .upstream(&chain)
            .sumdb(&world.log.verifier())
            .start();
        vouched_for(&larder, &world.first);
        larder.get(&world.log.url("/latest")).ok();
        assert!(world.up.count("/sumdb/*/supported") >= 1);
        assert_eq!(world.up.count("/sumdb/*/lookup/*"), 0);
        assert_eq!(world.up.count("/sumdb/*/tile/*"), 0);
        assert_eq!(other.count("*/lookup/*"), 1, "{:?}", other.paths());
        assert_eq!(other.count("*.zip"), 0, "the modules come from the first");
    }
}

#[test]
fn the_second_is_left_alone_while_the_first_supports_it() {
    let world = world();
    let other = second(&world);
    let chain = format!("{},{}", world.up.url(), other.url());
    let larder = larder()
        .upstream(&chain)
        .sumdb(&world.log.verifier())
        .start();
    vouched_for(&larder, &world.first);
    other.assert_untouched();
    // One answer of "supported" is enough for a while.
    vouched_for(&larder, &world.second);
    assert_eq!(world.up.count("/sumdb/*/supported"), 1);
}

#[test]
fn an_address_of_its_own_is_the_only_one_asked() {
    let world = world();
    let database = FakeUpstream::start();
    world.log.install_at(&database, "/db");
    let address = world.log.with_url(&format!("{}/db", database.url()));
    let mut larder = larder().of(&world.up).sumdb(&address).start();
    vouched_for(&larder, &world.first);
    let answer = larder.get(&world.lookup(&world.last));
    assert_eq!(answer.ok(), world.log.answer(&world.last));
    assert_eq!(world.up.count("/sumdb/*"), 0, "{:?}", world.up.paths());
    assert_eq!(database.count("/db/lookup/*"), 2, "{:?}", database.paths());
    // A slash at its end is the same address.
    larder.stop();
    let address = format!("{address}/");
    larder.restart_with(|b| b.without_sumdb().sumdb(&address));
    vouched_for(&larder, &world.second);
    assert_eq!(database.count("/db/lookup/*"), 3, "{:?}", database.paths());
}

/// A database under the name of a port of ours, where it speaks TLS.
fn named_after_its_address() -> (FakeUpstream, Log, Module) {
    let module = Module::new("example.com/m", "v1.0.0");
    let database = FakeUpstream::start_tls();
    let log = Log::named(&format!("localhost:{}/db", database.port()), 7);
    log.add(&module);
    log.install_at(&database, "/db");
    (database, log, module)
}

#[test]
fn without_a_proxy_for_it_the_name_is_its_address() {
    let (database, log, module) = named_after_its_address();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    for end in ["", ",direct"] {
        let larder = larder()
            .upstream(&format!("{}{end}", up.url()))
            .sumdb(&log.verifier())
            .env("SSL_CERT_FILE", tls_authority())
            .start();
        vouched_for(&larder, &module);
    }
    assert_eq!(up.count("/sumdb/*/supported"), 2);
    assert_eq!(database.count("/db/lookup/*"), 2, "{:?}", database.paths());
}

#[test]
fn with_off_at_the_end_of_the_chain_nobody_else_is_asked() {
    let (database, log, module) = named_after_its_address();
    let larder = larder()
        .upstream("off")
        .sumdb(&log.verifier())
        .env("SSL_CERT_FILE", tls_authority())
        .start();
    larder.get(&log.url("/supported")).refuses(&[404]);
    larder
        .get(&module.url("mod"))
        .refuses(&[403, 404, 502, 503]);
    database.assert_untouched();
}

#[test]
fn c66_where_it_is_off_go_asks_the_database_itself() {
    let (database, log, module) = named_after_its_address();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    log.install(&up);
    let larder = larder().of(&up).start();
    larder.get(&log.url("/supported")).refuses(&[404, 410]);
    let go = Go::new(&larder.url())
        .env("GOSUMDB", &log.verifier())
        .env("SSL_CERT_FILE", tls_authority().to_str().unwrap());
    go.module(&["example.com/m v1.0.0"]);
    go.ok(&["mod", "download"]);
    assert_eq!(database.count("/db/lookup/*"), 1, "{:?}", database.paths());
    assert_eq!(up.count("/sumdb/*"), 0, "{:?}", up.paths());
}

#[test]
fn several_databases_are_relayed_side_by_side() {
    let world = world();
    let other = Log::named("sum.example.com", 9);
    let module = Module::new("example.com/elsewhere", "v1.0.0");
    other.add(&module);
    other.fill(20, "o");
    other.install(&world.up);
    let both = format!("{};{}", world.log.verifier(), other.verifier());
    for builder in [
        world.larder().sumdb(&other.verifier()),
        larder().of(&world.up).env("LARDER_SUMDB", &both),
    ] {
        let larder = builder.start();
        for log in [&world.log, &other] {
            larder.get(&log.url("/supported")).expect(200);
            let latest = larder.get(&log.url("/latest"));
            assert_eq!(latest.ok(), log.latest().as_bytes());
            assert_eq!(state_of(&larder, &log.name())["size"], log.size());
        }
        let answer = larder.get(&other.url("/lookup/example.com/elsewhere@v1.0.0"));
        assert_eq!(answer.ok(), other.answer(&module));
    }
}

#[test]
fn a_database_that_fails_does_not_take_the_upstream_s_modules_along() {
    let world = world();
    world.up.rule("/sumdb/*", Fault::status(500));
    let modules: Vec<Module> = (0..10).map(|n| world.publish(&format!("m{n}x"))).collect();
    let larder = world
        .larder()
        .set("upstream.attempts", "1")
        .set("sumdb.patience", "1s")
        .set("sumdb.settle_every", "300ms")
        .start();
    // The default breaker opens after five failures.
    for module in &modules {
        let answer = larder.get(&module.url("mod"));
        assert_eq!(answer.ok(), module.mod_bytes());
        larder.get(&module.list_url()).ok();
    }
}
