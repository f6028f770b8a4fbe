//! Words of others, made fit to be passed on.

/// Lines passed on at the most.
const LINES: usize = 4;
/// Characters of a line passed on at the most.
const WIDTH: usize = 200;

/// What an upstream said in an error's body: its first lines without control characters, on one line; nothing if it
/// is not plain text. The `go` command prints a body up to its first blank line (protocol.md 1.4).
pub fn words(content_type: Option<&str>, body: &[u8]) -> String {
    let plain = content_type.is_none_or(|kind| kind.trim_start().starts_with("text/plain"));
    let Ok(text) = std::str::from_utf8(body) else {
        return String::new();
    };
    if !plain || text.trim_start().starts_with('<') {
        return String::new();
    }
    let mut lines = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .skip_while(|line| line.is_empty())
        .take(LINES)
    {
        if line.is_empty() {
            break;
        }
        lines.push(clean(line));
    }
    lines.join("; ")
}

/// One line without control or invisible characters, cut to a readable length.
pub fn clean(line: &str) -> String {
    let visible = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
    };
    let mut text: String = line.chars().filter(visible).take(WIDTH).collect();
    if line.chars().count() > WIDTH {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_pass_and_pages_do_not() {
        assert_eq!(
            words(
                Some("text/plain; charset=utf-8"),
                b"not found: no such version\n"
            ),
            "not found: no such version"
        );
        assert_eq!(words(None, b"\n a \nb\x1b[31m\n\nc"), "a; b[31m");
        assert_eq!(words(Some("text/html"), b"<html>"), "");
        assert_eq!(words(None, b"<!DOCTYPE html>"), "");
        assert_eq!(words(Some("text/plain"), b"\xff\xfe"), "");
        assert_eq!(words(Some("application/json"), b"{}"), "");
    }
}
