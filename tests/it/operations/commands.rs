//! The command line and its exit codes.

use crate::support::*;
use std::net::TcpListener;

#[test]
fn usage_errors_exit_with_2() {
    let builder = larder();
    for arguments in [
        &["serve", "--no-such-flag"][..],
        &["no-such-command"],
        &["serve", "--listen", "nonsense"],
        &["serve", "--listen", "127.0.0.1:99999"],
        &["serve", "--config", "/no/such/file.toml"],
        &["serve", "surplus"],
        &["index", "no-such-verb"],
    ] {
        let finished = builder.run(arguments).expect(2);
        assert!(finished.stderr.len() > 10, "says why: {finished:?}");
        assert_eq!(finished.stdout, "", "{arguments:?}");
    }
}

#[test]
fn version_and_help() {
    let builder = larder();
    let version = builder.run(&["--version"]).expect(0).stdout;
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let help = builder.run(&["--help"]).expect(0).stdout;
    for command in [
        "serve", "config", "doctor", "index", "pin", "sumdb", "token",
    ] {
        assert!(help.contains(command), "{help}");
    }
    let help = builder.run(&["serve", "--help"]).expect(0).stdout;
    for name in [
        "listen", "data-dir", "upstream", "private", "sumdb", "config",
    ] {
        assert!(help.contains(&format!("--{name}")), "{help}");
        let twin = format!("LARDER_{}", name.replace('-', "_").to_uppercase());
        assert!(help.contains(&twin), "the twin of --{name}: {help}");
    }
}

#[test]
fn a_taken_port_exits_with_3_and_says_who_holds_it() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap().to_string();
    let up = DeadPort::new();
    let finished = larder()
        .upstream(&up.url())
        .listen(&addr)
        .serve_to_end()
        .expect(3);
    assert!(finished.stderr.contains(&addr), "{}", finished.stderr);
    // The holder is this very process.
    let own = std::process::id().to_string();
    assert!(finished.stderr.contains(&own), "{}", finished.stderr);
}

#[test]
fn a_port_taken_by_another_larder_exits_with_3() {
    let up = DeadPort::new();
    let first = larder().upstream(&up.url()).start();
    let addr = first.addr().to_string();
    let second = larder().upstream(&up.url()).listen(&addr);
    let finished = second.serve_to_end().expect(3);
    assert!(finished.stderr.contains(&addr), "{}", finished.stderr);
    first.get("/healthz").ok();
}

#[test]
fn an_unusable_data_directory_exits_with_4() {
    let builder = larder().upstream("off");
    builder.write("data", "a file where the folder should be");
    let finished = builder.serve_to_end().expect(4);
    let folder = builder.data_dir();
    let named = finished.stderr.contains(folder.to_str().unwrap());
    assert!(named, "{}", finished.stderr);
}

#[test]
fn a_data_directory_in_use_exits_with_4() {
    let up = DeadPort::new();
    let builder = larder().upstream(&up.url());
    let first = builder.clone().start();
    let finished = builder.serve_to_end().expect(4);
    let folder = builder.data_dir();
    let named = finished.stderr.contains(folder.to_str().unwrap());
    assert!(named, "{}", finished.stderr);
    first.get("/healthz").ok();
}

#[test]
fn index_commands_need_a_data_directory_that_nobody_uses() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let larder = larder().of(&up).start();
    larder.get_hit("/example.com/m/@v/v1.0.0.zip");
    larder.run(&["index", "rebuild"]).expect(4);
    assert!(larder.get("/example.com/m/@v/v1.0.0.zip").is_hit());
}

#[test]
fn doctor_shows_what_this_server_would_use() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let dead = DeadPort::new();
    let builder = larder()
        .env("LARDER_UPSTREAM", format!("{}|{}", up.url(), dead.url()))
        .env("LARDER_SUMDB", "off");
    let data = builder.data_dir();
    let builder = builder.env("LARDER_DATA_DIR", &data);
    let finished = builder.run(&["doctor"]);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains(&up.url()), "{said}");
    assert!(said.contains(&dead.url()), "{said}");
    assert!(said.contains("go env -w GOPROXY="), "{said}");
    assert!(said.contains(data.to_str().unwrap()), "{said}");
    assert!(up.total() >= 1, "reachability is tried");
}

#[test]
fn doctor_warns_of_settings_that_bypass_larder() {
    let up = FakeUpstream::start();
    let builder = larder()
        .env("LARDER_UPSTREAM", up.url())
        .env("GONOPROXY", "*.corp.example.com")
        .env("GOFLAGS", "-mod=vendor");
    let finished = builder.run(&["doctor"]);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains("GONOPROXY"), "{said}");
    assert!(said.contains("GOFLAGS"), "{said}");
}
