//! From a module path to its repository, asking the world where the path alone does not say (protocol.md 6.1).

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache;
use thiserror::Error;
use tokio::sync::Semaphore;

use super::meta::{GoImport, MetaError, go_imports, select};
use super::root::{Root, Static, Vcs, static_root};
use super::url::{Allowed, RepoUrl, Scheme};
use crate::clock::{SharedClock, Timestamp};
use crate::gomod::ModulePath;

/// Paths whose repository is remembered, at the most.
const REMEMBERED: usize = 4096;
/// Pages above a path that are looked at, at the most.
const ABOVE: usize = 3;
/// Paths that are being found at once.
const PLACES: usize = 1024;

/// An answer to `?go-get=1`, whatever its status.
#[derive(Clone, Debug)]
pub struct MetaPage {
    pub status: u16,
    /// The body, as much of it as is worth reading: tags stand in its head.
    pub body: Bytes,
}

/// Why there is no page.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PageError {
    /// There is no such host.
    #[error("there is no host of that name")]
    NoHost,
    /// It did not answer in time.
    #[error("it did not answer in time")]
    Timeout,
    /// It must not be asked: an address inside, where the rules do not allow it, or a redirect to http.
    #[error("{0}")]
    Forbidden(String),
    /// Anything else.
    #[error("{0}")]
    Fault(String),
}

/// What resolving asks over the network.
#[async_trait]
pub trait RemoteLookups: Send + Sync {
    /// Gets a page over https, redirects followed to https only.
    async fn page(&self, url: &str) -> Result<MetaPage, PageError>;
    /// Whether a repository answers at an address.
    async fn answers(&self, url: &RepoUrl) -> bool;
}

/// Why a module's repository is not known.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ResolveError {
    /// There is none.
    #[error("{0}")]
    None(String),
    /// There is one, but it is not to be used by the rules in force; the text names the setting.
    #[error("{0}")]
    Barred(String),
    /// Its page wants a login, or is not for us.
    #[error("{0}")]
    Closed(String),
    /// A page answers, and names no repository at all: it may be that of a sign-in or of maintenance.
    #[error("{text}")]
    Untagged {
        /// What was asked, and what came.
        text: String,
        /// Whether that cannot be the truth: there was a repository a while ago, or the operator says that there are some.
        known: bool,
    },
    /// Whoever knows did not answer in time.
    #[error("{0}")]
    Timeout(String),
    /// Whoever knows is at fault.
    #[error("{0}")]
    Fault(String),
}

/// Resolves module paths, and remembers for a while.
pub struct Resolver {
    lookups: Arc<dyn RemoteLookups>,
    clock: SharedClock,
    ttl: Duration,
    /// Whether the modules are ones that the operator has named as theirs.
    named: bool,
    known: Cache<(ModulePath, Allowed), (Timestamp, Root)>,
    /// One place for each few paths: what several ask for at once is found once.
    finding: [Semaphore; PLACES],
    hasher: RandomState,
}

impl Resolver {
    /// What is found holds for `ttl`. Of modules that the operator has `named`, a page that says nothing of them is no
    /// proof that they do not exist.
    pub fn new(
        lookups: Arc<dyn RemoteLookups>,
        clock: SharedClock,
        ttl: Duration,
        named: bool,
    ) -> Self {
        Resolver {
            lookups,
            clock,
            ttl,
            named,
            known: Cache::new(REMEMBERED),
            finding: std::array::from_fn(|_| Semaphore::new(1)),
            hasher: RandomState::new(),
        }
    }

