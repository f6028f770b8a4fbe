//! Files, variables and flags: which one counts, and what is said about mistakes.

use crate::support::server::Builder;
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

/// Every place where patterns are written, with this one in it: arguments, variables, the file.
fn with_pattern(pattern: &str) -> Vec<(Builder, &'static str)> {
    let toml = |text: &str| {
        let quoted = toml::Value::from(pattern).to_string();
        larder()
            .upstream("off")
            .config(&text.replace("PATTERN", &quoted))
    };
    let plain = || larder().upstream("off");
    vec![
        (plain().arg("--private").arg(pattern), "modules.private"),
        (plain().env("LARDER_PRIVATE", pattern), "modules.private"),
        (plain().set("modules.private", pattern), "modules.private"),
        (toml("[modules]\nprivate = PATTERN\n"), "modules.private"),
        (toml("[sumdb]\nexclude = PATTERN\n"), "sumdb.exclude"),
        (plain().set("sumdb.exclude", pattern), "sumdb.exclude"),
        (toml("[direct]\ninsecure = PATTERN\n"), "direct.insecure"),
        (
            toml("[[routes]]\nmatch = PATTERN\nvia = \"direct\"\n"),
            "routes.match",
        ),
    ]
}

#[test]
fn a_pattern_that_matches_nothing_is_an_error_wherever_it_stands() {
    for (builder, key) in with_pattern("https://git.example.com/*") {
        let finished = builder.serve_to_end().expect(2);
        assert!(finished.stderr.contains(key), "{}", finished.stderr);
        let meant = "did you mean \"git.example.com/*\"?";
        assert!(finished.stderr.contains(meant), "{}", finished.stderr);
        assert!(!builder.data_dir().exists(), "nothing was started");
    }
    for pattern in [
        "git.example.com/[",
        "git.example.com/",
        "git.example.com,",
        "a.example.com b.example.com",
        "a.example.com;b.example.com",
        "Git.example.com",
        "git.example.com:8443/*",
        "git@git.example.com:team",
        "/git.example.com",
        ".example.com",
        "git\\team",
        "git",
        "https://me:hunter2@git.example.com/*",
    ] {
        for command in [&["config", "check"][..], &["doctor"]] {
            let arguments = [command, &["--private", pattern]].concat();
            let finished = larder().upstream("off").run(&arguments).expect(2);
            assert!(finished.stderr.contains("modules.private"), "{finished:?}");
            assert!(!finished.stderr.contains("hunter2"), "{finished:?}");
        }
    }
    let builder = larder();
    let fine = "*.corp.example.com,github.com/Acme/*, git.example.com/[a-z]*";
    builder
        .run(&["config", "check", "--private", fine])
        .expect(0);
}

#[test]
fn hosts_that_match_nothing_are_errors() {
    let builder = larder();
    for text in [
        "[direct]\nallow_hosts = [\"*.internal\"]\n",
        "[direct]\nallow_hosts = [\"https://git.example.com\"]\n",
        "[direct]\nallow_hosts = [\"10.0.0.0/8\"]\n",
        "[[credentials]]\nhost = \"https://git.example.com\"\nbearer = \"x\"\n",
        "[[credentials]]\nhost = \"*.example.com\"\nbearer = \"x\"\n",
        "[[credentials]]\nhost = \".example.com\"\nbearer = \"x\"\n",
        "[[credentials]]\nhost = \"git.example.com.\"\nbearer = \"x\"\n",
        "[[routes]]\nmatch = \"a.example.com\"\nvia = \"direct\"\nhost = \"*.example.com\"\ntoken = \"x\"\n",
    ] {
        let file = builder.write("hosts.toml", text);
        let finished = builder.run(&["config", "check", "--config", file.to_str().unwrap()]);
        let finished = finished.expect(2);
        assert!(finished.stderr.contains("hosts.toml"), "{finished:?}");
    }
}

