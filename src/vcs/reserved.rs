//! Repositories that private patterns name. Public modules never come from them, whatever a page or a redirect says:
//! that a host may be reached does not mean that everybody may have what is on it.

use percent_encoding::percent_decode_str;
use url::Url;

use super::url::RepoUrl;
use crate::gomod::{ModulePath, Patterns};

/// What clients of git ask for below a repository's address.
const BELOW: [&[&str]; 2] = [&["info", "refs"], &["git-upload-pack"]];
/// Folders that git hosts put in front of a repository's path, and that module paths may leave out.
const IN_FRONT: [&str; 2] = ["scm", "git"];
/// Escapes in escapes that are looked through.
const LAYERS: usize = 3;

/// Knows which repositories are reserved for private modules. Case does not count, since for many hosts it does not.
#[derive(Debug, Default)]
pub struct Reserved {
    patterns: Patterns,
    /// Beginnings of patterns for something inside a repository, by how many elements they have.
    beginnings: Vec<(usize, Patterns)>,
    /// Hosts of proxies that only private modules go to.
    proxies: Vec<String>,
}

impl Reserved {
    /// By the patterns of private modules, and the hosts of proxies that are for these alone.
    pub fn new(patterns: &str, proxies: Vec<String>) -> Self {
        let patterns = patterns.to_lowercase();
        let each = patterns.split(',').map(str::trim);
        let patterns = each.collect::<Vec<_>>().join(",");
        let each = patterns.split(',').map(|pattern| pattern.trim_matches('/'));
        let beginnings = each.flat_map(|pattern| {
            let elements: Vec<_> = pattern.split('/').collect();
            (2..elements.len()).filter_map(move |count| {
                let beginning = elements.get(..count)?;
                // One that names nothing by itself would reserve a whole host.
                let is_name = |element: &&str| !element.contains(['*', '?', '[']);
                let names = beginning.get(1..)?.iter().any(is_name);
                names.then(|| (count, Patterns::parse(&beginning.join("/"))))
            })
        });
        Reserved {
            beginnings: beginnings.collect(),
            patterns: Patterns::parse(&patterns),
            proxies,
        }
    }

    /// Whether a public module must not come from there. A module whose own path leads to the repository may, if only
    /// something inside of the repository is private.
    pub fn covers(&self, url: &RepoUrl, module: &ModulePath) -> bool {
        self.covers_place(url.host(), url.as_str(), Some(module))
    }

    /// Whether a redirect of a public module's page or repository must not lead there.
    pub fn covers_url(&self, url: &Url) -> bool {
        self.covers_place(url.host_str().unwrap_or_default(), url.as_str(), None)
    }

