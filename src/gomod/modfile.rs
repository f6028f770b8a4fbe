//! The little of go.mod that a proxy needs, read as laxly as go reads the go.mod of a dependency
//! (x/mod/modfile `ModulePath` and `ParseLax`): what cannot be understood is passed over line by
//! line, never an error.

use std::borrow::Cow;

use super::path::{match_path_major, split_path_version};
use super::version::canonical_version;
use super::{ModulePath, Version, semver};

/// Versions that a module's author withdraws, both ends included. The ends stand as they were
/// written, which need not be canonical (`v1`) or valid, as go leaves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retract {
    /// The lowest version withdrawn.
    pub low: String,
    /// The highest version withdrawn.
    pub high: String,
}

impl Retract {
    /// Whether the version lies between the two ends by semver precedence
    /// (cmd/go/internal/modload `CheckRetractions`).
    pub fn covers(&self, version: &Version) -> bool {
        semver::compare(&self.low, version.as_str()).is_le()
            && semver::compare(version.as_str(), &self.high).is_le()
    }
}

/// The path in the `module` line, by x/mod/modfile `ModulePath`; where that sees none because the
/// line is part of a block, by the grammar. Not checked to be a valid module path.
pub fn module_path(body: &[u8]) -> Option<String> {
    let text = text(body);
    quick_module_path(&text)
        .filter(|path| !path.is_empty() && !path.starts_with('('))
        .or_else(|| {
            let mut found = None;
            each_directive(&text, &mut |verb, args| {
                if let ("module", [path], None) = (verb, args, &found) {
                    found = string(path).map(Cow::into_owned);
                }
            });
            found
        })
        .filter(|path| !path.is_empty())
}

/// The path in the `module` line exactly as x/mod/modfile `ModulePath` sees it, which looks at lines
/// and knows no blocks: what decides in a repository whether a folder has the module.
pub fn module_line(body: &[u8]) -> Option<String> {
    quick_module_path(&text(body))
}

/// The versions that the go.mod retracts.
pub fn retractions(body: &[u8]) -> Vec<Retract> {
    let mut found = Vec::new();
    each_directive(&text(body), &mut |verb, args| {
        let ends = match (verb, args) {
            ("retract", ["[", low, ",", high, "]", ..]) => Some((low, high)),
            ("retract", [version, ..]) if !matches!(*version, "[" | "(") => {
                Some((version, version))
            }
            _ => None,
        };
        if let Some((low, high)) = ends
            && let (Some(low), Some(high)) = (string(low), string(high))
        {
            found.push(Retract {
                low: low.into_owned(),
                high: high.into_owned(),
            });
        }
    });
    found
}

/// Path and canonical version of every requirement.
pub fn requirements(body: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    each_directive(&text(body), &mut |verb, args| {
        if let ("require", [path, v]) = (verb, args)
            && let (Some(path), Some(v)) = (string(path), version(v))
        {
            found.push((path.into_owned(), v.as_str().to_owned()));
        }
    });
    found
}

/// The language version in the `go` line, in the lax form in which go reads that of a dependency:
/// of a line with something odd behind the minor version (`1.21-custom`) only that is kept.
pub fn go_version(body: &[u8]) -> Option<String> {
    let mut found = None;
    each_directive(&text(body), &mut |verb, args| {
        if let ("go", [v], None) = (verb, args, &found) {
            found = lax_go_version(v);
        }
    });
    found
}

/// The language version in the `go` line as x/mod/zip has it when it makes a zip: none if anything
/// is wrong with the file for x/mod/modfile `ParseLax`, be it in another line.
pub fn go_version_if_sound(body: &[u8]) -> Option<String> {
    soundly(body).flatten()
}

/// Whether x/mod/modfile `ParseLax` finds nothing wrong with the file.
pub fn is_sound(body: &[u8]) -> bool {
    soundly(body).is_some()
}

