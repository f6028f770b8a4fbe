//! A repository for tests, described in a few lines.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use super::super::*;
use crate::vcs::{Allowed, RefLimits, RepoUrl, Root, Vcs};

/// A repository in memory.
#[derive(Default)]
pub(super) struct Fake {
    commits: BTreeMap<String, Entry>,
    refs: Arc<RefTable>,
}

#[derive(Clone)]
struct Entry {
    info: CommitInfo,
    parents: Vec<String>,
    files: BTreeMap<String, String>,
}

/// The whole hash of the commit of this name, which is hex digits.
pub(super) fn hash(name: &str) -> String {
    format!("{name:0<40}")
}

/// The time of the nth commit, from 0, as in a pseudo-version.
pub(super) fn time(n: usize) -> String {
    CommitTime::from_unix(1_709_269_200 + 60 * i64::try_from(n).unwrap())
        .unwrap()
        .digits()
}

impl Fake {
    /// One line for each commit: `NAME < PARENT PARENT | tags … | heads … | FILE=TEXT | -FILE`, where
    /// `;` in the text ends a line. Files are those of the first parent and the changes. `HEAD` is
    /// the head `main`. A line `# … ` is a comment.
    pub(super) fn new(description: &str) -> Self {
        let mut fake = Self::default();
        let mut refs = String::new();
        let lines = description.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut pieces = line.split('|').map(str::trim);
            let (name, parents) = pieces
                .next()
                .map(|first| first.split_once('<').unwrap_or((first, "")))
                .unwrap();
            let (name, parents) = (name.trim(), parents.split_whitespace().map(hash));
            let parents: Vec<_> = parents.collect();
            let id = hash(name);
            let first = parents.first().map(|parent| &fake.commits[parent]);
            let mut files = first.map_or_else(BTreeMap::new, |first| first.files.clone());
            for piece in pieces {
                if let Some(names) = piece.strip_prefix("tags ") {
                    for tag in names.split_whitespace() {
                        refs += &format!("{id}\trefs/tags/{tag}\n");
                    }
                } else if let Some(names) = piece.strip_prefix("heads ") {
                    for head in names.split_whitespace() {
                        refs += &format!("{id}\trefs/heads/{head}\n");
                        if head == "main" {
                            refs += &format!("{id}\tHEAD\n");
                        }
                    }
                } else if let Some(file) = piece.strip_prefix('-') {
                    files.remove(file);
                } else {
                    let (file, text) = piece.split_once('=').unwrap();
                    files.insert(file.to_owned(), text.replace(';', "\n"));
                }
            }
            let n = i64::try_from(fake.commits.len()).unwrap();
            let info = CommitInfo {
                id: ObjectId::parse(&id).unwrap(),
                time: CommitTime::from_unix(1_709_269_200 + 60 * n).unwrap(),
            };
            let entry = Entry {
                info,
                parents,
                files,
            };
            fake.commits.insert(id, entry);
        }
        fake.refs = Arc::new(RefTable::parse(refs.as_bytes(), RefLimits::default()).unwrap());
        fake
    }

    fn before(&self, from: &str) -> BTreeSet<String> {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(id) = left.pop() {
            if let Some(entry) = self.commits.get(&id)
                && seen.insert(id)
            {
                left.extend(entry.parents.iter().cloned());
            }
        }
        seen
    }

    fn reachable(&self) -> BTreeSet<String> {
        let refs = (self.refs.heads()).chain(self.refs.tags(""));
        refs.flat_map(|(_, id)| self.before(id.as_str())).collect()
    }

    pub(super) async fn module(&self, path: &str) -> Module<'_> {
        self.module_at(path, "example.com/r", "").await
    }

    pub(super) async fn module_at(&self, path: &str, prefix: &str, subdir: &str) -> Module<'_> {
        let root = Root {
            prefix: prefix.to_owned(),
            vcs: Vcs::Git,
            url: RepoUrl::parse("https://x.com/r", Allowed::default()).unwrap(),
            subdir: subdir.to_owned(),
        };
        let path = ModulePath::parse(path).unwrap();
        let layout = Layout::new(&path, &root).unwrap();
        Module::open(self, layout, path).await.unwrap()
    }

    /// What `@v/QUERY.info` says: the version and the name of the commit, or what is wrong.
    pub(super) fn info(&self, path: &str, query: &str) -> String {
        run(async {
            self.module(path)
                .await
                .info(query)
                .await
                .map_or_else(text, said)
        })
    }

    pub(super) fn latest(&self, path: &str) -> String {
        run(async {
            self.module(path)
                .await
                .latest()
                .await
                .map_or_else(text, said)
        })
    }

    pub(super) fn list(&self, path: &str) -> String {
        run(async {
            match self.module(path).await.versions().await {
                Ok(list) => list
                    .iter()
                    .map(Version::as_str)
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(error) => text(error),
            }
        })
    }

    pub(super) fn go_mod(&self, path: &str, version: &str) -> String {
        let version = Version::parse(version).unwrap();
        run(async {
            match self.module(path).await.go_mod(&version).await {
                Ok(body) => String::from_utf8(body.to_vec()).unwrap(),
                Err(error) => text(error),
            }
        })
    }
}

pub(super) fn said(dated: Dated) -> String {
    let commit = dated.commit.id.as_str().trim_end_matches('0').to_owned();
    match dated.reference {
        Some(reference) => format!("{} {commit} {reference}", dated.version),
        None => format!("{} {commit}", dated.version),
    }
}

pub(super) fn text(error: NoVersion) -> String {
    format!("! {error}")
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

#[async_trait]
impl Commits for Fake {
    async fn refs(&self) -> Result<Arc<RefTable>, RepoError> {
        Ok(self.refs.clone())
    }

    async fn commit(&self, id: &ObjectId) -> Result<Option<CommitInfo>, RepoError> {
        let found = self.commits.get(id.as_str());
        let found = found.filter(|_| self.reachable().contains(id.as_str()));
        Ok(found.map(|entry| entry.info.clone()))
    }

    async fn find_in_history(&self, digits: &str) -> Result<InHistory, RepoError> {
        let reachable = self.reachable();
        let mut found = reachable.iter().filter(|id| id.starts_with(digits));
        Ok(match (found.next(), found.next()) {
            (Some(id), None) => InHistory::Commit(self.commits[id].info.clone()),
            (Some(_), Some(_)) => InHistory::Ambiguous,
            (None, _) => InHistory::Nothing,
        })
    }

    async fn file(&self, id: &ObjectId, path: &str, _: u64) -> Result<Option<Bytes>, RepoError> {
        let text = self.commits[id.as_str()].files.get(path);
        match text.map(String::as_str) {
            Some("BROKEN") => Err(RepoError::Broken("no blob".to_owned())),
            text => Ok(text.map(|text| Bytes::from(text.to_owned()))),
        }
    }

    async fn is_ancestor(&self, older: &ObjectId, id: &ObjectId) -> Result<bool, RepoError> {
        Ok(self.before(id.as_str()).contains(older.as_str()))
    }

    async fn tags_before(&self, id: &ObjectId, prefix: &str) -> Result<Vec<String>, RepoError> {
        let before = self.before(id.as_str());
        let tags = self.refs.tags(prefix);
        let tags = tags.filter(|(_, id)| before.contains(id.as_str()));
        Ok(tags.map(|(name, _)| name.to_owned()).collect())
    }
}
