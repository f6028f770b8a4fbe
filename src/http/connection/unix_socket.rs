//! A unix socket that is listened on, and its file.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::timeout;

use super::holder::named;

/// How long whoever listens at a path may take to show it.
const ANSWER: Duration = Duration::from_secs(1);

/// Why a path cannot be listened on.
pub enum UnixBindError {
    /// Somebody answers there: this process, if that can be told.
    Answers(Option<String>),
    System(io::Error),
}

impl From<io::Error> for UnixBindError {
    fn from(error: io::Error) -> Self {
        UnixBindError::System(error)
    }
}

/// A unix socket that is listened on.
pub struct UnixSocketListener {
    listener: UnixListener,
    _file: Option<SocketFile>,
}

impl UnixSocketListener {
    /// Makes the socket. One that is there and that nobody answers at, as a killed process leaves it, is replaced.
    pub async fn bind(path: &Path, mode: u32, backlog: u32) -> Result<Self, UnixBindError> {
        remove_if_dead(path).await?;
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        let file = SocketFile::at(path)?;
        // Until it listens, nobody can connect, whatever its permissions are.
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        Ok(UnixSocketListener {
            listener: socket.listen(backlog)?,
            _file: Some(file),
        })
    }

    /// Of a socket that somebody else has made, whose file is theirs to remove.
    pub fn handed_over(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(UnixSocketListener {
            listener: UnixListener::from_std(listener)?,
            _file: None,
        })
    }

    /// Where it is, if it has a path.
    pub fn path(&self) -> Option<PathBuf> {
        let address = self.listener.local_addr().ok()?;
        address.as_pathname().map(Path::to_owned)
    }

    /// The next connection.
    pub async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }
}

/// The file of a socket, removed in the end if it is still the same.
struct SocketFile {
    path: PathBuf,
    /// Device and number.
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(SocketFile {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = identity(&self.path).is_ok_and(|now| now == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "a socket stays behind");
        }
    }
}

/// Removes a socket that nobody answers at.
async fn remove_if_dead(path: &Path) -> Result<(), UnixBindError> {
    let is_socket = match fs::symlink_metadata(path) {
        Ok(meta) => meta.file_type().is_socket(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !is_socket {
        let why = "there is something at this path that is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why).into());
    }
    match timeout(ANSWER, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok(fs::remove_file(path)?)
        }
        // It has gone meanwhile.
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(Ok(stream)) => {
            let process = stream.peer_cred().ok().and_then(|peer| peer.pid());
            Err(UnixBindError::Answers(process.map(named)))
        }
        // Somebody is there, and has too much to do or is not to be asked by us.
        Ok(Err(_)) | Err(_) => Err(UnixBindError::Answers(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_socket_that_nobody_answers_at_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let bind = || UnixSocketListener::bind(&path, 0o660, 16);
        let first = bind().await.ok().unwrap();
        assert_eq!(first.path().as_deref(), Some(path.as_path()));
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o660);
        let Err(UnixBindError::Answers(Some(holder))) = bind().await else {
            panic!("it is in use");
        };
        let own = format!("process {} (", std::process::id());
        assert!(holder.starts_with(&own), "{holder}");
        drop(first);
        assert!(!path.exists());
        // What a killed process leaves.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = bind().await.ok().unwrap();
        // Somebody else's now.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        drop(second);
        assert!(path.exists());
        assert!(matches!(bind().await, Err(UnixBindError::System(_))));
        assert!(path.exists());
    }
}
