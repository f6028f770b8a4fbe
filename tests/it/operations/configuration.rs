//! Files, variables and flags: which one counts, and what is said about mistakes.

use crate::support::*;

#[test]
fn flags_over_variables_over_the_file() {
    let module = Module::new("example.com/m", "v1.0.0");
    let [file, variable, flag] =
        [(); 3].map(|()| FakeUpstream::serving(std::slice::from_ref(&module)));
    // The data folder keeps nothing of this: each server has its own.
    let text = format!("[upstream]\nchain = \"{}\"\n", file.url());
    let by_file = larder().config(&text).start();
    by_file.get(&module.url("mod")).ok();
    let by_variable = larder()
        .config(&text)
        .env("LARDER_UPSTREAM", variable.url())
        .start();
    by_variable.get(&module.url("mod")).ok();
    let by_flag = larder()
        .config(&text)
        .env("LARDER_UPSTREAM", variable.url())
        .of(&flag)
        .start();
    by_flag.get(&module.url("mod")).ok();
    assert_eq!([file.total(), variable.total(), flag.total()], [1, 1, 1]);
}

#[test]
fn the_file_can_be_named_by_a_variable() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let builder = larder().of(&up);
    let file = builder.write("other.toml", "[freshness]\nttl = \"100ms\"\n");
    let larder = builder.env("LARDER_CONFIG", file).start();
    larder.get("/example.com/m/@v/list").ok();
    until("the configured TTL to pass", || {
        larder.get("/example.com/m/@v/list").ok();
        (up.total() >= 2).then_some(())
    });
}

#[test]
fn sections_can_be_set_by_variables() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let larder = larder()
        .of(&up)
        .config("[freshness]\nttl = \"1h\"\n")
        .env("LARDER_FRESHNESS__TTL", "100ms")
        .start();
    larder.get("/example.com/m/@v/list").ok();
    until("the configured TTL to pass", || {
        larder.get("/example.com/m/@v/list").ok();
        (up.total() >= 2).then_some(())
    });
}

#[test]
fn all_mistakes_are_reported_at_once_before_anything_starts() {
    let text = "[freshness]\nttl = \"soon\"\nnegative_ttl = 7.5\nfreshnes = true\n\n[upstream]\nattempts = \"three\"\n\n\
                [no_such_section]\nx = 1\n";
    let builder = larder().upstream("off").config(text);
    let finished = builder.serve_to_end().expect(2);
    assert_eq!(finished.stdout, "");
    let said = &finished.stderr;
    for word in [
        "ttl",
        "negative_ttl",
        "freshnes",
        "attempts",
        "no_such_section",
    ] {
        assert!(said.contains(word), "{word} is named: {said}");
    }
    assert!(said.contains("larder.toml"), "the file is named: {said}");
    for line in [2, 3, 4, 7, 9] {
        assert!(
            said.contains(&format!(":{line}")),
            "line {line} is named: {said}"
        );
    }
    assert!(!builder.data_dir().exists(), "nothing was started");
}

#[test]
fn impossible_values_are_refused() {
    for (key, value) in [
        ("freshness.ttl", "-5s"),
        ("upstream.attempts", "0"),
        ("upstream.concurrency", "0"),
        ("upstream.connect_timeout", "0s"),
        ("breaker.failures", "many"),
        ("store.reserve", "a lot"),
    ] {
        let finished = larder().upstream("off").set(key, value).serve_to_end();
        let finished = finished.expect(2);
        let last = key.rsplit('.').next().unwrap();
        let said = finished.stderr.to_lowercase();
        assert!(said.contains(last), "{key}: {said}");
        assert!(said.contains(value), "{key}: {said}");
    }
}

#[test]
fn broken_toml_is_refused_with_its_place() {
    let finished = larder()
        .upstream("off")
        .config("[freshness\nttl = 1")
        .serve_to_end();
    let finished = finished.expect(2);
    assert!(
        finished.stderr.contains("larder.toml"),
        "{}",
        finished.stderr
    );
    assert!(finished.stderr.contains(":1"), "{}", finished.stderr);
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let larder = larder()
        .upstream("off")
        .env("LARDER_NO_SUCH_THING", "1")
        .start();
    larder.wait_stderr("LARDER_NO_SUCH_THING");
    larder.get("/healthz").ok();
}

#[test]
fn a_flag_of_a_feature_to_come_is_accepted_when_it_asks_for_nothing() {
    let larder = larder().upstream("off").arg("--private").arg("").start();
    larder.get("/healthz").ok();
}

#[test]
fn config_check() {
    let builder = larder();
    let good = builder.write("good.toml", "[freshness]\nttl = \"30s\"\n");
    let bad = builder.write("bad.toml", "[freshness]\ntll = \"30s\"\n");
    builder
        .run(&["config", "check", "--config", good.to_str().unwrap()])
        .expect(0);
    let finished = builder
        .run(&["config", "check", "--config", bad.to_str().unwrap()])
        .expect(2);
    assert!(finished.stderr.contains("tll"), "{}", finished.stderr);
    assert!(finished.stderr.contains("bad.toml"), "{}", finished.stderr);
}

#[test]
fn config_show_names_the_source_of_every_value() {
    let builder = larder().env("LARDER_BREAKER__FAILURES", "9");
    let file = builder.write("some.toml", "[freshness]\nttl = \"31s\"\n");
    let file = file.to_str().unwrap();
    let shown = builder
        .run(&["config", "show", "--sources", "--config", file])
        .expect(0)
        .stdout;
    let line = |value: &str| {
        let found = shown.lines().find(|line| line.contains(value));
        found
            .unwrap_or_else(|| panic!("no {value} in {shown}"))
            .to_lowercase()
    };
    assert!(line("31s").contains("some.toml"), "{shown}");
    let failures = line("failures");
    assert!(failures.contains('9'), "{shown}");
    assert!(failures.contains("larder_breaker__failures"), "{shown}");
    assert!(line("refresh_wait").contains("default"), "{shown}");
    builder.run(&["config", "show", "--config", file]).expect(0);
}

#[test]
fn config_show_hides_secrets() {
    let builder = larder().env("LARDER_UPSTREAM", "https://ann:hunter2@modules.invalid");
    let shown = builder.run(&["config", "show", "--sources"]);
    assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");
}

#[test]
fn config_print_default_is_a_configuration() {
    let builder = larder();
    let text = builder.run(&["config", "print-default"]).expect(0).stdout;
    let table: toml::Table = text.parse().expect("TOML");
    let value = |section: &str, key: &str| table[section][key].clone();
    for (section, key, wanted) in [
        ("freshness", "ttl", "60s"),
        ("freshness", "negative_ttl", "60s"),
        ("freshness", "refresh_wait", "1s"),
        ("upstream", "connect_timeout", "5s"),
        ("upstream", "first_byte_timeout", "20s"),
        ("upstream", "idle_timeout", "20s"),
        ("breaker", "window", "10s"),
        ("breaker", "open_for", "15s"),
        ("store", "reserve", "512MB"),
    ] {
        assert_eq!(
            value(section, key).as_str(),
            Some(wanted),
            "{section}.{key}"
        );
    }
    assert_eq!(value("upstream", "attempts").as_integer(), Some(3));
    assert_eq!(value("upstream", "concurrency").as_integer(), Some(64));
    assert_eq!(value("breaker", "failures").as_integer(), Some(5));
    let file = builder.write("default.toml", &text);
    let file = file.to_str().unwrap();
    builder
        .run(&["config", "check", "--config", file])
        .expect(0);
}