    /// The repository of a module. Only git and other module proxies are of use here.
    pub async fn resolve(&self, path: &ModulePath, allowed: Allowed) -> Result<Root, ResolveError> {
        match static_root(path) {
            // These need nobody, and wait for nobody.
            Static::Repository(root) => return usable(path, root),
            Static::Impossible(why) => return Err(ResolveError::None(why.to_string())),
            Static::Suffixed(_) | Static::NeedsMeta => {}
        }
        let key = (path.clone(), allowed);
        let known = || {
            let (until, root) = self.known.get(&key)?;
            (self.clock.now() < until).then_some(root)
        };
        if let Some(root) = known() {
            return Ok(root);
        }
        let place = self.hasher.hash_one(&key) as usize % PLACES;
        let _alone = self.finding[place].acquire().await.ok();
        if let Some(root) = known() {
            return Ok(root);
        }
        let found = self.find(path, allowed).await;
        let (root, certain) = match found {
            Err(ResolveError::Untagged { text, .. }) => {
                return Err(self.untagged(path, allowed, text).await);
            }
            found => found?,
        };
        let root = usable(path, root)?;
        if !certain {
            return Ok(root);
        }
        let ttl = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        let until = Timestamp(self.clock.now().0.saturating_add(ttl));
        self.known.insert(key, (until, root.clone()));
        Ok(root)
    }

    /// What a page without a tag means. Where a page above it names a repository, its host is in order.
    async fn untagged(&self, path: &ModulePath, allowed: Allowed, text: String) -> ResolveError {
        if self.known.peek(&(path.clone(), allowed)).is_some() {
            return ResolveError::Untagged { text, known: true };
        }
        if !self.named {
            return ResolveError::Untagged { text, known: false };
        }
        let mut above = path.as_str();
        for _ in 0..ABOVE {
            let Some((shorter, _)) = above.rsplit_once('/') else {
                break;
            };
            above = shorter;
            let imports = self.imports(above, allowed).await;
            if imports.is_ok_and(|imports| !imports.list.is_empty()) {
                return ResolveError::None(text);
            }
        }
        ResolveError::Untagged { text, known: true }
    }

    /// The repository, and whether that is certain rather than the best guess.
    async fn find(
        &self,
        path: &ModulePath,
        allowed: Allowed,
    ) -> Result<(Root, bool), ResolveError> {
        match static_root(path) {
            Static::Repository(root) => Ok((root, true)),
            Static::Impossible(why) => Err(ResolveError::None(why.to_string())),
            Static::Suffixed(suffixed) if suffixed.vcs != Vcs::Git => {
                Err(ResolveError::Barred(unsupported(path, suffixed.vcs)))
            }
            Static::Suffixed(suffixed) => {
                let refused = |error: super::url::UrlError| ResolveError::Barred(error.to_string());
                for scheme in allowed.schemes() {
                    let Ok(root) = suffixed.by(scheme) else {
                        continue;
                    };
                    if self.lookups.answers(&root.url).await {
                        return Ok((root, true));
                    }
                }
                // What is wrong with it is said by whoever fetches from it.
                let guess = suffixed.by(Scheme::Https).map_err(refused)?;
                Ok((guess, false))
            }
            Static::NeedsMeta => Ok((self.by_page(path, allowed).await?, true)),
        }
    }

    async fn by_page(&self, path: &ModulePath, allowed: Allowed) -> Result<Root, ResolveError> {
        let imports = self.imports(path.as_str(), allowed).await?;
        let import = select(&imports.list, path).map_err(|error| imports.blame(path, &error))?;
        if import.needs_confirmation(path) {
            let at_prefix = self.imports(&import.prefix, allowed).await?;
            import
                .confirm(&at_prefix.list, path)
                .map_err(|error| at_prefix.blame(path, &error))?;
        }
        import.root(allowed).map_err(|error| match error {
            // What it names is not repeated: it may be a trap, or have a password in it.
            MetaError::Url(error) => ResolveError::Barred(format!(
                "{path}: the repository that its page names may not be used: {error}"
            )),
            other => ResolveError::None(format!("{path}: {other}")),
        })
    }

