//! Patterns that can match no module path, and what was probably meant. Go takes such patterns without a word, and the
//! modules that they were to keep private become public by a slip of the pen.

use std::collections::HashSet;
use std::fmt;

use super::super::path::MAX_PATH;
use super::{Glob, Patterns, is_well_formed};

/// What Go's documentation writes for "no pattern".
const NONE: &str = "none";

/// A pattern that cannot do what its author wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternFault {
    /// As it was written, without passwords.
    pub pattern: String,
    /// The end of a sentence that begins with the pattern.
    pub why: String,
    /// What was probably meant.
    pub meant: Option<String>,
}

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.pattern, self.why)?;
        match &self.meant {
            Some(meant) => write!(f, "; did you mean {meant:?}?"),
            None => Ok(()),
        }
    }
}

impl Patterns {
    /// What is wrong with a list as an operator writes it; spaces beside commas are no fault. A blank list and `none`
    /// are no pattern at all, which is for the caller to judge.
    pub fn faults(list: &str) -> Vec<PatternFault> {
        let pieces: Vec<_> = list.split(',').map(str::trim).collect();
        if list.trim().is_empty() || list.trim() == NONE {
            return Vec::new();
        }
        let mut faults: Vec<_> = pieces.iter().copied().filter_map(fault).collect();
        if pieces.iter().any(|piece| piece.is_empty()) {
            let rest: Vec<_> = pieces.into_iter().filter(|it| !it.is_empty()).collect();
            faults.push(PatternFault {
                pattern: masked(list.trim()),
                why: "has a comma too many, so that one pattern is empty".to_owned(),
                meant: (!rest.is_empty() && faults.is_empty()).then(|| rest.join(",")),
            });
        }
        faults
    }

    /// Patterns that can match, and hardly do what their author wants.
    pub fn doubts(list: &str) -> Vec<PatternFault> {
        let pieces = list.split(',').map(str::trim);
        let doubt = |piece: &str| {
            let meant = piece.strip_prefix("www.").filter(|it| it.contains('.'))?;
            Some(PatternFault {
                pattern: masked(piece),
                why: "begins with \"www.\", as hardly any module path does".to_owned(),
                meant: Some(meant.to_owned()),
            })
        };
        pieces.filter_map(doubt).collect()
    }

    /// The list in the form in which Go reads it as we do: without the spaces beside commas, which Go would keep.
    pub fn tidy(list: &str) -> String {
        let pieces: Vec<_> = list.split(',').map(str::trim).collect();
        pieces.join(",")
    }
}

/// What is wrong with one pattern, which is not empty or is no concern of ours.
fn fault(pattern: &str) -> Option<PatternFault> {
    if pattern.is_empty() {
        return None;
    }
    let why = trouble(pattern)?;
    let meant = meant(pattern)
        .filter(|meant| meant != pattern && meant.split(',').all(|it| trouble(it).is_none()));
    Some(PatternFault {
        pattern: masked(pattern),
        why,
        meant,
    })
}

/// The end of a sentence that begins with the pattern, if it cannot do what its author wants.
fn trouble(pattern: &str) -> Option<String> {
    // It works, and only because it is mended on the way; the same text elsewhere would not.
    let ends_in_slash = pattern.ends_with('/');
    if !ends_in_slash && !has_stray_backslash(pattern) && can_match(pattern) {
        return None;
    }
    let host = pattern.split('/').next().unwrap_or_default();
    let has = |c: &[char]| pattern.contains(c);
    let why = if pattern.len() > MAX_PATH {
        "is longer than any module path"
    } else if pattern.contains("://") {
        "has a scheme, and module paths have none"
    } else if pattern.contains(char::is_whitespace) {
        "has a space in it; patterns are separated by commas"
    } else if has(&[';', '|']) {
        "has a separator in it that is none; patterns are separated by commas"
    } else if pattern.starts_with('!') {
        "begins with \"!\", and patterns cannot be turned round"
    } else if pattern.starts_with('/') {
        "begins with a slash, and module paths begin with a host"
    } else if host.contains('@') {
        "has a user name, and module paths have none"
    } else if pattern.contains('@') {
        "has a version, and patterns match module paths without one"
    } else if has_stray_backslash(pattern) {
        "has a backslash; the elements of a path are separated by \"/\""
    } else if !is_well_formed(pattern) {
        "is malformed: a bracket is not closed, or a backslash has nothing behind it"
    } else if pattern.contains("//") {
        "has two slashes in a row"
    } else if ends_in_slash {
        "ends with a slash; without it, it matches everything below as well"
    } else if pattern.ends_with("/...") {
        "ends with \"/...\", which is for packages; without it, it matches everything below as well"
    } else if !host.contains('[') && host.contains(':') {
        "has a port, and module paths have none"
    } else if host.starts_with('.') {
        "begins with a dot; all hosts under a domain are written as \"*.example.com\""
    } else if host.ends_with('.') {
        "has a host that ends with a dot"
    } else if host.contains("..")
        || pattern
            .split('/')
            .any(|it| it.starts_with('.') || it.ends_with('.'))
    {
        "has an element that begins or ends with a dot, and module paths have none"
    } else if !pattern.is_ascii() {
        "has letters that are not ASCII, and module paths have none"
    } else if host.contains(|c: char| c.is_ascii_uppercase()) {
        "has a host in upper case, and module paths have theirs in lower case"
    } else if let Some(c) = pattern.chars().find(|c| !is_ours(*c)) {
        return Some(format!("has the character {c:?}, which no module path has"));
    } else if !host.contains(['.', '*', '?', '[']) {
        "begins with a name without a dot, which is no host; module paths begin with a host"
    } else {
        "matches no module path"
    };
    Some(why.to_owned())
}