    fn covers_place(&self, host: &str, address: &str, module: Option<&ModulePath>) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if self.proxies.contains(&host) {
            return true;
        }
        let path = address.split_once("://").map_or("", |(_, rest)| rest);
        let path = path.split_once('/').map_or("", |(_, path)| path);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let elements = plain(path);
        let mut front = &elements[..];
        loop {
            if self.covers_path(&host, front, module) {
                return true;
            }
            match front {
                [first, rest @ ..] if IN_FRONT.contains(&first.as_str()) => front = rest,
                _ => return false,
            }
        }
    }

    fn covers_path(&self, host: &str, elements: &[String], module: Option<&ModulePath>) -> bool {
        let whole = std::iter::once(host)
            .chain(elements.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("/");
        let bare = whole.strip_suffix(".git").unwrap_or(&whole);
        let with_suffix = format!("{bare}.git");
        let own = module.is_some_and(|module| {
            let module = module.as_str().to_ascii_lowercase();
            [bare, &with_suffix].iter().any(|path| {
                let rest = module.strip_prefix(*path);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        });
        [bare, &with_suffix].into_iter().any(|path| {
            let inside = || {
                let mut beginnings = self.beginnings.iter();
                beginnings.any(|(count, beginning)| {
                    *count == elements.len() + 1 && beginning.matches(path)
                })
            };
            self.patterns.matches(path) || (!own && inside())
        })
    }
}

/// The elements of a path as the servers on the way may come to read it, in lower case.
fn plain(path: &str) -> Vec<String> {
    let mut path = path.to_owned();
    for _ in 0..LAYERS {
        let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let mut elements: Vec<String> = Vec::new();
    for element in path.split(['/', '\\']) {
        // Some servers take what follows for parameters.
        let element = element.split(';').next().unwrap_or_default();
        match element {
            "" | "." => {}
            ".." => drop(elements.pop()),
            element => elements.push(element.to_lowercase()),
        }
    }
    for below in BELOW {
        if elements.ends_with(&below.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()) {
            elements.truncate(elements.len() - below.len());
        }
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::super::url::Allowed;
    use super::*;

    fn covers(reserved: &Reserved, url: &str, module: &str) -> bool {
        let allowed = Allowed {
            ssh: true,
            insecure: true,
        };
        let url = RepoUrl::parse(url, allowed).unwrap();
        reserved.covers(&url, &ModulePath::parse(module).unwrap())
    }

    #[test]
    fn however_the_address_is_spelt() {
        let reserved = Reserved::new("git.corp.test/Team/secret, *.in.test", Vec::new());
        for url in [
            "https://git.corp.test/team/secret",
            "https://git.corp.test/team/secret.git",
            "https://git.corp.test/team/secret/",
            "https://git.corp.test./team/secret",
            "https://GIT.corp.test:8443/TEAM/Secret.GIT",
            "https://me@git.corp.test/team/secret",
            "https://git.corp.test//team//secret",
            "https://git.corp.test/./team/x/../secret.git",
            "https://git.corp.test/te%61m/secret",
            "https://git.corp.test/te%2561m/secret",
            "https://git.corp.test/team%2fsecret",
            "https://git.corp.test/team;x=1/secret;y",
            "https://git.corp.test/team/secret/inner",
            "https://git.corp.test/scm/team/secret.git",
            "http://git.corp.test/team/secret",
            "ssh://git@git.corp.test:7999/team/secret.git",
            "git+ssh://git.corp.test/team/secret",
            "https://a.in.test/",
            "https://a.b.in.test/x",
        ] {
            assert!(covers(&reserved, url, "evil.test/x"), "{url}");
        }
        for url in [
            "https://git.corp.test/team/open",
            "https://git.corp.test/team",
            "https://git.corp.test.evil.test/team/secret",
            "https://evil.test/git.corp.test/team/secret",
            "https://in.test/x",
        ] {
            let open = Reserved::new("git.corp.test/*/secret,*.in.test", Vec::new());
            assert!(!covers(&open, url, "evil.test/x"), "{url}");
        }
    }

    #[test]
    fn what_is_inside_a_repository_reserves_it_for_its_own_path() {
        let reserved = Reserved::new(
            "github.com/corp/mono/private,github.com/*/*/internal",
            Vec::new(),
        );
        let mono = "https://github.com/corp/mono.git";
        assert!(covers(&reserved, mono, "evil.test/x"));
        assert!(!covers(&reserved, mono, "github.com/corp/mono"));
        assert!(!covers(&reserved, mono, "github.com/corp/mono/open"));
        assert!(!covers(&reserved, "https://github.com/a/b", "go.a.test/b"));
    }

    #[test]
    fn redirects_and_proxies() {
        let reserved = Reserved::new("git.corp.test/team", vec!["proxy.corp.test".into()]);
        let covers = |url: &str| reserved.covers_url(&Url::parse(url).unwrap());
        assert!(covers(
            "https://git.corp.test/team/x.git/info/refs?service=git-upload-pack"
        ));
        assert!(covers("https://git.corp.test/team.git/git-upload-pack"));
        assert!(covers("https://proxy.corp.test:8443/x/@v/list"));
        assert!(!covers("https://git.corp.test/other/x/@v/list"));
        assert!(!Reserved::default().covers_url(&Url::parse("https://a.test/x").unwrap()));
    }
}
