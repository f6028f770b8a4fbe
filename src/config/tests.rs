//! The room as a whole: layers, faults, and the configuration in writing.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::testing::*;
use super::*;

const DEFAULT_FILE: &str = include_str!("../../config/default.toml");
const EXAMPLES: [(&str, &str); 4] = [
    (
        "laptop.toml",
        include_str!("../../config/examples/laptop.toml"),
    ),
    ("team.toml", include_str!("../../config/examples/team.toml")),
    (
        "air-gapped.toml",
        include_str!("../../config/examples/air-gapped.toml"),
    ),
    (
        "private.toml",
        include_str!("../../config/examples/private.toml"),
    ),
];

#[test]
fn the_default_file_is_what_the_code_says() {
    // After a change of keys: write the output of `config print-default` to config/default.toml.
    if DEFAULT_FILE != print_default() {
        let (line, (file, code)) = DEFAULT_FILE
            .lines()
            .zip(
                print_default()
                    .lines()
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            )
            .enumerate()
            .find(|(_, (file, code))| file != code)
            .map(|(number, (file, code))| (number + 1, (file.to_owned(), code)))
            .unwrap_or_default();
        panic!(
            "config/default.toml differs in line {line} (or in length):\nfile: {file}\ncode: {code}"
        );
    }
}

#[test]
fn the_default_file_changes_nothing_and_has_every_key() {
    let with = loaded(DEFAULT_FILE);
    let without = loaded("");
    let mut config = with.config.clone();
    // Each has a home of its own.
    config.store.data_dir = without.config.store.data_dir.clone();
    assert_eq!(config, without.config);
    assert_eq!(with.warnings, Vec::<String>::new());
    for (key, _, source) in with.sources.iter() {
        let expected = !matches!(key, "store.data_dir" | "upstream.netrc");
        assert!(
            matches!(source, ValueSource::File { .. }) || !expected,
            "{key}"
        );
    }
    assert_eq!(
        with.sources.iter().count(),
        sections().iter().map(|s| s.keys.len()).sum::<usize>()
    );
}

/// The commented table of an array in the default file, without the keys that exclude the others.
fn commented(array: &Array, without: &[&str]) -> String {
    let head = format!("#[[{}]]", array.name);
    let lines = DEFAULT_FILE.lines().skip_while(|line| **line != head);
    let table = lines.take_while(|line| !line.is_empty());
    let kept = table.filter(|line| {
        !without
            .iter()
            .any(|name| line.starts_with(&format!("#{name}")))
    });
    kept.map(|line| format!("{}\n", &line[1..])).collect()
}

#[test]
fn the_commented_tables_are_right() {
    let credentials = commented(&credentials::ARRAY, &["password_", "bearer"]);
    assert_eq!(loaded(&credentials).config.credentials.len(), 1);
    // The files are not there.
    let others = ["password", "token_", "github", "ssh_"];
    let loaded = loaded(&commented(&routes::ARRAY, &others));
    let [route] = loaded.config.routes.as_slice() else {
        panic!("one route")
    };
    assert_eq!(route.timeout, Some(loaded.config.direct.timeout));
    assert_eq!(
        route.max_repository,
        Some(loaded.config.direct.max_repository)
    );
    for array in arrays() {
        let table = commented(array, &[]);
        for field in array.fields {
            let line = format!("{} = {} ", field.name, field.example);
            assert!(table.contains(&line), "{line}");
        }
    }
}

