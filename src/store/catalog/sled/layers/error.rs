//! What is wrong with the folder, in sled's words: its callers know no others.

use crate::store::catalog::sled::settled::SettledError;

pub(super) fn damaged(what: &str) -> sled::Error {
    sled::Error::Unsupported(what.to_owned())
}

pub(super) fn failed(error: SettledError) -> sled::Error {
    match error {
        SettledError::Io(error) => sled::Error::Io(error),
        SettledError::Damaged(_) => damaged(&error.to_string()),
    }
}
