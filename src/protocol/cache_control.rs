//! `Cache-Control` by what is answered (protocol.md 1.4).

use http::StatusCode;

/// For content that never changes: canonical `.info`, `.mod` and `.zip`.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// For what may be different in a minute: lists, queries and authoritative "not found".
const SHORT: &str = "public, max-age=60";
/// For what the next request may well answer.
const NEVER: &str = "no-store";

/// The same for those that not everyone may have: their reader may keep them, a cache in between may not.
const IMMUTABLE_PRIVATE: &str = "private, max-age=31536000, immutable";
const SHORT_PRIVATE: &str = "private, max-age=60";

/// How long what an answer says is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It never changes.
    Immutable,
    /// It may be different in a minute.
    Changing,
    /// A file that nothing vouches for yet: it may still be revoked, and no cache could be told.
    Unverified,
}

/// The `Cache-Control` value for an answer with this status.
pub fn cache_control(status: StatusCode, lifetime: Lifetime) -> &'static str {
    match (status.as_u16(), lifetime) {
        (200 | 206 | 304, Lifetime::Immutable) => IMMUTABLE,
        (200 | 206 | 304, Lifetime::Unverified) => NEVER,
        (200 | 206 | 304 | 404 | 410, _) => SHORT,
        _ => NEVER,
    }
}

/// The same for an answer that not everyone may have. A cache in between would give what is `public` to whoever asks,
/// with `Authorization` or without.
pub fn for_its_reader(value: &str) -> &'static str {
    match value {
        IMMUTABLE | IMMUTABLE_PRIVATE => IMMUTABLE_PRIVATE,
        SHORT | SHORT_PRIVATE => SHORT_PRIVATE,
        _ => NEVER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Lifetime::{Changing, Immutable, Unverified};

    #[test]
    fn c22_table() {
        for (status, lifetime, value) in [
            (StatusCode::OK, Immutable, IMMUTABLE),
            (StatusCode::OK, Changing, SHORT),
            (StatusCode::OK, Unverified, NEVER),
            (StatusCode::PARTIAL_CONTENT, Unverified, NEVER),
            (StatusCode::NOT_MODIFIED, Unverified, NEVER),
            (StatusCode::GONE, Changing, SHORT),
            (StatusCode::NOT_FOUND, Immutable, SHORT),
            (StatusCode::BAD_GATEWAY, Immutable, NEVER),
            (StatusCode::FORBIDDEN, Immutable, NEVER),
        ] {
            assert_eq!(cache_control(status, lifetime), value, "{status}");
        }
    }

    #[test]
    fn caches_in_between_keep_nothing_that_not_everyone_may_have() {
        for (before, after) in [
            (IMMUTABLE, IMMUTABLE_PRIVATE),
            (SHORT, SHORT_PRIVATE),
            (NEVER, NEVER),
        ] {
            assert_eq!(for_its_reader(before), after);
            assert_eq!(for_its_reader(after), after);
        }
    }
}