/// The `go` line of a file with which nothing is wrong.
fn soundly(body: &[u8]) -> Option<Option<String>> {
    let mut go = None;
    let (mut modules, mut sound) = (0, true);
    let whole = each_directive(&text(body), &mut |verb, args| {
        sound &= match (verb, args) {
            ("go", [v]) => {
                let is_first = go.is_none();
                go = go.take().or_else(|| lax_go_version(v));
                is_first && go.is_some()
            }
            ("module", [path]) => {
                modules += 1;
                modules == 1 && string(path).is_some()
            }
            ("require", [path, v]) => is_sound_requirement(path, v),
            ("ignore", [path]) => string(path).is_some(),
            ("go" | "module" | "require" | "ignore", _) => false,
            _ => true,
        };
    });
    (whole && sound).then_some(go)
}

fn is_sound_requirement(path: &str, v: &str) -> bool {
    let (Some(path), Some(v)) = (string(path), string(v)) else {
        return false;
    };
    let (Some(v), Some((_, major))) = (canonical_version(&v), split_path_version(&path)) else {
        return false;
    };
    match_path_major(&v, major)
}

/// The go.mod of a module that has none (protocol.md checklist 13). A valid module path has none
/// of the characters for which x/mod/modfile `AutoQuote` would put it in quotes.
pub fn synthesized(path: &ModulePath) -> String {
    format!("module {path}\n")
}

fn text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

/// x/mod/modfile `ModulePath`, by lines and without grammar.
fn quick_module_path(text: &str) -> Option<String> {
    for line in text.split('\n') {
        let line = line.split("//").next().unwrap_or(line).trim();
        let Some(rest) = line.strip_prefix("module") else {
            continue;
        };
        let path = rest.trim_start();
        if path.len() == rest.len() || path.is_empty() {
            continue;
        }
        return match path.as_bytes()[0] {
            b'"' | b'`' => unquote(path),
            _ => Some(path.to_owned()),
        };
    }
    None
}

/// Calls `found` with the verb and the arguments of every line, those in blocks included. False if
/// there is something that the grammar does not have; it is passed over.
fn each_directive(text: &str, found: &mut dyn FnMut(&str, &[&str])) -> bool {
    // What the block we are in is of; a block with more than one word in front is skipped.
    let mut block: Option<Option<&str>> = None;
    let mut tokens = Vec::new();
    let mut is_whole = true;
    for line in text.split('\n') {
        let readable = tokenize(line, &mut tokens);
        is_whole &= readable;
        if !readable || tokens.is_empty() {
            continue;
        }
        match (block, &tokens[..]) {
            (Some(_), [")", rest @ ..]) => {
                is_whole &= rest.is_empty();
                block = None;
            }
            (Some(verb), args) => {
                if let Some(verb) = verb {
                    found(verb, args);
                }
            }
            (None, [_, .., "(", ")"]) => {}
            (None, [verb, between @ .., "("]) => {
                let known = between.is_empty() && *verb != "go";
                block = Some(known.then_some(*verb));
            }
            (None, [verb, args @ ..]) => found(verb, args),
            (None, []) => {}
        }
    }
    is_whole && block.is_none()
}

/// Splits a line into tokens as the lexer of x/mod/modfile does, comments dropped. False if the
/// line has something that lexer refuses.
fn tokenize<'a>(line: &'a str, tokens: &mut Vec<&'a str>) -> bool {
    tokens.clear();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r']);
        let Some(first) = rest.chars().next() else {
            return true;
        };
        if rest.starts_with("//") {
            return true;
        }
        if rest.starts_with("/*") {
            return false;
        }
        let end = match first {
            '(' | ')' | '[' | ']' | '{' | '}' | ',' => 1,
            '"' | '`' => match quoted_end(rest) {
                Some(end) => end,
                None => return false,
            },
            _ => word_end(rest),
        };
        let (token, after) = rest.split_at(end);
        if token.is_empty() || (first != '"' && first != '`' && token.contains("/*")) {
            return false;
        }
        tokens.push(token);
        rest = after;
    }
}

