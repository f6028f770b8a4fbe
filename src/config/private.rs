//! `[private]`: who gets modules that are not for everyone.

use super::codec::flag;
use super::section::section;

section! {
    /// Who gets modules that are not for everyone.
    pub struct Private = "private" {
        /// Serve private modules to everyone who reaches the port, also where that is not this machine
        /// alone. Otherwise they need a token: larder token new NAME.
        open: bool = false => flag();
    }
}
