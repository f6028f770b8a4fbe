//! Direct mode: modules straight from their repositories. It is being built: nothing of it is used yet.
//!
//! Which repository has a module, where in it the module lies, and what its references mean, is worked out by parts that
//! are pure:
//!
//! * [`root`]: what a module path alone says about its repository.
//! * [`meta`]: what a `?go-get=1` page says about it.
//! * [`url`]: the addresses of repositories that may be asked.
//! * [`refs`]: heads and tags as `git ls-remote` tells them.
//! * [`layout`]: where in the repository a module lies, and which tags are its versions.
//! * [`versions`]: which version a revision is, and which versions there are.
//! * [`tar`]: the archives that `git archive` writes.
//!
//! And what asks the world, or runs programs:
//!
//! * [`git`]: the `git` command, sealed and bounded.
//! * [`mirror`]: a bare mirror of one repository.
//! * [`pack`]: from the tree of a commit to a module zip.
//! * [`github`]: tokens of a GitHub App.
//! * [`resolve`]: from a module path to its repository, pages and probes asked through a seam.
//!
//! Every name and address comes from strangers and is checked once, where it enters.

pub mod git;
pub mod github;
pub mod layout;
mod markup;
pub mod meta;
pub mod mirror;
pub mod pack;
pub mod refs;
pub mod resolve;
pub mod root;
pub mod tar;
#[cfg(test)]
mod testing;
pub mod url;
pub mod versions;

pub use layout::{Found, Layout, LayoutError};
pub use markup::MarkupError;
pub use meta::{GoImport, MetaError, go_imports, select};
pub use refs::{ObjectId, RefLimits, RefTable, RefsError, Resolved};
pub use root::{Root, Static, Vcs, static_root};
pub use url::{Allowed, RepoUrl, Scheme, UrlError};
pub use versions::{CommitInfo, Commits, Dated, InHistory, Located, Module, NoVersion, RepoError};
