//! A folder in the download cache's layout as an upstream: `file:///srv/modules` (an air-gapped mirror, say).

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use bytes::Bytes;
use http::StatusCode;
use url::Url;

use super::error::Failure;

/// The file that a path below the base names.
pub fn path(base: &Url, below: &str) -> Result<PathBuf, Failure> {
    let root = base
        .to_file_path()
        .map_err(|()| Failure::Connect("not a path of this machine".into()))?;
    // `below` is a checked module path and version: no element of it is `..` or empty.
    Ok(root.join(below))
}

/// What a file that does not open means.
pub fn open(path: PathBuf) -> Result<File, Failure> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Failure::Absent {
            status: StatusCode::NOT_FOUND,
            text: String::new(),
        },
        _ => Failure::Broken(error.to_string()),
    })
}

/// Reads a small file.
pub async fn read(base: &Url, below: &str, max: u64) -> Result<Bytes, Failure> {
    let path = path(base, below)?;
    let work = move || {
        let mut body = Vec::new();
        open(path)?
            .take(max + 1)
            .read_to_end(&mut body)
            .map_err(|error| Failure::Broken(error.to_string()))?;
        if body.len() as u64 > max {
            Err(Failure::TooLarge(max))
        } else {
            Ok(Bytes::from(body))
        }
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::Broken(error.to_string()))?
}
