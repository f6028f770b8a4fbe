//! What is asked when nobody said what to ask: what the Go toolchain is set to.

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