#[test]
fn the_defaults_are_those_promised() {
    let config = loaded("").config;
    assert_eq!(
        config.server.listen,
        "127.0.0.1:3080".parse().expect("an address")
    );
    assert_eq!(config.server.base_path, "");
    assert_eq!(config.server.public_url, None);
    assert_eq!(config.server.max_connections, 0);
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(30));
    assert_eq!(
        config.server.request_header_timeout,
        Duration::from_secs(75)
    );
    assert_eq!(config.admin.listen, None);
    assert!(config.store.data_dir.ends_with("home/.local/share/larder"));
    assert_eq!(config.store.reserve, 512_000_000);
    assert_eq!(config.store.index_cache, 16_000_000);
    assert_eq!(config.store.hot, 32_000_000);
    assert_eq!(
        (config.store.max_flights, config.store.max_zip_flights),
        (4096, 1024)
    );
    assert_eq!(config.upstream.chain, None);
    assert_eq!(config.upstream.chain_source, ValueSource::Default);
    assert_eq!(config.upstream.connect_timeout, Duration::from_secs(5));
    assert_eq!(config.upstream.first_byte_timeout, Duration::from_secs(20));
    assert_eq!(config.upstream.idle_timeout, Duration::from_secs(20));
    assert_eq!(
        (config.upstream.attempts, config.upstream.concurrency),
        (3, 64)
    );
    assert_eq!(
        (config.upstream.netrc.clone(), config.upstream.no_http2),
        (None, false)
    );
    assert_eq!(config.breaker.failures, 5);
    assert_eq!(config.breaker.window, Duration::from_secs(10));
    assert_eq!(config.breaker.open_for, Duration::from_secs(15));
    assert_eq!(config.freshness.ttl, Duration::from_secs(60));
    assert_eq!(config.freshness.negative_ttl, Duration::from_secs(60));
    assert_eq!(config.freshness.refused_ttl, Duration::from_secs(10));
    assert_eq!(config.freshness.refresh_wait, Duration::from_secs(1));
    assert!(config.freshness.background);
    assert!(config.modules.private.is_empty());
    assert!(!config.private.open);
    assert_eq!((config.credentials, config.routes), (vec![], vec![]));
    assert_eq!(
        format!("{:?}", config.sumdb.databases),
        "[\"sum.golang.org\"]"
    );
    assert!(config.sumdb.exclude.is_empty());
    assert_eq!(config.sumdb.patience, Duration::from_secs(40));
    assert_eq!(config.sumdb.lookup_timeout, Duration::from_secs(75));
    assert_eq!(config.sumdb.settle_every, Duration::from_secs(15));
    assert_eq!(config.sumdb.on_unavailable, OnUnavailable::ServeUnverified);
    assert_eq!(config.sumdb.on_unknown, OnUnknown::Refuse);
    assert_eq!(
        (config.log.format, config.log.access),
        (LogFormat::Text, true)
    );
    assert_eq!(config.log.level, "info");
}

#[test]
fn layers_lie_over_each_other() {
    let mut operator = Operator::new(
        "[server]\nlisten = \"127.0.0.1:1\"\n[freshness]\nttl = \"1s\"\nnegative_ttl = \"1s\"\n\
         [upstream]\nchain = \"https://file.example.com\"\n",
    )
    .with_env(&[
        ("LARDER_FRESHNESS__TTL", "2s"),
        ("LARDER_FRESHNESS__REFUSED_TTL", " "),
        ("LARDER_LISTEN", "127.0.0.1:2"),
        ("LARDER_UPSTREAM__ATTEMPTS", "4"),
        ("LARDER_LOG__ACCESS", "no"),
    ]);
    operator.overrides.listen = Some("127.0.0.1:3".into());
    operator.overrides.private = Some(String::new());
    let loaded = operator.load().expect("a configuration");
    let config = &loaded.config;
    assert_eq!(config.freshness.ttl, Duration::from_secs(2));
    assert_eq!(config.freshness.negative_ttl, Duration::from_secs(1));
    assert_eq!(config.freshness.refused_ttl, Duration::from_secs(10));
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.upstream.attempts, 4);
    assert!(!config.log.access);
    assert_eq!(
        config
            .upstream
            .chain
            .as_ref()
            .map(|chain| chain.text.as_str()),
        Some("https://file.example.com")
    );
    let source = |key: &str| loaded.sources.get(key).expect(key).to_string();
    assert_eq!(source("freshness.ttl"), "LARDER_FRESHNESS__TTL");
    assert!(source("freshness.negative_ttl").ends_with("larder.toml:5"));
    assert_eq!(source("freshness.refused_ttl"), "default");
    assert_eq!(source("server.listen"), "--listen");
    assert_eq!(source("modules.private"), "--private");
    assert_eq!(source("store.data_dir"), "default, from HOME");
    assert_eq!(
        config.upstream.chain_source,
        *loaded.sources.get("upstream.chain").expect("a chain")
    );
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.file, operator.overrides.config);
}

