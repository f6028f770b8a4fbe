//! A lenient reader of tags, as far as go-import needs one: the `RawToken` of Go's encoding/xml
//! with `Strict` off, which is what cmd/go/internal/vcs reads pages with. Pages are HTML and seldom
//! XML; that such a reader stumbles over them in the same places is the point of it.

/// What a page consists of, as far as anybody asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An opening tag.
    Start(Start),
    /// The name in a closing tag, or that of a tag that closes itself.
    End(String),
    /// Text, comments, directives, instructions.
    Other,
}

/// An opening tag. Names are without their namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl Start {
    /// The value of an attribute, whatever the case of its name; empty if there is none.
    pub(super) fn attribute(&self, name: &str) -> &str {
        self.attributes
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }
}

/// Why reading stops before the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkupError {
    /// It ends inside of something.
    #[error("the page ends in the middle of a tag, comment or directive")]
    Unfinished,
    /// Neither XML nor the HTML that passes for it.
    #[error("the page cannot be read: {0}")]
    Syntax(&'static str),
    /// Go reads UTF-8 alone.
    #[error("the page says that its encoding is {0:?}; only utf-8 and ascii are understood")]
    Charset(String),
}

pub(super) struct Scanner<'a> {
    rest: &'a [u8],
    /// The name of a tag that has closed itself.
    closing: Option<String>,
}

type Result<T> = std::result::Result<T, MarkupError>;

fn syntax<T>(what: &'static str) -> Result<T> {
    Err(MarkupError::Syntax(what))
}

