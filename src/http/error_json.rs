//! Errors for clients that are programs: those that say they would rather have JSON than text get the parts of an error
//! apart. All others, the `go` command among them, get the text.

use axum::body::Body;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use http::{Request, Response};
use serde_json::json;

use super::response_meta::RequestId;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The parts of an error, as an extension of its response.
#[derive(Clone, Debug)]
pub struct ErrorParts {
    /// What kind of thing it is; a word that scripts may rely on.
    pub kind: &'static str,
    /// What happened.
    pub message: String,
    /// The source that it is about.
    pub upstream: Option<String>,
    /// What to do, or what goes on all the same.
    pub hint: Option<String>,
}

/// How whoever made a request wants its errors.
pub struct ErrorForm {
    json: bool,
    /// Of the request.
    id: Option<RequestId>,
}

impl ErrorForm {
    /// As the request says.
    pub fn of<B>(request: &Request<B>) -> Self {
        ErrorForm {
            json: wants_json(request.headers()),
            id: request.extensions().get().cloned(),
        }
    }

    /// A response, with the error that it may be in this form. The library leaves the body out where it answers HEAD.
    pub fn apply(self, mut response: Response<Body>) -> Response<Body> {
        let Some(parts) = response.extensions_mut().remove::<ErrorParts>() else {
            return response;
        };
        let headers = response.headers_mut();
        // A cache in between must give neither form to those who want the other.
        headers.append(VARY, HeaderValue::from_static("accept"));
        if !self.json {
            return response;
        }
        headers.insert(CONTENT_TYPE, JSON);
        // Of the text.
        headers.remove(CONTENT_LENGTH);
        let body = json!({
            "error": {
                "kind": parts.kind,
                "message": parts.message,
                "upstream": parts.upstream,
                "hint": parts.hint,
                "request_id": self.id.as_ref().map(|id| &*id.0),
            }
        });
        *response.body_mut() = Body::from(format!("{body}\n"));
        response
    }
}

/// Whether `application/json` is named, and is wanted more than text: of equal weight, what comes first. What is said of
/// everything (`*/*`) says nothing of either.
fn wants_json(headers: &HeaderMap) -> bool {
    let (mut json, mut text) = (None, None);
    let values = headers.get_all(ACCEPT).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    for (at, range) in values.flat_map(|value| value.split(',')).enumerate() {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let weight = weight.map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok());
        let place = match kind {
            kind if kind.eq_ignore_ascii_case("application/json") => &mut json,
            kind if kind.eq_ignore_ascii_case("text/plain") => &mut text,
            _ => continue,
        };
        *place = Some((weight.unwrap_or(0.0), at));
    }
    match (json, text) {
        (Some((weight, _)), None) => weight > 0.0,
        (Some((json, json_at)), Some((text, text_at))) => {
            json > 0.0 && (json > text || (json == text && json_at < text_at))
        }
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_json() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            wants_json(&headers)
        };
        for accept in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json, text/plain, */*",
            "application/json, */*;q=0.1",
            "text/plain;q=0.5, application/json",
            "text/html, application/json;q=0.9",
        ] {
            assert!(wants(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/plain",
            "application/*",
            "application/json;q=0",
            "application/json;q=x",
            "text/plain, application/json",
            "application/json;q=0.5, text/plain",
            "application/jsonl",
        ] {
            assert!(!wants(accept), "{accept}");
        }
        assert!(!wants_json(&HeaderMap::new()));
    }
}
