//! What a module path alone says about its repository (protocol.md 6.1.1 and 6.1.2, checklist 108
//! and 109; cmd/go/internal/vcs `vcsPaths`).

use std::fmt;
use std::str::FromStr;

use super::url::{Allowed, RepoUrl, Scheme, UrlError};
use crate::gomod::ModulePath;

/// The kinds of repositories that the `go` command knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vcs {
    Git,
    /// Mercurial.
    Hg,
    /// Subversion.
    Svn,
    Fossil,
    /// Bazaar.
    Bzr,
    /// Not a repository: another GOPROXY server.
    Mod,
}

impl Vcs {
    const ALL: [Self; 6] = [
        Self::Git,
        Self::Hg,
        Self::Svn,
        Self::Fossil,
        Self::Bzr,
        Self::Mod,
    ];

    /// The name as it stands in a go-import tag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Hg => "hg",
            Self::Svn => "svn",
            Self::Fossil => "fossil",
            Self::Bzr => "bzr",
            Self::Mod => "mod",
        }
    }
}

impl fmt::Display for Vcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that no [`Vcs`] has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the version control system {0:?} is unknown")]
pub struct UnknownVcs(pub String);

impl FromStr for Vcs {
    type Err = UnknownVcs;
    fn from_str(s: &str) -> Result<Self, UnknownVcs> {
        Self::ALL
            .into_iter()
            .find(|vcs| vcs.as_str() == s)
            .ok_or_else(|| UnknownVcs(s.to_owned()))
    }
}

/// Where a module comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The path that stands for `subdir` of the repository; the module's path or a prefix of it
    /// that ends at a slash.
    pub prefix: String,
    /// What kind of repository it is.
    pub vcs: Vcs,
    /// Where it is.
    pub url: RepoUrl,
    /// The folder of the repository that `prefix` stands for; empty for all of it.
    pub subdir: String,
}

/// A repository whose path names its kind but not how to reach it: `host/path.git/folder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suffixed {
    /// The path of the repository, its suffix included.
    pub prefix: String,
    /// What the suffix says.
    pub vcs: Vcs,
}

impl Suffixed {
    /// The root, once it is known how to reach it. The suffix is not part of the address.
    pub fn by(&self, scheme: Scheme) -> Result<Root, UrlError> {
        let suffix = self.vcs.as_str().len() + 1;
        let repo = &self.prefix[..self.prefix.len().saturating_sub(suffix)];
        Ok(Root {
            prefix: self.prefix.clone(),
            vcs: self.vcs,
            url: RepoUrl::parse(&format!("{scheme}://{repo}"), ANY)?,
            subdir: String::new(),
        })
    }
}

/// For addresses whose scheme is the caller's choice.
const ANY: Allowed = Allowed {
    ssh: true,
    insecure: true,
};

/// What a path says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Static {
    /// All there is to know.
    Repository(Root),
    /// All but the scheme, which is found by trying.
    Suffixed(Suffixed),
    /// Nothing: the page at the path must be asked.
    NeedsMeta,
    /// That there is no such module, so nobody need be asked.
    Impossible(NoSuchPath),
}

/// Why a path cannot be that of a module on its host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchPath {
    /// The path does not have the form that its host gives to repositories.
    #[error("a path on {host} must have the form {form}")]
    Form {
        /// The host, with the folder where the form holds for one only.
        host: &'static str,
        /// The form, for people.
        form: &'static str,
    },
    /// cmd/go/internal/vcs `noVCSSuffix`.
    #[error("a repository on {host} is named without the suffix .{vcs}")]
    Suffix {
        host: &'static str,
        /// What the suffix says.
        vcs: Vcs,
    },
    /// Cannot be, as path elements have less characters than addresses.
    #[error(transparent)]
    Url(#[from] UrlError),
}

/// A host that keeps repositories at paths of a known form.
struct Site {
    prefix: &'static str,
    form: &'static str,
    vcs: Vcs,
    /// What the elements behind the prefix must be, those up to the repository.
    elements: &'static [fn(&str) -> bool],
    /// Whether modules may lie in folders of the repository.
    has_folders: bool,
    /// Whether a name that ends like a kind of repository is a mistake.
    no_suffix: bool,
}

