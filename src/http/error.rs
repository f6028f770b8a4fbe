//! The one place where a domain error becomes a status.

use axum::body::Body;
use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

use super::advice::Words;
use super::error_json::ErrorParts;
use super::headers::{self, TEXT};
use super::response_meta::ResponseMeta;
use crate::engine::{Class, EngineError};
use crate::protocol::{Lifetime, cache_control};
use crate::telemetry::metrics::{Endpoint, Outcome};

/// How a client may say who it is; Bearer will do as well.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"larder\"");

/// The status for an error's class (design section 5).
pub fn status(class: Class) -> StatusCode {
    match class {
        Class::Absent { gone: false } => StatusCode::NOT_FOUND,
        Class::Absent { gone: true } => StatusCode::GONE,
        Class::Refused => StatusCode::FORBIDDEN,
        Class::Unauthorized => StatusCode::UNAUTHORIZED,
        Class::VerificationFailed | Class::UnknownToDatabase | Class::Upstream => {
            StatusCode::BAD_GATEWAY
        }
        Class::Unavailable | Class::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        Class::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Class::Loop => StatusCode::LOOP_DETECTED,
        Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a class is called where programs read it; scripts rely on these.
pub fn kind(class: Class) -> &'static str {
    match class {
        Class::Absent { .. } => "absent",
        Class::Refused => "refused",
        Class::Unauthorized => "unauthorized",
        Class::VerificationFailed => "verification_failed",
        Class::UnknownToDatabase => "unknown_to_database",
        Class::Upstream => "upstream_fault",
        Class::Overloaded => "overloaded",
        Class::Unavailable => "unavailable",
        Class::Timeout => "timeout",
        Class::Loop => "loop",
        Class::Internal => "internal",
    }
}

fn outcome(error: &EngineError) -> Outcome {
    match error.class() {
        Class::Absent { .. } if error.stale().is_some() => Outcome::Stale,
        Class::Absent { .. } | Class::Refused if error.cached => Outcome::Negative,
        Class::Absent { .. } => Outcome::Absent,
        Class::Refused => Outcome::Refused,
        Class::Unauthorized => Outcome::Unauthorized,
        Class::VerificationFailed
        | Class::UnknownToDatabase
        | Class::Upstream
        | Class::Unavailable
        | Class::Timeout
        | Class::Loop => Outcome::UpstreamFault,
        Class::Overloaded => Outcome::Overloaded,
        Class::Internal => Outcome::OurFault,
    }
}

/// An error as an answer.
pub fn response(error: &EngineError, endpoint: Endpoint) -> Response<Body> {
    let status = status(error.class());
    let words = Words::of(error);
    let mut response = text(status, printable(words.lines()));
    let out = response.headers_mut();
    if let Some(after) = error.retry_after() {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        out.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if error.class() == Class::Unauthorized {
        out.insert(WWW_AUTHENTICATE, CHALLENGE);
    }
    if error.passing {
        out.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let cache = match error.stale() {
        Some(stale) => headers::stale(stale.over.as_secs()),
        None if error.cached => HeaderValue::from_static("larder; hit; detail=negative"),
        None if error.is_unasked() => HeaderValue::from_static("larder; detail=not-forwarded"),
        None => HeaderValue::from_static("larder; fwd=miss"),
    };
    out.insert(headers::CACHE_STATUS, cache);
    if let Some(stale) = error.stale() {
        out.insert(AGE, HeaderValue::from(stale.age.as_secs()));
    }
    response.extensions_mut().insert(ErrorParts {
        kind: kind(error.class()),
        message: words.happened.join("\n"),
        upstream: error.upstream().map(str::to_owned),
        hint: (!words.hint.is_empty()).then(|| words.hint.join("\n")),
    });
    response.extensions_mut().insert(ResponseMeta {
        endpoint,
        outcome: outcome(error),
        upstream: error.upstream().map(std::sync::Arc::from),
    });
    response
}

/// The lines as a body of which the `go` command prints all: it stops after 8 lines or 648 bytes
/// (`cmd/go/internal/web`, `maxErrorDetailBytes`).
fn printable<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 648;
    let mut body = String::new();
    for line in lines {
        let left = MOST - body.len();
        if line.len() < left {
            body.push_str(line);
            body.push('\n');
        } else if body.is_empty() {
            body.push_str(&line[..line.floor_char_boundary(left - 1)]);
            body.push('\n');
        } else {
            break;
        }
    }
    body
}

/// The answer to what is no sound request; nothing that follows it on the connection can be trusted.
pub fn bad_request(status: StatusCode, reason: &str) -> Response<Body> {
    let mut response = refusal(status, "bad_request", reason);
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The answer to a request that nobody is asked about; `text` is a line.
pub fn refusal(status: StatusCode, kind: &'static str, text: &str) -> Response<Body> {
    let mut response = self::text(status, format!("{text}\n"));
    response.extensions_mut().insert(ErrorParts {
        kind,
        message: text.to_owned(),
        upstream: None,
        hint: None,
    });
    response
}

/// A text answer with the caching headers of its status.
pub fn text(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, TEXT);
    out.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    out.insert(
        CACHE_CONTROL,
        HeaderValue::from_static(cache_control(status, Lifetime::Changing)),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c41_bodies_are_as_long_as_go_prints() {
        let lines = |texts: &[&str]| printable(texts.iter().copied());
        assert_eq!(lines(&["a", "b"]), "a\nb\n");
        let long = "é".repeat(400);
        assert_eq!(lines(&[&long, "b"]).len(), 647);
        assert_eq!(lines(&["a", &long]), "a\n");
    }
}
