//! `--json`, and the socket through which commands reach a running server.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::support::server::Finished;
use crate::support::*;
use serde_json::{Value, json};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The JSON values that a command prints, a line each.
#[track_caller]
fn lines(finished: &Finished) -> Vec<Value> {
    let lines = finished.stdout.lines();
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    lines.map(read).collect()
}

/// The one document that a command prints.
#[track_caller]
fn document(finished: &Finished) -> Value {
    let mut lines = lines(finished);
    assert_eq!(lines.len(), 1, "{finished:?}");
    lines.remove(0)
}

/// A server that has kept all files of a module from `up`.
fn with_module(up: &FakeUpstream, module: &Module) -> Larder {
    let larder = larder().of(up).start();
    for kind in ["info", "mod", "zip"] {
        larder.get_hit(&module.url(kind));
    }
    larder
}

fn module() -> Module {
    Module::new("example.com/Some/m", "v1.0.0")
}

#[test]
fn the_index_is_dumped_by_a_running_server_as_without_one() {
    let module = module();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let mut larder = with_module(&up, &module);
    let all = ["index", "dump"];
    let some = ["index", "dump", "--prefix", "file/example.com/!some/m/@v/"];
    let none = ["index", "dump", "--prefix", "file/example.com/other/"];
    let outputs = |larder: &Larder| {
        [&all[..], &some, &none].map(|arguments| {
            let text = larder.run(arguments).expect(0);
            let json = larder.run(&[arguments, &["--json"]].concat()).expect(0);
            (text, json)
        })
    };
    until("the last fact of a start", || {
        let dumped = larder.run(&["index", "dump", "--prefix", "state/rules"]);
        (!dumped.stdout.is_empty()).then_some(())
    });
    let running = outputs(&larder);
    assert!(running[0].0.stderr.contains("the running server"));
    larder.stop();
    let alone = outputs(&larder);
    for (running, alone) in running.iter().zip(&alone) {
        assert_eq!(running.0.stdout, alone.0.stdout);
        assert_eq!(running.1.stdout, alone.1.stdout);
        // The same in both forms.
        let facts = lines(&running.1);
        let as_text = facts
            .iter()
            .map(|fact| format!("{}\t{}\n", fact["key"].as_str().unwrap(), fact["value"]));
        assert_eq!(as_text.collect::<String>(), running.0.stdout);
    }
    let [all, some, none] = alone.map(|(_, json)| lines(&json));
    let keys: Vec<_> = some
        .iter()
        .map(|fact| fact["key"].as_str().unwrap())
        .collect();
    let named = |ext| format!("file/example.com/!some/m/@v/v1.0.0.{ext}");
    assert_eq!(keys, ["info", "mod", "zip"].map(named));
    assert_eq!(none, Vec::<Value>::new());
    let totals = all.last().unwrap();
    assert_eq!(totals["key"], "totals");
    assert_eq!(totals["value"]["files"], 3);
    for fact in &some {
        assert!(all.contains(fact), "{fact}");
        assert!(fact["value"]["size"].as_u64().is_some_and(|size| size > 0));
    }
}

