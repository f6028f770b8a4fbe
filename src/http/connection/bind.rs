//! Listening on an address.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

use super::holder::port_holder;

/// Connections waiting to be accepted.
const BACKLOG: u32 = 4096;

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    #[error(
        "{address} is taken by {holder}.\nStop that one, or choose another address with --listen ADDR:PORT."
    )]
    Taken { address: SocketAddr, holder: String },
    #[error(
        "{0} may not be used by this user (ports below 1024 need a privilege).\nChoose another one with --listen ADDR:PORT."
    )]
    Forbidden(SocketAddr),
    #[error(
        "{address} cannot be listened on: {error}.\nChoose another one with --listen ADDR:PORT."
    )]
    Other {
        address: SocketAddr,
        #[source]
        error: io::Error,
    },
}

/// Listens on an address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
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
    listener.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken {
            address,
            holder: port_holder(address).unwrap_or_else(|| "another process".to_owned()),
        },
        io::ErrorKind::PermissionDenied => BindError::Forbidden(address),
        _ => BindError::Other { address, error },
    })
}

fn no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}
