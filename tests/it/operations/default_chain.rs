//! What is asked when nobody said what to ask: what the Go toolchain is set to.

use crate::support::server::Builder;
use crate::support::*;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

fn module() -> Module {
    Module::new("example.com/m", "v1.0.0")
}

fn up() -> FakeUpstream {
    FakeUpstream::serving(&[module()])
}

#[test]
fn goproxy_of_the_environment() {
    let up = up();
    let larder = larder()
        .env("GOPROXY", format!("{},direct", up.url()))
        .start();
    assert_eq!(larder.get(&module().url("zip")).ok(), module().zip_bytes());
}

#[test]
fn goproxy_of_the_go_env_file() {
    let up = up();
    // Where `go env -w` writes on this system.
    let builder = larder();
    let line = format!("GOPROXY={}\n", up.url());
    builder.write("config/go/env", &line);
    let larder = builder.start();
    assert_eq!(larder.get(&module().url("zip")).ok(), module().zip_bytes());
}

#[test]
fn goenv_names_another_file() {
    let up = up();
    let builder = larder();
    let file = builder.write("elsewhere.env", &format!("GOPROXY={}\n", up.url()));
    let larder = builder.env("GOENV", file).start();
    assert_eq!(larder.get(&module().url("zip")).ok(), module().zip_bytes());
}

#[test]
fn the_default_of_the_toolchain_s_own_folder() {
    let up = up();
    let builder = larder();
    let line = format!("# defaults\nGOPROXY={},direct\nGOSUMDB=off\n", up.url());
    let file = builder.write("goroot/go.env", &line);
    let larder = builder.env("GOROOT", file.parent().unwrap()).start();
    assert_eq!(larder.get(&module().url("zip")).ok(), module().zip_bytes());
}

#[test]
fn larder_itself_is_skipped_in_what_the_client_is_set_to() {
    // After `go env -w GOPROXY=` to us, that is what stands there.
    let up = up();
    let port = free_port();
    let builder = larder().listen(&format!("127.0.0.1:{port}"));
    let line = format!("GOPROXY=http://localhost:{port},{}\n", up.url());
    builder.write("config/go/env", &line);
    let larder = builder.start();
    assert_eq!(larder.get(&module().url("zip")).ok(), module().zip_bytes());
    assert_eq!(up.total(), 1);
}

#[test]
fn where_only_larder_stands_the_toolchain_s_default_is_used() {
    let up = up();
    let port = free_port();
    let builder = larder().listen(&format!("127.0.0.1:{port}"));
    builder.write(
        "config/go/env",
        &format!("GOPROXY=http://127.0.0.1:{port}\n"),
    );
    let file = builder.write("goroot/go.env", &format!("GOPROXY={}\n", up.url()));
    let larder = builder.env("GOROOT", file.parent().unwrap()).start();
    assert_eq!(larder.get(&module().url("zip")).ok(), module().zip_bytes());
}

