//! What a request shows in `Authorization` (RFC 9110 section 11, RFC 7617, RFC 6750).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The credential in a value of the header: `Bearer TOKEN`, or `Basic` with the token as the password, or as the user if
/// there is no password. Empty if it is none of these in a sound form; `None` if nothing of the kind was sent.
pub fn credential(value: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(value).unwrap_or_default().trim();
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Cow::Borrowed(rest));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let login = STANDARD.decode(rest).ok();
    let login = login.and_then(|bytes| String::from_utf8(bytes).ok());
    let token = login.and_then(|login| {
        let (user, password) = login.split_once(':')?;
        let token = if password.is_empty() { user } else { password };
        Some(token.to_owned())
    });
    Some(Cow::Owned(token.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_send_a_token() {
        let sent = |text: &str| credential(text.as_bytes()).map(Cow::into_owned);
        let basic = |login: &str| sent(&format!("Basic {}", STANDARD.encode(login)));
        let is = |token: &str| Some(token.to_owned());
        assert_eq!(sent("Bearer lrd_x"), is("lrd_x"));
        assert_eq!(sent("bearer  lrd_x "), is("lrd_x"));
        assert_eq!(basic("anyone:lrd_x"), is("lrd_x"));
        assert_eq!(basic(":lrd_x"), is("lrd_x"));
        assert_eq!(basic("lrd_x:"), is("lrd_x"));
        assert_eq!(basic("lrd_x:other"), is("other"));
        assert_eq!(basic("a:b:c"), is("b:c"));
        assert_eq!(sent("bAsIc OmE="), is("a"));
        // Something that cannot be read is no token, but it was sent.
        for broken in ["Basic", "Basic !", "Basic OmE", "Bearer"] {
            assert_eq!(sent(broken), is(""), "{broken}");
        }
        assert_eq!(basic("lrd_x"), is(""));
        for other in ["", "Digest username=x", "lrd_x", "Bearerlrd_x"] {
            assert_eq!(sent(other), None, "{other}");
        }
    }
}
