//! What a `?go-get=1` page says about the repository of a module (protocol.md 6.1.3 to 6.1.5,
//! checklist 105 to 107; cmd/go/internal/vcs `parseMetaGoImports`, `matchGoImport`).

use super::markup::{MarkupError, Scanner, Token};
use super::root::{Root, UnknownVcs, Vcs};
use super::url::{Allowed, RepoUrl, UrlError};
use crate::gomod::ModulePath;

/// The longest folder that a tag may name. Ours.
const MAX_SUBDIR: usize = 1000;

/// A `<meta name="go-import" content="PREFIX VCS URL [SUBDIR]">`, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoImport {
    /// The path that the repository stands for.
    pub prefix: String,
    /// The kind of repository.
    pub vcs: String,
    /// Its address.
    pub url: String,
    /// The folder in it; empty for all of it.
    pub subdir: String,
}

/// Why a page does not say where a module is. All of these mean that there is no such module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// There was no tag before reading failed.
    #[error(transparent)]
    Markup(#[from] MarkupError),
    /// There are no tags.
    #[error("the page has no go-import tag")]
    NoTag,
    /// There are tags, for other paths.
    #[error("the page has go-import tags, but none for this path (one is for {0:?})")]
    NoMatch(String),
    /// More than one tag is for the path.
    #[error("the page has more than one go-import tag for this path")]
    Ambiguous,
    /// The page at the prefix says something else than that at the path.
    #[error("the pages of the path and of {0:?} disagree about where it is")]
    Disagree(String),
    /// protocol.md 6.1.5.
    #[error("the folder {0:?} in the go-import tag is not one inside of the repository")]
    BadSubdir(String),
    /// The kind of repository.
    #[error(transparent)]
    Vcs(#[from] UnknownVcs),
    /// Its address.
    #[error(transparent)]
    Url(#[from] UrlError),
}

/// The go-import tags of a page, those of other GOPROXY servers (`mod`) first, and no others for
/// the same prefix. An error only if nothing was found before it: what the page has behind a tag
/// spoils nothing.
pub fn go_imports(page: &[u8]) -> Result<Vec<GoImport>, MarkupError> {
    let mut found = Vec::new();
    let mut scanner = Scanner::new(page);
    loop {
        match scanner.next() {
            Ok(Some(Token::Start(tag))) if tag.name.eq_ignore_ascii_case("body") => break,
            Ok(Some(Token::End(name))) if name.eq_ignore_ascii_case("head") => break,
            Ok(Some(Token::Start(tag)))
                if tag.name.eq_ignore_ascii_case("meta")
                    && tag.attribute("name") == "go-import" =>
            {
                found.extend(GoImport::parse(tag.attribute("content")));
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) if found.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    let (mut list, others): (Vec<_>, Vec<_>) = found.into_iter().partition(GoImport::is_mod);
    let servers = list.len();
    for other in others {
        if !list[..servers].iter().any(|m| m.prefix == other.prefix) {
            list.push(other);
        }
    }
    Ok(list)
}

/// The one tag that is for a path, of a list in the order of [`go_imports`].
pub fn select<'a>(imports: &'a [GoImport], path: &ModulePath) -> Result<&'a GoImport, MetaError> {
    let mut matching = imports
        .iter()
        .filter(|import| has_path_prefix(path.as_str(), &import.prefix));
    let Some(first) = matching.next() else {
        return Err(match imports.first() {
            None => MetaError::NoTag,
            Some(other) => MetaError::NoMatch(other.prefix.chars().take(200).collect()),
        });
    };
    match matching.next() {
        Some(second) if !first.is_mod() || second.is_mod() => Err(MetaError::Ambiguous),
        _ => Ok(first),
    }
}

impl GoImport {
    fn parse(content: &str) -> Option<Self> {
        let mut fields = content.split_whitespace().map(str::to_owned);
        let import = Self {
            prefix: fields.next()?,
            vcs: fields.next()?,
            url: fields.next()?,
            subdir: fields.next().unwrap_or_default(),
        };
        fields.next().is_none().then_some(import)
    }

    fn is_mod(&self) -> bool {
        self.vcs == Vcs::Mod.as_str()
    }

    /// Whether the page at the prefix must say the same before this is believed: anybody can claim
    /// to be part of somebody else's repository.
    pub fn needs_confirmation(&self, path: &ModulePath) -> bool {
        self.prefix != path.as_str()
    }

    /// Compares with the tags of the page at the prefix (checklist 105).
    pub fn confirm(&self, at_prefix: &[GoImport], path: &ModulePath) -> Result<(), MetaError> {
        match select(at_prefix, path) {
            Ok(import) if import == self => Ok(()),
            _ => Err(MetaError::Disagree(self.prefix.chars().take(200).collect())),
        }
    }

    /// The root, if all of the tag is in order.
    pub fn root(&self, allowed: Allowed) -> Result<Root, MetaError> {
        Ok(Root {
            subdir: clean_subdir(&self.subdir)
                .ok_or_else(|| MetaError::BadSubdir(self.subdir.chars().take(200).collect()))?,
            url: RepoUrl::parse(&self.url, allowed)?,
            vcs: self.vcs.parse()?,
            prefix: self.prefix.clone(),
        })
    }
}

/// The folder without what means nothing in it. `None` for what is refused: what could be an
/// option or is absolute (cmd/go/internal/vcs `validateRepoSubDir`), and what git takes for
/// something else or leads out of the repository.
fn clean_subdir(subdir: &str) -> Option<String> {
    let refused = subdir.len() > MAX_SUBDIR
        || subdir.starts_with(['-', '/'])
        || subdir
            .chars()
            .any(|c| c.is_control() || matches!(c, '\\' | ':'));
    if refused {
        return None;
    }
    let elements: Vec<_> = subdir
        .split('/')
        .filter(|element| !matches!(*element, "" | "."))
        .collect();
    let leads_elsewhere = |element: &&str| *element == ".." || element.eq_ignore_ascii_case(".git");
    // Without "./" in front a dash could come first.
    if elements.iter().any(leads_elsewhere) || elements.first().is_some_and(|e| e.starts_with('-'))
    {
        return None;
    }
    Some(elements.join("/"))
}

/// cmd/internal/str `HasPathPrefix`: a prefix of whole elements, which may end in a slash.
fn has_path_prefix(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    /// What cmd/go's own reader (1.26) makes of pages.
    const PAGES: &str = include_str!("testdata/pages.json");

    #[derive(Deserialize)]
    struct PageCase {
        page: String,
        /// Absent if reading fails.
        imports: Option<Vec<[String; 4]>>,
        /// For [`PATH`]: its tag, "none" or "multiple".
        selected: Option<String>,
    }

    const PATH: &str = "example.com/m/sub";

    #[test]
    fn c105_c107_pages_as_go_reads_them() {
        let path = ModulePath::parse(PATH).unwrap();
        let pages: Vec<PageCase> = serde_json::from_str(PAGES).unwrap();
        assert!(pages.len() > 200, "{}", pages.len());
        for PageCase {
            page,
            imports,
            selected,
        } in pages
        {
            // Bytes that are no UTF-8 are written as private characters.
            let bytes: Vec<u8> = page
                .chars()
                .flat_map(|c| match u32::from(c) {
                    n @ 0xE080..=0xE0FF => vec![(n - 0xE000) as u8],
                    _ => c.to_string().into_bytes(),
                })
                .collect();
            let found = go_imports(&bytes).ok();
            let fields: Option<Vec<_>> = found.as_ref().map(|found| {
                let fields =
                    |i: &GoImport| [&i.prefix, &i.vcs, &i.url, &i.subdir].map(String::clone);
                found.iter().map(fields).collect()
            });
            assert_eq!(fields, imports, "{page}");
            let Some(found) = found else {
                continue;
            };
            let said = match select(&found, &path) {
                Ok(import) => {
                    assert!(import.confirm(&found, &path).is_ok());
                    format!("{} {}", import.prefix, import.url)
                }
                Err(MetaError::Ambiguous) => "multiple".to_owned(),
                Err(_) => "none".to_owned(),
            };
            assert_eq!(Some(said), selected, "{page}");
        }
    }

    fn import(content: &str) -> GoImport {
        GoImport::parse(content).unwrap()
    }

    #[test]
    fn c105_the_page_at_the_prefix_decides() {
        let path = ModulePath::parse(PATH).unwrap();
        let claim = import("example.com/m git https://x.com/r");
        assert!(claim.needs_confirmation(&path));
        assert!(!import("example.com/m/sub git https://x.com/r").needs_confirmation(&path));
        let confirm = |page: &[&str]| {
            let tags: Vec<_> = page.iter().map(|content| import(content)).collect();
            claim.confirm(&tags, &path).is_ok()
        };
        assert!(confirm(&["example.com/m git https://x.com/r"]));
        assert!(confirm(&[
            "example.com/x git https://y.com/",
            "example.com/m git https://x.com/r"
        ]));
        for other in [
            "example.com/m git https://x.com/r/",
            "example.com/m hg https://x.com/r",
            "example.com/m git https://x.com/r sub",
            "example.com/ git https://x.com/r",
        ] {
            assert!(!confirm(&[other]), "{other}");
        }
        assert!(!confirm(&[]));
        let twice = "example.com/m git https://x.com/r";
        assert!(!confirm(&[twice, twice]));
    }

    #[test]
    fn c122_c123_roots() {
        let root = |content: &str| import(content).root(Allowed::default());
        let found = root("example.com/m git https://x.com/r a/b").unwrap();
        assert_eq!(
            (found.vcs, found.url.as_str(), found.subdir.as_str()),
            (Vcs::Git, "https://x.com/r", "a/b")
        );
        assert_eq!(
            root("example.com mod https://x.com/").unwrap().vcs,
            Vcs::Mod
        );
        assert!(matches!(
            root("example.com/m cvs https://x.com/r"),
            Err(MetaError::Vcs(_))
        ));
        assert!(matches!(
            root("example.com/m git file:///r"),
            Err(MetaError::Url(_))
        ));
        assert!(matches!(
            root("example.com/m mod http://x.com/r"),
            Err(MetaError::Url(_))
        ));
        let subdir = |subdir: &str| {
            let content = format!("example.com/m git https://x.com/r {subdir}");
            root(&content).map(|root| root.subdir).ok()
        };
        for (given, cleaned) in [
            ("", ""),
            (".", ""),
            ("a", "a"),
            ("a/", "a"),
            ("./a//b/.", "a/b"),
            ("a..b/-c", "a..b/-c"),
            ("é", "é"),
        ] {
            assert_eq!(subdir(given).as_deref(), Some(cleaned), "{given}");
        }
        for given in [
            "/a",
            "-a",
            "--exec=a",
            "./-a",
            "..",
            "a/../b",
            "../a",
            "a\\b",
            ".git/hooks",
            "a/.GIT",
            "HEAD:a",
            "a\u{1}b",
            &"a/".repeat(501),
        ] {
            assert_eq!(subdir(given), None, "{given}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(page in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = go_imports(&page);
        }

        #[test]
        fn odd_pages_never_panic(page in "(<|/|>|!|--|\\[CDATA\\[|\\]\\]>|[?]|xml|=|\"|'|&|#x?|;|meta|head|[ a-z0-9:]){0,20}") {
            let _ = go_imports(page.as_bytes());
        }
    }
}