    /// The tags of a path's page.
    async fn imports(&self, path: &str, allowed: Allowed) -> Result<Imports, ResolveError> {
        let slash = if path.contains('/') { "" } else { "/" };
        let url = format!("https://{path}{slash}?go-get=1");
        let mut page = self.lookups.page(&url).await;
        if allowed.insecure && matches!(page, Err(PageError::Fault(_) | PageError::Timeout)) {
            let plain = url.replacen("https", "http", 1);
            page = self.lookups.page(&plain).await;
        }
        let page = page.map_err(|error| {
            let text = format!("{url}: {error}");
            match error {
                PageError::NoHost => ResolveError::None(text),
                PageError::Timeout => ResolveError::Timeout(text),
                PageError::Forbidden(_) => ResolveError::Barred(text),
                PageError::Fault(_) => ResolveError::Fault(text),
            }
        })?;
        // A page that cannot be read has no tags.
        let list = go_imports(&page.body).unwrap_or_default();
        Ok(Imports {
            url,
            status: page.status,
            list,
        })
    }
}

/// What a page says.
struct Imports {
    url: String,
    status: u16,
    list: Vec<GoImport>,
}

impl Imports {
    /// Whose fault it is that the page does not help: of one that is an error itself, its server's.
    fn blame(&self, path: &ModulePath, error: &MetaError) -> ResolveError {
        let text = format!("{path}: {} ({}): {error}", self.url, self.status);
        match self.status {
            200..=399 if self.list.is_empty() => ResolveError::Untagged { text, known: false },
            200..=399 | 404 | 410 => ResolveError::None(text),
            401 | 403 | 407 => ResolveError::Closed(text),
            _ => ResolveError::Fault(text),
        }
    }
}

/// Git repositories and module proxies can be used; here would others be added.
fn usable(path: &ModulePath, root: Root) -> Result<Root, ResolveError> {
    match root.vcs {
        Vcs::Git | Vcs::Mod => Ok(root),
        other => Err(ResolveError::Barred(unsupported(path, other))),
    }
}