#[test]
fn the_index_is_verified_by_a_running_server_as_without_one() {
    let module = module();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let mut larder = with_module(&up, &module);
    let verify = ["index", "verify"];
    let report = ["index", "verify", "--json"];
    let well = "3 files, 3 in order, 0 not\n";
    assert_eq!(larder.run(&verify).expect(0).stdout, well);
    let reported = larder.run(&report).expect(0);
    let last = lines(&reported).pop().unwrap();
    let done = json!({"files": 3, "in_order": 3, "not_in_order": 0, "repaired": false});
    assert_eq!(last, json!({ "done": done }));
    // In another content of the same size.
    let path = larder.blob(&module.url("mod"));
    let content = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, content.replace("example", "elpmaxe")).unwrap();
    let name = "example.com/!some/m/@v/v1.0.0.mod";
    for running in [true, false] {
        if !running {
            larder.stop();
        }
        let text = larder.run(&verify).expect(1);
        assert!(
            text.stdout.starts_with(&format!("bad: {name}: ")),
            "{text:?}"
        );
        assert!(
            text.stdout.ends_with("\n3 files, 2 in order, 1 not\n"),
            "{text:?}"
        );
        let reported = lines(&larder.run(&report).expect(1));
        let items: Vec<_> = reported
            .iter()
            .filter_map(|line| line.get("item"))
            .collect();
        assert_eq!(items.len(), 1, "{reported:?}");
        assert_eq!(items[0]["file"], name);
        assert_eq!(items[0]["removed"], false);
        assert!(
            items[0]["reason"]
                .as_str()
                .is_some_and(|why| !why.is_empty())
        );
        let done = reported.last().and_then(|line| line.get("done"));
        assert_eq!(done.unwrap()["not_in_order"], 1);
    }
    // A running server forgets it as well, and fetches it again.
    larder.restart();
    let repaired = larder.run(&["index", "verify", "--repair"]).expect(0);
    assert!(
        repaired.stdout.starts_with(&format!("removed: {name}: ")),
        "{repaired:?}"
    );
    let before = up.count(&module.url("mod"));
    assert_eq!(larder.get(&module.url("mod")).expect(200).text(), content);
    assert_eq!(up.count(&module.url("mod")), before + 1);
    larder.get_hit(&module.url("mod"));
    assert_eq!(larder.run(&verify).expect(0).stdout, well);
}

#[test]
fn hits_go_on_while_the_index_is_dumped() {
    /// Commands that are carried out at once.
    const AT_ONCE: usize = 8;
    let module = module();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    // More than a socket takes that nobody reads.
    let versions: String = (0..400).map(|n| format!("v1.{n}.0\n")).collect();
    let larder = with_module(&up, &module);
    for n in 0..200 {
        let path = format!("example.com/large{n}x");
        up.put_list(&path, &versions);
        larder.get(&format!("/{path}/@v/list")).ok();
    }
    let socket = larder.data_dir().join("control");
    // Clients that read no more of their answers than shows that they are being answered.
    let mut idle: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            ask(&mut stream, "index/dump", &json!({"prefix": ""}));
            let mut read = BufReader::new(stream);
            for _ in 0..2 {
                assert!(read.read_line(&mut String::new()).unwrap() > 0);
            }
            read
        })
        .collect();
    std::thread::scope(|scope| {
        let totals = || larder.run(&["index", "dump", "--prefix", "totals"]);
        let next = scope.spawn(totals);
        for _ in 0..50 {
            assert!(larder.get(&module.url("zip")).is_hit());
        }
        assert!(!next.is_finished(), "the others are still being answered");
        idle.pop();
        let dumped = next.join().unwrap().expect(0);
        assert!(dumped.stdout.starts_with("totals\t"), "{dumped:?}");
        assert!(totals().expect(0).stdout.starts_with("totals\t"));
    });
}

#[test]
fn tokens_as_json() {
    let mut larder = larder().upstream("off").start();
    for running in [true, false] {
        if !running {
            larder.stop();
        }
        let empty = larder.run(&["token", "list", "--json"]).expect(0);
        assert_eq!(document(&empty), json!({"tokens": []}));
        let made = document(&larder.run(&["token", "new", "ci", "--json"]).expect(0));
        assert_eq!(made["name"], "ci");
        assert!(
            made["token"].as_str().unwrap().starts_with("lrd_"),
            "{made}"
        );
        let known = document(&larder.run(&["token", "list", "--json"]).expect(0));
        let created = known["tokens"][0]["created"].as_str().unwrap();
        assert_eq!(
            known,
            json!({"tokens": [{
                "name": "ci",
                "created": created,
                "expires": null,
                "expired": false,
                "replaced_until": null,
                "read": null,
                "note": null,
                "last_used": null,
            }]})
        );
        let text = larder.run(&["token", "list"]).expect(0).stdout;
        assert_eq!(text, format!("ci  made {created}, never used\n"));
        let again = larder.run(&["token", "new", "ci", "--json"]).expect(1);
        let error = document(&again);
        assert_eq!(error["error"]["kind"], "conflict");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("there is a token named ci already"),
            "{message}"
        );
        assert!(again.stderr.contains(message), "{again:?}");
        let revoked = larder.run(&["token", "revoke", "ci", "--json"]).expect(0);
        assert_eq!(document(&revoked), json!({"name": "ci"}));
        let gone = document(&larder.run(&["token", "revoke", "ci", "--json"]).expect(1));
        assert_eq!(gone["error"]["kind"], "not-found");
    }
}