impl<'a> Scanner<'a> {
    pub(super) fn new(page: &'a [u8]) -> Self {
        Self {
            rest: page,
            closing: None,
        }
    }

    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>> {
        if let Some(name) = self.closing.take() {
            return Ok(Some(Token::End(name)));
        }
        let Some(first) = self.peek() else {
            return Ok(None);
        };
        if first != b'<' {
            self.text(None)?;
            return Ok(Some(Token::Other));
        }
        self.skip();
        match self.peek().ok_or(MarkupError::Unfinished)? {
            b'/' => {
                self.skip();
                let name = self.local_name("a name after </")?;
                self.space();
                match self.take()? {
                    b'>' => Ok(Some(Token::End(name))),
                    _ => syntax("something between the name of a closing tag and its >"),
                }
            }
            b'?' => {
                self.skip();
                self.instruction()?;
                Ok(Some(Token::Other))
            }
            b'!' => {
                self.skip();
                self.declaration()?;
                Ok(Some(Token::Other))
            }
            _ => self.start().map(|start| Some(Token::Start(start))),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn take(&mut self) -> Result<u8> {
        let b = self.peek().ok_or(MarkupError::Unfinished)?;
        self.skip();
        Ok(b)
    }

    fn space(&mut self) {
        let len = self.rest.iter().position(|b| !b" \r\n\t".contains(b));
        self.rest = &self.rest[len.unwrap_or(self.rest.len())..];
    }

    /// Passes over everything up to and including `end`; gives what was before it.
    fn up_to(&mut self, end: &[u8]) -> Result<&'a [u8]> {
        let rest = self.rest;
        let at = rest
            .windows(end.len())
            .position(|window| window == end)
            .ok_or(MarkupError::Unfinished)?;
        self.rest = &rest[at + end.len()..];
        Ok(&rest[..at])
    }

    fn start(&mut self) -> Result<Start> {
        let name = self.local_name("a name after <")?;
        let mut attributes = Vec::new();
        loop {
            self.space();
            match self.peek().ok_or(MarkupError::Unfinished)? {
                b'/' => {
                    self.skip();
                    if self.take()? != b'>' {
                        return syntax("a slash in a tag without > after it");
                    }
                    self.closing = Some(name.clone());
                    break;
                }
                b'>' => {
                    self.skip();
                    break;
                }
                _ => {}
            }
            let key = self.local_name("the name of an attribute")?;
            self.space();
            let value = match self.peek().ok_or(MarkupError::Unfinished)? {
                b'=' => {
                    self.skip();
                    self.space();
                    self.value()?
                }
                // As `<input disabled>` has it.
                _ => key.clone(),
            };
            attributes.push((key, value));
        }
        Ok(Start { name, attributes })
    }

    fn value(&mut self) -> Result<String> {
        let first = self.peek().ok_or(MarkupError::Unfinished)?;
        if first == b'"' || first == b'\'' {
            self.skip();
            return self.text(Some(first));
        }
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_:-".contains(b);
        let len = self
            .rest
            .iter()
            .position(|b| !plain(b))
            .ok_or(MarkupError::Unfinished)?;
        let (value, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(String::from_utf8_lossy(value).into_owned())
    }

    /// Text up to the next `<`, or to the given quote, which is passed over.
    fn text(&mut self, quote: Option<u8>) -> Result<String> {
        let mut out = Vec::new();
        // What the last two bytes were, to notice "]]>".
        let mut last = [0; 2];
        loop {
            let Some(b) = self.peek() else {
                match quote {
                    Some(_) => return Err(MarkupError::Unfinished),
                    None => break,
                }
            };
            if quote.is_none() && last == *b"]]" && b == b'>' {
                return syntax("]]> in plain text");
            }
            if b == b'<' {
                match quote {
                    Some(_) => return syntax("< inside of quotes"),
                    None => break,
                }
            }
            self.skip();
            if quote == Some(b) {
                break;
            }
            out.push(b);
            if b == b'&' {
                self.entity(&mut out)?;
                last = [0; 2];
            } else {
                last = [last[1], b];
            }
        }
        checked(out)
    }

    /// Reads on behind an `&`, which is in `out` already; puts what it stands for in its place.
    fn entity(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len() - 1;
        let meant = if self.peek().ok_or(MarkupError::Unfinished)? == b'#' {
            out.push(self.take()?);
            let mut radix = 10;
            if self.peek() == Some(b'x') {
                out.push(self.take()?);
                radix = 16;
            }
            let digits = out.len();
            while self.peek().is_some_and(|b| char::from(b).is_digit(radix)) {
                out.push(self.take()?);
            }
            if self.peek().ok_or(MarkupError::Unfinished)? != b';' {
                return Ok(());
            }
            out.push(self.take()?);
            let digits = std::str::from_utf8(&out[digits..out.len() - 1]).unwrap_or_default();
            u32::from_str_radix(digits, radix)
                .ok()
                .filter(|&n| n <= char::MAX as u32)
                // Go writes half of a pair as U+FFFD.
                .map(|n| char::from_u32(n).unwrap_or(char::REPLACEMENT_CHARACTER))
        } else {
            let name = self.raw_name();
            out.extend_from_slice(name);
            if self.peek().ok_or(MarkupError::Unfinished)? != b';' {
                return Ok(());
            }
            out.push(self.take()?);
            match name {
                b"lt" => Some('<'),
                b"gt" => Some('>'),
                b"amp" => Some('&'),
                b"apos" => Some('\''),
                b"quot" => Some('"'),
                _ => None,
            }
        };
        // What has no meaning stays as it is written.
        if let Some(c) = meant {
            out.truncate(start);
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    }

    /// `<?xml version="1.0" encoding="utf-8"?>` and the like.
    fn instruction(&mut self) -> Result<()> {
        let target = self.name("a name after <?")?;
        self.space();
        let content = String::from_utf8_lossy(self.up_to(b"?>")?);
        if target != "xml" {
            return Ok(());
        }
        let version = parameter("version", &content);
        if !matches!(version, "" | "1.0") {
            return syntax("it is not XML 1.0");
        }
        let charset = parameter("encoding", &content);
        let known = ["", "utf-8", "ascii"];
        if !known.iter().any(|name| name.eq_ignore_ascii_case(charset)) {
            return Err(MarkupError::Charset(charset.chars().take(40).collect()));
        }
        Ok(())
    }

    /// What begins with `<!`.
    fn declaration(&mut self) -> Result<()> {
        match self.take()? {
            b'-' => {
                if self.take()? != b'-' {
                    return syntax("<!- that is not <!--");
                }
                self.up_to(b"--")?;
                match self.take()? {
                    b'>' => Ok(()),
                    _ => syntax("-- in a comment"),
                }
            }
            b'[' => {
                for expected in *b"CDATA[" {
                    if self.take()? != expected {
                        return syntax("<![ that is not <![CDATA[");
                    }
                }
                checked(self.up_to(b"]]>")?.to_vec()).map(drop)
            }
            first => self.directive(first),
        }
    }

    /// `<!DOCTYPE …>`, `<!ENTITY …>`, with what they may have inside. The first byte means nothing,
    /// as in Go, not even if it is a quote.
    fn directive(&mut self, _first: u8) -> Result<()> {
        let (mut quote, mut depth) = (None, 0_usize);
        loop {
            let b = self.take()?;
            match quote {
                Some(q) if q == b => quote = None,
                Some(_) => {}
                None => match b {
                    b'\'' | b'"' => quote = Some(b),
                    b'>' if depth == 0 => return Ok(()),
                    b'>' => depth -= 1,
                    b'<' if self.rest.starts_with(b"!--") => {
                        self.rest = &self.rest[3..];
                        self.up_to(b"-->")?;
                    }
                    b'<' => depth += 1,
                    _ => {}
                },
            }
        }
    }

    /// The bytes of a name; those outside ASCII all pass.
    fn raw_name(&mut self) -> &'a [u8] {
        let stands = |b: &u8| !b.is_ascii() || b.is_ascii_alphanumeric() || b"_:.-".contains(b);
        let len = self.rest.iter().position(|b| !stands(b));
        let (name, rest) = self.rest.split_at(len.unwrap_or(self.rest.len()));
        self.rest = rest;
        name
    }

    fn name(&mut self, what: &'static str) -> Result<&'a str> {
        let name = self.raw_name();
        if self.rest.is_empty() {
            return Err(MarkupError::Unfinished);
        }
        let Ok(name) = std::str::from_utf8(name) else {
            return syntax("a name that is not UTF-8");
        };
        // Go has the tables of XML 1.0 here, which know fewer letters.
        let starts = |c: char| c.is_alphabetic() || c == '_' || c == ':';
        let goes_on = |c: char| starts(c) || c.is_alphanumeric() || c == '.' || c == '-';
        if !name.starts_with(starts) || !name.chars().all(goes_on) {
            return syntax(what);
        }
        Ok(name)
    }

    /// A name without its namespace.
    fn local_name(&mut self, what: &'static str) -> Result<String> {
        let name = self.name(what)?;
        match name.split_once(':') {
            Some((_, local)) if local.contains(':') => syntax(what),
            Some((space, local)) if !space.is_empty() && !local.is_empty() => Ok(local.to_owned()),
            _ => Ok(name.to_owned()),
        }
    }
}

/// The text, if XML allows all of its characters.
fn checked(bytes: Vec<u8>) -> Result<String> {
    let Ok(text) = String::from_utf8(bytes) else {
        return syntax("text that is not UTF-8");
    };
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}') || c >= '\u{10000}';
    if text.chars().all(allowed) {
        Ok(text)
    } else {
        syntax("a character that no text may have")
    }
}

/// encoding/xml `procInst`: the value of `name="…"`, as roughly as there.
fn parameter<'a>(name: &str, content: &'a str) -> &'a str {
    let key = format!("{name}=");
    let mut rest = content;
    while let Some(at) = rest.find(&key) {
        let value = &rest[at + key.len()..];
        let Some(quote) = value.chars().next() else {
            return "";
        };
        rest = &value[quote.len_utf8()..];
        if quote == '"' || quote == '\'' {
            return rest.split_once(quote).map_or("", |(value, _)| value);
        }
    }
    ""
}