#[test]
fn a_go_command_that_hangs_delays_nothing() {
    let builder = larder();
    let go = builder.write("bin/go", "#!/bin/sh\nsleep 600\n");
    std::fs::set_permissions(&go, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", go.parent().unwrap().display());
    let started = Instant::now();
    let larder = builder.env("PATH", path).start();
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    larder.get("/healthz").ok();
    let ready = larder.get("/readyz");
    assert!(
        ready.elapsed < Duration::from_secs(2),
        "{:?}",
        ready.elapsed
    );
}

#[test]
fn where_no_go_says_anything_the_chain_is_direct() {
    let builder = larder();
    let file = builder.write("goroot/go.env", "GOSUMDB=off\n");
    let larder = builder
        .env("PATH", "/nonexistent")
        .env("GOROOT", file.parent().unwrap())
        .start();
    // Only with this certain may a request be made: it must not leave the machine.
    // The chain is found out beside the start, so it may take a moment.
    let chain = until("a chain", || {
        let ready = larder.get("/readyz");
        let ready: serde_json::Value = serde_json::from_slice(ready.ok()).unwrap();
        ready["chain"].as_str().map(str::to_owned)
    });
    assert_eq!(chain, "direct");
    // Of this path it is known without asking anybody that there is no repository.
    larder.get("/github.com/one/@v/list").refuses(&[404]);
}

#[test]
fn settings_of_the_client_do_not_leak_into_our_fetches() {
    let up = up();
    let larder = larder()
        .of(&up)
        .env("GOPROXY", "off")
        .env("GONOPROXY", "*")
        .env("GOPRIVATE", "*")
        .env("GOFLAGS", "-mod=vendor")
        .start();
    assert_eq!(larder.get(&module().url("zip")).ok(), module().zip_bytes());
}

/// A server on a port that is known beforehand, a user's `go env` file and a toolchain with a default.
struct Machine {
    builder: Builder,
    url: String,
    company: FakeUpstream,
    public: FakeUpstream,
}

impl Machine {
    fn new() -> Machine {
        let (company, public) = (up(), up());
        let port = free_port();
        let builder = larder().listen(&format!("127.0.0.1:{port}"));
        let line = format!("GOPROXY={},direct\n", public.url());
        let file = builder.write("goroot/go.env", &line);
        let builder = builder.env("GOROOT", file.parent().unwrap());
        // Commands listen nowhere, and have to know which address is meant.
        let builder = builder.env("LARDER_LISTEN", format!("127.0.0.1:{port}"));
        Machine {
            builder,
            url: format!("http://127.0.0.1:{port}"),
            company,
            public,
        }
    }

    /// `go env -w GOPROXY=…`
    fn go_env(&self, value: &str) {
        self.builder
            .write("config/go/env", &format!("GOPROXY={value}\n"));
    }
}

/// The chain that `/readyz` tells, once it is found.
fn chain_of(larder: &Larder) -> String {
    until("a chain", || {
        let ready = larder.get("/readyz");
        let ready: serde_json::Value = serde_json::from_slice(ready.ok()).unwrap();
        ready["chain"].as_str().map(str::to_owned)
    })
}

#[test]
fn setting_go_to_larder_never_changes_where_larder_fetches_from() {
    let machine = Machine::new();
    machine.go_env(&format!("{},direct", machine.company.url()));
    let mut larder = machine.builder.clone().start();
    let chain = chain_of(&larder);
    assert_eq!(chain, format!("{},direct", machine.company.url()));
    larder.wait_stderr("as the Go toolchain is set");
    // The last line comes before what is written, and is not it.
    let file = larder.data_dir().join("upstream.json");
    until("a memory", || file.exists().then_some(()));
    for own in [
        machine.url.clone(),
        format!("{},direct", machine.url),
        format!("{}|{}", machine.url, machine.public.url()),
        machine.url.replace("127.0.0.1", "localhost"),
    ] {
        machine.go_env(&own);
        larder.stop();
        larder.restart();
        assert_eq!(chain_of(&larder), chain, "{own}");
        larder.wait_stderr("the Go toolchain is set to this server itself");
        let said = larder.stderr();
        assert!(!said.contains("as the Go toolchain is set"), "{said}");
        assert!(!said.contains("WARN"), "{said}");
    }
    larder.get(&module().url("zip")).ok();
    machine.public.assert_untouched();
    let doctor = larder.run(&["doctor"]);
    assert!(doctor.stdout.contains(&machine.company.url()), "{doctor:?}");
    assert!(
        doctor.stdout.contains("remembered, from GOPROXY in"),
        "{doctor:?}"
    );
    assert!(!doctor.stdout.contains("NOT SETTLED"), "{doctor:?}");
}

#[test]
fn a_toolchain_that_says_something_else_is_told_and_settled_by_a_flag() {
    let machine = Machine::new();
    machine.go_env(&machine.company.url());
    let mut larder = machine.builder.clone().start();
    let chain = chain_of(&larder);
    let file = larder.data_dir().join("upstream.json");
    until("a memory", || file.exists().then_some(()));
    let other = up();
    machine.go_env(&other.url());
    let doctor = larder.run(&["doctor"]).expect(1);
    assert!(doctor.stdout.contains("NOT SETTLED"), "{doctor:?}");
    assert!(doctor.stdout.contains("--upstream"), "{doctor:?}");
    larder.stop();
    larder.restart();
    assert_eq!(chain_of(&larder), chain);
    until("a warning", || {
        let said = larder.stderr();
        let mut lines = said.lines().filter(|line| line.contains("WARN"));
        lines
            .any(|line| line.contains("--upstream") && line.contains(&other.url()))
            .then_some(())
    });
    larder.get(&module().url("zip")).ok();
    other.assert_untouched();
    machine.public.assert_untouched();
    // The operator's word counts, and settles it.
    larder.stop();
    larder.restart_with(|builder| builder.of(&other));
    assert_eq!(chain_of(&larder), other.url());
    until("the new one to be remembered", || {
        let text = std::fs::read_to_string(&file).unwrap();
        text.contains(&other.url()).then_some(())
    });
    larder.stop();
    let doctor =
        machine
            .builder
            .run(&["doctor", "--data-dir", larder.data_dir().to_str().unwrap()]);
    assert!(!doctor.stdout.contains("NOT SETTLED"), "{doctor:?}");
}

#[test]
fn a_first_start_with_go_set_to_larder_already_says_so() {
    let machine = Machine::new();
    machine.go_env(&machine.url);
    let mut larder = machine.builder.clone().start();
    assert_eq!(
        chain_of(&larder),
        format!("{},direct", machine.public.url())
    );
    larder.wait_stderr("the Go toolchain is set to this server itself");
    let said = larder.stderr();
    assert!(!said.contains("as the Go toolchain is set"), "{said}");
    assert!(
        said.contains("goroot/go.env") && said.contains("WARN"),
        "{said}"
    );
    // What somebody sets afterwards goes before a default, and is told.
    let file = larder.data_dir().join("upstream.json");
    until("a memory", || file.exists().then_some(()));
    larder.stop();
    machine.go_env(&machine.company.url());
    larder.restart();
    assert_eq!(chain_of(&larder), machine.company.url());
    larder.wait_stderr("from now on");
    assert!(larder.stderr().contains("WARN"), "{}", larder.stderr());
}

#[test]
fn the_flag_of_a_first_start_is_not_forgotten_for_a_default() {
    // `serve --upstream "$(go env GOPROXY)"`, then `go env -w`, then a start without the flag.
    let machine = Machine::new();
    machine.go_env(&machine.company.url());
    let mut larder = machine.builder.clone().of(&machine.company).start();
    let file = larder.data_dir().join("upstream.json");
    until("a memory", || file.exists().then_some(()));
    machine.go_env(&machine.url);
    larder.stop();
    let data = larder.data_dir();
    let second = machine.builder.clone().start();
    assert_eq!(second.data_dir(), data);
    assert_eq!(chain_of(&second), machine.company.url());
}

#[test]
fn a_setting_of_go_that_cannot_be_used_sends_no_name_elsewhere() {
    let machine = Machine::new();
    machine.go_env(&format!("{};direct", machine.company.url()));
    let larder = machine.builder.clone().start();
    assert_eq!(chain_of(&larder), "off");
    larder.wait_stderr("did you mean");
    larder.get(&module().url("zip")).refuses(&[404, 502, 503]);
    machine.public.assert_untouched();
    larder.run(&["doctor"]).expect(1);
}

#[test]
fn a_memory_that_cannot_be_written_stops_nothing() {
    let machine = Machine::new();
    machine.go_env(&machine.company.url());
    let builder = machine.builder.clone();
    // Something is in the way.
    builder.write("data/upstream.json/x", "");
    builder.write("data/layout", "1\n");
    let larder = builder.start();
    larder.get(&module().url("zip")).ok();
    larder.wait_stderr("cannot be remembered");
}

#[test]
fn start_up_says_what_it_works_with() {
    let up = up();
    let builder = larder().of(&up).config("[freshness]\nttl = \"30s\"\n");
    let data = builder.data_dir();
    let larder = builder.start();
    larder.wait_stderr("larder serves");
    let said = larder.stderr();
    assert!(
        said.contains(&format!("data_dir={}", data.display())),
        "{said}"
    );
    assert!(said.contains("larder.toml"), "{said}");
    let line = said.lines().find(|line| line.contains("upstream chain"));
    let line = line.unwrap_or_else(|| panic!("no chain in {said}"));
    assert!(
        line.contains(&up.url()) && line.contains("--upstream"),
        "{line}"
    );
    let larder = crate::support::larder()
        .env("LARDER_UPSTREAM", up.url())
        .start();
    larder.wait_stderr("larder serves");
    let said = larder.stderr();
    assert!(
        said.contains("configuration=\"none\"") || said.contains("configuration=none"),
        "{said}"
    );
    assert!(said.contains("LARDER_UPSTREAM"), "{said}");
}
