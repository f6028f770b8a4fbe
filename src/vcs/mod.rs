//! Direct mode: modules straight from their repositories.
//!
//! [`direct`] is the entrance. Which repository has a module, where in it the module lies, and what its references mean,
//! is worked out by parts that are pure:
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
//! * [`guard`]: which hosts may be asked at all.
//! * [`reserved`]: which repositories are for private modules alone.
//! * [`web`]: pages, and why a git host has said no.
//! * [`tenant`]: whose modules something is done for.
//! * [`rules`]: by which rules, and as whom, repositories are asked.
//! * [`hosts`]: how each git host is reached, and when it is left alone; `refusal`: what its no means.
//! * [`resolve`]: from a module path to its repository, pages and probes asked through a seam.
//! * [`git`]: the `git` command, sealed and bounded; [`certificates`]: whom it trusts.
//! * [`mirror`]: a bare mirror of one repository; `mirror_cache`: the room of all of them; [`workspace`]: that of the disk.
//! * [`repository`]: one repository's references, and its mirror as far as a question needs it; `tables`: the references of
//!   all; `refusals`: what was too large a moment ago.
//! * [`pack`]: from the tree of a commit to a module zip.
//! * [`github`]: tokens of a GitHub App.
//!
//! Every name and address comes from strangers and is checked once, where it enters. Another version control system would
//! be one more kind of [`repository`], with what [`Commits`] asks of it.

pub mod certificates;
pub mod direct;
pub mod git;
pub mod github;
pub mod guard;
pub mod hosts;
pub mod layout;
mod markup;
pub mod meta;
pub mod mirror;
mod mirror_cache;
pub mod pack;
pub mod refs;
mod refusal;
mod refusals;
pub mod repository;
pub mod reserved;
pub mod resolve;
pub mod root;
pub mod rules;
mod tables;
pub mod tar;
pub mod tenant;
#[cfg(test)]
mod testing;
pub mod url;
pub mod versions;
pub mod web;
pub mod workspace;

pub use layout::{Found, Layout, LayoutError};
pub use markup::MarkupError;
pub use meta::{GoImport, MetaError, go_imports, select};
pub use refs::{ObjectId, RefLimits, RefTable, RefsError, Resolved};
pub use root::{Root, Static, Vcs, static_root};
pub use url::{Allowed, RepoUrl, Scheme, UrlError};
pub use versions::{CommitInfo, Commits, Dated, InHistory, Located, Module, NoVersion, RepoError};
