//! The trace that a request belongs to (W3C Trace Context, `traceparent`). Nothing is exported yet; the id stands in the log
//! beside that of the request.

use std::fmt;

/// The id of a trace; not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    /// Reads the header. Of a version that is not known yet, what version 00 has is read; what is malformed counts as not
    /// sent, as section 3.2.2.3 of the specification wants it.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let parent = hex(parts.next()?, 16)?;
        hex(parts.next()?, 2)?;
        let known = version == 0;
        if version == 0xff || (known && parts.next().is_some()) || trace == 0 || parent == 0 {
            return None;
        }
        Some(TraceId(trace))
    }
}

/// As the header has it.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A number of exactly so many lower-case digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fine = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let whole = text.len() == digits && text.bytes().all(fine);
    whole.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_specification_calls_valid_is_read() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let read = TraceId::parse(&format!("00-{trace}-b7ad6b7169203331-01")).unwrap();
        assert_eq!(read.to_string(), trace);
        assert!(TraceId::parse(&format!("00-{trace}-b7ad6b7169203331-00")).is_some());
        assert!(TraceId::parse(&format!("cc-{trace}-b7ad6b7169203331-01-more")).is_some());
        for bad in [
            String::new(),
            format!("ff-{trace}-b7ad6b7169203331-01"),
            format!("00-{trace}-b7ad6b7169203331-01-more"),
            format!("00-{trace}-0000000000000000-01"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01".into(),
            format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()),
            format!("00-{trace}-b7ad6b716920333-01"),
            format!("0-{trace}-b7ad6b7169203331-01"),
            format!("00-{trace}-b7ad6b7169203331"),
            format!("00-+{}-b7ad6b7169203331-01", &trace[1..]),
        ] {
            assert_eq!(TraceId::parse(&bad), None, "{bad}");
        }
    }
}