const SITES: &[Site] = &[
    Site {
        prefix: "github.com",
        form: "github.com/user/repository",
        vcs: Vcs::Git,
        elements: &[is_element, is_element],
        has_folders: true,
        no_suffix: true,
    },
    Site {
        prefix: "bitbucket.org",
        form: "bitbucket.org/user/repository",
        vcs: Vcs::Git,
        elements: &[is_element, is_element],
        has_folders: true,
        no_suffix: true,
    },
    Site {
        prefix: "hub.jazz.net/git",
        form: "hub.jazz.net/git/user/repository",
        vcs: Vcs::Git,
        elements: &[is_small, is_element],
        has_folders: true,
        no_suffix: true,
    },
    Site {
        prefix: "git.apache.org",
        form: "git.apache.org/repository.git",
        vcs: Vcs::Git,
        elements: &[is_apache],
        has_folders: true,
        no_suffix: false,
    },
    Site {
        prefix: "git.openstack.org",
        form: "git.openstack.org/user/repository",
        vcs: Vcs::Git,
        elements: &[is_element, is_element],
        has_folders: true,
        no_suffix: false,
    },
    Site {
        prefix: "chiselapp.com",
        form: "chiselapp.com/user/name/repository/repository",
        vcs: Vcs::Fossil,
        elements: &[
            |element| element == "user",
            is_alphanumeric,
            |element| element == "repository",
            is_element,
        ],
        has_folders: false,
        no_suffix: false,
    },
];

/// What the suffixes of repositories can say. Bazaar went with Go 1.27.
const SUFFIXES: [Vcs; 4] = [Vcs::Git, Vcs::Hg, Vcs::Svn, Vcs::Fossil];

/// What the path says about its repository, in the order in which the `go` command looks.
pub fn static_root(path: &ModulePath) -> Static {
    let path = path.as_str();
    for site in SITES {
        if let Some(rest) = below(path, site.prefix) {
            return match site.root(path, rest) {
                Ok(root) => Static::Repository(root),
                Err(reason) => Static::Impossible(reason),
            };
        }
    }
    suffixed(path).map_or(Static::NeedsMeta, Static::Suffixed)
}

impl Site {
    fn root(&self, path: &str, rest: &str) -> Result<Root, NoSuchPath> {
        let mut elements = rest.split('/').filter(|_| !rest.is_empty());
        let mut len = self.prefix.len();
        for fits in self.elements {
            let element = elements.next().filter(|element| fits(element));
            len += 1 + element.ok_or_else(|| self.malformed())?.len();
        }
        for element in elements {
            if !self.has_folders || !is_element(element) {
                return Err(self.malformed());
            }
        }
        let prefix = &path[..len];
        if self.no_suffix
            && let Some(vcs) = SUFFIXES.into_iter().find(|vcs| has_suffix(prefix, *vcs))
        {
            let host = self.prefix;
            return Err(NoSuchPath::Suffix { host, vcs });
        }
        Ok(Root {
            prefix: prefix.to_owned(),
            vcs: self.vcs,
            url: RepoUrl::parse(&format!("https://{prefix}"), Allowed::default())?,
            subdir: String::new(),
        })
    }

    fn malformed(&self) -> NoSuchPath {
        NoSuchPath::Form {
            host: self.prefix,
            form: self.form,
        }
    }
}

/// The general form, for any host: the last element that ends like a kind of repository. Go's
/// expression is not tied to the beginning of the path; where that matters it finds a root that is
/// no prefix of the path, and fails.
fn suffixed(path: &str) -> Option<Suffixed> {
    let (_, rest) = path.split_once('/')?;
    let plain = |element: &str| is_element(element.strip_prefix('~').unwrap_or(element));
    if !rest.split('/').all(plain) {
        return None;
    }
    let mut len = path.len();
    for element in rest.rsplit('/') {
        let name = element.strip_prefix('~').unwrap_or(element);
        if let Some(vcs) = SUFFIXES.into_iter().find(|vcs| has_suffix(name, *vcs)) {
            return Some(Suffixed {
                prefix: path[..len].to_owned(),
                vcs,
            });
        }
        len -= element.len() + 1;
    }
    None
}