/// Length of the quoted string at the front of `s`, its quotes included.
fn quoted_end(s: &str) -> Option<usize> {
    let mut chars = s.char_indices();
    let (_, quote) = chars.next()?;
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some(at + 1);
        }
        if c == '\\' && quote == '"' {
            chars.next();
        }
    }
    None
}

/// Length of the plain word at the front of `s`: up to a space, a bracket, a comma or a comment.
fn word_end(s: &str) -> usize {
    let end = s
        .find(|c: char| {
            matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | ',')
                || c.is_whitespace()
                || c.is_control()
        })
        .unwrap_or(s.len());
    s[..end].find("//").unwrap_or(end)
}

/// x/mod/modfile `parseString`: a word, or a double-quoted string.
fn string(token: &str) -> Option<Cow<'_, str>> {
    if token.starts_with('"') {
        return unquote(token).map(Cow::Owned);
    }
    (!token.contains(['"', '\'', '`'])).then_some(Cow::Borrowed(token))
}

fn version(token: &str) -> Option<Version> {
    Version::canonicalize(&string(token)?).ok()
}

/// modfile's `GoVersionRE`, and its `laxGoVersionRE` for what that refuses.
fn lax_go_version(v: &str) -> Option<String> {
    let is_number = |n: &str| {
        !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) && (n == "0" || !n.starts_with('0'))
    };
    let take = |s: &str| s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());

    let plain = v.strip_prefix('v').unwrap_or(v);
    let (major, rest) = plain.split_once('.')?;
    let (minor, mut rest) = rest.split_at(take(rest));
    if !is_number(major) || major == "0" || !is_number(minor) {
        return None;
    }
    let odd_tail = rest;
    if let Some(after) = rest.strip_prefix('.') {
        let (patch, after) = after.split_at(take(after));
        if is_number(patch) {
            rest = after;
        }
    }
    let suffix = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let well_formed = rest.is_empty()
        || (suffix.len() < rest.len()
            && !suffix.is_empty()
            && suffix.bytes().all(|b| b.is_ascii_digit()));
    if well_formed && plain == v {
        return Some(v.to_owned());
    }
    (!odd_tail.is_empty()).then(|| format!("{major}.{minor}"))
}

/// Go's `strconv.Unquote` for strings in double quotes or backquotes.
fn unquote(s: &str) -> Option<String> {
    if let Some(raw) = s.strip_prefix('`').and_then(|s| s.strip_suffix('`')) {
        return (!raw.contains('`')).then(|| raw.replace('\r', ""));
    }
    let inner = s.strip_prefix('"').and_then(|s| s.strip_suffix('"'))?;
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '"' | '\n' => return None,
            '\\' => rest = escape(rest, &mut out)?,
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(out).ok()
}

/// Undoes one escape behind its backslash; returns what follows it.
fn escape<'a>(s: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    let kind = *s.as_bytes().first()?;
    let simple = match kind {
        b'a' => Some(7),
        b'b' => Some(8),
        b'f' => Some(12),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(11),
        b'\\' | b'"' => Some(kind),
        _ => None,
    };
    if let Some(byte) = simple {
        out.push(byte);
        return Some(&s[1..]);
    }
    let (start, digits, radix) = match kind {
        b'x' => (1, 2, 16),
        b'u' => (1, 4, 16),
        b'U' => (1, 8, 16),
        b'0'..=b'7' => (0, 3, 8),
        _ => return None,
    };
    let number = s.get(start..start + digits)?;
    if !number.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    let value = u32::from_str_radix(number, radix).ok()?;
    match kind {
        b'u' | b'U' => {
            let c = char::from_u32(value)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ => out.push(u8::try_from(value).ok()?),
    }
    s.get(start + digits..)
}

#[cfg(test)]
mod tests;
