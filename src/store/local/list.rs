//! What lies in a namespace, whoever has put it there.

use std::fs::{self, ReadDir};
use std::io;
use std::path::PathBuf;

use super::name::{BlobName, Namespace};
use super::{LocalFiles, if_there};

/// Entries found before they are given. Bounds what is in memory, however many files there are.
const BATCH: usize = 256;

/// Something found in a namespace.
#[derive(Debug)]
pub enum Entry {
    /// A file.
    File {
        /// Below the namespace's folder.
        path: String,
        /// Its name, if it has one of the namespace.
        name: Option<BlobName>,
    },
    /// A folder, or a part of one, that cannot be read.
    Unreadable(PathBuf, io::Error),
}

/// A list that is read as it is asked for. Links are not followed.
pub struct FileListing {
    namespace: Namespace,
    root: PathBuf,
    /// The folders from the namespace's to the one that is being read.
    open: Vec<(PathBuf, ReadDir)>,
    begun: bool,
}

impl LocalFiles {
    /// All that lies in a namespace, in no order.
    pub fn list(&self, namespace: Namespace) -> FileListing {
        FileListing {
            namespace,
            root: self.0.folders.data.join(namespace.folder()),
            open: Vec::new(),
            begun: false,
        }
    }
}

impl FileListing {
    /// Some more of it; the list is empty at the end.
    pub async fn next(&mut self) -> io::Result<Vec<Entry>> {
        let begun = std::mem::replace(&mut self.begun, true);
        let (namespace, root) = (self.namespace, self.root.clone());
        let mut open = std::mem::take(&mut self.open);
        let read = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            if !begun {
                enter(root.clone(), &mut open, &mut found);
            }
            while found.len() < BATCH
                && let Some((folder, entries)) = open.last_mut()
            {
                let entry = match entries.next() {
                    None => {
                        open.pop();
                        continue;
                    }
                    Some(Err(error)) => {
                        found.push(Entry::Unreadable(folder.clone(), error));
                        open.pop();
                        continue;
                    }
                    Some(Ok(entry)) => entry,
                };
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => enter(path, &mut open, &mut found),
                    Ok(kind) if kind.is_file() => {
                        let below = path.strip_prefix(&root).unwrap_or(&path);
                        let name = below.to_str();
                        found.push(Entry::File {
                            name: name.and_then(|name| BlobName::parse(namespace, name)),
                            path: below.display().to_string(),
                        });
                    }
                    Ok(_) => {}
                    Err(error) => found.push(Entry::Unreadable(path, error)),
                }
            }
            (open, found)
        });
        let (open, found) = read.await.map_err(io::Error::other)?;
        self.open = open;
        Ok(found)
    }
}

/// Begins to read a folder; one that has gone meanwhile is none.
fn enter(folder: PathBuf, open: &mut Vec<(PathBuf, ReadDir)>, found: &mut Vec<Entry>) {
    match if_there(fs::read_dir(&folder)) {
        Ok(Some(entries)) => open.push((folder, entries)),
        Ok(None) => {}
        Err(error) => found.push(Entry::Unreadable(folder, error)),
    }
}
