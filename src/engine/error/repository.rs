//! What it means for whoever asked that a repository has no answer.

use super::class::Class;
use crate::vcs::direct::DirectError;
use crate::vcs::pack::PackError;
use crate::vcs::resolve::ResolveError;
use crate::vcs::{NoVersion, RepoError};

/// The class of what a repository, or the way to it, says (protocol.md 6.1.7).
pub(super) fn class(error: &DirectError) -> Class {
    match error {
        DirectError::Resolve(error) => match error {
            ResolveError::None(_) | ResolveError::Barred(_) | ResolveError::Closed(_) => {
                Class::Absent { gone: false }
            }
            // A sign-in page looks like that.
            ResolveError::Untagged { known: true, .. } => Class::Upstream,
            ResolveError::Untagged { known: false, .. } => Class::Absent { gone: false },
            ResolveError::Timeout(_) => Class::Timeout,
            ResolveError::Fault(_) => Class::Upstream,
        },
        DirectError::Layout(_) => Class::Absent { gone: false },
        DirectError::Version(NoVersion::Repo(error)) => match error {
            RepoError::Missing(_) => Class::Absent { gone: false },
            RepoError::Timeout(_) => Class::Timeout,
            RepoError::NoRoom(_) => Class::Unavailable,
            RepoError::Refused(_)
            | RepoError::Unreachable(_)
            | RepoError::Moved(_)
            | RepoError::TooLarge(_)
            | RepoError::Broken(_) => Class::Upstream,
        },
        DirectError::Version(_) => Class::Absent { gone: false },
        DirectError::Pack(error) => match &**error {
            PackError::Rule(_) | PackError::TooLarge { .. } | PackError::TooMany => {
                Class::Absent { gone: false }
            }
            PackError::NoRoom => Class::Unavailable,
            PackError::Git(_) | PackError::Archive(_) | PackError::List => Class::Upstream,
            PackError::Disk(_) | PackError::Gone => Class::Internal,
        },
    }
}

/// The first line of what a repository says; the others say what to do (`DirectError` has them in its text).
pub(super) fn text(what: &str, error: &DirectError) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    match class(error) {
        Class::Internal => format!("{what}: larder could not make the zip"),
        Class::Absent { .. } => format!("not found: {what}: {first}"),
        _ => format!("{what}: {first}"),
    }
}

/// Whether it is known of the module or its repository that there is no such thing. A repository that is not there may
/// only want a login, and what the rules in force forbid says nothing of what there is.
pub(super) fn is_said(error: &DirectError) -> bool {
    match error {
        DirectError::Resolve(error) => matches!(
            error,
            ResolveError::None(_) | ResolveError::Untagged { known: false, .. }
        ),
        DirectError::Layout(_) => true,
        DirectError::Version(error) => !matches!(error, NoVersion::Repo(_)),
        DirectError::Pack(_) => false,
    }
}
