//! Lists of module path patterns in the syntax of GOPRIVATE (protocol.md 2.5, x/mod/module
//! `MatchPrefixPatterns`; one glob is Go's `path.Match`).

mod faults;

use std::fmt;

pub use faults::PatternFault;

/// A parsed, comma-separated list of glob patterns. The empty list matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    text: String,
    globs: Vec<Glob>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    text: String,
    /// A glob with n slashes is held against the first n + 1 elements of a path.
    slashes: usize,
}

impl Patterns {
    /// Splits on commas, drops one trailing slash of each pattern and ignores empty ones. Spaces
    /// are kept, as Go keeps them. A malformed glob matches nothing.
    pub fn parse(text: &str) -> Self {
        let globs = text
            .split(',')
            .map(|glob| glob.strip_suffix('/').unwrap_or(glob))
            .filter(|glob| !glob.is_empty())
            .map(Glob::new)
            .collect();
        Self {
            text: text.to_owned(),
            globs,
        }
    }

    /// Whether the list has no pattern, so that it matches nothing.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }

    /// Whether a pattern matches the path or a prefix of it that ends at a slash.
    pub fn matches(&self, path: &str) -> bool {
        self.matching(path).is_some()
    }

    /// The first pattern that matches.
    pub fn matching(&self, path: &str) -> Option<&str> {
        self.globs
            .iter()
            .find(|glob| glob.matches(path))
            .map(|glob| glob.text.as_str())
    }

