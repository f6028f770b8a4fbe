//! Start and stop.

use crate::support::*;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

#[test]
fn one_line_on_standard_output_says_where_it_listens() {
    let mut larder = larder().upstream("off").start();
    larder.get("/healthz").ok();
    assert_eq!(larder.stop(), 0);
    assert_eq!(larder.stdout(), format!("listening on {}\n", larder.url()));
}

#[test]
fn the_first_answer_comes_soon_after_the_start() {
    let _heavy = heavy();
    let up = DeadPort::new();
    let started = Instant::now();
    let larder = larder().upstream(&up.url()).start();
    larder.get("/healthz").ok();
    // A debug build on a busy machine; what a release build does is measured elsewhere.
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn the_start_waits_for_no_upstream() {
    let hole = BlackHole::new();
    let started = Instant::now();
    let larder = larder().upstream(&hole.url()).start();
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    let ready = larder.get("/readyz");
    ready.expect(200);
    assert!(
        ready.elapsed < Duration::from_secs(2),
        "{:?}",
        ready.elapsed
    );
}

#[test]
fn folders_are_made_where_they_are_promised() {
    let larder = larder().upstream("off").start();
    let folder = larder.data_dir();
    assert!(folder.join("modules").is_dir());
    assert!(folder.join("index").is_dir());
}

#[test]
fn the_data_directory_of_the_platform_is_the_default() {
    let builder = larder();
    let home = builder.home().to_owned();
    let up = DeadPort::new();
    let run = |name: &str, place: std::path::PathBuf| {
        let builder = builder
            .clone()
            .upstream(&up.url())
            .without_data_dir()
            .env(name, place.parent().unwrap());
        let builder = if name == "STATE_DIRECTORY" {
            builder.env(name, &place)
        } else {
            builder
        };
        let _larder = builder.start();
        assert!(place.join("modules").is_dir(), "{name}");
    };
    run("XDG_DATA_HOME", home.join("xdg/larder"));
    run("STATE_DIRECTORY", home.join("state/larder"));
}

#[test]
fn both_signals_stop_it_cleanly() {
    let up = DeadPort::new();
    let mut one = larder().upstream(&up.url()).start();
    assert_eq!(one.stop(), 0);
    let mut two = larder().upstream(&up.url()).start();
    two.interrupt();
    assert_eq!(two.wait_exit(), 0);
}

#[test]
fn signals_that_mean_nothing_here_end_nothing() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let mut larder = larder().of(&up).start();
    for (signal, name) in [
        (Signal::HUP, "SIGHUP"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::HUP, "SIGHUP"),
    ] {
        let told = larder.stderr().matches(name).count();
        larder.signal(signal);
        until(name, || {
            (larder.stderr().matches(name).count() > told).then_some(())
        });
        larder.get(&module.url("zip")).ok();
    }
    // A pipe that nobody reads is no reason to end either.
    larder.signal(Signal::PIPE);
    larder.get("/healthz").ok();
    assert_eq!(larder.stop(), 0);
}

#[test]
fn a_clean_end_is_the_last_thing_that_is_said() {
    let mut larder = larder().upstream("off").start();
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let told = larder.stderr().lines().count();
        larder.signal(signal);
        assert_eq!(larder.wait_exit(), 0);
        let log = larder.stderr();
        let last = log.lines().last().unwrap();
        assert!(last.ends_with("stopped"), "{last}");
        assert!(log.lines().count() > told.min(1), "{log}");
        larder.restart();
    }
}

/// Whoever reads what a command says may have gone.
#[test]
fn a_closed_pipe_is_no_fault_of_a_command() {
    let builder = larder();
    let data = builder.data_dir();
    let larder = builder.upstream("off").start();
    let program = env!("CARGO_BIN_EXE_larder");
    let run = |command: &str| {
        let text = format!("set -o pipefail; {command}");
        let status = std::process::Command::new("bash")
            .args(["-c", &text])
            .env("LARDER", program)
            .env("LARDER_DATA_DIR", &data)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0), "{command}");
    };
    for command in [
        "\"$LARDER\" config print-default | head -1 >/dev/null",
        "\"$LARDER\" config show | head -1 >/dev/null",
        "\"$LARDER\" config show | true",
        "\"$LARDER\" --help | true",
        "\"$LARDER\" token list | true",
        "\"$LARDER\" sumdb status | true",
    ] {
        run(command);
    }
    // Where something is wrong, it is that which is told by the code.
    run(
        "\"$LARDER\" config check --config /nowhere/at/all 2>&1 | true; test \"${PIPESTATUS[0]}\" = 2",
    );
    drop(larder);
}

