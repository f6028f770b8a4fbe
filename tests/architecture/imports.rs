//! Which file uses which: imports resolved through re-exports. Code that is only compiled for tests is left out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, Token, sources};

/// A file, as far as its imports are concerned.
#[derive(Default)]
pub struct File {
    pub name: String,
    module: Vec<String>,
    /// What its `use` declarations bind, private ones included: a child may name these too.
    names: BTreeMap<String, Vec<String>>,
    /// What it takes in whole.
    globs: Vec<Vec<String>>,
    /// What it defines.
    items: BTreeSet<String>,
    /// The modules that it declares outside tests.
    children: BTreeSet<String>,
    /// The paths that it uses, each with its line and in full. Paths into other crates start with the crate's name.
    pub uses: Vec<(usize, Vec<String>)>,
}

/// The files of the crate.
pub struct Files {
    pub files: Vec<File>,
    by_module: BTreeMap<Vec<String>, usize>,
}

impl Files {
    pub fn read() -> Self {
        Self::of(sources())
    }

    fn of(sources: Vec<Source>) -> Self {
        let files: Vec<_> = sources
            .into_iter()
            .filter(|source| source.name != "src/main.rs")
            .map(|source| Reader::read(source.name, source.module, without_tests(&source.tokens)))
            .collect();
        let places = files.iter().enumerate();
        let by_module = places.map(|(at, file)| (file.module.clone(), at)).collect();
        Self { files, by_module }
    }

    /// Whether a file is compiled outside tests.
    pub fn is_shipped(&self, file: &File) -> bool {
        let Some((own, parent)) = file.module.split_last() else {
            return true;
        };
        let parent = self.by_module.get(parent).map(|at| &self.files[*at]);
        parent.is_some_and(|parent| parent.children.contains(own) && self.is_shipped(parent))
    }

    /// The file that defines what a path of the crate names, and whether the path names the file's module itself.
    fn resolve(&self, path: &[String], depth: usize) -> Option<(usize, bool)> {
        let mut here = Vec::new();
        let mut at = *self.by_module.get(&here)?;
        for (i, name) in path.iter().enumerate() {
            let rest = &path[i + 1..];
            here.push(name.clone());
            let inner = self.by_module.get(&here).copied();
            let file = &self.files[at];
            let bound = file.names.get(name).filter(|_| depth < 8);
            match (inner, bound) {
                (Some(inner), None) => at = inner,
                (Some(inner), Some(_)) if !rest.is_empty() => at = inner,
                (_, Some(bound)) => return self.resolve(&[bound, rest].concat(), depth + 1),
                (None, None) if file.items.contains(name) || depth >= 8 => {
                    return Some((at, false));
                }
                (None, None) => {
                    let through = |glob: &Vec<String>| {
                        let (target, _) = self.resolve(glob, depth + 1)?;
                        let target = &self.files[target];
                        let has = target.items.contains(name) || target.names.contains_key(name);
                        let whole = [glob, std::slice::from_ref(name), rest].concat();
                        has.then(|| self.resolve(&whole, depth + 1)).flatten()
                    };
                    return file.globs.iter().find_map(through).or(Some((at, false)));
                }
            }
        }
        Some((at, true))
    }

    /// For each file the other files of its room that it uses, with a line and the path that say so.
    fn edges(&self) -> Vec<BTreeMap<usize, (usize, String)>> {
        let edges = |file: &File| {
            let mut edges = BTreeMap::new();
            for (line, path) in &file.uses {
                let Some((target, false)) = self.resolve(path, 0) else {
                    continue;
                };
                let other = &self.files[target];
                if other.module.first() == file.module.first() && other.name != file.name {
                    let why = || (*line, path.join("::"));
                    edges.entry(target).or_insert_with(why);
                }
            }
            edges
        };
        self.files.iter().map(edges).collect()
    }

