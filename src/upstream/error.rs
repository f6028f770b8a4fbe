//! What can come of asking an upstream.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use thiserror::Error;

use super::sink::SinkError;

/// How one request ended that did not bring what was wanted.
#[derive(Clone, Debug, Error)]
pub enum Failure {
    /// 404 or 410: it says that the thing does not exist. With its words, cleaned.
    #[error("{status}")]
    Absent {
        /// 404 or 410.
        status: StatusCode,
        /// What it said, possibly nothing.
        text: String,
    },
    /// 403: it does not give the thing out.
    #[error("403 Forbidden")]
    Refused {
        /// What it said, possibly nothing.
        text: String,
    },
    /// 401 or 407: it wants credentials that it did not get.
    #[error("it answered {0}")]
    Login(StatusCode),
    /// 429, or 503 with a time: not now.
    #[error("it asks to be left alone for a while ({status})")]
    Limited {
        /// 429 or 503.
        status: StatusCode,
        /// As it asked.
        after: Option<Duration>,
    },
    /// Any other status that is not success.
    #[error("it answered {status}{}{text}", if text.is_empty() { "" } else { ": " })]
    Status {
        status: StatusCode,
        /// What it said, possibly nothing.
        text: String,
    },
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// Its certificate is not one that we trust, or TLS failed otherwise.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// It took too long.
    #[error("it did not answer in time ({0})")]
    Timeout(&'static str),
    /// It said that it has not begun to process the request: its connection was about to end, or had too much to do.
    #[error("it did not take the request: {0}")]
    Unprocessed(String),
    /// The answer broke off or was not HTTP.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// A whole answer that cannot be what was asked for.
    #[error("its answer is not what was asked for: {0}")]
    Garbage(String),
    /// Too many redirects, or one that must not be followed.
    #[error("it redirected where we must not follow: {0}")]
    Redirect(String),
    /// More than may be.
    #[error("its answer is larger than {0} bytes")]
    TooLarge(u64),
    /// Larger answers are being read than there is room for.
    #[error("its answer is large, and larder has no room for it at the moment")]
    Crowded,
    /// The answer continued differently from how an earlier attempt began.
    #[error("it gave different bytes when asked again")]
    Changed,
    /// We are asking ourselves.
    #[error("the request came back to this server: the chain of upstreams is a loop")]
    Loop,
    /// What arrived could not be put anywhere.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl Failure {
    /// Whether asking again may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Failure::Limited { .. }
            | Failure::Connect(_)
            | Failure::Timeout(_)
            | Failure::Unprocessed(_)
            | Failure::Broken(_) => true,
            Failure::Status { status, .. } => {
                matches!(status.as_u16(), 408 | 425)
                    || (status.is_server_error() && !matches!(status.as_u16(), 501 | 505 | 508))
            }
            _ => false,
        }
    }

    /// Whether it is a sensible answer: a no.
    pub fn is_answer(&self) -> bool {
        matches!(self, Failure::Absent { .. } | Failure::Refused { .. })
    }

    /// Whether it says that the upstream as a whole is in trouble, rather than this one thing.
    pub fn is_outage(&self) -> bool {
        match self {
            Failure::Connect(_) | Failure::Tls(_) | Failure::Timeout(_) | Failure::Broken(_) => {
                true
            }
            Failure::Status { status, .. } => status.is_server_error() && status.as_u16() != 508,
            _ => false,
        }
    }

    /// The failure in our words alone: what an upstream said, or sent, may be about somebody else's module.
    pub fn brief(&self) -> String {
        match self {
            Failure::Status { status, .. } => format!("it answered {status}"),
            Failure::Garbage(_) => "its answer was not what was asked for".to_owned(),
            Failure::Redirect(_) => "it redirected where we must not follow".to_owned(),
            Failure::Sink(_) => "what it sent could not be taken".to_owned(),
            other => other.to_string(),
        }
    }

    /// A word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Failure::Absent { .. } => "absent",
            Failure::Refused { .. } => "refused",
            Failure::Login(_) => "login",
            Failure::Limited { .. } => "limited",
            Failure::Status { .. } => "status",
            Failure::Connect(_) => "connect",
            Failure::Tls(_) => "tls",
            Failure::Timeout(_) => "timeout",
            Failure::Unprocessed(_) => "unprocessed",
            Failure::Broken(_) => "broken",
            Failure::Garbage(_) | Failure::Changed => "garbage",
            Failure::Redirect(_) => "redirect",
            Failure::TooLarge(_) => "too_large",
            Failure::Crowded => "crowded",
            Failure::Loop => "loop",
            Failure::Sink(_) => "sink",
        }
    }
}

/// How a fetch from one upstream ended, after its retries.
#[derive(Clone, Debug, Error)]
pub enum SourceError {
    /// The last request's failure.
    #[error("{failure}{}", if *attempts > 1 { format!(" ({attempts} attempts)") } else { String::new() })]
    Failed {
        failure: Failure,
        /// Requests made.
        attempts: u32,
    },
    /// Not asked: it has failed too often lately.
    #[error("it has failed repeatedly and is not asked for another {} s{}", .left.as_secs().max(1), and_lastly(.lastly.as_deref()))]
    Open {
        /// For how long.
        left: Duration,
        /// How it failed last.
        lastly: Option<Arc<str>>,
    },
    /// Not asked: it wants to be left alone.
    #[error("it asks to be left alone for another {} s", .0.as_secs().max(1))]
    Paused(Duration),
    /// Not asked in time: all its places were taken.
    #[error("too many requests to it are under way already")]
    Busy,
}

fn and_lastly(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!("; lastly: {reason}"))
}

impl SourceError {
    /// The failure, if a request was made.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            SourceError::Failed { failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// Whether it says that the thing does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self.failure(), Some(Failure::Absent { .. }))
    }
}
