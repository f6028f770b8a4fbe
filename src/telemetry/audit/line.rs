//! What the lines of the audit log say. Keys may be added; none changes its meaning.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use super::refusals::Repeated;
use crate::clock::Timestamp;

/// Of a text that comes from outside as much is kept. Bytes.
const LONGEST: usize = 512;
/// What an operator has said is left out if it is longer. Bytes.
const LONGEST_INPUT: usize = 4 << 10;

/// Somebody was refused because of who they are.
#[derive(Clone, Copy, Debug)]
pub struct AuditRefusal<'a> {
    /// The caller's name, if they have one.
    pub name: Option<&'a str>,
    pub address: Option<IpAddr>,
    /// The machine that has this address, of which refusals are counted together.
    pub machine: Option<IpAddr>,
    /// What it was about, if that is a module.
    pub module: Option<&'a str>,
    pub path: &'a str,
    pub request_id: Option<&'a str>,
    /// As in errors for programs: `unauthorized`, `refused`.
    pub outcome: &'a str,
}

/// An operation that changes something.
#[derive(Clone, Copy, Debug)]
pub struct AuditAction<'a> {
    /// `token/new`.
    pub operation: &'a str,
    /// Who has done it: `uid:1000`, a caller's name, an address.
    pub who: &'a str,
    pub address: Option<IpAddr>,
    pub request_id: Option<&'a str>,
    /// What exactly they wanted.
    pub input: Option<&'a Value>,
    /// Why it was not done.
    pub error: Option<&'a str>,
}

/// The configuration was read again.
#[derive(Clone, Copy, Debug)]
pub struct AuditReload<'a> {
    /// Why: a signal, a command, its file.
    pub cause: &'a str,
    pub changed: &'a [String],
    pub needs_restart: &'a [String],
    /// Why it was not put in force.
    pub error: Option<&'a str>,
}

/// A line. What does not concern an event is left out.
#[derive(Default, Serialize)]
pub(super) struct Line<'a> {
    time: String,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    changed: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    needs_restart: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> Line<'a> {
    pub(super) fn refused(now: Timestamp, refusal: &AuditRefusal<'a>) -> Self {
        let address = refusal.address.map(|address| address.to_string());
        Line {
            who: refusal.name.map(str::to_owned).or(address),
            address: refusal.address,
            module: refusal.module.map(cut),
            path: Some(cut(refusal.path)),
            request_id: refusal.request_id.map(cut),
            outcome: refusal.outcome,
            ..Line::of(now, "refused")
        }
    }

    pub(super) fn acted(now: Timestamp, action: &AuditAction<'a>) -> Self {
        let is_short = |input: &&Value| input.to_string().len() <= LONGEST_INPUT;
        Line {
            who: Some(action.who.to_owned()),
            address: action.address,
            input: action.input.filter(is_short),
            request_id: action.request_id.map(cut),
            outcome: done_or_failed(action.error),
            error: action.error.map(cut),
            ..Line::of(now, action.operation)
        }
    }

    pub(super) fn reloaded(now: Timestamp, reload: &AuditReload<'a>) -> Self {
        Line {
            cause: Some(reload.cause),
            changed: reload.changed,
            needs_restart: reload.needs_restart,
            outcome: done_or_failed(reload.error),
            error: reload.error.map(cut),
            ..Line::of(now, "reload")
        }
    }

    pub(super) fn repeated(now: Timestamp, repeated: &'a Repeated) -> Self {
        Line {
            who: repeated.machine.map(|address| address.to_string()),
            address: repeated.machine,
            module: repeated.module.as_deref().map(cut),
            count: Some(repeated.count),
            ..Line::of(now, "refused-again")
        }
    }

    fn of(now: Timestamp, event: &'a str) -> Self {
        Line {
            time: now.rfc3339_millis(),
            event,
            ..Line::default()
        }
    }

    /// Appends it to an empty buffer.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        // Values of these types have no way to fail, and neither has memory.
        let _ = serde_json::to_writer(&mut *out, self);
        out.push(b'\n');
    }
}

/// Appends the line that tells of lost ones.
pub(super) fn lost_line(now: Timestamp, lost: u64, out: &mut Vec<u8>) {
    let line = Line {
        count: Some(lost),
        ..Line::of(now, "lost")
    };
    line.write(out);
}

fn done_or_failed(error: Option<&str>) -> &'static str {
    match error {
        None => "done",
        Some(_) => "failed",
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}
