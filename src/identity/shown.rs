//! What comes of looking at what somebody has shown.

use std::sync::Arc;

use crate::policy::Identity;

/// What somebody has shown, looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is theirs, and good.
    Known(Arc<Identity>),
    /// It is not good; the end of a sentence that begins with it.
    Bad(Arc<str>),
    /// Who could say so cannot be asked; a sentence.
    Undecided(Arc<str>),
}