#[test]
fn every_flag_and_every_short_name_works() {
    let directory = tempfile::tempdir().expect("a directory").keep();
    let data = directory.join("data").to_string_lossy().into_owned();
    let overrides = Overrides {
        config: None,
        listen: Some(":0".into()),
        data_dir: Some(data.clone()),
        upstream: Some("https://proxy.example.com".into()),
        private: Some("git.example.com/*".into()),
        sumdb: vec!["off".into()],
    };
    let env = Environment::from(
        [
            ("LARDER_LISTEN", ":0"),
            ("LARDER_DATA_DIR", &data),
            ("LARDER_UPSTREAM", "https://proxy.example.com"),
            ("LARDER_PRIVATE", "git.example.com/*"),
            ("LARDER_SUMDB", "off"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let by_flag = load(&overrides, &Environment::new()).expect("by flags");
    let mut by_env = load(&Overrides::default(), &env).expect("by the environment");
    assert_eq!(
        by_env.config.upstream.chain_source,
        ValueSource::Env("LARDER_UPSTREAM".into())
    );
    assert_eq!(
        by_flag.config.upstream.chain_source,
        ValueSource::Flag("--upstream")
    );
    by_env.config.upstream.chain_source = ValueSource::Flag("--upstream");
    assert_eq!(by_flag.config, by_env.config);
    assert_eq!(by_env.warnings, Vec::<String>::new());
    assert_eq!(by_flag.config.store.data_dir, PathBuf::from(data));
    assert_eq!(
        by_flag.config.modules.private.to_string(),
        "git.example.com/*"
    );
    std::fs::remove_dir_all(directory).expect("removed");
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let mut operator = Operator::new("[freshness]\nttl = \"5s\"\n");
    let file = operator.overrides.config.take().expect("a file");
    operator
        .env
        .insert("LARDER_CONFIG".into(), file.to_string_lossy().into_owned());
    assert_eq!(
        operator
            .load()
            .expect("a configuration")
            .config
            .freshness
            .ttl,
        Duration::from_secs(5)
    );
    operator.env.insert("LARDER_CONFIG".into(), String::new());
    assert_eq!(
        operator
            .load()
            .expect("a configuration")
            .config
            .freshness
            .ttl,
        Duration::from_secs(60)
    );
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let operator = Operator::new(
        r#"[server]
listen = "nonsense"
base_pth = "/go"

[freshness]
ttl = "abc"
tll = "60s"
refresh_wait = "31s"
background = "yes"

[upstream]
attempts = 11
concurrency = 1.5
max_flights = 3
client_cert = "gone.pem"

[breaker]
window = "0s"

[freshnes]
ttl = "1s"

[log]
format = "xml"
level = "inof"
colour = true
"#,
    )
    .with_env(&[("LARDER_STORE__RESERVE", "12 parsecs")]);
    let text = operator.errors();
    let expected = [
        r#"larder.toml:2: server.listen: "nonsense" is not an address with a port; write it as "127.0.0.1:3080", "[::1]:3080", or ":3080" for all addresses"#,
        "larder.toml:3: server.base_pth: there is no such key; did you mean server.base_path?",
        r#"larder.toml:6: freshness.ttl: "abc" is not a duration; write it as "60s", "1m30s" or "500ms""#,
        "larder.toml:7: freshness.tll: there is no such key; did you mean freshness.ttl?",
        r#"larder.toml:8: freshness.refresh_wait: "31s" is too long; allowed is 0s to 30s"#,
        r#"larder.toml:9: freshness.background: "yes" is not a switch; write true or false (no quotes)"#,
        "larder.toml:12: upstream.attempts: 11 is not allowed; write 1 to 10",
        "larder.toml:13: upstream.concurrency: a number with a fraction is not a whole number (without quotes); allowed is 1 to 65536",
        "larder.toml:14: upstream.max_flights: there is no such key; did you mean store.max_flights?",
        "larder.toml:15: upstream.client_cert: cannot read gone.pem: No such file or directory (os error 2)",
        r#"larder.toml:18: breaker.window: "0s" is too short; allowed is 1ms to 1h"#,
        "larder.toml:20: freshnes: there is no such section; did you mean [freshness]?",
        r#"larder.toml:24: log.format: "xml" is not known here; write "text" or "json""#,
        r#"larder.toml:25: log.level: "inof" is not a log level: "inof" is none of off, error, warn, info, debug, trace, nor of the form "larder::upstream=debug""#,
        "larder.toml:26: log.colour: there is no such key; [log] has format, level, access, audit",
        r#"LARDER_STORE__RESERVE: store.reserve: "12 parsecs" is not a size; write it as "512MB", "64KiB" (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), or as a number of bytes"#,
    ];
    assert_eq!(text, expected.join("\n"));
    let errors = operator.load().expect_err("a wrong configuration");
    assert_eq!(errors.problems().len(), expected.len());
}

#[test]
fn keys_and_sections_in_the_wrong_place() {
    assert_eq!(
        errors("max_flights = 3\n"),
        "larder.toml:1: max_flights: there is no such key outside of a section; did you mean store.max_flights?"
    );
    assert_eq!(
        errors("freshness = \"60s\"\n"),
        "larder.toml:1: freshness: is a section; write it as [freshness] with its keys below"
    );
    assert_eq!(
        errors("private = \"git.example.com\"\n"),
        "larder.toml:1: private: is a section; write it as [private] with its keys below, or did you mean modules.private?"
    );
    assert!(errors("[direct]\nopen = true\n").contains("did you mean private.open?"));
    assert!(errors("zzz = 1\n").contains("every key stands in a section"));
    assert!(errors("[zzz]\n").contains("there are server, tls, admin, store"));
    assert!(
        errors("[behind]\nenabled = true\n")
            .starts_with("larder.toml:1: behind: there is no such section")
    );
    assert!(errors("freshness.tll = \"1s\"").contains("did you mean freshness.ttl?"));
}

#[test]
fn values_that_do_not_go_together() {
    let operator = Operator::new(
        "[server]\nlisten = \":3080\"\n[admin]\nlisten = \"127.0.0.1:3080\"\n\
         [upstream]\nclient_key = \"larder.toml\"\n",
    );
    assert_eq!(
        operator.errors(),
        "larder.toml:4: admin.listen: 127.0.0.1:3080 is taken by server.listen ([::]:3080); use another port, or leave one of them out\n\
         larder.toml:6: upstream.client_key: needs its certificate; set upstream.client_cert too"
    );
    let both = "[upstream]\nclient_key = \"larder.toml\"\nclient_cert = \"larder.toml\"\n";
    let operator = Operator::new(both);
    let expected = operator.directory.path().join("larder.toml");
    let config = operator.load().expect("both are there").config;
    assert_eq!(config.upstream.client_key, Some(expected));
}

#[test]
fn a_file_that_is_not_toml() {
    // The wording is toml's own; the place and the excerpt are what matters.
    let text = errors("[freshness]\nttl = 60s\n");
    let start =
        "larder.toml:2: not valid TOML\nTOML parse error at line 2, column 7\n  |\n2 | ttl = 60s\n";
    assert!(text.starts_with(start), "{text}");
    // What stands in such a line may be a secret.
    let text = errors("[[credentials]]\npassword = hunter2\n");
    assert!(
        text.starts_with("larder.toml:2: not valid TOML: ") && !text.contains("hunter2"),
        "{text}"
    );
    assert!(
        errors("[freshness]\nttl = \"1s\"\nttl = \"2s\"\n")
            .contains("larder.toml:3: not valid TOML\n")
    );
}

#[test]
fn a_file_that_cannot_be_read() {
    let mut operator = Operator::new("");
    operator.overrides.config = Some(operator.directory.path().join("gone.toml"));
    assert_eq!(
        operator.errors(),
        "gone.toml: cannot read the configuration file: No such file or directory (os error 2)"
    );
    operator.overrides.config = Some(operator.directory.path().into());
    assert!(
        operator
            .load()
            .is_err_and(|e| e.to_string().contains("Is a directory"))
    );
    let file = operator.directory.path().join("binary.toml");
    std::fs::write(&file, b"a = 1\n\xff").expect("a file");
    operator.overrides.config = Some(file.clone());
    assert_eq!(operator.errors(), "binary.toml: is not UTF-8 text (line 2)");
    std::fs::write(&file, vec![b'#'; (4 << 20) + 1]).expect("a file");
    assert!(operator.errors().contains("larger than 4 MiB"));
}

#[test]
fn no_place_for_data() {
    let errors = load(&Overrides::default(), &Environment::new()).expect_err("no place");
    assert!(
        errors
            .to_string()
            .starts_with("store.data_dir: there is no place for data: none of")
    );
    let env = Environment::from([("LARDER_DATA_DIR".into(), "/srv/larder".into())]);
    assert!(load(&Overrides::default(), &env).is_ok());
}

#[test]
fn variables_nobody_knows_are_warned_of() {
    let loaded = loaded_with(
        "",
        &[
            ("LARDER_FRESHNESS_TTL", "hunter2"),
            ("LARDER_UPSTREAM", "https://proxy.example.com"),
            ("LARDER_UPSTREAM__CHAIN", "https://other.example.com"),
            ("LARDER_COLOUR_OF_THE_SKY", "blue"),
            ("LARDER_PRIVATE__OPEM", "1"),
            ("LARDERX", "1"),
        ],
    );
    assert_eq!(
        loaded.warnings,
        [
            "LARDER_UPSTREAM and LARDER_UPSTREAM__CHAIN are both set and differ; LARDER_UPSTREAM is used",
            "LARDER_COLOUR_OF_THE_SKY: there is no such setting, so it is ignored",
            "LARDER_FRESHNESS_TTL: there is no such setting, so it is ignored; did you mean LARDER_FRESHNESS__TTL?",
            "LARDER_PRIVATE__OPEM: there is no such setting, so it is ignored; did you mean LARDER_PRIVATE__OPEN?",
        ]
    );
    assert_eq!(
        loaded
            .config
            .upstream
            .chain
            .as_ref()
            .map(|chain| chain.text.as_str()),
        Some("https://proxy.example.com")
    );
}

#[test]
fn a_hidden_value_that_is_wrong_is_a_warning() {
    let loaded = loaded_with(
        "[freshness]\nttl = \"soon\"\n",
        &[("LARDER_FRESHNESS__TTL", "1s")],
    );
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].ends_with("(not used: LARDER_FRESHNESS__TTL goes before it)"));
}

#[test]
fn another_part_of_the_program_may_refuse_a_value() {
    let operator = Operator::new("\n\n[upstream]\nchain = \"https://x.example\"\n");
    let refused = operator
        .load()
        .expect("a configuration")
        .refuse("upstream.chain", "is no chain");
    assert!(
        refused
            .to_string()
            .ends_with("larder.toml:4: upstream.chain: is no chain")
    );
}

#[test]
fn what_is_shown() {
    let operator = Operator::new(
        "[upstream]\nchain = \"https://me:hunter2@proxy.example.com,direct\"\n\
         [[credentials]]\nhost = \"git.example.com\"\nusername = \"ci\"\npassword = \"hunter2\"\n",
    )
    .with_env(&[("LARDER_FRESHNESS__TTL", "90s")]);
    let loaded = operator.load().expect("a configuration");
    let text = show(&loaded, true);
    let text = text.replace(&operator.directory.path().display().to_string(), "…");
    for line in [
        "server.listen = \"127.0.0.1:3080\"   # default\n",
        "store.data_dir = \"…/home/.local/share/larder\"   # default, from HOME\n",
        "upstream.chain = \"https://***@proxy.example.com,direct\"   # …/larder.toml:2\n",
        "freshness.ttl = \"90s\"   # LARDER_FRESHNESS__TTL\n",
        "sumdb.databases = [\"sum.golang.org\"]   # default\n",
        "[[credentials]]   # …/larder.toml:3\nhost = \"git.example.com\"\nusername = \"ci\"\npassword = \"***\"\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!show(&loaded, false).contains('#'));
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn the_examples_load() {
    for (name, text) in EXAMPLES {
        let loaded = Operator::new(text)
            .with_env(&[("GITHUB_TOKEN", "hunter2")])
            .load()
            .unwrap_or_else(|errors| panic!("{name}: {errors}"));
        assert_eq!(loaded.warnings, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_key_is_documented_and_has_its_own_name() {
    let mut names = BTreeSet::new();
    for key in sections().iter().flat_map(|section| &section.keys) {
        assert!(!key.doc.is_empty(), "{}", key.path());
        assert!(names.insert(key.env()), "{}", key.env());
        if let Some(twin) = key.twin {
            assert!(names.insert(twin.env.into()), "{}", twin.env);
        }
    }
    assert!(
        print_default()
            .lines()
            .all(|line| line.chars().count() <= 110)
    );
}

/// Values for a few keys of every kind, as TOML.
fn some_file() -> impl Strategy<Value = String> {
    let line = |name: &'static str, value: BoxedStrategy<String>| {
        proptest::option::of(value)
            .prop_map(move |value| value.map(|value| format!("{name} = {value}\n")))
    };
    let patterns = || {
        "([*a-z]{1,5}[.]example(/[A-Za-z*?]{1,4})?( ?, ?[a-z]{1,4}[.]example)?)?"
            .prop_map(|text| codec::quote(&text))
            .boxed()
    };
    let millis = |most: u64| (1..most).prop_map(|n| format!("\"{n}ms\"")).boxed();
    (
        line(
            "server.listen",
            (0u16..)
                .prop_map(|port| format!("\"10.1.2.3:{port}\""))
                .boxed(),
        ),
        line(
            "server.base_path",
            "(/[a-z]{1,5}){0,3}/?"
                .prop_map(|path| format!("{path:?}"))
                .boxed(),
        ),
        line(
            "store.reserve",
            (0u64..1 << 50).prop_map(|n| n.to_string()).boxed(),
        ),
        line(
            "store.data_dir",
            "[a-z~/ ]{1,9}".prop_map(|path| codec::quote(&path)).boxed(),
        ),
        line(
            "upstream.chain",
            "(https://[a-z]{1,9}[.]example[,|]){1,3}direct"
                .prop_map(|c| format!("{c:?}"))
                .boxed(),
        ),
        line(
            "upstream.attempts",
            (1u8..=10).prop_map(|n| n.to_string()).boxed(),
        ),
        line("freshness.ttl", millis(2_000_000_000)),
        line(
            "freshness.background",
            any::<bool>().prop_map(|b| b.to_string()).boxed(),
        ),
        line("modules.private", patterns()),
        line("log.format", "(\"text\"|\"json\")".boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j)| {
            [a, b, c, d, e, f, g, h, i, j]
                .into_iter()
                .flatten()
                .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_shown_loads_to_the_same(file in some_file(), sources: bool) {
        let first = Operator::new(&file);
        let loaded = first.load().unwrap_or_else(|errors| panic!("{file}\n{errors}"));
        let again = Operator::new(&show(&loaded, sources));
        let mut reloaded = again.load().unwrap_or_else(|errors| panic!("{errors}"));
        reloaded.config.upstream.chain_source = loaded.config.upstream.chain_source.clone();
        prop_assert_eq!(&reloaded.config, &loaded.config);
        prop_assert_eq!(show(&reloaded, false), show(&loaded, false));
    }

    #[test]
    fn no_file_makes_it_panic(text in "(\\[{1,2}[a-z]{1,12}\\]{1,2}\n|[a-z_]{1,12} = [0-9\"a-z\\[\\],.{}=]{0,12}\n){0,8}") {
        let _ = Operator::new(&text).load();
    }
}