#[test]
fn first_seen_checksums_as_json() {
    let module = module();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let mut larder = with_module(&up, &module);
    for running in [true, false] {
        if !running {
            larder.get_hit(&module.url("zip"));
            larder.get_hit(&module.url("mod"));
            larder.stop();
        }
        let held = lines(&larder.run(&["first-seen", "list", "--json"]).expect(0));
        let text = larder.run(&["first-seen", "list"]).expect(0).stdout;
        assert_eq!(held.len(), 2, "{held:?}");
        for (held, line) in held.iter().zip(text.lines()) {
            let word = |key: &str| held[key].as_str().unwrap().to_owned();
            let suffix = if word("file") == "mod" { "/go.mod" } else { "" };
            let expected = format!(
                "{} {}{suffix} {}  first seen {} from {}",
                word("module"),
                word("version"),
                word("h1"),
                word("first_seen"),
                word("from")
            );
            assert_eq!(line, expected);
            assert_eq!(word("module"), "example.com/Some/m");
            assert_eq!(held["unknown_to_database"], false);
            assert_eq!(held["change_accepted"], false);
        }
        let version = "example.com/Some/m@v1.0.0";
        let files = json!(["mod", "zip"]);
        let changed = json!({"module": "example.com/Some/m", "version": "v1.0.0", "files": files});
        let accepted = larder
            .run(&["first-seen", "accept", version, "--json"])
            .expect(0);
        assert_eq!(document(&accepted), changed);
        let held = lines(&larder.run(&["first-seen", "list", "--json"]).expect(0));
        assert!(
            held.iter().all(|held| held["change_accepted"] == true),
            "{held:?}"
        );
        let removed = larder
            .run(&["first-seen", "remove", version, "--json"])
            .expect(0);
        assert_eq!(document(&removed), changed);
        let none = larder.run(&["first-seen", "list", "--json"]).expect(0);
        assert_eq!(none.stdout, "");
        let gone = larder
            .run(&["first-seen", "remove", version, "--json"])
            .expect(1);
        assert_eq!(document(&gone)["error"]["kind"], "not-found");
    }
}

#[test]
fn a_rebuilt_index_as_json() {
    let module = module();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let mut larder = with_module(&up, &module);
    larder.stop();
    std::fs::write(larder.blob(&module.url("zip")), "no zip").unwrap();
    let rebuilt = lines(&larder.run(&["index", "rebuild", "--json"]).expect(0));
    let items: Vec<_> = rebuilt.iter().filter_map(|line| line.get("item")).collect();
    assert_eq!(items.len(), 1, "{rebuilt:?}");
    assert_eq!(items[0]["file"], "example.com/!some/m/@v/v1.0.0.zip");
    let done = rebuilt.last().and_then(|line| line.get("done")).unwrap();
    assert_eq!(
        (&done["recorded"], &done["left_out"]),
        (&json!(2), &json!(1))
    );
}

#[test]
fn without_databases_their_state_is_empty() {
    let mut larder = larder().upstream("off").start();
    for running in [true, false] {
        if !running {
            larder.stop();
        }
        let status = larder.run(&["sumdb", "status", "--json"]).expect(0);
        assert_eq!(document(&status), json!({"databases": []}));
        let unknown = larder.run(&["sumdb", "acknowledge", "sum.example.com", "--json"]);
        assert_eq!(document(&unknown.expect(1))["error"]["kind"], "not-found");
        let verified = lines(&larder.run(&["sumdb", "verify", "--json"]).expect(0));
        assert_eq!(verified.last().unwrap()["done"]["files"], 0);
    }
}

fn ask(stream: &mut UnixStream, operation: &str, input: &Value) {
    let greeting = json!({"larder": VERSION, "protocol": 1});
    let request = json!({"operation": operation, "input": input});
    write!(stream, "{greeting}\n{request}\n").unwrap();
}

