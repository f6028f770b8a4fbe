//! `[private]`: private modules, and who may have them.

use super::codec::flag;
use super::section::section;

section! {
    /// Private modules, and who may have them.
    pub struct Private = "private" {
        /// Serve private modules to everyone who reaches the port. Otherwise they need a token
        /// (larder token new NAME), except from programs on this machine when they come to a loopback
        /// address, server.public_url names no other host, and the request shows no server in front:
        /// its Host is localhost or a loopback address, and it has no X-Forwarded-For, Forwarded, Via,
        /// X-Real-IP or the like.
        open: bool = false => flag();
    }
}
