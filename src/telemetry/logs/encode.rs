//! Writing pieces of log lines: texts made harmless, numbers, times. Nothing here allocates.

use std::fmt::{self, Write};
use std::time::Duration;

use tracing_subscriber::fmt::format::Writer;

/// How a text is made harmless. Control characters, line separators and the characters that turn
/// the direction of writing are escaped always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::telemetry) enum Escape {
    /// Nothing else: for messages people read.
    Controls,
    /// For the inside of a JSON string (or any text in quotes): `"` and `\` too.
    Json,
}

/// Where a line is written to.
pub(in crate::telemetry) trait Out: Write {
    /// Writes bytes that are ASCII by construction.
    fn ascii(&mut self, bytes: &[u8]) -> fmt::Result {
        self.write_str(std::str::from_utf8(bytes).map_err(|_| fmt::Error)?)
    }
}

impl Out for Writer<'_> {}

/// A vector to write to.
#[derive(Debug)]
pub(in crate::telemetry) struct Bytes<'a>(pub &'a mut Vec<u8>);

impl Out for Bytes<'_> {
    // The access log's way: no second look at what is known.
    #[inline]
    fn ascii(&mut self, bytes: &[u8]) -> fmt::Result {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl Write for Bytes<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Escapes what is written through it, and ends it with `…` after so many bytes: log lines have a
/// bound, whatever somebody puts into a header.
#[derive(Debug)]
pub(in crate::telemetry) struct Escaped<'w, W> {
    out: &'w mut W,
    escape: Escape,
    left: usize,
    cut: bool,
}

impl<'w, W: Write> Escaped<'w, W> {
    /// Lets at most `most` bytes of text through.
    pub(in crate::telemetry) fn new(out: &'w mut W, escape: Escape, most: usize) -> Self {
        Self {
            out,
            escape,
            left: most,
            cut: false,
        }
    }
}

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Ok(());
        }
        if text.len() <= self.left {
            self.left -= text.len();
            return escaped(self.out, text, self.escape);
        }
        let head = text.floor_char_boundary(self.left);
        self.cut = true;
        escaped(self.out, &text[..head], self.escape)?;
        self.out.write_str("…")
    }
}

/// Writes a text, at most `most` bytes of it.
pub(in crate::telemetry) fn text<W: Write>(
    out: &mut W,
    text: &str,
    escape: Escape,
    most: usize,
) -> fmt::Result {
    Escaped::new(out, escape, most).write_str(text)
}

/// Writes bytes that ought to be UTF-8, at most `most` of them; what is not becomes `U+FFFD`.
pub(in crate::telemetry) fn bytes<W: Write>(
    out: &mut W,
    bytes: &[u8],
    escape: Escape,
    most: usize,
) -> fmt::Result {
    let mut out = Escaped::new(out, escape, most);
    if let Ok(text) = std::str::from_utf8(bytes) {
        return out.write_str(text);
    }
    for chunk in bytes.utf8_chunks() {
        out.write_str(chunk.valid())?;
        if !chunk.invalid().is_empty() {
            out.write_char('\u{fffd}')?;
        }
    }
    Ok(())
}

/// Writes the value of a field in a line for people: bare if it is one plain word, else in quotes.
pub(in crate::telemetry) fn value<W: Out>(out: &mut W, value: &[u8], most: usize) -> fmt::Result {
    let word = !value.is_empty() && value.len() <= most && is_word(value);
    if word && is_clean(value) {
        return out.ascii(value);
    }
    out.write_char('"')?;
    bytes(out, value, Escape::Json, most)?;
    out.write_char('"')
}

/// Like [`value`], of something that can be printed.
pub(in crate::telemetry) fn printed<W: Out>(
    out: &mut W,
    value: fmt::Arguments<'_>,
    most: usize,
) -> fmt::Result {
    /// Looks and writes nothing.
    struct Look {
        empty: bool,
        word: bool,
    }
    impl Write for Look {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.empty &= text.is_empty();
            self.word &= is_word(text.as_bytes());
            Ok(())
        }
    }
    let mut look = Look {
        empty: true,
        word: true,
    };
    look.write_fmt(value)?;
    if look.word && !look.empty {
        return Escaped::new(out, Escape::Controls, most).write_fmt(value);
    }
    out.write_char('"')?;
    Escaped::new(out, Escape::Json, most).write_fmt(value)?;
    out.write_char('"')
}

/// Whether a text cannot be taken for several words or several fields.
fn is_word(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |word, byte| word & (*byte != b' ') & (*byte != b'='))
}

/// Whether a text needs no second look: printable ASCII without quotes and backslashes. Nearly every
/// text is; without early exit and table this is done in a few vector instructions.
fn is_clean(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |clean, byte| {
        clean & (*byte >= 0x20) & (*byte < 0x7f) & (*byte != b'"') & (*byte != b'\\')
    })
}

#[inline]
fn escaped<W: Write>(out: &mut W, text: &str, escape: Escape) -> fmt::Result {
    if is_clean(text.as_bytes()) {
        return out.write_str(text);
    }
    with_escapes(out, text, escape)
}

#[cold]
fn with_escapes<W: Write>(out: &mut W, text: &str, escape: Escape) -> fmt::Result {
    let mut written = 0;
    for (at, character) in text
        .char_indices()
        .filter(|(_, character)| is_harmful(*character, escape))
    {
        out.write_str(&text[written..at])?;
        harmless(out, character)?;
        written = at + character.len_utf8();
    }
    out.write_str(&text[written..])
}