/// The log's reader goes; the server stays.
#[test]
fn a_closed_standard_error_ends_nothing() {
    let port = free_port();
    let builder = larder();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_larder"))
        .args(["serve", "--upstream", "off", "--sumdb", "off"])
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .env("LARDER_DATA_DIR", builder.data_dir())
        .env("LARDER_LOG__LEVEL", "debug")
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    until("it to serve", || {
        let answer = Request::get("/healthz").try_send(addr).ok()?;
        (answer.status == 200).then_some(())
    });
    for _ in 0..50 {
        Request::get("/example.com/m/@v/list")
            .send(addr)
            .refuses(&[404]);
    }
    Request::get("/healthz").send(addr).ok();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_stop_right_after_the_start_is_clean() {
    let mut larder = larder().upstream("off").start();
    for _ in 0..20 {
        assert_eq!(larder.stop(), 0);
        larder.restart();
    }
}

#[test]
fn a_transfer_under_way_is_finished_before_the_end() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(2_000_000, 1));
    let zip = module.zip_bytes();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let gate = Gate::new();
    up.rule("*.zip", Fault::gate_at(1_000_000, &gate));
    let mut larder = larder().of(&up).start();
    let (_, mut conn) = Request::get(&module.url("zip")).open(larder.addr());
    conn.read_exact(100_000);
    let mut idle = Conn::open(larder.addr()).unwrap();
    idle.write(&Request::get("/healthz").bytes(larder.addr()))
        .unwrap();
    idle.response(false).unwrap().ok();
    larder.terminate();
    until("no new connection", || {
        let answer = Request::get("/healthz").try_send(larder.addr());
        answer.is_err().then_some(())
    });
    assert!(larder.is_running());
    gate.open();
    assert_eq!(conn.compare(&zip[100_000..]), zip.len() - 100_000);
    assert_eq!(larder.wait_exit(), 0);
    larder.restart();
    assert!(
        larder.get(&module.url("zip")).is_hit(),
        "it was kept as well"
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(2_000_000, 1));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let gate = Gate::new();
    up.rule("*.zip", Fault::gate_at(1_000_000, &gate));
    let mut larder = larder().of(&up).start();
    let (_, mut conn) = Request::get(&module.url("zip")).open(larder.addr());
    conn.read_exact(100_000);
    larder.terminate();
    until("no new connection", || {
        let answer = Request::get("/healthz").try_send(larder.addr());
        answer.is_err().then_some(())
    });
    let started = Instant::now();
    larder.terminate();
    until("the end", || (!larder.is_running()).then_some(()));
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    larder.restart();
    larder.get_kept(&module.url("zip")).refuses(&[404]);
}

#[test]
fn clients_that_left_do_not_hold_up_the_end() {
    let up = FakeUpstream::start();
    let gate = up.gated("*");
    let mut larder = larder().of(&up).start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    let request = Request::get("/example.com/m/@v/list").bytes(larder.addr());
    conn.write(&request).unwrap();
    gate.wait_arrived(1);
    larder.terminate();
    larder.wait_stderr("stopping");
    let began = Instant::now();
    drop(conn);
    assert_eq!(larder.wait_exit(), 0);
    // The time for fetches without a client; the grace is 30 s.
    assert!(began.elapsed() < Duration::from_secs(12));
    gate.open();
}

