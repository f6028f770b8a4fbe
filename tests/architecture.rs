//! The shape of the house: which room may use which, where `unsafe` may stand, how small `main.rs` stays, which names
//! no file carries, and that documents keep up with the code. Reads the sources as text; needs nothing of the crate, so
//! it is quick to build.

#![allow(clippy::expect_used, reason = "all of it is a test")]

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/inside.rs"]
mod inside;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every room, and the rooms below it that it may use. A new room needs a line here and one in `src/lib.rs`.
#[rustfmt::skip]
const ROOMS: &[(&str, &str)] = &[
    ("main",      "cli upstream"),
    ("lib",       ""),
    ("cli",       "kit breaker app config admin http jobs engine identity policy upstream vcs sumdb store protocol gomod telemetry clock"),
    ("app",       "kit breaker config admin http jobs engine identity policy upstream vcs sumdb store credentials proxies protocol gomod telemetry clock"),
    ("config",    "upstream sumdb identity policy gomod"),
    ("http",      "kit breaker engine identity policy upstream sumdb store protocol gomod telemetry clock"),
    ("admin",     "kit engine identity protocol gomod telemetry clock"),
    ("jobs",      "kit breaker engine identity policy upstream sumdb store protocol gomod telemetry clock"),
    ("engine",    "kit breaker identity policy upstream vcs sumdb store flights protocol gomod telemetry clock"),
    ("identity",  "kit policy store gomod telemetry clock"),
    ("policy",    "gomod"),
    ("upstream",  "kit breaker coding credentials proxies protocol gomod telemetry clock"),
    ("vcs",       "kit breaker coding credentials proxies gomod flights telemetry clock"),
    ("sumdb",     "kit flights gomod telemetry clock"),
    ("store",     "protocol gomod telemetry clock"),
    ("flights",   "kit"),
    ("kit",       ""),
    ("breaker",   "clock"),
    ("coding",    ""),
    ("credentials", ""),
    ("proxies",   ""),
    ("protocol",  "gomod"),
    ("gomod",     ""),
    ("telemetry", "clock"),
    ("clock",     ""),
];

/// The one file that may say `unsafe`.
const UNSAFE: &str = "src/http/connection/mapped.rs";

/// Hosts of module mirrors and package registries, in two parts so that this file does not name them either. Where
/// modules come from is the operator's business, or that of the Go toolchain.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("proxy.golang", ".org"), ("goproxy", ".io"), ("mirrors.aliyun", ".com"), ("athens.azurefd", ".net"),
    ("crates", ".io"), ("npmjs", ".org"), ("npmjs", ".com"), ("pypi", ".org"), ("maven", ".org"),
    ("maven.apache", ".org"), ("rubygems", ".org"), ("debian", ".org"),
    ("docker", ".io"), ("ghcr", ".io"), ("gcr", ".io"), ("quay", ".io"),
];

