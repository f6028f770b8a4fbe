//! A second copy of the tokens, as far as they are kept (names and hashes), beside the index: nothing else that the index
//! knows is lost for good when it is damaged, and no token can be had again.
//!
//! It is written before a token is out of the index and after one is in it, so it never has one that was revoked; and is
//! read only when the index has none.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::store::model::TokenRecord;

/// The file's name in the data directory.
const NAME: &str = "tokens";
/// The same while it is written.
const NEW: &str = "tokens.new";
/// The largest that makes sense. Bytes.
const MAX: u64 = 8 << 20;

/// The file.
#[derive(Clone, Debug)]
pub struct TokenFile {
    data: PathBuf,
}

impl TokenFile {
    /// In this data directory.
    pub fn new(data: &Path) -> Self {
        TokenFile {
            data: data.to_owned(),
        }
    }

    /// What it has; `None` if it is not there. Lines that cannot be read are left out.
    pub async fn read(&self) -> io::Result<Option<Vec<TokenRecord>>> {
        let path = self.data.join(NAME);
        on_a_thread(move || {
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file?,
            };
            let mut text = String::new();
            file.take(MAX).read_to_string(&mut text)?;
            let read = |line: &str| serde_json::from_str(line).ok();
            Ok(Some(text.lines().filter_map(read).collect()))
        })
        .await
    }

    /// Replaces it; it is on disk when this returns.
    pub async fn write(&self, tokens: Vec<TokenRecord>) -> io::Result<()> {
        let data = self.data.clone();
        on_a_thread(move || {
            let mut text = Vec::new();
            for token in &tokens {
                serde_json::to_writer(&mut text, token)?;
                text.push(b'\n');
            }
            let (new, path) = (data.join(NEW), data.join(NAME));
            // What an end in the middle left.
            let _ = fs::remove_file(&new);
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&data)?.sync_all()
        })
        .await
    }
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::clock::Timestamp;
    use crate::store::{ReplacedToken, Sha256};

    #[tokio::test]
    async fn what_is_written_is_read_back_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path());
        assert!(file.read().await.unwrap().is_none());
        let token = |name: &str| TokenRecord {
            sha256: Sha256::of(b"secret"),
            created: Timestamp(7),
            name: name.to_owned(),
            expires: None,
            replaced: Some(ReplacedToken {
                sha256: Sha256::of(b"old"),
                until: Timestamp(8),
            }),
            read: Some("git.example.com".into()),
            note: Some("of the nightly build".into()),
            last_used: Some(Timestamp(9)),
        };
        fs::write(folder.path().join(NEW), "left").unwrap();
        for tokens in [vec![token("a"), token("b")], vec![token("b")], vec![]] {
            file.write(tokens.clone()).await.unwrap();
            assert_eq!(file.read().await.unwrap(), Some(tokens));
        }
        let path = folder.path().join(NAME);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "rubbish\n").unwrap();
        assert_eq!(file.read().await.unwrap(), Some(vec![]));
        assert!(!folder.path().join(NEW).exists());
    }
}