fn unsupported(path: &ModulePath, vcs: Vcs) -> String {
    format!(
        "{path}: its repository is one of {vcs}, which larder does not fetch from; only git is supported"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use parking_lot::Mutex;
    use std::collections::HashMap;

    /// Pages by URL, repositories that answer, and what was asked.
    #[derive(Default)]
    struct FakeLookups {
        pages: HashMap<String, Result<MetaPage, PageError>>,
        answering: Vec<String>,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl RemoteLookups for FakeLookups {
        async fn page(&self, url: &str) -> Result<MetaPage, PageError> {
            self.asked.lock().push(url.to_owned());
            self.pages
                .get(url)
                .cloned()
                .unwrap_or(Err(PageError::NoHost))
        }
        async fn answers(&self, url: &RepoUrl) -> bool {
            self.asked.lock().push(url.as_str().to_owned());
            self.answering.iter().any(|it| it == url.as_str())
        }
    }

    impl FakeLookups {
        fn page(mut self, path: &str, status: u16, content: &str) -> Self {
            let tag = match content {
                "" => String::new(),
                content => format!("<meta name=\"go-import\" content=\"{content}\">"),
            };
            let body = format!("<html><head>{tag}</head></html>").into();
            let slash = if path.contains('/') { "" } else { "/" };
            let url = format!("https://{path}{slash}?go-get=1");
            self.pages.insert(url, Ok(MetaPage { status, body }));
            self
        }

        fn fails(mut self, path: &str, error: PageError) -> Self {
            self.pages
                .insert(format!("https://{path}?go-get=1"), Err(error));
            self
        }
    }

    fn resolver(world: FakeLookups) -> (Arc<FakeLookups>, Resolver) {
        let world = Arc::new(world);
        let lookups = Arc::clone(&world);
        let ttl = Duration::from_secs(60);
        (
            world,
            Resolver::new(lookups, Arc::new(SystemClock), ttl, false),
        )
    }

    async fn ask(
        resolver: &Resolver,
        path: &str,
    ) -> Result<(String, String, String), ResolveError> {
        let path = ModulePath::parse(path).unwrap();
        let root = resolver.resolve(&path, Allowed::default()).await?;
        Ok((root.prefix, root.url.as_str().to_owned(), root.subdir))
    }

    fn is(prefix: &str, url: &str, subdir: &str) -> Result<(String, String, String), ResolveError> {
        Ok((prefix.to_owned(), url.to_owned(), subdir.to_owned()))
    }

    #[tokio::test]
    async fn c108_some_paths_need_nobody() {
        let (world, resolver) = resolver(FakeLookups::default());
        let found = ask(&resolver, "github.com/a/b/sub/v2").await;
        assert_eq!(found, is("github.com/a/b", "https://github.com/a/b", ""));
        for impossible in ["github.com/x", "github.com/a/b.git"] {
            let error = ask(&resolver, impossible).await.unwrap_err();
            assert!(matches!(error, ResolveError::None(_)), "{error:?}");
        }
        assert!(world.asked.lock().is_empty());
    }

    #[tokio::test]
    async fn c109_a_suffix_names_the_kind_and_the_scheme_is_tried() {
        let (world, first) = resolver(FakeLookups {
            answering: vec!["https://host.example/repo".into()],
            ..FakeLookups::default()
        });
        let found = ask(&first, "host.example/repo.git/sub").await;
        assert_eq!(
            found,
            is("host.example/repo.git", "https://host.example/repo", "")
        );
        assert_eq!(*world.asked.lock(), ["https://host.example/repo"]);
        // Remembered.
        ask(&first, "host.example/repo.git/sub").await.unwrap();
        assert_eq!(world.asked.lock().len(), 1);
        // Without an answer https is what is said to be at fault; nothing weaker is tried.
        let (world, second) = resolver(FakeLookups::default());
        ask(&second, "host.example/repo.git").await.unwrap();
        assert_eq!(*world.asked.lock(), ["https://host.example/repo"]);
    }

    #[tokio::test]
    async fn c105_c106_a_shorter_prefix_is_confirmed_and_the_status_does_not_matter() {
        let content = "e.com/r git https://git.e.com/r.git";
        let world = FakeLookups::default()
            .page("e.com/r/sub", 404, content)
            .page("e.com/r", 200, content);
        let (world, found) = resolver(world);
        assert_eq!(
            ask(&found, "e.com/r/sub").await,
            is("e.com/r", "https://git.e.com/r.git", "")
        );
        assert_eq!(world.asked.lock().len(), 2);
        let world = FakeLookups::default()
            .page("e.com/r/sub", 200, content)
            .page("e.com/r", 200, "e.com/r git https://evil.e.com/r.git");
        let error = ask(&resolver(world).1, "e.com/r/sub").await.unwrap_err();
        assert!(
            matches!(&error, ResolveError::None(text) if text.contains("disagree")),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn c107_other_proxies_and_folders() {
        let world = FakeLookups::default()
            .page("e.com/m", 200, "e.com/m mod https://proxy.e.com/x")
            .page("e.com/s", 200, "e.com/s git https://git.e.com/all deep/er");
        let (_, found) = resolver(world);
        assert_eq!(
            ask(&found, "e.com/m").await,
            is("e.com/m", "https://proxy.e.com/x", "")
        );
        assert_eq!(
            ask(&found, "e.com/s").await,
            is("e.com/s", "https://git.e.com/all", "deep/er")
        );
    }

    #[tokio::test]
    async fn c123_addresses_that_may_not_be_used() {
        for url in [
            "http://e.com/r",
            "ssh://git@e.com/r",
            "file:///etc",
            "ext::sh",
            "git://e.com/r",
            "e.com:r",
            "--upload-pack=x",
        ] {
            let world = FakeLookups::default().page("e.com/r", 200, &format!("e.com/r git {url}"));
            let error = ask(&resolver(world).1, "e.com/r").await.unwrap_err();
            assert!(matches!(error, ResolveError::Barred(_)), "{url}: {error:?}");
        }
        let world = FakeLookups::default().page("e.com/h", 200, "e.com/h hg https://hg.e.com/h");
        let error = ask(&resolver(world).1, "e.com/h").await.unwrap_err();
        assert!(
            matches!(&error, ResolveError::Barred(text) if text.contains("hg")),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn whose_fault_it_is() {
        let world = FakeLookups::default()
            .page("e.com/none", 200, "")
            .page("e.com/gone", 410, "")
            .page("e.com/closed", 401, "")
            .page("e.com/broken", 503, "")
            .fails("e.com/slow", PageError::Timeout)
            .fails("e.com/tls", PageError::Fault("TLS failed".into()))
            .fails(
                "e.com/inside",
                PageError::Forbidden("it is an address inside".into()),
            );
        let (_, resolver) = resolver(world);
        for (path, kind) in [
            ("e.com/none", "Untagged"),
            ("e.com/gone", "None"),
            ("nowhere.example/x", "None"),
            ("e.com/closed", "Closed"),
            ("e.com/inside", "Barred"),
            ("e.com/broken", "Fault"),
            ("e.com/tls", "Fault"),
            ("e.com/slow", "Timeout"),
        ] {
            let error = format!("{:?}", ask(&resolver, path).await.unwrap_err());
            assert!(error.starts_with(kind), "{path}: {error}");
            assert!(error.contains(path), "{error}");
        }
    }

    #[tokio::test]
    async fn a_page_without_a_tag_proves_nothing_where_there_should_be_one() {
        let content = "e.com/r git https://git.e.com/r.git";
        let known = |error: ResolveError| match error {
            ResolveError::Untagged { known, .. } => Some(known),
            ResolveError::None(_) => None,
            error => panic!("{error:?}"),
        };
        let pages = || {
            FakeLookups::default()
                .page("e.com/r", 200, content)
                .page("e.com/r/p", 200, "")
                .page("e.com/x/y", 200, "")
                .page("e.com/x", 200, "")
        };
        let (_, strangers) = resolver(pages());
        for path in ["e.com/r/p", "e.com/x/y"] {
            let error = ask(&strangers, path).await.unwrap_err();
            assert_eq!(known(error), Some(false), "{path}");
        }
        let world = Arc::new(pages());
        let ttl = Duration::from_secs(60);
        let named = Resolver::new(world, Arc::new(SystemClock), ttl, true);
        // The host is in order: it names what is above.
        assert_eq!(known(ask(&named, "e.com/r/p").await.unwrap_err()), None);
        let error = ask(&named, "e.com/x/y").await.unwrap_err();
        assert_eq!(known(error), Some(true));
    }

    #[tokio::test]
    async fn a_page_that_has_lost_its_tag_is_not_believed() {
        let world =
            FakeLookups::default().page("e.com/r", 200, "e.com/r git https://git.e.com/r.git");
        let (world, resolver) = {
            let world = Arc::new(Changing(Mutex::new(world)));
            let lookups = Arc::clone(&world);
            let ttl = Duration::ZERO;
            (
                world,
                Resolver::new(lookups, Arc::new(SystemClock), ttl, false),
            )
        };
        ask(&resolver, "e.com/r").await.unwrap();
        *world.0.lock() = FakeLookups::default().page("e.com/r", 200, "");
        let error = ask(&resolver, "e.com/r").await.unwrap_err();
        assert!(
            matches!(error, ResolveError::Untagged { known: true, .. }),
            "{error:?}"
        );
    }

    /// A world that becomes another.
    struct Changing(Mutex<FakeLookups>);

    #[async_trait]
    impl RemoteLookups for Changing {
        async fn page(&self, url: &str) -> Result<MetaPage, PageError> {
            let page = self.0.lock().pages.get(url).cloned();
            page.unwrap_or(Err(PageError::NoHost))
        }
        async fn answers(&self, _url: &RepoUrl) -> bool {
            false
        }
    }
}
