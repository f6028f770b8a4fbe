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
        "serve",
        "config",
        "doctor",
        "index",
        "first-seen",
        "sumdb",
        "token",
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

#[test]
fn flags_may_stand_before_the_command() {
    let builder = larder();
    let file = builder.write("some.toml", "[freshness]\nttl = \"31s\"\n");
    let file = file.to_str().unwrap();
    for arguments in [
        &["--config", file, "config", "show"][..],
        &["-c", file, "config", "show"],
        &["config", "show", "-c", file],
    ] {
        let shown = builder.run(arguments).expect(0).stdout;
        assert!(shown.contains("31s"), "{arguments:?}: {shown}");
    }
    let version = builder.run(&["version"]).expect(0).stdout;
    assert_eq!(version, builder.run(&["--version"]).expect(0).stdout);
    builder.run(&["help", "--help"]).expect(0);
    builder.run(&["token", "help", "--help"]).expect(0);
    let said = builder.run(&["serve", "--port", "8080"]).expect(2).stderr;
    assert!(said.contains("--listen 127.0.0.1:8080"), "{said}");
    assert!(!said.contains("--private"), "{said}");
}

#[test]
fn a_version_that_is_none_is_a_usage_error() {
    let larder = larder().upstream("off").start();
    for version in ["a/b", "example.com/m@1.2", "@v1.0.0"] {
        let finished = larder.run(&["first-seen", "accept", version]).expect(2);
        assert!(
            finished.stderr.contains("example.com/module@v1.2.3"),
            "{finished:?}"
        );
    }
}

#[test]
fn doctor_takes_what_people_have_at_hand() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let builder = larder().env("LARDER_UPSTREAM", up.url());
    let said = builder
        .run(&["doctor", "example.com/m@v1.0.0"])
        .expect(0)
        .stdout;
    assert!(
        said.contains("v1.0.0") && said.contains("is among them"),
        "{said}"
    );
    let said = builder
        .run(&["doctor", "example.com/m@v1.0.9"])
        .expect(0)
        .stdout;
    assert!(said.contains("is NOT among them"), "{said}");
    builder.run(&["doctor", "example.com/m@latest"]).expect(0);
    let said = builder
        .run(&["doctor", "https://example.com/m/"])
        .expect(2)
        .stderr;
    assert!(said.contains("did you mean example.com/m?"), "{said}");
}

#[test]
fn doctor_warns_of_patterns_of_the_client_that_match_nothing() {
    let up = FakeUpstream::start();
    let builder = larder()
        .env("LARDER_UPSTREAM", up.url())
        .env("GONOSUMDB", "https://git.example.com/*");
    let said = builder.run(&["doctor"]).expect(0).stdout;
    assert!(
        said.contains("GONOSUMDB") && said.contains("a scheme"),
        "{said}"
    );
}

#[test]
fn commands_say_which_data_directory_and_which_server_they_talk_to() {
    let mut larder = larder().upstream("off").start();
    let data = larder.data_dir();
    let data = data.to_str().unwrap();
    let made = larder.run(&["token", "new", "ci"]).expect(0);
    assert!(made.stderr.contains("the running server"), "{made:?}");
    assert!(made.stderr.contains(data), "{made:?}");
    let token = made.stdout.lines().next_back().unwrap();
    assert!(token.starts_with("lrd_"), "{made:?}");
    for arguments in [&["first-seen", "list"][..], &["sumdb", "status"]] {
        let said = larder.run(arguments).expect(0).stderr;
        assert!(
            said.contains("the running server") && said.contains(data),
            "{said}"
        );
    }
    let doctor = larder.run(&["doctor"]).stdout;
    assert!(
        doctor.contains(&format!("process {}", larder.pid())),
        "{doctor}"
    );
    larder.stop();
    for arguments in [&["token", "list"][..], &["first-seen", "list"]] {
        let said = larder.run(arguments).expect(0).stderr;
        assert!(
            said.contains("no server is running") && said.contains(data),
            "{said}"
        );
    }
    let said = larder.run(&["index", "verify"]).expect(0).stderr;
    assert!(said.contains(data), "{said}");
}

#[test]
fn nothing_is_written_into_a_store_that_the_server_does_not_have() {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let builder = larder().upstream("off").listen(&listen);
    let file = builder.write("same.toml", &format!("[server]\nlisten = \"{listen}\"\n"));
    let file = file.to_str().unwrap().to_owned();
    let other = builder.home().join("share/larder");
    let server = builder.clone().start();
    // No data directory where another user's would be: as ever, and it is said that a server is there.
    let made = builder
        .run(&["token", "new", "ops", "--config", &file])
        .expect(4);
    assert!(
        made.stderr.contains("--data-dir") && made.stderr.contains(&listen),
        "{made:?}"
    );
    // One is there, which nobody holds.
    std::fs::create_dir_all(&other).unwrap();
    for arguments in [
        &["token", "new", "ops"][..],
        &["token", "revoke", "ops"],
        &["first-seen", "remove", "example.com/m@v1.0.0"],
        &["sumdb", "acknowledge", "sum.example.com"],
    ] {
        let arguments = [arguments, &["--config", &file]].concat();
        let said = builder.run(&arguments).expect(4);
        assert_eq!(said.stdout, "", "no token: {said:?}");
        assert!(said.stderr.contains(&listen), "{said:?}");
        assert!(said.stderr.contains(other.to_str().unwrap()), "{said:?}");
        assert!(said.stderr.contains("/var/lib/larder"), "{said:?}");
    }
    let said = builder.run(&["token", "list", "--config", &file]).expect(0);
    assert!(
        said.stderr.contains("warning") && said.stderr.contains(&listen),
        "{said:?}"
    );
    let said = builder.run(&["doctor", "--config", &file]).stdout;
    assert!(said.contains("ON ANOTHER DATA DIRECTORY"), "{said}");
    drop(server);
    // Nobody answers there now: it is the directory that is meant.
    builder
        .run(&["token", "new", "ops", "--config", &file])
        .expect(0);
}

/// A full disk is not somebody who has read enough.
#[test]
fn what_cannot_be_printed_is_an_error() {
    let up = FakeUpstream::serving(&[Module::new("example.com/m", "v1.0.0")]);
    let full = larder().shell("exec >/dev/full");
    let mut larder = larder().of(&up).start();
    larder.get_hit("/example.com/m/@v/v1.0.0.zip");
    let data = larder.data_dir();
    for running in [true, false] {
        if !running {
            larder.stop();
        }
        for arguments in [
            &["index", "dump"][..],
            &["index", "dump", "--json"],
            &["index", "verify"],
            &["first-seen", "list"],
            &["token", "list", "--json"],
            &["token", "new", if running { "a" } else { "b" }],
        ] {
            let arguments = [arguments, &["--data-dir", data.to_str().unwrap()]].concat();
            let said = full.run(&arguments).expect(1).stderr;
            assert!(said.contains("standard output"), "{arguments:?}: {said}");
        }
    }
    // What changes something has been carried out.
    let tokens = larder.run(&["token", "list"]).expect(0).stdout;
    assert_eq!(tokens.lines().count(), 2, "{tokens}");
}

#[test]
fn an_unknown_checksum_database_is_told_with_those_there_are() {
    let larder = larder().upstream("off").start();
    let said = larder
        .run(&["sumdb", "acknowledge", "sum.example.com"])
        .expect(1);
    assert!(said.stderr.contains("there is none"), "{said:?}");
}