fn is_harmful(character: char, escape: Escape) -> bool {
    match character {
        '"' | '\\' => escape == Escape::Json,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

/// A character as JSON escapes it, in both forms of lines.
fn harmless<W: Write>(out: &mut W, character: char) -> fmt::Result {
    match character {
        '"' => out.write_str("\\\""),
        '\\' => out.write_str("\\\\"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        // All that are harmful lie in the basic plane: four digits are enough.
        other => write!(out, "\\u{:04x}", u32::from(other)),
    }
}

/// Writes a number.
pub(in crate::telemetry) fn number<W: Out>(out: &mut W, number: u64) -> fmt::Result {
    out.ascii(itoa::Buffer::new().format(number).as_bytes())
}

/// Writes a duration in milliseconds, with three places: `12.345`.
pub(in crate::telemetry) fn millis<W: Out>(out: &mut W, duration: Duration) -> fmt::Result {
    let micros = duration.subsec_micros();
    let whole = duration
        .as_secs()
        .saturating_mul(1_000)
        .saturating_add(u64::from(micros / 1_000));
    let mut places = *b".000";
    fixed(&mut places[1..], u64::from(micros % 1_000));
    number(out, whole)?;
    out.ascii(&places)
}

/// Writes a time (milliseconds since 1970) as RFC 3339 has it: `2026-11-21T16:04:05.123Z`. Times
/// after the year 9999 become its end.
pub(in crate::telemetry) fn timestamp<W: Out>(out: &mut W, millis: u64) -> fmt::Result {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    write!(out, "{time:.3}")
}

/// Fills a buffer with the last digits of a number.
fn fixed(digits: &mut [u8], mut number: u64) {
    for place in digits.iter_mut().rev() {
        *place = digit(number % 10);
        number /= 10;
    }
}

fn digit(number: u64) -> u8 {
    b"0123456789"[(number % 10) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Out for String {}

    fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
        let mut out = String::new();
        write(&mut out).expect("strings take everything");
        out
    }

    #[test]
    fn harmful_characters_are_escaped() {
        for (input, controls, json) in [
            ("plain é 漢", "plain é 漢", "plain é 漢"),
            ("a\"b\\c", "a\"b\\c", "a\\\"b\\\\c"),
            ("a\nb\r\t", "a\\nb\\r\\t", "a\\nb\\r\\t"),
            (
                "\u{1b}[31m\u{7f}\u{0}",
                "\\u001b[31m\\u007f\\u0000",
                "\\u001b[31m\\u007f\\u0000",
            ),
            ("\u{9b}31m\u{a0}", "\\u009b31m\u{a0}", "\\u009b31m\u{a0}"),
            (
                "\u{2028}\u{202e}\u{2066}–",
                "\\u2028\\u202e\\u2066–",
                "\\u2028\\u202e\\u2066–",
            ),
        ] {
            assert_eq!(
                written(|out| text(out, input, Escape::Controls, 99)),
                controls
            );
            assert_eq!(written(|out| text(out, input, Escape::Json, 99)), json);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(
            written(|out| text(out, "abcdef", Escape::Json, 6)),
            "abcdef"
        );
        assert_eq!(written(|out| text(out, "abcdef", Escape::Json, 3)), "abc…");
        assert_eq!(written(|out| text(out, "aéé", Escape::Json, 2)), "a…");
        let twice = written(|out| {
            let mut out = Escaped::new(out, Escape::Json, 4);
            out.write_str("abc")?;
            out.write_str("def")?;
            out.write_str("ghi")
        });
        assert_eq!(twice, "abcd…");
    }

    #[test]
    fn values_are_quoted_when_they_must() {
        for (input, expected) in [
            (&b"word"[..], "word"),
            (b"", "\"\""),
            (b"two words", "\"two words\""),
            (b"a=b", "\"a=b\""),
            (b"\"", "\"\\\"\""),
            (b"\xff\n", "\"\u{fffd}\\n\""),
            ("é".as_bytes(), "\"é\""),
        ] {
            assert_eq!(written(|out| value(out, input, 99)), expected);
        }
    }

    #[test]
    fn times() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_277_045_123, "2026-11-21T16:04:05.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_200_000_000, "9999-12-30T20:00:00.000Z"),
            (u64::MAX, "9999-12-30T22:00:00.999Z"),
        ] {
            assert_eq!(written(|out| timestamp(out, millis)), expected);
        }
    }

    #[test]
    fn durations() {
        for (micros, expected) in [
            (0, "0.000"),
            (7, "0.007"),
            (1_000, "1.000"),
            (61_234_567, "61234.567"),
        ] {
            assert_eq!(
                written(|out| millis(out, Duration::from_micros(micros))),
                expected
            );
        }
        assert_eq!(
            written(|out| millis(out, Duration::MAX)),
            "18446744073709551615.999"
        );
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_ever(n: u64) {
            prop_assert_eq!(written(|out| number(out, n)), n.to_string());
        }

        #[test]
        fn json_strings_come_back(input in any::<String>()) {
            let json = format!("\"{}\"", written(|out| text(out, &input, Escape::Json, usize::MAX)));
            prop_assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), input);
        }

        #[test]
        fn no_control_character_passes(input in any::<Vec<u8>>(), most in 0usize..40) {
            for escape in [Escape::Controls, Escape::Json] {
                let line = written(|out| bytes(out, &input, escape, most));
                prop_assert!(!line.chars().any(char::is_control));
            }
            prop_assert!(!written(|out| value(out, &input, most)).chars().any(char::is_control));
        }
    }
}
