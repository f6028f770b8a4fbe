//! Listening on an address or a unix socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

use super::holder::port_holder;
use super::unix_socket::{UnixBindError, UnixSocketListener};

/// Connections waiting to be accepted.
const BACKLOG: u32 = 4096;

/// Why something cannot be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    #[error(
        "{place} is taken by {holder}.\nStop that one, or choose another address with {setting}."
    )]
    Taken {
        place: String,
        holder: String,
        /// What names the address.
        setting: String,
    },
    #[error(
        "{address} may not be used by this user (ports below 1024 need a privilege).\nChoose another one with {setting}."
    )]
    Forbidden {
        address: SocketAddr,
        setting: String,
    },
    #[error("{place} cannot be listened on: {error}.\nChoose another one with {setting}.")]
    Other {
        place: String,
        #[source]
        error: io::Error,
        setting: String,
    },
    #[error("socket {number} of those handed over by LISTEN_FDS ({name}) {why}")]
    HandedOver {
        number: usize,
        name: String,
        why: String,
    },
}

/// What is listened on, before anything is said of what is spoken there.
pub enum BoundListener {
    Tcp(TcpListener),
    Unix(UnixSocketListener),
}

impl BoundListener {
    /// The address, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            BoundListener::Tcp(listener) => listener.local_addr().ok(),
            BoundListener::Unix(_) => None,
        }
    }

    /// The path of a unix socket that has one.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            BoundListener::Tcp(_) => None,
            BoundListener::Unix(listener) => listener.path(),
        }
    }
}

impl fmt::Display for BoundListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address(), self.path()) {
            (Some(address), _) => address.fmt(f),
            (None, Some(path)) => write!(f, "unix:{}", path.display()),
            (None, None) => f.write_str("unix:"),
        }
    }
}

/// Listens on an address; `setting` is what names it.
pub async fn bind(address: SocketAddr, setting: &str) -> Result<BoundListener, BindError> {
    let bound = |address: SocketAddr| -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let unspecified_v6 = address.is_ipv6() && address.ip().is_unspecified();
    let listener = match bound(address) {
        // A machine without IPv6: all its addresses are those of IPv4.
        Err(error) if unspecified_v6 && no_ipv6(&error) => {
            bound(SocketAddr::from(([0, 0, 0, 0], address.port())))
        }
        bound => bound,
    };
    let setting = || setting.to_owned();
    let error = match listener {
        Ok(listener) => return Ok(BoundListener::Tcp(listener)),
        Err(error) => error,
    };
    Err(match error.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken {
            place: address.to_string(),
            holder: port_holder(address).unwrap_or_else(|| "another process".to_owned()),
            setting: setting(),
        },
        io::ErrorKind::PermissionDenied => BindError::Forbidden {
            address,
            setting: setting(),
        },
        _ => BindError::Other {
            place: address.to_string(),
            error,
            setting: setting(),
        },
    })
}

/// Listens on a unix socket at this path, which has these permissions.
pub async fn bind_unix(path: &Path, mode: u32, setting: &str) -> Result<BoundListener, BindError> {
    let place = || format!("unix:{}", path.display());
    match UnixSocketListener::bind(path, mode, BACKLOG).await {
        Ok(listener) => Ok(BoundListener::Unix(listener)),
        Err(UnixBindError::Answers(holder)) => Err(BindError::Taken {
            place: place(),
            holder: holder.unwrap_or_else(|| "another process".to_owned()),
            setting: setting.to_owned(),
        }),
        Err(UnixBindError::System(error)) => Err(BindError::Other {
            place: place(),
            error,
            setting: setting.to_owned(),
        }),
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}