    /// The patterns one by one, as they are held against paths.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.globs.iter().map(|glob| glob.text.as_str())
    }

    /// The patterns of the list that are malformed and so match nothing, for a warning.
    pub fn malformed(&self) -> impl Iterator<Item = &str> {
        self.globs
            .iter()
            .filter(|glob| !is_well_formed(&glob.text))
            .map(|glob| glob.text.as_str())
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Glob {
    fn new(text: &str) -> Self {
        Glob {
            text: text.to_owned(),
            slashes: count_slashes(text),
        }
    }

    fn matches(&self, path: &str) -> bool {
        let mut ends = path.match_indices('/').map(|(at, _)| at);
        let prefix = match ends.nth(self.slashes) {
            Some(end) => &path[..end],
            None if count_slashes(path) == self.slashes => path,
            None => return false,
        };
        glob_match(&self.text, prefix).unwrap_or(false)
    }
}

fn count_slashes(s: &str) -> usize {
    s.bytes().filter(|&b| b == b'/').count()
}

/// A glob that `path.Match` calls malformed.
#[derive(Debug, PartialEq, Eq)]
struct BadPattern;

fn is_well_formed(glob: &str) -> bool {
    let mut rest = glob.as_bytes();
    while !rest.is_empty() {
        let (_, chunk, after) = scan_chunk(rest);
        if match_chunk(chunk, b"").is_err() {
            return false;
        }
        rest = after;
    }
    true
}

/// Go's `path.Match`: `*` any run without slash, `?` any character but a slash, `[a-z]` and
/// `[^a-z]` classes, `\` escapes. Works on bytes because a `*` may stop anywhere.
fn glob_match(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let (mut pattern, mut name) = (pattern.as_bytes(), name.as_bytes());
    'chunks: while !pattern.is_empty() {
        let (star, chunk, rest) = scan_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        let fits = |left: &[u8]| left.is_empty() || !pattern.is_empty();
        if let Some(left) = match_chunk(chunk, name)?
            && fits(left)
        {
            name = left;
            continue;
        }
        if star {
            for skipped in 0..name.len() {
                if name[skipped] == b'/' {
                    break;
                }
                if let Some(left) = match_chunk(chunk, &name[skipped + 1..])?
                    && fits(left)
                {
                    name = left;
                    continue 'chunks;
                }
            }
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// The next segment without star, perhaps preceded by one: `(star, chunk, rest)`.
fn scan_chunk(mut pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let mut star = false;
    while let [b'*', rest @ ..] = pattern {
        pattern = rest;
        star = true;
    }
    let (mut in_class, mut at) = (false, 0);
    while let Some(&b) = pattern.get(at) {
        match b {
            b'\\' if at + 1 < pattern.len() => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    let (chunk, rest) = pattern.split_at(at);
    (star, chunk, rest)
}

/// Matches a chunk at the start of `name` and returns what is left of it. After a mismatch the
/// rest of the chunk is still read, to tell whether it is well-formed.
fn match_chunk<'a>(mut chunk: &[u8], mut name: &'a [u8]) -> Result<Option<&'a [u8]>, BadPattern> {
    let mut failed = false;
    while let Some(&op) = chunk.first() {
        failed = failed || name.is_empty();
        match op {
            b'[' => {
                let mut c = '\0';
                if !failed {
                    (c, name) = decode(name);
                }
                let (matched, rest) = match_class(&chunk[1..], c)?;
                chunk = rest;
                failed = failed || !matched;
                continue;
            }
            b'?' => {
                if !failed {
                    failed = name[0] == b'/';
                    name = decode(name).1;
                }
            }
            _ => {
                if op == b'\\' {
                    chunk = &chunk[1..];
                }
                let literal = *chunk.first().ok_or(BadPattern)?;
                if !failed {
                    failed = name[0] != literal;
                    name = &name[1..];
                }
            }
        }
        chunk = &chunk[1..];
    }
    Ok((!failed).then_some(name))
}

/// Reads a class behind its `[`: whether it holds `c`, and what follows its `]`.
fn match_class(mut chunk: &[u8], c: char) -> Result<(bool, &[u8]), BadPattern> {
    let negated = chunk.first() == Some(&b'^');
    if negated {
        chunk = &chunk[1..];
    }
    let (mut matched, mut ranges) = (false, 0);
    loop {
        if let [b']', rest @ ..] = chunk
            && ranges > 0
        {
            return Ok((matched != negated, rest));
        }
        let (lo, rest) = class_char(chunk)?;
        let mut hi = lo;
        chunk = rest;
        if let [b'-', rest @ ..] = chunk {
            (hi, chunk) = class_char(rest)?;
        }
        matched = matched || (lo <= c && c <= hi);
        ranges += 1;
    }
}

/// A possibly escaped character of a class; something must follow it.
fn class_char(mut chunk: &[u8]) -> Result<(char, &[u8]), BadPattern> {
    if let [] | [b'-', ..] | [b']', ..] = chunk {
        return Err(BadPattern);
    }
    if let [b'\\', rest @ ..] = chunk {
        chunk = rest;
    }
    if chunk.is_empty() {
        return Err(BadPattern);
    }
    let (c, rest) = decode(chunk);
    if rest.is_empty() || (c == char::REPLACEMENT_CHARACTER && chunk.len() - rest.len() == 1) {
        return Err(BadPattern);
    }
    Ok((c, rest))
}

/// The first character of non-empty text that may start in the middle of one; such bytes come out
/// one by one as U+FFFD, as Go decodes them.
fn decode(s: &[u8]) -> (char, &[u8]) {
    let head = &s[..s.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or(""),
    };
    match valid.chars().next() {
        Some(c) => (c, &s[c.len_utf8()..]),
        None => (char::REPLACEMENT_CHARACTER, &s[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn c81_prefix_patterns() {
        let cases = [
            ("*.corp.example.com", "git.corp.example.com/x", true),
            ("*.corp.example.com", "corp.example.com", false),
            ("*/quote", "rsc.io/quote/v3", true),
            ("rsc.io/private", "rsc.io/privateer", false),
            ("rsc.io/private", "rsc.io/private/x", true),
            ("none", "example.com/none", false),
            ("", "rsc.io/x", false),
            (",", "rsc.io/x", false),
            ("/", "rsc.io/x", false),
            ("*", "rsc.io/x/y", true),
            ("*/*/z", "rsc.io/x", false),
            ("rsc.io/", "rsc.io/quote", true),
            ("rsc.io//", "rsc.io/quote", false),
            (" rsc.io", "rsc.io/quote", false),
            ("Rsc.io", "rsc.io/quote", false),
            ("[abc", "abc", false),
            ("[abc,rsc.io", "rsc.io/x", true),
            ("a.com,b.com/x", "b.com/x/y", true),
            ("a.com,b.com/x", "b.com/y", false),
            ("golang.org/*", "golang.org/toolchain", true),
            ("golang.org/*", "golang.org", false),
        ];
        for (patterns, path, expected) in cases {
            assert_eq!(
                Patterns::parse(patterns).matches(path),
                expected,
                "{patterns} {path}"
            );
        }
        let list = Patterns::parse("a.com/,b.com/*,[");
        assert_eq!(list.matching("b.com/x/y"), Some("b.com/*"));
        assert_eq!(list.matching("a.com/y"), Some("a.com"));
        assert_eq!(list.to_string(), "a.com/,b.com/*,[");
        assert_eq!(list.malformed().collect::<Vec<_>>(), ["["]);
        assert!(Patterns::default().is_empty() && Patterns::parse(",/").is_empty());
    }

    /// The table of Go's path/match_test.go; `None` is a malformed pattern.
    const GLOBS: &[(&str, &str, Option<bool>)] = &[
        ("abc", "abc", Some(true)),
        ("*", "abc", Some(true)),
        ("*c", "abc", Some(true)),
        ("a*", "a", Some(true)),
        ("a*", "abc", Some(true)),
        ("a*", "ab/c", Some(false)),
        ("a*/b", "abc/b", Some(true)),
        ("a*/b", "a/c/b", Some(false)),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Some(true)),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Some(false)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
        ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
        ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
        ("ab[c]", "abc", Some(true)),
        ("ab[b-d]", "abc", Some(true)),
        ("ab[e-g]", "abc", Some(false)),
        ("ab[^c]", "abc", Some(false)),
        ("ab[^b-d]", "abc", Some(false)),
        ("ab[^e-g]", "abc", Some(true)),
        ("a\\*b", "a*b", Some(true)),
        ("a\\*b", "ab", Some(false)),
        ("a?b", "a☺b", Some(true)),
        ("a[^a]b", "a☺b", Some(true)),
        ("a???b", "a☺b", Some(false)),
        ("a[^a][^a][^a]b", "a☺b", Some(false)),
        ("[a-ζ]*", "α", Some(true)),
        ("*[a-ζ]", "A", Some(false)),
        ("a?b", "a/b", Some(false)),
        ("a*b", "a/b", Some(false)),
        ("[\\]a]", "]", Some(true)),
        ("[\\-]", "-", Some(true)),
        ("[x\\-]", "x", Some(true)),
        ("[x\\-]", "-", Some(true)),
        ("[x\\-]", "z", Some(false)),
        ("[\\-x]", "a", Some(false)),
        ("[]a]", "]", None),
        ("[-]", "-", None),
        ("[x-]", "x", None),
        ("[x-]", "-", None),
        ("[-x]", "x", None),
        ("\\", "a", None),
        ("[a-b-c]", "a", None),
        ("[", "a", None),
        ("[^", "a", None),
        ("[^bc", "a", None),
        ("a[", "a", None),
        ("a[", "ab", None),
        ("a[", "x", None),
        ("a/b[", "x", None),
        ("*x", "xxx", Some(true)),
    ];

    #[test]
    fn c81_globs_as_path_match() {
        for &(pattern, name, expected) in GLOBS {
            let well_formed = expected.is_some();
            assert_eq!(is_well_formed(pattern), well_formed, "{pattern}");
            let got = glob_match(pattern, name).unwrap_or(false);
            assert_eq!(got, expected.unwrap_or(false), "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(p in "\\PC{0,20}", s in "\\PC{0,20}") {
            let patterns = Patterns::parse(&p);
            let _ = patterns.matches(&s);
            let _ = patterns.malformed().count();
        }

        #[test]
        fn odd_globs_never_panic(p in "[]a☺*?\\\\^/,-[]{0,12}", s in "[a☺/]{0,8}") {
            let _ = Patterns::parse(&p).matches(&s);
        }

        #[test]
        fn a_path_matches_itself_and_below(path in "[a-z.]{1,8}(/[a-z.]{1,4}){0,3}") {
            let patterns = Patterns::parse(&path);
            prop_assert!(patterns.matches(&path));
            let (below, longer) = (format!("{path}/x"), format!("{path}x"));
            prop_assert!(patterns.matches(&below));
            prop_assert!(!patterns.matches(&longer));
        }
    }
}