    /// The circles: files that each use, over others, all the others. With each the uses that tie it.
    pub fn circles(&self) -> Vec<Circle> {
        let edges = self.edges();
        let reached: Vec<BTreeSet<usize>> = (0..edges.len())
            .map(|start| {
                let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
                while let Some(at) = next.pop() {
                    next.extend(edges[at].keys().filter(|to| seen.insert(**to)));
                }
                seen
            })
            .collect();
        let mut circles = Vec::new();
        let mut done = BTreeSet::new();
        for start in 0..edges.len() {
            let back = |at: &&usize| reached[**at].contains(&start);
            let members: BTreeSet<_> = reached[start].iter().filter(back).copied().collect();
            if members.is_empty() || !done.insert(members.clone()) {
                continue;
            }
            let ties = members.iter().flat_map(|from| {
                let ties = edges[*from].iter().filter(|(to, _)| members.contains(to));
                ties.map(|(_, (line, path))| format!("{}:{line}: {path}", self.files[*from].name))
            });
            circles.push(Circle {
                files: members
                    .iter()
                    .map(|at| self.files[*at].name.clone())
                    .collect(),
                ties: ties.collect(),
            });
        }
        circles
    }
}

pub struct Circle {
    pub files: BTreeSet<String>,
    pub ties: Vec<String>,
}

/// Leaves out what stands below `#[cfg(test)]`.
fn without_tests(tokens: &[(usize, Token)]) -> Vec<(usize, Token)> {
    let sign = |i: usize, c: char| matches!(tokens.get(i), Some((_, Token::Sign(s))) if *s == c);
    let word = |i: usize, w: &str| tokens.get(i).is_some_and(|(_, token)| token.is(w));
    // Where what is in brackets from `i` on ends.
    let bracketed = |mut i: usize| {
        let mut depth = 0;
        while i < tokens.len() {
            match tokens[i].1 {
                Token::Sign('[') => depth += 1,
                Token::Sign(']') => depth -= 1,
                _ => {}
            }
            i += 1;
            if depth == 0 {
                break;
            }
        }
        i
    };
    let mut kept = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let cfg = sign(i, '#') && sign(i + 1, '[') && word(i + 2, "cfg") && sign(i + 3, '(');
        let end = if cfg { bracketed(i + 1) } else { i };
        let says = |w: &str| (i..end).any(|i| word(i, w));
        if !cfg || !says("test") || says("not") {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        i = end;
        while sign(i, '#') {
            i = bracketed(i + 1);
        }
        let import = word(i, "use") || word(i + 1, "use");
        let mut depth = 0;
        while i < tokens.len() {
            match tokens[i].1 {
                Token::Sign('{' | '(' | '[') => depth += 1,
                Token::Sign('}' | ')' | ']') => depth -= 1,
                _ => {}
            }
            if depth < 0 {
                break;
            }
            i += 1;
            let ends = sign(i - 1, ';') || (sign(i - 1, '}') && !import);
            if depth == 0 && ends {
                break;
            }
        }
    }
    kept
}

/// Reads one file.
struct Reader {
    tokens: Vec<(usize, Token)>,
    file: File,
    /// The module at this place.
    here: Vec<String>,
}

impl Reader {
    fn read(name: String, module: Vec<String>, tokens: Vec<(usize, Token)>) -> File {
        let file = File {
            name,
            module: module.clone(),
            ..File::default()
        };
        let mut reader = Self {
            tokens,
            file,
            here: module,
        };
        reader.declarations();
        // What a declaration binds may stand below its use.
        reader.pass(true);
        reader.pass(false);
        reader.file
    }

