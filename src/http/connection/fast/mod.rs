//! The fast path: a plain request whose answer is ready is answered where it is read, below the HTTP library, which never
//! sees it. Everything else, and everything in doubt, goes the long way.
//!
//! A connection is on the fast path only while the library is between two requests: it has seen none, or all that it was
//! handed were whole, single requests, each answered and flushed. See ARCHITECTURE.md section 7.

mod request;
mod write_buffer;

use std::mem::MaybeUninit;
use std::sync::Arc;

pub use request::PlainRequest;
pub use write_buffer::WriteBuffer;

use super::handler::{ConnectionInfo, Handler};
use super::keep_alive::KeepAlive;

/// The fast path of one connection.
pub struct FastPath<H> {
    handler: Arc<H>,
    connection: ConnectionInfo,
    keep_alive: Arc<KeepAlive>,
    library: Library,
    /// The library has written, and not flushed since.
    unflushed: bool,
}

/// What the library has been handed, if anything that is not answered yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Library {
    Idle,
    /// A whole request, so that nothing of a next one is left with the library once it is answered; and how many it had
    /// begun to answer before.
    OneRequest(u64),
    /// Something else: where its requests begin and end is the library's business from now on.
    Unknown,
}

impl<H: Handler> FastPath<H> {
    /// Of a new connection.
    pub fn new(handler: Arc<H>, connection: ConnectionInfo, keep_alive: Arc<KeepAlive>) -> Self {
        FastPath {
            handler,
            connection,
            keep_alive,
            library: Library::Idle,
            unflushed: false,
        }
    }

    /// Takes what has been read, if it can be answered here: then `out`, which is empty, is the answer. Else it is for the
    /// library.
    pub fn take(&mut self, read: &[u8], out: &mut WriteBuffer) -> bool {
        if read.is_empty() || self.library == Library::Unknown {
            return false;
        }
        let mut room = [const { MaybeUninit::uninit() }; request::MOST_HEADERS];
        let head = request::one_head(read, &mut room);
        if self.library == Library::Idle
            && !self.unflushed
            && let Some(plain) = head.as_ref().and_then(PlainRequest::of)
            && self.handler.ready(&plain, &self.connection, out)
        {
            self.keep_alive.busy();
            return true;
        }
        self.library = match head.is_some() && self.library == Library::Idle {
            true => Library::OneRequest(self.keep_alive.begun()),
            false => Library::Unknown,
        };
        false
    }

    /// The library writes.
    pub fn wrote(&mut self) {
        self.unflushed = true;
    }

    /// The library has nothing more to write.
    pub fn flushed(&mut self) {
        self.unflushed = false;
        if let Library::OneRequest(before) = self.library
            && self.keep_alive.begun() > before
            && self.keep_alive.is_idle()
        {
            self.library = Library::Idle;
        }
    }
}
