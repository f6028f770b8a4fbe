use super::super::testing::{Operator, errors, loaded, loaded_with};
use super::super::{Config, show};
use super::*;

const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----\n";

/// A file of a directory, and its name as TOML.
fn file(directory: &tempfile::TempDir, name: &str, content: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, content).expect("a file");
    super::super::codec::quote(&path.to_string_lossy())
}

fn routes(config: &Config) -> Vec<(String, String)> {
    let routes = config.routes.iter();
    routes
        .map(|route| (route.modules.to_string(), route.via.to_string()))
        .collect()
}

fn by(chain: &str) -> RouteVia {
    RouteVia::Chain(Written {
        text: chain.into(),
        value: ChainSpec::parse(chain).expect("a chain"),
    })
}

#[test]
fn a_route_in_few_words() {
    let loaded = loaded(
        "[[routes]]\nmatch = \" git.example.com/*,example.com/team \"\nvia = \"direct\"\n\
         [[routes]]\nmatch = \"example.com\"\nvia = \"https://proxy.example.com|direct\"\n",
    );
    assert_eq!(
        routes(&loaded.config),
        [
            ("git.example.com/*,example.com/team", "direct"),
            ("example.com", "https://proxy.example.com|direct")
        ]
        .map(|(modules, via)| (modules.to_owned(), via.to_owned()))
    );
    let route = &loaded.config.routes[0];
    let source = route.source();
    assert!(source.to_string().ends_with("larder.toml:1"), "{source}");
    assert_eq!(
        *route,
        Route {
            modules: Patterns::parse("git.example.com/*,example.com/team"),
            via: by("direct"),
            private: None,
            insecure: false,
            host: None,
            login: None,
            ssh: false,
            ssh_key: None,
            ssh_known_hosts: None,
            timeout: None,
            max_repository: None,
            row: route.row.clone(),
        }
    );
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn a_route_with_everything() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = file(&directory, "key", "x");
    let known = file(&directory, "known", "x");
    let loaded = loaded(&format!(
        r#"
            [[routes]]
            match = "a.example.com"
            via = "direct"
            private = false
            insecure = true
            host = "Git.Example.com:8443"
            username = "ci"
            password = "hunter2"
            ssh_key = {key}
            ssh_known_hosts = {known}
            timeout = "90s"
            max_repository = "1GiB"
            [[routes]]
            match = "b.example.com"
            via = "off"
            private = true
            ssh = true
            ssh_known_hosts = {known}
            "#
    ));
    let [a, b] = loaded.config.routes.as_slice() else {
        panic!("two tables")
    };
    assert_eq!((a.private, a.insecure), (Some(false), true));
    assert_eq!(a.host.as_deref(), Some("git.example.com:8443"));
    assert_eq!(a.ssh_key, Some(directory.path().join("key")));
    assert_eq!(a.ssh_known_hosts, Some(directory.path().join("known")));
    assert_eq!(a.timeout, Some(Duration::from_secs(90)));
    assert_eq!(a.max_repository, Some(1 << 30));
    assert!(a.ssh, "there is a key");
    assert_eq!((b.private, b.insecure, b.ssh), (Some(true), false, true));
    assert_eq!(b.ssh_known_hosts, a.ssh_known_hosts);
}

#[test]
fn every_way_to_say_who_we_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = file(&directory, "secret", "from file\n");
    let key = file(&directory, "app.pem", KEY);
    let logins = [
        "username = \"ci\"\npassword = \"inline\"".to_owned(),
        format!("username = \"ci\"\npassword_file = {secret}"),
        "username = \"ci\"\npassword_env = \"LARDER_PASSWORD\"".to_owned(),
        "token = \"inline\"".to_owned(),
        format!("token_file = {secret}"),
        "username = \"oauth2\"\ntoken_env = \" LARDER_PASSWORD \"".to_owned(),
        format!("github_app_id = \"1\"\ngithub_installation_id = \"2\"\ngithub_key_file = {key}"),
        "github_app_id = \"1\"\ngithub_installation_id = \"2\"\ngithub_key_env = \"LARDER_KEY\"\n\
         github_api = \"https://github.example.com/api/v3/\""
            .to_owned(),
    ];
    let text: String = logins
        .iter()
        .map(|login| format!("[[routes]]\nmatch = \"a.example.com\"\nvia = \"direct\"\n{login}\n"))
        .collect();
    let variables = [("LARDER_PASSWORD", "from env"), ("LARDER_KEY", KEY)];
    let loaded = loaded_with(&text, &variables);
    let basic = |username: &str, password: &str| RouteLogin::Basic {
        username: username.into(),
        password: Secret::new(password),
    };
    let app = |key: &str, api: &str| RouteLogin::GithubApp {
        id: "1".into(),
        installation: "2".into(),
        key: Secret::new(key),
        api: api.into(),
    };
    let found: Vec<_> = loaded
        .config
        .routes
        .iter()
        .map(|route| route.login.clone())
        .collect();
    assert_eq!(
        found,
        [
            basic("ci", "inline"),
            basic("ci", "from file"),
            basic("ci", "from env"),
            basic("x-access-token", "inline"),
            basic("x-access-token", "from file"),
            basic("oauth2", "from env"),
            app(KEY.trim_end(), "https://api.github.com"),
            app(KEY, "https://github.example.com/api/v3"),
        ]
        .map(Some)
    );
    assert_eq!(loaded.warnings, Vec::<String>::new());
    for secret in ["inline", "from file", "from env", "hunter2"] {
        assert!(!format!("{loaded:?}").contains(secret), "{secret}");
        assert!(!show(&loaded, true).contains(secret), "{secret}");
    }
}