/// A character of module paths or of globs.
fn is_ours(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~/*?[]^\\".contains(c)
}

/// Whether a backslash stands before a letter or digit, as it does in a path of Windows: that stands for the letter
/// alone, and joins two elements.
fn has_stray_backslash(pattern: &str) -> bool {
    let mut escaped = false;
    pattern.chars().any(|c| {
        let stray = escaped && c.is_ascii_alphanumeric();
        escaped = c == '\\' && !escaped;
        stray
    })
}

/// The pattern without what its author may have taken for a part of it.
fn meant(pattern: &str) -> Option<String> {
    let separators = |c: char| c.is_whitespace() || matches!(c, ';' | '|');
    let pieces = pattern.split(separators).filter(|it| !it.is_empty());
    let pieces: Vec<_> = pieces.map(one_meant).collect();
    let is_whole = !pieces.is_empty() && pieces.iter().all(|it| !it.is_empty());
    is_whole.then(|| pieces.join(","))
}

fn one_meant(piece: &str) -> String {
    let text = piece.trim_matches(['"', '\'', '`', '(', ')', '<', '>', '^', '$']);
    let text = text.strip_prefix('!').unwrap_or(text);
    let (had_scheme, text) = match text.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, text),
    };
    // A backslash before a letter stands where a slash should; one before a sign is that of a regular expression.
    let mut slashed = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(next)) if !next.is_ascii_alphanumeric() => {}
            ('\\', _) => slashed.push('/'),
            _ => slashed.push(c),
        }
    }
    let text = slashed.replace(".*.", "*.");
    let (host, rest) = match text.trim_start_matches('/').split_once('/') {
        Some((host, rest)) => (host.to_owned(), rest.to_owned()),
        None => (text.trim_start_matches('/').to_owned(), String::new()),
    };
    // `git@host:team/x`, `user:password@host:8443`, and a version behind a path of one element.
    let (host, copied) = match host.rsplit_once('@') {
        Some((before, _)) if before.contains('.') && !before.contains(':') => {
            (before.to_owned(), false)
        }
        Some((_, host)) => (host.to_owned(), true),
        None => (host, false),
    };
    let (host, rest) = match host.split_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host.to_owned(), rest),
        Some((host, first)) if !host.contains('[') => (host.to_owned(), format!("{first}/{rest}")),
        _ => (host, rest),
    };
    if !is_well_formed(&host) {
        // A star in its place would mean every host there is.
        return String::new();
    }
    let host = host.to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    let host = match host.strip_prefix('.') {
        Some(domain) => format!("*.{}", domain.trim_start_matches('.')),
        None => host.to_owned(),
    };
    let rest = rest.split(['@', '#']).next().unwrap_or_default();
    let rest = match had_scheme || copied {
        true => rest.trim_end_matches('/').trim_end_matches(".git"),
        false => rest,
    };
    let elements = std::iter::once(host.as_str()).chain(rest.split('/'));
    let elements = elements.filter(|it| !it.is_empty() && *it != "...");
    let elements: Vec<_> = elements
        .map(|it| if is_well_formed(it) { it } else { "*" })
        .collect();
    elements.join("/")
}

/// Without what may be a password.
fn masked(pattern: &str) -> String {
    let each = pattern.split(',').map(|pattern| {
        let (scheme, rest) = match pattern.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => (String::new(), pattern),
        };
        let host = rest.split('/').next().unwrap_or_default();
        match host.rfind('@') {
            Some(at) if host[..at].contains(':') || !scheme.is_empty() => {
                format!("{scheme}***{}", &rest[at..])
            }
            _ => pattern.to_owned(),
        }
    });
    each.collect::<Vec<_>>().join(",")
}

/// What one place of a glob takes.
enum Part {
    One(char),
    Any,
    Many,
    Of {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// The beginning of a module path, as far as what may follow depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Beginning {
    slashes: usize,
    /// The host has a dot.
    dotted: bool,
    /// An element begins here.
    fresh: bool,
    /// The last character is a dot.
    dot: bool,
}

impl Beginning {
    const EMPTY: Beginning = Beginning {
        slashes: 0,
        dotted: false,
        fresh: true,
        dot: false,
    };

    /// With one character more, if a module path can go on so (x/mod/module `CheckPath`).
    fn with(self, c: char, slashes: usize) -> Option<Beginning> {
        let in_host = self.slashes == 0;
        match c {
            '/' => (!self.is_open() && self.slashes < slashes).then_some(Beginning {
                slashes: self.slashes + 1,
                fresh: true,
                dot: false,
                ..self
            }),
            '.' => (!self.fresh).then_some(Beginning {
                dotted: true,
                dot: true,
                ..self
            }),
            '-' if in_host && self.fresh => None,
            '_' | '~' if in_host => None,
            'A'..='Z' if in_host => None,
            _ => Some(Beginning {
                fresh: false,
                dot: false,
                ..self
            }),
        }
    }

    /// No element can end here.
    fn is_open(self) -> bool {
        self.fresh || self.dot || !self.dotted
    }
}

/// Whether some module path begins with what the pattern matches: the pattern is walked together with all beginnings
/// of module paths.
fn can_match(pattern: &str) -> bool {
    if pattern.len() > MAX_PATH || !is_well_formed(pattern) {
        return false;
    }
    let glob = Glob::new(pattern);
    let parts = parts(pattern);
    let alphabet: Vec<char> = ('a'..='z')
        .chain('A'..='Z')
        .chain('0'..='9')
        .chain("-._~/".chars())
        .collect();
    let mut seen = HashSet::new();
    let mut open = vec![(0, Beginning::EMPTY)];
    while let Some(state) = open.pop() {
        if !seen.insert(state) {
            continue;
        }
        let (at, beginning) = state;
        let Some(part) = parts.get(at) else {
            if beginning.slashes == glob.slashes && !beginning.is_open() {
                return true;
            }
            continue;
        };
        if matches!(part, Part::Many) {
            open.push((at + 1, beginning));
        }
        for c in &alphabet {
            let next = match part {
                Part::One(one) if one == c => at + 1,
                Part::Any if *c != '/' => at + 1,
                Part::Many if *c != '/' => at,
                Part::Of { negated, ranges } => {
                    let inside = ranges.iter().any(|(lo, hi)| (lo..=hi).contains(&c));
                    if inside == *negated {
                        continue;
                    }
                    at + 1
                }
                _ => continue,
            };
            if let Some(longer) = beginning.with(*c, glob.slashes) {
                open.push((next, longer));
            }
        }
    }
    false
}

/// The parts of a glob that is well-formed.
fn parts(glob: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut chars = glob.chars().peekable();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => Part::Many,
            '?' => Part::Any,
            '\\' => Part::One(chars.next().unwrap_or('\\')),
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                let escaped = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
                    chars.next_if_eq(&'\\');
                    chars.next()
                };
                while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
                    let Some(lo) = escaped(&mut chars) else { break };
                    let hi = match chars.next_if_eq(&'-') {
                        Some(_) => escaped(&mut chars).unwrap_or(lo),
                        None => lo,
                    };
                    ranges.push((lo, hi));
                }
                Part::Of { negated, ranges }
            }
            c => Part::One(c),
        });
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gomod::ModulePath;
    use proptest::prelude::*;

    #[test]
    fn what_goprivate_takes_and_can_match_is_fine() {
        for list in [
            "",
            " ",
            "none",
            "*",
            "*/*",
            "*/quote",
            "*.corp.example.com",
            "*.com",
            "github.com/acme/*",
            "git.example.com/[a-z]*",
            "git.example.com/[^a-z]*",
            "git[0-9].example.com",
            "git.example.com/**",
            "**/x",
            "git-*.example.com/Team/*/x?",
            "github.com/Acme",
            "github.com/acme/x.git",
            "example.com/_x/~y/-z",
            "git\\.example\\.com/*",
            "10.0.0.1/x",
            "xn--gt-jja.example.com",
            "a.com, b.com ,c.com/x",
            "gopkg.in/yaml.v2",
            "golang.org/x[/]*",
        ] {
            assert_eq!(Patterns::faults(list), [], "{list}");
        }
        assert_eq!(Patterns::tidy(" a.com, b.com/x "), "a.com,b.com/x");
    }

    #[test]
    fn what_matches_nothing_is_told_with_what_was_meant() {
        for (list, why, meant) in [
            ("git.example.com/[", "malformed", "git.example.com/*"),
            ("git.example.com/[a-", "malformed", "git.example.com/*"),
            ("git.example.com/x\\", "backslash", "git.example.com/x"),
            ("https://git.example.com/*", "a scheme", "git.example.com/*"),
            (
                "ssh://git@git.example.com:2222/team/x.git",
                "a scheme",
                "git.example.com/team/x",
            ),
            (
                "https://me:hunter2@git.example.com/*",
                "a scheme",
                "git.example.com/*",
            ),
            (
                "git@git.example.com:team/x.git",
                "a user name",
                "git.example.com/team/x",
            ),
            ("git.example.com/", "ends with a slash", "git.example.com"),
            ("git.example.com//", "two slashes", "git.example.com"),
            ("git.example.com//x", "two slashes", "git.example.com/x"),
            ("/git.example.com", "begins with a slash", "git.example.com"),
            ("git.example.com,", "a comma too many", "git.example.com"),
            ("a.com,,b.com", "a comma too many", "a.com,b.com"),
            ("a.com b.com", "a space", "a.com,b.com"),
            ("a.com;b.com/*", "a separator", "a.com,b.com/*"),
            ("a.com|b.com", "a separator", "a.com,b.com"),
            ("Git.Example.com/Team", "upper case", "git.example.com/Team"),
            ("git.example.com:8443/*", "a port", "git.example.com/*"),
            (
                "git.example.com\\team",
                "a backslash",
                "git.example.com/team",
            ),
            (".example.com", "begins with a dot", "*.example.com"),
            ("git.example.com.", "ends with a dot", "git.example.com"),
            ("git.example.com./x", "ends with a dot", "git.example.com/x"),
            ("git.example.com/...", "for packages", "git.example.com"),
            ("git.example.com/x@v1.2.3", "a version", "git.example.com/x"),
            (".*\\.example\\.com", "begins with a dot", "*.example.com"),
            ("^git\\.example\\.com$", "'$'", "git.example.com"),
            ("\"git.example.com\"", "'\"'", "git.example.com"),
            ("!git.example.com", "turned round", "git.example.com"),
        ] {
            let faults = Patterns::faults(list);
            let [fault] = faults.as_slice() else {
                panic!("{list}: {faults:?}")
            };
            assert!(fault.why.contains(why), "{list}: {fault}");
            assert_eq!(fault.meant.as_deref(), Some(meant), "{list}: {fault}");
            assert!(!fault.to_string().contains("hunter2"), "{fault}");
        }
        for (list, why) in [
            (",", "a comma too many"),
            ("git", "without a dot"),
            ("localhost/x", "without a dot"),
            ("git/*", "without a dot"),
            ("gît.example.com", "not ASCII"),
            ("_.example.com", "matches no module path"),
            ("[::1]/x", "':'"),
            ("*.example.com/x%20y", "'%'"),
            ("*_x.com", "matches no module path"),
            ("user:hunter2@git", "a user name"),
        ] {
            let faults = Patterns::faults(list);
            assert!(
                faults.len() == 1 && faults[0].why.contains(why),
                "{list}: {faults:?}"
            );
            assert!(!faults[0].to_string().contains("hunter2"), "{faults:?}");
        }
        assert_eq!(Patterns::faults("{a,b}.example.com").len(), 2);
        assert_eq!(Patterns::faults(&"a".repeat(5000)).len(), 1);
    }

    #[test]
    fn www_is_doubtful() {
        let [doubt] = &Patterns::doubts("a.com, www.github.com/acme")[..] else {
            panic!("one doubt")
        };
        assert_eq!(doubt.meant.as_deref(), Some("github.com/acme"));
        assert_eq!(Patterns::doubts("www.com,a.com"), []);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(list in "\\PC{0,30}") {
            for fault in Patterns::faults(&list) {
                let _ = fault.to_string();
            }
        }

        /// What is refused matches none of the paths there are.
        #[test]
        fn a_fault_matches_nothing(
            list in "[a-bA.*?\\[\\]^/:-]{1,9}",
            path in "[ab]{1,2}\\.[ab]{1,2}(/[abA.-]{1,3}){0,2}",
        ) {
            let refused = Patterns::faults(&list);
            if !refused.is_empty() && !list.ends_with('/') && ModulePath::parse(&path).is_ok() {
                prop_assert!(!Patterns::parse(&list).matches(&path), "{list} {path} {refused:?}");
            }
        }

        /// What is taken by itself matches some path: itself, where it has no wildcards.
        #[test]
        fn plain_paths_are_fine(path in "[a-z]{1,5}\\.[a-z]{2,3}(/[a-zA-Z_~-]{1,4}){0,3}") {
            prop_assert_eq!(Patterns::faults(&path), []);
        }
    }
}
