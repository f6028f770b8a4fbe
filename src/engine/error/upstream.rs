//! What the failures of an upstream mean for whoever asked.

use std::sync::Arc;
use std::time::Duration;

use super::class::Class;
use crate::upstream::{Failure, SinkError, SourceError};

/// When an upstream whose places are taken may be asked again.
const BUSY: Duration = Duration::from_secs(5);
/// The same where there is no room for its answers.
const CROWDED: Duration = Duration::from_secs(2);
/// What an upstream asks for is obeyed within reason.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An upstream that was asked.
#[derive(Clone, Debug)]
pub struct AskedUpstream {
    /// Its name.
    pub label: Arc<str>,
    /// The host that credentials would be for.
    pub host: String,
    /// Whether there are credentials for it.
    pub has_credentials: bool,
}

/// The class of a failure.
pub(super) fn class(error: &SourceError) -> Class {
    let failure = match error {
        SourceError::Failed { failure, .. } => failure,
        SourceError::Open { .. } | SourceError::Paused(_) | SourceError::Busy => {
            return Class::Unavailable;
        }
    };
    match failure {
        Failure::Absent { status, .. } => Class::Absent {
            gone: status.as_u16() == 410,
        },
        Failure::Refused { .. } => Class::Refused,
        Failure::Limited { .. } => Class::Unavailable,
        Failure::Timeout(_) => Class::Timeout,
        Failure::Crowded => Class::Overloaded,
        Failure::Sink(SinkError::Store(_)) => Class::Internal,
        _ => Class::Upstream,
    }
}

/// When it may be asked again.
pub(super) fn retry_after(error: &SourceError) -> Option<Duration> {
    match error {
        SourceError::Open { left, .. } | SourceError::Paused(left) => Some(*left),
        SourceError::Busy => Some(BUSY),
        SourceError::Failed { failure, .. } => match failure {
            Failure::Limited { after, .. } => Some(after.unwrap_or(BUSY).min(LONGEST_PAUSE)),
            Failure::Crowded => Some(CROWDED),
            _ => None,
        },
    }
}

/// What an upstream says of an absence, beside others.
pub fn absence(label: &str, error: &SourceError) -> String {
    match error.failure() {
        Some(Failure::Absent { status, text }) if text.is_empty() => {
            format!("{label} says {status}")
        }
        Some(Failure::Absent { text, .. }) => format!("{label} says: {text}"),
        _ => format!("{label}: {error}"),
    }
}

/// What has happened.
pub(super) fn text(what: &str, upstream: &AskedUpstream, error: &SourceError) -> String {
    let label = &upstream.label;
    let failure = match error {
        SourceError::Failed { failure, .. } => failure,
        SourceError::Open { .. } | SourceError::Paused(_) => {
            return format!("{what}: upstream {label} is not available: {error}");
        }
        SourceError::Busy => return format!("{what}: upstream {label}: {error}"),
    };
    match failure {
        Failure::Absent { .. } => format!("not found: {what}: {}", absence(label, error)),
        Failure::Refused { text } => {
            let words = if text.is_empty() {
                "403 Forbidden"
            } else {
                text
            };
            format!("{words} ({what}: refused by {label} with 403)")
        }
        Failure::Login(status) => {
            let why = match upstream.has_credentials {
                true => "it does not accept larder's credentials",
                false => "it wants credentials and larder has none for it",
            };
            format!("{what}: upstream {label} answered {status}: {why}")
        }
        Failure::Limited { .. }
        | Failure::Timeout(_)
        | Failure::Loop
        | Failure::TooLarge(_)
        | Failure::Crowded => format!("{what}: upstream {label}: {error}"),
        Failure::Sink(SinkError::Store(_)) => {
            format!("{what}: larder could not store what it fetched")
        }
        Failure::Sink(SinkError::Content(text)) => {
            format!("{what}: upstream {label}: its answer is not what was asked for: {text}")
        }
        _ => format!("{what}: upstream {label} failed: {error}"),
    }
}