#[test]
fn rooms_use_only_what_is_below_them() {
    let allowed: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut rooms = BTreeSet::new();
    let mut edges = BTreeSet::new();
    let mut faults = Vec::new();
    for source in sources() {
        let room = source.room().to_owned();
        for (line, path) in source.paths() {
            let used = path.first().map_or("", String::as_str);
            let below = allowed.get(room.as_str()).copied().unwrap_or_default();
            let at = format!("{}:{line}", source.name);
            if used == "*" {
                faults.push(format!("{at}: takes in the whole crate: name what is used"));
            } else if below.split(' ').any(|name| name == used) {
                edges.insert(format!("{room} → {used}"));
            } else if used != room {
                faults.push(format!(
                    "{at}: {room} may not use {used} ({})",
                    path.join("::")
                ));
            }
        }
        rooms.insert(room);
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    let known: BTreeSet<_> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(
        rooms, known,
        "the rooms that are there, and those in the table"
    );
    // Else it may be the reading that failed.
    for edge in [
        "main → cli",
        "app → config",
        "http → engine",
        "engine → store",
        "store → gomod",
    ] {
        assert!(edges.contains(edge), "{edge} was not seen");
    }
}

#[test]
fn unsafe_stands_in_one_file() {
    let says = |source: &Source| source.tokens.iter().any(|(_, token)| token.is("unsafe"));
    let with: Vec<_> = sources()
        .into_iter()
        .filter(says)
        .map(|source| source.name)
        .collect();
    assert_eq!(with, [UNSAFE]);
}

/// A name means one thing in the whole tree. Sections of the configuration carry the name of what they configure, and
/// what only its parent sees is free.
#[test]
fn a_type_name_means_one_thing() {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files_below(&root().join("src")) {
        let name = relative(&path);
        if name.contains("/test") || !name.ends_with(".rs") {
            continue;
        }
        for line in read(&path).lines() {
            let mut words = line.split_whitespace();
            let open = matches!(words.next(), Some("pub" | "pub(crate)"));
            let kind = matches!(words.next(), Some("struct" | "enum" | "trait" | "type"));
            let is_section = line.contains(" = \"");
            let end = |c: char| !c.is_alphanumeric();
            if let (true, true, false, Some(word)) = (open, kind, is_section, words.next()) {
                let word = word.split(end).next().unwrap_or(word);
                let files = seen.entry(word.to_owned()).or_default();
                files.insert(name.clone());
            }
        }
    }
    assert!(seen.contains_key("Engine"), "no type was seen");
    seen.retain(|_, files| files.len() > 1);
    assert!(seen.is_empty(), "names of more than one type: {seen:#?}");
}

#[test]
fn the_binary_is_thin() {
    let lines = read(&root().join("src/main.rs")).lines().count();
    assert!(lines <= 60, "src/main.rs has {lines} lines");
}

#[test]
fn no_file_names_a_mirror_or_a_registry() {
    let names: Vec<_> = NAMES
        .iter()
        .map(|(host, end)| format!("{host}{end}"))
        .collect();
    let mut faults = Vec::new();
    for path in files() {
        for (number, line) in (1..).zip(read(&path).to_ascii_lowercase().lines()) {
            for name in names.iter().filter(|name| line.contains(name.as_str())) {
                faults.push(format!("{}:{number}: names {name}", relative(&path)));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_readme_has_every_key_with_its_default() {
    let readme = read(&root().join("README.md"));
    let mut section = String::new();
    let mut keys = 0;
    for line in read(&root().join("config/default.toml")).lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            section = name.to_owned();
        } else if let Some((key, default)) =
            line.split_once(" = ").filter(|_| !line.starts_with('#'))
        {
            let variable = format!("LARDER_{section}__{key}").to_uppercase();
            let row = format!("| `{key}` | `{default}` | `{variable}` |");
            assert!(readme.contains(&row), "README.md has no row {row}");
            keys += 1;
        }
    }
    assert!(
        keys > 30,
        "config/default.toml could not be read: {keys} keys"
    );
}

#[test]
fn documents_name_metrics_that_exist() {
    let code: String = entries(&root().join("src/telemetry/metrics"))
        .iter()
        .map(|file| read(file))
        .collect();
    let exists = |name: &str| {
        let endings = ["_total", "_bucket", "_count", "_sum", "_seconds", "_bytes"];
        let mut name = name;
        loop {
            if code.contains(&format!("\"{name}\"")) {
                return true;
            }
            match endings.iter().find_map(|ending| name.strip_suffix(ending)) {
                Some(shorter) => name = shorter,
                None => return false,
            }
        }
    };
    for file in [
        "README.md",
        "ARCHITECTURE.md",
        "docs/limits.md",
        "config/observability/README.md",
        "config/observability/alerts.yml",
    ] {
        let text = read(&root().join(file));
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter_map(|word| word.strip_prefix("larder_")) {
            assert!(
                exists(name),
                "{file} names larder_{name}, which is no metric"
            );
        }
    }
}

// The tree.

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is in a folder, in the order of names; nothing if it is not there.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let inner = |path: PathBuf| {
        if path.is_dir() {
            files_below(&path)
        } else {
            vec![path]
        }
    };
    entries(folder).into_iter().flat_map(inner).collect()
}

/// Every file that people write: not Cargo.lock, in which cargo notes where it found what.
fn files() -> Vec<PathBuf> {
    let mut files = entries(root());
    files.retain(|path| path.is_file() && !path.ends_with("Cargo.lock"));
    for folder in [
        ".ci",
        "benches",
        "config",
        "fuzz/fuzz_targets",
        "migrations",
        "src",
        "tests",
    ] {
        files.extend(files_below(&root().join(folder)));
    }
    files
}

/// A file of the crate.
struct Source {
    name: String,
    /// Its module: `["engine", "zip"]`.
    module: Vec<String>,
    /// Its words and signs, with their lines.
    tokens: Vec<(usize, Token)>,
}

fn sources() -> Vec<Source> {
    // The steps of the schema are modules of store/migrate.rs.
    let folders = [
        ("src", &[][..]),
        ("migrations", &["store", "migrate", "steps"][..]),
    ];
    let mut sources = Vec::new();
    for (folder, module) in folders {
        let folder = root().join(folder);
        for path in files_below(&folder) {
            if path.extension().is_none_or(|ending| ending != "rs") {
                continue;
            }
            let inner = path
                .strip_prefix(&folder)
                .expect("below the folder")
                .with_extension("");
            let own = inner.iter().filter_map(|name| name.to_str());
            let own = own.filter(|name| !matches!(*name, "mod" | "lib" | "main"));
            sources.push(Source {
                name: relative(&path),
                module: module
                    .iter()
                    .copied()
                    .chain(own)
                    .map(str::to_owned)
                    .collect(),
                tokens: tokens(&read(&path)),
            });
        }
    }
    sources
}

impl Source {
    fn room(&self) -> &str {
        match self.name.as_str() {
            "src/main.rs" => "main",
            "src/lib.rs" => "lib",
            _ => &self.module[0],
        }
    }

    fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut tokens = self.tokens.clone();
        if self.room() == "main" {
            for (_, token) in tokens.iter_mut().filter(|(_, token)| token.is("larder")) {
                *token = Token::Word("crate".to_owned());
            }
        }
        paths(&tokens, &self.module)
    }
}

// The reading.

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Colons,
    Sign(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(this) if this == word)
    }
}

