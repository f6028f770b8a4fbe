//! `[private]`: private modules, and who may have them.

use super::codec::flag;
use super::section::section;

section! {
    /// Private modules, and who may have them.
    pub struct Private = "private" {
        /// Serve private modules to everyone who reaches the port, also where that is not this machine
        /// alone. Otherwise they need a token: larder token new NAME.
        open: bool = false => flag();
    }
}