#[test]
fn a_restart_while_clients_wait_for_upstream_is_quick() {
    let up = FakeUpstream::start();
    let gate = up.gated("*");
    let mut larder = larder().of(&up).start();
    std::thread::scope(|scope| {
        let addr = larder.addr();
        let ask = move || Request::get("/example.com/m/@v/list").try_send(addr);
        let client = scope.spawn(ask);
        gate.wait_arrived(1);
        larder.terminate();
        until("no new connection", || {
            let answer = Request::get("/healthz").try_send(addr);
            answer.is_err().then_some(())
        });
        larder.terminate();
        until("the end", || (!larder.is_running()).then_some(()));
        let _ = client.join().unwrap();
    });
    gate.open();
}

/// The chain is what the `go` command says, which takes its time; a stop does not make that a "not found".
#[test]
fn a_client_that_waits_for_the_default_chain_is_answered_by_it_at_a_stop() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let builder = larder();
    let go = builder.write("bin/go", "#!/bin/sh\nsleep 600\n");
    std::fs::set_permissions(&go, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", go.parent().unwrap().display());
    // What was found is remembered …
    let mut larder = builder.env("GOPROXY", up.url()).start();
    larder.get(&module.url("mod")).ok();
    larder.stop();
    // … and counts when the go command has not answered.
    larder.restart_with(|builder| builder.env("GOPROXY", "").env("PATH", &path));
    let mut conn = Conn::open(larder.addr()).unwrap();
    let request = Request::get(&module.url("zip")).bytes(larder.addr());
    conn.write(&request).unwrap();
    until("the request to wait", || {
        // On a slow machine the go command may have been given up by now.
        let waits = larder.metrics().contains("\nlarder_flights 1\n");
        (waits || up.count("*.zip") > 0).then_some(())
    });
    larder.terminate();
    let answer = conn.response(false).unwrap();
    assert_eq!(answer.ok(), module.zip_bytes());
    assert_eq!(larder.wait_exit(), 0);
}

/// What was begun first ends last: commands are answered until requests have ended, and the store closes after all.
#[test]
fn everything_ends_in_order() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let gate = up.gated("*");
    let mut larder = larder()
        .of(&up)
        .env("LARDER_LOG__LEVEL", "info,larder::app=debug")
        .start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    let request = Request::get(&module.url("mod")).bytes(larder.addr());
    conn.write(&request).unwrap();
    gate.wait_arrived(1);
    larder.terminate();
    larder.wait_stderr("stopping");
    until("no new connection", || {
        let answer = Request::get("/healthz").try_send(larder.addr());
        answer.is_err().then_some(())
    });
    let listed = larder.run(&["token", "list"]).expect(0);
    assert!(
        !listed.stderr.contains("held by another"),
        "{}",
        listed.stderr
    );
    gate.open();
    conn.response(false).unwrap().ok();
    assert_eq!(larder.wait_exit(), 0);
    let log = larder.stderr();
    let mut rest = log.as_str();
    for stage in [
        "stopping",
        "nothing new is accepted",
        "requests have ended",
        "fetches have ended",
        "jobs have ended",
        "commands have ended",
        "the store is closed",
        "stopped",
    ] {
        let found = rest.split_once(stage);
        rest = found
            .unwrap_or_else(|| panic!("no {stage:?} in its place: {log}"))
            .1;
    }
    larder.restart();
    assert!(
        larder.get(&module.url("mod")).is_hit(),
        "it was kept as well"
    );
}

#[test]
fn whoever_does_not_end_is_cut_when_the_grace_is_over() {
    let up = FakeUpstream::start();
    let gate = up.gated("*");
    let mut larder = larder().of(&up).set("server.shutdown_grace", "1s").start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    let request = Request::get("/example.com/m/@v/list").bytes(larder.addr());
    conn.write(&request).unwrap();
    gate.wait_arrived(1);
    let began = Instant::now();
    larder.terminate();
    assert_eq!(larder.wait_exit(), 0);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(larder.stderr().contains("connections are cut"));
    gate.open();
}

#[test]
fn jobs_show_how_often_they_were_started_again() {
    let larder = larder().upstream("off").start();
    let metrics = larder.metrics();
    for job in ["refresh", "reverify", "room", "tidy", "control"] {
        let line = format!("larder_job_restarts_total{{job=\"{job}\"}} 0");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}