/// What a server sends to a client that sends this.
fn answered(larder: &Larder, sent: &str) -> Vec<Value> {
    let mut stream = UnixStream::connect(larder.data_dir().join("control")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // It may have closed already.
    let _ = stream.write_all(sent.as_bytes());
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect()
}

#[test]
fn the_socket_says_what_it_does_not_understand() {
    let larder = larder().upstream("off").start();
    let ours = json!({"larder": VERSION, "protocol": 1});
    let request = |operation: &str, input: Value| {
        let request = json!({"operation": operation, "input": input});
        format!("{ours}\n{request}\n")
    };
    let later = json!({"larder": "99.0.0", "protocol": 99});
    let long = format!("{ours}\n\"{}\"\n", "x".repeat(70_000));
    for (sent, kind, word) in [
        ("\"token-list\"\n".to_owned(), "invalid", "not understood"),
        (format!("{later}\n{{}}\n"), "version", "99.0.0"),
        (format!("{ours}\n{{}}\n"), "invalid", "operation"),
        (long, "invalid", "bytes"),
        (request("module/drop", json!({})), "version", "module/drop"),
        (request("token/revoke", json!({})), "invalid", "name"),
        (
            request("token/revoke", json!({"name": "a b"})),
            "invalid",
            "letters",
        ),
        (
            request("token/revoke", json!({"name": "ci"})),
            "not-found",
            "ci",
        ),
    ] {
        let answers = answered(&larder, &sent);
        assert_eq!(answers.len(), 2, "{sent:.100}: {answers:?}");
        assert_eq!(answers[0], ours);
        let failed = &answers[1]["failed"];
        assert_eq!(failed["kind"], kind, "{sent:.100}: {answers:?}");
        let message = failed["message"].as_str().unwrap();
        assert!(message.contains(word), "{sent:.100}: {message}");
    }
    let answers = answered(&larder, &request("token/list", json!({})));
    assert_eq!(answers[1], json!({"done": {"tokens": []}}));
}

/// Runs a command against a server that answers so; gives what it says.
fn against(answer: &'static str) -> Finished {
    let builder = larder().upstream("off");
    std::fs::create_dir(builder.data_dir()).unwrap();
    let socket = UnixListener::bind(builder.data_dir().join("control")).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        let mut read = BufReader::new(stream.try_clone().unwrap());
        for _ in 0..2 {
            read.read_line(&mut String::new()).unwrap();
        }
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let data = builder.data_dir();
    let finished = builder.run(&["token", "list", "--data-dir", data.to_str().unwrap()]);
    server.join().unwrap();
    finished
}

#[test]
fn a_server_of_another_version_is_told_plainly() {
    let said = against("{\"larder\":\"99.0.0\",\"protocol\":99}\n").expect(4);
    let plainly = said.stderr.contains("it is larder 99.0.0") && said.stderr.contains(VERSION);
    assert!(plainly, "{said:?}");
    // As those before the first protocol do.
    let said = against("").expect(4);
    assert!(said.stderr.contains("it is of another version"), "{said:?}");
    let said = against("{\"line\":\"there are no tokens\"}\n").expect(4);
    assert!(said.stderr.contains("it is of another version"), "{said:?}");
    // Another version, and the same protocol.
    let said = against(
        "{\"larder\":\"99.0.0\",\"protocol\":1,\"more\":1}\n{\"done\":{\"tokens\":[],\"more\":2}}\n",
    );
    let said = said.expect(0);
    assert_eq!(said.stdout, "there are no tokens\n");
    assert!(said.stderr.contains("99.0.0"), "{said:?}");
    let said = against("{\"larder\":\"99.0.0\",\"protocol\":1}\n{\"done\":7}\n").expect(1);
    assert!(said.stderr.contains("99.0.0"), "{said:?}");
    let said = against("{\"larder\":\"99.0.0\",\"protocol\":1}\n").expect(1);
    assert!(
        said.stderr
            .contains("the server ended before the command did"),
        "{said:?}"
    );
}
