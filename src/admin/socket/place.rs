//! Where the socket is.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Its name in the data directory.
const NAME: &str = "control";
/// Connections waiting to be accepted.
const BACKLOG: u32 = 128;
/// What fits into the address of a socket everywhere. Bytes.
const ADDRESS: usize = 100;

/// Where the socket is. A path that is too long for the address of a socket is reached through the directory's
/// descriptor, which must live as long as the path is used.
fn place(data_dir: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = data_dir.join(NAME);
    if path.as_os_str().len() <= ADDRESS {
        return Ok((path, None));
    }
    let dir = File::open(data_dir)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(NAME);
    Ok((short, Some(dir)))
}

/// Opens the socket of a data directory that this process holds.
pub fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let (path, _dir) = place(data_dir)?;
    let unready = path.with_extension("new");
    // The lock on the directory says that whoever made it is gone. What is no socket is not ours.
    match fs::symlink_metadata(&unready) {
        Ok(meta) if meta.file_type().is_socket() => fs::remove_file(&unready)?,
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    // Before it has a name: on Linux the name gets this mode, so there is no moment in which others could connect. Elsewhere it
    // may be an error; then the lines below have to do.
    let _ = rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR);
    socket.bind(&unready)?;
    fs::set_permissions(&unready, Permissions::from_mode(0o600))?;
    // As `tokio::net::UnixListener::bind` has it.
    let listener = socket.listen(BACKLOG)?;
    fs::rename(&unready, &path)?;
    Ok(listener)
}

/// Connects to the server that holds a data directory; none if there is none.
pub async fn connect(data_dir: &Path) -> io::Result<Option<UnixStream>> {
    let (path, _dir) = place(data_dir)?;
    match UnixStream::connect(&path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
