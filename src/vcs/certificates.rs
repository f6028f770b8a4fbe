//! Root certificates for git, which takes one file of them only.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Puts them into a file of this folder, if they are not there already. `None` if the disk takes no more: then git goes
/// by the system's.
pub fn bundle(folder: &Path, pem: &str) -> io::Result<Option<PathBuf>> {
    let bundle = folder.join("certificates.pem");
    if std::fs::read_to_string(&bundle).is_ok_and(|known| known == pem) {
        return Ok(Some(bundle));
    }
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&bundle, pem));
    match written {
        Ok(()) => Ok(Some(bundle)),
        // A full disk must not end hits.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::NotFound
            ) =>
        {
            tracing::error!(%error, "root certificates for git could not be written; git goes by the system's until a start with room on the disk");
            Ok(None)
        }
        Err(error) => {
            let text = format!("root certificates for git ({}): {error}", bundle.display());
            Err(io::Error::new(error.kind(), text))
        }
    }
}
