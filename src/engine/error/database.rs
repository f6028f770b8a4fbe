//! What it means for whoever asked that a checksum database has no answer.

use std::time::Duration;

use super::class::Class;
use crate::sumdb::SumdbError;

/// When a database that says no time may be asked again.
const BUSY: Duration = Duration::from_secs(5);
/// The same where as many look-ups as may be are under way.
const OVERLOADED: Duration = Duration::from_secs(2);
/// What is asked for is obeyed within reason.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The class of a failure.
pub(super) fn class(error: &SumdbError) -> Class {
    match error {
        SumdbError::Unknown { gone, .. } => Class::Absent { gone: *gone },
        SumdbError::Refused(_) => Class::Refused,
        SumdbError::Timeout(_) => Class::Timeout,
        SumdbError::Unavailable { .. } => Class::Unavailable,
        SumdbError::Fault(_) | SumdbError::Loop(_) => Class::Upstream,
        SumdbError::Forged(_)
        | SumdbError::Inconsistent(_)
        | SumdbError::Fork(_)
        | SumdbError::Alarmed(_) => Class::VerificationFailed,
        SumdbError::Overloaded => Class::Overloaded,
        SumdbError::Store(_) => Class::Internal,
    }
}

/// When it may be asked again.
pub(super) fn retry_after(error: &SumdbError) -> Option<Duration> {
    match error {
        SumdbError::Unavailable { retry_after, .. } => {
            Some(retry_after.unwrap_or(BUSY).min(LONGEST_PAUSE))
        }
        SumdbError::Overloaded => Some(OVERLOADED),
        _ => None,
    }
}

/// What has happened.
pub(super) fn text(what: &str, database: &str, error: &SumdbError) -> String {
    let about = |words: &str| format!("{what}: the checksum database {database}: {words}");
    match error {
        SumdbError::Unknown { text, .. } => format!("not found: {what}: {text}"),
        SumdbError::Refused(words)
        | SumdbError::Timeout(words)
        | SumdbError::Fault(words)
        | SumdbError::Loop(words)
        | SumdbError::Unavailable { text: words, .. } => about(words),
        SumdbError::Forged(words) | SumdbError::Inconsistent(words) => {
            let about = about(&format!("what came failed verification: {words}"));
            format!("SECURITY ERROR: {about}")
        }
        SumdbError::Fork(words) => format!(
            "SECURITY ERROR: {what}: {words}; larder has raised an alarm and refuses what is new"
        ),
        SumdbError::Alarmed(words) => format!(
            "SECURITY ERROR: {what}: {words}; larder has raised an alarm and takes nothing new on trust"
        ),
        SumdbError::Overloaded => about("larder asks it as much as it may already"),
        SumdbError::Store(_) => "larder's store failed".to_owned(),
    }
}
