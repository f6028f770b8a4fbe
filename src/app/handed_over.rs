//! Sockets that the service manager has opened for us (`sd_listen_fds(3)`).

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

use super::start_error::StartError;
use crate::config::Environment;
use crate::http::{BindError, BoundListener, UnixSocketListener};

/// Sockets that were handed over, in their order.
#[derive(Default)]
pub struct HandedOver(pub Vec<HandedSocket>);

/// One of them.
pub struct HandedSocket {
    /// Which of them it is; the first is 1.
    pub number: usize,
    /// What the service manager calls it: the name of its unit if nobody says.
    pub name: String,
    socket: StdSocket,
}

enum StdSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl HandedOver {
    /// Takes those that are meant for this process. The variables that tell of them are gone then, which must not happen
    /// beside threads that read the environment: this comes before there are any.
    ///
    /// # Errors
    /// A descriptor that is not of a socket that listens.
    pub fn take(env: &Environment) -> Result<Self, StartError> {
        let names = env.get("LISTEN_FDNAMES").map_or("", String::as_str);
        let mut names = names.split(':');
        let mut sockets = ListenFd::from_env();
        let mut taken = Vec::new();
        for at in 0..sockets.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let number = at + 1;
            let socket = take(&mut sockets, at).map_err(|error| {
                let why = format!("cannot be used: {error}");
                let name = name.clone();
                StartError::Address(BindError::HandedOver { number, name, why })
            })?;
            taken.push(HandedSocket {
                number,
                name,
                socket,
            });
        }
        Ok(HandedOver(taken))
    }
}

fn take(sockets: &mut ListenFd, at: usize) -> io::Result<StdSocket> {
    // Of another family it is left where it is.
    let socket = match sockets.take_unix_listener(at) {
        Ok(unix) => unix.map(StdSocket::Unix),
        Err(_) => sockets.take_tcp_listener(at)?.map(StdSocket::Tcp),
    };
    let socket = socket.ok_or_else(|| io::Error::other("it was taken before"))?;
    let descriptor: BorrowedFd<'_> = match &socket {
        StdSocket::Tcp(listener) => listener.as_fd(),
        StdSocket::Unix(listener) => listener.as_fd(),
    };
    match rustix::net::sockopt::socket_acceptconn(descriptor)? {
        true => Ok(socket),
        false => Err(io::Error::other(
            "it is a connection, and listens for none; the unit of the socket wants Accept=no",
        )),
    }
}

impl HandedSocket {
    /// Gives it to the runtime.
    pub fn open(self) -> io::Result<BoundListener> {
        Ok(match self.socket {
            StdSocket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                BoundListener::Tcp(tokio::net::TcpListener::from_std(listener)?)
            }
            StdSocket::Unix(listener) => {
                BoundListener::Unix(UnixSocketListener::handed_over(listener)?)
            }
        })
    }
}
