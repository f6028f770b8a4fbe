//! The rules of Go modules, pure: no clock, no network, no file system (a zip is read through
//! [`zip::ReadAt`]). Sources are `golang.org/x/mod` and the protocol reference; each item names
//! the rule it follows.

pub mod check;
pub mod dirhash;
pub mod escape;
pub mod fold;
pub mod info;
pub mod list;
pub mod modfile;
pub mod path;
pub mod pattern;
pub mod pseudo;
pub mod semver;
pub mod time;
pub mod version;
pub mod zip;

pub use dirhash::H1;
pub use info::Info;
pub use list::VersionList;
pub use path::{ModulePath, PathError};
pub use pattern::{PatternFault, Patterns};
pub use time::CommitTime;
pub use version::{Rev, RevName, Version, VersionError};
pub use zip::{CheckedZip, StreamHasher, ZipError, ZipLimits};