/// What follows a prefix of whole elements.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    match path.strip_prefix(prefix)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

fn has_suffix(name: &str, vcs: Vcs) -> bool {
    name.strip_suffix(vcs.as_str())
        .and_then(|name| name.strip_suffix('.'))
        .is_some_and(|name| !name.is_empty())
}

/// `[\w.\-]+`
fn is_element(s: &str) -> bool {
    !s.is_empty()
        && s.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// `[a-z0-9]+`
fn is_small(s: &str) -> bool {
    is_alphanumeric(s) && !s.bytes().any(|b| b.is_ascii_uppercase())
}

/// `[A-Za-z0-9]+`
fn is_alphanumeric(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// `[a-z0-9_.\-]+\.git`
fn is_apache(s: &str) -> bool {
    is_element(s) && has_suffix(s, Vcs::Git) && !s.bytes().any(|b| b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn say(path: &str) -> String {
        let path = ModulePath::parse(path).unwrap();
        match static_root(&path) {
            Static::Repository(root) => {
                assert!(root.subdir.is_empty());
                format!("{} {} {}", root.prefix, root.vcs, root.url)
            }
            Static::Suffixed(found) => {
                let root = found.by(Scheme::Https).unwrap();
                format!("? {} {} {}", root.prefix, root.vcs, root.url)
            }
            Static::NeedsMeta => "meta".to_owned(),
            Static::Impossible(_) => "no".to_owned(),
        }
    }

    /// What Go's expressions say (of 1.26, `.bzr` left out), but for the address of the general
    /// form.
    const STATIC: &str = include_str!("testdata/static.txt");

    #[test]
    fn c108_c109_as_go_says() {
        let mut cases = 0;
        for line in STATIC.lines().filter(|line| !line.starts_with('#')) {
            let (path, expected) = line.split_once(": ").unwrap();
            assert_eq!(say(path), expected, "{path}");
            cases += 1;
        }
        assert!(cases > 80, "{cases}");
    }

    #[test]
    fn c108_reasons() {
        let reason = |path: &str| match static_root(&ModulePath::parse(path).unwrap()) {
            Static::Impossible(reason) => reason.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            reason("github.com/x"),
            "a path on github.com must have the form github.com/user/repository"
        );
        assert_eq!(
            reason("github.com/a/b.git/c"),
            "a repository on github.com is named without the suffix .git"
        );
    }

    #[test]
    fn c109_schemes_of_the_general_form() {
        let path = ModulePath::parse("git.example.com/~a/r.git/sub/v2").unwrap();
        let Static::Suffixed(found) = static_root(&path) else {
            panic!();
        };
        let root = found.by(Scheme::GitSsh).unwrap();
        assert_eq!(root.url.as_str(), "git+ssh://git.example.com/~a/r");
        assert_eq!(root.prefix, "git.example.com/~a/r.git");
    }

    #[test]
    fn names_of_kinds() {
        for vcs in Vcs::ALL {
            assert_eq!(vcs.to_string().parse(), Ok(vcs));
        }
        assert_eq!("Git".parse::<Vcs>(), Err(UnknownVcs("Git".to_owned())));
    }

    proptest! {
        #[test]
        fn a_root_is_a_prefix_of_whole_elements(
            path in "(github[.]com|bitbucket[.]org|git[.]apache[.]org|chiselapp[.]com/user|x[.]y)(/[a-zA-Z~.-]{1,4}([.](git|hg|svn|fossil))?){0,4}",
        ) {
            if let Ok(path) = ModulePath::parse(&path) {
                let prefix = match static_root(&path) {
                    Static::Repository(root) => root.prefix,
                    Static::Suffixed(found) => {
                        prop_assert!(found.by(Scheme::Ssh).is_ok());
                        found.prefix
                    }
                    _ => return Ok(()),
                };
                prop_assert!(below(path.as_str(), &prefix).is_some());
            }
        }
    }
}
