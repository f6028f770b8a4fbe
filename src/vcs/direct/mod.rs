//! Modules straight from their repositories: the one entrance to direct mode.
//!
//! A [`DirectProfile`] is direct mode under one set of rules (a route, the private patterns, `direct` in the chain). It leads from a
//! module path to a [`RepositoryModule`], the module where it lies in its repository, and that answers what a GOPROXY is asked.

mod error;
mod lookups;
mod module;
mod profile;
mod repositories;

pub use error::DirectError;
pub use module::{DirectQuery, RepositoryModule};
pub use profile::{DirectProfile, Location};
pub use repositories::{Direct, DirectSettings};
