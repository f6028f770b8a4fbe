//! `Cache-Control` by what is answered (protocol.md 1.4).

use http::StatusCode;

/// For content that never changes: canonical `.info`, `.mod` and `.zip`.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// For what may be different in a minute: lists, queries and authoritative "not found".
const SHORT: &str = "public, max-age=60";
/// For what the next request may well answer.
const NEVER: &str = "no-store";

/// The `Cache-Control` value for an answer with this status; `immutable` says that the resource never changes.
pub fn cache_control(status: StatusCode, immutable: bool) -> &'static str {
    match status.as_u16() {
        200 | 206 | 304 if immutable => IMMUTABLE,
        200 | 206 | 304 | 404 | 410 => SHORT,
        _ => NEVER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c22_table() {
        assert_eq!(cache_control(StatusCode::OK, true), IMMUTABLE);
        assert_eq!(cache_control(StatusCode::OK, false), SHORT);
        assert_eq!(cache_control(StatusCode::GONE, false), SHORT);
        assert_eq!(cache_control(StatusCode::NOT_FOUND, true), SHORT);
        assert_eq!(cache_control(StatusCode::BAD_GATEWAY, true), NEVER);
        assert_eq!(cache_control(StatusCode::FORBIDDEN, true), NEVER);
    }
}
