//! What may be sent as a token.

use super::error::AuthError;
use crate::config::Secret;

/// Of a file, an answer or a program's output as much is read. Bytes.
pub const LONGEST: u64 = 64 << 10;
/// A header that is longer is refused by servers, and by ours. Bytes.
const LONGEST_TOKEN: usize = 16 << 10;

/// Takes what a source has given, without the blanks around it. Anything that would end the header is refused, since `go`
/// then passes over the whole answer.
pub fn token(whence: &str, text: &str) -> Result<Secret, AuthError> {
    let text = text.trim();
    let fault = |what| {
        let whence = whence.to_owned();
        Err(AuthError::NoToken { whence, what })
    };
    match text {
        "" => fault("is empty"),
        _ if text.len() > LONGEST_TOKEN => fault("is too long"),
        _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            fault("holds something else than a token")
        }
        _ => Ok(Secret::new(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        let taken = |text: &str| token("it", text).map(|token| token.expose().to_owned());
        assert_eq!(taken(" lrd_x\r\n").unwrap(), "lrd_x");
        for text in [
            "",
            "\n",
            "a b",
            "a\nb",
            "a\u{e9}",
            "a\u{7f}",
            &"x".repeat(20_000),
        ] {
            let error = taken(text).unwrap_err().to_string();
            assert!(error.starts_with("it "), "{error}");
            assert!(text.trim().is_empty() || !error.contains(text), "{error}");
        }
    }
}