#[test]
fn what_is_shown_loads_to_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = file(&directory, "secret", "hunter2");
    let key = file(&directory, "app.pem", KEY);
    let text = format!(
        r#"
            [[routes]]
            match = "a.example.com"
            via = "direct"
            private = false
            insecure = true
            host = "git.example.com"
            token_file = {secret}
            ssh = false
            timeout = "90s"
            max_repository = "1GiB"
            [[routes]]
            match = "b.example.com"
            via = "refuse"
            [[routes]]
            match = "c.example.com"
            via = "direct"
            ssh = true
            ssh_known_hosts = {secret}
            [[routes]]
            match = "d.example.com"
            via = "direct"
            github_app_id = "1"
            github_installation_id = "2"
            github_key_file = {key}
            ssh_key = {key}
            "#
    );
    let plain = |mut routes: Vec<Route>| {
        for route in &mut routes {
            route.row.source = ValueSource::Default;
        }
        routes
    };
    let first = loaded(&text);
    for sources in [false, true] {
        let again = loaded(&show(&first, sources));
        assert_eq!(
            plain(again.config.routes.clone()),
            plain(first.config.routes.clone())
        );
        assert_eq!(show(&again, false), show(&first, false));
    }
}

#[test]
fn what_is_shown() {
    let text = "[[routes]]\nmatch = \"a.example.com\"\nvia = \"https://me:hunter2@a.example.com\"\n\
                token = \"hunter2\"\ntimeout = \"1m\"\n";
    let loaded = loaded(text);
    assert!(
        show(&loaded, false).ends_with(
            "\n\n[[routes]]\nmatch = \"a.example.com\"\nvia = \"https://***@a.example.com\"\n\
             username = \"x-access-token\"\ntimeout = \"1m\"\ntoken = \"***\"\n"
        ),
        "{}",
        show(&loaded, false)
    );
    assert!(show(&loaded, true).contains("larder.toml:1\nmatch"));
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn every_fault_is_told_and_no_secret_is() {
    let operator = Operator::new(
        r#"[[routes]]
metch = "a.example.com"
via = ""
host = "https://git.example.com/x"
token = "hunter2"
password = "hunter2"
github_key_file = "/nonexistent/key"

[[routes]]
match = " , "
private = "yes"
username = "a:b"
timeout = "2h"
max_repository = "1B"
ssh_key = "/nonexistent/key"

[[routes]]
match = "a.example.com"
via = "direct"
password = "hunter2"

[[routes]]
match = "a.example.com"
via = "direct"
username = "ci"

[[routes]]
match = "a.example.com"
via = "direct"
token = "hunter2\n"

[[routes]]
match = "a.example.com"
via = "direct"
token_env = "MISSING"

[[routes]]
match = "a.example.com"
via = "direct"
username = "ci"
github_app_id = 12345
github_api = "http://api.example.com"

[[routes]]
match = "a.example.com"
via = "direct"
github_app_id = "../1"
github_installation_id = "1"
github_key_env = "NO_PEM"

[[routes]]
match = "a.example.com"
via = "direct"
github_app_id = "1"
github_installation_id = "1"
github_key_env = "NO_PEM"
github_key_file = "/nonexistent/key"

[[routes]]
match = "a.example.com"
via = "direct"
host = "a.example.com"

[[routes]]
match = "a.example.com"
via = "direct"
ssh = false
ssh_key = "larder.toml"
ssh_known_hosts = "larder.toml"

[[routes]]
match = "a.example.com"
via = "direct"
ssh_known_hosts = "larder.toml"

[[routes]]
match = "a.example.com"
via = "direct"
colour = "blue"
"#,
    )
    .with_env(&[("NO_PEM", "hunter2")]);
    let text = operator.errors();
    let expected = [
        "larder.toml:1: routes.match: is missing; it says which modules go this way",
        "larder.toml:1: routes: password and token and github_key_file exclude each other; keep one",
        "larder.toml:2: routes.metch: there is no such key; did you mean match?",
        "larder.toml:3: routes.via: \"\" leads nowhere; write \"direct\", \"refuse\", \"upstream\" or a chain",
        "larder.toml:4: routes.host: \"https://git.example.com/x\" is more than a host; write only",
        "larder.toml:9: routes.via: is missing; write \"direct\", \"refuse\", \"upstream\" or a chain",
        "larder.toml:9: routes.username: comes without a secret; give one of password,",
        "larder.toml:10: routes.match: \" , \" matches nothing; write it as",
        "larder.toml:11: routes.private: \"yes\" is not a switch",
        "larder.toml:12: routes.username: \"a:b\" contains a colon",
        "larder.toml:13: routes.timeout: \"2h\" is too long; allowed is 1ms to 1h",
        "larder.toml:14: routes.max_repository: \"1B\" is too little; allowed is 1MiB or more",
        "larder.toml:15: routes.ssh_key: cannot read /nonexistent/key: No such file",
        "larder.toml:17: routes.username: is missing; a password goes with a user",
        "larder.toml:22: routes.username: comes without a secret; give one of password,",
        "larder.toml:30: routes.token: the secret contains control characters",
        "larder.toml:35: routes.token_env: the environment variable \"MISSING\" is not set",
        "larder.toml:37: routes.username: does not go with a GitHub app; leave it out",
        "larder.toml:37: routes.github_installation_id: is missing; it is the number",
        "larder.toml:37: routes.github_key_file: is missing; give the app's private key",
        "larder.toml:41: routes.github_app_id: 12345 is not a text in quotes",
        "larder.toml:42: routes.github_api: \"http://api.example.com\" is not an https address",
        "larder.toml:47: routes.github_app_id: \"../1\" is no number of GitHub's",
        "larder.toml:49: routes.github_key_env: the secret is no key in PEM, which begins with",
        "larder.toml:51: routes: github_key_file and github_key_env exclude each other; keep one",
        "larder.toml:59: routes.host: says who gets the credentials, and there are none",
        "larder.toml:64: routes.ssh_key: is of no use with ssh = false",
        "larder.toml:64: routes.ssh_known_hosts: is of no use with ssh = false",
        "larder.toml:71: routes.ssh_known_hosts: is of no use without ssh; give ssh_key",
        "larder.toml:79: routes.colour: there is no such key; there are match, via, private,",
    ];
    for (line, expected) in text.lines().zip(expected) {
        assert!(line.contains(expected), "{line}\n{expected}");
    }
    assert_eq!(text.lines().count(), expected.len(), "{text}");
    assert!(!text.contains("hunter2"));
}

#[test]
fn keys_in_pem() {
    assert_eq!(pem(KEY), Ok(()));
    assert_eq!(pem(&KEY.replace('\n', "\r\n")), Ok(()));
    assert!(pem(&format!("{KEY}\0")).is_err_and(|e| e.contains("control")));
    assert!(pem("MIIE").is_err_and(|e| e.contains("no key in PEM")));
}

#[test]
fn another_part_of_the_program_may_refuse_a_route() {
    let loaded = loaded("\n[[routes]]\nmatch = \"a.example.com\"\nvia = \"direct\"\n");
    let refused = loaded.config.routes[0]
        .refuse("github_app_id", "is no app")
        .to_string();
    assert!(
        refused.ends_with("larder.toml:2: routes.github_app_id: is no app"),
        "{refused}"
    );
}

#[test]
fn chains_are_judged_where_they_are_read() {
    let text = errors(
        "[[routes]]\nmatch = \"a.example.com\"\nvia = \"ftp://me:hunter2@x.example\"\n\
         [[routes]]\nmatch = \"b.example.com\"\nvia = \"upstream\"\nprivate = true\n",
    );
    let expected = [
        "larder.toml:3: routes.via: \"ftp://***@x.example\": only https, http and file URLs",
        "larder.toml:4: routes.via: would tell the upstreams of all of private modules",
    ];
    for (line, expected) in text.lines().zip(expected) {
        assert!(line.contains(expected), "{line}\n{expected}");
    }
    assert_eq!(text.lines().count(), expected.len(), "{text}");
}

#[test]
fn not_a_list_of_tables() {
    assert!(errors("[routes]\nvia = \"direct\"\n").contains("write each one as [[routes]]"));
    assert!(errors("[[rutes]]\nvia = \"direct\"\n").contains("did you mean [[routes]]?"));
}