/// Words and signs; comments, strings and characters are left out.
fn tokens(text: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let in_word = |i: usize| at(i).is_alphanumeric() || at(i) == '_';
    // The first place from `i` on at which this is so, or the end.
    let find = |i: usize, stop: &dyn Fn(usize) -> bool| {
        (i..chars.len()).find(|i| stop(*i)).unwrap_or(chars.len())
    };
    let mut tokens = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let start = i;
        match (at(i), at(i + 1)) {
            ('/', '/') => i = find(i, &|i| at(i) == '\n'),
            ('/', '*') => {
                let mut depth = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            ('"', _) => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            ('\'', '\\') => i = find(i + 3, &|i| at(i) == '\'') + 1,
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            // A lifetime.
            ('\'', _) => i = find(i + 1, &|i| !in_word(i)),
            (':', ':') => {
                tokens.push((line, Token::Colons));
                i += 2;
            }
            _ if in_word(i) => {
                i = find(i, &|i| !in_word(i));
                let word: String = chars[start..i].iter().collect();
                let hashes = find(i, &|i| at(i) != '#') - i;
                if matches!(word.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"' {
                    let closed = |i: usize| at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#');
                    i = find(i + hashes + 1, &closed) + 1 + hashes;
                } else {
                    tokens.push((line, Token::Word(word)));
                }
            }
            (sign, _) => {
                if !sign.is_whitespace() {
                    tokens.push((line, Token::Sign(sign)));
                }
                i += 1;
            }
        }
        i = i.min(chars.len());
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// The paths that start with `crate`, `self` or `super` in a file of `module`, each with its line, and as it reads from
/// the crate's root. A glob of the root, or the root under another name, is `*`.
fn paths(tokens: &[(usize, Token)], module: &[String]) -> Vec<(usize, Vec<String>)> {
    let token = |i: usize| tokens.get(i).map(|(_, token)| token);
    let mut found = Vec::new();
    // The module at this place, and at what depth of braces each of its inline parts stands.
    let (mut here, mut opened, mut depth) = (module.to_vec(), Vec::new(), 0);
    let mut i = 0;
    while i < tokens.len() {
        match &tokens[i].1 {
            Token::Sign('{') => depth += 1,
            Token::Sign('}') => {
                depth -= 1;
                if opened.last() == Some(&depth) {
                    opened.pop();
                    here.pop();
                }
            }
            Token::Word(word) if word == "mod" && token(i + 2) == Some(&Token::Sign('{')) => {
                if let Some(Token::Word(name)) = token(i + 1) {
                    opened.push(depth);
                    here.push(name.clone());
                }
            }
            Token::Word(word) if matches!(word.as_str(), "crate" | "self" | "super") => {
                let base = if word == "crate" {
                    Vec::new()
                } else {
                    here.clone()
                };
                i = follow(tokens, i, base, &mut found);
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// Reads a path, or a tree of them, that goes on at `i` below `path`; gives where it ends.
fn follow(
    tokens: &[(usize, Token)],
    mut i: usize,
    mut path: Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let token = |i: usize| tokens.get(i).map(|(_, token)| token);
    let line = tokens[i].0;
    loop {
        match token(i) {
            Some(Token::Word(word)) => match word.as_str() {
                "crate" | "self" => {}
                "super" => drop(path.pop()),
                name => path.push(name.to_owned()),
            },
            Some(Token::Sign('*')) => path.push("*".to_owned()),
            Some(Token::Sign('{')) => {
                i += 1;
                while token(i).is_some_and(|token| *token != Token::Sign('}')) {
                    i = match token(i) {
                        Some(Token::Sign(_)) if token(i) != Some(&Token::Sign('*')) => i + 1,
                        _ => follow(tokens, i, path.clone(), found).max(i + 1),
                    };
                }
                return i + 1;
            }
            // `a::<T>`
            _ => break,
        }
        i += 1;
        if token(i) != Some(&Token::Colons) {
            break;
        }
        i += 1;
    }
    if token(i).is_some_and(|token| token.is("as")) {
        i += 2;
        if path.is_empty() {
            path.push("*".to_owned());
        }
    }
    if !path.is_empty() {
        found.push((line, path));
    }
    i
}

#[test]
fn paths_are_read_in_all_their_forms() {
    let shown = |text: &str| -> Vec<String> {
        let module = ["engine", "files"].map(str::to_owned);
        let found = paths(&tokens(text), &module).into_iter();
        found
            .map(|(line, path)| format!("{line} {}", path.join("::")))
            .collect()
    };
    for (text, expected) in [
        ("use crate::store::Store;", &["1 store::Store"][..]),
        (
            "\nuse crate::{store::{self, Blobs as B, layout::*}, gomod::H1,};",
            &[
                "2 store",
                "2 store::Blobs",
                "2 store::layout::*",
                "2 gomod::H1",
            ],
        ),
        (
            "fn f(a: &crate::http::AppState) -> Vec<crate::cli::X> { crate::app::go::<u8>(&*self.x) }",
            &[
                "1 http::AppState",
                "1 cli::X",
                "1 app::go",
                "1 engine::files",
            ],
        ),
        (
            "use super::super::config; use super::zip;",
            &["1 config", "1 engine::zip"],
        ),
        (
            "use self::inner::X; use super::{super::jobs, meta};",
            &["1 engine::files::inner::X", "1 jobs", "1 engine::meta"],
        ),
        (
            "#[cfg(test)] mod tests { use super::*; fn f() { crate::cli::run() } } use super::hot;",
            &["1 engine::files::*", "1 cli::run", "1 engine::hot"],
        ),
        (
            "mod a { mod b { use super::super::super::super::policy; } } use super::x;",
            &["1 policy", "1 engine::x"],
        ),
        (
            "pub(crate) fn f() {} pub(super) struct S; pub(in crate::http) type T = u8;",
            &["1 engine", "1 http"],
        ),
        (
            "// crate::a\n/* crate::a /* crate::a */ crate::a */ crate::b",
            &["2 b"],
        ),
        (
            r##"("crate::a \" crate::a", r#"crate::a " crate::a"#, '"', b'\'', '\u{7f}'); crate::b::<'a>"##,
            &["1 b"],
        ),
        (
            "fn f<'a>(x: &'a str) -> X<'a> { $crate::config::section!() }",
            &["1 config::section"],
        ),
        ("use crate::*; use super::super::*;", &["1 *", "1 *"]),
        (
            "use crate as root; use crate::{self as top, *};",
            &["1 *", "1 *", "1 *"],
        ),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}