#[test]
fn what_is_wrong_or_odd_in_a_chain_is_told() {
    let builder = larder();
    for (chain, word) in [
        (
            "https://a.example.com;direct",
            "did you mean \"https://a.example.com,direct\"?",
        ),
        (
            "https://a.example.com direct",
            "did you mean \"https://a.example.com,direct\"?",
        ),
        ("https://a.example.com,dirct", "did you mean \"direct\"?"),
        ("ftp://a.example.com", "only https, http and file"),
        (
            "https://https://a.example.com",
            "did you mean \"https://a.example.com\"?",
        ),
    ] {
        let finished = builder
            .run(&["config", "check", "--upstream", chain])
            .expect(2);
        assert!(finished.stderr.contains(word), "{chain}: {finished:?}");
        let text = format!("[[routes]]\nmatch = \"a.example.com\"\nvia = \"{chain}\"\n");
        let file = builder.write("route.toml", &text);
        let finished = builder.run(&["config", "check", "--config", file.to_str().unwrap()]);
        let finished = finished.expect(2);
        assert!(finished.stderr.contains(word), "{chain}: {finished:?}");
    }
    // As Go has it, an empty entry is none.
    let chain = "https://a.example.com,,direct,";
    builder
        .run(&["config", "check", "--upstream", chain])
        .expect(0);
    // What Go takes without a word, although part of it is for nothing, is warned of.
    for (chain, word) in [
        (
            "https://a.example.com,https://a.example.com/",
            "more than once",
        ),
        ("direct,https://a.example.com", "\"direct\" ends the chain"),
        ("off,direct", "\"off\" ends the chain"),
        (
            "https://a.example.com|direct|https://b.example.com",
            "ends the chain",
        ),
    ] {
        let finished = builder.run(&["config", "check", "--upstream", chain]);
        let finished = finished.expect(0);
        assert!(finished.stderr.contains("warning"), "{chain}: {finished:?}");
        assert!(finished.stderr.contains(word), "{chain}: {finished:?}");
        let text = format!("[[routes]]\nmatch = \"a.example.com\"\nvia = \"{chain}\"\n");
        let file = builder.write("route.toml", &text);
        let finished = builder.run(&["config", "check", "--config", file.to_str().unwrap()]);
        let finished = finished.expect(0);
        assert!(finished.stderr.contains(word), "{chain}: {finished:?}");
    }
}

#[test]
fn faults_of_all_kinds_are_told_at_once_each_in_a_line_of_its_own() {
    let text = "[upstream]\nchain = \"dirct\"\n[sumdb]\ndatabases = [\"sum.example.com\"]\n\
                [[routes]]\nmatch = \"a.example.com\"\nvia = \"ftp://x\"\n";
    let finished = larder()
        .sumdb_unsaid()
        .config(text)
        .serve_to_end()
        .expect(2);
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{finished:?}");
    assert!(
        lines.iter().all(|line| line.starts_with("larder: ")),
        "{lines:?}"
    );
    assert!(!finished.stderr.contains("write it as in"), "{finished:?}");
    let bad = "[freshness]\nttl = \"soon\"\nnegative_ttl = \"later\"\n";
    let finished = larder()
        .upstream("off")
        .config(bad)
        .serve_to_end()
        .expect(2);
    assert!(
        finished
            .stderr
            .lines()
            .all(|line| line.starts_with("larder: ")),
        "{finished:?}"
    );
}

#[test]
fn variables_of_a_kubernetes_service_are_passed_over() {
    let mut builder = larder().upstream("off");
    for (name, value) in [
        ("LARDER_SERVICE_HOST", "10.96.12.7"),
        ("LARDER_SERVICE_PORT", "3080"),
        ("LARDER_SERVICE_PORT_HTTP", "3080"),
        ("LARDER_PORT", "tcp://10.96.12.7:3080"),
        ("LARDER_PORT_3080_TCP", "tcp://10.96.12.7:3080"),
        ("LARDER_PORT_3080_TCP_PROTO", "tcp"),
        ("LARDER_PORT_3080_TCP_PORT", "3080"),
        ("LARDER_PORT_3080_TCP_ADDR", "10.96.12.7"),
    ] {
        builder = builder.env(name, value);
    }
    let larder = builder.env("LARDER_LISTEM", "1").start();
    larder.wait_stderr("LARDER_LISTEM");
    let said = larder.stderr();
    assert!(
        !said.contains("LARDER_SERVICE") && !said.contains("LARDER_PORT"),
        "{said}"
    );
}
