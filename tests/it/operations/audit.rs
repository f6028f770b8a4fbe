//! The audit log: who was refused, what operators did, and what became of reloads.

use crate::support::server::Builder;
use crate::support::*;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const PRIVATE: &str = "/corp.example.com/team/lib";

/// A Larder for whoever reaches this machine, its configuration, and its audit log.
fn audited(more: &str) -> (Builder, String, PathBuf) {
    let builder = larder().upstream("off").listen("0.0.0.0:0");
    let file = builder.home().join("audit.log");
    let text = format!(
        "[modules]\nprivate = \"corp.example.com\"\n[log]\naudit = \"{}\"\n{more}",
        file.display()
    );
    (builder.config(&text), text, file)
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The lines of an event, once there are so many.
#[track_caller]
fn events(file: &Path, event: &str, count: usize) -> Vec<Value> {
    until(&format!("{count} of {event}"), || {
        let mut found = lines(file);
        found.retain(|line| line["event"] == event);
        (found.len() >= count).then_some(found)
    })
}

/// The program is this test's child.
fn me() -> String {
    format!("uid:{}", rustix::process::getuid().as_raw())
}

#[test]
fn who_did_what_and_who_was_refused() {
    let admin = format!("127.0.0.1:{}", free_port());
    let (builder, text, file) = audited("");
    let builder = builder.set("admin.listen", &admin);
    let config = builder.home().join("larder.toml");
    let mut larder = builder.start();

    let path = format!("{PRIVATE}/@v/list?x=y");
    let answer = larder.get_with(&path, "Authorization", "Bearer lrd_wrong");
    assert_eq!(answer.status, 401);
    let refused = events(&file, "refused", 1).remove(0);
    assert_eq!(refused["who"], "127.0.0.1");
    assert_eq!(refused["address"], "127.0.0.1");
    assert_eq!(refused["module"], PRIVATE[1..]);
    assert_eq!(refused["path"], format!("{PRIVATE}/@v/list"));
    assert_eq!(refused["outcome"], "unauthorized");
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(refused["request_id"], id);
    let time = refused["time"].as_str().unwrap();
    assert!(time.len() == "2026-11-28T12:00:00.000Z".len() && time.ends_with('Z'));

    let mut secrets = vec!["lrd_wrong".to_owned()];
    for arguments in [
        &["token", "new", "ci", "--expires", "90d"][..],
        &["token", "rotate", "ci"],
        &["token", "list"],
        &["token", "revoke", "ci"],
    ] {
        let made = larder.run(arguments).expect(0).stdout;
        secrets.extend(made.split_whitespace().last().map(str::to_owned));
    }
    larder.run(&["token", "revoke", "nobody"]).expect(1);
    let made = events(&file, "token/new", 1).remove(0);
    assert_eq!(made["who"], me());
    assert_eq!(made["input"]["name"], "ci");
    assert_eq!(made["outcome"], "done");
    assert_eq!(events(&file, "token/rotate", 1)[0]["input"]["name"], "ci");
    let revoked = events(&file, "token/revoke", 2);
    assert_eq!(revoked[0]["outcome"], "done");
    assert_eq!(revoked[1]["outcome"], "failed");
    assert!(revoked[1]["error"].as_str().unwrap().contains("nobody"));

    // Reloads: good, bad, and by whom.
    let reload = |text: &str| {
        std::fs::write(&config, text).unwrap();
        let arguments = ["reload", "--config", config.to_str().unwrap()];
        larder.run(&arguments).expect(0);
    };
    reload(&format!("{text}level = \"debug\"\n"));
    std::fs::write(&config, format!("{text}level = \"loud\"\n")).unwrap();
    larder.signal(Signal::HUP);
    assert_eq!(events(&file, "reload", 2)[1]["cause"], "SIGHUP");
    reload(&text.replace("audit.log", "other.log"));
    let reloads = events(&file, "reload", 3);
    assert_eq!(reloads[0]["changed"], json!(["log.level"]));
    assert_eq!(reloads[0]["outcome"], "done");
    assert_eq!(reloads[1]["outcome"], "failed");
    assert!(reloads[1]["error"].as_str().unwrap().contains("loud"));
    assert_eq!(reloads[2]["needs_restart"], json!(["log.audit"]));
    let asked = events(&file, "config/reload", 2);
    assert!(asked.iter().all(|line| line["who"] == me()));
    std::fs::write(&config, &text).unwrap();
    let posted = Request::new("POST", "/-/reload").send(admin.parse().unwrap());
    let asked = events(&file, "config/reload", 3).remove(2);
    assert_eq!(asked["address"], "127.0.0.1");
    assert_eq!(asked["request_id"], posted.header("x-request-id").unwrap());

    // Without a server it is the command that writes.
    larder.stop();
    let before = lines(&file).len();
    let run = |arguments: &[&str]| {
        let config = ["--config", config.to_str().unwrap()];
        larder.run(&[arguments, &config].concat())
    };
    let made = run(&["token", "new", "alone"]).expect(0).stdout;
    secrets.extend(made.split_whitespace().last().map(str::to_owned));
    run(&["token", "list"]).expect(0);
    let after = lines(&file);
    assert_eq!(after.len(), before + 1);
    assert_eq!(after[before]["event"], "token/new");
    assert_eq!(after[before]["who"], me());
    std::fs::write(&config, text.replace("audit.log", "none/audit.log")).unwrap();
    let refused = run(&["token", "new", "unseen"]).expect(2);
    assert!(refused.stderr.contains("log.audit"), "{refused:?}");
    std::fs::write(&config, &text).unwrap();
    assert!(!run(&["token", "list"]).expect(0).stdout.contains("unseen"));

    let all = std::fs::read_to_string(&file).unwrap();
    assert!(secrets.iter().filter(|it| it.starts_with("lrd_")).count() == 4);
    for secret in secrets.iter().filter(|it| it.starts_with("lrd_")) {
        assert!(!all.contains(secret.as_str()), "{all}");
    }
}

#[test]
fn a_file_that_was_renamed_is_left_at_the_signal() {
    let (builder, _, file) = audited("");
    let mut larder = builder.start();
    larder.run(&["token", "new", "one"]).expect(0);
    events(&file, "token/new", 1);
    let old = file.with_extension("log.1");
    std::fs::rename(&file, &old).unwrap();
    larder.signal(Signal::USR1);
    until("a new file", || file.exists().then_some(()));
    larder.run(&["token", "new", "two"]).expect(0);
    let new = events(&file, "token/new", 1);
    assert_eq!(new[0]["input"]["name"], "two");
    assert_eq!(lines(&old).len(), 1);
    // A folder in its place: it goes on in the file that is open.
    std::fs::rename(&file, file.with_extension("log.2")).unwrap();
    std::fs::create_dir(&file).unwrap();
    larder.signal(Signal::USR1);
    larder.wait_stderr("cannot be opened anew");
    larder.run(&["token", "new", "three"]).expect(0);
    events(&file.with_extension("log.2"), "token/new", 2);
    let metrics = larder.metrics();
    assert!(
        metrics.contains("larder_audit_write_failures_total 1"),
        "{metrics}"
    );
    assert!(metrics.contains("larder_audit_lost_total 0"), "{metrics}");
    assert_eq!(larder.stop(), 0);
}

#[test]
fn a_stranger_fills_no_disk() {
    let (builder, _, file) = audited("");
    let mut larder = builder.start();
    let mut connection = Conn::open(larder.addr()).unwrap();
    let mut asked = 0;
    for n in 0..300 {
        for path in [PRIVATE.to_owned(), format!("/corp.example.com/m{n}")] {
            let request = Request::get(&format!("{path}/@v/list"));
            connection.write(&request.bytes(larder.addr())).unwrap();
            assert_eq!(connection.response(false).unwrap().status, 401);
            asked += 1;
        }
    }
    assert_eq!(larder.stop(), 0);
    let lines = lines(&file);
    assert!(lines.len() < 70, "{} lines", lines.len());
    let told = lines.iter().filter(|line| line["event"] == "refused");
    let again = lines.iter().filter(|line| line["event"] == "refused-again");
    let again: u64 = again.map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(told.count() as u64 + again, asked);
    let known = lines
        .iter()
        .find(|line| line["module"] == PRIVATE[1..] && line["event"] == "refused-again");
    assert_eq!(known.unwrap()["count"], 299);
}

#[test]
fn it_is_in_the_log_or_in_a_file_or_the_server_does_not_start() {
    let (builder, ..) = audited("");
    let larder = builder.clone().set("log.audit", "stderr").start();
    larder.get(&format!("{PRIVATE}/@latest")).expect(401);
    larder.wait_stderr("\"event\":\"refused\"");
    drop(larder);
    let home = builder.home().to_owned();
    for wrong in [home.join("none/audit.log"), home] {
        let wrong = wrong.to_str().unwrap();
        let finished = builder.clone().set("log.audit", wrong).serve_to_end();
        let said = finished.expect(2).stderr;
        assert!(said.contains("log.audit") && said.contains(wrong), "{said}");
    }
}