    fn word(&self, i: usize) -> Option<&str> {
        match &self.tokens.get(i)?.1 {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn is(&self, i: usize, token: &Token) -> bool {
        self.tokens.get(i).is_some_and(|(_, this)| this == token)
    }

    fn declarations(&mut self) {
        for i in 0..self.tokens.len() {
            let (Some(kind), Some(name)) = (self.word(i), self.word(i + 1)) else {
                continue;
            };
            let name = name.to_owned();
            match kind {
                "mod" if self.is(i + 2, &Token::Sign(';')) => {
                    self.file.children.insert(name);
                }
                "struct" | "enum" | "trait" | "type" | "fn" | "const" | "static" | "union"
                | "mod" => {
                    self.file.items.insert(name);
                }
                _ => {}
            }
        }
        for i in 2..self.tokens.len() {
            if self.word(i - 2) == Some("macro_rules")
                && let Some(name) = self.word(i).map(str::to_owned)
            {
                self.file.items.insert(name);
            }
        }
    }

    /// Reads the declarations of imports, or everything else.
    fn pass(&mut self, imports: bool) {
        let (mut opened, mut depth) = (Vec::new(), 0);
        let mut i = 0;
        while i < self.tokens.len() {
            match self.tokens[i].1.clone() {
                Token::Sign('{') => depth += 1,
                Token::Sign('}') => {
                    depth -= 1;
                    if opened.last() == Some(&depth) {
                        opened.pop();
                        self.here.pop();
                    }
                }
                Token::Word(word) if word == "mod" && self.is(i + 2, &Token::Sign('{')) => {
                    opened.push(depth);
                    self.here.extend(self.word(i + 1).map(str::to_owned));
                }
                Token::Word(word) if word == "use" && self.word(i + 1) != Some("<") => {
                    let exported = i > 0
                        && (self.word(i - 1) == Some("pub") || self.is(i - 1, &Token::Sign(')')));
                    i = self.import(i + 1, None, imports, exported);
                    continue;
                }
                Token::Word(word)
                    if !imports
                        && (i == 0
                            || !(self.is(i - 1, &Token::Colons)
                                || self.is(i - 1, &Token::Sign('.'))
                                || self.word(i - 1) == Some("fn"))) =>
                {
                    i = self.path(i, &word);
                    continue;
                }
                _ => {}
            }
            i += 1;
        }
    }

    /// The first part of a path, in full.
    fn first(&self, word: &str, import: bool) -> Option<Vec<String>> {
        let mut path = self.here.clone();
        match word {
            "crate" => path.clear(),
            "self" => {}
            "super" => drop(path.pop()),
            _ if self.file.children.contains(word) => {
                path = [&self.file.module, &[word.to_owned()][..]].concat()
            }
            _ => match self.file.names.get(word) {
                Some(bound) => path = bound.clone(),
                None if import && self.file.items.contains(word) => path.push(word.to_owned()),
                None if import || matches!(word, "std" | "tokio") => {
                    path = vec!["::".to_owned(), word.to_owned()]
                }
                None => return None,
            },
        }
        Some(path)
    }

    /// Reads an import, or the rest of one below `path`; gives where it ends. Notes what it binds, or what it uses.
    fn import(
        &mut self,
        mut i: usize,
        path: Option<Vec<String>>,
        binds: bool,
        exported: bool,
    ) -> usize {
        let line = self.tokens.get(i).map_or(0, |(line, _)| *line);
        let mut path = path;
        let mut name = None;
        loop {
            match self.tokens.get(i).map(|(_, token)| token.clone()) {
                Some(Token::Word(word)) => {
                    path = match (path, word.as_str()) {
                        (None, word) => self.first(word, true),
                        (Some(mut path), "super") => {
                            path.pop();
                            Some(path)
                        }
                        (Some(path), "self") => Some(path),
                        (Some(mut path), word) => {
                            path.push(word.to_owned());
                            Some(path)
                        }
                    };
                    if word != "self" {
                        name = Some(word);
                    } else if let Some(path) = &path {
                        name = path.last().cloned();
                    }
                }
                Some(Token::Sign('*')) => {
                    if let Some(path) = path.filter(|_| binds) {
                        self.file.globs.push(path);
                    }
                    return i + 1;
                }
                Some(Token::Sign('{')) => {
                    i += 1;
                    while i < self.tokens.len() && !self.is(i, &Token::Sign('}')) {
                        if self.is(i, &Token::Sign(',')) {
                            i += 1;
                        } else {
                            i = self.import(i, path.clone(), binds, exported).max(i + 1);
                        }
                    }
                    return i + 1;
                }
                _ => break,
            }
            i += 1;
            if !self.is(i, &Token::Colons) {
                break;
            }
            i += 1;
        }
        if self.word(i) == Some("as") {
            name = self.word(i + 1).map(str::to_owned);
            i += 2;
        }
        if let Some(path) = path {
            if binds {
                self.file.names.extend(name.map(|name| (name, path)));
            } else if !exported {
                self.file.uses.push((line, path));
            }
        }
        i
    }

    /// Reads a path outside imports, and notes it if it is one of an import, a child or another crate.
    fn path(&mut self, mut i: usize, word: &str) -> usize {
        let line = self.tokens[i].0;
        let first = self.first(word, false);
        let mut rest = Vec::new();
        while self.is(i + 1, &Token::Colons)
            && let Some(word) = self.word(i + 2)
        {
            rest.push(word.to_owned());
            i += 2;
        }
        let called = ['(', '!'].iter().any(|c| self.is(i + 1, &Token::Sign(*c)));
        // A word in small letters alone is most often something else: a variable, a field.
        let names = !rest.is_empty() || called || word.starts_with(char::is_uppercase);
        if let Some(mut path) = first.filter(|_| names) {
            for word in rest {
                match word.as_str() {
                    "super" => drop(path.pop()),
                    "self" => {}
                    _ => path.push(word),
                }
            }
            self.file.uses.push((line, path));
        }
        i + 1
    }
}

#[test]
fn imports_are_followed_to_where_things_are_defined() {
    let ties = |files: &[(&str, &str)]| -> Vec<Vec<String>> {
        let root = [("src/lib.rs", "mod room;")];
        let sources = root.iter().chain(files).map(|(name, text)| Source {
            name: (*name).to_owned(),
            module: name
                .trim_start_matches("src/")
                .trim_end_matches(".rs")
                .split('/')
                .filter(|part| !matches!(*part, "lib" | "mod"))
                .map(str::to_owned)
                .collect(),
            tokens: super::tokens(text),
        });
        let circles = Files::of(sources.collect()).circles().into_iter();
        circles
            .map(|circle| {
                let short = |tie: &String| tie.replace("src/room/", "").replace("room::", "");
                circle.ties.iter().map(short).collect()
            })
            .collect()
    };
    let parent = (
        "src/room/mod.rs",
        "mod a; mod b; pub use a::A; pub(crate) use b::B as C;",
    );
    for (a, b, expected) in [
        (
            "use super::b::B; struct A;",
            "use crate::room::a::A; struct B;",
            &["a.rs:1: b::B", "b.rs:1: a::A"][..],
        ),
        // Through what the parent gives on, which is no use of its own.
        (
            "struct A(super::C);",
            "use super::{A}; struct B;",
            &["a.rs:1: C", "b.rs:1: A"],
        ),
        // Through a module.
        (
            "use super::b; fn f() { b::g() } struct A;",
            "use super::*; struct B; fn g() { super::a::x() }",
            &["a.rs:1: b::g", "b.rs:1: a::x"],
        ),
        ("struct A;", "use super::A; struct B;", &[]),
        // In tests, texts and names of other things.
        (
            "#[cfg(test)] mod tests { use super::super::b::B; } struct A;",
            "use super::A; struct B;",
            &[],
        ),
        (
            "#[cfg(test)] use super::C; struct A { b: u8 }",
            "use super::A; struct B;",
            &[],
        ),
        (
            "/// super::C\nfn f(C: u8) { \"super::C\" } struct A;",
            "use super::A; struct B;",
            &[],
        ),
    ] {
        let found = ties(&[parent, ("src/room/a.rs", a), ("src/room/b.rs", b)]);
        let expected: Vec<_> = [expected]
            .into_iter()
            .filter(|ties| !ties.is_empty())
            .collect();
        assert_eq!(found, expected, "{a} … {b}");
    }
    // A parent's own use of what it gives on counts.
    let parent = (
        "src/room/mod.rs",
        "mod a; pub use a::A; struct Own; fn f(a: &A) {}",
    );
    let found = ties(&[parent, ("src/room/a.rs", "struct A(super::Own);")]);
    assert_eq!(found, [["mod.rs:1: a::A", "a.rs:1: Own"]]);
}
