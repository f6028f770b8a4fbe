//! Case-escaping of module paths and versions, so that names which differ only in case stay apart
//! on file systems and in URLs that ignore case (protocol.md 2.5, x/mod/module `EscapePath`, `EscapeVersion`). What comes out is checked where the types are.

use std::borrow::Cow;

/// The escaping itself, for text that is known to be ASCII without `!`.
pub(super) fn bang(s: &str) -> Cow<'_, str> {
    if !s.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        if c.is_ascii_uppercase() {
            out.push('!');
        }
        out.push(c.to_ascii_lowercase());
    }
    Cow::Owned(out)
}

/// How long [`bang`] makes a string.
pub(super) fn banged_len(s: &str) -> usize {
    s.len() + s.bytes().filter(u8::is_ascii_uppercase).count()
}

/// The inverse of [`bang`]; `None` for upper case, a `!` without a letter behind it, non-ASCII.
pub(super) fn unbang(escaped: &str) -> Option<String> {
    let mut out = String::with_capacity(escaped.len());
    let mut bytes = escaped.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'!' => match bytes.next() {
                Some(next @ b'a'..=b'z') => out.push(char::from(next.to_ascii_uppercase())),
                _ => return None,
            },
            b'A'..=b'Z' | 0x80.. => return None,
            _ => out.push(char::from(b)),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn unescaping_is_injective(a in "[a-z!]{1,8}", b in "[a-z!]{1,8}") {
            if let (Some(x), Some(y)) = (unbang(&a), unbang(&b)) {
                prop_assert_eq!(a == b, x == y);
                prop_assert_eq!(bang(&x), a);
            }
        }
    }
}
