use serde_json::{Value, json};

use super::*;
use crate::clock::{Clock, Manual, Timestamp};
use prometheus_client::metrics::counter::Counter;

const LONG: Duration = Duration::from_secs(20);

struct Scene {
    folder: tempfile::TempDir,
    clock: Arc<Manual>,
    audit: Audit,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let file = AuditFile::open(&folder.path().join("audit.log"), Counter::default());
        let clock = Arc::new(Manual::at(Timestamp(1_796_000_000_123)));
        let audit = Audit::to_file(file.unwrap(), Arc::clone(&clock) as SharedClock);
        Scene {
            folder,
            clock,
            audit: audit.unwrap(),
        }
    }

    fn lines(&self) -> Vec<Value> {
        assert!(self.audit.flush(LONG));
        let text = std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn refusal(module: &str) -> AuditRefusal<'_> {
    AuditRefusal {
        name: None,
        address: Some([192, 0, 2, 1].into()),
        machine: Some([192, 0, 2, 1].into()),
        module: Some(module),
        path: "/git.example.com/m/@v/list",
        request_id: Some("r1"),
        outcome: "unauthorized",
    }
}

#[test]
fn lines_say_who_what_and_what_became_of_it() {
    let scene = Scene::new();
    scene.audit.refused(&refusal("git.example.com/m"));
    let input = json!({ "name": "ci", "lifetime": null });
    scene.audit.acted(&AuditAction {
        operation: "token/new",
        who: "uid:1000",
        address: None,
        request_id: None,
        input: Some(&input),
        error: None,
    });
    scene.audit.reloaded(&AuditReload {
        cause: "SIGHUP",
        changed: &[],
        needs_restart: &["log.audit".to_owned()],
        error: Some("line 3: \"x\"\nis wrong"),
    });
    let time = "2026-11-30T00:53:20.123Z";
    assert_eq!(scene.clock.now().rfc3339_millis(), time);
    assert_eq!(
        scene.lines(),
        [
            json!({
                "time": time, "event": "refused", "who": "192.0.2.1", "address": "192.0.2.1",
                "module": "git.example.com/m", "path": "/git.example.com/m/@v/list", "request_id": "r1",
                "outcome": "unauthorized",
            }),
            json!({
                "time": time, "event": "token/new", "who": "uid:1000", "input": input, "outcome": "done",
            }),
            json!({
                "time": time, "event": "reload", "cause": "SIGHUP", "needs_restart": ["log.audit"],
                "outcome": "failed", "error": "line 3: \"x\"\nis wrong",
            }),
        ]
    );
}

#[test]
fn what_is_sent_is_bounded_and_forges_no_line() {
    let scene = Scene::new();
    let path = format!("/{}é\n{{\"event\":\"token/new\"}}", "x".repeat(510));
    scene.audit.refused(&AuditRefusal {
        path: &path,
        name: Some("token:\"\n"),
        ..refusal("m")
    });
    let lines = scene.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["path"], path[..511]);
    assert_eq!(lines[0]["who"], "token:\"\n");
}

#[test]
fn refusals_that_repeat_themselves_are_counted() {
    let scene = Scene::new();
    for _ in 0..1_000 {
        scene.audit.refused(&refusal("a"));
    }
    assert_eq!(scene.audit.0.as_ref().unwrap().sink.dropped(), 0);
    scene.audit.tell_repeated();
    scene.clock.pass(Duration::from_secs(61));
    scene.audit.tell_repeated();
    scene.audit.refused(&refusal("a"));
    let lines = scene.lines();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str()).collect();
    let expected = [Some("refused"), Some("refused-again"), Some("refused")];
    assert_eq!(events, expected);
    assert_eq!(lines[1]["count"], 999);
    assert_eq!(lines[1]["module"], "a");
}

#[test]
fn off_is_nothing() {
    let audit = Audit::default();
    audit.refused(&refusal("a"));
    audit.tell_repeated();
    assert!(!audit.reopen());
    assert!(audit.flush(Duration::ZERO));
    assert_eq!(audit.lost(), 0);
}
