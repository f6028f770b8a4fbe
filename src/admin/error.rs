//! Why an operation was not carried out, as it goes to the client.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::engine::{EngineError, OperateError};
use crate::identity::TokenError;

/// What kind of thing stands in the way, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// What was named is not there.
    NotFound,
    /// It is there, and stands against it.
    Conflict,
    /// There are as many as may be.
    Limit,
    /// The request makes no sense.
    Invalid,
    /// The configuration is wrong.
    Configuration,
    /// The other side is of another version.
    Version,
    /// Larder's fault, or the machine's.
    Internal,
}

/// Why an operation was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct AdminError {
    /// For programs.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
}

impl AdminError {
    pub(super) fn new(kind: ErrorKind, message: impl ToString) -> Self {
        AdminError {
            kind,
            message: message.to_string(),
        }
    }

    /// Larder's fault, or the machine's.
    pub fn internal(message: impl ToString) -> Self {
        AdminError::new(ErrorKind::Internal, message)
    }
}

impl From<OperateError> for AdminError {
    fn from(error: OperateError) -> Self {
        let kind = match &error {
            OperateError::Recorded(..) => ErrorKind::Conflict,
            OperateError::NotHeld(..) | OperateError::NoDatabase { .. } => ErrorKind::NotFound,
            OperateError::Database(_) | OperateError::Store(_) | OperateError::Engine(_) => {
                ErrorKind::Internal
            }
        };
        AdminError::new(kind, error)
    }
}

impl From<EngineError> for AdminError {
    fn from(error: EngineError) -> Self {
        AdminError::internal(error)
    }
}

impl From<TokenError> for AdminError {
    fn from(error: TokenError) -> Self {
        let kind = match &error {
            TokenError::Taken(_) => ErrorKind::Conflict,
            TokenError::Unknown(_) => ErrorKind::NotFound,
            TokenError::TooMany => ErrorKind::Limit,
            TokenError::NoRandomness | TokenError::Store(_) | TokenError::Copy(_) => {
                ErrorKind::Internal
            }
        };
        AdminError::new(kind, error)
    }
}
