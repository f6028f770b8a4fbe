//! Direct mode: modules straight from their repositories. What is here is pure: which repository has a module, where
//! in it the module lies, and what its references mean. Nothing here runs a program or asks the network.
//!
//! * [`root`]: what a module path alone says about its repository.
//! * [`meta`]: what a `?go-get=1` page says about it.
//! * [`url`]: the addresses of repositories that may be asked.
//! * [`refs`]: heads and tags as `git ls-remote` tells them.
//! * [`layout`]: where in the repository a module lies, and which tags are its versions.
//!
//! Every name and address comes from strangers and is checked once, where it enters.

pub mod layout;
mod markup;
pub mod meta;
pub mod refs;
pub mod root;
pub mod url;

pub use layout::{Found, Layout, LayoutError};
pub use markup::MarkupError;
pub use meta::{GoImport, MetaError, go_imports, select};
pub use refs::{ObjectId, RefLimits, RefTable, RefsError, Resolved};
pub use root::{Root, Static, Vcs, static_root};
pub use url::{Allowed, RepoUrl, Scheme, UrlError};
